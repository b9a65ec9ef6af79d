//! Buffers in this process's memory.

use crate::device::DeviceError;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

/// Alignment of a buffer: that of cache lines, and more than any type's.
const ALIGN: usize = 64;

/// Memory that kernels work on, through its address.
pub(super) struct HostMemory {
    start: NonNull<u8>,
    layout: Layout,
    device: Arc<()>,
}

// SAFETY: the memory is owned, and accessed only by the device's functions, which take turns, and by kernels, whose
// work-items share it by the language's rules.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// Zeroed memory of a device.
    pub(super) fn new(bytes: u64, device: Arc<()>) -> Result<HostMemory, DeviceError> {
        let none = DeviceError::OutOfMemory { bytes };
        let size = usize::try_from(bytes.max(1)).map_err(|_| none.clone())?;
        let layout = Layout::from_size_align(size, ALIGN).map_err(|_| none.clone())?;
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(none)?;
        // Kernels reach the memory through integers in argument blocks.
        let _ = start.as_ptr().expose_provenance();
        Ok(HostMemory { start, layout, device })
    }

    pub(super) fn belongs_to(&self, device: &Arc<()>) -> bool {
        Arc::ptr_eq(&self.device, device)
    }

    pub(super) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Copies bytes in.
    ///
    /// # Safety
    /// The range lies inside; nobody else accesses the memory meanwhile.
    pub(super) unsafe fn write(&self, offset: usize, data: &[u8]) {
        // SAFETY: the caller's promise; a slice of the host cannot overlap memory that was never lent out.
        unsafe { std::ptr::copy(data.as_ptr(), self.start.as_ptr().add(offset), data.len()) };
    }

    /// Copies bytes out.
    ///
    /// # Safety
    /// As for [`HostMemory::write`].
    pub(super) unsafe fn read(&self, offset: usize, out: &mut [u8]) {
        // SAFETY: as above.
        unsafe { std::ptr::copy(self.start.as_ptr().add(offset), out.as_mut_ptr(), out.len()) };
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
