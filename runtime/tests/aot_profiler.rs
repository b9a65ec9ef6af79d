//! A profiler and a debugger's tools name the functions of linked code, exported or not, and the lines that they are at.
#![cfg(all(feature = "cli", target_os = "linux"))]

mod command;

use command::{Folder, is_present, marq_ok, run_in, stdout};
use object::{Object, ObjectSymbol};
use std::process::Command;

/// Most of the time is spent in `work`, which is local; `outer` is inlined.
const SOURCE: &str = "\
method work(n: i64, seed: i64) -> i64 noinline {
entry:
    jump loop(i64 0, seed)
loop(k: i64, s: i64):
    more = lt.s k, n
    branch more, body, done
body:
    a = mul s, i64 6364136223846793005
    b = add a, i64 1442695040888963407
    c = shr.u b, i64 7
    d = xor b, c
    next = add k, i64 1
    jump loop(next, d)
done:
    return s
}
method outer(n: i64) -> i64 inline {
entry:
    x = call work(n, i64 1)
    y = call work(n, x)
    return y
}
method main() -> i32 {
entry:
    x = call outer(i64 20000000)
    y = trunc.i32 x
    z = and y, i32 0
    return z
}
";

fn program(debug: &str) -> Folder {
    let folder = Folder::new();
    folder.file("hot.mq", SOURCE);
    marq_ok(folder.0.path(), &["build", "hot.mq", "--emit", "exe", "--export", "main", debug]);
    folder
}

/// Address and size of a function.
fn function(folder: &Folder, name: &str) -> (u64, u64) {
    let bytes = std::fs::read(folder.path("hot")).expect("the program");
    let file = object::File::parse(&*bytes).expect("a program");
    let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
    let found = found.unwrap_or_else(|| panic!("'{name}' has a symbol"));
    (found.address(), found.size())
}

#[test]
fn addresses_are_functions_and_lines() {
    if !["cc", "addr2line", "readelf"].into_iter().all(is_present) {
        return;
    }
    let folder = program("-g");
    let at = folder.0.path();
    let (work, size) = function(&folder, "work");
    assert!(size > 20, "{size} bytes");
    let middle = format!("{:#x}", work + size / 2);
    let said = run_in(at, "addr2line", &["-f", "-i", "-e", "hot", &middle]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "work", "{said}");
    let line = lines[1].strip_prefix("hot.mq:").and_then(|line| line.split(' ').next()?.parse().ok());
    assert!(line.is_some_and(|line: u32| (5..=13).contains(&line)), "{said}");
    // Of what is inlined, every function on the way: some address of main's is in `outer`, which is in `main`.
    let (main, size) = function(&folder, "main");
    let chains = (main..main + size)
        .map(|address| run_in(at, "addr2line", &["-f", "-i", "-e", "hot", &format!("{address:#x}")]));
    let chains: Vec<String> = chains.collect();
    assert!(
        chains.iter().any(|said| said.starts_with("outer\nhot.mq:1") && said.contains("\nmain\nhot.mq:")),
        "{chains:?}"
    );
    // All of it can be unwound: each function has its entry.
    let frames = run_in(at, "readelf", &["--debug-dump=frames", "hot"]);
    for (start, size) in [(work, function(&folder, "work").1), (main, size)] {
        let entry = format!("pc={start:016x}..");
        let end = frames.lines().find_map(|line| line.split_once(&entry)).map(|(_, end)| end.to_owned());
        let end = u64::from_str_radix(end.as_deref().unwrap_or("0").trim(), 16).expect("an address");
        assert!(end >= start + size, "{start:x}: {frames}");
    }
}

/// With `perf`, where the kernel lets it count at all.
#[test]
fn a_profiler_names_functions() {
    if !["cc", "perf"].into_iter().all(is_present) {
        return;
    }
    for debug in ["-g0", "-g"] {
        let folder = program(debug);
        let mut record = Command::new("perf");
        // A clock of the kernel's, which every machine has.
        record.args(["record", "-q", "-e", "cpu-clock", "-F", "500", "-o", "samples"]);
        if debug == "-g" {
            record.args(["--call-graph", "dwarf,4096"]);
        }
        let output = record.arg("./hot").current_dir(folder.0.path()).output().expect("perf");
        if !output.status.success() {
            // That is for who runs the kernel to say; the other test needs nobody's leave.
            eprintln!("skipped: perf may not count here: {}", command::stderr(&output));
            return;
        }
        let script =
            Command::new("perf").args(["script", "-i", "samples"]).current_dir(folder.0.path()).output();
        let said = stdout(&script.expect("perf"));
        let samples: Vec<&str> = said.split("cpu-clock").skip(1).collect();
        let of_work = samples.iter().filter(|sample| sample.contains(" work+0x")).count();
        assert!(
            samples.len() > 4 && of_work * 2 > samples.len(),
            "{debug}: {of_work} of {}\n{said}",
            samples.len()
        );
        if debug == "-g" {
            // The stack is unwound, through the function that was inlined.
            let whole =
                samples.iter().filter(|sample| sample.contains(" work+0x") && sample.contains(" main+0x"));
            let whole: Vec<&&str> = whole.collect();
            assert!(whole.len() * 2 > samples.len(), "{said}");
            assert!(whole.iter().any(|sample| sample.contains(" outer+0x")), "{said}");
        }
    }
}

/// What C calls in place of a function that throws is from the line where that is declared.
#[test]
fn what_stands_in_front_of_a_function_has_its_line() {
    if !is_present("cc") || !is_present("addr2line") {
        return;
    }
    let folder = Folder::new();
    let source =
        "; A comment.\nmethod thrower(a: i32) -> i32 {\nentry:\n    d = div.s i32 8, a\n    return d\n}\n";
    folder.file("hot.mq", source);
    marq_ok(folder.root(), &["build", "hot.mq", "-g", "--header", "hot.h"]);
    folder.file("main.c", "#include \"hot.h\"\nint main(void) { int32_t r; return thrower(4, &r); }\n");
    run_in(folder.root(), "cc", &["main.c", "hot.o", "-o", "hot"]);
    let (address, size) = function(&folder, "thrower");
    for at in [address, address + size - 1] {
        let said = run_in(folder.root(), "addr2line", &["-fe", "hot", &format!("{at:#x}")]);
        assert_eq!(said, "thrower\nhot.mq:2\n");
    }
}
