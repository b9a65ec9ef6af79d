//! Functions in a header that say what numbers mean: statuses of exceptions, and formats of what kernels print.

use super::{comment, string};
use marquetry_ir::lines::Lines;
use marquetry_ir::program::Program;
use marquetry_ir::types::{Type, Types};
use marquetry_ir::unit::PrintFormat;
use marquetry_lower::legal::Site;
use std::fmt::Write;

/// A function from numbers to texts; null for other numbers.
fn table(out: &mut String, name: &str, rows: impl Iterator<Item = (usize, String, String)>) {
    let _ = write!(out, "static inline const char *{name}(uint32_t number) {{\n    switch (number) {{\n");
    for (number, text, remark) in rows {
        let remark = if remark.is_empty() { remark } else { format!(" /* {} */", comment(&remark)) };
        let _ = writeln!(out, "    case {number}: return {};{remark}", string(&text));
    }
    out.push_str("    default: return 0;\n    }\n}\n");
}

fn list(types: &Types, of: &[Type]) -> String {
    let of: Vec<String> = of.iter().map(|&ty| types.display(ty).to_string()).collect();
    of.join(", ")
}

/// What was thrown and where, by status.
pub(super) fn exceptions(out: &mut String, name: &str, sites: &[Site], types: &Types, program: &Program) {
    let mut lines = Lines::new(&program.files);
    let rows = sites.iter().zip(1..).map(|(site, status)| {
        let mut text = format!("{} in {}", site.kind, site.function);
        if let Some(place) = lines.place(site.file, site.span) {
            let file = site.file.and_then(|file| program.files.get(file as usize));
            let path = file.map_or("?", |file| &*file.name);
            let short = path.rsplit(['/', '\\']).next().unwrap_or(path);
            let _ = write!(text, ", {short}:{}:{}", place.line, place.column);
        }
        if let Some(reason) = &site.reason {
            let _ = write!(text, ": {reason}");
        }
        (status, text, list(types, &site.operands))
    });
    out.push_str(
        "\n/* What was thrown, and where, by status; null if there is no such place. Operands stand in a mailbox as they are in a \
         print\n * buffer; their types are in the remark. */\n",
    );
    table(out, name, rows);
}

/// What kernels print, by the number of the format.
pub(super) fn formats(out: &mut String, names: [&str; 2], formats: &[PrintFormat], types: &Types) {
    out.push_str("\n/* What is printed, as for printf, by the number of the format; and the types of its operands. */\n");
    let texts = formats.iter().enumerate().map(|(n, format)| (n, format.text.to_string(), String::new()));
    table(out, names[0], texts);
    let operands =
        formats.iter().enumerate().map(|(n, format)| (n, list(types, &format.types), String::new()));
    table(out, names[1], operands);
}
