//! Control flow: regions that nest, and graphs that do not.

use super::body::BodyWriter;
use super::types::{self, INTS, Ty};
use marquetry_ir::types::{Scalar, Type};

/// Deepest nesting of regions.
const MAX_DEPTH: usize = 3;

impl BodyWriter<'_, '_, '_, '_> {
    /// Instructions and nested regions, until the budget is used up or by choice.
    pub fn region(&mut self, depth: usize) {
        loop {
            match self.choices.below(24) {
                0..8 => self.compute(),
                8..13 => self.idiom(),
                13..17 => self.access(),
                17 => self.make_slot(),
                18 | 19 => self.call(),
                _ if depth >= MAX_DEPTH || self.budget < 8 => self.compute(),
                20 => self.conditional(depth),
                21 => self.counted_loop(depth),
                22 => match self.choices.below(3) {
                    0 => self.switch(depth),
                    1 => self.leave(),
                    _ => self.graph(),
                },
                _ => self.conditional(depth),
            }
            let stop = if depth == 0 { 40 } else { 6 };
            if self.budget == 0 || self.choices.is_empty() || self.choices.chance(1, stop) {
                return;
            }
        }
    }

    /// A region of its own scope; what it hands on.
    fn nested(&mut self, depth: usize, types: &[Ty]) -> Vec<String> {
        let (values, places) = (self.scope.len(), self.places.len());
        self.region(depth + 1);
        let handed = types.iter().map(|ty| self.operand(ty)).collect();
        self.scope.truncate(values);
        self.places.truncate(places);
        handed
    }

    fn some_types(&mut self, most: usize) -> Vec<Ty> {
        (0..self.choices.below(most + 1)).map(|_| self.any_type()).collect()
    }

    fn params(&mut self, types: &[Ty]) -> Vec<(String, Ty)> {
        types.iter().map(|ty| (self.fresh("p"), ty.clone())).collect()
    }

    fn condition(&mut self) -> String {
        self.plain(Type::I1)
    }

    fn conditional(&mut self, depth: usize) {
        let condition = self.condition();
        let types = self.some_types(3);
        let [yes, no, join] = ["yes", "no", "join"].map(|name| self.fresh(name));
        let one_sided = self.choices.chance(1, 3);
        if one_sided {
            let handed: Vec<String> = types.iter().map(|ty| self.operand(ty)).collect();
            self.line(&format!("branch {condition}, {yes}, {join}{}", list(&handed)));
        } else {
            self.line(&format!("branch {condition}, {yes}, {no}"));
        }
        self.block(&yes, &[]);
        let handed = self.nested(depth, &types);
        self.line(&format!("jump {join}{}", list(&handed)));
        if !one_sided {
            self.block(&no, &[]);
            let handed = self.nested(depth, &types);
            self.line(&format!("jump {join}{}", list(&handed)));
        }
        let params = self.params(&types);
        self.block(&join, &params);
    }

    fn counted_loop(&mut self, depth: usize) {
        let types = self.some_types(3);
        let [head, body, exit, counter] = ["head", "body", "exit", "k"].map(|name| self.fresh(name));
        let bound = if self.choices.chance(1, 2) {
            format!("i32 {}", self.choices.below(7))
        } else {
            let x = self.plain(Type::I32);
            self.hidden(&format!("and {x}, i32 7"))
        };
        let start: Vec<String> = types.iter().map(|ty| self.operand(ty)).collect();
        self.line(&format!("jump {head}{}", list(&[&["i32 0".to_string()], &start[..]].concat())));
        let (values, places) = (self.scope.len(), self.places.len());
        let mut params = vec![(counter.clone(), Ty::Plain(Type::I32))];
        params.extend(self.params(&types));
        self.block(&head, &params);
        let carried: Vec<String> = params[1..].iter().map(|(name, _)| name.clone()).collect();
        let more = self.hidden(&format!("lt.s {counter}, {bound}"));
        self.line(&format!("branch {more}, {body}, {exit}{}", list(&carried)));
        self.block(&body, &[]);
        let mut handed = self.nested(depth, &types);
        if self.choices.chance(1, 3) {
            let condition = self.condition();
            let leaving: Vec<String> = types.iter().map(|ty| self.operand(ty)).collect();
            let rest = self.fresh("rest");
            self.line(&format!("branch {condition}, {exit}{}, {rest}", list(&leaving)));
            self.block(&rest, &[]);
        }
        let next = self.hidden(&format!("add {counter}, i32 1"));
        handed.insert(0, next);
        self.line(&format!("jump {head}{}", list(&handed)));
        self.scope.truncate(values);
        self.places.truncate(places);
        let params = self.params(&types);
        self.block(&exit, &params);
    }

    fn switch(&mut self, depth: usize) {
        let ty = *self.choices.pick(&INTS).unwrap_or(&Scalar::I32);
        let mut selector = self.plain(Type::scalar(ty));
        if self.choices.chance(2, 3) {
            selector = self.hidden(&format!("and {selector}, {} 3", ty.name()));
        }
        let types = self.some_types(2);
        let join = self.fresh("join");
        let mut cases: Vec<(u128, String)> = Vec::new();
        let mut inner = Vec::new();
        for _ in 0..self.choices.below(5) {
            let value = match self.choices.chance(2, 3) {
                true => self.choices.below(5) as u128,
                false => types::bits(self.choices, ty),
            };
            if cases.iter().any(|(other, _)| *other == value) {
                continue;
            }
            let target = if self.choices.chance(1, 3) {
                let handed: Vec<String> = types.iter().map(|ty| self.operand(ty)).collect();
                format!("{join}{}", list(&handed))
            } else if let Some(same) = inner.last().filter(|_| self.choices.chance(1, 4)) {
                String::clone(same)
            } else {
                let name = self.fresh("case");
                inner.push(name.clone());
                name
            };
            cases.push((value, target));
        }
        let otherwise = self.fresh("otherwise");
        inner.push(otherwise.clone());
        let shift = 128 - ty.bits();
        let spelled: Vec<String> = cases
            .iter()
            .map(|(value, target)| format!("{}: {target}", ((value << shift) as i128) >> shift))
            .collect();
        self.line(&format!("switch {selector}, {otherwise}, [{}]", spelled.join(", ")));
        for name in inner {
            self.block(&name, &[]);
            let handed = self.nested(depth, &types);
            self.line(&format!("jump {join}{}", list(&handed)));
        }
        let params = self.params(&types);
        self.block(&join, &params);
    }

    /// Leaves the function: by a return, a throw, or where control is claimed never to get.
    fn leave(&mut self) {
        let condition = if self.choices.chance(1, 2) {
            self.condition()
        } else {
            let x = self.plain(Type::I32);
            let rare = self.choices.below(4);
            self.hidden(&format!("eq {x}, i32 {rare}"))
        };
        let [leaves, stays] = ["leaves", "stays"].map(|name| self.fresh(name));
        self.line(&format!("branch {condition}, {leaves}, {stays}"));
        self.block(&leaves, &[]);
        match self.choices.below(6) {
            0..3 => self.finish(),
            3 => self.line("throw OwnError, \"on purpose\""),
            4 if self.choices.chance(1, 2) => self.line("throw BoundsError"),
            4 => {
                let [x, y] = [Type::I32, Type::I64].map(|ty| self.plain(ty));
                self.line(&format!("throw OwnError, \"%d of %d\", {x}, {y}"));
            }
            _ => self.line("unreachable"),
        }
        self.block(&stays, &[]);
    }

    /// Blocks with edges between any two of them; every block pays with fuel.
    fn graph(&mut self) {
        let count = self.choices.range(2..6);
        let types = self.some_types(2);
        let names: Vec<String> = (0..count).map(|_| self.fresh("node")).collect();
        let exit = self.fresh("exit");
        let fuel = self.choices.range(1..14);
        let start: Vec<String> = types.iter().map(|ty| self.operand(ty)).collect();
        let condition = self.condition();
        let first = list(&[&[format!("i32 {fuel}")], &start[..]].concat());
        let other = self.choices.below(count);
        self.line(&format!("branch {condition}, {}{first}, {}{first}", names[0], names[other]));
        let (values, places) = (self.scope.len(), self.places.len());
        for name in &names {
            let left = self.fresh("fuel");
            let mut params = vec![(left.clone(), Ty::Plain(Type::I32))];
            params.extend(self.params(&types));
            self.block(name, &params);
            let empty = self.hidden(&format!("le.s {left}, i32 0"));
            let work = self.fresh("work");
            let carried: Vec<String> = params[1..].iter().map(|(name, _)| name.clone()).collect();
            self.line(&format!("branch {empty}, {exit}{}, {work}", list(&carried)));
            self.block(&work, &[]);
            for _ in 0..self.choices.below(4) {
                if self.choices.chance(1, 4) { self.access() } else { self.compute() }
            }
            let next = self.hidden(&format!("sub {left}, i32 1"));
            let edge = |writer: &mut Self| {
                let handed: Vec<String> = types.iter().map(|ty| writer.operand(ty)).collect();
                let target = writer.choices.below(count);
                format!("{}{}", names[target], list(&[std::slice::from_ref(&next), &handed[..]].concat()))
            };
            match self.choices.below(4) {
                0 => {
                    let target = edge(self);
                    self.line(&format!("jump {target}"));
                }
                1 => {
                    let x = self.plain(Type::I8);
                    let selector = self.hidden(&format!("and {x}, i8 3"));
                    let targets = [edge(self), edge(self), edge(self)];
                    let [a, b, c] = targets;
                    self.line(&format!("switch {selector}, {a}, [0: {b}, 2: {c}]"));
                }
                _ => {
                    let condition = self.condition();
                    let (a, b) = (edge(self), edge(self));
                    self.line(&format!("branch {condition}, {a}, {b}"));
                }
            }
            self.scope.truncate(values);
            self.places.truncate(places);
        }
        let params = self.params(&types);
        self.block(&exit, &params);
    }

    fn call(&mut self) {
        if self.calls == 0 {
            return self.compute();
        }
        let Some(callee) = self.choices.pick(&self.world.callees).cloned() else { return self.compute() };
        self.calls -= 1;
        let args: Vec<String> = callee.params.iter().map(|ty| self.operand(ty)).collect();
        let names: Vec<String> = callee.results.iter().map(|_| self.fresh("v")).collect();
        let define = if names.is_empty() { String::new() } else { format!("{} = ", names.join(", ")) };
        let args = args.join(", ");
        let text = |types: &[Ty]| types.iter().map(Ty::text).collect::<Vec<_>>().join(", ");
        if self.choices.chance(1, if callee.table.is_some() { 2 } else { 5 }) {
            let address = match callee.table {
                Some(space) if self.choices.chance(3, 4) => {
                    self.one_of_two(space, &callee.table_name(), "generic")
                }
                _ => self.hidden(&format!("function_address {}({})", callee.name, text(&callee.params))),
            };
            let results = match callee.results.len() {
                0 => String::new(),
                1 => format!(" -> {}", text(&callee.results)),
                _ => format!(" -> ({})", text(&callee.results)),
            };
            self.line(&format!("{define}call_indirect {address}({args}){results}"));
        } else {
            self.line(&format!("{define}call {}({args})", callee.name));
        }
        self.scope.extend(names.into_iter().zip(callee.results));
    }
}

/// Arguments of an edge.
fn list(args: &[String]) -> String {
    if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) }
}
