//! `target_query`: what code may ask its target, and what the answer is.
//!
//! Every target answers every key, so that one text compiles everywhere: `sm` is 0 on what is no PTX. Keys of this
//! table come first; hosts may add their own, which cannot replace one of these.

pub use marquetry_ir::query::{Answer, KEYS};

use crate::job::Options;
use crate::target::{Action, Target};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use std::sync::Arc;

/// Answers that a host adds, by key.
pub type Answers = [(Arc<str>, Answer)];

/// The answer to a key: `has_OP.TYPE` asks whether the target has an op on a scalar type itself, as in `has_fma.f32`;
/// the others are those of [`KEYS`] and the host's. Without a target it is the reference interpreter that answers:
/// it is neither native nor a GPU, and has every op.
pub fn answer(key: &str, target: Option<&dyn Target>, options: &Options, host: &Answers) -> Option<Answer> {
    if let Some(question) = key.strip_prefix("has_") {
        let (op, ty) = question.rsplit_once('.')?;
        let (op, ty) = (Op::from_mnemonic(op)?, scalar(ty)?);
        let legal = |target: &dyn Target| matches!(target.action(op, ty, ty), Action::Legal);
        return Some(Answer::Truth(target.is_none_or(legal)));
    }
    let Some((_, default, _)) = KEYS.iter().find(|row| row.0 == key) else {
        return host.iter().find(|(known, _)| **known == *key).map(|(_, answer)| *answer);
    };
    Some(match key {
        "debug_level" => Answer::Number(options.debug_level as u64),
        "opt_level" => Answer::Number(options.opt_level as u64),
        "max_shared_bytes" => Answer::Number(target.map_or(0, |target| target.caps().max_shared_bytes)),
        "max_argument_bytes" => Answer::Number(target.map_or(0, |target| target.caps().max_argument_bytes)),
        _ => target.and_then(|target| target.answer(key)).unwrap_or(*default),
    })
}

/// The keys, for messages.
pub fn known(host: &Answers) -> String {
    let own = KEYS.iter().map(|row| row.0);
    let names: Vec<&str> = own.chain(host.iter().map(|(key, _)| &**key)).collect();
    format!("{} and has_OP.TYPE", names.join(", "))
}

fn scalar(name: &str) -> Option<Type> {
    Scalar::ALL.into_iter().find(|scalar| scalar.name() == name).map(Type::scalar)
}
