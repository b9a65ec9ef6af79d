//! What a target lacks as a whole: kinds of entries, calls, memory.

use super::{Legaliser, sizes};
use crate::job::EntryConvention;
use crate::legal::EntryAbi;
use crate::target::Action;
use marquetry_ir::body::{Frame, Origin, Symbol};
use marquetry_ir::diag::Code;
use marquetry_ir::entity::{Func, Inst, SymbolRef};
use marquetry_ir::inst::{MemFlags, Order};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::{MethodKind, Reference};
use marquetry_ir::span::Span;
use marquetry_ir::types::{Space, Type};
use marquetry_ir::unit::{Function, Unit};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use rustc_hash::FxHashSet;

impl Legaliser<'_> {
    /// Reports what of the unit the target cannot do at all.
    pub(super) fn check_caps(&mut self, unit: &Unit, abis: &[EntryAbi]) {
        self.check_entries(unit, abis);
        self.check_shared(unit);
        self.check_held(unit);
        self.check_insts(unit);
    }

    fn lacks(&mut self, what: &str) {
        let message = format!("target {} {what}", self.target.name());
        self.problem(Code::Unsupported, message, None);
    }

    /// As `lacks`, at an instruction.
    fn lacks_at(&mut self, function: &Function, inst: Inst, what: &str, reason: Option<&str>) {
        let chain: Vec<Frame> = function.frames(function.body.origin(inst)).owned().collect();
        let message = format!("target {} {what}", self.target.name());
        self.problem_at(&chain, Code::Unsupported, message, reason);
    }

    /// Says where what comes next stands.
    pub(super) fn at(&mut self, file: Option<u32>, span: Span) {
        self.f.file = file;
        self.f.origin = Origin { span, ..Origin::default() };
    }

    fn check_entries(&mut self, unit: &Unit, abis: &[EntryAbi]) {
        let caps = self.target.caps().clone();
        for (n, &entry) in unit.entries.iter().enumerate() {
            let arguments = abis.get(n).map_or(&[][..], |abi| &abi.arguments);
            let packed = abis.get(n).is_some_and(|abi| abi.convention == EntryConvention::Packed);
            let Some(function) = unit.funcs.get(entry) else { continue };
            self.at(function.file, function.span);
            if packed && function.kind == MethodKind::Kernel {
                let message = format!(
                    "the packed entry ABI is for functions that hosts call, and '{}' is a kernel",
                    function.name
                );
                self.problem(Code::Unsupported, message, None);
            }
            match function.kind {
                MethodKind::Kernel if !caps.kernels => self.lacks("has no kernels"),
                MethodKind::Function if !caps.functions => {
                    self.lacks("has no functions that hosts can call: the entry must be a kernel");
                }
                MethodKind::Kernel => {
                    let bytes = arguments.iter().fold(0u64, |end, argument| {
                        let (size, align) = sizes::passed(argument);
                        end.next_multiple_of(u64::from(align)).saturating_add(size)
                    });
                    for argument in arguments.iter().filter(|a| a.ty.space() == Some(Space::Param)) {
                        self.unsupported_type(argument.ty, "kernel arguments are passed by value");
                    }
                    if bytes > caps.max_argument_bytes {
                        let (name, most) = (self.target.name(), caps.max_argument_bytes);
                        let message =
                            format!("target {name} takes at most {most} bytes of arguments, found {bytes}");
                        let tree = sizes::tree(&self.types, arguments);
                        self.problem(Code::Unsupported, message, Some(&tree));
                    }
                }
                MethodKind::Function => {}
            }
        }
    }

    /// Reports tables of functions where there can be none. Nothing unused is left by now.
    fn check_held(&mut self, unit: &Unit) {
        if self.target.caps().indirect_calls {
            return;
        }
        for data in unit.globals.values() {
            let held = data.slots.iter().find_map(|slot| match slot.reference {
                Reference::Func(func) => Some((slot.offset, unit.funcs.get(func)?)),
                _ => None,
            });
            let Some((offset, function)) = held else { continue };
            self.at(data.file, data.span);
            let (target, table) = (self.target.name(), &data.name);
            let message = format!(
                "target {target} has no addresses of functions, and the slot at {offset} of global '{table}' holds that of \
                 '{}'",
                function.name
            );
            let reason = "a slot of constant memory that is loaded at a place known here needs none: its function is \
                          called directly";
            self.problem(Code::Unsupported, message, Some(reason));
        }
    }

    fn check_shared(&mut self, unit: &Unit) {
        let most = self.target.caps().max_shared_bytes;
        let mut end = 0u64;
        for global in unit.globals.values().filter(|global| global.space == Space::Shared) {
            self.at(global.file, global.span);
            let Some(layout) = self.types.layout(global.ty) else { continue };
            end = end.next_multiple_of(u64::from(layout.align)).saturating_add(layout.size);
            if end > most {
                self.lacks(&format!("has at most {most} bytes of shared memory, found {end}"));
                return;
            }
        }
    }

    /// Reports variables where the target has room for none. Nothing unused is left by now.
    pub(super) fn check_globals(&mut self, unit: &Unit) {
        if self.target.caps().global_variables {
            return;
        }
        let mut used = FxHashSet::default();
        for function in unit.funcs.values() {
            let body = &function.body;
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                let data = body.inst(inst);
                if data.op == Op::GlobalAddress
                    && body.symbol_exists(data.imm)
                    && let Symbol::Global(global) = body.symbol(SymbolRef::from_u32(data.imm))
                {
                    used.insert(*global);
                }
            }
        }
        for (id, global) in &unit.globals {
            if used.contains(&id) && !matches!(global.space, Space::Shared | Space::Constant) {
                self.at(global.file, global.span);
                let name = self.target.name();
                let message = format!(
                    "target {name} has no variables in {} memory, where '{}' is",
                    global.space.name(),
                    global.name
                );
                let reason = "what outlives a launch is in buffers there: pass one to the kernel, or use shared or constant \
                              memory";
                self.problem(Code::Unsupported, message, Some(reason));
            }
        }
    }

    /// Reports flags of a memory access that the target knows nothing of.
    fn check_access(&mut self, function: &Function, inst: Inst, op: Op, flags: MemFlags) {
        let caps = self.target.caps();
        let (volatile, ordered) = (caps.volatile_accesses, caps.sequential_consistency);
        let (plain, atomic) = match op.info().shape {
            Shape::Load | Shape::Store | Shape::Memory => (true, false),
            Shape::AtomicLoad | Shape::Atomic => (false, true),
            // A target without fences says so when it is asked about the op.
            Shape::Fence => {
                (false, !matches!(self.target.action(op, Type::I32, Type::I32), Action::Unsupported(_)))
            }
            _ => return,
        };
        if plain && flags.is_volatile() && !volatile {
            let reason = "what is not said to be atomic may be merged and moved there";
            self.lacks_at(function, inst, &format!("has no volatile '{op}'"), Some(reason));
        }
        if atomic && flags.order() == Order::SeqCst && !ordered {
            let reason = "it has no sequential consistency: acq_rel is the strongest order there can be";
            self.lacks_at(
                function,
                inst,
                &format!("has no '{op}' of order {}", Order::SeqCst.name()),
                Some(reason),
            );
        }
    }

    fn check_insts(&mut self, unit: &Unit) {
        let caps = self.target.caps().clone();
        let mut graph = DiGraph::<Func, ()>::new();
        let nodes: Vec<NodeIndex> = unit.funcs.keys().map(|func| graph.add_node(func)).collect();
        let node = |func: Func| nodes.get(func.as_u32() as usize).copied();
        for (func, function) in &unit.funcs {
            let body = &function.body;
            for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
                let data = body.inst(inst);
                match data.op {
                    Op::FunctionAddress | Op::CallIndirect if !caps.indirect_calls => {
                        self.lacks_at(function, inst, "has no addresses of functions", None);
                    }
                    Op::Call if body.symbol_exists(data.imm) => {
                        match body.symbol(SymbolRef::from_u32(data.imm)) {
                            Symbol::Func(callee) => {
                                if let (Some(a), Some(b)) = (node(func), node(*callee)) {
                                    graph.update_edge(a, b, ());
                                }
                            }
                            Symbol::Extern(host) if !caps.externs => {
                                let name = unit.externs.get(*host).map_or("?", |host| &*host.name);
                                let what = format!("cannot call '{name}': it has no functions of the host");
                                self.lacks_at(function, inst, &what, None);
                            }
                            _ => {}
                        }
                    }
                    op => self.check_access(function, inst, op, MemFlags::from_bits(data.imm)),
                }
            }
        }
        if caps.recursion || graph.edge_count() == 0 {
            return;
        }
        let mut recursive: Vec<Func> = kosaraju_scc(&graph)
            .into_iter()
            .filter(|group| match group.as_slice() {
                [one] => graph.contains_edge(*one, *one),
                _ => true,
            })
            .flat_map(|group| group.into_iter().map(|node| graph[node]).min())
            .collect();
        recursive.sort();
        for func in recursive {
            let function = &unit.funcs[func];
            self.at(function.file, function.span);
            self.lacks(&format!("has no recursion, and '{}' calls itself", function.name));
        }
    }
}
