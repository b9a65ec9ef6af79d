//! Diagnostics for people: drawn into the text that the code came from or, for code that a host built, into its
//! printed form, as comments below the line that they are about.

use crate::body::{Body, ValueDef};
use crate::diag::Diagnostic;
use crate::entity::AnyEntity;
use crate::program::Program;
use crate::text::{Annotate, Place, print_program_with, print_unit_with};
use crate::unit::Unit;
use crate::verify::module::Module;
use crate::verify::structure::is_printable;
use rustc_hash::FxHashMap;

/// What [`explain`] can draw into.
#[derive(Copy, Clone)]
pub struct Explained<'a>(Module<'a>);

impl<'a> From<&'a Program> for Explained<'a> {
    fn from(program: &'a Program) -> Self {
        Explained(Module::Program(program))
    }
}

impl<'a> From<&'a Unit> for Explained<'a> {
    fn from(unit: &'a Unit) -> Self {
        Explained(Module::Unit(unit))
    }
}

/// All diagnostics of a program or unit as plain text. Those with a span are drawn into their source; if there are
/// others, the printed form follows with each of them below the instruction, block or function that it is about. A
/// body whose ids or order are damaged cannot be printed: then they are only listed.
pub fn explain<'a>(module: impl Into<Explained<'a>>, diagnostics: &[Diagnostic]) -> String {
    let Explained(module) = module.into();
    let files = module.files();
    let mut notes = Notes::default();
    let mut bodies = FxHashMap::default();
    let mut printable = true;
    module.each_function(None, &mut |function| {
        bodies.insert(function.owner, function.body);
        printable &= is_printable(module, function);
    });
    let mut listed = Vec::new();
    for diagnostic in diagnostics {
        let drawn = diagnostic.file.is_some_and(|file| (file as usize) < files.len());
        let place =
            line_of(diagnostic, &bodies).filter(|_| printable && !(drawn && diagnostic.span.is_somewhere()));
        match place {
            None => listed.push(diagnostic.clone()),
            Some(place) => notes.add(place, diagnostic),
        }
    }
    let mut out = crate::diag::render(&listed, files);
    if !notes.lines.is_empty() {
        out += &match module {
            Module::Program(program) => print_program_with(program, &mut notes),
            Module::Unit(unit) => print_unit_with(unit, &mut notes),
        };
    }
    out
}

/// The function and the line of its printed form that a diagnostic is about.
fn line_of(diagnostic: &Diagnostic, bodies: &FxHashMap<AnyEntity, &Body>) -> Option<(AnyEntity, Place)> {
    let subject = diagnostic.subject.as_ref()?;
    let body = bodies.get(&subject.owner)?;
    let place = match subject.entity {
        AnyEntity::Method(method) => Place::Method(method),
        AnyEntity::Func(func) => Place::Func(func),
        AnyEntity::Block(block) => Place::Block(block),
        AnyEntity::Inst(inst) => Place::Inst(inst),
        AnyEntity::Value(value) if body.value_exists(value) => match body.value_def(value) {
            ValueDef::Param(block, _) => Place::Block(block),
            ValueDef::Result(inst, _) => Place::Inst(inst),
            ValueDef::Const(_) => return None,
        },
        AnyEntity::Value(_) | AnyEntity::Global(_) | AnyEntity::Extern(_) => return None,
    };
    Some((subject.owner, place))
}

/// Diagnostics by the line that they are about.
#[derive(Default)]
struct Notes {
    lines: FxHashMap<(AnyEntity, Place), Vec<String>>,
    /// The function that is being printed.
    owner: Option<AnyEntity>,
}

impl Notes {
    fn add(&mut self, place: (AnyEntity, Place), diagnostic: &Diagnostic) {
        let Diagnostic { code, severity, message, notes, .. } = diagnostic;
        let lines = self.lines.entry(place).or_default();
        lines.push(format!("{}[{code}]: {message}", severity.name()));
        lines.extend(notes.iter().map(|note| format!("  = {note}")));
    }

    fn write(&self, place: Place, line: &mut dyn FnMut(&str)) {
        let lines = self.owner.and_then(|owner| self.lines.get(&(owner, place)));
        lines.into_iter().flatten().for_each(|text| line(text));
    }
}

impl Annotate for Notes {
    fn before(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        let owner = match place {
            Place::Method(method) => AnyEntity::Method(method),
            Place::Func(func) => AnyEntity::Func(func),
            Place::Block(_) | Place::Inst(_) => return,
        };
        self.owner = Some(owner);
        self.write(place, line);
    }

    fn after(&mut self, place: Place, line: &mut dyn FnMut(&str)) {
        if matches!(place, Place::Block(_) | Place::Inst(_)) {
            self.write(place, line);
        }
    }
}
