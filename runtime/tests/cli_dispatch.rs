//! The command line where it names methods: entries, tables and providers.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, code, marq, stderr, stdout, text};

const OVERLAID: &str = "
kernel k(p: ptr<global>) {
entry:
    store p, i32 11
    return
}
overlay t kernel k(p: ptr<global>) {
entry:
    store p, i32 22
    return
}
overlay t kernel only(p: ptr<global>) {
entry:
    store p, i32 33
    return
}
method f(x: i32) -> i32 {
entry:
    y = add x, i32 44
    return y
}
method g<T>(x: T) -> T {
entry:
    return x
}
overlay t method f(x: i32) -> i32 {
entry:
    y = add x, i32 55
    return y
}
overlay any method f<T>(x: T) -> i32 {
entry:
    return i32 66
}
overlay t method g(x: i32) -> i32 {
entry:
    return i32 77
}
";

fn specialised(path: &str, more: &[&str]) -> String {
    let args = [&["compile", path, "--stage", "specialised"], more].concat();
    let output = marq(&args);
    assert_eq!(code(&output), 0, "{more:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn entries_are_looked_up_through_the_tables_of_the_job() {
    let folder = Folder::new();
    let path = folder.file("overlaid.mq", OVERLAID);
    let path = text(&path);
    for (args, wanted, unwanted) in [
        (&["--target", "ptx", "--entry", "k"][..], "i32 11", "i32 22"),
        (&["--target", "ptx", "--entry", "k", "--table", "t"], "i32 22", "i32 11"),
        (&["--target", "ptx", "--entry", "k(ptr<global>)", "--table", "t"], "i32 22", "i32 11"),
        (&["--target", "ptx", "--entry", "only", "--table", "t"], "i32 33", "i32 11"),
        (&["--target", "ptx"], "i32 11", "i32 33"),
        (&["--target", "ptx", "--table", "t"], "i32 33", "i32 11"),
        (&["--target", "native", "--entry", "f", "--table", "t"], "i32 55", "i32 44"),
        (&["--target", "native", "--entry", "f(i32)", "--table", "t"], "i32 55", "i32 44"),
        (&["--target", "native", "--entry", "f", "--table", "any"], "i32 66", "i32 44"),
        (&["--target", "native", "--entry", "f", "--table", "any", "--table", "t"], "i32 66", "i32 55"),
        (&["--target", "native", "--entry", "g(i32)", "--table", "t"], "i32 77", "i32 44"),
    ] {
        let unit = specialised(path, args);
        assert!(unit.contains(wanted) && !unit.contains(unwanted), "{args:?}\n{unit}");
    }
    let both = specialised(path, &["--target", "ptx", "--table", "t"]);
    assert!(both.contains("i32 22"), "{both}");
    let absent = marq(&["compile", path, "--target", "ptx", "--entry", "only"]);
    assert_eq!(code(&absent), 1);
    assert!(stderr(&absent).trim().ends_with("error: there is no 'only'"), "{}", stderr(&absent));
}

#[test]
fn a_policy_that_refuses_is_not_passed_by_addresses() {
    let folder = Folder::new();
    let path = folder.file(
        "addresses.mq",
        "
global table: array<i64, 1> in constant = [i64 0] with [0: function malloc(i64)]
method called() -> ptr<global> {
entry:
    n = call malloc(i64 16)
    return n
}
method addressed() -> ptr<global> {
entry:
    f = function_address malloc(i64)
    n = call_indirect f(i64 16) -> ptr<global>
    return n
}
method held() -> i64 {
entry:
    t = address.constant table
    v = load.i64 t
    return v
}
method dead() -> i64 {
entry:
    branch i1 false, never, always
never:
    r = call held()
    return r
always:
    return i64 1
}
",
    );
    let compile = |entry: &str, policy: &str| {
        marq(&["compile", text(&path), "--target", "native", "--entry", entry, "--host-policy", policy])
    };
    for entry in ["called", "addressed", "held"] {
        let refused = compile(entry, "error");
        let said = stderr(&refused);
        assert_eq!(code(&refused), 1, "{entry}");
        assert!(
            said.contains("'malloc' runs on devices only, and this is code for the host"),
            "{entry}: {said}"
        );
        assert_eq!(code(&compile(entry, "sentinel")), 0, "{entry}");
    }
    let output = compile("dead", "error");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

const PROVIDERS: &str = "
overlay other_result method gpu_malloc(bytes: i64) -> i64 {
entry:
    return i64 0
}
overlay generic method gpu_malloc<T>(bytes: T) -> ptr<global> {
entry:
    return ptr<global> null
}
overlay launched kernel gpu_malloc(bytes: i64) {
entry:
    return
}
overlay launched kernel gpu_signal_exception() {
entry:
    return
}
overlay wide method gpu_malloc(bytes: i128) -> ptr<global> {
entry:
    return ptr<global> 0x4d2
}
overlay empty method unrelated() {
entry:
    return
}
kernel k(p: ptr<global>) {
entry:
    m = call malloc(i64 4)
    store p, m
    return
}
kernel guarded(p: ptr<global>) {
entry:
    branch i1 false, never, always
never:
    m = call malloc(i64 4)
    store p, m
    return
always:
    return
}
";

#[test]
fn a_link_name_means_what_the_provider_supplies() {
    let folder = Folder::new();
    let path = folder.file("providers.mq", PROVIDERS);
    let which = |args: &[&str]| marq(&[&["which", text(&path), "gpu_malloc(i64)"], args].concat());
    let misfit = |provider: &str, why: &str| {
        let output = which(&["--target", "ptx", "--provider", provider]);
        let said = stdout(&output);
        assert_eq!(code(&output), 1, "{provider}: {said}");
        assert!(said.starts_with("gpu_malloc(i64) -> no method\n") && !said.contains("chosen"), "{said}");
        assert!(said.contains(why), "{provider}: {said}");
        // What compiles says the same.
        let compiled = ["compile", text(&path), "--target", "ptx", "--entry", "k", "--provider", provider];
        let output = marq(&compiled);
        assert_eq!(code(&output), 1);
        assert!(stderr(&output).contains(why), "{provider}: {}", stderr(&output));
    };
    misfit("other_result", "does not fit gpu_malloc(i64) -> ptr<global>: its results differ");
    misfit(
        "generic",
        "does not fit gpu_malloc(i64) -> ptr<global>: a provider's method has no type variables",
    );
    misfit("launched", "does not fit gpu_malloc(i64) -> ptr<global>: it is a kernel");
    misfit("empty", "the runtime provider (table empty) does not supply gpu_malloc(i64) -> ptr<global>");
    let wide = which(&["--target", "ptx", "--provider", "wide"]);
    let wanted = "gpu_malloc(i64) -> wide: gpu_malloc(i128) -> ptr<global>\ntable wide\n    \
                  gpu_malloc(i128) -> ptr<global>: chosen\n";
    assert_eq!((code(&wide), stdout(&wide).as_str()), (0, wanted));
    let native = which(&[]);
    let wanted = "gpu_malloc(i64) -> no method\ngpu_malloc(i64) -> ptr<global> is supplied to code for devices, not to \
                  the host's\n";
    assert_eq!((code(&native), stdout(&native).as_str()), (1, wanted));

    let compile = |args: &[&str]| marq(&[&["compile", text(&path), "--target"], args].concat());
    let made = compile(&["ptx", "--entry", "k", "--provider", "wide"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert!(stdout(&made).contains("1234") || stdout(&made).contains("4d2"), "{}", stdout(&made));
    // What control cannot get to needs nothing.
    let dead = compile(&["ptx", "--entry", "guarded", "--provider", "empty", "-O", "0"]);
    assert_eq!(code(&dead), 0, "{}", stderr(&dead));
    let refused = compile(&["native", "--provider", "wide"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("native code has no runtime provider"), "{}", stderr(&refused));
}

#[test]
fn symbols_of_kernels_that_differ_differ() {
    let folder = Folder::new();
    let path = folder.file(
        "names.mq",
        "
struct \"s t\" { x: i32 }
struct s_t { x: i32 }
kernel kk(p: ptr<global>, x: \"s t\") {
entry:
    store p, i32 1
    return
}
kernel kk(p: ptr<global>, x: s_t) {
entry:
    store p, i32 2
    return
}
",
    );
    for target in ["ptx", "spirv", "native"] {
        let output = marq(&["compile", text(&path), "--target", target]);
        assert_eq!(code(&output), 0, "{target}: {}", stderr(&output));
        assert!(stdout(&output).contains("_Z2kkPU6globalv3s_tB3u20"), "{target}: {}", stdout(&output));
    }
}

#[test]
fn a_call_through_a_number_is_one_mistake() {
    let folder = Folder::new();
    let path = folder.file(
        "wild.mq",
        "
kernel k(p: ptr<global>) {
entry:
    f = inttoptr.ptr<generic> i64 4096
    r = call_indirect f(i32 1) -> i32
    store p, r
    return
}
",
    );
    let output = marq(&["compile", text(&path), "--target", "spirv"]);
    let said = stderr(&output);
    assert_eq!(code(&output), 1);
    assert!(said.contains("D0005") && !said.contains("L0001"), "{said}");
}
