//! Type rules: from the operands of an instruction to its results.
//!
//! The one place that decides whether operands fit an op, for the parser, the builder, specialisation and the
//! verifier. Types flow forward. An operand of unknown type (the result of a call that is not dispatched yet) or
//! of erroneous type fits everywhere; a result that depends on it is unknown.

mod memory;
mod values;

use crate::body::{Body, Symbol};
use crate::entity::{Inst, SymbolRef, Value};
use crate::limits;
use crate::op::{Op, Rule};
use crate::print_format::Format;
use crate::types::{Scalar, Space, Type, TypeKind, Types};
use smallvec::{SmallVec, smallvec};
use std::fmt;

/// Result types of an instruction.
pub type ResultTypes = SmallVec<[Type; 2]>;

/// Why operands do not fit an op.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypeMismatch {
    /// Another number of operands.
    Count {
        /// How many there are.
        found: usize,
        /// How many the op takes.
        wanted: usize,
    },
    /// Operand `index` is of a type that the op does not take.
    Operand {
        /// Which operand, from 0.
        index: usize,
        /// Its type.
        found: Type,
        /// What the op takes, in words.
        wanted: &'static str,
    },
    /// Operand `index` should have the same type as another one.
    Differs {
        /// Which operand, from 0.
        index: usize,
        /// Its type.
        found: Type,
        /// The type that the others set.
        wanted: Type,
    },
    /// The type suffix does not fit.
    Suffix {
        /// The suffix.
        found: Type,
        /// What would fit, in words.
        wanted: &'static str,
    },
    /// The constant index or the mask is out of range.
    Immediate {
        /// What it is.
        found: u64,
        /// It must be below this.
        limit: u64,
    },
    /// A name, signature or mask that does not exist in this body.
    Dangling,
    /// A format that cannot be read, or operands that it does not convert.
    Format(String),
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { found, wanted } => write!(f, "{found} operands, expected {wanted}"),
            Self::Operand { index, found, wanted } => {
                write!(f, "operand {} has type {found}, expected {wanted}", index + 1)
            }
            Self::Differs { index, found, wanted } => {
                write!(f, "operand {} has type {found}, expected {wanted}", index + 1)
            }
            Self::Suffix { found, wanted } => write!(f, "type suffix is {found}, expected {wanted}"),
            Self::Immediate { found, limit } => write!(f, "index is {found}, expected less than {limit}"),
            Self::Format(problem) => f.write_str(problem),
            Self::Dangling => f.write_str("refers to something that does not exist in this body"),
        }
    }
}

impl std::error::Error for TypeMismatch {}

type Fits = fn(Type) -> bool;

fn is_number(ty: Type) -> bool {
    ty.lane().is_some_and(|lane| lane != Scalar::I1)
}

fn is_int(ty: Type) -> bool {
    is_number(ty) && ty.is_int()
}

fn is_bits(ty: Type) -> bool {
    ty.is_int()
}

fn is_float(ty: Type) -> bool {
    ty.is_float()
}

fn is_scalar_int(ty: Type) -> bool {
    !ty.is_vector() && is_int(ty)
}

fn is_comparable(ty: Type) -> bool {
    ty.lane().is_some() || ty.is_pointer()
}

fn is_lane_vector(ty: Type, fits: Fits) -> bool {
    ty.is_vector() && ty.lane().is_some_and(|lane| fits(Type::scalar(lane)))
}

fn is_atomic_int(ty: Type) -> bool {
    matches!(ty, Type::I32 | Type::I64)
}

fn is_atomic_float(ty: Type) -> bool {
    matches!(ty, Type::F32 | Type::F64)
}

fn is_shuffled(ty: Type) -> bool {
    is_atomic_int(ty) || is_atomic_float(ty)
}

const NUMBER: (&str, Fits) = ("an integer or float", is_number);
const INT: (&str, Fits) = ("an integer of 8 to 128 bits", is_int);
const BITS: (&str, Fits) = ("an integer", is_bits);
const FLOAT: (&str, Fits) = ("a float", is_float);

/// One instruction with the types of its operands, while its rule is applied.
struct Rules<'a> {
    body: &'a Body,
    types: &'a Types,
    op: Op,
    suffix: Type,
    imm: u32,
    args: SmallVec<[Type; 4]>,
}

/// Checks the operands of an instruction and gives the types of its results.
///
/// Calls by name give one unknown type per result that the instruction already has, terminators give none; both
/// are checked further by whoever knows the callee or the destinations. All ids in the instruction must exist,
/// except those in the immediate.
///
/// # Errors
/// The first operand, suffix or immediate that does not fit.
pub fn infer(body: &Body, types: &Types, inst: Inst) -> Result<ResultTypes, TypeMismatch> {
    infer_with(body, types, inst, |value| body.value_type(value))
}

/// As [`infer`], for a caller with its own opinion about the types of values.
///
/// # Errors
/// The first operand, suffix or immediate that does not fit.
pub fn infer_with(
    body: &Body,
    types: &Types,
    inst: Inst,
    value_type: impl Fn(Value) -> Type,
) -> Result<ResultTypes, TypeMismatch> {
    let data = body.inst(inst);
    let args = body.args(inst).iter().map(|&arg| value_type(arg)).collect();
    let rules = Rules { body, types, op: data.op, suffix: data.ty, imm: data.imm, args };
    match data.op.info().rule {
        Rule::Call => {
            rules.name()?;
            if matches!(
                body.symbol(crate::entity::SymbolRef::from_u32(data.imm)),
                crate::body::Symbol::Operand
            ) && rules.args.is_empty()
            {
                return Err(TypeMismatch::Count { found: 0, wanted: 1 });
            }
            Ok(body.results(inst).map(|_| Type::UNKNOWN).collect())
        }
        rule => rules.apply(rule),
    }
}

impl Rules<'_> {
    fn apply(&self, rule: Rule) -> Result<ResultTypes, TypeMismatch> {
        match rule {
            Rule::SameNumber => self.same_as_operands(NUMBER),
            Rule::SameInt => self.same_as_operands(INT),
            Rule::SameBits => self.same_as_operands(BITS),
            Rule::SameFloat => self.same_as_operands(FLOAT),
            Rule::Overflow => {
                let ty = self.same(2, INT)?;
                Ok(smallvec![ty, mask_of(ty)])
            }
            Rule::CompareAny => self.compare(("a number, truth value or pointer", is_comparable)),
            Rule::CompareInt => self.compare(INT),
            Rule::CompareFloat => self.compare(FLOAT),
            Rule::Select => self.select(),
            Rule::Truncate => {
                self.convert(BITS, "a narrower integer", |from, to| to.is_int() && to.bits() < from.bits())
            }
            Rule::Extend => {
                self.convert(BITS, "a wider integer", |from, to| to.is_int() && to.bits() > from.bits())
            }
            Rule::FloatConvert => {
                self.convert(FLOAT, "another float", |from, to| to.is_float() && to != from)
            }
            Rule::FloatToInt => {
                self.convert(FLOAT, "an integer of 8 to 128 bits", |_, to| to.is_int() && to != Scalar::I1)
            }
            Rule::IntToFloat => self.convert(INT, "a float", |_, to| to.is_float()),
            Rule::Bitcast => self.bitcast(),
            Rule::PointerToInt => self.pointer_to_int(),
            Rule::IntToPointer => self.int_to_pointer(),
            Rule::SpaceCast => self.space_cast(),
            Rule::Splat => self.splat(),
            Rule::Extract => self.extract(),
            Rule::Insert => self.insert(),
            Rule::Shuffle => self.shuffle(),
            Rule::ReduceNumber => self.reduce("a vector of numbers", is_number),
            Rule::ReduceInt => self.reduce("a vector of integers of 8 to 128 bits", is_int),
            Rule::ReduceBits => self.reduce("a vector of integers", is_bits),
            Rule::ReduceFloat => self.reduce("a vector of floats", is_float),
            Rule::Make => self.make(),
            Rule::GetField => self.get_field(),
            Rule::SetField => self.set_field(),
            Rule::PointerAdd => self.pointer_add(),
            Rule::Index => self.index(),
            Rule::FieldAddress => self.field_address(),
            Rule::GlobalAddress => self.global_address(),
            Rule::Slot => {
                self.count(0)?;
                self.storable()?;
                Ok(smallvec![Type::pointer(Space::Local)])
            }
            Rule::BoundsCheck => {
                Ok(smallvec![self.same(2, ("an integer of 8 to 128 bits, not a vector", is_scalar_int))?])
            }
            Rule::Load => {
                self.count(1)?;
                self.pointer(0)?;
                self.storable()?;
                Ok(smallvec![self.suffix])
            }
            Rule::Store => {
                self.count(2)?;
                self.pointer(0)?;
                self.nothing()
            }
            Rule::MemoryCopy => {
                self.count(3)?;
                self.pointer(0)?;
                self.pointer(1)?;
                self.exactly(2, Type::I64)?;
                self.nothing()
            }
            Rule::MemorySet => {
                self.count(3)?;
                self.pointer(0)?;
                self.exactly(1, Type::I8)?;
                self.exactly(2, Type::I64)?;
                self.nothing()
            }
            Rule::AtomicAny => self.atomic_any(),
            Rule::AtomicInt => self.atomic("an i32 or i64", is_atomic_int),
            Rule::AtomicNumber => self.atomic("an i32, i64, f32 or f64", is_shuffled),
            Rule::AtomicFloat => self.atomic("an f32 or f64", is_atomic_float),
            Rule::CompareExchange => self.compare_exchange(),
            Rule::Nothing => {
                self.count(0)?;
                self.nothing()
            }
            Rule::WorkItem => {
                self.count(0)?;
                self.below(3)?;
                Ok(smallvec![Type::I32])
            }
            Rule::Clock => {
                self.count(0)?;
                Ok(smallvec![Type::I64])
            }
            Rule::SubgroupShuffle => {
                self.count(2)?;
                self.exactly(1, Type::I32)?;
                self.operand(0, "an i32, i64, f32 or f64", is_shuffled)?;
                Ok(smallvec![self.args[0]])
            }
            Rule::SubgroupVote => {
                self.count(1)?;
                self.exactly(0, Type::I1)?;
                Ok(smallvec![Type::I1])
            }
            Rule::SubgroupBallot => {
                self.count(1)?;
                self.exactly(0, Type::I1)?;
                Ok(smallvec![Type::I64])
            }
            Rule::SubgroupInt => Ok(smallvec![self.same(1, ("an i32 or i64", is_atomic_int))?]),
            Rule::Call | Rule::Terminator => self.nothing(),
            Rule::CallIndirect => self.call_indirect(),
            Rule::FunctionAddress => {
                self.count(0)?;
                self.name()?;
                Ok(smallvec![Type::pointer(Space::Generic)])
            }
            Rule::Input => {
                self.count(0)?;
                self.name()?;
                self.storable()?;
                Ok(smallvec![self.suffix])
            }
            Rule::Sentinel => {
                self.count(0)?;
                let fits = self.is_open() || self.suffix.lane().is_some() || self.suffix.is_pointer();
                let wanted = "a scalar, vector or pointer";
                if fits {
                    Ok(smallvec![self.suffix])
                } else {
                    Err(TypeMismatch::Suffix { found: self.suffix, wanted })
                }
            }
            Rule::Print => {
                self.name()?;
                if let Symbol::Message(format) = self.body.symbol(SymbolRef::from_u32(self.imm)) {
                    let format = Format::parse(format).map_err(TypeMismatch::Format)?;
                    format.check(&self.args, self.types).map_err(TypeMismatch::Format)?;
                }
                self.nothing()
            }
            Rule::Throw => {
                self.name()?;
                match self.body.symbol(SymbolRef::from_u32(self.imm)) {
                    Symbol::Exception(_, Some(reason)) if !self.args.is_empty() => {
                        self.thrown(reason, &self.args)?;
                    }
                    _ => self.count(0)?,
                }
                self.nothing()
            }
            Rule::Assert => {
                let Some((_, operands)) = self.args.split_first() else {
                    return Err(TypeMismatch::Count { found: 0, wanted: 1 });
                };
                self.exactly(0, Type::I1)?;
                self.name()?;
                match self.body.symbol(SymbolRef::from_u32(self.imm)) {
                    Symbol::Message(message) if !operands.is_empty() => self.thrown(message, operands)?,
                    _ => self.count(1)?,
                }
                self.nothing()
            }
            Rule::StaticAssert => {
                self.count(1)?;
                self.exactly(0, Type::I1)?;
                self.name()?;
                self.nothing()
            }
            Rule::Query => {
                self.count(0)?;
                self.name()?;
                self.suffix_is("i1 or an integer, not a vector", |ty| !ty.is_vector() && ty.is_int())
            }
            Rule::Scratch => {
                self.count(0)?;
                self.storable()?;
                self.scratch()
            }
        }
    }

    fn nothing(&self) -> Result<ResultTypes, TypeMismatch> {
        Ok(smallvec![])
    }

    fn count(&self, wanted: usize) -> Result<(), TypeMismatch> {
        let found = self.args.len();
        if found == wanted { Ok(()) } else { Err(TypeMismatch::Count { found, wanted }) }
    }

    fn operand(
        &self,
        index: usize,
        wanted: &'static str,
        fits: impl Fn(Type) -> bool,
    ) -> Result<(), TypeMismatch> {
        let found = self.args[index];
        if !found.is_known() || fits(found) {
            Ok(())
        } else {
            Err(TypeMismatch::Operand { index, found, wanted })
        }
    }

    fn exactly(&self, index: usize, wanted: Type) -> Result<(), TypeMismatch> {
        let found = self.args[index];
        if !found.is_known() || !wanted.is_known() || found == wanted {
            return Ok(());
        }
        Err(TypeMismatch::Differs { index, found, wanted })
    }

    fn pointer(&self, index: usize) -> Result<(), TypeMismatch> {
        self.operand(index, "a pointer", Type::is_pointer)
    }

    /// Whether the suffix mentions type variables, or was reported as wrong.
    fn is_open(&self) -> bool {
        self.suffix == Type::ERROR || self.suffix.is_generic()
    }

    fn storable(&self) -> Result<(), TypeMismatch> {
        let known = self.types.layout(self.suffix).is_some() || self.is_open();
        if known {
            Ok(())
        } else {
            Err(TypeMismatch::Suffix { found: self.suffix, wanted: "a type that memory can hold" })
        }
    }

    /// What an exception is thrown with: as the reason, a format, says.
    fn thrown(&self, reason: &str, operands: &[Type]) -> Result<(), TypeMismatch> {
        let (found, most) = (operands.len(), limits::MAX_THROW_OPERANDS);
        if found > most {
            return Err(TypeMismatch::Format(format!("{found} operands, the most is {most}")));
        }
        let format = Format::parse(reason).map_err(TypeMismatch::Format)?;
        format.check(operands, self.types).map_err(TypeMismatch::Format)
    }

    fn name(&self) -> Result<(), TypeMismatch> {
        if self.body.symbol_exists(self.imm) { Ok(()) } else { Err(TypeMismatch::Dangling) }
    }

    fn below(&self, limit: u64) -> Result<(), TypeMismatch> {
        let found = u64::from(self.imm);
        if found < limit { Ok(()) } else { Err(TypeMismatch::Immediate { found, limit }) }
    }

    /// All operands have one type that fits; that type, or unknown.
    fn same(&self, count: usize, (wanted, fits): (&'static str, Fits)) -> Result<Type, TypeMismatch> {
        self.count(count)?;
        let set = self.args.iter().copied().find(|ty| ty.is_known()).unwrap_or(Type::UNKNOWN);
        for index in 0..count {
            self.operand(index, wanted, fits)?;
            self.exactly(index, set)?;
        }
        Ok(set)
    }

    /// As `same`, for as many operands as there are (the shape fixes the number).
    fn same_as_operands(&self, class: (&'static str, Fits)) -> Result<ResultTypes, TypeMismatch> {
        Ok(smallvec![self.same(self.args.len(), class)?])
    }

    fn suffix_is(
        &self,
        wanted: &'static str,
        fits: impl Fn(Type) -> bool,
    ) -> Result<ResultTypes, TypeMismatch> {
        if self.is_open() || fits(self.suffix) {
            return Ok(smallvec![self.suffix]);
        }
        Err(TypeMismatch::Suffix { found: self.suffix, wanted })
    }

    /// Type of the field that the immediate names, of an aggregate type.
    fn field(&self, aggregate: Type) -> Result<Type, TypeMismatch> {
        if !aggregate.is_known() {
            return Ok(Type::UNKNOWN);
        }
        let limit = self.types.field_count(aggregate).unwrap_or(0);
        let field = self.types.field_type(aggregate, u64::from(self.imm));
        field.ok_or(TypeMismatch::Immediate { found: u64::from(self.imm), limit })
    }
}

fn mask_of(ty: Type) -> Type {
    if ty.is_known() { ty.mask_type() } else { Type::UNKNOWN }
}

fn lane_of(vector: Type) -> Type {
    match vector.kind() {
        TypeKind::Vector(lane, _) => Type::scalar(lane),
        _ => Type::UNKNOWN,
    }
}
