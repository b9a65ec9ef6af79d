//! The corpus of `.mq` files, as named tests over all engines of the machine.
//!
//! `tests/kernels` holds real kernels and host functions, `tests/filetests` one topic per file. Each file is one test.
//! With `MARQ_REQUIRE_ENGINES` set, an engine that this machine could have and has not is a failure; without it, it is
//! a skip, printed with its reason.

pub mod bench;

use marquetry::engine::{Engine, EngineKind};
use marquetry::filetest::corpus::corpus as find;
use marquetry::filetest::report::Report;
use marquetry::filetest::runner::{self, Row, Verdict};
use marquetry::filetest::watchdog::{Watchdog, end_process};
use marquetry_lower::job::OptLevel;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Engines, opened once per thread that asks and reused.
pub struct Engines {
    kinds: Vec<EngineKind>,
    idle: Mutex<Vec<Vec<Box<dyn Engine>>>>,
    absent: Vec<(EngineKind, String)>,
    /// Ends the tests where a directive never ends.
    watchdog: Option<Watchdog>,
}

/// What a directive may take on one engine, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

impl Engines {
    /// All engines of this machine.
    pub fn find() -> Engines {
        let watchdog = Watchdog::start(
            PATIENCE,
            |_| {},
            |what| {
                eprintln!("{what}\n  did not end within {} seconds", PATIENCE.as_secs());
                end_process()
            },
        );
        let (kinds, absent) = Default::default();
        let mut found = Engines { kinds, idle: Mutex::default(), absent, watchdog: watchdog.ok() };
        let mut opened = Vec::new();
        for kind in EngineKind::ALL {
            match kind.open(OptLevel::Default) {
                Ok(engine) => {
                    found.kinds.push(kind);
                    opened.push(engine);
                }
                Err(reason) => found.absent.push((kind, reason)),
            }
        }
        found.idle = Mutex::new(vec![opened]);
        found
    }

    /// The engines that are absent, each with the reason.
    pub fn absent(&self) -> &[(EngineKind, String)] {
        &self.absent
    }

    /// Runs a file on all engines.
    ///
    /// # Errors
    /// An engine that was there cannot be opened again.
    pub fn run(&self, name: &str, source: &str) -> Result<Vec<Row>, String> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut engines = match idle {
            Some(engines) => engines,
            None => self.kinds.iter().map(|kind| kind.open(OptLevel::Default)).collect::<Result<_, _>>()?,
        };
        let rows = runner::run(name, source, &mut engines, self.watchdog.as_ref());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engines);
        Ok(rows)
    }
}

/// Whether a tool runs. If not, that is said, past what captures the output of tests, with the number of times in this process;
/// where everything must be present it is a failure.
///
/// # Panics
/// It does not, and `MARQ_REQUIRE_ENGINES` is set.
pub fn is_present(tool: &str) -> bool {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let present = found.is_ok_and(|status| status.success());
    assert!(
        present || std::env::var_os("MARQ_REQUIRE_ENGINES").is_none(),
        "'{tool}' is required and does not run"
    );
    if !present {
        let number = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        let _ = writeln!(std::io::stderr(), "skipped ({number}): '{tool}' does not run");
    }
    present
}

/// All `.mq` files in a folder and below, sorted.
///
/// # Panics
/// The folder cannot be read: a test that finds no files must not pass.
pub fn corpus(folder: &Path) -> Vec<PathBuf> {
    find(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// The failures among a file's rows, as one message.
pub fn failures(rows: &[Row]) -> Option<String> {
    let failed = rows.iter().filter_map(|row| match &row.verdict {
        Verdict::Failed(message) => {
            Some(format!("line {}: {}: {}\n  {message}", row.line, row.engine, row.text))
        }
        _ => None,
    });
    let lines: Vec<String> = failed.collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The table that ends a run.
pub fn table(report: &Mutex<Report>) -> String {
    report.lock().unwrap_or_else(PoisonError::into_inner).render(false)
}
