//! Names of an object's symbols: what entries may be called, and what is chosen beside them.

use super::*;
use cranelift_object::object::read::{File, Object, ObjectSymbol};

fn message(text: &str) -> String {
    let target = target("native:x86_64-unknown-linux-gnu", 0);
    emit_object(&legal(text, &target), &target).expect_err("the entry's name is refused").to_string()
}

#[test]
fn entries_do_not_stand_in_for_routines_of_the_c_library() {
    for name in ["memmove", "memset", "memcpy", "memcmp", "clock", "ceilf", "fma", "nearbyint"] {
        let message = message(&format!("method {name}(x: f32) -> f32 {{\nentry:\n    return x\n}}\n"));
        let wanted = format!("entry '{name}' has the name of a routine of the C library");
        assert!(message.contains(&wanted), "{message}");
    }
}

#[test]
fn wrappers_take_names_that_no_entry_has() {
    let text = "
method f(x: i32) -> i32 {
entry:
    return x
}
method \"f$packed\"(x: i32) -> i32 {
entry:
    return x
}
kernel k(p: ptr<global>) {
entry:
    store p, i32 1
    return
}
kernel \"k$items\"(p: ptr<global>) {
entry:
    store p, i32 2
    return
}
";
    let target = target("native:x86_64-unknown-linux-gnu", 0);
    let artifact = emit_object(&legal(text, &target), &target).unwrap();
    let file = File::parse(&*artifact.code).unwrap();
    let globals = file.symbols().filter(|symbol| symbol.is_global() && symbol.is_definition());
    let mut names: Vec<&str> = globals.map(|symbol| symbol.name().unwrap()).collect();
    names.sort_unstable();
    let wanted =
        ["f", "f$packed", "f$packed$packed", "f$packed_1", "k", "k$items", "k$items$items", "k$items_1"];
    assert_eq!(names, wanted);
    let listing = emit_text(&legal(text, &target), &target).unwrap();
    assert!(listing.contains("; f$packed_1\n"), "{listing}");
}
