//! Relocatable objects, and the text form of what is in them.
//!
//! For engines, entries are exported under their names, and their wrappers beside them. With a list of exports, these are
//! all that others see. Other functions and all globals are local; they keep their names, for debuggers and profilers, with a
//! number behind where another symbol has the name already. No entry may be called like a routine of the C library that compiled code
//! calls of its own accord: that call would find the entry.
//!
//! An export is a second symbol of its function, or of what stands in front of that; then the function itself is
//! `NAME$typed`, which nobody else sees. The unit's own calls, addresses and
//! tables use the local one, so that they mean this function whatever the linker or loader binds the other one to.
//!
//! Functions are compiled on as many threads as the plan says, and defined in the order of the unit: the bytes are the
//! same for any number.

use super::data::own_symbol;
use super::emit::{self, Declared, NativeContext, Solo, Spelling, module_error, wrapper_name};
use super::export::Export;
use super::select::internal;
use super::stack::Frames;
use super::task::{self, Compiled};
use super::{ExternPolicy, NativeTarget, Relocation, dwarf, fence, parallel, unwind};
use crate::artifact::{Artifact, Format};
use crate::error::EmitError;
use cranelift_codegen::ir::LibCall;
use cranelift_module::{DataId, default_libcall_names};
use cranelift_object::object::SymbolScope;
use cranelift_object::object::write::{CoffExportStyle, Symbol, SymbolId};
use cranelift_object::{ObjectBuilder, ObjectModule, ObjectProduct};
use marquetry_ir::entity::{Extern, Func, Global};
use marquetry_ir::program::Reference;
use marquetry_ir::unit::Unit;
use marquetry_lower::job::DebugLevel;
use marquetry_lower::legal::Legal;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::Write;
use target_lexicon::{BinaryFormat, Environment};

/// What an object is made with, besides code and target.
#[derive(Copy, Clone)]
pub struct ObjectPlan<'a> {
    /// What others see, under which symbols; without it, every entry, with its wrapper, as engines need it.
    pub exports: Option<&'a [Export]>,
    /// The addresses of functions of the host by link name, where the target says [`ExternPolicy::Addresses`].
    pub addresses: &'a dyn Fn(&str) -> Option<u64>,
    /// How many threads compile, at most.
    pub threads: usize,
    /// Whether a library is linked of the object that others load: in COFF, the object itself has to tell the linker what they
    /// see.
    pub shared: bool,
}

impl Default for ObjectPlan<'_> {
    fn default() -> Self {
        ObjectPlan { exports: None, addresses: &|_| None, threads: 1, shared: false }
    }
}

impl std::fmt::Debug for ObjectPlan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectPlan").field("exports", &self.exports).finish_non_exhaustive()
    }
}

/// A relocatable object of a legal unit, for engines.
///
/// # Errors
/// A limit is passed, two entries or an entry and a function of the host or a routine of the C library have one name,
/// or functions of the host have no address and the target wants them.
pub fn emit_object(legal: &Legal, target: &NativeTarget) -> Result<Artifact, EmitError> {
    emit_object_with(legal, target, &mut NativeContext::new())
}

/// As [`emit_object`], with memory to reuse.
///
/// # Errors
/// As there.
pub fn emit_object_with(
    legal: &Legal,
    target: &NativeTarget,
    memory: &mut NativeContext,
) -> Result<Artifact, EmitError> {
    emit_planned(legal, target, &ObjectPlan::default(), memory)
}

/// A relocatable object of a legal unit, as a plan says.
///
/// # Errors
/// As [`emit_object`], and two exports have one name.
pub fn emit_planned(
    legal: &Legal,
    target: &NativeTarget,
    plan: &ObjectPlan<'_>,
    memory: &mut NativeContext,
) -> Result<Artifact, EmitError> {
    fence(|| {
        let (mut module, declared) = declare(legal, target, plan)?;
        let mut frames = Frames::default();
        let level = legal.debug_level();
        let mut known = Vec::new();
        let tasks = task::tasks(legal, &declared);
        let is_debugged = level > DebugLevel::None;
        if parallel::is_worth_it(plan.threads, tasks.len()) {
            let build = |task, memory: &mut NativeContext| {
                let function = |func| legal.unit().funcs.get(func);
                let compiled = task::build(task, legal, &declared, memory)?;
                let function = compiled.func.and_then(function);
                let finished = task::finish(&target.object_isas, compiled, is_debugged);
                finished.map_err(|error| match function {
                    Some(function) => error.within(function),
                    None => error,
                })
            };
            parallel::each(&tasks, plan.threads, &build, &mut |finished: task::Finished| {
                frames.add(finished.func, finished.frame);
                finished.define(&mut module)?;
                known.extend(finished.known);
                Ok(())
            })?;
        } else {
            task::each_function(legal, &declared, memory, &mut |compiled| {
                let known = is_debugged.then_some(&mut known);
                let func = compiled.func;
                frames.add(func, task::define(&mut module, &target.object_isas, compiled, known)?);
                Ok(())
            })?;
        }
        let mut product = module.finish();
        add_exports(&mut product, legal, &declared)?;
        if plan.shared && target.triple().binary_format == BinaryFormat::Coff {
            // Microsoft's linker and GNU's spell options their own way.
            let is_microsoft = target.triple().environment == Environment::Msvc;
            let style = if is_microsoft { CoffExportStyle::Msvc } else { CoffExportStyle::Gnu };
            product.object.add_coff_exports(style);
        }
        if is_debugged {
            unwind::add(&mut product, &known, &*target.object_isas.full)?;
            let isa = &*target.object_isas.full;
            dwarf::add(&mut product, legal.unit(), &known, &declared.fronts, level, isa)?;
        }
        let code = product.emit().map_err(|e| EmitError::Internal(e.to_string()))?;
        let scheduling = Some(declared.scheduling(legal.unit(), &frames)?);
        let relocations = declared.relocations;
        Ok(Artifact {
            scheduling,
            relocations,
            ..Artifact::new(target.name.clone(), Format::Object, code, legal)
        })
    })
}

/// Adds the symbols that others see, and names those beside them.
fn add_exports(product: &mut ObjectProduct, legal: &Legal, declared: &Declared) -> Result<(), EmitError> {
    let is_elf = product.object.format() == cranelift_object::object::BinaryFormat::Elf;
    // What Cranelift calls functions without name says nothing to who profiles or debugs.
    let rename = |product: &mut ObjectProduct, own: SymbolId, name: String| {
        if is_elf {
            product.object.symbol_mut(own).name = name.into_bytes();
        }
    };
    for front in &declared.fronts {
        let Some(&func) = legal.unit().entries.get(front.entry) else { continue };
        let function = product.function_symbol(declared.function(func)?.0);
        let own = front.id.map_or(function, |id| product.function_symbol(id));
        if own != function {
            rename(product, function, format!("{}$typed", front.symbol));
        }
        // Two symbols of one place have one name, and the string is there once.
        rename(product, own, front.symbol.clone());
        let &Symbol { value, size, kind, section, flags, .. } = product.object.symbol(own);
        let name = front.symbol.clone().into_bytes();
        let scope = SymbolScope::Dynamic;
        product.object.add_symbol(Symbol { name, value, size, kind, scope, weak: false, section, flags });
    }
    if let Some(Solo::Functions(ids)) = declared.solo {
        for (id, name) in ids.into_iter().zip(["barrier$solo", "subgroup$solo"]) {
            let own = product.function_symbol(id);
            rename(product, own, name.to_owned());
        }
    }
    if let Some(record) = declared.no_limit {
        let own = product.data_symbol(DataId::from_u32(record));
        rename(product, own, "stack$unlimited".to_owned());
    }
    Ok(())
}

/// What Cranelift was given for each function, and the instructions that it made of it.
///
/// # Errors
/// As [`emit_object`].
pub fn emit_text(legal: &Legal, target: &NativeTarget) -> Result<String, EmitError> {
    fence(|| {
        let plan = ObjectPlan { addresses: &|_| Some(0), ..ObjectPlan::default() };
        let (_, declared) = declare(legal, target, &plan)?;
        let mut memory = NativeContext::new();
        let mut text = format!("; target {}\n", target.name);
        let isa = emit::target_isa(target, false)?;
        memory.cranelift.set_disasm(true);
        task::each_function(legal, &declared, &mut memory, &mut |compiled: Compiled<'_>| {
            let Compiled { name, context, effort, .. } = compiled;
            let isa = target.object_isas.get(effort).unwrap_or(isa);
            let clif = context.func.display().to_string();
            context.set_disasm(true);
            let code = context.compile(isa, &mut Default::default());
            let code = code.map_err(|error| task::compile_error(name, &error))?;
            let listing = code.vcode.as_deref().unwrap_or("");
            let _ = writeln!(text, "\n; {name}\n{clif}");
            for line in listing.lines() {
                let _ = writeln!(text, "    {line}");
            }
            Ok(())
        })?;
        Ok(text)
    })
}

fn declare(
    legal: &Legal,
    target: &NativeTarget,
    plan: &ObjectPlan<'_>,
) -> Result<(ObjectModule, Declared), EmitError> {
    let isa = target.object_isas.full.clone();
    let builder = ObjectBuilder::new(isa, "marquetry", default_libcall_names()).map_err(module_error)?;
    let mut module = ObjectModule::new(builder);
    let mut names = Names::new(legal.unit(), plan)?;
    if target.options.externs == ExternPolicy::Addresses {
        names.addresses = addresses(legal.unit(), plan)?;
    }
    let mut declared = Declared::declare(&mut module, legal, target.arch, None, &mut names)?;
    // Within one program everything is near. An absolute address in code would have to be written where only reading is
    // allowed, if that program turns out to be position-independent: compilers make such programs unless told otherwise.
    declared.through_linker |= target.options.relocation == Relocation::Static;
    Ok((module, declared))
}

/// The addresses of all functions of the host that the unit knows.
fn addresses(unit: &Unit, plan: &ObjectPlan<'_>) -> Result<FxHashMap<Extern, u64>, EmitError> {
    let mut known = FxHashMap::default();
    let mut missing = Vec::new();
    for (id, data) in unit.externs.iter() {
        match (plan.addresses)(&data.link_name) {
            Some(address) => drop(known.insert(id, address)),
            None => missing.push(data.link_name.to_string()),
        }
    }
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() { Ok(known) } else { Err(EmitError::Unresolved(missing)) }
}

/// Names of an object's symbols.
struct Names {
    taken: FxHashSet<String>,
    /// What code may import without saying so.
    library: FxHashSet<String>,
    /// Functions of the host.
    hosts: FxHashSet<String>,
    /// Of entries.
    wrappers: FxHashMap<Func, String>,
    /// What others see, if not every entry.
    exports: Option<Vec<Export>>,
    /// The entries that are seen themselves: their local symbols have no names.
    seen: FxHashSet<Func>,
    addresses: FxHashMap<Extern, u64>,
}

impl Names {
    fn new(unit: &Unit, plan: &ObjectPlan<'_>) -> Result<Names, EmitError> {
        let spelled = default_libcall_names();
        let mut library: FxHashSet<String> =
            LibCall::all_libcalls().iter().map(|&routine| spelled(routine)).collect();
        library.extend(["memmove", "memset", "clock"].map(str::to_owned));
        let mut hosts: FxHashSet<String> =
            unit.externs.values().map(|data| data.link_name.to_string()).collect();
        let exported: FxHashSet<&str> =
            plan.exports.unwrap_or(&[]).iter().map(|export| &*export.symbol).collect();
        let is_own =
            |reference: &Reference| own_symbol(reference).is_some_and(|name| exported.contains(name));
        let slots = unit.globals.values().flat_map(|data| data.host_slots());
        let theirs = slots.filter(|slot| !is_own(&slot.reference));
        hosts.extend(theirs.map(|slot| slot.reference.link_name()));
        let mut taken: FxHashSet<String> = library.union(&hosts).cloned().collect();
        let exports = plan.exports.map(<[Export]>::to_vec);
        let mut seen = FxHashSet::default();
        if let Some(exports) = &exports {
            let mut by_symbol = FxHashMap::default();
            for export in exports {
                let func =
                    *unit.entries.get(export.entry).ok_or_else(|| internal("an export is no entry"))?;
                seen.insert(func);
                let name = &unit.funcs[func].name;
                check_symbol(&export.symbol, name, &library, &hosts)?;
                if let Some(other) = by_symbol.insert(export.symbol.clone(), name) {
                    let symbol = &export.symbol;
                    let message = format!("'{other}' and '{name}' are both exported as '{symbol}'");
                    return Err(EmitError::Unsupported(message));
                }
                taken.insert(export.symbol.to_string());
            }
            let (wrappers, addresses) = Default::default();
            return Ok(Names {
                taken,
                library,
                hosts,
                wrappers,
                exports: Some(exports.clone()),
                seen,
                addresses,
            });
        }
        // Entries come first: their names are not the object's to choose. Those of wrappers are, where an entry has
        // the usual one.
        taken.extend(unit.entries.iter().map(|&func| unit.funcs[func].name.to_string()));
        let mut wrappers = FxHashMap::default();
        for &func in &unit.entries {
            let usual = wrapper_name(unit, func);
            let numbered = (1u32..).map(|n| format!("{usual}_{n}"));
            let mut names = std::iter::once(usual.clone()).chain(numbered);
            let free = names.find(|name| !taken.contains(name)).unwrap_or_default();
            taken.insert(free.clone());
            wrappers.insert(func, free);
        }
        Ok(Names { taken, library, hosts, wrappers, exports, seen, addresses: FxHashMap::default() })
    }

    /// A name for what nobody else sees: its own one, or one that is like it.
    fn local(&mut self, name: &str) -> Option<String> {
        let numbered = (1u32..).map(|n| format!("{name}${n}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| self.taken.insert(name.clone()))
    }
}

/// Whether an entry may be seen under a symbol.
fn check_symbol(
    symbol: &str,
    name: &str,
    library: &FxHashSet<String>,
    hosts: &FxHashSet<String>,
) -> Result<(), EmitError> {
    let entry =
        if symbol == name { format!("entry '{name}'") } else { format!("entry '{name}', as '{symbol}',") };
    let problem = if symbol.is_empty() || symbol.contains('\0') {
        "has a name that no symbol can have"
    } else if hosts.contains(symbol) {
        "has the name of a function of the host"
    } else if library.contains(symbol) {
        "has the name of a routine of the C library, which compiled code may call: it would call the entry instead"
    } else {
        return Ok(());
    };
    Err(EmitError::Unsupported(format!("{entry} {problem}")))
}

impl Spelling for Names {
    fn function(&mut self, unit: &Unit, func: Func, entry: bool) -> Result<Option<String>, EmitError> {
        let name = &unit.funcs[func].name;
        if !entry {
            return Ok(if self.seen.contains(&func) { None } else { self.local(name) });
        }
        check_symbol(name, name, &self.library, &self.hosts)?;
        Ok(Some(name.to_string()))
    }

    fn inner(&mut self, unit: &Unit, func: Func, what: &str) -> Result<Option<String>, EmitError> {
        Ok(self.local(&format!("{}${what}", unit.funcs[func].name)))
    }

    fn wrapper(&mut self, unit: &Unit, func: Func) -> Result<Option<String>, EmitError> {
        Ok(Some(self.wrappers.get(&func).cloned().unwrap_or_else(|| wrapper_name(unit, func))))
    }

    fn visible(&mut self, unit: &Unit, global: Global) -> Result<String, EmitError> {
        let name = &unit.globals[global].name;
        let numbered = (1u32..).map(|n| format!("{name}_{n}"));
        let free = std::iter::once(name.to_string()).chain(numbered).find(|name| !self.taken.contains(name));
        let free = free.unwrap_or_default();
        self.taken.insert(free.clone());
        Ok(free)
    }

    fn global(&mut self, unit: &Unit, global: Global) -> Result<Option<String>, EmitError> {
        Ok(self.local(&unit.globals[global].name))
    }

    fn import(&mut self, unit: &Unit, id: Extern) -> Result<String, EmitError> {
        Ok(unit.externs[id].link_name.to_string())
    }

    fn library(&mut self, name: &'static str) -> String {
        name.to_owned()
    }

    fn address(&self, _: &Unit, id: Extern) -> Option<u64> {
        self.addresses.get(&id).copied()
    }

    fn exports(&self) -> Option<&[Export]> {
        self.exports.as_deref()
    }
}
