//! Which ops ran on which engine: the matrix that shows holes.

use super::runner::{Row, Verdict};
use marquetry_ir::body::Symbol;
use marquetry_ir::entity::{Method, SymbolRef};
use marquetry_ir::op::{Op, Shape};
use marquetry_ir::program::Program;
use marquetry_ir::types::Singleton;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The ops that a call of a method may run: those of its body and of everything that it mentions by name.
pub fn ops_of(program: &Program, method: Method) -> BTreeSet<Op> {
    let mut ops = BTreeSet::new();
    let mut seen = BTreeSet::from([method]);
    let mut stack = vec![method];
    while let Some(method) = stack.pop() {
        let body = &program.method(method).body;
        for inst in body.blocks().flat_map(|block| body.block_insts(block)) {
            let data = body.inst(inst);
            ops.insert(data.op);
            // Functions as values may be called by whom they are passed to.
            body.visit_operands(inst, |value| {
                if body.value_const(value).is_some()
                    && let Some(Singleton::Function(name)) =
                        program.types.as_singleton(body.value_type(value))
                {
                    let called = program.methods_of(name).iter().copied();
                    stack.extend(called.filter(|&callee| seen.insert(callee)));
                }
            });
            if !matches!(data.op.info().shape, Shape::Call | Shape::FunctionAddress) {
                continue;
            }
            if let Symbol::Name(name) | Symbol::Overload(name, _) = body.symbol(SymbolRef::from_u32(data.imm))
            {
                let called = program.methods_of(name).iter().copied();
                stack.extend(called.filter(|&callee| seen.insert(callee)));
            }
        }
    }
    ops
}

/// Why an engine has no passed directive with an op, or how many it has.
#[derive(Default)]
struct Cell {
    passed: usize,
    reason: Option<String>,
}

/// Ops by engines, with the number of passed directives that run the op.
#[derive(Default)]
pub struct Coverage {
    engines: Vec<&'static str>,
    cells: BTreeMap<(Op, &'static str), Cell>,
}

impl Coverage {
    /// Nothing has run yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a file's rows.
    pub fn add(&mut self, rows: &[Row]) {
        for row in rows.iter().filter(|row| !row.ops.is_empty()) {
            if !self.engines.contains(&row.engine) {
                self.engines.push(row.engine);
            }
            for &op in row.ops.iter() {
                let cell = self.cells.entry((op, row.engine)).or_default();
                match &row.verdict {
                    Verdict::Passed => cell.passed += 1,
                    Verdict::Skipped(reason) => {
                        cell.reason = cell.reason.take().or_else(|| Some(reason.clone()))
                    }
                    Verdict::Failed(_) => {}
                }
            }
        }
    }

    /// Ops that an engine never ran, with the reason if it skipped a directive for one.
    pub fn holes(&self) -> Vec<(Op, &'static str, Option<&str>)> {
        let mut holes = Vec::new();
        for &op in Op::ALL {
            for &engine in &self.engines {
                let cell = self.cells.get(&(op, engine));
                if cell.is_none_or(|cell| cell.passed == 0) {
                    holes.push((op, engine, cell.and_then(|cell| cell.reason.as_deref())));
                }
            }
        }
        holes
    }

    /// The matrix, then every hole with its reason.
    pub fn render(&self) -> String {
        let mut text = format!("{:<26}", "op");
        self.engines.iter().for_each(|engine| drop_result(write!(text, "{engine:>8}")));
        text.push('\n');
        for &op in Op::ALL {
            drop_result(write!(text, "{:<26}", op.mnemonic()));
            for &engine in &self.engines {
                match self.cells.get(&(op, engine)).filter(|cell| cell.passed > 0) {
                    Some(cell) => drop_result(write!(text, "{:>8}", cell.passed)),
                    None => text.push_str("       -"),
                }
            }
            text.push('\n');
        }
        for (op, engine, reason) in self.holes() {
            let reason = reason.unwrap_or("no directive runs it");
            drop_result(writeln!(text, "hole: {op} on {engine}: {reason}"));
        }
        text
    }
}

/// Writing to a string does not fail.
fn drop_result(_: std::fmt::Result) {}
