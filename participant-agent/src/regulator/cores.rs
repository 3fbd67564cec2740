//! Spreads an audit over all cores.
//!
//! - **Place**: B10, under `regulator`; the parts and what is done with each are `exchange::audit`'s
//! - **Shapes**: as many threads as there are cores, the caller's among them, each taking the next part when it is done with
//!   one; they end with the call
//! - **Invariants**: results stand in the order of the parts, whatever the number of threads
//! - **Errors**: a part that panics makes the call panic, after the other threads are done

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use riskveil_exchange::audit::Spread;

/// Threads that an audit may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    threads: usize,
}

impl Cores {
    /// One for each core that this process may use.
    pub(super) fn all() -> Self {
        Self { threads: thread::available_parallelism().map_or(1, NonZero::get) }
    }
}

impl Spread for Cores {
    fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(part) = parts.get(number) else { return done };
                done.push((number, work(part)));
            }
        };
        let mut done = thread::scope(|scope| {
            let start = |_| thread::Builder::new().name("audit".to_owned()).spawn_scoped(scope, take);
            // a thread that cannot be started leaves its share to the others
            let others: Vec<_> = (1..self.threads.min(parts.len())).map_while(|number| start(number).ok()).collect();
            let mut done = take();
            for other in others {
                match other.join() {
                    Ok(theirs) => done.extend(theirs),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_unstable_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_parts_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 8, 64] {
            for count in [0, 1, 2, 7, 8, 9, 1000] {
                let parts: Vec<u64> = (0..count).collect();
                let squares = Cores { threads }.map(&parts, |part| part * part);
                assert_eq!(squares, parts.iter().map(|part| part * part).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_threads_work_at_the_same_time() {
        // each part waits for the other: on one thread this would never end
        let both = Barrier::new(2);
        let seen = Mutex::new(BTreeSet::new());
        Cores { threads: 2 }.map(&[1, 2], |part| {
            both.wait();
            seen.lock().unwrap().insert((*part, format!("{:?}", thread::current().id())));
        });
        let threads: BTreeSet<String> = seen.into_inner().unwrap().into_iter().map(|(_, id)| id).collect();
        assert_eq!(threads.len(), 2);
    }

    #[test]
    #[should_panic(expected = "of this test")]
    fn a_part_that_panics_is_not_passed_over() {
        let parts: Vec<u64> = (0..100).collect();
        Cores { threads: 4 }.map(&parts, |part| assert!(*part != 50, "of this test"));
    }
}
