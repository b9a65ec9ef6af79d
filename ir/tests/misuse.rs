//! Hosts that hand ids to where they do not belong get errors or diagnostics: nothing panics, and everything ends.

use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::builder::{BuilderContext, FunctionBuilder, Variable};
use marquetry_ir::entity::{Block, Extern, Func, Global, Inst, Method, Table, Value};
use marquetry_ir::inst::{MemFlags, Order, Scope};
use marquetry_ir::limits::MAX_NAME_BYTES;
use marquetry_ir::program::{MethodData, MethodError, OpenTable, Program, World};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::text::print_program;
use marquetry_ir::types::{
    Abstract, Generic, Scalar, Singleton, Space, TemplateData, Type, TypeError, Types,
};
use marquetry_ir::verify::verify_program;
use std::sync::Arc;

/// Marsaglia's xorshift: the same calls on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as u32 % limit.max(1)
    }

    /// An id that may exist, or the last of all.
    fn id(&mut self, count: usize) -> u32 {
        match self.below(40) {
            0 => u32::MAX - 1 - self.below(2),
            1 => self.below(count as u32 * 2 + 4),
            _ => self.below(count as u32),
        }
    }
}

fn types() -> (Types, Vec<Type>) {
    let mut types = Types::new();
    let array = types.array(Type::I32, 3).unwrap();
    let pair = types.structure("pair", vec![("a".into(), Type::F32), ("b".into(), array)]).unwrap();
    let newtype = types.newtype("meter", Type::F32).unwrap();
    let variable = types.variable("T").unwrap();
    let mut others = types.clone();
    let foreign = others.array(pair, 9).unwrap();
    let foreign_pack = others.make_generic(Generic::Pack(variable)).unwrap();
    let mut list = vec![array, pair, newtype, variable, foreign, foreign_pack, Type::UNKNOWN, Type::ERROR];
    list.extend(Scalar::ALL.map(Type::scalar));
    list.extend([Type::I1, Type::I32, Type::I32, Type::I64, Type::F32]);
    list.push(Type::pointer(Space::Generic));
    list.push(Type::vector(Scalar::I32, 4).unwrap());
    (types, list)
}

/// One call of the builder, with whatever ids.
fn step(b: &mut FunctionBuilder<'_>, random: &mut Random, list: &[Type]) {
    let values = b.body().value_count();
    let mut value = || Value::from_u32(random.id(values));
    let (x, y, z) = (value(), value(), value());
    let blocks = b.body().block_count();
    let (block, other) = (Block::from_u32(random.id(blocks)), Block::from_u32(random.id(blocks)));
    let inst = Inst::from_u32(random.id(b.body().inst_count()));
    let variable = Variable::from_u32(random.id(3));
    let ty = list[random.below(list.len() as u32) as usize];
    let number = random.id(4);
    let args = [x, y, z];
    let args = &args[..random.below(4) as usize];
    let signature = Signature::new(&list[..args.len()], vec![ty]);
    let (order, scope) = (Order::ALL[random.below(5) as usize], Scope::ALL[random.below(4) as usize]);
    let flags = MemFlags::atomic(order, scope);
    match random.below(62) {
        0 | 1 => drop(b.create_block()),
        2..=4 => b.switch_to_block(block),
        5 => b.append_block_params_for_function_params(block),
        6 | 7 => drop(b.append_block_param(block, ty)),
        8 => b.seal_block(block),
        9 => b.seal_all_blocks(),
        10 => drop(b.declare_var(ty)),
        11 | 12 => b.def_var(variable, x),
        13 | 14 => drop(b.use_var(variable)),
        15 => b.set_name(x, ["name", "", "no name", "i32", "v0"][random.below(5) as usize]),
        16 => b.set_block_name(block, ["name", "", "\0", "entry"][random.below(4) as usize]),
        17 => drop((b.value_type(x), b.inst_results(inst), b.block_params(block).len(), b.is_filled())),
        18 => b.set_span(Span { start: number, end: 1 }),
        19 => drop(b.ins().iconst(ty, i64::from(number))),
        20 => drop(b.ins().bits(ty, u128::MAX)),
        21 => drop(b.ins().zero(ty)),
        22 => drop(b.ins().shuffle(x, y, &[number, 0, 1])),
        23 => drop(b.ins().make(ty, args)),
        24 => drop(b.ins().get_field(x, number)),
        25 => drop(b.ins().set_field(x, y, number)),
        26 => drop(b.ins().index(x, y, ty)),
        27 => drop(b.ins().field_address(x, ty, number)),
        28 => drop(b.ins().global_address(Space::Global, "nothing")),
        29 => drop(b.ins().global_address_of(Space::Shared, Symbol::Global(Global::from_u32(number)))),
        30 => drop(b.ins().slot(ty)),
        31 => drop(b.ins().load(ty, flags, x)),
        32 => b.ins().store(flags, x, y),
        33 => b.ins().mem_copy(flags, x, y, z),
        34 => b.ins().mem_set(flags, x, y, z),
        35 => drop(b.ins().atomic_load(ty, x, order, scope)),
        36 => b.ins().fence(order, scope),
        37 => drop(b.ins().call("nothing", args, &[ty])),
        38 => drop(b.ins().call_symbol(Symbol::Func(Func::from_u32(number)), args, &[ty, ty])),
        39 => drop(b.ins().call_symbol(Symbol::Extern(Extern::from_u32(number)), args, &[])),
        40 => drop(b.ins().call_symbol(Symbol::Operand, args, &[ty])),
        41 => drop(b.ins().unresolved("nothing", args, &[ty])),
        42 => drop(b.ins().call_indirect(signature, x, args)),
        43 => drop(b.ins().function_address("nothing", list)),
        44 => drop(b.ins().function_address_of(Symbol::Func(Func::from_u32(number)))),
        45 | 46 => b.ins().jump(block, args),
        47 | 48 => b.ins().branch(x, block, args, other, &[y]),
        49 => {
            b.ins().switch(x, (block, args), &[(i128::MIN, other, &[]), (1, block, args), (1, other, &[z])])
        }
        50 | 51 => b.ins().ret(args),
        52 => b.ins().throw("", Some("\0")),
        53 => b.ins().static_assert(x, ""),
        54 => b.ins().assert(x, ""),
        55 => drop(b.ins().kernel_input(ty, "")),
        56 => drop(b.ins().sentinel(ty)),
        57 => b.ins().print("%d %s %", args),
        58 => drop(b.ins().add(x, y)),
        59 => drop(b.ins().sext(ty, x)),
        60 => drop(b.ins().local_id(number)),
        _ => drop(b.ins().select(x, y, z)),
    }
}

#[test]
fn whatever_is_asked_of_the_builder_is_answered() {
    let (types, list) = types();
    let mut context = BuilderContext::new();
    let mut body = Body::new();
    let (mut refused, mut accepted) = (0, 0);
    for seed in 1..4000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let signature = Signature::new(vec![Type::I32, Type::I1], vec![Type::I32]);
        let mut b = FunctionBuilder::new(&mut body, &types, &signature, &mut context);
        // Half of them start as they should.
        if seed % 2 == 0 {
            let entry = b.create_block();
            b.switch_to_block(entry);
            b.append_block_params_for_function_params(entry);
            b.seal_block(entry);
        }
        for _ in 0..random.below(60) {
            step(&mut b, &mut random, &list);
        }
        if seed % 4 == 0 {
            let first = Value::from_u32(0);
            b.ins().ret(&[first]);
            b.seal_all_blocks();
        }
        let result = b.finalize();
        if let Err(error) = &result {
            assert!(!error.mistakes.is_empty() && !error.to_string().is_empty());
        }
        // Incomplete bodies, too, are verified and printed.
        let mut program = Program::new();
        program.types = types.clone();
        let added = program.add_method(OpenTable::BASE, method("f", signature, body.clone()));
        added.expect("a method that has a name and a table of its own");
        let diagnostics = verify_program(&program);
        match result.is_ok() {
            true => accepted += 1,
            false => refused += 1,
        }
        if diagnostics.is_empty() {
            assert!(!print_program(&program).is_empty());
        }
    }
    assert!(refused > 1000 && accepted > 10, "{refused} refused, {accepted} accepted");
}

fn method(name: &str, signature: Signature, body: Body) -> MethodData {
    let mut data = MethodData::function(name, signature, body);
    (data.file, data.span) = (Some(u32::MAX), Span { start: u32::MAX, end: 0 });
    data
}

#[test]
fn programs_answer_for_what_they_do_not_have() {
    let mut program = Program::new();
    let far = [Method::from_u32(0), Method::from_u32(7), Method::from_u32(u32::MAX - 1)];
    for id in far {
        assert_eq!(&*program.method(id).name, "");
        assert!(program.method_object(id).body.entry().is_none());
        assert!(program.body_mut(id).is_none() && !program.method_exists(id));
        assert_eq!(program.delete_method(id), Ok(false));
        assert!(!program.is_alive(id, World(0)));
    }
    let nowhere = Table::from_u32(99);
    assert_eq!(program.table_name(nowhere), "?");
    let data = method("f", Signature::default(), Body::new());
    let elsewhere = OpenTable::try_from(nowhere).expect("the library's are others");
    assert_eq!(program.add_method(elsewhere, data.clone()), Err(MethodError::NoTable(nowhere)));
    assert_eq!(program.redefine_method(elsewhere, data), Err(MethodError::NoTable(nowhere)));
    for unspeakable in ["a\0b", &"x".repeat(MAX_NAME_BYTES + 1)] {
        let data = method(unspeakable, Signature::default(), Body::new());
        assert_eq!(program.add_method(OpenTable::BASE, data.clone()), Err(MethodError::Name));
        assert_eq!(program.redefine_method(OpenTable::BASE, data), Err(MethodError::Name));
    }
    assert_eq!(program.changes_since(World::MAX).count() + program.changes_since(World(5)).count(), 0);
    let added = program.add_method(OpenTable::BASE, method("", Signature::default(), Body::new()));
    assert!(added.is_ok());
    assert!(!verify_program(&program).is_empty(), "a method without a body is no method");
}

#[test]
fn types_of_other_tables_are_not_parts_of_types() {
    let mut others = Types::new();
    let variable = others.variable("T").unwrap();
    let array = others.array(Type::I8, 4).unwrap();
    let data = TemplateData {
        name: "box".into(),
        params: Arc::new([variable]),
        fields: Arc::new([("a".into(), variable)]),
        supertype: Abstract::ANY,
        is_newtype: false,
    };
    let template = others.define_template(data.clone()).unwrap();
    let top = others.abstract_type("Top", Abstract::ANY).unwrap();
    // Each of them has the number that this table gives to the next of its kind.
    let mut types = Types::new();
    assert_eq!(types.make_generic(Generic::Pack(variable)), Err(TypeError::Foreign));
    assert_eq!(types.singleton(Singleton::Type(array)), Err(TypeError::Foreign));
    assert_eq!(types.array(array, 1), Err(TypeError::NotStorable(array)));
    assert_eq!(types.apply(template, &[Type::I8]), Err(TypeError::Foreign));
    let args = Arc::new([Type::I8]);
    assert_eq!(types.make_generic(Generic::Struct { template, args }), Err(TypeError::Foreign));
    assert_eq!(types.abstract_type("Bottom", top), Err(TypeError::Foreign));
    for ty in [variable, array] {
        assert_eq!((types.layout(ty), types.field_count(ty), types.aggregate(ty)), (None, None, None));
        assert!(!types.display(ty).to_string().is_empty());
        assert!(!types.is_a(ty, top));
        assert_eq!(types.underlying(ty), ty);
        assert!(types.erased(ty).is_ok() && types.substitute(ty, &|_| None).is_ok());
        assert!(types.newtype("n", ty).is_err() && types.implement(ty, top).is_err());
    }
}

#[test]
fn types_do_not_grow_without_bound() {
    let mut types = Types::new();
    let mut wide = types.variable("T").unwrap();
    let error = loop {
        match types.make_generic(Generic::Array { element: wide, length: wide }) {
            Ok(ty) => wide = ty,
            Err(error) => break error,
        }
    };
    assert_eq!(error, TypeError::TooLarge);
    assert!(types.display(wide).to_string().len() < 1 << 20);
    let variable = types.variable("T").unwrap();
    let mut deep = variable;
    let error = loop {
        match types.make_generic(Generic::Vector { lane: Type::F32, lanes: deep }) {
            Ok(ty) => deep = ty,
            Err(error) => break error,
        }
    };
    assert_eq!(error, TypeError::TooDeep);
}
