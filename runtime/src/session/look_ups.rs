//! Look-ups that are repeated: what a call means is found out once per config and state of the program, and read from then
//! on.
//!
//! [`Session::job_of`] asks here. A host that dispatches the same calls over and over, as a language runtime does at its call
//! sites, keeps the [`LookUps`] of a config and the ids of its calls: then a look-up takes no lock and allocates nothing.

use super::config::Config;
use super::jobs::{instance, unresolved, view};
use super::{Job, Session, SessionError};
use marquetry_ir::program::{Program, World};
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::memo::{Memo, SignatureId};
use marquetry_lower::dispatch::resolve::{Answer, LookUp, look_up};
use marquetry_lower::dispatch::view::View;
use std::sync::Arc;

/// What calls mean under one config in one world, each looked up when it is first asked for.
///
/// ```
/// use marquetry::compile::Target;
/// use marquetry::ir::types::Type;
/// use marquetry::lower::dispatch::resolve::Answer;
/// use marquetry::lower::job::OptLevel;
/// use marquetry::session::{Backend, Session};
///
/// let session = Session::new();
/// let native = session.add_backend(Backend::new("native", Target::parse("native", OptLevel::Default)?))?;
/// session.define("kind.mq", "method kind(x: i32) -> i32 {\nentry:\n    return i32 1\n}\n")?;
/// let look_ups = session.look_ups(&native)?;
/// let call = look_ups.intern("kind", &[Type::I32]).ok_or("too many calls")?;
/// let meant = look_ups.answer(call).ok_or("another config's call")?;
/// assert!(matches!(meant.answer, Answer::Method(_)));
///
/// session.define("kind.mq", "method kind(x: f32) -> i32 {\nentry:\n    return i32 2\n}\n")?;
/// assert!(look_ups.world() < session.world(), "these stay as they are");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LookUps {
    program: Arc<Program>,
    config: Config,
    view: View,
    memo: Memo,
}

impl LookUps {
    pub(super) fn new(program: Arc<Program>, config: &Config) -> Result<Self, SessionError> {
        let view = view(&program, config)?;
        let memo = Memo::new(&program, &view);
        Ok(LookUps { program, config: config.clone(), view, memo })
    }

    /// The world whose methods are asked.
    pub fn world(&self) -> World {
        self.program.world()
    }

    /// Whether they are about this state of a program.
    pub(super) fn is_of(&self, program: &Arc<Program>) -> bool {
        Arc::ptr_eq(&self.program, program)
    }

    /// The id of a call with arguments of these types of the program, of these look-ups; none if there are too many.
    pub fn intern(&self, name: &str, arguments: &[Type]) -> Option<SignatureId> {
        self.memo.intern(name, arguments)
    }

    /// What a call means, and in which worlds; none for an id of other look-ups.
    pub fn answer(&self, call: SignatureId) -> Option<LookUp> {
        self.memo.look_up(&self.program, call)
    }

    /// The job for a call with arguments of these types of the program.
    ///
    /// # Errors
    /// No method fits, or several do.
    pub fn job(&self, name: &str, arguments: &[Type]) -> Result<Job, SessionError> {
        let LookUps { program, config, view, .. } = self;
        let found = self.intern(name, arguments).and_then(|call| self.answer(call));
        let answer: Answer = found.unwrap_or_else(|| look_up(program, view, name, arguments)).answer;
        match instance(program, answer, arguments) {
            Some(entry) => Ok(Job { entry, config: config.clone(), world: program.world() }),
            None => Err(unresolved(program, view, name, arguments)),
        }
    }
}

impl Session {
    /// Look-ups under a config in the present world. They stay in it: after a change, ask for new ones.
    ///
    /// # Errors
    /// The config lists tables that there are not.
    pub fn look_ups(&self, config: &Config) -> Result<Arc<LookUps>, SessionError> {
        let program = {
            let state = self.shared.lock();
            if let Some(known) = state.look_ups.get(config) {
                return Ok(known.clone());
            }
            state.program.clone()
        };
        let fresh = Arc::new(LookUps::new(program, config)?);
        let mut state = self.shared.lock();
        if !fresh.is_of(&state.program) {
            // The program changed meanwhile: these are as good as any that were asked for before.
            return Ok(fresh);
        }
        Ok(state.look_ups.entry(config.clone()).or_insert(fresh).clone())
    }
}
