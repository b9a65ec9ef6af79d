//! Items: structs, globals, externs, methods and kernels.

use crate::diag::Code;
use crate::entity::Table;
use crate::library;
use crate::limits::{MAX_FIELDS, MAX_GLOBALS, MAX_METHODS, MAX_PARAMS, MAX_RESULTS};
use crate::program::{
    ExternData, GlobalData, Inlining, MethodData, MethodError, MethodKind, OpenTable, Variable,
};
use crate::signature::Signature;
use crate::span::Span;
use crate::text::lexer::{Kind, Token};
use crate::text::parser::{Failed, Parse, Parser, is_reserved, shortened};
use crate::types::{Type, TypeError};
use rustc_hash::FxHashSet;
use std::mem::replace;
use std::sync::Arc;

/// A method's header.
pub(super) struct Header<'t> {
    pub(super) name: Arc<str>,
    pub(super) span: Span,
    pub(super) params: Vec<(Token, &'t str, Type)>,
    pub(super) results: Vec<Type>,
    pub(super) variables: Vec<Variable>,
    pub(super) inlining: Inlining,
    consistent: bool,
}

impl<'t> Parser<'_, 't> {
    /// The whole text.
    pub(crate) fn items(&mut self) {
        while !self.at(Kind::End) {
            if self.item().is_err() {
                self.skip_item();
            }
        }
    }

    fn item(&mut self) -> Parse<()> {
        self.lines = false;
        self.variables.clear();
        self.abstracts = false;
        let word = if self.at(Kind::Name) { self.text(self.token) } else { "" };
        match word {
            "abstract" => self.abstract_type(),
            "impl" => self.implementation(),
            "struct" => self.structure(),
            "newtype" => self.newtype(),
            "global" => self.global(),
            "extern" => self.external(),
            "overlay" | "method" | "kernel" => self.method(),
            "device" => self.device_function(),
            _ => Err(self.expected(
                "'abstract', 'impl', 'struct', 'newtype', 'global', 'extern', 'overlay', 'method', 'kernel' or 'device'",
            )),
        }
    }

    fn structure(&mut self) -> Parse<()> {
        self.bump();
        let (name, span) = self.type_name("the name of a struct")?;
        self.type_variables(false)?;
        let supertype = self.supertype()?;
        self.expect(Kind::LeftBrace)?;
        let mut fields = Vec::new();
        let mut seen = FxHashSet::default();
        while !self.at(Kind::RightBrace) {
            if fields.len() == MAX_FIELDS {
                let message = format!("struct has more than {MAX_FIELDS} fields");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            let (field, field_span) = self.symbol("a field name or '}'")?;
            if !seen.insert(field.clone()) {
                self.error(Code::Redefined, field_span, format!("field '{field}' is there already"));
            }
            self.expect(Kind::Colon)?;
            fields.push((field, self.ty()?));
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::RightBrace, "',' or '}'")?;
        match self.define_struct(name, fields, supertype, false) {
            // Said where the field stands.
            Ok(()) | Err(TypeError::RepeatedField(_)) => Ok(()),
            Err(error) => {
                let redefined = matches!(error, TypeError::Redefined(_) | TypeError::Taken(_));
                let code = if redefined { Code::Redefined } else { Code::InvalidType };
                self.error(code, span, error.to_string());
                Ok(())
            }
        }
    }

    fn global(&mut self) -> Parse<()> {
        self.bump();
        let (name, span) = self.symbol("the name of a global")?;
        self.expect(Kind::Colon)?;
        let ty = self.ty()?;
        if !self.eat_word("in") {
            return Err(self.expected("'in' and an address space"));
        }
        let space = self.space()?;
        let align = if self.eat_word("align") { Some(self.alignment()?) } else { None };
        let init = if self.eat(Kind::Equals) { self.init(ty)? } else { None };
        let slots = if self.eat_word("with") { self.slots()? } else { Vec::new() };
        let file = Some(self.file);
        if self.program.globals.len() >= MAX_GLOBALS {
            self.error(Code::Limit, span, format!("program has more than {MAX_GLOBALS} globals"));
            self.stop();
            return Ok(());
        }
        let data = GlobalData { name, ty, space, align, init, slots, file, span };
        if let Err(old) = self.program.add_global(data) {
            let old = &self.program.globals[old];
            let (name, old_file, old_span) = (old.name.clone(), old.file, old.span);
            self.redefined(&format!("global '{name}'"), span, old_file, old_span);
        }
        Ok(())
    }

    fn external(&mut self) -> Parse<()> {
        self.bump();
        if !self.eat_word("func") {
            return Err(self.expected("'func'"));
        }
        let (name, span) = self.symbol("the name of a function of the host")?;
        let params = self.type_list(MAX_PARAMS, "parameters")?;
        let results = self.results()?;
        let is_renamed = self.eat_word("as");
        let at = if is_renamed { self.token.span() } else { span };
        let link_name: Arc<str> = if is_renamed { self.quoted_name()?.into() } else { name.clone() };
        if link_name.is_empty() {
            return Err(self.error(Code::Literal, at, "found an empty link name, expected that of a symbol"));
        }
        let signature = Signature { params, results };
        let file = Some(self.file);
        if self.program.externs.len() >= MAX_GLOBALS {
            self.error(Code::Limit, span, format!("program has more than {MAX_GLOBALS} extern functions"));
            self.stop();
            return Ok(());
        }
        if let Err(old) = self.program.add_extern(ExternData { name, link_name, signature, file, span }) {
            let old = &self.program.externs[old];
            let (name, old_file, old_span) = (old.name.clone(), old.file, old.span);
            self.redefined(&format!("extern function '{name}'"), span, old_file, old_span);
        }
        Ok(())
    }

    /// Reports that something exists already.
    fn redefined(&mut self, what: &str, span: Span, old_file: Option<u32>, old_span: Span) {
        let mut error = self.diagnose(Code::Redefined, span, format!("{what} is defined already"));
        let other = old_file.and_then(|file| self.program.files.get(file as usize));
        error = match other {
            Some(_) if old_file == Some(self.file) => error.with_label(old_span, "first defined here"),
            Some(other) => {
                let (line, column) = other.line_column(old_span.start);
                error.with_note(format!("first defined at {}:{line}:{column}", other.name))
            }
            None => error.with_note("first defined by the host"),
        };
        self.report(error);
    }

    /// `(TYPE, ...)`
    pub(crate) fn type_list(&mut self, limit: usize, what: &str) -> Parse<Vec<Type>> {
        self.expect(Kind::LeftParen)?;
        let mut types = Vec::new();
        while !self.at(Kind::RightParen) {
            if types.len() == limit {
                let message = format!("there are more than {limit} {what}");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            types.push(self.ty()?);
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::RightParen, "',' or ')'")?;
        Ok(types)
    }

    /// `-> TYPE`, `-> (TYPE, ...)` or nothing.
    pub(crate) fn results(&mut self) -> Parse<Vec<Type>> {
        if !self.eat(Kind::Arrow) {
            return Ok(Vec::new());
        }
        if self.at(Kind::LeftParen) {
            return self.type_list(MAX_RESULTS, "results");
        }
        Ok(vec![self.ty()?])
    }

    pub(super) fn header(&mut self) -> Parse<Header<'t>> {
        let (name, span) = self.symbol("the name of a method")?;
        self.type_variables(true)?;
        self.expect(Kind::LeftParen)?;
        let mut params = Vec::new();
        while !self.at(Kind::RightParen) {
            if params.len() == MAX_PARAMS {
                let message = format!("method has more than {MAX_PARAMS} parameters");
                return Err(self.error(Code::Limit, self.token.span(), message));
            }
            let token = self.expect_as(Kind::Name, "a parameter or ')'")?;
            self.expect(Kind::Colon)?;
            params.push((token, self.text(token), self.parameter_type()?));
            if !self.eat(Kind::Comma) {
                break;
            }
        }
        self.expect_as(Kind::RightParen, "',' or ')'")?;
        self.determined(&params);
        let results = self.results()?;
        let variables = self.variables.iter().map(|(_, variable)| variable.clone()).collect();
        let (inlining, consistent) = (Inlining::Auto, false);
        let mut header = Header { name, span, params, results, variables, inlining, consistent };
        loop {
            let token = self.token;
            let again = if self.eat_word("inline") {
                replace(&mut header.inlining, Inlining::Always) != Inlining::Auto
            } else if self.eat_word("noinline") {
                replace(&mut header.inlining, Inlining::Never) != Inlining::Auto
            } else if self.eat_word("consistent") {
                replace(&mut header.consistent, true)
            } else {
                return Ok(header);
            };
            if again {
                let found = self.text(token);
                let message =
                    format!("found '{found}', expected each attribute once, and 'inline' or 'noinline'");
                return Err(self.error(Code::Syntax, token.span(), message));
            }
        }
    }

    fn method(&mut self) -> Parse<()> {
        let table_name =
            if self.eat_word("overlay") { Some(self.symbol("the name of a table")?.0) } else { None };
        let kind = match () {
            () if self.eat_word("method") => MethodKind::Function,
            () if self.eat_word("kernel") => MethodKind::Kernel,
            () => return Err(self.expected("'method' or 'kernel'")),
        };
        let errors = self.diagnostics.len();
        let header = self.header()?;
        if !self.at(Kind::LeftBrace) {
            return Err(self.expected("'->', an attribute or '{'"));
        }
        let body = self.method_body(&header.params)?;
        if self.diagnostics.len() > errors {
            return Ok(());
        }
        let table = match table_name {
            Some(name) => self.program.intern_table(&name),
            None => Table::BASE,
        };
        let params: Vec<Type> = header.params.iter().map(|param| param.2).collect();
        let Header { name, span, results, variables, inlining, consistent, .. } = header;
        let file = Some(self.file);
        let signature = Signature { params, results };
        let data =
            MethodData { name, table, kind, signature, variables, body, inlining, consistent, file, span };
        self.add(table, data);
        Ok(())
    }

    /// Adds a method that was read, and reports why it cannot be added.
    pub(super) fn add(&mut self, table: Table, data: MethodData) {
        let span = data.span;
        let added = match (&self.library, OpenTable::try_from(table)) {
            (Some(_), _) => self.program.add_library_method(table, data),
            (None, Err(private)) => {
                self.error(Code::PrivateTable, span, private.to_string());
                return;
            }
            (None, Ok(table)) if self.redefining => self.program.redefine_method(table, data),
            (None, Ok(table)) => self.program.add_method(table, data),
        };
        match added {
            // The name, the variables and the table were looked at before.
            Ok(_) | Err(MethodError::Name | MethodError::NoTable(_) | MethodError::Unbound(_)) => {}
            Err(MethodError::LinkName(function)) => {
                let link = library::link_name(function);
                let message = format!(
                    "'{link}' is the link name of the device function '{function}': calls of it mean what the runtime \
                     provider supplies, never a method of base; supply it with 'overlay TABLE method {link}', in a \
                     table that the provider names"
                );
                self.error(Code::Reserved, span, message);
            }
            Err(MethodError::Exists(old)) => {
                let old = self.program.method(old);
                let signature = old.signature.display(&self.program.types).to_string();
                let what = format!("method '{}' of {}", old.name, shortened(&signature));
                let (old_file, old_span) = (old.file, old.span);
                self.redefined(&what, span, old_file, old_span);
            }
            Err(MethodError::TooMany) => {
                let message =
                    format!("program has more than {MAX_METHODS} methods, those of earlier worlds included");
                self.error(Code::Limit, span, message);
                self.stop();
            }
        }
    }

    /// Reports that a name means something else already.
    pub(crate) fn check_name(&mut self, token: Token, name: &str) -> Parse<()> {
        if !is_reserved(name) && self.variable(name).is_none() {
            return Ok(());
        }
        let message = format!("found '{name}', expected a name that is no type and no literal");
        let failed: Failed = self.error(Code::Reserved, token.span(), message);
        Err(failed)
    }
}
