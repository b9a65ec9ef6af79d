//! Every code of a diagnostic is shown by a test: a directive of a filetest expects it, or a test in Rust makes what no text
//! can say.

use marquetry::filetest::codes;
use marquetry_ir::diag::Code;
use marquetry_tests::corpus;
use std::collections::BTreeSet;
use std::path::Path;

/// Text cannot say what is wrong with bodies that hosts build.
const VERIFIER: &str = "ir/src/verify/tests.rs";

/// Codes that no `.mq` file of the corpus can show, each with the file and the test that do.
const ELSEWHERE: &[(Code, &str, &str)] = &[
    (Code::Encoding, "ir/src/text/tests_damage.rs", "bytes_that_are_no_text"),
    (Code::DanglingId, VERIFIER, "every_mistake_has_its_code"),
    (Code::Order, VERIFIER, "every_mistake_has_its_code"),
    (Code::NoBlocks, VERIFIER, "a_function_without_blocks"),
    (Code::EntryParameters, VERIFIER, "every_mistake_has_its_code"),
    (Code::Destinations, VERIFIER, "every_mistake_has_its_code"),
    (Code::UnplacedTarget, VERIFIER, "every_mistake_has_its_code"),
    (Code::TypeMismatch, VERIFIER, "every_mistake_has_its_code"),
    (Code::ResultType, VERIFIER, "every_mistake_has_its_code"),
    (Code::Results, VERIFIER, "every_mistake_has_its_code"),
    (Code::Untyped, VERIFIER, "every_mistake_has_its_code"),
    (Code::ForeignType, VERIFIER, "every_mistake_has_its_code"),
    (Code::Constant, VERIFIER, "every_mistake_has_its_code"),
    (Code::MemoryFlags, VERIFIER, "every_mistake_has_its_code"),
    (Code::SymbolKind, VERIFIER, "every_mistake_has_its_code"),
    (Code::Callee, VERIFIER, "every_mistake_has_its_code"),
    (Code::FrameSize, VERIFIER, "every_mistake_has_its_code"),
    (Code::Undefined, VERIFIER, "every_mistake_has_its_code"),
    (Code::Duplicate, VERIFIER, "every_mistake_has_its_code"),
    (Code::GlobalSpace, VERIFIER, "every_mistake_has_its_code"),
    (Code::GlobalAlign, VERIFIER, "every_mistake_has_its_code"),
    (Code::LinkName, VERIFIER, "every_mistake_has_its_code"),
    (Code::Reference, "lower/src/references.rs", "words_are_written_all_or_none"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shown() -> BTreeSet<Code> {
    let mut shown = BTreeSet::new();
    for path in corpus(&root().join("filetests")) {
        let source = std::fs::read_to_string(&path).expect("a file");
        shown.extend(codes::expected("t.mq", &source));
    }
    shown
}

#[test]
fn every_code_is_shown_once() {
    let shown = shown();
    let listed: BTreeSet<Code> = ELSEWHERE.iter().map(|row| row.0).collect();
    assert_eq!(listed.len(), ELSEWHERE.len(), "a code is listed twice");
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !shown.contains(code) && !listed.contains(code)).collect();
    assert!(missing.is_empty(), "no test shows {missing:?}");
    let twice: Vec<_> = listed.intersection(&shown).collect();
    assert!(twice.is_empty(), "a filetest shows what is listed as shown elsewhere: {twice:?}");
}

#[test]
fn the_tests_that_are_listed_show_their_codes() {
    for (code, file, test) in ELSEWHERE {
        let source = std::fs::read_to_string(root().join("..").join(file)).expect(file);
        let mut lines = source.lines().map(str::trim).zip(source.lines().skip(1).map(str::trim));
        let head = format!("fn {test}()");
        let found = lines.any(|(mark, line)| mark == "#[test]" && line.starts_with(&head));
        assert!(found, "{file} has no test '{test}'");
        // In the test itself, or in a row of the table that it goes through, whose rows each say what is found.
        let body = source.split_once(&head).map_or("", |(_, rest)| rest);
        let body =
            body.split_once("\n}\n").or_else(|| body.split_once("\n    }\n")).map_or(body, |(own, _)| own);
        let names = [format!("Code::{code:?}"), format!("[{}]", code.name())];
        let row = format!("(Code::{code:?}, |");
        let shown = names.iter().any(|name| body.contains(name))
            || body.contains("_CASES") && source.lines().any(|line| line.trim().starts_with(&row));
        assert!(shown, "'{test}' in {file} does not show {code:?}");
    }
}
