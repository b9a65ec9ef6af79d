//! Work on several threads whose results arrive in order.
//!
//! Each thread takes the next few items that nobody has taken and hands their results over; whoever waits for them puts
//! them in order. The first failure in the order of the items is the one that is reported.

use super::{NativeContext, fence};
use crate::error::EmitError;
use marquetry_ir::threads;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Items that a thread takes at once.
const CHUNK: usize = 16;
/// Fewer items are not worth starting threads for.
const FEW: usize = 4 * CHUNK;

/// Whether so much work is to be done on several threads.
pub(super) fn is_worth_it(threads: usize, items: usize) -> bool {
    threads > 1 && items >= FEW
}

/// Does the work for each item on threads of their own and hands the results to `sink`, in the order of the items.
pub(super) fn each<T: Sync + Copy, R: Send>(
    items: &[T],
    threads: usize,
    work: &(dyn Fn(T, &mut NativeContext) -> Result<R, EmitError> + Sync),
    sink: &mut dyn FnMut(R) -> Result<(), EmitError>,
) -> Result<(), EmitError> {
    let chunks = items.len().div_ceil(CHUNK);
    let next = AtomicUsize::new(0);
    let done = |number: usize, memory: &mut NativeContext| -> Result<Vec<R>, EmitError> {
        let chunk = items.chunks(CHUNK).nth(number).unwrap_or_default();
        fence(|| chunk.iter().map(|&item| work(item, memory)).collect())
    };
    let help = |send: mpsc::Sender<(usize, Result<Vec<R>, EmitError>)>| {
        let mut memory = NativeContext::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Nobody listens any more where something has failed.
            if number >= chunks || send.send((number, done(number, &mut memory))).is_err() {
                return;
            }
        }
    };
    let (send, receive) = mpsc::channel();
    let collect = move || {
        let mut early = BTreeMap::new();
        for number in 0..chunks {
            let results = loop {
                if let Some(results) = early.remove(&number) {
                    break results;
                }
                match receive.recv() {
                    Ok((other, results)) => drop(early.insert(other, results)),
                    // Nobody helps.
                    Err(_) => break done(number, &mut NativeContext::new()),
                }
            };
            for result in results? {
                sink(result)?;
            }
        }
        Ok(())
    };
    let senders = (0..threads.min(chunks)).map(move |_| send.clone());
    threads::beside(senders, help, collect).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_failure_counts() {
        let items: Vec<usize> = (0..1000).collect();
        let mut seen = Vec::new();
        let work = |item: usize, _: &mut NativeContext| Ok(item * 2);
        each(&items, 3, &work, &mut |result| {
            seen.push(result);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let failing = |item: usize, _: &mut NativeContext| match item {
            500 => Err(EmitError::Unsupported("500".to_owned())),
            700 => panic!("700"),
            _ => Ok(item),
        };
        let failed = each(&items, 3, &failing, &mut |_| Ok(())).unwrap_err();
        assert_eq!(failed, EmitError::Unsupported("500".to_owned()));
        let panicking = |item: usize, _: &mut NativeContext| if item == 3 { panic!("three") } else { Ok(()) };
        let failed = each(&items, 2, &panicking, &mut |()| Ok(())).unwrap_err();
        assert_eq!(failed, EmitError::Internal("three".to_owned()));
        let refusing = each(&items, 2, &work, &mut |result| match result {
            10 => Err(EmitError::Unsupported("sink".to_owned())),
            _ => Ok(()),
        });
        assert_eq!(refusing.unwrap_err(), EmitError::Unsupported("sink".to_owned()));
    }

    #[test]
    fn nobody_has_to_help() {
        let items: Vec<usize> = (0..100).collect();
        let mut sum = 0;
        let work = |item: usize, _: &mut NativeContext| Ok(item);
        each(&items, 0, &work, &mut |result| {
            sum += result;
            Ok(())
        })
        .unwrap();
        assert_eq!(sum, 4950);
    }
}
