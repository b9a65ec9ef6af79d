//! A job: what to compile, through which tables, and how.

use crate::dispatch::view::View;
use marquetry_ir::entity::Method;

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

/// How much of what the source says about places and names goes into the code.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum DebugLevel {
    /// Nothing.
    #[default]
    None,
    /// Functions and lines.
    Lines,
    /// Names of values and inlined calls as well, as far as the target's format has a place for them.
    Full,
}

impl DebugLevel {
    /// The level of `-g0` to `-g2`.
    pub fn from_number(number: u32) -> Option<Self> {
        [DebugLevel::None, DebugLevel::Lines, DebugLevel::Full].get(number as usize).copied()
    }
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
    /// What of the source goes into the code. Never changes the code itself.
    pub debug_level: DebugLevel,
}
