//! PTX targets: which GPU, and which version of the language that takes.

use super::actions;
use super::bounds::Bounds;
use crate::error::EmitError;
use marquetry_ir::op::Op;
use marquetry_ir::types::{Scalar, Type, TypeKind};
use marquetry_lower::query::Answer;
use marquetry_lower::target::{Action, Caps, Target, TypeAction};

/// Most bytes of kernel arguments before PTX ISA 8.1.
pub(super) const OLD_ARGUMENT_BYTES: u64 = 4096;
/// Most bytes of kernel arguments from PTX ISA 8.1 on (sm_70 and later).
pub(super) const MAX_ARGUMENT_BYTES: u64 = 32_764;
/// Most bytes of statically sized shared memory.
pub(super) const MAX_SHARED_BYTES: u64 = 48 << 10;

/// A version of the PTX ISA.
pub type Version = (u8, u8);

/// Each architecture with the first version of the PTX ISA that has it: baseline, `a` and `f`.
const ARCHITECTURES: &[(u16, Version, Option<Version>, Option<Version>)] = &[
    (75, (6, 3), None, None),
    (80, (7, 0), None, None),
    (86, (7, 1), None, None),
    (87, (7, 4), None, None),
    (88, (9, 0), None, None),
    (89, (7, 8), None, None),
    (90, (7, 8), Some((8, 0)), None),
    (100, (8, 6), Some((8, 6)), Some((8, 8))),
    (103, (8, 8), Some((8, 8)), Some((8, 8))),
    (110, (9, 0), Some((9, 0)), Some((9, 0))),
    (120, (8, 7), Some((8, 7)), Some((8, 8))),
    (121, (8, 8), Some((8, 8)), Some((8, 8))),
];

/// Which features beyond the baseline a target has.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Features {
    /// Those that later architectures keep.
    #[default]
    Baseline,
    /// Those of the family as well: `f`.
    Family,
    /// Those of this architecture only as well: `a`.
    Architecture,
}

impl Features {
    const fn suffix(self) -> &'static str {
        match self {
            Features::Baseline => "",
            Features::Family => "f",
            Features::Architecture => "a",
        }
    }
}

/// A PTX target: `ptx:sm_90`, `ptx:sm_90a`, or `ptx` for the oldest architecture, whose code runs on all. Bounds of
/// launches may follow: `ptx:sm_90,maxntid=256,minnctapersm=2`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PtxTarget {
    sm: u16,
    features: Features,
    version: Version,
    bounds: Bounds,
    caps: Caps,
}

impl PtxTarget {
    /// A target from its architecture; none if it does not exist.
    pub fn new(sm: u16, features: Features) -> Option<PtxTarget> {
        let row = ARCHITECTURES.iter().find(|row| row.0 == sm)?;
        let version = match features {
            Features::Baseline => Some(row.1),
            Features::Architecture => row.2,
            Features::Family => row.3,
        }?;
        let caps = Caps {
            calls: true,
            recursion: true,
            indirect_calls: true,
            structured: false,
            functions: false,
            kernels: true,
            externs: false,
            global_variables: true,
            sequential_consistency: true,
            volatile_accesses: true,
            memory_ops: false,
            early_returns: true,
            max_shared_bytes: MAX_SHARED_BYTES,
            argument_blocks: true,
            max_argument_bytes: MAX_ARGUMENT_BYTES,
        };
        Some(PtxTarget { sm, features, version, bounds: Bounds::default(), caps })
    }

    /// The same, for launches within bounds.
    pub fn bounded(self, bounds: Bounds) -> PtxTarget {
        PtxTarget { bounds, ..self }
    }

    /// The target that `text` spells: `ptx`, or `ptx:sm_` and a number, and perhaps `a` or `f`; then, each behind a comma,
    /// bounds of launches.
    ///
    /// # Errors
    /// It spells none; the message lists those that exist.
    pub fn parse(text: &str) -> Result<PtxTarget, EmitError> {
        let Some((target, bounds)) = text.split_once(',') else { return Self::parse_plain(text) };
        Ok(Self::parse_plain(target)?.bounded(Bounds::parse(bounds)?))
    }

    fn parse_plain(text: &str) -> Result<PtxTarget, EmitError> {
        let target = match text.strip_prefix("ptx") {
            Some("") => PtxTarget::new(75, Features::Baseline),
            Some(rest) => rest.strip_prefix(":sm_").and_then(Self::parse_architecture),
            None => None,
        };
        target.ok_or_else(|| {
            let known = ARCHITECTURES.iter().map(|row| format!("sm_{}", row.0)).collect::<Vec<_>>();
            let known = known.join(", ");
            EmitError::Target(format!("unknown target '{text}', expected ptx or ptx: with one of {known}"))
        })
    }

    fn parse_architecture(text: &str) -> Option<PtxTarget> {
        let (digits, features) = match text.strip_suffix('a') {
            Some(digits) => (digits, Features::Architecture),
            None => match text.strip_suffix('f') {
                Some(digits) => (digits, Features::Family),
                None => (text, Features::Baseline),
            },
        };
        // Numbers have one spelling: no sign, no leading zero.
        let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        PtxTarget::new(digits.parse().ok().filter(|_| canonical)?, features)
    }

    /// The number of the architecture: 90 for `sm_90`.
    pub fn sm(&self) -> u16 {
        self.sm
    }

    /// What `.target` says: `sm_90a`.
    pub fn architecture(&self) -> String {
        format!("sm_{}{}", self.sm, self.features.suffix())
    }

    /// What launches keep to.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// The lowest version of the PTX ISA that has this target; code that needs more asks for more.
    pub fn version(&self) -> Version {
        self.version
    }
}

impl Target for PtxTarget {
    fn name(&self) -> String {
        format!("ptx:{}{}", self.architecture(), self.bounds)
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn type_action(&self, ty: Type) -> TypeAction {
        match ty.kind() {
            TypeKind::Scalar(Scalar::I128) => TypeAction::Halves,
            TypeKind::Vector(..) => TypeAction::Lanes,
            TypeKind::Scalar(_) | TypeKind::Pointer(_) => TypeAction::Legal,
            TypeKind::Aggregate(_) | TypeKind::Unknown | TypeKind::Error => {
                TypeAction::Unsupported("not held in registers")
            }
        }
    }

    fn action(&self, op: Op, from: Type, to: Type) -> Action {
        actions::action(self.sm, op, from, to)
    }

    fn answer(&self, key: &str) -> Option<Answer> {
        match key {
            "is_gpu" | "is_ptx" => Some(Answer::Truth(true)),
            "sm" => Some(Answer::Number(self.sm.into())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let bounded = "ptx:sm_80,maxntid=64x1x1,maxnreg=32";
        for name in ["ptx:sm_75", "ptx:sm_90", "ptx:sm_90a", "ptx:sm_100f", "ptx:sm_121a", bounded] {
            assert_eq!(PtxTarget::parse(name).map(|t| t.name()), Ok(name.to_string()));
        }
        assert_eq!(PtxTarget::parse("ptx").map(|t| t.name()), Ok("ptx:sm_75".to_string()));
    }

    #[test]
    fn other_names_are_errors() {
        for name in [
            "",
            "px",
            "ptx:",
            "ptx:sm_",
            "ptx:sm_70",
            "ptx:sm_75a",
            "ptx:sm_90f",
            "ptx:sm_+75",
            "ptx:sm_075",
            "ptx,",
        ] {
            assert!(matches!(PtxTarget::parse(name), Err(EmitError::Target(_))), "{name}");
        }
    }
}
