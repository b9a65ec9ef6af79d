//! The CUDA device: PTX text on an NVIDIA GPU, through the driver alone.
//!
//! The driver's library is looked for at run time, and so is every function used here, because the bindings panic on
//! what is missing. Each device works in its primary context, made current on whichever thread a call comes from, and
//! on the default stream: work happens in the order of the calls, copies wait for it, and a kernel's failure comes out
//! of the next call that waits.
//!
//! Contract with the compiler: `.entry` parameters are those of the kernel, in order, pointers as 64-bit addresses;
//! shared memory is declared in the PTX, none is given at launch.
#![allow(unsafe_code)] // every call into the driver

use super::{
    Arg, ArgumentLayout, Buffer, Device, DeviceError, DeviceInfo, DeviceKind, Features, KernelImage,
    LoadedModule, Probe, check_image, check_launch,
};
use cudarc::driver::result;
use cudarc::driver::sys::{
    self, CUdevice_attribute_enum as Attribute, CUjit_option_enum as JitOption, CUresult,
};
use marquetry_codegen::artifact::Filling;
use std::ffi::{CString, c_int, c_uint, c_void};
use std::panic;
use std::ptr;
use std::sync::Arc;

/// Every function that this module calls, directly or through the bindings.
const FUNCTIONS: [&str; 22] = [
    "cuInit\0",
    "cuDriverGetVersion\0",
    "cuGetErrorName\0",
    "cuGetErrorString\0",
    "cuDeviceGetCount\0",
    "cuDeviceGet\0",
    "cuDeviceGetName\0",
    "cuDeviceGetAttribute\0",
    "cuDeviceTotalMem_v2\0",
    "cuDevicePrimaryCtxRetain\0",
    "cuDevicePrimaryCtxRelease_v2\0",
    "cuCtxSetCurrent\0",
    "cuCtxSynchronize\0",
    "cuMemAlloc_v2\0",
    "cuMemFree_v2\0",
    "cuMemcpyHtoD_v2\0",
    "cuMemcpyDtoH_v2\0",
    "cuModuleLoadDataEx\0",
    "cuModuleGetFunction\0",
    "cuModuleGetGlobal_v2\0",
    "cuModuleUnload\0",
    "cuLaunchKernel\0",
];

/// Room for each of the compiler's two logs.
const LOG_BYTES: usize = 16 << 10;

/// The primary context of a device: everything created in it keeps it alive.
struct Core {
    device: sys::CUdevice,
    context: sys::CUcontext,
    /// All of the device's memory, in bytes.
    memory: u64,
}

// SAFETY: a context may be current on any number of threads, and the driver's functions may be called from all of them.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Core {
    /// Makes the context current on this thread.
    fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained as long as this lives.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.context) })
    }

    fn wait(&self) -> Result<(), DeviceError> {
        self.enter()?;
        // SAFETY: the context is current.
        check("cuCtxSynchronize", unsafe { sys::cuCtxSynchronize() })
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: retained once by `open`; buffers and modules hold an `Arc` of this, so that none is left.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.device) };
    }
}

struct Memory {
    address: sys::CUdeviceptr,
    core: Arc<Core>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Even after a failed kernel the driver gets its chance to free the memory.
        let _ = self.core.wait();
        if self.address != 0 {
            // SAFETY: allocated in this context, freed once, and no kernel is running.
            let _ = unsafe { sys::cuMemFree_v2(self.address) };
        }
    }
}

struct Code {
    module: sys::CUmodule,
    function: sys::CUfunction,
    core: Arc<Core>,
}

// SAFETY: modules and functions may be used from any thread in which their context is current.
unsafe impl Send for Code {}
// SAFETY: as above.
unsafe impl Sync for Code {}

impl Drop for Code {
    fn drop(&mut self) {
        let _ = self.core.wait();
        // SAFETY: loaded in this context, unloaded once, and no kernel is running.
        let _ = unsafe { sys::cuModuleUnload(self.module) };
    }
}

struct CudaDevice {
    info: DeviceInfo,
    core: Arc<Core>,
}

/// Opens every device of the driver.
pub(super) fn probe() -> Vec<Probe> {
    let absent = |reason: String| Probe::absent(DeviceKind::Cuda, reason);
    let count = match start() {
        Ok(count) => count,
        Err(reason) => return vec![absent(reason)],
    };
    if count <= 0 {
        return vec![absent("the driver knows no device".to_owned())];
    }
    let open = |ordinal| match open(ordinal) {
        Ok(device) => Probe::Found(Box::new(device)),
        Err(error) => absent(format!("device {ordinal}: {error}")),
    };
    (0..count).map(open).collect()
}

/// Finds the driver and counts its devices; the error is the reason why it cannot be used.
fn start() -> Result<c_int, String> {
    let missing = || "no CUDA driver library (libcuda)".to_owned();
    // SAFETY: loading runs the initialisers of the system's CUDA driver, which is what the caller asks for.
    if !unsafe { sys::is_culib_present() } {
        return Err(missing());
    }
    // The bindings look a second time and panic if the library has gone meanwhile.
    // SAFETY: as above.
    let library = panic::catch_unwind(|| unsafe { sys::culib() }).map_err(|_| missing())?;
    for name in FUNCTIONS {
        // SAFETY: the function is only looked for, never called with this signature.
        if unsafe { library.get::<unsafe extern "C" fn()>(name.as_bytes()) }.is_err() {
            return Err(format!("the CUDA driver is too old: it lacks {}", name.trim_end_matches('\0')));
        }
    }
    // SAFETY: the first call into the driver, as it demands.
    check("cuInit", unsafe { sys::cuInit(0) }).map_err(|error| error.to_string())?;
    result::device::get_count().map_err(|error| failed("cuDeviceGetCount", error.0).to_string())
}

fn open(ordinal: c_int) -> Result<CudaDevice, DeviceError> {
    let device = result::device::get(ordinal).map_err(|error| failed("cuDeviceGet", error.0))?;
    let name = result::device::get_name(device).map_err(|error| failed("cuDeviceGetName", error.0))?;
    let attribute = |attribute: Attribute| -> Result<u32, DeviceError> {
        let mut value = 0;
        // SAFETY: the driver is initialised and the device is its own.
        check("cuDeviceGetAttribute", unsafe { sys::cuDeviceGetAttribute(&mut value, attribute, device) })?;
        Ok(u32::try_from(value).unwrap_or(0))
    };
    use Attribute as A;
    let capability = (
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
    );
    let mut version = 0;
    // SAFETY: the driver is loaded.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&mut version) })?;
    let info = DeviceInfo {
        name,
        kind: DeviceKind::Cuda,
        driver: format!("CUDA {}.{}", version / 1000, version % 1000 / 10),
        features: features(capability),
        max_block: attribute(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        max_block_dim: [
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)?,
        ],
        max_grid: [
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
            attribute(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
        ],
        shared_bytes: attribute(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
        subgroup_size: attribute(A::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
        compute_capability: Some(capability),
    };
    let mut memory = 0;
    // SAFETY: the driver is initialised and the device is its own.
    check("cuDeviceTotalMem", unsafe { sys::cuDeviceTotalMem_v2(&mut memory, device) })?;
    let mut context = ptr::null_mut();
    // SAFETY: the driver is initialised and the device is its own.
    let retained = unsafe { sys::cuDevicePrimaryCtxRetain(&mut context, device) };
    check("cuDevicePrimaryCtxRetain", retained)?;
    Ok(CudaDevice { info, core: Arc::new(Core { device, context, memory: memory as u64 }) })
}

/// By compute capability (CUDA programming guide, "Compute Capabilities"; PTX ISA, "Target ISA Notes").
fn features(capability: (u32, u32)) -> Features {
    Features {
        i8: true,
        i16: true,
        i64: true,
        f16: capability >= (5, 3),
        f64: true,
        int64_atomics: capability >= (3, 5),
        f32_atomic_add: true,
        f64_atomic_add: capability >= (6, 0),
        f32_atomic_min_max: false, // no such instruction on single values
        subgroups: true,
        generic_pointers: true,
        shared_memory_layout: true,
        preserves_nan: true,
        preserves_denormals: true,
        async_launch: true,
    }
}

impl CudaDevice {
    fn memory<'b>(&self, buffer: &'b Buffer) -> Result<&'b Memory, DeviceError> {
        let own = buffer.memory::<Memory>().filter(|memory| Arc::ptr_eq(&memory.core, &self.core));
        own.ok_or(DeviceError::ForeignBuffer)
    }
}

impl Device for CudaDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        // For absurd sizes the driver answers with other errors than that of exhausted memory.
        let size = usize::try_from(bytes.max(1)).ok().filter(|_| bytes <= self.core.memory);
        let size = size.ok_or(DeviceError::OutOfMemory { bytes })?;
        self.core.enter()?;
        let mut address = 0;
        // SAFETY: the context is current.
        check("cuMemAlloc", unsafe { sys::cuMemAlloc_v2(&mut address, size) }).map_err(
            |error| match error {
                DeviceError::OutOfMemory { .. } => DeviceError::OutOfMemory { bytes },
                error => error,
            },
        )?;
        Ok(Buffer::new(bytes, Memory { address, core: self.core.clone() }))
    }

    fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        self.core.enter()?;
        // SAFETY: the range was checked; the call returns when the host's bytes are no longer needed.
        let copied =
            unsafe { sys::cuMemcpyHtoD_v2(memory.address + offset, data.as_ptr().cast(), data.len()) };
        check("cuMemcpyHtoD", copied)
    }

    fn read(&self, buffer: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        self.core.enter()?;
        // SAFETY: the range was checked; the call returns when the bytes have arrived.
        let copied =
            unsafe { sys::cuMemcpyDtoH_v2(out.as_mut_ptr().cast(), memory.address + offset, out.len()) };
        check("cuMemcpyDtoH", copied)
    }

    fn address(&self, buffer: &Buffer) -> Result<Option<u64>, DeviceError> {
        self.memory(buffer).map(|memory| Some(memory.address))
    }

    fn load(&self, image: &KernelImage<'_>) -> Result<LoadedModule, DeviceError> {
        check_image(&self.info, image)?;
        let layout = ArgumentLayout::new(image.params)?;
        let rejected = |log: String| DeviceError::Compile { entry: image.entry.to_owned(), log };
        let name =
            CString::new(image.entry).map_err(|_| rejected("the name contains a zero byte".to_owned()))?;
        let code = image.bytes()?;
        let ptx = code.strip_suffix(b"\0").unwrap_or(code);
        let ptx = CString::new(ptx).map_err(|_| rejected("the PTX contains a zero byte".to_owned()))?;
        self.core.enter()?;

        let (mut info_log, mut error_log) = (vec![0u8; LOG_BYTES], vec![0u8; LOG_BYTES]);
        let mut options = [
            JitOption::CU_JIT_INFO_LOG_BUFFER,
            JitOption::CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES,
            JitOption::CU_JIT_ERROR_LOG_BUFFER,
            JitOption::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        // The driver takes sizes in the place of pointers.
        let size = ptr::without_provenance_mut::<c_void>(LOG_BYTES);
        let mut values = [info_log.as_mut_ptr().cast(), size, error_log.as_mut_ptr().cast(), size];
        let mut module = ptr::null_mut();
        // SAFETY: the context is current, the text is terminated, and there is a value of the right kind for each
        // option; the buffers are as large as said and outlive the call.
        let loaded = unsafe {
            sys::cuModuleLoadDataEx(
                &mut module,
                ptx.as_ptr().cast(),
                options.len() as c_uint,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        check("cuModuleLoadDataEx", loaded).map_err(|error| match error {
            DeviceError::Driver { .. } => {
                rejected([error.to_string(), text(&error_log), text(&info_log)].join("\n"))
            }
            error => error,
        })?;
        // From here on dropping `code` unloads the module.
        let mut code = Code { module, function: ptr::null_mut(), core: self.core.clone() };
        // SAFETY: the context is current, the module is loaded, and the name is terminated.
        let found = unsafe { sys::cuModuleGetFunction(&mut code.function, module, name.as_ptr()) };
        check("cuModuleGetFunction", found).map_err(|error| rejected(error.to_string()))?;
        image.fillings.iter().try_for_each(|filling| fill(&code, filling))?;
        Ok(LoadedModule::new(image.entry, layout, code))
    }

    fn launch(
        &self,
        module: &LoadedModule,
        grid: [u32; 3],
        block: [u32; 3],
        args: &[Arg<'_>],
    ) -> Result<(), DeviceError> {
        let code = module.code::<Code>().filter(|code| Arc::ptr_eq(&code.core, &self.core));
        let code = code.ok_or(DeviceError::ForeignModule)?;
        let layout = module.layout();
        let some = check_launch(&self.info, layout, grid, block, args)?;
        let arguments = layout.pack(args, |buffer| self.memory(buffer).map(|memory| memory.address))?;
        if !some {
            return Ok(());
        }
        self.core.enter()?;
        let start: *const u8 = arguments.as_ptr();
        let mut fields: Vec<*mut c_void> = layout
            .fields()
            .iter()
            .map(|&(offset, _)| start.wrapping_add(offset as usize).cast_mut().cast())
            .collect();
        // SAFETY: the context is current; there is one pointer per parameter, to as many bytes as the parameter has,
        // which the driver copies before it returns. Buffers wait for the kernel before they are freed.
        let launched = unsafe {
            sys::cuLaunchKernel(
                code.function,
                grid[0],
                grid[1],
                grid[2],
                block[0],
                block[1],
                block[2],
                0,
                ptr::null_mut(),
                fields.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        check("cuLaunchKernel", launched).map_err(|error| match error {
            DeviceError::Driver { .. } => DeviceError::Launch { reason: error.to_string() },
            error => error,
        })
    }

    fn sync(&self) -> Result<(), DeviceError> {
        self.core.wait()
    }
}

/// Writes a word into a variable of a module, in the context that is current.
fn fill(code: &Code, filling: &Filling) -> Result<(), DeviceError> {
    let Filling { symbol, offset, word } = filling;
    let name = CString::new(&**symbol)
        .map_err(|_| DeviceError::Unsupported { reason: format!("`{symbol}` contains a zero byte") })?;
    let (mut address, mut size) = (0, 0usize);
    // SAFETY: the context is current, the module is loaded, the name is terminated.
    let found = unsafe { sys::cuModuleGetGlobal_v2(&mut address, &mut size, code.module, name.as_ptr()) };
    check("cuModuleGetGlobal", found).map_err(|error| match error {
        DeviceError::Driver { call, code, message } => {
            DeviceError::Driver { call, code, message: format!("variable `{symbol}`: {message}") }
        }
        error => error,
    })?;
    let bytes = word.to_le_bytes();
    let (length, end) = (size as u64, offset.checked_add(bytes.len() as u64));
    if end.is_none_or(|end| end > length) {
        let room = format!("variable `{symbol}` has {length} bytes, a word at {offset} is not inside");
        return Err(DeviceError::Unsupported { reason: room });
    }
    // SAFETY: the variable has these bytes, as was just checked, and nothing of the module runs yet. The call returns when
    // the host's bytes are no longer needed (CUDA driver API, "API synchronization behavior"), and it is in the same
    // stream as all launches, the default one, so that it ends before they begin.
    let copied = unsafe { sys::cuMemcpyHtoD_v2(address + *offset, bytes.as_ptr().cast(), bytes.len()) };
    check("cuMemcpyHtoD", copied)
}

fn check(call: &'static str, code: CUresult) -> Result<(), DeviceError> {
    if code == CUresult::CUDA_SUCCESS { Ok(()) } else { Err(failed(call, code)) }
}

/// A failed call as an error. After the errors that a kernel causes, the driver refuses all further work in the
/// context (CUDA driver API, `CUresult`: "leaves the process in an inconsistent state").
fn failed(call: &'static str, code: CUresult) -> DeviceError {
    let error = result::DriverError(code);
    let words = [error.error_name(), error.error_string()]
        .map(|words| words.map_or_else(|_| "?".to_owned(), |words| words.to_string_lossy().into_owned()));
    let message = words.join(", ");
    match code {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => DeviceError::OutOfMemory { bytes: 0 },
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
        | CUresult::CUDA_ERROR_ASSERT
        | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
        | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
        | CUresult::CUDA_ERROR_INVALID_PC
        | CUresult::CUDA_ERROR_LAUNCH_FAILED
        | CUresult::CUDA_ERROR_ECC_UNCORRECTABLE => {
            DeviceError::Lost { reason: format!("{call}: {message}") }
        }
        code => DeviceError::Driver { call, code: code as i64, message },
    }
}

/// A log that the driver wrote: up to its terminator.
fn text(log: &[u8]) -> String {
    let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
    String::from_utf8_lossy(&log[..end]).trim().to_owned()
}
