//! Writing PTX text: operands straight into one growing string.

use super::names::Names;
use super::regs::{Address, Base, Reg};
use marquetry_ir::entity::{Func, Global};

/// What stands between the commas of an instruction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Arg {
    /// A register.
    Reg(Reg),
    /// An integer, or the bits of a float where the instruction is untyped.
    Int(i64),
    /// An `f32` by its bits.
    F32(u32),
    /// An `f64` by its bits.
    F64(u64),
    /// A special register or a name.
    Text(&'static str),
    /// `[address]`.
    Memory(Address),
    /// The address of a global.
    Global(Global),
    /// `[$a3+8]`: a parameter and a byte offset.
    Param(char, u32, u32),
    /// `{low, high}`.
    Pair(Reg, Reg),
    /// A block or another place to jump to.
    Label(Label),
    /// A function.
    Func(Func),
}

/// Something with a label, unique in its function.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Label(pub(super) char, pub(super) u32);

/// The name of the memory that holds a function's slots.
pub(super) const SLOTS: &str = "$slots";

/// Text under construction.
pub(super) struct Writer<'a> {
    pub(super) text: String,
    names: &'a Names,
}

impl<'a> Writer<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Writer { text: String::with_capacity(4096), names }
    }

    /// `op a, b, c;` on a line of its own; the op in pieces.
    pub(super) fn line(&mut self, op: &[&str], args: &[Arg]) {
        self.text.push('\t');
        self.rest_of_line(op, args);
    }

    /// The same, done only where `predicate` is true (or false).
    pub(super) fn line_if(&mut self, predicate: Reg, wanted: bool, op: &[&str], args: &[Arg]) {
        self.text.push_str(if wanted { "@" } else { "@!" });
        self.reg(predicate);
        self.text.push('\t');
        self.rest_of_line(op, args);
    }

    fn rest_of_line(&mut self, op: &[&str], args: &[Arg]) {
        op.iter().for_each(|piece| self.text.push_str(piece));
        for (n, &arg) in args.iter().enumerate() {
            self.text.push_str(if n == 0 { "\t" } else { ", " });
            self.arg(arg);
        }
        self.text.push_str(";\n");
    }

    /// `label:` on a line of its own.
    pub(super) fn label(&mut self, label: Label) {
        self.name_of(label);
        self.text.push_str(":\n");
    }

    /// The label where it is mentioned.
    pub(super) fn name_of(&mut self, Label(kind, number): Label) {
        self.text.push('$');
        self.text.push(kind);
        self.unsigned(u64::from(number));
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn reg(&mut self, reg: Reg) {
        self.text.push_str(reg.class().prefix());
        self.unsigned(u64::from(reg.number()));
    }

    pub(super) fn func(&mut self, func: Func) {
        self.text.push_str(self.names.func(func));
    }

    pub(super) fn arg(&mut self, arg: Arg) {
        match arg {
            Arg::Reg(reg) => self.reg(reg),
            Arg::Int(value) => self.signed(value),
            Arg::F32(bits) => {
                self.text.push_str("0f");
                self.hex(u64::from(bits), 8);
            }
            Arg::F64(bits) => {
                self.text.push_str("0d");
                self.hex(bits, 16);
            }
            Arg::Text(text) => self.text.push_str(text),
            Arg::Memory(address) => {
                self.text.push('[');
                self.address(address);
                self.text.push(']');
            }
            Arg::Global(global) => self.text.push_str(self.names.global(global)),
            Arg::Param(kind, number, offset) => {
                self.text.push('[');
                self.name_of(Label(kind, number));
                if offset != 0 {
                    self.text.push('+');
                    self.unsigned(u64::from(offset));
                }
                self.text.push(']');
            }
            Arg::Pair(low, high) => {
                self.text.push('{');
                self.reg(low);
                self.text.push_str(", ");
                self.reg(high);
                self.text.push('}');
            }
            Arg::Label(label) => self.name_of(label),
            Arg::Func(func) => self.func(func),
        }
    }

    fn address(&mut self, Address { base, offset }: Address) {
        match base {
            Base::Reg(reg) => self.reg(reg),
            Base::Global(global, _) => self.text.push_str(self.names.global(global)),
            Base::Slots(_) => self.text.push_str(SLOTS),
        }
        if offset != 0 {
            self.text.push('+');
            self.signed(i64::from(offset));
        }
    }

    pub(super) fn signed(&mut self, value: i64) {
        if value < 0 {
            self.text.push('-');
        }
        self.unsigned(value.unsigned_abs());
    }

    pub(super) fn unsigned(&mut self, mut value: u64) {
        let mut digits = [0u8; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        digits[start..].iter().for_each(|&digit| self.text.push(char::from(digit)));
    }

    fn hex(&mut self, value: u64, digits: u32) {
        for digit in (0..digits).rev() {
            let nibble = (value >> (digit * 4)) as u32 & 15;
            self.text.push(char::from_digit(nibble, 16).unwrap_or('0'));
        }
    }
}
