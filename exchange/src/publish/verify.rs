//! What every validator checks of a payload of rows before it votes.
//!
//! - **Place**: A7, payload bytes -> [`RowsSummary`]; called by `chain::execute` and by the index when it opens a segment
//! - **Shapes**: `count` rows of 92 bytes
//! - **Errors**: [`PublishError`], always the publisher's fault
//! - **Security**: a publisher can publish a false row, but not an unattributed, unsorted or oversized batch
//! - **Source**: DESIGN.md section 5; specs/ledger.md

use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::ROW_LEN;
use riskveil_crypto::{Digest32, merkle};

use crate::publish::batch::bucket;
use crate::publish::error::PublishError;

const TAG_LEN: usize = 16;

/// The range of a batch's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowsSummary {
    /// The first tag.
    pub min_tag: Tag,
    /// The last tag.
    pub max_tag: Tag,
}

/// Checks length, bucket, order and root.
///
/// # Errors
/// The first rule that does not hold, in the order count, length, order, root.
pub fn verify_rows(bytes: &[u8], count: u32, root: &Digest32, max_rows: u32) -> Result<RowsSummary, PublishError> {
    count_is_a_bucket(count, max_rows)?;
    length_is_exact(bytes, count)?;
    tags_strictly_ascend(bytes)?;
    root_is_of_the_rows(bytes, root)?;
    let first = bytes.chunks_exact(ROW_LEN).next().ok_or(PublishError::NotABucket { count, max: max_rows })?;
    let last = bytes.chunks_exact(ROW_LEN).next_back().ok_or(PublishError::NotABucket { count, max: max_rows })?;
    Ok(RowsSummary { min_tag: tag_of(first), max_tag: tag_of(last) })
}

fn count_is_a_bucket(count: u32, max_rows: u32) -> Result<(), PublishError> {
    if count == bucket(count) && count <= max_rows {
        Ok(())
    } else {
        Err(PublishError::NotABucket { count, max: max_rows })
    }
}

fn length_is_exact(bytes: &[u8], count: u32) -> Result<(), PublishError> {
    let expected = u64::from(count) * ROW_LEN as u64;
    let got = bytes.len() as u64;
    if got == expected { Ok(()) } else { Err(PublishError::Length { expected, got }) }
}

fn tags_strictly_ascend(bytes: &[u8]) -> Result<(), PublishError> {
    let mut before: Option<&[u8]> = None;
    for (position, row) in bytes.chunks_exact(ROW_LEN).enumerate() {
        let tag = &row[..TAG_LEN];
        if before.is_some_and(|before| before >= tag) {
            return Err(PublishError::NotAscending { position: u32::try_from(position).unwrap_or(u32::MAX) });
        }
        before = Some(tag);
    }
    Ok(())
}

fn root_is_of_the_rows(bytes: &[u8], root: &Digest32) -> Result<(), PublishError> {
    let leaves: Vec<Digest32> = bytes.chunks_exact(ROW_LEN).map(merkle::leaf_hash).collect();
    if merkle::root_of_hashes(&leaves) == *root { Ok(()) } else { Err(PublishError::RootMismatch) }
}

fn tag_of(row: &[u8]) -> Tag {
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&row[..TAG_LEN]);
    Tag::new(tag)
}
