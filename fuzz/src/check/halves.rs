//! Device functions are pairs, and the halves never meet: whatever calls them, no code for devices holds a host body, and
//! no code for the host, nor an object with all of base, needs a link name.

use super::Checked;
use crate::generate::choices::Choices;
use crate::generate::methods::{KERNEL, case};
use crate::print::Bug;
use crate::stats::Verdict;
use arbitrary::Unstructured;
use marquetry::aot::choose::concrete;
use marquetry::compile::Target;
use marquetry::library::{Intrinsic, intrinsics, program};
use marquetry_codegen::native::emit_object;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::diag::Code;
use marquetry_ir::entity::{Method, SymbolRef};
use marquetry_ir::op::Op;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::Unit;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::failure::Failure;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use marquetry_lower::runtime::host::HostPolicy;
use object::{Object, ObjectSymbol};
use std::fmt::Write;

/// The targets of code for devices; native is that of the CPU device.
const TARGETS: [&str; 4] = ["ptx:sm_80", "spirv:vulkan1.3", "spirv:opencl2.1", "native"];

/// What the standard provider leaves out.
fn is_supplied(intrinsic: &Intrinsic) -> bool {
    !intrinsic.name.starts_with("report_exception") && &*intrinsic.name != "signal_exception"
}

/// Lines that call device functions with what earlier ones gave; and how many there are.
fn calls(choices: &mut Choices, lines: &mut String) -> usize {
    let all: Vec<&Intrinsic> = intrinsics().iter().filter(|i| is_supplied(i)).collect();
    let mut values: Vec<(String, Type)> = Vec::new();
    let count = choices.range(0..12);
    for n in 0..count {
        let Some(intrinsic) = choices.pick(&all) else { continue };
        let mut args = Vec::new();
        for &ty in &intrinsic.signature.params {
            let fits: Vec<&String> = values.iter().filter(|(_, t)| *t == ty).map(|(name, _)| name).collect();
            args.push(match choices.pick(&fits).filter(|_| choices.chance(2, 3)) {
                Some(name) => name.to_string(),
                None if ty == Type::pointer(Space::Global) => "ptr<global> null".into(),
                None if ty == Type::I1 => "i1 true".into(),
                None if ty.as_scalar().is_some_and(|s| s.is_float()) => format!("{ty} 1.5"),
                None => format!("{ty} {}", choices.below(3)),
            });
        }
        let result = match intrinsic.signature.results.first() {
            Some(&ty) => {
                values.push((format!("r{n}"), ty));
                format!("r{n} = ")
            }
            None => String::new(),
        };
        let _ = writeln!(lines, "    {result}call {}({})", intrinsic.name, args.join(", "));
    }
    if choices.chance(1, 3) {
        let _ = writeln!(lines, "    print \"%d\", i32 {}", choices.below(100));
        return count + 1;
    }
    count
}

/// The check of an input.
///
/// # Errors
/// Code for devices holds a host body, or an object needs a link name.
pub fn check(input: &mut Unstructured<'_>) -> Checked {
    let mut choices = Choices::new(input);
    let mut lines = String::new();
    let count = calls(&mut choices, &mut lines);
    let inlining = choices.pick(&["", " inline", " noinline"]).copied().unwrap_or("");
    let level = if choices.chance(1, 2) { OptLevel::Default } else { OptLevel::None };
    let mut source = case(&mut choices).text;
    let _ = write!(
        source,
        "\nmethod uses_devices(){inlining} {{\nentry:\n{lines}    return\n}}\n\nkernel device_half() {{\nentry:\n    \
         call uses_devices()\n    return\n}}\n\nmethod host_half() {{\nentry:\n    call uses_devices()\n    return\n}}\n"
    );
    let bug = |what: String| Bug::new(what, "", source.clone());
    let mut program = program();
    if let Some(first) = text::parse(&mut program, "case.mq", &source).first() {
        return Err(bug(format!("generated program: {}", first.message)));
    }
    let method = |name: &str| program.methods_of(name).last().copied();
    let (Some(device), Some(host)) = (method("device_half"), method("host_half")) else {
        return Err(bug("generated program: no entry".into()));
    };
    for name in TARGETS {
        let entries = std::iter::once(device).chain(method(KERNEL)).collect();
        device_half(&program, entries, name, level).map_err(bug)?;
    }
    for policy in HostPolicy::ALL {
        let wanted = policy != HostPolicy::Error || count == 0;
        let is_made = host_half(&program, vec![host], policy, level).map_err(bug)?;
        if is_made != wanted {
            return Err(bug(format!("policy {}: {count} calls, compiled: {is_made}", policy.name())));
        }
    }
    // The library's mathematics is the same in every program, and large.
    let mut base = concrete(&program, true);
    base.retain(|&method| !program.method(method).name.starts_with("math_"));
    let policy = if choices.chance(1, 2) { HostPolicy::Sentinel } else { HostPolicy::Trap };
    if !host_half(&program, base, policy, level).map_err(bug)? {
        return Err(bug(format!("policy {}: base does not compile", policy.name())));
    }
    Ok(Verdict::Agreed)
}

fn device_half(program: &Program, entries: Vec<Method>, name: &str, level: OptLevel) -> Result<(), String> {
    let target = Target::parse(name, level).map_err(|error| error.to_string())?;
    let job = Job::new(entries, View::device(&[]), level);
    // Later stages make a constant of a sentinel: here it is one still.
    let specialised = pipeline::specialised(program, &job).map_err(|failure| format!("{name}: {failure}"))?;
    if let Some(found) = sentinels(specialised.unit()).next() {
        return Err(format!("{name}: {found}"));
    }
    let legal = match pipeline::run(program, &job, target.lowering()) {
        Ok(legal) => legal,
        Err(Failure::Program(list)) if list.iter().all(|d| d.code == Code::Unsupported) => return Ok(()),
        Err(failure) => return Err(format!("{name}: {failure}")),
    };
    if let Some(found) = host_bodies(legal.unit()).into_iter().next() {
        return Err(format!("{name}: holds {found}"));
    }
    let Ok(artifact) = target.emit(&legal) else { return Ok(()) };
    let code = String::from_utf8_lossy(&artifact.code);
    match intrinsics().iter().find(|i| code.contains(&format!("host_{}", i.name))) {
        Some(intrinsic) => Err(format!("{name}: the artifact mentions the host body of {}", intrinsic.name)),
        None => Ok(()),
    }
}

/// The host bodies of a unit that was just specialised.
fn sentinels(unit: &Unit) -> impl Iterator<Item = String> + '_ {
    let has_one = |body: &Body| {
        let mut insts = body.blocks().flat_map(|block| body.block_insts(block));
        insts.any(|inst| body.inst(inst).op == Op::Sentinel)
    };
    let found = unit.funcs.values().filter(move |function| has_one(&function.body));
    found.map(|function| format!("a sentinel in {}", function.name))
}

/// What of a unit for devices must not be there: host bodies, and link names that were not linked.
fn host_bodies(unit: &Unit) -> Vec<String> {
    let mut found = Vec::new();
    for function in unit.funcs.values() {
        let name = &function.name;
        let is_host = intrinsics().iter().any(|i| **name == *format!("host_{}", i.name));
        found.extend(is_host.then(|| name.to_string()));
        let body = &function.body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let data = body.inst(inst);
            if data.op == Op::Sentinel {
                found.push(format!("a sentinel in {name}"));
            }
            if data.op == Op::Call
                && let Symbol::Name(callee) = body.symbol(SymbolRef::from_u32(data.imm))
            {
                found.push(format!("a call of {callee} in {name}"));
            }
        }
    }
    found
}

/// What objects may need: the routines of the C library that take the place of instructions, and what the generated
/// program declares. Whatever needs nothing else links.
fn may_need(program: &Program, symbol: &str) -> bool {
    const ROUTINES: [&str; 13] = [
        "ceil",
        "ceilf",
        "floor",
        "floorf",
        "trunc",
        "truncf",
        "nearbyint",
        "nearbyintf",
        "fma",
        "fmaf",
        "memcpy",
        "memmove",
        "memset",
    ];
    let declared = || program.externs.values().any(|data| *data.link_name == *symbol);
    ROUTINES.contains(&symbol) || declared() && !symbol.starts_with("gpu_")
}

/// Whether code for the host compiles; its object must need no link name.
fn host_half(
    program: &Program,
    entries: Vec<Method>,
    policy: HostPolicy,
    level: OptLevel,
) -> Result<bool, String> {
    let Ok(Target::Native(target)) = Target::parse("native", level) else { return Ok(true) };
    let view = View::native(&[]).with_host_policy(policy);
    let job = Job::new(entries, view, level);
    let legal = match pipeline::run(program, &job, &target) {
        Ok(legal) => legal,
        Err(Failure::Program(_)) if policy == HostPolicy::Error => return Ok(false),
        Err(failure) => return Err(failure.to_string()),
    };
    let artifact = emit_object(&legal, &target).map_err(|error| error.to_string())?;
    let file = object::File::parse(&*artifact.code).map_err(|error| error.to_string())?;
    let needed =
        file.symbols().filter(|symbol| symbol.is_undefined()).filter_map(|symbol| symbol.name().ok());
    match { needed }.find(|name| !name.is_empty() && !may_need(program, name)) {
        Some(name) => Err(format!("the object needs {name}")),
        None => Ok(true),
    }
}
