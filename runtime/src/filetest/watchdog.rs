//! A limit of time on what cannot be interrupted.
//!
//! Native code and kernels on a device run until they end: a deadline that loops would test costs too much, and no
//! thread can be stopped from outside. So what takes too long is reported from another thread, and whoever started the
//! watchdog decides what then: commands end the process with an error, since what hangs keeps its engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Watches over any number of things at a time.
pub struct Watchdog {
    shared: Arc<Shared>,
    limit: Duration,
    begun: fn(&str),
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    watched: Mutex<Watched>,
    changed: Condvar,
}

#[derive(Default)]
struct Watched {
    /// By number: the deadline, and what is going on. Later ones have later deadlines.
    running: BTreeMap<u64, (Instant, String)>,
    next: u64,
    done: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    /// Starts a watchdog, which calls `begun` with a description of each thing that begins, on its thread, and `expired`
    /// with that of each that takes longer than the limit, on another one.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(
        limit: Duration,
        begun: fn(&str),
        expired: impl Fn(&str) + Send + 'static,
    ) -> std::io::Result<Watchdog> {
        let shared = Arc::new(Shared { watched: Mutex::default(), changed: Condvar::new() });
        let sees = shared.clone();
        let thread = thread::Builder::new().name("watchdog".into()).spawn(move || watch(&sees, &expired))?;
        Ok(Watchdog { shared, limit, begun, thread: Some(thread) })
    }

    /// Says that something begins; dropping what this gives says that it has ended.
    pub fn begin(&self, what: String) -> Guard<'_> {
        (self.begun)(&what);
        let mut watched = self.shared.lock();
        let number = watched.next;
        watched.next += 1;
        // A limit that no clock reaches is none.
        if let Some(deadline) = Instant::now().checked_add(self.limit) {
            watched.running.insert(number, (deadline, what));
        }
        // Others that run have earlier deadlines, for which the thread waits already.
        if watched.running.len() == 1 {
            self.shared.changed.notify_all();
        }
        Guard { shared: &self.shared, number }
    }
}

/// Something that goes on.
pub struct Guard<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.shared.lock().running.remove(&self.number);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.lock().done = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, expired: &dyn Fn(&str)) {
    let mut watched = shared.lock();
    while !watched.done {
        let now = Instant::now();
        let first = watched.running.iter().next().map(|(&number, &(deadline, _))| (number, deadline));
        watched = match first {
            None => shared.changed.wait(watched).unwrap_or_else(PoisonError::into_inner),
            Some((number, deadline)) if deadline <= now => {
                let what = watched.running.remove(&number);
                drop(watched);
                what.iter().for_each(|(_, what)| expired(what));
                shared.lock()
            }
            Some((_, deadline)) => {
                let waited = shared.changed.wait_timeout(watched, deadline - now);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Ends the process with an error, whatever threads of it still do. What drivers do at exit is left out: it waits for
/// kernels, or takes away what they work on.
#[cfg(unix)]
#[allow(unsafe_code, reason = "the standard library only ends processes in good order")]
pub fn end_process() -> ! {
    unsafe extern "C" {
        safe fn _exit(code: std::ffi::c_int) -> !;
    }
    _exit(1)
}

/// Ends the process with an error.
#[cfg(not(unix))]
pub fn end_process() -> ! {
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn what_takes_too_long_is_reported_once() {
        let (report, reported) = mpsc::channel();
        let watchdog = Watchdog::start(
            Duration::from_millis(30),
            |_| {},
            move |what| drop(report.send(what.to_owned())),
        );
        let watchdog = watchdog.unwrap();
        drop(watchdog.begin("short".into()));
        let first = watchdog.begin("first".into());
        let second = watchdog.begin("second".into());
        assert_eq!(reported.recv().as_deref(), Ok("first"));
        assert_eq!(reported.recv().as_deref(), Ok("second"));
        drop((first, second));
        drop(watchdog.begin("short again".into()));
        drop(watchdog);
        assert!(reported.recv().is_err());
    }
}
