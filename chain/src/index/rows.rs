//! Look-ups in one publisher's rows of a period: first which batch can have a tag, then where in it.
//!
//! - **Place**: B6, tag -> row or absence
//! - **Shapes**: the batches of one plan tile the tag space, so they are one [`Run`], searched by their lowest tags; a later plan
//!   begins another run. A look-up visits one segment a run, whatever the number of batches
//! - **Many at a time**: a look-up is a wait for memory, since a replica is larger than any cache. [`Rows::lookup_all`] goes
//!   through its tags in ascending order, so that pages are visited in order, and in groups whose waits overlap
//! - **Invariants**: of duplicates the lowest (batch, position) is found, as if every batch were asked in turn
//! - **Source**: DESIGN.md section 5

use std::sync::Arc;

use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;

use super::FoundRow;
use super::segment::{Seek, Segment};

const TAG_LEN: usize = 16;
/// Tags searched side by side: enough for the cache misses that a core can have under way.
const GROUP: usize = 16;

/// A tag and where its row goes.
type Sought<'a> = (Tag, &'a mut Option<FoundRow>);

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

    /// [`Rows::lookup`] of each tag, in the order of the tags.
    #[must_use]
    pub fn lookup_all(&self, tags: &[Tag]) -> Vec<Option<FoundRow>> {
        let mut found = vec![None; tags.len()];
        let mut sought: Vec<Sought<'_>> = tags.iter().copied().zip(&mut found).collect();
        sought.sort_unstable_by_key(|(tag, _)| u128::from_be_bytes(*tag.as_bytes()));
        for run in self.runs.iter().take_while(|run| run.first_seq < self.batch_count) {
            let mut at = 0;
            for group in sought.chunks_mut(GROUP) {
                at = run.look_up(group, at);
            }
            sought.retain(|(_, found)| found.is_none());
        }
        for place in &mut found {
            place.take_if(|found| found.batch_seq >= self.batch_count);
        }
        found
    }
}

impl Run {
    /// Searches ascending tags, at most [`GROUP`], from a segment on that is not above the first of them; says which segment
    /// the last one is in.
    fn look_up(&self, group: &mut [Sought<'_>], mut at: usize) -> usize {
        // each step reads what the next one needs, for the whole group, so that the group waits for memory once
        let mut entries: [Option<(usize, &Segment, usize)>; GROUP] = [None; GROUP];
        for ((tag, _), entry) in group.iter().zip(&mut entries) {
            let above = self.lowest.get(at + 1..).unwrap_or_default();
            if above.first().is_some_and(|lowest| lowest <= tag.as_bytes()) {
                at += above.partition_point(|lowest| lowest <= tag.as_bytes());
            }
            *entry = self.segments.get(at).and_then(|segment| Some((at, segment.as_ref(), segment.entry(tag)?)));
        }
        let buckets = entries.map(|entry| entry.and_then(|(_, segment, entry)| segment.bucket(entry)));
        let mut seeks: [Option<(usize, &Segment, Seek)>; GROUP] = [const { None }; GROUP];
        for (((tag, _), seek), (entry, bucket)) in group.iter().zip(&mut seeks).zip(entries.into_iter().zip(buckets)) {
            *seek = entry.zip(bucket).map(|((at, segment, _), bucket)| (at, segment, segment.seek(tag, bucket)));
        }
        for (_, segment, seek) in seeks.iter().flatten() {
            segment.touch(seek);
        }
        for ((tag, found), seek) in group.iter_mut().zip(&seeks) {
            **found = seek.as_ref().and_then(|(at, segment, seek)| {
                let (position, row) = segment.search(tag, seek)?;
                self.found(*at, position, row)
            });
        }
        at
    }

    fn lookup(&self, tag: &Tag) -> Option<FoundRow> {
        let at = self.lowest.partition_point(|lowest| lowest <= tag.as_bytes()).checked_sub(1)?;
        let (position, row) = self.segments.get(at)?.lookup(tag)?;
        self.found(at, position, row)
    }

    fn found(&self, at: usize, position: u32, row: Row) -> Option<FoundRow> {
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
