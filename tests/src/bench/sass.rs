//! What ptxas makes of PTX, and PTX from CUDA C++ by NVRTC, loaded at run time.
#![allow(unsafe_code)] // calls NVRTC

use libloading::{Library, Symbol};
use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

/// NVIDIA's assembler and disassembler.
pub(super) struct Tools {
    pub(super) ptxas: PathBuf,
    pub(super) nvdisasm: PathBuf,
}

/// Static properties of machine code.
#[derive(Copy, Clone, Default, Debug)]
pub(super) struct Sass {
    /// Most registers of any kernel.
    pub(super) registers: usize,
    /// Bytes of the stack frame and of spills.
    pub(super) stack: usize,
    /// Instructions, without padding.
    pub(super) instructions: usize,
}

/// The numbers before a phrase, wherever it stands.
fn numbers_before<'a>(text: &'a str, phrase: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(phrase).filter_map(|(at, _)| text[..at].split_whitespace().last()?.parse().ok())
}

impl Tools {
    /// Assembles for sm_90.
    pub(super) fn assemble(&self, ptx: &[u8], folder: &Path) -> Result<Sass, String> {
        let (source, cubin) = (folder.join("k.ptx"), folder.join("k.cubin"));
        std::fs::write(&source, ptx).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.ptxas);
        command.args(["-arch=sm_90", "-v", "-o"]).arg(&cubin).arg(&source);
        let done = command.output().map_err(|error| format!("{}: {error}", self.ptxas.display()))?;
        let log = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            return Err(log.lines().next().unwrap_or("ptxas failed").to_owned());
        }
        let done = Command::new(&self.nvdisasm).arg("-hex").arg(&cubin).output();
        let done = done.map_err(|error| format!("{}: {error}", self.nvdisasm.display()))?;
        let listing = String::from_utf8_lossy(&done.stdout);
        let stack = ["bytes stack frame", "bytes spill stores", "bytes spill loads"];
        let sass = Sass {
            registers: log
                .match_indices("Used ")
                .filter_map(|(at, used)| log[at + used.len()..].split_whitespace().next()?.parse().ok())
                .max()
                .unwrap_or(0),
            stack: stack.iter().flat_map(|phrase| numbers_before(&log, phrase)).sum(),
            instructions: count_instructions(&listing),
        };
        if sass.instructions == 0 { Err("nvdisasm printed nothing".to_owned()) } else { Ok(sass) }
    }
}

/// Lines of a listing that hold an instruction: they begin with its address in a comment. Padding does not count: NOPs
/// and the branch to itself before them.
fn count_instructions(listing: &str) -> usize {
    let text = |line: &str| {
        let rest = line.trim_start().strip_prefix("/*")?;
        let (address, rest) = rest.split_once("*/")?;
        let hex = address.len() >= 4 && address.bytes().all(|byte| byte.is_ascii_hexdigit());
        let rest = rest.trim_start();
        (hex && rest.starts_with(|c: char| c.is_ascii_uppercase() || c == '@' || c == '{'))
            .then(|| rest.to_owned())
    };
    listing.lines().filter_map(text).filter(|instruction| !instruction.starts_with("NOP")).count()
}

/// NVIDIA's compiler for CUDA C++.
pub(super) struct Nvrtc(Library);

type Handle = *mut c_void;

impl Nvrtc {
    /// Loads it; its builtins are beside it.
    pub(super) fn load(path: &Path) -> Result<Nvrtc, String> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let beside = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        for builtins in beside.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libnvrtc-builtins.so"))
        }) {
            // Stays loaded, so that NVRTC finds it by name.
            // SAFETY: it runs nothing but its own initialisation.
            unsafe { Library::new(builtins) }.map(std::mem::forget).ok();
        }
        // SAFETY: it runs nothing but its own initialisation.
        unsafe { Library::new(path) }.map(Nvrtc).map_err(|error| error.to_string())
    }

    /// PTX for sm_90.
    pub(super) fn compile(&self, source: &str) -> Result<Vec<u8>, String> {
        type Create = unsafe extern "C" fn(
            *mut Handle,
            *const c_char,
            *const c_char,
            c_int,
            *const *const c_char,
            *const *const c_char,
        ) -> c_int;
        type Compile = unsafe extern "C" fn(Handle, c_int, *const *const c_char) -> c_int;
        type Size = unsafe extern "C" fn(Handle, *mut usize) -> c_int;
        type Get = unsafe extern "C" fn(Handle, *mut c_char) -> c_int;
        type Destroy = unsafe extern "C" fn(*mut Handle) -> c_int;
        let source = CString::new(source).map_err(|error| error.to_string())?;
        let option = c"--gpu-architecture=compute_90".as_ptr();
        let error = |error: libloading::Error| error.to_string();
        let check = |status: c_int| if status == 0 { Ok(()) } else { Err(format!("NVRTC error {status}")) };
        // SAFETY: the types are those of nvrtc.h; strings and buffers live long enough and are as long as NVRTC says.
        unsafe {
            let create: Symbol<'_, Create> = self.0.get(b"nvrtcCreateProgram").map_err(error)?;
            let compile: Symbol<'_, Compile> = self.0.get(b"nvrtcCompileProgram").map_err(error)?;
            let size: Symbol<'_, Size> = self.0.get(b"nvrtcGetPTXSize").map_err(error)?;
            let get: Symbol<'_, Get> = self.0.get(b"nvrtcGetPTX").map_err(error)?;
            let destroy: Symbol<'_, Destroy> = self.0.get(b"nvrtcDestroyProgram").map_err(error)?;
            let mut program: Handle = std::ptr::null_mut();
            let none = std::ptr::null();
            check(create(&mut program, source.as_ptr(), c"k.cu".as_ptr(), 0, none, none))?;
            let done = (|| {
                check(compile(program, 1, &option))?;
                let mut bytes = 0;
                check(size(program, &mut bytes))?;
                let mut ptx = vec![0u8; bytes];
                check(get(program, ptx.as_mut_ptr().cast()))?;
                ptx.truncate(bytes.saturating_sub(1));
                Ok(ptx)
            })();
            destroy(&mut program);
            done
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_lines_with_an_address() {
        let listing = "\t.section\n        /*0000*/   MOV R1, c[0x0][0x28] ;   /* 0x00 */\n\
            /* 0x000e */\n        /*0010*/   @P0 EXIT ;\n        /*0020*/  NOP;\n.L_x_1:\n";
        assert_eq!(count_instructions(listing), 2);
        let log = "    32 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads";
        assert_eq!(numbers_before(log, "bytes spill stores").sum::<usize>(), 8);
    }
}
