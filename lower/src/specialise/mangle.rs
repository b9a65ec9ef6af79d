//! Symbols of instances that drivers look up: kernels.
//!
//! The scheme is that of the Itanium C++ ABI, section 5.1, so that its tools read the names. Types of the language are
//! spelled as classes and templates of their names (`3i32`, `3vecI3f32Lm4EE`), which all of these tools know, while many do
//! not know vendor types; numbers are literals. There are no substitutions: the names stay short enough without.
//!
//! Drivers take letters, digits and `_` only. What else is in a name becomes `_`, and an ABI tag (section 5.1.2) says what
//! it was, so that no two names are spelled the same: `"a b"` is `3a_bB3u20`, which tools read as `a_b[abi:u20]`.

use marquetry_ir::types::{Aggregate, Scalar, Singleton, Type, TypeKind, Types};
use std::fmt::Write;

/// The symbol of a kernel for arguments of these types.
pub(super) fn symbol(types: &Types, name: &str, arguments: &[Type]) -> String {
    let mut out = String::from("_Z");
    identifier(&mut out, name);
    if arguments.is_empty() {
        out.push('v');
    }
    arguments.iter().for_each(|&ty| mangle(&mut out, types, ty));
    out
}

/// A name as it is, if every driver takes it; else with a tag that tells the characters behind all `_` in it.
fn identifier(out: &mut String, name: &str) {
    let is_safe =
        |(n, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (n > 0 && c.is_ascii_digit());
    // Writing to a string cannot fail.
    if !name.is_empty() && name.chars().enumerate().all(is_safe) {
        let _ = write!(out, "{}{name}", name.len());
        return;
    }
    let (mut safe, mut tag) = (String::new(), String::from("u"));
    for (n, c) in name.chars().enumerate() {
        let kept = c != '_' && is_safe((n, c));
        safe.push(if kept { c } else { '_' });
        if !kept {
            let between = if tag.len() > 1 { "_" } else { "" };
            let _ = write!(tag, "{between}{:x}", u32::from(c));
        }
    }
    // No name at all is nothing to read.
    let safe = if safe.is_empty() { "_" } else { &safe };
    let _ = write!(out, "{}{safe}B{}{tag}", safe.len(), tag.len());
}

/// The name of a struct: a tag tells it from the language's own types where it has the name of one.
fn nominal(out: &mut String, name: &str) {
    identifier(out, name);
    let is_own = matches!(name, "vec" | "fn" | "type" | "const" | "space");
    if is_own || Scalar::ALL.iter().any(|scalar| scalar.name() == name) {
        out.push_str("B6struct");
    }
}

fn number(out: &mut String, number: u64) {
    let _ = write!(out, "Lm{number}E");
}

fn mangle(out: &mut String, types: &Types, ty: Type) {
    // Nesting is limited where types are made.
    match (ty.kind(), types.aggregate(ty)) {
        (TypeKind::Scalar(scalar), _) => {
            identifier(out, scalar.name());
        }
        (TypeKind::Vector(lane, lanes), _) => {
            out.push_str("3vecI");
            mangle(out, types, Type::scalar(lane));
            number(out, lanes.into());
            out.push('E');
        }
        (TypeKind::Pointer(space), _) => {
            out.push_str("PU");
            identifier(out, space.name());
            out.push('v');
        }
        (_, Some(&Aggregate::Array { element, length })) => {
            let _ = write!(out, "A{length}_");
            mangle(out, types, element);
        }
        (_, Some(Aggregate::Struct { name, .. })) => match types.applied(ty) {
            Some((template, args)) => {
                nominal(out, types.template(template).map_or("", |template| &template.name));
                out.push('I');
                args.iter().for_each(|&arg| mangle(out, types, arg));
                out.push('E');
            }
            None => nominal(out, name),
        },
        (_, Some(Aggregate::Singleton(singleton))) => {
            match singleton {
                Singleton::Function(name) => {
                    out.push_str("2fnI");
                    identifier(out, name);
                }
                Singleton::Type(inner) => {
                    out.push_str("4typeI");
                    mangle(out, types, *inner);
                }
                Singleton::Constant(data) => {
                    out.push_str("5constI");
                    mangle(out, types, data.ty);
                    // A literal of its bits: C++ has no such types.
                    let bits = data.scalar().unwrap_or(0);
                    let _ = match u64::try_from(bits) {
                        Ok(bits) => write!(out, "Lm{bits}E"),
                        Err(_) => write!(out, "Lo{bits}E"),
                    };
                }
                Singleton::Space(space) => {
                    out.push_str("5spaceI");
                    identifier(out, space.name());
                }
            }
            out.push('E');
        }
        _ => out.push('v'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquetry_ir::constant::{ConstData, ConstValue};
    use marquetry_ir::types::Space;

    #[test]
    fn t100_symbols_of_kernels() {
        let mut types = Types::new();
        let aggregate = types.structure("Aggregate", vec![("x".into(), Type::I32)]).unwrap();
        assert_eq!(symbol(&types, "kernel", &[aggregate]), "_Z6kernel9Aggregate");
        assert_eq!(symbol(&types, "kernel", &[]), "_Z6kernelv");
        let vector = Type::vector(Scalar::F32, 4).unwrap();
        let list = types.array(vector, 3).unwrap();
        let found = symbol(&types, "scale", &[Type::I32, Type::pointer(Space::Global), list]);
        assert_eq!(found, "_Z5scale3i32PU6globalvA3_3vecI3f32Lm4EE");
        let function = types.singleton(Singleton::Function("a b".into())).unwrap();
        assert_eq!(symbol(&types, "map", &[function]), "_Z3map2fnI3a_bB3u20E");
    }

    #[test]
    fn names_that_drivers_do_not_take_stay_apart() {
        let mut types = Types::new();
        let names = [
            "a b", "a_b", "a__b", "a-b", "a b_", "a_b ", "_a b", "2a", "_a", "é", "", "_", " ", "a_bB3u20",
            "i32", "vec", "3i32", "fn",
        ];
        let mut symbols = vec![symbol(&types, "k", &[Type::I32])];
        for name in names {
            let structure = types.structure(name, vec![("x".into(), Type::F32)]).unwrap();
            let function = types.singleton(Singleton::Function(name.into())).unwrap();
            symbols.push(symbol(&types, "k", &[structure]));
            symbols.push(symbol(&types, "k", &[function]));
            symbols.push(symbol(&types, name, &[]));
        }
        assert!(symbols.iter().all(|symbol| symbol.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
        for symbol in &symbols {
            cpp_demangle::Symbol::new(symbol).unwrap_or_else(|error| panic!("{symbol}: {error}"));
        }
        let count = symbols.len();
        symbols.sort();
        symbols.dedup();
        assert_eq!(symbols.len(), count, "{symbols:?}");
    }

    #[test]
    fn t172_tools_for_cpp_read_the_symbols() {
        let mut types = Types::new();
        let constants = [(Type::I32, 1), (Type::I32, 0xffff_ffff), (Type::I128, u128::MAX)];
        let [one, minus, wide] = constants.map(|(ty, bits)| {
            let data = ConstData { ty, value: ConstValue::Scalar(bits) };
            types.singleton(Singleton::Constant(data)).unwrap()
        });
        let function = types.singleton(Singleton::Function("a b".into())).unwrap();
        let ty = types.singleton(Singleton::Type(Type::F32)).unwrap();
        let vector = Type::vector(Scalar::F16, 8).unwrap();
        let list = types.array(vector, 3).unwrap();
        let structure = types.structure("point", vec![("x".into(), Type::F32)]).unwrap();
        let many: Vec<Type> = [structure; 40].to_vec();
        for (arguments, wanted) in [
            (&[][..], "k()"),
            (&[one, minus], "k(const<i32, (unsigned long)1>, const<i32, (unsigned long)4294967295>)"),
            (&[wide], "k(const<i128, (unsigned __int128)340282366920938463463374607431768211455>)"),
            (&[function, ty], "k(fn<a_b[abi:u20]>, type<f32>)"),
            (&[Type::pointer(Space::Shared), Type::BF16], "k(void shared*, bf16)"),
            (&[list], "k(vec<f16, (unsigned long)8> [3])"),
            (&many, &format!("k({})", ["point"; 40].join(", "))),
        ] {
            let symbol = symbol(&types, "k", arguments);
            let read = cpp_demangle::Symbol::new(&symbol).map(|symbol| symbol.demangle());
            let read = read.unwrap_or_else(|error| panic!("{symbol}: {error}"));
            assert_eq!(read.unwrap_or_default().replace("void  ", "void "), wanted, "{symbol}");
        }
    }
}
