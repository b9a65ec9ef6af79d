//! Jobs: which instance a call means under a config, in the present world.

use super::config::Config;
use super::{Job, Session, SessionError};
use marquetry_ir::entity::Table;
use marquetry_ir::program::Program;
use marquetry_ir::signature::Signature;
use marquetry_ir::text;
use marquetry_ir::types::Type;
use marquetry_lower::dispatch::explain;
use marquetry_lower::dispatch::resolve::{Answer, look_up};
use marquetry_lower::dispatch::view::View;
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
            // Types that the call is the first to mention are made in the program.
            self.change(|program| text::parse_call(program, name).map_err(SessionError::NotFound))?
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
        let program = self.snapshot();
        let view = view(&program, config)?;
        let answer = look_up(&program, &view, name, arguments).answer;
        match instance(&program, answer, arguments) {
            Some(entry) => Ok(Job { entry, config: config.clone(), world: program.world() }),
            None => Err(unresolved(&program, &view, name, arguments)),
        }
    }
}

/// The stack of tables of a config.
pub(super) fn view(program: &Program, config: &Config) -> Result<View, SessionError> {
    let missing = |name: &str, role| {
        let message = format!("there is no table '{name}', {role} of the back-end '{}'", config.backend);
        SessionError::NotFound(message)
    };
    let roles = [(&config.tables, "one"), (&config.provider, "one of the runtime provider")];
    for (names, role) in &roles[..if config.device { 2 } else { 1 }] {
        if let Some(name) = names.iter().find(|name| program.find_table(name).is_none()) {
            return Err(missing(name, role));
        }
    }
    Ok(view_of(program, &config.tables, &config.provider, config.device))
}

/// The stack of these tables; those that do not exist have no methods.
pub(super) fn view_of<S: AsRef<str>>(program: &Program, tables: &[S], provider: &[S], device: bool) -> View {
    let find = |names: &[S]| -> Vec<Table> {
        names.iter().filter_map(|name| program.find_table(name.as_ref())).collect()
    };
    let tables = find(tables);
    if device { View::device(&tables).with_provider(&find(provider)) } else { View::native(&tables) }
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
