//! `marq run IMAGE`: what was built is run without compiling, and what cannot be run says why.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, marq_in, marq_ok, stderr, stdout};

const SOURCE: &str = "\
struct pair { a: i64, b: f32 }
global config: i64 in constant with [0: value \"config\"]
method twice(x: i32) -> i32 {
entry:
    y = add x, x
    return y
}
method half(x: i32, n: i32) -> i32 {
entry:
    y = div.s x, n
    return y
}
method first(p: pair) -> i64 {
entry:
    a = get p, 0
    return a
}
method over(x: i32) -> i32 {
entry:
    return x
}
method over(x: f32) -> f32 {
entry:
    return x
}
method configured() -> i64 {
entry:
    t = address.constant config
    a = load.i64 t
    return a
}
method sum(n: i64, p: ptr<global>) -> i64 {
entry:
    jump loop(i64 0, i64 0)
loop(k: i64, s: i64):
    more = lt.s k, n
    branch more, body, done
body:
    q = index p, k, i64
    v = load.i64 q
    t = add s, v
    store q, t
    next = add k, i64 1
    jump loop(next, t)
done:
    return s
}
";

const KERNEL: &str = "\
kernel count(n: i32, p: ptr<global>) {
entry:
    i = call global_id(i32 0)
    v = trunc.i32 i
    print \"item %d\", v
    w = div.s v, n
    q = index p, i, i32
    store q, w
    return
}
";

const CONFIG: [&str; 2] = ["--resolve", "value \"config\" = 77"];

fn images() -> Folder {
    let folder = Folder::new();
    folder.file("p.mq", SOURCE);
    folder.file("k.mq", KERNEL);
    marq_ok(folder.0.path(), &["build", "p.mq", "--emit", "image"]);
    marq_ok(folder.0.path(), &["build", "k.mq", "--emit", "image", "--device", "-o", "kernels.img"]);
    folder
}

fn run(folder: &Folder, args: &[&str]) -> (i32, String, String) {
    let output = marq_in(folder.0.path(), &[&["run"], args].concat());
    (code(&output), stdout(&output), stderr(&output))
}

#[test]
fn images_run_with_and_without_their_program() {
    let folder = images();
    let cases: [(&str, &str, &str); 7] = [
        ("twice", "i32 21", "i32 42\n"),
        ("half", "i32 21, i32 2", "i32 10\n"),
        ("first", "bytes(i64=[40], f32=[2.0], i8[4])", "i64 40\n"),
        ("over(f32)", "f32 1.5", "f32 1.5\n"),
        ("over( i32 )", "i32 2", "i32 2\n"),
        ("configured", "", "i64 77\n"),
        ("sum", "i64 4, buf i64[4]=iota", "i64 6\n[1] i64[4] = [0, 1, 3, 6]\n"),
    ];
    for program in [&[][..], &["p.mq"]] {
        for (entry, args, wanted) in cases {
            let call = [&["p.mqi"], program, &["--entry", entry, "--args", args], &CONFIG].concat();
            assert_eq!(run(&folder, &call), (0, wanted.to_owned(), String::new()), "{call:?}");
        }
    }
    // Its name does not matter: it says itself what it is.
    let launch = ["kernels.img", "--entry", "count", "--grid", "2", "--block", "1"];
    let (status, shown, said) = run(&folder, &[&launch[..], &["--args", "i32 1, buf i32[2]"]].concat());
    assert_eq!((status, said), (0, String::new()));
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[1] i32[2] = [0, 1]", "item 0", "item 1"]);
    let (status, _, said) = run(&folder, &[&launch[..], &["--args", "i32 0, buf i32[2]", "-g"]].concat());
    assert_eq!(status, 1);
    assert!(said.contains("threw DivideError") && said.contains("of kernel 'count'"), "{said}");
}

#[test]
fn what_cannot_run_says_why() {
    let folder = images();
    let changed = SOURCE.replace("add x, x", "shl x, i32 1");
    folder.file("changed.mq", changed);
    folder.file("narrower.mq", SOURCE.replace("method over(x: f32)", "method other(x: f32)"));
    let cases: [(&[&str], i32, &str); 13] = [
        (&["--entry", "twic"], 1, "'p.mqi': the image has no 'twic'; it has twice(i32), half(i32, i32), "),
        (&["--entry", "over"], 1, "'over' may be over(i32), over(f32): say for which types"),
        (&["--entry", "twice", "--grid", "1"], 1, "'twice(i32)' is a function: it is called, not launched"),
        (&["--entry", "twice"], 1, "'twice' takes 1 argument, found 0"),
        (&["--entry", "twice", "--args", "f32 1.0"], 1, "argument 0 is f32, but 'twice' takes i32"),
        (&["--entry", "sum", "--args", "i64 1, i64 1"], 1, "argument 1 is i64, but 'sum' takes ptr<"),
        (&["--entry", "first", "--args", "bytes(i64=[40])"], 1, "argument 0 has 8 bytes, wanted 16"),
        (&["--entry", "half", "--args", "i32 1, i32 0"], 1, "threw DivideError (in 'half', p.mq:10:"),
        (
            &["changed.mq", "--entry", "twice", "--args", "i32 1"],
            1,
            "'twice(i32)' is not what the program says now: ",
        ),
        (
            &["narrower.mq", "--entry", "over(f32)", "--args", "f32 1.0"],
            1,
            "'over(f32)' is not what the program says",
        ),
        (&["--entry", "twice", "--on", "interp"], 2, "--on is about compiling, which is over"),
        (&["--entry", "twice", "-O0"], 2, "-O is about compiling, which is over"),
        (&["--entry", "twice", "--exceptions", "trap"], 2, "--exceptions is about compiling, which is over"),
    ];
    for (args, wanted_status, wanted) in cases {
        let (status, _, said) = run(&folder, &[&["p.mqi"], args, &CONFIG].concat());
        assert_eq!(status, wanted_status, "{args:?}: {said}");
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    // Of a program that is otherwise, the other entries are as they were.
    let half = ["p.mqi", "changed.mq", "--entry", "half", "--args", "i32 8, i32 2"];
    assert_eq!(run(&folder, &[&half[..], &CONFIG].concat()).1, "i32 4\n");
    // What nobody supplies is missing where it is needed, with or without the program, and nowhere else.
    for program in [&[][..], &["p.mq"]] {
        let twice = [&["p.mqi"], program, &["--entry", "twice", "--args", "i32 1"]].concat();
        assert_eq!(run(&folder, &twice), (0, "i32 2\n".to_owned(), String::new()));
        let (status, _, said) = run(&folder, &[&["p.mqi"], program, &["--entry", "configured"]].concat());
        assert_eq!(status, 1);
        assert!(said.contains("'p.mqi': value \"config\": the host supplies no words"), "{said}");
    }
    let (status, _, said) = run(&folder, &["kernels.img", "--entry", "count", "--args", "i32 1, buf i32[2]"]);
    assert_eq!(status, 1);
    assert!(said.contains("is a kernel: to launch it, give --grid"), "{said}");
}

#[test]
fn damaged_and_foreign_images_are_refused() {
    let folder = images();
    let good = std::fs::read(folder.path("p.mqi")).expect("the image");
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        bytes
    };
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let target = format!("native:{other}");
    marq_ok(folder.0.path(), &["build", "p.mq", "--emit", "image", "--target", &target, "-o", "foreign.mqi"]);
    let foreign = std::fs::read(folder.path("foreign.mqi")).expect("the image");
    for (bytes, wanted) in [
        (good[..3000].to_vec(), "the image is damaged: header: the file has 3000 bytes"),
        (good[..40].to_vec(), "the image is damaged"),
        (with(good.len() / 2, 1), "the image is damaged: its checksum is "),
        (with(8, 8), "the image is of a newer version: found 12, expected 4"),
        (with(0, 1), "not an image: it does not begin like one"),
        (Vec::new(), "not an image: it does not begin like one"),
        (SOURCE.into(), "not an image: it does not begin like one"),
        (foreign, "the image is for another machine: found "),
    ] {
        folder.file("bad.mqi", bytes);
        let (status, shown, said) =
            run(&folder, &[&["bad.mqi", "--entry", "twice", "--args", "i32 1"][..], &CONFIG].concat());
        assert_eq!((status, shown), (1, String::new()), "{said}");
        assert!(said.starts_with("error: 'bad.mqi': ") && said.contains(wanted), "{said}");
    }
    let (status, _, said) = run(&folder, &["missing.mqi", "--entry", "twice"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("error: image 'missing.mqi': "), "{said}");
}

/// What an image says about an entry is read without a program to compare it with; damaged, it is an error at worst.
#[test]
fn damaged_details_are_read_without_a_crash() {
    use marquetry::image::{HostSymbol, Image, seal};
    const DETAILS: usize = 48 + 16 * 8;
    let folder = images();
    let good = std::fs::read(folder.path("p.mqi")).expect("the image");
    let word = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().expect("a word")) as usize;
    let (start, length) = (word(DETAILS), word(DETAILS + 8));
    assert!(length > 500, "{length} bytes");
    let resolve = |_: &HostSymbol<'_>| Ok(std::ptr::without_provenance(16));
    let mut outcomes = [0u32; 2];
    for at in start..start + length {
        for byte in [0x00, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            seal(&mut bytes);
            let image = Image::from_bytes(&bytes).expect("details are read when they are asked for");
            let image = std::sync::Arc::new(image.link(&resolve).expect("it has what it needs"));
            for number in 0..image.entries().len() as u32 {
                outcomes[usize::from(image.code(number).is_ok())] += 1;
            }
            assert!(image.code(u32::MAX).is_err());
        }
    }
    assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?}");
}

/// What the README shows is what happens.
#[test]
fn the_readme_is_true() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("writes `twice.mqi`, and\n\n```sh\n").expect("the README shows it");
    let (lines, _) = rest.split_once("```").expect("the block ends");
    let folder = Folder::new();
    folder.file("twice.mq", GOOD);
    marq_ok(folder.0.path(), &["build", "twice.mq", "--emit", "image"]);
    let run = || {
        lines.lines().map(|line| {
            let (command, _) = line.split_once('#').expect("each line says what comes of it");
            let command = command.replace("'i32 21'", "i32\u{a0}21");
            let args: Vec<String> =
                command.split_ascii_whitespace().map(|arg| arg.replace('\u{a0}', " ")).collect();
            let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
            let output = marq_in(folder.0.path(), &args);
            (code(&output), stdout(&output))
        })
    };
    let fine = (0, "i32 42\n".to_owned());
    assert_eq!(run().collect::<Vec<_>>(), [fine.clone(), fine.clone()]);
    folder.file("twice.mq", GOOD.replace("add x, x", "mul x, x"));
    assert_eq!(run().collect::<Vec<_>>(), [fine, (1, String::new())]);
}

/// A program with functions and kernels is one image: kernels are compiled for the cores, as in an object.
#[test]
fn kernels_beside_functions_are_launched() {
    let folder = Folder::new();
    folder.file("both.mq", format!("{GOOD}{KERNEL}"));
    for build in [&[][..], &["--device", "--entry", "twice", "--entry", "count"]] {
        marq_ok(folder.root(), &[&["build", "both.mq", "--emit", "image"], build].concat());
        let twice = ["both.mqi", "both.mq", "--entry", "twice", "--args", "i32 21"];
        assert_eq!(run(&folder, &twice), (0, "i32 42\n".to_owned(), String::new()));
        let launch = ["both.mqi", "both.mq", "--entry", "count", "--grid", "2", "--block", "2"];
        let (status, shown, said) = run(&folder, &[&launch[..], &["--args", "i32 1, buf i32[4]"]].concat());
        assert_eq!((status, said), (0, String::new()));
        let mut lines: Vec<&str> = shown.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["[1] i32[4] = [0, 1, 2, 3]", "item 0", "item 1", "item 2", "item 3"]);
    }
}

/// A kernel that saw what the host sees is no kernel of a device.
#[test]
fn kernels_that_are_for_no_device_are_not_launched() {
    use marquetry::compile::{Target, entries_of};
    use marquetry::session::Backend;
    let folder = Folder::new();
    let mut program = marquetry::library::program();
    marquetry_ir::text::parse_bytes(&mut program, "k.mq", KERNEL.as_bytes());
    let target = Target::parse("native", Default::default()).expect("a target");
    let kernels = program.methods_of("count").to_vec();
    let entries = entries_of(&program, &marquetry_lower::dispatch::view::View::native(&[]), &kernels);
    let image = marquetry::image::write(&program, Backend::new("host", target), &entries).expect("an image");
    folder.file("host.mqi", image);
    let launch = ["host.mqi", "--entry", "count", "--grid", "1", "--args", "i32 1, buf i32[64]"];
    let (status, shown, said) = run(&folder, &launch);
    assert_eq!((status, shown), (1, String::new()));
    assert!(said.contains("was not compiled for a device: "), "{said}");
}

/// What cannot be printed was not done: of an image as of its program.
#[cfg(target_os = "linux")]
#[test]
fn output_that_is_lost_is_an_error() {
    use std::fs::File;
    use std::process::Command;
    let folder = Folder::new();
    folder.file("pr.mq", "kernel pr(n: i32) {\nentry:\n    print \"hello %d\", n\n    return\n}\n");
    marq_ok(folder.root(), &["build", "pr.mq", "--emit", "image"]);
    for file in ["pr.mq", "pr.mqi"] {
        let full = File::options().write(true).open("/dev/full").expect("the device");
        let output = Command::new(env!("CARGO_BIN_EXE_marq"))
            .current_dir(folder.root())
            .args(["run", file, "--entry", "pr", "--grid", "1", "--block", "1", "--args", "i32 3"])
            .stdout(full)
            .output()
            .expect("marq should start");
        assert_eq!(code(&output), 1, "{file}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot write to standard output"), "{}", stderr(&output));
    }
}

/// Each entry has memory of its own, in an image as in a session: a global that two of them may write would be two.
#[test]
fn entries_of_an_image_share_no_memory() {
    use marquetry::compile::Target;
    use marquetry::session::{Backend, Session};
    const COUNTER: &str = "\
global counter: i64 in global = i64 0
method inc() -> i64 {
entry:
    t = address.global counter
    v = load.i64 t
    w = add v, i64 1
    store t, w
    return w
}
method get_count() -> i64 {
entry:
    t = address.global counter
    v = load.i64 t
    return v
}
";
    let folder = Folder::new();
    folder.file("g.mq", COUNTER);
    let output = marq_in(folder.root(), &["build", "g.mq", "--emit", "image"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("'inc()' has the global 'counter', too"), "{}", stderr(&output));
    marq_ok(folder.root(), &["build", "g.mq", "--emit", "image", "--entry", "inc"]);
    assert_eq!(run(&folder, &["g.mqi", "--entry", "inc"]).1, "i64 1\n");
    let session = Session::new();
    session.define("g.mq", COUNTER).expect("a program");
    let target = Target::parse("native", Default::default()).expect("a target");
    let native = session.add_backend(Backend::new("native", target)).expect("a back-end");
    let call = |name: &str| {
        let job = session.job(name, &native).expect("a job");
        format!("{:?}", session.compile(&job).expect("code").call(&mut []).expect("it runs"))
    };
    let (first, second, other) = (call("inc"), call("inc"), call("get_count"));
    assert!(
        first.contains("[1]") && second.contains("[2]") && other.contains("[0]"),
        "{first} {second} {other}"
    );
}
