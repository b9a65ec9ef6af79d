//! `marq-bench ptx`: PTX and what ptxas makes of it, against NVRTC's from CUDA C++.

use super::measure::{Effort, alternate, median, once};
use super::sass::{Nvrtc, Sass, Tools};
use super::table::{Cell, Table};
use super::{Options, Outcome, stages};
use marquetry::compile::{self, Target};
use marquetry_lower::job::OptLevel;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Time to PTX, registers and SASS instructions for sm_90, against NVRTC
#[derive(clap::Args, Debug)]
pub(super) struct Ptx {
    /// A folder with CUDA sources of the same kernels, or one above it: NAME.cu
    #[arg(long)]
    peers: Option<PathBuf>,
    /// NVIDIA's libnvrtc.so
    #[arg(long)]
    nvrtc: Option<PathBuf>,
    /// NVIDIA's ptxas; else MARQ_PTXAS
    #[arg(long)]
    ptxas: Option<PathBuf>,
    /// NVIDIA's nvdisasm; else MARQ_NVDISASM
    #[arg(long)]
    nvdisasm: Option<PathBuf>,
    /// Programs; without any, those of tests/kernels
    files: Vec<PathBuf>,
}

fn or_variable(option: &Option<PathBuf>, variable: &str) -> Option<PathBuf> {
    option.clone().or_else(|| std::env::var_os(variable).map(PathBuf::from)).filter(|path| path.is_file())
}

impl Ptx {
    pub(super) fn run(self, options: &Options) -> Outcome {
        let mut table = Table::new(
            "PTX for sm_90: us in process, registers, bytes of stack, SASS instructions",
            &[
                "kernel",
                "emit us",
                "total us",
                "NVRTC us",
                "regs",
                "NVRTC regs",
                "stack",
                "NVRTC stack",
                "SASS",
                "NVRTC SASS",
                "SASS ratio",
                "regs ratio",
            ],
        );
        let ptxas = or_variable(&self.ptxas, "MARQ_PTXAS");
        let tools = ptxas.zip(or_variable(&self.nvdisasm, "MARQ_NVDISASM"));
        let tools = tools.map(|(ptxas, nvdisasm)| Tools { ptxas, nvdisasm });
        if tools.is_none() {
            table.skip(
                "registers and SASS",
                "no ptxas and nvdisasm: --ptxas, --nvdisasm or MARQ_PTXAS, MARQ_NVDISASM",
            );
        }
        let nvrtc = match (&self.nvrtc, &self.peers) {
            (Some(path), Some(_)) => Nvrtc::load(path).map_err(|error| table.skip("NVRTC", &error)).ok(),
            _ => {
                table.skip("NVRTC", "no --nvrtc LIBRARY and --peers DIR");
                None
            }
        };
        let target = Target::parse("ptx:sm_90", OptLevel::Default).map_err(|error| error.to_string())?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let files = if self.files.is_empty() { stages::kernels() } else { self.files.clone() };
        for file in &files {
            let name = stages::stem(file);
            let source = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
            let ours = ours(&source, &target, tools.as_ref(), folder.path(), options.effort());
            let (emit, total, sass) = match ours {
                Ok(Some(ours)) => ours,
                Ok(None) => continue,
                Err(error) => {
                    table.skip(&name, &error);
                    continue;
                }
            };
            let peer = match (&nvrtc, &self.peers) {
                (Some(nvrtc), Some(peers)) => {
                    let peer = peer(nvrtc, peers, &name, tools.as_ref(), folder.path(), options.effort());
                    peer.map_err(|error| table.skip(&format!("NVRTC of {name}"), &error)).ok()
                }
                _ => None,
            };
            let theirs = peer.and_then(|peer| peer.1);
            let field = |sass: Option<Sass>, get: fn(Sass) -> usize| sass.map(|sass| get(sass) as f64);
            let ratio = |get: fn(Sass) -> usize| -> Cell {
                field(sass, get).zip(field(theirs, get)).map(|(ours, theirs)| ours / theirs).into()
            };
            table.row(vec![
                name.into(),
                emit.into(),
                total.into(),
                peer.map(|peer| peer.0).into(),
                field(sass, |sass| sass.registers).into(),
                field(theirs, |sass| sass.registers).into(),
                field(sass, |sass| sass.stack).into(),
                field(theirs, |sass| sass.stack).into(),
                field(sass, |sass| sass.instructions).into(),
                field(theirs, |sass| sass.instructions).into(),
                ratio(|sass| sass.instructions),
                ratio(|sass| sass.registers),
            ]);
        }
        let ratio = table.geomean(10);
        table.means();
        table.target("SASS instructions to NVRTC's", ratio, 1.10, "");
        table.print(options.json);
        Ok(())
    }
}

/// Microseconds of emission and from text to PTX, and what ptxas makes of it.
fn ours(
    source: &str,
    target: &Target,
    tools: Option<&Tools>,
    folder: &Path,
    effort: Effort,
) -> Result<Option<(f64, f64, Option<Sass>)>, String> {
    let program = stages::parse(source)?;
    let Some(job) = stages::job(&program, target, OptLevel::Default) else { return Ok(None) };
    let emit = stages::emit_time(&program, &job, target, effort)?;
    let artifact = || {
        let program = stages::parse(source)?;
        compile::compile_artifact(&program, &job, target).map_err(|error| error.to_string())
    };
    let [total] = alternate(effort, [&mut || drop(artifact())]);
    let code = artifact()?.code;
    let sass = tools.map(|tools| tools.assemble(&code, folder)).transpose()?;
    Ok(Some((emit, total, sass)))
}

/// The same of a CUDA source.
fn peer(
    nvrtc: &Nvrtc,
    peers: &Path,
    name: &str,
    tools: Option<&Tools>,
    folder: &Path,
    effort: Effort,
) -> Result<(f64, Option<Sass>), String> {
    let file = format!("{name}.cu");
    let found = [peers.join(&file), peers.join("cuda").join(&file)].into_iter().find(|path| path.is_file());
    let path = found.ok_or_else(|| format!("no {file} in {}", peers.display()))?;
    let source = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let ptx = nvrtc.compile(&source)?;
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 5 && effort.goes_on(samples.len(), start) {
        samples.push(once(|| nvrtc.compile(&source)).1);
    }
    let sass = tools.map(|tools| tools.assemble(&ptx, folder)).transpose()?;
    Ok((median(&mut samples), sass))
}
