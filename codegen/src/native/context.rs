//! What code knows of the work-item that it runs for: the one definition that emitted code and schedulers share.
//!
//! A kernel becomes a [`KernelFn`](super::KernelFn), which runs a range of a group's work-items, one after the other.
//! A kernel that [waits](super::NativeKernel::waits) is called with one work-item at a time, each on a stack of its own, and
//! calls back where the work-items of a group or sub-group meet; the callback returns when all have come.

use std::ffi::c_void;
use std::mem::offset_of;

/// Most bytes of shared memory of a group.
pub const MAX_SHARED_BYTES: u64 = 256 << 10;
/// Lanes of a sub-group.
pub const SUBGROUP_SIZE: u32 = 32;

/// A group of work-items that runs.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct WorkGroup {
    /// Its position in the grid.
    pub group_id: [u32; 3],
    /// Work-items along each dimension; none is 0.
    pub group_size: [u32; 3],
    /// Groups along each dimension.
    pub group_count: [u32; 3],
    /// Lanes of a full sub-group: a power of two.
    pub subgroup_size: u32,
    /// Its shared memory, aligned to 16 bytes.
    pub shared: *mut u8,
    /// Waits for the other work-items of the group.
    pub barrier: BarrierFn,
    /// Does a [`SubgroupOp`] with the other lanes.
    pub subgroup: SubgroupFn,
    /// For the two functions above.
    pub scheduler: *const c_void,
}

/// A work-item that runs.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct WorkItem {
    /// Its group.
    pub group: *const WorkGroup,
    /// Its position in the group.
    pub local_id: [u32; 3],
    /// Its number in the group, the first dimension fastest.
    pub linear: u32,
}

/// Waits for the other work-items of the group, at a place in the code. Places are numbers in the order of the code.
pub type BarrierFn = unsafe extern "C" fn(item: *const WorkItem, site: u64);

/// Does an operation ([`SubgroupOp`] as a number, plus [`WIDE`] for operands of 64 bits) with the other lanes: on a
/// value and, for shuffles, a lane number, at a place in the code. 32-bit values have zeros above.
pub type SubgroupFn =
    unsafe extern "C" fn(item: *const WorkItem, op: u64, value: u64, lane: u64, site: u64) -> u64;

/// Set in the number of an operation on 64-bit values.
pub const WIDE: u64 = 1 << 8;

macro_rules! subgroup_ops {
    ($($name:ident)*) => {
        /// What the lanes of a sub-group do together.
        #[derive(Copy, Clone, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs)] // each is the op of the language of the same name
        pub enum SubgroupOp {
            $($name,)*
        }

        impl SubgroupOp {
            /// All operations, by number.
            pub const ALL: &'static [SubgroupOp] = &[$(SubgroupOp::$name),*];
        }
    };
}

subgroup_ops! {
    Barrier Shuffle ShuffleXor ShuffleUp ShuffleDown Any All Ballot Add And Or Xor MinS MinU MaxS MaxU
}

impl SubgroupOp {
    /// The operation of this number, and whether its values have 64 bits.
    pub fn from_code(code: u64) -> Option<(SubgroupOp, bool)> {
        let op = SubgroupOp::ALL.get(usize::try_from(code & !WIDE).ok()?)?;
        Some((*op, code & WIDE != 0))
    }

    /// Does the operation: `lanes` holds value and lane number of each active lane, by lane.
    pub fn apply(self, wide: bool, lanes: &[Option<(u64, u64)>], results: &mut [u64]) {
        let active = || lanes.iter().enumerate().filter_map(|(n, lane)| lane.map(|(value, _)| (n, value)));
        let mask = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let signed = |value: u64| if wide { value as i64 } else { i64::from(value as u32 as i32) };
        let shuffle = |from: &dyn Fn(u32, u32) -> u32, results: &mut [u64]| {
            for (n, (lane, result)) in lanes.iter().zip(results).enumerate() {
                let Some((own, operand)) = *lane else { continue };
                let source = from(n as u32, operand as u32);
                let other = usize::try_from(source).ok().and_then(|s| lanes.get(s).copied().flatten());
                *result = other.map_or(own, |(value, _)| value);
            }
        };
        let all = match self {
            SubgroupOp::Barrier => 0,
            SubgroupOp::Shuffle => return shuffle(&|_, operand| operand, results),
            SubgroupOp::ShuffleXor => return shuffle(&|own, operand| own ^ operand, results),
            SubgroupOp::ShuffleUp => return shuffle(&|own, operand| own.wrapping_sub(operand), results),
            SubgroupOp::ShuffleDown => return shuffle(&|own, operand| own.wrapping_add(operand), results),
            SubgroupOp::Any => u64::from(active().any(|(_, value)| value & 1 != 0)),
            SubgroupOp::All => u64::from(active().all(|(_, value)| value & 1 != 0)),
            SubgroupOp::Ballot => {
                active().filter(|&(n, value)| n < 64 && value & 1 != 0).fold(0, |bits, (n, _)| bits | 1 << n)
            }
            SubgroupOp::Add => active().fold(0u64, |sum, (_, value)| sum.wrapping_add(value)) & mask,
            SubgroupOp::And => active().fold(mask, |bits, (_, value)| bits & value),
            SubgroupOp::Or => active().fold(0, |bits, (_, value)| bits | value),
            SubgroupOp::Xor => active().fold(0, |bits, (_, value)| bits ^ value),
            SubgroupOp::MinS => {
                active().map(|(_, value)| value).min_by_key(|&value| signed(value)).unwrap_or(0)
            }
            SubgroupOp::MaxS => {
                active().map(|(_, value)| value).max_by_key(|&value| signed(value)).unwrap_or(0)
            }
            SubgroupOp::MinU => active().map(|(_, value)| value).min().unwrap_or(0),
            SubgroupOp::MaxU => active().map(|(_, value)| value).max().unwrap_or(0),
        };
        for (lane, result) in lanes.iter().zip(results) {
            if lane.is_some() {
                *result = all;
            }
        }
    }
}

/// Byte offsets, for emitted code.
pub(super) mod offset {
    use super::*;

    pub(crate) const GROUP_ID: i32 = offset_of!(WorkGroup, group_id) as i32;
    pub(crate) const GROUP_SIZE: i32 = offset_of!(WorkGroup, group_size) as i32;
    pub(crate) const GROUP_COUNT: i32 = offset_of!(WorkGroup, group_count) as i32;
    pub(crate) const SUBGROUP_SIZE: i32 = offset_of!(WorkGroup, subgroup_size) as i32;
    pub(crate) const SHARED: i32 = offset_of!(WorkGroup, shared) as i32;
    pub(crate) const BARRIER: i32 = offset_of!(WorkGroup, barrier) as i32;
    pub(crate) const SUBGROUP: i32 = offset_of!(WorkGroup, subgroup) as i32;
    pub(crate) const GROUP: i32 = offset_of!(WorkItem, group) as i32;
    pub(crate) const LOCAL_ID: i32 = offset_of!(WorkItem, local_id) as i32;
    pub(crate) const LINEAR: i32 = offset_of!(WorkItem, linear) as i32;
    pub(crate) const GROUP_BYTES: u32 = size_of::<WorkGroup>() as u32;
    pub(crate) const ITEM_BYTES: u32 = size_of::<WorkItem>() as u32;
}

/// A barrier of a group of one work-item.
pub(super) extern "C" fn solo_barrier(_: *const WorkItem, _: u64) {}

/// A sub-group of one lane.
pub(super) extern "C" fn solo_subgroup(_: *const WorkItem, op: u64, value: u64, lane: u64, _: u64) -> u64 {
    let mut result = [0];
    if let Some((op, wide)) = SubgroupOp::from_code(op) {
        op.apply(wide, &[Some((value, lane))], &mut result);
    }
    result[0]
}
