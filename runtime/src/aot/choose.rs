//! Which methods of a program are compiled, and what was meant by names that nothing has.

use crate::library;
use marquetry_ir::entity::{Method, Table};
use marquetry_ir::program::{MethodData, Program};

/// What native code has in base and is no pattern for others: every method of the program's own without type variables, and
/// those of the library if `with_library`. Functions and kernels, in the order of their definition.
pub fn concrete(program: &Program, with_library: bool) -> Vec<Method> {
    let first_own = library::program().files.len() as u32;
    let own = |data: &MethodData| with_library || data.file.is_none_or(|file| file >= first_own);
    let wanted = |data: &MethodData| data.table == Table::BASE && !data.is_generic() && own(data);
    program.methods().filter(|(_, data)| wanted(data)).map(|(method, _)| method).collect()
}

/// The methods of a name that can be compiled without being told types.
///
/// # Errors
/// There is none: what there is instead.
pub fn named(program: &Program, name: &str) -> Result<Vec<Method>, String> {
    let in_base = |&method: &Method| program.method(method).table == Table::BASE;
    let all: Vec<Method> = program.methods_of(name).iter().copied().filter(in_base).collect();
    let concrete: Vec<Method> =
        all.iter().copied().filter(|&method| !program.method(method).is_generic()).collect();
    match (all.first(), concrete.is_empty()) {
        (_, false) => Ok(concrete),
        (Some(_), true) => {
            Err(format!("'{name}' has type variables: say for which types, as in --entry '{name}(i32, f32)'"))
        }
        (None, true) => {
            let names = program.methods().filter(|(_, data)| data.table == Table::BASE);
            Err(format!("there is no '{name}'{}", near(name, names.map(|(_, data)| &*data.name))))
        }
    }
}

/// Most names that are proposed.
const MAX_PROPOSED: usize = 3;
/// Longer names are not compared.
const MAX_COMPARED: usize = 256;

/// The names that are spelled nearly like one that nothing has, as the end of a sentence about it; empty if there is none.
pub fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let mut close: Vec<(usize, &str)> = known
        .filter_map(|known| {
            let distance = distance(name, known)?;
            (distance <= limit).then_some((distance, known))
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    let proposed: Vec<String> =
        close.iter().take(MAX_PROPOSED).map(|(_, known)| format!("'{known}'")).collect();
    if proposed.is_empty() { String::new() } else { format!("; there is {}", proposed.join(", ")) }
}

/// How many letters must be put in, taken out or changed to make one name of another; none of long ones.
fn distance(a: &str, b: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > MAX_COMPARED {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (n, &x) in a.iter().enumerate() {
        let mut diagonal = n;
        let mut left = n + 1;
        row[0] = left;
        for (place, &y) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(x != y);
            diagonal = *place;
            left = changed.min(diagonal + 1).min(left + 1);
            *place = left;
        }
    }
    row.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed_nearest_first() {
        assert_eq!(distance("kitten", "sitting"), Some(3));
        assert_eq!(distance("", "abc"), Some(3));
        assert_eq!(distance("abc", "abc"), Some(0));
        let known = ["saxpy", "axpy", "daxpy", "matmul", "saxp"];
        assert_eq!(near("saxpyy", known.into_iter()), "; there is 'saxpy', 'axpy', 'daxpy'");
        assert_eq!(near("quite_different", known.into_iter()), "");
    }
}
