//! Where the code of a printed unit comes from, as comments.

use super::print::{Annotate, Place};
use crate::body::Origin;
use crate::entity::Func;
use crate::lines::Lines;
use crate::unit::Unit;
use std::fmt::Write;

/// Comments above instructions: file, line and column, and the calls through which the code got there. One for all
/// instructions of a place that stand together.
#[derive(Debug)]
pub struct Places<'u> {
    unit: &'u Unit,
    lines: Lines<'u>,
    func: Option<Func>,
    last: Option<Origin>,
}

impl<'u> Places<'u> {
    /// For a unit.
    pub fn new(unit: &'u Unit) -> Self {
        Places { unit, lines: Lines::new(&unit.files), func: None, last: None }
    }
}

impl Annotate for Places<'_> {
    fn before(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        let inst = match place {
            Place::Func(func) => {
                self.func = Some(func);
                return;
            }
            Place::Inst(inst) => inst,
            Place::Method(_) | Place::Block(_) => {
                self.last = None;
                return;
            }
        };
        let Some(function) = self.func.and_then(|func| self.unit.funcs.get(func)) else { return };
        let location = function.body.origin(inst);
        if self.last.replace(location) == Some(location) {
            return;
        }
        let mut text = String::new();
        for (n, (name, file, span)) in function.frames(location).enumerate() {
            let Some(place) = self.lines.place(file, span) else { continue };
            let file = self.unit.files.get(place.file as usize).map_or("?", |file| &*file.name);
            if n > 0 || location.inlined.is_some() {
                let _ = write!(text, "{}{name} ", if n == 0 { "" } else { ", inlined into " });
            }
            let _ = write!(text, "at {file}:{}:{}", place.line, place.column);
        }
        if !text.is_empty() {
            line(&text);
        }
    }
}
