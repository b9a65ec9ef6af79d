//! Every fact of the catalogue that this project is measured by is a test that carries its number, or has a row in a table
//! that says why it is none, or where it is tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The last number. Those that three divides are no facts: the catalogue leaves them out.
const LAST: u32 = 176;

/// Where numbers are looked for.
const FOLDERS: [&str; 6] =
    ["tests/tests", "lower/src", "codegen/src", "ir/src", "runtime/src", "runtime/tests"];

/// The files of Rust in a folder and those below.
fn sources(folder: PathBuf) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// The numbers in a word such as `t020_t085_an_overlay`, from its start on.
fn leading(mut word: &str) -> Vec<u32> {
    let mut found = Vec::new();
    while let Some((digits, rest)) = word.strip_prefix('t').and_then(|rest| rest.split_at_checked(3)) {
        let (Ok(number), Some(rest)) = (digits.parse(), rest.strip_prefix('_')) else { break };
        found.push(number);
        word = rest.strip_prefix("and_").unwrap_or(rest);
    }
    found
}

/// The numbers of a row of a table of facts, ranges included: `| T001 - T007, T010 |`.
fn listed(row: &str) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut is_range = false;
    for word in row.split([' ', ',']).filter(|word| !word.is_empty()) {
        match word.strip_prefix('T').and_then(|digits| digits.parse().ok()) {
            Some(number) if is_range => found.extend(found.last().map_or(number, |last| last + 1)..=number),
            Some(number) => found.push(number),
            None => {}
        }
        is_range = matches!(word, "to" | "-");
    }
    found
}

#[test]
fn every_fact_has_a_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut tests: BTreeMap<u32, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<u32, usize> = BTreeMap::new();
    for path in FOLDERS.iter().flat_map(|folder| sources(root.join(folder))) {
        let source = std::fs::read_to_string(&path).expect("a file");
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        for (n, line) in lines.iter().enumerate() {
            if let Some(name) = line.strip_prefix("fn ") {
                let is_test = lines[n.saturating_sub(3)..n].contains(&"#[test]");
                let numbers = leading(name);
                assert!(is_test || numbers.is_empty(), "{}: {line}", path.display());
                numbers.into_iter().for_each(|number| *tests.entry(number).or_default() += 1);
            }
            if let Some(row) = line.strip_prefix("//! | T").and_then(|row| row.split('|').next()) {
                listed(&format!("T{row}")).into_iter().for_each(|n| *reasons.entry(n).or_default() += 1);
            }
        }
    }
    let numbers = (1..=LAST).filter(|number| number % 3 != 0);
    let missing: Vec<String> = numbers
        .filter(|number| !tests.contains_key(number) && !reasons.contains_key(number))
        .map(|number| format!("T{number:03}"))
        .collect();
    assert!(missing.is_empty(), "neither a test nor a reason: {}", missing.join(", "));
    let invented = tests.keys().find(|number| **number == 0 || **number > LAST || **number % 3 == 0);
    assert_eq!(invented, None, "a test has the number of no fact");
    assert!(tests.len() > 80, "{} facts have tests", tests.len());
}
