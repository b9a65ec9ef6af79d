//! Memory: allocations whose addresses remember where they came from.
//!
//! An address is a 64-bit number: 8 bits that tell functions and generations apart, 24 bits for an allocation, 32
//! bits for an offset. Offsets start in the middle of their range, so that walking off either end of an allocation
//! does not lead into another one; addresses compare, subtract and convert to integers as on a real machine. An
//! allocation lies at exactly its alignment and no more, so that luck does not hide misaligned accesses.
//!
//! Every access checks that the allocation is alive, bounds, alignment, address space, and that bytes were written
//! before they are read. Address 0 is null.

use super::fault::{Checked, FaultKind};
use super::race::{Access, Actor, Races};
use super::value::{read_bits, write_bits};
use crate::limits::MAX_ALLOCATION_BYTES;
use crate::types::Space;

/// Alignment of the buffers that hosts allocate.
const HOST_ALIGN: u32 = 256;
/// Where offsets start, less the alignment.
const ORIGIN: u64 = 1 << 30;
/// Largest allocation that is watched for races; a record is many times larger than its byte.
const MAX_WATCHED: usize = 1 << 20;
/// The bit that marks addresses of functions.
const FUNCTION: u64 = 1 << 63;
const GENERATION_SHIFT: u32 = 56;
const GENERATIONS: u8 = 128;
const INDEX_SHIFT: u32 = 32;
const INDEX_MASK: u64 = (1 << 24) - 1;

struct Allocation {
    generation: u8,
    live: bool,
    space: Space,
    /// Low half of the first byte's address.
    origin: u64,
    bytes: Vec<u8>,
    /// One byte, 0 or 1, per byte: whether it was written; empty if all were.
    written: Vec<u8>,
    races: Option<Races>,
    /// What it takes from the limit.
    cost: u64,
}

/// What an address space, pointer and access have in common: where, through which space, how aligned.
#[derive(Copy, Clone)]
pub(super) struct Place {
    pub address: u64,
    pub space: Space,
    pub align: u32,
}

/// The memory of a running program.
pub struct Memory {
    allocations: Vec<Allocation>,
    free: Vec<u32>,
    used: u64,
    limit: u64,
    pub(super) actor: Actor,
}

impl Memory {
    pub(super) fn new(limit: u64) -> Self {
        Memory { allocations: Vec::new(), free: Vec::new(), used: 0, limit, actor: Actor::default() }
    }

    pub(super) fn allocate(
        &mut self,
        size: u64,
        align: u32,
        space: Space,
        contents: Contents,
    ) -> Checked<u64> {
        let out_of_memory = || Box::new(FaultKind::OutOfMemory { bytes: size });
        // Even nothing costs a little, so that the number of allocations is limited, too.
        let shadow = if matches!(contents, Contents::Uninitialised) { 2 } else { 1 };
        let cost = size.saturating_mul(shadow).saturating_add(64);
        if size > MAX_ALLOCATION_BYTES || self.used.saturating_add(cost) > self.limit {
            return Err(out_of_memory());
        }
        let length = usize::try_from(size).map_err(|_| out_of_memory())?;
        let (bytes, written) = match contents {
            Contents::Bytes(bytes) => {
                let mut bytes = bytes.to_vec();
                bytes.resize(length, 0);
                (bytes, Vec::new())
            }
            Contents::Zero => (vec![0; length], Vec::new()),
            Contents::Uninitialised => (vec![0; length], vec![0; length]),
        };
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None if self.allocations.len() as u64 >= INDEX_MASK => return Err(out_of_memory()),
            None => {
                self.allocations.push(Allocation::dead());
                self.allocations.len() - 1
            }
        };
        let allocation = self.allocations.get_mut(index).ok_or_else(out_of_memory)?;
        self.used += cost;
        allocation.live = true;
        allocation.space = space;
        allocation.origin = ORIGIN + u64::from(align);
        allocation.bytes = bytes;
        allocation.written = written;
        allocation.cost = cost;
        let generation = u64::from(allocation.generation) << GENERATION_SHIFT;
        Ok(generation | (index as u64 + 1) << INDEX_SHIFT | allocation.origin)
    }

    /// Frees what `allocate` gave.
    pub(super) fn release(&mut self, address: u64) {
        let Ok(index) = self.find(address, 0) else { return };
        let Some(allocation) = self.allocations.get_mut(index) else { return };
        self.used = self.used.saturating_sub(allocation.cost);
        allocation.live = false;
        allocation.bytes = Vec::new();
        allocation.written = Vec::new();
        allocation.races = None;
        // An index that has no generations left stays dead.
        if allocation.generation + 1 < GENERATIONS {
            allocation.generation += 1;
            self.free.push(index as u32);
        }
    }

    /// Watches an allocation for data races, unless it is larger than any shared memory is.
    pub(super) fn watch(&mut self, address: u64) {
        let Ok(index) = self.find(address, 0) else { return };
        if let Some(allocation) = self.allocations.get_mut(index).filter(|a| a.bytes.len() <= MAX_WATCHED) {
            allocation.races = Some(Races::new(allocation.bytes.len()));
        }
    }

    /// A buffer in global memory with these bytes.
    ///
    /// # Errors
    /// It would not fit into memory.
    pub fn alloc(&mut self, bytes: &[u8]) -> Result<u64, FaultKind> {
        let size = bytes.len() as u64;
        self.allocate(size, HOST_ALIGN, Space::Global, Contents::Bytes(bytes)).map_err(|fault| *fault)
    }

    /// A buffer of which nothing may be read before it is written, in any address space.
    ///
    /// # Errors
    /// It would not fit into memory.
    pub fn alloc_uninit(&mut self, size: u64, space: Space) -> Result<u64, FaultKind> {
        self.allocate(size, HOST_ALIGN, space, Contents::Uninitialised).map_err(|fault| *fault)
    }

    /// Frees a buffer that the host allocated; addresses in it become invalid.
    pub fn free(&mut self, address: u64) {
        self.release(address);
    }

    /// Bytes as the host sees them: in any space, at any alignment, but written before.
    ///
    /// # Errors
    /// The range is not in one live allocation, or not written.
    pub fn read(&self, address: u64, size: u64) -> Result<&[u8], FaultKind> {
        let found = self.find(address, size).and_then(|index| {
            let allocation = &self.allocations[index];
            let range = allocation.range(address, size)?;
            allocation.check_written(range.clone(), address)?;
            Ok(&allocation.bytes[range])
        });
        found.map_err(|fault| *fault)
    }

    /// Writes bytes as the host.
    ///
    /// # Errors
    /// The range is not in one live allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), FaultKind> {
        let size = bytes.len() as u64;
        let index = self.find(address, size).map_err(|fault| *fault)?;
        let allocation = &mut self.allocations[index];
        let range = allocation.range(address, size).map_err(|fault| *fault)?;
        allocation.mark_written(range.clone());
        allocation.bytes[range].copy_from_slice(bytes);
        Ok(())
    }

    /// The live allocation that an address belongs to.
    #[inline]
    fn find(&self, address: u64, size: u64) -> Checked<usize> {
        let index = (address >> INDEX_SHIFT & INDEX_MASK).wrapping_sub(1) as usize;
        let generation = (address >> GENERATION_SHIFT) as u8;
        match self.allocations.get(index) {
            Some(found) if found.live && found.generation == generation => Ok(index),
            Some(found) if address & FUNCTION == 0 && generation <= found.generation => {
                Err(Box::new(FaultKind::UseAfterFree { address }))
            }
            _ => Err(Box::new(FaultKind::InvalidAddress { address, size })),
        }
    }

    /// Checks an access and finds the bytes: an allocation and a range in it.
    #[inline]
    fn check(&mut self, place: Place, size: u64, access: Access) -> Checked<(usize, std::ops::Range<usize>)> {
        let Place { address, space, align } = place;
        let actor = self.actor;
        let index = self.find(address, size)?;
        let allocation = &mut self.allocations[index];
        let range = allocation.range(address, size)?;
        if address & (u64::from(align).wrapping_sub(1)) != 0 {
            return Err(Box::new(FaultKind::Misaligned { address, align }));
        }
        if space != allocation.space && space != Space::Generic {
            let found = allocation.space;
            return Err(Box::new(FaultKind::WrongSpace { address, expected: space, found }));
        }
        if !access.only_reads() && matches!(allocation.space, Space::Constant | Space::Param) {
            return Err(Box::new(FaultKind::WriteToConstant { address }));
        }
        if let Some(races) = &mut allocation.races {
            races.note(range.start, range.len(), address, access, actor)?;
        }
        if access == Access::Write {
            allocation.mark_written(range.clone());
        } else {
            allocation.check_written(range.clone(), address)?;
        }
        Ok((index, range))
    }

    /// Reads up to 16 bytes as a number.
    #[inline]
    pub(super) fn load(&mut self, place: Place, size: u64) -> Checked<u128> {
        let (index, range) = self.check(place, size, Access::Read)?;
        Ok(read_bits(&self.allocations[index].bytes[range]))
    }

    /// Writes the low bytes of a number.
    #[inline]
    pub(super) fn store(&mut self, place: Place, size: u64, bits: u128) -> Checked<()> {
        let (index, range) = self.check(place, size, Access::Write)?;
        write_bits(&mut self.allocations[index].bytes[range], bits);
        Ok(())
    }

    /// The bytes behind a place that is read and written atomically.
    pub(super) fn atomic(&mut self, place: Place, size: u64) -> Checked<&mut [u8]> {
        let (index, range) = self.check(place, size, Access::AtomicWrite)?;
        Ok(&mut self.allocations[index].bytes[range])
    }

    /// Reads up to 16 bytes as a number, atomically.
    pub(super) fn atomic_load(&mut self, place: Place, size: u64) -> Checked<u128> {
        let (index, range) = self.check(place, size, Access::AtomicRead)?;
        Ok(read_bits(&self.allocations[index].bytes[range]))
    }

    /// As `atomic`, for a store: what was there need not be written.
    pub(super) fn atomic_store(&mut self, place: Place, size: u64, bits: u128) -> Checked<()> {
        let index = self.find(place.address, size)?;
        let range = self.allocations[index].range(place.address, size)?;
        self.allocations[index].mark_written(range);
        write_bits(self.atomic(place, size)?, bits);
        Ok(())
    }

    /// Reads the parts of a value that lie in `ranges`; the rest is zero.
    pub(super) fn load_ranges(
        &mut self,
        place: Place,
        size: u64,
        ranges: &[(usize, usize)],
    ) -> Checked<Vec<u8>> {
        self.check(place, 0, Access::Read)?;
        let index = self.find(place.address, size)?;
        let whole = self.allocations[index].range(place.address, size)?;
        let mut value = vec![0; whole.len()];
        for &(start, end) in ranges {
            let part = Place { address: place.address + start as u64, align: 1, ..place };
            let (index, range) = self.check(part, (end - start) as u64, Access::Read)?;
            value[start..end].copy_from_slice(&self.allocations[index].bytes[range]);
        }
        Ok(value)
    }

    /// Writes the parts of a value that lie in `ranges`.
    pub(super) fn store_ranges(
        &mut self,
        place: Place,
        value: &[u8],
        ranges: &[(usize, usize)],
    ) -> Checked<()> {
        self.check(place, 0, Access::Read)?;
        let index = self.find(place.address, value.len() as u64)?;
        self.allocations[index].range(place.address, value.len() as u64)?;
        for &(start, end) in ranges {
            let part = Place { address: place.address + start as u64, align: 1, ..place };
            let (index, range) = self.check(part, (end - start) as u64, Access::Write)?;
            self.allocations[index].bytes[range].copy_from_slice(&value[start..end]);
        }
        Ok(())
    }

    /// `memcpy`. Copying bytes that were never written is allowed: they stay so.
    pub(super) fn copy(&mut self, to: Place, from: Place, size: u64) -> Checked<()> {
        if size == 0 {
            return Ok(());
        }
        let (target, source) = (self.find(to.address, size)?, self.find(from.address, size)?);
        let distance = to.address.abs_diff(from.address);
        if target == source && distance != 0 && distance < size {
            return Err(Box::new(FaultKind::Overlap { to: to.address, from: from.address, size }));
        }
        // As a read that tolerates what was never written.
        let range = self.allocations[source].range(from.address, size)?;
        let written = match self.allocations[source].written.as_mut_slice() {
            [] => None,
            written => {
                let part = &mut written[range.clone()];
                let kept = part.to_vec();
                part.fill(1);
                Some(kept)
            }
        };
        let checked = self.check(from, size, Access::Read);
        if let Some(kept) = &written {
            self.allocations[source].written[range.clone()].copy_from_slice(kept);
        }
        checked?;
        let (_, place) = self.check(to, size, Access::Write)?;
        let bytes = self.allocations[source].bytes[range].to_vec();
        let target = &mut self.allocations[target];
        target.bytes[place.clone()].copy_from_slice(&bytes);
        match written {
            Some(kept) if kept.contains(&0) => {
                if target.written.is_empty() {
                    target.written = vec![1; target.bytes.len()];
                }
                target.written[place].copy_from_slice(&kept);
            }
            _ => {}
        }
        Ok(())
    }

    /// The ranges of a `memcpy` or `memset`, if they lie where they can: found out before their bytes are paid for, so
    /// that a number of bytes that no allocation has is said to be that.
    pub(super) fn check_ranges(&self, size: u64, addresses: &[u64]) -> Checked<()> {
        if size == 0 {
            return Ok(());
        }
        addresses.iter().try_for_each(|&address| {
            let index = self.find(address, size)?;
            self.allocations[index].range(address, size).map(drop)
        })
    }

    /// `memset`.
    pub(super) fn fill(&mut self, to: Place, byte: u8, size: u64) -> Checked<()> {
        if size == 0 {
            return Ok(());
        }
        let (index, range) = self.check(to, size, Access::Write)?;
        self.allocations[index].bytes[range].fill(byte);
        Ok(())
    }
}

/// What new memory holds.
pub(super) enum Contents<'a> {
    /// These bytes, then zeros.
    Bytes(&'a [u8]),
    Zero,
    Uninitialised,
}

impl Allocation {
    fn dead() -> Self {
        Allocation {
            generation: 0,
            live: false,
            space: Space::Generic,
            origin: 0,
            bytes: Vec::new(),
            written: Vec::new(),
            races: None,
            cost: 0,
        }
    }

    #[inline]
    fn range(&self, address: u64, size: u64) -> Checked<std::ops::Range<usize>> {
        let offset = (address & 0xffff_ffff).wrapping_sub(self.origin);
        let length = self.bytes.len() as u64;
        match offset.checked_add(size) {
            Some(end) if end <= length => Ok(offset as usize..end as usize),
            _ => {
                let start = address & !0xffff_ffff | self.origin;
                Err(Box::new(FaultKind::OutOfBounds { address, size, start, length }))
            }
        }
    }

    #[inline]
    fn check_written(&self, range: std::ops::Range<usize>, address: u64) -> Checked<()> {
        if self.written.is_empty() {
            return Ok(());
        }
        match self.written[range].iter().position(|&written| written == 0) {
            None => Ok(()),
            Some(n) => Err(Box::new(FaultKind::Uninitialised { address: address + n as u64 })),
        }
    }

    #[inline]
    fn mark_written(&mut self, range: std::ops::Range<usize>) {
        if !self.written.is_empty() {
            self.written[range].fill(1);
        }
    }
}

/// What an indirect call may call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Callee {
    Func(u32),
    Extern(u32),
}

/// The address of a function: 31 bits of its number, one bit for whose it is, at the top of the address space.
pub(super) fn function_address(callee: Callee) -> u64 {
    let (number, foreign) = match callee {
        Callee::Func(number) => (number, 0),
        Callee::Extern(number) => (number, 1),
    };
    FUNCTION | foreign << 62 | u64::from(number) << 4
}

/// The function at an address.
pub(super) fn function_at(address: u64) -> Option<Callee> {
    let number = (address & !(3 << 62)) >> 4;
    if address & FUNCTION == 0 || address & 15 != 0 {
        return None;
    }
    let number = u32::try_from(number).ok()?;
    Some(if address >> 62 & 1 == 1 { Callee::Extern(number) } else { Callee::Func(number) })
}
