//! Devices: what can run a compiled kernel, behind one small trait.
//!
//! The layer knows nothing of the IR. It takes code (bytes for a driver, or native code that is in this process
//! already), an entry name and the sizes of the kernel's parameters ([`KernelImage`]), and buffers and plain bytes as
//! arguments ([`Arg`]); so the CPU and the three drivers look the same to the launcher and to the tests.
//!
//! Decisions that hold for every device:
//!
//! - A missing driver is a value with a reason ([`Probe::Absent`]), found at run time; nothing is linked.
//! - Work on one device happens in the order of the calls. A launch may return before the kernel has finished;
//!   [`Device::read`], [`Device::write`] and [`Device::sync`] wait, and report what went wrong meanwhile.
//! - Buffers and modules keep their device alive, are freed when dropped, and are rejected by any other device.
//! - Arguments, bounds and limits are checked here, in one place, before a driver sees them; what a driver says is
//!   handed on in full.

mod error;
pub use error::DeviceError;

mod launch;
pub use launch::{
    ARGUMENT_BLOCK_LIMIT, Arg, ArgumentLayout, KernelCode, KernelImage, KernelParam, check_image,
    check_launch,
};

mod cpu;

#[cfg(any(feature = "vulkan", feature = "opencl"))]
mod spirv;

#[cfg(feature = "vulkan")]
mod vulkan;

#[cfg(feature = "opencl")]
mod opencl;

#[cfg(feature = "cuda")]
mod cuda;

#[cfg(all(test, any(feature = "vulkan", feature = "opencl", feature = "cuda")))]
mod conformance;

use std::any::Any;
use std::fmt;

/// Which engine a device belongs to. The order is the order in which devices are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// Native code on the host's cores.
    Cpu,
    /// A Vulkan 1.3 compute queue.
    Vulkan,
    /// An OpenCL device that takes SPIR-V.
    OpenCl,
    /// An NVIDIA GPU through the CUDA driver.
    Cuda,
}

impl DeviceKind {
    /// All kinds, in listing order.
    pub const ALL: [DeviceKind; 4] =
        [DeviceKind::Cpu, DeviceKind::Vulkan, DeviceKind::OpenCl, DeviceKind::Cuda];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Vulkan => "vulkan",
            DeviceKind::OpenCl => "opencl",
            DeviceKind::Cuda => "cuda",
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Optional abilities of a device, as its driver states them. All devices have `i32`, `f32` and 32-bit atomics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// 8-bit integers, in arithmetic, buffers and arguments.
    pub i8: bool,
    /// 16-bit integers, in arithmetic, buffers and arguments.
    pub i16: bool,
    /// 64-bit integers.
    pub i64: bool,
    /// Half precision arithmetic.
    pub f16: bool,
    /// Double precision arithmetic.
    pub f64: bool,
    /// 64-bit integer atomics in buffers and in shared memory.
    pub int64_atomics: bool,
    /// `f32` atomic addition in buffers and in shared memory.
    pub f32_atomic_add: bool,
    /// `f64` atomic addition in buffers and in shared memory.
    pub f64_atomic_add: bool,
    /// `f32` atomic minimum and maximum in buffers and in shared memory.
    pub f32_atomic_min_max: bool,
    /// Sub-group vote, ballot, arithmetic and shuffles.
    pub subgroups: bool,
    /// Pointers that may point to any address space.
    pub generic_pointers: bool,
    /// Shared memory may be viewed through several types.
    pub shared_memory_layout: bool,
    /// Infinities, NaNs and the sign of zero survive `f32` (and, where present, `f64`) arithmetic.
    pub preserves_nan: bool,
    /// `f32` denormals survive arithmetic.
    pub preserves_denormals: bool,
    /// A launch returns before its kernel has finished.
    pub async_launch: bool,
}

impl Features {
    /// Every feature's name with its value, in declaration order.
    pub fn list(&self) -> [(&'static str, bool); 15] {
        [
            ("i8", self.i8),
            ("i16", self.i16),
            ("i64", self.i64),
            ("f16", self.f16),
            ("f64", self.f64),
            ("int64-atomics", self.int64_atomics),
            ("f32-atomic-add", self.f32_atomic_add),
            ("f64-atomic-add", self.f64_atomic_add),
            ("f32-atomic-min-max", self.f32_atomic_min_max),
            ("subgroups", self.subgroups),
            ("generic-pointers", self.generic_pointers),
            ("shared-memory-layout", self.shared_memory_layout),
            ("preserves-nan", self.preserves_nan),
            ("preserves-denormals", self.preserves_denormals),
            ("async-launch", self.async_launch),
        ]
    }
}

impl fmt::Display for Features {
    /// The features present, separated by spaces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, present) in self.list() {
            if present {
                write!(f, "{separator}{name}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

/// What a device is and can do: plain data, fixed when the device is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The device's own name.
    pub name: String,
    /// The engine it belongs to.
    pub kind: DeviceKind,
    /// Driver, its version, and the version of the API it offers.
    pub driver: String,
    /// Optional abilities.
    pub features: Features,
    /// The most work-items in one block.
    pub max_block: u32,
    /// The most work-items along each dimension of a block.
    pub max_block_dim: [u32; 3],
    /// The most blocks along each dimension of a grid.
    pub max_grid: [u32; 3],
    /// Bytes of shared memory that one block can have.
    pub shared_bytes: u32,
    /// Work-items per sub-group; the largest where the driver chooses per kernel, 0 where it does not say.
    pub subgroup_size: u32,
    /// CUDA compute capability.
    pub compute_capability: Option<(u32, u32)>,
}

/// Memory on one device. Freed when dropped; its content starts out unspecified.
pub struct Buffer {
    bytes: u64,
    memory: Box<dyn Any + Send + Sync>,
}

impl Buffer {
    /// Wraps a device's own memory object, which frees the memory when it is dropped.
    pub fn new(bytes: u64, memory: impl Any + Send + Sync) -> Buffer {
        Buffer { bytes, memory: Box::new(memory) }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether the buffer holds no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The device's own memory object; none if the buffer is of another kind of device.
    pub fn memory<T: Any>(&self) -> Option<&T> {
        self.memory.downcast_ref()
    }

    /// Gives the memory back; the same as dropping the buffer.
    pub fn free(self) {}

    /// Checks that `bytes` at `offset` lie inside.
    ///
    /// # Errors
    /// They do not.
    pub fn check_range(&self, offset: u64, bytes: usize) -> Result<(), DeviceError> {
        let bytes = bytes as u64;
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(DeviceError::OutOfBounds { offset, bytes, len: self.bytes }),
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A kernel that a device has accepted, ready to be launched any number of times, from any thread.
pub struct LoadedModule {
    entry: String,
    layout: ArgumentLayout,
    code: Box<dyn Any + Send + Sync>,
}

impl LoadedModule {
    /// Wraps a device's own code object, which unloads the code when it is dropped.
    pub fn new(entry: &str, layout: ArgumentLayout, code: impl Any + Send + Sync) -> LoadedModule {
        LoadedModule { entry: entry.to_owned(), layout, code: Box::new(code) }
    }

    /// The kernel's name.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// The kernel's parameters and where each lies in the argument block.
    pub fn layout(&self) -> &ArgumentLayout {
        &self.layout
    }

    /// The device's own code object; none if the module is of another kind of device.
    pub fn code<T: Any>(&self) -> Option<&T> {
        self.code.downcast_ref()
    }
}

impl fmt::Debug for LoadedModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedModule").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Something that runs kernels.
pub trait Device: Send + Sync {
    /// What the device is and can do.
    fn info(&self) -> &DeviceInfo;

    /// Reserves memory. Zero bytes are allowed.
    ///
    /// # Errors
    /// There is not as much, or the driver fails.
    fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError>;

    /// Copies bytes from the host into a buffer.
    ///
    /// # Errors
    /// They are not all inside the buffer, or the driver fails.
    fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), DeviceError>;

    /// Copies bytes from a buffer to the host, after all launches so far have finished.
    ///
    /// # Errors
    /// They are not all inside the buffer, or the driver or an earlier launch failed.
    fn read(&self, buffer: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), DeviceError>;

    /// The address that a kernel sees for the buffer's first byte, where it is the same in every launch.
    /// Such addresses may be stored in other buffers.
    ///
    /// # Errors
    /// The buffer is not of this device, or the driver fails.
    fn address(&self, buffer: &Buffer) -> Result<Option<u64>, DeviceError>;

    /// Hands code to the driver. A rejection carries the driver's log.
    ///
    /// # Errors
    /// The code is not for this device, or the driver rejects it.
    fn load(&self, kernel: &KernelImage<'_>) -> Result<LoadedModule, DeviceError>;

    /// Runs a kernel on `grid` blocks of `block` work-items. A grid without blocks succeeds and does nothing.
    ///
    /// No driver can stop a kernel: one that never ends is waited for until the driver itself gives up, if it does.
    ///
    /// # Errors
    /// The arguments or sizes are not those that the kernel or the device takes, or the driver fails.
    fn launch(
        &self,
        module: &LoadedModule,
        grid: [u32; 3],
        block: [u32; 3],
        args: &[Arg<'_>],
    ) -> Result<(), DeviceError>;

    /// Waits until all launches so far have finished.
    ///
    /// # Errors
    /// The driver or a launch failed.
    fn sync(&self) -> Result<(), DeviceError>;
}

/// What a search for devices came upon.
pub enum Probe {
    /// A device, opened and ready.
    Found(Box<dyn Device>),
    /// An engine or one of its devices that cannot be used here, and why.
    Absent {
        /// The engine.
        kind: DeviceKind,
        /// Why it cannot be used, for people.
        reason: String,
    },
}

impl Probe {
    fn absent(kind: DeviceKind, reason: impl Into<String>) -> Probe {
        Probe::Absent { kind, reason: reason.into() }
    }
}

/// Looks for the devices of one kind, in the driver's order. The answer is never empty: where nothing was found
/// it says why.
pub fn probe(kind: DeviceKind) -> Vec<Probe> {
    match kind {
        DeviceKind::Cpu => cpu::probe(cpu::Guard::None),
        #[cfg(feature = "vulkan")]
        DeviceKind::Vulkan => vulkan::probe(),
        #[cfg(feature = "opencl")]
        DeviceKind::OpenCl => opencl::probe(),
        #[cfg(feature = "cuda")]
        DeviceKind::Cuda => cuda::probe(),
        #[allow(unreachable_patterns)] // reached only by the kinds that the features above leave out
        kind => vec![Probe::absent(kind, "not part of this build")],
    }
}

/// Opens the first usable device of one kind.
///
/// # Errors
/// There is none: all reasons.
pub fn open(kind: DeviceKind) -> Result<Box<dyn Device>, DeviceError> {
    first(kind, probe(kind))
}

/// As [`open`], for kernels that nobody vouches for: on the CPU device, buffers and shared memory lie between pages that nobody
/// may access, so that a kernel that runs past them ends the process, and changes nothing of the host's. Such a buffer
/// is aligned to what divides its size, from 16 bytes to 64; up to 15 bytes behind it are its own. It takes at least one page
/// of memory, three of the mappings that the system grants a process, and some ten microseconds to be made. The memory of other devices is
/// guarded by their drivers, or is not.
///
/// # Errors
/// As there.
pub fn open_guarded(kind: DeviceKind) -> Result<Box<dyn Device>, DeviceError> {
    match kind {
        DeviceKind::Cpu => first(kind, cpu::probe(cpu::Guard::Pages)),
        _ => open(kind),
    }
}

/// The first device that was found.
fn first(kind: DeviceKind, probes: Vec<Probe>) -> Result<Box<dyn Device>, DeviceError> {
    let mut reasons = Vec::new();
    for probe in probes {
        match probe {
            Probe::Found(device) => return Ok(device),
            Probe::Absent { reason, .. } => reasons.push(reason),
        }
    }
    Err(DeviceError::Absent { kind, reason: reasons.join("; ") })
}
