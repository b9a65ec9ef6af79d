//! Runs the corpus as named tests and ends with the table of passed and skipped directives per engine.

use libtest_mimic::{Arguments, Failed, Trial};
use marquetry::filetest::report::Report;
use marquetry_tests::{Engines, corpus, failures, table};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let engines = Arc::new(Engines::find());
    let report = Arc::new(Mutex::new(Report::new()));
    let required = std::env::var_os("MARQ_REQUIRE_ENGINES").is_some();
    let mut trials = Vec::new();
    for (kind, reason) in engines.absent() {
        let is_failure = required && kind.is_expected_everywhere();
        report.lock().unwrap_or_else(PoisonError::into_inner).absent(kind.name(), reason.clone(), is_failure);
        if is_failure {
            let reason = reason.clone();
            trials.push(Trial::test(format!("engine::{}", kind.name()), move || Err(Failed::from(reason))));
        }
    }
    for folder in ["kernels", "filetests"] {
        for path in corpus(&root.join(folder)) {
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let (engines, report) = (engines.clone(), report.clone());
            trials.push(Trial::test(name.clone(), move || {
                let source = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
                let rows = engines.run(&name, &source)?;
                let failed = failures(&rows);
                report.lock().unwrap_or_else(PoisonError::into_inner).add(&name, rows);
                failed.map_or(Ok(()), |message| Err(Failed::from(message)))
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", table(&report));
    }
    conclusion.exit_code()
}
