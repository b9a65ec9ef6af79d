//! Writing a file as a whole or not at all.

use super::ImageError;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Replaces a file: the bytes go to a new file beside it, which is then renamed. So an old file stays as it was if that
/// fails, processes that have it mapped keep it, and of two that write at once one wins with all of its bytes.
///
/// # Errors
/// What the system says.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let failed = |error: std::io::Error| ImageError::file(path, error);
    let target = match std::fs::canonicalize(path) {
        Ok(target) => target,
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => path.to_path_buf(),
        Err(error) => return Err(failed(error)),
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".marq-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&target).map_or(0o644, |old| old.permissions().mode() & 0o777);
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    // What is renamed before it is on the disk may be empty after a power cut.
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}
