//! Files that are replaced as a whole or not at all.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// The folder that a file is in.
pub(crate) fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file: the bytes go to a new file beside it, which is then renamed, so that an old file survives a failure.
///
/// Links stay, and what they lead to is replaced; one that leads nowhere is an error, and so is a file that is read-only,
/// which renaming would not mind. Devices and pipes are written to as they are. An old file keeps its permissions, but may be
/// run if a new one, with `new_mode`, might. `durable`: renamed once the bytes are on the disk, since what is renamed before
/// may be empty after a power cut.
pub(crate) fn replace(path: &Path, bytes: &[u8], new_mode: u32, durable: bool) -> io::Result<()> {
    let old = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        // Nothing, and no link to nothing.
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => None,
        Err(error) => return Err(error),
    };
    let target = match &old {
        // Its name may be no file's, as that of a pipe behind /dev/stdout.
        Some(old) if !old.is_file() && !old.is_dir() => {
            return OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        Some(old) if old.is_file() && old.permissions().readonly() => {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "the file is read-only"));
        }
        Some(_) => std::fs::canonicalize(path)?,
        None => path.to_path_buf(),
    };
    let folder = folder(&target);
    if !folder.is_dir() {
        let message = format!("there is no folder '{}'", folder.display());
        return Err(io::Error::new(ErrorKind::NotFound, message));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".marq-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = old.map_or(new_mode, |old| old.permissions().mode() & 0o777 | new_mode & 0o111);
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = new_mode;
    let mut new = builder.tempfile_in(folder)?;
    new.write_all(bytes)?;
    if durable {
        new.as_file().sync_all()?;
    }
    new.persist(&target).map_err(|error| error.error)?;
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
