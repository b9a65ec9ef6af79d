//! What jobs become: code, and what it takes to run it and to tell what it threw.

use crate::device::{KernelCode, KernelImage, KernelParam};
use crate::engine::{EngineError, Outcome, Thrown, parts};
use crate::stack::CallStack;
use crate::value::HostArg;
use marquetry_codegen::artifact::{self, Artifact, Entry, Slot, argument_block};
use marquetry_codegen::native::{JitCode, NativeKernel, StackLimit};
use marquetry_ir::diag::Diagnostic;
use marquetry_ir::types::Type;
use marquetry_ir::unit::PrintFormat;
use marquetry_lower::exceptions::places::ThrowPlace;
use marquetry_lower::pipeline::Lowering;
use std::sync::Arc;

/// Code that can be run.
#[derive(Clone)]
pub enum Code {
    /// For a driver or a linker.
    Artifact(Box<Artifact>),
    /// In this process.
    Jit(Arc<JitCode>),
}

/// Something else that a job asked for.
#[derive(Clone, Debug)]
pub struct Child {
    /// The job that compiles it.
    pub job: crate::session::Job,
    /// What it became; none if that is still being compiled because this is, in turn, its child. The session has it
    /// afterwards.
    pub compiled: Option<Arc<Compiled>>,
}

/// What a job became.
pub struct Compiled {
    /// The code.
    pub code: Code,
    /// What can be called.
    pub entries: Vec<Entry>,
    /// What else the job asked for, in the order in which it did.
    pub children: Vec<Child>,
    /// What the first entry returns, before lowering.
    results: Vec<Type>,
    /// The first entry, if it is a kernel in this process.
    kernel: Option<NativeKernel>,
    /// The formats of what it prints.
    pub formats: Vec<PrintFormat>,
    /// What hooks warned of.
    pub warnings: Vec<Diagnostic>,
    places: Arc<[ThrowPlace]>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|entry| &*entry.symbol).collect();
        f.debug_struct("Compiled").field("entries", &names).finish_non_exhaustive()
    }
}

impl Compiled {
    /// What a job was lowered to, as code.
    pub(super) fn new(code: Code, lowering: &Lowering) -> Self {
        let legal = &lowering.legal;
        let kernel = match &code {
            Code::Artifact(_) => None,
            Code::Jit(jit) => jit.kernel(0),
        };
        let (entries, places) = match &code {
            Code::Artifact(artifact) => (artifact.entries.clone(), artifact.places.clone()),
            Code::Jit(jit) => (artifact::entries(legal), jit.places().clone()),
        };
        let results = lowering.signatures.first().map(|signature| signature.results.clone());
        let results = results.unwrap_or_default();
        let formats = legal.unit().formats.clone();
        let (children, warnings) = (Vec::new(), lowering.warnings.clone());
        Compiled { code, entries, children, results, kernel, formats, warnings, places }
    }

    /// An object that was linked and loaded, its first entry being this kernel.
    pub fn linked(artifact: Artifact, kernel: NativeKernel) -> Self {
        let (entries, places) = (artifact.entries.clone(), artifact.places.clone());
        let formats = artifact.formats.clone();
        let (code, kernel) = (Code::Artifact(Box::new(artifact)), Some(kernel));
        let (children, results, warnings) = Default::default();
        Compiled { code, entries, children, results, kernel, formats, warnings, places }
    }

    /// Code of one entry that was compiled by another process, with the places that it knew.
    pub(crate) fn stored(
        code: Arc<JitCode>,
        entry: Entry,
        results: Vec<Type>,
        formats: Vec<PrintFormat>,
        places: Arc<[ThrowPlace]>,
    ) -> Self {
        let (kernel, entries) = (code.kernel(0), vec![entry]);
        let (code, children, warnings) = (Code::Jit(code), Vec::new(), Vec::new());
        Compiled { code, entries, children, results, kernel, formats, warnings, places }
    }

    /// The only or first entry.
    ///
    /// # Errors
    /// There is none.
    pub fn entry(&self) -> Result<&Entry, EngineError> {
        self.entries.first().ok_or_else(|| EngineError::Failed("the job has no entry".into()))
    }

    /// Bytes for a driver or a linker; none for code in this process.
    pub fn artifact(&self) -> Option<&Artifact> {
        match &self.code {
            Code::Artifact(artifact) => Some(artifact),
            Code::Jit(_) => None,
        }
    }

    /// Calls the first entry, a function in this process. Buffers hold afterwards what the function left in them. The
    /// code lives for as long as somebody holds it, whatever becomes of the program meanwhile. Arguments have the types of
    /// the parameters; where these are structs, arrays or newtypes, whose table the code does not keep, it is the number
    /// of bytes that is checked.
    ///
    /// # Errors
    /// The code is not in this process, the arguments are not those that the function takes, or the stack overflows.
    pub fn call(&self, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        self.call_on(&mut CallStack::new(), args)
    }

    /// As [`Self::call`], with a stack that is kept for later calls of recursive functions.
    ///
    /// # Errors
    /// As there.
    pub fn call_on(&self, stack: &mut CallStack, args: &mut [HostArg]) -> Result<Outcome, EngineError> {
        let entry = self.entry()?;
        let status = usize::from(entry.abi.status);
        let types = entry.signature.results.get(status..).unwrap_or(&[]);
        let (_, size) = argument_block(types);
        let block = parts::pack(args, entry)?;
        let mut results = vec![0; size as usize];
        let Code::Jit(jit) = &self.code else {
            return Err(EngineError::Failed("the code is not in this process".into()));
        };
        let needs = jit.stack();
        let mut status = Ok(0);
        // SAFETY: the block and the results have the layout of this entry's signature; buffers outlive the call. The
        // closure owns nothing.
        #[allow(unsafe_code, reason = "this is where compiled code is executed")]
        let done = unsafe {
            let call = |limit: Option<&StackLimit>| status = jit.call_packed(0, &block, &mut results, limit);
            parts::on_stack(stack, &needs, call)
        };
        if let Err(exhausted) = done? {
            return Err(self.exhausted(exhausted.function));
        }
        parts::outcome(status?, entry, &self.places, &self.results, &results)
    }

    /// What a device is told of the first entry's parameters: those of the source, then what the entry's ABI adds.
    ///
    /// # Errors
    /// There is no entry.
    pub fn kernel_params(&self) -> Result<Vec<KernelParam>, EngineError> {
        let param =
            |slot: Slot| KernelParam { size: slot.size, align: slot.align, is_pointer: slot.is_pointer };
        Ok(self.entry()?.block().0.into_iter().map(param).collect())
    }

    /// What a device loads.
    ///
    /// # Errors
    /// There is no entry, or it is native code but no kernel.
    pub fn image<'a>(
        &'a self,
        params: &'a [KernelParam],
        block: [u32; 3],
    ) -> Result<KernelImage<'a>, EngineError> {
        let entry = &self.entry()?.symbol;
        let (code, shared_bytes) = match (&self.kernel, &self.code) {
            (Some(kernel), _) => (KernelCode::Native(kernel), kernel.shared_bytes()),
            (None, Code::Artifact(artifact)) => (KernelCode::Bytes(&artifact.code), artifact.shared_bytes),
            (None, Code::Jit(_)) => return Err(EngineError::Failed(format!("'{entry}' is no kernel"))),
        };
        let shared_bytes = u32::try_from(shared_bytes).unwrap_or(u32::MAX);
        Ok(KernelImage { code, entry, params, block, shared_bytes, fillings: &[] })
    }

    /// The functions that check the limit of the stack, by number.
    fn checked(&self) -> &[ThrowPlace] {
        match &self.code {
            Code::Jit(jit) => jit.checked(),
            Code::Artifact(artifact) => artifact.scheduling.as_ref().map_or(&[], |known| &known.checked),
        }
    }

    /// The error for a function, by number, for which there was no stack left.
    pub fn exhausted(&self, function: usize) -> EngineError {
        exhausted_in(self.checked(), function)
    }

    /// The places that throw, by number: with the entries all that it takes to tell what was thrown, for as long as
    /// somebody holds them ([`Thrown::in_mailbox`]).
    pub fn places(&self) -> &Arc<[ThrowPlace]> {
        &self.places
    }

    /// The exception that a status stands for; none for 0. Its operands count as 0.
    pub fn thrown(&self, status: u32) -> Option<Thrown> {
        Thrown::of_status(&self.places, status, &[])
    }

    /// The exception that a launch left in its mailbox, if any; with the kernel and the work-item.
    pub fn thrown_in(&self, mailbox: &[u8]) -> Option<Thrown> {
        Thrown::in_mailbox(&self.entries, &self.places, mailbox)
    }
}

/// The error for a function, by number, for which there was no stack left.
pub fn exhausted_in(checked: &[ThrowPlace], function: usize) -> EngineError {
    match checked.get(function) {
        Some(place) => EngineError::StackOverflow(Box::new(Thrown::at(place, &[]))),
        None => EngineError::Failed("stack overflow".into()),
    }
}
