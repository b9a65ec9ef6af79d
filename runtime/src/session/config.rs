//! Configs: how something is compiled, as a value.
//!
//! Identity is structural and covers everything that can change the code: the back-end's name (and with it its hooks and
//! answers, which a session fixes when the back-end is added), the target, the params, the ordered lists of tables
//! and of the runtime provider's tables, whether the device table is among them, what becomes of device functions where it is
//! not, the options, and where native code goes. Nothing else is in it: no time,
//! no counter, no address.

use crate::compile::{Form, Target};
use marquetry_ir::text::print_type;
use marquetry_ir::types::Types;
use marquetry_lower::job::{InlinePolicy, Options, Unresolved};
use marquetry_lower::runtime::host::HostPolicy;
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A value that a back-end puts into its configs for its own hooks.
trait Param: Any + fmt::Debug + Send + Sync {
    fn same(&self, other: &dyn Param) -> bool;
    fn hash_into(&self, state: &mut dyn Hasher);
    fn any(&self) -> &(dyn Any + Send + Sync);
}

impl<T: Eq + Hash + fmt::Debug + Send + Sync + 'static> Param for T {
    fn same(&self, other: &dyn Param) -> bool {
        other.any().downcast_ref::<T>().is_some_and(|other| self == other)
    }

    fn hash_into(&self, mut state: &mut dyn Hasher) {
        self.hash(&mut state);
    }

    fn any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// A back-end's own knobs: any value that can be compared and hashed, or none.
///
/// ```
/// use marquetry::session::Params;
/// assert_eq!(Params::new("fast"), Params::new("fast"));
/// assert_ne!(Params::new(1_u32), Params::new(1_i32));
/// assert_eq!(Params::new(7_u32).get::<u32>(), Some(&7));
/// ```
#[derive(Clone, Default)]
pub struct Params(Option<Arc<dyn Param>>);

impl Params {
    /// These.
    pub fn new<T: Eq + Hash + fmt::Debug + Send + Sync + 'static>(value: T) -> Self {
        Params(Some(Arc::new(value)))
    }

    /// The value, if it is of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        self.any()?.downcast_ref()
    }

    pub(super) fn any(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.0.as_ref().map(|param| (**param).any())
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => (**a).same(&**b),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Params {}

impl Hash for Params {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.0 {
            Some(param) => (**param).hash_into(state),
            None => state.write_u8(0),
        }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(param) => param.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// How something is compiled: a value. Comes from [`Backend::config`](super::Backend::config); fields are changed from
/// there.
///
/// ```
/// use marquetry::compile::Target;
/// use marquetry::session::Backend;
/// use marquetry_lower::job::{DebugLevel, OptLevel};
/// let backend = Backend::new("gpu", Target::parse("ptx:sm_90", OptLevel::Default)?);
/// let mut config = backend.config();
/// config.options.debug_level = DebugLevel::Full;
/// assert_ne!(config, backend.config());
/// config.options.debug_level = DebugLevel::None;
/// assert_eq!(config, backend.config());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// The back-end, by name.
    pub backend: Arc<str>,
    /// What is compiled for.
    pub target: Target,
    /// The back-end's tables by name, first asked first.
    pub tables: Vec<Arc<str>>,
    /// The tables of the runtime provider by name, first asked first; only code that sees the device table has one.
    pub provider: Vec<Arc<str>>,
    /// Whether the device table is asked, after these and before base.
    pub device: bool,
    /// What becomes of functions that only devices have, in code that does not see the device table.
    pub host_policy: HostPolicy,
    /// The back-end's own knobs.
    pub params: Params,
    /// How much is done, and how.
    pub options: Options,
    /// Where native code goes.
    pub form: Form,
    /// Whether this is a whole artifact, and not a part of another one.
    toplevel: bool,
}

impl Config {
    pub(super) fn new(backend: Arc<str>, target: Target, tables: Vec<Arc<str>>, device: bool) -> Self {
        Config {
            backend,
            target,
            tables,
            provider: vec!["standard".into()],
            device,
            host_policy: HostPolicy::default(),
            params: Params::default(),
            options: Options::default(),
            form: Form::default(),
            toplevel: true,
        }
    }

    /// Whether this is a whole artifact, and not a part of another one.
    pub fn is_toplevel(&self) -> bool {
        self.toplevel
    }

    /// All that can change native code in memory, as text that means the same in every process; but for the params, which
    /// are values of this one. `types` are the program's.
    pub(crate) fn identity(&self, types: &Types) -> String {
        let Config {
            backend,
            target,
            tables,
            provider,
            device,
            host_policy,
            params: _,
            options,
            form: _,
            toplevel,
        } = self;
        let Options {
            opt_level,
            debug_level,
            inlining,
            name,
            optimize,
            cleanup,
            validate,
            unresolved,
            evaluate,
            state,
            entry_abi,
            references,
            throws,
        } = options;
        let target = match target {
            Target::Native(native) => format!("{} O{}", native.machine(), native.options().opt_level),
            other => other.lowering().name(),
        };
        let unresolved = match unresolved {
            Unresolved::Refuse => "refuse".to_owned(),
            Unresolved::Throw => "throw".to_owned(),
            Unresolved::Callback(prefix) => format!("callback {prefix:?}"),
        };
        let inlining = match inlining {
            InlinePolicy::BySize => "by size",
            InlinePolicy::Always => "always",
        };
        let state = state.map(|ty| print_type(types, ty));
        format!(
            "backend {backend:?}; target {target}; tables {tables:?}; provider {provider:?}; device {device}; \
             host {}; opt {}; debug {}; inlining {inlining}; name {name:?}; optimize {optimize}; cleanup {cleanup}; \
             validate {validate}; unresolved {unresolved}; evaluate {evaluate}; state {state:?}; abi {}; \
             references {}; throws {}; toplevel {toplevel}",
            host_policy.name(),
            *opt_level as u32,
            *debug_level as u32,
            entry_abi.name(),
            references.name(),
            throws.name(),
        )
    }

    /// The same for a part of another artifact, which is optimised, cleaned up and validated with that one: these are
    /// off, whatever was said before. It has a name of its own, too.
    pub fn nested(&self) -> Self {
        let mut nested = self.clone();
        nested.toplevel = false;
        nested.options.optimize = false;
        nested.options.cleanup = false;
        nested.options.validate = false;
        nested.options.name = None;
        nested
    }
}
