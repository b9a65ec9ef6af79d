//! Memory that both host and device see at all times: one allocation per buffer, mapped as long as it lives.

use super::{Core, DeviceError, failed};
use ash::vk;
use std::ptr::NonNull;
use std::sync::Arc;

/// One buffer with its allocation.
pub(super) struct Memory {
    buffer: vk::Buffer,
    memory: vk::DeviceMemory,
    mapped: Option<NonNull<u8>>,
    address: u64,
    core: Arc<Core>,
}

// SAFETY: the mapping is only accessed through `read` and `write`, whose callers hold the device's lock.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Reserves and maps memory.
    pub(super) fn new(core: &Arc<Core>, bytes: u64) -> Result<Memory, DeviceError> {
        let device = &core.device;
        let exhausted = |call, code| match failed(call, code) {
            DeviceError::OutOfMemory { .. } => DeviceError::OutOfMemory { bytes },
            error => error,
        };
        if bytes > core.max_buffer {
            return Err(DeviceError::OutOfMemory { bytes });
        }
        // A buffer of no bytes is not allowed (VUID-VkBufferCreateInfo-size-00912).
        let create = vk::BufferCreateInfo::default()
            .size(bytes.max(1))
            .usage(vk::BufferUsageFlags::STORAGE_BUFFER | vk::BufferUsageFlags::SHADER_DEVICE_ADDRESS);
        // SAFETY: here and below, the device is alive, and the handles are its own and unused elsewhere. From here on
        // dropping `memory` frees what was made; null handles are ignored.
        let buffer = unsafe { device.create_buffer(&create, None) }
            .map_err(|code| exhausted("vkCreateBuffer", code))?;
        let core = core.clone();
        let mut memory = Memory { buffer, memory: vk::DeviceMemory::null(), mapped: None, address: 0, core };
        let device = &memory.core.device;
        // SAFETY: the buffer was made by this device.
        let needs = unsafe { device.get_buffer_memory_requirements(buffer) };
        let (index, heap) = memory.core.memory_type(needs.memory_type_bits)?;
        if needs.size > heap {
            return Err(DeviceError::OutOfMemory { bytes });
        }
        let mut flags = vk::MemoryAllocateFlagsInfo::default().flags(vk::MemoryAllocateFlags::DEVICE_ADDRESS);
        let allocate = vk::MemoryAllocateInfo::default()
            .allocation_size(needs.size)
            .memory_type_index(index)
            .push_next(&mut flags);
        // SAFETY: the device is alive, and the chain outlives the call.
        memory.memory = unsafe { device.allocate_memory(&allocate, None) }
            .map_err(|code| exhausted("vkAllocateMemory", code))?;
        // SAFETY: buffer and memory are of this device, bound to nothing yet, and the memory is as large as the buffer needs.
        unsafe { device.bind_buffer_memory(buffer, memory.memory, 0) }
            .map_err(|code| exhausted("vkBindBufferMemory", code))?;
        let whole = (0, vk::WHOLE_SIZE, vk::MemoryMapFlags::empty());
        // SAFETY: the memory is not mapped yet, and its type is one that hosts can map.
        let mapped = unsafe { device.map_memory(memory.memory, whole.0, whole.1, whole.2) }
            .map_err(|code| exhausted("vkMapMemory", code))?;
        memory.mapped = NonNull::new(mapped.cast());
        let info = vk::BufferDeviceAddressInfo::default().buffer(buffer);
        // SAFETY: the buffer has its memory and was made to have an address.
        memory.address = unsafe { device.get_buffer_device_address(&info) };
        Ok(memory)
    }

    /// Whether this is memory of that device.
    pub(super) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// The address that kernels see.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Copies bytes in.
    ///
    /// # Safety
    /// The range lies inside, and nothing else accesses the memory meanwhile.
    pub(super) unsafe fn write(&self, offset: u64, data: &[u8]) {
        if let Some(mapped) = self.mapped {
            // SAFETY: promised by the caller; the mapping covers the buffer and is coherent.
            unsafe {
                mapped.as_ptr().add(offset as usize).copy_from_nonoverlapping(data.as_ptr(), data.len())
            }
        }
    }

    /// Copies bytes out.
    ///
    /// # Safety
    /// As for `write`.
    pub(super) unsafe fn read(&self, offset: u64, out: &mut [u8]) {
        if let Some(mapped) = self.mapped {
            // SAFETY: promised by the caller; the mapping covers the buffer and is coherent.
            unsafe {
                mapped.as_ptr().add(offset as usize).copy_to_nonoverlapping(out.as_mut_ptr(), out.len())
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: launches are waited for, so that the device does not use the memory; freeing it unmaps it.
        unsafe {
            self.core.device.destroy_buffer(self.buffer, None);
            self.core.device.free_memory(self.memory, None);
        }
    }
}

impl Core {
    /// The memory type for buffers, with the size of its heap: coherent with the host, and near the device if possible.
    fn memory_type(&self, allowed: u32) -> Result<(u32, u64), DeviceError> {
        let shared = vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        let near = shared | vk::MemoryPropertyFlags::DEVICE_LOCAL;
        let types = self.memory_types.memory_types_as_slice();
        let heaps = self.memory_types.memory_heaps_as_slice();
        let find = |wanted: vk::MemoryPropertyFlags| {
            let suits = |(index, kind): &(usize, &vk::MemoryType)| {
                allowed & 1 << index != 0 && kind.property_flags.contains(wanted)
            };
            types.iter().enumerate().find(suits)
        };
        let (index, kind) = find(near).or_else(|| find(shared)).ok_or_else(|| DeviceError::Unsupported {
            reason: "no memory that host and device share".to_owned(),
        })?;
        Ok((index as u32, heaps.get(kind.heap_index as usize).map_or(0, |heap| heap.size)))
    }
}
