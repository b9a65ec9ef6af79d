//! Launching on a device: load, copy buffers, launch, copy back, read the mailbox.

use super::parts::{self, Part};
use super::{EngineError, Extent, Outcome, wrap};
use crate::compile::Compiled;
use crate::device::{
    Arg, Buffer, Device, DeviceError, DeviceKind, KernelCode, KernelImage, LoadedModule, open,
};
use crate::inputs::{self, LaunchOptions};
use crate::value::HostArg;
use marquetry_ir::program::{NoHost, Resolve};
use marquetry_lower::exceptions::record::Record;
use marquetry_lower::runtime::print;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

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
    host: Arc<dyn Resolve>,
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
        Launcher { device, host: Arc::new(NoHost), loaded: Mutex::default() }
    }

    /// The same, with someone who supplies the words that kernels leave to whoever loads them.
    #[must_use]
    pub fn hosted(mut self, host: Arc<dyn Resolve>) -> Self {
        self.set_host(host);
        self
    }

    /// Takes another host; what was loaded with the words of the one before is loaded anew.
    pub fn set_host(&mut self, host: Arc<dyn Resolve>) {
        self.host = host;
        self.loaded.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Who supplies words.
    pub fn host(&self) -> &dyn Resolve {
        &*self.host
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
        self.launch_with(kernel, extent, args, &mut LaunchOptions::default())
    }

    /// As [`Launcher::launch`], with the kernels' state, hidden inputs, and how much memory there is. Buffers among the
    /// inputs hold afterwards what the kernel left in them, too.
    ///
    /// # Errors
    /// As [`Launcher::launch`].
    pub fn launch_with(
        &self,
        kernel: &Arc<Compiled>,
        extent: Extent,
        args: &mut [HostArg],
        options: &mut LaunchOptions,
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
        self.launch_loaded(kernel, &module, extent, args, options, None)
    }

    /// Hands a kernel to the driver, once its words are there.
    pub(super) fn load(&self, compiled: &Compiled, block: [u32; 3]) -> Result<LoadedModule, EngineError> {
        let params = compiled.kernel_params()?;
        let image = compiled.image(&params, block)?;
        let open = compiled.artifact().filter(|artifact| !artifact.relocations.is_empty());
        let (Some(artifact), KernelCode::Bytes(_)) = (open, image.code) else {
            return self.device.load(&image).map_err(failed);
        };
        let mut filled = artifact.clone();
        let fillings = filled.fill(&*self.host)?;
        let image = KernelImage { code: KernelCode::Bytes(&filled.code), fillings: &fillings, ..image };
        self.device.load(&image).map_err(failed)
    }

    /// Launches, with a further buffer for results; gives what that one holds afterwards.
    pub(super) fn launch_loaded(
        &self,
        compiled: &Compiled,
        module: &LoadedModule,
        extent: Extent,
        args: &mut [HostArg],
        options: &mut LaunchOptions,
        result_bytes: Option<u32>,
    ) -> Result<Launched, EngineError> {
        let mut buffers = Vec::with_capacity(args.len());
        for arg in args.iter() {
            buffers.push(match arg {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) | HostArg::Aggregate(_) => None,
            });
        }
        let mut results = result_bytes.map_or_else(Vec::new, |size| vec![0; size as usize]);
        let result_buffer = result_bytes.map(|_| self.upload(&results)).transpose()?;
        let mut mailbox = [0; Record::BYTES];
        let has_mailbox = compiled.entry()?.abi.mailbox;
        let mailbox_buffer = has_mailbox.then(|| self.upload(&mailbox)).transpose()?;
        let entry = compiled.entry()?;
        let hidden = parts::hidden(&entry.abi.inputs, options)?;
        let parts = parts::split(entry, args, &hidden, options.state.as_ref())?;
        let mut hidden_buffers = Vec::with_capacity(hidden.len());
        for input in &hidden {
            hidden_buffers.push(match &input.value {
                HostArg::Buffer { bytes, .. } => Some(self.upload(bytes)?),
                HostArg::Value(_) | HostArg::Aggregate(_) => None,
            });
        }
        let mut references = Vec::new();
        for part in &parts {
            if let Part::Reference(bytes) = part {
                references.push(self.upload(bytes)?);
            }
        }
        let mut next_reference = references.iter();
        let passed: Vec<Arg<'_>> = parts
            .iter()
            .map(|part| match part {
                Part::Bytes(bytes) => Arg::Bytes(bytes),
                Part::Reference(_) => address(next_reference.next()),
                Part::Buffer(n) => address(buffers.get(*n).and_then(|buffer| buffer.as_ref())),
                Part::Input(n) => address(hidden_buffers.get(*n).and_then(|buffer| buffer.as_ref())),
                Part::Mailbox => address(mailbox_buffer.as_ref()),
                Part::Results => address(result_buffer.as_ref()),
                Part::Null => Arg::Null,
            })
            .collect();
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
        let outcome = match compiled.thrown_in(&mailbox) {
            Some(mut thrown) => {
                for list in [&mut thrown.callers, &mut thrown.candidates] {
                    list.retain(|caller| caller.function != wrap::KERNEL);
                }
                if thrown.kernel.as_deref() == Some(wrap::KERNEL) {
                    (thrown.kernel, thrown.item) = (None, None);
                }
                Outcome::Threw(thrown)
            }
            None => Outcome::Returned(Vec::new()),
        };
        let mut output = Vec::new();
        for (input, buffer) in hidden.into_iter().zip(&hidden_buffers) {
            let (HostArg::Buffer { mut bytes, element }, Some(buffer)) = (input.value, buffer) else {
                continue;
            };
            let bound = options.inputs.iter_mut().find(|(name, _)| **name == *input.name);
            if bound.is_none() && &*input.name != print::INPUT {
                continue;
            }
            self.device.read(buffer, 0, &mut bytes).map_err(failed)?;
            match bound {
                Some((_, value)) => *value = HostArg::Buffer { element, bytes },
                None => output = inputs::printed(&compiled.formats, &bytes),
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

/// The address of a buffer, if there is one.
fn address(buffer: Option<&Buffer>) -> Arg<'_> {
    buffer.map_or(Arg::Null, |buffer| Arg::Buffer(buffer, 0))
}
