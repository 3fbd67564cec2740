//! Which rows have to be opened so that every tag of some walks is decided in every batch.

use std::cell::RefCell;
use std::collections::BTreeSet;

use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::{ROW_LEN, Row};
use riskveil_crypto::merkle::{MerkleTree, leaf_hash};
use riskveil_exchange::ids::{MemberId, Period};
use riskveil_exchange::query::lookup::{FoundRow, IndexUnavailable, IndexView};

use crate::evidence::format::{BatchOpening, OpenedRow};
use crate::index::RowIndex;

/// The replica's rows of one publisher as of some number of batches, noting every tag that is looked up.
pub(super) struct Recording<'a> {
    pub(super) index: &'a RowIndex,
    pub(super) period: Period,
    pub(super) publisher: &'a MemberId,
    pub(super) batch_count: u32,
    tags: RefCell<BTreeSet<Tag>>,
}

impl<'a> Recording<'a> {
    pub(super) fn new(index: &'a RowIndex, period: Period, publisher: &'a MemberId, batch_count: u32) -> Self {
        Self { index, period, publisher, batch_count, tags: RefCell::default() }
    }

    /// The rows to open, one list per batch; none if a batch is not held.
    pub(super) fn openings(&self) -> Option<Vec<BatchOpening>> {
        let tags = self.tags.borrow();
        let mut open: BTreeSet<Tag> = tags.clone();
        let mut batches = Vec::new();
        for batch_seq in 0..self.batch_count {
            let segment = self.index.segment(self.period, self.publisher, batch_seq)?;
            let (rows, _) = segment.rows().as_chunks::<ROW_LEN>();
            let mut places = BTreeSet::new();
            let mut found = Vec::new();
            for tag in &open {
                match rows.binary_search_by(|row| tag_of(row).cmp(tag)) {
                    // what a lower batch has is not looked for above it
                    Ok(place) => {
                        places.insert(place);
                        found.push(*tag);
                    }
                    Err(gap) => {
                        places.extend(gap.checked_sub(1));
                        places.extend(Some(gap).filter(|gap| *gap < rows.len()));
                    }
                }
            }
            open.retain(|tag| !found.contains(tag));
            batches.push(opening(rows, &places)?);
        }
        Some(batches)
    }
}

impl IndexView for Recording<'_> {
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        self.tags.borrow_mut().insert(*tag);
        let found = self.index.lookup(self.period, self.publisher, self.batch_count, tag);
        let found = found.map_err(|_| IndexUnavailable)?;
        Ok(found.map(|found| FoundRow {
            row: found.row,
            batch_seq: found.batch_seq,
            position: found.position,
            withdrawn: found.withdrawn,
        }))
    }
}

fn opening(rows: &[[u8; ROW_LEN]], places: &BTreeSet<usize>) -> Option<BatchOpening> {
    let tree = MerkleTree::new(rows.iter().map(|row| leaf_hash(row)).collect());
    let open = |place: &usize| {
        let path = tree.prove(*place as u64).ok()?.path;
        Some(OpenedRow { index: u32::try_from(*place).ok()?, row: Row::from_bytes(rows.get(*place)?), path })
    };
    let rows: Option<Vec<OpenedRow>> = places.iter().map(open).collect();
    Some(BatchOpening { rows: rows? })
}

fn tag_of(row: &[u8; ROW_LEN]) -> Tag {
    Row::from_bytes(row).tag
}
