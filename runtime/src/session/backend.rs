//! Back-ends: a target with everything that a host adds to it.

use super::config::{Config, Params};
use crate::compile::Target;
use marquetry_ir::body::Body;
use marquetry_ir::diag::Diagnostic;
use marquetry_lower::hooks::{Anchor, HookContext, Hooks, Place, UnknownPass};
use marquetry_lower::passes::PassContext;
use marquetry_lower::query::Answer;
use std::fmt;
use std::sync::Arc;

/// A target, its tables, its hooks, and what it answers when code asks. A session takes it as it is: hooks and answers
/// are part of what the back-end's name stands for.
///
/// ```
/// use marquetry::compile::Target;
/// use marquetry::session::{Backend, Session};
/// use marquetry_lower::job::OptLevel;
/// let mut backend = Backend::new("gpu", Target::parse("spirv:vulkan1.3", OptLevel::Default)?);
/// backend.tables(&["my_overlays"]);
/// backend.answer("my_width", marquetry_lower::query::Answer::Number(32));
/// let session = Session::new();
/// session.add_backend(backend)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backend {
    pub(super) config: Config,
    pub(super) hooks: Hooks,
    pub(super) answers: Vec<(Arc<str>, Answer)>,
    choose: Option<Choice>,
}

/// Which tables jobs with some params see.
#[derive(Clone)]
struct Choice(Arc<ChooseFn>);

type ChooseFn = dyn Fn(&Params) -> Option<Vec<Arc<str>>> + Send + Sync;

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("by params")
    }
}

impl Backend {
    /// A back-end for a target; jobs for GPUs see the device table.
    pub fn new(name: &str, target: Target) -> Self {
        let device = target.is_device();
        let config = Config::new(name.into(), target, Vec::new(), device);
        Backend { config, hooks: Hooks::new(), answers: Vec::new(), choose: None }
    }

    /// A back-end for kernels on the cores of this machine: native code that sees the device table.
    pub fn cpu_device(name: &str, target: Target) -> Self {
        let mut backend = Self::new(name, target);
        backend.config.device = true;
        backend
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.config.backend
    }

    /// Its own tables, first asked first; the device table and base come after them.
    pub fn tables(&mut self, names: &[&str]) -> &mut Self {
        self.config.tables = names.iter().map(|&name| name.into()).collect();
        self
    }

    /// Its own tables, where they depend on the params of a config: those that params of this type choose, first asked
    /// first. What they are for other params, or none, [`Self::tables`] says.
    ///
    /// ```
    /// use marquetry::compile::Target;
    /// use marquetry::lower::job::OptLevel;
    /// use marquetry::session::{Backend, Params};
    /// #[derive(PartialEq, Eq, Hash, Debug)]
    /// struct Fast(bool);
    /// let mut backend = Backend::new("gpu", Target::parse("ptx", OptLevel::Default)?);
    /// backend.tables_for(|fast: &Fast| if fast.0 { vec!["fast_math".into()] } else { vec![] });
    /// assert!(backend.config().tables.is_empty());
    /// assert_eq!(backend.config_for(Params::new(Fast(true))).tables, ["fast_math".into()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tables_for<P: 'static>(
        &mut self,
        choose: impl Fn(&P) -> Vec<Arc<str>> + Send + Sync + 'static,
    ) -> &mut Self {
        self.choose = Some(Choice(Arc::new(move |params| params.get::<P>().map(&choose))));
        self
    }

    /// The tables in which the device library finds what back-ends supply to it (`gpu_malloc` and so on), first asked
    /// first, in place of `standard`: this project's own, which may be named as the last one.
    pub fn provider(&mut self, names: &[&str]) -> &mut Self {
        self.config.provider = names.iter().map(|&name| name.into()).collect();
        self
    }

    /// Its knobs, where a config says nothing else.
    pub fn params(&mut self, params: Params) -> &mut Self {
        self.config.params = params;
        self
    }

    /// What code gets that asks for a key. Keys that [every target answers](marquetry_lower::query::KEYS) cannot be
    /// replaced.
    pub fn answer(&mut self, key: &str, answer: Answer) -> &mut Self {
        self.answers.push((key.into(), answer));
        self
    }

    /// Inserts a step on whole units. It runs on the thread that compiles, under no lock; what it leaves is verified.
    pub fn hook(
        &mut self,
        anchor: Anchor,
        name: &str,
        run: impl Fn(&mut HookContext<'_>) -> Result<(), Vec<Diagnostic>> + Send + Sync + 'static,
    ) -> &mut Self {
        self.hooks.at(anchor, name, run);
        self
    }

    /// Inserts or replaces a pass of the optimiser.
    ///
    /// # Errors
    /// There is no pass of the name that `place` mentions.
    pub fn pass(
        &mut self,
        place: Place,
        name: &str,
        run: impl Fn(&mut Body, &mut PassContext) -> bool + Send + Sync + 'static,
    ) -> Result<&mut Self, UnknownPass> {
        self.hooks.pass(place, name, run)?;
        Ok(self)
    }

    /// A config with everything as usual.
    pub fn config(&self) -> Config {
        self.config_for(self.config.params.clone())
    }

    /// A config with these params, and the [tables](Self::tables_for) that they choose.
    pub fn config_for(&self, params: Params) -> Config {
        let chosen = self.choose.as_ref().and_then(|choice| (choice.0)(&params));
        let mut config = self.config.clone();
        config.tables = chosen.unwrap_or(config.tables);
        config.params = params;
        config
    }
}
