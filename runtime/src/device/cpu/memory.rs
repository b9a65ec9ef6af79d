//! Memory that kernels work on: buffers, and what the work-items of a group share.
//!
//! Guarded memory lies between pages that nobody may access, and ends where the one behind it begins, as far as its alignment
//! allows: what runs past it ends the process, and does not change what is somebody else's. That takes mappings and
//! pages of its own, where other memory is a part of the heap.

use crate::device::DeviceError;
use region::{Allocation, Protection};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

/// Alignment of a buffer: that of cache lines, and more than any type's.
const ALIGN: usize = 64;
/// Least alignment of a guarded buffer.
const LEAST_ALIGN: usize = 16;

/// Where memory lies.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::device) enum Guard {
    /// In the heap.
    None,
    /// Between pages that nobody may access.
    Pages,
}

/// Zeroed memory.
pub(super) struct Memory {
    start: NonNull<u8>,
    owner: Owner,
}

/// What is freed in the end.
enum Owner {
    Heap(Layout),
    /// The pages in which it lies, with those around them; freed when this is dropped.
    Pages {
        _all: Allocation,
    },
}

// SAFETY: the memory is owned, and freed by any thread as well as by another. What it holds is accessed through addresses,
// whose users have their own rules.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory of so many bytes, aligned to a power of two that is no more than a page's size.
    pub(super) fn zeroed(bytes: u64, align: usize, guard: Guard) -> Result<Memory, DeviceError> {
        let none = || DeviceError::OutOfMemory { bytes };
        let size = usize::try_from(bytes.max(1)).map_err(|_| none())?;
        let memory = match guard {
            Guard::None => Self::in_heap(size, align),
            Guard::Pages => Self::between_pages(size, align),
        };
        let memory = memory.ok_or_else(none)?;
        // Kernels reach the memory through integers in argument blocks.
        let _ = memory.start.as_ptr().expose_provenance();
        Ok(memory)
    }

    fn in_heap(size: usize, align: usize) -> Option<Memory> {
        let layout = Layout::from_size_align(size, align).ok()?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Memory { start, owner: Owner::Heap(layout) })
    }

    fn between_pages(size: usize, align: usize) -> Option<Memory> {
        let page = region::page::size();
        let size = size.checked_next_multiple_of(align)?;
        let inside = size.checked_next_multiple_of(page)?;
        let mut all = region::alloc(inside.checked_add(2 * page)?, Protection::NONE).ok()?;
        let first = all.as_mut_ptr::<u8>().wrapping_add(page);
        // SAFETY: these pages are inside of what was just allocated, and nobody uses them yet.
        unsafe { region::protect(first, inside, Protection::READ_WRITE) }.ok()?;
        let start = NonNull::new(first.wrapping_add(inside - size))?;
        Some(Memory { start, owner: Owner::Pages { _all: all } })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        match self.owner {
            // SAFETY: allocated with this layout.
            Owner::Heap(layout) => unsafe { dealloc(self.start.as_ptr(), layout) },
            Owner::Pages { .. } => {}
        }
    }
}

/// A buffer's memory, accessed only by the device's functions, which take turns, and by kernels, whose work-items share it by
/// the language's rules.
pub(super) struct HostMemory {
    memory: Memory,
    device: Arc<()>,
}

impl HostMemory {
    /// Zeroed memory of a device.
    pub(super) fn new(bytes: u64, guard: Guard, device: Arc<()>) -> Result<HostMemory, DeviceError> {
        let align = match guard {
            Guard::None => ALIGN,
            // The size of a type is a multiple of its alignment, and a buffer's of what it holds: the nearer to the page
            // behind it, the better.
            Guard::Pages => (1 << bytes.max(1).trailing_zeros().min(ALIGN.ilog2())).max(LEAST_ALIGN),
        };
        Ok(HostMemory { memory: Memory::zeroed(bytes, align, guard)?, device })
    }

    pub(super) fn belongs_to(&self, device: &Arc<()>) -> bool {
        Arc::ptr_eq(&self.device, device)
    }

    pub(super) fn address(&self) -> u64 {
        self.memory.start().expose_provenance() as u64
    }

    /// Copies bytes in.
    ///
    /// # Safety
    /// The range lies inside; nobody else accesses the memory meanwhile.
    pub(super) unsafe fn write(&self, offset: usize, data: &[u8]) {
        // SAFETY: the caller's promise; a slice of the host cannot overlap memory that was never lent out.
        unsafe { std::ptr::copy(data.as_ptr(), self.memory.start().add(offset), data.len()) };
    }

    /// Copies bytes out.
    ///
    /// # Safety
    /// As for [`HostMemory::write`].
    pub(super) unsafe fn read(&self, offset: usize, out: &mut [u8]) {
        // SAFETY: as above.
        unsafe { std::ptr::copy(self.memory.start().add(offset), out.as_mut_ptr(), out.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guarded_buffers_end_where_memory_does() {
        let page = region::page::size();
        let rights = |address: usize| region::query(address as *const u8).map(|found| found.protection());
        for (bytes, align) in [(0, 16), (1, 16), (24, 16), (32, 32), (4096, 64), (4097, 16), (1000, 16)] {
            let buffer = HostMemory::new(bytes, Guard::Pages, Arc::new(())).unwrap();
            let start = buffer.address() as usize;
            assert_eq!(start % align, 0);
            let end = start + (bytes as usize).max(1).next_multiple_of(align);
            assert_eq!(end % page, 0);
            assert_eq!(rights(end - 1).unwrap(), Protection::READ_WRITE);
            assert_eq!(rights(end).unwrap(), Protection::NONE);
            assert_eq!(rights((start & !(page - 1)) - 1).unwrap(), Protection::NONE);
            let mut out = vec![1; bytes as usize];
            // SAFETY: the range lies inside, and nobody else has the buffer.
            unsafe { buffer.read(0, &mut out) };
            assert!(out.iter().all(|&byte| byte == 0));
        }
        for bytes in [u64::MAX, u64::MAX - 4096, 1 << 62] {
            assert!(HostMemory::new(bytes, Guard::Pages, Arc::new(())).is_err());
        }
        let shared = Memory::zeroed(100, 4096, Guard::Pages).unwrap();
        assert_eq!(shared.start().addr() % 4096, 0);
    }
}
