//! The C header of an object: what C code includes to call the exports.
//!
//! Structs have the layout of C, so they are declared as they are. What C passes by address is declared as a pointer to
//! the struct, or to the first element of an array, of a vector, or of the two words of an `i128`. Above each function
//! stands what it is in the language.
//!
//! The header is C99, and C++11. With it C can call kernels: it has the structs that kernels write to, what makes them ready,
//! and functions that say what the numbers in them mean.

use super::Built;
use marquetry_codegen::artifact::argument_block;
use marquetry_codegen::native::context::SubgroupOp;
use marquetry_codegen::native::{CReturn, CSignature, Export, ExportKind, c_name};
use marquetry_ir::program::Program;
use marquetry_ir::types::{Aggregate, Scalar, Space, Type, TypeKind, Types};
use marquetry_ir::unit::Unit;
use marquetry_lower::legal::{Argument, Legal, Role};
use marquetry_lower::runtime::inputs::ARENA;
use marquetry_lower::runtime::print;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

mod fixed;
mod tables;

/// Most bytes of a text in the header: C has no longer ones (C99, 5.2.4.1).
const MAX_TEXT: usize = 4000;

/// A text that ends no comment.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace(['\n', '\r'], " ")
}

/// A text as a literal of C, cut where it is too long.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        if out.len() > MAX_TEXT {
            out.push_str("...");
            break;
        }
        match byte {
            b'\n' => out.push_str("\\n"),
            // Question marks, too: three of them and more are another character in old C.
            b'"' | b'\\' | b'?' | 0..0x20 | 0x7f.. => drop(write!(out, "\\{byte:03o}")),
            _ => out.push(byte.into()),
        }
    }
    out.push('"');
    out
}

/// Writes a header under construction. Writing to a string cannot fail.
struct Writer<'a> {
    types: &'a Types,
    out: String,
    /// The structs of these types that were declared, and what they are called.
    structs: BTreeMap<Type, String>,
    /// The same by what the language calls them and by their fields, whatever types they are of.
    declared: BTreeMap<(String, String), String>,
    /// Names of structs.
    taken: BTreeSet<String>,
}

/// Which of the things that kernels write to are there.
#[derive(Default)]
struct Written {
    mailbox: bool,
    print: bool,
    arena: bool,
}

impl Written {
    /// The struct that a kernel's argument is the address of, if it is one of these.
    fn of(argument: &Argument) -> Option<&'static str> {
        match &argument.role {
            Role::Mailbox => Some("marq_mailbox"),
            Role::Input(name) if **name == *print::INPUT => Some("marq_print"),
            Role::Input(name) if **name == *ARENA => Some("marq_arena"),
            _ => None,
        }
    }

    fn add(&mut self, argument: &Argument) {
        match Written::of(argument) {
            Some("marq_mailbox") => self.mailbox = true,
            Some("marq_print") => self.print = true,
            Some(_) => self.arena = true,
            None => {}
        }
    }
}

/// The C header of what was exported of a program, by everything that is linked together: whatever is named in it has
/// another name than the rest. Its guard is named as the first one is.
pub fn header(parts: &[Built], program: &Program) -> String {
    let Some(first) = parts.first() else { return String::new() };
    let guard = format!("MARQ_{}_H", c_name(&first.name).to_ascii_uppercase());
    let mut writer = Writer {
        types: &first.legal.unit().types,
        out: String::new(),
        structs: BTreeMap::new(),
        declared: BTreeMap::new(),
        taken: BTreeSet::new(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let start = fixed::START;
    let _ =
        write!(writer.out, "/* Made by marquetry {version}. */\n#ifndef {guard}\n#define {guard}\n\n{start}");
    // Functions are exported as they are: it is the header's own that make room.
    let exports = || parts.iter().flat_map(|part| &part.exports);
    let mut names: BTreeSet<String> = exports().map(|(export, _)| export.symbol.to_string()).collect();
    let is_kernel = |kind: &ExportKind| matches!(kind, ExportKind::Kernel { .. });
    let blocks = exports().filter(|(_, kind)| is_kernel(kind));
    writer.taken.extend(blocks.map(|(export, _)| format!("{}_args", export.symbol)));
    let mut all = Written::default();
    let mut printing = Vec::new();
    for part in parts {
        let (legal, stem) = (&part.legal, c_name(&part.name));
        let (mut written, mut throws) = (Written::default(), false);
        for (export, kind) in &part.exports {
            match kind {
                ExportKind::Function(signature) => throws |= signature.returns == CReturn::Status,
                ExportKind::Packed => throws = true,
                ExportKind::Kernel { .. } => {
                    let abi = legal.entries().get(export.entry);
                    abi.into_iter().flat_map(|abi| &abi.arguments).for_each(|argument| written.add(argument));
                }
            }
        }
        if (throws || written.mailbox) && !legal.sites().is_empty() {
            let name = unique(&mut names, &format!("{stem}_exception"));
            let _ = write!(
                writer.out,
                "\n/* A status is 0 if nothing was thrown, else the number of a place, which {name} tells. */\n"
            );
            tables::exceptions(&mut writer.out, &name, legal.sites(), &legal.unit().types, program);
        }
        if written.print {
            printing.push((legal, stem));
        }
        all.mailbox |= written.mailbox;
        all.print |= written.print;
        all.arena |= written.arena;
    }
    if exports().any(|(_, kind)| is_kernel(kind)) {
        let op = |(n, op): (usize, &SubgroupOp)| format!("{n} {op:?}");
        let ops: Vec<String> = SubgroupOp::ALL.iter().enumerate().map(op).collect();
        writer.out.push_str(&fixed::GROUP.replace("{OPS}", &ops.join(", ")));
    }
    let texts = [(all.mailbox, fixed::MAILBOX), (all.print, fixed::PRINT), (all.arena, fixed::ARENA)];
    texts.iter().filter(|(is_there, _)| *is_there).for_each(|(_, text)| writer.out.push_str(text));
    for (legal, stem) in printing {
        let names = ["format", "format_types"].map(|what| unique(&mut names, &format!("{stem}_{what}")));
        let (formats, types) = (&legal.unit().formats, &legal.unit().types);
        tables::formats(&mut writer.out, names.each_ref().map(|name| &**name), formats, types);
    }
    for part in parts {
        writer.types = &part.legal.unit().types;
        writer.structs.clear();
        for (export, kind) in &part.exports {
            writer.export(&part.legal, export, kind, part.artifact.shared_bytes);
        }
    }
    writer.out.push_str(fixed::END);
    writer.out
}

/// Alignment of a group's shared memory.
fn shared_align(unit: &Unit) -> u32 {
    let shared = unit.globals.values().filter(|global| global.space == Space::Shared);
    shared.filter_map(|global| Some(global.layout(&unit.types)?.align)).max().unwrap_or(1).max(16)
}

impl Writer<'_> {
    fn export(&mut self, legal: &Legal, export: &Export, kind: &ExportKind, shared_bytes: u64) {
        let unit = legal.unit();
        let Some((&func, abi)) = unit.entries.get(export.entry).zip(legal.entries().get(export.entry)) else {
            return;
        };
        let own = abi.arguments.iter().filter(|argument| argument.role == Role::Argument);
        let params: Vec<String> = own
            .map(|argument| {
                let ty = self.types.display(argument.ty);
                argument.name.as_ref().map_or_else(|| ty.to_string(), |name| format!("{name}: {ty}"))
            })
            .collect();
        let results: Vec<String> =
            abi.results.iter().map(|result| self.types.display(result.ty).to_string()).collect();
        let mut title = format!("{}({})", unit.funcs[func].name, params.join(", "));
        match results.as_slice() {
            [] => {}
            [one] => title.push_str(&format!(" -> {one}")),
            several => title.push_str(&format!(" -> ({})", several.join(", "))),
        }
        let symbol = &*export.symbol;
        // C and C++ know it, and let nobody declare it otherwise (C99, 5.1.2.2.1; C++11, [basic.start.main]).
        if symbol == "main" {
            let _ = write!(self.out, "\n/* {}: the program's own 'main' */\n", comment(&title));
            return;
        }
        let declaration = match kind {
            ExportKind::Function(signature) => {
                if signature.returns == CReturn::Status {
                    title.push_str(", returns a status");
                }
                self.function(symbol, signature)
            }
            ExportKind::Packed => {
                title.push_str(", returns a status; arguments and results lie in blocks, little-endian");
                format!("uint32_t {symbol}(const void *args, void *results, const void *stack);")
            }
            ExportKind::Kernel { waits } => {
                title.insert_str(0, "kernel ");
                if *waits {
                    title.push_str(", whose work-items meet");
                }
                if shared_bytes > 0 {
                    let align = shared_align(unit);
                    title.push_str(&format!(", needs shared memory that is aligned to {align}"));
                }
                let block = self.block(legal, export, shared_bytes);
                format!(
                    "{block}void {symbol}(const struct {symbol}_args *args, const struct marq_group *group, uint32_t \
                     first, uint32_t end,\n    const void *stack);"
                )
            }
        };
        let _ = write!(self.out, "\n/* {} */\n{declaration}\n", comment(&title));
    }

    fn function(&mut self, symbol: &str, signature: &CSignature) -> String {
        let mut names = BTreeSet::new();
        let mut params = Vec::new();
        for (n, param) in signature.params.iter().enumerate() {
            let name = param.name.as_ref().map_or_else(|| format!("a{n}"), |name| c_name(name));
            let name = unique(&mut names, &name);
            params.push(match param.by_address {
                true => format!("const {}", self.pointer(param.ty, &name)),
                false => self.field(param.ty, &name),
            });
        }
        for (n, &ty) in signature.outs.iter().enumerate() {
            let name = if signature.outs.len() == 1 { "result".to_owned() } else { format!("result{n}") };
            let name = unique(&mut names, &name);
            params.push(self.pointer(ty, &name));
        }
        let returned = match signature.returns {
            CReturn::Nothing => "void ".to_owned(),
            CReturn::Value(ty) => self.field(ty, ""),
            CReturn::Status => "uint32_t ".to_owned(),
        };
        let params = if params.is_empty() { "void".to_owned() } else { params.join(", ") };
        format!("{returned}{symbol}({params});")
    }

    /// The struct that is a kernel's argument block, and the numbers to know.
    fn block(&mut self, legal: &Legal, export: &Export, shared_bytes: u64) -> String {
        let unit = legal.unit();
        let Some((&func, abi)) = unit.entries.get(export.entry).zip(legal.entries().get(export.entry)) else {
            return String::new();
        };
        let lowered = &unit.funcs[func].signature.params;
        let mut names = BTreeSet::new();
        let (symbol, mut out) = (&export.symbol, String::new());
        if abi.mailbox {
            let _ = writeln!(out, "#define MARQ_{symbol}_KERNEL {}", export.entry + 1);
        }
        if shared_bytes > 0 {
            let _ = writeln!(out, "#define MARQ_{symbol}_SHARED_BYTES {shared_bytes}");
        }
        let _ = writeln!(out, "struct {symbol}_args {{");
        for (n, argument) in abi.arguments.iter().enumerate() {
            let name = match (&argument.role, &argument.name) {
                (Role::Mailbox, _) => "mailbox".to_owned(),
                (Role::Input(name), _) => c_name(name),
                (Role::State, None) => "state".to_owned(),
                (_, Some(name)) => c_name(name),
                (Role::Argument, None) => format!("a{n}"),
            };
            for part in 0..argument.parts.len() {
                let Some(&ty) = lowered.get(argument.first as usize + part) else { continue };
                let name = if argument.parts.len() == 1 { name.clone() } else { format!("{name}_{part}") };
                let name = unique(&mut names, &name);
                let _ = match Written::of(argument) {
                    Some(tag) => writeln!(out, "    struct {tag} *{name};"),
                    None => writeln!(out, "    {};", self.field(ty, &name)),
                };
            }
        }
        if argument_block(lowered).1 == 0 {
            out.push_str("    char none;\n");
        }
        out.push_str("};\n");
        out
    }

    /// A pointer to a value, or to its first element.
    fn pointer(&mut self, ty: Type, name: &str) -> String {
        let ty = self.types.underlying(ty);
        match (ty.kind(), self.types.aggregate(ty)) {
            (TypeKind::Vector(lane, _), _) => format!("{} *{name}", scalar(lane)),
            (TypeKind::Scalar(Scalar::I128), _) => format!("uint64_t *{name}"),
            (_, Some(&Aggregate::Array { element, .. })) => {
                // Arrays in arrays as one: C's pointers to arrays are harder to call.
                let mut element = element;
                while let Some(&Aggregate::Array { element: inner, .. }) =
                    self.types.aggregate(self.types.underlying(element))
                {
                    element = inner;
                }
                self.pointer(element, name)
            }
            _ => self.field(ty, &format!("*{name}")),
        }
    }

    /// A field or parameter that holds a value.
    fn field(&mut self, ty: Type, name: &str) -> String {
        let ty = self.types.underlying(ty);
        let align = self.types.layout(ty).map_or(1, |layout| layout.align);
        match (ty.kind(), self.types.aggregate(ty).cloned()) {
            (TypeKind::Scalar(Scalar::I128), _) => format!("MARQ_ALIGN(16) uint64_t {name}[2]"),
            (TypeKind::Scalar(kind), _) => format!("{} {name}", scalar(kind)),
            (TypeKind::Vector(lane, lanes), _) => {
                format!("MARQ_ALIGN({align}) {} {name}[{lanes}]", scalar(lane))
            }
            (TypeKind::Pointer(_), _) => format!("void *{name}"),
            (_, Some(Aggregate::Array { element, length })) => {
                self.field(element, &format!("{name}[{length}]"))
            }
            _ => format!("struct {} {name}", self.structure(ty)),
        }
    }

    /// The name of a struct, which is declared if it was not. Nesting is limited where types are made.
    fn structure(&mut self, ty: Type) -> String {
        if let Some(known) = self.structs.get(&ty) {
            return known.clone();
        }
        let spelled = self.types.display(ty).to_string();
        let mut body = String::new();
        let mut names = BTreeSet::new();
        if let Some(Aggregate::Struct { fields, .. }) = self.types.aggregate(ty).cloned() {
            for (field, ty) in fields.iter() {
                // What has no bytes is not there in C.
                if self.types.layout(*ty).is_some_and(|layout| layout.size > 0) {
                    let field = unique(&mut names, &c_name(field));
                    let _ = writeln!(body, "    {};", self.field(*ty, &field));
                }
            }
        }
        let known = (spelled, body);
        if let Some(name) = self.declared.get(&known) {
            self.structs.insert(ty, name.clone());
            return name.clone();
        }
        let (spelled, body) = &known;
        let name = unique(&mut self.taken, &c_name(spelled));
        // Structs in it were written before it.
        let _ = write!(self.out, "\n/* {} */\nstruct {name} {{\n{body}}};\n", comment(spelled));
        self.structs.insert(ty, name.clone());
        self.declared.insert(known, name.clone());
        name
    }
}

/// A name that is not taken yet; it is afterwards.
fn unique(taken: &mut BTreeSet<String>, name: &str) -> String {
    let numbered = (2u32..).map(|n| format!("{name}_{n}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let free = names.find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

fn scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::I1 => "bool",
        Scalar::I8 => "int8_t",
        Scalar::I16 => "int16_t",
        Scalar::I32 => "int32_t",
        Scalar::I64 => "int64_t",
        Scalar::F16 | Scalar::BF16 => "uint16_t",
        Scalar::F32 => "float",
        Scalar::F64 => "double",
        Scalar::I128 => "uint64_t",
    }
}
