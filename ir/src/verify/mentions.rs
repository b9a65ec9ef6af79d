//! What instructions mention by name: callees, globals, exceptions, messages.

use crate::body::Symbol;
use crate::diag::Code;
use crate::entity::{Inst, SymbolRef};
use crate::infer::ResultTypes;
use crate::library;
use crate::limits::MAX_PARAMS;
use crate::op::Shape;
use crate::program::MethodKind;
use crate::signature::Signature;
use crate::types::{Space, Type};
use crate::verify::edges::differ;
use crate::verify::module::Module;
use crate::verify::report::Checker;

impl<'a> Checker<'a> {
    fn symbol(&self, inst: Inst) -> &'a Symbol {
        self.body.symbol(SymbolRef::from_u32(self.body.inst(inst).imm))
    }

    /// Whether a mentioned name is of the right kind and, in a unit, exists.
    pub(super) fn mention(&mut self, inst: Inst) -> bool {
        match self.body.inst(inst).op.info().shape {
            Shape::Call => self.function_mention(inst, false),
            Shape::FunctionAddress => self.function_mention(inst, true),
            Shape::GlobalAddress => self.global_mention(inst),
            Shape::Throw => {
                let fits = matches!(self.symbol(inst), Symbol::Exception(..));
                self.kind(inst, fits, "an exception")
            }
            Shape::Input => {
                let fits = matches!(self.symbol(inst), Symbol::Name(_));
                self.kind(inst, fits, "a name")
            }
            Shape::Assert | Shape::StaticAssert | Shape::Print => {
                let fits = matches!(self.symbol(inst), Symbol::Message(_));
                self.kind(inst, fits, "a message")
            }
            Shape::Query => {
                let fits = matches!(self.symbol(inst), Symbol::Message(_));
                self.kind(inst, fits, "a key")
            }
            _ => true,
        }
    }

    fn kind(&mut self, inst: Inst, fits: bool, wanted: &str) -> bool {
        if !fits {
            let op = self.body.inst(inst).op;
            self.at_inst(Code::SymbolKind, inst, format!("{op}: expected {wanted}"));
        }
        fits
    }

    fn function_mention(&mut self, inst: Inst, address: bool) -> bool {
        let (symbol, Module::Unit(unit)) = (self.symbol(inst), self.module) else {
            return match self.symbol(inst) {
                Symbol::Overload(_, params) if address => {
                    if params.len() > MAX_PARAMS {
                        let message = format!("{} parameter types, the most is {MAX_PARAMS}", params.len());
                        self.at_inst(Code::Limit, inst, message);
                        return false;
                    }
                    let problem = params.iter().find_map(|&ty| self.settled_type_problem(ty));
                    if let Some((code, problem)) = problem {
                        self.at_inst(code, inst, format!("parameter of the named function {problem}"));
                        return false;
                    }
                    true
                }
                Symbol::Name(_) | Symbol::Operand if !address => true,
                _ if address => self.kind(inst, false, "a name with parameter types"),
                _ => self.kind(inst, false, "a name"),
            };
        };
        match *symbol {
            Symbol::Func(func) => match unit.funcs.get(func) {
                None => self.missing(inst, func.to_string()),
                Some(callee) if callee.kind == MethodKind::Kernel => {
                    self.kind(inst, false, "a function, kernels are launched")
                }
                Some(_) => true,
            },
            // What the device library will be linked to.
            Symbol::Name(ref name) if !address && library::intrinsic(name).is_some() => true,
            Symbol::Extern(id) if unit.externs.is_valid(id) => true,
            Symbol::Extern(id) => self.missing(inst, id.to_string()),
            _ => self.kind(inst, false, "a function or extern of the unit"),
        }
    }

    fn global_mention(&mut self, inst: Inst) -> bool {
        let space = match (self.symbol(inst), self.module) {
            (Symbol::Name(name), Module::Program(program)) => {
                // Names that nobody defined are for dispatch to report.
                let global = program.find_global(name).and_then(|id| program.globals.get(id));
                let Some(global) = global else { return true };
                global.space
            }
            (Symbol::Global(id), Module::Unit(unit)) => match unit.globals.get(*id) {
                None => return self.missing(inst, id.to_string()),
                Some(global) => global.space,
            },
            _ => return self.kind(inst, false, "a global"),
        };
        self.space(inst, space)
    }

    fn space(&mut self, inst: Inst, wanted: Space) -> bool {
        let found = self.body.inst(inst).ty;
        let fits = found.space().is_none_or(|space| space == wanted);
        if !fits {
            let message = format!("address of type {found}, but the global is in {} memory", wanted.name());
            self.at_inst(Code::AddressSpace, inst, message);
        }
        fits
    }

    fn missing(&mut self, inst: Inst, what: String) -> bool {
        self.at_inst(Code::DanglingId, inst, format!("{what} does not exist in the unit"));
        false
    }

    /// The results of a call's callee, after its operands were compared with the callee's parameters.
    pub(super) fn callee_results(&mut self, inst: Inst) -> Option<ResultTypes> {
        let Module::Unit(unit) = self.module else { return None };
        let (signature, name): (&Signature, &str) = match *self.symbol(inst) {
            Symbol::Func(func) => unit.funcs.get(func).map(|f| (&f.signature, &*f.name))?,
            Symbol::Extern(id) => unit.externs.get(id).map(|e| (&e.signature, &*e.name))?,
            Symbol::Name(ref name) => library::intrinsic(name).map(|i| (&i.signature, &*i.link_name))?,
            _ => return None,
        };
        let args = self.body.args(inst);
        if args.len() != signature.params.len() {
            let wanted = signature.params.len();
            let message = format!("{} arguments for '{name}', which takes {wanted}", args.len());
            self.at_inst(Code::Callee, inst, message);
        } else {
            for (n, (&arg, &wanted)) in args.iter().zip(&signature.params).enumerate() {
                let found = self.value_type(arg);
                if differ(found, wanted) {
                    let (found, wanted) = (self.types.display(found), self.types.display(wanted));
                    let message =
                        format!("argument {} for '{name}' has type {found}, expected {wanted}", n + 1);
                    self.at_inst(Code::Callee, inst, message);
                }
            }
        }
        let found = self.body.results(inst).len();
        if found != signature.results.len() {
            let wanted = signature.results.len();
            let message = format!("{found} results of '{name}', which gives {wanted}");
            self.at_inst(Code::Callee, inst, message);
            return None;
        }
        for (value, &wanted) in self.body.results(inst).zip(&signature.results) {
            let declared = self.body.value_type(value);
            if differ(declared, wanted) {
                let (found, wanted) = (self.types.display(declared), self.types.display(wanted));
                let message = format!("result of '{name}' has type {found}, expected {wanted}");
                self.at_inst(Code::Callee, inst, message);
                self.facts.failed.insert(value);
            }
        }
        // What differs was reported and failed; the rest is compared once more for unknown types.
        let agreed =
            |value| if self.facts.failed.contains(value) { Type::ERROR } else { self.body.value_type(value) };
        Some(self.body.results(inst).map(agreed).collect())
    }
}
