//! What arrives at the host when kernels throw.

use super::*;

/// The devices of this machine that load compiled kernels.
fn launchers() -> Vec<(DeviceKind, Launcher)> {
    let kinds = [DeviceKind::Cpu, DeviceKind::Vulkan, DeviceKind::OpenCl, DeviceKind::Cuda];
    let open = |kind: DeviceKind| match Launcher::open(kind) {
        Ok(launcher) => Some((kind, launcher)),
        Err(reason) => {
            println!("skipped: {}: {reason}", kind.name());
            None
        }
    };
    kinds.into_iter().filter_map(open).collect()
}

const WORDS: usize = 256;

/// Launches four work-items; gives the exception and what the provider noted.
fn launch(launcher: &Launcher, entry: &str, level: DebugLevel) -> (Thrown, Vec<(u32, char, u32)>) {
    let program = program();
    let target = Target::for_device(launcher.device().info(), OptLevel::Default).expect("a target");
    let job = job(&program, entry, level);
    let compiled = compile_with(&program, &job, &target, &Library::new());
    let compiled = Arc::new(compiled.unwrap_or_else(|error| panic!("{entry} at {level:?}: {error}")));
    let int = |value| HostArg::Value(HostValue::scalar(Type::I32, value).expect("an i32"));
    let buffer = |words: usize| HostArg::Buffer { element: Scalar::I32, bytes: vec![0; 4 * words] };
    let mut options = LaunchOptions::default();
    options.inputs.push(("log".into(), buffer(WORDS)));
    let extent = Extent { grid: [1; 3], block: [4, 1, 1] };
    let launched = launcher.launch_with(&compiled, extent, &mut [buffer(4), int(0)], &mut options);
    let Outcome::Threw(thrown) = launched.expect("it runs").outcome else { panic!("nothing was thrown") };
    let HostArg::Buffer { bytes, .. } = &options.inputs[0].1 else { panic!("a buffer") };
    let words: Vec<u32> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    let letter = |word: u32| char::from_u32(word).unwrap();
    let notes = words[1..].chunks_exact(3).take(words[0] as usize);
    (thrown, notes.map(|note| (note[0], letter(note[1]), note[2])).collect())
}

#[test]
fn t175_the_first_to_throw_reports_every_frame_and_all_signal() {
    for (kind, launcher) in launchers() {
        for level in LEVELS {
            let (thrown, notes) = launch(&launcher, "k", level);
            let signals = notes.iter().filter(|note| note.0 == 3).count();
            assert_eq!(signals, 4, "{} at {level:?}: {notes:?}", kind.name());
            let reports: Vec<_> = notes.into_iter().filter(|note| note.0 != 3).collect();
            let wanted: &[(u32, char, u32)] = match level {
                DebugLevel::None => &[],
                DebugLevel::Lines => &[(1, 'D', 0)],
                DebugLevel::Full => &[(2, 'D', 0), (101, 'q', 3), (102, 'm', 8), (103, 'k', 14)],
            };
            assert_eq!(reports, wanted, "{} at {level:?}", kind.name());
            // What the host learns is the same at every level.
            let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
            assert_eq!((&*thrown.kind, &*thrown.function), ("DivideError", "quotient"));
            assert_eq!(names, ["mean", "k"], "{}", kind.name());
            let lines: Vec<_> = thrown.callers.iter().map(|c| c.place.as_ref().map(|p| p.line)).collect();
            assert_eq!(lines, [Some(8), Some(14)]);
            let report = thrown.report(DebugLevel::Full);
            assert!(
                report.contains("\n  in 'quotient', t.mq:3:5\n  called by 'mean', t.mq:8:5\n"),
                "{report}"
            );
            assert!(report.ends_with(" of kernel 'k'"), "{report}");
            assert_eq!(thrown.report(DebugLevel::None).lines().count(), 1);
        }
    }
}

#[test]
fn all_callers_that_may_have_been_it_are_named() {
    for (kind, launcher) in launchers() {
        let (thrown, notes) = launch(&launcher, "several", DebugLevel::Full);
        let reports: Vec<_> = notes.into_iter().filter(|note| note.0 != 3).collect();
        // The frame after the last certain one says that there are several.
        let wanted =
            [(2, 'D', 0), (101, 'q', 3), (102, 'm', 8), (103, 'm', 0), (104, 's', 22), (105, 's', 23)];
        assert_eq!(reports, wanted, "{}", kind.name());
        let lines = thrown.candidates.iter().map(|caller| caller.place.as_ref().map_or(0, |p| p.line));
        assert_eq!(lines.collect::<Vec<usize>>(), [22, 23], "{}", kind.name());
        let shown = thrown.to_string();
        let wanted =
            "called by 'mean', t.mq:8:5; called by one of 'several', t.mq:22:5 or 'several', t.mq:23:5)";
        assert!(shown.contains(wanted), "{shown}");
    }
}

/// What an engine throws for a kernel of two groups of four work-items.
fn thrown(kind: EngineKind, entry: &str, number: u128) -> Option<Thrown> {
    let mut engine = match kind.open(OptLevel::Default) {
        Ok(engine) => engine,
        Err(reason) => {
            println!("skipped: {}: {reason}", kind.name());
            return None;
        }
    };
    let program = program();
    let method = *program.methods_of(entry).first().expect("the kernel");
    engine.load(Arc::new(program));
    let out = HostArg::Buffer { element: Scalar::I32, bytes: vec![0; 32] };
    let number = HostArg::Value(HostValue::scalar(Type::I32, number).expect("an i32"));
    let extent = Extent { grid: [2, 1, 1], block: [4, 1, 1] };
    let outcome = engine.launch(method, extent, &mut [out, number]);
    let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
    // As a host would pass it on.
    Some(*outcome.returned().expect_err("an exception"))
}

#[test]
fn every_engine_tells_which_work_item_of_which_kernel() {
    for kind in EngineKind::ALL {
        for number in [0_u32, 3, 6] {
            let Some(thrown) = thrown(kind, "one", number.into()) else { continue };
            let item = WorkItem { group: [number / 4, 0, 0], local: [number % 4, 0, 0] };
            assert_eq!(thrown.item, Some(item), "{}", kind.name());
            assert_eq!(thrown.kernel.as_deref(), Some("one"), "{}", kind.name());
            let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
            assert_eq!((&*thrown.function, &names[..]), ("strike", &["one"][..]), "{}", kind.name());
        }
    }
}

#[test]
fn t079_an_assertion_in_an_inlined_helper_names_both_functions() {
    for kind in EngineKind::ALL {
        let Some(thrown) = thrown(kind, "asserts", 0) else { continue };
        assert_eq!((&*thrown.kind, &*thrown.function), ("AssertionFailed", "checked"), "{}", kind.name());
        assert_eq!(thrown.reason.as_deref(), Some("x is positive"));
        let names: Vec<&str> = thrown.callers.iter().map(|caller| &*caller.function).collect();
        assert_eq!(names, ["asserts"], "{}", kind.name());
    }
}

#[test]
fn an_artifact_tells_what_was_thrown_without_the_program() {
    for (kind, launcher) in launchers() {
        let target = Target::for_device(launcher.device().info(), OptLevel::Default).expect("a target");
        // Everything but what the test holds is gone when the mailbox is read.
        let (entries, places, mailbox) = {
            let program = program();
            let job = job(&program, "far", DebugLevel::None);
            let compiled = compile_with(&program, &job, &target, &Library::new()).expect("it compiles");
            let mut mailbox = [0; Record::BYTES];
            let number = 1 + compiled_site(&compiled, "TooFar") as u32;
            for (word, value) in [(0, number), (1, 1), (2, 5), (5, 3), (8, 41), (10, 2_u32.pow(31))] {
                mailbox[4 * word..4 * word + 4].copy_from_slice(&value.to_le_bytes());
            }
            (compiled.entries.clone(), compiled.places().clone(), mailbox)
        };
        let thrown = Thrown::in_mailbox(&entries, &places, &mailbox).expect("an exception");
        assert_eq!(thrown.reason.as_deref(), Some("41 of 2147483648"), "{}", kind.name());
        let item = WorkItem { group: [5, 0, 0], local: [3, 0, 0] };
        assert_eq!((thrown.kernel.as_deref(), thrown.item), (Some("far"), Some(item)));
        let place = thrown.place.as_ref().expect("a place");
        assert_eq!((&*place.file, place.line), ("t.mq", 80));
        let report = thrown.report(DebugLevel::Full);
        assert!(report.contains("\n  in 'go', t.mq:80:5\n  called by 'far', t.mq:89:5\n"), "{report}");
    }
}

/// The number of the place that throws a kind.
fn compiled_site(compiled: &Compiled, kind: &str) -> usize {
    compiled.places().iter().position(|place| &*place.kind == kind).expect("a place that throws it")
}

#[test]
fn operands_of_the_first_to_throw_arrive() {
    for kind in EngineKind::ALL {
        let Some(thrown) = thrown(kind, "far", 1 << 31) else { continue };
        let item = thrown.item.expect("a work-item");
        let id = u64::from(4 * item.group[0] + item.local[0]);
        assert_eq!(thrown.operands[..], [(Type::I32, id), (Type::I64, 1 << 31)], "{}", kind.name());
        assert_eq!(thrown.reason, Some(format!("{id} of {}", 1_u64 << 31)));
    }
}

#[test]
fn a_level_whose_functions_are_missing_is_the_next_lower_one() {
    // By what the provider leaves out, what is told at the full level.
    let cases: [(&[&str], &[&str]); 5] = [
        (&["_exception_frame"], &["report_exception", "signal_exception"]),
        (&["_exception_name"], &["report_exception", "signal_exception"]),
        (&["_exception_frame", "report_exception"], &["signal_exception"]),
        (&["signal_exception"], &["report_exception_name", "report_exception_frame"]),
        (&["_exception_name", "report_exception", "signal_exception"], &[]),
    ];
    for name in DEVICES {
        for (missing, wanted) in cases {
            let mut provider = String::new();
            for method in PROVIDER.split_inclusive("\n}\n") {
                let left_out = |what: &&str| {
                    method.contains(&format!("gpu_{what}("))
                        || what.starts_with('_') && method.contains(&format!("gpu_report{what}("))
                };
                if !missing.iter().any(left_out) {
                    provider.push_str(method);
                }
            }
            let mut program = library::program();
            assert_eq!(text::parse(&mut program, "t.mq", SOURCE), []);
            assert_eq!(text::parse(&mut program, "provider.mq", &provider), []);
            if program.find_table("mine").is_none() {
                assert_eq!(wanted, [""; 0]);
                continue;
            }
            let legal = legal(&program, &job(&program, "k", DebugLevel::Full), name);
            assert_eq!(told(&legal), wanted, "{name} without {missing:?}");
        }
    }
}
