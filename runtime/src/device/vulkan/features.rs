//! Which physical devices can be used, and which of their features are enabled.
//!
//! Needed: Vulkan 1.3, a compute queue, 64-bit integers, buffer device addresses, the Vulkan memory model, scalar
//! block layout and `LocalSizeId` (`maintenance4`). Everything else that the compiler may use is enabled where present.

use super::super::{DeviceInfo, DeviceKind, Features};
use super::instance::Instance;
use ash::{ext, khr, vk};
use std::ffi::CStr;

/// What is enabled: each structure holds only the features wanted, and no links to others.
struct Enabled {
    core: vk::PhysicalDeviceFeatures,
    v11: vk::PhysicalDeviceVulkan11Features<'static>,
    v12: vk::PhysicalDeviceVulkan12Features<'static>,
    v13: vk::PhysicalDeviceVulkan13Features<'static>,
    float_atomics: Option<vk::PhysicalDeviceShaderAtomicFloatFeaturesEXT<'static>>,
    float_min_max: Option<vk::PhysicalDeviceShaderAtomicFloat2FeaturesEXT<'static>>,
    shared_layout: Option<vk::PhysicalDeviceWorkgroupMemoryExplicitLayoutFeaturesKHR<'static>>,
    extensions: Vec<&'static CStr>,
}

/// A physical device that can be used.
pub(super) struct Candidate {
    pub(super) info: DeviceInfo,
    pub(super) queue_family: u32,
    /// The largest buffer, in bytes.
    pub(super) max_buffer: u64,
    enabled: Enabled,
}

/// Looks at a physical device; the error says why it cannot be used.
pub(super) fn examine(instance: &Instance, physical: vk::PhysicalDevice) -> Result<Candidate, String> {
    // SAFETY: here and below, the handle is the instance's own and the instance is alive.
    let basic = unsafe { instance.raw.get_physical_device_properties(physical) };
    let name = text(basic.device_name_as_c_str());
    let version = basic.api_version;
    let (major, minor) = (vk::api_version_major(version), vk::api_version_minor(version));
    if version < vk::API_VERSION_1_3 {
        return Err(format!("{name}: Vulkan {major}.{minor}, wanted 1.3"));
    }
    let families = unsafe { instance.raw.get_physical_device_queue_family_properties(physical) };
    let compute = |family: &vk::QueueFamilyProperties| family.queue_flags.contains(vk::QueueFlags::COMPUTE);
    let queue_family =
        families.iter().position(compute).ok_or_else(|| format!("{name}: no compute queue"))?;
    let enabled = query(instance, physical).map_err(|reason| format!("{name}: {reason}"))?;

    let mut v11 = vk::PhysicalDeviceVulkan11Properties::default();
    let mut v12 = vk::PhysicalDeviceVulkan12Properties::default();
    let mut v13 = vk::PhysicalDeviceVulkan13Properties::default();
    let mut all =
        vk::PhysicalDeviceProperties2::default().push_next(&mut v11).push_next(&mut v12).push_next(&mut v13);
    // SAFETY: the instance is alive, the device is one of its own, and the structures of the chain outlive the call.
    unsafe { instance.raw.get_physical_device_properties2(physical, &mut all) };
    let limits = basic.limits;
    let driver = format!(
        "{} {}, Vulkan {major}.{minor}.{}",
        text(v12.driver_name_as_c_str()),
        text(v12.driver_info_as_c_str()),
        vk::api_version_patch(version)
    );
    let info = DeviceInfo {
        name,
        kind: DeviceKind::Vulkan,
        driver,
        features: abilities(&enabled, &v11, &v12),
        max_block: limits.max_compute_work_group_invocations,
        max_block_dim: limits.max_compute_work_group_size,
        max_grid: limits.max_compute_work_group_count,
        shared_bytes: limits.max_compute_shared_memory_size,
        subgroup_size: v11.subgroup_size,
        compute_capability: None,
    };
    let max_buffer = v13.max_buffer_size.min(v11.max_memory_allocation_size);
    Ok(Candidate { info, queue_family: queue_family as u32, max_buffer, enabled })
}

fn query(instance: &Instance, physical: vk::PhysicalDevice) -> Result<Enabled, String> {
    // SAFETY: here and below, the handle is the instance's own, and the structures outlive the call.
    let offered = unsafe { instance.raw.enumerate_device_extension_properties(physical) }
        .map_err(|code| format!("vkEnumerateDeviceExtensionProperties failed: {code}"))?;
    let offers = |name: &CStr| offered.iter().any(|known| known.extension_name_as_c_str() == Ok(name));

    let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
    let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
    let mut float_atomics = vk::PhysicalDeviceShaderAtomicFloatFeaturesEXT::default();
    let mut float_min_max = vk::PhysicalDeviceShaderAtomicFloat2FeaturesEXT::default();
    let mut shared_layout = vk::PhysicalDeviceWorkgroupMemoryExplicitLayoutFeaturesKHR::default();
    let mut extensions = Vec::new();
    let mut all =
        vk::PhysicalDeviceFeatures2::default().push_next(&mut v11).push_next(&mut v12).push_next(&mut v13);
    let has_atomics = offers(ext::shader_atomic_float::NAME);
    if has_atomics {
        all = all.push_next(&mut float_atomics);
        extensions.push(ext::shader_atomic_float::NAME);
    }
    // The second extension builds on the first (VK_EXT_shader_atomic_float2, "Extension and Version Dependencies").
    let has_min_max = has_atomics && offers(ext::shader_atomic_float2::NAME);
    if has_min_max {
        all = all.push_next(&mut float_min_max);
        extensions.push(ext::shader_atomic_float2::NAME);
    }
    let has_layout = offers(khr::workgroup_memory_explicit_layout::NAME);
    if has_layout {
        all = all.push_next(&mut shared_layout);
        extensions.push(khr::workgroup_memory_explicit_layout::NAME);
    }
    // A device that offers the portability subset must be created with it.
    if offers(khr::portability_subset::NAME) {
        extensions.push(khr::portability_subset::NAME);
    }
    // SAFETY: the instance is alive, the device is one of its own, and the structures of the chain outlive the call.
    unsafe { instance.raw.get_physical_device_features2(physical, &mut all) };
    let core = all.features;

    let needed = [
        ("shaderInt64", core.shader_int64),
        ("bufferDeviceAddress", v12.buffer_device_address),
        ("vulkanMemoryModel", v12.vulkan_memory_model),
        ("scalarBlockLayout", v12.scalar_block_layout),
        ("maintenance4", v13.maintenance4),
    ];
    let missing: Vec<_> = needed.iter().filter(|feature| feature.1 == vk::FALSE).map(|f| f.0).collect();
    if !missing.is_empty() {
        return Err(format!("lacks {}", missing.join(", ")));
    }
    Ok(Enabled {
        core: vk::PhysicalDeviceFeatures {
            shader_int16: core.shader_int16,
            shader_int64: core.shader_int64,
            shader_float64: core.shader_float64,
            ..Default::default()
        },
        v11: vk::PhysicalDeviceVulkan11Features {
            storage_buffer16_bit_access: v11.storage_buffer16_bit_access,
            uniform_and_storage_buffer16_bit_access: v11.uniform_and_storage_buffer16_bit_access,
            storage_push_constant16: v11.storage_push_constant16,
            variable_pointers_storage_buffer: v11.variable_pointers_storage_buffer,
            variable_pointers: v11.variable_pointers,
            ..Default::default()
        },
        v12: vk::PhysicalDeviceVulkan12Features {
            storage_buffer8_bit_access: v12.storage_buffer8_bit_access,
            uniform_and_storage_buffer8_bit_access: v12.uniform_and_storage_buffer8_bit_access,
            storage_push_constant8: v12.storage_push_constant8,
            shader_buffer_int64_atomics: v12.shader_buffer_int64_atomics,
            shader_shared_int64_atomics: v12.shader_shared_int64_atomics,
            shader_float16: v12.shader_float16,
            shader_int8: v12.shader_int8,
            scalar_block_layout: v12.scalar_block_layout,
            shader_subgroup_extended_types: v12.shader_subgroup_extended_types,
            subgroup_broadcast_dynamic_id: v12.subgroup_broadcast_dynamic_id,
            buffer_device_address: v12.buffer_device_address,
            vulkan_memory_model: v12.vulkan_memory_model,
            vulkan_memory_model_device_scope: v12.vulkan_memory_model_device_scope,
            vulkan_memory_model_availability_visibility_chains: v12
                .vulkan_memory_model_availability_visibility_chains,
            ..Default::default()
        },
        v13: vk::PhysicalDeviceVulkan13Features {
            subgroup_size_control: v13.subgroup_size_control,
            compute_full_subgroups: v13.compute_full_subgroups,
            shader_zero_initialize_workgroup_memory: v13.shader_zero_initialize_workgroup_memory,
            shader_terminate_invocation: v13.shader_terminate_invocation,
            maintenance4: v13.maintenance4,
            ..Default::default()
        },
        float_atomics: has_atomics.then(|| vk::PhysicalDeviceShaderAtomicFloatFeaturesEXT {
            shader_buffer_float32_atomics: float_atomics.shader_buffer_float32_atomics,
            shader_buffer_float32_atomic_add: float_atomics.shader_buffer_float32_atomic_add,
            shader_buffer_float64_atomics: float_atomics.shader_buffer_float64_atomics,
            shader_buffer_float64_atomic_add: float_atomics.shader_buffer_float64_atomic_add,
            shader_shared_float32_atomics: float_atomics.shader_shared_float32_atomics,
            shader_shared_float32_atomic_add: float_atomics.shader_shared_float32_atomic_add,
            shader_shared_float64_atomics: float_atomics.shader_shared_float64_atomics,
            shader_shared_float64_atomic_add: float_atomics.shader_shared_float64_atomic_add,
            ..Default::default()
        }),
        float_min_max: has_min_max.then(|| vk::PhysicalDeviceShaderAtomicFloat2FeaturesEXT {
            shader_buffer_float16_atomics: float_min_max.shader_buffer_float16_atomics,
            shader_buffer_float16_atomic_add: float_min_max.shader_buffer_float16_atomic_add,
            shader_buffer_float16_atomic_min_max: float_min_max.shader_buffer_float16_atomic_min_max,
            shader_buffer_float32_atomic_min_max: float_min_max.shader_buffer_float32_atomic_min_max,
            shader_buffer_float64_atomic_min_max: float_min_max.shader_buffer_float64_atomic_min_max,
            shader_shared_float16_atomics: float_min_max.shader_shared_float16_atomics,
            shader_shared_float16_atomic_add: float_min_max.shader_shared_float16_atomic_add,
            shader_shared_float16_atomic_min_max: float_min_max.shader_shared_float16_atomic_min_max,
            shader_shared_float32_atomic_min_max: float_min_max.shader_shared_float32_atomic_min_max,
            shader_shared_float64_atomic_min_max: float_min_max.shader_shared_float64_atomic_min_max,
            ..Default::default()
        }),
        shared_layout: has_layout.then(|| vk::PhysicalDeviceWorkgroupMemoryExplicitLayoutFeaturesKHR {
            workgroup_memory_explicit_layout: shared_layout.workgroup_memory_explicit_layout,
            workgroup_memory_explicit_layout_scalar_block_layout: shared_layout
                .workgroup_memory_explicit_layout_scalar_block_layout,
            workgroup_memory_explicit_layout8_bit_access: shared_layout
                .workgroup_memory_explicit_layout8_bit_access,
            workgroup_memory_explicit_layout16_bit_access: shared_layout
                .workgroup_memory_explicit_layout16_bit_access,
            ..Default::default()
        }),
        extensions,
    })
}

fn abilities(
    enabled: &Enabled,
    v11: &vk::PhysicalDeviceVulkan11Properties<'_>,
    v12: &vk::PhysicalDeviceVulkan12Properties<'_>,
) -> Features {
    let all = |features: &[vk::Bool32]| features.iter().all(|&feature| feature != vk::FALSE);
    let Enabled { core, v11: f11, v12: f12, float_atomics, float_min_max, shared_layout, .. } = enabled;
    let f64 = all(&[core.shader_float64]);
    let add = float_atomics.unwrap_or_default();
    let min_max = float_min_max.unwrap_or_default();
    let layout = shared_layout.unwrap_or_default();
    let operations = vk::SubgroupFeatureFlags::BASIC
        | vk::SubgroupFeatureFlags::VOTE
        | vk::SubgroupFeatureFlags::ARITHMETIC
        | vk::SubgroupFeatureFlags::BALLOT
        | vk::SubgroupFeatureFlags::SHUFFLE
        | vk::SubgroupFeatureFlags::SHUFFLE_RELATIVE;
    Features {
        i8: all(&[f12.shader_int8, f12.storage_buffer8_bit_access, f12.storage_push_constant8]),
        i16: all(&[core.shader_int16, f11.storage_buffer16_bit_access, f11.storage_push_constant16]),
        i64: all(&[core.shader_int64]),
        f16: all(&[f12.shader_float16, f11.storage_buffer16_bit_access, f11.storage_push_constant16]),
        f64,
        int64_atomics: all(&[f12.shader_buffer_int64_atomics, f12.shader_shared_int64_atomics]),
        f32_atomic_add: all(&[add.shader_buffer_float32_atomic_add, add.shader_shared_float32_atomic_add]),
        f64_atomic_add: all(&[add.shader_buffer_float64_atomic_add, add.shader_shared_float64_atomic_add]),
        f32_atomic_min_max: all(&[
            min_max.shader_buffer_float32_atomic_min_max,
            min_max.shader_shared_float32_atomic_min_max,
        ]),
        subgroups: v11.subgroup_supported_stages.contains(vk::ShaderStageFlags::COMPUTE)
            && v11.subgroup_supported_operations.contains(operations)
            && all(&[f12.shader_subgroup_extended_types]),
        generic_pointers: false, // logical addressing knows no such pointers
        shared_memory_layout: all(&[
            layout.workgroup_memory_explicit_layout,
            layout.workgroup_memory_explicit_layout_scalar_block_layout,
        ]),
        preserves_nan: all(&[v12.shader_signed_zero_inf_nan_preserve_float32])
            && (!f64 || all(&[v12.shader_signed_zero_inf_nan_preserve_float64])),
        preserves_denormals: all(&[v12.shader_denorm_preserve_float32]),
        async_launch: false,
    }
}

impl Candidate {
    /// Creates the logical device with one compute queue.
    pub(super) fn create_device(
        &self,
        instance: &Instance,
        physical: vk::PhysicalDevice,
    ) -> Result<ash::Device, String> {
        let Enabled { core, mut v11, mut v12, mut v13, .. } = self.enabled;
        let mut float_atomics = self.enabled.float_atomics;
        let mut float_min_max = self.enabled.float_min_max;
        let mut shared_layout = self.enabled.shared_layout;
        let extensions: Vec<_> = self.enabled.extensions.iter().map(|name| name.as_ptr()).collect();
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(self.queue_family)
            .queue_priorities(&[1.0])];
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .enabled_features(&core)
            .push_next(&mut v11)
            .push_next(&mut v12)
            .push_next(&mut v13);
        if let Some(features) = &mut float_atomics {
            create = create.push_next(features);
        }
        if let Some(features) = &mut float_min_max {
            create = create.push_next(features);
        }
        if let Some(features) = &mut shared_layout {
            create = create.push_next(features);
        }
        // SAFETY: the handle is the instance's own; everything enabled was offered; the structures outlive the call.
        unsafe { instance.raw.create_device(physical, &create, None) }
            .map_err(|code| format!("vkCreateDevice failed: {code}"))
    }
}

/// A fixed-size string of the driver, which may not be terminated.
fn text(string: Result<&CStr, std::ffi::FromBytesUntilNulError>) -> String {
    string.map_or_else(|_| "?".to_owned(), |string| string.to_string_lossy().into_owned())
}
