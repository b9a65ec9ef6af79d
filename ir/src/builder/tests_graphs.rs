//! Variables in control flow of any kind: loops with several entries, blocks that nothing enters, blocks written in any
//! order and sealed late. What is built must do what was described; which uses are mistakes, and how many parameters
//! there are, must be what the textbook's construction says, done the slow way: liveness, dominators by removing
//! blocks, iterated dominance frontiers (Cytron et al., "Efficiently Computing Static Single Assignment Form and the
//! Control Dependence Graph", TOPLAS 1991).

use super::*;
use crate::entity::Func;
use crate::interp::{Ended, Interp, Val};
use crate::program::{Inlining, MethodKind};
use crate::unit::{Function, Unit};
use crate::verify::{explain, verify_unit};
use std::collections::BTreeSet;
use std::sync::Arc;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

#[derive(Clone, Debug)]
enum Statement {
    Constant(usize, i64),
    Copy(usize, usize),
    Add(usize, usize, usize),
}

#[derive(Clone, Debug)]
enum Exit {
    Return(Vec<usize>),
    Jump(usize),
    /// One off the fuel, which is variable 0. To the last block without fuel, else as a variable's lowest bit says.
    Choose(usize, [usize; 2]),
}

#[derive(Clone, Debug)]
struct Part {
    statements: Vec<Statement>,
    exit: Exit,
}

/// A function of one integer. Nothing leads to the first block; the last one returns.
#[derive(Clone, Debug)]
struct Graph {
    variables: usize,
    parts: Vec<Part>,
}

const FUEL: i64 = 25;

impl Graph {
    fn random(random: &mut Random) -> Graph {
        let variables = 2 + random.below(5);
        let count = 3 + random.below(10);
        // Back edges are rare in some graphs, so that many are reducible.
        let wildness = random.below(5);
        let mut parts = Vec::new();
        for n in 0..count {
            let mut statements = Vec::new();
            let forgets = random.below(6) == 0;
            for v in 0..if n == 0 { variables } else { 0 } {
                let value = if v == 0 { FUEL } else { v as i64 * 77 };
                if v == 0 || !forgets || random.below(variables) != 0 {
                    statements.push(Statement::Constant(v, value));
                }
            }
            for _ in 0..random.below(4) {
                let to = 1 + random.below(variables - 1);
                let (x, y) = (random.below(variables), random.below(variables));
                statements.push(match random.below(4) {
                    0 => Statement::Constant(to, random.below(9) as i64),
                    1 => Statement::Copy(to, x),
                    _ => Statement::Add(to, x, y),
                });
            }
            let target = |random: &mut Random| match random.below(5) {
                wild if wild < wildness => 1 + random.below(count - 1),
                _ => n + 1 + random.below((count - n - 1).clamp(1, 3)),
            };
            let exit = match random.below(3) {
                _ if n == count - 1 => {
                    Exit::Return((1..variables).filter(|_| random.below(2) == 0).collect())
                }
                0 => Exit::Jump(n + 1 + random.below((count - n - 1).min(2))),
                _ => {
                    let (one, other) = (target(random), target(random));
                    Exit::Choose(random.below(variables), [one, other].map(|to| to.min(count - 1)))
                }
            };
            parts.push(Part { statements, exit });
        }
        Graph { variables, parts }
    }

    fn successors(&self, n: usize) -> Vec<usize> {
        match self.parts[n].exit {
            Exit::Return(_) => vec![],
            Exit::Jump(to) => vec![to],
            Exit::Choose(_, [one, other]) => vec![one, other, self.parts.len() - 1],
        }
    }

    /// Reads and writes, in order.
    fn accesses(&self, n: usize) -> Vec<(usize, bool)> {
        let mut list = Vec::new();
        for statement in &self.parts[n].statements {
            match *statement {
                Statement::Constant(to, _) => list.push((to, true)),
                Statement::Copy(to, x) => list.extend([(x, false), (to, true)]),
                Statement::Add(to, x, y) => list.extend([(x, false), (y, false), (to, true)]),
            }
        }
        match &self.parts[n].exit {
            Exit::Return(list_of) => list.extend(list_of.iter().map(|&v| (v, false))),
            Exit::Jump(_) => {}
            Exit::Choose(by, _) => list.extend([(0, false), (0, true), (*by, false)]),
        }
        list
    }

    fn reads_first(&self, n: usize) -> BTreeSet<usize> {
        let (mut written, mut read) = (BTreeSet::new(), BTreeSet::new());
        for (variable, writes) in self.accesses(n) {
            if writes {
                written.insert(variable);
            } else if !written.contains(&variable) {
                read.insert(variable);
            }
        }
        read
    }

    fn writes(&self, n: usize) -> BTreeSet<usize> {
        self.accesses(n).into_iter().filter_map(|(variable, writes)| writes.then_some(variable)).collect()
    }

    /// What control gets to, without going through one block.
    fn reachable(&self, without: Option<usize>) -> BTreeSet<usize> {
        let (mut found, mut stack) = (BTreeSet::new(), vec![0]);
        while let Some(n) = stack.pop() {
            if Some(n) != without && found.insert(n) {
                stack.extend(self.successors(n));
            }
        }
        found
    }

    /// What each block dominates.
    fn dominated(&self) -> Vec<BTreeSet<usize>> {
        let all = self.reachable(None);
        (0..self.parts.len()).map(|n| all.difference(&self.reachable(Some(n))).copied().collect()).collect()
    }

    /// Whether what is left is a forest, if edges back to dominators are taken away.
    fn is_reducible(&self) -> bool {
        let dominated = self.dominated();
        let mut left = self.reachable(None);
        loop {
            let entered = |to: usize| {
                left.iter().any(|&from| self.successors(from).contains(&to) && !dominated[to].contains(&from))
            };
            let Some(first) = left.iter().copied().find(|&n| !entered(n)) else { return left.is_empty() };
            left.remove(&first);
        }
    }

    /// Variables used on some way from the beginning without a definition.
    fn undefined(&self) -> BTreeSet<usize> {
        let mut without = vec![BTreeSet::new(); self.parts.len()];
        without[0] = (0..self.variables).collect();
        let mut stack = vec![0];
        let mut found = BTreeSet::new();
        while let Some(n) = stack.pop() {
            found.extend(self.reads_first(n).intersection(&without[n]).copied());
            let behind: BTreeSet<usize> = without[n].difference(&self.writes(n)).copied().collect();
            for to in self.successors(n) {
                if !behind.is_subset(&without[to]) {
                    without[to].extend(&behind);
                    stack.push(to);
                }
            }
        }
        found
    }

    /// Parameters of pruned SSA. All blocks are reachable.
    fn parameters(&self) -> usize {
        let count = self.parts.len();
        let mut live: Vec<BTreeSet<usize>> = (0..count).map(|n| self.reads_first(n)).collect();
        let mut changes = true;
        while std::mem::take(&mut changes) {
            for n in 0..count {
                let behind: BTreeSet<usize> =
                    self.successors(n).into_iter().flat_map(|to| live[to].clone()).collect();
                let before = live[n].len();
                live[n].extend(behind.difference(&self.writes(n)));
                changes |= live[n].len() > before;
            }
        }
        let dominated = self.dominated();
        let is_frontier = |of: usize, at: usize| {
            let enters = |&from: &usize| self.successors(from).contains(&at);
            dominated[of].iter().any(enters) && (of == at || !dominated[of].contains(&at))
        };
        let mut total = 0;
        for variable in 0..self.variables {
            let mut defining: BTreeSet<usize> =
                (0..count).filter(|&n| self.writes(n).contains(&variable)).collect();
            defining.insert(0);
            let mut joins = BTreeSet::new();
            let mut stack: Vec<usize> = defining.iter().copied().collect();
            while let Some(of) = stack.pop() {
                for at in (0..count).filter(|&at| is_frontier(of, at)) {
                    if joins.insert(at) {
                        stack.push(at);
                    }
                }
            }
            total += joins.iter().filter(|&&at| live[at].contains(&variable)).count();
        }
        total
    }

    /// Executes the description.
    fn execute(&self, arg: i64) -> i64 {
        let mut values = vec![0i64; self.variables];
        let mut at = 0;
        loop {
            for statement in &self.parts[at].statements {
                match *statement {
                    Statement::Constant(to, value) => values[to] = value,
                    Statement::Copy(to, x) => values[to] = values[x],
                    Statement::Add(to, x, y) => {
                        values[to] = values[x].wrapping_add(values[y]).wrapping_add(arg)
                    }
                }
            }
            match &self.parts[at].exit {
                Exit::Return(list) => {
                    return list.iter().fold(arg, |sum, &v| sum.wrapping_mul(3) ^ values[v]);
                }
                Exit::Jump(to) => at = *to,
                Exit::Choose(by, targets) => {
                    values[0] -= 1;
                    let which = (values[*by] & 1) as usize;
                    at = if values[0] > 0 { targets[which] } else { self.parts.len() - 1 };
                }
            }
        }
    }
}

/// Writes a graph's blocks, those after the first in any order and by turns.
struct Writer<'g, 'b, 'a> {
    graph: &'g Graph,
    b: &'b mut FunctionBuilder<'a>,
    blocks: Vec<Block>,
    variables: Vec<Variable>,
    arg: Value,
}

impl Writer<'_, '_, '_> {
    fn get(&mut self, variable: usize) -> Value {
        self.b.use_var(self.variables[variable])
    }

    fn statement(&mut self, statement: &Statement) {
        let (to, value) = match *statement {
            Statement::Constant(to, value) => (to, self.b.ins().iconst(Type::I64, value)),
            Statement::Copy(to, x) => (to, self.get(x)),
            Statement::Add(to, x, y) => {
                let (x, y) = (self.get(x), self.get(y));
                let sum = self.b.ins().add(x, y);
                (to, self.b.ins().add(sum, self.arg))
            }
        };
        self.b.def_var(self.variables[to], value);
    }

    fn exit(&mut self, exit: &Exit) {
        match exit {
            Exit::Return(list) => {
                let mut sum = self.arg;
                for &variable in list {
                    let three = self.b.ins().iconst(Type::I64, 3);
                    let value = self.get(variable);
                    sum = self.b.ins().mul(sum, three);
                    sum = self.b.ins().xor(sum, value);
                }
                self.b.ins().ret(&[sum]);
            }
            Exit::Jump(to) => self.b.ins().jump(self.blocks[*to], &[]),
            Exit::Choose(by, [one, other]) => {
                let [zero, unit, two] = [0, 1, 2].map(|n| self.b.ins().iconst(Type::I64, n));
                let fuel = self.get(0);
                let fuel = self.b.ins().sub(fuel, unit);
                self.b.def_var(self.variables[0], fuel);
                let by = self.get(*by);
                let which = self.b.ins().and(by, unit);
                let goes_on = self.b.ins().gt_s(fuel, zero);
                let which = self.b.ins().select(goes_on, which, two);
                let last = self.blocks[self.blocks.len() - 1];
                let cases: [(i128, Block, &[Value]); 2] =
                    [(0, self.blocks[*one], &[]), (1, self.blocks[*other], &[])];
                self.b.ins().switch(which, (last, &[]), &cases);
            }
        }
    }

    fn write(&mut self, random: &mut Random) {
        let count = self.blocks.len();
        let order = random.below(3);
        let seals_early = random.below(3) > 0;
        let mut next = vec![0; count];
        let mut open: Vec<usize> = (0..count).collect();
        while !open.is_empty() {
            let which = if order == 0 || next[0] == 0 || open[0] == 0 { 0 } else { random.below(open.len()) };
            let n = open[which];
            self.b.switch_to_block(self.blocks[n]);
            let part = &self.graph.parts[n];
            // In one order a block is written in one go, in the other in pieces.
            let end = if order == 2 && n > 0 { next[n] + 1 } else { part.statements.len() + 1 };
            for k in next[n]..end {
                match part.statements.get(k) {
                    Some(statement) => self.statement(statement),
                    None => {
                        self.exit(&part.exit);
                        open.remove(which);
                    }
                }
            }
            next[n] = end;
            let is_known = |to: usize| open.iter().all(|&from| !self.graph.successors(from).contains(&to));
            if seals_early && random.below(2) == 0 {
                for to in (0..count).filter(|&to| is_known(to)) {
                    self.b.seal_block(self.blocks[to]);
                }
            }
        }
    }
}

/// Builds a graph; gives the mistakes if there are any.
fn build(graph: &Graph, few: Option<usize>, seed: u64) -> Result<Unit, Vec<MistakeKind>> {
    let types = Types::new();
    let signature = Signature::new([Type::I64], [Type::I64]);
    let (mut body, mut context) = (Body::new(), BuilderContext::new());
    context.variables.few = few;
    let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
    let blocks: Vec<Block> = graph.parts.iter().map(|_| b.create_block()).collect();
    b.append_block_params_for_function_params(blocks[0]);
    b.switch_to_block(blocks[0]);
    b.seal_block(blocks[0]);
    let arg = b.block_params(blocks[0])[0];
    let variables = (0..graph.variables).map(|_| b.declare_var(Type::I64)).collect();
    Writer { graph, b: &mut b, blocks, variables, arg }.write(&mut Random(seed));
    b.seal_all_blocks();
    b.finalize()
        .map_err(|error| error.mistakes.into_iter().map(|mistake| mistake.kind).collect::<Vec<_>>())?;
    let (name, kind, inlining) = ("f".into(), MethodKind::Function, Inlining::Auto);
    let (file, span) = (None, Span::NOWHERE);
    let mut unit = Unit { types: Arc::new(types), ..Unit::default() };
    unit.funcs.push(Function { name, kind, signature, body, inlining, file, span });
    let found = verify_unit(&unit);
    assert!(found.is_empty(), "seed {seed}: {}", explain(&unit, &found));
    Ok(unit)
}

#[test]
fn any_graph_does_what_was_described() {
    let (mut irreducible, mut unreachable, mut undefined, mut compared) = (0, 0, 0, 0);
    for seed in 1..3000u64 {
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let graph = Graph::random(&mut Random(seed));
        let wanted = graph.undefined();
        let is_reducible = graph.is_reducible();
        let is_whole = graph.reachable(None).len() == graph.parts.len();
        irreducible += usize::from(!is_reducible);
        unreachable += usize::from(!is_whole);
        undefined += usize::from(!wanted.is_empty());
        for few in [None, Some(0), Some(usize::MAX)] {
            let unit = match build(&graph, few, seed) {
                Ok(unit) => unit,
                Err(found) => {
                    let is_right = |kind: &MistakeKind| match kind {
                        MistakeKind::Undefined(variable) => wanted.contains(&(variable.as_u32() as usize)),
                        _ => false,
                    };
                    assert!(found.iter().all(is_right), "seed {seed}: {found:?} of {graph:?}");
                    continue;
                }
            };
            assert!(wanted.is_empty(), "seed {seed}: {wanted:?} of {graph:?}");
            for arg in [0, 1, 0x1234_5678_9abc_def7] {
                let mut interp = Interp::new(&unit, crate::interp::Config::default());
                let found = match interp.call(Func::from_u32(0), &[Val::Bits(arg)]) {
                    Ok(Ended::Returned(values)) => values,
                    other => panic!("seed {seed}: {other:?}"),
                };
                let wanted = Val::Bits(u128::from(graph.execute(arg as i64) as u64));
                assert_eq!(found, [wanted], "seed {seed} of {arg}: {graph:?}");
            }
            if is_reducible && is_whole {
                let body = &unit.funcs[Func::from_u32(0)].body;
                let found: usize = body.blocks().skip(1).map(|block| body.block_params(block).len()).sum();
                let most = graph.parameters();
                assert!(found <= most, "seed {seed}: {found} parameters, not {most}: {graph:?}");
                compared += 1;
            }
        }
    }
    let counts = [irreducible, unreachable, undefined, compared];
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}
