//! What waits for a block: bounded, idempotent by transaction id, in order of arrival and of each sender's sequence.
//!
//! - **Place**: A6: [`Submission`] from a member -> admission -> the next proposal -> gone once final or expired
//! - **Shapes**: bounded by [`Limits`]: transactions and bytes in all, and of each sender
//! - **Invariants**: everything in it has a verified signature and a payload that matches its digest and length
//! - **Errors**: [`AdmissionError`]; `Full` and `SenderFull` pass, the others are the sender's fault
//! - **Security**: one member can fill only its own share. Ids whose signature verified are remembered, so that a block's
//!   signatures are checked once
//! - **Source**: DESIGN.md section 10, "Submission"; ENGINE.md, "Execution"

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::message::Kind;
use tokio::sync::watch;

use crate::receipt::ReceiptCode;
use crate::state::view::{FinalizedView, StateRead};
use crate::tx::{MAX_EXPIRY_BLOCKS, MAX_TX_BYTES, Submission, TxId};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest submission as it stands in a block, bytes: what a block has room for.
    pub submission_bytes: usize,
    /// Most transactions.
    pub transactions: usize,
    /// Most bytes, payloads included.
    pub bytes: usize,
    /// Most transactions of one sender: how far above its last final sequence number one may be.
    pub sender_transactions: u64,
    /// Most bytes of one sender.
    pub sender_bytes: usize,
}

impl Limits {
    /// 50,000 transactions and 256 MiB in all, 4,096 and 64 MiB of one sender.
    #[must_use]
    pub const fn new(submission_bytes: usize) -> Self {
        Self {
            submission_bytes,
            transactions: 50_000,
            bytes: 256 << 20,
            sender_transactions: 4096,
            sender_bytes: 64 << 20,
        }
    }
}

/// Ids remembered as verified.
const MAX_VERIFIED: usize = 100_000;

/// What admission found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The transaction's id.
    pub id: TxId,
    /// False if it waits already.
    pub new: bool,
}

/// Why a submission does not wait here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// It would be refused in any block, with this receipt code.
    #[error("refused: {0}")]
    Refused(ReceiptCode),
    /// Its sequence number is used: the transaction, or another with its number, is final.
    #[error("sequence number {sequence} is used; the sender's last is {last}")]
    SequenceUsed {
        /// Its number.
        sequence: u64,
        /// The last that is final.
        last: u64,
    },
    /// Its sequence number is more than the sender's share above the last.
    #[error("sequence number {sequence} is too far above the sender's last, {last}")]
    SequenceTooFar {
        /// Its number.
        sequence: u64,
        /// The last that is final.
        last: u64,
    },
    /// Another transaction with its sequence number waits.
    #[error("another transaction with sequence number {0} waits")]
    SequenceTaken(u64),
    /// The payload is not the one the transaction names, or is missing, or stands where none belongs.
    #[error("the payload is not the one that the transaction names")]
    PayloadMismatch,
    /// It cannot fit into a block.
    #[error("transaction and payload do not fit into a block")]
    TooLarge,
    /// The sender's share is used up; wait for blocks.
    #[error("too many bytes of this sender wait")]
    SenderFull,
    /// No room; wait for blocks.
    #[error("too many transactions wait")]
    Full,
}

#[derive(Debug)]
struct Pending {
    submission: Arc<Submission>,
    arrival: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// By sender, then by sequence.
    pending: BTreeMap<MemberId, BTreeMap<u64, Pending>>,
    ids: BTreeMap<TxId, (MemberId, u64)>,
    bytes: usize,
    arrivals: u64,
    verified: BTreeSet<TxId>,
    verified_order: VecDeque<TxId>,
}

/// The pool; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct Mempool {
    chain_id: Digest32,
    limits: Limits,
    queue: Arc<Mutex<Queue>>,
    /// (arrivals so far, transactions that wait).
    changed: Arc<watch::Sender<(u64, usize)>>,
}

impl Mempool {
    /// An empty pool.
    #[must_use]
    pub fn new(chain_id: Digest32, limits: Limits) -> Self {
        let (changed, _) = watch::channel((0, 0));
        Self { chain_id, limits, queue: Arc::default(), changed: Arc::new(changed) }
    }

    /// Checks a submission against the finalized view and lets it wait. Idempotent by id.
    ///
    /// # Errors
    /// [`AdmissionError`]: the first rule that does not hold.
    pub fn admit(&self, submission: Submission, view: &FinalizedView) -> Result<Admitted, AdmissionError> {
        let encoded = submission.transaction.encode();
        let id = crate::tx::tx_id(&encoded);
        if self.lock().ids.contains_key(&id) {
            return Ok(Admitted { id, new: false });
        }
        let bytes = self.check_size(&submission, &encoded)?;
        self.check_transaction(&submission, &id, view)?;
        check_payload(&submission)?;
        let (sender, sequence) =
            (submission.transaction.transaction.sender.clone(), submission.transaction.transaction.sequence);

        let mut queue = self.lock();
        if queue.ids.contains_key(&id) {
            return Ok(Admitted { id, new: false });
        }
        if queue.ids.len() >= self.limits.transactions || queue.bytes.saturating_add(bytes) > self.limits.bytes {
            return Err(AdmissionError::Full);
        }
        let of_sender = queue.pending.get(&sender);
        if of_sender.is_some_and(|p| p.contains_key(&sequence)) {
            return Err(AdmissionError::SequenceTaken(sequence));
        }
        let used = of_sender.map_or(0, |pending| pending.values().map(|t| t.bytes).sum::<usize>());
        if used.saturating_add(bytes) > self.limits.sender_bytes {
            return Err(AdmissionError::SenderFull);
        }
        queue.arrivals += 1;
        queue.bytes += bytes;
        queue.ids.insert(id, (sender.clone(), sequence));
        let pending = Pending { submission: Arc::new(submission), arrival: queue.arrivals, bytes };
        queue.pending.entry(sender).or_default().insert(sequence, pending);
        self.changed.send_replace((queue.arrivals, queue.ids.len()));
        Ok(Admitted { id, new: true })
    }

    fn check_size(&self, submission: &Submission, encoded: &[u8]) -> Result<usize, AdmissionError> {
        let bytes = submission.block_bytes();
        if encoded.len() > MAX_TX_BYTES {
            return Err(AdmissionError::Refused(ReceiptCode::Malformed));
        }
        if bytes > self.limits.submission_bytes { Err(AdmissionError::TooLarge) } else { Ok(bytes) }
    }

    fn check_transaction(
        &self,
        submission: &Submission,
        id: &TxId,
        view: &FinalizedView,
    ) -> Result<(), AdmissionError> {
        let transaction = &submission.transaction.transaction;
        let refused = |code| Err(AdmissionError::Refused(code));
        if transaction.header.expect(Kind::Transaction).is_err() {
            return refused(ReceiptCode::HeaderUnexpected);
        }
        if transaction.chain_id != self.chain_id {
            return refused(ReceiptCode::WrongChain);
        }
        let Some(sender) = view.member(&transaction.sender) else { return refused(ReceiptCode::SenderUnknown) };
        if transaction.expiry_height <= view.height() {
            return refused(ReceiptCode::Expired);
        }
        if transaction.expiry_height.0 - view.height().0 > MAX_EXPIRY_BLOCKS {
            return refused(ReceiptCode::ExpiryTooFar);
        }
        let (sequence, last) = (transaction.sequence, view.sequence(&transaction.sender));
        if sequence <= last {
            return Err(AdmissionError::SequenceUsed { sequence, last });
        }
        if sequence - last > self.limits.sender_transactions {
            return Err(AdmissionError::SequenceTooFar { sequence, last });
        }
        if !self.is_verified(id) {
            if submission.transaction.verify(&sender, &self.chain_id).is_err() {
                return refused(ReceiptCode::SignatureInvalid);
            }
            self.remember_verified(*id);
        }
        Ok(())
    }

    /// Whether the signature of the transaction with this id was verified before.
    #[must_use]
    pub fn is_verified(&self, id: &TxId) -> bool {
        self.lock().verified.contains(id)
    }

    /// Remembers that the signature of the transaction with this id verified. The id covers the signature, and members
    /// do not change their keys, so that it stays so.
    pub fn remember_verified(&self, id: TxId) {
        let mut queue = self.lock();
        if queue.verified.insert(id) {
            queue.verified_order.push_back(id);
        }
        while queue.verified_order.len() > MAX_VERIFIED {
            if let Some(oldest) = queue.verified_order.pop_front() {
                queue.verified.remove(&oldest);
            }
        }
    }

    /// What fits into `limit_bytes`: in order of arrival, each sender's in order of sequence without a gap from
    /// `next_sequence` on. They stay in the pool until they are final or expired.
    #[must_use]
    pub fn take(
        &self,
        limit_bytes: usize,
        limit_count: usize,
        next_sequence: impl Fn(&MemberId) -> u64,
    ) -> Vec<Submission> {
        let queue = self.lock();
        let mut runs: Vec<(u64, usize, Arc<Submission>)> = Vec::new();
        for (sender, pending) in &queue.pending {
            let first = next_sequence(sender);
            let without_gap =
                (first..).zip(pending.range(first..)).take_while(|(next, (sequence, _))| next == *sequence);
            let mut arrival = 0;
            for (_, (_, waiting)) in without_gap {
                // A transaction goes no earlier than those of its sender before it.
                arrival = waiting.arrival.max(arrival);
                runs.push((arrival, waiting.bytes, waiting.submission.clone()));
            }
        }
        drop(queue);
        runs.sort_by_key(|(arrival, ..)| *arrival);
        let mut left = limit_bytes;
        let mut full: BTreeSet<MemberId> = BTreeSet::new();
        let mut taken = Vec::new();
        for (_, bytes, submission) in runs {
            let sender = &submission.transaction.transaction.sender;
            if taken.len() >= limit_count {
                break;
            }
            if full.contains(sender) {
                continue;
            }
            if bytes > left {
                full.insert(sender.clone());
                continue;
            }
            left -= bytes;
            taken.push(submission.as_ref().clone());
        }
        taken
    }

    /// Forgets what the finalized view has used or outlived.
    pub fn prune(&self, view: &FinalizedView) {
        let mut guard = self.lock();
        let queue = &mut *guard;
        let mut freed = 0;
        for (sender, pending) in &mut queue.pending {
            let last = view.sequence(sender);
            pending.retain(|sequence, waiting| {
                let expiry: Height = waiting.submission.transaction.transaction.expiry_height;
                let keep = *sequence > last && expiry > view.height();
                freed += if keep { 0 } else { waiting.bytes };
                keep
            });
        }
        queue.pending.retain(|_, pending| !pending.is_empty());
        queue.bytes -= freed;
        let pending = &queue.pending;
        queue.ids.retain(|_, (sender, sequence)| pending.get(sender).is_some_and(|p| p.contains_key(sequence)));
        self.changed.send_replace((queue.arrivals, queue.ids.len()));
    }

    /// Number of transactions that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().ids.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// (Arrivals since the start, transactions that wait); changes with every admission and every finalized block.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<(u64, usize)> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_payload(submission: &Submission) -> Result<(), AdmissionError> {
    let matches = match (submission.transaction.payload_ref(), &submission.payload) {
        (None, None) => true,
        (Some(reference), Some(payload)) => {
            reference.len as usize == payload.len() && sha256(payload) == reference.digest
        }
        _ => false,
    };
    if matches { Ok(()) } else { Err(AdmissionError::PayloadMismatch) }
}
