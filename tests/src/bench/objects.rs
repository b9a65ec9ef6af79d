//! `marq-bench objects`: an object of very many small functions, next to raw cranelift-object with the same functions.
//!
//! Ours is the last step, from a legal unit to the object, and once more everything from the program on: dispatch, all
//! passes, and that. Raw Cranelift builds and compiles the functions one after the other, as its module does, and once more
//! with its contexts on as many threads.

use super::measure::alternate;
use super::table::Table;
use super::{Options, Outcome};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, InstBuilder, Signature, UserFuncName, types::I64};
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{FuncId, Linkage, Module, ModuleReloc, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};
use marquetry::aot::{self, Plan};
use marquetry_codegen::native::{
    Export, NativeContext, NativeOptions, NativeTarget, ObjectPlan, emit_planned,
};
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use std::fmt::Write;

/// An object of very many small functions
#[derive(clap::Args, Debug)]
pub(super) struct Objects {
    /// How many functions
    #[arg(long, default_value_t = 10_000)]
    functions: usize,
    /// How many threads compile; 0 for as many as the machine has
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Each function computes a little, compares, and calls the one of half its number.
fn program(functions: usize) -> Result<Program, String> {
    let mut source = String::new();
    for n in 0..functions {
        let _ = write!(
            source,
            "method f{n}(a: i64, b: i64) -> i64 noinline {{\nentry:\n    c = add a, b\n    d = mul c, i64 {}\n    e = xor d, a\n    f \
             = shr.u e, i64 7\n    g = add f, b\n    small = lt.u g, i64 {}\n    branch small, low, high\nlow:\n    return \
             g\nhigh:\n    r = call f{}(g, c)\n    return r\n}}\n",
            2 * n + 3,
            n + 1000,
            n / 2
        );
    }
    // Only the first calls itself; without recursion no function looks at the stack.
    let source = source.replacen("call f0(g, c)", "add g, c", 1);
    let mut program = Program::new();
    match text::parse(&mut program, "objects.mq", &source).first() {
        Some(problem) => Err(problem.message.clone()),
        None => Ok(program),
    }
}

fn signature(isa: &OwnedTargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params = vec![AbiParam::new(I64); 2];
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// The same function, by hand.
fn build(
    n: usize,
    ids: &[FuncId],
    isa: &OwnedTargetIsa,
    context: &mut Context,
    memory: &mut FunctionBuilderContext,
) {
    context.clear();
    context.func.signature = signature(isa);
    context.func.name = UserFuncName::user(0, ids[n].as_u32());
    let mut b = FunctionBuilder::new(&mut context.func, memory);
    let [entry, low, high] = std::array::from_fn(|_| b.create_block());
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let (x, y) = (b.block_params(entry)[0], b.block_params(entry)[1]);
    let c = b.ins().iadd(x, y);
    let d = b.ins().imul_imm_s(c, 2 * n as i64 + 3);
    let e = b.ins().bxor(d, x);
    let f = b.ins().ushr_imm_u(e, 7);
    let g = b.ins().iadd(f, y);
    let limit = b.ins().iconst(I64, n as i64 + 1000);
    let small = b.ins().icmp(IntCC::UnsignedLessThan, g, limit);
    b.ins().brif(small, low, &[], high, &[]);
    b.switch_to_block(low);
    b.ins().return_(&[g]);
    b.switch_to_block(high);
    if n == 0 {
        let r = b.ins().iadd(g, c);
        b.ins().return_(&[r]);
    } else {
        let callee = cranelift_codegen::ir::UserExternalName { namespace: 0, index: ids[n / 2].as_u32() };
        let name = b.func.declare_imported_user_function(callee);
        let signature = b.import_signature(signature(isa));
        let callee = b.import_function(cranelift_codegen::ir::ExtFuncData {
            name: cranelift_codegen::ir::ExternalName::user(name),
            signature,
            colocated: true,
            patchable: false,
        });
        let call = b.ins().call(callee, &[g, c]);
        let r = b.inst_results(call)[0];
        b.ins().return_(&[r]);
    }
    b.seal_all_blocks();
    b.finalize(isa.frontend_config());
}

fn isa() -> Result<OwnedTargetIsa, String> {
    let mut flags = settings::builder();
    for (name, value) in
        [("opt_level", "speed"), ("is_pic", "true"), ("enable_verifier", "false"), ("unwind_info", "true")]
    {
        flags.set(name, value).map_err(|error| error.to_string())?;
    }
    let isa = cranelift_native::builder()?.finish(settings::Flags::new(flags));
    isa.map_err(|error| error.to_string())
}

/// The object of all functions, as a host without this project would make it.
fn raw(functions: usize, threads: usize, isa: &OwnedTargetIsa) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let builder = ObjectBuilder::new(isa.clone(), "objects", default_libcall_names());
    let mut module = ObjectModule::new(builder.map_err(|error| failed(&error))?);
    let mut ids = Vec::new();
    for n in 0..functions {
        let id = module.declare_function(&format!("f{n}"), Linkage::Export, &signature(isa));
        ids.push(id.map_err(|error| failed(&error))?);
    }
    if threads <= 1 {
        let (mut context, mut memory) = (Context::new(), FunctionBuilderContext::new());
        for (n, &id) in ids.iter().enumerate() {
            build(n, &ids, isa, &mut context, &mut memory);
            module.define_function(id, &mut context).map_err(|error| failed(&error))?;
        }
    } else {
        type Compiled = Vec<(FuncId, u64, Vec<u8>, Vec<ModuleReloc>)>;
        let (ids, share) = (&ids, functions.div_ceil(threads));
        let parts: Vec<Result<Compiled, String>> = std::thread::scope(|scope| {
            let workers = (0..threads).map(|part| {
                scope.spawn(move || {
                    let (mut context, mut memory) = (Context::new(), FunctionBuilderContext::new());
                    let mine = (part * share)..((part + 1) * share).min(functions);
                    let compiled = mine.map(|n| {
                        build(n, ids, isa, &mut context, &mut memory);
                        context
                            .compile(&**isa, &mut Default::default())
                            .map_err(|error| error.inner.to_string())?;
                        let code = context.compiled_code().ok_or("nothing was compiled")?;
                        let relocs = code.buffer.relocs().iter();
                        let relocs =
                            relocs.map(|reloc| ModuleReloc::from_mach_reloc(reloc, &context.func, ids[n]));
                        let align = u64::from(code.buffer.alignment);
                        Ok((ids[n], align, code.buffer.data().to_vec(), relocs.collect()))
                    });
                    compiled.collect()
                })
            });
            let workers: Vec<_> = workers.collect();
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.map(|part| part.unwrap_or_else(|_| Err("a thread ended".into()))).collect()
        });
        for part in parts {
            for (id, align, bytes, relocs) in part? {
                let defined = module.define_function_bytes(id, align, &bytes, &relocs);
                defined.map_err(|error| failed(&error))?;
            }
        }
    }
    module.finish().emit().map_err(|error| failed(&error))
}

impl Objects {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = if self.threads == 0 { cores } else { self.threads };
        let program = program(self.functions)?;
        let entries = program.methods().map(|(method, _)| method).collect();
        let job = Job::new(entries, View::native(&[]), OptLevel::Default);
        let target = NativeTarget::host(NativeOptions::default()).map_err(|error| error.to_string())?;
        let ours = |threads: usize| {
            let plan = Plan { threads, ..Plan::default() };
            let built = aot::build(&program, &job, &target, &plan).map_err(|error| error.to_string())?;
            Ok::<_, String>(built.artifact.code)
        };
        let isa = isa()?;
        let (one, many, other) = (ours(1)?, ours(threads)?, raw(self.functions, 1, &isa)?);
        if one != many {
            return Err("the number of threads makes a difference".into());
        }
        let legal = pipeline::run(&program, &job, &target).map_err(|error| error.to_string())?;
        let names = legal.unit().entries.iter().map(|&func| legal.unit().funcs[func].name.clone());
        let exports = names.enumerate().map(|(entry, symbol)| Export { entry, symbol, packed: false });
        let exports: Vec<Export> = exports.collect();
        let emit = |threads: usize| {
            let plan = ObjectPlan { exports: Some(&exports), threads, ..ObjectPlan::default() };
            let memory = &mut NativeContext::new();
            emit_planned(&legal, &target, &plan, memory).map(|artifact| artifact.code)
        };
        if emit(threads).map_err(|error| error.to_string())? != one {
            return Err("the way to the object makes a difference".into());
        }
        let times = alternate(
            options.effort(),
            [
                &mut || drop(emit(1)),
                &mut || drop(ours(1)),
                &mut || drop(raw(self.functions, 1, &isa)),
                &mut || drop(emit(threads)),
                &mut || drop(ours(threads)),
                &mut || drop(raw(self.functions, threads, &isa)),
            ],
        );
        let title = format!("an object of {} small functions, -O2", self.functions);
        let columns = [
            "threads",
            "emit ms",
            "all ms",
            "raw ms",
            "emit / raw",
            "all / raw",
            "emit / raw on 1",
            "all / raw on 1",
        ];
        let mut table = Table::new(title, &columns);
        let alone = times[2];
        for (threads, times) in [1, threads].into_iter().zip(times.chunks(3)) {
            let &[emit, all, raw] = times else { continue };
            let ratios = [emit / raw, all / raw, emit / alone, all / alone];
            let times = [emit, all, raw].map(|time| time / 1000.0);
            let cells = times.into_iter().chain(ratios).map(Into::into);
            table.row(std::iter::once(threads.to_string().into()).chain(cells).collect());
        }
        table.note("to reach: emission on all cores within 1.3 of raw");
        table.note(format!("{} and {} bytes", many.len(), other.len()));
        table.print(options.json);
        Ok(())
    }
}
