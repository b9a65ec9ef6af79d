//! From a program and a job to code for one target: the whole way, in one function.

mod compiled;
mod error;
mod target;

pub use compiled::{Child, Code, Compiled, exhausted_in};
pub use error::CompileError;
pub use target::Target;

use crate::engine::EngineError;
use crate::memory::{self, Memory};
use marquetry_codegen::artifact::Artifact;
use marquetry_codegen::native::{ObjectPlan, emit_jit_with, emit_planned};
use marquetry_ir::entity::Method;
use marquetry_ir::program::{NoHost, Program, Resolve};
use marquetry_ir::text;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{DebugLevel, Job, JobEntry};
use marquetry_lower::observe::{Observer, Silent};
use marquetry_lower::pipeline::{self, Lowering, Setup};
use marquetry_lower::references::Strategy;
use marquetry_lower::runtime::Library;
use marquetry_lower::stage::Stage;
use std::collections::HashSet;
use std::sync::Arc;

/// Where native code goes; everything else is an artifact anyway.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Form {
    /// Into this process's memory.
    #[default]
    Memory,
    /// Into a relocatable object.
    Object,
}

/// Addresses of the host's functions, by link name.
pub(crate) type Symbols<'a> = &'a dyn Fn(&str) -> Option<*const u8>;

/// Compiles a job, native code for this process.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn compile(program: &Program, job: &Job, target: &Target) -> Result<Compiled, EngineError> {
    compile_with(program, job, target, &Library::new())
}

/// As [`compile_with`], for a host that supplies words: those of code in this process, and those that are baked in.
///
/// # Errors
/// As [`compile`]; or words are missing.
pub fn compile_for(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
    host: &dyn Resolve,
) -> Result<Compiled, EngineError> {
    memory::with(|memory| {
        let setup = Setup { host, ..Setup::new(target.lowering(), library) };
        let lowering = lower(memory, program, job, &setup, &mut Silent)?;
        emit(memory, &lowering, target, Form::Memory, &|_| None, host)
    })
}

/// As [`compile`], with a device library that is kept for other jobs of the program.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
) -> Result<Compiled, EngineError> {
    compile_for(program, job, target, library, &NoHost)
}

/// All stages but the last.
pub(crate) fn lower(
    memory: &mut Memory,
    program: &Program,
    job: &Job,
    setup: &Setup<'_>,
    observer: &mut dyn Observer,
) -> Result<Lowering, Failure> {
    let lowering = pipeline::run_recorded(&mut memory.lowering, program, job, setup, observer);
    match &lowering {
        Ok(_) => memory.used(),
        // Nobody knows how large it was.
        Err(_) => memory.forget(),
    }
    lowering
}

/// The last step of a job.
pub(crate) fn emit(
    memory: &mut Memory,
    lowering: &Lowering,
    target: &Target,
    form: Form,
    symbols: Symbols<'_>,
    host: &dyn Resolve,
) -> Result<Compiled, EngineError> {
    let legal = &lowering.legal;
    let code = match (target, form) {
        (Target::Native(target), Form::Memory) => {
            // Code in memory is loaded as soon as it is made.
            let filled = match legal.references() {
                Strategy::Defer => None,
                _ if !legal.has_slots() => None,
                _ => Some(legal.clone().baked_by(host)?),
            };
            let legal = filled.as_ref().unwrap_or(legal);
            Code::Jit(Arc::new(emit_jit_with(legal, target, symbols, &mut memory.native)?))
        }
        (Target::Native(target), Form::Object) => {
            let addresses = |name: &str| symbols(name).map(|address| address.expose_provenance() as u64);
            let plan = ObjectPlan { addresses: &addresses, ..ObjectPlan::default() };
            Code::Artifact(Box::new(emit_planned(legal, target, &plan, &mut memory.native)?))
        }
        (other, _) => Code::Artifact(Box::new(other.emit_in(legal, memory)?)),
    };
    Ok(Compiled::new(code, lowering))
}

/// Compiles a job to an artifact; native code as a relocatable object.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn compile_artifact(program: &Program, job: &Job, target: &Target) -> Result<Artifact, CompileError> {
    compile_artifact_with(program, job, target, &Library::new())
}

/// As [`compile_artifact`], with a device library that is kept for other jobs of the program.
///
/// # Errors
/// As [`compile_artifact`].
pub fn compile_artifact_with(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
) -> Result<Artifact, CompileError> {
    compile_artifact_for(program, job, target, library, &NoHost)
}

/// As [`compile_artifact_with`], for a host that supplies the words that are baked in.
///
/// # Errors
/// As [`compile_artifact`]; or words are missing.
pub fn compile_artifact_for(
    program: &Program,
    job: &Job,
    target: &Target,
    library: &Library,
    host: &dyn Resolve,
) -> Result<Artifact, CompileError> {
    memory::with(|memory| {
        let setup = Setup { host, ..Setup::new(target.lowering(), library) };
        let lowering = lower(memory, program, job, &setup, &mut Silent)?;
        Ok(target.emit_in(&lowering.legal, memory)?)
    })
}

/// What a name means where hosts compile it through a view: each of its methods that the view can see, or what takes the
/// place of one.
pub fn entries_named(program: &Program, view: &View, name: &str) -> Vec<JobEntry> {
    let methods: Vec<Method> = view.candidates(program, name).collect();
    let mut entries = entries_of(program, view, &methods);
    // Those with variables, unless they stand for others.
    let open = methods.into_iter().filter(|&method| program.method(method).is_generic());
    let open: Vec<Method> = open.filter(|&open| entries.iter().all(|entry| entry.method != open)).collect();
    entries.extend(open.into_iter().map(JobEntry::from));
    entries
}

/// What methods without variables mean through a view, each once: themselves, or what takes their place.
pub fn entries_of(program: &Program, view: &View, methods: &[Method]) -> Vec<JobEntry> {
    let mut entries: Vec<JobEntry> = Vec::new();
    let mut known: HashSet<JobEntry> = HashSet::new();
    for data in methods.iter().map(|&method| program.method(method)).filter(|data| !data.is_generic()) {
        let params = &data.signature.params;
        let Answer::Method(meant) = look_up(program, view, &data.name, params).answer else { continue };
        let arguments = program.method(meant).is_generic().then(|| params.as_slice().into());
        let entry = JobEntry { method: meant, arguments };
        if known.insert(entry.clone()) {
            entries.push(entry);
        }
    }
    entries
}

/// What a job is at a stage, as text: the program, a unit, or the target's code. Methods of the library are left out
/// of the program, and are comments as long as they have not been optimised: every program starts with them, and the text
/// reads back.
///
/// # Errors
/// The program is wrong, the target cannot do what it asks for, or a limit is passed.
pub fn text_at(program: &Program, job: &Job, target: &Target, stage: Stage) -> Result<String, CompileError> {
    text_for(program, job, target, stage, &NoHost)
}

/// As [`text_at`], for a host that supplies the words that are baked in.
///
/// # Errors
/// As [`text_at`]; or words are missing.
pub fn text_for(
    program: &Program,
    job: &Job,
    target: &Target,
    stage: Stage,
    host: &dyn Resolve,
) -> Result<String, CompileError> {
    let library = Library::new();
    let setup = Setup { host, ..Setup::new(target.lowering(), &library) };
    Ok(match stage {
        Stage::Program => text::print_own_program(program),
        Stage::Code => {
            let mut context = pipeline::Context::new();
            let lowering = pipeline::run_recorded(&mut context, program, job, &setup, &mut Silent)?;
            target.emit_text(&lowering.legal)?
        }
        _ => {
            let unit = pipeline::run_until_with(program, job, &setup, stage)?;
            let (mut plain, mut places) = (Plain, text::Places::new(&unit));
            let annotate: &mut dyn text::Annotate = match job.options.debug_level {
                DebugLevel::None => &mut plain,
                DebugLevel::Lines | DebugLevel::Full => &mut places,
            };
            match stage {
                Stage::Specialised => text::print_own_unit_with(&unit, annotate),
                _ => text::print_unit_with(&unit, annotate),
            }
        }
    })
}

/// No comments.
struct Plain;

impl text::Annotate for Plain {}
