//! Libraries and executables from objects: archives are written here, everything else is linked by the system's C compiler.
//!
//! Linking happens in a temporary folder of its own. Nothing of its path gets into what is linked.

use super::Emit;
use ar_archive_writer::{ArchiveKind, NewArchiveMember, write_archive_to_stream};
use marquetry_codegen::native::{Arch, NativeTarget, Relocation};
use std::fmt;
use std::io::Cursor;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use target_lexicon::{BinaryFormat, Environment, OperatingSystem};

/// Why nothing was linked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkError {
    /// What is asked for cannot be; the reason is for people.
    Unsupported(String),
    /// There is no such linker: the command, and why it does not run.
    Missing(String, String),
    /// The linker failed: the command, and what it said.
    Failed(String, String),
    /// The archive or a temporary file could not be written.
    Files(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Unsupported(message) | LinkError::Files(message) => f.write_str(message),
            LinkError::Missing(command, why) => write!(
                f,
                "the linker '{command}' does not run ({why}): install a C compiler for the target, or name one with \
                 --linker"
            ),
            LinkError::Failed(command, said) => match said.trim_end() {
                "" => write!(f, "'{command}' failed and did not say why"),
                said => write!(f, "'{command}' failed:\n{said}"),
            },
        }
    }
}

impl std::error::Error for LinkError {}

/// How to link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Linker {
    /// A C compiler; none for `cc`, or what Debian calls the one for another machine.
    pub command: Option<String>,
    /// Further arguments, behind the object.
    pub arguments: Vec<String>,
    /// What the library is called by what is linked with it: the name of its file.
    pub name: String,
    /// C code that an executable starts in, if it is not the object's own ([`Built::start`](super::Built::start)).
    pub start: Option<String>,
}

/// What Debian calls the C compiler for a target.
fn usual_linker(target: &NativeTarget) -> String {
    let triple = target.triple();
    if target.is_host() || *triple == target_lexicon::Triple::host() {
        return "cc".to_owned();
    }
    let machine = match target.arch() {
        Arch::X64 => "x86_64",
        Arch::Aarch64 => "aarch64",
        Arch::Riscv64 => "riscv64",
        Arch::S390x => "s390x",
    };
    match triple.operating_system {
        OperatingSystem::Windows => format!("{machine}-w64-mingw32-gcc"),
        OperatingSystem::Linux => format!("{machine}-linux-gnu-gcc"),
        // Nobody but the vendor's own machines has one.
        _ => "cc".to_owned(),
    }
}

/// Makes a library or an executable of objects. A single object stays as it is; several become one.
///
/// # Errors
/// The target cannot have it so, or the linker is missing or fails.
pub fn link(
    emit: Emit,
    objects: Vec<Vec<u8>>,
    target: &NativeTarget,
    linker: &Linker,
) -> Result<Vec<u8>, LinkError> {
    match (emit, <[Vec<u8>; 1]>::try_from(objects)) {
        (Emit::Object, Ok([object])) => Ok(object),
        (Emit::Static, Ok(one)) => archive(&one, target),
        (Emit::Static, Err(several)) => archive(&several, target),
        (_, Ok(one)) => run(emit, &one, target, linker),
        (_, Err(several)) => run(emit, &several, target, linker),
    }
}

/// The name of an object's file.
fn file_name(number: usize, extension: &str) -> String {
    match number {
        0 => format!("code.{extension}"),
        number => format!("code{number}.{extension}"),
    }
}

/// A static library of objects.
fn archive(objects: &[Vec<u8>], target: &NativeTarget) -> Result<Vec<u8>, LinkError> {
    let failed =
        |error: &dyn fmt::Display| LinkError::Files(format!("the archive cannot be written: {error}"));
    let (kind, extension) = match target.triple().binary_format {
        BinaryFormat::Macho => (ArchiveKind::Darwin, "o"),
        BinaryFormat::Coff => (ArchiveKind::Coff, "obj"),
        _ => (ArchiveKind::Gnu, "o"),
    };
    let member = |(number, object): (usize, &'_ Vec<u8>)| NewArchiveMember {
        buf: Box::new(object.clone()),
        object_reader: &ar_archive_writer::DEFAULT_OBJECT_READER,
        member_name: file_name(number, extension),
        // Times, owners and permissions of nobody: the same object gives the same archive.
        mtime: 0,
        uid: 0,
        gid: 0,
        perms: 0o644,
    };
    let members: Vec<NewArchiveMember<'_>> = objects.iter().enumerate().map(member).collect();
    let mut bytes = Cursor::new(Vec::new());
    write_archive_to_stream(&mut bytes, &members, kind, false, None).map_err(|error| failed(&error))?;
    Ok(bytes.into_inner())
}

fn run(
    emit: Emit,
    objects: &[Vec<u8>],
    target: &NativeTarget,
    linker: &Linker,
) -> Result<Vec<u8>, LinkError> {
    let triple = target.triple();
    let is_static = target.options().relocation == Relocation::Static;
    if emit == Emit::Shared && is_static && triple.binary_format != BinaryFormat::Coff {
        let message =
            "a shared library is loaded anywhere, and code of the relocation model static is not: say pic";
        return Err(LinkError::Unsupported(message.to_owned()));
    }
    let files = |what: &str, error: &std::io::Error| LinkError::Files(format!("{what}: {error}"));
    let folder = tempfile::tempdir().map_err(|error| files("a temporary folder cannot be made", &error))?;
    let names = (0..objects.len()).map(|number| folder.path().join(file_name(number, "o")));
    let names: Vec<PathBuf> = names.collect();
    for (name, object) in names.iter().zip(objects) {
        std::fs::write(name, object)
            .map_err(|error| files("a temporary object cannot be written", &error))?;
    }
    if let Some(start) = &linker.start {
        std::fs::write(folder.path().join("start.c"), start)
            .map_err(|error| files("a temporary file cannot be written", &error))?;
    }
    let command = linker.command.clone().unwrap_or_else(|| usual_linker(target));
    let mut cc = Command::new(&command);
    // It runs where its user is, whose arguments may name files.
    cc.stdin(Stdio::null());
    let is_darwin = triple.binary_format == BinaryFormat::Macho;
    match emit {
        Emit::Object => {
            cc.args(["-r", "-nostdlib"]);
        }
        Emit::Shared if is_darwin => {
            cc.args(["-dynamiclib", "-install_name", &linker.name]);
        }
        Emit::Shared => {
            cc.arg("-shared");
            if triple.binary_format == BinaryFormat::Elf {
                // Imports are bound on loading: the stack of a work-item is no place for it.
                cc.arg("-Wl,-z,now").arg(format!("-Wl,-soname,{}", linker.name));
            }
        }
        _ if triple.binary_format != BinaryFormat::Elf => {}
        _ => {
            cc.arg(if is_static { "-no-pie" } else { "-pie" });
        }
    }
    cc.arg("-o").arg(folder.path().join("linked")).args(&names);
    if linker.start.is_some() {
        // Options of the user's may be about languages and standards: they come behind it.
        cc.arg(folder.path().join("start.c"));
    }
    cc.args(&linker.arguments);
    if triple.environment != Environment::Msvc && !is_darwin && emit != Emit::Object {
        cc.arg("-lm");
    }
    let output = match cc.output() {
        Ok(output) => output,
        Err(error) => return Err(LinkError::Missing(command, error.to_string())),
    };
    if !output.status.success() {
        let said = [output.stderr, output.stdout].concat();
        return Err(LinkError::Failed(command, String::from_utf8_lossy(&said).into_owned()));
    }
    let linked = ["linked", "linked.exe", "linked.dll"].map(|name| folder.path().join(name));
    let linked = linked.iter().find(|path| path.is_file());
    let linked = linked.ok_or_else(|| LinkError::Failed(command, "it wrote nothing".to_owned()))?;
    std::fs::read(linked).map_err(|error| files("what was linked cannot be read", &error))
}
