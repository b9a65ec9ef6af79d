//! Writing a file as a whole or not at all.

use super::ImageError;
use crate::whole_file;
use std::path::Path;

/// Permissions of a new file.
const NEW_MODE: u32 = 0o644;

/// Replaces a file: the bytes go to a new file beside it, which is then renamed. So an old file stays as it was if that
/// fails, processes that have it mapped keep it, and of two that write at once one wins with all of its bytes.
///
/// # Errors
/// What the system says.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    whole_file::replace(path, bytes, NEW_MODE, true).map_err(|error| ImageError::file(path, error))
}
