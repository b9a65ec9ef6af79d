//! Every limit, as one table. Passing one is an error that names it, never a panic.
//!
//! The rows become constants, and the list in the language reference.

macro_rules! limits {
    ($($name:ident: $ty:ty = $value:expr, $what:literal;)*) => {
        $(
            #[doc = concat!("Most ", $what, ".")]
            pub const $name: $ty = $value;
        )*

        /// All limits in the order of the table: what there may not be more of, and how many there may be.
        pub const ALL: &[(&str, u64)] = &[$(($what, $name as u64)),*];
    };
}

limits! {
    MAX_SOURCE_BYTES: usize = 256 << 20, "bytes of a source text";
    MAX_DIAGNOSTICS: usize = 50, "diagnostics of one run";
    MAX_NAME_BYTES: usize = 1 << 12, "bytes of a name";

    MAX_LANES: u32 = 64, "lanes of a vector";
    MAX_FIELDS: usize = 4096, "fields of a struct";
    MAX_TYPES: usize = 1 << 20, "arrays and structs, named types, and types with type variables of a program, each";
    MAX_TYPE_DEPTH: usize = 64, "levels of a type, of lists in initial contents, and type variables of a method";
    MAX_TYPE_PARTS: u32 = 4096, "parts of a type with type variables";
    MAX_TYPE_BYTES: u64 = 1 << 40, "bytes of a type";
    MAX_VALUE_BYTES: u64 = 1 << 20, "bytes of an array or struct that is a value (in memory it may be larger)";

    MAX_PARAMS: usize = 4096, "parameters of a signature";
    MAX_RESULTS: usize = 255, "results of a signature or an instruction";
    MAX_OPERANDS: usize = 1 << 20, "operands of an instruction";
    // Cranelift numbers the parameters of a block in 16 bits.
    MAX_BLOCK_PARAMS: usize = 65535, "parameters of a block other than the first";
    MAX_INSTS: usize = 16 << 20, "instructions of a body";
    MAX_VALUES: usize = 64 << 20, "values of a body";
    MAX_BLOCKS: usize = 8 << 20, "blocks of a body";
    MAX_GLOBALS: usize = 1 << 20, "globals, and functions of the host, of a program from text, each";
    MAX_GLOBAL_ALIGN: u64 = 1 << 12, "bytes that a global is aligned to";
    MAX_SLOTS: usize = 1 << 16, "slots of a global";
    MAX_METHODS: usize = 1 << 19, "methods of a program, ended ones included that are not forgotten";
    MAX_FRAME_BYTES: u64 = 1 << 20, "stack-slot bytes of a function";

    // In the form that passes see, for targets that hold no arrays and structs.
    MAX_LEAVES: u64 = 4096, "scalars in one value";
    MAX_THROW_OPERANDS: usize = 4, "operands of a 'throw'";
    MAX_PRINT_WIDTH: usize = 1000, "characters of a field of a format, and digits of its precision";

    MAX_INSTANCES: usize = 1 << 16, "instances of a unit";
    MAX_SPECIALISATION_DEPTH: usize = 256, "instances with type variables that lead to one another";
    MAX_INLINED_INSTS: usize = 1 << 16, "instructions of a function after inlining";
    // A chain of functions that are inlined into one another holds the first of them once per link.
    MAX_COPIED_INSTS: usize = 1 << 22, "instructions that inlining copies in a unit; after that, calls stay calls";
    // Deeper code counts as part of the last call: a chain of small functions makes no table quadratic in its length.
    MAX_INLINE_CHAIN: u32 = 32, "inlined calls around an instruction that debug information tells apart";
    // SPIR-V 2.17, "Universal Limits".
    MAX_SPIRV_NESTING: usize = 1023, "constructs within one another in SPIR-V";
    // That of WGSL is 127 (WGSL 2.4, "Limits"), and writers add some.
    MAX_SHADER_NESTING: usize = 100, "statements within one another in a shading language";
    // What instructions can reach relative to themselves, with room for the code.
    MAX_NATIVE_DATA_BYTES: u64 = 1 << 30, "bytes of all globals together in native code";
    MAX_DEVICE_DATA_BYTES: u64 = 1 << 32, "bytes of all globals together in code for a GPU";

    MAX_GROUP_ITEMS: u64 = 1 << 16, "work-items of one group that the interpreter launches";
    MAX_STACK_VALUES: usize = 1 << 24, "values in all stack frames of the interpreter together";
    MAX_CALL_DEPTH: usize = 10_000, "calls within one another in the interpreter";
    MAX_ALLOCATION_BYTES: u64 = 1 << 31, "bytes of one allocation in the interpreter";
    DEFAULT_MEMORY_BYTES: u64 = 1 << 30, "bytes of memory of the interpreter, unless its host sets another number";
    DEFAULT_FUEL: u64 = 1_000_000_000, "instructions of a call or launch in the interpreter, unless its host sets another number";

    MAX_DIRECTIVES: usize = 1 << 17, "directives of a file, and comments that are none though they look like it, each";
    MAX_BUFFER_BYTES: u64 = 256 << 20, "bytes of a part of a buffer that a directive or the command line describes";
}
