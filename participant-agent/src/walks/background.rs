//! Work that may take minutes: on all cores, gone with whoever wanted it; at the lowest priority if nobody waits for it.
//!
//! - **Shapes**: as many threads as there are cores, each taking the next item when it is done with one; twice as many results
//!   wait at most, so whoever is slow to take them slows the work and not the memory
//! - **Invariants**: dropping a [`Running`] ends its threads after the item each is at; none is joined, so a stop never waits
//! - **Errors**: results that end before every item is done: a thread panicked or none could be started; the caller tries again

use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{Receiver, channel};

/// How much the work yields to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Somebody waits for it.
    Waited,
    /// Nothing waits for it: nice 19.
    Background,
}

/// Results on their way, in the order in which they are done.
#[derive(Debug)]
pub struct Running<T> {
    results: Receiver<T>,
}

/// Runs `work` for each of `items`, which are taken one by one as threads are free.
pub fn run<I, T>(
    priority: Priority,
    items: impl Iterator<Item = I> + Send + 'static,
    work: impl Fn(I) -> T + Send + Sync + 'static,
) -> Running<T>
where
    I: 'static,
    T: Send + 'static,
{
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let (done, results) = channel(2 * threads);
    let shared = Arc::new((Mutex::new(items), work));
    for _ in 0..threads {
        let (shared, done) = (shared.clone(), done.clone());
        let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
            if priority == Priority::Background {
                be_nice();
            }
            let (items, work) = shared.as_ref();
            while !done.is_closed() {
                let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(item) = next else { break };
                if done.blocking_send(work(item)).is_err() {
                    break;
                }
            }
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "a background thread could not be started");
        }
    }
    Running { results }
}

/// Runs one piece of work the same way; none if it could not be done.
pub(super) async fn once<T, W>(work: W) -> Option<T>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    run(Priority::Background, std::iter::once(work), |work: W| work()).next().await
}

impl<T> Running<T> {
    /// The next result; none when no more will come.
    pub async fn next(&mut self) -> Option<T> {
        self.results.recv().await
    }
}

/// Lowers the calling thread's priority, and that of no other.
fn be_nice() {
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "a background thread keeps its priority");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn every_item_is_done_once_by_threads_of_the_asked_priority() {
        for (asked, nice) in [(Priority::Background, 19), (Priority::Waited, 0)] {
            let mut running = run(asked, 0..50, |item| (item, item * 2, priority()));
            let mut seen = Vec::new();
            while let Some((item, double, found)) = running.next().await {
                assert_eq!((double, found), (item * 2, nice));
                seen.push(item);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..50).collect::<Vec<_>>());
        }
        assert_eq!(priority(), 0, "the thread that asked keeps its own");
        assert_eq!(once(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn results_that_nobody_takes_stop_the_work() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let mut running = run(Priority::Waited, 0..10_000, move |_| count.fetch_add(1, Ordering::Relaxed));
        assert!(running.next().await.is_some());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        assert!(done.load(Ordering::Relaxed) <= 1 + 3 * threads);
    }

    #[tokio::test]
    async fn dropping_the_results_ends_the_work_and_a_panic_ends_only_itself() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let mut running = run(Priority::Background, 0..10_000, move |_| {
            std::thread::sleep(Duration::from_millis(2));
            count.fetch_add(1, Ordering::Relaxed)
        });
        assert!(running.next().await.is_some());
        drop(running);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let after = done.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(done.load(Ordering::Relaxed), after);
        assert_eq!(once(|| panic!("of this test")).await, None::<()>);
    }

    /// The calling thread's nice value.
    fn priority() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }
}
