//! A host in one page: define a function and a kernel, compile, run, redefine, run again, and compile the same kernel for
//! GPUs.
//!
//! ```text
//! cargo run -p marquetry --example embed
//! ```

use marquetry::compile::Target;
use marquetry::device::DeviceKind;
use marquetry::engine::{Extent, Launcher, Outcome};
use marquetry::session::{Backend, Config, Session};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::types::{Scalar, Type};
use marquetry_lower::job::OptLevel;
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

fn call(session: &Session, job: &marquetry::session::Job) -> Result<(), Box<dyn Error>> {
    let x = HostValue::scalar(Type::F32, 7f32.to_bits().into()).ok_or("an f32")?;
    let outcome = session.compile(job)?.call(&mut [HostArg::Value(x)])?;
    let Outcome::Returned(results) = outcome else { return Err("it threw".into()) };
    println!("scale(7) == {} in world {}", results[0], job.world.0);
    Ok(())
}

fn launch(session: &Session, config: &Config) -> Result<(), Box<dyn Error>> {
    let code = session.compile(&session.job("scale_all", config)?)?;
    let bytes: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let n = HostValue::scalar(Type::I64, 4).ok_or("an i64")?;
    let mut args = [HostArg::Value(n), HostArg::Buffer { element: Scalar::F32, bytes }];
    let extent = Extent { grid: [2, 1, 1], block: [2, 1, 1] };
    Launcher::open(DeviceKind::Cpu)?.launch(&code, extent, &mut args)?;
    let HostArg::Buffer { bytes, .. } = &args[1] else { return Err("a buffer".into()) };
    let values: Vec<f32> =
        bytes.chunks_exact(4).filter_map(|word| Some(f32::from_le_bytes(word.try_into().ok()?))).collect();
    println!("scale_all: {values:?}");
    Ok(())
}
