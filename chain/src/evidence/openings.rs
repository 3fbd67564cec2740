//! Rules 28 and 29: opened rows of sorted batches, which decide for a tag whether it is there.
//!
//! - **Invariants**: an [`OpenedBatch`] has rows at their places under the batch's root, ascending by position and by tag
//! - **Security**: absence rests on the order of the whole batch, which validators checked before they voted (LR-402)
//! - **Source**: specs/evidence.md#openings

use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_crypto::merkle::{InclusionProof, leaf_hash};
use riskveil_exchange::query::lookup::{FoundRow, IndexUnavailable, IndexView};

use super::format::BatchOpening;
use crate::state::BatchState;

/// What the opened rows of a batch say of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    Present(u32, Row),
    Absent,
    Undecided,
}

/// Rows of one batch, at their proven places.
#[derive(Debug)]
pub(super) struct OpenedBatch {
    count: u32,
    rows: Vec<(u32, Row)>,
}

impl OpenedBatch {
    /// Rule 28; none if a row is not at its place, or rows do not ascend.
    pub(super) fn verify(batch: &BatchState, opening: &BatchOpening) -> Option<Self> {
        let mut rows: Vec<(u32, Row)> = Vec::with_capacity(opening.rows.len());
        for opened in &opening.rows {
            if rows.last().is_some_and(|(index, row)| *index >= opened.index || row.tag >= opened.row.tag) {
                return None;
            }
            let (index, size) = (u64::from(opened.index), u64::from(batch.count));
            let inclusion = InclusionProof { index, size, path: opened.path.clone() };
            inclusion.verify(&batch.root, &leaf_hash(&opened.row.to_bytes())).ok()?;
            rows.push((opened.index, opened.row));
        }
        Some(Self { count: batch.count, rows })
    }

    /// Absent only between two rows that stand side by side, before the first row or after the last.
    fn decide(&self, tag: &Tag) -> Decided {
        let after = match self.rows.binary_search_by(|(_, row)| row.tag.cmp(tag)) {
            Ok(at) => {
                return self.rows.get(at).map_or(Decided::Undecided, |(index, row)| Decided::Present(*index, *row));
            }
            Err(after) => after,
        };
        let below = after.checked_sub(1).and_then(|at| self.rows.get(at)).map(|(index, _)| *index);
        let above = self.rows.get(after).map(|(index, _)| *index);
        let leaves_no_room = match (below, above) {
            (None, Some(above)) => above == 0,
            (Some(below), Some(above)) => below.checked_add(1) == Some(above),
            (Some(below), None) => below.checked_add(1) == Some(self.count),
            (None, None) => false,
        };
        if leaves_no_room { Decided::Absent } else { Decided::Undecided }
    }
}

/// The batches of one publisher, from batch 0 on.
#[derive(Debug)]
pub(super) struct OpenedBatches(pub(super) Vec<OpenedBatch>);

impl IndexView for OpenedBatches {
    /// The lowest batch with the tag; every batch below it is shown not to have it.
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        for (batch_seq, batch) in (0u32..).zip(&self.0) {
            match batch.decide(tag) {
                Decided::Present(position, row) => {
                    return Ok(Some(FoundRow { row, batch_seq, position, withdrawn: false }));
                }
                Decided::Absent => {}
                Decided::Undecided => return Err(IndexUnavailable),
            }
        }
        Ok(None)
    }
}
