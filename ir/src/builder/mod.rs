//! Building bodies from a host: instructions in order, variables instead of block parameters.
//!
//! A host that translates its own language block by block creates blocks, switches to one, writes instructions with
//! [`ins`](FunctionBuilder::ins) and *seals* a block when it knows all edges to it. What changes over time is a
//! [`Variable`]: [`def_var`](FunctionBuilder::def_var) and [`use_var`](FunctionBuilder::use_var) become values and block
//! parameters.
//!
//! # Mistakes
//!
//! Instructions give values, not results, so that expressions nest. A mistake (operands that do not fit, an undefined
//! variable, an id of another body, code after a terminator) is remembered, the value is one of [`Type::ERROR`] that
//! fits everywhere, and [`finalize`](FunctionBuilder::finalize) gives all mistakes. A body with mistakes is there to be
//! looked at: what could not be added is missing from it, so that it may even pass the verifier. What needs the whole function, such as values that do not dominate their use, is the verifier's.
//!
//! # Example
//!
//! The sum of the integers below `n`:
//!
//! ```
//! use marquetry_ir::body::Body;
//! use marquetry_ir::builder::{BuilderContext, FunctionBuilder};
//! use marquetry_ir::signature::Signature;
//! use marquetry_ir::types::{Type, Types};
//!
//! let types = Types::new();
//! let signature = Signature::new([Type::I64], [Type::I64]);
//! let (mut body, mut context) = (Body::new(), BuilderContext::new());
//! let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
//!
//! let (entry, header, inside, done) = (b.create_block(), b.create_block(), b.create_block(), b.create_block());
//! let (i, sum) = (b.declare_var(Type::I64), b.declare_var(Type::I64));
//!
//! b.append_block_params_for_function_params(entry);
//! b.switch_to_block(entry);
//! b.seal_block(entry);
//! let n = b.block_params(entry)[0];
//! let zero = b.ins().iconst(Type::I64, 0);
//! b.def_var(i, zero);
//! b.def_var(sum, zero);
//! b.ins().jump(header, &[]);
//!
//! b.switch_to_block(header);
//! let now = b.use_var(i);
//! let more = b.ins().lt_s(now, n);
//! b.ins().branch(more, inside, &[], done, &[]);
//!
//! b.switch_to_block(inside);
//! b.seal_block(inside);
//! let (now, so_far, one) = (b.use_var(i), b.use_var(sum), b.ins().iconst(Type::I64, 1));
//! let so_far = b.ins().add(so_far, now);
//! let next = b.ins().add(now, one);
//! b.def_var(sum, so_far);
//! b.def_var(i, next);
//! b.ins().jump(header, &[]);
//! b.seal_block(header);
//!
//! b.switch_to_block(done);
//! b.seal_block(done);
//! let total = b.use_var(sum);
//! b.ins().ret(&[total]);
//! b.finalize()?;
//!
//! assert_eq!(body.block_params(header).len(), 2); // both variables change in the loop
//! # Ok::<(), marquetry_ir::builder::BuildError>(())
//! ```

mod error;
mod ins;
mod ins_control;
mod placement;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_graphs;
#[cfg(test)]
mod tests_placement;
mod variables;

pub use error::{BuildError, Mistake, MistakeKind};
pub use ins::InstBuilder;

use crate::body::Body;
use crate::entity::{Block, BlockCall, Inst, Value};
use crate::limits;
use crate::signature::Signature;
use crate::span::Span;
use crate::types::{Type, Types};
use cranelift_entity::packed_option::PackedOption;
use cranelift_entity::{EntityList, ListPool, SecondaryMap, entity_impl};
use smallvec::SmallVec;
use variables::{Edges, Variables};

/// A variable of the host's language, while a function is built.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variable(u32);
entity_impl!(Variable, "variable");

/// What the builder knows about a block.
#[derive(Clone, Debug, Default)]
struct BlockState {
    sealed: bool,
    filled: bool,
    /// Edges to it.
    edges: EntityList<BlockCall>,
}

/// Tables of a builder, kept by the host and reused for one function after the other.
#[derive(Clone, Debug, Default)]
pub struct BuilderContext {
    variables: Variables,
    blocks: SecondaryMap<Block, BlockState>,
    /// The block that an edge leaves.
    sources: SecondaryMap<BlockCall, PackedOption<Block>>,
    edges: ListPool<BlockCall>,
    mistakes: Vec<Mistake>,
}

impl BuilderContext {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }

    fn clear(&mut self) {
        let Self { variables, blocks, sources, edges, mistakes } = self;
        variables.clear();
        blocks.clear();
        sources.clear();
        edges.clear();
        mistakes.clear();
    }
}

/// Builds one body. See the [module](self).
pub struct FunctionBuilder<'a> {
    body: &'a mut Body,
    types: &'a Types,
    signature: &'a Signature,
    context: &'a mut BuilderContext,
    current: Option<Block>,
    span: Span,
}

impl<'a> FunctionBuilder<'a> {
    /// Starts a function; what the body held is wiped.
    pub fn new(
        body: &'a mut Body,
        types: &'a Types,
        signature: &'a Signature,
        context: &'a mut BuilderContext,
    ) -> Self {
        body.clear();
        context.clear();
        FunctionBuilder { body, types, signature, context, current: None, span: Span::NOWHERE }
    }

    /// What is built so far, to be read.
    pub fn body(&self) -> &Body {
        self.body
    }

    fn mistake(&mut self, kind: MistakeKind) {
        if self.context.mistakes.len() < limits::MAX_DIAGNOSTICS {
            self.context.mistakes.push(Mistake { block: self.current, kind });
        }
    }

    /// What is given where no value can be.
    fn error_value(&mut self) -> Value {
        self.body.make_scalar(Type::ERROR, 0)
    }

    fn check_value(&mut self, value: Value) -> bool {
        let exists = self.body.value_exists(value);
        if !exists {
            self.mistake(MistakeKind::MissingValue(value));
        }
        exists
    }

    fn check_block(&mut self, block: Block) -> bool {
        let exists = self.body.block_exists(block);
        if !exists {
            self.mistake(MistakeKind::MissingBlock(block));
        }
        exists
    }

    /// Makes a block. It takes its place in program order when it is first switched to; the first one is the entry.
    pub fn create_block(&mut self) -> Block {
        self.body.make_block()
    }

    /// Makes a block the one that instructions are added to.
    pub fn switch_to_block(&mut self, block: Block) {
        if self.check_block(block) {
            if !self.body.is_block_placed(block) {
                self.body.append_block(block);
            }
            self.current = Some(block);
        }
    }

    /// The block that instructions are added to.
    pub fn current_block(&self) -> Option<Block> {
        self.current
    }

    /// Whether the current block has its terminator.
    pub fn is_filled(&self) -> bool {
        self.current.is_some_and(|block| self.context.blocks[block].filled)
    }

    /// Gives a block the function's parameters: the entry block's.
    pub fn append_block_params_for_function_params(&mut self, block: Block) {
        for &ty in &self.signature.params {
            self.append_block_param(block, ty);
        }
    }

    /// Adds a parameter to a block; every edge to the block passes an argument for it.
    pub fn append_block_param(&mut self, block: Block, ty: Type) -> Value {
        if !self.check_block(block) {
            return self.error_value();
        }
        if self.body.block_params(block).len() >= limits::MAX_BLOCK_PARAMS {
            self.mistake(MistakeKind::Limit("block parameters", limits::MAX_BLOCK_PARAMS));
            return self.error_value();
        }
        self.body.append_block_param(block, ty)
    }

    /// Parameters of a block, as far as they are known; none if there is no such block.
    pub fn block_params(&self, block: Block) -> &[Value] {
        if self.body.block_exists(block) { self.body.block_params(block) } else { &[] }
    }

    /// Says that all edges to a block exist.
    pub fn seal_block(&mut self, block: Block) {
        if self.check_block(block) {
            self.context.blocks[block].sealed = true;
        }
    }

    /// Says so of every block.
    pub fn seal_all_blocks(&mut self) {
        for n in 0..self.body.block_count() as u32 {
            self.context.blocks[Block::from_u32(n)].sealed = true;
        }
    }

    /// Makes a variable of a type.
    pub fn declare_var(&mut self, ty: Type) -> Variable {
        self.context.variables.declare(ty)
    }

    /// Sets a variable, from here on in the current block.
    pub fn def_var(&mut self, variable: Variable, value: Value) {
        let Some(block) = self.current else { return self.mistake(MistakeKind::NoBlock) };
        if self.context.blocks[block].filled {
            return self.mistake(MistakeKind::Filled(block));
        }
        if !self.check_value(value) {
            return;
        }
        let Some(wanted) = self.context.variables.ty(variable) else {
            return self.mistake(MistakeKind::MissingVariable(variable));
        };
        let found = self.body.value_type(value);
        if found.is_known() && found != wanted {
            self.mistake(MistakeKind::VariableType { variable, found, wanted });
        }
        self.context.variables.define(variable, block, value);
    }

    /// The value of a variable here. The value may be replaced by the one that it turns out to always be.
    pub fn use_var(&mut self, variable: Variable) -> Value {
        let Some(block) = self.current else {
            self.mistake(MistakeKind::NoBlock);
            return self.error_value();
        };
        let BuilderContext { variables, blocks, sources, edges, .. } = &mut *self.context;
        match variables.lookup(self.body, &Edges { blocks, sources, pool: edges }, (variable, block)) {
            Ok(value) => value,
            Err(kind) => {
                self.mistake(kind);
                self.error_value()
            }
        }
    }

    /// Where the instructions that follow come from.
    pub fn set_span(&mut self, span: Span) {
        self.span = span;
    }

    /// Names a value, for those who read the printed form.
    pub fn set_name(&mut self, value: Value, name: &str) {
        if self.check_value(value) {
            self.body.names.set_value(value, name);
            if self.body.names.value(value) != Some(name) {
                self.mistake(MistakeKind::Malformed(format!("name '{name}' is no identifier")));
            }
        }
    }

    /// Names a block.
    pub fn set_block_name(&mut self, block: Block, name: &str) {
        if self.check_block(block) {
            self.body.names.set_block(block, name);
            if self.body.names.block(block) != Some(name) {
                self.mistake(MistakeKind::Malformed(format!("name '{name}' is no identifier")));
            }
        }
    }

    /// The type of a value; erroneous if there is no such value.
    pub fn value_type(&self, value: Value) -> Type {
        if self.body.value_exists(value) { self.body.value_type(value) } else { Type::ERROR }
    }

    /// Results of an instruction; none if there is no such instruction.
    pub fn inst_results(&self, inst: Inst) -> SmallVec<[Value; 2]> {
        if self.body.inst_exists(inst) { self.body.results(inst).collect() } else { SmallVec::new() }
    }

    /// Adds an instruction to the current block.
    pub fn ins(&mut self) -> InstBuilder<'_, 'a> {
        InstBuilder::new(self)
    }

    /// Ends the function: completes the variables.
    ///
    /// # Errors
    /// All mistakes that were made. The body is incomplete then.
    pub fn finalize(mut self) -> Result<(), BuildError> {
        self.current = None;
        self.check_blocks();
        if self.context.mistakes.is_empty()
            && let Err(kind) = variables::complete(self.body, self.context)
        {
            self.mistake(kind);
        }
        let mistakes = std::mem::take(&mut self.context.mistakes);
        if mistakes.is_empty() { Ok(()) } else { Err(BuildError { mistakes }) }
    }

    /// Whether every block in use is sealed and filled, and edges carry what their block takes.
    fn check_blocks(&mut self) {
        let entry = self.body.entry();
        match entry {
            None => self.mistake(MistakeKind::NoBlock),
            Some(entry) => {
                let params = self.body.block_params(entry).iter().map(|&param| self.body.value_type(param));
                if !params.eq(self.signature.params.iter().copied()) {
                    self.mistake(MistakeKind::EntryParameters);
                }
            }
        }
        for n in 0..self.body.block_count() as u32 {
            let block = Block::from_u32(n);
            let state = &self.context.blocks[block];
            let edges = state.edges.as_slice(&self.context.edges);
            if edges.is_empty() && !self.body.is_block_placed(block) {
                continue;
            }
            let (sealed, filled, edges) = (state.sealed, state.filled, edges.to_vec());
            if !filled {
                self.mistake(MistakeKind::Unfilled(block));
            }
            if !sealed && entry != Some(block) {
                self.mistake(MistakeKind::Unsealed(block));
            }
            edges.into_iter().for_each(|edge| self.check_edge(block, edge));
        }
    }

    fn check_edge(&mut self, block: Block, edge: BlockCall) {
        let is_own = |param: &&Value| !self.context.variables.is_phi(**param);
        let params: SmallVec<[Value; 8]> =
            self.body.block_params(block).iter().filter(is_own).copied().collect();
        let args = self.body.target_args(edge);
        self.current = self.context.sources[edge].expand();
        if params.len() != args.len() {
            let (found, wanted) = (args.len(), params.len());
            self.mistake(MistakeKind::ArgumentCount { block, found, wanted });
        } else {
            let types =
                |(&arg, param): (&Value, Value)| (self.body.value_type(arg), self.body.value_type(param));
            let mut pairs = args.iter().zip(params).map(types).enumerate();
            let wrong = pairs.find(|(_, (found, wanted))| found.is_known() && found != wanted);
            if let Some((index, (found, wanted))) = wrong {
                self.mistake(MistakeKind::Argument { index, found, wanted });
            }
        }
        self.current = None;
    }
}
