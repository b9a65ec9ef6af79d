//! Writing results: to standard output, or to a file that is replaced as a whole or not at all.

use super::CliError;
use crate::whole_file;
use marquetry_ir::diag::printable;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Writes bytes to standard output. A reader that has gone away is no error.
pub(super) fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CliError::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error, control characters as escapes. Where that cannot be written, only the exit code is left to
/// tell.
pub(super) fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(printable(text).as_bytes());
}

/// Replaces the line of the terminal that says what goes on; nothing clears it.
pub(super) fn progress(text: &str) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", printable(text));
}

/// Results that would be written over each other, or over what they are made of, are a mistake in the command line.
pub(super) fn check_apart(outputs: &[&Path], inputs: &[PathBuf]) -> Result<(), CliError> {
    // A file that is not there yet is known by its folder.
    let real = |path: &Path| {
        let folder = whole_file::folder(path).canonicalize().ok();
        let named = || Some(folder?.join(path.file_name()?));
        path.canonicalize().ok().or_else(named).unwrap_or_else(|| path.to_path_buf())
    };
    let special = |path: &Path| std::fs::metadata(path).is_ok_and(|file| !file.is_file());
    for (n, &output) in outputs.iter().enumerate().filter(|(_, output)| !special(output)) {
        let shown = output.display();
        let is_same = |other: &Path| match (output == Path::new("-"), other == Path::new("-")) {
            (false, false) => real(other) == real(output),
            (one, two) => one && two,
        };
        if output != Path::new("-") && inputs.iter().any(|input| is_same(input)) {
            return Err(CliError::Usage(format!("'{shown}' is a file of the program: name another output")));
        }
        if outputs.iter().take(n).any(|other| is_same(other)) {
            return Err(CliError::Usage(format!("'{shown}' is named for two outputs")));
        }
    }
    Ok(())
}

/// Writes a result where it is wanted: `-` is standard output.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    if path == Path::new("-") { print(bytes) } else { replace(path, bytes) }
}

/// Replaces a file as a whole or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    replace_with(path, bytes, 0o644)
}

/// As [`replace`], of something that is run or loaded.
pub(super) fn replace_executable(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    replace_with(path, bytes, 0o755)
}

fn replace_with(path: &Path, bytes: &[u8], new_mode: u32) -> Result<(), CliError> {
    whole_file::replace(path, bytes, new_mode, false)
        .map_err(|error| CliError::Failed(format!("cannot write '{}': {error}", path.display())))
}
