//! Recursion and the limit of the stack.

use super::*;
use std::process::Command;

const PROGRAM: &str = "
method sum(n: i64) -> i64 {
entry:
    none = eq n, i64 0
    branch none, done, more
done:
    return i64 0
more:
    m = sub n, i64 1
    r = call sum(m)
    s = add r, n
    return s
}
method flat(n: i64) -> i64 noinline {
entry:
    m = add n, i64 1
    return m
}
method above(n: i64) -> i64 {
entry:
    m = call flat(n)
    r = call sum(m)
    return r
}
";

#[test]
fn only_recursive_functions_look_at_the_stack() {
    for spelling in TRIPLES {
        let target = target(spelling, 2);
        let listing = emit_text(&legal(PROGRAM, &target), &target).unwrap();
        let functions: Vec<&str> = listing.split("\n; ").skip(1).collect();
        for function in functions {
            let (name, code) = function.split_once('\n').unwrap();
            let looks = code.contains("get_stack_pointer");
            // What C calls has this name, too.
            let is_it = name == "sum" && code.contains("brif");
            assert_eq!(looks, is_it, "{spelling}: {name}");
        }
        assert_eq!(listing.matches("get_stack_pointer").count(), 1, "{spelling}");
        let artifact = emit_object(&legal(PROGRAM, &target), &target).unwrap();
        let scheduling = artifact.scheduling.unwrap();
        assert!(scheduling.stack.recursive);
        assert_eq!(scheduling.checked.iter().map(|site| &*site.at.function).collect::<Vec<_>>(), ["sum"]);
    }
}

#[test]
fn chains_of_frames_add_up_and_have_an_end() {
    let chain = |count: usize, bytes: usize| {
        let mut text = String::new();
        for n in 0..count {
            let next = if n + 1 < count { format!("call f{}(p)", n + 1) } else { "add p, i64 0".into() };
            text += &format!(
                "method f{n}(p: i64) -> i64 noinline {{
                 entry:
                     s = slot.array<i8, {bytes}>
                     store s, i8 1 volatile
                     r = {next}
                     return r
                 }}
                 "
            );
        }
        text
    };
    let target = target("native", 2);
    let artifact = emit_object(&legal(&chain(10, 100_000), &target), &target).unwrap();
    let stack = artifact.scheduling.unwrap().stack;
    assert!((1_000_000..1_010_000).contains(&stack.fixed) && !stack.recursive, "{stack:?}");
    let error = emit_object(&legal(&chain(1100, 1_000_000), &target), &target).unwrap_err();
    assert!(
        matches!(&error, EmitError::Limit(limit) if limit.what == "bytes of stack for nested calls"),
        "{error}"
    );
}

const MAIN: &str = r#"
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
struct limit { uintptr_t lowest; void (*exhausted)(const struct limit *, uint64_t); const void *data; };
int64_t sum(int64_t);
int64_t above(int64_t);
uint32_t packed(const void *, void *, const struct limit *) __asm__("above$packed");
static jmp_buf back;
static void leave(const struct limit *limit, uint64_t function) { longjmp(back, 7 + (int)function); }
int main(void) {
    int64_t n = 99, result = 0;
    printf("%lld %lld ", (long long)sum(100), (long long)above(99));
    packed(&n, &result, 0);
    printf("%lld ", (long long)result);
    struct limit limit = { (uintptr_t)__builtin_frame_address(0) - 100000, leave, 0 };
    packed(&n, &result, &limit);
    printf("%lld ", (long long)result);
    n = -9;
    int why = setjmp(back);
    if (!why) packed(&n, &result, &limit);
    printf("%d\n", why);
    return 0;
}
"#;

#[test]
fn c_programs_recurse_with_a_limit_and_without() {
    let found = Command::new("cc").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no C compiler");
        return;
    }
    let target = target("native", 2);
    let artifact = emit_object(&legal(PROGRAM, &target), &target).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("code.o"), &artifact.code).unwrap();
    std::fs::write(path("main.c"), MAIN).unwrap();
    let mut cc = Command::new("cc");
    let linked = cc.arg("-o").arg(path("main")).arg(path("main.c")).arg(path("code.o")).output().unwrap();
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    let ran = Command::new(path("main")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "5050 5050 5050 5050 7\n");
}
