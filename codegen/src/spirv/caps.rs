//! Capabilities, extensions and the version that a module states: exactly what it uses.
//!
//! Hosts compare them with the device's before they load a module, so that a missing feature is an error with a
//! name instead of a driver that misbehaves (drivers do not check what modules declare).

use super::{Api, Environment};
use rspirv::spirv::Capability;
use smallvec::SmallVec;

/// What a module asks of the device.
#[derive(Clone, Debug)]
pub(super) struct Capabilities {
    env: Environment,
    /// Ascending, as are the extensions: there are few, and most that are asked for are there.
    list: SmallVec<[u32; 16]>,
    extensions: SmallVec<[&'static str; 2]>,
    minor: u32,
}

impl Capabilities {
    /// What every module of the environment asks for.
    pub fn new(env: Environment) -> Self {
        let base: &[Capability] = match env.api {
            Api::Vulkan => &[
                Capability::Shader,
                Capability::PhysicalStorageBufferAddresses,
                Capability::VulkanMemoryModel,
                Capability::Int64,
            ],
            Api::OpenCl => &[Capability::Kernel, Capability::Addresses, Capability::Int8, Capability::Int64],
        };
        let minor = match env.api {
            Api::Vulkan if env.minor >= 3 => 6,
            Api::Vulkan => 5,
            // What the versions of OpenCL must take: 1.0 up to 2.1, 1.2 from 2.2 on (OpenCL SPIR-V Environment, 2).
            // Later ones add nothing that is emitted, but for sub-groups.
            Api::OpenCl if env.minor >= 2 => 2,
            Api::OpenCl => 0,
        };
        let mut list: SmallVec<[u32; 16]> = base.iter().map(|&c| c as u32).collect();
        list.sort_unstable();
        Capabilities { env, list, extensions: SmallVec::new(), minor }
    }

    /// Asks for a capability.
    pub fn add(&mut self, capability: Capability) {
        match self.list.binary_search(&(capability as u32)) {
            Ok(_) => return,
            Err(at) => self.list.insert(at, capability as u32),
        }
        use Capability as C;
        match capability {
            C::AtomicFloat32AddEXT => self.extension("SPV_EXT_shader_atomic_float_add"),
            C::ShaderClockKHR => self.extension("SPV_KHR_shader_clock"),
            // Core since 1.3 (specification, 3.32.24).
            C::GroupNonUniform
            | C::GroupNonUniformVote
            | C::GroupNonUniformBallot
            | C::GroupNonUniformShuffle
            | C::GroupNonUniformArithmetic => self.minor = self.minor.max(3),
            _ => {}
        }
    }

    fn extension(&mut self, name: &'static str) {
        if let Err(at) = self.extensions.binary_search(&name) {
            self.extensions.insert(at, name);
        }
    }

    /// The version word of the header.
    pub fn version(&self) -> u32 {
        0x0001_0000 | (self.minor << 8)
    }

    /// Whether entry points list all module-scope variables that they use, and not only inputs (since 1.4).
    pub fn lists_all_variables(&self) -> bool {
        self.env.api == Api::Vulkan
    }

    /// The capabilities, in ascending order.
    pub fn capabilities(&self) -> impl Iterator<Item = &u32> {
        self.list.iter()
    }

    /// The extensions, in ascending order.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        self.extensions.iter().copied()
    }
}
