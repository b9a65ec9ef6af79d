//! The CPU as a device: kernels are native code in this process, buffers are its memory.
//!
//! The groups of a launch are handed out to as many threads as the machine runs at once, each thread taking the next
//! ones when it is done. A kernel whose work-items never meet runs as a plain loop over the work-items of a group; one
//! whose work-items do meet runs each of them on a stack of its own ([`group`]).
//!
//! Launches are finished when they return, and one follows the other.
#![allow(unsafe_code)] // runs compiled kernels, and copies from and to the memory that they work on

mod group;
mod memory;

use super::{
    Arg, ArgumentLayout, Buffer, Device, DeviceError, DeviceInfo, DeviceKind, Features, KernelCode,
    KernelImage, LoadedModule, Probe, check_image, check_launch,
};
use crate::stack::{CALLER_BYTES, CallStack, RECURSION_BYTES};
use group::{Runner, overflow, template};
use marquetry_codegen::native::context::{MAX_SHARED_BYTES, SUBGROUP_SIZE};
use marquetry_codegen::native::{NativeKernel, NativeOptions, NativeTarget};
use marquetry_ir::limits::MAX_GLOBAL_ALIGN;
pub(in crate::device) use memory::Guard;
use memory::{HostMemory, Memory};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Most work-items of a group.
const MAX_GROUP: u32 = 1024;
/// Most stacks of work-items at a time: each takes two of the mappings that Linux grants a process (65530).
const MAX_STACKS: usize = 12 << 10;
/// Stack of a thread that runs groups, besides what the kernel needs.
const THREAD_STACK: usize = 2 << 20;

/// Looks for the CPU device: there is one wherever native code is.
pub(super) fn probe(guard: Guard) -> Vec<Probe> {
    vec![match NativeTarget::host(NativeOptions::default()) {
        Ok(_) => Probe::Found(Box::new(CpuDevice::new(guard))),
        Err(error) => Probe::absent(DeviceKind::Cpu, error.to_string()),
    }]
}

struct CpuDevice {
    info: DeviceInfo,
    threads: usize,
    /// Of buffers, and of what groups share.
    guard: Guard,
    /// Held during launches and copies: they follow one another.
    order: Mutex<()>,
    /// Tells this device's memory from that of another.
    identity: Arc<()>,
}

/// A kernel, and the device that it was loaded on.
struct CpuKernel {
    native: NativeKernel,
    identity: Arc<()>,
}

impl CpuDevice {
    fn new(guard: Guard) -> CpuDevice {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let features = Features {
            i8: true,
            i16: true,
            i64: true,
            f16: true,
            f64: true,
            int64_atomics: true,
            f32_atomic_add: true,
            f64_atomic_add: true,
            f32_atomic_min_max: true,
            subgroups: true,
            generic_pointers: true,
            shared_memory_layout: true,
            preserves_nan: true,
            preserves_denormals: true,
            async_launch: false,
        };
        let info = DeviceInfo {
            name: format!("{} with {threads} threads", std::env::consts::ARCH),
            kind: DeviceKind::Cpu,
            driver: "native code in this process".to_owned(),
            features,
            max_block: MAX_GROUP,
            max_block_dim: [MAX_GROUP; 3],
            max_grid: [i32::MAX as u32, 65535, 65535],
            shared_bytes: MAX_SHARED_BYTES as u32,
            subgroup_size: SUBGROUP_SIZE,
            compute_capability: None,
        };
        CpuDevice { info, threads, guard, order: Mutex::new(()), identity: Arc::new(()) }
    }

    fn memory<'b>(&self, buffer: &'b Buffer) -> Result<&'b HostMemory, DeviceError> {
        let memory = buffer.memory::<HostMemory>().filter(|memory| memory.belongs_to(&self.identity));
        memory.ok_or(DeviceError::ForeignBuffer)
    }
}

impl Device for CpuDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn alloc(&self, bytes: u64) -> Result<Buffer, DeviceError> {
        Ok(Buffer::new(bytes, HostMemory::new(bytes, self.guard, self.identity.clone())?))
    }

    fn write(&self, buffer: &Buffer, offset: u64, data: &[u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, data.len())?;
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the range was checked, and whoever else uses the memory holds the lock.
        unsafe { memory.write(offset as usize, data) };
        Ok(())
    }

    fn read(&self, buffer: &Buffer, offset: u64, out: &mut [u8]) -> Result<(), DeviceError> {
        let memory = self.memory(buffer)?;
        buffer.check_range(offset, out.len())?;
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the range was checked, and whoever else uses the memory holds the lock.
        unsafe { memory.read(offset as usize, out) };
        Ok(())
    }

    fn address(&self, buffer: &Buffer) -> Result<Option<u64>, DeviceError> {
        Ok(Some(self.memory(buffer)?.address()))
    }

    fn load(&self, kernel: &KernelImage<'_>) -> Result<LoadedModule, DeviceError> {
        check_image(&self.info, kernel)?;
        let rejected = |log: String| DeviceError::Compile { entry: kernel.entry.to_owned(), log };
        let KernelCode::Native(native) = kernel.code else {
            return Err(rejected("the CPU runs native code of this process, not files".to_owned()));
        };
        if native.name() != kernel.entry {
            return Err(rejected(format!("the code is that of kernel `{}`", native.name())));
        }
        let layout = ArgumentLayout::new(kernel.params)?;
        let wanted = native.argument_bytes();
        if layout.size() != wanted {
            let found = layout.size();
            return Err(rejected(format!("parameters of {found} bytes; the code takes {wanted}")));
        }
        let kernel_code = CpuKernel { native: native.clone(), identity: self.identity.clone() };
        Ok(LoadedModule::new(kernel.entry, layout, kernel_code))
    }

    fn launch(
        &self,
        module: &LoadedModule,
        grid: [u32; 3],
        block: [u32; 3],
        args: &[Arg<'_>],
    ) -> Result<(), DeviceError> {
        let kernel =
            module.code::<CpuKernel>().filter(|kernel| Arc::ptr_eq(&kernel.identity, &self.identity));
        let kernel = kernel.ok_or(DeviceError::ForeignModule)?;
        if !check_launch(&self.info, module.layout(), grid, block, args)? {
            return Ok(());
        }
        let args = module.layout().pack(args, |buffer| Ok(self.memory(buffer)?.address()))?;
        let launch = Launch {
            kernel: &kernel.native,
            args: &args,
            grid,
            block,
            guard: self.guard,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
        };
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        launch.run(self.threads)
    }

    fn sync(&self) -> Result<(), DeviceError> {
        drop(self.order.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// Alignment of shared memory: any that a global may ask for.
const SHARED_ALIGN: usize = MAX_GLOBAL_ALIGN as usize;

/// One launch, shared by the threads that carry it out.
struct Launch<'a> {
    kernel: &'a NativeKernel,
    args: &'a [u8],
    grid: [u32; 3],
    block: [u32; 3],
    /// The first group that no thread has taken.
    guard: Guard,
    next: AtomicU64,
    stop: AtomicBool,
    failure: Mutex<Option<DeviceError>>,
}

impl Launch<'_> {
    fn groups(&self) -> u64 {
        self.grid.iter().map(|&count| u64::from(count)).product()
    }

    fn items(&self) -> u32 {
        self.block.iter().product()
    }

    fn run(&self, threads: usize) -> Result<(), DeviceError> {
        let mut threads = threads.min(usize::try_from(self.groups()).unwrap_or(usize::MAX));
        if self.kernel.waits() {
            threads = threads.min(MAX_STACKS / self.items().max(1) as usize);
        }
        // The caller's stack is of unknown size; work-items that meet or recurse have stacks of their own.
        let needs = self.kernel.stack();
        let has_stacks = self.kernel.waits() || needs.recursive;
        let fits_here = has_stacks || needs.bytes(0) <= CALLER_BYTES;
        let stack_bytes = THREAD_STACK + if has_stacks { 0 } else { needs.bytes(0) };
        if threads <= 1 && fits_here {
            self.work(1);
        } else {
            thread::scope(|scope| {
                for _ in 0..threads.max(1) {
                    let builder = thread::Builder::new().stack_size(stack_bytes);
                    if let Err(error) = builder.spawn_scoped(scope, || self.work(threads.max(1) as u64)) {
                        self.fail(DeviceError::Launch { reason: format!("no thread: {error}") });
                        break;
                    }
                }
            });
        }
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    /// Keeps the first failure; the other threads stop at their next group.
    fn fail(&self, error: DeviceError) {
        self.stop.store(true, Ordering::Relaxed);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// What one thread does: takes groups until there are none.
    fn work(&self, threads: u64) {
        let groups = self.groups();
        let some = (groups / (threads * 8)).clamp(1, 1 << 16);
        let shared = match self.kernel.shared_bytes() {
            0 => None,
            bytes => match Memory::zeroed(bytes, SHARED_ALIGN, self.guard) {
                Ok(shared) => Some(shared),
                Err(error) => return self.fail(error),
            },
        };
        // What has no bytes has an address all the same, which is not null.
        let nothing = std::ptr::without_provenance_mut(SHARED_ALIGN);
        let shared = shared.as_ref().map_or(nothing, Memory::start);
        let (mut runner, mut stack) = (Runner::new(self.kernel), CallStack::new());
        while !self.stop.load(Ordering::Relaxed) {
            let first = self.next.fetch_add(some, Ordering::Relaxed);
            if first >= groups {
                return;
            }
            for number in first..groups.min(first.saturating_add(some)) {
                if let Err(error) = self.group(number, shared, &mut runner, &mut stack) {
                    self.fail(error);
                    return;
                }
            }
        }
    }

    fn group(
        &self,
        number: u64,
        shared: *mut u8,
        runner: &mut Runner<'_>,
        stack: &mut CallStack,
    ) -> Result<(), DeviceError> {
        let [x, y] = [u64::from(self.grid[0]), u64::from(self.grid[1])];
        let id = [number % x, number / x % y, number / (x * y)].map(|position| position as u32);
        let mut group = template(id, self.block, self.grid, shared);
        let function = self.kernel.function();
        if self.kernel.waits() {
            return runner.run(self.args, &mut group, self.items());
        }
        let needs = self.kernel.stack();
        if needs.recursive {
            let (args, items) = (self.args.as_ptr(), self.items());
            // SAFETY: as below; the closure owns nothing, and neither does emitted code.
            let done = unsafe { stack.run(&needs, |limit| function(args, &group, 0, items, limit)) };
            return match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(exhausted)) => Err(overflow(self.kernel, exhausted.function)),
                Err(_) => Err(DeviceError::OutOfMemory { bytes: needs.bytes(RECURSION_BYTES) as u64 }),
            };
        }
        // SAFETY: the launch borrows the kernel, so that its code is in memory. The block has the layout of its
        // parameters, the group its size and shared memory; what it does with addresses among its arguments is the
        // program's promise.
        unsafe { function(self.args.as_ptr(), &group, 0, self.items(), std::ptr::null()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
