//! Transactions that are signed and not yet final, and the journal behind them.
//!
//! - **Shapes**: journal entries [`Entry`]; the journal is rewritten when it is mostly history
//! - **Invariants**: what `drafts` holds is what the journal's entries add up to

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use riskveil_chain::tx::{SignedTransaction, Submission, TxId};
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_exchange::ids::Height;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};

/// The journal's name.
pub(super) const JOURNAL_NAME: &str = "outbox";
/// A journal longer than this, and than four times what it must hold, is rewritten; bytes.
const COMPACT_ABOVE_BYTES: u64 = 16 << 20;

/// One line of the outbox journal.
#[derive(Debug, Serialize, Deserialize)]
enum Entry {
    /// A transaction, before it was first sent.
    Drafted(Submission),
    /// The same number and body with a later expiry.
    Resigned(SignedTransaction),
    /// The chain decided on this number, by the transaction with this id.
    Final { sequence: u64, id: TxId },
}

/// A draft as the couriers see it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) sequence: u64,
    pub(super) id: TxId,
    pub(super) submission: Arc<Submission>,
}

#[derive(Debug)]
pub(super) struct Drafts {
    journal: Journal<Entry>,
    drafts: BTreeMap<u64, Draft>,
    last_sequence: u64,
    /// Numbers that another copy of this agent used.
    conflicts: BTreeSet<u64>,
}

impl Drafts {
    pub(super) fn open(dir: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let opened = Journal::open(dir, JOURNAL_NAME, key)?;
        let mut drafts =
            Self { journal: opened.journal, drafts: BTreeMap::new(), last_sequence: 0, conflicts: BTreeSet::new() };
        for entry in opened.entries {
            drafts.take_in(entry);
        }
        Ok(drafts)
    }

    pub(super) fn len(&self) -> usize {
        self.drafts.len()
    }

    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The drafts in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Draft> {
        self.drafts.values()
    }

    /// Numbers of drafts up to `used`.
    pub(super) fn sequences_to(&self, used: u64) -> Vec<u64> {
        self.drafts.range(..=used).map(|(sequence, _)| *sequence).collect()
    }

    /// Drafts that no block above `height` may carry.
    pub(super) fn expired(&self, height: Height) -> Vec<Arc<Submission>> {
        let expired = |draft: &&Draft| draft.submission.transaction.transaction.expiry_height <= height;
        self.iter().filter(expired).map(|draft| draft.submission.clone()).collect()
    }

    /// Whether the transaction with this id, final under this number, is the one this outbox sent.
    pub(super) fn is_ours(&self, sequence: u64, id: &TxId) -> bool {
        self.drafts.get(&sequence).map_or(!self.conflicts.contains(&sequence), |draft| draft.id == *id)
    }

    pub(super) fn add(&mut self, submission: Submission) -> Result<(), JournalError> {
        self.record(Entry::Drafted(submission))
    }

    pub(super) fn replace(&mut self, transaction: SignedTransaction) -> Result<(), JournalError> {
        self.record(Entry::Resigned(transaction))
    }

    pub(super) fn finish(&mut self, sequence: u64, id: &TxId) -> Result<(), JournalError> {
        self.record(Entry::Final { sequence, id: *id })
    }

    /// Rewrites a journal that is mostly history.
    pub(super) fn compact(&mut self) -> Result<(), JournalError> {
        let live = |draft: &Draft| draft.submission.block_bytes() as u64;
        let wanted: u64 = self.iter().map(live).sum();
        if self.journal.length() < COMPACT_ABOVE_BYTES.max(4 * wanted) {
            return Ok(());
        }
        // The last number is remembered by the chain too, but the replica may be behind at the next start.
        let last = Entry::Final { sequence: self.last_sequence, id: TxId::ZERO };
        let keeps_last = self.drafts.contains_key(&self.last_sequence);
        let mut entries: Vec<Entry> = if keeps_last { Vec::new() } else { vec![last] };
        entries.extend(self.iter().map(|draft| Entry::Drafted(draft.submission.as_ref().clone())));
        self.journal.rewrite(&entries)
    }

    fn record(&mut self, entry: Entry) -> Result<(), JournalError> {
        self.journal.append(&entry)?;
        self.take_in(entry);
        Ok(())
    }

    fn take_in(&mut self, entry: Entry) {
        match entry {
            Entry::Drafted(submission) => {
                let sequence = submission.transaction.transaction.sequence;
                let draft = Draft { sequence, id: submission.transaction.id(), submission: Arc::new(submission) };
                self.drafts.insert(sequence, draft);
                self.last_sequence = self.last_sequence.max(sequence);
            }
            Entry::Resigned(transaction) => {
                if let Some(draft) = self.drafts.get_mut(&transaction.transaction.sequence) {
                    draft.id = transaction.id();
                    let payload = draft.submission.payload.clone();
                    draft.submission = Arc::new(Submission { transaction, payload });
                }
            }
            Entry::Final { sequence, id } => {
                if self.drafts.remove(&sequence).is_some_and(|draft| draft.id != id) {
                    self.conflicts.insert(sequence);
                }
                self.last_sequence = self.last_sequence.max(sequence);
            }
        }
    }
}
