//! Loaded code: a shader module, and one pipeline for each block that it was launched with.

use super::super::spirv;
use super::{ARGUMENT_BLOCK_LIMIT, ArgumentLayout, Core, DeviceError, KernelImage, failed};
use ash::vk;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

/// A module with its pipelines.
pub(super) struct Code {
    entry: CString,
    module: vk::ShaderModule,
    layout: vk::PipelineLayout,
    pipelines: Mutex<BTreeMap<[u32; 3], vk::Pipeline>>,
    core: Arc<Core>,
}

impl Code {
    /// Checks the SPIR-V's structure and hands it to the driver.
    pub(super) fn new(
        core: &Arc<Core>,
        kernel: &KernelImage<'_>,
        arguments: &ArgumentLayout,
    ) -> Result<Code, DeviceError> {
        let words = spirv::words(kernel.bytes()?, kernel.entry, spirv::GL_COMPUTE)?;
        let entry = CString::new(kernel.entry).map_err(|_| DeviceError::Compile {
            entry: kernel.entry.to_owned(),
            log: "the name contains a zero byte".to_owned(),
        })?;
        let core = core.clone();
        let pipelines = Mutex::new(BTreeMap::new());
        // From here on dropping `code` frees what was made; null handles are ignored.
        let mut code = Code {
            entry,
            module: vk::ShaderModule::null(),
            layout: vk::PipelineLayout::null(),
            pipelines,
            core,
        };
        let create = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: the device is alive. The words are whole instructions; what they mean is the compiler's promise.
        code.module = unsafe { code.core.device.create_shader_module(&create, None) }
            .map_err(|error| rejected(kernel.entry, "vkCreateShaderModule", error))?;
        let bytes = if arguments.size() <= ARGUMENT_BLOCK_LIMIT { arguments.size() } else { 8 };
        let range = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .offset(0)
            .size(bytes)];
        let mut create = vk::PipelineLayoutCreateInfo::default();
        if bytes > 0 {
            create = create.push_constant_ranges(&range);
        }
        // SAFETY: the device is alive and takes ranges of this size.
        code.layout = unsafe { code.core.device.create_pipeline_layout(&create, None) }
            .map_err(|error| failed("vkCreatePipelineLayout", error))?;
        Ok(code)
    }

    /// Whether this is code of that device.
    pub(super) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// The pipelines' layout.
    pub(super) fn layout(&self) -> vk::PipelineLayout {
        self.layout
    }

    /// The pipeline for a block; made when first asked for.
    pub(super) fn pipeline(&self, block: [u32; 3]) -> Result<vk::Pipeline, DeviceError> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&pipeline) = pipelines.get(&block) {
            return Ok(pipeline);
        }
        let place = |constant: u32| vk::SpecializationMapEntry {
            constant_id: constant,
            offset: constant * 4,
            size: size_of::<u32>(),
        };
        let places = [place(0), place(1), place(2)];
        let [x, y, z] = block.map(u32::to_ne_bytes);
        let data = [x, y, z].concat();
        let constants = vk::SpecializationInfo::default().map_entries(&places).data(&data);
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(self.module)
            .name(&self.entry)
            .specialization_info(&constants);
        let create = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(self.layout)];
        // SAFETY: module and layout are the device's own; the entry point was found in the module.
        let made =
            unsafe { self.core.device.create_compute_pipelines(vk::PipelineCache::null(), &create, None) };
        let made = made.map_err(|(_, error)| {
            rejected(&self.entry.to_string_lossy(), "vkCreateComputePipelines", error)
        })?;
        let pipeline = made.first().copied().unwrap_or_default();
        pipelines.insert(block, pipeline);
        Ok(pipeline)
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let pipelines = self.pipelines.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: launches are waited for, so that none of this is in use.
        unsafe {
            for &pipeline in pipelines.values() {
                self.core.device.destroy_pipeline(pipeline, None);
            }
            self.core.device.destroy_pipeline_layout(self.layout, None);
            self.core.device.destroy_shader_module(self.module, None);
        }
    }
}

/// Vulkan drivers give no log: the status is all there is, besides what a validation layer says.
fn rejected(entry: &str, call: &'static str, code: vk::Result) -> DeviceError {
    match failed(call, code) {
        DeviceError::Driver { .. } => {
            DeviceError::Compile { entry: entry.to_owned(), log: format!("{call}: {code}") }
        }
        error => error,
    }
}
