//! `marq run IMAGE`: what was compiled ahead of time is called or launched, and nothing is compiled.
//!
//! An image needs no program to run. With the program's files behind it, an entry that is not what the program says now is
//! an error: a session would compile it afresh, which is what this command does not do.

use super::super::given::Given;
use super::super::input::{self, Entry};
use super::super::{CliError, CliResult, watchdog};
use super::Run;
use crate::compile::Compiled;
use crate::device::DeviceKind;
use crate::engine::Launcher;
use crate::filetest::argument::{self, parse_arguments};
use crate::filetest::runner::launch_options;
use crate::image::{Image, ImageEntry, ImageError, LoadedImage};
use crate::session::Session;
use crate::value::HostArg;
use marquetry_ir::program::{MethodKind, Reference};
use marquetry_lower::legal::{Argument, Passing, Role};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// How many entries a message names.
const SHOWN_ENTRIES: usize = 10;

/// Whether a file is an image: it says so, or is called so.
pub(super) fn is_image(file: &Path) -> bool {
    if file.extension().is_some_and(|extension| extension == "mqi") {
        return true;
    }
    let is_file = std::fs::metadata(file).is_ok_and(|file| file.is_file());
    let mut start = Vec::new();
    // A pipe would be waited for, and be empty afterwards.
    let read =
        is_file.then(|| std::fs::File::open(file).ok()?.take(8).read_to_end(&mut start).ok()).flatten();
    read.is_some() && start == Image::MAGIC
}

impl Run {
    /// As [`Run::run`], of an image.
    pub(super) fn run_image(&self, given: &Given) -> CliResult {
        for option in ["--on", "--table", "-O", "--exceptions"] {
            given.refuse(option, " is about compiling, which is over for what is in an image")?;
        }
        let args = parse_arguments(&self.args).map_err(|e| CliError::Usage(format!("--args: {e}")))?;
        let (extent, with) = (self.extent()?, self.bindings()?);
        let shown = self.file.display();
        let failed = |error: &dyn std::fmt::Display| CliError::Failed(format!("'{shown}': {error}"));
        let image = Image::open(&self.file).map_err(|error| match error {
            // It names the file.
            ImageError::File { .. } => CliError::Failed(error.to_string()),
            error => failed(&error),
        })?;
        let number = find(&image, &self.entry, extent.is_some()).map_err(|message| failed(&message))?;
        let program = input::read_valid(&self.program)?;
        let mut options =
            launch_options(&program, &with).map_err(|e| CliError::Failed(format!("--state: {e}")))?;
        let host = Arc::new(input::words(&self.resolve)?);
        let needed: Vec<Reference> = image.symbols().map(|symbol| symbol.reference()).collect();
        input::check_words(&host, &program, &needed)?;
        let session = Session::over(program).hosted(host.clone());
        // SAFETY: whoever names a file to be run vouches for it, as for a program; what their words are worth is theirs, too.
        #[allow(unsafe_code, reason = "what the file holds is its user's promise")]
        let image =
            unsafe { session.add_image(image, &session.symbols()) }.map_err(|error| failed(&error))?;
        let code = image.code(number).map_err(|error| failed(&error))?;
        if !self.program.is_empty() {
            fresh(&session, &image, number).map_err(|message| failed(&message))?;
        }
        let mut args: Vec<HostArg> = args.iter().map(argument::Argument::materialise).collect();
        check(&code, &args).map_err(|message| failed(&message))?;
        let watchdog = watchdog(self.timeout, "the program was given up")?;
        let watched = watchdog.begin(format!("{shown}: '{}'", self.entry));
        let mut printed = Vec::new();
        let outcome = match extent {
            None => code.call(&mut args),
            Some(extent) => {
                let launcher = Launcher::open(DeviceKind::Cpu).map_err(CliError::Failed)?.hosted(host);
                let launched = launcher.launch_with(&Arc::new(code), extent, &mut args, &mut options);
                launched.map(|launched| {
                    printed = launched.output;
                    launched.outcome
                })
            }
        };
        drop(watched);
        self.finish(&printed, outcome.map_err(|error| failed(&error)), &args, &options)
    }
}

/// An entry as it is shown.
fn described(entry: &ImageEntry<'_>) -> String {
    let kind = if entry.kind == MethodKind::Kernel { "kernel " } else { "" };
    format!("{kind}{}", entry.name)
}

/// The number of the entry that is meant: a name, or one with types of arguments as the image spells them.
fn find(image: &Image, wanted: &str, is_launch: bool) -> Result<u32, String> {
    let squeezed = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let is_meant = |name: &str| match Entry::of(wanted) {
        Entry::Call(call) => squeezed(name) == squeezed(call),
        Entry::Name(wanted) => name.strip_prefix(&*wanted).is_some_and(|rest| rest.starts_with('(')),
    };
    let found: Vec<(u32, ImageEntry<'_>)> =
        (0..).zip(image.entries()).filter(|(_, entry)| is_meant(entry.name)).collect();
    let list = |entries: &mut dyn Iterator<Item = &ImageEntry<'_>>| {
        let mut names: Vec<String> = entries.take(SHOWN_ENTRIES + 1).map(described).collect();
        if names.len() > SHOWN_ENTRIES {
            names[SHOWN_ENTRIES] = "...".to_owned();
        }
        names.join(", ")
    };
    match &found[..] {
        [] => {
            let all: Vec<ImageEntry<'_>> = image.entries().collect();
            Err(format!("the image has no '{wanted}'; it has {}", list(&mut all.iter())))
        }
        [(_, entry)] if (entry.kind == MethodKind::Kernel) != is_launch => Err(match is_launch {
            true => format!("'{}' is a function: it is called, not launched", entry.name),
            false => format!("'{}' is a kernel: to launch it, give --grid", entry.name),
        }),
        // Work-items ask a device where they are, and print through it.
        [(_, entry)] if is_launch && !entry.device => Err(format!(
            "'{}' was not compiled for a device: what only devices have does nothing in it; build it for one, as \
             marq build does with kernels",
            entry.name
        )),
        [(number, _)] => Ok(*number),
        [(_, first), .., (_, last)] if first.name == last.name => Err(format!(
            "the image has several '{}', which were compiled with different settings: {}; {}",
            first.name, first.config, last.config
        )),
        _ => Err(format!(
            "'{wanted}' may be {}: say for which types",
            list(&mut found.iter().map(|(_, entry)| entry))
        )),
    }
}

/// Whether an entry is what the session's program says.
fn fresh(session: &Session, image: &LoadedImage, number: u32) -> Result<(), String> {
    let entry = image.entries().nth(number as usize);
    let (Some(entry), Ok(stale)) = (entry, session.stale(image).map_err(|error| error.to_string())) else {
        return Err("the image is damaged".to_owned());
    };
    match stale.iter().find(|stale| stale.name == entry.name && stale.config == entry.config) {
        Some(stale) => Err(format!(
            "'{}' is not what the program says now: {}; build the image again",
            entry.name, stale.why
        )),
        None => Ok(()),
    }
}

/// Whether code takes arguments of these types, as far as the image knows. Whether they are as many and as large is seen when
/// they are passed.
fn check(code: &Compiled, args: &[HostArg]) -> Result<(), String> {
    let entry = code.entry().map_err(|error| error.to_string())?;
    let is_passed =
        |argument: &&Argument| argument.role == Role::Argument && argument.passing != Passing::Ghost;
    let has_bytes = |arg: &&HostArg| !matches!(arg, HostArg::Aggregate(bytes) if bytes.is_empty());
    let pairs = entry.arguments().iter().filter(is_passed).zip(args.iter().filter(has_bytes));
    for (n, (wanted, arg)) in pairs.enumerate() {
        // Structs are known by their size only.
        let ty = wanted.ty;
        let fits = match arg {
            _ if !ty.is_known() => true,
            HostArg::Value(value) => value.ty() == ty || value.ty().is_pointer() && ty.is_pointer(),
            HostArg::Aggregate(_) => false,
            HostArg::Buffer { .. } => ty.is_pointer(),
        };
        if !fits {
            let found = arg.description();
            return Err(format!("argument {n} is {found}, but '{}' takes {ty}", entry.symbol));
        }
    }
    Ok(())
}
