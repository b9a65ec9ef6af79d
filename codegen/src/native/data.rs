//! Globals as data objects, and the words in them that stand for something else.
//!
//! Addresses of other globals and of functions are relocations that the module resolves, in objects and in memory. Words of the host are
//! data by now in code for this process. In an object they are, by the job's strategy, relocations against undefined
//! symbols ([`Reference::link_name`]: a symbol of the host is itself, other references have names of their own, whose
//! address is the word), so that the linker fills them; or zeros in writable memory under an exported name, with the
//! list of places in the artifact, so that a loader does. Nothing is left that is neither.
//!
//! A symbol that the object exports itself is no word of the host: it is the address by which C calls the export, and no relocation
//! by name.

use super::Arch;
use super::emit::{Declared, Place, Spelling, module_error};
use super::select::internal;
use super::types::swap_scalars;
use crate::artifact::{Relocation, RelocationKind, shared_memory};
use crate::error::{EmitError, check_data, check_deferred};
use cranelift_module::{DataDescription, DataId, FuncId, FuncOrDataId, Linkage, Module};
use marquetry_ir::entity::Global;
use marquetry_ir::limits::MAX_NATIVE_DATA_BYTES;
use marquetry_ir::program::{GlobalData, GlobalSlot, Reference, WORD_BYTES};
use marquetry_ir::types::Space;
use marquetry_ir::unit::Unit;
use marquetry_lower::legal::Legal;
use marquetry_lower::references::Strategy;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Bytes of all globals that are data.
pub(super) fn data_bytes(unit: &Unit) -> Result<u64, EmitError> {
    check_data(unit, 16, MAX_NATIVE_DATA_BYTES)
}

/// Whether all that is imported under one name is one thing.
fn check_imports(unit: &Unit) -> Result<(), EmitError> {
    let mut known: FxHashMap<String, &Reference> = FxHashMap::default();
    for slot in unit.globals.values().flat_map(GlobalData::host_slots) {
        let reference = &slot.reference;
        let name = reference.link_name();
        let Some(other) = known.get(&name).copied() else {
            known.insert(name, reference);
            continue;
        };
        match (other, reference) {
            (Reference::Symbol { .. }, Reference::Symbol { library: None, .. }) => {}
            (Reference::Symbol { library: None, .. }, Reference::Symbol { .. }) => {
                known.insert(name, reference);
            }
            _ if other == reference => {}
            _ => {
                let message = format!("{other} and {reference} would both be the symbol '{name}'");
                return Err(EmitError::Unsupported(message));
            }
        }
    }
    Ok(())
}

/// Whether a loader fills slots of a global, which is then found by its name, and can be written.
fn is_patched(data: &GlobalData, strategy: Strategy) -> bool {
    strategy == Strategy::Patch && data.host_slots().next().is_some()
}

/// The name of a word that may be an export of the same object.
pub(super) fn own_symbol(reference: &Reference) -> Option<&str> {
    match reference {
        Reference::Symbol { name, library: None } => Some(name),
        _ => None,
    }
}

fn slot_offset(slot: &GlobalSlot) -> Result<u32, EmitError> {
    u32::try_from(slot.offset).map_err(|_| internal("a slot beyond the largest global"))
}

impl Declared {
    /// Declares all globals, then defines them: they may hold each other's addresses.
    pub(super) fn globals<M: Module>(
        &mut self,
        module: &mut M,
        legal: &Legal,
        spelling: &mut dyn Spelling,
    ) -> Result<(), EmitError> {
        let unit = legal.unit();
        data_bytes(unit)?;
        check_deferred(legal)?;
        let (offsets, shared_bytes) = shared_memory(unit);
        self.shared_bytes = shared_bytes;
        let mut ids: Vec<(Global, DataId, Option<String>)> = Vec::with_capacity(unit.globals.len());
        for (global, data) in unit.globals.iter() {
            if data.space == Space::Shared {
                self.places[global] = offsets[global].map(Place::Shared);
                continue;
            }
            let patched = is_patched(data, legal.references());
            let writable = data.space != Space::Constant || patched;
            let linkage = if patched { Linkage::Export } else { Linkage::Local };
            let name = match patched {
                true => Some(spelling.visible(unit, global)?),
                false => spelling.global(unit, global)?,
            };
            let id = match &name {
                Some(name) => module.declare_data(name, linkage, writable, false),
                None => module.declare_anonymous_data(writable, false),
            };
            let id = id.map_err(module_error)?;
            self.places[global] = Some(Place::Data(id.as_u32()));
            ids.push((global, id, name.filter(|_| patched)));
        }
        let mut names: FxHashMap<Arc<str>, DataId> = FxHashMap::default();
        if unit.globals.values().any(|data| !data.slots.is_empty()) {
            names.extend(ids.iter().map(|(global, id, _)| (unit.globals[*global].name.clone(), *id)));
        }
        if legal.references() != Strategy::Patch {
            check_imports(unit)?;
        }
        let mut own: FxHashMap<String, FuncId> = FxHashMap::default();
        for front in self.fronts.iter().filter(|_| !names.is_empty()) {
            let func = unit.entries.get(front.entry).map(|&func| self.function(func));
            let func = func.transpose()?.map(|(id, _)| id);
            own.extend(front.id.or(func).map(|id| (front.symbol.clone(), id)));
        }
        for (global, id, visible) in ids {
            let data = &unit.globals[global];
            let mut description = self.contents(unit, data)?;
            for slot in &data.slots {
                if let Some(&id) = own_symbol(&slot.reference).and_then(|name| own.get(name)) {
                    let target = module.declare_func_in_data(id, &mut description);
                    description.write_function_addr(slot_offset(slot)?, target);
                    continue;
                }
                self.slot(module, &mut description, data, slot, &names, visible.as_deref())?;
            }
            module.define_data(id, &description).map_err(module_error)?;
        }
        Ok(())
    }

    /// Alignment and first contents of a global, with zeros in its slots.
    fn contents(&self, unit: &Unit, data: &GlobalData) -> Result<DataDescription, EmitError> {
        let layout = data.layout(&unit.types).ok_or_else(|| internal("a global has no layout"))?;
        let mut description = DataDescription::new();
        description.set_align(u64::from(layout.align.max(1)));
        let bytes = data.init.as_deref().unwrap_or(&[]);
        // Relocations and loaders need bytes in the file.
        if bytes.is_empty() && data.slots.is_empty() {
            description.define_zeroinit(layout.size.max(1) as usize);
            return Ok(description);
        }
        let mut image = bytes.to_vec();
        image.resize(layout.size as usize, 0);
        if self.arch == Arch::S390x {
            swap_scalars(&unit.types, data.ty, &mut image);
        }
        description.define(image.into());
        Ok(description)
    }

    fn slot<M: Module>(
        &mut self,
        module: &mut M,
        description: &mut DataDescription,
        data: &GlobalData,
        slot: &GlobalSlot,
        names: &FxHashMap<Arc<str>, DataId>,
        visible: Option<&str>,
    ) -> Result<(), EmitError> {
        let GlobalSlot { offset, reference } = slot;
        let at = slot_offset(slot)?;
        if let Reference::Global { name, offset } = reference {
            let id = names.get(name).ok_or_else(|| internal("a slot for no global"))?;
            let target = module.declare_data_in_data(*id, description);
            description.write_data_addr(at, target, *offset as i64);
            return Ok(());
        }
        if let Reference::Func(func) = reference {
            let (id, _) = self.function(*func)?;
            let target = module.declare_func_in_data(id, description);
            description.write_function_addr(at, target);
            return Ok(());
        }
        let (symbol, kind) = match visible {
            Some(name) => (name.into(), RelocationKind::Write),
            None => {
                let name = reference.link_name();
                match module.get_name(&name) {
                    Some(FuncOrDataId::Func(id)) => {
                        let target = module.declare_func_in_data(id, description);
                        description.write_function_addr(at, target);
                    }
                    known => {
                        let id = match known {
                            Some(FuncOrDataId::Data(id)) => id,
                            _ => module
                                .declare_data(&name, Linkage::Import, false, false)
                                .map_err(module_error)?,
                        };
                        let target = module.declare_data_in_data(id, description);
                        description.write_data_addr(at, target, 0);
                    }
                }
                (data.name.clone(), RelocationKind::Link)
            }
        };
        let (offset, reference) = (*offset, reference.clone());
        self.relocations.push(Relocation { symbol, offset, size: WORD_BYTES as u32, reference, kind });
        Ok(())
    }
}
