//! Where the bytes of a kernel's arguments are: a tree for messages.

use crate::legal::{Argument, Passing, Role};
use marquetry_ir::types::{Aggregate, Type, Types};
use std::fmt::Write;

/// Most arguments that are listed.
const MAX_ARGUMENTS: usize = 100;

/// Most lines of a tree, unless there are more arguments.
const MAX_LINES: usize = 40;

/// Deepest level of fields that is shown.
const MAX_DEPTH: usize = 8;

/// Bytes that are passed for an argument, and their alignment.
pub(super) fn passed(argument: &Argument) -> (u64, u32) {
    match argument.passing {
        Passing::Ghost => (0, 1),
        Passing::Reference => (8, 8),
        Passing::Parts | Passing::Block | Passing::Pointer => (argument.size, argument.align),
    }
}

/// A line for each argument with its place in the argument block, its size and its type, and below it one for each of
/// its fields, with offsets in the argument.
pub(super) fn tree(types: &Types, arguments: &[Argument]) -> String {
    let mut text = String::from("the arguments, with offsets and sizes in bytes:");
    // Every argument comes before any field of one.
    let mut room = MAX_LINES.saturating_sub(arguments.len());
    let mut left_out = 0;
    let mut end = 0u64;
    for (n, argument) in arguments.iter().enumerate() {
        let (size, align) = passed(argument);
        end = end.next_multiple_of(u64::from(align));
        let name = match (&argument.name, &argument.role) {
            (_, Role::State) => "(state)".to_string(),
            (_, Role::Mailbox) => "(mailbox)".to_string(),
            (_, Role::Input(name)) => format!("(input {name})"),
            (Some(name), Role::Argument) => name.to_string(),
            (None, Role::Argument) => format!("argument {n}"),
        };
        let how = match argument.passing {
            Passing::Ghost => ", not passed",
            Passing::Reference => ", by reference",
            Passing::Parts | Passing::Block | Passing::Pointer => "",
        };
        // What is still to be shown, the next at the end: depth, name, offset, type.
        let mut stack = vec![(1, name, end, argument.ty)];
        while let Some((depth, name, offset, ty)) = stack.pop() {
            match (depth, room) {
                (1, _) if n >= MAX_ARGUMENTS => {
                    left_out += 1;
                    break;
                }
                (1, _) => {}
                (_, 0) => {
                    left_out += 1 + stack.len();
                    break;
                }
                _ => room -= 1,
            }
            let size = if depth == 1 { size } else { types.layout(ty).map_or(0, |layout| layout.size) };
            let how = if depth == 1 { how } else { "" };
            let indent = depth * 2;
            let _ = write!(text, "\n{:indent$}{offset:>6} {size:>6}  {name}: {}{how}", "", types.display(ty));
            if depth < MAX_DEPTH && argument.passing != Passing::Reference {
                fields(types, ty, depth, offset, &mut stack);
            }
        }
        end = end.saturating_add(size);
    }
    if left_out > 0 {
        let _ = write!(text, "\n  and {left_out} more");
    }
    text
}

/// Puts the fields of a struct on the stack, the first on top. The elements of an array are all alike.
fn fields(types: &Types, ty: Type, depth: usize, offset: u64, stack: &mut Vec<(usize, String, u64, Type)>) {
    match types.aggregate(ty) {
        Some(Aggregate::Struct { fields, .. }) => {
            for (n, (name, field)) in fields.iter().enumerate().rev() {
                let at = types.field_offset(ty, n as u64).unwrap_or(0);
                stack.push((depth + 1, name.to_string(), offset.saturating_add(at), *field));
            }
        }
        Some(Aggregate::Array { element, length }) if element.is_aggregate() => {
            stack.push((depth + 1, format!("each of {length}"), offset, *element));
        }
        _ => {}
    }
}
