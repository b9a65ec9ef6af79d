//! What every driver's device must do alike: the same checks on each, skipped with a word where it is absent.

mod kernels;

use super::*;
use kernels::{ENTRY, params};
use std::sync::Barrier;

/// Element that no kernel writes.
const UNTOUCHED: u32 = 0xdead_beef;

fn device(kind: DeviceKind) -> Option<Box<dyn Device>> {
    match open(kind) {
        Ok(device) => {
            eprintln!("{kind}: {:#?}", device.info());
            Some(device)
        }
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words(device: &dyn Device, buffer: &Buffer) -> Vec<u32> {
    let mut out = vec![0; buffer.len() as usize];
    device.read(buffer, 0, &mut out).unwrap();
    out.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect()
}

fn upload(device: &dyn Device, content: &[u32]) -> Buffer {
    let buffer = device.alloc(content.len() as u64 * 4).unwrap();
    device.write(&buffer, 0, &bytes(content)).unwrap();
    buffer
}

fn load(
    device: &dyn Device,
    code: &[u8],
    extra: usize,
    block: [u32; 3],
) -> Result<LoadedModule, DeviceError> {
    device.load(&KernelImage {
        code: KernelCode::Bytes(code),
        entry: ENTRY,
        params: &params(extra),
        block,
        shared_bytes: 0,
        fillings: &[],
    })
}

/// A launch with `k`, the row width, the number of elements, and the tail of 64-bit arguments.
#[derive(Clone, Copy)]
struct Run<'a> {
    grid: [u32; 3],
    block: [u32; 3],
    k: u32,
    width: u32,
    n: u32,
    tail: &'a [u64],
}

impl Run<'_> {
    fn go(
        &self,
        device: &dyn Device,
        module: &LoadedModule,
        out: (&Buffer, u64),
        from: (&Buffer, u64),
    ) -> Result<(), DeviceError> {
        let [k, width, n] = [self.k, self.width, self.n].map(u32::to_le_bytes);
        let tail: Vec<_> = self.tail.iter().map(|value| value.to_le_bytes()).collect();
        let mut args = vec![Arg::Buffer(out.0, out.1), Arg::Buffer(from.0, from.1)];
        args.extend([Arg::Bytes(&k), Arg::Bytes(&width), Arg::Bytes(&n)]);
        args.extend(tail.iter().map(|value| Arg::Bytes(value)));
        device.launch(module, self.grid, self.block, &args)
    }
}

fn launches(device: &dyn Device, code: &dyn Fn(usize) -> Vec<u8>) {
    let module = load(device, &code(0), 0, [64, 1, 1]).unwrap();
    assert_eq!(module.entry(), ENTRY);
    let input: Vec<u32> = (0..1100).map(|i: u32| i.wrapping_mul(0x9e37_79b9)).collect();
    let from = upload(device, &input);
    let out = upload(device, &[UNTOUCHED; 1100]);

    // An odd number of elements, in blocks that do not divide it.
    let run = Run { grid: [16, 1, 1], block: [64, 1, 1], k: 7, width: 4096, n: 1001, tail: &[] };
    run.go(device, &module, (&out, 0), (&from, 0)).unwrap();
    let expected = |i: usize| input[i].wrapping_mul(2).wrapping_add(7);
    let found = words(device, &out);
    for (i, &found) in found.iter().enumerate() {
        assert_eq!(found, if i < 1001 { expected(i) } else { UNTOUCHED }, "element {i}");
    }

    // A second launch of the same module: another block, two dimensions, and an offset into both buffers.
    let out = upload(device, &[UNTOUCHED; 1100]);
    let run = Run { grid: [3, 3, 1], block: [5, 3, 1], k: 1, width: 13, n: 90, tail: &[] };
    run.go(device, &module, (&out, 512), (&from, 1024)).unwrap();
    for (i, &found) in words(device, &out).iter().enumerate() {
        let expected =
            input.get((256 + i).wrapping_sub(128)).map_or(0, |v| v.wrapping_mul(2).wrapping_add(1));
        assert_eq!(found, if (128..218).contains(&i) { expected } else { UNTOUCHED }, "element {i}");
    }

    // In place, twice: the second launch sees what the first one wrote.
    let both = upload(device, &[1, 2, 3]);
    let run = Run { grid: [3, 1, 1], block: [1, 1, 1], k: 1, width: 3, n: 3, tail: &[] };
    for _ in 0..2 {
        run.go(device, &module, (&both, 0), (&both, 0)).unwrap();
    }
    device.sync().unwrap();
    assert_eq!(words(device, &both), [7, 11, 15]);

    // A grid without blocks does nothing.
    for grid in [[0, 1, 1], [1, 0, 1], [1, 1, 0]] {
        Run { grid, ..run }.go(device, &module, (&both, 0), (&both, 0)).unwrap();
    }
    assert_eq!(words(device, &both), [7, 11, 15]);

    // Argument blocks of 128 bytes, which are push constants on Vulkan, of 136, and of more than before.
    for extra in [12, 13, 100] {
        let tail: Vec<u64> = (1..=extra as u64).map(|number| number * 1000).collect();
        let module = load(device, &code(extra), extra, [3, 1, 1]).unwrap();
        let out = upload(device, &[0; 3]);
        let run = Run { grid: [1, 1, 1], block: [3, 1, 1], k: 1, width: 3, n: 3, tail: &tail };
        run.go(device, &module, (&out, 0), (&from, 0)).unwrap();
        let last = extra as u32 * 1000;
        let expected: Vec<_> = input[..3].iter().map(|v| v.wrapping_mul(2).wrapping_add(1 + last)).collect();
        assert_eq!(words(device, &out), expected, "{extra} more arguments");
    }
}

fn refusals(device: &dyn Device, code: &dyn Fn(usize) -> Vec<u8>) {
    let module = load(device, &code(0), 0, [1, 1, 1]).unwrap();
    let info = device.info();
    let buffer = upload(device, &[5; 4]);
    let run = Run { grid: [1, 1, 1], block: [4, 1, 1], k: 1, width: 4, n: 4, tail: &[] };
    let refused = |run: Run<'_>| run.go(device, &module, (&buffer, 0), (&buffer, 0)).unwrap_err();
    for block in [[0, 1, 1], [info.max_block + 1, 1, 1], [1, 1, u32::MAX], [u32::MAX; 3]] {
        let error = refused(Run { block, ..run });
        assert!(matches!(error, DeviceError::Launch { .. }), "{error}");
        let error = load(device, &code(0), 0, block).unwrap_err();
        assert!(matches!(error, DeviceError::Launch { .. }), "{error}");
    }
    let error = refused(Run { tail: &[1], ..run });
    assert_eq!(error.to_string(), "argument 5: found 6 arguments, wanted 5");
    let error = device.launch(&module, [1; 3], [1; 3], &[Arg::Buffer(&buffer, 0), Arg::Bytes(&[0; 8])]);
    assert!(matches!(error, Err(DeviceError::BadArgument { index: 2, .. })), "{error:?}");
    let error = run.go(device, &module, (&buffer, 17), (&buffer, 0));
    assert!(matches!(error, Err(DeviceError::OutOfBounds { offset: 17, .. })), "{error:?}");
    let image = KernelImage {
        code: KernelCode::Bytes(&code(0)),
        entry: ENTRY,
        params: &params(0),
        block: [1; 3],
        shared_bytes: 0,
        fillings: &[],
    };
    let shared_bytes = info.shared_bytes + 1;
    let error = device.load(&KernelImage { shared_bytes, ..image }).unwrap_err();
    assert!(matches!(error, DeviceError::Unsupported { .. }), "{error}");
    assert_eq!(words(device, &buffer), [5; 4], "refused launches leave no trace");

    // Transfers.
    let mut out = [0; 4];
    for offset in [13, 16, 17, u64::MAX] {
        assert!(matches!(device.read(&buffer, offset, &mut out), Err(DeviceError::OutOfBounds { .. })));
        assert!(matches!(device.write(&buffer, offset, &out), Err(DeviceError::OutOfBounds { .. })));
    }
    device.write(&buffer, 5, &[1, 2]).unwrap();
    device.read(&buffer, 4, &mut out).unwrap();
    assert_eq!(out, [5, 1, 2, 0]);
    device.read(&buffer, 16, &mut []).unwrap();
    let empty = device.alloc(0).unwrap();
    assert!(empty.is_empty());
    device.write(&empty, 0, &[]).unwrap();
    for bytes in [1 << 50, u64::MAX] {
        let error = device.alloc(bytes).unwrap_err();
        assert_eq!(error, DeviceError::OutOfMemory { bytes });
    }

    // Code.
    let good = code(0);
    let mut swapped = good.clone();
    swapped.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    for bad in [&[][..], &good[..good.len() - 4], &good[..good.len() / 2], &good[..7], &swapped, b"nonsense"]
    {
        let error = load(device, bad, 0, [1; 3]).unwrap_err();
        assert!(matches!(error, DeviceError::Compile { .. }), "{error}");
    }
    for entry in ["scal", "scales", "", "scale\0"] {
        let error = device.load(&KernelImage { entry, ..image }).unwrap_err();
        assert!(matches!(error, DeviceError::Compile { .. }), "{error}");
    }
}

fn ownership(device: Box<dyn Device>, code: &dyn Fn(usize) -> Vec<u8>) {
    let other = open(device.info().kind).unwrap();
    let module = load(&*device, &code(0), 0, [1, 1, 1]).unwrap();
    let buffer = upload(&*device, &[1, 2, 3]);
    let foreign = upload(&*other, &[1, 2, 3]);
    let plain = Buffer::new(12, ());
    let run = Run { grid: [1, 1, 1], block: [3, 1, 1], k: 1, width: 3, n: 3, tail: &[] };
    for foreign in [&foreign, &plain] {
        let error = run.go(&*device, &module, (&buffer, 0), (foreign, 0)).unwrap_err();
        assert_eq!(error, DeviceError::ForeignBuffer);
        assert_eq!(device.write(foreign, 0, &[]).unwrap_err(), DeviceError::ForeignBuffer);
        assert_eq!(device.read(foreign, 0, &mut []).unwrap_err(), DeviceError::ForeignBuffer);
        assert_eq!(device.address(foreign).unwrap_err(), DeviceError::ForeignBuffer);
    }
    let error = run.go(&*other, &module, (&foreign, 0), (&foreign, 0)).unwrap_err();
    assert_eq!(error, DeviceError::ForeignModule);

    // Launches from several threads at once, on the same module.
    let start = Barrier::new(4);
    let (device_ref, module_ref, start_ref) = (&*device, &module, &start);
    std::thread::scope(|scope| {
        for k in 0..4u32 {
            scope.spawn(move || {
                let both = upload(device_ref, &[k; 64]);
                start_ref.wait();
                let run = Run { grid: [1; 3], block: [32 + k, 1, 1], k, width: 64, n: 64, tail: &[] };
                for _ in 0..20 {
                    run.go(device_ref, module_ref, (&both, 0), (&both, 0)).unwrap();
                }
                // x -> 2x + k, twenty times, from k: k * (2^21 - 1).
                let found = words(device_ref, &both);
                let items = 32 + k as usize;
                assert_eq!(found[..items], vec![k * ((1 << 21) - 1); items]);
                assert_eq!(found[items..], vec![k; 64 - items]);
            });
        }
    });

    // Buffers and modules may outlive what they came from.
    drop(other);
    drop(foreign);
    drop(device);
    drop(module);
    buffer.free();
}

/// Devices opened, used and dropped on several threads at once: drivers are loaded and unloaded meanwhile.
fn lifetimes(kind: DeviceKind, code: &(dyn Fn(usize) -> Vec<u8> + Sync)) {
    std::thread::scope(|scope| {
        for k in 0..4 {
            scope.spawn(move || {
                for _ in 0..3 {
                    let device = open(kind).unwrap();
                    let module = load(&*device, &code(0), 0, [1; 3]).unwrap();
                    let both = upload(&*device, &[k; 8]);
                    let run = Run { grid: [1; 3], block: [8, 1, 1], k, width: 8, n: 8, tail: &[] };
                    run.go(&*device, &module, (&both, 0), (&both, 0)).unwrap();
                    assert_eq!(words(&*device, &both), [3 * k; 8]);
                }
            });
        }
    });
}

fn conforms(kind: DeviceKind, code: &(dyn Fn(usize) -> Vec<u8> + Sync)) {
    if let Some(device) = device(kind) {
        launches(&*device, code);
        refusals(&*device, code);
        ownership(device, code);
        lifetimes(kind, code);
    }
}

#[test]
fn probing_always_answers() {
    for kind in DeviceKind::ALL {
        let probes = probe(kind);
        assert!(!probes.is_empty());
        for probe in probes {
            match probe {
                Probe::Found(device) => {
                    let info = device.info();
                    assert_eq!(info.kind, kind);
                    eprintln!("{kind}: {} ({}): {}", info.name, info.driver, info.features);
                }
                Probe::Absent { kind: found, reason } => {
                    assert_eq!(found, kind);
                    assert!(!reason.is_empty());
                    eprintln!("{kind}: absent: {reason}");
                }
            }
        }
    }
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_conforms() {
    conforms(DeviceKind::Vulkan, &kernels::vulkan);
}

#[cfg(feature = "opencl")]
#[test]
fn opencl_conforms() {
    conforms(DeviceKind::OpenCl, &kernels::opencl);
}

/// Devices without shared virtual memory take another path for every buffer.
#[cfg(feature = "opencl")]
#[test]
fn opencl_conforms_with_memory_objects() {
    for device in opencl::with_memory_objects() {
        launches(&*device, &kernels::opencl);
        refusals(&*device, &kernels::opencl);
        // The origin of a sub-buffer must be aligned.
        let module = load(&*device, &kernels::opencl(0), 0, [1; 3]).unwrap();
        let buffer = upload(&*device, &[1; 64]);
        let run = Run { grid: [1; 3], block: [1; 3], k: 1, width: 1, n: 1, tail: &[] };
        let error = run.go(&*device, &module, (&buffer, 0), (&buffer, 4)).unwrap_err();
        assert!(matches!(error, DeviceError::BadArgument { index: 1, .. }), "{error}");
        ownership(device, &kernels::opencl);
    }
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_conforms() {
    conforms(DeviceKind::Cuda, &kernels::ptx);
}

/// With a validation layer, a module that uses what it does not declare is refused in the layer's words.
#[cfg(feature = "vulkan")]
#[test]
fn validation_errors_are_results() {
    let layers = std::env::var("VK_INSTANCE_LAYERS").unwrap_or_default();
    if !layers.contains("validation") {
        eprintln!("skipped: VK_INSTANCE_LAYERS names no validation layer");
        return;
    }
    let Some(device) = device(DeviceKind::Vulkan) else { return };
    let mut code = kernels::vulkan(0);
    // The second OpCapability, Int64 (11), becomes a second Shader (1).
    let capability =
        code.as_chunks_mut::<4>().0.iter_mut().find(|word| **word == 11u32.to_le_bytes()).unwrap();
    *capability = 1u32.to_le_bytes();
    match load(&*device, &code, 0, [1; 3]) {
        Err(DeviceError::Compile { log, .. }) => assert!(log.contains("Int64"), "{log}"),
        other => panic!("{other:?}"),
    }
    // The error belongs to that call alone.
    load(&*device, &kernels::vulkan(0), 0, [1; 3]).unwrap();
}
