//! `device func`: a pair of methods from one declaration.
//!
//! The host's half lives in base: it gives sentinels, so that host code which mentions the function links and does nothing
//! harmful. The device's half is an overlay in the device table: the body that is given, or a call of the link name
//! `gpu_NAME`. Since it adds to the device table, only the library's text may declare one.

use crate::body::{Body, Symbol};
use crate::diag::Code;
use crate::entity::{Table, Value};
use crate::library::link_name;
use crate::op::Op;
use crate::program::{Inlining, MethodData};
use crate::signature::Signature;
use crate::span::Span;
use crate::text::lexer::Kind;
use crate::text::parse_item::Header;
use crate::text::parser::{Parse, Parser};
use crate::types::Type;
use std::sync::Arc;

/// A device function as it was declared.
pub(crate) struct DeviceFunction {
    /// Its name.
    pub name: Arc<str>,
    /// What it takes and returns.
    pub signature: Signature,
    /// Names of the parameters.
    pub params: Vec<Arc<str>>,
    /// Whether its real body is a call of its link name.
    pub is_linked: bool,
    /// Where the text spelled its name.
    pub span: Span,
}

impl Parser<'_, '_> {
    /// `device func NAME(PARAMETERS) -> RESULTS ATTRIBUTES [{ BODY }]`
    pub(super) fn device_function(&mut self) -> Parse<()> {
        self.bump();
        if !self.eat_word("func") {
            return Err(self.expected("'func'"));
        }
        let errors = self.diagnostics.len();
        let header = self.header()?;
        let given = match self.at(Kind::LeftBrace) {
            true => Some(self.method_body(&header.params)?),
            false => None,
        };
        let (span, name) = (header.span, header.name.clone());
        if self.library.is_none() {
            let message = "'device func' adds to the device table, which is private: declare a method that gives a \
                 'sentinel', and overlay it in a table of your own";
            self.error(Code::PrivateTable, span, message);
            return Ok(());
        }
        if !header.variables.is_empty() {
            self.error(Code::Placement, span, "a device function has no type variables");
        }
        let functions = self.library.iter().flatten();
        if functions.map(|function| &function.name).any(|other| *other == name) {
            self.error(Code::Redefined, span, format!("device function '{name}' is declared already"));
        }
        if self.diagnostics.len() > errors {
            return Ok(());
        }
        let is_linked = given.is_none();
        let host = host_body(&header);
        let device = given.unwrap_or_else(|| linking_body(&header));
        let Header { params, results, inlining, .. } = header;
        let names = params.iter().map(|param| param.1.into()).collect();
        let signature = Signature::new(params.iter().map(|param| param.2).collect::<Vec<Type>>(), results);
        let halves = [(Table::BASE, host, Inlining::Always), (Table::DEVICE, device, inlining)];
        for (table, body, inlining) in halves {
            let plain = MethodData::function(&name, signature.clone(), body);
            self.add(table, MethodData { inlining, file: Some(self.file), span, ..plain });
        }
        if let Some(functions) = &mut self.library {
            functions.push(DeviceFunction { name, signature, params: names, is_linked, span });
        }
        Ok(())
    }
}

/// An empty body with its parameters.
fn body_with_params(header: &Header<'_>) -> (Body, Vec<Value>) {
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let mut values = Vec::with_capacity(header.params.len());
    for (_, name, ty) in &header.params {
        let value = body.append_block_param(entry, *ty);
        body.names.set_value(value, name);
        values.push(value);
    }
    (body, values)
}

/// Gives a sentinel for each result; where there is none, it still says that it is a host body.
fn host_body(header: &Header<'_>) -> Body {
    let (mut body, _) = body_with_params(header);
    let Some(entry) = body.entry() else { return body };
    let mut sentinel = |ty: Type| {
        let inst = body.make_inst(Op::Sentinel, ty, &[], 0);
        body.make_results(inst, &[ty]);
        body.append_inst(inst, entry);
        body.first_result(inst)
    };
    let mut results: Vec<Value> = header.results.iter().filter_map(|&ty| sentinel(ty)).collect();
    if results.is_empty() {
        sentinel(Type::I1);
    }
    results.truncate(header.results.len());
    let leave = body.make_inst(Op::Return, Type::I1, &results, 0);
    body.append_inst(leave, entry);
    body
}

/// Calls the link name.
fn linking_body(header: &Header<'_>) -> Body {
    let (mut body, params) = body_with_params(header);
    let Some(entry) = body.entry() else { return body };
    let callee = body.make_symbol(Symbol::Name(link_name(&header.name).into()));
    let call = body.make_inst(Op::Call, Type::I1, &params, callee.as_u32());
    body.make_results(call, &vec![Type::UNKNOWN; header.results.len()]);
    body.append_inst(call, entry);
    let results: Vec<Value> = body.results(call).collect();
    let leave = body.make_inst(Op::Return, Type::I1, &results, 0);
    body.append_inst(leave, entry);
    body
}
