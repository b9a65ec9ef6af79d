//! What holds of one global: its space, alignment, first contents and slots.

use crate::diag::Code;
use crate::limits::{MAX_GLOBAL_ALIGN, MAX_PARAMS, MAX_SLOTS};
use crate::program::{
    GlobalData, GlobalSlot, MethodKind, Reference, WORD_BYTES, fits, fits_function, word_at,
};
use crate::types::{Space, Type, Types};
use crate::verify::module::{Item, Module, problem};
use crate::verify::report::Report;

/// Checks a global by itself.
pub(super) fn global(item: &Item<'_>, types: &Types, data: &GlobalData, report: &mut Report) {
    if !matches!(data.space, Space::Global | Space::Constant | Space::Shared) {
        let message = format!("a global cannot be in {} memory", data.space.name());
        report.push(item.error(Code::GlobalSpace, message));
    }
    if let Some(align) = data.align
        && !(align.is_power_of_two() && u64::from(align) <= MAX_GLOBAL_ALIGN)
    {
        let message = format!("an alignment of {align}, not a power of two of at most {MAX_GLOBAL_ALIGN}");
        report.push(item.error(Code::GlobalAlign, message));
    }
    if let Some((code, problem)) = problem(types, data.ty, false) {
        report.push(item.error(code, format!("global {problem}")));
        return;
    }
    let size = types.layout(data.ty).map_or(0, |layout| layout.size);
    match &data.init {
        Some(_) if data.space == Space::Shared => {
            let message = "shared memory has no first contents".into();
            report.push(item.error(Code::GlobalInit, message));
        }
        Some(init) if init.len() as u64 != size => {
            let message = format!("first contents have {} bytes, the type has {size}", init.len());
            report.push(item.error(Code::GlobalInit, message));
        }
        _ => {}
    }
    if data.slots.is_empty() {
        return;
    }
    if data.space == Space::Shared {
        let message = "shared memory has no slots: nobody could fill them".into();
        report.push(item.error(Code::SlotSpace, message));
    } else if data.slots.len() > MAX_SLOTS {
        let message = format!("{} slots, the most is {MAX_SLOTS}", data.slots.len());
        report.push(item.error(Code::Limit, message));
    } else {
        slots(item, types, data, size, report);
    }
}

fn slots(item: &Item<'_>, types: &Types, data: &GlobalData, size: u64, report: &mut Report) {
    let mut free = 0;
    for slot in &data.slots {
        let GlobalSlot { offset, reference } = slot;
        let mut complain = |code, problem: String| {
            report.push(item.error(code, format!("the slot at {offset} for {reference} {problem}")));
        };
        let end = offset.checked_add(WORD_BYTES).filter(|&end| end <= size);
        let Some(end) = end else {
            complain(Code::SlotPlace, format!("is outside of the {size} bytes"));
            continue;
        };
        if *offset < free {
            complain(Code::SlotPlace, "overlaps the one before, or is not in its place by offset".into());
        }
        free = free.max(end);
        let Some(word) = word_at(types, data.ty, *offset) else {
            let ty = types.display(data.ty);
            complain(Code::SlotPlace, format!("is where no i64 and no pointer of {ty} starts"));
            continue;
        };
        if reference.is_of_host() && !fits(word, None) {
            complain(Code::SlotSpace, format!("is a {word}, which cannot hold an address of the host"));
        }
        if reference.is_function() && !fits_function(word) {
            complain(Code::SlotSpace, format!("is a {word}, which cannot hold the address of a function"));
        }
        // Two texts for one word would be a choice between them.
        let range = *offset as usize..end as usize;
        let init = data.init.as_deref().and_then(|init| init.get(range));
        if init.is_some_and(|bytes| bytes.iter().any(|&byte| byte != 0)) {
            complain(Code::SlotPlace, "has first contents, too".into());
        }
        if reference.name().is_some_and(|name| name.contains('\0')) {
            complain(Code::SlotTarget, "has a name with a zero byte".into());
        }
        if matches!(reference, Reference::Symbol { name, .. } if name.is_empty()) {
            complain(Code::SlotTarget, "has no name: a symbol has one".into());
        }
    }
}

/// What is wrong with a slot for a function.
fn function_problem(module: Module<'_>, reference: &Reference) -> Option<String> {
    match (reference, module) {
        (Reference::Method { params, .. }, Module::Program(program)) => {
            if params.len() > MAX_PARAMS {
                return Some(format!("has {} parameter types, the most is {MAX_PARAMS}", params.len()));
            }
            let wrong = |&ty: &Type| match ty.is_generic() {
                true => Some(format!("has type {}, which is no single type", program.types.display(ty))),
                false => Some(problem(&program.types, ty, false)?.1),
            };
            params.iter().find_map(wrong).map(|problem| format!("names a parameter that {problem}"))
        }
        (Reference::Func(func), Module::Unit(unit)) => match unit.funcs.get(*func) {
            None => Some("stands for a function that does not exist in the unit".into()),
            Some(function) if function.kind == MethodKind::Kernel => {
                Some("stands for a kernel: kernels are launched".into())
            }
            Some(_) => None,
        },
        (Reference::Method { .. }, Module::Unit(_)) => Some("was not looked up".into()),
        (Reference::Func(_), Module::Program(_)) => Some("stands for a function of a unit".into()),
        _ => None,
    }
}

/// Checks the slots of a global that are addresses: of functions, and of other globals, of which `find` knows the space
/// and the size by name.
pub(super) fn addresses(
    item: &Item<'_>,
    module: Module<'_>,
    data: &GlobalData,
    find: &dyn Fn(&str) -> Option<(Space, u64)>,
    report: &mut Report,
) {
    let types = module.types();
    for GlobalSlot { offset, reference } in &data.slots {
        let mut complain = |code, problem: String| {
            report.push(item.error(code, format!("the slot at {offset} for {reference} {problem}")));
        };
        if let Some(problem) = function_problem(module, reference) {
            complain(Code::SlotTarget, problem);
        }
        let Reference::Global { name, offset: inside } = reference else { continue };
        let Some((space, size)) = find(name) else {
            complain(Code::SlotTarget, "stands for a global that does not exist".into());
            continue;
        };
        if space == Space::Shared {
            let message = "stands for shared memory, which each group has at another address";
            complain(Code::SlotTarget, message.into());
            continue;
        }
        if *inside > size {
            complain(Code::SlotTarget, format!("stands for a place outside of the {size} bytes there"));
        }
        // Another place is complained about elsewhere.
        if let Some(word) = word_at(types, data.ty, *offset)
            && !fits(word, Some(space))
        {
            let message = format!("is a {word}, the global is in {} memory", space.name());
            complain(Code::SlotSpace, message);
        }
    }
}
