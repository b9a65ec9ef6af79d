//! Reading, printing and formatting: total on any bytes, and inverse to each other.

use super::Checked;
use crate::generate::choices::Choices;
use crate::generate::methods::case;
use crate::generate::text;
use crate::print::Bug;
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry_ir::program::Program;
use marquetry_ir::text::{format, parse, parse_bytes, print_program};
use marquetry_ir::verify::verify_program;

/// Any bytes.
pub fn garbage(input: &mut Unstructured<'_>) -> Checked {
    let bytes = Choices::new(input).bytes(1 << 14);
    let mut program = Program::new();
    parse_bytes(&mut program, "garbage.mq", &bytes);
    check_text(&String::from_utf8_lossy(&bytes))
}

/// Programs with some tokens changed.
pub fn mutated(input: &mut Unstructured<'_>) -> Checked {
    check_text(&text::mutated(&mut Choices::new(input)))
}

/// Programs as they were generated.
pub fn roundtrip(input: &mut Unstructured<'_>) -> Checked {
    let text = case(&mut Choices::new(input)).text;
    match check_text(&text)? {
        Verdict::Agreed => Ok(Verdict::Agreed),
        _ => Err(Bug::new("generated program is refused", "", text)),
    }
}

/// What must hold of any text.
///
/// # Errors
/// Printing and reading, or formatting twice, does not give the same.
pub fn check_text(text: &str) -> Checked {
    let bug = |what: &str, detail: String| Err(Bug::new(what, detail, text));
    let mut program = Program::new();
    let diagnostics = parse(&mut program, "text.mq", text);
    // Items without mistakes are kept: what is verified and printed is a program in any case.
    let mistakes = verify_program(&program);
    let printed = print_program(&program);
    let mut again = Program::new();
    let found = parse(&mut again, "printed.mq", &printed);
    if let (Some(first), true) = (found.first(), mistakes.is_empty()) {
        return bug("what is printed does not read", format!("{}\n{printed}", first.message));
    }
    let second = print_program(&again);
    if mistakes.is_empty() && second != printed {
        return bug("printing is not canonical", format!("first\n{printed}\nsecond\n{second}"));
    }
    let formatted = format(text);
    if let Ok(once) = &formatted {
        match format(once) {
            Ok(twice) if twice == *once => {}
            Ok(twice) => return bug("formatting twice differs", format!("once\n{once}\ntwice\n{twice}")),
            Err(_) => return bug("formatted text does not format", once.clone()),
        }
        let mut formatted = Program::new();
        let after = parse(&mut formatted, "text.mq", once);
        if after.len() != diagnostics.len() || print_program(&formatted) != printed {
            return bug("formatting changes the meaning", once.clone());
        }
    } else if diagnostics.is_empty() {
        return bug("a valid program does not format", String::new());
    }
    Ok(if diagnostics.is_empty() && mistakes.is_empty() { Verdict::Agreed } else { Verdict::Refused })
}
