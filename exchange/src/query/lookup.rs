//! Walks the slots of an output in the lender's own replica: which rows are there, and is the walk whole.
//!
//! - **Place**: B6, `PrfOutput` -> tags -> [`FoundSlot`]s; nothing leaves the lender
//! - **Shapes**: slots 0 to 63; a walk of n records looks n + 4 tags up
//! - **Invariants**: a finished walk ended in four slots that were never used (or at slot 63) and has no gap before them
//! - **Errors**: [`WalkError::Gap`] (the publisher's fault: `malformed`), [`WalkError::Unavailable`] (the replica)
//! - **Source**: DESIGN.md section 3, "Fingerprint"

use riskveil_crypto::fingerprint::{LabelKey, MAX_SLOTS, Tag, derive_slot};
use riskveil_crypto::label::Row;
use riskveil_crypto::oprf::PrfOutput;

/// Slots in a row that must never have been used for a walk to end.
pub const WALK_END: u8 = 4;

/// A row of the replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRow {
    /// The row: of duplicates the lowest by (batch, position).
    pub row: Row,
    /// Its batch.
    pub batch_seq: u32,
    /// Its position in the batch.
    pub position: u32,
    /// Its tag was withdrawn: the slot counts as used, the record as not held.
    pub withdrawn: bool,
}

/// A batch that the state counts is not held, or a segment is unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replica does not hold every counted batch")]
pub struct IndexUnavailable;

/// The rows of one publisher and period as of one height.
pub trait IndexView {
    /// The row with this tag, present or withdrawn.
    ///
    /// # Errors
    /// [`IndexUnavailable`] when absence cannot be told from a missing batch.
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable>;
}

/// A slot whose row is there.
#[derive(Debug)]
pub struct FoundSlot {
    /// The slot.
    pub slot: u8,
    /// Its row.
    pub found: FoundRow,
    /// What opens its label.
    pub label_key: LabelKey,
}

/// A walk that tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// A slot is used after one that is not.
    #[error("a slot is used after a slot that is not")]
    Gap,
    /// The replica is not whole.
    #[error(transparent)]
    Unavailable(#[from] IndexUnavailable),
}

/// The used slots of an output, ascending.
///
/// # Errors
/// [`WalkError`].
pub fn walk(out: &PrfOutput, salt: &[u8], view: &dyn IndexView) -> Result<Vec<FoundSlot>, WalkError> {
    let mut used = Vec::new();
    let mut never_used = 0;
    for number in 0..MAX_SLOTS {
        // 0..MAX_SLOTS are exactly the slots that exist
        let Ok(slot) = derive_slot(out, salt, number) else { break };
        match view.lookup(&slot.tag)? {
            Some(_) if never_used > 0 => return Err(WalkError::Gap),
            Some(found) => used.push(FoundSlot { slot: number, found, label_key: slot.label_key }),
            None => never_used += 1,
        }
        if never_used == WALK_END {
            break;
        }
    }
    Ok(used)
}
