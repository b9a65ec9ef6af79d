//! When a program ends this process: native code that gets at an invalid place, or traps, does so by a signal.
//!
//! Nothing of what ran can be saved then, but who started it is told what it was, and gets the exit code of an error. A
//! signal's handler may call almost nothing, so the text stands ready in memory that is always there.

use marquetry_ir::diag::printable;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// Most bytes of what is said about what runs.
const MAX_TEXT: usize = 1024;

static TEXT: [AtomicU8; MAX_TEXT] = [const { AtomicU8::new(0) }; MAX_TEXT];
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Says what runs from now on.
pub(super) fn runs(what: &str) {
    let what = printable(what);
    let text = what.as_bytes();
    LENGTH.store(0, Ordering::Relaxed);
    TEXT.iter().zip(text).for_each(|(place, &byte)| place.store(byte, Ordering::Relaxed));
    LENGTH.store(text.len().min(MAX_TEXT), Ordering::Relaxed);
}

/// From now on, signals that a program gives rise to end the process with an error.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library handles no signals")]
pub(super) fn report_signals() {
    use std::ffi::c_int;

    /// Their numbers are the same on every system but for the last, which others than Linux call 10.
    const SIGNALS: [(c_int, &str); 6] = [
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (8, "SIGFPE"),
        (11, "SIGSEGV"),
        (if cfg!(target_os = "linux") { 7 } else { 10 }, "SIGBUS"),
    ];

    unsafe extern "C" {
        fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
        fn write(file: c_int, bytes: *const u8, count: usize) -> isize;
    }

    extern "C" fn handler(number: c_int) {
        let name = SIGNALS.iter().find(|(other, _)| *other == number).map_or("a signal", |(_, name)| name);
        let mut text = [0; MAX_TEXT];
        let length = LENGTH.load(Ordering::Relaxed).min(MAX_TEXT);
        text.iter_mut().zip(&TEXT).for_each(|(byte, from)| *byte = from.load(Ordering::Relaxed));
        let parts = [
            b"error: ".as_slice(),
            &text[..length],
            b"\n  ended this process by ",
            name.as_bytes(),
            b": a trap, or an access to an invalid place; '--on interp' says where\n",
        ];
        for part in parts {
            // SAFETY: these are the bytes of a slice. Both functions may be called in a handler (POSIX.1-2017 2.4.3), and
            // if nobody can read this, the exit code is left to tell.
            unsafe { write(2, part.as_ptr(), part.len()) };
        }
        crate::filetest::watchdog::end_process()
    }

    for (number, _) in SIGNALS {
        // SAFETY: the handler has the signature that C wants, and only calls what handlers may.
        unsafe { signal(number, handler) };
    }
}

/// From now on, signals that a program gives rise to end the process with an error.
#[cfg(not(unix))]
pub(super) fn report_signals() {}
