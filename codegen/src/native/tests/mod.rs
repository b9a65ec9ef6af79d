//! Tests of native code: each op against its definition, every architecture, calls, control flow, memory, kernels.
#![allow(unsafe_code)] // runs the code under test

mod control;
mod debug;
mod kernels;
mod large;
mod ops;
mod random;
mod stack;
mod symbols;
mod vectors;

use super::*;
use crate::artifact::argument_block;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::text;
use marquetry_ir::types::{Type, TypeKind};
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::legal::Legal;
use std::sync::Arc;

/// The four architectures.
pub(super) const TRIPLES: [&str; 4] = ["native:x86_64", "native:aarch64", "native:riscv64gc", "native:s390x"];

pub(super) fn target(spelling: &str, opt_level: u8) -> NativeTarget {
    NativeTarget::parse(spelling, NativeOptions { opt_level, ..NativeOptions::default() }).unwrap()
}

/// The job of compiling every method of a program.
pub(super) fn job(program: &Program) -> Job {
    let entries = program.methods().map(|(method, _)| method).collect();
    Job::new(entries, View::native(&[]), OptLevel::None)
}

/// Every method of a text, legal for a target.
pub(super) fn legal(text: &str, target: &NativeTarget) -> Legal {
    let mut program = Program::new();
    let diagnostics = text::parse(&mut program, "test.mq", text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let unit = marquetry_lower::pipeline::specialised(&program, &job(&program)).unwrap();
    let lowered = marquetry_lower::exceptions::run(unit).unwrap();
    marquetry_lower::legalise::run(lowered, target).unwrap()
}

pub(super) fn jit(text: &str, opt_level: u8) -> Arc<JitCode> {
    let target = target("native", opt_level);
    Arc::new(emit_jit(&legal(text, &target), &target, &|_| None).unwrap())
}

/// The bytes of an argument block.
pub(super) fn pack(types: &[Type], values: &[u128]) -> Vec<u8> {
    let (slots, size) = argument_block(types);
    let mut block = vec![0; size as usize];
    for (slot, value) in slots.iter().zip(values) {
        let (start, size) = (slot.offset as usize, slot.size as usize);
        block[start..start + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }
    block
}

pub(super) fn unpack(types: &[Type], block: &[u8]) -> Vec<u128> {
    let (slots, _) = argument_block(types);
    let value = |slot: &crate::artifact::Slot| {
        let mut bytes = [0; 16];
        let (start, size) = (slot.offset as usize, slot.size as usize);
        bytes[..size].copy_from_slice(&block[start..start + size]);
        u128::from_le_bytes(bytes)
    };
    slots.iter().map(value).collect()
}

/// Calls a function that does not throw.
pub(super) fn call(code: &JitCode, name: &str, args: &[u128]) -> Vec<u128> {
    let (status, results) = call_status(code, name, args);
    assert_eq!(status, 0);
    results
}

/// Calls a function: its status and its results.
pub(super) fn call_status(code: &JitCode, name: &str, args: &[u128]) -> (u32, Vec<u128>) {
    let index = code.find(name).unwrap_or_else(|| panic!("no entry {name}"));
    let entry = &code.entries()[index];
    assert_eq!(entry.entry.kind, MethodKind::Function);
    let block = pack(&entry.entry.signature.params, args);
    let mut results = vec![0xa5; entry.result_bytes as usize];
    // SAFETY: the tests pass addresses of memory that they own.
    let status = unsafe { code.call_packed(index, &block, &mut results, None) }.unwrap();
    (status, unpack(&entry.results, &results))
}

/// Values at which ops go wrong.
pub(super) fn edge_values(ty: Type) -> Vec<u128> {
    let TypeKind::Scalar(scalar) = ty.kind() else { return vec![0, 1 << 40] };
    let bits = scalar.bits();
    if scalar.is_int() {
        let mut values =
            vec![0, 1, 2, 3, 5, 7, 8, 31, 32, 63, 64, 65, 100, 127, 128, 200, 255, 256, 65535, 65536];
        values.extend((1..bits).step_by(bits.div_ceil(8) as usize).flat_map(|n| [1 << n, (1 << n) - 1]));
        values.extend([1u128 << (bits - 1), (1 << (bits - 1)) - 1, (1 << (bits - 1)) + 1]);
        values.extend([0u128.wrapping_sub(1), 0u128.wrapping_sub(2), 0u128.wrapping_sub(7)]);
        values.extend([0x0123_4567_89ab_cdef_0f1e_2d3c_4b5a_6978, 0xdead_beef_cafe_babe_8000_0000_7fff_ffff]);
        let mut values: Vec<u128> = values.into_iter().map(|v| v & scalar.mask()).collect();
        values.sort_unstable();
        values.dedup();
        return values;
    }
    match ty {
        Type::F32 => {
            let finite = [
                0.0,
                1.0,
                0.5,
                1.5,
                2.5,
                3.5,
                0.1,
                0.49999997,
                127.0,
                128.0,
                127.5,
                255.5,
                32767.5,
                65535.0,
                8388607.5,
                2147483500.0,
                2147483600.0,
                4294967000.0,
                9.2e18,
                1.8446743e19,
                f32::MAX,
                f32::MIN_POSITIVE,
                1e-45,
                1e20,
                3.0,
                65504.0,
                65520.0,
            ];
            let all = finite.into_iter().chain([f32::INFINITY, f32::NAN]);
            all.flat_map(|x| [x, -x]).map(|x: f32| u128::from(x.to_bits())).collect()
        }
        Type::F64 => {
            let finite = [
                0.0,
                1.0,
                0.5,
                1.5,
                2.5,
                3.5,
                0.1,
                0.49999999999999994,
                127.5,
                255.5,
                32767.5,
                65535.5,
                2147483647.5,
                2147483648.0,
                4294967295.5,
                4294967296.0,
                9.223372036854775e18,
                9.3e18,
                1.844674407370955e19,
                1.9e19,
                f64::MAX,
                f64::MIN_POSITIVE,
                5e-324,
                4503599627370497.5,
                1e300,
                3.0,
                1e-40,
                3.4028235677973366e38,
                16777217.0,
            ];
            let all = finite.into_iter().chain([f64::INFINITY, f64::NAN]);
            all.flat_map(|x| [x, -x]).map(|x: f64| u128::from(x.to_bits())).collect()
        }
        _ => {
            vec![0, 0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 1, 0x7bff, 0x3f80, 0x7f80, 0x7fc0]
        }
    }
}
