//! `marq-bench shapes`: time per instruction as one thing about a kernel grows, for every target. Time is the thread's
//! own, so that a busy machine shows the same growth as an idle one.

use super::extremes::{self, Extreme};
use super::measure::{median, micros, thread_micros};
use super::table::{Cell, Table};
use super::{Options, Outcome};
use marquetry::compile::Target;
use marquetry_codegen::native::{NativeContext, emit_jit_with};
use marquetry_ir::program::Program;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::pipeline;
use marquetry_lower::stage::Stage;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time per instruction of kernels that are large in one way, against that of small ones
#[derive(clap::Args, Debug)]
pub(super) struct Scaling {
    /// Sizes, about in instructions
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 10_000, 100_000])]
    sizes: Vec<usize>,
    /// Only these shapes
    #[arg(long, value_delimiter = ',')]
    shapes: Vec<String>,
    /// Targets, as `marq compile` spells them
    #[arg(long, value_delimiter = ',', default_values_t = ["native", "ptx", "spirv:vulkan1.3", "spirv:opencl2.1"].map(str::to_owned))]
    targets: Vec<String>,
    /// Optimisation levels
    #[arg(short = 'O', value_name = "LEVEL", value_delimiter = ',', default_values_t = [2, 0])]
    opt_levels: Vec<u32>,
    /// No larger size of a shape after one that took so many seconds
    #[arg(long, default_value_t = 20.0)]
    patience: f64,
    /// Also show every stage and pass whose time per instruction grew more than two times
    #[arg(long)]
    blame: bool,
}

/// Most time per instruction, as a multiple of that at the smallest size.
const MOST: f64 = 2.0;

impl Scaling {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let wanted = |extreme: &&Extreme| {
            self.shapes.is_empty() || self.shapes.iter().any(|shape| shape == extreme.name)
        };
        let shapes: Vec<&Extreme> = extremes::ALL.iter().filter(wanted).collect();
        for &number in &self.opt_levels {
            let opt_level =
                OptLevel::from_number(number).ok_or_else(|| format!("no optimisation level {number}"))?;
            for spelling in &self.targets {
                let target = Target::parse(spelling, opt_level).map_err(|error| error.to_string())?;
                let title = format!("ns per instruction, program to code, {spelling}, -O{number}");
                self.target(&shapes, title, &target, opt_level, options)?;
            }
        }
        Ok(())
    }

    fn target(
        &self,
        shapes: &[&Extreme],
        title: String,
        target: &Target,
        opt_level: OptLevel,
        options: &Options,
    ) -> Outcome {
        let sizes: Vec<String> = self.sizes.iter().map(|size| format!("n = {size}")).collect();
        let columns = std::iter::once("shape").chain(sizes.iter().map(String::as_str));
        let columns: Vec<&str> =
            columns.chain(["building grew", "lowering grew", "emission grew", "total grew"]).collect();
        let mut table = Table::new(title, &columns);
        let mut uneven = Vec::new();
        for shape in shapes {
            let mut cells = vec![Cell::from(shape.name)];
            let (mut first, mut growth, mut took) = (None, None, 0.0);
            for &size in &self.sizes {
                if took > self.patience * 1e6 {
                    table.skip(&format!("{} of {size}", shape.name), "too slow");
                    cells.push(Cell::Nothing);
                    continue;
                }
                let (program, insts, building) = build(shape, size, options)?;
                let profile = match measure(&program, target, opt_level, options) {
                    Ok(profile) => profile,
                    Err(error) => {
                        table.skip(&format!("{} of {size}", shape.name), &error);
                        cells.push(Cell::Nothing);
                        continue;
                    }
                };
                let scale = |time: f64| time * 1000.0 / insts as f64;
                took = profile.total();
                cells.push(scale(took).into());
                let now = [building, profile.lowering, profile.emission, took].map(scale);
                let parts: BTreeMap<String, f64> =
                    profile.parts.into_iter().map(|(name, time)| (name, scale(time))).collect();
                let (least, least_parts) = first.get_or_insert_with(|| (now, parts.clone()));
                let ratios = [0, 1, 2, 3].map(|n| now[n] / least[n]);
                if self.blame {
                    for (name, time) in &parts {
                        let before = least_parts.get(name).copied().unwrap_or(0.0);
                        if *time > MOST * before && *time > 20.0 {
                            table.note(format!("{} of {size}: {name} {before:.0} -> {time:.0}", shape.name));
                        }
                    }
                }
                growth = Some(ratios);
            }
            cells.extend([0, 1, 2, 3].map(|n| growth.map(|ratios| ratios[n]).into()));
            if let Some([building, .., total]) = growth {
                if total > MOST {
                    uneven.push(format!("{} {total:.1}", shape.name));
                }
                if building > MOST {
                    uneven.push(format!("building {} {building:.1}", shape.name));
                }
            }
            table.row(cells);
        }
        match uneven.is_empty() {
            true => table.note(format!("within {MOST} of the smallest size: all")),
            false => table.note(format!("within {MOST} of the smallest size: all but {}", uneven.join(", "))),
        }
        table.print(options.json);
        Ok(())
    }
}

/// Microseconds of one compilation.
#[derive(Default)]
struct Profile {
    lowering: f64,
    emission: f64,
    parts: BTreeMap<String, f64>,
}

impl Profile {
    fn total(&self) -> f64 {
        self.lowering + self.emission
    }
}

impl Observer for Profile {
    fn pass(&mut self, report: PassReport<'_>) {
        *self.parts.entry(format!("pass {}", report.pass)).or_default() += micros(report.elapsed);
    }

    fn stage(&mut self, stage: Stage, elapsed: Duration) {
        *self.parts.entry(format!("stage {}", stage.name())).or_default() += micros(elapsed);
    }
}

/// A program, its size, and the median time of building it.
fn build(shape: &Extreme, size: usize, options: &Options) -> Result<(Program, usize, f64), String> {
    let (begin, mut times) = (Instant::now(), Vec::new());
    loop {
        let start = thread_micros();
        let (program, insts) = shape.program(size)?;
        times.push(thread_micros() - start);
        // The first one only warms up, unless it took long.
        if !options.effort().goes_on(times.len(), begin) {
            times.rotate_left(1);
            times.truncate((times.len() - 1).max(1));
            return Ok((program, insts, median(&mut times)));
        }
    }
}

/// The median compilation, by its whole time.
fn measure(
    program: &Program,
    target: &Target,
    opt_level: OptLevel,
    options: &Options,
) -> Result<Profile, String> {
    let entries = program.methods_of("k").to_vec();
    let view = if target.is_device() { View::device(&[]) } else { View::native(&[]) };
    let job = Job::new(entries, view, opt_level);
    let mut memory = NativeContext::new();
    let mut compile = || {
        let mut profile = Profile::default();
        let start = thread_micros();
        let legal = pipeline::run_observed(program, &job, target.lowering(), &mut profile);
        let legal = legal.map_err(|error| format!("{error:.200}"))?;
        profile.lowering = thread_micros() - start;
        let start = thread_micros();
        let done = match target {
            Target::Native(native) => emit_jit_with(&legal, native, &|_| None, &mut memory).map(drop),
            other => other.emit(&legal).map(drop),
        };
        done.map_err(|error| format!("{error:.200}"))?;
        profile.emission = thread_micros() - start;
        Ok::<Profile, String>(profile)
    };
    let start = Instant::now();
    let mut profiles = vec![compile()?];
    let effort = options.effort();
    // The first one only warms up, unless it took long.
    if start.elapsed() < effort.budget {
        profiles.clear();
        while profiles.is_empty() || (profiles.len() < effort.repetitions && start.elapsed() < effort.budget)
        {
            profiles.push(compile()?);
        }
    }
    let middle = median(&mut profiles.iter().map(Profile::total).collect::<Vec<f64>>());
    let found = profiles.into_iter().find(|profile| profile.total() == middle);
    found.ok_or_else(|| "nothing was measured".to_owned())
}
