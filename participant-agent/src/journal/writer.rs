//! Many tasks append to one journal; entries that wait at the same moment share one frame and one fsync.
//!
//! - **Invariants**: `append` returns after the fsync that covers its entry; entries of one caller keep their order

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use super::{Journal, JournalError};

/// Most entries that wait for the journal's thread; more callers wait outside.
const QUEUE: usize = 1024;

type Done = oneshot::Sender<Result<(), Arc<JournalError>>>;

/// A cloneable handle; the journal's thread ends when the last one is dropped.
#[derive(Debug)]
pub struct JournalWriter<T> {
    queue: mpsc::Sender<(T, Done)>,
}

impl<T> Clone for JournalWriter<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T: Serialize + DeserializeOwned + Send + 'static> JournalWriter<T> {
    pub(super) fn spawn(journal: Journal<T>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        std::thread::spawn(move || write_groups(journal, waiting));
        Self { queue }
    }

    /// Appends an entry; on disk when this returns.
    ///
    /// # Errors
    /// [`JournalError`], the same for every entry of the group.
    pub async fn append(&self, entry: T) -> Result<(), Arc<JournalError>> {
        let (done, written) = oneshot::channel();
        self.queue.send((entry, done)).await.map_err(|_| JournalError::Closed)?;
        written.await.map_err(|_| JournalError::Closed)?
    }
}

fn write_groups<T: Serialize + DeserializeOwned>(mut journal: Journal<T>, mut waiting: mpsc::Receiver<(T, Done)>) {
    while let Some(first) = waiting.blocking_recv() {
        let (mut entries, mut callers) = (vec![first.0], vec![first.1]);
        while entries.len() < QUEUE
            && let Ok((entry, done)) = waiting.try_recv()
        {
            entries.push(entry);
            callers.push(done);
        }
        let written = journal.append_all(&entries).map_err(Arc::new);
        for done in callers {
            // A caller that no longer waits has nothing to be told.
            let _ = done.send(written.clone());
        }
    }
}
