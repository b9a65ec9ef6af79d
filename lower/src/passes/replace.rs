//! Values that stand for others until all operands are rewritten at once.

use cranelift_entity::SecondaryMap;
use cranelift_entity::packed_option::PackedOption;
use marquetry_ir::analysis::cfg::ControlFlow;
use marquetry_ir::body::Body;
use marquetry_ir::entity::Value;

/// A forest of replaced values. A lookup shortens the chain that it follows, so many lookups cost little each.
#[derive(Debug, Default)]
pub struct Replacements {
    by: SecondaryMap<Value, PackedOption<Value>>,
    any: bool,
}

impl Replacements {
    /// Forgets everything.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.any) {
            self.by.clear();
        }
    }

    /// Whether nothing is replaced.
    pub fn is_empty(&self) -> bool {
        !self.any
    }

    /// From now on `old` means what `new` means. Ignored where it would close a cycle.
    pub fn set(&mut self, old: Value, new: Value) {
        let (old, new) = (self.resolve(old), self.resolve(new));
        if old != new {
            self.by[old] = new.into();
            self.any = true;
        }
    }

    /// What a value means.
    #[inline]
    pub fn resolve(&mut self, value: Value) -> Value {
        if !self.any {
            return value;
        }
        let Some(mut end) = self.by[value].expand() else { return value };
        while let Some(next) = self.by[end].expand() {
            end = next;
        }
        let mut at = value;
        while let Some(next) = self.by[at].expand() {
            if next == end {
                break;
            }
            self.by[at] = end.into();
            at = next;
        }
        end
    }

    /// Forgets everything, after a walk that rewrote the operands in all blocks that control flow knows, each behind
    /// those that dominate it: what is left are operands in unreachable blocks.
    pub fn finish(&mut self, body: &mut Body, cfg: &ControlFlow) {
        if self.any && body.placed_block_count() != cfg.reverse_post_order().len() {
            self.apply(body);
        }
        self.clear();
    }

    /// Rewrites all operands of all placed instructions, and forgets everything.
    pub fn apply(&mut self, body: &mut Body) {
        if self.any {
            let mut block = body.entry();
            while let Some(this) = block {
                block = body.next_block(this);
                let mut inst = body.first_inst(this);
                while let Some(at) = inst {
                    inst = body.next_inst(at);
                    body.rewrite_operands(at, |value| self.resolve(value));
                }
            }
        }
        self.clear();
    }
}
