//! How to walk the stack through an object's functions, as debuggers, profilers and unwinders read it: an `.eh_frame`
//! section in ELF and Mach-O, `.pdata` and `.xdata` in COFF.
//!
//! Addresses are relative, so that position-independent links need no relocations in memory that is read only.

use super::debug::Known;
use super::dwarf::Section;
use crate::error::EmitError;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_object::ObjectProduct;
use cranelift_object::object::write::{Relocation, StandardSection};
use cranelift_object::object::{RelocationEncoding, RelocationFlags, RelocationKind, SectionKind, elf};
use gimli::constants as dw;
use gimli::write::{Address, EhFrame, FrameTable, RelocationTarget};
use target_lexicon::{Architecture, BinaryFormat};

fn failed(error: &dyn std::fmt::Display) -> EmitError {
    EmitError::Internal(format!("unwind tables: {error}"))
}

/// Adds the sections to an object.
pub(super) fn add(
    product: &mut ObjectProduct,
    known: &[Known],
    isa: &dyn TargetIsa,
) -> Result<(), EmitError> {
    if isa.triple().binary_format == BinaryFormat::Coff {
        return add_windows(product, known);
    }
    let is_macho = isa.triple().binary_format == BinaryFormat::Macho;
    let Some(mut common) = isa.create_systemv_cie() else { return Ok(()) };
    // Mach-O has no 32-bit differences between sections that linkers take here.
    let width = if is_macho { dw::DW_EH_PE_absptr } else { dw::DW_EH_PE_sdata4 };
    common.fde_address_encoding = dw::DwEhPe(dw::DW_EH_PE_pcrel.0 | width.0);
    let mut table = FrameTable::default();
    let common = table.add_cie(common);
    for (number, function) in known.iter().enumerate() {
        if let Some(UnwindInfo::SystemV(info)) = &function.unwind {
            table.add_fde(common, info.to_fde(Address::Symbol { symbol: number, addend: 0 }));
        }
    }
    let mut frame = EhFrame(Section::new(isa));
    table.write_eh_frame(&mut frame).map_err(|error| failed(&error))?;
    let Section { bytes, relocations } = frame.0;
    let section = product.object.section_id(StandardSection::EhFrame);
    product.object.append_section_data(section, bytes.slice(), 8);
    let start = product.object.section_symbol(section);
    let generic = |kind, size| RelocationFlags::Generic { kind, encoding: RelocationEncoding::Generic, size };
    let flags = match isa.triple().architecture {
        _ if is_macho => generic(RelocationKind::Absolute, 64),
        Architecture::Riscv64(_) => RelocationFlags::Elf { r_type: elf::R_RISCV_32_PCREL },
        _ => generic(RelocationKind::Relative, 32),
    };
    for relocation in relocations {
        let RelocationTarget::Symbol(number) = relocation.target else { continue };
        let Some(function) = known.get(number) else { continue };
        let offset = relocation.offset as u64;
        let symbol = product.function_symbol(function.id);
        let addend = relocation.addend;
        let added = if is_macho {
            // The function's address less the section's, and what lies between that and here.
            let relocation = Relocation { offset, symbol, addend: addend - offset as i64, flags };
            product.object.add_relocation_with_subtractor(section, relocation, Some(start))
        } else {
            product.object.add_relocation(section, Relocation { offset, symbol, addend, flags })
        };
        added.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// As Windows has it: a table of functions, and beside it what each prologue does.
fn add_windows(product: &mut ObjectProduct, known: &[Known]) -> Result<(), EmitError> {
    let mut infos = Vec::new();
    let mut places = Vec::new();
    for function in known {
        let Some(UnwindInfo::WindowsX64(info)) = &function.unwind else { continue };
        let start = infos.len().next_multiple_of(4);
        infos.resize(start + info.emit_size(), 0);
        info.emit(infos.get_mut(start..).unwrap_or_default());
        places.push((function, start));
    }
    let xdata = product.object.add_section(Vec::new(), b".xdata".to_vec(), SectionKind::ReadOnlyData);
    product.object.set_section_data(xdata, infos, 4);
    let xdata = product.object.section_symbol(xdata);
    let pdata = product.object.add_section(Vec::new(), b".pdata".to_vec(), SectionKind::ReadOnlyData);
    product.object.set_section_data(pdata, vec![0; 12 * places.len()], 4);
    let encoding = RelocationEncoding::Generic;
    let flags = RelocationFlags::Generic { kind: RelocationKind::ImageOffset, encoding, size: 32 };
    // Unwinders search the table: it is in the order of the functions in memory, which is that of their definition.
    for (n, (function, start)) in places.into_iter().enumerate() {
        let symbol = product.function_symbol(function.id);
        let row = [(symbol, 0), (symbol, i64::from(function.size)), (xdata, start as i64)];
        for (field, (symbol, addend)) in row.into_iter().enumerate() {
            let offset = (12 * n + 4 * field) as u64;
            let added = product.object.add_relocation(pdata, Relocation { offset, symbol, addend, flags });
            added.map_err(|error| failed(&error))?;
        }
    }
    Ok(())
}
