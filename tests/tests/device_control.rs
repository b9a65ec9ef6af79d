//! Control flow of any shape on devices, irreducible graphs included, against the interpreter.

use marquetry::device::DeviceKind;
use marquetry::engine::{EngineKind, Extent};
use marquetry::value::HostArg;
use marquetry_ir::program::Program;
use marquetry_ir::text;
use marquetry_ir::types::Scalar;
use marquetry_lower::job::OptLevel;
use std::fmt::Write;
use std::sync::Arc;

/// A small generator of numbers, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }
}

/// A kernel with random edges between `count` blocks. Every block spends fuel and ends the run without; it uses its
/// parameter and values of blocks that dominate it.
fn kernel(seed: u64, count: usize) -> String {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut edges: Vec<Vec<usize>> = Vec::new();
    for block in 0..count {
        let arms = [0, 1, 1, 2, 2, 2, 2, 3, 4][random.below(9)];
        // Mostly near, so that loops and joins nest; sometimes anywhere.
        let mut to: Vec<usize> = (0..arms)
            .map(|_| match random.below(4) {
                0 => random.below(count),
                1 => (block + 1 + random.below(3)).min(count - 1),
                _ => (block + random.below(6)).saturating_sub(2).min(count - 1),
            })
            .collect();
        if block == 0 && to.is_empty() {
            to.push(1);
        }
        edges.push(to);
    }
    // Dominators by sets: block 0 is the entry of the random part.
    let all = (1u64 << count) - 1;
    let mut dominators = vec![all; count];
    dominators[0] = 1;
    loop {
        let mut next = vec![all; count];
        next[0] = 1;
        for (from, to) in edges.iter().enumerate() {
            to.iter().filter(|&&t| t != 0).for_each(|&t| next[t] &= dominators[from]);
        }
        (1..count).for_each(|b| next[b] |= 1 << b);
        if next == dominators {
            break;
        }
        dominators = next;
    }
    let mut s = String::from(
        "kernel k(x: ptr<global>, out: ptr<global>) {\nentry:\n    l = local_id 0\n    px = index x, l, i64\n    \
         v = load.i64 px\n    po = index out, l, i64\n    jump b0(v, i32 50)\n",
    );
    for (block, to) in edges.iter().enumerate() {
        let others: Vec<usize> =
            (0..count).filter(|&b| b != block && dominators[block] >> b & 1 == 1).collect();
        let with_fuel = random.below(8) != 0;
        let _ = write!(
            s,
            "b{block}(a{block}: i64, f{block}: i32):\n    m{block} = mul a{block}, i64 6364136223846793005\n"
        );
        let mut last = format!("m{block}");
        // An unreachable block is dominated by all, and may use nothing.
        let reachable = dominators[block] != all || block + 1 == count && others.len() + 1 < count;
        for (n, other) in others.iter().filter(|_| reachable).enumerate() {
            if random.below(2) == 0 {
                let _ = writeln!(s, "    u{block}_{n} = xor {last}, c{other}");
                last = format!("u{block}_{n}");
            }
        }
        let _ =
            writeln!(s, "    c{block} = add {last}, i64 {}", 1442695040888963407u64 as i64 ^ block as i64);
        let _ = writeln!(s, "    g{block} = sub f{block}, i32 1");
        if with_fuel || to.iter().any(|&t| t <= block) {
            let _ = write!(
                s,
                "    e{block} = le.s g{block}, i32 0\n    branch e{block}, done(c{block}), t{block}\nt{block}:\n"
            );
        }
        let arg = |t: usize| format!("b{t}(c{block}, g{block})");
        let _ = writeln!(s, "    w{block} = shr.u c{block}, i64 40\n    k{block} = trunc.i32 w{block}");
        match to.as_slice() {
            [] => {
                let _ = write!(s, "    store po, c{block}\n    return\n");
            }
            &[one] => {
                let _ = writeln!(s, "    jump {}", arg(one));
            }
            &[a, b] => {
                let _ = write!(
                    s,
                    "    y{block} = and k{block}, i32 1\n    z{block} = ne y{block}, i32 0\n    branch z{block}, {}, {}\n",
                    arg(a),
                    arg(b)
                );
            }
            [first, rest @ ..] => {
                let cases: Vec<String> =
                    rest.iter().enumerate().map(|(n, &t)| format!("{n}: {}", arg(t))).collect();
                let _ = write!(
                    s,
                    "    y{block} = and k{block}, i32 3\n    switch y{block}, {}, [{}]\n",
                    arg(*first),
                    cases.join(", ")
                );
            }
        }
    }
    s.push_str("done(r: i64):\n    q = add r, v\n    store po, q\n    return\n}\n");
    s
}

const ITEMS: u32 = 16;

fn run(kind: EngineKind, program: &Arc<Program>) -> Result<Vec<u8>, String> {
    let mut engine = kind.open(OptLevel::None)?;
    run_on(engine.as_mut(), program)
}

fn run_on(engine: &mut dyn marquetry::engine::Engine, program: &Arc<Program>) -> Result<Vec<u8>, String> {
    engine.load(program.clone());
    let method = program.methods_of("k")[0];
    let x = (0..u64::from(ITEMS)).flat_map(|n| (n * 0x0123_4567_89ab_cdef).to_le_bytes()).collect();
    let buffer = |bytes| HostArg::Buffer { element: Scalar::I64, bytes };
    let mut args = [buffer(x), buffer(vec![0; ITEMS as usize * 8])];
    let extent = Extent { grid: [1; 3], block: [ITEMS, 1, 1] };
    engine.launch(method, extent, &mut args).map_err(|e| e.to_string())?;
    match args {
        [_, HostArg::Buffer { bytes, .. }] => Ok(bytes),
        _ => Err("no results".into()),
    }
}

fn check(kind: DeviceKind, seeds: std::ops::Range<u64>) {
    let mut engine = match EngineKind::Device(kind).open(OptLevel::None) {
        Ok(engine) => engine,
        Err(reason) => {
            eprintln!("skipped: {reason}");
            return;
        }
    };
    for seed in seeds {
        let source = kernel(seed, 3 + (seed % 14) as usize);
        let mut program = Program::new();
        let diagnostics = text::parse(&mut program, "graph", &source);
        assert!(diagnostics.is_empty(), "{source}\n{diagnostics:?}");
        let program = Arc::new(program);
        let wanted =
            run(EngineKind::Interp, &program).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{source}"));
        let found =
            run_on(engine.as_mut(), &program).unwrap_or_else(|e| panic!("seed {seed}: {e}\n{source}"));
        assert!(found == wanted, "seed {seed} on {kind}: {found:?}, expected {wanted:?}\n{source}");
    }
}

#[test]
fn any_graph_runs_on_vulkan() {
    check(DeviceKind::Vulkan, 1..200);
}

#[test]
fn any_graph_runs_on_opencl() {
    check(DeviceKind::OpenCl, 1..30);
}
