//! Large functions of four shapes, described once and built through any builder.
//!
//! Every function is `i64 f(pointer to i64)`; its variables are 64-bit integers, first loaded from memory, then changed
//! one at a time, and xored together at the end.
//!
//! | shape | of `n` operations |
//! |---|---|
//! | straight | one block, 12 variables |
//! | press | one block, 64 variables: more than any machine has registers |
//! | branchy | `n / 10` diamonds of ten instructions, 8 variables |
//! | loops | `n / 20` counted loops of twenty instructions, 6 variables |

/// An operation on two integers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    Add,
    Sub,
    Xor,
    Mul,
    Or,
    And,
    Shl,
    Shr,
}

/// What a variable is combined with.
#[derive(Copy, Clone, Debug)]
pub(super) enum Operand {
    Variable(usize),
    Constant(i64),
}

/// `variable = variable operation operand`.
#[derive(Copy, Clone, Debug)]
pub(super) struct Assignment {
    operation: Operation,
    variable: usize,
    operand: Operand,
}

#[derive(Clone, Debug)]
enum Region {
    Straight(Vec<Assignment>),
    /// Two variables are compared; each arm changes some.
    Diamond {
        compared: (usize, usize),
        arms: [Vec<Assignment>; 2],
    },
    Loop {
        assignments: Vec<Assignment>,
        trips: i64,
    },
}

/// A description of a function.
#[derive(Clone, Debug)]
pub(super) struct Description {
    variables: usize,
    regions: Vec<Region>,
}

/// Which kind of function.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Straight,
    Press,
    Branchy,
    Loops,
}

impl Shape {
    pub(super) const ALL: [Shape; 4] = [Shape::Straight, Shape::Press, Shape::Branchy, Shape::Loops];

    pub(super) fn name(self) -> &'static str {
        match self {
            Shape::Straight => "straight",
            Shape::Press => "press",
            Shape::Branchy => "branchy",
            Shape::Loops => "loops",
        }
    }

    /// A function of about `n` operations; always the same.
    pub(super) fn describe(self, n: usize) -> Description {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ n as u64);
        let variables = match self {
            Shape::Straight => 12,
            Shape::Press => 64,
            Shape::Branchy => 8,
            Shape::Loops => 6,
        };
        let list = |count: usize, random: &mut Random| -> Vec<Assignment> {
            (0..count).map(|_| random.assignment(variables)).collect()
        };
        let regions = match self {
            Shape::Straight | Shape::Press => vec![Region::Straight(list(n, &mut random))],
            Shape::Branchy => (0..n / 10)
                .map(|_| {
                    let first = random.below(variables);
                    let compared = (first, (first + 1 + random.below(variables - 1)) % variables);
                    Region::Diamond { compared, arms: [list(4, &mut random), list(4, &mut random)] }
                })
                .collect(),
            Shape::Loops => (0..n / 20)
                .map(|k| Region::Loop { assignments: list(14, &mut random), trips: 3 + k as i64 % 5 })
                .collect(),
        };
        Description { variables, regions }
    }
}

/// A generator of numbers (Marsaglia's xorshift64): the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn assignment(&mut self, variables: usize) -> Assignment {
        use Operation::*;
        const WEIGHTED: [Operation; 28] = [
            Add, Add, Add, Add, Add, Add, Sub, Sub, Sub, Sub, Xor, Xor, Xor, Xor, Xor, Xor, Mul, Mul, Mul,
            Or, Or, And, And, Shl, Shl, Shr, Shr, Shr,
        ];
        let operation = WEIGHTED[self.below(WEIGHTED.len())];
        let variable = self.below(variables);
        let operand = match operation {
            Shl | Shr => Operand::Constant(1 + self.below(31) as i64),
            _ if self.below(4) == 0 => Operand::Constant(self.below(1 << 20) as i64 * 2 + 3),
            _ => Operand::Variable((variable + 1 + self.below(variables - 1)) % variables),
        };
        Assignment { operation, variable, operand }
    }
}

/// A builder, as far as these functions need one.
pub(super) trait Build {
    /// A value.
    type Value: Copy;
    /// A block.
    type Block: Copy;

    fn block(&mut self) -> Self::Block;
    fn param(&mut self, block: Self::Block) -> Self::Value;
    fn switch_to(&mut self, block: Self::Block);
    fn constant(&mut self, value: i64) -> Self::Value;
    fn binary(&mut self, operation: Operation, a: Self::Value, b: Self::Value) -> Self::Value;
    fn less(&mut self, a: Self::Value, b: Self::Value) -> Self::Value;
    /// The n-th integer at the function's parameter.
    fn load(&mut self, n: Self::Value) -> Self::Value;
    fn jump(&mut self, block: Self::Block, args: &[Self::Value]);
    fn branch(
        &mut self,
        condition: Self::Value,
        yes: (Self::Block, &[Self::Value]),
        no: (Self::Block, &[Self::Value]),
    );
    fn ret(&mut self, value: Self::Value);
}

/// A builder that has variables, numbered from 0, and wants to know when all edges to a block exist.
pub(super) trait BuildVariables: Build {
    fn declare(&mut self, count: usize);
    fn define(&mut self, variable: usize, value: Self::Value);
    fn get(&mut self, variable: usize) -> Self::Value;
    fn seal(&mut self, block: Self::Block);
}

/// Builds in SSA form, with block parameters. The builder stands in the entry block.
pub(super) fn build<B: Build>(description: &Description, b: &mut B) {
    let mut now: Vec<B::Value> = Vec::with_capacity(description.variables);
    for n in 0..description.variables {
        let index = b.constant(n as i64);
        now.push(b.load(index));
    }
    let assign = |b: &mut B, now: &mut Vec<B::Value>, list: &[Assignment]| {
        for assignment in list {
            let operand = match assignment.operand {
                Operand::Variable(n) => now[n],
                Operand::Constant(value) => b.constant(value),
            };
            now[assignment.variable] = b.binary(assignment.operation, now[assignment.variable], operand);
        }
    };
    let mut args = Vec::new();
    for region in &description.regions {
        match region {
            Region::Straight(list) => assign(b, &mut now, list),
            Region::Diamond { compared, arms } => {
                let blocks = [b.block(), b.block()];
                let join = b.block();
                let condition = b.less(now[compared.0], now[compared.1]);
                b.branch(condition, (blocks[0], &[]), (blocks[1], &[]));
                let mut changed = vec![false; now.len()];
                arms.iter().flatten().for_each(|assignment| changed[assignment.variable] = true);
                for (block, list) in blocks.into_iter().zip(arms) {
                    b.switch_to(block);
                    let mut inside = now.clone();
                    assign(b, &mut inside, list);
                    args.clear();
                    args.extend(
                        inside.iter().zip(&changed).filter(|(_, changed)| **changed).map(|(v, _)| *v),
                    );
                    b.jump(join, &args);
                }
                b.switch_to(join);
                for (value, _) in now.iter_mut().zip(&changed).filter(|(_, changed)| **changed) {
                    *value = b.param(join);
                }
            }
            Region::Loop { assignments, trips } => {
                let (header, done) = (b.block(), b.block());
                args.clear();
                args.push(b.constant(0));
                args.extend(&now);
                b.jump(header, &args);
                b.switch_to(header);
                let i = b.param(header);
                now.iter_mut().for_each(|value| *value = b.param(header));
                assign(b, &mut now, assignments);
                let next = count(b, i, &mut now[0]);
                let end = b.constant(*trips);
                let more = b.less(next, end);
                args.clear();
                args.push(next);
                args.extend(&now);
                b.branch(more, (header, &args), (done, &[]));
                b.switch_to(done);
            }
        }
    }
    let last = now.iter().copied().reduce(|a, value| b.binary(Operation::Xor, a, value));
    if let Some(last) = last {
        b.ret(last);
    }
}

/// The end of a loop's body: one element of the memory goes into the first variable, the counter advances.
fn count<B: Build>(b: &mut B, i: B::Value, first: &mut B::Value) -> B::Value {
    let (mask, one) = (b.constant(63), b.constant(1));
    let masked = b.binary(Operation::And, i, mask);
    let loaded = b.load(masked);
    *first = b.binary(Operation::Xor, *first, loaded);
    b.binary(Operation::Add, i, one)
}

/// Builds with variables. The builder stands in the entry block, which is sealed.
pub(super) fn build_variables<B: BuildVariables>(description: &Description, b: &mut B) {
    let counter = description.variables;
    b.declare(counter + 1);
    for n in 0..description.variables {
        let index = b.constant(n as i64);
        let value = b.load(index);
        b.define(n, value);
    }
    let assign = |b: &mut B, list: &[Assignment]| {
        for assignment in list {
            let value = b.get(assignment.variable);
            let operand = match assignment.operand {
                Operand::Variable(n) => b.get(n),
                Operand::Constant(value) => b.constant(value),
            };
            let value = b.binary(assignment.operation, value, operand);
            b.define(assignment.variable, value);
        }
    };
    for region in &description.regions {
        match region {
            Region::Straight(list) => assign(b, list),
            Region::Diamond { compared, arms } => {
                let blocks = [b.block(), b.block()];
                let join = b.block();
                let (x, y) = (b.get(compared.0), b.get(compared.1));
                let condition = b.less(x, y);
                b.branch(condition, (blocks[0], &[]), (blocks[1], &[]));
                for (block, list) in blocks.into_iter().zip(arms) {
                    b.switch_to(block);
                    b.seal(block);
                    assign(b, list);
                    b.jump(join, &[]);
                }
                b.switch_to(join);
                b.seal(join);
            }
            Region::Loop { assignments, trips } => {
                let (header, done) = (b.block(), b.block());
                let zero = b.constant(0);
                b.define(counter, zero);
                b.jump(header, &[]);
                b.switch_to(header);
                assign(b, assignments);
                let (i, mut first) = (b.get(counter), b.get(0));
                let next = count(b, i, &mut first);
                b.define(0, first);
                b.define(counter, next);
                let end = b.constant(*trips);
                let more = b.less(next, end);
                b.branch(more, (header, &[]), (done, &[]));
                b.seal(header);
                b.switch_to(done);
                b.seal(done);
            }
        }
    }
    let mut last = b.get(0);
    for n in 1..description.variables {
        let value = b.get(n);
        last = b.binary(Operation::Xor, last, value);
    }
    b.ret(last);
}
