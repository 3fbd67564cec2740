//! Walks the slots of an output in the lender's own replica: which rows are there, and is the walk whole.
//!
//! - **Place**: B6, `PrfOutput` -> tags -> [`FoundSlot`]s; nothing leaves the lender
//! - **Shapes**: slots 0 to 63; a walk of n records looks n + 4 tags up
//! - **Invariants**: a finished walk ended in four slots that were never used (or at slot 63) and has no gap before them
//! - **Errors**: [`WalkError::Gap`] (the publisher's fault: `malformed`), [`WalkError::Unavailable`] (the replica)
//! - **Source**: DESIGN.md section 3, "Fingerprint"

use riskveil_crypto::fingerprint::{LabelKey, MAX_SLOTS, Slot, SlotKeys, Tag, derive_slot};
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

    /// [`IndexView::lookup`] of each tag, in the order of the tags.
    fn lookup_all(&self, tags: &[Tag]) -> Vec<Result<Option<FoundRow>, IndexUnavailable>> {
        tags.iter().map(|tag| self.lookup(tag)).collect()
    }
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
    walk_from(Walk::default(), 0, out, salt, view)
}

/// [`walk`] of each output, in order, many at a time.
pub fn walk_all(outs: &[PrfOutput], salt: &[u8], view: &dyn IndexView) -> Vec<Result<Vec<FoundSlot>, WalkError>> {
    // Four slots of every output tell all that most walks need: nobody holds a record of most people.
    let keys = SlotKeys::new(outs, salt);
    let mut walks: Vec<Result<Walk, WalkError>> = outs.iter().map(|_| Ok(Walk::default())).collect();
    for number in 0..WALK_END {
        // WALK_END is below MAX_SLOTS
        let Ok(slots) = keys.derive(&vec![number; outs.len()]) else { break };
        let going_on = walks.iter().zip(&slots).filter(|(walk, _)| walk.is_ok());
        let tags: Vec<Tag> = going_on.map(|(_, slot)| slot.tag).collect();
        let mut found = view.lookup_all(&tags).into_iter();
        for (walk, slot) in walks.iter_mut().zip(slots) {
            if let Ok(so_far) = walk
                && let Some(found) = found.next()
                && let Err(error) = so_far.take(number, slot, found)
            {
                *walk = Err(error);
            }
        }
    }
    outs.iter().zip(walks).map(|(out, walk)| walk_from(walk?, WALK_END, out, salt, view)).collect()
}

/// Used slots so far, and how many after them were never used.
#[derive(Default)]
struct Walk {
    used: Vec<FoundSlot>,
    never_used: u8,
}

impl Walk {
    fn take(
        &mut self,
        number: u8,
        slot: Slot,
        found: Result<Option<FoundRow>, IndexUnavailable>,
    ) -> Result<(), WalkError> {
        match found? {
            Some(_) if self.never_used > 0 => return Err(WalkError::Gap),
            Some(found) => self.used.push(FoundSlot { slot: number, found, label_key: slot.label_key }),
            None => self.never_used += 1,
        }
        Ok(())
    }
}

fn walk_from(
    mut walk: Walk,
    first: u8,
    out: &PrfOutput,
    salt: &[u8],
    view: &dyn IndexView,
) -> Result<Vec<FoundSlot>, WalkError> {
    for number in first..MAX_SLOTS {
        if walk.never_used == WALK_END {
            break;
        }
        // first..MAX_SLOTS are slots that exist
        let Ok(slot) = derive_slot(out, salt, number) else { break };
        let found = view.lookup(&slot.tag);
        walk.take(number, slot, found)?;
    }
    Ok(walk.used)
}
