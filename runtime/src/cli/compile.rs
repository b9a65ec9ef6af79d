//! `marq compile`: code for one target, or the unit at an earlier stage.

use super::given::Given;
use super::input::{self, Entry, Tables};
use super::references::References;
use super::{CliError, CliResult, output};
use crate::compile::{CompileError, Target, compile_artifact_for, entries_named, entries_of, text_for};
use clap::Args;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, MethodKind, Program};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{DebugLevel, EntryConvention, Job, JobEntry, OptLevel};
use marquetry_lower::runtime::Library;
use marquetry_lower::runtime::host::HostPolicy;
use marquetry_lower::stage::Stage;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Compile to native code, PTX, SPIR-V or a shading language
#[derive(Args, Debug)]
pub(super) struct Compile {
    /// The program; '-' is standard input
    file: PathBuf,
    /// What to compile, with the types of its arguments where it has type variables: 'axpy(f32, f32, f32)'; a name that
    /// is no identifier stands in double quotes: '"odd name"'; may be given more than once. Without it: every kernel, or, for native code of a program without kernels, every function
    #[arg(long, value_name = "NAME")]
    entry: Vec<String>,
    /// native[:TRIPLE][+static], ptx[:sm_XX], spirv[:vulkan1.X|:opencl2.X], or a shading language for groups of one size:
    /// wgsl, msl, hlsl with [:XxYxZ], 64 by default. Behind ptx, each after a comma, bounds of launches:
    /// maxntid=XxYxZ, reqntid=XxYxZ, minnctapersm=N, maxnreg=N
    #[arg(long, value_name = "TARGET")]
    target: String,
    #[command(flatten)]
    tables: Tables,
    /// A table of the runtime provider, in which link names (gpu_...) are looked up for devices, in place of the library's; may be
    /// given more than once, first asked first
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// What code for the host gets for functions that only devices have: sentinel (a harmless value), trap (an
    /// exception) or error (compilation fails)
    #[arg(long, value_name = "POLICY", default_value = "sentinel")]
    host_policy: String,
    /// Stop at a stage and print the unit: program, specialised, optimised, exceptions, legal or code
    #[arg(long, value_name = "STAGE", default_value = "code")]
    stage: String,
    /// Optimisation level, 0 to 3
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_level: u32,
    /// Debug information: 0 for none, 1 for lines, 2 for inlined calls and names of values as well; -g is -g2
    #[arg(short = 'g', value_name = "LEVEL", default_value = "0", default_missing_value = "2", num_args = 0..=1, value_parser = input::debug_level)]
    debug_level: u32,
    /// What becomes of a work-item that throws: report (the first one reports as -g says, all signal and return), exit (all
    /// signal and return) or trap (all signal, then the target's trap ends the launch)
    #[arg(long, value_name = "POLICY", default_value = "report")]
    exceptions: String,
    /// How hosts call functions: native (the platform's C convention) or packed (the addresses of a block of arguments
    /// and of one for results, for every function alike)
    #[arg(long, value_name = "ABI", default_value = "native")]
    entry_abi: String,
    #[command(flatten)]
    references: References,
    /// Where to write the code, '-' for standard output; without it, it is printed as text
    #[arg(short, value_name = "OUT")]
    output: Option<PathBuf>,
}

impl Compile {
    pub(super) fn run(self, given: &Given) -> CliResult {
        let stage = input::one_of("a stage", &self.stage, &Stage::ALL, Stage::name)?;
        let policy = input::one_of("a host policy", &self.host_policy, &HostPolicy::ALL, HostPolicy::name)?;
        let conventions = &EntryConvention::ALL;
        let entry_abi = input::one_of("an entry ABI", &self.entry_abi, conventions, EntryConvention::name)?;
        let throws = input::throw_policy(&self.exceptions)?;
        let (references, words) = self.references.read()?;
        let opt_level = OptLevel::from_number(self.opt_level).unwrap_or_default();
        let target =
            Target::parse(&self.target, opt_level).map_err(|error| CliError::Usage(error.to_string()))?;
        if target.is_device() {
            let why = format!(" is for native code, not for {}", self.target);
            ["--host-policy", "--entry-abi"].iter().try_for_each(|option| given.refuse(option, &why))?;
        }
        if self.output.is_none() || stage != Stage::Code {
            given.refuse("--patches", " is for code that -o writes")?;
        }
        let outputs: Vec<&Path> = self.output.as_deref().into_iter().chain(self.references.list()).collect();
        output::check_apart(&outputs, std::slice::from_ref(&self.file))?;
        let mut program = input::read_valid(&[&self.file])?;
        input::check_words(&words, &program, &[])?;
        let tables = self.tables.find(&program)?;
        let view = input::view(&program, &target, &tables, &self.provider)?.with_host_policy(policy);
        let mut instances: Vec<JobEntry> = Vec::new();
        let mut names = Vec::new();
        for entry in self.entry.iter().map(|entry| Entry::of(entry)) {
            match entry {
                Entry::Call(call) => {
                    instances.push(input::instance_in(&mut program, &view, call).map_err(CliError::Failed)?);
                }
                Entry::Name(name) => names.push(name),
            }
        }
        input::show_hidden(&program, &view);
        let entries = self.entries(&program, &target, &view, &names)?;
        let mut kinds = entries.iter().chain(&instances).map(|entry| program.method(entry.method).kind);
        if !target.is_device() && kinds.all(|kind| kind == MethodKind::Function) {
            given.refuse("--exceptions", " is for kernels, and only functions are compiled")?;
        }
        let mut job = Job { entries, ..Job::new(Vec::new(), view, opt_level) };
        job.options.debug_level = DebugLevel::from_number(self.debug_level).unwrap_or_default();
        job.options.throws = throws;
        job.options.entry_abi = entry_abi;
        job.options.references = references;
        job.entries.append(&mut instances);
        let failed = |error: CompileError| match error.diagnostics() {
            Some(diagnostics) => {
                input::show(&diagnostics, &program.files);
                CliError::Reported
            }
            None => CliError::Failed(error.to_string()),
        };
        if let (Some(path), Stage::Code) = (&self.output, stage) {
            let artifact = compile_artifact_for(&program, &job, &target, &Library::new(), &words);
            let artifact = artifact.map_err(failed)?;
            let list = self.references.open_words(&[&artifact])?;
            output::write(path, &artifact.code)?;
            // Last: where nothing was made, an old list still belongs to what is there.
            return self.references.write(&list);
        }
        let text = text_for(&program, &job, &target, stage, &words).map_err(failed)?;
        match &self.output {
            Some(path) => output::write(path, text.as_bytes()),
            None => output::print(text.as_bytes()),
        }
    }

    fn entries(
        &self,
        program: &Program,
        target: &Target,
        view: &View,
        names: &[Cow<'_, str>],
    ) -> Result<Vec<JobEntry>, CliError> {
        // The library's files come first; what the user wrote is in the last one.
        let own = program.files.len() as u32 - 1;
        if self.entry.is_empty() {
            // Overlays of functions may be of any function, the library's among them.
            let seen = |data: &MethodData| match data.kind {
                MethodKind::Kernel => view.tables().contains(&data.table()),
                MethodKind::Function => data.table() == Table::BASE,
            };
            let of_kind = |kind| -> Vec<JobEntry> {
                let mine =
                    program.methods().filter(|(_, m)| m.kind == kind && m.file == Some(own) && seen(m));
                let mine: Vec<Method> = mine.map(|(method, _)| method).collect();
                entries_of(program, view, &mine)
            };
            let mut entries = of_kind(MethodKind::Kernel);
            if entries.is_empty() && !target.is_device() {
                entries = of_kind(MethodKind::Function);
            }
            return match entries.is_empty() {
                true => Err(CliError::Failed(input::nothing_to_compile(!target.is_device()))),
                false => Ok(entries),
            };
        }
        let mut entries = Vec::new();
        for name in names {
            let found = entries_named(program, view, name);
            if found.is_empty() {
                return Err(CliError::Failed(format!("there is no '{name}'")));
            }
            entries.extend(found);
        }
        Ok(entries)
    }
}
