//! Boxes: plain data in the form in which a host holds objects, for hosts that have such a form.
//!
//! The language has no objects. A host that does may want code to hand it constants as objects of its own: a payload with
//! header words in front of it, at an alignment that it counts on. [`ObjectModel::boxed`] lays such a constant out as a
//! global like any other, and [`Boxed::reference`] is the address of its payload, for slots. A header word that is a
//! number makes a box that means the same in every process; one that the host has to supply, the address of a type, say,
//! is a slot like any other. What has no bytes has no box: it is an identity, a [`Reference::Value`].

use super::{GlobalData, Program, Reference, WORD_BYTES};
use crate::entity::Global;
use crate::limits::MAX_GLOBAL_ALIGN;
use crate::types::{Space, Type, TypeError};
use std::fmt;
use std::sync::Arc;

/// A word of a header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Header {
    /// This number, everywhere.
    Number(u64),
    /// What the host supplies for this.
    Host(Reference),
}

/// How a host holds objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectModel {
    /// What payloads are aligned to at least, a power of two.
    pub align: u32,
}

/// A payload with its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boxed {
    /// The global that it is.
    pub global: Global,
    /// Its name.
    pub name: Arc<str>,
    /// Where the payload starts, in bytes.
    pub payload: u64,
}

impl Boxed {
    /// The address of the payload.
    pub fn reference(&self) -> Reference {
        Reference::Global { name: self.name.clone(), offset: self.payload }
    }
}

/// Why there is no box.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BoxError {
    /// The payload has no bytes, so it has no address that could tell it from others: it is an identity.
    NoBytes,
    /// The bytes are not as many as the type has.
    Bytes {
        /// How many there are.
        found: u64,
        /// How many the type has.
        wanted: u64,
    },
    /// The alignment is no power of two, or larger than that of any global.
    Align(u32),
    /// A global has this name already.
    Name(Arc<str>),
    /// The type of the box cannot be made.
    Type(TypeError),
}

impl fmt::Display for BoxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BoxError::NoBytes => f.write_str("the payload has no bytes: it is an identity, not a box"),
            BoxError::Bytes { found, wanted } => {
                write!(f, "the payload has {found} bytes, its type has {wanted}")
            }
            BoxError::Align(align) => {
                write!(f, "an alignment of {align}, not a power of two of at most {MAX_GLOBAL_ALIGN}")
            }
            BoxError::Name(name) => write!(f, "there is a global '{name}' already"),
            BoxError::Type(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BoxError {}

impl ObjectModel {
    /// A constant of this type with these header words right in front of it: padding, header, payload.
    ///
    /// # Errors
    /// See [`BoxError`]; the program has no new global then.
    pub fn boxed(
        &self,
        program: &mut Program,
        name: &str,
        headers: &[Header],
        ty: Type,
        bytes: &[u8],
    ) -> Result<Boxed, BoxError> {
        let layout = program.types.layout(ty).filter(|layout| layout.size > 0).ok_or(BoxError::NoBytes)?;
        if bytes.len() as u64 != layout.size {
            return Err(BoxError::Bytes { found: bytes.len() as u64, wanted: layout.size });
        }
        if !self.align.is_power_of_two() || u64::from(self.align) > MAX_GLOBAL_ALIGN {
            return Err(BoxError::Align(self.align));
        }
        if program.find_global(name).is_some() {
            return Err(BoxError::Name(name.into()));
        }
        let align = u64::from(layout.align.max(self.align)).max(WORD_BYTES);
        let header = WORD_BYTES * headers.len() as u64;
        let payload = header.next_multiple_of(align);
        let types = &mut program.types;
        let padding = types.array(Type::I8, payload - header).map_err(BoxError::Type)?;
        let words = types.array(Type::I64, headers.len() as u64).map_err(BoxError::Type)?;
        let fields = [("padding", padding), ("header", words), ("payload", ty)];
        let fields = fields.into_iter().filter(|(_, ty)| types.layout(*ty).is_some_and(|l| l.size > 0));
        let fields = fields.map(|(name, ty)| (name.into(), ty)).collect();
        let whole = types.structure(&format!("{name}$box"), fields).map_err(BoxError::Type)?;
        let size = types.layout(whole).map_or(0, |layout| layout.size);
        let mut image = vec![0; payload as usize];
        let mut data = GlobalData::new(name, whole, Space::Constant).with_align(align as u32);
        for (n, word) in headers.iter().enumerate() {
            let at = payload - header + WORD_BYTES * n as u64;
            match word {
                Header::Number(number) => {
                    image[at as usize..][..WORD_BYTES as usize].copy_from_slice(&number.to_le_bytes());
                }
                Header::Host(reference) => data = data.with_slot(at, reference.clone()),
            }
        }
        image.extend_from_slice(bytes);
        image.resize(size as usize, 0);
        let global = program.add_global(data.with_init(&image)).map_err(|_| BoxError::Name(name.into()))?;
        Ok(Boxed { global, name: name.into(), payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Scalar;
    use crate::verify::verify_program;

    #[test]
    fn headers_stand_in_front_of_payloads() {
        let model = ObjectModel { align: 8 };
        let mut program = Program::new();
        let small =
            model.boxed(&mut program, "small", &[Header::Number(5)], Type::I32, &[7, 0, 0, 0]).unwrap();
        assert_eq!(small.payload, 8);
        let wide = Type::vector(Scalar::F32, 4).unwrap();
        let tag = Header::Host(Reference::value("Vec4"));
        let wide = model.boxed(&mut program, "wide", &[tag], wide, &[1; 16]).unwrap();
        // Padding, header, payload.
        assert_eq!((wide.payload, wide.reference()), (16, Reference::global_at("wide", 16)));
        let data = &program.globals[wide.global];
        assert_eq!((program.types.field_count(data.ty), data.align), (Some(3), Some(16)));
        assert_eq!(data.slots.first().map(|slot| slot.offset), Some(8));
        let data = &program.globals[small.global];
        assert_eq!((program.types.field_count(data.ty), &data.slots[..]), (Some(2), &[][..]));
        assert_eq!(data.init.as_deref(), Some(&[5, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0][..]));
        assert_eq!(verify_program(&program), []);
        let none = program.types.array(Type::I64, 0).unwrap();
        let refused: Vec<BoxError> = [
            model.boxed(&mut program, "none", &[], none, &[]),
            model.boxed(&mut program, "few", &[], Type::I32, &[1]),
            model.boxed(&mut program, "small", &[], Type::I8, &[1]),
            ObjectModel { align: 3 }.boxed(&mut program, "odd", &[], Type::I8, &[1]),
        ]
        .into_iter()
        .map(Result::unwrap_err)
        .collect();
        let bytes = BoxError::Bytes { found: 1, wanted: 4 };
        let name = BoxError::Name("small".into());
        assert_eq!(refused, [BoxError::NoBytes, bytes, name, BoxError::Align(3)]);
        assert_eq!(program.globals.len(), 2);
    }
}
