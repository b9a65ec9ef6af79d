//! Writing a file as a whole or not at all.

use super::ImageError;
use crate::whole_file;
use std::io::ErrorKind;
use std::path::Path;

/// Permissions of a new file.
const NEW_MODE: u32 = 0o644;

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
    #[cfg(unix)]
    let mode = {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(&target).map_or(NEW_MODE, |old| old.permissions().mode() & 0o777)
    };
    #[cfg(not(unix))]
    let mode = NEW_MODE;
    whole_file::replace(&target, bytes, mode, true).map_err(failed)
}
