//! Launching on a device: load, copy buffers, launch, copy back, read the mailbox.

use super::parts::{self, Part};
use super::{EngineError, Extent, Outcome, wrap};
use crate::compile::Compiled;
use crate::device::{Arg, Buffer, Device, DeviceError, DeviceKind, KernelParam, LoadedModule, open};
use crate::inputs::{self, LaunchMemory};
use crate::value::HostArg;
use marquetry_codegen::artifact::{Slot, argument_block};
use marquetry_ir::types::Type;
use marquetry_lower::runtime::print;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Bytes of a mailbox: four `i32`.
const MAILBOX_BYTES: usize = 16;

/// What a launch left, besides what is in the buffers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launched {
    /// Whether it threw.
    pub outcome: Outcome,
    /// What it printed.
    pub output: Vec<String>,
    pub(super) results: Vec<u8>,
}

/// Launches compiled kernels on one device. What was loaded for a kernel is kept for as long as somebody holds the
/// kernel.
pub struct Launcher {
    device: Box<dyn Device>,
    loaded: Mutex<HashMap<(usize, [u32; 3]), Kept>>,
}

/// A kernel, if somebody still holds it, and what was loaded for it.
type Kept = (Weak<Compiled>, Arc<LoadedModule>);

impl Launcher {
    /// For the first device of a kind.
    ///
    /// # Errors
    /// The reason why this machine has none.
    pub fn open(kind: DeviceKind) -> Result<Self, String> {
        open(kind).map(Self::new).map_err(|error| error.to_string())
    }

    /// For a device.
    pub fn new(device: Box<dyn Device>) -> Self {
        Launcher { device, loaded: Mutex::default() }
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// Launches a kernel. Buffers hold afterwards what the kernel left in them.
    ///
    /// # Errors
    /// The code is not for this device, or the device fails.
    pub fn launch(
        &self,
        kernel: &Arc<Compiled>,
        extent: Extent,
        args: &mut [HostArg],
    ) -> Result<Launched, EngineError> {
        let key = (Arc::as_ptr(kernel).addr(), extent.block);
        let known = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            // An address may be that of a kernel that is gone.
            loaded.retain(|_, (kernel, _)| kernel.strong_count() > 0);
            loaded.get(&key).map(|(_, module)| module.clone())
        };
        let module = match known {
            Some(module) => module,
            None => {
                let module = Arc::new(self.load(kernel, extent.block)?);
                let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
                loaded.insert(key, (Arc::downgrade(kernel), module.clone()));
                module
            }
        };
        self.launch_loaded(kernel, &module, extent, args, None)
    }

    /// Hands a kernel to the driver.
    pub(super) fn load(&self, compiled: &Compiled, block: [u32; 3]) -> Result<LoadedModule, EngineError> {
        let params = kernel_params(&compiled.entry()?.signature.params);
        self.device.load(&compiled.image(&params, block)?).map_err(failed)
    }

    /// Launches, with a further buffer for results; gives what that one holds afterwards.
    pub(super) fn launch_loaded(
        &self,
        compiled: &Compiled,
        module: &LoadedModule,
        extent: Extent,
        args: &mut [HostArg],
        result_bytes: Option<u32>,
    ) -> Result<Launched, EngineError> {
        let mut buffers = Vec::with_capacity(args.len());
        for arg in args.iter() {
            buffers.push(match arg {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) => None,
            });
        }
        let mut results = result_bytes.map_or_else(Vec::new, |size| vec![0; size as usize]);
        let result_buffer = result_bytes.map(|_| self.upload(&results)).transpose()?;
        let mut mailbox = [0; MAILBOX_BYTES];
        let has_mailbox = compiled.entry()?.abi.mailbox;
        let mailbox_buffer = has_mailbox.then(|| self.upload(&mailbox)).transpose()?;
        let hidden = &compiled.entry()?.abi.inputs;
        let mut hidden_buffers = Vec::with_capacity(hidden.len());
        for input in hidden {
            let Some(bytes) = inputs::buffer(input, LaunchMemory::default()) else {
                let message = format!("kernel input '{}' is not known here", input.name);
                return Err(EngineError::Unsupported(message));
            };
            hidden_buffers.push((self.upload(&bytes)?, bytes));
        }
        let parts = parts::split(args, &compiled.entry()?.signature.params)?;
        let mut passed: Vec<Arg<'_>> = parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => Arg::Bytes(bytes),
                Part::Buffer(n) => {
                    buffers.get(*n).and_then(|b| b.as_ref()).map_or(Arg::Null, |b| Arg::Buffer(b, 0))
                }
                Part::Null => Arg::Null,
            })
            .collect();
        passed.extend(
            [&result_buffer, &mailbox_buffer].into_iter().flatten().map(|buffer| Arg::Buffer(buffer, 0)),
        );
        passed.extend(hidden_buffers.iter().map(|(buffer, _)| Arg::Buffer(buffer, 0)));
        let launched = self.device.launch(module, extent.grid, extent.block, &passed);
        launched.map_err(|error| match error {
            DeviceError::StackOverflow { number, .. } => compiled.exhausted(number),
            other => failed(other),
        })?;
        drop(passed);
        self.device.sync().map_err(failed)?;
        for (arg, buffer) in args.iter_mut().zip(&buffers) {
            if let (HostArg::Buffer { bytes, .. }, Some(buffer)) = (arg, buffer) {
                self.device.read(buffer, 0, bytes).map_err(failed)?;
            }
        }
        if let Some(buffer) = &result_buffer {
            self.device.read(buffer, 0, &mut results).map_err(failed)?;
        }
        if let Some(buffer) = &mailbox_buffer {
            self.device.read(buffer, 0, &mut mailbox).map_err(failed)?;
        }
        let [a, b, c, d, ..] = mailbox;
        let outcome = match compiled.thrown(u32::from_le_bytes([a, b, c, d])) {
            Some(mut thrown) => {
                thrown.callers.retain(|caller| caller.function != wrap::KERNEL);
                Outcome::Threw(thrown)
            }
            None => Outcome::Returned(Vec::new()),
        };
        let mut output = Vec::new();
        for (input, (buffer, bytes)) in hidden.iter().zip(&mut hidden_buffers) {
            if &*input.name == print::INPUT {
                self.device.read(buffer, 0, bytes).map_err(failed)?;
                output = inputs::printed(&compiled.formats, bytes);
            }
        }
        Ok(Launched { outcome, results, output })
    }

    fn upload(&self, bytes: &[u8]) -> Result<Buffer, EngineError> {
        let buffer = self.device.alloc(bytes.len().max(1) as u64).map_err(failed)?;
        self.device.write(&buffer, 0, bytes).map_err(failed)?;
        Ok(buffer)
    }
}

fn failed(error: DeviceError) -> EngineError {
    match error {
        DeviceError::Unsupported { .. } => EngineError::Unsupported(error.to_string()),
        other => EngineError::Failed(other.to_string()),
    }
}

fn kernel_params(types: &[Type]) -> Vec<KernelParam> {
    let param = |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
    argument_block(types).0.into_iter().map(param).collect()
}
