//! Whole programs: types, globals, methods that call later ones, a kernel, and calls with arguments.

use super::body::{BodyWriter, Callee, World};
use super::choices::Choices;
use super::memory::{Holder, Place, place_type, raw_type};
use super::types::{self, Ty};
use marquetry::value::HostValue;
use marquetry_ir::types::{Scalar, Space, Type};
use std::fmt::Write;

/// A program and calls of its entry.
#[derive(Clone, Debug)]
pub struct Case {
    /// The program.
    pub text: String,
    /// The function to call.
    pub entry: String,
    /// Arguments of each call.
    pub calls: Vec<Vec<HostValue>>,
}

/// Name of the function that is called.
pub const ENTRY: &str = "entry_point";
/// Name of the kernel that calls it.
pub const KERNEL: &str = "whole";

fn aggregates(choices: &mut Choices, text: &mut String) -> Vec<Ty> {
    let mut all: Vec<Ty> = Vec::new();
    for n in 0..choices.below(4) {
        if choices.chance(1, 3) {
            let element = match all.last().filter(|_| choices.chance(1, 3)) {
                Some(inner) => inner.clone(),
                None => Ty::Plain(types::plain(choices)),
            };
            all.push(Ty::Array(element.into(), choices.range(1..5) as u64));
            continue;
        }
        let fields: Vec<Ty> = (0..choices.range(1..5))
            .map(|_| match all.last().filter(|_| choices.chance(1, 5)) {
                Some(inner) => inner.clone(),
                None => Ty::Plain(types::plain(choices)),
            })
            .collect();
        let list: Vec<String> =
            fields.iter().enumerate().map(|(n, ty)| format!("f{n}: {}", ty.text())).collect();
        let _ = writeln!(text, "struct s{n} {{ {} }}", list.join(", "));
        all.push(Ty::Struct(format!("s{n}").into(), fields.into()));
    }
    all
}

/// A global that holds the address of another one, twice: what to load it from.
fn holder(choices: &mut Choices, name: &str, space: &'static str, text: &mut String) -> Holder {
    let own = choices.chance(1, 2);
    let pointer = if own { space } else { "generic" };
    let space = if choices.chance(3, 4) { "constant" } else { "global" };
    let holder = format!("{name}_holder");
    let _ = writeln!(
        text,
        "global {holder}: array<ptr<{pointer}>, 2> in {space} with [0: address {name}, 8: address {name}]"
    );
    Holder { name: holder, space, pointer }
}

/// A program that means the same on every engine, and always ends.
pub fn case(choices: &mut Choices) -> Case {
    let mut text = String::new();
    let mut world = World { aggregates: aggregates(choices, &mut text), ..World::default() };
    let mut mutable = false;
    for n in 0..choices.below(4).saturating_sub(1) {
        let is_mutable = choices.chance(2, 3);
        let is_raw = choices.chance(1, 3);
        let ty = if is_raw { raw_type() } else { place_type(choices, &world.aggregates) };
        let space = if is_mutable { "global" } else { "constant" };
        mutable |= is_mutable;
        let _ = write!(text, "global g{n}: {} in {space}", ty.text());
        if is_raw {
            let _ = write!(text, " = bytes \"");
            (0..64).for_each(|_| text.push_str(&format!("\\x{:02x}", choices.below(256))));
            text.push('"');
        } else if let Some(ty) = ty.plain() {
            let _ = write!(text, " = {}", types::constant(choices, &Ty::Plain(ty)));
        }
        text.push('\n');
        let name = format!("g{n}");
        let holder = choices.chance(1, 2).then(|| holder(choices, &name, space, &mut text));
        world.globals.push(Place { name, space, is_global: true, is_mutable, ty, is_raw, holder });
    }
    let count = choices.below(4);
    let mut methods = Vec::new();
    for n in (0..=count).rev() {
        let is_entry = n == 0;
        let ty = |choices: &mut Choices| match choices.pick(&world.aggregates) {
            Some(ty) if !is_entry && choices.chance(1, 8) => ty.clone(),
            _ => Ty::Plain(types::plain(choices)),
        };
        let mut params: Vec<Ty> = (0..choices.range(usize::from(is_entry)..5)).map(|_| ty(choices)).collect();
        if !is_entry {
            let pointers = choices.below(4).saturating_sub(1);
            params.extend((0..pointers).map(|_| Ty::Plain(Type::pointer(Space::Generic))));
        }
        let mut results: Vec<Ty> = (0..choices.below(3)).map(|_| ty(choices)).collect();
        if is_entry || !choices.chance(1, 6) {
            results.push(Ty::Plain(Type::I64));
        }
        let name = if is_entry { ENTRY.to_string() } else { format!("m{n}") };
        methods.push(method(choices, &world, &name, &params, &results));
        let table = [None, Some("constant"), Some("global")][choices.below(3)].filter(|_| !is_entry);
        let callee = Callee { name, params, results, table };
        if let Some(space) = table {
            let params: Vec<String> = callee.params.iter().map(Ty::text).collect();
            let slot = format!("function {}({})", callee.name, params.join(", "));
            let name = callee.table_name();
            let _ = writeln!(
                text,
                "global {name}: array<ptr<generic>, 2> in {space} with [0: {slot}, 8: {slot}]"
            );
        }
        world.callees.push(callee);
    }
    methods.iter().for_each(|method| text.push_str(method));
    let entry = world.callees.last().cloned().unwrap_or(Callee {
        name: String::new(),
        params: Vec::new(),
        results: Vec::new(),
        table: None,
    });
    kernel(&mut text, &entry);
    // What globals hold after a call, the next one sees; engines may start anew for each call.
    let calls = if mutable { 1 } else { choices.range(1..4) };
    let calls = (0..calls).map(|_| entry.params.iter().map(|ty| argument(choices, ty)).collect()).collect();
    Case { text, entry: ENTRY.into(), calls }
}

fn argument(choices: &mut Choices, ty: &Ty) -> HostValue {
    let ty = ty.plain().unwrap_or(Type::I32);
    let lane = ty.lane().unwrap_or(Scalar::I32);
    let lanes: Vec<u128> = (0..ty.lanes()).map(|_| types::bits(choices, lane)).collect();
    let value = if ty.is_vector() { HostValue::vector(ty, &lanes) } else { HostValue::scalar(ty, lanes[0]) };
    value.unwrap_or_else(|| unreachable!("as many lanes as the type has"))
}

fn method(choices: &mut Choices, world: &World, name: &str, params: &[Ty], results: &[Ty]) -> String {
    let budget = [30, 60, 120, 10][choices.below(4)];
    let inlining = ["", "", "", " noinline", " inline"][choices.below(5)];
    let mut writer = BodyWriter::new(choices, world, results, budget);
    let params: Vec<(String, Ty)> =
        params.iter().enumerate().map(|(n, ty)| (format!("a{n}"), ty.clone())).collect();
    writer.block("entry", &[]);
    for (name, ty) in &params {
        if ty.plain().is_some_and(Type::is_pointer) {
            writer.places.push(Place {
                name: name.clone(),
                space: "generic",
                is_global: false,
                is_mutable: true,
                ty: raw_type(),
                is_raw: true,
                holder: None,
            });
        } else {
            writer.scope.push((name.clone(), ty.clone()));
        }
    }
    writer.region(0);
    writer.finish();
    let params: Vec<String> = params.iter().map(|(name, ty)| format!("{name}: {}", ty.text())).collect();
    let types: Vec<String> = results.iter().map(Ty::text).collect();
    let results = match types.as_slice() {
        [] => String::new(),
        [one] => format!(" -> {one}"),
        _ => format!(" -> ({})", types.join(", ")),
    };
    format!("method {name}({}){results}{inlining} {{\n{}}}\n", params.join(", "), writer.text)
}

/// A kernel that reads the entry's arguments from one buffer and leaves its results in another, 256 bytes each apart.
fn kernel(text: &mut String, entry: &Callee) {
    let _ = writeln!(text, "kernel {KERNEL}(from: ptr<global>, to: ptr<global>) {{\nentry:");
    let mut args = Vec::new();
    for (n, ty) in entry.params.iter().enumerate() {
        let _ = writeln!(text, "    pa{n} = ptr_add from, i64 {}", n * STRIDE);
        let _ = writeln!(text, "    a{n} = load.{} pa{n}", ty.text());
        args.push(format!("a{n}"));
    }
    let results: Vec<String> = (0..entry.results.len()).map(|n| format!("r{n}")).collect();
    let _ = writeln!(text, "    {} = call {}({})", results.join(", "), entry.name, args.join(", "));
    for (n, result) in results.iter().enumerate() {
        let _ = writeln!(text, "    pr{n} = ptr_add to, i64 {}\n    store pr{n}, {result}", n * STRIDE);
    }
    let _ = writeln!(text, "    return\n}}");
}

/// Bytes between two arguments, or results, of the kernel.
pub const STRIDE: usize = 256;
