//! A host in one page: define a function and a kernel, compile, run, redefine, run again, and compile the same kernel for
//! GPUs.
//!
//! ```text
//! cargo run -p marquetry --example embed
//! ```

use marquetry::compile::Target;
use marquetry::device::DeviceKind;
use marquetry::engine::{Extent, Launcher, Outcome};
use marquetry::lower::job::OptLevel;
use marquetry::session::{Backend, Config, Job, Session};
use marquetry::value::HostArg;
use std::error::Error;

const PROGRAM: &str = "
method scale(x: f32) -> f32 {
entry:
    y = mul x, f32 2.0
    return y
}

kernel scale_all(n: i64, data: ptr<global>) {
entry:
    i = call global_id(i32 0)
    inside = lt.s i, n
    branch inside, body, done
body:
    p = index data, i, f32
    x = load.f32 p
    y = call scale(x)
    store p, y
    jump done
done:
    return
}
";

const BETTER: &str = "
method scale(x: f32) -> f32 {
entry:
    y = mul x, f32 3.0
    return y
}
";

fn main() -> Result<(), Box<dyn Error>> {
    // A session has a program, which starts with the library, and as many back-ends as one likes.
    let session = Session::new();
    let backend = |backend: Backend| session.add_backend(backend);
    let target = |name: &str| Target::parse(name, OptLevel::Default);
    let native = backend(Backend::new("native", target("native")?))?;
    let cpu = backend(Backend::cpu_device("cpu", target("native")?))?;
    let ptx = backend(Backend::new("ptx", target("ptx:sm_90")?))?;
    let vulkan = backend(Backend::new("vulkan", target("spirv:vulkan1.3")?))?;
    session.define("scale.mq", PROGRAM)?;

    // A job is a value: a method, a config and a world. Compiling it again costs a look into the cache.
    let old = session.job("scale", &native)?;
    call(&session, &old)?;

    // The old job keeps its meaning; the new one sees the new method, and so does the kernel that calls it.
    launch(&session, &cpu)?;
    session.redefine("scale.mq", BETTER)?;
    call(&session, &session.job("scale", &native)?)?;
    call(&session, &old)?;
    launch(&session, &cpu)?;

    // The same kernel for GPUs: bytes for a driver.
    for config in [&ptx, &vulkan] {
        let code = session.compile(&session.job("scale_all", config)?)?;
        let artifact = code.artifact().ok_or("code for a driver")?;
        println!("{}: {} bytes", artifact.target, artifact.code.len());
    }
    println!("{:?}", session.statistics());
    Ok(())
}

fn call(session: &Session, job: &Job) -> Result<(), Box<dyn Error>> {
    let outcome = session.compile(job)?.call(&mut [7f32.into()])?;
    let Outcome::Returned(results) = outcome else { return Err("it threw".into()) };
    println!("scale(7) == {} in world {}", results[0], job.world.0);
    Ok(())
}

fn launch(session: &Session, config: &Config) -> Result<(), Box<dyn Error>> {
    let code = session.compile(&session.job("scale_all", config)?)?;
    let mut args = [4i64.into(), HostArg::buffer(&[1f32, 2.0, 3.0, 4.0])];
    let extent = Extent { grid: [2, 1, 1], block: [2, 1, 1] };
    Launcher::open(DeviceKind::Cpu)?.launch(&code, extent, &mut args)?;
    println!("scale_all: {:?}", args[1].elements::<f32>().ok_or("a buffer of f32")?);
    Ok(())
}
