//! Slots of globals: filled when a global's memory is made, before anything can see it.

use super::fault::{Checked, FaultKind, malformed};
use super::machine::Machine;
use super::memory::{Callee, function_address};
use crate::entity::Global;
use crate::program::Reference;
use crate::types::Space;
use crate::unit::Unit;
use std::sync::Arc;

impl Machine {
    /// Makes the memory of a global with slots, and of those whose addresses it holds, directly or not; all of it, or
    /// none: nobody ever reads a slot that is not filled.
    pub(super) fn slotted(&mut self, unit: &Unit, global: Global) -> Checked<u64> {
        let mut made: Vec<(Global, u64)> = Vec::new();
        let done = self.make(unit, global, &mut made);
        if done.is_err() {
            for (global, address) in made {
                self.globals.remove(&global);
                self.memory.release(address);
            }
        }
        done
    }

    fn make(&mut self, unit: &Unit, first: Global, made: &mut Vec<(Global, u64)>) -> Checked<u64> {
        // Globals may hold each other's addresses.
        let mut next = 0;
        let address = self.allocate(unit, first)?;
        made.push((first, address));
        while let Some(&(global, address)) = made.get(next) {
            next += 1;
            let Some(data) = unit.globals.get(global) else { return malformed("no such global") };
            for slot in &data.slots {
                let word = match &slot.reference {
                    Reference::Global { name, offset } => self.other(unit, name, made)?.wrapping_add(*offset),
                    Reference::Func(func) => function_address(Callee::Func(func.as_u32())),
                    Reference::Method { .. } => {
                        return malformed("a slot for a method that was not looked up");
                    }
                    host => self.host.resolve(host).map_err(|reason| {
                        Box::new(FaultKind::NoWord {
                            global: data.name.clone(),
                            reference: host.clone(),
                            reason: reason.into(),
                        })
                    })?,
                };
                let place = address.wrapping_add(slot.offset);
                self.memory.write(place, &word.to_le_bytes()).map_err(Box::new)?;
            }
        }
        Ok(address)
    }

    /// The address of another global, which waits for its own slots to be filled if it is new.
    fn other(&mut self, unit: &Unit, name: &Arc<str>, made: &mut Vec<(Global, u64)>) -> Checked<u64> {
        if self.names.is_empty() {
            self.names.extend(unit.globals.iter().map(|(id, data)| (data.name.clone(), id)));
        }
        let data = |global: &Global| unit.globals.get(*global).is_some_and(|g| g.space != Space::Shared);
        let Some(&global) = self.names.get(name).filter(|global| data(global)) else {
            return malformed("a slot for no global with an address");
        };
        if let Some(&known) = self.globals.get(&global) {
            return Ok(known);
        }
        let address = self.allocate(unit, global)?;
        made.push((global, address));
        Ok(address)
    }
}
