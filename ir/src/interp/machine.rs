//! What all work-items of a run share: memory, globals, fuel, the launch at hand.

use super::HostFn;
use super::fault::{Checked, FaultKind, malformed};
use super::memory::{Contents, Memory};
use super::prepare::global_space;
use super::value::Val;
use crate::entity::Global;
use crate::op::Op;
use crate::print_format::Printed;
use crate::program::Resolve;
use crate::types::{Space, Type};
use crate::unit::Unit;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Most records that are kept for the host.
const MAX_PRINTED: usize = 1 << 16;

/// What all items of a run share.
pub(super) struct Machine {
    pub memory: Memory,
    pub externs: FxHashMap<Arc<str>, HostFn>,
    /// Addresses of globals that exist already.
    pub globals: FxHashMap<Global, u64>,
    /// Addresses of the current group's shared globals.
    pub shared: FxHashMap<Global, u64>,
    /// Who knows the words of slots.
    pub host: Arc<dyn Resolve>,
    /// The globals of the unit by name, once a slot asked.
    pub names: FxHashMap<Arc<str>, Global>,
    pub fuel: u64,
    /// Steps since the interpreter was made: the clock.
    pub ticks: u64,
    /// Values in all frames.
    pub stack_values: usize,
    pub grid: Option<Grid>,
    /// Whether shared memory is watched for races.
    pub races: bool,
    pub subgroup_size: u32,
    /// What the host passes by name.
    pub inputs: FxHashMap<Arc<str>, Val>,
    /// What was printed, oldest first.
    pub printed: Vec<Printed>,
}

/// The launch at hand.
#[derive(Copy, Clone)]
pub(super) struct Grid {
    pub groups: [u32; 3],
    pub block: [u32; 3],
    pub group: [u32; 3],
}

/// The place in a group of a work-item, by its linear position.
pub(super) fn local(linear: u32, [width, height, _]: [u32; 3]) -> [u32; 3] {
    let (width, height) = (width.max(1), height.max(1));
    [linear % width, linear / width % height, linear / width / height]
}

impl Machine {
    /// An access that orders others happened.
    #[inline]
    pub fn order(&mut self, orders: bool) {
        let epoch = &mut self.memory.actor.epoch;
        *epoch = epoch.wrapping_add(orders.into());
    }

    /// Pays for work that grows with a number of bytes.
    pub fn charge(&mut self, bytes: u64) -> Checked<()> {
        let Some(left) = self.fuel.checked_sub(bytes / 64) else {
            self.fuel = 0;
            return Err(Box::new(FaultKind::OutOfFuel));
        };
        self.fuel = left;
        Ok(())
    }

    /// Keeps a record for the host. It costs as if it was written to memory.
    pub fn print(
        &mut self,
        format: Arc<str>,
        types: &[Type],
        values: impl Iterator<Item = u64>,
    ) -> Checked<()> {
        self.charge(64 * (1 + types.len() as u64))?;
        if self.printed.len() < MAX_PRINTED {
            self.printed.push(Printed { format, values: types.iter().copied().zip(values).collect() });
        }
        Ok(())
    }

    /// The address of a global: its memory is made when it is first asked for, and that of all whose addresses it holds.
    pub fn global(&mut self, unit: &Unit, global: Global) -> Checked<u64> {
        if let Some(&address) = self.globals.get(&global).or_else(|| self.shared.get(&global)) {
            return Ok(address);
        }
        if unit.globals.get(global).is_some_and(|data| !data.slots.is_empty()) {
            return self.slotted(unit, global);
        }
        self.allocate(unit, global)
    }

    /// Makes the memory of a global, with zeros in its slots.
    pub fn allocate(&mut self, unit: &Unit, global: Global) -> Checked<u64> {
        let Some(data) = unit.globals.get(global) else { return malformed("no such global") };
        let Some(layout) = data.layout(&unit.types) else { return malformed("global has no size") };
        let space = global_space(data.space);
        let contents = match &data.init {
            _ if space == Space::Shared => Contents::Uninitialised,
            Some(bytes) => Contents::Bytes(bytes),
            None => Contents::Zero,
        };
        if space == Space::Shared && self.grid.is_none() {
            return Err(Box::new(FaultKind::NotInKernel));
        }
        self.charge(layout.size)?;
        let address = self.memory.allocate(layout.size, layout.align, space, contents)?;
        if space == Space::Shared {
            if self.races {
                self.memory.watch(address);
            }
            self.shared.insert(global, address);
        } else {
            self.globals.insert(global, address);
        }
        Ok(address)
    }

    pub fn work_item(&self, op: Op, dimension: usize, linear: u32) -> Checked<u32> {
        let Some(grid) = &self.grid else { return Err(Box::new(FaultKind::NotInKernel)) };
        let local = local(linear, grid.block);
        let of = |dimensions: [u32; 3]| dimensions.get(dimension).copied().unwrap_or(0);
        Ok(match op {
            Op::LocalId => of(local),
            Op::GroupId => of(grid.group),
            Op::GroupSize => of(grid.block),
            Op::GroupCount => of(grid.groups),
            Op::SubgroupSize => self.subgroup_size,
            Op::SubgroupLane => linear % self.subgroup_size.max(1),
            _ => return malformed("not a work-item op"),
        })
    }
}
