//! Initial contents of globals, printed as lists of constants.

use crate::program::GlobalData;
use crate::text::literal::{write_bytes, write_scalar};
use crate::text::print::{Printer, write_address};
use crate::types::{Aggregate, Scalar, Type, TypeKind};
use std::fmt;

impl Printer<'_> {
    /// The initial contents of a global, from `=` on, if there are any.
    pub(super) fn init(&mut self, global: &GlobalData) -> fmt::Result {
        let bytes = global.init.as_deref().unwrap_or(&[]);
        let size = self.types.layout(global.ty).map_or(0, |layout| layout.size);
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        if bytes.len() as u64 != size {
            let found = bytes.len();
            return write!(self.out, " ; initial contents have {found} bytes, the type has {size}");
        }
        self.out.write_str(" = ")?;
        // Open lists: type, offset, next element, number of elements.
        let mut open: Vec<(Type, u64, u64, u64)> = Vec::new();
        let mut place = Some((global.ty, 0));
        loop {
            if let Some((ty, offset)) = place.take()
                && let Some(count) = self.init_place(self.types.underlying(ty), offset, bytes)?
            {
                self.out.write_str("[")?;
                open.push((self.types.underlying(ty), offset, 0, count));
            }
            let Some((ty, offset, next, count)) = open.last_mut() else { break };
            if next == count {
                open.pop();
                self.out.write_str("]")?;
                continue;
            }
            let index = *next;
            *next += 1;
            self.out.write_str(if index == 0 { "" } else { ", " })?;
            let element = self.types.field_type(*ty, index).unwrap_or(Type::ERROR);
            place = Some((element, *offset + self.types.field_offset(*ty, index).unwrap_or(0)));
        }
        Ok(())
    }

    /// One literal, or the number of elements of the list that has to be opened.
    fn init_place(&mut self, ty: Type, offset: u64, bytes: &[u8]) -> Result<Option<u64>, fmt::Error> {
        let size = self.types.layout(ty).map_or(0, |layout| layout.size);
        let start = offset as usize;
        let bytes = bytes.get(start..start + size as usize).unwrap_or(&[]);
        if bytes.is_empty() {
            self.out.write_str("zero")?;
            return Ok(None);
        }
        let read = |lane: Scalar, number: u64| {
            let start = (number * lane.bytes()) as usize;
            let part = bytes.get(start..start + lane.bytes() as usize).unwrap_or(&[]);
            part.iter().rev().fold(0u128, |bits, &byte| bits << 8 | u128::from(byte))
        };
        match ty.kind() {
            TypeKind::Aggregate(_) => {
                if let Some(Aggregate::Array { element: Type::I8, .. }) = self.types.aggregate(ty) {
                    self.out.write_str("bytes ")?;
                    write_bytes(self.out, bytes)?;
                    return Ok(None);
                }
                return Ok(self.types.field_count(ty));
            }
            TypeKind::Scalar(scalar) => {
                write!(self.out, "{ty} ")?;
                write_scalar(self.out, scalar, read(scalar, 0))?;
            }
            TypeKind::Vector(lane, lanes) => {
                write!(self.out, "{ty} [")?;
                for number in 0..u64::from(lanes) {
                    self.out.write_str(if number == 0 { "" } else { ", " })?;
                    write_scalar(self.out, lane, read(lane, number))?;
                }
                self.out.write_str("]")?;
            }
            TypeKind::Pointer(_) => {
                write!(self.out, "{ty} ")?;
                write_address(self.out, read(Scalar::I64, 0))?;
            }
            TypeKind::Unknown | TypeKind::Error => self.out.write_str("zero")?,
        }
        Ok(None)
    }
}
