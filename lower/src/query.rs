//! `target_query`: what code may ask its target, and what the answer is.
//!
//! Every target answers every key, so that one text compiles everywhere: `sm` is 0 on what is no PTX. Keys of this
//! table come first; hosts may add their own, which cannot replace one of these.

use crate::job::Options;
use crate::target::{Action, Target};
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type};
use std::sync::Arc;

/// What a target says about itself.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    /// Yes or no: an `i1`.
    Truth(bool),
    /// A number: of any integer type that holds it.
    Number(u64),
}

/// Answers that a host adds, by key.
pub type Answers = [(Arc<str>, Answer)];

/// The keys that every target answers, what it means if a target does not say, and for people.
pub const KEYS: [(&str, Answer, &str); 12] = [
    ("is_native", Answer::Truth(false), "whether this is code for a CPU"),
    ("is_gpu", Answer::Truth(false), "whether this is code for a GPU"),
    ("is_ptx", Answer::Truth(false), "whether this is PTX"),
    ("is_spirv", Answer::Truth(false), "whether this is SPIR-V"),
    ("sm", Answer::Number(0), "the number of the PTX architecture: 90 for sm_90; else 0"),
    ("vulkan", Answer::Number(0), "the version of Vulkan: 13 for 1.3; else 0"),
    ("opencl", Answer::Number(0), "the version of OpenCL: 21 for 2.1; else 0"),
    ("pointer_bits", Answer::Number(64), "the size of an address"),
    ("max_shared_bytes", Answer::Number(0), "most bytes of shared memory per group"),
    ("max_argument_bytes", Answer::Number(0), "most bytes of kernel arguments"),
    ("debug_level", Answer::Number(0), "the job's debug level"),
    ("opt_level", Answer::Number(0), "the job's optimisation level"),
];

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
