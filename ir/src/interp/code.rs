//! A function decoded for running: one step per instruction, operands as slots of a dense frame.
//!
//! Values get slots in the order in which they are found, results of one instruction and parameters of one block
//! in a row; constants are not in frames but in a pool of the function. Edges carry their moves ready made.

use crate::entity::{Global, Inst};
use crate::op::Op;
use crate::types::{Scalar, Space, Type};
use std::sync::Arc;

use super::value::Val;

/// Where an operand is: a slot of the frame, or, with [`CONSTANT`] set, a constant of the function.
pub(super) type Operand = u32;
/// Marks operands that are constants.
pub(super) const CONSTANT: Operand = 1 << 31;

/// A range of [`Code::operands`].
#[derive(Copy, Clone, Debug)]
pub(super) struct List {
    pub start: u32,
    pub count: u32,
}

/// How an instruction accesses memory, apart from the address.
#[derive(Copy, Clone, Debug)]
pub(super) struct Via {
    pub space: Space,
    pub align: u32,
}

/// One decoded instruction. `dest` is the slot of the first result.
#[derive(Debug)]
pub(super) enum Step {
    Scalar {
        op: Op,
        from: Scalar,
        to: Scalar,
        guarded: bool,
        count: u8,
        args: [Operand; 3],
        dest: u32,
    },
    Lanes {
        op: Op,
        guarded: bool,
        from: Type,
        to: Type,
        args: List,
        dest: u32,
    },
    Choose {
        condition: Operand,
        yes: Operand,
        no: Operand,
        dest: u32,
    },
    Copy {
        from: Operand,
        dest: u32,
    },
    Make {
        ty: Type,
        args: List,
        dest: u32,
    },
    Get {
        from: Operand,
        ty: Type,
        offset: u32,
        dest: u32,
    },
    Set {
        from: Operand,
        value: Operand,
        ty: Type,
        offset: u32,
        dest: u32,
    },
    Index {
        base: Operand,
        index: Operand,
        from: Scalar,
        scale: u64,
        dest: u32,
    },
    FieldAddress {
        base: Operand,
        offset: u64,
        dest: u32,
    },
    Global {
        global: Global,
        dest: u32,
    },
    Slot {
        home: u32,
        size: u64,
        align: u32,
        dest: u32,
    },
    Load {
        address: Operand,
        ty: Scalar,
        via: Via,
        dest: u32,
    },
    LoadParts {
        address: Operand,
        ty: Type,
        parts: u32,
        via: Via,
        dest: u32,
    },
    Store {
        address: Operand,
        value: Operand,
        ty: Scalar,
        via: Via,
    },
    StoreParts {
        address: Operand,
        value: Operand,
        ty: Type,
        parts: u32,
        via: Via,
    },
    MemCopy {
        to: Operand,
        from: Operand,
        size: Operand,
        to_via: Via,
        from_via: Via,
    },
    MemSet {
        to: Operand,
        byte: Operand,
        size: Operand,
        via: Via,
    },
    AtomicLoad {
        address: Operand,
        ty: Scalar,
        via: Via,
        orders: bool,
        dest: u32,
    },
    AtomicStore {
        address: Operand,
        value: Operand,
        ty: Scalar,
        via: Via,
        orders: bool,
    },
    Rmw {
        op: Option<Op>,
        address: Operand,
        value: Operand,
        ty: Scalar,
        via: Via,
        orders: bool,
        dest: u32,
    },
    CompareExchange {
        args: [Operand; 3],
        ty: Scalar,
        via: Via,
        orders: bool,
        dest: u32,
    },
    Fence,
    WorkItem {
        op: Op,
        dimension: u8,
        dest: u32,
    },
    Barrier,
    Trap,
    Subgroup {
        op: Op,
        ty: Scalar,
        value: Operand,
        lane: Operand,
        dest: u32,
    },
    Clock {
        dest: u32,
    },
    Call {
        func: u32,
        args: List,
        dest: u32,
    },
    CallExtern {
        number: u32,
        args: List,
        dest: u32,
    },
    CallIndirect {
        address: Operand,
        signature: u32,
        args: List,
        dest: u32,
    },
    Jump {
        edge: u32,
    },
    Branch {
        condition: Operand,
        yes: u32,
        no: u32,
    },
    Switch {
        selector: Operand,
        table: u32,
    },
    Return {
        args: List,
    },
    Throw {
        kind: u32,
        types: u32,
        args: List,
    },
    Unreachable,
    Assert {
        condition: Operand,
        message: u32,
    },
    /// Throws unless the condition holds.
    Check {
        condition: Operand,
        kind: u32,
        types: u32,
        args: List,
    },
    Input {
        name: u32,
        dest: u32,
    },
    Print {
        format: u32,
        types: u32,
        args: List,
    },
    Malformed {
        message: u32,
    },
}

/// Where control goes, and what moves into the parameters there.
#[derive(Debug)]
pub(super) struct Edge {
    /// The first step of the destination.
    pub target: u32,
    /// Operands for the parameters.
    pub args: List,
    /// The slot of the first parameter.
    pub params: u32,
    /// Whether a parameter is also an operand of a later move, so that all operands must be read first.
    pub parallel: bool,
}

/// Case values in order with their edges, and the edge for everything else.
#[derive(Debug)]
pub(super) struct Cases {
    pub cases: Vec<(u128, u32)>,
    pub otherwise: u32,
}

/// A decoded function.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub steps: Vec<Step>,
    /// The instruction behind each step.
    pub insts: Vec<Inst>,
    pub operands: Vec<Operand>,
    pub constants: Vec<Val>,
    pub edges: Vec<Edge>,
    pub tables: Vec<Cases>,
    pub parts: Vec<Box<[(usize, usize)]>>,
    pub thrown: Vec<(Arc<str>, Option<Arc<str>>)>,
    pub messages: Vec<Arc<str>>,
    /// Types of what is printed.
    pub printed: Vec<Box<[Type]>>,
    /// How many slots a frame has. The parameters of the function are the first ones.
    pub slots: u32,
}

impl Code {
    /// The operands of a list.
    #[inline]
    pub fn list(&self, list: List) -> &[Operand] {
        let start = list.start as usize;
        self.operands.get(start..start + list.count as usize).unwrap_or(&[])
    }
}

/// An operand's value, in a frame that belongs to `code`.
#[inline]
pub(super) fn operand<'a>(code: &'a Code, frame: &'a [Val], at: Operand) -> &'a Val {
    static NOTHING: Val = Val::Bits(0);
    let found = if at & CONSTANT == 0 {
        frame.get(at as usize)
    } else {
        code.constants.get((at ^ CONSTANT) as usize)
    };
    found.unwrap_or(&NOTHING)
}

/// The bits of a scalar operand.
#[inline]
pub(super) fn bits(code: &Code, frame: &[Val], at: Operand) -> u128 {
    match operand(code, frame, at) {
        Val::Bits(bits) => *bits,
        Val::Lanes(_) | Val::Bytes(_) => 0,
    }
}
