//! Verifies the range proofs of every batch of commitments that this replica holds, in the background, once.
//!
//! - **Place**: after A8; `disclose` and whoever reads `/v1/chain/commitments` sees what it found
//! - **Shapes**: a batch is [`BatchProofs::Unproved`] until all of its chunks were verified here; then proved or invalid for good
//! - **Invariants**: a verdict is on disk before it is shown; it is of one payload, named by its digest. Nothing waits for one
//! - **Errors**: [`JournalError`] ends the agent; a file that cannot be read is tried again with the next block
//! - **Security**: an invalid batch names its publisher in the log and in the API; its rows stay what they are, because a range
//!   proof says nothing about a hit
//! - **Source**: DESIGN.md section 10, "Who verifies what"

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use riskveil_chain::state::BatchState;
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_crypto::Digest32;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_exchange::audit::{Finding, FindingKind, Proof};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::publish::commitment::Attribute;
use riskveil_exchange::publish::commitment_batch::{CHUNK, RangeProofInvalid, verify_chunk};
use serde::{Deserialize, Serialize};

use super::background::{self, Priority};
use crate::context::Context;
use crate::journal::{Journal, JournalError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "verdicts";

/// What this member knows of a batch's range proofs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BatchProofs {
    /// Not verified yet.
    Unproved,
    /// Every proof holds.
    Proved,
    /// This one does not hold.
    Invalid {
        /// The lowest such chunk of 64.
        chunk: u32,
        /// What it is about.
        attribute: Attribute,
    },
}

impl BatchProofs {
    /// The word in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unproved => "unproved",
            Self::Proved => "proved",
            Self::Invalid { .. } => "invalid",
        }
    }
}

/// A verdict as it is journalled.
#[derive(Serialize, Deserialize)]
struct Entry {
    publisher: MemberId,
    batch_seq: u32,
    /// Of the payload it is about.
    digest: Digest32,
    found: BatchProofs,
}

/// Batches by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Not verified here yet.
    pub unproved: u64,
    /// Verified.
    pub proved: u64,
    /// With a proof that does not hold.
    pub invalid: u64,
    /// Chunks of 64 commitments in batches that are not verified yet.
    pub chunks_left: u64,
}

/// What was found of every batch so far.
pub struct RangeProofs {
    inner: Mutex<Inner>,
    chunks: AtomicU64,
    busy_ms: AtomicU64,
}

struct Inner {
    journal: Journal<Entry>,
    found: BTreeMap<(MemberId, u32), (Digest32, BatchProofs)>,
}

impl RangeProofs {
    /// Opens `verdicts.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let mut found = BTreeMap::new();
        let (journal, _) = Journal::open_with(journals, JOURNAL_NAME, key, |entry: Entry| {
            found.insert((entry.publisher, entry.batch_seq), (entry.digest, entry.found));
        })?;
        Ok(Self { inner: Mutex::new(Inner { journal, found }), chunks: AtomicU64::new(0), busy_ms: AtomicU64::new(0) })
    }

    /// What is known of a batch that the state counts.
    #[must_use]
    pub fn of(&self, publisher: &MemberId, batch_seq: u32, batch: &BatchState) -> BatchProofs {
        let inner = self.lock();
        match inner.found.get(&(publisher.clone(), batch_seq)) {
            Some((digest, found)) if *digest == batch.digest => *found,
            _ => BatchProofs::Unproved,
        }
    }

    /// Every batch that a view counts, with what is known of it, ascending by publisher and number.
    #[must_use]
    pub fn all(&self, view: &FinalizedView) -> Vec<(MemberId, u32, BatchState, BatchProofs)> {
        let batches = view.commitment_batches().into_iter();
        batches
            .map(|(publisher, seq, batch)| (self.of(&publisher, seq, &batch), publisher, seq, batch))
            .map(|(found, publisher, seq, batch)| (publisher, seq, batch, found))
            .collect()
    }

    /// Batches of a view by what is known of them.
    #[must_use]
    pub fn counts(&self, view: &FinalizedView) -> Counts {
        let mut counts = Counts::default();
        for (_, _, batch, found) in self.all(view) {
            match found {
                BatchProofs::Unproved => {
                    counts.unproved += 1;
                    counts.chunks_left += u64::from(batch.count) / CHUNK as u64;
                }
                BatchProofs::Proved => counts.proved += 1,
                BatchProofs::Invalid { .. } => counts.invalid += 1,
            }
        }
        counts
    }

    /// What a regulator is told of a view: one finding a batch that is invalid, which names its publisher.
    #[must_use]
    pub fn findings(&self, view: &FinalizedView) -> Vec<Finding> {
        let finding = |(publisher, batch_seq, batch, found): (MemberId, u32, BatchState, BatchProofs)| match found {
            BatchProofs::Invalid { chunk, attribute } => {
                let BatchState { height, digest, .. } = batch;
                let proof = vec![Proof::Commitments { batch_seq, height, digest, chunk, attribute }];
                Some(Finding::new(FindingKind::RangeProofInvalid, publisher, proof))
            }
            _ => None,
        };
        self.all(view).into_iter().filter_map(finding).collect()
    }

    /// Chunks verified since the start, and the time they took on all cores, ms.
    #[must_use]
    pub fn verified(&self) -> (u64, u64) {
        (self.chunks.load(Ordering::Relaxed), self.busy_ms.load(Ordering::Relaxed))
    }

    fn record(
        &self,
        publisher: &MemberId,
        batch_seq: u32,
        batch: &BatchState,
        found: BatchProofs,
    ) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let (publisher, digest) = (publisher.clone(), batch.digest);
        inner.journal.append(&Entry { publisher: publisher.clone(), batch_seq, digest, found })?;
        inner.found.insert((publisher, batch_seq), (digest, found));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RangeProofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RangeProofs({} verdicts)", self.lock().found.len())
    }
}

/// Verifies whatever is not verified yet, for as long as the agent runs.
///
/// # Errors
/// [`JournalError`]: a verdict cannot be kept; the agent has to stop.
pub async fn run(context: &Context) -> Result<(), JournalError> {
    let mut tip = context.ledger.watch();
    loop {
        tip.mark_unchanged();
        let view = context.ledger.view();
        let mut waiting: Vec<(MemberId, u32, BatchState)> = context
            .range_proofs
            .all(&view)
            .into_iter()
            .filter(|(.., found)| *found == BatchProofs::Unproved)
            .map(|(publisher, seq, batch, _)| (publisher, seq, batch))
            .collect();
        waiting.sort_by_key(|(_, _, batch)| batch.height);
        for (publisher, batch_seq, batch) in waiting {
            if let Some(found) = verify(context, &publisher, batch_seq, &batch).await {
                tokio::task::block_in_place(|| context.range_proofs.record(&publisher, batch_seq, &batch, found))?;
                tell(&publisher, batch_seq, &batch, found);
            }
        }
        if tip.changed().await.is_err() {
            // the ledger is closed: the agent is stopping
            return std::future::pending().await;
        }
    }
}

/// Verifies one batch on all cores; none if its file cannot be read now, or the work was interrupted.
async fn verify(context: &Context, publisher: &MemberId, batch_seq: u32, batch: &BatchState) -> Option<BatchProofs> {
    let commitments = context.ledger.commitments();
    let payload = match tokio::task::block_in_place(|| commitments.payload(publisher, batch_seq)) {
        Ok(payload) => payload,
        Err(error) => {
            tracing::warn!(%publisher, batch_seq, %error, "a batch of commitments cannot be verified now");
            return None;
        }
    };
    let (chain_id, of, count) = (context.chain_id, publisher.clone(), batch.count);
    let chunks = count as usize / CHUNK;
    let payload = Arc::new(payload);
    let began = Instant::now();
    let mut running = background::run(Priority::Background, 0..chunks, move |chunk| {
        verify_chunk(&chain_id, &of, &payload, count, chunk)
    });
    let (mut done, mut invalid) = (0, None::<RangeProofInvalid>);
    while let Some(verified) = running.next().await {
        done += 1;
        context.range_proofs.chunks.fetch_add(1, Ordering::Relaxed);
        context.metrics.range_proof_chunks.get_or_create(&[("work", "verified")]).inc();
        if let Err(found) = verified
            && invalid.is_none_or(|lowest| found.chunk < lowest.chunk)
        {
            invalid = Some(found);
        }
    }
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.range_proofs.busy_ms.fetch_add(took_ms, Ordering::Relaxed);
    let found = invalid.map_or(BatchProofs::Proved, |RangeProofInvalid { chunk, attribute }| BatchProofs::Invalid {
        chunk: u32::try_from(chunk).unwrap_or(u32::MAX),
        attribute,
    });
    (done == chunks).then_some(found)
}

fn tell(publisher: &MemberId, batch_seq: u32, batch: &BatchState, found: BatchProofs) {
    let (count, height) = (batch.count, batch.height);
    match found {
        BatchProofs::Invalid { chunk, attribute } => {
            let attribute = attribute.as_str();
            tracing::error!(
                %publisher, batch_seq, count, %height, chunk, attribute,
                "a member published commitments whose range proof does not hold"
            );
        }
        _ => tracing::info!(%publisher, batch_seq, count, %height, "range proofs hold"),
    }
}
