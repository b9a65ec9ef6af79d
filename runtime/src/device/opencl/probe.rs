//! Which OpenCL devices can be used, and what they can do.
//!
//! Needed: OpenCL 2.1 or later on platform and device (the loader would jump to nowhere for functions that an older
//! platform does not have), SPIR-V as intermediate language, a compiler, 64-bit addresses of the host's byte order.

use super::super::{DeviceInfo, DeviceKind, Features, Probe};
use super::{Core, OpenClDevice, integer, text};
use opencl3::command_queue as cl_queue;
use opencl3::context::context as cl_context_api;
use opencl3::device as cl;
use opencl3::error_codes as status;
use opencl3::platform::platform as cl_platform_api;
use opencl3::types;
use std::ptr;
use std::sync::Arc;

// Queries of cl_ext_float_atomics, and the abilities in their answers.
const SINGLE_FP_ATOMIC_CAPABILITIES: u32 = 0x4231;
const DOUBLE_FP_ATOMIC_CAPABILITIES: u32 = 0x4232;
const GLOBAL_AND_LOCAL_ADD: u64 = 1 << 1 | 1 << 17;
const GLOBAL_AND_LOCAL_MIN_MAX: u64 = 1 << 2 | 1 << 18;

// Query of cl_intel_required_subgroup_size: all sizes that its compiler may choose.
const SUB_GROUP_SIZES: u32 = 0x4108;

/// Opens every usable device of every platform.
pub(in super::super) fn probe() -> Vec<Probe> {
    let absent = |reason: String| Probe::absent(DeviceKind::OpenCl, reason);
    let platforms = match cl_platform_api::get_platform_ids() {
        Ok(platforms) => platforms,
        Err(status::DLOPEN_RUNTIME_LOAD_FAILED) => return vec![absent("no OpenCL loader".to_owned())],
        Err(code) => return vec![absent(format!("clGetPlatformIDs failed: {}", status::error_text(code)))],
    };
    let mut probes = Vec::new();
    for platform in platforms {
        let about = |query| text(&cl_platform_api::get_platform_data(platform, query).unwrap_or_default());
        let (name, version) =
            (about(cl_platform_api::CL_PLATFORM_NAME), about(cl_platform_api::CL_PLATFORM_VERSION));
        if number(&version) < (2, 1) {
            probes.push(absent(format!("platform {name}: {version}, wanted OpenCL 2.1")));
            continue;
        }
        match cl::get_device_ids(platform, cl::CL_DEVICE_TYPE_ALL) {
            Ok(devices) if !devices.is_empty() => {
                probes.extend(devices.into_iter().map(|device| match open(device) {
                    Ok(device) => Probe::Found(Box::new(device)),
                    Err(reason) => absent(format!("platform {name}: {reason}")),
                }));
            }
            Ok(_) | Err(status::CL_DEVICE_NOT_FOUND) => {
                probes.push(absent(format!("platform {name}: no device")));
            }
            Err(code) => {
                let code = status::error_text(code);
                probes.push(absent(format!("platform {name}: clGetDeviceIDs failed: {code}")));
            }
        }
    }
    if probes.is_empty() {
        probes.push(absent("the loader knows no platform".to_owned()));
    }
    probes
}

/// What a device answers; nothing where it does not know the question.
fn ask(device: types::cl_device_id, query: u32) -> Vec<u8> {
    cl::get_device_data(device, query).unwrap_or_default()
}

fn open(device: types::cl_device_id) -> Result<OpenClDevice, String> {
    let string = |query| text(&ask(device, query));
    let value = |query| integer(&ask(device, query));
    let name = string(cl::CL_DEVICE_NAME);
    let version = string(cl::CL_DEVICE_VERSION);
    let refuse = |reason: String| Err(format!("{name}: {reason}"));
    if number(&version) < (2, 1) {
        return refuse(format!("{version}, wanted OpenCL 2.1"));
    }
    let languages = string(cl::CL_DEVICE_IL_VERSION);
    if !languages.contains("SPIR-V_1.") {
        return refuse(format!("takes no SPIR-V (intermediate languages: {languages:?})"));
    }
    let flags = [cl::CL_DEVICE_AVAILABLE, cl::CL_DEVICE_COMPILER_AVAILABLE, cl::CL_DEVICE_ENDIAN_LITTLE];
    let [available, compiler, little] = flags.map(|query| value(query) != 0);
    if !available || !compiler {
        return refuse("device or compiler not available".to_owned());
    }
    if value(cl::CL_DEVICE_ADDRESS_BITS) != 64 || little != cfg!(target_endian = "little") {
        return refuse("addresses are not 64-bit, or of another byte order than the host's".to_owned());
    }

    let context = cl_context_api::create_context(&[device], ptr::null(), None, ptr::null_mut())
        .map_err(|code| format!("{name}: clCreateContext failed: {}", status::error_text(code)))?;
    let single = value(cl::CL_DEVICE_SINGLE_FP_CONFIG);
    let mut core = Core {
        device,
        context,
        queue: ptr::null_mut(),
        svm: value(cl::CL_DEVICE_SVM_CAPABILITIES) & cl::CL_DEVICE_SVM_COARSE_GRAIN_BUFFER != 0,
        sub_buffer_align: (value(cl::CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8).max(1),
        // Without it f32 division and square root may be off by several units in the last place.
        build_options: if single & cl::CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT != 0 {
            c"-cl-fp32-correctly-rounded-divide-sqrt"
        } else {
            c""
        },
    };
    // SAFETY: the device is in the context; no properties means in order.
    core.queue = unsafe { cl_queue::create_command_queue_with_properties(core.context, device, ptr::null()) }
        .map_err(|code| {
            format!("{name}: clCreateCommandQueueWithProperties failed: {}", status::error_text(code))
        })?;

    let max_block = value(cl::CL_DEVICE_MAX_WORK_GROUP_SIZE);
    let sizes = sizes(&ask(device, cl::CL_DEVICE_MAX_WORK_ITEM_SIZES));
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let size = |axis: usize| sizes.get(axis).map_or(1, |&size| small(size));
    let info = DeviceInfo {
        kind: DeviceKind::OpenCl,
        driver: format!("{}, {version}", string(cl::CL_DRIVER_VERSION)),
        features: features(device, single, &version),
        max_block: small(max_block),
        max_block_dim: [size(0), size(1), size(2)],
        max_grid: [u32::MAX; 3],
        shared_bytes: small(value(cl::CL_DEVICE_LOCAL_MEM_SIZE)),
        subgroup_size: subgroup_size(device),
        compute_capability: None,
        name,
    };
    Ok(OpenClDevice { info, core: Arc::new(core) })
}

fn features(device: types::cl_device_id, single: u64, version: &str) -> Features {
    let value = |query| integer(&ask(device, query));
    let extensions = text(&ask(device, cl::CL_DEVICE_EXTENSIONS));
    let has = |name: &str| extensions.split_ascii_whitespace().any(|known| known == name);
    let full = text(&ask(device, cl::CL_DEVICE_PROFILE)) == "FULL_PROFILE";
    let float_atomics = |query, wanted: u64| has("cl_ext_float_atomics") && value(query) & wanted == wanted;
    let exact = cl::CL_FP_INF_NAN | cl::CL_FP_ROUND_TO_NEAREST;
    Features {
        i8: true,
        i16: true,
        i64: full || has("cles_khr_int64"),
        f16: has("cl_khr_fp16"),
        f64: value(cl::CL_DEVICE_DOUBLE_FP_CONFIG) != 0,
        int64_atomics: has("cl_khr_int64_base_atomics") && has("cl_khr_int64_extended_atomics"),
        f32_atomic_add: float_atomics(SINGLE_FP_ATOMIC_CAPABILITIES, GLOBAL_AND_LOCAL_ADD),
        f64_atomic_add: float_atomics(DOUBLE_FP_ATOMIC_CAPABILITIES, GLOBAL_AND_LOCAL_ADD),
        f32_atomic_min_max: float_atomics(SINGLE_FP_ATOMIC_CAPABILITIES, GLOBAL_AND_LOCAL_MIN_MAX),
        // In the core of OpenCL 2.1 and optional in OpenCL 3, there and as an extension with a count that is not zero.
        subgroups: (has("cl_khr_subgroups") || value(cl::CL_DEVICE_MAX_NUM_SUB_GROUPS) != 0)
            && has("cl_khr_subgroup_ballot")
            && has("cl_khr_subgroup_shuffle")
            && has("cl_khr_subgroup_shuffle_relative"),
        // Part of OpenCL 2, optional in OpenCL 3.
        generic_pointers: number(version) < (3, 0) || value(cl::CL_DEVICE_GENERIC_ADDRESS_SPACE_SUPPORT) != 0,
        shared_memory_layout: true, // pointers may be cast
        preserves_nan: single & exact == exact,
        preserves_denormals: single & cl::CL_FP_DENORM != 0,
        async_launch: false,
    }
}

/// The largest sub-group that the compiler may choose.
fn subgroup_size(device: types::cl_device_id) -> u32 {
    let sizes = sizes(&ask(device, SUB_GROUP_SIZES));
    u32::try_from(sizes.into_iter().max().unwrap_or(0)).unwrap_or(0)
}

/// An array of `size_t`; all devices here have 64-bit addresses, and so has the host.
fn sizes(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(size_of::<usize>()).map(integer).collect()
}

/// The number in `OpenCL 3.0 ...`; 0.0 if there is none.
fn number(version: &str) -> (u32, u32) {
    let number = version.strip_prefix("OpenCL ").and_then(|rest| rest.split_ascii_whitespace().next());
    let parts = number.and_then(|number| number.split_once('.'));
    parts.map_or((0, 0), |(major, minor)| (major.parse().unwrap_or(0), minor.parse().unwrap_or(0)))
}

/// Every usable device, made to work with memory objects even where it has shared virtual memory.
#[cfg(test)]
pub(in super::super) fn with_memory_objects() -> Vec<Box<dyn super::super::Device>> {
    let mut found: Vec<Box<dyn super::super::Device>> = Vec::new();
    for platform in cl_platform_api::get_platform_ids().unwrap_or_default() {
        for device in cl::get_device_ids(platform, cl::CL_DEVICE_TYPE_ALL).unwrap_or_default() {
            if let Ok(mut device) = open(device)
                && let Some(core) = Arc::get_mut(&mut device.core)
            {
                core.svm = false;
                found.push(Box::new(device));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn versions_are_read() {
        assert_eq!(number("OpenCL 3.0 LINUX"), (3, 0));
        assert_eq!(number("OpenCL 2.1"), (2, 1));
        assert_eq!(number("Open 2.1"), (0, 0));
        assert_eq!(number("OpenCL x.y"), (0, 0));
    }
}
