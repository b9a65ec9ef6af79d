//! Symbols of instances that drivers look up: kernels.
//!
//! The scheme is that of the Itanium C++ ABI, section 5.1, so that its tools read the names: `_Z5scalei...`. Types of the
//! language are vendor types (`u3i32`), structs are nested names, numbers are literals. There are no substitutions: the
//! names stay short enough without. Everything but letters, digits and `_` in a name becomes `_`, which is all that every
//! driver takes; lengths keep apart what is not spelled the same.

use marquetry_ir::types::{Aggregate, Singleton, Type, TypeKind, Types};
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

fn identifier(out: &mut String, name: &str) {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    // Writing to a string cannot fail.
    let _ = write!(out, "{}{name}", name.len());
}

fn number(out: &mut String, number: u64) {
    let _ = write!(out, "Lm{number}E");
}

fn mangle(out: &mut String, types: &Types, ty: Type) {
    // Nesting is limited where types are made.
    match (ty.kind(), types.aggregate(ty)) {
        (TypeKind::Scalar(scalar), _) => {
            out.push('u');
            identifier(out, scalar.name());
        }
        (TypeKind::Vector(lane, lanes), _) => {
            out.push_str("u3vecI");
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
                identifier(out, types.template(template).map_or("", |template| &template.name));
                out.push('I');
                args.iter().for_each(|&arg| mangle(out, types, arg));
                out.push('E');
            }
            None => identifier(out, name),
        },
        (_, Some(Aggregate::Singleton(singleton))) => {
            out.push('u');
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
                    // A literal of its bits: the C++ types have no such types.
                    let _ = write!(out, "Lo{}E", data.scalar().unwrap_or(0));
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
    use marquetry_ir::types::{Scalar, Space};

    #[test]
    fn t100_symbols_of_kernels() {
        let mut types = Types::new();
        let aggregate = types.structure("Aggregate", vec![("x".into(), Type::I32)]).unwrap();
        assert_eq!(symbol(&types, "kernel", &[aggregate]), "_Z6kernel9Aggregate");
        assert_eq!(symbol(&types, "kernel", &[]), "_Z6kernelv");
        let vector = Type::vector(Scalar::F32, 4).unwrap();
        let list = types.array(vector, 3).unwrap();
        let found = symbol(&types, "scale", &[Type::I32, Type::pointer(Space::Global), list]);
        assert_eq!(found, "_Z5scaleu3i32PU6globalvA3_u3vecIu3f32Lm4EE");
        let function = types.singleton(Singleton::Function("a b".into())).unwrap();
        assert_eq!(symbol(&types, "map", &[function]), "_Z3mapu2fnI3a_bE");
    }
}
