//! What a run of filetests says at its end.

use super::runner::{Row, Verdict};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Results of all files.
#[derive(Default)]
pub struct Report {
    rows: Vec<(String, Row)>,
    absent: Vec<(&'static str, String, bool)>,
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
    reasons: BTreeMap<String, usize>,
}

impl Report {
    /// Nothing has run yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file's results.
    pub fn add(&mut self, file: &str, rows: Vec<Row>) {
        self.rows.extend(rows.into_iter().map(|row| (file.to_string(), row)));
    }

    /// Notes that an engine is absent, why, and whether that is a failure.
    pub fn absent(&mut self, engine: &'static str, reason: String, is_failure: bool) {
        self.absent.push((engine, reason, is_failure));
    }

    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        let failed = |row: &(String, Row)| matches!(row.1.verdict, Verdict::Failed(_));
        !self.rows.iter().any(failed) && !self.absent.iter().any(|absent| absent.2)
    }

    /// Failures (every row if `verbose`), then a table of passed, failed and skipped per engine with the reasons.
    pub fn render(&self, verbose: bool) -> String {
        let mut text = String::new();
        let mut engines: Vec<(&str, Counts)> = Vec::new();
        for (file, row) in &self.rows {
            let position = engines.iter().position(|(name, _)| *name == row.engine).unwrap_or_else(|| {
                engines.push((row.engine, Counts::default()));
                engines.len() - 1
            });
            let counts = &mut engines[position].1;
            let place = format!("{file}:{}: {}", row.line, row.engine);
            match &row.verdict {
                Verdict::Passed => {
                    counts.passed += 1;
                    if verbose {
                        let _ = writeln!(text, "pass {place}: {}", row.text);
                    }
                }
                Verdict::Failed(message) => {
                    counts.failed += 1;
                    let _ = writeln!(text, "FAIL {place}: {}\n     {message}", row.text);
                }
                Verdict::Skipped(reason) => {
                    counts.skipped += 1;
                    *counts.reasons.entry(reason.clone()).or_default() += 1;
                    if verbose {
                        let _ = writeln!(text, "skip {place}: {}\n     {reason}", row.text);
                    }
                }
            }
        }
        let _ = writeln!(text, "{:<8} {:>7} {:>7} {:>7}", "engine", "passed", "failed", "skipped");
        for (name, counts) in &engines {
            let _ =
                writeln!(text, "{name:<8} {:>7} {:>7} {:>7}", counts.passed, counts.failed, counts.skipped);
            for (reason, count) in &counts.reasons {
                let _ = writeln!(text, "           {count} skipped: {reason}");
            }
        }
        for (name, reason, is_failure) in &self.absent {
            let word = if *is_failure { "MISSING" } else { "absent" };
            let _ = writeln!(text, "{name:<8} {word}: {reason}");
        }
        let sum = |f: fn(&Counts) -> usize| engines.iter().map(|(_, counts)| f(counts)).sum::<usize>();
        let failed = sum(|c| c.failed) + self.absent.iter().filter(|absent| absent.2).count();
        let _ =
            writeln!(text, "{} passed, {failed} failed, {} skipped", sum(|c| c.passed), sum(|c| c.skipped));
        text
    }
}
