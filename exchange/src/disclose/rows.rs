//! The rows behind a hit, with their labels: what a lender names when it asks for more.
//!
//! - **Place**: after `query::answer`: `PrfOutput` and the replica's rows -> [`HitRow`]s, in the order of the report's facts
//! - **Errors**: [`NotAnswered`], as when the check was judged
//! - **Security**: labels are personal data of the person asked about; nothing here leaves the lender
//! - **Source**: specs/protocol.md#disclosure

use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::oprf::PrfOutput;

use crate::publish::PeriodKeyId;
use crate::query::answer::open_slot;
use crate::query::clear::{NotAnswered, walk_is_whole};
use crate::query::lookup::{IndexView, walk};
use crate::record::{Day, Label};

/// A row that counts as held.
#[derive(Clone, Debug)]
pub struct HitRow {
    /// Its slot.
    pub slot: u8,
    /// Its tag.
    pub tag: Tag,
    /// Its label.
    pub label: Label,
}

/// The rows that one output finds and that count as held on `as_of`, by slot.
///
/// # Errors
/// [`NotAnswered`].
pub fn hit_rows(
    output: &PrfOutput,
    key: &PeriodKeyId,
    view: &dyn IndexView,
    as_of: Day,
) -> Result<Vec<HitRow>, NotAnswered> {
    let mut rows = Vec::new();
    for slot in walk_is_whole(walk(output, &key.salt(), view))? {
        let label = open_slot(&slot, key, as_of)?;
        rows.extend(label.map(|label| HitRow { slot: slot.slot, tag: slot.found.row.tag, label }));
    }
    Ok(rows)
}
