//! The Vulkan device: SPIR-V shaders for Vulkan 1.3 on one compute queue.
//!
//! Contract with the compiler:
//!
//! - The entry point is a `GLCompute` shader without descriptor sets. Pointers are 64-bit device addresses.
//! - The argument block (see [`ArgumentLayout`](super::ArgumentLayout)) is the push constant block, if it has at most
//!   [`ARGUMENT_BLOCK_LIMIT`] bytes. Otherwise the push constants are one 64-bit address, that of the block.
//! - The size of the work-group is given by the specialisation constants with `SpecId` 0, 1 and 2.
//! - Whatever [`features`] enables may be used if the device's [`Features`](super::Features) say so.
//!
//! A launch is submitted and waited for, under the device's lock: memory is then visible to the host, and buffers and
//! pipelines are never in use when they are dropped. Where a validation layer runs, its errors become the result of
//! the call that caused them.
#![allow(unsafe_code)] // every call into the driver

mod features;
mod instance;
mod kernel;
mod memory;
mod queue;

use super::{
    ARGUMENT_BLOCK_LIMIT, Arg, ArgumentLayout, Buffer, Device, DeviceError, DeviceInfo, DeviceKind,
    KernelImage, LoadedModule, Probe, check_image, check_launch,
};
use ash::vk;
use instance::Instance;
use kernel::Code;
use memory::Memory;
use queue::Queue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The logical device: everything created from it keeps it alive.
struct Core {
    device: ash::Device,
    memory_types: vk::PhysicalDeviceMemoryProperties,
    /// The largest buffer, in bytes.
    max_buffer: u64,
    instance: Arc<Instance>,
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: all objects made from the device hold an `Arc` of this, so that none is left; launches are waited for.
        unsafe { self.device.destroy_device(None) }
    }
}

struct VulkanDevice {
    info: DeviceInfo,
    queue: Mutex<Queue>,
    core: Arc<Core>,
}

/// Opens every usable device that the loader finds.
pub(super) fn probe() -> Vec<Probe> {
    let absent = |reason: String| Probe::absent(DeviceKind::Vulkan, reason);
    let instance = match Instance::new() {
        Ok(instance) => Arc::new(instance),
        Err(reason) => return vec![absent(reason)],
    };
    // SAFETY: the instance is alive.
    let found = match unsafe { instance.raw.enumerate_physical_devices() } {
        Ok(found) => found,
        Err(code) => return vec![absent(format!("vkEnumeratePhysicalDevices failed: {code}"))],
    };
    // What layers and loader say so far concerns drivers that cannot be used.
    let messages = instance.take_messages();
    if found.is_empty() {
        return vec![absent(
            ["the loader knows no device".to_owned()]
                .into_iter()
                .chain(messages)
                .collect::<Vec<_>>()
                .join("; "),
        )];
    }
    let open = |physical| match open(&instance, physical) {
        Ok(device) => Probe::Found(Box::new(device)),
        Err(reason) => absent(reason),
    };
    found.into_iter().map(open).collect()
}

fn open(instance: &Arc<Instance>, physical: vk::PhysicalDevice) -> Result<VulkanDevice, String> {
    let candidate = features::examine(instance, physical)?;
    let name = &candidate.info.name;
    let device = candidate.create_device(instance, physical).map_err(|reason| format!("{name}: {reason}"))?;
    // SAFETY: the instance is alive and the handle is its own.
    let memory_types = unsafe { instance.raw.get_physical_device_memory_properties(physical) };
    let max_buffer = candidate.max_buffer;
    let core = Arc::new(Core { device, memory_types, max_buffer, instance: instance.clone() });
    let queue =
        Queue::new(core.clone(), candidate.queue_family).map_err(|error| format!("{name}: {error}"))?;
    let messages = instance.take_messages();
    if !messages.is_empty() {
        return Err(format!("{name}: {}", DeviceError::Validation { messages }));
    }
    Ok(VulkanDevice { info: candidate.info, queue: Mutex::new(queue), core })
}

impl VulkanDevice {
    /// The work of a launch never leaves the queue half changed, so a panic elsewhere does not spoil it.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This device's memory behind a buffer.
    fn memory<'b>(&self, buffer: &'b Buffer) -> Result<&'b Memory, DeviceError> {
        let own = buffer.memory::<Memory>().filter(|memory| memory.is_of(&self.core));
        own.ok_or(DeviceError::ForeignBuffer)
    }

    /// Lets the validation layer's objections to a call take the place of its result.
    fn validated<T>(&self, result: Result<T, DeviceError>) -> Result<T, DeviceError> {
        let mut messages = self.core.instance.take_messages();
        if messages.is_empty() {
            return result;
        }
        messages.extend(result.err().map(|error| error.to_string()));
        Err(DeviceError::Validation { messages })
    }
}

impl Device for VulkanDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        self.validated(Memory::new(&self.core, bytes).map(|memory| Buffer::new(bytes, memory)))
    }

    fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, data.len())?;
        let _idle = self.queue();
        // SAFETY: the range was checked, and under the lock neither a kernel nor another transfer touches the memory.
        unsafe { memory.write(offset, data) };
        Ok(())
    }

    fn read(&self, buffer: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, out.len())?;
        let _idle = self.queue();
        // SAFETY: as in `write`.
        unsafe { memory.read(offset, out) };
        Ok(())
    }

    fn address(&self, buffer: &Buffer) -> Result<Option<u64>, DeviceError> {
        self.memory(buffer).map(|memory| Some(memory.address()))
    }

    fn load(&self, kernel: &KernelImage<'_>) -> Result<LoadedModule, DeviceError> {
        check_image(&self.info, kernel)?;
        let layout = ArgumentLayout::new(kernel.params)?;
        let code = Code::new(&self.core, kernel, &layout);
        // Compiling for the announced block now makes the driver's complaints come from here.
        let code = code.and_then(|code| code.pipeline(kernel.block).map(|_| code));
        match self.validated(code) {
            Ok(code) => Ok(LoadedModule::new(kernel.entry, layout, code)),
            Err(DeviceError::Validation { messages }) => {
                Err(DeviceError::Compile { entry: kernel.entry.to_owned(), log: messages.join("\n") })
            }
            Err(error) => Err(error),
        }
    }

    fn launch(
        &self,
        module: &LoadedModule,
        grid: [u32; 3],
        block: [u32; 3],
        args: &[Arg<'_>],
    ) -> Result<(), DeviceError> {
        let code = module.code::<Code>().filter(|code| code.is_of(&self.core));
        let code = code.ok_or(DeviceError::ForeignModule)?;
        let some = check_launch(&self.info, module.layout(), grid, block, args)?;
        let arguments = module.layout().pack(args, |buffer| self.memory(buffer).map(Memory::address))?;
        if !some {
            return Ok(());
        }
        let result = code.pipeline(block).and_then(|pipeline| {
            let mut queue = self.queue();
            let push = if arguments.len() as u64 <= u64::from(ARGUMENT_BLOCK_LIMIT) {
                arguments
            } else {
                queue.stage_arguments(&arguments)?.to_le_bytes().to_vec()
            };
            // SAFETY: pipeline, layout and buffers belong to this device and outlive the call, which waits for the
            // kernel; the push constants fill the range that the layout was made with.
            unsafe { queue.run(pipeline, code.layout(), &push, grid) }
        });
        self.validated(result)
    }

    fn sync(&self) -> Result<(), DeviceError> {
        self.queue().state() // every launch was waited for
    }
}

/// A failed driver call as an error.
fn failed(call: &'static str, code: vk::Result) -> DeviceError {
    match code {
        vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY => {
            DeviceError::OutOfMemory { bytes: 0 }
        }
        vk::Result::ERROR_DEVICE_LOST => DeviceError::Lost { reason: format!("{call}: {code}") },
        code => DeviceError::Driver { call, code: code.as_raw().into(), message: format!("{code:?}") },
    }
}
