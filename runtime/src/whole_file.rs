//! Files that are replaced as a whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// The folder that a file is in.
pub(crate) fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file, which is no link: the bytes go to a new file beside it, with these permissions where there are such,
/// which is then renamed. `durable`: once they are on the disk, since what is renamed before may be empty after a power
/// cut. Devices and pipes are written to, for they would be gone if they were replaced; what is read-only stays, which
/// renaming would not mind.
pub(crate) fn replace(file: &Path, bytes: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    if std::fs::metadata(file).is_ok_and(|old| !old.is_file() && !old.is_dir()) {
        return std::fs::OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    if std::fs::metadata(file).is_ok_and(|old| old.is_file() && old.permissions().readonly()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".marq-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut new = builder.tempfile_in(folder(file))?;
    new.write_all(bytes)?;
    if durable {
        new.as_file().sync_all()?;
    }
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt;

    #[test]
    fn pipes_stay_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe).unwrap()
        });
        replace(&pipe, b"through", 0o644, true).unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
}
