//! Which records' commitments went into which batches, once and for ever.
//!
//! - **Place**: A4, the record book -> a plan -> `walks::commitments`, which proves its batches and publishes them
//! - **Shapes**: plans follow each other without a gap, in records (at most [`MAX_PLAN_RECORDS`] each) and in batch numbers, whatever
//!   the period
//! - **Invariants**: a plan is durable before anything of it is signed. Records, their seeds and the plan's padding seed give the
//!   same leaves at any time, so that a restart goes on with the same batches and no record is committed to twice
//! - **Security**: the padding seed tells which commitments are padding

use std::fmt;
use std::ops::Range;

use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::publish::{CommitmentOpening, PublishError, UnprovenBatch, commitment, plan_commitments};
use serde::{Deserialize, Serialize};

use super::HeldRecord;

/// Records of one plan: 8 batches of the default size, some seconds to make again after a restart.
pub const MAX_PLAN_RECORDS: u64 = 65_536;

/// A planned batch of commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCommitments {
    /// Commitments, padding included.
    pub count: u32,
    /// Root over their leaves.
    pub root: Digest32,
}

/// Records and the batches that carry their commitments.
#[derive(Clone, Serialize, Deserialize)]
pub struct CommitmentPlan {
    /// Their places in the book.
    pub records: Range<u64>,
    /// The number of the first batch.
    pub first_batch: u32,
    /// The batches, ascending by leaf.
    pub batches: Vec<PlannedCommitments>,
    padding_seed: [u8; 32],
}

impl CommitmentPlan {
    /// The plan of these batches.
    #[must_use]
    pub fn new(records: Range<u64>, first_batch: u32, batches: &[UnprovenBatch], seed: &SecretBytes<32>) -> Self {
        let planned = |batch: &UnprovenBatch| PlannedCommitments { count: batch.count(), root: batch.root() };
        let batches = batches.iter().map(planned).collect();
        Self { records, first_batch, batches, padding_seed: seed.expose(|seed| *seed) }
    }

    /// Plans the commitments of these records.
    ///
    /// # Errors
    /// Those of `plan_commitments`.
    pub fn make(
        places: Range<u64>,
        first_batch: u32,
        records: &[HeldRecord],
        padding_seed: &SecretBytes<32>,
        max: u32,
    ) -> Result<Self, PublishError> {
        let batches = plan_commitments(open(records), padding_seed, max)?;
        Ok(Self::new(places, first_batch, &batches, padding_seed))
    }

    /// The numbers of its batches.
    #[must_use]
    pub fn batch_seqs(&self) -> Range<u32> {
        let count = u32::try_from(self.batches.len()).unwrap_or(u32::MAX);
        self.first_batch..self.first_batch.saturating_add(count)
    }

    /// Its batches again, from the records it names.
    ///
    /// # Errors
    /// Those of `plan_commitments`, which accepted them once.
    pub fn rebuild(&self, records: &[HeldRecord], max: u32) -> Result<Vec<UnprovenBatch>, PublishError> {
        plan_commitments(open(records), &SecretBytes::from_bytes(self.padding_seed), max)
    }
}

fn open(records: &[HeldRecord]) -> Vec<CommitmentOpening> {
    let records: Vec<_> = records.iter().map(|held| (&held.record, &held.seed)).collect();
    commitment::open_batch(&records)
}

impl fmt::Debug for CommitmentPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitmentPlan({:?} in batches {:?})", self.records, self.batch_seqs())
    }
}

/// Every plan, in order.
#[derive(Default)]
pub(super) struct CommitmentBook {
    plans: Vec<CommitmentPlan>,
}

impl CommitmentBook {
    pub(super) fn plans(&self) -> &[CommitmentPlan] {
        &self.plans
    }

    /// Records that are planned: a prefix of the book.
    pub(super) fn records_until(&self) -> u64 {
        self.plans.last().map_or(0, |plan| plan.records.end)
    }

    /// The number of the next batch.
    pub(super) fn next_batch(&self) -> u32 {
        self.plans.last().map_or(0, |plan| plan.batch_seqs().end)
    }

    /// The records that the next plan takes, of the book's first `until`. None: there is nothing to plan. The first plan of a book
    /// without records is of padding alone, as its rows are.
    pub(super) fn due(&self, until: u64) -> Option<Range<u64>> {
        let from = self.records_until();
        let end = until.min(from.saturating_add(MAX_PLAN_RECORDS));
        (from < end || self.plans.is_empty()).then_some(from..end)
    }

    /// The batches one of which has the commitment of the record at this place.
    pub(super) fn batches_of(&self, place: u64) -> Option<Range<u32>> {
        self.plans.iter().find(|plan| plan.records.contains(&place)).map(CommitmentPlan::batch_seqs)
    }

    /// Adds a plan that follows the ones before; says whether it does.
    pub(super) fn apply(&mut self, plan: CommitmentPlan, known: u64) -> bool {
        let follows = plan.records.start == self.records_until() && plan.first_batch == self.next_batch();
        let in_range = plan.records.start <= plan.records.end && plan.records.end <= known && !plan.batches.is_empty();
        if follows && in_range {
            self.plans.push(plan);
        }
        follows && in_range
    }
}
