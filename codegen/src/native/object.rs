//! Relocatable objects, and the text form of what is in them.
//!
//! Entries are exported under their names, and their wrappers beside them. Other functions and all globals are local;
//! they keep their names, for debuggers and profilers, unless another symbol has the name already. No entry may be
//! called like a routine of the C library that compiled code calls of its own accord: that call would find the entry.

use super::emit::{self, Compiled, Declared, NativeContext, Spelling, module_error, wrapper_name};
use super::stack::Frames;
use super::{NativeTarget, dwarf, fence, unwind};
use crate::artifact::{Artifact, Format};
use crate::error::EmitError;
use cranelift_codegen::ir::LibCall;
use cranelift_module::default_libcall_names;
use cranelift_object::{ObjectBuilder, ObjectModule};
use marquetry_ir::entity::{Extern, Func, Global};
use marquetry_ir::unit::Unit;
use marquetry_lower::job::DebugLevel;
use marquetry_lower::legal::Legal;
use rustc_hash::{FxHashMap, FxHashSet};
use std::fmt::Write;

/// A relocatable object of a legal unit.
///
/// # Errors
/// A limit is passed, two entries or an entry and a function of the host or a routine of the C library have one name,
/// or an entry that is no kernel asks for its work-item.
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
    fence(|| {
        let (mut module, declared) = declare(legal, target)?;
        let mut frames = Frames::default();
        let level = legal.debug_level();
        let mut known = Vec::new();
        emit::each_function(legal, &declared, memory, &mut |compiled| {
            let known = (level > DebugLevel::None).then_some(&mut known);
            let func = compiled.func;
            frames.add(func, emit::define(&mut module, &target.object_isas, compiled, known)?);
            Ok(())
        })?;
        let mut product = module.finish();
        if level > DebugLevel::None {
            unwind::add(&mut product, &known, &*target.object_isas.full)?;
            dwarf::add(&mut product, legal.unit(), &known, level, &*target.object_isas.full)?;
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

/// What Cranelift was given for each function, and the instructions that it made of it.
///
/// # Errors
/// As [`emit_object`].
pub fn emit_text(legal: &Legal, target: &NativeTarget) -> Result<String, EmitError> {
    fence(|| {
        let (_, declared) = declare(legal, target)?;
        let mut memory = NativeContext::new();
        let mut text = format!("; target {}\n", target.name);
        let isa = emit::target_isa(target, false)?;
        memory.cranelift.set_disasm(true);
        emit::each_function(legal, &declared, &mut memory, &mut |compiled: Compiled<'_>| {
            let Compiled { name, context, effort, .. } = compiled;
            let isa = target.object_isas.get(effort).unwrap_or(isa);
            let clif = context.func.display().to_string();
            context.set_disasm(true);
            let code = context.compile(isa, &mut Default::default());
            let code = code.map_err(|error| emit::compile_error(name, &error))?;
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

fn declare(legal: &Legal, target: &NativeTarget) -> Result<(ObjectModule, Declared), EmitError> {
    let isa = target.object_isas.full.clone();
    let builder = ObjectBuilder::new(isa, "marquetry", default_libcall_names()).map_err(module_error)?;
    let mut module = ObjectModule::new(builder);
    let mut names = Names::new(legal.unit());
    let declared = Declared::declare(&mut module, legal, target.arch, None, &mut names)?;
    Ok((module, declared))
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
}

impl Names {
    fn new(unit: &Unit) -> Names {
        let spelled = default_libcall_names();
        let mut library: FxHashSet<String> =
            LibCall::all_libcalls().iter().map(|&routine| spelled(routine)).collect();
        library.extend(["memmove", "memset", "clock"].map(str::to_owned));
        let mut hosts: FxHashSet<String> =
            unit.externs.values().map(|data| data.link_name.to_string()).collect();
        let slots = unit.globals.values().flat_map(|data| data.host_slots());
        hosts.extend(slots.map(|slot| slot.reference.link_name()));
        let mut taken: FxHashSet<String> = library.union(&hosts).cloned().collect();
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
        Names { taken, library, hosts, wrappers }
    }

    fn local(&mut self, name: &str) -> Option<String> {
        self.taken.insert(name.to_owned()).then(|| name.to_owned())
    }
}

impl Spelling for Names {
    fn function(&mut self, unit: &Unit, func: Func, entry: bool) -> Result<Option<String>, EmitError> {
        let name = &unit.funcs[func].name;
        if !entry {
            return Ok(self.local(name));
        }
        if self.hosts.contains(&**name) {
            let message = format!("entry '{name}' has the name of a function of the host");
            return Err(EmitError::Unsupported(message));
        }
        if self.library.contains(&**name) {
            let message = format!(
                "entry '{name}' has the name of a routine of the C library, which compiled code may call: it would \
                 call the entry instead"
            );
            return Err(EmitError::Unsupported(message));
        }
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
}
