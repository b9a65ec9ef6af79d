//! Scalars and address spaces.

/// The scalar types.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scalar {
    /// A truth value.
    I1,
    /// 8-bit integer.
    I8,
    /// 16-bit integer.
    I16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 128-bit integer.
    I128,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
}

impl Scalar {
    /// All scalars, in the order of their spelling in the documentation.
    pub const ALL: [Scalar; 10] = {
        use Scalar::*;
        [I1, I8, I16, I32, I64, I128, F16, BF16, F32, F64]
    };

    /// The spelling in text.
    pub const fn name(self) -> &'static str {
        match self {
            Scalar::I1 => "i1",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::I128 => "i128",
            Scalar::F16 => "f16",
            Scalar::BF16 => "bf16",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
        }
    }

    /// Width in bits.
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Scalar::I1 => 1,
            Scalar::I8 => 8,
            Scalar::I16 | Scalar::F16 | Scalar::BF16 => 16,
            Scalar::I32 | Scalar::F32 => 32,
            Scalar::I64 | Scalar::F64 => 64,
            Scalar::I128 => 128,
        }
    }

    /// Size in memory, in bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self.bits().div_ceil(8) as u64
    }

    /// Whether this is an integer, `i1` included.
    #[inline]
    pub const fn is_int(self) -> bool {
        matches!(self, Scalar::I1 | Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128)
    }

    /// Whether this is a floating-point type.
    #[inline]
    pub const fn is_float(self) -> bool {
        !self.is_int()
    }

    /// The bits that a value of this type may have set.
    #[inline]
    pub const fn mask(self) -> u128 {
        match self.bits() {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    pub(super) const fn from_code(code: u32) -> Scalar {
        Scalar::ALL[(code % 10) as usize]
    }
}

/// Address spaces.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// Any of the others but `param`; the space is known when running.
    Generic,
    /// Memory that every work-item and the host can see.
    Global,
    /// Memory of one work-group.
    Shared,
    /// Memory that nobody writes while a kernel runs.
    Constant,
    /// Memory of one function activation.
    Local,
    /// Kernel arguments passed in memory.
    Param,
}

impl Space {
    /// All spaces.
    pub const ALL: [Space; 6] =
        [Space::Generic, Space::Global, Space::Shared, Space::Constant, Space::Local, Space::Param];

    /// The spelling in text.
    pub const fn name(self) -> &'static str {
        match self {
            Space::Generic => "generic",
            Space::Global => "global",
            Space::Shared => "shared",
            Space::Constant => "constant",
            Space::Local => "local",
            Space::Param => "param",
        }
    }

    /// Its place among [`Self::ALL`].
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Whether `scratch` gives memory in it.
    pub const fn has_scratch(self) -> bool {
        matches!(self, Space::Generic | Space::Shared | Space::Local)
    }

    pub(super) const fn from_code(code: u32) -> Space {
        Space::ALL[(code % 6) as usize]
    }
}
