//! Runs PTX text, one thread of it, as the PTX ISA describes each instruction; float arithmetic is the reference's.
//!
//! It knows what the emitter writes and nothing else. Where the ISA leaves a result open it picks an unhelpful one,
//! and address spaces are windows at different addresses, so that a missing conversion shows.

use super::super::check::split_operands;
use marquetry_ir::op::Op;
use marquetry_ir::semantics::{Outcome, scalar};
use marquetry_ir::types::Scalar;
use std::collections::HashMap;

const SHARED: u64 = 0x7000_0000_0000;
const LOCAL: u64 = 0x7100_0000_0000;
const FUNCTIONS: u64 = 0x0500_0000;
const MAX_STEPS: u64 = 1 << 20;

#[derive(Default)]
struct Code<'t> {
    lines: Vec<&'t str>,
    labels: HashMap<&'t str, usize>,
}

/// A module, its memory, and one thread.
#[derive(Default)]
pub(super) struct Machine<'t> {
    functions: HashMap<&'t str, Code<'t>>,
    order: Vec<&'t str>,
    variables: HashMap<&'t str, u64>,
    memory: HashMap<u64, u8>,
    steps: u64,
    local_end: u64,
}

#[derive(Default)]
struct Frame<'t> {
    regs: HashMap<&'t str, u64>,
    params: HashMap<(String, u64), u64>,
    slots: u64,
}

fn name_of(declaration: &str) -> &str {
    let word = declaration.trim_end_matches(';').split_whitespace().last().unwrap_or("");
    word.split('[').next().unwrap_or(word)
}

fn bits_of(ty: &str) -> u32 {
    if ty == "pred" { 1 } else { ty.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(32) }
}

fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

fn extend(value: u64, bits: u32) -> i64 {
    (value << (64 - bits)) as i64 >> (64 - bits)
}

fn float(ty: &str) -> Option<Scalar> {
    match ty {
        "f16" => Some(Scalar::F16),
        "bf16" => Some(Scalar::BF16),
        "f32" => Some(Scalar::F32),
        "f64" => Some(Scalar::F64),
        _ => None,
    }
}

fn int(bits: u32) -> Scalar {
    match bits {
        8 => Scalar::I8,
        16 => Scalar::I16,
        32 => Scalar::I32,
        _ => Scalar::I64,
    }
}

fn compute(op: Op, from: Scalar, to: Scalar, args: &[u64]) -> u64 {
    let args: Vec<u128> = args.iter().map(|&a| u128::from(a)).collect();
    match scalar(op, from, to, &args) {
        Some(Outcome::Value(bits)) => bits as u64,
        other => panic!("{op} on {from:?} gives {other:?}"),
    }
}

fn is_nan(ty: Scalar, value: u64) -> bool {
    compute(Op::Uno, ty, Scalar::I1, &[value, value]) != 0
}

impl<'t> Machine<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let mut machine = Machine { local_end: 64, ..Machine::default() };
        let (mut current, mut globals, mut shared) = (None, 0x1_0000u64, 0x400u64);
        for line in text.lines().map(str::trim) {
            if line.contains(".entry ") || line.contains(".func ") {
                let head =
                    line.split_once(".func (").map_or(line, |(_, rest)| rest.split_once(") ").unwrap().1);
                let name = head.split('(').next().unwrap().split_whitespace().last().unwrap();
                current = (!line.ends_with(';')).then_some(name);
                if current.is_some() {
                    machine.order.push(name);
                }
            } else if let Some(function) = current {
                let code = machine.functions.entry(function).or_default();
                if let Some((label, _)) = line.split_once(':') {
                    code.labels.insert(label, code.lines.len());
                }
                code.lines.push(line);
                if line == "}" && !code.lines.iter().rev().skip(1).any(|l| l.is_empty()) {
                    let opened = code.lines.iter().filter(|&&l| l == "{").count();
                    let closed = code.lines.iter().filter(|&&l| l == "}").count();
                    if opened == closed {
                        current = None;
                    }
                }
            } else if line.contains(".align") {
                let (declaration, init) = line.split_once(" = {").unwrap_or((line, ""));
                let size: u64 = declaration.split(['[', ']']).nth(1).unwrap().parse().unwrap();
                let end = if line.starts_with(".shared") { &mut shared } else { &mut globals };
                let at = end.next_multiple_of(16);
                *end = at + size;
                let flat = if line.starts_with(".shared") { SHARED + at } else { at };
                machine.variables.insert(name_of(declaration), at);
                let bytes = init.trim_end_matches("};").split(',').filter(|b| !b.is_empty());
                let bytes: Vec<u8> = bytes.map(|b| b.parse().unwrap()).collect();
                if !line.starts_with(".shared") {
                    for n in 0..size {
                        machine.memory.insert(flat + n, bytes.get(n as usize).copied().unwrap_or(0));
                    }
                }
            }
        }
        machine
    }

    pub(super) fn write(&mut self, at: u64, bytes: u32, value: u64) {
        for n in 0..bytes {
            self.memory.insert(at + u64::from(n), value.checked_shr(8 * n).unwrap_or(0) as u8);
        }
    }

    pub(super) fn read(&self, at: u64, bytes: u32) -> u64 {
        let byte =
            |n: u32| self.memory.get(&(at + u64::from(n))).unwrap_or_else(|| panic!("nothing at {at:#x}"));
        (0..bytes).fold(0, |sum, n| sum | u64::from(*byte(n)) << (8 * n))
    }

    /// Runs a kernel with these arguments.
    pub(super) fn launch(&mut self, kernel: &str, args: &[u64]) {
        self.steps = 0;
        let params = args.iter().enumerate().map(|(n, &arg)| ((format!("$p{n}"), 0), arg)).collect();
        self.run(kernel, params);
    }

    fn run(&mut self, function: &str, params: HashMap<(String, u64), u64>) -> HashMap<(String, u64), u64> {
        let code = std::mem::take(self.functions.get_mut(function).expect("the function should exist"));
        let (lines, labels) = (code.lines.clone(), code.labels.clone());
        *self.functions.get_mut(function).unwrap() = code;
        let mut frame = Frame { params, slots: self.local_end, ..Frame::default() };
        self.local_end += 4096;
        let mut at = 0;
        while let Some(&line) = lines.get(at) {
            at += 1;
            self.steps += 1;
            assert!(self.steps < MAX_STEPS, "{function} runs on");
            if line.starts_with('.') || line.contains(':') || matches!(line, "{" | "}") {
                continue;
            }
            let mut line = line.trim_end_matches(';');
            if let Some(rest) = line.strip_prefix('@') {
                let (guard, rest) = rest.split_once('\t').unwrap();
                let (name, wanted) = guard.strip_prefix('!').map_or((guard, 1), |name| (name, 0));
                if frame.regs[name] != wanted {
                    continue;
                }
                line = rest;
            }
            let (op, operands) = line.split_once('\t').unwrap_or((line, ""));
            let operands = split_operands(operands);
            match op {
                "ret" => break,
                "bra" => at = labels[operands[0]],
                "brx.idx" => {
                    let table = lines[labels[operands[1]]].split_once(".branchtargets ").unwrap().1;
                    let index = self.value(&frame, operands[0], "u32") as usize;
                    at = labels[table.trim_end_matches(';').split(", ").nth(index).unwrap()];
                }
                "call" => self.call(&mut frame, &operands),
                _ => self.step(&mut frame, op, &operands),
            }
        }
        self.local_end -= 4096;
        frame.params
    }

    fn call(&mut self, frame: &mut Frame<'t>, operands: &[&str]) {
        let results = operands[0].starts_with("($s");
        let callee = operands[usize::from(results)];
        let name = match callee.strip_prefix('%') {
            Some(_) => self.order[(frame.regs[callee] - FUNCTIONS) as usize],
            None => callee,
        };
        let own = frame.params.iter().filter(|((name, _), _)| name.starts_with("$q"));
        let params = own.map(|((name, at), &value)| ((name.replace("$q", "$p"), *at), value)).collect();
        let left = self.run(name, params);
        frame.params.retain(|(name, _), _| !name.starts_with("$q") && !name.starts_with("$s"));
        let values = left.into_iter().filter(|((name, _), _)| name == "$r0");
        frame.params.extend(values.map(|((_, at), value)| (("$s0".to_string(), at), value)));
    }

    /// An operand that is read.
    fn value(&self, frame: &Frame, operand: &str, ty: &str) -> u64 {
        let bits = bits_of(ty);
        if let Some(inner) = operand.strip_prefix('{') {
            let (low, high) = inner.trim_end_matches('}').split_once(", ").unwrap();
            return frame.regs[low] | frame.regs[high] << 32;
        }
        if let Some(hex) = operand.strip_prefix("0f").or(operand.strip_prefix("0d")) {
            assert_eq!(hex.len() as u32 * 4, bits, "{operand} as {ty}");
            assert!(ty.starts_with('f'));
            return u64::from_str_radix(hex, 16).unwrap();
        }
        match operand {
            "%laneid" | "%tid.x" | "%tid.y" | "%tid.z" => 0,
            "%ctaid.x" | "%ctaid.y" | "%ctaid.z" => 0,
            _ if operand.starts_with("%n") => 1,
            "%clock64" => self.steps,
            _ if operand.starts_with('%') => {
                *frame.regs.get(operand).unwrap_or_else(|| panic!("{operand} should be written before"))
            }
            _ if operand.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                assert!(float(ty).is_none(), "{operand} where a float is wanted");
                operand.parse::<i128>().unwrap() as u64 & mask(bits)
            }
            _ => {
                let (name, offset) = operand.split_once('+').unwrap_or((operand, "0"));
                let at = match name {
                    "$slots" => frame.slots,
                    _ => match self.order.iter().position(|&function| function == name) {
                        Some(n) => FUNCTIONS + n as u64,
                        None => self.variables[name],
                    },
                };
                at.wrapping_add(offset.parse::<i64>().unwrap() as u64)
            }
        }
    }

    fn place(&self, frame: &Frame, operand: &str, op: &str) -> u64 {
        let inner = operand.trim_start_matches('[').trim_end_matches(']');
        let (base, offset) = inner.split_once('+').unwrap_or((inner, "0"));
        let at = self.value(frame, base, "u64").wrapping_add(offset.parse::<i64>().unwrap() as u64);
        match op {
            _ if op.contains(".shared") => SHARED.wrapping_add(at),
            _ if op.contains(".local") => LOCAL.wrapping_add(at),
            _ => at,
        }
    }

    fn step(&mut self, frame: &mut Frame<'t>, op: &str, operands: &[&'t str]) {
        let parts: Vec<&str> = op.split('.').collect();
        let ty = parts[parts.len() - 1];
        let bits = bits_of(ty);
        let is_signed = ty.starts_with('s');
        let arg =
            |machine: &Self, n: usize, ty: &str| machine.value(frame, operands[n], ty) & mask(bits_of(ty));
        let wide = |value: u64| if is_signed { extend(value, bits) as i128 } else { value as i128 };
        let value = match parts[0] {
            "mov" if operands[0].starts_with('{') => {
                let value = self.value(frame, operands[1], ty);
                let (low, high) = operands[0].trim_matches(['{', '}']).split_once(", ").unwrap();
                frame.regs.insert(low, value & mask(32));
                frame.regs.insert(high, value >> 32);
                return;
            }
            "mov" => arg(self, 1, ty),
            "ld" if parts[1] == "param" => {
                let inner = operands[1].trim_matches(['[', ']']);
                let (name, offset) = inner.split_once('+').unwrap_or((inner, "0"));
                frame.params[&(name.to_string(), offset.parse().unwrap())] & mask(bits)
            }
            "st" if parts[1] == "param" => {
                let inner = operands[0].trim_matches(['[', ']']);
                let (name, offset) = inner.split_once('+').unwrap_or((inner, "0"));
                let value = arg(self, 1, ty);
                frame.params.insert((name.to_string(), offset.parse().unwrap()), value);
                return;
            }
            "ld" => {
                let at = self.place(frame, operands[1], op);
                assert_eq!(at % u64::from(bits / 8), 0, "{op} at {at:#x}");
                self.read(at, bits / 8)
            }
            "st" => {
                let at = self.place(frame, operands[0], op);
                assert_eq!(at % u64::from(bits / 8), 0, "{op} at {at:#x}");
                let value = arg(self, 1, ty);
                return self.write(at, bits / 8, value);
            }
            "atom" => {
                let at = self.place(frame, operands[1], op);
                let (old, value) = (self.read(at, bits / 8), arg(self, 2, ty));
                let new = match parts[parts.len() - 2] {
                    "exch" => value,
                    "add" if let Some(ty) = float(ty) => {
                        let sum = compute(Op::Add, ty, ty, &[old, value]);
                        let flushed = bits == 32 && !op.contains(".shared") && sum & 0x7f80_0000 == 0;
                        if flushed { sum & 0x8000_0000 } else { sum }
                    }
                    "add" => old.wrapping_add(value),
                    "and" => old & value,
                    "or" => old | value,
                    "xor" => old ^ value,
                    "min" => wide(old).min(wide(value)) as u64,
                    "max" => wide(old).max(wide(value)) as u64,
                    "cas" if old == value => arg(self, 3, ty),
                    _ => old,
                };
                self.write(at, bits / 8, new);
                old
            }
            "fence" | "barrier" | "bar" => return,
            "activemask" => 1,
            "shfl" => {
                assert_eq!((arg(self, 2, "u32"), arg(self, 4, "u32")), (0, 1), "only lane 0 is active");
                arg(self, 1, "b32")
            }
            "vote" => arg(self, 1, "pred"),
            "redux" => arg(self, 1, "b32"),
            "cvta" if parts[1] == "to" => arg(self, 1, "u64").wrapping_sub(if op.contains("shared") {
                SHARED
            } else if op.contains("local") {
                LOCAL
            } else {
                0
            }),
            "cvta" => arg(self, 1, "u64").wrapping_add(if op.contains("shared") {
                SHARED
            } else if op.contains("local") {
                LOCAL
            } else {
                0
            }),
            "cvt" => self.convert(frame, &parts, operands[1]),
            "setp" => {
                let (a, b) = (arg(self, 1, ty), arg(self, 2, ty));
                u64::from(compare(parts[1], ty, a, b))
            }
            "selp" => {
                let condition = arg(self, 3, "pred") != 0;
                arg(self, if condition { 1 } else { 2 }, ty)
            }
            "add" | "sub" | "mul" | "div" | "fma" | "sqrt" | "min" | "max" if float(ty).is_some() => {
                let args: Vec<u64> = (1..operands.len()).map(|n| arg(self, n, ty)).collect();
                let name = match (parts[0], parts[1]) {
                    ("min", "NaN") => Op::Min,
                    ("max", "NaN") => Op::Max,
                    ("min", _) => Op::MinNumber,
                    ("max", _) => Op::MaxNumber,
                    (_, rounding) if rounding != "rn" => panic!("{op} does not say how it rounds"),
                    ("add", _) => Op::Add,
                    ("sub", _) => Op::Sub,
                    ("mul", _) => Op::Mul,
                    ("div", _) => Op::Div,
                    ("fma", _) => Op::Fma,
                    _ => Op::Sqrt,
                };
                let ty = float(ty).unwrap();
                compute(name, ty, ty, &args)
            }
            "mul" if parts[1] == "wide" => {
                let (a, b) = (wide(arg(self, 1, ty)), wide(arg(self, 2, ty)));
                (a * b) as u64
            }
            "add" | "sub" if parts[1] == "sat" => {
                let (a, b) = (wide(arg(self, 1, ty)), wide(arg(self, 2, ty)));
                let sum = if parts[0] == "add" { a + b } else { a - b };
                sum.clamp(i128::from(i32::MIN), i128::from(i32::MAX)) as u64
            }
            "add" | "sub" | "mul" | "div" | "rem" | "min" | "max" | "and" | "or" | "xor" => {
                let (a, b) = (wide(arg(self, 1, ty)), wide(arg(self, 2, ty)));
                (match parts[0] {
                    "add" => a + b,
                    "sub" => a - b,
                    "mul" if parts[1] == "hi" && !is_signed => ((a as u128 * b as u128) >> bits) as i128,
                    "mul" if parts[1] == "hi" => (a * b) >> bits,
                    "mul" => a.wrapping_mul(b),
                    "div" | "rem" if b == 0 => -1,
                    // What the instruction does here is not specified.
                    "rem" if is_signed && b == -1 && a == -(1i128 << (bits - 1)) => 0x55,
                    "div" => a / b,
                    "rem" => a % b,
                    "min" => a.min(b),
                    "max" => a.max(b),
                    "and" => a & b,
                    "or" => a | b,
                    _ => a ^ b,
                }) as u64
            }
            "neg" => (wide(arg(self, 1, ty))).wrapping_neg() as u64,
            "abs" => wide(arg(self, 1, ty)).unsigned_abs() as u64,
            "not" => !arg(self, 1, ty),
            "shl" | "shr" => {
                let (a, count) = (wide(arg(self, 1, ty)), arg(self, 2, "u32").min(u64::from(bits)) as u32);
                (if parts[0] == "shl" { a << count } else { a >> count }) as u64
            }
            "shf" => {
                let both = arg(self, 1, ty) | arg(self, 2, ty) << 32;
                let count = arg(self, 3, "u32") & 31;
                if parts[1] == "l" { both << count >> 32 } else { both >> count }
            }
            "clz" => u64::from(arg(self, 1, ty).leading_zeros()) - u64::from(64 - bits),
            "popc" => u64::from(arg(self, 1, ty).count_ones()),
            "brev" => arg(self, 1, ty).reverse_bits() >> (64 - bits),
            "bfind" => 63 - u64::from(arg(self, 1, ty).leading_zeros()),
            "prmt" => {
                let (both, order) = (arg(self, 1, ty) | arg(self, 2, ty) << 32, arg(self, 3, ty));
                (0..4).fold(0, |sum, n| sum | ((both >> ((order >> (4 * n) & 7) * 8)) & 255) << (8 * n))
            }
            _ => panic!("{op} is not known"),
        };
        // Results narrower than their register leave nothing above, whatever their sign: loads and conversions
        // fill the register by their own type.
        let full = match parts[0] {
            "cvt" | "mul" | "setp" | "clz" | "popc" | "vote" | "cvta" => value,
            _ => value & mask(bits),
        };
        let width = match operands[0].as_bytes()[1] {
            b'p' => 1,
            b'h' => 16,
            b'r' => 32,
            _ => 64,
        };
        frame.regs.insert(operands[0], full & mask(width));
    }

    fn convert(&self, frame: &Frame, parts: &[&str], operand: &str) -> u64 {
        let (to, from) = (parts[parts.len() - 2], parts[parts.len() - 1]);
        let a = self.value(frame, operand, from) & mask(bits_of(from));
        let (width, bits) = (bits_of(from), bits_of(to));
        match (float(from), float(to)) {
            (None, None) => {
                let value = if from.starts_with('s') { extend(a, width) as u64 } else { a };
                if to.starts_with('s') { extend(value & mask(bits), bits) as u64 } else { value & mask(bits) }
            }
            (None, Some(to)) => {
                assert_eq!(parts[1], "rn");
                compute(if from.starts_with('s') { Op::SToF } else { Op::UToF }, int(width), to, &[a])
            }
            (Some(from), Some(to)) if from == to => {
                let op = match parts[1] {
                    "rpi" => Op::Ceil,
                    "rmi" => Op::Floor,
                    "rzi" => Op::RoundZero,
                    "rni" => Op::RoundEven,
                    other => panic!("no rounding {other}"),
                };
                compute(op, from, from, &[a])
            }
            (Some(from), Some(to)) => {
                assert_eq!(parts[1] == "rn", to.bits() < from.bits());
                compute(Op::FConvert, from, to, &[a])
            }
            (Some(from), None) => {
                assert_eq!(parts[1], "rzi");
                if is_nan(from, a) {
                    return if from == Scalar::F64 || bits == 64 { 1 << (bits - 1) } else { 0 };
                }
                compute(if to.starts_with('s') { Op::FToS } else { Op::FToU }, from, int(bits), &[a])
            }
        }
    }
}

fn compare(name: &str, ty: &str, a: u64, b: u64) -> bool {
    if let Some(scalar) = float(ty) {
        let op = match name {
            "eq" => Op::Eq,
            "ne" => Op::One,
            "lt" => Op::Lt,
            "le" => Op::Le,
            "gt" => Op::Gt,
            "ge" => Op::Ge,
            "equ" => Op::Ueq,
            "neu" => Op::Ne,
            "ltu" => Op::Ult,
            "leu" => Op::Ule,
            "gtu" => Op::Ugt,
            "geu" => Op::Uge,
            "num" => Op::Ord,
            "nan" => Op::Uno,
            _ => panic!("no comparison {name}"),
        };
        return compute(op, scalar, Scalar::I1, &[a, b]) != 0;
    }
    let order = match ty.starts_with('s') {
        true => extend(a, bits_of(ty)).cmp(&extend(b, bits_of(ty))),
        false => a.cmp(&b),
    };
    match name {
        "eq" => order.is_eq(),
        "ne" => order.is_ne(),
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        "ge" => order.is_ge(),
        _ => panic!("no comparison {name}"),
    }
}
