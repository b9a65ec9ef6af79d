//! `marq-bench runtime`: how fast the code is, against raw Cranelift and a C compiler.

use super::measure::alternate;
use super::table::{Cell, Table};
use super::{Options, Outcome, stages};
use libloading::Library;
use marquetry_codegen::native::{JitCode, NativeOptions, NativeTarget, emit_jit};
use marquetry_ir::program::Program;
use marquetry_lower::dispatch::view::View;
use marquetry_lower::job::{Job, OptLevel};
use marquetry_lower::pipeline;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../../bench/host.mq");

/// Run time of host functions at -O2, against raw Cranelift on the unoptimised code and `cc -O2`
#[derive(clap::Args, Debug)]
pub(super) struct Runtime {
    /// A folder with the same functions in C, or one above it: NAME.c defines `k_NAME`
    #[arg(long)]
    peers: Option<PathBuf>,
    /// The C compiler
    #[arg(long, default_value = "cc")]
    cc: PathBuf,
}

/// What a function works on: made anew for every compiler, changed by running.
struct Data {
    words: Vec<u32>,
    longs: Vec<u64>,
    output: Vec<u64>,
}

/// A function: its name, what it works on, one run of it.
struct Case {
    name: &'static str,
    data: fn() -> Data,
    /// The function at the address is that of this name.
    run: unsafe fn(*const u8, &mut Data) -> u64,
}

fn numbers(count: usize) -> impl Iterator<Item = u64> {
    (0..count as u64).map(|n| (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n << 7))
}

/// A sum that sees every element and its place.
fn digest(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(0, |sum, word| sum.rotate_left(5).wrapping_mul(0x100_0000_01b3) ^ word)
}

fn words(count: usize) -> Vec<u32> {
    numbers(count).map(|n| (n >> 32) as u32).collect()
}

fn floats(count: usize) -> Vec<u32> {
    numbers(count).map(|n| ((n >> 40) as f32 / 65536.0).to_bits()).collect()
}

macro_rules! function {
    ($address:expr, fn($($arg:ty),*) $(-> $result:ty)?) => {
        std::mem::transmute::<*const u8, extern "C" fn($($arg),*) $(-> $result)?>($address)
    };
}

const SIDE: i32 = 96;

#[allow(unsafe_code)] // calls the code
const CASES: [Case; 10] = [
    Case {
        name: "crc32",
        data: || Data { words: words(256 + 16384), longs: Vec::new(), output: Vec::new() },
        // SAFETY: a table of 256 words, then as many bytes as are said.
        run: |f, data| unsafe {
            let (table, bytes) = data.words.split_at(256);
            let f = function!(f, fn(*const u32, *const u32, i64) -> u32);
            f(table.as_ptr(), bytes.as_ptr(), bytes.len() as i64 * 4).into()
        },
    },
    Case {
        name: "dot",
        data: || {
            let longs = numbers(32768).map(|n| ((n >> 40) as f64).to_bits()).collect();
            Data { words: Vec::new(), longs, output: Vec::new() }
        },
        // SAFETY: two halves of the same length.
        run: |f, data| unsafe {
            let (x, y) = data.longs.split_at(data.longs.len() / 2);
            let f = function!(f, fn(i64, *const u64, *const u64) -> f64);
            f(x.len() as i64, x.as_ptr(), y.as_ptr()).to_bits()
        },
    },
    Case {
        name: "fib",
        data: || Data { words: Vec::new(), longs: Vec::new(), output: Vec::new() },
        // SAFETY: numbers only.
        run: |f, _| unsafe { function!(f, fn(i32) -> i32)(22) as u64 },
    },
    Case {
        name: "interp",
        data: interp_data,
        // SAFETY: 16 registers, 256 cells; the program stays inside itself.
        run: |f, data| unsafe {
            let f = function!(f, fn(*const u32, *mut u64, *mut u64, i64) -> i64);
            data.output.fill(0);
            let (registers, cells) = data.output.split_at_mut(16);
            let steps = f(data.words.as_ptr(), registers.as_mut_ptr(), cells.as_mut_ptr(), 1 << 40);
            steps as u64 ^ digest(registers.iter().copied())
        },
    },
    Case {
        name: "mandel",
        data: || Data { words: vec![0; (SIDE * SIDE) as usize], longs: Vec::new(), output: Vec::new() },
        // SAFETY: one word per pixel.
        run: |f, data| unsafe {
            function!(f, fn(i32, i32, i32, *mut u32))(SIDE, SIDE, 200, data.words.as_mut_ptr());
            digest(data.words.iter().map(|&word| word.into()))
        },
    },
    Case {
        name: "matmul",
        data: || Data { words: floats(3 * 64 * 64), longs: Vec::new(), output: Vec::new() },
        // SAFETY: three matrices.
        run: |f, data| unsafe {
            let (input, c) = data.words.split_at_mut(2 * 64 * 64);
            let (a, b) = input.split_at(64 * 64);
            let f = function!(f, fn(i64, *const u32, *const u32, *mut u32));
            f(64, a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
            digest(c.iter().map(|&word| word.into()))
        },
    },
    Case {
        name: "psum",
        data: || Data { words: words(32768), longs: Vec::new(), output: vec![0; 32768] },
        // SAFETY: both have as many elements as is said.
        run: |f, data| unsafe {
            let f = function!(f, fn(i64, *const u32, *mut u64) -> i64);
            f(data.words.len() as i64, data.words.as_ptr(), data.output.as_mut_ptr()) as u64
        },
    },
    Case {
        name: "qsort",
        data: || Data { words: words(8192), longs: Vec::new(), output: vec![0; 4096] },
        // SAFETY: the bounds are those of the array.
        run: |f, data| unsafe {
            let count = data.words.len();
            let work: &mut [u32] =
                std::slice::from_raw_parts_mut(data.output.as_mut_ptr().cast::<u32>(), count);
            work.copy_from_slice(&data.words);
            function!(f, fn(*mut u32, i64, i64))(work.as_mut_ptr(), 0, count as i64 - 1);
            digest([u64::from(work[0]), work[count / 2].into(), work[count - 1].into()])
        },
    },
    Case {
        name: "saxpy",
        data: || Data { words: floats(32768), longs: Vec::new(), output: Vec::new() },
        // SAFETY: two halves of the same length.
        run: |f, data| unsafe {
            let half = data.words.len() / 2;
            let (x, y) = data.words.split_at_mut(half);
            let f = function!(f, fn(i64, f32, *const u32, *mut u32));
            f(x.len() as i64, 1e-6, x.as_ptr(), y.as_mut_ptr());
            y[half - 1].into()
        },
    },
    Case {
        name: "sha256",
        data: || Data { words: words(8 + 64 + 16 * 256), longs: Vec::new(), output: Vec::new() },
        // SAFETY: 8 words of state, 64 of constants, and as many blocks as are said.
        run: |f, data| unsafe {
            let (state, rest) = data.words.split_at_mut(8);
            let (constants, blocks) = rest.split_at(64);
            let f = function!(f, fn(*mut u32, *const u32, *const u32, i64));
            f(state.as_mut_ptr(), blocks.as_ptr(), constants.as_ptr(), blocks.len() as i64 / 16);
            digest(state.iter().map(|&word| word.into()))
        },
    },
];

/// A program for the machine of `interp`: nested loops over its memory.
fn interp_data() -> Data {
    let instruction = |op: u32, a: u32, b: u32, c: i8| op | a << 8 | b << 16 | u32::from(c as u8) << 24;
    let words = vec![
        instruction(1, 0, 0, 0),    // r0 = 0
        instruction(1, 2, 0, 100),  // r2 = 100
        instruction(1, 1, 0, 0),    // outer: r1 = 0
        instruction(1, 3, 0, 127),  // r3 = 127
        instruction(13, 4, 1, 0),   // inner: r4 = mem[r1]
        instruction(10, 4, 0, 7),   // r4 += 7
        instruction(6, 5, 4, 0),    // r5 ^= r4
        instruction(8, 4, 0, 3),    // r4 <<= 3
        instruction(3, 5, 4, 0),    // r5 += r4
        instruction(14, 5, 1, 0),   // mem[r1] = r5
        instruction(10, 1, 0, 1),   // r1 += 1
        instruction(11, 1, 3, -8),  // if r1 < r3: inner
        instruction(10, 0, 0, 1),   // r0 += 1
        instruction(11, 0, 2, -12), // if r0 < r2: outer
        instruction(0, 0, 0, 0),    // halt
    ];
    Data { words, longs: Vec::new(), output: vec![0; 16 + 256] }
}

/// Code of this project's: fully, or Cranelift's optimiser alone.
fn jit(program: &Program, name: &str, opt_level: OptLevel) -> Result<JitCode, String> {
    let target = NativeTarget::host(NativeOptions::default()).map_err(|error| error.to_string())?;
    let entries = program.methods_of(name).to_vec();
    let job = Job::new(entries, View::native(&[]), opt_level);
    let legal = pipeline::run(program, &job, &target).map_err(|error| error.to_string())?;
    emit_jit(&legal, &target, &|_| None).map_err(|error| error.to_string())
}

impl Runtime {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let program = stages::parse(SOURCE)?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut table = Table::new(
            "us per run of host functions, -O2",
            &["function", "marquetry", "raw cranelift", "cc -O2", "raw/marquetry", "marquetry/cc", "raw/cc"],
        );
        if self.peers.is_none() {
            table.skip("cc -O2", "no --peers DIR");
        }
        for case in &CASES {
            let ours = jit(&program, case.name, OptLevel::Default)?;
            let raw = jit(&program, case.name, OptLevel::None)?;
            let peer = match &self.peers {
                Some(peers) => {
                    let peer = compile_c(&self.cc, peers, case.name, folder.path());
                    peer.map_err(|error| table.skip(&format!("cc -O2 of {}", case.name), &error)).ok()
                }
                None => None,
            };
            match measure(case, &ours, &raw, peer.as_ref(), options) {
                Ok(row) => table.row(row),
                Err(error) => table.skip(case.name, &error),
            }
        }
        table.means();
        table.note("raw cranelift: the same code, not optimised by this project, opt_level speed");
        table.print(options.json);
        Ok(())
    }
}

#[allow(unsafe_code)] // loads and calls the code
fn measure(
    case: &Case,
    ours: &JitCode,
    raw: &JitCode,
    peer: Option<&Library>,
    options: &Options,
) -> Result<Vec<Cell>, String> {
    let ours = ours.address(0).ok_or("no entry")?;
    let raw = raw.address(0).ok_or("no entry")?;
    let peer = match peer {
        None => None,
        Some(library) => {
            let symbol = format!("k_{}", case.name);
            // SAFETY: any function may be seen as one of another type, as long as it is not called as that.
            let found = unsafe { library.get::<unsafe extern "C" fn()>(symbol.as_bytes()) };
            Some(*found.map_err(|error| error.to_string())? as *const u8)
        }
    };
    let addresses = [Some(ours), Some(raw), peer];
    let results = addresses.map(|address| {
        // SAFETY: the function is the case's.
        address.map(|address| unsafe { (case.run)(address, &mut (case.data)()) })
    });
    if let Some(other) = results.iter().flatten().find(|result| Some(**result) != results[0]) {
        return Err(format!("results differ: {:x?} and {other:x}", results[0]));
    }
    let mut data = [(case.data)(), (case.data)(), (case.data)()];
    let [one, two, three] = &mut data;
    // SAFETY: as above.
    let run = |address: *const u8, data: &mut Data| unsafe { (case.run)(address, data) };
    let times = alternate(
        options.effort(),
        [
            &mut || _ = std::hint::black_box(run(ours, one)),
            &mut || _ = std::hint::black_box(run(raw, two)),
            &mut || _ = peer.map(|peer| std::hint::black_box(run(peer, three))),
        ],
    );
    let [ours, raw, cc] = times;
    let cc = peer.map(|_| cc);
    Ok(vec![
        case.name.into(),
        ours.into(),
        raw.into(),
        cc.into(),
        (raw / ours).into(),
        cc.map(|cc| ours / cc).into(),
        cc.map(|cc| raw / cc).into(),
    ])
}

/// Compiles and loads a peer's source.
#[allow(unsafe_code)] // loads it
fn compile_c(cc: &Path, peers: &Path, name: &str, folder: &Path) -> Result<Library, String> {
    let file = format!("{name}.c");
    let found = [peers.join(&file), peers.join("cpu").join(&file)].into_iter().find(|path| path.is_file());
    let source = found.ok_or_else(|| format!("no {file} in {}", peers.display()))?;
    let out = folder.join(format!("{name}.so"));
    let mut command = Command::new(cc);
    command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&out).arg(&source);
    let done = command.output().map_err(|error| format!("{}: {error}", cc.display()))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into_owned());
    }
    // SAFETY: the library of a plain C file runs nothing when it is loaded.
    unsafe { Library::new(&out) }.map_err(|error| error.to_string())
}
