//! The C header of an object: what C code includes to call the exports.
//!
//! Structs have the layout of C, so they are declared as they are. What C passes by address is declared as a pointer to
//! the struct, or to the first element of an array, of a vector, or of the two words of an `i128`. Above each function
//! stands what it is in the language.

use marquetry_codegen::artifact::argument_block;
use marquetry_codegen::native::{CReturn, CSignature, Export, ExportKind, c_name};
use marquetry_ir::lines::Lines;
use marquetry_ir::program::Program;
use marquetry_ir::types::{Aggregate, Scalar, Type, TypeKind, Types};
use marquetry_lower::legal::{Legal, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const START: &str = "\
#include <stdbool.h>
#include <stdint.h>

#ifndef MARQ_ALIGN
#ifdef __cplusplus
#define MARQ_ALIGN(bytes) alignas(bytes)
#else
#define MARQ_ALIGN(bytes) _Alignas(bytes)
#endif
#endif

#ifdef __cplusplus
extern \"C\" {
#endif
";

const END: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

/// What C must know to run kernels: `marquetry_codegen::native::context::WorkGroup`.
const GROUP: &str = "
/* Kernels run the work-items `first` to before `end` of a group, numbered with the first dimension fastest. Where a
 * kernel's work-items meet, each must be run on a stack of its own, and `barrier` and `subgroup` must wait for the others;
 * else these two are never called. `shared` is the group's shared memory, aligned to 16 bytes. `stack` may be null. */
#ifndef MARQ_GROUP
#define MARQ_GROUP
struct marq_group {
    uint32_t group_id[3];
    uint32_t group_size[3];
    uint32_t group_count[3];
    uint32_t subgroup_size;
    void *shared;
    void (*barrier)(const void *item, uint64_t site);
    uint64_t (*subgroup)(const void *item, uint64_t op, uint64_t value, uint64_t lane, uint64_t site);
    const void *scheduler;
};
#endif
";

/// A text that ends no comment.
fn comment(text: &str) -> String {
    text.replace("*/", "* /").replace(['\n', '\r'], " ")
}

/// Writes a header under construction. Writing to a string cannot fail.
struct Writer<'a> {
    types: &'a Types,
    out: String,
    /// The structs that were declared, and what they are called.
    structs: BTreeMap<Type, String>,
    taken: BTreeSet<String>,
}

/// The C header of what was exported. `name`: of the file, for its guard.
pub fn header(legal: &Legal, exports: &[(Export, ExportKind)], program: &Program, name: &str) -> String {
    let guard = format!("MARQ_{}", c_name(name).to_ascii_uppercase());
    let types = &legal.unit().types;
    let mut writer = Writer { types, out: String::new(), structs: BTreeMap::new(), taken: BTreeSet::new() };
    let version = env!("CARGO_PKG_VERSION");
    let _ =
        write!(writer.out, "/* Made by marquetry {version}. */\n#ifndef {guard}\n#define {guard}\n\n{START}");
    let throws = |kind: &ExportKind| match kind {
        ExportKind::Function(signature) => signature.returns == CReturn::Status,
        ExportKind::Packed | ExportKind::Kernel { .. } => true,
    };
    if exports.iter().any(|(_, kind)| throws(kind)) && !legal.sites().is_empty() {
        writer.statuses(legal, program);
    }
    if exports.iter().any(|(_, kind)| matches!(kind, ExportKind::Kernel { .. })) {
        writer.out.push_str(GROUP);
    }
    for (export, kind) in exports {
        writer.export(legal, export, kind);
    }
    writer.out.push_str(END);
    writer.out
}

impl Writer<'_> {
    /// What the numbers mean that throwing functions return.
    fn statuses(&mut self, legal: &Legal, program: &Program) {
        self.out.push_str("\n/* Statuses: 0 if nothing was thrown, else\n");
        let mut lines = Lines::new(&program.files);
        for (n, site) in legal.sites().iter().enumerate() {
            let mut line = format!("{} {} in {}", n + 1, site.kind, site.function);
            if let Some(place) = lines.place(site.file, site.span) {
                let file = site.file.and_then(|file| program.files.get(file as usize));
                let path = file.map_or("?", |file| &*file.name);
                let short = path.rsplit(['/', '\\']).next().unwrap_or(path);
                let _ = write!(line, ", {short}:{}:{}", place.line, place.column);
            }
            if let Some(reason) = &site.reason {
                let _ = write!(line, ": {reason}");
            }
            let _ = writeln!(self.out, " *   {}", comment(&line));
        }
        self.out.push_str(" */\n");
    }

    fn export(&mut self, legal: &Legal, export: &Export, kind: &ExportKind) {
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
                let block = self.block(legal, export);
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

    /// The struct that is a kernel's argument block.
    fn block(&mut self, legal: &Legal, export: &Export) -> String {
        let unit = legal.unit();
        let Some((&func, abi)) = unit.entries.get(export.entry).zip(legal.entries().get(export.entry)) else {
            return String::new();
        };
        let lowered = &unit.funcs[func].signature.params;
        let mut names = BTreeSet::new();
        let mut out = format!("struct {}_args {{\n", export.symbol);
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
                let _ = writeln!(out, "    {};", self.field(ty, &name));
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
        let name = unique(&mut self.taken, &c_name(&spelled));
        self.structs.insert(ty, name.clone());
        let mut body = format!("\n/* {} */\nstruct {name} {{\n", comment(&spelled));
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
        body.push_str("};\n");
        // Structs in it were written before it.
        self.out.push_str(&body);
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
