//! The text of one method with everything that it mentions and that is no method: what its meaning depends on, besides
//! what its calls are resolved to.
//!
//! Two programs that give the same text for a method mean the same by it, in whatever order they define things and
//! wherever the text stood: spans and file names are not in it.

use super::print::{Plain, Printer, write_method};
use crate::body::Symbol;
use crate::entity::{Inst, Method, SymbolRef, Value};
use crate::op::Shape;
use crate::program::{GlobalData, Program, Reference};
use crate::types::{Abstract, Aggregate, Generic, Nominal, Singleton, Type, Types};
use cranelift_entity::EntityRef;
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// The canonical text of a method with the structs, abstract types, globals and functions of the host that it mentions;
/// empty for a method that does not exist.
pub fn print_definition(program: &Program, method: Method) -> String {
    let mut out = String::new();
    if program.method_exists(method) {
        // Writing to a string cannot fail.
        let _ = write_definition(&mut out, program, method);
    }
    out
}

/// A type as the text format spells it, names in quotes where they are no identifiers: what reads back as this type.
pub fn print_type(types: &Types, ty: Type) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = Printer { out: &mut out, types, unit: None, annotate: &mut Plain }.ty(ty);
    out
}

fn write_definition(out: &mut String, program: &Program, method: Method) -> fmt::Result {
    let data = program.method(method);
    let mut found = Found { types: &program.types, seen: FxHashSet::default(), worklist: Vec::new() };
    found.all(&data.signature.params);
    found.all(&data.signature.results);
    data.variables.iter().for_each(|variable| found.one(variable.ty));
    let body = &data.body;
    (0..body.value_count()).for_each(|n| found.one(body.value_type(Value::new(n))));
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for inst in (0..body.inst_count()).map(Inst::new) {
        let data = body.inst(inst);
        found.one(data.ty);
        let shape = data.op.info().shape;
        if matches!(shape, Shape::Call | Shape::FunctionAddress | Shape::GlobalAddress)
            && let Symbol::Name(name) | Symbol::Overload(name, _) = body.symbol(SymbolRef::from_u32(data.imm))
        {
            names.insert(name);
        }
    }
    for (_, symbol) in body.symbols() {
        if let Symbol::Overload(_, params) = symbol {
            found.all(params);
        }
    }
    for signature in (0..).take_while(|&n| body.signature_exists(n)) {
        let signature = body.signature(crate::entity::SigRef::from_u32(signature));
        found.all(&signature.params);
        found.all(&signature.results);
    }
    let mentioned = reached_globals(program, names.iter().copied());
    let globals: Vec<&GlobalData> = mentioned.values().copied().collect();
    for slot in globals.iter().flat_map(|global| &global.slots) {
        if let Reference::Method { params, .. } = &slot.reference {
            found.all(params);
        }
    }
    let externs: Vec<_> =
        names.iter().filter_map(|name| program.externs.get(program.find_extern(name)?)).collect();
    globals.iter().for_each(|global| found.one(global.ty));
    for data in &externs {
        found.all(&data.signature.params);
        found.all(&data.signature.results);
    }
    let mut texts: BTreeSet<String> = BTreeSet::new();
    let mut bounds: Vec<Abstract> = data.variables.iter().map(|variable| variable.bound).collect();
    while let Some(ty) = found.worklist.pop() {
        if let Some(nominal) = found.parts(ty) {
            texts.insert(nominal_text(&program.types, nominal)?);
        }
        bounds.push(program.types.supertype(ty));
    }
    for bound in bounds {
        // Chains of supertypes end at the one that every type is.
        let mut bound = bound;
        while bound != Abstract::ANY && texts.insert(nominal_text(&program.types, Nominal::Abstract(bound))?)
        {
            bound = program.types.abstract_supertype(bound);
        }
    }
    texts.iter().try_for_each(|text| out.write_str(text))?;
    let mut printer = Printer { out, types: &program.types, unit: None, annotate: &mut Plain };
    printer.memory(globals.into_iter(), externs.into_iter())?;
    write_method(&mut printer, program, method, data)
}

/// The globals of these names, and those whose addresses they hold, by name.
fn reached_globals<'a>(
    program: &'a Program,
    names: impl Iterator<Item = &'a str>,
) -> BTreeMap<&'a str, &'a GlobalData> {
    let mut found: BTreeMap<&str, &GlobalData> = BTreeMap::new();
    let mut work: Vec<&str> = names.collect();
    while let Some(name) = work.pop() {
        let Some(global) = program.find_global(name).and_then(|id| program.globals.get(id)) else { continue };
        if found.insert(&global.name, global).is_some() {
            continue;
        }
        work.extend(global.slots.iter().filter_map(|slot| match &slot.reference {
            Reference::Global { name, .. } => Some(&**name),
            _ => None,
        }));
    }
    found
}

fn nominal_text(types: &Types, nominal: Nominal) -> Result<String, fmt::Error> {
    let mut text = String::new();
    Printer { out: &mut text, types, unit: None, annotate: &mut Plain }.nominal(nominal)?;
    Ok(text)
}

/// Types that are mentioned, each once.
struct Found<'a> {
    types: &'a Types,
    seen: FxHashSet<Type>,
    worklist: Vec<Type>,
}

impl Found<'_> {
    fn all(&mut self, types: &[Type]) {
        types.iter().for_each(|&ty| self.one(ty));
    }

    fn one(&mut self, ty: Type) {
        if self.seen.insert(ty) {
            self.worklist.push(ty);
        }
    }

    /// Looks into a type; gives what was defined under a name, if it is that.
    fn parts(&mut self, ty: Type) -> Option<Nominal> {
        let types = self.types;
        let mut nominal = None;
        if let Some((template, args)) = types.applied(ty) {
            nominal = Some(Nominal::Template(template));
            self.all(args);
            let fields = types.template(template).map(|data| &data.fields[..]).unwrap_or_default();
            fields.iter().for_each(|field| self.one(field.1));
        }
        match types.aggregate(ty) {
            Some(Aggregate::Array { element, .. }) => self.one(*element),
            Some(Aggregate::Struct { fields, .. }) => {
                nominal = nominal.or(Some(Nominal::Struct(ty)));
                fields.iter().for_each(|field| self.one(field.1));
            }
            Some(Aggregate::Singleton(Singleton::Type(inner))) => self.one(*inner),
            Some(Aggregate::Singleton(_)) | None => {}
        }
        match types.generic(ty) {
            Some(Generic::Abstract(id)) => nominal = Some(Nominal::Abstract(*id)),
            Some(Generic::Vector { lane: a, lanes: b } | Generic::Array { element: a, length: b }) => {
                self.all(&[*a, *b]);
            }
            Some(Generic::Pointer(inner) | Generic::TypeOf(inner) | Generic::Pack(inner)) => self.one(*inner),
            Some(Generic::Struct { .. } | Generic::ConstOf(_) | Generic::Variable(_)) | None => {}
        }
        nominal.filter(|nominal| *nominal != Nominal::Abstract(Abstract::ANY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{parse, parse_redefining};

    fn program(text: &str) -> Program {
        let mut program = Program::new();
        assert_eq!(parse(&mut program, "test.mq", text), []);
        program
    }

    fn definition(program: &Program, name: &str) -> String {
        print_definition(program, program.methods_of(name)[0])
    }

    const TEXT: &str = "abstract Number
        abstract Real : Number
        impl f32 : Real
        struct inner { x: f32 }
        struct pair { a: inner, b: i32 }
        struct other { c: i64 }
        global table: array<i32, 2> in constant = [i32 1, i32 2]
        global unused: i32 in global = i32 3
        extern func sine(f64) -> f64 as \"sin\"
        method f<T: Real>(p: pair, x: T) -> i32 {
        entry:
            t = address.constant table
            v = load.i32 t
            s = call sine(f64 1.0)
            w = call g(v)
            return w
        }
        method g(x: i32) -> i32 {
        entry:
            return x
        }
        ";

    #[test]
    fn what_is_mentioned_is_in_it_and_nothing_else() {
        let text = definition(&program(TEXT), "f");
        for wanted in [
            "struct inner",
            "struct pair",
            "abstract Real",
            "abstract Number",
            "global table",
            "extern func sine",
        ] {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        for other in ["struct other", "global unused", "method g"] {
            assert!(!text.contains(other), "{other} in\n{text}");
        }
    }

    #[test]
    fn what_globals_hold_the_addresses_of_is_in_it() {
        let text = "struct node { value: i64, next: ptr<constant> }
            struct far { x: i64 }
            global first: node in constant with [8: address second]
            global second: node in constant = [i64 2, ptr<constant> null] with [8: address first]
            global calls: i64 in constant with [0: function g(far)]
            global third: node in constant = [i64 3, ptr<constant> null]
            method f() -> i64 {
            entry:
                t = address.constant first
                v = load.i64 t
                c = address.constant calls
                w = load.i64 c
                x = add v, w
                return x
            }
            method g(x: far) {
            entry:
                return
            }
            ";
        let whole = definition(&program(text), "f");
        for wanted in ["global first", "global second", "function g(far)", "struct far"] {
            assert!(whole.contains(wanted), "{wanted} in\n{whole}");
        }
        assert!(!whole.contains("global third"), "{whole}");
        assert_ne!(definition(&program(&text.replace("i64 2,", "i64 7,")), "f"), whole);
    }

    #[test]
    fn it_depends_on_neither_order_nor_place() {
        let first = program(TEXT);
        let mut second = program("; a comment\n\nstruct early { y: i8 }\n");
        assert_eq!(parse(&mut second, "elsewhere.mq", TEXT), []);
        assert_eq!(definition(&first, "f"), definition(&second, "f"));
        let text = "method g(x: i32) -> i32 {\nentry:\n    y = add x, x\n    return y\n}\n";
        assert_eq!(parse_redefining(&mut second, "again.mq", text), []);
        assert_eq!(definition(&first, "f"), definition(&second, "f"));
        assert_ne!(definition(&first, "g"), definition(&second, "g"));
    }

    #[test]
    fn each_thing_that_is_mentioned_matters() {
        let whole = definition(&program(TEXT), "f");
        for (old, new) in [
            ("[i32 1, i32 2]", "[i32 1, i32 3]"),
            ("struct inner { x: f32 }", "struct inner { x: f64 }"),
            ("as \"sin\"", "as \"cos\""),
            ("f64 1.0", "f64 1.5"),
            ("abstract Real : Number", "abstract Real"),
        ] {
            assert_ne!(definition(&program(&TEXT.replace(old, new)), "f"), whole, "{new}");
        }
    }
}
