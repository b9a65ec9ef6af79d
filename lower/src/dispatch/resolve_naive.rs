//! Resolution as the rules say it, one method after the other: the oracle of the indexed resolver.

use super::pattern::accept;
use super::resolve::{Answer, LookUp, worlds_of};
use super::specificity::most_specific;
use super::view::View;
use marquetry_ir::entity::Method;
use marquetry_ir::program::{Program, Worlds};
use marquetry_ir::types::Type;

/// What a call of this name with arguments of these types means.
pub fn look_up(program: &Program, view: &View, name: &str, arguments: &[Type]) -> LookUp {
    let world = view.world(program);
    let mut worlds = Worlds::ALL;
    for &table in view.tables_for(name) {
        let applicable = |method: &Method| {
            let data = program.method(*method);
            data.table() == table && accept(program, data, arguments).is_ok()
        };
        let ever: Vec<Method> =
            program.all_methods_of(name).iter().copied().filter(|method| applicable(method)).collect();
        let now: Vec<Method> =
            ever.iter().copied().filter(|&method| program.is_alive(method, world)).collect();
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
