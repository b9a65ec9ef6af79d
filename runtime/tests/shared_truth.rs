//! Fact T176 of the prior art: one process compiles, others load that with `dlopen` and call it through `dlsym`. The image
//! loader's half is in `tests/tests/images`.
#![cfg(feature = "cli")]

mod command;

use command::{Folder, is_present, marq_ok, run_in};
use std::path::Path;

const ITEMS: [&str; 13] = [
    "integers",
    "floats",
    "structs",
    "strings",
    "symbols given back",
    "symbols compared",
    "mutation with symbols compared",
    "mutation of the host's memory",
    "closures",
    "calls to the host",
    "recursion",
    "exceptions",
    "what is not exported",
];

fn sources() -> Folder {
    let folder = Folder::new();
    folder.file("truth.mq", include_str!("aot/truth.mq"));
    folder.file("truth.c", include_str!("aot/truth.c"));
    folder
}

fn root(folder: &Folder) -> &Path {
    folder.0.path()
}

#[test]
fn t176_another_process_calls_what_is_in_a_shared_library() {
    if !is_present("cc") {
        return;
    }
    let hidden = ["plus", "times", "is_odd", "turn"];
    let seen = "add concat scaled exponential single greet name is_config count count_there closed apply triple \
                through_host fib is_even divide";
    assert!(hidden.iter().all(|name| !seen.split(' ').any(|seen| seen == *name)));
    let exports: Vec<&str> = seen.split_whitespace().flat_map(|name| ["--export", name]).collect();
    for level in ["-O0", "-O2", "-O3"] {
        let folder = sources();
        let build = |name: &str, level: &str| {
            let mut args =
                vec!["build", "truth.mq", "--emit", "shared", "--header", "truth.h", "-o", name, level];
            args.extend(&exports);
            marq_ok(root(&folder), &args);
        };
        build("libtruth.so", level);
        // The same program, compiled by another process in another way: what is the host's is the same in both.
        build("libagain.so", if level == "-O0" { "-O2" } else { "-O0" });
        let cc = ["-std=gnu11", "-Wall", "-Werror", "-rdynamic", "-o", "truth", "truth.c", "-ldl", "-lm"];
        run_in(root(&folder), "cc", &cc);
        let said = run_in(root(&folder), "./truth", &[]);
        let wanted: Vec<String> = ITEMS.iter().map(|item| format!("{item}: as it should\n")).collect();
        assert_eq!(said, wanted.concat(), "{level}");
    }
}
