//! Which methods of a program are compiled.

use crate::library;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::near::near;
use marquetry_ir::program::{MethodData, Program};

/// What native code has in base and is no pattern for others: every method of the program's own without type variables, and
/// those of the library if `with_library`. Functions and kernels, in the order of their definition.
pub fn concrete(program: &Program, with_library: bool) -> Vec<Method> {
    let first_own = library::program().files.len() as u32;
    let own = |data: &MethodData| with_library || data.file.is_none_or(|file| file >= first_own);
    let wanted = |data: &MethodData| data.table() == Table::BASE && !data.is_generic() && own(data);
    program.methods().filter(|(_, data)| wanted(data)).map(|(method, _)| method).collect()
}

/// The methods of a name that can be compiled without being told types.
///
/// # Errors
/// There is none: what there is instead.
pub fn named(program: &Program, name: &str) -> Result<Vec<Method>, String> {
    let in_base = |&method: &Method| program.method(method).table() == Table::BASE;
    let all: Vec<Method> = program.methods_of(name).iter().copied().filter(in_base).collect();
    let concrete: Vec<Method> =
        all.iter().copied().filter(|&method| !program.method(method).is_generic()).collect();
    match (all.first(), concrete.is_empty()) {
        (_, false) => Ok(concrete),
        (Some(_), true) => {
            Err(format!("'{name}' has type variables: say for which types, as in --entry '{name}(i32, f32)'"))
        }
        (None, true) => {
            let names = program.methods().filter(|(_, data)| data.table() == Table::BASE);
            Err(format!("there is no '{name}'{}", near(name, names.map(|(_, data)| &*data.name))))
        }
    }
}
