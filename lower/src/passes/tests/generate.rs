//! Random programs, valid by construction: they end, touch only what exists, and read only what was written.

use std::fmt::Write;

/// A small, repeatable source of chance (xorshift).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const TYPES: [&str; 5] = ["i32", "i64", "i1", "f32", "i8"];

struct Generator<'c> {
    chance: &'c mut Chance,
    text: String,
    /// Names in scope by type.
    values: [Vec<String>; 5],
    aggregates: Vec<String>,
    names: usize,
    budget: usize,
}

/// Parameters: `i32`, `i64`, `i1`, `f32`, `i8` and a buffer of eight `i32`. Results: one of each.
pub fn program(chance: &mut Chance, size: usize) -> String {
    let mut g = Generator {
        chance,
        text: String::new(),
        values: std::array::from_fn(|n| vec![format!("p{n}")]),
        aggregates: Vec::new(),
        names: 0,
        budget: size,
    };
    g.text.push_str("struct pair { x: i32, y: i64 }\nstruct nest { a: pair, b: array<i32, 2> }\n");
    g.text.push_str("global cells: array<i32, 4> in global\n");
    g.text.push_str("method f(p0: i32, p1: i64, p2: i1, p3: f32, p4: i8, buf: ptr<global>) -> (i32, i64, i1, f32, i8) {\nentry:\n");
    for (n, ty) in ["i32", "i64", "i32", "array<i32, 4>", "nest", "pair", "i32"].iter().enumerate() {
        g.line(format!("s{n} = slot.{ty}"));
    }
    g.line("store s0, p0".into());
    g.line("store s1, p1".into());
    g.line("store s2, i32 5".into());
    g.line("store s6, p0".into());
    g.line("memset s3, i8 0, i64 16".into());
    g.line("p1_narrow = trunc.i32 p1".into());
    g.line("s3_1 = index s3, i64 1, i32".into());
    g.line("s3_2 = index s3, i64 2, i32".into());
    g.line("seed = load.i32 buf".into());
    g.line("store s3_1, p0".into());
    g.line("store s3_2, seed".into());
    g.line("memset s4, i8 0, i64 24".into());
    g.line("store s5, pair zero".into());
    g.line("cells0 = address.global cells".into());
    g.aggregates.push("pair zero".into());
    while g.budget > 0 {
        g.block(4);
    }
    g.line("total = load.i32 s6".into());
    let mut results: Vec<String> = (0..5).map(|ty| g.value(ty)).collect();
    results[0] = "total".into();
    let _ = writeln!(g.text, "    return {}\n}}", results.join(", "));
    g.text
}

impl Generator<'_> {
    fn line(&mut self, line: String) {
        let _ = writeln!(self.text, "    {line}");
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("t{}", self.names)
    }

    fn constant(&mut self, ty: usize) -> String {
        match ty {
            0 => format!(
                "i32 {}",
                self.chance.pick(&["0", "1", "-1", "2", "7", "8", "31", "100", "-2147483648", "2147483647"])
            ),
            1 => {
                format!("i64 {}", self.chance.pick(&["0", "1", "-1", "2", "4", "64", "-9223372036854775808"]))
            }
            2 => format!("i1 {}", self.chance.pick(&["true", "false"])),
            3 => format!("f32 {}", self.chance.pick(&["0.0", "-0.0", "1.0", "-1.0", "inf", "nan", "2.5"])),
            _ => format!("i8 {}", self.chance.pick(&["0", "1", "-1", "16", "-128"])),
        }
    }

    fn value(&mut self, ty: usize) -> String {
        match self.chance.below(9) {
            0 => return self.constant(ty),
            1 | 2 => return format!("p{ty}"),
            _ => {}
        }
        let n = self.values[ty].len();
        // Recent ones more often.
        let at = n - 1 - self.chance.below(n).min(self.chance.below(n));
        self.values[ty][at].clone()
    }

    fn define(&mut self, ty: usize, code: String) {
        let name = self.name();
        self.line(format!("{name} = {code}"));
        if ty == 1 && self.chance.below(3) == 0 {
            self.line(format!("n{name} = trunc.i32 {name}"));
            self.values[0].push(format!("n{name}"));
        }
        if ty == 2 && self.chance.below(3) == 0 {
            self.line(format!("n{name} = zext.i32 {name}"));
            self.values[0].push(format!("n{name}"));
        }
        if ty == 0 && self.chance.below(3) > 0 {
            // Into the sum that the function returns, so that it matters.
            let (sum, next) = (self.name(), self.name());
            self.line(format!("{sum} = load.i32 s6"));
            self.line(format!(
                "{next} = {} {sum}, {name}",
                if self.chance.0.is_multiple_of(2) { "add" } else { "xor" }
            ));
            self.line(format!("store s6, {next}"));
        }
        self.values[ty].push(name);
    }

    fn block(&mut self, depth: usize) {
        for _ in 0..3 + self.chance.below(6) {
            if self.budget == 0 {
                return;
            }
            self.budget -= 1;
            match self.chance.below(if depth > 0 { 16 } else { 12 }) {
                0..=4 => self.arithmetic(),
                5..=7 => self.memory(),
                8 => self.aggregate(),
                9 => self.convert(),
                10 => self.throwing(),
                11 => self.compare(),
                12 | 13 => self.branch(depth - 1),
                14 => self.repeat(depth - 1),
                _ => self.switch(depth - 1),
            }
        }
    }

    fn arithmetic(&mut self) {
        let ty = self.chance.below(5);
        let (a, b, c) = (self.value(ty), self.value(ty), self.value(2));
        let ints = [
            "add",
            "sub",
            "mul",
            "and",
            "or",
            "xor",
            "shl",
            "shr.s",
            "shr.u",
            "rotl",
            "min.s",
            "max.u",
            "add_sat.s",
            "mul_high.u",
        ];
        let op = match ty {
            2 => self.chance.pick(&["and", "or", "xor"]),
            3 => self.chance.pick(&["add", "sub", "mul", "min", "max", "div"]),
            _ => self.chance.pick(&ints),
        };
        match self.chance.below(8) {
            0 => self.define(ty, format!("select {c}, {a}, {b}")),
            1 if ty != 2 => self.define(ty, format!("neg {a}")),
            1 => self.define(ty, format!("not {a}")),
            2 if ty < 2 => {
                let (sum, flag) = (self.name(), self.name());
                self.line(format!("{sum}, {flag} = add_overflow.s {a}, {b}"));
                self.values[ty].push(sum);
                self.values[2].push(flag);
            }
            _ => self.define(ty, format!("{op} {a}, {b}")),
        }
    }

    fn compare(&mut self) {
        let ty = self.chance.below(4);
        let (a, b) = (self.value(ty), self.value(ty));
        let op = match ty {
            2 => self.chance.pick(&["eq", "ne"]),
            3 => self.chance.pick(&["eq", "ne", "lt", "ule", "ord", "uge"]),
            _ => self.chance.pick(&["eq", "ne", "lt.s", "le.s", "gt.u", "ge.u", "lt.u", "ge.s"]),
        };
        self.define(2, format!("{op} {a}, {b}"));
    }

    fn convert(&mut self) {
        let (from, op, to) = match self.chance.below(8) {
            0 => (0, "sext.i64", 1),
            1 => (0, "zext.i64", 1),
            2 => (1, "trunc.i32", 0),
            3 => (2, "zext.i32", 0),
            4 => (4, "sext.i32", 0),
            5 => (0, "trunc.i8", 4),
            6 => (3, "ftos.i32", 0),
            _ => (0, "stof.f32", 3),
        };
        let a = self.value(from);
        self.define(to, format!("{op} {a}"));
    }

    fn throwing(&mut self) {
        let (a, b) = (self.value(0), self.value(0));
        match self.chance.below(8) {
            0 => {
                let b = if self.chance.below(3) > 0 { "i32 -3".into() } else { b };
                let op = self.chance.pick(&["div.s", "div.u", "rem.s", "rem.u"]);
                self.define(0, format!("{op} {a}, {b}"));
            }
            1 | 2 => self.define(0, format!("div.u {a}, i32 8")),
            3 | 4 => self.define(0, format!("rem.s {a}, i32 -1")),
            5 | 6 => self.define(0, format!("rem.u {a}, i32 16")),
            _ => {
                let bound = 1 << (self.chance.below(31) / 2 + 15);
                self.define(0, format!("bounds_check {a}, i32 {bound}"));
            }
        }
    }

    /// The address of an `i32` in the buffer, a global or a slot.
    fn place(&mut self) -> String {
        let name = self.name();
        let index = self.value(0);
        let dynamic = format!("m{name}");
        match self.chance.below(10) {
            8 => return "buf".into(),
            9 => return "cells0".into(),
            0 => return "s0".into(),
            1 => return "s2".into(),
            2 => self.line(format!("{name} = field_address s3, array<i32, 4>, {}", self.chance.0 % 4)),
            3 => self.line(format!("{name} = index s3, i64 {}, i32", self.chance.0 % 4)),
            4 => self.line(format!("{name} = ptr_add s4, i64 {}", 16 + self.chance.0 % 2 * 4)),
            5 => self.line(format!("{name} = index cells0, i64 {}, i32", self.chance.0 % 4)),
            6 if self.chance.below(3) == 0 => {
                self.line(format!("{dynamic} = and {index}, i32 3"));
                self.line(format!("{name} = index s3, {dynamic}, i32"));
            }
            _ => {
                self.line(format!("{dynamic} = and {index}, i32 7"));
                self.line(format!("{name} = index buf, {dynamic}, i32"));
            }
        }
        name
    }

    fn memory(&mut self) {
        match self.chance.below(10) {
            0 => {
                let v = self.value(1);
                self.line(format!("store s1, {v}"));
            }
            1 => self.define(1, "load.i64 s1".into()),
            2 => {
                let (name, slot) = (self.name(), self.chance.pick(&["s4", "s5"]));
                self.line(format!("{name} = load.pair {slot}"));
                self.aggregates.push(name);
            }
            3 => {
                let at = self.chance.below(self.aggregates.len());
                let a = self.aggregates[at].clone();
                let slot = self.chance.pick(&["s4", "s5"]);
                self.line(format!("store {slot}, {a}"));
            }
            4..=6 => {
                let (place, v) = (self.place(), self.value(0));
                let volatile = if self.chance.below(8) == 0 { " volatile" } else { "" };
                self.line(format!("store {place}, {v}{volatile}"));
            }
            _ => {
                let place = self.place();
                self.define(0, format!("load.i32 {place}"));
            }
        }
    }

    fn aggregate(&mut self) {
        let at = self.chance.below(self.aggregates.len());
        let a = self.aggregates[at].clone();
        let (x, y) = (self.value(0), self.value(1));
        let name = self.name();
        match self.chance.below(4) {
            0 => self.line(format!("{name} = make.pair {x}, {y}")),
            1 => self.line(format!("{name} = set {a}, {x}, 0")),
            2 => return self.define(0, format!("get {a}, 0")),
            _ => return self.define(1, format!("get {a}, 1")),
        }
        self.aggregates.push(name);
    }

    /// Runs `f` with what it defines out of scope afterwards; gives a value of each asked type from inside.
    fn scoped(&mut self, depth: usize, wanted: &[usize]) -> Vec<String> {
        let marks: Vec<usize> = self.values.iter().map(Vec::len).collect();
        let aggregates = self.aggregates.len();
        self.block(depth);
        let values = wanted.iter().map(|&ty| self.value(ty)).collect();
        for (list, mark) in self.values.iter_mut().zip(marks) {
            list.truncate(mark);
        }
        self.aggregates.truncate(aggregates);
        values
    }

    fn wanted(&mut self) -> Vec<usize> {
        (0..self.chance.below(3)).map(|_| self.chance.below(5)).collect()
    }

    fn label(&mut self, label: &str, wanted: &[usize]) {
        let params: Vec<(usize, String)> = wanted.iter().map(|&ty| (ty, self.name())).collect();
        let list: Vec<String> = params.iter().map(|(ty, name)| format!("{name}: {}", TYPES[*ty])).collect();
        let list = if list.is_empty() { String::new() } else { format!("({})", list.join(", ")) };
        let _ = writeln!(self.text, "{label}{list}:");
        for (ty, name) in params {
            self.values[ty].push(name);
        }
    }

    fn jump(&mut self, label: &str, args: &[String]) -> String {
        if args.is_empty() { label.into() } else { format!("{label}({})", args.join(", ")) }
    }

    fn branch(&mut self, depth: usize) {
        let (n, wanted, condition) = (self.name(), self.wanted(), self.value(2));
        let triangle = self.chance.below(3) == 0;
        let past: Vec<String> = wanted.iter().map(|&ty| self.value(ty)).collect();
        let other = if triangle { self.jump(&format!("{n}_join"), &past) } else { format!("{n}_no") };
        self.line(format!("branch {condition}, {n}_yes, {other}"));
        self.label(&format!("{n}_yes"), &[]);
        let args = self.scoped(depth, &wanted);
        let jump = self.jump(&format!("{n}_join"), &args);
        if self.chance.below(30) == 0 {
            let kind = self.chance.pick(&["Odd", "Even"]);
            self.line(format!("throw {kind}"));
        } else {
            self.line(format!("jump {jump}"));
        }
        if !triangle {
            self.label(&format!("{n}_no"), &[]);
            let args = self.scoped(depth, &wanted);
            let jump = self.jump(&format!("{n}_join"), &args);
            self.line(format!("jump {jump}"));
        }
        self.label(&format!("{n}_join"), &wanted);
    }

    /// A loop of at most eight rounds, tested at its top or its bottom, perhaps with a way out in the middle.
    fn repeat(&mut self, depth: usize) {
        let (n, mut carried) = (self.name(), self.wanted());
        let limit = match self.chance.below(3) {
            0 => format!("i32 {}", self.chance.below(6)),
            _ => {
                let bound = self.value(0);
                self.line(format!("{n}_limit = and {bound}, i32 7"));
                format!("{n}_limit")
            }
        };
        carried.truncate(2);
        let start: Vec<String> = carried.iter().map(|&ty| self.value(ty)).collect();
        let top = self.chance.below(3) > 0;
        let entry = [vec!["i32 0".to_string()], start.clone()].concat();
        let entry = self.jump(&format!("{n}_head"), &entry);
        self.line(format!("jump {entry}"));
        let all = [vec![0], carried.clone()].concat();
        let outer: Vec<usize> = self.values.iter().map(Vec::len).collect();
        let aggregates = self.aggregates.len();
        self.label(&format!("{n}_head"), &all);
        let counter = format!("t{}", self.names - carried.len());
        let state: Vec<String> =
            (0..carried.len()).map(|k| format!("t{}", self.names + k + 1 - carried.len())).collect();
        if top {
            self.line(format!("{n}_more = lt.s {counter}, {limit}"));
            self.line(format!("branch {n}_more, {n}_body, {n}_exit"));
            self.label(&format!("{n}_body"), &[]);
        }
        if self.chance.below(4) == 0 {
            let condition = self.value(2);
            self.line(format!("branch {condition}, {n}_exit, {n}_rest"));
            self.label(&format!("{n}_rest"), &[]);
        }
        // What does not change from round to round, but must not move past what does.
        if self.chance.below(3) == 0 {
            self.memory();
        }
        match self.chance.below(12) {
            // The counter is at most 7.
            3 | 4 => {
                let name = self.name();
                self.line(format!("{name} = index buf, {counter}, i32"));
                self.define(0, format!("load.i32 {name}"));
            }
            5 => self.define(1, format!("sext.i64 {counter}")),
            6 => {
                let (sum, name) = (self.name(), self.name());
                self.line(format!("{sum} = add {counter}, i32 {}", self.chance.0 as i32));
                self.line(format!("{name} = sext.i64 {sum}"));
                self.values[1].push(name);
            }
            7 => self.define(1, format!("zext.i64 {counter}")),
            8 => self.define(0, format!("bounds_check {counter}, {limit}")),
            0 => self.define(0, "load.i32 buf".into()),
            1 => self.define(0, "load.i32 cells0".into()),
            2 => self.define(0, "div.s p1_narrow, p0".into()),
            _ => {}
        }
        let next = self.scoped(depth, &carried);
        self.line(format!("{n}_next = add {counter}, i32 1"));
        let back = [vec![format!("{n}_next")], next].concat();
        let back = self.jump(&format!("{n}_head"), &back);
        if top {
            self.line(format!("jump {back}"));
        } else {
            self.line(format!("{n}_more = lt.s {n}_next, {limit}"));
            self.line(format!("branch {n}_more, {back}, {n}_exit"));
        }
        let _ = writeln!(self.text, "{n}_exit:");
        // What the head defines is visible after the loop; the head dominates the exit.
        for (list, mark) in self.values.iter_mut().zip(outer) {
            list.truncate(mark);
        }
        self.aggregates.truncate(aggregates);
        self.values[0].push(counter);
        for (ty, name) in carried.into_iter().zip(state) {
            self.values[ty].push(name);
        }
    }

    fn switch(&mut self, depth: usize) {
        let (n, wanted, selector) = (self.name(), self.wanted(), self.value(0));
        let past: Vec<String> = wanted.iter().map(|&ty| self.value(ty)).collect();
        let join = self.jump(&format!("{n}_join"), &past);
        self.line(format!("switch {selector}, {join}, [0: {n}_a, 1: {n}_b, 7: {join}]"));
        for arm in ["a", "b"] {
            self.label(&format!("{n}_{arm}"), &[]);
            let args = self.scoped(depth, &wanted);
            let jump = self.jump(&format!("{n}_join"), &args);
            self.line(format!("jump {jump}"));
        }
        self.label(&format!("{n}_join"), &wanted);
    }
}
