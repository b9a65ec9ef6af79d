//! Instruction selection for one function, the same for both environments.
//!
//! [`Selector`] owns the function under construction: its variables, its prologue (code that dominates everything:
//! arguments, addresses of variables) and its blocks. The files `select_*.rs` and `intrinsics.rs` extend it, one family of
//! ops each. Values map to ids; where control flow is structured, some live in variables (see [`structure`](super::structure)).

use super::debug::Debug;
use super::module::{Id, Module, Words};
use super::pointers::Objects;
use super::structure::Structurer;
use super::structure::graph::Graph;
use super::{Api, internal};
use crate::artifact::Relocation;
use crate::error::EmitError;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::{Body, Symbol, ValueDef};
use marquetry_ir::constant::ConstValue;
use marquetry_ir::entity::{Func, Global, Inst, SymbolRef, Value};
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use marquetry_ir::unit::{Function, Unit};
use rspirv::spirv::{BuiltIn, Decoration, Op, StorageClass};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// What all functions of a unit share while it is emitted.
pub(super) struct State<'u> {
    pub module: &'u mut Module,
    pub scratch: &'u mut Scratch,
    pub unit: &'u Unit,
    /// Ids of the functions.
    pub functions: Vec<Id>,
    /// Variables of globals, for OpenCL.
    pub globals: FxHashMap<Global, Id>,
    /// Input variables by number of their built-in.
    pub builtins: SmallVec<[(u32, Id); 4]>,
    /// The three constants of the group size, for Vulkan.
    pub group_size: Option<[Id; 3]>,
    /// What pointers point to, for Vulkan.
    pub objects: Objects,
    /// Words that the host supplies.
    pub relocations: Vec<Relocation>,
    /// Places in the source.
    pub debug: Debug<'u>,
    /// What each function uses.
    pub uses: Vec<Uses>,
}

/// What a function uses; once it is finished, each once and ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// Module-scope variables.
    pub globals: SmallVec<[Id; 8]>,
    /// Functions that it calls.
    pub callees: SmallVec<[u32; 4]>,
}

impl Uses {
    /// The function is finished.
    pub fn settle(&mut self) {
        self.globals.sort_unstable();
        self.globals.dedup();
        self.callees.sort_unstable();
        self.callees.dedup();
    }
}

/// The tables of functions and of their structure, for the next function to use again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub buffers: Buffers,
    pub graph: Graph,
    pub structurer: Structurer,
    /// The node that makes each value.
    pub makers: Vec<u32>,
}

/// The tables of one function.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Ids of values, 0 for none yet.
    pub ids: Vec<Id>,
    /// For values in variables: in which stretch of code `ids` is valid.
    pub stretch_of: Vec<u32>,
    /// Variables of values, 0 for none.
    pub variables: Vec<Id>,
    /// What stands before its first block.
    pub head: Words,
    /// Variables of the function, the first instructions of its first block.
    pub locals: Words,
    /// What follows them.
    pub prologue: Words,
    /// The blocks.
    pub code: Words,
}

/// One function under construction.
pub(super) struct Selector<'s, 'u> {
    pub state: &'s mut State<'u>,
    pub unit: &'u Unit,
    pub func: Func,
    pub function: &'u Function,
    pub body: &'u Body,
    pub cfg: &'s ControlFlow,
    pub buffers: Buffers,
    /// The stretch of code that is being emitted: changes with each label, where values live in variables.
    pub stretch: u32,
    /// The label of the prologue, and of the block that it goes on to.
    pub prologue_label: Id,
    pub first_label: Id,
    /// Whether instructions go to the prologue.
    pub in_prologue: bool,
}

/// Operand ids of an instruction.
pub(super) type Operands = SmallVec<[Id; 4]>;

impl<'s, 'u> Selector<'s, 'u> {
    /// Starts a function.
    pub(super) fn new(state: &'s mut State<'u>, func: Func, cfg: &'s ControlFlow) -> Self {
        let unit = state.unit;
        let function = &unit.funcs[func];
        let count = function.body.value_count();
        let mut buffers = std::mem::take(&mut state.scratch.buffers);
        for table in [&mut buffers.ids, &mut buffers.stretch_of, &mut buffers.variables] {
            table.clear();
            table.resize(count, 0);
        }
        for words in [&mut buffers.head, &mut buffers.locals, &mut buffers.prologue, &mut buffers.code] {
            words.0.clear();
        }
        // About what instructions take, with the labels and branches around them.
        buffers.code.0.reserve(function.body.inst_count() * 8);
        Selector {
            state,
            unit,
            func,
            function,
            body: &function.body,
            cfg,
            buffers,
            stretch: 0,
            prologue_label: 0,
            first_label: 0,
            in_prologue: false,
        }
    }

    /// The module.
    pub(super) fn module(&mut self) -> &mut Module {
        self.state.module
    }

    /// Whether the environment is Vulkan.
    pub(super) fn is_vulkan(&self) -> bool {
        self.state.module.env.api == Api::Vulkan
    }

    fn target(&mut self) -> &mut Words {
        if self.in_prologue { &mut self.buffers.prologue } else { &mut self.buffers.code }
    }

    /// Adds an instruction with a result.
    #[inline]
    pub(super) fn emit(&mut self, op: Op, ty: Id, operands: &[Id]) -> Id {
        let id = self.module().id();
        let words = self.target();
        words.0.push(((operands.len() as u32 + 3) << 16) | op as u32);
        words.0.extend([ty, id]);
        words.0.extend_from_slice(operands);
        id
    }

    /// Adds an instruction without a result.
    pub(super) fn emit_void(&mut self, op: Op, operands: &[Id]) {
        self.target().op(op, operands);
        if op == Op::Label {
            self.resume_place();
        }
    }

    /// Adds an instruction that computes with floats. Without `NoContraction`, Vulkan drivers fuse and fold
    /// (SPIR-V 3.20); OpenCL modules say `ContractionOff` once per kernel.
    pub(super) fn emit_float(&mut self, op: Op, ty: Id, operands: &[Id]) -> Id {
        let id = self.emit(op, ty, operands);
        if self.is_vulkan() {
            self.module().decorate(id, Decoration::NoContraction, &[]);
        }
        id
    }

    /// Adds an instruction of the environment's extended set.
    pub(super) fn emit_std(&mut self, instruction: u32, ty: Id, operands: &[Id]) -> Id {
        let set = self.module().std();
        let mut all: SmallVec<[u32; 5]> = SmallVec::from_slice(&[set, instruction]);
        all.extend_from_slice(operands);
        self.emit(Op::ExtInst, ty, &all)
    }

    /// A variable of the function, with a pointer type of its own.
    pub(super) fn local_variable(&mut self, ty: Id) -> Id {
        let pointer = self.module().pointer(StorageClass::Function, ty);
        let id = self.module().id();
        self.buffers.locals.op(Op::Variable, &[pointer, id, StorageClass::Function as u32]);
        id
    }

    /// The id of a type in registers.
    pub(super) fn type_id(&mut self, ty: Type) -> Result<Id, EmitError> {
        let found = self.module().value_type(ty);
        found.ok_or_else(|| internal(&format!("type {ty} is not legal for SPIR-V")))
    }

    /// The id of a value, loaded from its variable if it lives there.
    pub(super) fn value(&mut self, value: Value) -> Result<Id, EmitError> {
        let index = value.as_u32() as usize;
        if let ValueDef::Const(id) = self.body.value_def(value) {
            if self.buffers.ids[index] == 0 {
                let constant = self.body.constant(id);
                let bits = match constant.value {
                    ConstValue::Scalar(bits) => bits as u64,
                    ConstValue::Zero => 0,
                    ConstValue::Literal(_) | ConstValue::Variable(_) => {
                        return Err(internal("an unsettled constant in a legal unit"));
                    }
                    ConstValue::Lanes(_) => return Err(internal("a vector constant in a legal unit")),
                };
                self.buffers.ids[index] = self.constant(constant.ty, bits)?;
            }
            return Ok(self.buffers.ids[index]);
        }
        let variable = self.buffers.variables[index];
        if variable != 0 && self.buffers.stretch_of[index] != self.stretch {
            let ty = self.type_id(self.body.value_type(value))?;
            self.buffers.ids[index] = self.emit(Op::Load, ty, &[variable]);
            self.buffers.stretch_of[index] = self.stretch;
        }
        match self.buffers.ids[index] {
            0 => Err(internal(&format!("{value} is used before it is made"))),
            id => Ok(id),
        }
    }

    /// A constant in registers.
    pub(super) fn constant(&mut self, ty: Type, bits: u64) -> Result<Id, EmitError> {
        match ty.kind() {
            TypeKind::Scalar(scalar) => Ok(self.module().const_scalar(scalar, bits)),
            TypeKind::Pointer(_) if self.is_vulkan() => Ok(self.module().const_int(64, bits)),
            TypeKind::Pointer(_) if bits == 0 => {
                let ty = self.type_id(ty)?;
                Ok(self.module().intern_const(Op::ConstantNull, ty, &[]))
            }
            TypeKind::Pointer(_) => {
                let ty = self.type_id(ty)?;
                let address = self.module().const_int(64, bits);
                let before = std::mem::replace(&mut self.in_prologue, true);
                let id = self.emit(Op::ConvertUToPtr, ty, &[address]);
                self.in_prologue = before;
                Ok(id)
            }
            _ => Err(internal(&format!("a constant of type {ty} in a legal unit"))),
        }
    }

    /// Sets what a value is, and stores it where it lives in a variable.
    pub(super) fn define(&mut self, value: Value, id: Id) {
        let index = value.as_u32() as usize;
        self.buffers.ids[index] = id;
        self.buffers.stretch_of[index] = self.stretch;
        self.name_value(value, id);
        let variable = self.buffers.variables[index];
        if variable != 0 {
            self.emit_void(Op::Store, &[variable, id]);
        }
    }

    /// The ids of all operands of an instruction.
    pub(super) fn operands(&mut self, inst: Inst) -> Result<Operands, EmitError> {
        let body = self.body;
        let mut ids = Operands::new();
        for &arg in body.args(inst) {
            ids.push(self.value(arg)?);
        }
        Ok(ids)
    }

    /// The type of an operand.
    pub(super) fn arg_type(&self, inst: Inst, index: usize) -> Type {
        self.body.args(inst).get(index).map_or(Type::ERROR, |&arg| self.body.value_type(arg))
    }

    /// The scalar type of an operand.
    pub(super) fn arg_scalar(&self, inst: Inst, index: usize) -> Result<Scalar, EmitError> {
        let ty = self.arg_type(inst, index);
        ty.as_scalar().ok_or_else(|| internal(&format!("an operand of type {ty} in a legal unit")))
    }

    /// Notes that the function uses a module-scope variable.
    pub(super) fn use_global(&mut self, id: Id) {
        if let Some(uses) = self.state.uses.get_mut(self.func.as_u32() as usize) {
            uses.globals.push(id);
        }
    }

    /// An input variable, made if it does not exist yet.
    pub(super) fn builtin(&mut self, builtin: BuiltIn, ty: Id) -> Id {
        let known = self.state.builtins.iter().find(|(known, _)| *known == builtin as u32);
        let id = match known {
            Some(&(_, id)) => id,
            None => {
                let id = self.module().builtin(builtin, ty);
                self.state.builtins.push((builtin as u32, id));
                id
            }
        };
        self.use_global(id);
        id
    }

    /// The function that a call names.
    pub(super) fn callee(&self, inst: Inst) -> Result<Func, EmitError> {
        match self.body.symbol(SymbolRef::from_u32(self.body.inst(inst).imm)) {
            Symbol::Func(func) => Ok(*func),
            other => Err(internal(&format!("a call of {other:?} in a legal unit"))),
        }
    }

    /// Selects everything but terminators.
    pub(super) fn select(&mut self, inst: Inst) -> Result<(), EmitError> {
        use IrOp::*;
        let data = self.body.inst(inst);
        let op = data.op;
        match op {
            Add | Sub | Mul | Neg | Abs | Div | DivS | DivU | Rem | RemS | RemU | MulHighS | MulHighU
            | AddSatS | AddSatU | SubSatS | SubSatU | MinS | MinU | MaxS | MaxU | Min | Max | MinNumber
            | MaxNumber | Fma | Sqrt | Ceil | Floor | RoundZero | RoundEven | RoundAway | CopySign | And
            | Or | Xor | Not | Shl | ShrS | ShrU | RotL | RotR | Clz | Ctz | PopCount | BitReverse
            | ByteSwap | Eq | Ne | LtS | LeS | GtS | GeS | LtU | LeU | GtU | GeU | Lt | Le | Gt | Ge
            | One | Ueq | Ult | Ule | Ugt | Uge | Ord | Uno | Select | Trunc | Zext | Sext | FConvert
            | FToS | FToU | SToF | UToF | Bitcast => {
                let id = self.scalar_op(inst, op)?;
                self.define_first(inst, id)
            }
            AddOverflowS | AddOverflowU | SubOverflowS | SubOverflowU | MulOverflowS | MulOverflowU => {
                let (result, overflow) = self.overflow_op(inst, op)?;
                self.define_all(inst, &[result, overflow])
            }
            PtrToInt | IntToPtr | SpaceCast | PtrAdd | Index | FieldAddress | GlobalAddress | Slot => {
                let id = self.address_op(inst, op)?;
                self.define_first(inst, id)
            }
            Load => {
                let id = self.load(inst)?;
                self.define_first(inst, id)
            }
            Store => self.store(inst),
            AtomicLoad | AtomicStore | RmwExchange | RmwAdd | RmwSub | RmwAnd | RmwOr | RmwXor | RmwMinS
            | RmwMinU | RmwMaxS | RmwMaxU | CompareExchange | Fence => self.atomic_op(inst, op),
            LocalId | GroupId | GroupSize | GroupCount | SubgroupSize | SubgroupLane | SubgroupShuffle
            | SubgroupShuffleXor | SubgroupShuffleUp | SubgroupShuffleDown | SubgroupAny | SubgroupAll
            | SubgroupBallot | SubgroupReduceAdd | SubgroupReduceAnd | SubgroupReduceOr
            | SubgroupReduceXor | SubgroupReduceMinS | SubgroupReduceMinU | SubgroupReduceMaxS
            | SubgroupReduceMaxU | Clock => {
                let id = self.work_item_op(inst, op)?;
                self.define_first(inst, id)
            }
            Barrier | SubgroupBarrier => self.barrier(op == Barrier),
            Call => self.call(inst),
            // None of these is legal for SPIR-V: see `legality`.
            Splat | Extract | Insert | Shuffle | ReduceAdd | ReduceMul | ReduceAnd | ReduceOr | ReduceXor
            | ReduceMinS | ReduceMinU | ReduceMaxS | ReduceMaxU | ReduceMin | ReduceMax | Make | GetField
            | SetField | BoundsCheck | MemCopy | MemSet | RmwMin | RmwMax | CallIndirect
            | FunctionAddress | Unresolved | StaticAssert | Assert | Sentinel | Print | KernelInput
            | TargetQuery | Scratch | Trap => Err(internal(&format!("'{op}' in a unit for SPIR-V"))),
            Jump | Branch | Switch | Return | Throw | Unreachable => {
                Err(internal(&format!("'{op}' in the middle of a block")))
            }
        }
    }

    fn define_first(&mut self, inst: Inst, id: Id) -> Result<(), EmitError> {
        self.define_all(inst, &[id])
    }

    /// Sets what the results of an instruction are.
    pub(super) fn define_all(&mut self, inst: Inst, ids: &[Id]) -> Result<(), EmitError> {
        for (value, &id) in self.body.results(inst).zip(ids) {
            self.define(value, id);
        }
        Ok(())
    }

    /// A call of a function of the unit.
    fn call(&mut self, inst: Inst) -> Result<(), EmitError> {
        let callee = self.callee(inst)?;
        if let Some(uses) = self.state.uses.get_mut(self.func.as_u32() as usize) {
            uses.callees.push(callee.as_u32());
        }
        let function =
            *self.state.functions.get(callee.as_u32() as usize).ok_or_else(|| internal("a dangling call"))?;
        let results = &self.unit.funcs[callee].signature.results;
        let ty = self.module().result_type(results)?;
        let mut operands: SmallVec<[Id; 8]> = SmallVec::from_slice(&[function]);
        operands.extend(self.operands(inst)?);
        let id = self.emit(Op::FunctionCall, ty, &operands);
        match results.len() {
            0 => Ok(()),
            1 => self.define_first(inst, id),
            _ => {
                let mut parts = SmallVec::<[Id; 4]>::new();
                for (n, &result) in results.iter().enumerate() {
                    let part = self.type_id(result)?;
                    parts.push(self.emit(Op::CompositeExtract, part, &[id, n as u32]));
                }
                self.define_all(inst, &parts)
            }
        }
    }

    /// Whether a value is the same everywhere in the function, and defined in the prologue or at module scope.
    pub(super) fn is_fixed(&self, inst: Inst) -> bool {
        let data = self.body.inst(inst);
        matches!(data.op, IrOp::Slot | IrOp::GlobalAddress)
    }
}
