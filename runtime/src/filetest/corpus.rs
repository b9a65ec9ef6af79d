//! Finding the files to test.

use std::io;
use std::path::{Path, PathBuf};

/// The file itself, or all `.mq` files in a folder and below, sorted.
///
/// # Errors
/// Something on the way cannot be read.
pub fn corpus(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut folders = vec![path.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // Links are not followed into folders, so that a cycle cannot keep the walk going.
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "mq") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
