//! `marq-bench stages`: where the time of a compilation goes.

use super::measure::{Effort, alternate, median, micros, once};
use super::table::{Cell, Table};
use super::{Options, Outcome};
use marquetry::compile::Target;
use marquetry_codegen::native::{NativeContext, emit_jit_with};
use marquetry_codegen::spirv::{self, SpirvContext};
use marquetry_ir::entity::{Method, Table as MethodTable};
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::legal::Legal;
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::pipeline;
use marquetry_lower::runtime::Library;
use marquetry_lower::stage::Stage;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Microseconds per stage, from text to code, of each kernel for each target
#[derive(clap::Args, Debug)]
pub(super) struct Stages {
    /// Programs; without any, those of tests/kernels
    files: Vec<PathBuf>,
    /// Optimisation levels, 0 to 3, with commas in between
    #[arg(short = 'O', value_name = "LEVELS", default_value = "2", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(0..=3))]
    opt_levels: Vec<u32>,
    /// Only the targets whose spelling starts with this
    #[arg(long, value_name = "PREFIX", default_value = "")]
    target: String,
    /// Say how often each pass runs and changes something, and for how long, over all kernels
    #[arg(long)]
    passes: bool,
}

/// The kernels of the tests, in order.
pub(super) fn kernels() -> Vec<PathBuf> {
    crate::corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels"))
}

/// The name of a file without folder and extension.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}

/// A program on top of the library.
pub(super) fn parse(source: &str) -> Result<Program, String> {
    let mut program = marquetry::library::program();
    match text::parse(&mut program, "bench.mq", source).first() {
        Some(diagnostic) => Err(diagnostic.message.clone()),
        None => Ok(program),
    }
}

/// The methods of the last file that are of one kind.
pub(super) fn own(program: &Program, kind: MethodKind) -> Vec<Method> {
    let last = program.files.len() as u32 - 1;
    let mine = program.methods().filter(|(_, m)| m.file == Some(last) && m.table() == MethodTable::BASE);
    mine.filter(|(_, m)| m.kind == kind).map(|(method, _)| method).collect()
}

/// What `marq compile` takes for a target: all kernels or, for native code without any, all functions.
pub(super) fn job(program: &Program, target: &Target, opt_level: OptLevel) -> Option<Job> {
    let mut entries = own(program, MethodKind::Kernel);
    if entries.is_empty() && !target.is_device() {
        entries = own(program, MethodKind::Function);
    }
    let view = if target.is_device() { View::device(&[]) } else { View::native(&[]) };
    (!entries.is_empty()).then_some(Job::new(entries, view, opt_level))
}

/// Time per stage, in the order of the report.
#[derive(Default)]
struct Watch(Vec<Duration>);

/// Runs, runs that changed something, and time, per pass and stage so far.
#[derive(Default)]
struct Passes {
    stage: usize,
    rows: BTreeMap<(usize, String), (u32, u32, Duration)>,
}

impl Observer for Passes {
    fn pass(&mut self, report: PassReport<'_>) {
        let row = self.rows.entry((self.stage, report.pass.to_owned())).or_default();
        row.0 += 1;
        row.1 += u32::from(report.changed);
        row.2 += report.elapsed;
    }

    fn stage(&mut self, _: Stage, _: Duration) {
        self.stage += 1;
    }
}

impl Observer for Watch {
    fn wants_passes(&self) -> bool {
        false
    }

    fn stage(&mut self, _: Stage, elapsed: Duration) {
        self.0.push(elapsed);
    }
}

/// What a host that compiles much keeps.
struct Memory {
    lowering: pipeline::Context,
    library: Library,
    native: NativeContext,
    spirv: SpirvContext,
}

impl Memory {
    fn new() -> Self {
        Memory {
            lowering: pipeline::Context::new(),
            library: Library::new(),
            native: NativeContext::new(),
            spirv: SpirvContext::new(),
        }
    }
}

fn emit(legal: &Legal, target: &Target, memory: &mut Memory) -> Result<(), String> {
    let done = match target {
        Target::Native(native) => emit_jit_with(legal, native, &|_| None, &mut memory.native).map(drop),
        Target::Spirv(target) => spirv::emit_with(legal, target, &mut memory.spirv).map(drop),
        other => other.emit(legal).map(drop),
    };
    done.map_err(|error| error.to_string())
}

const COLUMNS: [&str; 10] = [
    "kernel",
    "library",
    "parse",
    "specialise",
    "verify",
    "optimise",
    "exceptions",
    "legalise",
    "emit",
    "text to code",
];

impl Stages {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let files = if self.files.is_empty() { kernels() } else { self.files };
        let spellings = [
            ("native", None),
            ("ptx:sm_90", Some(("text to PTX", 200.0))),
            ("spirv:vulkan1.3", Some(("text to SPIR-V for Vulkan", 190.0))),
            ("spirv:opencl2.1", Some(("text to SPIR-V for OpenCL", 190.0))),
        ];
        let spellings = spellings.into_iter().filter(|(spelling, _)| spelling.starts_with(&self.target));
        let jobs = spellings.flat_map(|spelling| self.opt_levels.iter().map(move |&level| (spelling, level)));
        for ((spelling, target), level) in jobs {
            let opt_level = OptLevel::from_number(level).unwrap_or_default();
            let compiler = Target::parse(spelling, opt_level).map_err(|error| error.to_string())?;
            let title = format!("us per stage, {spelling}, -O{level}");
            let mut columns = COLUMNS.to_vec();
            columns.push("program to code");
            let mut table = Table::new(title, &columns);
            let mut without = 0;
            for file in &files {
                let name = stem(file);
                let source = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
                match kernel(&name, &source, &compiler, opt_level, options.effort()) {
                    Ok(Some(row)) => table.row(row),
                    Ok(None) => without += 1,
                    Err(error) => table.skip(&name, &error),
                }
            }
            let (text, program) = (table.geomean(9), table.geomean(10));
            table.means();
            if without > 0 {
                table.note(format!("{without} files have no kernel"));
            }
            if let Some((what, most)) = target {
                table.target(what, text, most, " us");
            }
            if spelling.starts_with("spirv") {
                table.target("program to SPIR-V", program, 60.0, " us");
            }
            table.print(options.json);
            if self.passes {
                passes(&files, &compiler, opt_level, spelling)?.print(options.json);
            }
        }
        Ok(())
    }
}

/// What the passes do, in the order of the stages that run them.
fn passes(files: &[PathBuf], target: &Target, opt_level: OptLevel, spelling: &str) -> Result<Table, String> {
    const ROUNDS: u32 = 20;
    let mut all = BTreeMap::<(usize, String), (u32, u32, Duration)>::new();
    for file in files {
        let source = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let program = parse(&source)?;
        let Some(job) = job(&program, target, opt_level) else { continue };
        for _ in 0..ROUNDS {
            let mut watch = Passes::default();
            drop(pipeline::run_observed(&program, &job, target.lowering(), &mut watch));
            for (key, (runs, changed, time)) in watch.rows {
                let row = all.entry(key).or_default();
                *row = (row.0 + runs, row.1 + changed, row.2 + time);
            }
        }
    }
    let title = format!("passes, {spelling}, all kernels");
    let mut table = Table::new(title, &["pass", "after stage", "runs", "changed", "us"]);
    for ((stage, pass), (runs, changed, time)) in all {
        let per = |n: f64| Cell::from(n / f64::from(ROUNDS));
        let stage = ["", "specialised", "verified", "optimised", "exceptions"].get(stage).copied();
        table.row(vec![
            pass.into(),
            stage.unwrap_or("legal").into(),
            per(runs.into()),
            per(changed.into()),
            per(micros(time)),
        ]);
    }
    Ok(table)
}

fn kernel(
    name: &str,
    source: &str,
    target: &Target,
    opt_level: OptLevel,
    effort: Effort,
) -> Result<Option<Vec<Cell>>, String> {
    let program = parse(source)?;
    if job(&program, target, opt_level).is_none() {
        return Ok(None);
    }
    let mut memory = Memory::new();
    let mut samples: [Vec<f64>; 10] = Default::default();
    let start = Instant::now();
    let mut round = 0;
    while effort.goes_on(round, start) {
        let begin = Instant::now();
        let (mut program, library) = once(marquetry::library::program);
        let (_, parsing) = once(|| text::parse(&mut program, "bench.mq", source));
        let Some(job) = job(&program, target, opt_level) else { return Ok(None) };
        let middle = Instant::now();
        let mut watch = Watch::default();
        let legal = pipeline::run_in(
            &mut memory.lowering,
            &program,
            &job,
            target.lowering(),
            &memory.library,
            &mut watch,
        );
        let legal = legal.map_err(|error| error.to_string())?;
        let (emitted, emission) = once(|| emit(&legal, target, &mut memory));
        emitted?;
        let stages = watch.0.iter().map(|&elapsed| micros(elapsed));
        let numbers = [library, parsing].into_iter().chain(stages).chain([
            emission,
            micros(begin.elapsed()),
            micros(middle.elapsed()),
        ]);
        round += 1;
        if round > 3 {
            samples.iter_mut().zip(numbers).for_each(|(samples, number)| samples.push(number));
        }
    }
    let medians = samples.iter_mut().map(|samples| Cell::from(median(samples)));
    Ok(Some(std::iter::once(Cell::from(name)).chain(medians).collect()))
}

/// Microseconds from a program to the code of a kernel.
pub(super) fn emit_time(
    program: &Program,
    job: &Job,
    target: &Target,
    effort: Effort,
) -> Result<f64, String> {
    let legal = pipeline::run(program, job, target.lowering()).map_err(|error| error.to_string())?;
    let mut memory = Memory::new();
    emit(&legal, target, &mut memory)?;
    let [time] = alternate(effort, [&mut || drop(emit(&legal, target, &mut memory))]);
    Ok(time)
}
