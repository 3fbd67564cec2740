//! The independent parts of an audit, done by whoever has the threads for them.
//!
//! - **Place**: B10, under `opened`, `reconcile` and `subject`; the agent brings its cores
//! - **Invariants**: what comes back stands in the order of the parts, so an audit finds the same however it is spread

/// Does independent parts of one task.
pub trait Spread {
    /// What `work` makes of each part, in the order of the parts.
    fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R>;
}

/// One part after the other, on the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct InTurn;

impl Spread for InTurn {
    fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        parts.iter().map(work).collect()
    }
}
