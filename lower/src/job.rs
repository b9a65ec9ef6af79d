//! A job: what to compile, through which tables, and how.

use crate::dispatch::view::View;
use marquetry_ir::entity::Method;
use marquetry_ir::types::Type;
use std::sync::Arc;

/// How much work goes into the code.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum OptLevel {
    /// None: the fastest compilation.
    None,
    /// Cheap passes.
    Less,
    /// All passes.
    #[default]
    Default,
    /// All passes, with larger limits.
    More,
}

impl OptLevel {
    /// The level of `-O0` to `-O3`.
    pub fn from_number(number: u32) -> Option<Self> {
        [OptLevel::None, OptLevel::Less, OptLevel::Default, OptLevel::More].get(number as usize).copied()
    }
}

/// What becomes of calls that no method fits.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Unresolved {
    /// The job is refused, unless control cannot get to them.
    #[default]
    Refuse,
    /// They throw `UnresolvedError` when control gets to them.
    Throw,
    /// They are calls of functions of the host. The link name is this prefix, the name and the types of the arguments:
    /// `host:area(f32)`. What such a call returns is what its surroundings need; where these do not say, the call is
    /// refused.
    Callback(Arc<str>),
}

/// A method with type variables as an entry: which types of arguments it is compiled for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EntryInstance {
    /// The method.
    pub method: Method,
    /// Types of the arguments, those of no size included.
    pub arguments: Box<[Type]>,
}

/// What to compile, through which tables, and how: a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Job {
    /// What hosts will call or launch.
    pub entries: Vec<Method>,
    /// The tables that calls are looked up in.
    pub view: View,
    /// How much work goes into the code.
    pub opt_level: OptLevel,
    /// Further entries: methods for arguments of these types. Their symbols are the name and the types:
    /// `axpy(f32, f32, f32)`.
    pub instances: Vec<EntryInstance>,
    /// What becomes of calls that no method fits.
    pub unresolved: Unresolved,
    /// Whether pure calls with constant arguments may be computed during compilation.
    pub evaluate: bool,
}

impl Default for Job {
    /// No entries, the tables that native code sees, and the usual options.
    fn default() -> Self {
        Job {
            entries: Vec::new(),
            view: View::native(&[]),
            opt_level: OptLevel::default(),
            instances: Vec::new(),
            unresolved: Unresolved::default(),
            evaluate: true,
        }
    }
}
