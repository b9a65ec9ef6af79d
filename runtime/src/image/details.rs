//! What an entry needs to be called, and what it depends on: written when an image is made, read when the entry is asked
//! for.

use super::ImageError;
use super::format::{NONE, Part, Reader, Writer};
use super::read::Tables;
use super::write::Strings;
use marquetry_codegen::artifact::{Entry, Scheduling};
use marquetry_codegen::native::StackNeeds;
use marquetry_ir::program::{MethodKind, Program};
use marquetry_ir::signature::Signature;
use marquetry_ir::span::Location;
use marquetry_ir::text;
use marquetry_ir::types::{self, Scalar, Space, Type};
use marquetry_ir::unit::PrintFormat;
use marquetry_lower::exceptions::places::{ThrowFrame, ThrowPlace};
use marquetry_lower::hooks::Deferred;
use marquetry_lower::job::EntryConvention;
use marquetry_lower::legal::{Argument, EntryAbi, Passing, Role};
use marquetry_lower::runtime::Input;
use std::collections::HashMap;
use std::sync::Arc;

const PASSING: [Passing; 5] =
    [Passing::Ghost, Passing::Parts, Passing::Block, Passing::Reference, Passing::Pointer];

/// What an entry is once it was read.
pub(crate) struct Details {
    pub(crate) entry: Entry,
    /// What it returns, before lowering.
    pub(crate) results: Vec<Type>,
    pub(crate) formats: Vec<PrintFormat>,
    pub(crate) shared_bytes: u64,
    pub(crate) scheduling: Scheduling,
    /// The places that throw, by number.
    pub(crate) places: Arc<[ThrowPlace]>,
    /// What else the job asked for, in the order in which it did.
    pub(crate) children: Vec<Deferred>,
    /// The symbols that its code and data need, by number.
    pub(super) symbols: Vec<u32>,
    pub(crate) wrapper: u32,
    pub(crate) direct: u32,
}

/// A method with concrete arguments, and what it looked up.
pub(super) struct StoredInstance {
    pub(super) definition: u32,
    pub(super) arguments: Vec<Type>,
    pub(super) edges: Vec<StoredEdge>,
}

/// A look-up: no definition is nothing, two are an ambiguity.
pub(super) struct StoredEdge {
    pub(super) name: Arc<str>,
    pub(super) arguments: Vec<Type>,
    pub(super) answer: Vec<u32>,
}

/// Types by their spelling.
pub(super) struct Types<'a> {
    program: &'a Program,
    /// Where types are made that the program does not have.
    own: Option<Program>,
    known: HashMap<u32, Type>,
    /// Whether types that there are not are unknown ones, and not an error.
    is_lenient: bool,
}

impl<'a> Types<'a> {
    pub(super) fn new(program: &'a Program) -> Self {
        Types { program, own: None, known: HashMap::new(), is_lenient: false }
    }

    /// As [`Self::new`]; types that the program does not have are unknown ones.
    pub(super) fn lenient(program: &'a Program) -> Self {
        Types { is_lenient: true, ..Types::new(program) }
    }

    pub(super) fn table(&self) -> &types::Types {
        &self.own.as_ref().unwrap_or(self.program).types
    }

    pub(super) fn into_table(self) -> types::Types {
        self.own.map_or_else(|| self.program.types.clone(), |own| own.types)
    }

    /// The type of a spelling; none if there is no such type.
    pub(super) fn spelled(&mut self, text: &str) -> Option<Type> {
        if let Some(ty) = plain(text).or_else(|| self.table().find_struct(text)) {
            return Some(ty);
        }
        let own = self.own.get_or_insert_with(|| self.program.clone());
        match text::parse_call(own, &format!("f({text})")).ok()?.1[..] {
            [ty] => Some(ty),
            _ => None,
        }
    }

    /// Whether a type is the same as one of another table.
    pub(super) fn is_same(&mut self, ty: Type, others: &types::Types, other: Type) -> bool {
        let own = self.own.get_or_insert_with(|| self.program.clone());
        own.types.import(others, other).is_ok_and(|found| found == ty)
    }

    fn read(&mut self, tables: Tables<'_>, from: &mut Reader<'_>) -> Result<Type, ImageError> {
        let id = from.u32()?;
        if id == NONE {
            return Ok(Type::UNKNOWN);
        }
        if let Some(&known) = self.known.get(&id) {
            return Ok(known);
        }
        let text = string(tables, id, from)?;
        let ty = match self.spelled(text) {
            None if self.is_lenient => Type::UNKNOWN,
            found => found.ok_or_else(|| from.damaged(format!("there is no type '{text}'")))?,
        };
        self.known.insert(id, ty);
        Ok(ty)
    }

    fn list(&mut self, tables: Tables<'_>, from: &mut Reader<'_>) -> Result<Vec<Type>, ImageError> {
        from.list(4, |from| self.read(tables, from))
    }
}

/// A type that needs no table.
fn plain(text: &str) -> Option<Type> {
    let scalar = |name: &str| Scalar::ALL.into_iter().find(|scalar| scalar.name() == name);
    let inside = |head: &str| text.strip_prefix(head)?.strip_suffix('>');
    if let Some(space) = inside("ptr<") {
        return Space::ALL.into_iter().find(|known| known.name() == space).map(Type::pointer);
    }
    if let Some((lane, lanes)) = inside("vec<").and_then(|inner| inner.split_once(", ")) {
        return Type::vector(scalar(lane)?, lanes.parse().ok()?);
    }
    scalar(text).map(Type::scalar)
}

fn string<'a>(tables: Tables<'a>, id: u32, from: &Reader<'_>) -> Result<&'a str, ImageError> {
    let count = tables.count(Part::StringTable);
    if (id as usize) < count {
        return Ok(tables.string(id));
    }
    Err(from.damaged(format!("string {id} of {count}")))
}

fn optional<T>(
    from: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, ImageError>,
) -> Result<Option<T>, ImageError> {
    if from.flag()? { read(from).map(Some) } else { Ok(None) }
}

impl Details {
    /// Reads those of an entry.
    pub(super) fn read(
        tables: Tables<'_>,
        number: u32,
        types: &mut Types<'_>,
    ) -> Result<(Details, Vec<StoredInstance>), ImageError> {
        let row = tables.entry(number);
        let row = row.ok_or_else(|| ImageError::damaged(format!("entry {number}"), "it does not exist"))?;
        let name = tables.string(row.name);
        let bytes = row.details().and_then(|range| tables.part(Part::Details).get(range));
        let from = &mut Reader::new(bytes.unwrap_or_default(), name);
        let text = |from: &mut Reader<'_>| {
            let id = from.u32()?;
            string(tables, id, from)
        };
        let symbol = text(from)?.into();
        let params = types.list(tables, from)?;
        let results = types.list(tables, from)?;
        // What is called is laid out by these.
        if params.iter().chain(&results).any(|ty| ty.is_aggregate() || !ty.is_known()) {
            return Err(from.damaged("a lowered signature with types that are not lowered"));
        }
        let convention = from.one_of(&EntryConvention::ALL, "entry convention")?;
        let (status, mailbox, operands) = (from.flag()?, from.flag()?, from.u32()? as usize);
        let head = results.get(usize::from(status)..usize::from(status) + operands);
        if head.is_none_or(|words| words.iter().any(|&ty| ty != Type::I64)) {
            return Err(from.damaged(format!("{operands} operands of exceptions, which it does not return")));
        }
        let inputs =
            from.list(8, |from| Ok(Input { name: text(from)?.into(), ty: types.read(tables, from)? }))?;
        let state = optional(from, |from| types.read(tables, from))?;
        let arguments = from.list(27, |from| argument(tables, types, from))?;
        let lowered = params.len();
        let fits = |argument: &Argument| argument.first as usize + argument.parts.len() <= lowered;
        if let Some(bad) = arguments.iter().find(|argument| !fits(argument)) {
            return Err(from.damaged(format!("an argument from parameter {} on, of {lowered}", bad.first)));
        }
        let abi = EntryAbi {
            convention,
            status,
            operands,
            mailbox,
            inputs,
            state,
            arguments,
            ..EntryAbi::default()
        };
        let kind = if from.flag()? { MethodKind::Kernel } else { MethodKind::Function };
        let entry = Entry { symbol, kind, signature: Signature { params, results }, abi };
        let results = types.list(tables, from)?;
        let formats = from.list(8, |from| {
            Ok(PrintFormat { text: text(from)?.into(), types: types.list(tables, from)?.into() })
        })?;
        let (shared_bytes, waits) = (from.u64()?, from.flag()?);
        let mut bytes = || -> Result<usize, ImageError> {
            let bytes = from.u64()?;
            let limit = marquetry_codegen::native::MAX_STACK_BYTES;
            if bytes > limit {
                return Err(from.damaged(format!("{bytes} bytes of stack, the most is {limit}")));
            }
            Ok(bytes as usize)
        };
        let (fixed, reserve) = (bytes()?, bytes()?);
        let stack = StackNeeds { fixed, reserve, recursive: from.flag()? };
        if shared_bytes > marquetry_codegen::native::context::MAX_SHARED_BYTES {
            return Err(from.damaged(format!("{shared_bytes} bytes of shared memory")));
        }
        let checked = from.list(LEAST_PLACE, |from| place(tables, types, from))?.into();
        let places = from.list(LEAST_PLACE, |from| place(tables, types, from))?.into();
        let instances = from.list(12, |from| {
            let definition = from.u32()?;
            let arguments = types.list(tables, from)?;
            let edges = from.list(12, |from| {
                let name = text(from)?.into();
                let arguments = types.list(tables, from)?;
                let answer = from.list(4, Reader::u32)?;
                Ok(StoredEdge { name, arguments, answer })
            })?;
            Ok(StoredInstance { definition, arguments, edges })
        })?;
        let children = from.list(12, |from| {
            let name = text(from)?.into();
            let backend = match from.u32()? {
                NONE => None,
                id => Some(string(tables, id, from)?.into()),
            };
            Ok(Deferred { name, backend, arguments: types.list(tables, from)?.into() })
        })?;
        let symbols = from.list(4, |from| {
            let (symbol, count) = (from.u32()?, tables.count(Part::Symbols));
            match (symbol as usize) < count {
                true => Ok(symbol),
                false => Err(from.damaged(format!("symbol {symbol} of {count}"))),
            }
        })?;
        from.end()?;
        let scheduling = Scheduling { waits: vec![waits], stack, checked };
        let (wrapper, direct) = (row.wrapper, row.direct);
        let details = Details {
            entry,
            results,
            formats,
            shared_bytes,
            scheduling,
            places,
            children,
            symbols,
            wrapper,
            direct,
        };
        Ok((details, instances))
    }
}

/// Bytes that a place that throws has at least.
const LEAST_PLACE: usize = 23;

fn argument(
    tables: Tables<'_>,
    types: &mut Types<'_>,
    from: &mut Reader<'_>,
) -> Result<Argument, ImageError> {
    let text = |from: &mut Reader<'_>| {
        let id = from.u32()?;
        string(tables, id, from)
    };
    let name = optional(from, |from| Ok(text(from)?.into()))?;
    let role = match from.u8()? {
        0 => Role::State,
        1 => Role::Argument,
        2 => Role::Mailbox,
        3 => Role::Input(text(from)?.into()),
        other => return Err(from.damaged(format!("role {other} of an argument does not exist"))),
    };
    let passing = from.one_of(&PASSING, "passing")?;
    let ty = types.read(tables, from)?;
    let (size, align, first) = (from.u64()?, from.u32()?, from.u32()?);
    if !align.is_power_of_two() || size > marquetry_ir::limits::MAX_TYPE_BYTES {
        return Err(from.damaged(format!("an argument of {size} bytes, aligned to {align}")));
    }
    let parts = from.list(8, Reader::u64)?;
    if let Some(part) = parts.iter().find(|&&part| part > size) {
        return Err(from.damaged(format!("a part at byte {part} of an argument of {size}")));
    }
    Ok(Argument { name, role, passing, ty, size, align, first, parts: parts.into() })
}

fn frame(tables: Tables<'_>, from: &mut Reader<'_>) -> Result<ThrowFrame, ImageError> {
    let text = |from: &mut Reader<'_>| {
        let id = from.u32()?;
        Ok::<Arc<str>, ImageError>(string(tables, id, from)?.into())
    };
    let function = text(from)?;
    let location = optional(from, |from| {
        let file = text(from)?;
        Ok(Location { file, line: from.u32()? as usize, column: from.u32()? as usize })
    })?;
    Ok(ThrowFrame { function, location })
}

fn place(tables: Tables<'_>, types: &mut Types<'_>, from: &mut Reader<'_>) -> Result<ThrowPlace, ImageError> {
    let text = |from: &mut Reader<'_>| {
        let id = from.u32()?;
        Ok::<Arc<str>, ImageError>(string(tables, id, from)?.into())
    };
    let kind = text(from)?;
    let reason = optional(from, text)?;
    let operands = types.list(tables, from)?.into();
    let at = frame(tables, from)?;
    let callers = from.list(5, |from| frame(tables, from))?.into();
    let candidates = from.list(5, |from| frame(tables, from))?.into();
    let more = from.u8()? != 0;
    Ok(ThrowPlace { kind, reason, operands, at, callers, candidates, more })
}

/// What is written of an entry, besides what it depends on.
pub(super) struct Stored<'a> {
    pub(super) entry: &'a Entry,
    pub(super) results: &'a [Type],
    pub(super) formats: &'a [PrintFormat],
    pub(super) shared_bytes: u64,
    pub(super) scheduling: &'a Scheduling,
    pub(super) places: &'a [ThrowPlace],
}

/// A type that needs no table; none of the others is asked for.
fn write_plain(out: &mut Writer, strings: &mut Strings, ty: Type) {
    let is_plain = !ty.is_aggregate() && ty.is_known();
    out.u32(if is_plain { strings.id(&ty.to_string()) } else { NONE });
}

/// The reading of [`Details::read`], the other way round.
pub(super) fn write(out: &mut Writer, strings: &mut Strings, stored: &Stored<'_>) {
    let Stored { entry, results, formats, shared_bytes, scheduling, places } = stored;
    let plain = |out: &mut Writer, strings: &mut Strings, list: &[Type]| {
        out.list(list, |out, &ty| write_plain(out, strings, ty));
    };
    out.u32(strings.id(&entry.symbol));
    plain(out, strings, &entry.signature.params);
    plain(out, strings, &entry.signature.results);
    let abi = &entry.abi;
    let convention = EntryConvention::ALL.iter().position(|known| *known == abi.convention);
    out.u8(convention.unwrap_or(0) as u8);
    out.u8(abi.status.into());
    out.u8(abi.mailbox.into());
    out.u32(abi.operands as u32);
    out.list(&abi.inputs, |out, input| {
        out.u32(strings.id(&input.name));
        write_plain(out, strings, input.ty);
    });
    out.u8(abi.state.is_some().into());
    if let Some(state) = abi.state {
        write_plain(out, strings, state);
    }
    out.list(&abi.arguments, |out, argument| {
        out.u8(argument.name.is_some().into());
        argument.name.iter().for_each(|name| out.u32(strings.id(name)));
        out.u8(match argument.role {
            Role::State => 0,
            Role::Argument => 1,
            Role::Mailbox => 2,
            Role::Input(_) => 3,
        });
        if let Role::Input(name) = &argument.role {
            out.u32(strings.id(name));
        }
        out.u8(PASSING.iter().position(|known| *known == argument.passing).unwrap_or(0) as u8);
        write_plain(out, strings, argument.ty);
        out.u64(argument.size);
        out.u32(argument.align);
        out.u32(argument.first);
        out.list(&argument.parts, |out, &part| out.u64(part));
    });
    out.u8((entry.kind == MethodKind::Kernel).into());
    plain(out, strings, results);
    out.list(formats, |out, format| {
        out.u32(strings.id(&format.text));
        plain(out, strings, &format.types);
    });
    out.u64(*shared_bytes);
    out.u8(scheduling.waits.first().copied().unwrap_or(true).into());
    out.u64(scheduling.stack.fixed as u64);
    out.u64(scheduling.stack.reserve as u64);
    out.u8(scheduling.stack.recursive.into());
    for places in [&scheduling.checked, *places] {
        out.list(places, |out, place| write_place(out, strings, place));
    }
}

fn write_place(out: &mut Writer, strings: &mut Strings, place: &ThrowPlace) {
    out.u32(strings.id(&place.kind));
    out.u8(place.reason.is_some().into());
    place.reason.iter().for_each(|reason| out.u32(strings.id(reason)));
    out.list(&place.operands, |out, &ty| write_plain(out, strings, ty));
    write_frame(out, strings, &place.at);
    for frames in [&*place.callers, &*place.candidates] {
        out.list(frames, |out, frame| write_frame(out, strings, frame));
    }
    out.u8(place.more.into());
}

fn write_frame(out: &mut Writer, strings: &mut Strings, frame: &ThrowFrame) {
    out.u32(strings.id(&frame.function));
    out.u8(frame.location.is_some().into());
    if let Some(location) = &frame.location {
        out.u32(strings.id(&location.file));
        out.u32(u32::try_from(location.line).unwrap_or(u32::MAX));
        out.u32(u32::try_from(location.column).unwrap_or(u32::MAX));
    }
}
