//! Telling the provider of exceptions, where it wants to know.
//!
//! The mailbox and the table of places tell the host what was thrown and where, at every debug level. A provider may be
//! told besides, on the device:
//!
//! | debug level | functions that are called, as far as the provider supplies them |
//! |---|---|
//! | none | `gpu_signal_exception` |
//! | lines | `gpu_report_exception` with the kind, then `gpu_signal_exception` |
//! | full | `gpu_report_exception_name` with the kind, `gpu_report_exception_frame` for every frame that is known during compilation, then `gpu_signal_exception` |
//!
//! Only the first work-item of a launch that throws reports, so that reports are never mixed; every one that throws
//! signals, last, in the kernel itself. Without the functions of the full level that of the lines is called, if there is
//! one. Where a function has several callers, the last frame that is certain is followed by one that says so and by one for
//! each of them; where there are more than are named, one that says so is the last. What is supplied must not throw: exceptions are lowered when it is linked.

use super::link::Linker;
use super::provider::supplies;
use crate::exceptions::Lowered;
use crate::exceptions::places::Locator;
use crate::failure::Failure;
use crate::fresh::fresh_name;
use crate::job::{DebugLevel, ThrowPolicy};
use crate::legal::Site;
use marquetry_ir::body::{Body, Symbol};
use marquetry_ir::entity::{Block, Func, Global, Inst, Value};
use marquetry_ir::library::intrinsic;
use marquetry_ir::op::Op;
use marquetry_ir::program::{GlobalData, Inlining, MethodKind};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Span;
use marquetry_ir::types::{Space, Type, Types};
use marquetry_ir::unit::{Function, Unit};
use rustc_hash::FxHashMap;
use std::sync::Arc;

const REPORT: &str = "gpu_report_exception";
const NAME: &str = "gpu_report_exception_name";
const FRAME: &str = "gpu_report_exception_frame";
const SIGNAL: &str = "gpu_signal_exception";

/// What the frame says that stands before the candidates.
const SEVERAL: &str = "multiple call sites";
/// What the frame says that stands where the list is cut.
const FURTHER: &str = "further callers";

/// What the provider may supply, and the code depends on where it throws.
pub(crate) fn link_names(level: DebugLevel, policy: ThrowPolicy) -> &'static [&'static str] {
    match (policy, level) {
        (ThrowPolicy::Report, DebugLevel::Full) => &[NAME, FRAME, REPORT, SIGNAL],
        (ThrowPolicy::Report, DebugLevel::Lines) => &[REPORT, SIGNAL],
        _ => &[SIGNAL],
    }
}

/// How much is reported.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Detail {
    Kind,
    Frames,
}

/// Adds the calls; whether there are any to link.
///
/// # Errors
/// A text cannot be made.
pub fn run(
    lowered: &mut Lowered,
    linker: &Linker<'_>,
    level: DebugLevel,
    policy: ThrowPolicy,
) -> Result<bool, Failure> {
    let exits = std::mem::take(&mut lowered.exits);
    if exits.claims.is_empty() {
        return Ok(false);
    }
    let wants = |name: &str| {
        link_names(level, policy).contains(&name)
            && intrinsic(name).is_some_and(|intrinsic| supplies(linker.program(), linker.view(), intrinsic))
    };
    let detail = match () {
        () if wants(NAME) && wants(FRAME) => Some(Detail::Frames),
        () if wants(REPORT) => Some(Detail::Kind),
        () => None,
    };
    if let Some(detail) = detail {
        let report = add_report(&mut lowered.unit, &lowered.sites, detail)?;
        for claim in &exits.claims {
            let body = &mut lowered.unit.funcs[claim.func].body;
            let call = make_call(body, Symbol::Func(report), &[claim.status]);
            body.insert_inst_before(call, claim.end);
        }
    }
    let signals = wants(SIGNAL);
    for &(func, leave) in exits.leaves.iter().filter(|_| signals) {
        let body = &mut lowered.unit.funcs[func].body;
        let call = make_call(body, Symbol::Name(SIGNAL.into()), &[]);
        body.set_origin(call, body.origin(leave));
        body.insert_inst_before(call, leave);
    }
    Ok(signals || detail.is_some())
}

fn make_call(body: &mut Body, callee: Symbol, args: &[Value]) -> Inst {
    let callee = body.make_symbol(callee);
    body.make_inst(Op::Call, Type::UNKNOWN, args, callee.as_u32())
}

/// One line of a report: which function gets it, and what it says.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Line {
    Kind(Arc<str>),
    Name(Arc<str>),
    Frame { function: Arc<str>, file: Arc<str>, line: usize },
}

/// Places that are reported alike, and their statuses.
type Alike = (Vec<Line>, Vec<u128>);

/// Adds a function that reports what a status stands for.
fn add_report(unit: &mut Unit, sites: &[Site], detail: Detail) -> Result<Func, Failure> {
    let reports = reports(unit, sites, detail);
    let name = fresh_name(unit, "mq_report");
    let mut texts = Texts::default();
    let mut body = Body::new();
    let entry = body.make_block();
    body.append_block(entry);
    let status = body.append_block_param(entry, Type::I32);
    body.names.set_value(status, "status");
    let (mut cases, mut blocks) = (Vec::new(), Vec::new());
    for (lines, statuses) in &reports {
        let block = append_report(unit, &mut body, &mut texts, lines)?;
        cases.extend(statuses);
        blocks.extend(statuses.iter().map(|_| block));
    }
    let nothing = append_report(unit, &mut body, &mut texts, &[])?;
    append_switch(&mut body, entry, status, &cases, &blocks, nothing);
    Ok(unit.funcs.push(Function {
        name,
        kind: MethodKind::Function,
        signature: Signature::new([Type::I32], []),
        body,
        inlining: Inlining::Never,
        file: None,
        span: Span::NOWHERE,
    }))
}

/// What is reported of places; those that are reported alike are one.
fn reports(unit: &Unit, sites: &[Site], detail: Detail) -> Vec<Alike> {
    let mut reports: Vec<Alike> = Vec::new();
    let mut numbers: FxHashMap<Vec<Line>, usize> = FxHashMap::default();
    let mut places = Places(Locator::new(&unit.files));
    for (site, status) in sites.iter().zip(1_u128..) {
        let lines = match detail {
            Detail::Kind => vec![Line::Kind(site.kind.clone())],
            Detail::Frames => places.lines(site),
        };
        let number = *numbers.entry(lines.clone()).or_insert_with(|| {
            reports.push((lines, Vec::new()));
            reports.len() - 1
        });
        if let Some((_, statuses)) = reports.get_mut(number) {
            statuses.push(status);
        }
    }
    reports
}

/// Adds a block that reports lines and returns.
fn append_report(
    unit: &mut Unit,
    body: &mut Body,
    texts: &mut Texts,
    lines: &[Line],
) -> Result<Block, Failure> {
    let block = body.make_block();
    body.append_block(block);
    for (line, number) in lines.iter().zip(0_u32..) {
        let (callee, args) = match line {
            Line::Kind(kind) => (REPORT, vec![texts.address(unit, body, block, kind)?]),
            Line::Name(kind) => (NAME, vec![texts.address(unit, body, block, kind)?]),
            Line::Frame { function, file, line } => {
                let function = texts.address(unit, body, block, function)?;
                let file = texts.address(unit, body, block, file)?;
                let [number, line] =
                    [number.into(), *line as u128].map(|n| body.make_scalar(Type::I32, n & 0xffff_ffff));
                (FRAME, vec![number, function, file, line])
            }
        };
        let call = make_call(body, Symbol::Name(callee.into()), &args);
        body.append_inst(call, block);
    }
    let leave = body.make_inst(Op::Return, Type::UNKNOWN, &[], 0);
    body.append_inst(leave, block);
    Ok(block)
}

/// Ends a block by going to the block of a value's case.
fn append_switch(body: &mut Body, at: Block, value: Value, cases: &[u128], blocks: &[Block], other: Block) {
    let table = body.make_switch(cases);
    let choose = body.make_inst(Op::Switch, Type::UNKNOWN, &[value], table.as_u32());
    let targets = std::iter::once(&other).chain(blocks);
    let edges: Vec<_> = targets.map(|&block| body.make_block_call(block, &[])).collect();
    body.set_targets(choose, &edges);
    body.append_inst(choose, at);
}

/// What is reported of places.
struct Places<'a>(Locator<'a>);

impl Places<'_> {
    fn frame(&mut self, function: &Arc<str>, file: Option<u32>, span: Span) -> Line {
        let (file, line) = match self.0.location(file, span) {
            Some(location) => (location.file, location.line),
            None => ("".into(), 0),
        };
        Line::Frame { function: function.clone(), file, line }
    }

    fn lines(&mut self, site: &Site) -> Vec<Line> {
        let mut lines = vec![Line::Name(site.kind.clone())];
        lines.push(self.frame(&site.function, site.file, site.span));
        for caller in &site.callers {
            lines.push(self.frame(&caller.function, caller.file, caller.span));
        }
        if !site.candidates.is_empty() {
            lines.push(Line::Frame { function: SEVERAL.into(), file: "".into(), line: 0 });
        }
        for caller in site.candidates.iter() {
            lines.push(self.frame(&caller.function, caller.file, caller.span));
        }
        if site.more {
            lines.push(Line::Frame { function: FURTHER.into(), file: "".into(), line: 0 });
        }
        lines
    }
}

/// Globals that hold texts, each once.
#[derive(Default)]
struct Texts(FxHashMap<Arc<str>, Global>);

impl Texts {
    fn address(
        &mut self,
        unit: &mut Unit,
        body: &mut Body,
        block: Block,
        text: &Arc<str>,
    ) -> Result<Value, Failure> {
        let global = match self.0.get(text) {
            Some(&global) => global,
            None => text_of(unit, text)?,
        };
        self.0.insert(text.clone(), global);
        let symbol = body.make_symbol(Symbol::Global(global));
        let pointer = Type::pointer(Space::Constant);
        let address = body.make_inst(Op::GlobalAddress, pointer, &[], symbol.as_u32());
        body.make_results(address, &[pointer]);
        body.append_inst(address, block);
        body.first_result(address).ok_or_else(|| Failure::Internal("an address has no result".into()))
    }
}

/// A global that holds a text and a zero byte.
fn text_of(unit: &mut Unit, text: &str) -> Result<Global, Failure> {
    // A zero byte of the text would end it for whoever reads it.
    let mut bytes: Vec<u8> = text.bytes().take_while(|&byte| byte != 0).collect();
    bytes.push(0);
    let types: &mut Types = Arc::make_mut(&mut unit.types);
    let ty = types
        .array(Type::I8, bytes.len() as u64)
        .map_err(|error| Failure::Internal(format!("the text of '{text}': {error}")))?;
    let name = fresh_name(unit, &format!("mq_text_{}", unit.globals.len()));
    Ok(unit.globals.push(GlobalData::new(&name, ty, Space::Constant).with_init(&bytes)))
}
