//! The queue: one command buffer, recorded, submitted and waited for per launch.

use super::{Core, DeviceError, Memory, failed};
use ash::vk;
use std::sync::Arc;

/// The queue with what is used anew by every launch.
pub(super) struct Queue {
    queue: vk::Queue,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    fence: vk::Fence,
    /// For argument blocks too large for push constants.
    arguments: Option<(u64, Memory)>,
    /// Why nothing can be run any more: a wait failed, and the command buffer may be in use for ever.
    broken: Option<DeviceError>,
    core: Arc<Core>,
}

impl Queue {
    /// Takes the device's only queue.
    pub(super) fn new(core: Arc<Core>, family: u32) -> Result<Queue, DeviceError> {
        let device = &core.device;
        // SAFETY: here and below, the device is alive and was created with one queue of this family.
        let raw = unsafe { device.get_device_queue(family, 0) };
        let create = vk::CommandPoolCreateInfo::default()
            .flags(vk::CommandPoolCreateFlags::RESET_COMMAND_BUFFER)
            .queue_family_index(family);
        let pool = unsafe { device.create_command_pool(&create, None) }
            .map_err(|code| failed("vkCreateCommandPool", code))?;
        // From here on dropping `queue` frees what was made; null handles are ignored.
        let mut queue = Queue {
            queue: raw,
            pool,
            commands: vk::CommandBuffer::null(),
            fence: vk::Fence::null(),
            arguments: None,
            broken: None,
            core,
        };
        let device = &queue.core.device;
        let allocate = vk::CommandBufferAllocateInfo::default().command_pool(pool).command_buffer_count(1);
        // SAFETY: the device is alive, and the pool is its own and used by this queue only.
        let commands = unsafe { device.allocate_command_buffers(&allocate) }
            .map_err(|code| failed("vkAllocateCommandBuffers", code))?;
        queue.commands = commands.first().copied().unwrap_or_default();
        // SAFETY: the device is alive.
        queue.fence = unsafe { device.create_fence(&vk::FenceCreateInfo::default(), None) }
            .map_err(|code| failed("vkCreateFence", code))?;
        Ok(queue)
    }

    /// Whether launches are still possible.
    pub(super) fn state(&self) -> Result<(), DeviceError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Puts an argument block into device memory, where it stays until the next one; the result is its address.
    pub(super) fn stage_arguments(&mut self, block: &[u8]) -> Result<u64, DeviceError> {
        let bytes = block.len() as u64;
        let memory = match self.arguments.take() {
            Some((room, memory)) if room >= bytes => self.arguments.insert((room, memory)),
            _ => {
                let room = bytes.next_power_of_two();
                self.arguments.insert((room, Memory::new(&self.core, room)?))
            }
        };
        // SAFETY: the memory has room for the block, and no launch is under way.
        unsafe { memory.1.write(0, block) };
        Ok(memory.1.address())
    }

    /// Runs a pipeline and waits for it.
    ///
    /// # Safety
    /// Pipeline and layout belong together and to this device, the layout has push constants of exactly this size,
    /// and no memory that the kernel uses is freed or accessed until the call returns.
    pub(super) unsafe fn run(
        &mut self,
        pipeline: vk::Pipeline,
        layout: vk::PipelineLayout,
        push: &[u8],
        [x, y, z]: [u32; 3],
    ) -> Result<(), DeviceError> {
        self.state()?;
        let (device, commands) = (&self.core.device, self.commands);
        let begin = vk::CommandBufferBeginInfo::default().flags(vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT);
        // SAFETY: the previous launch was waited for, so that the command buffer may be recorded anew, which beginning
        // does implicitly; the rest is promised by the caller.
        unsafe {
            device
                .begin_command_buffer(commands, &begin)
                .map_err(|code| failed("vkBeginCommandBuffer", code))?;
            device.cmd_bind_pipeline(commands, vk::PipelineBindPoint::COMPUTE, pipeline);
            if !push.is_empty() {
                device.cmd_push_constants(commands, layout, vk::ShaderStageFlags::COMPUTE, 0, push);
            }
            device.cmd_dispatch(commands, x, y, z);
            // What the host wrote is visible to a submission; what the kernel wrote is made visible to the host and to
            // the next kernel here (Vulkan 1.3, "Host Write Ordering Guarantees" and "Memory Barriers").
            let visible = [vk::MemoryBarrier::default()
                .src_access_mask(vk::AccessFlags::SHADER_WRITE)
                .dst_access_mask(
                    vk::AccessFlags::HOST_READ | vk::AccessFlags::SHADER_READ | vk::AccessFlags::SHADER_WRITE,
                )];
            device.cmd_pipeline_barrier(
                commands,
                vk::PipelineStageFlags::COMPUTE_SHADER,
                vk::PipelineStageFlags::HOST | vk::PipelineStageFlags::COMPUTE_SHADER,
                vk::DependencyFlags::empty(),
                &visible,
                &[],
                &[],
            );
            device.end_command_buffer(commands).map_err(|code| failed("vkEndCommandBuffer", code))?;
            device.reset_fences(&[self.fence]).map_err(|code| failed("vkResetFences", code))?;
        }
        let buffers = [commands];
        let submit = [vk::SubmitInfo::default().command_buffers(&buffers)];
        // SAFETY: the command buffer is recorded, the fence is unsignalled, and the caller holds the queue exclusively.
        let submitted = unsafe { device.queue_submit(self.queue, &submit, self.fence) };
        if let Err(code) = submitted {
            // Nothing was submitted, so that only a lost device prevents the next try.
            let error = failed("vkQueueSubmit", code);
            self.broken = matches!(error, DeviceError::Lost { .. }).then(|| error.clone());
            return Err(error);
        }
        // SAFETY: the fence was submitted just now.
        let waited = unsafe { device.wait_for_fences(&[self.fence], true, u64::MAX) };
        waited.map_err(|code| {
            let error = failed("vkWaitForFences", code);
            self.broken = Some(error.clone());
            error
        })
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let device = &self.core.device;
        // SAFETY: all launches were waited for; where a wait failed, waiting for the device is all that can be done.
        unsafe {
            if self.broken.is_some() {
                let _ = device.device_wait_idle();
            }
            device.destroy_fence(self.fence, None);
            device.destroy_command_pool(self.pool, None);
        }
    }
}
