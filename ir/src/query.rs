//! What code may ask its target: the keys that every target answers, for the language reference and for lowering.

/// What a target says about itself.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Answer {
    /// Yes or no: an `i1`.
    Truth(bool),
    /// A number: of any integer type that holds it.
    Number(u64),
}

/// The keys that every target answers, what it means if a target does not say, and for people.
pub const KEYS: [(&str, Answer, &str); 12] = [
    ("is_native", Answer::Truth(false), "whether this is code for a CPU"),
    ("is_gpu", Answer::Truth(false), "whether this is code for a GPU"),
    ("is_ptx", Answer::Truth(false), "whether this is PTX"),
    ("is_spirv", Answer::Truth(false), "whether this is SPIR-V"),
    ("sm", Answer::Number(0), "the number of the PTX architecture: 90 for sm_90; else 0"),
    ("vulkan", Answer::Number(0), "the version of Vulkan: 13 for 1.3; else 0"),
    ("opencl", Answer::Number(0), "the version of OpenCL: 21 for 2.1; else 0"),
    ("pointer_bits", Answer::Number(64), "the size of an address"),
    ("max_shared_bytes", Answer::Number(0), "most bytes of shared memory per group"),
    ("max_argument_bytes", Answer::Number(0), "most bytes of kernel arguments"),
    ("debug_level", Answer::Number(0), "the job's debug level"),
    ("opt_level", Answer::Number(0), "the job's optimisation level"),
];
