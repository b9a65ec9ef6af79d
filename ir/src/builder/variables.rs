//! Variables: from definitions and uses in any order to SSA values and block parameters.
//!
//! After "Simple and Efficient Construction of Static Single Assignment Form" (Braun et al., CC 2013), with two
//! changes that keep it iterative and its cost low. First, a use that reaches a block with several or unknown
//! predecessors gets a new parameter of that block at once, and nothing is asked of the predecessors before
//! [`complete`]: by then all of them are filled, so a worklist does what the paper does by recursion. Second,
//! parameters that turn out to carry one value are dropped at the end, all together, with one rewriting of operands.
//!
//! Definitions are kept in one map by variable and block, so memory and time grow with the pairs of a variable and a
//! block in which it is live, not with variables times blocks.

use crate::body::Body;
use crate::builder::error::MistakeKind;
use crate::builder::{BlockState, BuilderContext, Variable};
use crate::entity::{Block, BlockCall, Value};
use crate::types::Type;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, SecondaryMap};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// A parameter that carries a variable, as long as it is needed.
#[derive(Clone, Debug)]
struct Phi {
    variable: Variable,
    block: Block,
    value: Value,
    /// Its arguments, one per edge into the block, in [`Variables::args`].
    args: (usize, usize),
}

/// Definitions of variables in blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    types: Vec<Type>,
    definitions: FxHashMap<(Variable, Block), Value>,
    phis: Vec<Phi>,
    /// Which phi a value is, plus one.
    phi_of: SecondaryMap<Value, u32>,
    args: Vec<Value>,
    /// What a dropped parameter stands for.
    alias: SecondaryMap<Value, PackedOption<Value>>,
    path: Vec<Block>,
    /// Blocks looked at: what the cost is measured by.
    pub(super) steps: usize,
}

impl Variables {
    pub(super) fn clear(&mut self) {
        let Self { types, definitions, phis, phi_of, args, alias, path, steps } = self;
        types.clear();
        definitions.clear();
        phis.clear();
        phi_of.clear();
        args.clear();
        alias.clear();
        path.clear();
        *steps = 0;
    }

    pub(super) fn declare(&mut self, ty: Type) -> Variable {
        self.types.push(ty);
        Variable::new(self.types.len() - 1)
    }

    pub(super) fn ty(&self, variable: Variable) -> Option<Type> {
        self.types.get(variable.index()).copied()
    }

    pub(super) fn define(&mut self, variable: Variable, block: Block, value: Value) {
        self.definitions.insert((variable, block), value);
    }

    pub(super) fn is_phi(&self, value: Value) -> bool {
        self.phi_of[value] != 0
    }

    fn make_phi(
        &mut self,
        body: &mut Body,
        variable: Variable,
        ty: Type,
        block: Block,
    ) -> Result<Value, MistakeKind> {
        let most = usize::from(u16::MAX);
        if body.block_params(block).len() >= most {
            return Err(MistakeKind::Limit("block parameters", most));
        }
        let value = body.append_block_param(block, ty);
        self.phis.push(Phi { variable, block, value, args: (0, 0) });
        self.phi_of[value] = self.phis.len() as u32;
        Ok(value)
    }

    /// The value of a variable at the end of what is written of a block so far; or why there is none.
    pub(super) fn lookup(
        &mut self,
        body: &mut Body,
        blocks: &SecondaryMap<Block, BlockState>,
        sources: &SecondaryMap<BlockCall, PackedOption<Block>>,
        pool: &cranelift_entity::ListPool<BlockCall>,
        (variable, from): (Variable, Block),
    ) -> Result<Value, MistakeKind> {
        let ty = self.ty(variable).ok_or(MistakeKind::MissingVariable(variable))?;
        self.path.clear();
        let mut at = from;
        // Control flow that nothing enters may be a circle of single predecessors: a mark that is moved ahead at
        // every power of two is met again then.
        let (mut mark, mut next_mark) = (None, 1);
        let value = loop {
            self.steps += 1;
            if let Some(&value) = self.definitions.get(&(variable, at)) {
                break value;
            }
            let state = &blocks[at];
            let edges = state.edges.as_slice(pool);
            let source = edges.first().and_then(|&edge| sources[edge].expand());
            let is_entry = body.entry() == Some(at);
            self.path.push(at);
            match (source, edges.len()) {
                _ if is_entry => return Err(MistakeKind::Undefined(variable)),
                _ if !state.sealed => break self.make_phi(body, variable, ty, at)?,
                (Some(_), 1) if mark == Some(at) => break body.make_scalar(ty, 0),
                (Some(source), 1) => {
                    if self.path.len() == next_mark {
                        mark = Some(at);
                        next_mark *= 2;
                    }
                    at = source;
                }
                // Nothing gets here, so any value is as good as any other.
                (None, _) | (_, 0) => break body.make_scalar(ty, 0),
                _ => break self.make_phi(body, variable, ty, at)?,
            }
        };
        for &block in &self.path {
            self.definitions.insert((variable, block), value);
        }
        Ok(value)
    }

    /// What a value stands for after parameters were dropped; paths get shorter as they are walked.
    fn resolve(&mut self, value: Value) -> Value {
        let mut root = value;
        while let Some(next) = self.alias[root].expand() {
            root = next;
        }
        let mut at = value;
        while let Some(next) = self.alias[at].expand() {
            self.alias[at] = root.into();
            at = next;
        }
        root
    }

    /// The one value that a parameter carries besides itself.
    fn only_argument(&mut self, phi: usize) -> Option<Value> {
        let Phi { value, args: (start, end), .. } = self.phis[phi];
        let mut only = None;
        for n in start..end {
            let arg = self.resolve(self.args[n]);
            if arg != value && only.is_some_and(|only| only != arg) {
                return None;
            }
            if arg != value {
                only = Some(arg);
            }
        }
        only
    }

    /// Drops parameters that carry one value. One that is dropped may make those that it was an argument of
    /// superfluous: they are looked at again, each once per round of the queue.
    fn simplify(&mut self) {
        let count = self.phis.len();
        let mut starts = vec![0usize; count + 1];
        let phi_args = |this: &Self, f: &mut dyn FnMut(usize, usize)| {
            for (user, phi) in this.phis.iter().enumerate() {
                for &arg in &this.args[phi.args.0..phi.args.1] {
                    if let Some(used) = (this.phi_of[arg] as usize).checked_sub(1) {
                        f(used, user);
                    }
                }
            }
        };
        phi_args(self, &mut |used, _| starts[used + 1] += 1);
        for n in 0..count {
            starts[n + 1] += starts[n];
        }
        let mut users = vec![0usize; starts[count]];
        let mut fill = starts.clone();
        phi_args(self, &mut |used, user| {
            users[fill[used]] = user;
            fill[used] += 1;
        });
        let mut queued = vec![true; count];
        let mut queue: VecDeque<usize> = (0..count).collect();
        while let Some(phi) = queue.pop_front() {
            queued[phi] = false;
            let value = self.phis[phi].value;
            if self.alias[value].is_some() {
                continue;
            }
            self.steps += 1;
            let Some(only) = self.only_argument(phi) else { continue };
            self.alias[value] = only.into();
            for &user in &users[starts[phi]..starts[phi + 1]] {
                if !std::mem::replace(&mut queued[user], true) {
                    queue.push_back(user);
                }
            }
        }
    }
}

/// Completes all parameters that carry variables: finds their arguments, drops superfluous ones, rewrites operands
/// and edges. All blocks are sealed and filled.
pub(super) fn complete(body: &mut Body, context: &mut BuilderContext) -> Result<(), MistakeKind> {
    let BuilderContext { variables, blocks, sources, edges: pool, .. } = context;
    let mut n = 0;
    // New ones are found on the way.
    while let Some(&Phi { variable, block, .. }) = variables.phis.get(n) {
        let start = variables.args.len();
        for i in 0..blocks[block].edges.len(pool) {
            let edge = blocks[block].edges.as_slice(pool)[i];
            let Some(source) = sources[edge].expand() else { continue };
            let arg = variables.lookup(body, blocks, sources, pool, (variable, source))?;
            variables.args.push(arg);
        }
        variables.phis[n].args = (start, variables.args.len());
        n += 1;
    }
    if variables.phis.is_empty() {
        return Ok(());
    }
    variables.simplify();
    let mut next = body.entry();
    while let Some(block) = next {
        let mut inst = body.first_inst(block);
        while let Some(this) = inst {
            body.rewrite_operands(this, |value| variables.resolve(value));
            inst = body.next_inst(this);
        }
        next = body.next_block(block);
    }
    for n in 0..variables.phis.len() {
        let Phi { block, value, args: (start, end), .. } = variables.phis[n];
        if variables.alias[value].is_some() {
            continue;
        }
        for (i, arg) in (start..end).enumerate() {
            let edge = blocks[block].edges.as_slice(pool)[i];
            let arg = variables.resolve(variables.args[arg]);
            body.push_target_arg(edge, arg);
        }
    }
    // The author's own parameters first, since the author's edges list arguments for these alone.
    let mut next = body.entry();
    while let Some(block) = next {
        let params = body.block_params(block);
        if params.iter().any(|&param| variables.is_phi(param)) {
            let own = params.iter().filter(|&&param| !variables.is_phi(param));
            let kept = params.iter().filter(|&&p| variables.is_phi(p) && variables.alias[p].is_none());
            let order: Vec<Value> = own.chain(kept).copied().collect();
            body.order_block_params(block, &order);
        }
        next = body.next_block(block);
    }
    Ok(())
}
