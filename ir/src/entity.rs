//! The ids of everything: dense `u32` indices into flat tables.
//!
//! An id prints the way the text format spells it, so that every log line and every error speaks the
//! language for free. Ids mean nothing outside the body, unit or program that made them.

use cranelift_entity::entity_impl;
use std::fmt;

macro_rules! entities {
    ($($(#[doc = $doc:literal])+ $name:ident = $prefix:literal;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);
        entity_impl!($name, $prefix);
    )*};
}

entities! {
    /// An SSA value of a body: an instruction's result, a block parameter or a constant.
    Value = "v";
    /// An instruction of a body.
    Inst = "inst";
    /// A basic block of a body.
    Block = "block";
    /// One edge of a terminator: a destination block and the arguments for its parameters.
    BlockCall = "edge";
    /// A constant of a body; equal constants share one id.
    Const = "const";
    /// A name that an instruction mentions: callee, global, exception or message.
    SymbolRef = "sym";
    /// The case values of one `switch`.
    Switch = "switch";
    /// A signature mentioned by a body (indirect calls).
    SigRef = "sig";
    /// A call of a body that was replaced by the code of its callee.
    Inlined = "inlined";
    /// A method of a program.
    Method = "method";
    /// A method table of a program.
    Table = "table";
    /// A global variable of a program or a unit.
    Global = "global";
    /// A function that the host supplies, of a program or a unit.
    Extern = "extern";
    /// A monomorphic function of a unit.
    Func = "func";
}

impl Table {
    /// The table of ordinary methods: what native code sees.
    pub const BASE: Table = Table(0);
    /// The table of the runtime's overlays; private to this project.
    pub const DEVICE: Table = Table(1);
    /// The table of the standard runtime provider; private to this project.
    pub const STANDARD: Table = Table(2);
}

/// What a message can be about.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AnyEntity {
    /// A value of a body.
    Value(Value),
    /// An instruction of a body.
    Inst(Inst),
    /// A block of a body.
    Block(Block),
    /// A method of a program.
    Method(Method),
    /// A function of a unit.
    Func(Func),
    /// A global.
    Global(Global),
    /// A function of the host.
    Extern(Extern),
}

impl fmt::Display for AnyEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyEntity::Value(id) => id.fmt(f),
            AnyEntity::Inst(id) => id.fmt(f),
            AnyEntity::Block(id) => id.fmt(f),
            AnyEntity::Method(id) => id.fmt(f),
            AnyEntity::Func(id) => id.fmt(f),
            AnyEntity::Global(id) => id.fmt(f),
            AnyEntity::Extern(id) => id.fmt(f),
        }
    }
}
