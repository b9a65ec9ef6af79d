//! The proof that a unit is legal for its target, and what an emitter needs to know besides the code.

use crate::failure::Failure;
use crate::job::{DebugLevel, EntryConvention};
use crate::references::{self, Strategy};
use crate::runtime::Input;
use marquetry_ir::body::Frame;
use marquetry_ir::entity::Func;
use marquetry_ir::program::{Reference, Resolve};
use marquetry_ir::span::Span;
use marquetry_ir::types::Type;
use marquetry_ir::unit::Unit;
use smallvec::SmallVec;
use std::sync::Arc;

/// A place that throws. Its number in [`Legal::sites`] plus one is the status that leaves the function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// The kind of exception.
    pub kind: Arc<str>,
    /// The reason that the author gave: a format if there are operands.
    pub reason: Option<Arc<str>>,
    /// The types of the operands.
    pub operands: Box<[Type]>,
    /// The function whose code throws.
    pub function: Arc<str>,
    /// Its source file, an index into [`Unit::files`].
    pub file: Option<u32>,
    /// Where in it.
    pub span: Span,
    /// Who called it, from the inside to the outside: the functions that its code was inlined into, and then those that
    /// must have called these, because nobody else does.
    pub callers: Box<[Frame]>,
    /// The calls of which one came next, where there are several.
    pub candidates: Arc<[Frame]>,
    /// Whether there are more than these lists name: candidates if there are any, else callers.
    pub more: bool,
}

/// What a parameter is to whoever calls an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// The kernel's state.
    State,
    /// An argument of the source.
    Argument,
    /// The address of the mailbox.
    Mailbox,
    /// A hidden input of this name.
    Input(Arc<str>),
}

/// How an argument is passed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Passing {
    /// Not at all: it has no bytes.
    Ghost,
    /// By value, one lowered parameter for each of its parts.
    Parts,
    /// By value, all its bytes as one lowered parameter; code sees its address, a `ptr<param>`.
    Block,
    /// By reference: the lowered parameter is the address of its bytes, which nobody changes while the code runs.
    Reference,
    /// It is a pointer, and passed as it is.
    Pointer,
}

/// Where the parts of an argument or result start: most are one, some are two.
pub type Parts = SmallVec<[u64; 2]>;

/// One argument of an entry, with the lowered parameters that it became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Argument {
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// What it is for.
    pub role: Role,
    /// How it is passed.
    pub passing: Passing,
    /// Its type in the source, a type of the unit.
    pub ty: Type,
    /// Bytes of its type.
    pub size: u64,
    /// Alignment of its type.
    pub align: u32,
    /// Number of its first lowered parameter.
    pub first: u32,
    /// Of each of its lowered parameters, the byte of the argument where it starts.
    pub parts: Parts,
}

/// One result of an entry, with the lowered results that it became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Returned {
    /// Its type in the source, a type of the unit.
    pub ty: Type,
    /// Bytes of its type.
    pub size: u64,
    /// Number of its first lowered result.
    pub first: u32,
    /// Of each of its lowered results, the byte of the result where it starts.
    pub parts: Parts,
}

/// How an entry of the unit is called from outside, after its signature was lowered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryAbi {
    /// How it is called, if it is a function.
    pub convention: EntryConvention,
    /// Whether the first result is a status: 0, or a site's number plus one.
    pub status: bool,
    /// How many results behind the status are operands of an exception, words of 64 bits: those that its site lists, then
    /// others that mean nothing.
    pub operands: usize,
    /// Whether the parameter after the arguments is the address of the mailbox, all 0 at launch, in which the first
    /// work-item that throws leaves a [`Record`](crate::exceptions::record::Record).
    pub mailbox: bool,
    /// The parameters after that, which the host passes besides the arguments.
    pub inputs: Vec<Input>,
    /// The type of the first parameter, if that is the kernel's state.
    pub state: Option<Type>,
    /// All parameters in order: the state, the arguments, the mailbox, the inputs. Known once the code is legal.
    pub arguments: Vec<Argument>,
    /// What it returns besides the status, in order. Known once the code is legal.
    pub results: Vec<Returned>,
}

/// A unit in which every op on every type is one that the target has.
///
/// Only legalisation makes these, so that code that was not legalised cannot be emitted by accident.
#[derive(Clone, Debug)]
pub struct Legal {
    unit: Unit,
    sites: Vec<Site>,
    entries: Vec<EntryAbi>,
    debug_level: DebugLevel,
    references: Strategy,
    /// What the words stand for that the host supplied.
    baked: Vec<Reference>,
    /// The functions that legalisation wrote anew.
    rewritten: Vec<Func>,
}

impl Legal {
    pub(crate) fn new(unit: Unit, sites: Vec<Site>, entries: Vec<EntryAbi>, rewritten: Vec<Func>) -> Self {
        let (debug_level, references, baked) = Default::default();
        Legal { unit, sites, entries, debug_level, references, baked, rewritten }
    }

    /// The functions that legalisation wrote anew; nobody learns it twice.
    pub(crate) fn take_rewritten(&mut self) -> Vec<Func> {
        std::mem::take(&mut self.rewritten)
    }

    /// The code.
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The code, for passes that keep it legal.
    pub(crate) fn unit_mut(&mut self) -> &mut Unit {
        &mut self.unit
    }

    /// The places that throw, by number.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// One per entry of the unit, in order.
    pub fn entries(&self) -> &[EntryAbi] {
        &self.entries
    }

    /// What of the source goes into the code.
    pub fn debug_level(&self) -> DebugLevel {
        self.debug_level
    }

    /// Has this much of the source go into the code.
    #[must_use]
    pub fn with_debug_level(self, debug_level: DebugLevel) -> Self {
        Legal { debug_level, ..self }
    }

    /// What becomes of the words that the host supplies.
    pub fn references(&self) -> Strategy {
        self.references
    }

    /// Has this become of the words that the host supplies.
    #[must_use]
    pub fn with_references(self, references: Strategy) -> Self {
        Legal { references, ..self }
    }

    /// The same with the words that the host supplies, in place of the slots for them.
    ///
    /// # Errors
    /// Slots that it has no words for: all of them.
    pub fn baked_by(mut self, host: &dyn Resolve) -> Result<Self, Failure> {
        let written = references::write(&mut self.unit, host)?;
        self.baked.extend(written);
        Ok(self)
    }

    /// What the words stand for that the host supplied, each once, in order: what ties the code to this session.
    pub fn baked(&self) -> &[Reference] {
        &self.baked
    }

    /// Whether there are words that the host has yet to supply.
    pub fn has_slots(&self) -> bool {
        self.unit.globals.values().any(|data| data.host_slots().next().is_some())
    }

    /// Gives the proof up, to change the code.
    pub fn into_unit(self) -> Unit {
        self.unit
    }
}
