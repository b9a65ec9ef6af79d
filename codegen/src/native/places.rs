//! Where parameters go, where Cranelift and C disagree: Cranelift is told of them in another order, of unused ones in
//! between, or of integers in place of floats.
//!
//! - System V for x86-64 (3.2.3) gives the last register to the next integer that fits, when an `i128` does not. Cranelift
//!   leaves it empty: so that integer goes in front.
//! - AAPCS64 (6.8.2, C.13) leaves the last register empty then; Cranelift gives it to the next integer: an unused one.
//! - RISC-V's ELF psABI (2.1, 2.2) aligns an `i128` in memory as a whole, where Cranelift aligns each half: an unused word goes
//!   between. Floats for which no register of theirs is left take those of integers, which Cranelift leaves empty.

use super::Arch;
use super::abi::Convention;
use super::types::{as_int, constant};
use cranelift_codegen::cursor::FuncCursor;
use cranelift_codegen::ir::{self, AbiParam, InstBuilder, MemFlagsData, types};
use cranelift_codegen::isa::CallConv;

/// What Cranelift is told of.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The parameter of this number.
    Param(usize),
    /// The bits of the float of this number, as an integer.
    Bits(usize),
    /// A word that nobody reads.
    Unused,
}

/// Registers for integers that a value takes.
fn words(ty: ir::Type) -> usize {
    match ty {
        types::I128 => 2,
        _ if ty.is_int() => 1,
        _ => 0,
    }
}

/// The one integer that overtakes an `i128`.
fn x64(params: &[ir::Type]) -> Option<Vec<Place>> {
    let mut used = 0;
    for (at, &ty) in params.iter().enumerate() {
        if ty == types::I128 && used == 5 {
            let next = params.iter().skip(at).position(|&ty| words(ty) == 1)?;
            let mut places: Vec<Place> = (0..params.len()).map(Place::Param).collect();
            places.get_mut(at..=at + next)?.rotate_right(1);
            return Some(places);
        }
        used += words(ty);
    }
    None
}

/// `is_even`: an `i128` starts at an even register.
fn aarch64(params: &[ir::Type], is_even: bool) -> Vec<Place> {
    let mut places = Vec::with_capacity(params.len() + 1);
    let mut used = 0;
    for (at, &ty) in params.iter().enumerate() {
        if ty == types::I128 {
            if used == 7 {
                places.push(Place::Unused);
            }
            used += if is_even || used == 7 { used % 2 } else { 0 };
        }
        used += words(ty);
        places.push(Place::Param(at));
    }
    places
}

fn riscv64(params: &[ir::Type]) -> Vec<Place> {
    let mut places = Vec::with_capacity(params.len() + 1);
    // Registers of both kinds, and words of memory.
    let (mut integers, mut floats, mut memory) = (0, 0, 0_usize);
    for (at, &ty) in params.iter().enumerate() {
        let mut place = Place::Param(at);
        let mut count = words(ty);
        if ty.is_float() {
            if floats < 8 {
                floats += 1;
            } else {
                (count, place) = (1, Place::Bits(at));
            }
        } else if ty.is_vector() {
            memory = memory.next_multiple_of(2) + 2;
        } else if ty == types::I128 && integers >= 8 && memory % 2 == 1 {
            places.push(Place::Unused);
            memory += 1;
        }
        for _ in 0..count {
            *(if integers < 8 { &mut integers } else { &mut memory }) += 1;
        }
        places.push(place);
    }
    places
}

impl Convention {
    /// What Cranelift is told of in place of parameters of these types; nothing if it is told of them as they are.
    fn places(&self, params: impl Iterator<Item = ir::Type> + Clone) -> Option<Vec<Place>> {
        let is_wide = |ty| ty == types::I128 || self.arch == Arch::Riscv64 && ir::Type::is_float(ty);
        // Most functions have none of what is placed in another way, and all others enough.
        if self.arch == Arch::S390x
            || self.call_conv == CallConv::WindowsFastcall
            || !params.clone().any(is_wide)
        {
            return None;
        }
        let params: Vec<ir::Type> = params.collect();
        match self.arch {
            Arch::X64 => x64(&params),
            Arch::Aarch64 => Some(aarch64(&params, self.call_conv != CallConv::AppleAarch64)),
            Arch::Riscv64 => Some(riscv64(&params)),
            Arch::S390x => None,
        }
        .filter(|places| !(0..params.len()).map(Place::Param).eq(places.iter().copied()))
    }

    /// What a signature of Cranelift's has in place of these parameters.
    pub(super) fn place(&self, params: &mut Vec<AbiParam>) {
        let Some(places) = self.places(params.iter().map(|param| param.value_type)) else { return };
        let bits = |param: AbiParam| AbiParam::new(as_int(param.value_type));
        let placed = places.iter().map(|&place| match place {
            Place::Param(n) => params.get(n).copied(),
            Place::Bits(n) => params.get(n).copied().map(bits),
            Place::Unused => Some(AbiParam::new(types::I64)),
        });
        *params = placed.flatten().collect();
    }

    /// What a call passes in place of these arguments.
    pub(super) fn pass(&self, cursor: &mut FuncCursor<'_>, args: &mut Vec<ir::Value>) {
        let dfg = &cursor.func.dfg;
        let Some(places) = self.places(args.iter().map(|&value| dfg.value_type(value))) else { return };
        let placed = places.iter().map(|&place| match place {
            Place::Param(n) => args.get(n).copied(),
            Place::Bits(n) => {
                let float = args.get(n).copied()?;
                let ty = as_int(cursor.func.dfg.value_type(float));
                Some(cursor.ins().bitcast(ty, MemFlagsData::new(), float))
            }
            Place::Unused => Some(constant(cursor, types::I64, 0)),
        });
        *args = placed.flatten().collect();
    }

    /// The parameters of a function that has these, from what it is passed. `cursor` stands in its first block.
    pub(super) fn receive(
        &self,
        cursor: &mut FuncCursor<'_>,
        params: impl Iterator<Item = ir::Type> + Clone,
        passed: Vec<ir::Value>,
    ) -> Vec<ir::Value> {
        let Some(places) = self.places(params.clone()) else { return passed };
        let params: Vec<ir::Type> = params.collect();
        let mut received = passed.clone();
        received.truncate(params.len());
        for (&place, value) in places.iter().zip(passed) {
            let (at, value) = match place {
                Place::Param(at) => (at, value),
                Place::Bits(at) => {
                    let ty = params.get(at).copied().unwrap_or(types::INVALID);
                    (at, cursor.ins().bitcast(ty, MemFlagsData::new(), value))
                }
                Place::Unused => continue,
            };
            if let Some(slot) = received.get_mut(at) {
                *slot = value;
            }
        }
        received
    }
}
