//! `marq-bench process`: the `marq` binary as a whole.

use super::measure::{alternate, median, once};
use super::table::Table;
use super::{Options, Outcome, stages};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Wall time of whole processes, and the size of the binary
#[derive(clap::Args, Debug)]
pub(super) struct Process {
    /// The binary; without it, the `marq` beside this one
    #[arg(long)]
    marq: Option<PathBuf>,
    /// Programs; without any, those of tests/kernels
    files: Vec<PathBuf>,
}

impl Process {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let beside = || std::env::current_exe().ok().map(|path| path.with_file_name("marq"));
        let marq = self.marq.or_else(beside).unwrap_or_default();
        let mut table = Table::new("ms of whole processes", &["kernel", "ptx", "spirv", "native object"]);
        if !marq.is_file() {
            table.skip("all", &format!("no {}: cargo build --release -p marquetry", marq.display()));
            table.print(options.json);
            return Ok(());
        }
        let files = if self.files.is_empty() { stages::kernels() } else { self.files };
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let out = folder.path().join("out");
        let mut without = 0;
        for file in &files {
            let compile = |target: &str| compile(&marq, file, target, &out);
            if !compile("ptx") {
                without += 1;
                continue;
            }
            let times = alternate(
                options.effort(),
                [&mut || _ = compile("ptx"), &mut || _ = compile("spirv"), &mut || _ = compile("native")],
            );
            let mut row = vec![stages::stem(file).into()];
            row.extend(times.map(|time| (time / 1000.0).into()));
            table.row(row);
        }
        let ptx = table.geomean(1);
        table.means();
        if without > 0 {
            table.note(format!("{without} files have no kernel that compiles to PTX"));
        }
        table.target("process to PTX", ptx, 10.0, " ms");
        let nothing = nothing(&marq);
        table.note(format!("`marq --version`: {:.2} ms", nothing / 1000.0));
        let size = stripped(&marq, &folder.path().join("stripped"));
        table.target("size of the stripped binary", size, 15.0, " MB");
        table.print(options.json);
        Ok(())
    }
}

fn compile(marq: &Path, file: &Path, target: &str, out: &Path) -> bool {
    let mut command = Command::new(marq);
    command.arg("compile").arg(file).args(["--target", target, "-o"]).arg(out);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn nothing(marq: &Path) -> f64 {
    let run = || drop(Command::new(marq).arg("--version").stdout(Stdio::null()).status());
    median(&mut (0..21).map(|_| once(run).1).collect::<Vec<_>>())
}

/// Megabytes of the binary without symbols; as it is, where there is no `strip`.
fn stripped(marq: &Path, out: &Path) -> Option<f64> {
    let done = Command::new("strip").arg("-o").arg(out).arg(marq).status();
    let file = if done.is_ok_and(|status| status.success()) { out } else { marq };
    Some(std::fs::metadata(file).ok()?.len() as f64 / 1e6)
}
