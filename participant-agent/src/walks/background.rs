//! Work that may take minutes and that nothing waits for: on all cores, at the lowest priority, gone with whoever wanted it.
//!
//! - **Shapes**: as many threads as there are cores, each at nice 19, each taking the next item
//! - **Invariants**: dropping a [`Running`] ends its threads after the item each is at; none is joined, so a stop never waits
//! - **Errors**: results that end before every item is done: a thread panicked or none could be started; the caller tries again

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Results on their way, in the order in which they are done.
#[derive(Debug)]
pub(super) struct Running<T> {
    results: UnboundedReceiver<(usize, T)>,
    stop: Arc<AtomicBool>,
}

/// Runs `work` for each of `items`.
pub(super) fn run<T: Send + 'static>(
    items: Vec<usize>,
    work: impl Fn(usize) -> T + Send + Sync + 'static,
) -> Running<T> {
    let (done, results) = unbounded_channel();
    let stop = Arc::new(AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let shared = Arc::new((items, AtomicUsize::new(0), work));
    for _ in 0..threads {
        let (shared, done, stopped) = (shared.clone(), done.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
            be_nice();
            let (items, next, work) = shared.as_ref();
            while !stopped.load(Ordering::Relaxed)
                && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
            {
                if done.send((*item, work(*item))).is_err() {
                    break;
                }
            }
        });
        if let Err(error) = thread {
            tracing::warn!(%error, "a background thread could not be started");
        }
    }
    Running { results, stop }
}

/// Runs one piece of work the same way; none if it could not be done.
pub(super) async fn once<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let work = std::sync::Mutex::new(Some(work));
    let mut running = run(vec![0], move |_| {
        let taken = work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        taken.map(|work| work())
    });
    running.next().await.and_then(|(_, done)| done)
}

impl<T> Running<T> {
    /// The next result and its item; none when no more will come.
    pub(super) async fn next(&mut self) -> Option<(usize, T)> {
        self.results.recv().await
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
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
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn every_item_is_done_once_by_threads_of_the_lowest_priority() {
        let mut running = run((0..50).collect(), |item| (item * 2, priority()));
        let mut seen = Vec::new();
        while let Some((item, (double, nice))) = running.next().await {
            assert_eq!((double, nice), (item * 2, 19));
            seen.push(item);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
        assert_eq!(priority(), 0, "the thread that asked keeps its own");
        assert_eq!(once(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn dropping_the_results_ends_the_work_and_a_panic_ends_only_itself() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        let mut running = run((0..10_000).collect(), move |_| {
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
