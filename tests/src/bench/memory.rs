//! `marq-bench memory`: bytes per instruction.

use super::shapes::Shape;
use super::table::Table;
use super::{Options, Outcome, alloc, ours, raw};
use marquetry_codegen::native::{NativeOptions, NativeTarget, emit_jit};
use marquetry_lower::job::OptLevel;
use marquetry_lower::observe::{Observer, PassReport};
use marquetry_lower::pipeline;
use marquetry_lower::stage::Stage;
use std::time::Duration;

/// Peak memory per instruction, per stage
#[derive(clap::Args, Debug)]
pub(super) struct Memory {
    /// Operations of the functions
    #[arg(long, default_value_t = 100_000)]
    size: usize,
    /// Say what each pass takes
    #[arg(long)]
    passes: bool,
}

#[derive(Default)]
struct Watch {
    stages: Vec<(isize, isize)>,
    /// Live memory after each pass, and the peak in it, if anybody wants to know.
    passes: Option<Vec<(String, isize, isize)>>,
    peak: isize,
}

impl Observer for Watch {
    fn wants_passes(&self) -> bool {
        self.passes.is_some()
    }

    fn pass(&mut self, report: PassReport<'_>) {
        let (live, peak) = alloc::live_and_peak();
        self.peak = self.peak.max(peak);
        if let Some(passes) = &mut self.passes {
            passes.push((report.pass.to_owned(), live, peak));
        }
    }

    fn stage(&mut self, _: Stage, _: Duration) {
        let (live, peak) = alloc::live_and_peak();
        self.stages.push((live, peak.max(std::mem::take(&mut self.peak))));
    }
}

impl Memory {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let target = NativeTarget::host(NativeOptions::default()).map_err(|error| error.to_string())?;
        for shape in [Shape::Straight, Shape::Branchy] {
            let mut table = Table::new(
                format!(
                    "bytes per instruction, {}{}, everything that is live counted",
                    shape.name(),
                    self.size
                ),
                &["stage", "live after", "peak"],
            );
            let description = shape.describe(self.size);
            alloc::start();
            let (program, method, insts) = ours::shape(&description)?;
            let built = alloc::live_and_peak();
            let job = ours::job(method, OptLevel::Default);
            let mut watch = Watch { passes: self.passes.then(Vec::new), ..Watch::default() };
            let legal = pipeline::run_observed(&program, &job, &target, &mut watch);
            let legal = legal.map_err(|error| error.to_string())?;
            let before = alloc::live_and_peak().0;
            let code = emit_jit(&legal, &target, &|_| None).map_err(|error| error.to_string())?;
            let emitted = alloc::live_and_peak();
            alloc::stop();
            drop(code);
            let per = |bytes: isize| bytes as f64 / insts as f64;
            let names = ["specialised", "verified", "optimised", "exceptions", "legal"];
            table.row(vec!["program".into(), per(built.0).into(), per(built.1).into()]);
            for (name, (live, peak)) in names.into_iter().zip(&watch.stages) {
                table.row(vec![name.into(), per(*live).into(), per(*peak).into()]);
            }
            for (name, live, peak) in watch.passes.iter().flatten() {
                table.row(vec![format!("  {name}").into(), per(*live).into(), per(*peak).into()]);
            }
            let most = watch.stages.iter().map(|stage| stage.1).chain([built.1]).max();
            table.row(vec![
                "code (Cranelift's own)".into(),
                per(emitted.0 - before).into(),
                per(emitted.1 - before).into(),
            ]);

            let mut compiler = raw::Compiler::new(true)?;
            alloc::start();
            let code = compiler.compile(&description)?;
            let (live, peak) = alloc::live_and_peak();
            alloc::stop();
            drop(code);
            table.row(vec!["raw Cranelift, all of it".into(), per(live).into(), per(peak).into()]);
            let most = most.map(per);
            table.target("peak of a job and its program", most, 250.0, " bytes");
            table.print(options.json);
        }
        Ok(())
    }
}
