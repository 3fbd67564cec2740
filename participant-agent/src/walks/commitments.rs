//! The task behind commitments: once rows are published, plans their commitments, proves the ranges, publishes the batches.
//!
//! - **Place**: A4 and A5 for commitments, behind `walks::publisher`; nothing waits for it
//! - **Shapes**: proofs of 64 commitments at a time, on all cores at nice 19; a batch is published when all its proofs are made
//! - **Invariants**: a plan is durable before anything of it is signed, and makes the same leaves again after a restart. Each proof is
//!   on disk when it counts as made, so that a kill loses at most those under way. Batches are published in order, each once: what is
//!   on its way is final before the next is looked for
//! - **Errors**: [`RecordsError`] and [`JournalError`] end the agent; whatever else fails is tried again
//! - **Source**: DESIGN.md section 3, "Commitment"
//!
//! ```text
//! rows final --> plan (journal) --> chunk proofs (journal) --> payload --> outbox --> PublishCommitments --> range_proofs.rs
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::OsRng;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::BatchState;
use riskveil_chain::state::view::StateRead;
use riskveil_chain::tx::{PayloadRef, PublishCommitments, TxBody};
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::{Digest32, SecretBytes, digest};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::commitment_batch::{CHUNK, ChunkProof, commitment_at};
use riskveil_exchange::publish::{RecordCommitment, UnprovenBatch};
use serde::{Deserialize, Serialize};

use super::PublishError;
use super::background::{self, Priority};
use super::publisher::Publisher;
use crate::api::models::CommitmentProgress;
use crate::context::Context;
use crate::journal::{Journal, JournalError};
use crate::period_keys;
use crate::records::{CommitmentPlan, RecordBook, RecordsError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "proofs";
/// Pause after something failed that is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Pause after the chain refused a batch: it is a megabyte, and the chain seldom changes its mind.
const REFUSED_RETRY: Duration = Duration::from_secs(600);

/// A proof as it is journalled, until its batch is on chain.
#[derive(Serialize, Deserialize)]
struct Entry {
    batch_seq: u32,
    chunk: u32,
    #[serde(with = "serde_bytes")]
    proof: Vec<u8>,
}

/// Range proofs made and not yet on chain, and how fast they are made.
pub struct Prover {
    inner: Mutex<Made>,
    chunks: AtomicU64,
    busy_ms: AtomicU64,
}

struct Made {
    journal: Journal<Entry>,
    /// By batch, then by chunk.
    proofs: BTreeMap<u32, BTreeMap<u32, ChunkProof>>,
}

impl Prover {
    /// Opens `proofs.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let mut proofs: BTreeMap<u32, BTreeMap<u32, ChunkProof>> = BTreeMap::new();
        let (journal, _) = Journal::open_with(journals, JOURNAL_NAME, key, |entry: Entry| {
            if let Some(proof) = ChunkProof::from_bytes(entry.proof) {
                proofs.entry(entry.batch_seq).or_default().insert(entry.chunk, proof);
            }
        })?;
        let inner = Mutex::new(Made { journal, proofs });
        Ok(Self { inner, chunks: AtomicU64::new(0), busy_ms: AtomicU64::new(0) })
    }

    /// Chunks proven since the start, and the time they took on all cores, ms.
    #[must_use]
    pub fn made(&self) -> (u64, u64) {
        (self.chunks.load(Ordering::Relaxed), self.busy_ms.load(Ordering::Relaxed))
    }

    /// How many chunks of a batch are proven.
    fn proven(&self, batch_seq: u32) -> u64 {
        self.lock().proofs.get(&batch_seq).map_or(0, |chunks| chunks.len() as u64)
    }

    fn keep(&self, batch_seq: u32, chunk: u32, proof: ChunkProof) -> Result<(), JournalError> {
        let mut made = self.lock();
        made.journal.append(&Entry { batch_seq, chunk, proof: proof.as_bytes().to_vec() })?;
        made.proofs.entry(batch_seq).or_default().insert(chunk, proof);
        self.chunks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Every proof of a batch in order, as far as they are made without a gap.
    fn proofs(&self, batch_seq: u32) -> Vec<ChunkProof> {
        let made = self.lock();
        let chunks = made.proofs.get(&batch_seq).into_iter().flatten();
        (0..).zip(chunks).take_while(|(at, (chunk, _))| at == *chunk).map(|(_, (_, proof))| proof.clone()).collect()
    }

    /// Chunks of a batch that are not proven yet.
    fn unproven(&self, batch_seq: u32, chunks: usize) -> Vec<usize> {
        let made = self.lock();
        let proven = made.proofs.get(&batch_seq);
        let is_open = |chunk: &usize| {
            proven.is_none_or(|proven| !u32::try_from(*chunk).is_ok_and(|chunk| proven.contains_key(&chunk)))
        };
        (0..chunks).filter(is_open).collect()
    }

    /// Forgets proofs of batches below `on_chain`.
    fn release(&self, on_chain: u32) -> Result<(), JournalError> {
        let mut made = self.lock();
        if made.proofs.first_key_value().is_none_or(|(first, _)| *first >= on_chain) {
            return Ok(());
        }
        let kept = made.proofs.split_off(&on_chain);
        let entry = |batch_seq: u32, (chunk, proof): (&u32, &ChunkProof)| Entry {
            batch_seq,
            chunk: *chunk,
            proof: proof.as_bytes().to_vec(),
        };
        let entries: Vec<Entry> =
            kept.iter().flat_map(|(seq, chunks)| chunks.iter().map(move |made| entry(*seq, made))).collect();
        made.journal.rewrite(&entries)?;
        made.proofs = kept;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Prover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prover({} chunks made)", self.chunks.load(Ordering::Relaxed))
    }
}

/// How far this publisher's commitments are, as far as they are planned.
#[must_use]
pub fn own_progress(context: &Context, publisher: &Publisher) -> CommitmentProgress {
    let plans = publisher.book.commitment_plans();
    progress_of(context, publisher, plans.iter())
}

/// How far the commitments of the records at these places are; none while they are not all planned.
#[must_use]
pub fn progress(context: &Context, publisher: &Publisher, places: &Range<u64>) -> Option<CommitmentProgress> {
    let plans = publisher.book.commitment_plans();
    if places.end > plans.last()?.records.end {
        return None;
    }
    let overlapping = |plan: &&CommitmentPlan| plan.records.start < places.end && places.start < plan.records.end;
    Some(progress_of(context, publisher, plans.iter().filter(overlapping)))
}

fn progress_of<'a>(
    context: &Context,
    publisher: &Publisher,
    plans: impl Iterator<Item = &'a CommitmentPlan>,
) -> CommitmentProgress {
    let on_chain = context.ledger.view().commitments(&context.member.id).batch_count;
    let mut progress = CommitmentProgress::default();
    for plan in plans {
        for (batch_seq, batch) in plan.batch_seqs().zip(&plan.batches) {
            let count = u64::from(batch.count);
            progress.total += count;
            let published = batch_seq < on_chain;
            progress.published += if published { count } else { 0 };
            progress.proved += if published { count } else { publisher.prover.proven(batch_seq) * CHUNK as u64 };
        }
    }
    progress
}

/// Why a batch is not on chain yet.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The agent's own work ended early.
    #[error("the work was interrupted")]
    Interrupted,
    /// The records make other commitments than were planned.
    #[error("batch {0} does not come out as it was planned; restore the record journal it was planned with")]
    OtherLeaves(u32),
}

/// Commits to whatever was published, for as long as the agent runs.
///
/// # Errors
/// [`PublishError::Records`] and [`JournalError`] (as [`RecordsError::Journal`]) when a journal cannot be written: the agent has to
/// stop.
pub async fn run(context: &Context, publisher: &Publisher) -> Result<(), RecordsError> {
    let mut tip = context.ledger.watch();
    loop {
        tip.mark_unchanged();
        // what an earlier run signed has to be final first, so that the state counts it
        if context.outbox.drained_of(|body| matches!(body, TxBody::PublishCommitments(_))).await.is_err() {
            // the outbox is closed: the agent is stopping
            return std::future::pending().await;
        }
        match step(context, publisher).await {
            Ok(true) => {}
            Ok(false) => {
                if tip.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
            Err(Failed::Journal(fatal) | Failed::Publish(PublishError::Records(RecordsError::Journal(fatal)))) => {
                return Err(fatal.into());
            }
            Err(waits) => {
                tracing::warn!(reason = %waits, "commitments wait");
                let refused = matches!(waits, Failed::Publish(PublishError::Refused(_)));
                tokio::time::sleep(if refused { REFUSED_RETRY } else { RETRY }).await;
            }
        }
    }
}

/// Publishes the batches of the first plan that is not on chain, or makes the next plan; false when there is neither.
async fn step(context: &Context, publisher: &Publisher) -> Result<bool, Failed> {
    let on_chain = context.ledger.view().commitments(&context.member.id).batch_count;
    tokio::task::block_in_place(|| publisher.prover.release(on_chain))?;
    let plans = publisher.book.commitment_plans();
    if let Some(plan) = plans.iter().find(|plan| plan.batch_seqs().end > on_chain) {
        return publish(context, publisher, plan).await.map(|()| true);
    }
    match published_until(context, &publisher.book).and_then(|until| publisher.book.commitments_due(until)) {
        Some(records) => plan(context, &publisher.book, records).await.map(|()| true),
        None => Ok(false),
    }
}

/// How many records have their rows on chain in the period's sealed snapshot and its deltas; none before it is sealed.
fn published_until(context: &Context, book: &RecordBook) -> Option<u64> {
    if !book.has_publications() {
        return None;
    }
    let view = context.ledger.view();
    let period = period_keys::target(context, &view);
    let key = view.period_key(period, &context.member.id)?;
    let complete = key.sealed.is_some() && key.batch_count >= book.planned(period, key.key_serial);
    complete.then(|| book.planned_until(period, key.key_serial))
}

/// Plans the commitments of these records, durably.
async fn plan(context: &Context, book: &RecordBook, records: Range<u64>) -> Result<(), Failed> {
    let (held, max) = (book.held(records.clone()), context.ledger.genesis().policy.max_rows_per_tx);
    let first_batch = book.next_commitment_batch();
    let made = background::once(move || {
        let padding_seed = SecretBytes::<32>::random(&mut OsRng);
        CommitmentPlan::make(records, first_batch, &held, &padding_seed, max)
    });
    let plan = made.await.ok_or(Failed::Interrupted)?.map_err(PublishError::from)?;
    tracing::info!(?plan, "commitments are planned");
    tokio::task::block_in_place(|| book.plan_commitments(plan)).map_err(PublishError::from)?;
    Ok(())
}

/// Proves and publishes every batch of a plan that is not on chain, in order.
async fn publish(context: &Context, publisher: &Publisher, plan: &CommitmentPlan) -> Result<(), Failed> {
    let (held, max) = (publisher.book.held(plan.records.clone()), context.ledger.genesis().policy.max_rows_per_tx);
    let again = plan.clone();
    let batches = background::once(move || again.rebuild(&held, max)).await.ok_or(Failed::Interrupted)?;
    let batches = batches.map_err(PublishError::from)?;
    let on_chain = context.ledger.view().commitments(&context.member.id).batch_count;
    let numbered = plan.batch_seqs().zip(&plan.batches).zip(batches);
    for ((batch_seq, planned), batch) in numbered.filter(|((batch_seq, _), _)| *batch_seq >= on_chain) {
        if batch.root() != planned.root {
            return Err(Failed::OtherLeaves(batch_seq));
        }
        let batch = Arc::new(batch);
        prove(context, &publisher.prover, batch_seq, &batch).await?;
        let payload = batch.payload(&publisher.prover.proofs(batch_seq)).ok_or(Failed::Interrupted)?;
        let height = match submit(context, batch_seq, &batch, payload).await {
            Err(PublishError::Refused(ReceiptCode::LeafSeen)) => {
                accuse(context, &batch).await;
                return Err(PublishError::Refused(ReceiptCode::LeafSeen).into());
            }
            sent => sent?,
        };
        tracing::info!(batch_seq, count = batch.count(), %height, "commitments are on chain");
        tokio::task::block_in_place(|| publisher.prover.release(batch_seq.saturating_add(1)))?;
    }
    Ok(())
}

/// Makes the range proofs of a batch that are missing.
async fn prove(context: &Context, prover: &Prover, batch_seq: u32, batch: &Arc<UnprovenBatch>) -> Result<(), Failed> {
    let (chain_id, publisher, proving) = (context.chain_id, context.member.id.clone(), batch.clone());
    let missing = prover.unproven(batch_seq, batch.chunk_count());
    let mut left = missing.len();
    let mut running = background::run(Priority::Background, missing.into_iter(), move |chunk| {
        (chunk, proving.prove_chunk(&chain_id, &publisher, chunk, &mut OsRng))
    });
    let mut before = Instant::now();
    while let Some((chunk, proof)) = running.next().await {
        let (Ok(proof), Ok(chunk)) = (proof, u32::try_from(chunk)) else { return Err(Failed::Interrupted) };
        tokio::task::block_in_place(|| prover.keep(batch_seq, chunk, proof))?;
        context.metrics.range_proof_chunks.get_or_create(&[("work", "made")]).inc();
        let took_ms = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX);
        prover.busy_ms.fetch_add(took_ms, Ordering::Relaxed);
        before = Instant::now();
        left -= 1;
    }
    if left == 0 { Ok(()) } else { Err(Failed::Interrupted) }
}

/// Says who published a commitment of this batch before us. It cannot have made its range proof: every member finds its batch
/// invalid.
async fn accuse(context: &Context, batch: &Arc<UnprovenBatch>) {
    let (ledger, own, batch) = (context.ledger.clone(), context.member.id.clone(), batch.clone());
    let found = background::once(move || {
        let leaves: BTreeSet<Digest32> = batch.commitments().map(RecordCommitment::leaf).collect();
        let others = ledger.view().commitment_batches().into_iter().filter(|(publisher, ..)| *publisher != own);
        let holds_one = |(publisher, batch_seq, counted): &(MemberId, u32, BatchState)| {
            let Ok(payload) = ledger.commitments().payload(publisher, *batch_seq) else { return false };
            let theirs = |index| commitment_at(&payload, counted.count, index).map(|commitment| commitment.leaf());
            (0..counted.count).filter_map(theirs).any(|leaf| leaves.contains(&leaf))
        };
        others.into_iter().find(holds_one).map(|(publisher, batch_seq, _)| (publisher, batch_seq))
    });
    if let Some(Some((publisher, batch_seq))) = found.await {
        tracing::error!(%publisher, batch_seq, "this member copied a commitment of ours from a block or a mempool");
    }
}

/// A5 to A7 for one batch.
async fn submit(
    context: &Context,
    batch_seq: u32,
    batch: &UnprovenBatch,
    payload: Vec<u8>,
) -> Result<Height, PublishError> {
    let commitments = PayloadRef {
        digest: digest::sha256(&payload),
        // a batch has at most 32,768 commitments of 126 bytes
        len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        count: batch.count(),
        root: batch.root(),
    };
    let body = TxBody::PublishCommitments(PublishCommitments { batch_seq, commitments });
    let submitted = context.outbox.submit(body, Some(payload)).await?;
    match context.outbox.await_outcome(submitted.sequence).await? {
        (height, ReceiptCode::Applied) => Ok(height),
        (_, code) => Err(PublishError::Refused(code)),
    }
}
