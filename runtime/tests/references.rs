//! Words of the host on the command line.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, GOOD, code, is_present, marq, marq_in, marq_ok, run_in, stderr, stdout, text};

const SOURCE: &str = "\
global names: array<i64, 2> in constant with [0: value \"config\", 8: symbol \"puts\" from \"libc.so.6\"]
method sum() -> i64 {
entry:
    t = address.constant names
    a = load.i64 t
    p = ptr_add t, i64 8
    b = load.i64 p
    c = add a, b
    return c
}
kernel k(out: ptr<global>) {
entry:
    c = call sum()
    store out, c
    return
}
";

const CONFIG: &str = "value \"config\" = 0x10";
const PUTS: &str = "symbol \"puts\" from \"libc.so.6\" = 5";

#[test]
fn words_are_supplied_on_the_command_line() {
    let folder = Folder::new();
    let file = folder.file("a.mq", SOURCE);
    let run = ["run", text(&file), "--entry", "sum", "--resolve", CONFIG];
    let missing = marq(&run);
    assert_eq!(code(&missing), 1);
    let shown = stderr(&missing);
    assert!(
        shown.contains("no word for symbol \"puts\" from \"libc.so.6\" at 8 in global 'names'"),
        "{shown}"
    );
    let fine = marq(&[&run[..], &["--resolve", PUTS]].concat());
    assert_eq!((code(&fine), stdout(&fine)), (0, "i64 21\n".into()), "{}", stderr(&fine));
    let wrong = marq(&[&run[..], &["--resolve", "config = 5"]].concat());
    assert_eq!(code(&wrong), 2);
    assert!(stderr(&wrong).contains("--resolve: expected 'value', 'symbol' or 'word'"), "{}", stderr(&wrong));
}

#[test]
fn strategies_are_named() {
    let folder = Folder::new();
    let file = folder.file("a.mq", SOURCE);
    let compile = ["compile", text(&file), "--target", "ptx", "--entry", "k"];
    let patched = marq(&[&compile[..], &["--references", "patch"]].concat());
    assert_eq!(code(&patched), 0, "{}", stderr(&patched));
    assert!(stdout(&patched).contains(".u64 names[2] = {0,0};"), "{}", stdout(&patched));
    let words = ["--references", "bake", "--resolve", CONFIG, "--resolve", PUTS];
    let baked = marq(&[&compile[..], &words].concat());
    assert!(stdout(&baked).contains("names[16] = {16,0,0,0,0,0,0,0,5}"), "{}", stderr(&baked));
    let deferred = marq(&[&compile[..], &["--references", "defer"]].concat());
    assert_eq!(code(&deferred), 1);
    assert!(stderr(&deferred).contains("the job defers its references"), "{}", stderr(&deferred));
    let unit = marq(&[&compile[..], &["--references", "defer", "--stage", "legal"]].concat());
    assert!(stdout(&unit).contains("with [0: value \"config\", 8: symbol \"puts\""), "{}", stdout(&unit));
    let unknown = marq(&[&compile[..], &["--references", "link"]].concat());
    assert_eq!(code(&unknown), 2);
    assert!(stderr(&unknown).contains("expected one of bake, patch, import, defer"), "{}", stderr(&unknown));
}

const GLOBAL_TO_PATCH: [(&str, u64); 2] = [("value", 0), ("symbol", 8)];

/// The list of open words of a build in a folder.
fn listed(folder: &Folder, args: &[&str]) -> serde_json::Value {
    marq_ok(folder.0.path(), &[args, &["--patches", "words.json"]].concat());
    let list = std::fs::read(folder.path("words.json")).expect("the list");
    serde_json::from_slice(&list).expect("JSON")
}

#[test]
fn open_words_are_listed_for_every_target() {
    let folder = Folder::new();
    folder.file("a.mq", SOURCE);
    let compile = |target: &'static str, strategy: &'static str| {
        let args = ["compile", "a.mq", "--entry", if target == "native" { "sum" } else { "k" }];
        let more = ["--target", target, "--references", strategy, "-o", "out"];
        listed(&folder, &[&args[..], &more].concat())
    };
    for (target, strategy, by) in [
        ("native", "patch", "loader"),
        ("native", "import", "linker"),
        ("ptx", "patch", "loader"),
        ("ptx", "import", "loader"),
        ("spirv:vulkan1.3", "patch", "specialisation"),
        ("spirv:opencl2.1", "import", "specialisation"),
    ] {
        let list = compile(target, strategy);
        let stated = list["target"].as_str().expect("a target");
        assert!(stated.starts_with(target), "{target}: {list}");
        let words = list["words"].as_array().expect("words");
        assert_eq!(words.len(), 2, "{target}: {list}");
        for (word, (kind, offset)) in words.iter().zip(GLOBAL_TO_PATCH) {
            assert_eq!((&word["kind"], &word["offset"]), (&kind.into(), &offset.into()), "{target}: {list}");
            assert_eq!((&word["global"], &word["bytes"]), (&"names".into(), &8.into()), "{target}: {list}");
            assert_eq!(word["by"], by, "{target} {strategy}: {list}");
            assert_eq!(word.get("first").is_some(), by == "specialisation", "{target}: {list}");
        }
        assert_eq!((&words[0]["name"], &words[0]["library"]), (&"config".into(), &serde_json::Value::Null));
        assert_eq!((&words[1]["name"], &words[1]["library"]), (&"puts".into(), &"libc.so.6".into()));
        if by == "linker" {
            assert_eq!(
                (&words[0]["symbol"], &words[1]["symbol"]),
                (&"marq_value_config".into(), &"puts".into())
            );
        }
    }
    // What leaves nothing open says so.
    folder.file("b.mq", GOOD);
    let none = listed(&folder, &["build", "b.mq", "--references", "patch"]);
    assert_eq!(none["words"].as_array().map(Vec::len), Some(0), "{none}");
}

/// Nobody could tell zeros that are to be replaced from data.
#[test]
fn code_with_words_for_a_loader_is_not_written_without_the_list() {
    let folder = Folder::new();
    folder.file("a.mq", SOURCE);
    for args in [
        &["compile", "a.mq", "--target", "ptx", "-o", "out"][..],
        &["compile", "a.mq", "--target", "native", "--entry", "sum", "--references", "patch", "-o", "out"],
        &["build", "a.mq", "--entry", "sum", "--references", "patch", "-o", "out"],
    ] {
        let output = marq_in(folder.0.path(), args);
        assert_eq!(code(&output), 1, "{args:?}");
        let shown = stderr(&output);
        assert!(shown.contains("2 words of the code would be left to whoever loads it"), "{shown}");
        assert!(shown.contains("symbol \"puts\" from \"libc.so.6\" at 8 in global 'names'"), "{shown}");
        assert!(!folder.path("out").exists());
    }
    // Where the code cannot be written, an old list stays.
    folder.file("old.json", "old");
    let nowhere = ["build", "a.mq", "--entry", "sum", "--references", "patch", "-o", "no/such/out"];
    let output = marq_in(folder.0.path(), &[&nowhere[..], &["--patches", "old.json"]].concat());
    assert_eq!(code(&output), 1);
    assert_eq!(std::fs::read(folder.path("old.json")).expect("the list"), b"old");
}

#[test]
fn words_and_strategies_must_fit() {
    let folder = Folder::new();
    folder.file("a.mq", SOURCE);
    let build = |args: &[&str]| {
        let output = marq_in(folder.0.path(), &[&["build", "a.mq"], args].concat());
        (code(&output), stderr(&output))
    };
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--resolve", CONFIG], 2, "--resolve is for --references bake"),
        (&["--references", "bake", "--patches", "x"], 2, "--patches is for --references patch and import"),
        (
            &["--references", "bake", "--resolve", CONFIG, "--resolve", "value \"config\" = 3"],
            2,
            "--resolve: value \"config\" cannot be both 0x10 and 0x3",
        ),
        (&["--references", "bake", "--resolve", CONFIG], 1, "no word for symbol \"puts\" from \"libc.so.6\""),
        (&["--references", "defer"], 2, "--references defer is not for --emit obj, and for nothing else"),
        (
            &["--references", "patch", "--emit", "exe"],
            2,
            "patch is not for --emit exe, but for obj, static, shared",
        ),
        (&["--references", "patch", "--emit", "image"], 2, "patch is not for --emit image"),
        (
            &["--references", "patch", "--patches", "x"],
            1,
            "functions and kernels would each have a global 'names'",
        ),
        (&["-o", "x", "--patches", "x"], 2, "'x' is named for two outputs"),
    ];
    for (args, status, wanted) in cases {
        let (code, shown) = build(args);
        assert_eq!(code, status, "{args:?}: {shown}");
        assert!(shown.contains(wanted), "{args:?}: {shown}");
    }
    // The same said twice is no contradiction.
    let words = ["--references", "bake", "--resolve", CONFIG, "--resolve", PUTS, "--resolve", CONFIG];
    assert_eq!(build(&[&words[..], &["--entry", "sum"]].concat()), (0, String::new()));
    let (status, shown) = build(&[&words[..], &["--emit", "image"]].concat());
    assert_eq!(status, 1);
    let values = "cannot be stored in an image: the word of value \"config\"; the word of symbol \"puts\" from \"libc.so.6\"";
    assert!(shown.contains(values), "{shown}");
    let text = ["compile", "a.mq", "--target", "ptx", "--patches", "x"];
    let output = marq_in(folder.0.path(), &text);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--patches is for code that -o writes"), "{}", stderr(&output));
    let run = ["run", "a.mq", "--entry", "sum", "--resolve", CONFIG, "--resolve", "value \"config\" = 1"];
    assert_eq!(code(&marq_in(folder.0.path(), &run)), 2);
}

/// The words of a library, however they get there: written by who loads it, as the list says; by the linker; or beforehand.
#[cfg(unix)]
#[test]
#[allow(unsafe_code, reason = "this is where linked code is patched and called")]
fn words_get_into_libraries_every_way() {
    if !is_present("cc") {
        return;
    }
    let folder = Folder::new();
    folder.file("a.mq", SOURCE);
    let build = ["build", "a.mq", "--entry", "sum", "--emit", "shared", "-o"];
    let patched = listed(&folder, &[&build[..], &["patched.so", "--references", "patch"]].concat());
    let bake = ["baked.so", "--references", "bake", "--resolve", CONFIG, "--resolve", PUTS];
    marq_ok(folder.0.path(), &[&build[..], &bake].concat());
    // The linker's words are addresses: of what it was told to define, and of the C library's own function.
    folder.file(
        "main.c",
        "#include <stdio.h>\nextern char marq_value_config[];\nlong sum(void);\n\
         int main(void) { return sum() == 0x10 + (long)puts && (long)marq_value_config == 0x10 ? 0 : 1; }\n",
    );
    marq_ok(folder.0.path(), &["build", "a.mq", "--entry", "sum"]);
    let defined = "-Wl,--defsym=marq_value_config=0x10";
    run_in(folder.0.path(), "cc", &["-no-pie", "-o", "main", "main.c", "a.o", defined]);
    run_in(folder.0.path(), "./main", &[]);
    for name in ["patched.so", "baked.so"] {
        // SAFETY: the libraries hold the function above, which takes nothing, and no initialisers; the words that are
        // written are inside of the global that the list names.
        unsafe {
            let library = libloading::Library::new(folder.path(name)).expect("it loads");
            if name == "patched.so" {
                for word in patched["words"].as_array().expect("words") {
                    let symbol = word["global"].as_str().expect("a symbol");
                    let global: libloading::Symbol<'_, *mut u8> =
                        library.get(symbol.as_bytes()).expect("it is seen");
                    let value: u64 = if word["name"] == "config" { 0x10 } else { 5 };
                    let offset = word["offset"].as_u64().expect("an offset") as usize;
                    global.add(offset).cast::<u64>().write_unaligned(value);
                }
            }
            let sum: libloading::Symbol<'_, extern "C" fn() -> i64> =
                library.get(b"sum").expect("it is there");
            assert_eq!(sum(), 21, "{name}");
        }
    }
}

/// A word for nothing is a mistake in its name.
#[test]
fn words_that_nothing_needs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "global g: i64 in constant with [0: value \"config\"]\nmethod f() -> i64 {\nentry:\n    t = address.constant g\n    \
                  v = load.i64 t\n    return v\n}\n";
    let (file, image) = (folder.path().join("g.mq"), folder.path().join("g.mqi"));
    std::fs::write(&file, source).expect("a file");
    let (file, image) = (text(&file), text(&image));
    let build = ["build", file, "--emit", "image", "-o", image];
    assert_eq!(code(&marq(&build)), 0);
    let object = text(folder.path()).to_owned() + "/g.o";
    let commands: [&[&str]; 5] = [
        &["run", file, "--entry", "f"],
        &["run", image, "--entry", "f"],
        &["run", image, file, "--entry", "f"],
        &["build", file, "-o", &object, "--references", "bake"],
        &["compile", file, "--target", "native", "--references", "bake"],
    ];
    for command in commands {
        let config = ["--resolve", "value \"config\" = 5"];
        assert_eq!(code(&marq(&[command, &config].concat())), 0, "{command:?}");
        for (wrong, near) in [("value \"confg\"", "; there is 'value \"config\"'"), ("symbol \"nosuch\"", "")]
        {
            let word = format!("{wrong} = 1");
            let output = marq(&[command, &config, &["--resolve", &word]].concat());
            assert_eq!(code(&output), 2, "{command:?}");
            let wanted = format!("--resolve: nothing in the program is {wrong}{near}\n");
            assert!(stderr(&output).contains(&wanted), "{command:?}: {}", stderr(&output));
        }
    }
}
