//! Images: one file of compiled methods that other processes run without compiling.
//!
//! [`Session::image`](crate::session::Session::image) compiles jobs into an image, and
//! [`Session::load_image`](crate::session::Session::load_image) gives a session what is in one. From then on jobs for what the
//! image has are found there. Before an entry is used it is compared with the program: every method that went into it must be
//! defined as it was, and every look-up must have the answer that it had, misses included. An entry that does not match is
//! as good as absent; it is compiled afresh, and the others are not concerned. An entry that was taken from an image is an
//! entry of the cache like any other: later changes of the program end it.
//!
//! # The file
//!
//! Little-endian, on every machine; but text, constants and data are the machine's own, big-endian on s390x, and so are the
//! addresses that relocations put there. A header of 256 bytes, then twelve parts in this order, none overlapping another; the
//! last three begin on pages (64 KiB on aarch64, 4 KiB elsewhere), so that the file is mapped as it is.
//!
//! | header | |
//! |---|---|
//! | 0 | magic `89 4D 41 52 51 0D 0A 1A` |
//! | 8 | version of the format, 4; bytes of the header |
//! | 16 | XXH3-64 of everything from byte 24 on |
//! | 24 | bytes of the file |
//! | 32 | bytes of a page; strings: machine (`x86_64-linux`, `aarch64-linux`, `riscv64gc-linux`, `s390x-linux`), features of the processor, who wrote it |
//! | 48 | where each part begins, and its bytes (`u64` each) |
//!
//! | part | rows |
//! |---|---|
//! | strings | UTF-8, one after the other |
//! | table of strings | `{begin, bytes}`; everything below names strings by number |
//! | configs | `{identity, tables, provider, device}`; lists of names are one string with zero bytes between them |
//! | symbols | `{kind (0 routine of Marquetry, 1 host), name, library or ffffffff}` |
//! | relocations | `{part, offset, target (a symbol; with bit 31: a part), kind (1: address of 8 bytes), addend}`, ascending, apart from each other, in constants or data |
//! | definitions | `{name, table, signature, 0, XXH3-128 of the method's text with what it mentions}` |
//! | entries | `{hash, name, table, config, definition, flags (1 kernel, 2 validated), wrapper, function, text, its bytes, details, their bytes, 0, 0, 0}` |
//! | index | `{hash, entry}`, ascending by hash |
//! | details | per entry: signature and ABI, formats, stack and scheduling, places that throw and that check the stack, instances with their look-ups, children, the symbols that it needs |
//! | text | read and executed; the same wherever it lies |
//! | constants | read only once it is relocated; begins with the addresses of the symbols |
//! | data | read and written, private to the process |
//!
//! The wrapper of a function is `uint32_t (const void *args, void *results, const void *stack)`, whose blocks of arguments and results are
//! little-endian too; `stack` may be null. It gives 0, or the number of the place that threw plus one. Who loads an image makes
//! its text visible to the processor as instructions, where that takes something (`__builtin___clear_cache` in C).
//!
//! Everything that has a fixed size is checked when the file is opened, in one pass; details are checked when their entry is
//! asked for. Nothing of a file that fails a check is executed.
//!
//! # What is not in it
//! Lines and columns of places that throw are those of the text that was compiled. Hooks and answers of a back-end are part
//! of what its name stands for, in the process that writes and in the one that loads. A config's params are values of the
//! process, so that jobs with params cannot be stored; nor can code that contains addresses of this process
//! ([`ImageError::NotStorable`]). Children of a job are named, not contained: they are jobs of their own, which whoever loads
//! looks up anew, and takes from an image that has them, or compiles.

mod details;
mod edges;
mod error;
mod format;
mod load;
mod read;
mod store;
mod write;

pub(crate) use edges::{Hashes, Match, Mismatch};
pub use error::ImageError;
pub use load::{HostSymbol, Image, ImageEntry, LoadedImage, Resolver};
pub use store::replace_file;
pub use write::seal;
pub(crate) use write::{Draft, StoredConfig, assemble, entry_name};

use crate::session::{Backend, Job, Session};
use marquetry_ir::program::Program;
use marquetry_lower::job::JobEntry;

/// An image of methods of a program, compiled by a back-end with its usual config.
///
/// # Errors
/// As [`Session::image`].
pub fn write(program: &Program, backend: Backend, entries: &[JobEntry]) -> Result<Vec<u8>, ImageError> {
    let session = Session::over(program.clone());
    let config = session.add_backend(backend).map_err(|error| ImageError::compile("the back-end", error))?;
    let world = session.world();
    let job = |entry: &JobEntry| Job { entry: entry.clone(), config: config.clone(), world };
    let jobs: Vec<Job> = entries.iter().map(job).collect();
    session.image(&jobs)
}
