//! Variables: from definitions and uses in any order to SSA values and block parameters.
//!
//! After "Simple and Efficient Construction of Static Single Assignment Form" (Braun et al., CC 2013), with three
//! changes that keep it iterative and its cost low. First, a use that reaches a block with several or unknown
//! predecessors gets a new parameter of that block at once, and nothing is asked of the predecessors before
//! [`complete`]: by then all of them are filled, so a worklist does what the paper does by recursion. Second,
//! parameters that turn out to carry one value are dropped at the end, all together, with one rewriting of operands.
//! Third, where more and more parameters are needed to find the arguments of the first ones, [`Placement`] says in
//! which blocks a variable can change, and the others are passed over.
//!
//! What blocks define is kept by block, the newest of each variable at hand, so memory and time grow with what is
//! defined and asked for, not with variables times blocks.

mod ends;
mod superfluous;

use crate::body::Body;
use crate::builder::error::MistakeKind;
use crate::builder::placement::{Origin, Placement};
use crate::builder::{BlockState, BuilderContext, Variable};
use crate::entity::{Block, BlockCall, Value};
use crate::limits::MAX_BLOCK_PARAMS;
use crate::types::Type;
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityRef, SecondaryMap};
use ends::Ends;
use rustc_hash::FxHashMap;

/// A parameter that carries a variable, as long as it is needed.
#[derive(Clone, Debug)]
struct Phi {
    variable: Variable,
    block: Block,
    value: Value,
    /// Its arguments, one per edge into the block, in [`Variables::args`].
    args: (usize, usize),
}

/// A variable, and where it was last defined or used.
#[derive(Clone, Debug)]
struct Latest {
    ty: Type,
    block: PackedOption<Block>,
    value: PackedOption<Value>,
    /// Whether that is noted as a definition.
    is_written: bool,
}

/// Definitions of variables in blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    latest: Vec<Latest>,
    ends: Ends,
    /// Which blocks define which variables; some more than once.
    written: Vec<(Variable, Block)>,
    phis: Vec<Phi>,
    /// Which phi a value is, plus one.
    phi_of: SecondaryMap<Value, u32>,
    args: Vec<Value>,
    /// What a dropped parameter stands for.
    alias: SecondaryMap<Value, PackedOption<Value>>,
    path: Vec<Block>,
    /// How many parameters are made without [`Placement`], if not as many as the rule says: for tests.
    pub(super) few: Option<usize>,
    /// Blocks looked at: what the cost is measured by.
    pub(super) steps: usize,
}

/// What tells how control gets to blocks.
pub(super) struct Edges<'a> {
    pub(super) blocks: &'a SecondaryMap<Block, BlockState>,
    pub(super) sources: &'a SecondaryMap<BlockCall, PackedOption<Block>>,
    pub(super) pool: &'a cranelift_entity::ListPool<BlockCall>,
}

/// Most blocks with one predecessor that a look-up goes through before it asks for a parameter after all.
const MAX_WALK: usize = 64;

impl Variables {
    pub(super) fn clear(&mut self) {
        let Self { latest, ends, written, phis, phi_of, args, alias, path, few: _, steps } = self;
        latest.clear();
        ends.clear();
        written.clear();
        phis.clear();
        phi_of.clear();
        args.clear();
        alias.clear();
        path.clear();
        *steps = 0;
    }

    pub(super) fn declare(&mut self, ty: Type) -> Variable {
        self.latest.push(Latest { ty, block: None.into(), value: None.into(), is_written: false });
        Variable::new(self.latest.len() - 1)
    }

    pub(super) fn ty(&self, variable: Variable) -> Option<Type> {
        self.latest.get(variable.index()).map(|latest| latest.ty)
    }

    /// Defines a variable that was declared.
    pub(super) fn define(&mut self, variable: Variable, block: Block, value: Value) {
        self.move_to(variable, block, value);
        let latest = &mut self.latest[variable.index()];
        if !std::mem::replace(&mut latest.is_written, true) {
            self.written.push((variable, block));
        }
    }

    /// Keeps the value of a variable at the end of a block at hand.
    fn move_to(&mut self, variable: Variable, block: Block, value: Value) {
        let latest = &mut self.latest[variable.index()];
        if latest.block.expand() != Some(block) {
            if let (Some(block), Some(value)) = (latest.block.expand(), latest.value.expand()) {
                self.ends.set(variable, block, value);
            }
            latest.block = block.into();
            latest.is_written = false;
        }
        latest.value = value.into();
    }

    /// The value of a variable at the end of a block, as far as it is known there.
    fn end(&self, variable: Variable, block: Block) -> Option<Value> {
        let latest = &self.latest[variable.index()];
        if latest.block.expand() == Some(block) {
            return latest.value.expand();
        }
        self.ends.get(variable, block)
    }

    pub(super) fn is_phi(&self, value: Value) -> bool {
        self.phi_of[value] != 0
    }

    fn make_phi(&mut self, body: &mut Body, variable: Variable, block: Block) -> Value {
        let value = body.append_block_param(block, self.latest[variable.index()].ty);
        self.phis.push(Phi { variable, block, value, args: (0, 0) });
        self.phi_of[value] = self.phis.len() as u32;
        value
    }

    /// The value of a variable at the end of what is written of a block so far; or why there is none.
    pub(super) fn lookup(
        &mut self,
        body: &mut Body,
        edges: &Edges<'_>,
        (variable, from): (Variable, Block),
    ) -> Result<Value, MistakeKind> {
        let ty = self.ty(variable).ok_or(MistakeKind::MissingVariable(variable))?;
        if let Some(value) = self.end(variable, from) {
            self.steps += 1;
            return Ok(value);
        }
        self.path.clear();
        let mut at = from;
        let value = loop {
            self.steps += 1;
            if let Some(value) = self.end(variable, at) {
                break value;
            }
            let state = &edges.blocks[at];
            let into = state.edges.as_slice(edges.pool);
            let source = into.first().and_then(|&edge| edges.sources[edge].expand());
            let is_entry = body.entry() == Some(at);
            match (source, into.len()) {
                _ if is_entry => return Err(MistakeKind::Undefined(variable)),
                // Control flow that nothing enters may be a circle of single predecessors, so every way ends.
                (Some(source), 1) if state.sealed && self.path.len() < MAX_WALK => {
                    self.path.push(at);
                    at = source;
                }
                // Nothing gets here, so any value is as good as any other.
                (None, _) | (_, 0) if state.sealed => break body.make_scalar(ty, 0),
                _ => {
                    let value = self.make_phi(body, variable, at);
                    self.ends.set(variable, at, value);
                    break value;
                }
            }
        };
        for &block in self.path.iter().skip(1) {
            self.ends.set(variable, block, value);
        }
        self.move_to(variable, from, value);
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
}

/// How many parameters are made without [`Placement`], and to how many that uses asked for one more is.
const FEW: usize = 256;
const FOR_ONE_MORE: usize = 8;

/// What variables are at the beginnings of blocks, with a [`Placement`] at hand.
struct Beginnings {
    placement: Placement,
    known: FxHashMap<(Variable, Block), Value>,
}

impl Beginnings {
    fn new(variables: &Variables, placement: Placement) -> Beginnings {
        let known = variables.phis.iter().map(|phi| ((phi.variable, phi.block), phi.value)).collect();
        Beginnings { placement, known }
    }

    /// What a variable is at the end of a block.
    fn end(
        &mut self,
        variables: &mut Variables,
        body: &mut Body,
        variable: Variable,
        block: Block,
    ) -> Result<Value, MistakeKind> {
        match variables.end(variable, block) {
            Some(value) => Ok(value),
            None => self.begin(variables, body, variable, block),
        }
    }

    /// What a variable is at the beginning of a block.
    fn begin(
        &mut self,
        variables: &mut Variables,
        body: &mut Body,
        variable: Variable,
        block: Block,
    ) -> Result<Value, MistakeKind> {
        variables.path.clear();
        let mut at = block;
        let value = loop {
            if let Some(&value) = self.known.get(&(variable, at)) {
                break value;
            }
            variables.steps += 1;
            variables.path.push(at);
            match self.placement.origin(variable, at) {
                Origin::Parameter(here) if here == at => break variables.make_phi(body, variable, at),
                Origin::Parameter(above) => at = above,
                Origin::End(above) => match variables.end(variable, above) {
                    Some(value) => break value,
                    None => at = above,
                },
                Origin::Nowhere => return Err(MistakeKind::Undefined(variable)),
                Origin::Unreachable => break body.make_scalar(variables.latest[variable.index()].ty, 0),
            }
        };
        for &block in &variables.path {
            self.known.insert((variable, block), value);
        }
        Ok(value)
    }

    /// What a parameter stands for that is not needed; none if it is.
    fn stands_for(
        &mut self,
        variables: &mut Variables,
        body: &mut Body,
        variable: Variable,
        block: Block,
    ) -> Result<Option<Value>, MistakeKind> {
        match self.placement.origin(variable, block) {
            Origin::Parameter(here) if here == block => Ok(None),
            Origin::Parameter(above) => self.begin(variables, body, variable, above).map(Some),
            Origin::End(above) => self.end(variables, body, variable, above).map(Some),
            Origin::Nowhere => Err(MistakeKind::Undefined(variable)),
            Origin::Unreachable => Ok(Some(body.make_scalar(variables.latest[variable.index()].ty, 0))),
        }
    }
}

/// Completes all parameters that carry variables: finds their arguments, drops superfluous ones, rewrites operands
/// and edges. All blocks are sealed and filled.
pub(super) fn complete(body: &mut Body, context: &mut BuilderContext) -> Result<(), MistakeKind> {
    let BuilderContext { variables, blocks, sources, edges: pool, .. } = context;
    let few = variables.few.unwrap_or(FEW.max(variables.phis.len() + variables.phis.len() / FOR_ONE_MORE));
    let mut beginnings = None;
    let mut is_tried = false;
    let mut n = 0;
    // New ones are found on the way.
    while let Some(&Phi { variable, block, value, .. }) = variables.phis.get(n) {
        if variables.phis.len() > few && !std::mem::replace(&mut is_tried, true) {
            let placement = Placement::new(body, &variables.written);
            beginnings = placement.map(|placement| Beginnings::new(variables, placement));
        }
        if let Some(beginnings) = &mut beginnings
            && let Some(only) = beginnings.stands_for(variables, body, variable, block)?
        {
            variables.alias[value] = only.into();
            n += 1;
            continue;
        }
        let start = variables.args.len();
        for i in 0..blocks[block].edges.len(pool) {
            let edge = blocks[block].edges.as_slice(pool)[i];
            let Some(source) = sources[edge].expand() else { continue };
            let arg = match &mut beginnings {
                Some(beginnings) => beginnings.end(variables, body, variable, source)?,
                None => variables.lookup(body, &Edges { blocks, sources, pool }, (variable, source))?,
            };
            variables.args.push(arg);
        }
        variables.phis[n].args = (start, variables.args.len());
        n += 1;
    }
    if beginnings.is_some() {
        for n in 0..variables.args.len() {
            variables.args[n] = variables.resolve(variables.args[n]);
        }
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
            if order.len() > MAX_BLOCK_PARAMS {
                return Err(MistakeKind::Limit("block parameters", MAX_BLOCK_PARAMS));
            }
            body.order_block_params(block, &order);
        }
        next = body.next_block(block);
    }
    Ok(())
}
