//! How to walk the stack through an object's functions: an `.eh_frame` section, as debuggers and profilers read it.
//!
//! Addresses are relative, so that position-independent links need no relocations in memory that is read only.

use super::debug::Known;
use super::dwarf::Section;
use crate::error::EmitError;
use cranelift_codegen::isa::TargetIsa;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_object::ObjectProduct;
use cranelift_object::object::write::{Relocation, StandardSection};
use cranelift_object::object::{RelocationEncoding, RelocationFlags, RelocationKind, elf};
use gimli::constants as dw;
use gimli::write::{Address, EhFrame, FrameTable, RelocationTarget};
use target_lexicon::Architecture;

/// Adds the section to an object.
pub(super) fn add(
    product: &mut ObjectProduct,
    known: &[Known],
    isa: &dyn TargetIsa,
) -> Result<(), EmitError> {
    let failed = |error: &dyn std::fmt::Display| EmitError::Internal(format!("unwind tables: {error}"));
    let Some(mut common) = isa.create_systemv_cie() else { return Ok(()) };
    common.fde_address_encoding = dw::DwEhPe(dw::DW_EH_PE_pcrel.0 | dw::DW_EH_PE_sdata4.0);
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
    let flags = match isa.triple().architecture {
        Architecture::Riscv64(_) => RelocationFlags::Elf { r_type: elf::R_RISCV_32_PCREL },
        _ => RelocationFlags::Generic {
            kind: RelocationKind::Relative,
            encoding: RelocationEncoding::Generic,
            size: 32,
        },
    };
    for relocation in relocations {
        let RelocationTarget::Symbol(number) = relocation.target else { continue };
        let Some(function) = known.get(number) else { continue };
        let relocation = Relocation {
            offset: relocation.offset as u64,
            symbol: product.function_symbol(function.id),
            addend: relocation.addend,
            flags,
        };
        product.object.add_relocation(section, relocation).map_err(|error| failed(&error))?;
    }
    Ok(())
}
