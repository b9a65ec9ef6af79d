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

use crate::compile::{CompileError, lower};
use crate::memory;
use crate::near::near;
use marquetry_codegen::artifact::Artifact;
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::{
    CReturn, CSignature, Export, ExportKind, NativeTarget, ObjectPlan, c_name, emit_planned,
};
use marquetry_ir::program::Program;
use marquetry_ir::types::Type;
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
    /// How many threads compile, at most; 0 for as many as the machine has.
    pub threads: usize,
    /// What the header is called, for the guard in it.
    pub header: String,
}

/// A program as an object.
#[derive(Clone, Debug)]
pub struct Built {
    /// The object.
    pub artifact: Artifact,
    /// What others see of it, and how it is called, in the order of the job's entries.
    pub exports: Vec<(Export, ExportKind)>,
    /// The C header.
    pub header: String,
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
        let setup = Setup { threads, ..Setup::new(target, &library) };
        let legal = lower(memory, program, job, &setup, &mut Silent)?.legal;
        let exports = exports(program, job, &legal, plan)?;
        let object = ObjectPlan {
            exports: Some(&exports),
            addresses: &|name| plan.addresses.get(name).copied(),
            threads,
        };
        let artifact = emit_planned(&legal, target, &object, &mut memory.native)?;
        let waits = artifact.scheduling.as_ref().map_or(&[][..], |known| &known.waits);
        let kinds = exports.iter().filter_map(|export| {
            let waits = waits.get(export.entry).is_some_and(|&waits| waits);
            Some((export.clone(), ExportKind::of(&legal, export.entry, waits)?))
        });
        let exports: Vec<(Export, ExportKind)> = kinds.collect();
        let header = header::header(&legal, &exports, program, &plan.header);
        Ok(Built { artifact, exports, header })
    })
}

impl Built {
    /// Whether an executable can start at it: a `main` as C has it.
    ///
    /// # Errors
    /// Why not.
    pub fn check_main(&self) -> Result<(), String> {
        let main = self.exports.iter().find(|(export, _)| &*export.symbol == "main");
        let Some((_, kind)) = main else {
            return Err("an executable starts at 'main', and nothing of this name is exported: write 'method main() -> \
                        i32', or link an object with a program of yours"
                .to_owned());
        };
        let types =
            |signature: &CSignature| signature.params.iter().map(|param| param.ty).collect::<Vec<Type>>();
        match kind {
            ExportKind::Function(signature) if signature.returns == CReturn::Status => {
                Err("'main' may throw, and nobody is there to catch: write one that cannot".to_owned())
            }
            ExportKind::Function(signature)
                if signature.returns == CReturn::Value(Type::I32)
                    && match *types(signature) {
                        [] => true,
                        [count, values] => count == Type::I32 && values.is_pointer(),
                        _ => false,
                    } =>
            {
                Ok(())
            }
            _ => Err("'main' is not one of C: it returns i32, and takes nothing, or an i32 and a pointer"
                .to_owned()),
        }
    }
}

/// What others see of a job's code, under which symbols.
fn exports(program: &Program, job: &Job, legal: &Legal, plan: &Plan) -> Result<Vec<Export>, BuildError> {
    let unit = legal.unit();
    if unit.entries.len() != job.entries.len() {
        let message = "the entries of the unit are not those of the job".to_owned();
        return Err(EmitError::Internal(message).into());
    }
    let names: Vec<(&str, &str)> = unit
        .entries
        .iter()
        .zip(&job.entries)
        .map(|(&func, entry)| (&*unit.funcs[func].name, &*program.method(entry.method).name))
        .collect();
    let mut symbols = BTreeMap::<usize, String>::new();
    match &plan.exports {
        None => symbols.extend(names.iter().enumerate().map(|(n, (name, _))| (n, c_name(name)))),
        Some(wanted) => {
            for text in wanted {
                let (name, symbol) = match text.rsplit_once('=') {
                    Some((name, symbol)) if !name.is_empty() => (name, Some(symbol)),
                    _ => (text.as_str(), None),
                };
                let fits = |(own, method): (&str, &str)| own == name || method == name;
                let found: Vec<usize> = (0..names.len()).filter(|&n| fits(names[n])).collect();
                match (found.as_slice(), symbol) {
                    ([], _) => {
                        let all = names.iter().flat_map(|&(own, method)| [own, method]);
                        let near = near(name, all);
                        return Err(BuildError::Plan(format!(
                            "nothing that is compiled is called '{name}'{near}"
                        )));
                    }
                    (&[n], Some(symbol)) => drop(symbols.insert(n, symbol.to_owned())),
                    (several, Some(symbol)) => {
                        let several: Vec<&str> = several.iter().map(|&n| names[n].0).collect();
                        return Err(BuildError::Plan(format!(
                            "'{name}' cannot be '{symbol}': it is {}",
                            several.join(", ")
                        )));
                    }
                    (several, None) => {
                        several.iter().for_each(|&n| {
                            symbols.entry(n).or_insert_with(|| c_name(names[n].0));
                        });
                    }
                }
            }
        }
    }
    let mut known = BTreeMap::<&str, usize>::new();
    for (&n, symbol) in &symbols {
        if let Some(other) = known.insert(symbol, n) {
            let (one, two) = (names[other].0, names[n].0);
            return Err(BuildError::Plan(format!(
                "'{one}' and '{two}' would both be '{symbol}': name one of them with --export '{two}=SYMBOL'"
            )));
        }
    }
    Ok(symbols.into_iter().map(|(entry, symbol)| Export { entry, symbol: symbol.into() }).collect())
}
