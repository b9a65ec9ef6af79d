//! Session addresses: a library that another tool linked calls functions of this very process, through no symbol.
#![cfg(feature = "cli")]
#![allow(unsafe_code, reason = "this is where linked code is loaded and called")]

mod command;

use command::{Folder, is_present};
use marquetry::aot::link::{Linker, link};
use marquetry::aot::{self, Emit, Plan, choose};
use marquetry::library;
use marquetry_codegen::native::{ExternPolicy, NativeOptions, NativeTarget};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use std::sync::atomic::{AtomicI64, Ordering};

static SEEN: AtomicI64 = AtomicI64::new(0);

extern "C" fn note(x: i64) -> i64 {
    SEEN.fetch_add(x, Ordering::Relaxed) + x
}

const SOURCE: &str = "
extern func note(i64) -> i64 as \"no_such_symbol\"

method tell(x: i64) -> i64 {
entry:
    a = call note(x)
    b = call note(a)
    return b
}
";

#[test]
fn linked_code_calls_functions_of_this_process() {
    if !is_present("cc") {
        return;
    }
    let mut program = library::program();
    assert_eq!(text::parse(&mut program, "s.mq", SOURCE), []);
    let entries = choose::concrete(&program, false);
    let job = Job::new(entries, View::native(&[]), OptLevel::Default);
    let options = NativeOptions { externs: ExternPolicy::Addresses, ..NativeOptions::default() };
    let target = NativeTarget::host(options).expect("this machine");
    let missing = aot::build(&program, &job, &target, &Plan::default()).expect_err("there is no address");
    assert!(missing.to_string().contains("no_such_symbol"), "{missing}");
    let addresses = [("no_such_symbol".to_owned(), note as *const () as u64)].into();
    let plan = Plan { addresses, ..Plan::default() };
    let built = aot::build(&program, &job, &target, &plan).expect("an object");
    let linker = Linker { name: "s.so".into(), arguments: vec!["-Wl,-z,defs".into()], ..Linker::default() };
    let library = link(Emit::Shared, built.artifact.code, &target, &linker).expect("a library");
    let folder = Folder::new();
    let path = folder.file("s.so", library);
    // SAFETY: the library holds the function above and no initialisers; it has this signature.
    unsafe {
        let library = libloading::Library::new(path).expect("it loads");
        let tell: libloading::Symbol<'_, extern "C" fn(i64) -> i64> =
            library.get(b"tell").expect("it is there");
        assert_eq!(tell(5), 10);
    }
    assert_eq!(SEEN.load(Ordering::Relaxed), 10);
}
