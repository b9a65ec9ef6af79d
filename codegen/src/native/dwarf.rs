//! DWARF for objects: one compilation unit with its functions, their lines and, at `-g2`, inlined calls and values.
//!
//! Version 4: what every debugger and profiler in use reads. No directory is stated: files have the names that the
//! host gave, and the same input gives the same bytes on every machine.

use super::debug::{Home, HomePlace, Known};
use super::emit::Front;
use super::select::internal;
use crate::error::EmitError;
use cranelift_codegen::ir::Endianness;
use cranelift_codegen::isa::TargetIsa;
use cranelift_module::FuncId;
use cranelift_object::ObjectProduct;
use cranelift_object::object::write::{Relocation as ObjectRelocation, StandardSegment, SymbolId};
use cranelift_object::object::{
    BinaryFormat, RelocationEncoding, RelocationFlags, RelocationKind, SectionKind,
};
use gimli::write::{
    Address, AttributeValue, Dwarf, EndianVec, Expression, FileId, LineProgram, LineString, Location as At,
    LocationList, Range, RangeList, RelocateWriter, Relocation, RelocationTarget, Sections, UnitEntryId,
};
use gimli::{Encoding, Format, LineEncoding, RunTimeEndian, constants as dw};
use marquetry_ir::body::Origin;
use marquetry_ir::entity::{Func, Inlined};
use marquetry_ir::lines::{Lines, Place};
use marquetry_ir::types::{Scalar, Type, TypeKind};
use marquetry_ir::unit::{Function, Unit};
use marquetry_lower::job::DebugLevel;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A section under construction.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) bytes: EndianVec<RunTimeEndian>,
    pub(super) relocations: Vec<Relocation>,
}

impl Section {
    /// An empty one for a machine.
    pub(super) fn new(isa: &dyn TargetIsa) -> Self {
        let endian = match isa.endianness() {
            Endianness::Little => RunTimeEndian::Little,
            Endianness::Big => RunTimeEndian::Big,
        };
        Section { bytes: EndianVec::new(endian), relocations: Vec::new() }
    }
}

impl RelocateWriter for Section {
    type Writer = EndianVec<RunTimeEndian>;

    fn writer(&self) -> &Self::Writer {
        &self.bytes
    }

    fn writer_mut(&mut self) -> &mut Self::Writer {
        &mut self.bytes
    }

    fn relocate(&mut self, relocation: Relocation) {
        self.relocations.push(relocation);
    }
}

/// Adds the sections for debuggers to an object.
pub(super) fn add(
    product: &mut ObjectProduct,
    unit: &Unit,
    known: &[Known],
    fronts: &[Front],
    level: DebugLevel,
    isa: &dyn TargetIsa,
) -> Result<(), EmitError> {
    let failed = |error: gimli::write::Error| internal(format!("debug information: {error}"));
    let mut writer = Writer::new(unit, level);
    let behind = fronts.iter().filter_map(|front| Some((front.id?, *unit.entries.get(front.entry)?)));
    let behind: FxHashMap<FuncId, Func> = behind.collect();
    for (number, function) in known.iter().enumerate() {
        match function.func {
            Some(_) => writer.function(number, function),
            None => writer.wrapper(number, function, behind.get(&function.id).copied()),
        }
    }
    let mut dwarf = writer.finish(known);
    let mut sections = Sections::new(Section::new(isa));
    dwarf.write(&mut sections).map_err(failed)?;
    let mut added = BTreeMap::<&str, SymbolId>::new();
    let mut pending = Vec::new();
    sections.for_each(|id, section| {
        let bytes = section.bytes.slice();
        if bytes.is_empty() {
            return Ok::<(), EmitError>(());
        }
        let segment = product.object.segment_name(StandardSegment::Debug).to_vec();
        let name = match product.object.format() {
            BinaryFormat::MachO => id.name().replace('.', "__").into_bytes(),
            _ => id.name().as_bytes().to_vec(),
        };
        let own = product.object.add_section(segment, name, SectionKind::Debug);
        product.object.set_section_data(own, bytes.to_vec(), 1);
        added.insert(id.name(), product.object.section_symbol(own));
        pending.push((own, &section.relocations));
        Ok(())
    })?;
    for (section, relocations) in pending {
        for relocation in relocations {
            // Linkers of COFF do not move debug sections to addresses.
            let kind = match relocation.target {
                RelocationTarget::Section(_) if product.object.format() == BinaryFormat::Coff => {
                    RelocationKind::SectionOffset
                }
                _ => RelocationKind::Absolute,
            };
            let mut addend = relocation.addend;
            let symbol = match relocation.target {
                RelocationTarget::Symbol(number) => known.get(number).map(|function| {
                    let symbol = product.function_symbol(function.id);
                    let place = product.object.symbol(symbol);
                    match (product.object.format(), place.section.id(), i64::try_from(place.value)) {
                        // Readers of Mach-O follow references to sections only.
                        (BinaryFormat::MachO, Some(section), Ok(value)) => {
                            addend += value;
                            product.object.section_symbol(section)
                        }
                        _ => symbol,
                    }
                }),
                RelocationTarget::Section(id) => added.get(id.name()).copied(),
            };
            let relocation = ObjectRelocation {
                offset: relocation.offset as u64,
                symbol: symbol.ok_or_else(|| internal("debug information mentions what is not there"))?,
                addend,
                flags: RelocationFlags::Generic {
                    kind,
                    encoding: RelocationEncoding::Generic,
                    size: relocation.size * 8,
                },
            };
            let added = product.object.add_relocation(section, relocation);
            added.map_err(|error| EmitError::Internal(error.to_string()))?;
        }
    }
    Ok(())
}

/// A file name as DWARF takes it: strings end at a zero byte, and none is empty.
fn clean(name: &str) -> String {
    if name.is_empty() { "?".to_owned() } else { name.replace('\0', "?") }
}

struct Writer<'u> {
    unit: &'u Unit,
    level: DebugLevel,
    lines: Lines<'u>,
    encoding: Encoding,
    program: LineProgram,
    dwarf: Dwarf,
    /// The only compilation unit; its line program is set at the end.
    code: gimli::write::Unit,
    files: BTreeMap<u32, FileId>,
    /// Functions that were inlined somewhere: what is said of them once.
    origins: FxHashMap<(Arc<str>, Option<u32>), UnitEntryId>,
    types: FxHashMap<Type, UnitEntryId>,
}

/// The start of a function, or of something in it.
fn address(function: usize, offset: u32) -> Address {
    Address::Symbol { symbol: function, addend: i64::from(offset) }
}

impl<'u> Writer<'u> {
    fn new(unit: &'u Unit, level: DebugLevel) -> Self {
        let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 8 };
        let mut dwarf = Dwarf::new();
        let mut string = |text: &str| LineString::new(text, encoding, &mut dwarf.line_strings);
        // Version 4 states neither of these two.
        let (directory, source) = (string("."), string("?"));
        let program = LineProgram::new(encoding, LineEncoding::default(), directory, None, source, None);
        let code = gimli::write::Unit::new(encoding, LineProgram::none());
        Writer {
            unit,
            level,
            lines: Lines::new(&unit.files),
            encoding,
            program,
            dwarf,
            code,
            files: BTreeMap::new(),
            origins: FxHashMap::default(),
            types: FxHashMap::default(),
        }
    }

    fn file(&mut self, file: u32) -> FileId {
        if let Some(&known) = self.files.get(&file) {
            return known;
        }
        let name = self.unit.files.get(file as usize).map_or("?", |file| &*file.name);
        let name = LineString::new(clean(name), self.encoding, &mut self.dwarf.line_strings);
        let directory = self.program.default_directory();
        let id = self.program.add_file(name, directory, None);
        self.files.insert(file, id);
        id
    }

    fn set_text(&mut self, entry: UnitEntryId, attribute: dw::DwAt, text: &str) {
        let text = self.dwarf.strings.add(clean(text));
        self.code.get_mut(entry).set(attribute, AttributeValue::StringRef(text));
    }

    /// Says what something is called and where.
    fn declare(&mut self, entry: UnitEntryId, name: &str, place: Option<Place>) {
        self.set_text(entry, dw::DW_AT_name, name);
        if let Some(place) = place {
            let file = self.file(place.file);
            let entry = self.code.get_mut(entry);
            entry.set(dw::DW_AT_decl_file, AttributeValue::FileIndex(Some(file)));
            entry.set(dw::DW_AT_decl_line, AttributeValue::Udata(u64::from(place.line)));
        }
    }

    /// What is said of the code of every function.
    fn subprogram(&mut self, number: usize, known: &Known) -> UnitEntryId {
        let root = self.code.root();
        let entry = self.code.add(root, dw::DW_TAG_subprogram);
        let frame = {
            let mut expression = Expression::new();
            expression.op(dw::DW_OP_call_frame_cfa);
            expression
        };
        let attributes = self.code.get_mut(entry);
        attributes.set(dw::DW_AT_low_pc, AttributeValue::Address(address(number, 0)));
        attributes.set(dw::DW_AT_high_pc, AttributeValue::Udata(u64::from(known.size)));
        attributes.set(dw::DW_AT_frame_base, AttributeValue::Exprloc(frame));
        entry
    }

    /// What compilation added: all of it is from where the function behind it is declared, if it stands in front of one.
    fn wrapper(&mut self, number: usize, known: &Known, behind: Option<Func>) {
        let entry = self.subprogram(number, known);
        self.code.get_mut(entry).set(dw::DW_AT_artificial, AttributeValue::Flag(true));
        let behind = behind.and_then(|func| self.unit.funcs.get(func));
        let place = behind.and_then(|function| self.lines.place(function.file, function.span));
        self.declare(entry, &known.name, place);
        if place.is_some() {
            self.code.get_mut(entry).set(dw::DW_AT_external, AttributeValue::Flag(true));
            self.program.begin_sequence(Some(address(number, 0)));
            self.row(0, place);
            self.program.end_sequence(u64::from(known.size));
        }
    }

    fn function(&mut self, number: usize, known: &Known) {
        let function = known.func.and_then(|func| Some((func, self.unit.funcs.get(func)?)));
        let Some((func, function)) = function else { return };
        let entry = self.subprogram(number, known);
        if self.unit.entries.contains(&func) {
            self.code.get_mut(entry).set(dw::DW_AT_external, AttributeValue::Flag(true));
        }
        let place = self.lines.place(function.file, function.span);
        self.declare(entry, &function.name, place);
        self.rows(number, known, function, place);
        if self.level == DebugLevel::Full {
            self.inlined_calls(number, known, function, entry);
            self.values(number, known, function, entry);
        }
    }

    /// The lines of a function. Its first row is where its name stands, so that debuggers find the end of what a
    /// function does before its first instruction at the second.
    fn rows(&mut self, number: usize, known: &Known, function: &Function, start: Option<Place>) {
        let mut last = None;
        self.program.begin_sequence(Some(address(number, 0)));
        if let Some(place) = start {
            self.row(0, Some(place));
            last = Some(place);
        }
        for row in &known.rows {
            let mut frames = row.origin.into_iter().flat_map(|at| function.frames(at));
            let place = frames.next().and_then(|(_, file, span)| self.lines.place(file, span));
            if place.is_some() && place != last {
                self.row(row.start, place);
                last = place;
            }
        }
        self.program.end_sequence(u64::from(known.size));
    }

    fn row(&mut self, offset: u32, place: Option<Place>) {
        let file = place.map(|place| self.file(place.file));
        let row = self.program.row();
        row.address_offset = u64::from(offset);
        if let (Some(place), Some(file)) = (place, file) {
            (row.file, row.line, row.column) = (file, u64::from(place.line), u64::from(place.column));
        }
        self.program.generate_row();
    }

    /// One entry for each inlined call that left code, inside the entry of the call around it.
    fn inlined_calls(&mut self, number: usize, known: &Known, function: &Function, entry: UnitEntryId) {
        let body = &function.body;
        // Ranges of code by call; calls around others have numbers below theirs.
        let mut ranges = BTreeMap::<Inlined, Vec<(u32, u32)>>::new();
        for row in &known.rows {
            let mut next = row.origin.and_then(|at| at.inlined.expand());
            while let Some(inlined) = next {
                let list = ranges.entry(inlined).or_default();
                match list.last_mut() {
                    Some(last) if last.1 == row.start => last.1 = row.end,
                    _ => list.push((row.start, row.end)),
                }
                next = body.inlined_call(inlined).and_then(|call| call.call.inlined.expand());
            }
        }
        let mut entries = FxHashMap::<Inlined, UnitEntryId>::default();
        for (inlined, ranges) in ranges {
            let Some(call) = body.inlined_call(inlined) else { continue };
            let origin = self.origin(&call.function, call.file, call.span);
            let outer = call.call.inlined.expand().and_then(|outer| entries.get(&outer).copied());
            let own = self.code.add(outer.unwrap_or(entry), dw::DW_TAG_inlined_subroutine);
            entries.insert(inlined, own);
            let mut frames = function.frames(call.call);
            let place = frames.next().and_then(|(_, file, span)| self.lines.place(file, span));
            let file = place.map(|place| self.file(place.file));
            let list = ranges.iter().map(|&(start, end)| Range::StartLength {
                begin: address(number, start),
                length: u64::from(end - start),
            });
            let list = RangeList(list.collect());
            let single = match ranges.as_slice() {
                &[(start, end)] => Some((start, end)),
                _ => None,
            };
            let list = match single {
                Some(_) => None,
                None => Some(self.code.ranges.add(list)),
            };
            let attributes = self.code.get_mut(own);
            attributes.set(dw::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
            match (single, list) {
                (Some((start, end)), _) => {
                    attributes.set(dw::DW_AT_low_pc, AttributeValue::Address(address(number, start)));
                    attributes.set(dw::DW_AT_high_pc, AttributeValue::Udata(u64::from(end - start)));
                }
                (None, Some(list)) => attributes.set(dw::DW_AT_ranges, AttributeValue::RangeListRef(list)),
                (None, None) => {}
            }
            if let (Some(place), Some(file)) = (place, file) {
                attributes.set(dw::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
                attributes.set(dw::DW_AT_call_line, AttributeValue::Udata(u64::from(place.line)));
                attributes.set(dw::DW_AT_call_column, AttributeValue::Udata(u64::from(place.column)));
            }
        }
    }

    /// What is said once of a function that was inlined.
    fn origin(&mut self, name: &Arc<str>, file: Option<u32>, span: marquetry_ir::span::Span) -> UnitEntryId {
        let key = (name.clone(), file);
        if let Some(&known) = self.origins.get(&key) {
            return known;
        }
        let root = self.code.root();
        let entry = self.code.add(root, dw::DW_TAG_subprogram);
        self.code.get_mut(entry).set(dw::DW_AT_inline, AttributeValue::Inline(dw::DW_INL_inlined));
        let place = self.lines.place(file, span);
        self.declare(entry, name, place);
        self.origins.insert(key, entry);
        entry
    }

    /// Values with names: parameters in their order, then all others in the order of the code.
    fn values(&mut self, number: usize, known: &Known, function: &Function, entry: UnitEntryId) {
        let body = &function.body;
        let params = body.entry().map_or(&[][..], |block| body.block_params(block));
        let is_param: FxHashSet<_> = params.iter().copied().collect();
        let others = known.homes.keys().copied().filter(|value| !is_param.contains(value));
        for value in params.iter().copied().chain(others) {
            let Some(name) = body.names.value(value) else { continue };
            let Some(ty) = self.base_type(body.value_type(value)) else { continue };
            let param = is_param.contains(&value);
            let tag = if param { dw::DW_TAG_formal_parameter } else { dw::DW_TAG_variable };
            let own = self.code.add(entry, tag);
            let at = body.value_inst(value).map_or(Origin::default(), |inst| body.origin(inst));
            let mut frames = function.frames(at);
            let place = frames.next().and_then(|(_, file, span)| self.lines.place(file, span));
            self.declare(own, name, place);
            self.code.get_mut(own).set(dw::DW_AT_type, AttributeValue::UnitRef(ty));
            let homes = known.homes.get(&value).map_or(&[][..], |homes| homes);
            let list = homes.iter().map(|home| location(number, home));
            let list = LocationList(list.collect());
            if !list.0.is_empty() {
                let list = self.code.locations.add(list);
                self.code.get_mut(own).set(dw::DW_AT_location, AttributeValue::LocationListRef(list));
            }
        }
    }

    /// The type of a value; none for those that debuggers have no word for.
    fn base_type(&mut self, ty: Type) -> Option<UnitEntryId> {
        if let Some(&known) = self.types.get(&ty) {
            return Some(known);
        }
        let (encoding, bytes) = match ty.kind() {
            TypeKind::Scalar(Scalar::I1) => (dw::DW_ATE_boolean, 1),
            TypeKind::Scalar(scalar) if scalar.is_int() => (dw::DW_ATE_signed, scalar.bits() / 8),
            TypeKind::Scalar(Scalar::F32) => (dw::DW_ATE_float, 4),
            TypeKind::Scalar(Scalar::F64) => (dw::DW_ATE_float, 8),
            // Held as integers.
            TypeKind::Scalar(_) => (dw::DW_ATE_unsigned, 2),
            TypeKind::Pointer(_) => (dw::DW_ATE_address, 8),
            _ => return None,
        };
        let root = self.code.root();
        let entry = self.code.add(root, dw::DW_TAG_base_type);
        self.set_text(entry, dw::DW_AT_name, &ty.to_string());
        let attributes = self.code.get_mut(entry);
        attributes.set(dw::DW_AT_encoding, AttributeValue::Encoding(encoding));
        attributes.set(dw::DW_AT_byte_size, AttributeValue::Udata(u64::from(bytes)));
        self.types.insert(ty, entry);
        Some(entry)
    }

    fn finish(mut self, known: &[Known]) -> Dwarf {
        let root = self.code.root();
        let first = self.files.keys().next().and_then(|&file| self.unit.files.get(file as usize));
        let name = first.map_or("?".to_owned(), |file| clean(&file.name));
        self.set_text(root, dw::DW_AT_name, &name);
        self.set_text(root, dw::DW_AT_producer, concat!("marquetry ", env!("CARGO_PKG_VERSION")));
        let ranges = known.iter().enumerate().map(|(number, function)| Range::StartLength {
            begin: address(number, 0),
            length: u64::from(function.size),
        });
        let ranges = self.code.ranges.add(RangeList(ranges.collect()));
        let attributes = self.code.get_mut(root);
        // Debuggers know no better language to read expressions in.
        attributes.set(dw::DW_AT_language, AttributeValue::Language(dw::DW_LANG_C99));
        attributes.set(dw::DW_AT_low_pc, AttributeValue::Address(Address::Constant(0)));
        attributes.set(dw::DW_AT_ranges, AttributeValue::RangeListRef(ranges));
        if !self.program.is_empty() {
            self.code.line_program = self.program;
            self.code.get_mut(root).set(dw::DW_AT_stmt_list, AttributeValue::LineProgramRef);
        }
        self.dwarf.units.add(self.code);
        self.dwarf
    }
}

fn location(function: usize, home: &Home) -> At {
    let mut data = Expression::new();
    match home.place {
        HomePlace::Register(number) => data.op_reg(gimli::Register(number)),
        HomePlace::Frame(offset) => data.op_fbreg(offset),
    }
    At::StartLength { begin: address(function, home.start), length: u64::from(home.end - home.start), data }
}
