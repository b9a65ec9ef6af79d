//! Changes of the program: definitions, redefinitions, deletions. Each is made as a whole or not at all.

use super::backend::Backend;
use super::config::Config;
use super::jobs::view;
use super::state::Published;
use super::{Session, SessionError, Watcher};
use marquetry_ir::diag::{self, Diagnostic, has_errors};
use marquetry_ir::entity::Method;
use marquetry_ir::program::{MethodData, OpenTable, Program, World};
use marquetry_ir::text;
use marquetry_ir::verify::verify_program_since;
use marquetry_lower::dispatch::lints::{disagreeing_since, shadowed_in, shadowed_since};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Session {
    /// Adds what a text defines: all of it, or nothing if there is a mistake.
    ///
    /// # Errors
    /// The mistakes.
    pub fn define(&self, file: &str, text: &str) -> Result<(), SessionError> {
        self.define_with(|program| text::parse(program, file, text))
    }

    /// As [`Self::define`]; methods take the place of those in their tables that take the same.
    ///
    /// # Errors
    /// The mistakes.
    pub fn redefine(&self, file: &str, text: &str) -> Result<(), SessionError> {
        self.define_with(|program| text::parse_redefining(program, file, text))
    }

    fn define_with(&self, mut read: impl FnMut(&mut Program) -> Vec<Diagnostic>) -> Result<(), SessionError> {
        self.change(|program| {
            let before = program.world();
            let mut diagnostics = read(program);
            if !has_errors(&diagnostics) {
                diagnostics = mistakes_since(program, before);
            }
            sound(program, diagnostics)
        })
    }

    /// Adds a method that was built to a table, in place of the one there that takes the same, if there is one. Its types are
    /// those of the [program](Self::snapshot); where it needs new ones, [`change`](Self::change) makes them.
    ///
    /// ```
    /// use marquetry::compile::Target;
    /// use marquetry::ir::body::Body;
    /// use marquetry::ir::builder::{BuilderContext, FunctionBuilder};
    /// use marquetry::ir::program::{MethodData, OpenTable};
    /// use marquetry::ir::signature::Signature;
    /// use marquetry::ir::types::Type;
    /// use marquetry::lower::job::OptLevel;
    /// use marquetry::session::{Backend, Session};
    ///
    /// let session = Session::new();
    /// let native = session.add_backend(Backend::new("native", Target::parse("native", OptLevel::Default)?))?;
    /// let (program, signature) = (session.snapshot(), Signature::new([Type::I64], [Type::I64]));
    /// let (mut body, mut context) = (Body::new(), BuilderContext::new());
    /// let mut b = FunctionBuilder::new(&mut body, &program.types, &signature, &mut context);
    /// let entry = b.create_block();
    /// b.append_block_params_for_function_params(entry);
    /// b.switch_to_block(entry);
    /// b.seal_block(entry);
    /// let x = b.block_params(entry)[0];
    /// let square = b.ins().mul(x, x);
    /// b.ins().ret(&[square]);
    /// b.finalize()?;
    ///
    /// session.define_method(OpenTable::BASE, &MethodData::function("square", signature, body))?;
    /// let results = session.compile(&session.job("square", &native)?)?.call(&mut [12i64.into()])?.returned()?;
    /// assert_eq!(results[0].get(), Some(144i64));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The table does not exist; the method is malformed, or an overlay that returns something else than what it replaces.
    pub fn define_method(&self, table: OpenTable, data: &MethodData) -> Result<Method, SessionError> {
        self.change(|program| {
            let before = program.world();
            let method = program.redefine_method(table, data.clone()).map_err(SessionError::Method)?;
            let diagnostics = mistakes_since(program, before);
            sound(program, diagnostics).map(|()| method)
        })
    }

    /// Ends a method; whether it was alive. Jobs of earlier worlds still see it.
    ///
    /// # Errors
    /// The method lives in a table of the library.
    pub fn delete(&self, method: Method) -> Result<bool, SessionError> {
        self.change(|program| program.delete_method(method).map_err(SessionError::Private))
    }

    /// Changes the program: all of it, or nothing if there is an error. The function works on a copy, under no lock, and
    /// is called again if someone else was faster.
    ///
    /// # Errors
    /// The function's.
    pub fn change<T, E>(&self, mut change: impl FnMut(&mut Program) -> Result<T, E>) -> Result<T, E> {
        loop {
            let base = self.snapshot();
            let mut program = Program::clone(&base);
            let result = change(&mut program)?;
            let Some(Published { program, closed }) = self.shared.publish(&base, program) else { continue };
            self.invalidations.fetch_add(closed.len() as u64, Ordering::Relaxed);
            if let Some(watcher) = &self.watcher {
                closed.iter().for_each(|key| watcher.invalidated(&key.0, &key.1));
                self.warn_since(&**watcher, &program, base.world());
            }
            return Ok(result);
        }
    }
}

impl Session {
    /// What is probably not meant about what jobs of a config see: overlays that hide more specific methods of the tables
    /// below theirs.
    ///
    /// # Errors
    /// The config lists tables that there are not.
    pub fn warnings(&self, config: &Config) -> Result<Vec<Diagnostic>, SessionError> {
        let program = self.snapshot();
        Ok(shadowed_in(&program, &view(&program, config)?))
    }

    /// Tells what is probably not meant about what changed since a world, for each back-end.
    fn warn_since(&self, watcher: &dyn Watcher, program: &Program, world: World) {
        if world == program.world() {
            return;
        }
        let backends: Vec<Arc<Backend>> = self.shared.lock().backends.values().cloned().collect();
        let mut configs: Vec<Config> = backends.iter().map(|backend| backend.config()).collect();
        configs.sort_unstable_by(|a, b| a.backend.cmp(&b.backend));
        for config in configs {
            // The tables of each were made when it was added.
            let Ok(view) = view(program, &config) else { continue };
            tell(watcher, &config, program, &shadowed_since(program, &view, world));
        }
    }
}

/// Tells warnings, if there are any.
pub(super) fn tell(watcher: &dyn Watcher, config: &Config, program: &Program, warnings: &[Diagnostic]) {
    if !warnings.is_empty() {
        watcher.warned(config, warnings, &diag::render(warnings, &program.files));
    }
}

/// What is wrong with what changed since a world.
fn mistakes_since(program: &Program, world: World) -> Vec<Diagnostic> {
    let mut mistakes = verify_program_since(program, world);
    if !has_errors(&mistakes) {
        mistakes.extend(disagreeing_since(program, world));
    }
    mistakes
}

/// Nothing, or the error of a definition with these mistakes.
fn sound(program: &Program, diagnostics: Vec<Diagnostic>) -> Result<(), SessionError> {
    if !has_errors(&diagnostics) {
        return Ok(());
    }
    let text = diag::render(&diagnostics, &program.files);
    Err(SessionError::Definition(diagnostics, text))
}
