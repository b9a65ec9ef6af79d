//! Files that are replaced as a whole or not at all.

use std::io::{self, Write};
use std::path::Path;

/// The folder that a file is in.
pub(crate) fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file, which is no link: the bytes go to a new file beside it, with these permissions where there are such,
/// which is then renamed. `durable`: once they are on the disk, since what is renamed before may be empty after a power
/// cut.
pub(crate) fn replace(file: &Path, bytes: &[u8], mode: u32, durable: bool) -> io::Result<()> {
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
