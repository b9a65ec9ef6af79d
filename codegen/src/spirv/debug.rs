//! Lines and names for people and tools that read modules (SPIR-V 2.10 and 3.52.2).
//!
//! `OpLine` holds for the rest of its block, or up to the next one. It never stands between a merge instruction and its
//! branch. Inlined calls have no words in the core language: code names the innermost place.

use super::module::{Id, Module};
use super::select::Selector;
use marquetry_ir::entity::{Inst, Value};
use marquetry_ir::lines::{Lines, Place};
use marquetry_ir::unit::Unit;
use marquetry_lower::job::DebugLevel;
use rspirv::spirv::Op;
use std::collections::BTreeMap;

/// What is known of a unit's places while its module is made.
pub(super) struct Debug<'u> {
    level: DebugLevel,
    lines: Lines<'u>,
    /// Ids of the names of files.
    files: BTreeMap<u32, Id>,
    /// The place of what is emitted, and the place that the module states.
    here: Option<Place>,
    stated: Option<Place>,
}

impl<'u> Debug<'u> {
    pub fn new(unit: &'u Unit, level: DebugLevel) -> Self {
        Debug { level, lines: Lines::new(&unit.files), files: BTreeMap::new(), here: None, stated: None }
    }

    /// Whether names of functions and lines are wanted.
    pub fn is_on(&self) -> bool {
        self.level > DebugLevel::None
    }

    fn file(&mut self, unit: &Unit, module: &mut Module, file: u32) -> Id {
        *self
            .files
            .entry(file)
            .or_insert_with(|| module.source(unit.files.get(file as usize).map_or("?", |file| &*file.name)))
    }
}

impl Selector<'_, '_> {
    /// Says where what is emitted next comes from.
    pub fn at(&mut self, inst: Inst) {
        if !self.state.debug.is_on() {
            return;
        }
        let (_, file, span) = match self.function.frames(self.body.origin(inst)).next() {
            Some(frame) => frame,
            None => return,
        };
        let debug = &mut self.state.debug;
        debug.here = debug.lines.place(file, span);
        self.state_place();
    }

    /// A block began, in the middle of an instruction.
    pub fn resume_place(&mut self) {
        self.state.debug.stated = None;
        if self.state.debug.here.is_some() {
            self.state_place();
        }
    }

    /// A block began.
    pub fn forget_place(&mut self) {
        (self.state.debug.here, self.state.debug.stated) = (None, None);
    }

    fn state_place(&mut self) {
        let state = &mut *self.state;
        let here = state.debug.here;
        if here == state.debug.stated {
            return;
        }
        state.debug.stated = here;
        match here {
            Some(place) => {
                let file = state.debug.file(state.unit, state.module, place.file);
                self.buffers.code.op(Op::Line, &[file, place.line, place.column]);
            }
            None => self.buffers.code.op(Op::NoLine, &[]),
        }
    }

    /// Names the id of a value that has a name.
    pub fn name_value(&mut self, value: Value, id: Id) {
        if self.state.debug.level == DebugLevel::Full
            && let Some(name) = self.body.names.value(value)
        {
            self.state.module.name(id, name);
        }
    }
}
