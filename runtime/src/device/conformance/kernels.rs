//! One kernel in the three forms that drivers take:
//! `out[i] = in[i] * 2 + k + last` for `i = y * width + x`, where `x < width` and `i < n`.
//!
//! `last` is the last of any number of 64-bit parameters that only make the argument block long; 0 if there is none.

#![allow(dead_code)] // a build without some of the drivers leaves their forms unused

use super::super::KernelParam;
use rspirv::binary::Assemble;
use rspirv::dr::{Builder, Operand};
use rspirv::spirv::{
    AddressingModel, BuiltIn, Capability, Decoration, ExecutionMode, ExecutionModel, FunctionControl,
    MemoryAccess, MemoryModel, SelectionControl, StorageClass, Word,
};

/// The kernel's name.
pub const ENTRY: &str = "scale";

/// `out`, `in`, `k`, `width`, `n` and the long tail.
pub fn params(extra: usize) -> Vec<KernelParam> {
    let mut params = vec![KernelParam::POINTER, KernelParam::POINTER];
    params.extend([KernelParam::scalar(4); 3]);
    params.extend(vec![KernelParam::scalar(8); extra]);
    params
}

fn assemble(builder: Builder) -> Vec<u8> {
    builder.module().assemble().iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Ids that both flavours of SPIR-V use.
struct Types {
    void: Word,
    bool: Word,
    u32: Word,
    u64: Word,
}

fn types(b: &mut Builder) -> Types {
    Types { void: b.type_void(), bool: b.type_bool(), u32: b.type_int(32, 0), u64: b.type_int(64, 0) }
}

/// Begins the body behind the guard; the result is `i`, and the block that ends the kernel.
fn guard(b: &mut Builder, t: &Types, [x, y]: [Word; 2], [width, n]: [Word; 2]) -> (Word, Word) {
    let row = b.i_mul(t.u32, None, y, width).unwrap();
    let i = b.i_add(t.u32, None, row, x).unwrap();
    let in_row = b.u_less_than(t.bool, None, x, width).unwrap();
    let in_all = b.u_less_than(t.bool, None, i, n).unwrap();
    let inside = b.logical_and(t.bool, None, in_row, in_all).unwrap();
    let (body, done) = (b.id(), b.id());
    b.selection_merge(done, SelectionControl::NONE).unwrap();
    b.branch_conditional(inside, body, done, []).unwrap();
    b.begin_block(Some(body)).unwrap();
    (i, done)
}

fn result(b: &mut Builder, t: &Types, value: Word, k: Word, last: Option<Word>) -> Word {
    let twice = b.i_add(t.u32, None, value, value).unwrap();
    let sum = b.i_add(t.u32, None, twice, k).unwrap();
    match last {
        None => sum,
        Some(last) => {
            let last = b.u_convert(t.u32, None, last).unwrap();
            b.i_add(t.u32, None, sum, last).unwrap()
        }
    }
}

fn finish(b: &mut Builder, done: Word) {
    b.branch(done).unwrap();
    b.begin_block(Some(done)).unwrap();
    b.ret().unwrap();
    b.end_function().unwrap();
}

/// For Vulkan: the argument block in push constants up to 128 bytes, behind an address above.
pub fn vulkan(extra: usize) -> Vec<u8> {
    let mut b = Builder::new();
    b.set_version(1, 5);
    for capability in [Capability::Shader, Capability::Int64, Capability::PhysicalStorageBufferAddresses] {
        b.capability(capability);
    }
    b.memory_model(AddressingModel::PhysicalStorageBuffer64, MemoryModel::GLSL450);
    let t = types(&mut b);
    let u32x3 = b.type_vector(t.u32, 3);
    let function = b.type_function(t.void, []);

    let defaults = [1, 1, 1].map(|size| b.spec_constant_bit32(t.u32, size));
    for (number, &constant) in defaults.iter().enumerate() {
        b.decorate(constant, Decoration::SpecId, [Operand::LiteralBit32(number as u32)]);
    }
    let mut members = vec![t.u64, t.u64, t.u32, t.u32, t.u32];
    members.extend(vec![t.u64; extra]);
    let mut offsets = vec![0u32, 8, 16, 20, 24];
    offsets.extend((0..extra as u32).map(|number| 32 + number * 8));
    let block = b.type_struct(members.clone());
    b.decorate(block, Decoration::Block, []);
    for (member, &offset) in offsets.iter().enumerate() {
        b.member_decorate(block, member as u32, Decoration::Offset, [Operand::LiteralBit32(offset)]);
    }
    let direct = offsets.last().unwrap() + 8 <= 128;
    let pushed = if direct {
        block
    } else {
        let address = b.type_struct([t.u64]);
        b.decorate(address, Decoration::Block, []);
        b.member_decorate(address, 0, Decoration::Offset, [Operand::LiteralBit32(0)]);
        address
    };
    let pushed_pointer = b.type_pointer(None, StorageClass::PushConstant, pushed);
    let push = b.variable(pushed_pointer, None, StorageClass::PushConstant, None);
    let input = b.type_pointer(None, StorageClass::Input, u32x3);
    let global_id = b.variable(input, None, StorageClass::Input, None);
    b.decorate(global_id, Decoration::BuiltIn, [Operand::BuiltIn(BuiltIn::GlobalInvocationId)]);
    let in_push = [t.u32, t.u64].map(|ty| b.type_pointer(None, StorageClass::PushConstant, ty));
    let in_memory = [t.u32, t.u64].map(|ty| b.type_pointer(None, StorageClass::PhysicalStorageBuffer, ty));
    let block_in_memory = b.type_pointer(None, StorageClass::PhysicalStorageBuffer, block);
    let indices: Vec<Word> = (0..members.len() as u32).map(|index| b.constant_bit32(t.u32, index)).collect();
    let four = b.constant_bit64(t.u64, 4);

    let main = b.begin_function(t.void, None, FunctionControl::NONE, function).unwrap();
    b.begin_block(None).unwrap();
    let aligned = |bytes| (Some(MemoryAccess::ALIGNED), [Operand::LiteralBit32(bytes)]);
    let base = if direct {
        push
    } else {
        let place = b.access_chain(in_push[1], None, push, [indices[0]]).unwrap();
        let address = b.load(t.u64, None, place, None, []).unwrap();
        b.convert_u_to_ptr(block_in_memory, None, address).unwrap()
    };
    let param = |b: &mut Builder, index: usize| {
        let wide = usize::from(members[index] == t.u64);
        if direct {
            let place = b.access_chain(in_push[wide], None, base, [indices[index]]).unwrap();
            b.load(members[index], None, place, None, []).unwrap()
        } else {
            let place = b.access_chain(in_memory[wide], None, base, [indices[index]]).unwrap();
            let (access, bytes) = aligned([4, 8][wide]);
            b.load(members[index], None, place, access, bytes).unwrap()
        }
    };
    let [out, from, k, width, n] = [0, 1, 2, 3, 4].map(|index| param(&mut b, index));
    let last = (extra > 0).then(|| param(&mut b, 4 + extra));
    let id = b.load(u32x3, None, global_id, None, []).unwrap();
    let xy = [0, 1].map(|axis| b.composite_extract(t.u32, None, id, [axis]).unwrap());
    let (i, done) = guard(&mut b, &t, xy, [width, n]);
    let wide = b.u_convert(t.u64, None, i).unwrap();
    let offset = b.i_mul(t.u64, None, wide, four).unwrap();
    let [to, from] = [out, from].map(|address| {
        let address = b.i_add(t.u64, None, address, offset).unwrap();
        b.convert_u_to_ptr(in_memory[0], None, address).unwrap()
    });
    let (access, bytes) = aligned(4);
    let value = b.load(t.u32, None, from, access, bytes).unwrap();
    let value = result(&mut b, &t, value, k, last);
    let (access, bytes) = aligned(4);
    b.store(to, value, access, bytes).unwrap();
    finish(&mut b, done);
    b.entry_point(ExecutionModel::GLCompute, main, ENTRY, [push, global_id]);
    b.execution_mode_id(main, ExecutionMode::LocalSizeId, defaults);
    assemble(b)
}

/// For OpenCL: one kernel argument per parameter.
pub fn opencl(extra: usize) -> Vec<u8> {
    let mut b = Builder::new();
    b.set_version(1, 2);
    for capability in [Capability::Addresses, Capability::Kernel, Capability::Int64] {
        b.capability(capability);
    }
    b.memory_model(AddressingModel::Physical64, MemoryModel::OpenCL);
    let t = types(&mut b);
    let u64x3 = b.type_vector(t.u64, 3);
    let pointer = b.type_pointer(None, StorageClass::CrossWorkgroup, t.u32);
    let mut parameters = vec![pointer, pointer, t.u32, t.u32, t.u32];
    parameters.extend(vec![t.u64; extra]);
    let function = b.type_function(t.void, parameters.clone());
    let input = b.type_pointer(None, StorageClass::Input, u64x3);
    let global_id = b.variable(input, None, StorageClass::Input, None);
    b.decorate(global_id, Decoration::BuiltIn, [Operand::BuiltIn(BuiltIn::GlobalInvocationId)]);

    let main = b.begin_function(t.void, None, FunctionControl::NONE, function).unwrap();
    let values: Vec<Word> = parameters.iter().map(|&ty| b.function_parameter(ty).unwrap()).collect();
    b.begin_block(None).unwrap();
    let id = b.load(u64x3, None, global_id, None, []).unwrap();
    let xy = [0, 1].map(|axis| {
        let wide = b.composite_extract(t.u64, None, id, [axis]).unwrap();
        b.u_convert(t.u32, None, wide).unwrap()
    });
    let (i, done) = guard(&mut b, &t, xy, [values[3], values[4]]);
    let wide = b.u_convert(t.u64, None, i).unwrap();
    let [to, from] = [values[0], values[1]]
        .map(|base| b.in_bounds_ptr_access_chain(pointer, None, base, wide, []).unwrap());
    let aligned = || (Some(MemoryAccess::ALIGNED), [Operand::LiteralBit32(4)]);
    let (access, bytes) = aligned();
    let value = b.load(t.u32, None, from, access, bytes).unwrap();
    let value = result(&mut b, &t, value, values[2], (extra > 0).then(|| values[4 + extra]));
    let (access, bytes) = aligned();
    b.store(to, value, access, bytes).unwrap();
    finish(&mut b, done);
    b.entry_point(ExecutionModel::Kernel, main, ENTRY, [global_id]);
    assemble(b)
}

/// For CUDA.
pub fn ptx(extra: usize) -> Vec<u8> {
    let tail: String = (0..extra).map(|number| format!(",\n    .param .u64 tail{number}")).collect();
    let add_last = match extra.checked_sub(1) {
        Some(last) => format!("ld.param.u32 %r9, [tail{last}];\n    add.u32 %r8, %r8, %r9;"),
        None => String::new(),
    };
    format!(
        ".version 6.4
.target sm_52
.address_size 64
.visible .entry {ENTRY}(
    .param .u64 out,
    .param .u64 in,
    .param .u32 k,
    .param .u32 width,
    .param .u32 n{tail}
)
{{
    .reg .pred %p<3>;
    .reg .b32 %r<16>;
    .reg .b64 %d<4>;
    ld.param.u32 %r1, [width];
    ld.param.u32 %r2, [n];
    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.u32 %r5, %r3, %r4, %r5;
    mov.u32 %r3, %ctaid.y;
    mov.u32 %r4, %ntid.y;
    mov.u32 %r6, %tid.y;
    mad.lo.u32 %r6, %r3, %r4, %r6;
    mad.lo.u32 %r7, %r6, %r1, %r5;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra done;
    setp.ge.u32 %p2, %r7, %r2;
    @%p2 bra done;
    mul.wide.u32 %d3, %r7, 4;
    ld.param.u64 %d1, [in];
    add.u64 %d1, %d1, %d3;
    ld.global.u32 %r8, [%d1];
    add.u32 %r8, %r8, %r8;
    ld.param.u32 %r9, [k];
    add.u32 %r8, %r8, %r9;
    {add_last}
    ld.param.u64 %d2, [out];
    add.u64 %d2, %d2, %d3;
    st.global.u32 [%d2], %r8;
done:
    ret;
}}
"
    )
    .into_bytes()
}
