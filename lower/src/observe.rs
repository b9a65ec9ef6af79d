//! Watching the pipeline: timings and dumps, for whoever asks.

use crate::hooks::Anchor;
use crate::stage::Stage;
use marquetry_ir::entity::Func;
use marquetry_ir::unit::Unit;
use std::time::Duration;

/// What one pass did to one function.
#[derive(Clone, Copy)]
pub struct PassReport<'a> {
    /// Name of the pass.
    pub pass: &'a str,
    /// The unit, after the pass.
    pub unit: &'a Unit,
    /// The function that the pass worked on.
    pub func: Func,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it changed anything.
    pub changed: bool,
}

impl PassReport<'_> {
    /// The function's symbol.
    pub fn function(&self) -> &str {
        self.unit.funcs.get(self.func).map_or("?", |function| &function.name)
    }
}

/// Told about every pass; does nothing by default.
pub trait Observer {
    /// Whether anybody wants reports of passes: without, passes are not timed.
    fn wants_passes(&self) -> bool {
        true
    }

    /// A pass is done.
    fn pass(&mut self, report: PassReport<'_>) {
        let _ = report;
    }

    /// A host's hook is done.
    fn hook(&mut self, anchor: Anchor, name: &str, unit: &Unit, elapsed: Duration) {
        let _ = (anchor, name, unit, elapsed);
    }

    /// A stage of the pipeline is done, with the cleaning up that belongs to it. Verification, which has no stage of
    /// its own, comes as a second report of [`Stage::Specialised`].
    fn stage(&mut self, stage: Stage, elapsed: Duration) {
        let _ = (stage, elapsed);
    }
}

/// Watches nothing.
pub struct Silent;

impl Observer for Silent {
    fn wants_passes(&self) -> bool {
        false
    }
}
