//! `marq build`: a whole program, or some of it, ahead of time.

mod options;
mod parts;

use super::given::Given;
use super::input::{self, Entry, Tables};
use super::references::References;
use super::{CliError, CliResult, output};
use crate::aot::link::{self, Linker};
use crate::aot::{self, BuildError, Emit, Plan, choose};
use crate::compile::Target;
use crate::session::{self, Backend, Session};
use clap::Args;
use marquetry_codegen::artifact::Artifact;
use marquetry_codegen::native::{ExternPolicy, NativeOptions, NativeTarget, Relocation};
use marquetry_ir::near::near;
use marquetry_ir::program::{MethodKind, Program, Words};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{DebugLevel, EntryConvention, Job, JobEntry, OptLevel, Options};
use marquetry_lower::runtime::host::HostPolicy;
use options::Made;
use parts::Part;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use target_lexicon::Triple;

/// Compile ahead of time to an object, a library, an executable or an image
#[derive(Args, Debug)]
#[command(after_help = options::help())]
pub(super) struct Build {
    /// The program; '-' is standard input
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What to make: obj (a relocatable object), static or shared (a library), exe (an executable, whose 'main' is a
    /// method of this name), or image (what a session loads in place of compiling; its back-ends are 'native' for functions
    /// and 'cpu' for kernels, with --device 'cpu' for all)
    #[arg(long, value_name = "WHAT", default_value = "obj")]
    emit: String,
    /// Where to write it, '-' for standard output; without it, a file named like the first one of the program
    #[arg(short, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Where to write a C header with what is exported, '-' for standard output
    #[arg(long, value_name = "FILE")]
    header: Option<PathBuf>,
    /// native, for this machine and its features, or native:TRIPLE: x86_64, aarch64, riscv64gc or s390x on linux,
    /// x86_64 or aarch64 on darwin, x86_64 on windows
    #[arg(long, value_name = "TARGET", default_value = "native")]
    target: String,
    /// What to compile, with the types of its arguments where it has type variables: 'axpy(f32, f32, f32)'; may be given
    /// more than once. Without it: every function and kernel of the files that has none
    #[arg(long, value_name = "NAME")]
    entry: Vec<String>,
    /// Compile everything else that is in base, too: the library's functions as the host sees them
    #[arg(long, conflicts_with = "device")]
    library: bool,
    /// Compile functions, too, as the CPU device sees the program: what only devices have comes from the device table. Without
    /// --entry: every kernel, and nothing else
    #[arg(long)]
    device: bool,
    /// What others see, under its name as a C identifier, or as NAME=SYMBOL under this one; may be given more than once.
    /// Without it: every entry. Everything else is local
    #[arg(long, value_name = "NAME")]
    export: Vec<String>,
    /// How addresses in the code are resolved: pic (anywhere) or static (at a fixed place)
    #[arg(long, value_name = "MODEL", default_value = "pic")]
    relocation: String,
    /// How code gets at external functions: symbols, for linkers and loaders to resolve, or addresses, which
    /// --address states
    #[arg(long, value_name = "POLICY", default_value = "symbols")]
    externs: String,
    /// The address of an external function by link name, as in 'strlen=0x7f0012345678'; may be given more than once
    #[arg(long, value_name = "NAME=ADDRESS")]
    address: Vec<String>,
    /// The C compiler that links, if not 'cc' or, for another machine, one such as aarch64-linux-gnu-gcc
    #[arg(long, value_name = "CC")]
    linker: Option<String>,
    /// A further argument for the linker, such as -lfoo; may be given more than once
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    link_arg: Vec<String>,
    #[command(flatten)]
    references: References,
    #[command(flatten)]
    tables: Tables,
    /// What code gets for functions that only devices have: sentinel (a harmless value), trap (an exception) or error
    /// (compilation fails)
    #[arg(long, value_name = "POLICY", default_value = "sentinel")]
    host_policy: String,
    /// How functions are called: native (as C functions of ordinary types, as the header says) or packed (the addresses of a
    /// block of arguments and of one for results, for every function alike)
    #[arg(long, value_name = "ABI", default_value = "native")]
    entry_abi: String,
    /// Optimisation level, 0 to 3
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_level: u32,
    /// Debug information: 0 for none, 1 for lines, 2 for inlined calls and names of values as well; -g is -g2. File names
    /// in it are those of the command line
    #[arg(short = 'g', value_name = "LEVEL", default_value = "0", default_missing_value = "2", num_args = 0..=1, value_parser = input::debug_level)]
    debug_level: u32,
    /// How many threads compile; 0 for as many as the machine has. The result does not depend on it
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = threads())]
    threads: usize,
}

/// More threads than any machine has are a mistake.
fn threads() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(0..=1024)
}

fn failed(error: BuildError, program: &Program) -> CliError {
    match error {
        BuildError::Compile(error) => match error.diagnostics() {
            Some(diagnostics) => {
                input::show(&diagnostics, &program.files);
                CliError::Reported
            }
            None => CliError::Failed(error.to_string()),
        },
        BuildError::Plan(message) => CliError::Failed(message),
    }
}

impl Build {
    pub(super) fn run(self, given: &Given) -> CliResult {
        let made = Made::named(&self.emit)?;
        let (references, words) = self.references.read()?;
        options::check(given, references.name(), made)?;
        let entry_abi =
            input::one_of("an entry ABI", &self.entry_abi, &EntryConvention::ALL, EntryConvention::name)?;
        let options = Options {
            opt_level: OptLevel::from_number(self.opt_level).unwrap_or_default(),
            debug_level: DebugLevel::from_number(self.debug_level).unwrap_or_default(),
            entry_abi,
            references,
            ..Options::default()
        };
        match made {
            Made::Code(emit) => self.code(given, emit, &options, &words),
            Made::Image => self.image(&options, words),
        }
    }

    /// Reads the program, and says what is compiled of it, once it is known that outputs are apart from each other.
    fn plan(&self, outputs: &[&Path], words: &Words) -> Result<(Program, Vec<Part>), CliError> {
        output::check_apart(outputs, &self.files)?;
        let mut program = input::read_valid(&self.files)?;
        input::check_words(words, &program, &[])?;
        let entries = self.entries(&mut program)?;
        let parts = parts::of(&program, entries, self.device, &self.export);
        Ok((program, parts))
    }

    /// How an object is made: the target, and the addresses of functions of the host.
    fn target(&self, given: &Given) -> Result<(NativeTarget, BTreeMap<String, u64>), CliError> {
        let relocation =
            input::one_of("a relocation model", &self.relocation, &Relocation::ALL, Relocation::name)?;
        let externs =
            input::one_of("a policy for externs", &self.externs, &ExternPolicy::ALL, ExternPolicy::name)?;
        let addresses = self.addresses()?;
        if externs == ExternPolicy::Symbols && !addresses.is_empty() {
            return Err(CliError::Usage("--address is for --externs addresses".into()));
        }
        let options = NativeOptions {
            opt_level: self.opt_level as u8,
            relocation,
            externs,
            ..NativeOptions::default()
        };
        let target = NativeTarget::parse(&self.target, options);
        let target = target.map_err(|error| CliError::Usage(error.to_string()))?;
        let meant = target.options();
        for (option, told, meant) in [
            ("--relocation", relocation.name(), meant.relocation.name()),
            ("--externs", externs.name(), meant.externs.name()),
        ] {
            if told != meant {
                given.refuse(option, &format!(": the target says {meant}, and {option} {told}"))?;
            }
        }
        Ok((target, addresses))
    }

    /// Compiles to an object, or to what is linked of objects.
    fn code(self, given: &Given, emit: Emit, options: &Options, words: &Words) -> CliResult {
        let (target, addresses) = self.target(given)?;
        let policy = input::one_of("a host policy", &self.host_policy, &HostPolicy::ALL, HostPolicy::name)?;
        let out = self.output(Made::Code(emit), target.triple());
        let outputs = [Some(&*out), self.header.as_deref(), self.references.list()];
        let outputs: Vec<&Path> = outputs.into_iter().flatten().collect();
        let (program, parts) = self.plan(&outputs, words)?;
        let hosts = || program.externs.values().map(|host| &*host.link_name);
        if let Some(name) = addresses.keys().find(|&name| !hosts().any(|host| host == name)) {
            let near = near(name, hosts());
            let message = format!("--address: the program knows no function '{name}' of the host{near}");
            return Err(CliError::Usage(message));
        }
        let tables = self.tables.find(&program)?;
        if parts.len() == 1 {
            options::check_alone(given, Made::Code(emit))?;
        }
        let is_function = |entry: &JobEntry| program.method(entry.method).kind == MethodKind::Function;
        if !parts.iter().flat_map(|part| &part.entries).any(is_function) {
            given.refuse("--entry-abi", " is for functions, and only kernels are built")?;
        }
        if parts.iter().all(|part| part.device) {
            given.refuse(
                "--host-policy",
                " is for code that does not see the device table, and none is built",
            )?;
        }
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let header = self.header.as_deref().and_then(stem).unwrap_or_default();
        let mut built = Vec::new();
        for part in parts {
            let view = if part.device { View::device(&tables) } else { View::native(&tables) };
            let mut job = Job::new(Vec::new(), view.with_host_policy(policy), options.opt_level);
            job.options = options.clone();
            job.entries = part.entries;
            let plan = Plan {
                exports: part.exports,
                addresses: addresses.clone(),
                words: words.clone(),
                threads: self.threads,
                header: if part.is_second { format!("{header}_kernels") } else { header.clone() },
                // It is in the first part that an executable starts.
                emit: if part.is_second && emit == Emit::Executable { Emit::Object } else { emit },
            };
            built.push(aot::build(&program, &job, &target, &plan).map_err(|error| failed(error, &program))?);
        }
        parts::check_joint(&built)?;
        let artifacts: Vec<&Artifact> = built.iter().map(|part| &part.artifact).collect();
        let list = self.references.open_words(&artifacts)?;
        let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (command, arguments) = (self.linker.clone(), self.link_arg.clone());
        let start = built.iter_mut().find_map(|part| part.start.take());
        let linker = Linker { command, arguments, name, start };
        let header = aot::header::header(&built, &program);
        let objects = built.into_iter().map(|part| part.artifact.code).collect();
        let bytes = link::link(emit, objects, &target, &linker)
            .map_err(|error| CliError::Failed(error.to_string()))?;
        match emit {
            _ if out == Path::new("-") => output::print(&bytes)?,
            Emit::Object | Emit::Static => output::replace(&out, &bytes)?,
            Emit::Shared | Emit::Executable => output::replace_executable(&out, &bytes)?,
        }
        // Last: where nothing was made, an old header still belongs to what is there.
        self.references.write(&list)?;
        self.header.as_ref().map_or(Ok(()), |path| output::write(path, header.as_bytes()))
    }

    /// Compiles to an image. Functions are what sessions find through a back-end `native`, kernels through `cpu`, each as
    /// the parts of an object are compiled.
    fn image(self, options: &Options, words: Words) -> CliResult {
        let target = Target::parse(&self.target, options.opt_level);
        let target = target.map_err(|error| CliError::Usage(error.to_string()))?;
        let out = self.output(Made::Image, &Triple::host());
        let (program, parts) = self.plan(&[&out], &words)?;
        self.tables.find(&program)?;
        let tables: Vec<&str> = self.tables.names.iter().map(String::as_str).collect();
        let session = Session::over(program).hosted(Arc::new(words));
        let world = session.world();
        let mut jobs = Vec::new();
        for part in parts {
            let mut backend = match part.device {
                true => Backend::cpu_device("cpu", target.clone()),
                false => Backend::new("native", target.clone()),
            };
            backend.tables(&tables);
            let config = session.add_backend(backend);
            let mut config = config.map_err(|error| CliError::Failed(error.to_string()))?;
            config.options = options.clone();
            let job = |entry| session::Job { entry, config: config.clone(), world };
            jobs.extend(part.entries.into_iter().map(job));
        }
        let threads = NonZero::new(self.threads).or_else(|| std::thread::available_parallelism().ok());
        let image = session.image_with_threads(&jobs, threads.map_or(1, NonZero::get));
        let image = image.map_err(|error| CliError::Failed(error.to_string()))?;
        output::write(&out, &image)
    }

    /// Where the result goes: if no file is named, to one that is named like the first one of the program.
    fn output(&self, made: Made, triple: &Triple) -> PathBuf {
        let usual = || {
            let first = self.files.first().filter(|file| file.as_path() != Path::new("-"));
            let stem =
                first.and_then(|file| file.file_stem()).map_or("out".into(), |stem| stem.to_string_lossy());
            made.file_name(&stem, triple).into()
        };
        self.output.clone().unwrap_or_else(usual)
    }

    fn addresses(&self) -> Result<BTreeMap<String, u64>, CliError> {
        let mut addresses = BTreeMap::new();
        for text in &self.address {
            let read = text.rsplit_once('=').and_then(|(name, address)| {
                let hex = address.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
                Some((name.to_owned(), hex.unwrap_or_else(|| address.parse()).ok()?))
            });
            let bad = || CliError::Usage(format!("--address: '{text}' is not NAME=ADDRESS"));
            let (name, address) = read.ok_or_else(bad)?;
            if addresses.insert(name.clone(), address).is_some_and(|other| other != address) {
                return Err(CliError::Usage(format!("--address: '{name}' has two addresses")));
            }
        }
        Ok(addresses)
    }

    fn entries(&self, program: &mut Program) -> Result<Vec<JobEntry>, CliError> {
        let mut entries: Vec<JobEntry> = Vec::new();
        for entry in self.entry.iter().map(|entry| Entry::of(entry)) {
            match entry {
                Entry::Call(call) => entries.push(input::instance(program, call).map_err(CliError::Failed)?),
                Entry::Name(name) => {
                    let named = choose::named(program, &name).map_err(CliError::Failed)?;
                    entries.extend(named.into_iter().map(JobEntry::from));
                }
            }
        }
        if self.entry.is_empty() || self.library {
            let mut concrete = choose::concrete(program, self.library);
            concrete.retain(|&method| !self.device || program.method(method).kind == MethodKind::Kernel);
            entries.extend(concrete.into_iter().map(JobEntry::from));
        }
        // A method that needs no types is the same with them.
        for entry in &mut entries {
            if !program.method(entry.method).is_generic() {
                entry.arguments = None;
            }
        }
        let mut seen = BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.clone()));
        match entries.is_empty() {
            true => Err(CliError::Failed(input::nothing_to_compile(!self.device))),
            false => Ok(entries),
        }
    }
}
