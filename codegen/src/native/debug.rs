//! Which instruction of the machine is from which place in the source.
//!
//! While a function is translated, each instruction of CLIF gets a number, its source location; numbers are indices
//! into a list of the [`Origin`]s that came up. The compiled function says which bytes have which number.

use cranelift_codegen::Context;
use cranelift_codegen::LabelValueLoc;
use cranelift_codegen::ir::{self, SourceLoc, ValueLabel};
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_module::FuncId;
use marquetry_ir::body::{Body, Origin};
use marquetry_ir::entity::{Func, Inst, Value};
use marquetry_lower::job::DebugLevel;
use std::collections::BTreeMap;

/// What is noted while one function is translated.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) level: DebugLevel,
    places: Vec<Origin>,
    /// Values with names, by number.
    values: Vec<Value>,
}

impl Notes {
    /// For the next function.
    pub(super) fn start(&mut self, level: DebugLevel) {
        self.level = level;
        self.places.clear();
        self.values.clear();
    }

    /// The number of an instruction's place.
    pub(super) fn number(&mut self, body: &Body, inst: Inst) -> SourceLoc {
        let origin = body.origin(inst);
        if self.places.last() != Some(&origin) {
            self.places.push(origin);
        }
        SourceLoc::new(self.places.len() as u32 - 1)
    }

    /// Has Cranelift keep track of where a value is, if it has a name.
    pub(super) fn track(&mut self, body: &Body, value: Value, clif: ir::Value, out: &mut ir::Function) {
        if self.level < DebugLevel::Full || body.names.value(value).is_none() {
            return;
        }
        let label = ValueLabel::from_u32(self.values.len() as u32);
        out.dfg.collect_debug_info();
        let Some(labels) = &mut out.dfg.values_labels else { return };
        // The same value of CLIF may stand for several of ours: the first keeps it.
        if let std::collections::btree_map::Entry::Vacant(entry) = labels.entry(clif) {
            let from = ir::RelSourceLoc::new(0);
            entry.insert(ir::ValueLabelAssignments::Starts(vec![ir::ValueLabelStart { from, label }]));
            self.values.push(value);
        }
    }
}

/// Some bytes of a function, and what they come from; none before the first place.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) origin: Option<Origin>,
}

/// Where a value is while some bytes run.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Home {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) place: HomePlace,
}

/// A place that a debugger can read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum HomePlace {
    /// A register, by its DWARF number.
    Register(u16),
    /// An offset from the canonical frame address.
    Frame(i64),
}

/// What is known of a compiled function.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: FuncId,
    /// The function of the unit; none for wrappers.
    pub(super) func: Option<Func>,
    pub(super) name: String,
    pub(super) size: u32,
    pub(super) rows: Vec<Row>,
    /// Values with names, and where they are.
    pub(super) homes: BTreeMap<Value, Vec<Home>>,
    /// How to find its caller's frame.
    pub(super) unwind: Option<UnwindInfo>,
}

impl Known {
    /// Reads what Cranelift left in its context.
    pub(super) fn read(
        id: FuncId,
        func: Option<Func>,
        name: &str,
        notes: &Notes,
        context: &Context,
        isa: &dyn TargetIsa,
    ) -> Option<Known> {
        let code = context.compiled_code()?;
        let size = code.code_info().total_size;
        let mut rows = Vec::new();
        if func.is_some() {
            let mut end = 0;
            for loc in code.buffer.get_srclocs_sorted() {
                let at = notes.places.get(loc.loc.bits() as usize).filter(|_| !loc.loc.is_default());
                push(&mut rows, Row { start: end, end: loc.start, origin: None });
                push(&mut rows, Row { start: loc.start, end: loc.end, origin: at.copied() });
                end = loc.end;
            }
            push(&mut rows, Row { start: end, end: size, origin: None });
        }
        let mut homes = BTreeMap::new();
        for (label, ranges) in &code.value_labels_ranges {
            let Some(&value) = notes.values.get(label.as_u32() as usize) else { continue };
            let ranges = ranges.iter().filter_map(|range| {
                let place = match range.loc {
                    LabelValueLoc::Reg(reg) => HomePlace::Register(isa.map_regalloc_reg_to_dwarf(reg).ok()?),
                    LabelValueLoc::CFAOffset(offset) => HomePlace::Frame(offset),
                };
                Some(Home { start: range.start, end: range.end, place }).filter(|home| home.start < home.end)
            });
            let mut ranges: Vec<Home> = ranges.collect();
            ranges.sort_by_key(|home| (home.start, home.end));
            if !ranges.is_empty() {
                homes.insert(value, ranges);
            }
        }
        let unwind = code.create_unwind_info(isa).ok().flatten();
        Some(Known { id, func, name: name.to_owned(), size, rows, homes, unwind })
    }
}

/// Adds a row, to the last one if they are of one place. What has no place is part of what was before it.
fn push(rows: &mut Vec<Row>, row: Row) {
    match rows.last_mut() {
        _ if row.start >= row.end => {}
        Some(last) if last.origin == row.origin || row.origin.is_none() => last.end = row.end,
        _ => rows.push(row),
    }
}
