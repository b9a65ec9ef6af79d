//! The OpenCL device: SPIR-V kernels for OpenCL 2.1 or later, on one in-order queue.
//!
//! Contract with the compiler: the entry point has execution model `Kernel`, physical 64-bit addressing, and one
//! kernel argument per parameter; pointers are `CrossWorkgroup`.
//!
//! Buffers are coarse-grained shared virtual memory where the device has it, which allows arguments at any offset;
//! otherwise they are memory objects, and an argument with an offset is a sub-buffer, whose origin must be aligned as
//! the device says. A launch is waited for, so that a kernel's failure is the result of its own launch and no memory
//! is in use when it is dropped.
#![allow(unsafe_code)] // every call into the driver

mod probe;

pub(super) use probe::probe;
#[cfg(test)]
pub(super) use probe::with_memory_objects;

use super::{
    Arg, ArgumentLayout, Buffer, Device, DeviceError, DeviceInfo, KernelImage, LoadedModule, check_image,
    check_launch, spirv,
};
use opencl3::command_queue as cl_queue;
use opencl3::context::context as cl_context_api;
use opencl3::error_codes as status;
use opencl3::kernel as cl_kernel_api;
use opencl3::memory as cl_memory;
use opencl3::program as cl_program_api;
use opencl3::types;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

/// Context and queue: everything created from them keeps them alive.
struct Core {
    device: types::cl_device_id,
    context: types::cl_context,
    queue: types::cl_command_queue,
    /// Whether buffers are shared virtual memory.
    svm: bool,
    /// What the origin of a sub-buffer must be a multiple of, in bytes.
    sub_buffer_align: u64,
    /// What the device is asked to guarantee when it compiles.
    build_options: &'static CStr,
}

// SAFETY: OpenCL objects may be used from any thread; only the arguments of one kernel object may not be set from two
// at once (OpenCL 3.0, section 2.1 "Thread-safe"), which `Code` prevents.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Drop for Core {
    fn drop(&mut self) {
        // SAFETY: the handles are this object's own, and all that was made from them is gone.
        unsafe {
            if !self.queue.is_null() {
                let _ = cl_queue::release_command_queue(self.queue);
            }
            let _ = cl_context_api::release_context(self.context);
        }
    }
}

enum Storage {
    Svm(*mut c_void),
    Object(types::cl_mem),
}

struct Memory {
    storage: Storage,
    core: Arc<Core>,
}

// SAFETY: the driver orders all access; the address of shared virtual memory is never used by the host itself.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: launches and transfers are waited for, so that nothing uses the memory.
        unsafe {
            let _ = match self.storage {
                Storage::Svm(address) => cl_memory::svm_free(self.core.context, address),
                Storage::Object(object) => cl_memory::release_mem_object(object),
            };
        }
    }
}

/// A built program with its kernel. Arguments are part of the kernel object, hence the lock around it.
struct Code {
    kernel: Mutex<Kernel>,
    /// The most work-items in a block of this kernel.
    max_block: u64,
    core: Arc<Core>,
}

struct Kernel {
    program: types::cl_program,
    kernel: types::cl_kernel,
}

// SAFETY: a kernel object may move between threads; the lock keeps it from being used by two at once.
unsafe impl Send for Kernel {}

impl Drop for Kernel {
    fn drop(&mut self) {
        // SAFETY: the handles are this object's own, and launches are waited for.
        unsafe {
            if !self.kernel.is_null() {
                let _ = cl_kernel_api::release_kernel(self.kernel);
            }
            let _ = cl_program_api::release_program(self.program);
        }
    }
}

struct OpenClDevice {
    info: DeviceInfo,
    core: Arc<Core>,
}

impl OpenClDevice {
    fn memory<'b>(&self, buffer: &'b Buffer) -> Result<&'b Memory, DeviceError> {
        let own = buffer.memory::<Memory>().filter(|memory| Arc::ptr_eq(&memory.core, &self.core));
        own.ok_or(DeviceError::ForeignBuffer)
    }

    fn wait(&self, event: types::cl_event) -> Result<(), DeviceError> {
        let waited = opencl3::event::wait_for_events(&[event]);
        // SAFETY: the event was handed over by the enqueueing call and is not used again.
        let _ = unsafe { opencl3::event::release_event(event) };
        waited.map_err(|code| failed("clWaitForEvents", code))
    }
}

impl Device for OpenClDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        let exhausted = |_| DeviceError::OutOfMemory { bytes };
        let size = usize::try_from(bytes.max(1)).map_err(|_| DeviceError::OutOfMemory { bytes })?;
        let context = self.core.context;
        // SAFETY: the context is alive, and no memory of the host is handed over. Alignment 0 is the largest there is.
        let storage = unsafe {
            if self.core.svm {
                Storage::Svm(
                    cl_memory::svm_alloc(context, cl_memory::CL_MEM_READ_WRITE, size, 0)
                        .map_err(exhausted)?,
                )
            } else {
                let made =
                    cl_memory::create_buffer(context, cl_memory::CL_MEM_READ_WRITE, size, ptr::null_mut());
                Storage::Object(made.map_err(|code| match failed("clCreateBuffer", code) {
                    DeviceError::Driver { code, .. } if code == i64::from(status::CL_INVALID_BUFFER_SIZE) => {
                        DeviceError::OutOfMemory { bytes }
                    }
                    DeviceError::OutOfMemory { .. } => DeviceError::OutOfMemory { bytes },
                    error => error,
                })?)
            }
        };
        Ok(Buffer::new(bytes, Memory { storage, core: self.core.clone() }))
    }

    fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, data.len())?;
        if data.is_empty() {
            return Ok(());
        }
        let (queue, at, from) = (self.core.queue, offset as usize, data.as_ptr().cast());
        // SAFETY: the range was checked; the call returns when the bytes are copied.
        let event = unsafe {
            match memory.storage {
                Storage::Svm(address) => cl_queue::enqueue_svm_mem_cpy(
                    queue,
                    types::CL_TRUE,
                    address.byte_add(at),
                    from,
                    data.len(),
                    0,
                    ptr::null(),
                )
                .map_err(|code| failed("clEnqueueSVMMemcpy", code))?,
                Storage::Object(object) => cl_queue::enqueue_write_buffer(
                    queue,
                    object,
                    types::CL_TRUE,
                    at,
                    data.len(),
                    from,
                    0,
                    ptr::null(),
                )
                .map_err(|code| failed("clEnqueueWriteBuffer", code))?,
            }
        };
        self.wait(event)
    }

    fn read(&self, buffer: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, out.len())?;
        if out.is_empty() {
            return Ok(());
        }
        let (queue, at, to) = (self.core.queue, offset as usize, out.as_mut_ptr().cast());
        // SAFETY: the range was checked; the call returns when the bytes are copied.
        let event = unsafe {
            match memory.storage {
                Storage::Svm(address) => cl_queue::enqueue_svm_mem_cpy(
                    queue,
                    types::CL_TRUE,
                    to,
                    address.byte_add(at),
                    out.len(),
                    0,
                    ptr::null(),
                )
                .map_err(|code| failed("clEnqueueSVMMemcpy", code))?,
                Storage::Object(object) => cl_queue::enqueue_read_buffer(
                    queue,
                    object,
                    types::CL_TRUE,
                    at,
                    out.len(),
                    to,
                    0,
                    ptr::null(),
                )
                .map_err(|code| failed("clEnqueueReadBuffer", code))?,
            }
        };
        self.wait(event)
    }

    /// Without announcing each buffer to each kernel, an address inside a buffer means nothing to an OpenCL kernel.
    fn address(&self, buffer: &Buffer) -> Result<Option<u64>, DeviceError> {
        self.memory(buffer).map(|_| None)
    }

    fn load(&self, image: &KernelImage<'_>) -> Result<LoadedModule, DeviceError> {
        check_image(&self.info, image)?;
        let layout = ArgumentLayout::new(image.params)?;
        let code = self.build(image)?;
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
        let some = check_launch(&self.info, module.layout(), grid, block, args)?;
        for arg in args {
            if let Arg::Buffer(buffer, _) = arg {
                self.memory(buffer)?;
            }
        }
        let items: u64 = block.iter().map(|&items| u64::from(items)).product();
        if items > code.max_block {
            return Err(DeviceError::Launch {
                reason: format!(
                    "a block of {items} work-items; the device takes {} for this kernel",
                    code.max_block
                ),
            });
        }
        if !some {
            return Ok(());
        }
        let mut global = [0usize; 3];
        for (global, (&blocks, &items)) in global.iter_mut().zip(grid.iter().zip(&block)) {
            *global = usize::try_from(u64::from(blocks) * u64::from(items))
                .map_err(|_| DeviceError::Launch { reason: "a grid beyond the address space".to_owned() })?;
        }
        let local = block.map(|items| items as usize);
        let kernel = code.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sub_buffers = SubBuffers::default();
        for (index, arg) in args.iter().enumerate() {
            self.set_argument(kernel.kernel, index, arg, &mut sub_buffers)?;
        }
        // SAFETY: kernel and queue are alive, all arguments were set to what the kernel takes, and they live until the
        // launch has been waited for.
        let event = unsafe {
            cl_queue::enqueue_nd_range_kernel(
                self.core.queue,
                kernel.kernel,
                3,
                ptr::null(),
                global.as_ptr(),
                local.as_ptr(),
                0,
                ptr::null(),
            )
        };
        let event = event.map_err(|code| match failed("clEnqueueNDRangeKernel", code) {
            DeviceError::Driver { call, message, .. } => {
                DeviceError::Launch { reason: format!("{call}: {message}") }
            }
            error => error,
        })?;
        self.wait(event)
    }

    fn sync(&self) -> Result<(), DeviceError> {
        cl_queue::finish(self.core.queue).map_err(|code| failed("clFinish", code))
    }
}

/// Sub-buffers made for one launch.
#[derive(Default)]
struct SubBuffers(Vec<types::cl_mem>);

impl Drop for SubBuffers {
    fn drop(&mut self) {
        for &object in &self.0 {
            // SAFETY: the handle is this object's own; the launch that used it was waited for.
            let _ = unsafe { cl_memory::release_mem_object(object) };
        }
    }
}

impl OpenClDevice {
    fn build(&self, image: &KernelImage<'_>) -> Result<Code, DeviceError> {
        let rejected = |log: String| DeviceError::Compile { entry: image.entry.to_owned(), log };
        let words = spirv::words(image.bytes()?, image.entry, spirv::KERNEL)?;
        let name =
            CString::new(image.entry).map_err(|_| rejected("the name contains a zero byte".to_owned()))?;
        // SAFETY: any word is four bytes. The driver wants words of the host's byte order, aligned as words.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), size_of_val(&*words)) };
        let program = cl_program_api::create_program_with_il(self.core.context, bytes)
            .map_err(|code| rejected(format!("clCreateProgramWithIL: {}", status::error_text(code))))?;
        let mut kernel = Kernel { program, kernel: ptr::null_mut() };
        let device = self.core.device;
        let log = |call: &str, code: i32| {
            let log =
                cl_program_api::get_program_build_data(program, device, cl_program_api::CL_PROGRAM_BUILD_LOG);
            let log = text(&log.unwrap_or_default());
            rejected(format!("{call}: {}\n{log}", status::error_text(code)))
        };
        cl_program_api::build_program(program, &[device], self.core.build_options, None, ptr::null_mut())
            .map_err(|code| log("clBuildProgram", code))?;
        // Some drivers build a bad module without complaint and have no kernel in it.
        kernel.kernel =
            cl_kernel_api::create_kernel(program, &name).map_err(|code| log("clCreateKernel", code))?;
        let params = cl_kernel_api::get_kernel_data(kernel.kernel, cl_kernel_api::CL_KERNEL_NUM_ARGS)
            .map_err(|code| failed("clGetKernelInfo", code))?;
        let params = integer(&params);
        if params != image.params.len() as u64 {
            return Err(rejected(format!(
                "the code has {params} kernel arguments, the signature {}",
                image.params.len()
            )));
        }
        let max_block = cl_kernel_api::get_kernel_work_group_data(
            kernel.kernel,
            device,
            cl_kernel_api::CL_KERNEL_WORK_GROUP_SIZE,
        )
        .map_err(|code| failed("clGetKernelWorkGroupInfo", code))?;
        Ok(Code { kernel: Mutex::new(kernel), max_block: integer(&max_block), core: self.core.clone() })
    }

    fn set_argument(
        &self,
        kernel: types::cl_kernel,
        index: usize,
        arg: &Arg<'_>,
        sub_buffers: &mut SubBuffers,
    ) -> Result<(), DeviceError> {
        let number = index as types::cl_uint;
        // SAFETY: in all calls, the argument's kind and size were checked against the kernel's parameters, whose number
        // the driver confirmed; the driver copies what the pointers point to.
        let set_object = |object: types::cl_mem| unsafe {
            let value = (&raw const object).cast();
            cl_kernel_api::set_kernel_arg(kernel, number, size_of::<types::cl_mem>(), value)
        };
        let set_address = |address: *const c_void| unsafe {
            cl_kernel_api::set_kernel_arg_svm_pointer(kernel, number, address)
        };
        let set = match arg {
            // SAFETY: as above.
            Arg::Bytes(bytes) => unsafe {
                cl_kernel_api::set_kernel_arg(kernel, number, bytes.len(), bytes.as_ptr().cast())
            },
            Arg::Null if self.core.svm => set_address(ptr::null()),
            Arg::Null => set_object(ptr::null_mut()),
            Arg::Buffer(buffer, offset) => match self.memory(buffer)?.storage {
                Storage::Svm(address) => set_address(address.wrapping_byte_add(*offset as usize)),
                Storage::Object(object) if *offset == 0 => set_object(object),
                Storage::Object(object) => {
                    let part = self.sub_buffer(index, object, *offset, buffer.len())?;
                    sub_buffers.0.push(part);
                    set_object(part)
                }
            },
        };
        set.map_err(|code| failed("clSetKernelArg", code))
    }

    fn sub_buffer(
        &self,
        index: usize,
        object: types::cl_mem,
        offset: u64,
        len: u64,
    ) -> Result<types::cl_mem, DeviceError> {
        let align = self.core.sub_buffer_align;
        if !offset.is_multiple_of(align) || offset >= len {
            return Err(DeviceError::BadArgument {
                index,
                found: format!("a buffer of {len} bytes at offset {offset}"),
                wanted: format!("an offset below the length and a multiple of {align} on this device"),
            });
        }
        let region = types::cl_buffer_region { origin: offset as usize, size: (len - offset) as usize };
        // SAFETY: the region lies inside the object, which is no sub-buffer itself.
        let made = unsafe {
            cl_memory::create_sub_buffer(
                object,
                cl_memory::CL_MEM_READ_WRITE,
                cl_memory::CL_BUFFER_CREATE_TYPE_REGION,
                (&raw const region).cast(),
            )
        };
        made.map_err(|code| failed("clCreateSubBuffer", code))
    }
}

/// A failed call as an error.
fn failed(call: &'static str, code: i32) -> DeviceError {
    match code {
        status::CL_MEM_OBJECT_ALLOCATION_FAILURE | status::CL_OUT_OF_HOST_MEMORY => {
            DeviceError::OutOfMemory { bytes: 0 }
        }
        code => DeviceError::Driver { call, code: code.into(), message: status::error_text(code).to_owned() },
    }
}

/// A string that the driver answered with: up to its terminator.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// An integer of the host's byte order that the driver answered with, of whatever width; 0 if it is none.
fn integer(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}
