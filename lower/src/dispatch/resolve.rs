//! Resolution: the method that a call means, and the worlds in which it means that.
//!
//! A method without variables that takes exactly the arguments' types is found by hash and beats all others of its
//! table; only where there is none are the methods with variables compared. The worlds of an answer are cut by every
//! method, ended or yet to come, that would change it in any table consulted: a miss is an answer too.

use super::pattern::accept_in;
use super::specificity::{is_more_specific, most_specific};
use super::view::View;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, World, Worlds};
use marquetry_ir::types::{Type, Types};
use smallvec::SmallVec;

/// What a call means.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// This method.
    Method(Method),
    /// Nothing: these two are applicable, and neither is more specific.
    Ambiguous(Method, Method),
    /// Nothing: no table has an applicable method.
    Nothing,
}

/// The result of a look-up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LookUp {
    /// What the call means.
    pub answer: Answer,
    /// The worlds in which it means that.
    pub worlds: Worlds,
}

/// What a call of this name with arguments of these types means.
pub fn look_up(program: &Program, view: &View, name: &str, arguments: &[Type]) -> LookUp {
    look_up_in(program, &program.types, view, name, arguments)
}

/// As [`look_up`], with the arguments' types in a table that began as a copy of the program's.
pub fn look_up_in(program: &Program, types: &Types, view: &View, name: &str, arguments: &[Type]) -> LookUp {
    let world = view.world(program);
    let mut worlds = Worlds::ALL;
    let mut ever: SmallVec<[Method; 8]> = SmallVec::new();
    let mut now: SmallVec<[Method; 8]> = SmallVec::new();
    let Some(overloads) = program.overloads(name) else { return LookUp { answer: Answer::Nothing, worlds } };
    for &table in view.tables_for(name) {
        let exact = overloads.taking(table, arguments);
        if let Some(&method) = exact.iter().find(|&&method| program.is_alive(method, world)) {
            // Whatever else is applicable is less specific.
            let worlds = worlds.intersect(program.lifetime(method));
            return LookUp { answer: Answer::Method(method), worlds };
        }
        ever.clear();
        now.clear();
        ever.extend(exact.iter().copied());
        for method in overloads.generic(table, arguments) {
            if accept_in(types, program.method(method), arguments).is_ok() {
                ever.push(method);
                if program.is_alive(method, world) {
                    now.push(method);
                }
            }
        }
        now.sort_unstable();
        let answer = match most_specific(program, &now) {
            Ok(best) => best.map(Answer::Method),
            Err((a, b)) => Some(Answer::Ambiguous(a, b)),
        };
        worlds = worlds.intersect(worlds_of(program, world, answer, &ever));
        if let Some(answer) = answer {
            return LookUp { answer, worlds };
        }
    }
    LookUp { answer: Answer::Nothing, worlds }
}

/// The worlds around one in which a table gives the same answer, where `ever` are its applicable methods of all worlds.
pub(super) fn worlds_of(program: &Program, world: World, answer: Option<Answer>, ever: &[Method]) -> Worlds {
    let mut worlds = Worlds::ALL;
    let loses = |method: Method| match answer {
        Some(Answer::Method(best)) => {
            is_more_specific(&program.types, program.method(best), program.method(method))
        }
        _ => false,
    };
    for &method in ever {
        let lifetime = program.lifetime(method);
        if answer == Some(Answer::Method(method)) {
            worlds = worlds.intersect(lifetime);
        } else if loses(method) {
            continue;
        } else if lifetime.contains(world) {
            // One of several in an ambiguity.
            worlds = worlds.intersect(lifetime);
        } else if lifetime.from > world {
            worlds.until = worlds.until.min(lifetime.from);
        } else {
            worlds.from = worlds.from.max(lifetime.until);
        }
    }
    worlds
}
