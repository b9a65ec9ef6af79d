//! What the README shows is true.

use marquetry::engine::EngineKind;
use marquetry::filetest::runner;
use marquetry_lower::job::OptLevel;
use marquetry_tests::failures;

const README: &str = include_str!("../../README.md");

/// The code of a fenced block of this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("```{language}\n")).expect("the README has such a block");
    rest.split_once("```").expect("the block ends").0
}

#[test]
fn the_kernel_runs_as_its_directive_says() {
    let mut engines: Vec<_> = [EngineKind::Interp, EngineKind::Device(marquetry::device::DeviceKind::Cpu)]
        .iter()
        .map(|kind| kind.open(OptLevel::Default).expect("an embedded engine"))
        .collect();
    let rows = runner::run("README.mq", block("mq"), &mut engines, None);
    assert_eq!(failures(&rows), None);
    assert_eq!(rows.iter().filter(|row| row.text.starts_with("launch")).count(), 2);
}

#[test]
fn the_kernel_is_formatted() {
    let source = block("mq");
    assert_eq!(marquetry_ir::text::format(source).expect("it parses"), source);
}
