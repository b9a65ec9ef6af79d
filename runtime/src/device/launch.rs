//! What a launch consists of, and the checks that every device makes before its driver sees one.
//!
//! All kernel arguments together form the *argument block*: a C struct with one field per parameter, in order, each
//! at its own alignment, the whole rounded up to a multiple of 8. A pointer is a field of 8 bytes. Vulkan receives
//! the block itself ([`ARGUMENT_BLOCK_LIMIT`]); CUDA and OpenCL receive its fields one by one.

use super::{Buffer, DeviceError, DeviceInfo, DeviceKind};
use marquetry_codegen::artifact::Filling;
use marquetry_codegen::native::NativeKernel;

/// The largest argument block, in bytes, that Vulkan kernels receive as push constants; a larger one lies in a
/// buffer whose 64-bit address is the only push constant. Every Vulkan device has this many bytes (Vulkan 1.3,
/// "Required Limits", `maxPushConstantsSize`), so that the decision does not depend on the device.
pub const ARGUMENT_BLOCK_LIMIT: u32 = 128;

/// One parameter of a kernel, after lowering to the kernel ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelParam {
    /// Size in bytes; 8 for a pointer.
    pub size: u32,
    /// Alignment in bytes, a power of two; 8 for a pointer.
    pub align: u32,
    /// Whether the argument is a buffer.
    pub is_pointer: bool,
}

impl KernelParam {
    /// A pointer to device memory.
    pub const POINTER: KernelParam = KernelParam { size: 8, align: 8, is_pointer: true };

    /// A value whose size is its alignment.
    pub const fn scalar(size: u32) -> KernelParam {
        KernelParam { size, align: size, is_pointer: false }
    }
}

/// Code, in the form that the device takes.
#[derive(Clone, Copy, Debug)]
pub enum KernelCode<'a> {
    /// What the driver takes: SPIR-V (little-endian words) for Vulkan and OpenCL, PTX text for CUDA.
    Bytes(&'a [u8]),
    /// A kernel that is in this process already, for the CPU.
    Native(&'a NativeKernel),
}

/// A kernel as the compiler hands it over.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage<'a> {
    /// The code.
    pub code: KernelCode<'a>,
    /// The kernel's name in the code.
    pub entry: &'a str,
    /// Its parameters.
    pub params: &'a [KernelParam],
    /// The block that it will be launched with first. Other blocks are allowed; Vulkan specialises the code for
    /// each one (constants with `SpecId` 0, 1 and 2) when it is first used.
    pub block: [u32; 3],
    /// Bytes of shared memory that a block uses, all of it declared in the code.
    pub shared_bytes: u32,
    /// Words to be written into the loaded code before it runs.
    pub fillings: &'a [Filling],
}

#[cfg(any(feature = "vulkan", feature = "opencl", feature = "cuda"))]
impl<'a> KernelImage<'a> {
    /// The code, for drivers.
    pub(super) fn bytes(&self) -> Result<&'a [u8], DeviceError> {
        match self.code {
            KernelCode::Bytes(bytes) => Ok(bytes),
            KernelCode::Native(_) => Err(DeviceError::Compile {
                entry: self.entry.to_owned(),
                log: "native code runs on the CPU only".to_owned(),
            }),
        }
    }
}

/// One argument of a launch.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a> {
    /// A pointer into a buffer, at a byte offset that may be anything up to the buffer's length.
    Buffer(&'a Buffer, u64),
    /// A null pointer.
    Null,
    /// A value: its bytes in little-endian order, exactly as many as the parameter has.
    Bytes(&'a [u8]),
}

impl Arg<'_> {
    fn describe(&self) -> String {
        match self {
            Arg::Buffer(..) => "a buffer".to_owned(),
            Arg::Null => "a null pointer".to_owned(),
            Arg::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}

/// A kernel's parameters with their places in the argument block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentLayout {
    fields: Vec<(u32, KernelParam)>,
    size: u32,
}

impl ArgumentLayout {
    /// Lays the parameters out.
    ///
    /// # Errors
    /// A size or an alignment is one that no compiler emits.
    pub fn new(params: &[KernelParam]) -> Result<ArgumentLayout, DeviceError> {
        let bad = |index: usize, what: String| DeviceError::Unsupported {
            reason: format!("kernel parameter {index} {what}"),
        };
        let mut fields = Vec::with_capacity(params.len());
        let mut size = 0u32;
        for (index, &param) in params.iter().enumerate() {
            if param.size == 0 {
                return Err(bad(index, "has no bytes".to_owned()));
            }
            if !param.align.is_power_of_two() || param.align > 256 {
                return Err(bad(index, format!("has an alignment of {} bytes", param.align)));
            }
            if param.is_pointer && (param.size, param.align) != (8, 8) {
                return Err(bad(index, format!("is a pointer of {} bytes, wanted 8", param.size)));
            }
            let too_large = || bad(index, "lies beyond 4 GiB of arguments".to_owned());
            let offset = size.checked_next_multiple_of(param.align).ok_or_else(too_large)?;
            // Keeping 256 bytes in hand lets the final rounding and the next alignment fit too.
            size =
                offset.checked_add(param.size).filter(|&end| end <= u32::MAX - 256).ok_or_else(too_large)?;
            fields.push((offset, param));
        }
        Ok(ArgumentLayout { fields, size: size.next_multiple_of(8) })
    }

    /// Each parameter with its offset in the argument block.
    pub fn fields(&self) -> &[(u32, KernelParam)] {
        &self.fields
    }

    /// Size of the argument block in bytes, a multiple of 8.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Checks the arguments against the parameters: number, kind, sizes, and buffer offsets.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn check(&self, args: &[Arg<'_>]) -> Result<(), DeviceError> {
        if args.len() != self.fields.len() {
            return Err(DeviceError::BadArgument {
                index: args.len().min(self.fields.len()),
                found: format!("{} arguments", args.len()),
                wanted: format!("{}", self.fields.len()),
            });
        }
        for (index, (arg, (_, param))) in args.iter().zip(&self.fields).enumerate() {
            match arg {
                Arg::Buffer(buffer, offset) if param.is_pointer => buffer.check_range(*offset, 0)?,
                Arg::Null if param.is_pointer => {}
                Arg::Bytes(bytes) if !param.is_pointer && bytes.len() as u64 == u64::from(param.size) => {}
                _ => {
                    let wanted =
                        if param.is_pointer { "a buffer".into() } else { format!("{} bytes", param.size) };
                    return Err(DeviceError::BadArgument { index, found: arg.describe(), wanted });
                }
            }
        }
        Ok(())
    }

    /// Packs checked arguments into an argument block; `address` tells where a buffer lies. Padding is zero.
    ///
    /// # Errors
    /// Those of [`Self::check`] and of `address`.
    pub fn pack(
        &self,
        args: &[Arg<'_>],
        mut address: impl FnMut(&Buffer) -> Result<u64, DeviceError>,
    ) -> Result<Vec<u8>, DeviceError> {
        self.check(args)?;
        let mut block = Vec::with_capacity(self.size as usize);
        for (arg, &(offset, _)) in args.iter().zip(&self.fields) {
            block.resize(offset as usize, 0);
            match arg {
                Arg::Buffer(buffer, offset) => {
                    block.extend_from_slice(&address(buffer)?.wrapping_add(*offset).to_le_bytes());
                }
                Arg::Null => block.extend_from_slice(&[0; 8]),
                Arg::Bytes(bytes) => block.extend_from_slice(bytes),
            }
        }
        block.resize(self.size as usize, 0);
        Ok(block)
    }
}

/// Checks a launch against the device's limits and the kernel's parameters. False: the grid has no blocks and there
/// is nothing to do.
///
/// # Errors
/// A limit that is passed, or an argument that does not fit.
pub fn check_launch(
    info: &DeviceInfo,
    layout: &ArgumentLayout,
    grid: [u32; 3],
    block: [u32; 3],
    args: &[Arg<'_>],
) -> Result<bool, DeviceError> {
    check_block(info, block)?;
    layout.check(args)?;
    for (axis, (&blocks, &limit)) in ["x", "y", "z"].iter().zip(grid.iter().zip(&info.max_grid)) {
        if blocks > limit {
            return Err(DeviceError::Launch {
                reason: format!("a grid of {blocks} blocks along {axis}; the device takes {limit}"),
            });
        }
    }
    Ok(!grid.contains(&0))
}

/// Checks a block against the device's limits.
pub(super) fn check_block(info: &DeviceInfo, block: [u32; 3]) -> Result<(), DeviceError> {
    let [x, y, z] = block;
    let refuse = |limit: String| {
        Err(DeviceError::Launch { reason: format!("a block of {x} x {y} x {z} work-items; {limit}") })
    };
    if block.contains(&0) {
        return refuse("each dimension needs at least 1".to_owned());
    }
    for (axis, (&items, &limit)) in ["x", "y", "z"].iter().zip(block.iter().zip(&info.max_block_dim)) {
        if items > limit {
            return refuse(format!("the device takes {limit} along {axis}"));
        }
    }
    let items = u128::from(x) * u128::from(y) * u128::from(z);
    if items > u128::from(info.max_block) {
        return refuse(format!("the device takes {}", info.max_block));
    }
    Ok(())
}

/// Checks what a kernel needs against what the device has.
///
/// # Errors
/// It needs more.
pub fn check_image(info: &DeviceInfo, kernel: &KernelImage<'_>) -> Result<(), DeviceError> {
    if kernel.shared_bytes > info.shared_bytes {
        return Err(DeviceError::Unsupported {
            reason: format!(
                "kernel `{}` needs {} bytes of shared memory; the device has {}",
                kernel.entry, kernel.shared_bytes, info.shared_bytes
            ),
        });
    }
    if let Some(filling) = kernel.fillings.first().filter(|_| info.kind != DeviceKind::Cuda) {
        let (entry, symbol) = (kernel.entry, &filling.symbol);
        let reason =
            format!("kernel `{entry}` waits for words in `{symbol}`, which this device cannot write");
        return Err(DeviceError::Unsupported { reason });
    }
    check_block(info, kernel.block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_that_of_a_c_struct() {
        let params =
            [KernelParam::scalar(1), KernelParam::POINTER, KernelParam::scalar(2), KernelParam::scalar(4)];
        let layout = ArgumentLayout::new(&params).unwrap();
        assert_eq!(layout.fields().iter().map(|field| field.0).collect::<Vec<_>>(), [0, 8, 16, 20]);
        assert_eq!(layout.size(), 24);
        let buffer = Buffer::new(64, ());
        let args =
            [Arg::Bytes(&[7]), Arg::Buffer(&buffer, 5), Arg::Bytes(&[1, 2]), Arg::Bytes(&[3, 4, 5, 6])];
        let block = layout.pack(&args, |_| Ok(0x1000)).unwrap();
        assert_eq!(block, [7, 0, 0, 0, 0, 0, 0, 0, 5, 16, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 5, 6]);
        assert_eq!(ArgumentLayout::new(&[]).unwrap().size(), 0);
    }

    #[test]
    fn layout_refuses_what_has_no_layout() {
        for param in [
            KernelParam { size: 0, align: 1, is_pointer: false },
            KernelParam { size: 4, align: 3, is_pointer: false },
            KernelParam { size: 4, align: 0, is_pointer: false },
            KernelParam { size: 4, align: 4, is_pointer: true },
            KernelParam { size: u32::MAX, align: 1, is_pointer: false },
        ] {
            assert!(ArgumentLayout::new(&[param]).is_err(), "{param:?}");
        }
        let half = KernelParam { size: 1 << 31, align: 8, is_pointer: false };
        assert!(ArgumentLayout::new(&[half, half]).is_err());
    }

    #[test]
    fn arguments_are_named_when_they_do_not_fit() {
        let layout = ArgumentLayout::new(&[KernelParam::POINTER, KernelParam::scalar(4)]).unwrap();
        let buffer = Buffer::new(16, ());
        let message = |args: &[Arg<'_>]| layout.check(args).unwrap_err().to_string();
        assert_eq!(
            message(&[Arg::Buffer(&buffer, 0), Arg::Bytes(&[0; 8])]),
            "argument 1: found 8 bytes, wanted 4 bytes"
        );
        assert_eq!(
            message(&[Arg::Bytes(&[0; 8]), Arg::Bytes(&[0; 4])]),
            "argument 0: found 8 bytes, wanted a buffer"
        );
        assert_eq!(message(&[Arg::Null]), "argument 1: found 1 arguments, wanted 2");
        assert!(layout.check(&[Arg::Buffer(&buffer, 16), Arg::Bytes(&[0; 4])]).is_ok());
        assert!(matches!(
            layout.check(&[Arg::Buffer(&buffer, 17), Arg::Bytes(&[0; 4])]),
            Err(DeviceError::OutOfBounds { offset: 17, bytes: 0, len: 16 })
        ));
    }
}
