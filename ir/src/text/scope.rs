//! Names of one body while it is read.
//!
//! Blocks may stand in any order, so a value may be used before the text defines it. Such a use gets a *forward* id, a
//! value that no body has; instructions with forward operands are mended, and their types inferred, at the end of
//! the body. Everything else is typed when it is read, so the cost is linear.

use crate::entity::{Block, Inst, Value};
use crate::span::Span;
use rustc_hash::{FxHashMap, FxHashSet};

/// Forward ids start here, above [`MAX_VALUES`](crate::limits::MAX_VALUES).
const FORWARD: u32 = 1 << 31;

const _: () = assert!(crate::limits::MAX_VALUES < FORWARD as usize);

/// Whether an id stands for a value that the text did not define yet.
pub(crate) fn is_forward(value: Value) -> bool {
    value.as_u32() >= FORWARD
}

/// A value name.
#[derive(Copy, Clone, Debug)]
pub(crate) struct NamedValue {
    pub(crate) value: Value,
    /// The definition, or the first use of a forward value.
    pub(crate) span: Span,
}

/// A block name.
#[derive(Copy, Clone, Debug)]
pub(crate) struct NamedBlock {
    pub(crate) block: Block,
    pub(crate) defined: bool,
    /// The label, or the first use.
    pub(crate) span: Span,
}

/// A value that was used before its definition.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Forward<'t> {
    pub(crate) name: &'t str,
    pub(crate) span: Span,
    pub(crate) value: Option<Value>,
}

/// Names of one body.
#[derive(Debug, Default)]
pub(crate) struct Scope<'t> {
    pub(crate) values: FxHashMap<&'t str, NamedValue>,
    pub(crate) blocks: FxHashMap<&'t str, NamedBlock>,
    pub(crate) forwards: Vec<Forward<'t>>,
    /// Instructions with forward operands.
    pub(crate) pending: Vec<Inst>,
    /// Whether the current instruction has a forward operand.
    pub(crate) forward_used: bool,
    /// Instructions whose types are reported as wrong.
    pub(crate) failed: FxHashSet<Inst>,
    /// Where instructions go.
    pub(crate) block: Option<Block>,
}

impl<'t> Scope<'t> {
    /// Ready for another body.
    pub(crate) fn clear(&mut self) {
        // Clearing a map costs its capacity: one large body must not slow down thousands of small ones.
        const KEPT: usize = 1 << 10;
        if self.values.capacity() > KEPT {
            self.values = FxHashMap::default();
        }
        if self.blocks.capacity() > KEPT {
            self.blocks = FxHashMap::default();
        }
        let Self { values, blocks, forwards, pending, forward_used, failed, block } = self;
        values.clear();
        blocks.clear();
        forwards.clear();
        pending.clear();
        *forward_used = false;
        failed.clear();
        *block = None;
    }

    /// The value of this name, for an operand.
    pub(crate) fn use_value(&mut self, name: &'t str, span: Span) -> Value {
        if let Some(named) = self.values.get(name) {
            self.forward_used |= is_forward(named.value);
            return named.value;
        }
        let value = Value::from_u32(FORWARD + self.forwards.len() as u32);
        self.forwards.push(Forward { name, span, value: None });
        self.values.insert(name, NamedValue { value, span });
        self.forward_used = true;
        value
    }

    /// Gives a value its name.
    ///
    /// # Errors
    /// Where the name was given to another value before.
    pub(crate) fn define_value(&mut self, name: &'t str, value: Value, span: Span) -> Result<(), Span> {
        let mut new = false;
        let named = self.values.entry(name).or_insert_with(|| {
            new = true;
            NamedValue { value, span }
        });
        if new {
            return Ok(());
        }
        if !is_forward(named.value) {
            return Err(named.span);
        }
        let index = (named.value.as_u32() - FORWARD) as usize;
        *named = NamedValue { value, span };
        if let Some(forward) = self.forwards.get_mut(index) {
            forward.value = Some(value);
        }
        Ok(())
    }

    /// What a forward id turned out to be; itself, if it is none.
    pub(crate) fn resolve(&self, value: Value, otherwise: Value) -> Value {
        if !is_forward(value) {
            return value;
        }
        let forward = self.forwards.get((value.as_u32() - FORWARD) as usize);
        forward.and_then(|forward| forward.value).unwrap_or(otherwise)
    }
}

/// Whether `name` is how the printer spells number `index` of `prefix` by itself.
pub(crate) fn is_default_name(name: &str, prefix: &str, index: u32) -> bool {
    let Some(digits) = name.strip_prefix(prefix) else { return false };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = plain && (digits == "0" || !digits.starts_with('0'));
    canonical && digits.parse() == Ok(index)
}
