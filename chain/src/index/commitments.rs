//! The replicated commitments: one immutable file per batch, which is the batch's payload.
//!
//! - **Place**: A8: applied batch -> file; read back by the background verifier and by disclosure
//! - **Shapes**: `DIR/<publisher>-<batch, 8 digits>.commitments`: `count * 96` bytes of commitments, then the range proofs
//! - **Invariants**: a held file has the digest and length that the state records; it is never changed, only written whole,
//!   synced and renamed into place
//! - **Errors**: [`IndexError`]: a counted batch is not held (replay brings it), or the disk
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/ledger.md#commitment-files

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::commitment::RecordCommitment;
use riskveil_exchange::publish::commitment_batch::{self, commitment_at};

use super::{IndexError, durable};
use crate::state::BatchState;
use crate::state::leaves::Leaves;
use crate::state::view::StateRead;

/// What can go wrong with a file of commitments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitmentFileError {
    /// Reading or writing failed.
    #[error("commitments {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not have the digest that the state records.
    #[error("commitments {0} are damaged")]
    Damaged(PathBuf),
}

impl From<durable::IoAt> for CommitmentFileError {
    fn from((path, source): durable::IoAt) -> Self {
        Self::Io { path, source }
    }
}

/// Every batch of commitments held; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct CommitmentIndex {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    /// By publisher, then by batch number.
    held: RwLock<BTreeMap<MemberId, BTreeMap<u32, BatchState>>>,
}

/// Commitments just opened.
pub(crate) struct Opened {
    pub(crate) index: CommitmentIndex,
    /// Of every batch held.
    pub(crate) leaves: Leaves,
    /// The lowest height whose block carries a batch that is counted and not held.
    pub(crate) first_missing: Option<Height>,
}

impl CommitmentIndex {
    /// Checks the file of every batch that the state counts; moves those aside that are not what it records.
    pub(crate) fn open(dir: &Path, state: &impl StateRead) -> Result<Opened, IndexError> {
        let index = Self { shared: Arc::new(Shared { dir: dir.to_owned(), held: RwLock::default() }) };
        let (mut leaves, mut first_missing) = (Leaves::default(), None::<Height>);
        for (publisher, batch_seq, batch) in state.commitment_batches() {
            let path = index.path(&publisher, batch_seq);
            match read(&path, &batch) {
                Ok(payload) => {
                    leaves.insert(commitment_batch::leaves(&payload, batch.count).into());
                    index.insert(&publisher, batch_seq, batch);
                }
                Err(problem) => {
                    durable::move_aside(&path).map_err(CommitmentFileError::from)?;
                    tracing::warn!(%publisher, batch_seq, height = %batch.height, %problem, "commitments will be written anew");
                    first_missing = Some(first_missing.map_or(batch.height, |height| height.min(batch.height)));
                }
            }
        }
        Ok(Opened { index, leaves, first_missing })
    }

    /// Writes a batch durably and holds it, and says whether it was not held before; takes a file that is already whole.
    pub(crate) fn add(
        &self,
        publisher: &MemberId,
        batch_seq: u32,
        batch: &BatchState,
        payload: &[u8],
    ) -> Result<bool, IndexError> {
        if self.batch(publisher, batch_seq).is_some() {
            return Ok(false);
        }
        let path = self.path(publisher, batch_seq);
        if read(&path, batch).is_err() {
            durable::write(&path, payload).map_err(CommitmentFileError::from)?;
        }
        self.insert(publisher, batch_seq, *batch);
        Ok(true)
    }

    /// A counted batch that is not held, if there is one: its publisher and number.
    pub(crate) fn first_gap(&self, state: &impl StateRead) -> Option<(MemberId, u32)> {
        let held = self.shared.held.read().unwrap_or_else(PoisonError::into_inner);
        let missing = |(publisher, counted): (MemberId, u32)| {
            let batches = held.get(&publisher);
            let gap = (0..counted).find(|seq| batches.is_none_or(|batches| !batches.contains_key(seq)))?;
            Some((publisher, gap))
        };
        state.commitment_counts().into_iter().find_map(missing)
    }

    /// What the state records of a batch that is held.
    #[must_use]
    pub fn batch(&self, publisher: &MemberId, batch_seq: u32) -> Option<BatchState> {
        let held = self.shared.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(publisher)?.get(&batch_seq).copied()
    }

    /// The payload of a held batch, as the chain carried it.
    ///
    /// # Errors
    /// [`IndexError::CommitmentsNotHeld`]; [`IndexError::Commitments`] when the file cannot be read or was damaged since.
    pub fn payload(&self, publisher: &MemberId, batch_seq: u32) -> Result<Vec<u8>, IndexError> {
        let not_held = || IndexError::CommitmentsNotHeld { publisher: publisher.clone(), batch_seq };
        let batch = self.batch(publisher, batch_seq).ok_or_else(not_held)?;
        Ok(read(&self.path(publisher, batch_seq), &batch)?)
    }

    /// The commitment at a place of a held batch; none beyond its count.
    ///
    /// # Errors
    /// As [`CommitmentIndex::payload`].
    pub fn at(&self, publisher: &MemberId, batch_seq: u32, index: u32) -> Result<Option<RecordCommitment>, IndexError> {
        let payload = self.payload(publisher, batch_seq)?;
        let count = self.batch(publisher, batch_seq).map_or(0, |batch| batch.count);
        Ok(commitment_at(&payload, count, index))
    }

    /// Where a leaf stands among these batches: batch number and place. None if it does not, or not yet.
    ///
    /// # Errors
    /// As [`CommitmentIndex::payload`], but for a batch that is not held.
    pub fn find(
        &self,
        publisher: &MemberId,
        batches: Range<u32>,
        leaf: &Digest32,
    ) -> Result<Option<(u32, u32)>, IndexError> {
        for batch_seq in batches {
            let Some(batch) = self.batch(publisher, batch_seq) else { continue };
            let payload = self.payload(publisher, batch_seq)?;
            let at = |index: &u32| commitment_at(&payload, batch.count, *index).is_some_and(|c| c.leaf() == *leaf);
            if let Some(index) = (0..batch.count).find(at) {
                return Ok(Some((batch_seq, index)));
            }
        }
        Ok(None)
    }

    fn insert(&self, publisher: &MemberId, batch_seq: u32, batch: BatchState) {
        let mut held = self.shared.held.write().unwrap_or_else(PoisonError::into_inner);
        held.entry(publisher.clone()).or_default().insert(batch_seq, batch);
    }

    fn path(&self, publisher: &MemberId, batch_seq: u32) -> PathBuf {
        self.shared.dir.join(format!("{publisher}-{batch_seq:08}.commitments"))
    }
}

fn read(path: &Path, batch: &BatchState) -> Result<Vec<u8>, CommitmentFileError> {
    let io = |source| CommitmentFileError::Io { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    let damaged = || CommitmentFileError::Damaged(path.to_owned());
    if length != u64::from(batch.len) {
        return Err(damaged());
    }
    let bytes = fs::read(path).map_err(io)?;
    if sha256(&bytes) == batch.digest { Ok(bytes) } else { Err(damaged()) }
}
