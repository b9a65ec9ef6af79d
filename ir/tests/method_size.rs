//! What a method costs in memory: programs have hundreds of thousands of small ones.
#![allow(unsafe_code)] // an allocator is an unsafe trait

use marquetry_ir::program::Program;
use marquetry_ir::text;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counted.
struct Counting;

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a program holds per method, its text aside.
fn bytes_per_method(count: usize, method: impl Fn(&mut String, usize)) -> usize {
    let mut source = String::new();
    (0..count).for_each(|n| method(&mut source, n));
    let mut program = Program::new();
    let before = LIVE.load(Relaxed);
    let diagnostics = text::parse(&mut program, "many.mq", &source);
    let held = LIVE.load(Relaxed) - before;
    assert!(diagnostics.is_empty(), "{:?}", diagnostics.first());
    assert_eq!(program.methods().count(), count);
    (held as usize - source.len()) / count
}

// One test: the counter is shared.
#[test]
fn small_methods_are_small() {
    // Tables that double are full.
    let count = 1 << 13;
    let empty = bytes_per_method(count, |source, n| {
        let _ = write!(source, "method m{n}() {{\nentry:\n    return\n}}\n");
    });
    let overloads = bytes_per_method(count, |source, n| {
        let _ = write!(source, "method m(a: array<i8, {}>) {{\nentry:\n    return\n}}\n", n + 1);
    });
    let small = bytes_per_method(count, |source, n| {
        let code = "entry:\n    b = add a, i32 1\n    c = mul b, a\n    return c\n";
        let _ = write!(source, "method m{n}(a: i32) -> i32 {{\n{code}}}\n");
    });
    assert!(
        empty < 1300 && overloads < 1400 && small < 1700,
        "an empty method with a name of its own holds {empty} bytes, an empty overload {overloads}, one of two \
         operations {small}"
    );
}
