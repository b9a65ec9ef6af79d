//! Jobs: which instance a call means under a config, in the present world.

use super::config::Config;
use super::{Job, Session, SessionError};
use marquetry_ir::entity::Table;
use marquetry_ir::program::Program;
use marquetry_ir::signature::Signature;
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::explain;
use marquetry_lower::dispatch::resolve::Answer;
use marquetry_lower::dispatch::view::{ListError, View, overlays, overlays_present, provider};
use marquetry_lower::job::JobEntry;
use std::sync::Arc;

impl Session {
    /// The job for a call in the present world: `name(TYPE, ...)`, or a name alone where the methods without type
    /// variables that the config can see all take the same.
    ///
    /// # Errors
    /// No method fits, or several do.
    pub fn job(&self, call: &str, config: &Config) -> Result<Job, SessionError> {
        let program = self.snapshot();
        let view = view(&program, config)?;
        let name = call.trim();
        let (name, arguments): (Arc<str>, Vec<Type>) = if name.contains('(') {
            let mut copy = Program::clone(&program);
            let parsed = text::parse_call(&mut copy, name).map_err(SessionError::NotFound)?;
            match copy.types.len() == program.types.len() {
                true => parsed,
                // Types that the call is the first to mention are made in the program.
                false => self.change(|p| text::parse_call(p, name).map_err(SessionError::NotFound))?,
            }
        } else {
            let mut params: Vec<&[Type]> = view
                .candidates(&program, name)
                .map(|method| program.method(method))
                .filter(|data| !data.is_generic())
                .map(|data| &data.signature.params[..])
                .collect();
            params.sort_unstable();
            params.dedup();
            match params[..] {
                [only] => (name.into(), only.to_vec()),
                _ => return Err(SessionError::NotFound(explain::undecided(&program, &view, name))),
            }
        };
        self.job_of(&name, &arguments, config)
    }

    /// The job for a call with arguments of these types of the program, in the present world.
    ///
    /// # Errors
    /// No method fits, or several do.
    pub fn job_of(&self, name: &str, arguments: &[Type], config: &Config) -> Result<Job, SessionError> {
        self.look_ups(config)?.job(name, arguments)
    }
}

/// The stack of tables of a config.
pub(super) fn view(program: &Program, config: &Config) -> Result<View, SessionError> {
    let backend = &config.backend;
    let failed = |role: &str, error: ListError| {
        SessionError::NotFound(format!("{error}, {role} of the back-end '{backend}'"))
    };
    let tables = overlays(program, &config.tables).map_err(|error| failed("one", error))?;
    if !config.device {
        return Ok(View::native(&tables).with_host_policy(config.host_policy));
    }
    let provider = provider(program, &config.provider);
    let provider = provider.map_err(|error| failed("one of the runtime provider", error))?;
    Ok(View::device(&tables).with_provider(&provider))
}

/// The stack of these tables; those that do not exist have no methods.
pub(super) fn view_of(program: &Program, tables: &[&str], provider: &[&str], device: bool) -> View {
    let tables = overlays_present(program, tables);
    if !device {
        return View::native(&tables);
    }
    let provider: Vec<Table> = provider.iter().filter_map(|name| program.find_table(name)).collect();
    View::device(&tables).with_provider(&provider)
}

/// The instance that a look-up gave.
pub(super) fn instance(program: &Program, answer: Answer, arguments: &[Type]) -> Option<JobEntry> {
    let Answer::Method(method) = answer else { return None };
    let generic = program.method(method).is_generic();
    Some(JobEntry { method, arguments: generic.then(|| arguments.into()) })
}

pub(super) fn unresolved(program: &Program, view: &View, name: &str, arguments: &[Type]) -> SessionError {
    let message = explain::unresolved(program, &program.types, view, name, arguments);
    let call = format!("{name}{}", Signature::new(arguments, []).display(&program.types));
    SessionError::NotFound(if message.is_empty() { format!("no method for {call}") } else { message })
}
