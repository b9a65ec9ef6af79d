//! Threads that do one piece of work together.

use std::thread;

/// Bytes of a helper's stack: as much as a main thread has.
const STACK: usize = 8 << 20;

/// What the work gives on this thread and on others, up to so many in all, in no particular order but that this thread's
/// result is the first.
///
/// Threads are started and end as [`beside`] says.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// let next = AtomicUsize::new(0);
/// let sums = marquetry_ir::threads::on_threads(4, || {
///     let taken = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
///     taken.take_while(|&n| n < 100).sum::<usize>()
/// });
/// assert_eq!(sums.iter().sum::<usize>(), 4950);
/// ```
pub fn on_threads<R: Send>(threads: usize, work: impl Fn() -> R + Sync) -> Vec<R> {
    let (own, others) = beside((1..threads).map(|_| ()), |()| work(), &work);
    let mut results = vec![own];
    results.extend(others);
    results
}

/// Does `own` on this thread while helpers help, each on a thread of its own with what it is handed. Gives what `own` gives,
/// and what each helper does.
///
/// A helper that cannot be started is one fewer, and what it would have been handed is dropped before `own` begins. A panic
/// of a helper goes on here, once `own` and the others are done; nothing tells these about it.
///
/// ```
/// let mut counts = [0, 0, 0];
/// let (first, others) = counts.split_first_mut().unwrap();
/// marquetry_ir::threads::beside(others, |count| *count += 1, || *first += 1);
/// assert_eq!(counts, [1, 1, 1]);
/// ```
pub fn beside<C: Send, R: Send, T>(
    helpers: impl IntoIterator<Item = C>,
    help: impl Fn(C) -> R + Sync,
    own: impl FnOnce() -> T,
) -> (T, Vec<R>) {
    let help = &help;
    thread::scope(|scope| {
        let mut started = Vec::new();
        for handed in helpers {
            let builder = thread::Builder::new().stack_size(STACK);
            let Ok(helper) = builder.spawn_scoped(scope, move || help(handed)) else { break };
            started.push(helper);
        }
        let own = own();
        let join = |helper: thread::ScopedJoinHandle<'_, R>| {
            helper.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        };
        (own, started.into_iter().map(join).collect())
    })
}
