//! Ahead of time: a program as an object, a library or an executable, with a C header.
//!
//! What is compiled is a job, as ever. What others see of it is a list of exports; everything else is local. The
//! signatures and names that C sees are decided in `marquetry_codegen::native` and spelled in [`header`]; archives and
//! the system's linker are in [`link`]. [`choose`] says which methods of a program are meant.
//!
//! The same program, job and plan give the same bytes, whatever the folder, the machine's load or the number of threads.
//! No path gets into the code but, at `-g1` and `-g2`, the names of source files as the host gave them.

pub mod choose;
pub mod header;
pub mod link;
mod exports;
mod start;

use crate::compile::{CompileError, lower};
use crate::memory;
use marquetry_codegen::artifact::Artifact;
use marquetry_codegen::native::{Export, ExportKind, NativeTarget, ObjectPlan, emit_planned};
use marquetry_ir::program::{Program, Words};
use marquetry_ir::types::Space;
use marquetry_lower::job::Job;
use marquetry_lower::legal::Legal;
use marquetry_lower::observe::Silent;
use marquetry_lower::pipeline::Setup;
use marquetry_lower::runtime::Library;
use std::collections::BTreeMap;
use std::fmt;

/// What is made of a program.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Emit {
    /// A relocatable object.
    #[default]
    Object,
    /// A static library.
    Static,
    /// A shared library.
    Shared,
    /// An executable.
    Executable,
}

impl Emit {
    /// All of them.
    pub const ALL: [Emit; 4] = [Emit::Object, Emit::Static, Emit::Shared, Emit::Executable];

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            Emit::Object => "obj",
            Emit::Static => "static",
            Emit::Shared => "shared",
            Emit::Executable => "exe",
        }
    }

    /// What has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Emit::ALL.into_iter().find(|emit| emit.name() == name)
    }
}

/// What an object of a program is made with, besides job and target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// What others see: names of methods or of instances, `axpy` or `axpy(f32, f32, f32)`, each with `=SYMBOL` behind it
    /// where the symbol is to be another one. None for every entry of the job.
    pub exports: Option<Vec<String>>,
    /// The addresses of functions of the host, by link name, for targets that want them.
    pub addresses: BTreeMap<String, u64>,
    /// The words to bake in, for jobs that have them baked.
    pub words: Words,
    /// How many threads compile, at most; 0 for as many as the machine has.
    pub threads: usize,
    /// What the [header](header::header) is called, for the guard in it and for what it says of this object; empty if none
    /// is wanted.
    pub header: String,
    /// What is to become of the object: an executable starts at what is exported as `main`, and the object of a shared library
    /// may have to say itself what others see.
    pub emit: Emit,
}

/// A program as an object.
#[derive(Clone, Debug)]
pub struct Built {
    /// The object.
    pub artifact: Artifact,
    /// What others see of it, and how it is called, in the order of the job's entries.
    pub exports: Vec<(Export, ExportKind)>,
    /// C code that an executable starts in, if its `main` may throw: it calls that, reports what it threw, and ends the
    /// process with status 1.
    pub start: Option<String>,
    /// What became code.
    legal: Legal,
    /// What the plan calls its header.
    name: String,
}

impl Built {
    /// The globals of the program that its code may write, each of which is memory of its own here.
    pub fn memory(&self) -> impl Iterator<Item = &str> {
        let globals = self.legal.unit().globals.values();
        globals.filter(|global| global.space == Space::Global).map(|global| &*global.name)
    }
}

/// Why a program did not become an object.
#[derive(Clone, Debug)]
pub enum BuildError {
    /// It did not become code.
    Compile(CompileError),
    /// The plan names what is not there, or names two things alike.
    Plan(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::Compile(error) => error.fmt(f),
            BuildError::Plan(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for BuildError {}

impl<E: Into<CompileError>> From<E> for BuildError {
    fn from(error: E) -> Self {
        BuildError::Compile(error.into())
    }
}

/// Compiles a job to an object.
///
/// # Errors
/// The program is wrong, a limit is passed, or the plan does not fit the job.
pub fn build(program: &Program, job: &Job, target: &NativeTarget, plan: &Plan) -> Result<Built, BuildError> {
    memory::with(|memory| {
        let library = Library::new();
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = if plan.threads == 0 { cores() } else { plan.threads };
        let setup = Setup { threads, host: &plan.words, ..Setup::new(target, &library) };
        let legal = lower(memory, program, job, &setup, &mut Silent)?.legal;
        let mut exports = exports::of(program, job, &legal, plan)?;
        let start = if plan.emit == Emit::Executable { start::prepare(&legal, &mut exports)? } else { None };
        let object = ObjectPlan {
            exports: Some(&exports),
            addresses: &|name| plan.addresses.get(name).copied(),
            threads,
            shared: plan.emit == Emit::Shared,
        };
        let artifact = emit_planned(&legal, target, &object, &mut memory.native)?;
        let waits = artifact.scheduling.as_ref().map_or(&[][..], |known| &known.waits);
        let kinds = exports.iter().filter_map(|export| {
            let waits = waits.get(export.entry).is_some_and(|&waits| waits);
            Some((export.clone(), ExportKind::of(&legal, export, waits)?))
        });
        let exports: Vec<(Export, ExportKind)> = kinds.collect();
        let start = start.map(|start| start.code(&artifact, job.options.debug_level));
        Ok(Built { artifact, exports, start, legal, name: plan.header.clone() })
    })
}
