//! Selection of addresses: of slots, of globals, and computed from others.

use super::module::Id;
use super::select::Selector;
use super::{internal, types};
use crate::error::EmitError;
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Global, Inst, SymbolRef};
use marquetry_ir::op::Op as IrOp;
use marquetry_ir::types::{Space, Type};
use rspirv::spirv::{Decoration, Op};
use smallvec::SmallVec;

impl Selector<'_, '_> {
    /// Selects an op that makes a pointer, or a number of one.
    pub(super) fn address_op(&mut self, inst: Inst, op: IrOp) -> Result<Id, EmitError> {
        let data = self.body.inst(inst);
        let result = self.body.first_result(inst).map_or(Type::ERROR, |v| self.body.value_type(v));
        match op {
            IrOp::Slot => return self.slot(inst, data.ty),
            IrOp::GlobalAddress => {
                let Symbol::Global(global) = self.body.symbol(SymbolRef::from_u32(data.imm)) else {
                    return Err(internal("an address of a name in a legal unit"));
                };
                return self.global_address(*global, result);
            }
            _ => {}
        }
        let args = self.operands(inst)?;
        let first = self.arg_type(inst, 0);
        let layout = |ty| self.unit.types.layout(ty).ok_or_else(|| internal("a type without layout"));
        match op {
            IrOp::PtrAdd => self.move_pointer(args[0], first, args[1]),
            IrOp::FieldAddress => {
                let offset = self.unit.types.field_offset(data.ty, u64::from(data.imm));
                let offset = offset.ok_or_else(|| internal("a field that does not exist"))?;
                if offset == 0 {
                    return Ok(args[0]);
                }
                let offset = self.module().const_int(64, offset);
                self.move_pointer(args[0], first, offset)
            }
            IrOp::Index => {
                let size = layout(data.ty)?.size;
                let bits = self.arg_scalar(inst, 1)?.bits();
                let long = self.module().int(64);
                let mut index = args[1];
                if bits < 64 {
                    index = self.emit(Op::SConvert, long, &[index]);
                }
                if size != 1 {
                    let size = self.module().const_int(64, size);
                    index = self.emit(Op::IMul, long, &[index, size]);
                }
                self.move_pointer(args[0], first, index)
            }
            _ if self.is_vulkan() => Ok(args[0]),
            IrOp::PtrToInt => {
                let long = self.module().int(64);
                Ok(self.emit(Op::ConvertPtrToU, long, &args))
            }
            IrOp::IntToPtr => {
                let ty = self.type_id(result)?;
                Ok(self.emit(Op::ConvertUToPtr, ty, &args))
            }
            IrOp::SpaceCast => self.cast_space(args[0], first, result),
            _ => Err(internal(&format!("'{op}' is no address"))),
        }
    }

    fn move_pointer(&mut self, pointer: Id, ty: Type, bytes: Id) -> Result<Id, EmitError> {
        let ty = self.type_id(ty)?;
        let op = if self.is_vulkan() { Op::IAdd } else { Op::PtrAccessChain };
        Ok(self.emit(op, ty, &[pointer, bytes]))
    }

    /// Constant memory is no part of the generic space (OpenCL C 6.7.5), so its addresses go through integers.
    fn cast_space(&mut self, pointer: Id, from: Type, to: Type) -> Result<Id, EmitError> {
        let ty = self.type_id(to)?;
        let constant = [from, to].iter().any(|t| matches!(t.space(), Some(Space::Constant | Space::Param)));
        if constant {
            let long = self.module().int(64);
            let number = self.emit(Op::ConvertPtrToU, long, &[pointer]);
            return Ok(self.emit(Op::ConvertUToPtr, ty, &[number]));
        }
        let generic = to.space() == Some(Space::Generic);
        Ok(self.emit(if generic { Op::PtrCastToGeneric } else { Op::GenericCastToPtr }, ty, &[pointer]))
    }

    fn slot(&mut self, inst: Inst, ty: Type) -> Result<Id, EmitError> {
        if self.is_vulkan() {
            let object =
                self.state.objects.slot(self.func, inst).ok_or_else(|| internal("an unknown slot"))?;
            return Ok(self.object_pointer(object));
        }
        let layout = self.unit.types.layout(ty).ok_or_else(|| internal("a slot without layout"))?;
        let byte = self.module().int(8);
        let array = self.module().array(byte, layout.size.max(1));
        let variable = self.local_variable(array);
        // Slots are aligned so that vectors of any type may be put there.
        self.module().decorate(variable, Decoration::Alignment, &[layout.align]);
        let pointer = self.module().byte_pointer(Space::Local);
        Ok(self.in_prologue(|s| s.emit(Op::Bitcast, pointer, &[variable])))
    }

    fn in_prologue<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.in_prologue, true);
        let result = f(self);
        self.in_prologue = before;
        result
    }

    fn global_address(&mut self, global: Global, result: Type) -> Result<Id, EmitError> {
        let data = &self.unit.globals[global];
        if self.is_vulkan() {
            let object = self.state.objects.global(global);
            let object = object.ok_or_else(|| internal("a variable in global memory"))?;
            return Ok(self.object_pointer(object));
        }
        let variable = match self.state.globals.get(&global) {
            Some(&id) => id,
            None => {
                let id = self.global_variable(global)?;
                self.state.globals.insert(global, id);
                id
            }
        };
        self.use_global(variable);
        let pointer = self.module().byte_pointer(data.space);
        let address = self.in_prologue(|s| s.emit(Op::Bitcast, pointer, &[variable]));
        if result.space() == Some(data.space) {
            return Ok(address);
        }
        let from = Type::pointer(data.space);
        self.in_prologue(|s| s.cast_space(address, from, result))
    }

    /// A variable of OpenCL for a global: an array of integers as wide as its alignment.
    fn global_variable(&mut self, global: Global) -> Result<Id, EmitError> {
        let data = &self.unit.globals[global];
        let layout = data.layout(&self.unit.types).ok_or_else(|| internal("a global without layout"))?;
        let element = layout.align.clamp(1, 8);
        let length = layout.size.div_ceil(u64::from(element)).max(1);
        let class = types::storage_class(data.space);
        let integer = self.module().int(element * 8);
        let array = self.module().array(integer, length);
        let pointer = self.module().pointer(class, array);
        let mut operands: SmallVec<[u32; 2]> = SmallVec::from_slice(&[class as u32]);
        if data.space != Space::Shared {
            operands.push(self.initial_value(array, element, length, global)?);
        }
        let variable = self.module().global(Op::Variable, pointer, &operands);
        self.module().decorate(variable, Decoration::Alignment, &[layout.align]);
        if data.space == Space::Constant {
            self.module().decorate(variable, Decoration::Constant, &[]);
        }
        Ok(variable)
    }
}
