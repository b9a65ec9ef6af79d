//! What all of these tests need: back-ends, small methods, and someone who counts.

use marquetry::compile::{Compiled, Target};
use marquetry::engine::Outcome;
use marquetry::session::{Backend, Config, Job, Session, Watcher};
use marquetry::value::{HostArg, HostValue};
use marquetry_ir::types::Type;
use marquetry_lower::job::{JobEntry, OptLevel};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) fn target(text: &str) -> Target {
    Target::parse(text, OptLevel::Default).unwrap()
}

pub(crate) fn native(session: &Session) -> Config {
    session.add_backend(Backend::new("native", target("native"))).unwrap()
}

pub(crate) fn int(value: i32) -> HostArg {
    HostArg::Value(HostValue::scalar(Type::I32, value as u32 as u128).unwrap())
}

pub(crate) fn call(code: &Compiled, args: &[i32]) -> i32 {
    let mut args: Vec<HostArg> = args.iter().map(|&value| int(value)).collect();
    match code.call(&mut args).unwrap() {
        Outcome::Returned(results) => results[0].lanes()[0] as u32 as i32,
        Outcome::Threw(thrown) => panic!("{thrown}"),
    }
}

pub(crate) fn constant(name: &str, value: i32) -> String {
    format!("method {name}() -> i32 noinline {{\nentry:\n    return i32 {value}\n}}\n")
}

pub(crate) fn caller(name: &str, callee: &str) -> String {
    format!("method {name}() -> i32 {{\nentry:\n    r = call {callee}()\n    return r\n}}\n")
}

/// What was compiled and what was closed, by the name of the method.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) compiled: AtomicUsize,
    pub(crate) closed: AtomicUsize,
}

impl Watcher for Log {
    fn compiled(&self, _: &Job, _: Duration) {
        self.compiled.fetch_add(1, Ordering::SeqCst);
    }

    fn invalidated(&self, _: &JobEntry, _: &Config) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) const KERNEL: &str = "kernel saxpy(n: i64, a: f32, x: ptr<global>, y: ptr<global>) {
entry:
    i = call global_id(i32 0)
    inside = lt.s i, n
    branch inside, body, done
body:
    px = index x, i, f32
    py = index y, i, f32
    vx = load.f32 px
    vy = load.f32 py
    p = mul a, vx
    r = add p, vy
    store py, r
    jump done
done:
    return
}
";
