//! From a module to text, by naga's writers.

use super::{Language, internal};
use crate::error::EmitError;
use naga::back::{hlsl, msl, wgsl};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

/// Writes a module in a language.
///
/// # Errors
/// A module that breaks naga's rules, which would be a mistake of ours.
pub(super) fn write(module: &Module, language: Language) -> Result<String, EmitError> {
    // Whether barriers are met by all is known to lowering, and judged more coarsely by naga.
    let flags = ValidationFlags::all() - ValidationFlags::CONTROL_FLOW_UNIFORMITY;
    let info = Validator::new(flags, Capabilities::empty())
        .validate(module)
        .map_err(|error| internal(&error.emit_to_string_with_path("", "module")))?;
    match language {
        Language::Wgsl => wgsl::write_string(module, &info, wgsl::WriterFlags::empty())
            .map_err(|error| internal(&error.to_string())),
        Language::Msl => {
            let pipeline = msl::PipelineOptions::default();
            let text = msl::write_string(module, &info, &metal(module), &pipeline);
            text.map(|(text, _)| text).map_err(|error| internal(&error.to_string()))
        }
        Language::Hlsl => {
            let (options, pipeline) = (direct3d(module), hlsl::PipelineOptions::default());
            let mut text = String::new();
            let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
            writer.write(module, &info, None).map_err(|error| internal(&error.to_string()))?;
            Ok(text)
        }
    }
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
fn metal(module: &Module) -> msl::Options {
    let mut resources = msl::EntryPointResources::default();
    for (binding, written) in bindings(module) {
        let entry = resources.resources.entry(binding).or_default();
        entry.buffer = Some(binding.binding as u8);
        entry.mutable |= written;
    }
    let names = module.entry_points.iter().map(|entry| entry.name.clone());
    msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: names.map(|name| (name, resources.clone())).collect(),
        fake_missing_bindings: false,
        // Shared memory starts out uninitialised in every engine.
        zero_initialize_workgroup_memory: false,
        ..Default::default()
    }
}

/// Register `n` is binding `n`.
fn direct3d(module: &Module) -> hlsl::Options {
    let target =
        |binding: naga::ResourceBinding| hlsl::BindTarget { register: binding.binding, ..Default::default() };
    hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_0,
        binding_map: bindings(module).map(|(binding, _)| (binding, target(binding))).collect(),
        fake_missing_bindings: true,
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        ..Default::default()
    }
}
