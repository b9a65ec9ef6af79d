//! A function being written: lines of text, and the values in scope.

use super::choices::Choices;
use super::memory::Place;
use super::types::{self, Ty};
use marquetry_ir::types::Type;
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

    /// An operand of a type: a value in scope, recent ones more likely, or a constant.
    pub fn operand(&mut self, ty: &Ty) -> String {
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

    /// Writes the return.
    pub fn finish(&mut self) {
        let results = self.results.clone();
        let operands: Vec<String> = results.iter().map(|ty| self.operand(ty)).collect();
        self.line(format!("return {}", operands.join(", ")).trim_end());
    }
}
