//! Timing: alternating repetitions, medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How often, and how long at most.
#[derive(Copy, Clone)]
pub(super) struct Effort {
    /// Repetitions wanted.
    pub(super) repetitions: usize,
    /// No repetition beyond the third starts after this.
    pub(super) budget: Duration,
}

impl Effort {
    /// Whether to go on after `done` repetitions.
    pub(super) fn goes_on(&self, done: usize, start: Instant) -> bool {
        done < self.repetitions && (done < 3 || start.elapsed() < self.budget)
    }
}

/// Microseconds of one call.
pub(super) fn once<T>(f: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let value = black_box(f());
    (value, micros(start.elapsed()))
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Microseconds for which this thread has run: what others do on a busy machine does not count.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // asks the C library
pub(super) fn thread_micros() -> f64 {
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0; 2];
    // SAFETY: on 64-bit Linux a `timespec` is two 64-bit integers.
    unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time[0] as f64 * 1e6 + time[1] as f64 / 1e3
}

/// Microseconds since the first call.
#[cfg(not(target_os = "linux"))]
pub(super) fn thread_micros() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    micros(START.get_or_init(Instant::now).elapsed())
}

/// Median microseconds of each, called in turn; the first round only warms up.
pub(super) fn alternate<const N: usize>(effort: Effort, mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut samples = [const { Vec::new() }; N];
    calls.iter_mut().for_each(|call| call());
    let start = Instant::now();
    let mut done = 0;
    while effort.goes_on(done, start) {
        for (call, samples) in calls.iter_mut().zip(&mut samples) {
            samples.push(once(call).1);
        }
        done += 1;
    }
    samples.map(|mut samples| median(&mut samples))
}

/// The middle one; 0 of none.
pub(super) fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}

/// The geometric mean of the positive ones; none of none.
pub(super) fn geomean(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for number in numbers.into_iter().filter(|n| *n > 0.0) {
        sum += number.ln();
        count += 1;
    }
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut []), 0.0);
        let mean = geomean([2.0, 8.0, 0.0]).unwrap_or(0.0);
        assert!((mean - 4.0).abs() < 1e-9, "{mean}");
        assert_eq!(geomean([]), None);
    }
}
