//! Look-ups in one publisher's rows of a period: first which batch can have a tag, then where in it.
//!
//! - **Place**: B6, tag -> row or absence
//! - **Shapes**: the batches of one plan tile the tag space, so they are one [`Run`], searched by their lowest tags; a later plan
//!   begins another run. A look-up visits one segment a run, whatever the number of batches
//! - **Invariants**: of duplicates the lowest (batch, position) is found, as if every batch were asked in turn
//! - **Source**: DESIGN.md section 5

use std::sync::Arc;

use riskveil_crypto::fingerprint::Tag;

use super::FoundRow;
use super::segment::Segment;

const TAG_LEN: usize = 16;

/// Consecutive batches whose tags ascend from each to the next.
#[derive(Debug)]
pub(super) struct Run {
    first_seq: u32,
    lowest: Vec<[u8; TAG_LEN]>,
    segments: Vec<Arc<Segment>>,
}

/// The rows of one publisher and period up to a batch; a cheap clone.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub(super) runs: Arc<Vec<Run>>,
    pub(super) batch_count: u32,
}

impl Rows {
    /// The row with this tag; the lowest (batch, position) counts.
    #[must_use]
    pub fn lookup(&self, tag: &Tag) -> Option<FoundRow> {
        let found = self.runs.iter().take_while(|run| run.first_seq < self.batch_count).find_map(|run| run.lookup(tag));
        found.filter(|found| found.batch_seq < self.batch_count)
    }
}

impl Run {
    fn lookup(&self, tag: &Tag) -> Option<FoundRow> {
        let at = self.lowest.partition_point(|lowest| lowest <= tag.as_bytes()).checked_sub(1)?;
        let (position, row) = self.segments.get(at)?.lookup(tag)?;
        let batch_seq = self.first_seq.saturating_add(u32::try_from(at).ok()?);
        Some(FoundRow { row, batch_seq, position, withdrawn: false })
    }
}

/// The runs of batches 0, 1, 2, ..
pub(super) fn runs<'a>(segments: impl Iterator<Item = &'a Arc<Segment>>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut highest: Option<[u8; TAG_LEN]> = None;
    for (seq, segment) in (0u32..).zip(segments) {
        let (min_tag, max_tag) = segment.tag_range();
        match runs.last_mut() {
            Some(run) if highest.is_some_and(|highest| highest < min_tag) => {
                run.lowest.push(min_tag);
                run.segments.push(segment.clone());
            }
            _ => runs.push(Run { first_seq: seq, lowest: vec![min_tag], segments: vec![segment.clone()] }),
        }
        highest = Some(max_tag);
    }
    runs
}
