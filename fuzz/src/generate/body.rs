//! A function being written: lines of text, and the values in scope.

use super::choices::Choices;
use super::memory::Place;
use super::types::{self, Ty};
use marquetry_ir::types::{Scalar, Type};
use std::fmt::Write;

/// What a method can be called with.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Its name.
    pub name: String,
    /// Types of its parameters.
    pub params: Vec<Ty>,
    /// Types of its results.
    pub results: Vec<Ty>,
    /// The space of the table that holds its address twice, if there is one.
    pub table: Option<&'static str>,
}

impl Callee {
    /// What its table is called.
    pub fn table_name(&self) -> String {
        format!("calls_{}", self.name)
    }
}

/// What the methods of a program share.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Aggregates that values may have.
    pub aggregates: Vec<Ty>,
    /// Methods that may be called.
    pub callees: Vec<Callee>,
    /// Globals: places that exist in all functions.
    pub globals: Vec<Place>,
}

/// A function being written.
pub struct BodyWriter<'c, 'a, 'b, 'w> {
    /// Where decisions come from.
    pub choices: &'c mut Choices<'a, 'b>,
    /// What is there besides the function.
    pub world: &'w World,
    /// The text so far.
    pub text: String,
    /// Values in scope: operand and type.
    pub scope: Vec<(String, Ty)>,
    /// Places in memory in scope.
    pub places: Vec<Place>,
    /// Types of the function's results.
    pub results: Vec<Ty>,
    /// How many more instructions there may be, roughly.
    pub budget: usize,
    /// How many calls there may be.
    pub calls: usize,
    next: usize,
}

impl<'c, 'a, 'b, 'w> BodyWriter<'c, 'a, 'b, 'w> {
    /// Starts a function.
    pub fn new(choices: &'c mut Choices<'a, 'b>, world: &'w World, results: &[Ty], budget: usize) -> Self {
        BodyWriter {
            choices,
            world,
            text: String::new(),
            scope: Vec::new(),
            places: world.globals.clone(),
            results: results.to_vec(),
            budget,
            calls: 3,
            next: 0,
        }
    }

    /// A name that was not used yet.
    pub fn fresh(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}{}", self.next)
    }

    /// Writes a line that defines no value.
    pub fn line(&mut self, line: &str) {
        self.budget = self.budget.saturating_sub(1);
        let _ = writeln!(self.text, "    {line}");
    }

    /// Writes an instruction with one result; its name.
    pub fn value(&mut self, ty: Ty, instruction: &str) -> String {
        let name = self.hidden(instruction);
        self.scope.push((name.clone(), ty));
        name
    }

    /// As [`BodyWriter::value`]; the value does not become an operand by chance.
    pub fn hidden(&mut self, instruction: &str) -> String {
        let name = self.fresh("v");
        self.line(&format!("{name} = {instruction}"));
        name
    }

    /// Starts a block.
    pub fn block(&mut self, name: &str, params: &[(String, Ty)]) {
        let list: Vec<String> = params.iter().map(|(name, ty)| format!("{name}: {}", ty.text())).collect();
        let list = if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
        let _ = writeln!(self.text, "{name}{list}:");
        self.scope.extend(params.iter().cloned());
    }

    /// An operand of a type: a value in scope, recent ones more likely, or a constant; for a pointer,
    /// the address of raw memory.
    pub fn operand(&mut self, ty: &Ty) -> String {
        if ty.plain().is_some_and(Type::is_pointer) {
            return self.raw_address();
        }
        let fitting: Vec<usize> = (0..self.scope.len()).rev().filter(|&n| self.scope[n].1 == *ty).collect();
        if fitting.is_empty() || self.choices.chance(1, 5) {
            return types::constant(self.choices, ty);
        }
        let recent = fitting.len().min(if self.choices.chance(1, 2) { 3 } else { 64 });
        let index = fitting[self.choices.below(recent)];
        self.scope[index].0.clone()
    }

    /// An operand of a scalar or vector type.
    pub fn plain(&mut self, ty: Type) -> String {
        self.operand(&Ty::Plain(ty))
    }

    /// Any type: of a value in scope, a new one, or an aggregate.
    pub fn any_type(&mut self) -> Ty {
        if self.choices.chance(1, 10)
            && let Some(ty) = self.choices.pick(&self.world.aggregates)
        {
            return ty.clone();
        }
        if self.choices.chance(2, 3)
            && let Some((_, ty)) = self.choices.pick(&self.scope)
        {
            return ty.clone();
        }
        Ty::Plain(types::plain(self.choices))
    }

    /// Writes the return. The last result is a number that depends on all values in scope, so that none goes unseen.
    pub fn finish(&mut self) {
        let results = self.results.clone();
        let summed = usize::from(results.last() == Some(&Ty::Plain(Type::I64)));
        let others = &results[..results.len() - summed];
        let mut operands: Vec<String> = others.iter().map(|ty| self.operand(ty)).collect();
        if summed == 1 {
            operands.push(self.checksum());
        }
        self.line(format!("return {}", operands.join(", ")).trim_end());
    }

    /// An `i64` from the newest values in scope.
    fn checksum(&mut self) -> String {
        const MOST: usize = 24;
        let seen: Vec<(String, Type)> = self
            .scope
            .iter()
            .rev()
            .filter_map(|(name, ty)| Some((name.clone(), ty.plain()?)))
            .take(MOST)
            .collect();
        let mut sum = "i64 1".to_string();
        for (name, ty) in seen {
            let Some(lane) = ty.lane() else { continue };
            let mut bits = name.clone();
            let mut int = lane;
            if lane.is_float() {
                int = match lane.bits() {
                    16 => Scalar::I16,
                    32 => Scalar::I32,
                    _ => Scalar::I64,
                };
                let shape = ty.with_lane(int);
                let nan = self.hidden(&format!("uno {name}, {name}"));
                let raw = self.hidden(&format!("bitcast.{shape} {name}"));
                let zero = types::literal(shape, &vec![0; shape.lanes() as usize]);
                bits = self.hidden(&format!("select {nan}, {zero}, {raw}"));
            }
            if ty.is_vector() {
                let other = self.hidden(&format!("extract {bits}, i32 1"));
                let all = self.hidden(&format!("reduce_xor {bits}"));
                bits = match int {
                    Scalar::I1 => all,
                    _ => {
                        let twice = self.hidden(&format!("add {other}, {other}"));
                        self.hidden(&format!("sub {all}, {twice}"))
                    }
                };
            }
            let wide = match int {
                Scalar::I64 => bits,
                Scalar::I128 => {
                    let high = self.hidden(&format!("shr.u {bits}, i128 64"));
                    let both = self.hidden(&format!("xor {bits}, {high}"));
                    self.hidden(&format!("trunc.i64 {both}"))
                }
                _ => self.hidden(&format!("zext.i64 {bits}")),
            };
            let scaled = self.hidden(&format!("mul {sum}, i64 31"));
            sum = self.hidden(&format!("add {scaled}, {wide}"));
        }
        sum
    }
}
