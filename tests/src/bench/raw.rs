//! The shapes through Cranelift's own builder and JIT, as a host without this project would write it.

use super::shapes::{self, Build, BuildVariables, Description, Operation};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, InstBuilder, MemFlagsData, Signature, UserFuncName, Value, types::I64,
};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::Module;

struct Raw<'a> {
    b: FunctionBuilder<'a>,
    pointer: Value,
    variables: Vec<Variable>,
    args: [Vec<BlockArg>; 2],
}

impl Build for Raw<'_> {
    type Value = Value;
    type Block = Block;

    fn block(&mut self) -> Block {
        self.b.create_block()
    }

    fn param(&mut self, block: Block) -> Value {
        self.b.append_block_param(block, I64)
    }

    fn switch_to(&mut self, block: Block) {
        self.b.switch_to_block(block);
    }

    fn constant(&mut self, value: i64) -> Value {
        self.b.ins().iconst(I64, value)
    }

    fn binary(&mut self, operation: Operation, x: Value, y: Value) -> Value {
        let ins = self.b.ins();
        match operation {
            Operation::Add => ins.iadd(x, y),
            Operation::Sub => ins.isub(x, y),
            Operation::Xor => ins.bxor(x, y),
            Operation::Mul => ins.imul(x, y),
            Operation::Or => ins.bor(x, y),
            Operation::And => ins.band(x, y),
            Operation::Shl => ins.ishl(x, y),
            Operation::Shr => ins.ushr(x, y),
        }
    }

    fn less(&mut self, x: Value, y: Value) -> Value {
        self.b.ins().icmp(IntCC::UnsignedLessThan, x, y)
    }

    fn load(&mut self, n: Value) -> Value {
        let three = self.b.ins().iconst(I64, 3);
        let offset = self.b.ins().ishl(n, three);
        let address = self.b.ins().iadd(self.pointer, offset);
        self.b.ins().load(I64, MemFlagsData::trusted(), address, 0)
    }

    fn jump(&mut self, block: Block, args: &[Value]) {
        self.args[0].clear();
        self.args[0].extend(args.iter().map(|&value| BlockArg::Value(value)));
        self.b.ins().jump(block, &self.args[0]);
    }

    fn branch(&mut self, condition: Value, yes: (Block, &[Value]), no: (Block, &[Value])) {
        for (list, args) in self.args.iter_mut().zip([yes.1, no.1]) {
            list.clear();
            list.extend(args.iter().map(|&value| BlockArg::Value(value)));
        }
        self.b.ins().brif(condition, yes.0, &self.args[0], no.0, &self.args[1]);
    }

    fn ret(&mut self, value: Value) {
        self.b.ins().return_(&[value]);
    }
}

impl BuildVariables for Raw<'_> {
    fn declare(&mut self, count: usize) {
        self.variables = (0..count).map(|_| self.b.declare_var(I64)).collect();
    }

    fn define(&mut self, variable: usize, value: Value) {
        self.b.def_var(self.variables[variable], value);
    }

    fn get(&mut self, variable: usize) -> Value {
        self.b.use_var(self.variables[variable])
    }

    fn seal(&mut self, block: Block) {
        self.b.seal_block(block);
    }
}

/// Memory and settings that are reused from one compilation to the next.
pub(super) struct Compiler {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
}

impl Compiler {
    /// With the settings that this project's native target has at -O0 or -O2.
    pub(super) fn new(optimised: bool) -> Result<Compiler, String> {
        let mut flags = settings::builder();
        let list: &[(&str, &str)] = match optimised {
            true => &[("opt_level", "speed")],
            false => &[("opt_level", "none"), ("regalloc_algorithm", "single_pass")],
        };
        let common = [
            ("is_pic", "false"),
            ("use_colocated_libcalls", "false"),
            ("enable_verifier", "false"),
            ("unwind_info", "false"),
        ];
        for (name, value) in list.iter().chain(&common) {
            flags.set(name, value).map_err(|error| format!("{name}: {error}"))?;
        }
        let isa = cranelift_native::builder()?.finish(settings::Flags::new(flags));
        let isa = isa.map_err(|error| error.to_string())?;
        Ok(Compiler { isa, context: Context::new(), builder: FunctionBuilderContext::new() })
    }

    fn signature(&self) -> Signature {
        let mut signature = Signature::new(self.isa.default_call_conv());
        signature.params.push(AbiParam::new(I64));
        signature.returns.push(AbiParam::new(I64));
        signature
    }

    /// Builds a shape as CLIF.
    pub(super) fn build(&mut self, description: &Description, variables: bool) {
        self.context.clear();
        self.context.func.signature = self.signature();
        self.context.func.name = UserFuncName::user(0, 0);
        let mut b = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        b.seal_block(entry);
        let pointer = b.block_params(entry)[0];
        let mut raw = Raw { b, pointer, variables: Vec::new(), args: Default::default() };
        match variables {
            true => shapes::build_variables(description, &mut raw),
            false => shapes::build(description, &mut raw),
        }
        if !variables {
            raw.b.seal_all_blocks();
        }
        raw.b.finalize(self.isa.frontend_config());
    }

    /// Builds a shape and compiles it into memory. The code is freed when what comes back is dropped.
    pub(super) fn compile(&mut self, description: &Description) -> Result<Code, String> {
        let calls = cranelift_module::default_libcall_names();
        let mut module = JITModule::new(JITBuilder::with_isa(self.isa.clone(), calls));
        let id = module.declare_anonymous_function(&self.signature()).map_err(|error| error.to_string())?;
        self.build(description, false);
        let defined = module.define_function(id, &mut self.context);
        defined.map_err(|error| error.to_string())?;
        module.finalize_definitions().map_err(|error| error.to_string())?;
        let address = module.get_finalized_function(id);
        Ok(Code { module: Some(module), address })
    }
}

/// Code in memory.
pub(super) struct Code {
    module: Option<JITModule>,
    pub(super) address: *const u8,
}

impl Drop for Code {
    #[allow(unsafe_code)] // frees the code
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: whoever took the address borrows `self` while the code runs.
            unsafe { module.free_memory() };
        }
    }
}
