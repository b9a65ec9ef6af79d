//! Lines for debuggers and profilers: `.loc` before instructions, `.file` and the names of inlined functions behind
//! the code (PTX ISA 11.5.2 to 11.5.4).
//!
//! At `-g2` a `.loc` also says which function's code it is and where that was inlined: the place that it mentions has a
//! `.loc` of its own before it. `.target` never says `debug`: ptxas takes that as a promise of DWARF sections, and
//! leaves code without them as it was written.

use super::regs::{Base, Place as Home, Registers};
use super::write::{Arg, Label, Writer};
use marquetry_ir::body::Origin;
use marquetry_ir::entity::Inlined;
use marquetry_ir::lines::{Lines, Place};
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::job::DebugLevel;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// The version of the ISA that has `inlined_at`.
pub(super) const INLINED_AT: (u8, u8) = (7, 2);

/// What is known of a unit's places while its code is written.
pub(super) struct Debug<'a> {
    level: DebugLevel,
    unit: &'a Unit,
    lines: Lines<'a>,
    /// Files in use, by their index in the unit: numbers from 1.
    files: FxHashMap<u32, u32>,
    order: Vec<u32>,
    /// Functions that were inlined somewhere.
    names: FxHashMap<Arc<str>, u32>,
    strings: Vec<Arc<str>>,
    /// The place of the last line.
    last: Option<(Place, Option<Inlined>)>,
    /// Calls whose place was written in this function.
    calls: FxHashSet<Inlined>,
}

/// What to go back to if nothing was written.
pub(super) type Mark = (usize, Option<(Place, Option<Inlined>)>, usize);

impl<'a> Debug<'a> {
    pub(super) fn new(unit: &'a Unit, level: DebugLevel) -> Self {
        Debug {
            level,
            unit,
            lines: Lines::new(&unit.files),
            files: FxHashMap::default(),
            order: Vec::new(),
            names: FxHashMap::default(),
            strings: Vec::new(),
            last: None,
            calls: FxHashSet::default(),
        }
    }

    /// Whether there is anything to write.
    pub(super) fn is_on(&self) -> bool {
        self.level > DebugLevel::None
    }

    /// Starts a function: what comes first belongs to where its name stands.
    pub(super) fn start(&mut self, function: &Function, out: &mut Writer) {
        self.last = None;
        self.calls.clear();
        if let Some(place) = self.lines.place(function.file, function.span).filter(|_| self.is_on()) {
            self.loc(place, None, out);
            self.last = Some((place, None));
        }
    }

    /// Says where what is written next comes from. Gives what [`Debug::settle`] needs.
    pub(super) fn locate(&mut self, function: &Function, at: Origin, out: &mut Writer) -> Option<Mark> {
        if !self.is_on() {
            return None;
        }
        let before = (out.text.len(), self.last);
        let place = self.place(function, at)?;
        let inlined = at.inlined.expand().filter(|_| self.level == DebugLevel::Full);
        if self.last != Some((place, inlined)) {
            self.chain(function, inlined, out);
            let call = inlined.and_then(|inlined| self.call(function, inlined));
            self.loc(place, call, out);
            self.last = Some((place, inlined));
        }
        Some((before.0, before.1, out.text.len()))
    }

    /// Takes back a place if nothing was written after it.
    pub(super) fn settle(&mut self, mark: Option<Mark>, out: &mut Writer) {
        if let Some((start, last, end)) = mark
            && out.text.len() == end
            && start < end
            // A chain of calls is written once, so it stays.
            && last.is_none_or(|(_, inlined)| inlined.is_none())
            && self.last.is_some_and(|(_, inlined)| inlined.is_none())
        {
            out.text.truncate(start);
            self.last = last;
        }
    }

    fn place(&mut self, function: &Function, at: Origin) -> Option<Place> {
        let (_, file, span) = function.frames(at).next()?;
        self.lines.place(file, span)
    }

    /// The callee of an inlined call, and where the call was.
    fn call(&mut self, function: &Function, inlined: Inlined) -> Option<(u32, Place)> {
        let call = function.body.inlined_call(inlined)?;
        let place = self.place(function, call.call)?;
        let next = self.strings.len() as u32;
        let name = *self.names.entry(call.function.clone()).or_insert_with(|| {
            self.strings.push(call.function.clone());
            next
        });
        Some((name, place))
    }

    /// Writes the places of the calls around a place, from the outside to the inside, those that are not written yet.
    fn chain(&mut self, function: &Function, inlined: Option<Inlined>, out: &mut Writer) {
        let mut missing = Vec::new();
        let mut next = inlined;
        while let Some(inlined) = next.filter(|&inlined| self.calls.insert(inlined)) {
            missing.push(inlined);
            next = function.body.inlined_call(inlined).and_then(|call| call.call.inlined.expand());
        }
        for inlined in missing.into_iter().rev() {
            let Some(call) = function.body.inlined_call(inlined) else { continue };
            let Some(place) = self.place(function, call.call) else { continue };
            let around = call.call.inlined.expand().and_then(|around| self.call(function, around));
            self.loc(place, around, out);
        }
    }

    fn loc(&mut self, place: Place, call: Option<(u32, Place)>, out: &mut Writer) {
        out.push("\t.loc\t");
        self.numbers(place, out);
        if let Some((name, at)) = call {
            out.push(", function_name ");
            out.name_of(Label('i', name));
            out.push(", inlined_at ");
            self.numbers(at, out);
        }
        out.push("\n");
    }

    fn numbers(&mut self, place: Place, out: &mut Writer) {
        let next = self.order.len() as u32 + 1;
        let file = *self.files.entry(place.file).or_insert_with(|| {
            self.order.push(place.file);
            next
        });
        for (n, number) in [file, place.line, place.column].into_iter().enumerate() {
            out.push(if n == 0 { "" } else { " " });
            out.unsigned(u64::from(number));
        }
    }

    /// Says, in comments, in which registers values with names are.
    pub(super) fn registers(&self, function: &Function, regs: &Registers, out: &mut Writer) {
        if self.level < DebugLevel::Full {
            return;
        }
        let body = &function.body;
        for (block, inst) in body.blocks().flat_map(|block| {
            let params = std::iter::once((block, None));
            params.chain(body.block_insts(block).map(move |inst| (block, Some(inst))))
        }) {
            let results = inst.into_iter().flat_map(|inst| body.results(inst));
            let params = body.block_params(block).iter().copied().filter(|_| inst.is_none());
            for value in params.chain(results) {
                let Some(name) = body.names.value(value) else { continue };
                let reg = match regs.place(value) {
                    Home::Reg(reg)
                    | Home::Address(super::regs::Address { base: Base::Reg(reg), offset: 0 }) => reg,
                    _ => continue,
                };
                out.push("\t// ");
                out.push(name);
                out.push(" = ");
                out.arg(Arg::Reg(reg));
                out.push("\n");
            }
        }
    }

    /// Writes what stands behind all code.
    pub(super) fn finish(&self, out: &mut Writer) {
        for (number, &file) in (1..).zip(&self.order) {
            let name = self.unit.files.get(file as usize).map_or("?", |file| &*file.name);
            out.push(if number == 1 { "\n\t.file\t" } else { "\t.file\t" });
            out.unsigned(number);
            out.push(" \"");
            for c in name.chars() {
                match c {
                    '\\' => out.push("\\\\"),
                    '"' => out.push("?"),
                    c if c.is_control() => out.push("?"),
                    c => out.text.push(c),
                }
            }
            out.push("\"\n");
        }
        if self.strings.is_empty() {
            return;
        }
        out.push("\n\t.section\t.debug_str\n{\n");
        for (number, name) in (0..).zip(&self.strings) {
            out.name_of(Label('i', number));
            out.push(":\n\t.b8\t");
            for byte in name.bytes().filter(|&byte| byte != 0) {
                out.unsigned(u64::from(byte));
                out.push(", ");
            }
            out.push("0\n");
        }
        out.push("}\n");
    }
}
