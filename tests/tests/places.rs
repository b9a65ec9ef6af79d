//! Places in the source, as users meet them: in messages about exceptions, and in a debugger.

use marquetry::engine::{EngineKind, Outcome, Thrown};
use marquetry::library;
use marquetry::value::HostArg;
use marquetry_ir::text;
use marquetry_lower::job::{DebugLevel, OptLevel};
use marquetry_tests::is_present;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const SOURCE: &str = "method quotient(a: i32, b: i32) -> i32 inline {
entry:
    q = div.u a, b
    return q
}
method mean(a: i32, n: i32) -> i32 inline {
entry:
    s = add a, i32 5
    m = call quotient(s, n)
    return m
}
method outer(a: i32, n: i32) -> i32 {
entry:
    m = call mean(a, n)
    r = add m, i32 1
    return r
}
";

/// The exception that a call of a function of these integers ends with; none if the machine lacks the engine.
fn thrown(kind: EngineKind, opt_level: OptLevel, source: &str, entry: &str, args: &[i32]) -> Option<Thrown> {
    let mut engine = match kind.open(opt_level) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("skipped: {}: {reason}", kind.name());
            return None;
        }
    };
    let mut program = library::program();
    assert!(text::parse(&mut program, "places.mq", source).is_empty());
    let method = *program.methods_of(entry).first().expect("the method");
    engine.load(Arc::new(program));
    let mut args: Vec<HostArg> = args.iter().map(|&value| value.into()).collect();
    match engine.call(method, &mut args).expect("a call") {
        Outcome::Threw(thrown) => Some(thrown),
        Outcome::Returned(_) => panic!("{}: nothing was thrown", kind.name()),
    }
}

/// Function and line of who threw and of its callers.
fn chain(kind: EngineKind, opt_level: OptLevel) -> Option<Vec<(String, usize)>> {
    let thrown = thrown(kind, opt_level, SOURCE, "outer", &[1, 0])?;
    let mut chain = vec![(thrown.function.clone(), thrown.place.as_ref().map_or(0, |place| place.line))];
    chain.extend(thrown.callers.iter().map(|c| (c.function.clone(), c.place.as_ref().map_or(0, |p| p.line))));
    let shown = thrown.to_string();
    assert!(shown.contains("(in 'quotient', places.mq:3:5; called by 'mean', places.mq:9:5"), "{shown}");
    Some(chain)
}

#[test]
fn every_engine_names_the_chain_of_an_exception() {
    let expected = [("quotient", 3), ("mean", 9), ("outer", 14)].map(|(name, line)| (name.to_owned(), line));
    for kind in EngineKind::ALL {
        for opt_level in [OptLevel::None, OptLevel::Default] {
            if let Some(chain) = chain(kind, opt_level) {
                assert_eq!(chain, expected, "{} at {opt_level:?}", kind.name());
            }
        }
    }
}

#[test]
fn a_chain_that_is_cut_says_so() {
    let divides = "method f0(x: i32) -> i32 noinline {\nentry:\n    r = div.s i32 5, x\n    return r\n}\n";
    let calls = |n: usize| {
        let callee = n - 1;
        format!(
            "method f{n}(x: i32) -> i32 noinline {{\nentry:\n    r = call f{callee}(x)\n    return r\n}}\n"
        )
    };
    let source: String = std::iter::once(divides.into()).chain((1..=100).map(calls)).collect();
    for kind in EngineKind::ALL {
        // All of 64 calls are named; more are not, and that is said.
        for (entry, count, more) in [("f64", 64, false), ("f65", 64, true), ("f100", 64, true)] {
            let Some(thrown) = thrown(kind, OptLevel::Default, &source, entry, &[0]) else { break };
            let name = kind.name();
            assert_eq!((thrown.callers.len(), thrown.more), (count, more), "{name}: {entry}");
            let (shown, report) = (thrown.to_string(), thrown.report(DebugLevel::Full));
            let cut = if more { "; and more than 56 more)" } else { "; and 56 more)" };
            assert!(shown.ends_with(cut), "{name}: {shown}");
            assert_eq!(report.contains("\n  and further callers"), more, "{name}: {report}");
        }
    }
}

#[test]
fn candidates_that_are_cut_say_so() {
    let source = |count: usize| {
        let calls: String = (0..count).map(|n| format!("    v{n} = call bad(x)\n")).collect();
        format!(
            "method bad(x: i32) -> i32 noinline {{\nentry:\n    r = div.s i32 5, x\n    return r\n}}\n\
             method go(x: i32) -> i32 {{\nentry:\n{calls}    return v0\n}}\n"
        )
    };
    for (count, named, more) in [(64, 64, false), (65, 64, true), (70, 64, true)] {
        let thrown = thrown(EngineKind::Native, OptLevel::None, &source(count), "go", &[0]);
        let thrown = thrown.expect("native code runs everywhere");
        assert_eq!((thrown.candidates.len(), thrown.more), (named, more), "{count}");
        let (shown, report) = (thrown.to_string(), thrown.report(DebugLevel::Full));
        let cut = if more { " or more than 56 more)" } else { " or 56 more)" };
        assert!(shown.ends_with(cut), "{shown}");
        assert_eq!(report.ends_with("\n    and others"), more, "{report}");
    }
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the tool starts");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn gdb_stops_in_an_inlined_function() {
    if !is_present("gdb") || !is_present("cc") {
        return;
    }
    use marquetry::compile::{Target, compile_artifact};
    use marquetry_lower::dispatch::view::View;
    use marquetry_lower::job::Job;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let mut program = library::program();
    assert!(text::parse(&mut program, "places.mq", SOURCE).is_empty());
    let entries = program.methods_of("outer").to_vec();
    let opt_level = OptLevel::Default;
    let mut job = Job::new(entries, View::native(&[]), opt_level);
    job.options.debug_level = DebugLevel::Full;
    let target = Target::parse("native", opt_level).expect("a target");
    let artifact = compile_artifact(&program, &job, &target).expect("an object");
    std::fs::write(at("places.o"), &artifact.code).expect("the object");
    // The first result is the status.
    let host = "int outer(int, int); int main(void) { return outer(1, 3); }";
    std::fs::write(at("host.c"), host).expect("the host");
    let program = at("program");
    let said = run(Command::new("cc").arg("-o").arg(&program).arg(at("host.c")).arg(at("places.o")));
    assert!(!said.contains("warning"), "{said}");
    run(&mut Command::new(&program));
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-ex", "break quotient", "-ex", "run", "-ex", "backtrace", "-ex", "finish"]);
    let said = run(gdb.arg(&program).current_dir(folder.path() as &Path));
    if said.contains("ptrace") || said.contains("not permitted") {
        let required = std::env::var_os("MARQ_REQUIRE_ENGINES").is_some();
        assert!(!required, "gdb is required and may not run programs here: {said}");
        eprintln!("skipped: gdb may not run programs here: {said}");
        return;
    }
    for wanted in [
        "quotient () at places.mq:3",
        "mean () at places.mq:9",
        "outer (a=1, n=3) at places.mq:14",
        "in main ()",
    ] {
        assert!(said.contains(wanted), "{wanted} in\n{said}");
    }
}
