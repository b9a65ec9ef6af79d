//! From a module to text, by naga's writers.

use super::abi::Shader;
use super::{Language, internal, refuse};
use crate::error::EmitError;
use crate::native::fence;
use marquetry_ir::unit::Unit;
use marquetry_lower::failure::Limit;
use naga::back::{hlsl, msl, wgsl};
use naga::proc::{CaseInsensitiveKeywordSet, NameKey, Namer};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, FastHashMap, Module};

/// The text, and what entry points are called there, in their order.
pub(super) struct Written {
    pub text: String,
    pub names: Vec<String>,
}

/// Where Metal takes the sizes of buffers, which naga's functions pass on and nothing reads. Its buffers are those below.
const METAL_SIZES: u8 = 30;

/// Writes a module in a language.
///
/// # Errors
/// More buffers than the language has, or a module that breaks naga's rules, which would be a mistake of ours.
pub(super) fn write(shader: &Shader, unit: &Unit, language: Language) -> Result<Written, EmitError> {
    if language == Language::Msl {
        for &kernel in &shader.kernels {
            let function = &unit.funcs[kernel];
            let (most, found) = (u64::from(METAL_SIZES) - 1, refuse::buffers(&function.signature.params));
            if found as u64 > most {
                let passed = Limit::new("buffers of a kernel", most, found as u64);
                return Err(EmitError::Limit(passed.at(&function.name, function.file, function.span)));
            }
        }
    }
    fence(|| {
        let module = &shader.module;
        // Whether barriers are met by all is known to lowering, and judged more coarsely by naga.
        let flags = ValidationFlags::all() - ValidationFlags::CONTROL_FLOW_UNIFORMITY;
        let info = Validator::new(flags, Capabilities::empty())
            .validate(module)
            .map_err(|error| internal(&error.emit_to_string_with_path("", "module")))?;
        match language {
            Language::Wgsl => webgpu(module, &info),
            Language::Msl => metal(module, &info),
            Language::Hlsl => direct3d(module, &info, shader.group_count),
        }
    })
}

fn webgpu(module: &Module, info: &ModuleInfo) -> Result<Written, EmitError> {
    let text = wgsl::write_string(module, info, wgsl::WriterFlags::empty());
    let text = text.map_err(|error| internal(&error.to_string()))?;
    // The writer does not tell the names that it gives; they come from here.
    let mut names = FastHashMap::default();
    Namer::default().reset(
        module,
        &naga::keywords::wgsl::RESERVED_SET,
        &naga::keywords::wgsl::BUILTIN_IDENTIFIER_SET,
        CaseInsensitiveKeywordSet::empty(),
        &["__", "_naga"],
        &mut names,
    );
    let count = module.entry_points.len() as u16;
    let names: Option<Vec<String>> = (0..count).map(|n| names.remove(&NameKey::EntryPoint(n))).collect();
    let names = names.ok_or_else(|| internal("an entry point without name"))?;
    for name in &names {
        if !text.contains(&format!("fn {name}(")) {
            return Err(internal(&format!("an entry point that is not called '{name}'")));
        }
    }
    Ok(Written { text, names })
}

fn bindings(module: &Module) -> impl Iterator<Item = (naga::ResourceBinding, bool)> {
    module.global_variables.iter().filter_map(|(_, variable)| {
        let written = match variable.space {
            AddressSpace::Storage { access } => access.contains(naga::StorageAccess::STORE),
            _ => false,
        };
        Some((variable.binding?, written))
    })
}

/// Buffer `n` is binding `n`.
fn metal(module: &Module, info: &ModuleInfo) -> Result<Written, EmitError> {
    let mut resources = msl::EntryPointResources { sizes_buffer: Some(METAL_SIZES), ..Default::default() };
    for (binding, written) in bindings(module) {
        let entry = resources.resources.entry(binding).or_default();
        entry.buffer = u8::try_from(binding.binding).ok();
        entry.mutable |= written;
    }
    let names = module.entry_points.iter().map(|entry| entry.name.clone());
    let options = msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: names.map(|name| (name, resources.clone())).collect(),
        fake_missing_bindings: false,
        // Shared memory starts out uninitialised in every engine.
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    };
    let written = msl::write_string(module, info, &options, &msl::PipelineOptions::default());
    let (text, known) = written.map_err(|error| internal(&error.to_string()))?;
    let names: Result<Vec<String>, _> = known.entry_point_names.into_iter().collect();
    Ok(Written { text, names: names.map_err(|error| internal(&error.to_string()))? })
}

/// Register `n` is binding `n`; the number of groups, which is no built-in value here, is the constants `b0`.
fn direct3d(module: &Module, info: &ModuleInfo, group_count: bool) -> Result<Written, EmitError> {
    let target =
        |binding: naga::ResourceBinding| hlsl::BindTarget { register: binding.binding, ..Default::default() };
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        binding_map: bindings(module).map(|(binding, _)| (binding, target(binding))).collect(),
        fake_missing_bindings: false,
        special_constants_binding: group_count.then(hlsl::BindTarget::default),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        ..Default::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    let known = writer.write(module, info, None).map_err(|error| internal(&error.to_string()))?;
    let names: Result<Vec<String>, _> = known.entry_point_names.into_iter().collect();
    let names = names.map_err(|error| internal(&error.to_string()))?;
    Ok(Written { text, names })
}
