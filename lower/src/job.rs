//! A job: what to compile, through which tables, in which world, and how. A value: equal jobs on equal programs give the
//! same bytes.

use crate::dispatch::view::View;
use crate::references::Strategy;
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

/// How a work-item that throws leaves, and what it tells besides the record in the mailbox.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum ThrowPolicy {
    /// The first one reports as the debug level says, every one signals and returns: the others go on.
    #[default]
    Report,
    /// Every one signals and returns; nothing is reported, whatever the debug level.
    Exit,
    /// As `Exit`, and then the target's trap ends the launch, or the process if it is native code; where there is none, it
    /// returns. In code without kernels the trap stands at the place that throws.
    Trap,
}

impl ThrowPolicy {
    /// All of them.
    pub const ALL: [ThrowPolicy; 3] = [ThrowPolicy::Report, ThrowPolicy::Exit, ThrowPolicy::Trap];

    /// As the command line spells it.
    pub const fn name(self) -> &'static str {
        match self {
            ThrowPolicy::Report => "report",
            ThrowPolicy::Exit => "exit",
            ThrowPolicy::Trap => "trap",
        }
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        ThrowPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// Which calls are replaced by the callee's body.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum InlinePolicy {
    /// Those of methods that say `inline`, and of small ones.
    #[default]
    BySize,
    /// All but those of methods that say `noinline`.
    Always,
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

/// What an entry that is a function is called by.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum EntryConvention {
    /// The platform's C convention, with a parameter for each part of an argument. A packed wrapper stands beside it.
    #[default]
    Native,
    /// One signature for all functions: the addresses of a block of arguments and of one for results; gives the status.
    /// The symbol is the wrapper, and nothing else of the function is seen from outside. For hosts that cannot make up
    /// calls of any signature while they run.
    Packed,
}

impl EntryConvention {
    /// All of them.
    pub const ALL: [EntryConvention; 2] = [EntryConvention::Native, EntryConvention::Packed];

    /// As the command line spells it.
    pub fn name(self) -> &'static str {
        match self {
            EntryConvention::Native => "native",
            EntryConvention::Packed => "packed",
        }
    }

    /// The convention of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        EntryConvention::ALL.into_iter().find(|convention| convention.name() == name)
    }
}

/// How a job is compiled: what is the same for every entry and every target.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Options {
    /// How much work goes into the code.
    pub opt_level: OptLevel,
    /// What of the source goes into the code, and what code gets that asks for `debug_level`.
    pub debug_level: DebugLevel,
    /// What becomes of a work-item that throws.
    pub throws: ThrowPolicy,
    /// Which calls are inlined.
    pub inlining: InlinePolicy,
    /// The symbol of the only entry, in place of its method's name.
    pub name: Option<Arc<str>>,
    /// Whether the passes of the level run.
    pub optimize: bool,
    /// Whether what lowering leaves behind is cleaned up.
    pub cleanup: bool,
    /// Whether static assertions and the target's rules are checked before the code is made legal.
    pub validate: bool,
    /// What becomes of calls that no method fits.
    pub unresolved: Unresolved,
    /// Whether pure calls with constant arguments may be computed during compilation.
    pub evaluate: bool,
    /// The type of the kernels' state, a type of the program: every kernel takes one before its arguments, and
    /// `kernel_input` of the name [`STATE`](crate::runtime::inputs::STATE) is it.
    pub state: Option<Type>,
    /// How hosts call the entries that are functions.
    pub entry_abi: EntryConvention,
    /// What becomes of the words that the host supplies.
    pub references: Strategy,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            opt_level: OptLevel::default(),
            debug_level: DebugLevel::default(),
            throws: ThrowPolicy::default(),
            inlining: InlinePolicy::default(),
            name: None,
            optimize: true,
            cleanup: true,
            validate: true,
            unresolved: Unresolved::default(),
            evaluate: true,
            state: None,
            entry_abi: EntryConvention::default(),
            references: Strategy::default(),
        }
    }
}

/// Something to compile that hosts call or launch: a method for concrete arguments. The symbol is the method's name; of a
/// method with type variables or siblings the name and the types, `axpy(f32, f32, f32)`, of a kernel mangled,
/// `_Z5scale3i32PU6globalv`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct JobEntry {
    /// The method.
    pub method: Method,
    /// What its parameters are, where it has type variables; else none. Types of the program.
    pub arguments: Option<Box<[Type]>>,
}

impl From<Method> for JobEntry {
    fn from(method: Method) -> Self {
        JobEntry { method, arguments: None }
    }
}

/// What to compile, through which tables, and how: a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Job {
    /// What hosts will call or launch.
    pub entries: Vec<JobEntry>,
    /// The tables that calls are looked up in, and the world.
    pub view: View,
    /// How it is compiled.
    pub options: Options,
}

impl Job {
    /// Compiles methods without type variables at this level, everything else as usual.
    pub fn new(methods: Vec<Method>, view: View, opt_level: OptLevel) -> Self {
        let entries = methods.into_iter().map(JobEntry::from).collect();
        Job { entries, view, options: Options { opt_level, ..Options::default() } }
    }

    /// How much the optimiser does: nothing, unless it is asked for.
    pub fn effort(&self) -> OptLevel {
        if self.options.optimize { self.options.opt_level } else { OptLevel::None }
    }
}
