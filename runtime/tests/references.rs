//! Words of the host on the command line.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, code, marq, stderr, stdout, text};

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
