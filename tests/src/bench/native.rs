//! `marq-bench native`: compiling large functions, against raw Cranelift.

use super::measure::{Effort, alternate, median, thread_micros};
use super::shapes::{Description, Shape};
use super::table::Table;
use super::{Options, Outcome, ours, raw};
use marquetry_codegen::native::{NativeContext, NativeOptions, NativeTarget, emit_jit_with};
use marquetry_ir::body::Body;
use marquetry_ir::builder::BuilderContext;
use marquetry_ir::entity::Method;
use marquetry_ir::program::Program;
use marquetry_ir::types::Types;
use marquetry_lower::job::OptLevel;
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::pipeline;
use marquetry_lower::stage::Stage;
use std::collections::BTreeMap;
use std::time::Duration;

/// Compile time of large functions, against raw Cranelift building and compiling the same
#[derive(clap::Args, Debug)]
pub(super) struct Native {
    /// Operations of the functions
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 100_000])]
    sizes: Vec<usize>,
    /// Also time this project's own stages on a function of this size; 0 for none
    #[arg(long, default_value_t = 1_000_000)]
    huge: usize,
    /// Only these shapes: straight, press, branchy, loops
    #[arg(long, value_delimiter = ',')]
    shapes: Vec<String>,
    /// Only this optimisation level: 0 or 2
    #[arg(short = 'O', value_name = "LEVEL")]
    opt_level: Option<u32>,
}

impl Native {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let named = |shape: &Shape| self.shapes.is_empty() || self.shapes.iter().any(|s| s == shape.name());
        let shapes: Vec<Shape> = Shape::ALL.into_iter().filter(named).collect();
        for (level, opt_level) in [(2u8, OptLevel::Default), (0, OptLevel::None)] {
            if self.opt_level.is_none_or(|wanted| wanted == u32::from(level)) {
                self.compile(&shapes, level, opt_level, options)?;
            }
        }
        self.builders(&shapes, options)?;
        if self.huge > 0 {
            self.passes(&shapes, options)?;
        }
        Ok(())
    }

    fn compile(&self, shapes: &[Shape], level: u8, opt_level: OptLevel, options: &Options) -> Outcome {
        let settings = if level == 0 { "opt_level none, single_pass" } else { "opt_level speed" };
        let mut table = Table::new(
            format!(
                "us per instruction, program to code in memory at -O{level}, against CLIF building and {settings}"
            ),
            &[
                "function",
                "insts",
                "lowering",
                "emission",
                "total",
                "raw",
                "total/raw",
                "growth",
                "raw growth",
            ],
        );
        let native = NativeOptions { opt_level: level, ..NativeOptions::default() };
        let target = NativeTarget::host(native).map_err(|error| error.to_string())?;
        let mut compiler = raw::Compiler::new(level > 0)?;
        let mut memory = NativeContext::new();
        let mut uneven = Vec::new();
        for &shape in shapes {
            let mut first = None;
            for &size in &self.sizes {
                let description = shape.describe(size);
                let (program, method, insts) = ours::shape(&description)?;
                let times = compare(
                    &program,
                    method,
                    opt_level,
                    &target,
                    &mut memory,
                    (&mut compiler, &description),
                    options.effort(),
                )?;
                let [lowering, total, raw] = times.map(|time| time / insts as f64);
                let (least, first_total, least_raw) = *first.get_or_insert((lowering, total, raw));
                let name = format!("{}{size}", shape.name());
                if lowering > 2.0 * least {
                    uneven.push(format!("{name}: lowering {:.2} times", lowering / least));
                }
                table.row(vec![
                    name.into(),
                    insts.into(),
                    lowering.into(),
                    (total - lowering).into(),
                    total.into(),
                    raw.into(),
                    (total / raw).into(),
                    (total / first_total).into(),
                    (raw / least_raw).into(),
                ]);
            }
        }
        let ratio = table.geomean(6);
        table.means();
        table.target("total/raw", ratio, 1.5, "");
        match uneven.is_empty() {
            true => table.note("cost per instruction of lowering within 2 of the smallest size: yes"),
            false => table.note(format!(
                "cost per instruction of lowering within 2 of the smallest size: NO ({})",
                uneven.join(", ")
            )),
        }
        table.print(options.json);
        Ok(())
    }

    /// Building: values in hand, and variables.
    fn builders(&self, shapes: &[Shape], options: &Options) -> Outcome {
        let mut table = Table::new(
            "us per instruction, building",
            &["function", "insts", "values", "raw values", "ratio", "variables", "raw variables", "ratio"],
        );
        let types = Types::new();
        let mut compiler = raw::Compiler::new(true)?;
        let (mut body, mut context) = (Body::new(), BuilderContext::new());
        for &shape in shapes {
            for &size in &self.sizes {
                let description = shape.describe(size);
                ours::build(&description, true, &mut body, &types, &mut context)?;
                let insts = body.inst_count();
                let mut other = Body::new();
                let mut other_context = BuilderContext::new();
                let mut second = raw::Compiler::new(true)?;
                let times = alternate(
                    options.effort(),
                    [
                        &mut || drop(ours::build(&description, false, &mut body, &types, &mut context)),
                        &mut || compiler.build(&description, false),
                        &mut || drop(ours::build(&description, true, &mut other, &types, &mut other_context)),
                        &mut || second.build(&description, true),
                    ],
                );
                let [values, raw_values, variables, raw_variables] = times.map(|time| time / insts as f64);
                table.row(vec![
                    format!("{}{size}", shape.name()).into(),
                    insts.into(),
                    values.into(),
                    raw_values.into(),
                    (values / raw_values).into(),
                    variables.into(),
                    raw_variables.into(),
                    (variables / raw_variables).into(),
                ]);
            }
        }
        table.means();
        table.print(options.json);
        Ok(())
    }

    /// This project's own stages and passes, from the smallest to the largest size.
    fn passes(&self, shapes: &[Shape], options: &Options) -> Outcome {
        let target = NativeTarget::host(NativeOptions::default()).map_err(|error| error.to_string())?;
        for &shape in shapes {
            let sizes: Vec<usize> = self.sizes.iter().copied().chain([self.huge]).collect();
            let mut columns = vec!["stage or pass".to_owned()];
            columns.extend(sizes.iter().map(|size| format!("{size}")));
            columns.push("growth".to_owned());
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            let title = format!("ns per instruction, {}, stages and passes at -O2", shape.name());
            let mut table = Table::new(title, &columns);
            let mut rows: BTreeMap<String, Vec<f64>> = BTreeMap::new();
            for &size in &sizes {
                let (program, method, insts) = ours::shape(&shape.describe(size))?;
                let job = ours::job(method, OptLevel::Default);
                let mut samples: BTreeMap<String, Vec<f64>> = BTreeMap::new();
                let repetitions = (200_000 / size).clamp(3, 30);
                // The first one warms up: whoever compiles much reuses memory.
                for repetition in 0..=repetitions {
                    let mut watch = Watch::default();
                    let done = pipeline::run_observed(&program, &job, &target, &mut watch);
                    done.map_err(|error| error.to_string())?;
                    for (name, time) in watch.times.into_iter().filter(|_| repetition > 0) {
                        samples.entry(name).or_default().push(time);
                    }
                }
                for (name, mut times) in samples {
                    rows.entry(name).or_default().push(median(&mut times) * 1000.0 / insts as f64);
                }
            }
            let mut uneven = Vec::new();
            for (name, times) in rows {
                let growth = times.last().zip(times.first()).map(|(last, first)| last / first);
                if growth.is_some_and(|growth| growth > 2.0) {
                    uneven.push(name.clone());
                }
                let cells = times.into_iter().map(Into::into);
                table.row(std::iter::once(name.into()).chain(cells).chain([growth.into()]).collect());
            }
            match uneven.is_empty() {
                true => table.note("within 2 of the smallest size: all"),
                false => table.note(format!("within 2 of the smallest size: all but {}", uneven.join(", "))),
            }
            table.print(options.json);
        }
        Ok(())
    }
}

/// Time per stage and per pass, in microseconds of this thread: what others do on a busy machine does not count.
struct Watch {
    stages: usize,
    times: BTreeMap<String, f64>,
    /// When the pass and the stage before were done.
    pass: f64,
    stage: f64,
}

impl Default for Watch {
    fn default() -> Self {
        let now = thread_micros();
        Watch { stages: 0, times: BTreeMap::new(), pass: now, stage: now }
    }
}

impl Watch {
    fn add(&mut self, name: String, time: f64) {
        *self.times.entry(name).or_default() += time;
    }
}

impl Observer for Watch {
    fn pass(&mut self, report: PassReport<'_>) {
        let time = thread_micros() - self.pass;
        self.add(format!("pass {}", report.pass), time);
        self.pass = thread_micros();
    }

    fn stage(&mut self, stage: Stage, _: Duration) {
        self.stages += 1;
        let name = if self.stages == 2 { "verified" } else { stage.name() };
        let time = thread_micros() - self.stage;
        self.add(format!("stage {name}"), time);
        self.add("all stages".to_owned(), time);
        self.stage = thread_micros();
        self.pass = self.stage;
    }
}

/// Microseconds of lowering, of the whole way to code, and of raw Cranelift.
fn compare(
    program: &Program,
    method: Method,
    opt_level: OptLevel,
    target: &NativeTarget,
    memory: &mut NativeContext,
    (compiler, description): (&mut raw::Compiler, &Description),
    effort: Effort,
) -> Result<[f64; 3], String> {
    let job = ours::job(method, opt_level);
    let lower = || pipeline::run(program, &job, target).map_err(|error| error.to_string());
    let mut whole = || {
        let legal = lower()?;
        emit_jit_with(&legal, target, &|_| None, memory).map_err(|error| error.to_string())
    };
    // Both give the same number, or the comparison means nothing.
    let (code, other) = (whole()?, compiler.compile(description)?);
    let memory: Vec<u64> = (1..=64).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let address = code.address(0).ok_or("no entry")?;
    let (found, wanted) = (call(address, &memory), call(other.address, &memory));
    if found != wanted {
        return Err(format!("results differ: {found:x} and {wanted:x}"));
    }
    drop((code, other));
    Ok(alternate(
        effort,
        [&mut || drop(lower()), &mut || drop(whole()), &mut || drop(compiler.compile(description))],
    ))
}

#[allow(unsafe_code)] // calls the code
fn call(address: *const u8, memory: &[u64]) -> u64 {
    // SAFETY: both compilers made a function of this signature, which reads at most 64 integers.
    unsafe {
        let f: extern "C" fn(*const u64) -> u64 = std::mem::transmute(address);
        f(memory.as_ptr())
    }
}
