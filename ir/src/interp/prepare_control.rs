//! Decoding calls and terminators.

use super::code::{Cases, Edge, Operand, Step};
use super::memory::Callee;
use super::prepare::{Prepare, Problem};
use crate::body::Symbol;
use crate::entity::{BlockCall, Inst, Switch, SymbolRef, Value};
use crate::op::Op;
use crate::signature::Signature;
use crate::types::{Scalar, Type};

impl Prepare<'_> {
    pub(super) fn symbol(&self, imm: u32) -> Result<&Symbol, Problem> {
        if !self.body.symbol_exists(imm) {
            return Err("name does not exist".into());
        }
        Ok(self.body.symbol(SymbolRef::from_u32(imm)))
    }

    pub(super) fn callee(&self, imm: u32) -> Result<(Callee, &Signature), Problem> {
        match self.symbol(imm)? {
            &Symbol::Func(func) => {
                let function = self.unit.funcs.get(func).ok_or("callee does not exist")?;
                Ok((Callee::Func(func.as_u32()), &function.signature))
            }
            &Symbol::Extern(id) => {
                let data = self.unit.externs.get(id).ok_or("callee does not exist")?;
                Ok((Callee::Extern(id.as_u32()), &data.signature))
            }
            Symbol::Name(name) | Symbol::Overload(name, _) => Err(format!("'{name}' is not resolved")),
            Symbol::Global(_) | Symbol::Exception(..) | Symbol::Message(_) | Symbol::Operand => {
                Err("callee is no function".into())
            }
        }
    }

    pub(super) fn call(&mut self, inst: Inst, dest: u32) -> Result<Step, Problem> {
        let body = self.body;
        let (callee, signature) = self.callee(body.inst(inst).imm)?;
        let types = |values: &mut dyn Iterator<Item = Value>| -> Vec<Type> {
            values.map(|value| self.value_type(value)).collect()
        };
        let fits = types(&mut body.args(inst).iter().copied()) == signature.params
            && types(&mut body.results(inst)) == signature.results;
        if !fits {
            return Err("call does not fit the callee's signature".into());
        }
        let args = self.list(body.args(inst))?;
        Ok(match callee {
            Callee::Func(func) => Step::Call { func, args, dest },
            Callee::Extern(number) => Step::CallExtern { number, args, dest },
        })
    }

    pub(super) fn control(&mut self, inst: Inst, first: Operand) -> Result<Step, Problem> {
        let body = self.body;
        let data = body.inst(inst);
        let values = body.args(inst);
        let types: Vec<Type> = values.iter().map(|&value| self.value_type(value)).collect();
        let targets = body.targets(inst);
        match (data.op, types.as_slice(), targets) {
            (Op::Jump, [], &[target]) => Ok(Step::Jump { edge: self.edge(target)? }),
            (Op::Branch, [Type::I1], &[yes, no]) => {
                Ok(Step::Branch { condition: first, yes: self.edge(yes)?, no: self.edge(no)? })
            }
            (Op::Switch, [selector], [otherwise, rest @ ..])
                if selector.as_scalar().is_some_and(Scalar::is_int) && body.switch_exists(data.imm) =>
            {
                let values = body.switch_cases(Switch::from_u32(data.imm));
                if values.len() != rest.len() {
                    return Err("switch has another number of cases than destinations".into());
                }
                let otherwise = self.edge(*otherwise)?;
                let edges = rest.iter().map(|&call| self.edge(call)).collect::<Result<Vec<_>, _>>()?;
                let mut cases: Vec<(u128, u32)> = values.iter().copied().zip(edges).collect();
                cases.sort_by_key(|case| case.0);
                self.code.tables.push(Cases { cases, otherwise });
                Ok(Step::Switch { selector: first, table: self.code.tables.len() as u32 - 1 })
            }
            (Op::Return, types, []) if types == self.function.signature.results => {
                Ok(Step::Return { args: self.list(values)? })
            }
            (op, ..) => Err(format!("{op} has operands or destinations that do not fit")),
        }
    }

    fn edge(&mut self, call: BlockCall) -> Result<u32, Problem> {
        let body = self.body;
        let block = body.target_block(call);
        let start = self.starts.get(block.as_u32() as usize).copied().flatten();
        let target = start.ok_or_else(|| format!("{block} is not placed"))?;
        let (args, params) = (body.target_args(call), body.block_params(block));
        let exists = |value: &Value| body.value_exists(*value);
        let fits = args.len() == params.len()
            && args.iter().all(exists)
            && args.iter().zip(params).all(|(&a, &p)| self.value_type(a) == self.value_type(p));
        if !fits {
            return Err(format!("arguments do not fit the parameters of {block}"));
        }
        let args = self.list(args)?;
        let params = match params.first() {
            Some(&first) => self.operand(first)?,
            None => 0,
        };
        // A move reads a parameter that an earlier move wrote.
        let list = self.code.list(args).iter().enumerate();
        let parallel = list.clone().any(|(n, &from)| from >= params && from < params + n as u32);
        self.code.edges.push(Edge { target, args, params, parallel });
        Ok(self.code.edges.len() as u32 - 1)
    }
}
