//! Threads that help with one piece of work.

use std::thread;

/// Bytes of a helper's stack: as much as a main thread has.
const STACK: usize = 8 << 20;

/// What the work gives on this thread, and on up to so many others at the same time, in no particular order. One that
/// cannot be started is one fewer; a panic on one of them goes on here, once the others are done.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let next = AtomicUsize::new(0);
/// let sums = marquetry_ir::threads::with_helpers(3, || {
///     let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
///     taken.take_while(|&n| n < 100).sum::<usize>()
/// });
/// assert_eq!(sums.iter().sum::<usize>(), 4950);
/// ```
pub fn with_helpers<R: Send>(helpers: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let start = || thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let started: Vec<_> = (0..helpers).map_while(|_| start().ok()).collect();
        let mut results = vec![work()];
        for helper in started {
            match helper.join() {
                Ok(result) => results.push(result),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        }
        results
    })
}
