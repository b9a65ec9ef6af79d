//! The module under construction: types, and one variable per object.

use super::objects::{Kind, Object, Objects};
use super::{internal, unsupported};
use crate::error::EmitError;
use marquetry_ir::entity::Func;
use marquetry_ir::types::{Scalar, Space, Type, TypeKind};
use marquetry_ir::unit::Unit;
use marquetry_lower::failure::Limit;
use naga::{
    AddressSpace, ArraySize, Expression, Function, GlobalVariable, Handle, Literal, MemoryDecorations,
    PredeclaredType, ResourceBinding, Span, StorageAccess, StructMember, TypeInner,
};
use rustc_hash::FxHashMap;
use std::num::NonZeroU32;

/// What all functions share.
pub(super) struct State<'u> {
    pub unit: &'u Unit,
    pub objects: Objects,
    pub module: naga::Module,
    pub block: [u32; 3],
    /// Functions that were emitted.
    pub functions: FxHashMap<Func, Handle<Function>>,
    /// Variables of objects, but for slots that are local to a function.
    pub variables: FxHashMap<Object, Handle<GlobalVariable>>,
    /// Positions in the grid for functions that are no kernels, by number of the built-in.
    pub positions: [Option<Handle<GlobalVariable>>; 3],
    /// The kernels, in the order of the module's entry points.
    pub kernels: Vec<Func>,
    /// Whether a kernel is given the number of groups.
    pub group_count: bool,
}

/// The most words of a table that is written into the text.
const MAX_INITIAL_WORDS: u64 = 1 << 16;

/// The type of words.
pub(super) const U32: naga::Scalar = naga::Scalar::U32;

impl<'u> State<'u> {
    /// An empty module for a unit.
    pub(super) fn new(unit: &'u Unit, objects: Objects, block: [u32; 3]) -> Self {
        let (module, functions, variables, positions, kernels) = Default::default();
        State { unit, objects, module, block, functions, variables, positions, kernels, group_count: false }
    }

    fn ty(&mut self, inner: TypeInner) -> Handle<naga::Type> {
        self.module.types.insert(naga::Type { name: None, inner }, Span::UNDEFINED)
    }

    /// A scalar type.
    pub(super) fn scalar(&mut self, scalar: naga::Scalar) -> Handle<naga::Type> {
        self.ty(TypeInner::Scalar(scalar))
    }

    /// What a compare-and-exchange gives: the old word, and whether it was exchanged.
    pub(super) fn compare_exchange_result(&mut self) -> Handle<naga::Type> {
        self.module.generate_predeclared_type(PredeclaredType::AtomicCompareExchangeWeakResult(U32))
    }

    /// Three words, as positions are.
    pub(super) fn triple(&mut self) -> Handle<naga::Type> {
        self.ty(TypeInner::Vector { size: naga::VectorSize::Tri, scalar: U32 })
    }

    /// How values of a type are held.
    pub(super) fn value_type(&mut self, ty: Type) -> Result<Handle<naga::Type>, EmitError> {
        Ok(self.scalar(held(ty)?))
    }

    /// What a function with these results returns.
    pub(super) fn result_type(&mut self, results: &[Type]) -> Result<Option<Handle<naga::Type>>, EmitError> {
        match results {
            [] => Ok(None),
            &[one] => self.value_type(one).map(Some),
            many => {
                let mut members = Vec::with_capacity(many.len());
                for (n, &ty) in many.iter().enumerate() {
                    let ty = self.value_type(ty)?;
                    members.push(StructMember {
                        name: Some(format!("result{n}")),
                        ty,
                        binding: None,
                        offset: n as u32 * 4,
                    });
                }
                let span = (many.len() as u32 * 4).next_multiple_of(4);
                Ok(Some(self.ty(TypeInner::Struct { members, span })))
            }
        }
    }

    fn words(&mut self, atomic: bool, size: ArraySize) -> Handle<naga::Type> {
        let base = if atomic { self.ty(TypeInner::Atomic(U32)) } else { self.scalar(U32) };
        self.ty(TypeInner::Array { base, size, stride: 4 })
    }

    /// The array of words that an object is.
    pub(super) fn object_type(&mut self, object: Object) -> Result<Handle<naga::Type>, EmitError> {
        let data = self.objects.list.get(object as usize).ok_or_else(|| internal("a dangling object"))?;
        let (atomic, bytes) = (data.atomic, data.bytes);
        let words = u32::try_from(bytes.div_ceil(4).max(1)).ok().and_then(NonZeroU32::new);
        let size = match data.kind {
            Kind::Buffer { .. } => ArraySize::Dynamic,
            _ => ArraySize::Constant(
                words.ok_or_else(|| unsupported(format_args!("a variable of {bytes} bytes")))?,
            ),
        };
        Ok(self.words(atomic, size))
    }

    fn add_variable(&mut self, variable: GlobalVariable) -> Handle<GlobalVariable> {
        self.module.global_variables.append(variable, Span::UNDEFINED)
    }

    /// A buffer of words at a binding.
    pub(super) fn bound(
        &mut self,
        name: String,
        ty: Handle<naga::Type>,
        binding: u32,
        written: bool,
    ) -> Handle<GlobalVariable> {
        let access = if written { StorageAccess::LOAD | StorageAccess::STORE } else { StorageAccess::LOAD };
        self.add_variable(GlobalVariable {
            name: Some(name),
            space: AddressSpace::Storage { access },
            binding: Some(ResourceBinding { group: 0, binding }),
            ty,
            init: None,
            memory_decorations: MemoryDecorations::empty(),
        })
    }

    /// The argument block of a kernel.
    pub(super) fn arguments(&mut self, kernel: &str) -> Handle<GlobalVariable> {
        let ty = self.words(false, ArraySize::Dynamic);
        self.bound(format!("{kernel}_arguments"), ty, 0, false)
    }

    /// The variable of an object that is none of a function, made if it does not exist yet.
    pub(super) fn variable(&mut self, object: Object) -> Result<Handle<GlobalVariable>, EmitError> {
        if let Some(&variable) = self.variables.get(&object) {
            return Ok(variable);
        }
        let data =
            self.objects.list.get(object as usize).ok_or_else(|| internal("a dangling object"))?.clone();
        let ty = self.object_type(object)?;
        let plain = |name: String, space: AddressSpace, init| GlobalVariable {
            name: Some(name),
            space,
            binding: None,
            ty,
            init,
            memory_decorations: MemoryDecorations::empty(),
        };
        let variable = match data.kind {
            Kind::Buffer { kernel, param } => {
                let function = &self.unit.funcs[kernel];
                let before = function.signature.params.iter().take(param as usize);
                let binding = 1 + before.filter(|ty| ty.is_pointer()).count() as u32;
                // A buffer with atomics is loaded from by atomics, which are writes to the language.
                let name = format!("{}_{param}", function.name);
                self.bound(name, ty, binding, data.written || data.atomic)
            }
            Kind::Slot { owner } => {
                let name = format!("{}_slot{object}", self.unit.funcs[owner].name);
                self.add_variable(plain(name, AddressSpace::Private, None))
            }
            Kind::Global(global) => {
                let source = &self.unit.globals[global];
                let name = source.name.to_string();
                if source.space == Space::Shared {
                    self.add_variable(plain(name, AddressSpace::WorkGroup, None))
                } else {
                    let bytes = source.init.as_deref().unwrap_or_default();
                    let words = data.bytes.div_ceil(4).max(1);
                    if words > MAX_INITIAL_WORDS {
                        let passed = Limit::new("words of an initialised global", MAX_INITIAL_WORDS, words);
                        return Err(EmitError::Limit(passed.at(&source.name, source.file, source.span)));
                    }
                    let init = self.initialiser(bytes, words, ty);
                    self.add_variable(plain(name, AddressSpace::Private, Some(init)))
                }
            }
        };
        self.variables.insert(object, variable);
        Ok(variable)
    }

    /// The words of a constant global.
    fn initialiser(&mut self, bytes: &[u8], words: u64, ty: Handle<naga::Type>) -> Handle<Expression> {
        let expressions = &mut self.module.global_expressions;
        if bytes.iter().all(|&byte| byte == 0) {
            return expressions.append(Expression::ZeroValue(ty), Span::UNDEFINED);
        }
        let mut components = Vec::with_capacity(words as usize);
        for n in 0..words as usize {
            let mut word = [0; 4];
            let chunk = bytes.get(n * 4..).unwrap_or_default();
            word.iter_mut().zip(chunk).for_each(|(to, &from)| *to = from);
            let literal = Expression::Literal(Literal::U32(u32::from_le_bytes(word)));
            components.push(expressions.append(literal, Span::UNDEFINED));
        }
        expressions.append(Expression::Compose { ty, components }, Span::UNDEFINED)
    }

    /// A variable in which kernels leave a position for the functions that they call.
    pub(super) fn position(&mut self, which: usize, name: &str) -> Handle<GlobalVariable> {
        if let Some(Some(variable)) = self.positions.get(which) {
            return *variable;
        }
        let ty = self.triple();
        let variable = self.add_variable(GlobalVariable {
            name: Some(name.to_owned()),
            space: AddressSpace::Private,
            binding: None,
            ty,
            init: None,
            memory_decorations: MemoryDecorations::empty(),
        });
        if let Some(place) = self.positions.get_mut(which) {
            *place = Some(variable);
        }
        variable
    }
}

/// How values of a type are held: as truth values, words or floats.
pub(super) fn held(ty: Type) -> Result<naga::Scalar, EmitError> {
    match ty.kind() {
        TypeKind::Scalar(Scalar::I1) => Ok(naga::Scalar::BOOL),
        TypeKind::Scalar(Scalar::F32) => Ok(naga::Scalar::F32),
        TypeKind::Scalar(Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::F16 | Scalar::BF16)
        | TypeKind::Pointer(_) => Ok(U32),
        _ => Err(internal(&format!("a value of type {ty} in a legal unit"))),
    }
}
