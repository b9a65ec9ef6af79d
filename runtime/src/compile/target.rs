//! Targets of any back-end: how they are spelled, and the last step to code.

use crate::device::{DeviceInfo, DeviceKind};
use crate::memory::Memory;
use marquetry_codegen::artifact::Artifact;
use marquetry_codegen::error::EmitError;
use marquetry_codegen::native::{self, NativeOptions, NativeTarget, emit_object, emit_object_with};
use marquetry_codegen::ptx::{self, PtxTarget};
#[cfg(feature = "shader")]
use marquetry_codegen::shader::{self, ShaderTarget};
use marquetry_codegen::spirv::{self, SpirvTarget};
use marquetry_lower::job::OptLevel;
use marquetry_lower::legal::Legal;

/// A target of any back-end.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// Native code.
    Native(NativeTarget),
    /// PTX.
    Ptx(PtxTarget),
    /// SPIR-V.
    Spirv(SpirvTarget),
    /// WGSL, MSL or HLSL.
    #[cfg(feature = "shader")]
    Shader(ShaderTarget),
}

impl Target {
    /// Reads a target as the command line spells it: `native[:TRIPLE]`, `ptx[:sm_XX][,BOUNDS]`, `spirv[:ENVIRONMENT]`,
    /// `wgsl`, `msl` or `hlsl`, with `[:GROUP_SIZE]`.
    ///
    /// # Errors
    /// No such target: what was found, and what there is.
    pub fn parse(text: &str, opt_level: OptLevel) -> Result<Target, EmitError> {
        match text.split([':', ',', '+']).next() {
            Some("native") => NativeTarget::parse(text, native_options(opt_level)).map(Target::Native),
            Some("ptx") => PtxTarget::parse(text).map(Target::Ptx),
            Some("spirv") => SpirvTarget::parse(text).map(Target::Spirv),
            #[cfg(feature = "shader")]
            Some("wgsl" | "msl" | "hlsl") => ShaderTarget::parse(text).map(Target::Shader),
            #[cfg(not(feature = "shader"))]
            Some("wgsl" | "msl" | "hlsl") => Err(EmitError::Target(format!(
                "'{text}' is a target of the feature `shader`, which was left out"
            ))),
            _ => {
                let message =
                    format!("'{text}' is not a target: expected native, ptx, spirv, wgsl, msl or hlsl");
                Err(EmitError::Target(message))
            }
        }
    }

    /// The target for a device.
    ///
    /// # Errors
    /// The device has none.
    pub fn for_device(info: &DeviceInfo, opt_level: OptLevel) -> Result<Target, String> {
        let text = match info.kind {
            DeviceKind::Cpu => "native".to_string(),
            DeviceKind::Vulkan => "spirv:vulkan1.3".to_string(),
            DeviceKind::OpenCl => "spirv:opencl2.1".to_string(),
            DeviceKind::Cuda => match info.compute_capability {
                Some((major, minor)) => format!("ptx:sm_{major}{minor}"),
                None => return Err("the device does not state its compute capability".into()),
            },
        };
        Target::parse(&text, opt_level).map_err(|error| error.to_string())
    }

    /// As lowering sees it.
    pub fn lowering(&self) -> &dyn marquetry_lower::target::Target {
        match self {
            Target::Native(target) => target,
            Target::Ptx(target) => target,
            Target::Spirv(target) => target,
            #[cfg(feature = "shader")]
            Target::Shader(target) => target,
        }
    }

    /// Whether jobs for it see the device table.
    pub fn is_device(&self) -> bool {
        !matches!(self, Target::Native(_))
    }

    /// Emits a legal unit as an artifact; native code as a relocatable object.
    ///
    /// # Errors
    /// A limit of the target's format.
    pub fn emit(&self, legal: &Legal) -> Result<Artifact, EmitError> {
        match self {
            Target::Native(target) => emit_object(legal, target),
            Target::Ptx(target) => ptx::emit(legal, target),
            Target::Spirv(target) => spirv::emit(legal, target),
            #[cfg(feature = "shader")]
            Target::Shader(target) => shader::emit(legal, target),
        }
    }

    /// As [`Self::emit`], in memory that is kept.
    pub(super) fn emit_in(&self, legal: &Legal, memory: &mut Memory) -> Result<Artifact, EmitError> {
        match self {
            Target::Native(target) => emit_object_with(legal, target, &mut memory.native),
            Target::Ptx(target) => ptx::emit(legal, target),
            Target::Spirv(target) => spirv::emit_with(legal, target, &mut memory.spirv),
            #[cfg(feature = "shader")]
            Target::Shader(target) => shader::emit(legal, target),
        }
    }
}

/// Code as people read it.
impl Target {
    /// Emits a legal unit as text: PTX, disassembled SPIR-V, a shading language, or Cranelift's IR.
    ///
    /// # Errors
    /// A limit of the target's format.
    pub fn emit_text(&self, legal: &Legal) -> Result<String, EmitError> {
        match self {
            Target::Native(target) => native::emit_text(legal, target),
            Target::Ptx(target) => Ok(String::from_utf8_lossy(&ptx::emit(legal, target)?.code).into_owned()),
            Target::Spirv(target) => spirv::disassemble(&spirv::emit(legal, target)?.code),
            #[cfg(feature = "shader")]
            Target::Shader(target) => {
                Ok(String::from_utf8_lossy(&shader::emit(legal, target)?.code).into_owned())
            }
        }
    }
}

fn native_options(opt_level: OptLevel) -> NativeOptions {
    NativeOptions { opt_level: opt_level as u8, ..NativeOptions::default() }
}
