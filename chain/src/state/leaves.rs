//! Every commitment leaf that the state counts, in memory, so that none is published twice.
//!
//! - **Place**: A7: a new batch's leaves -> seen before or not; beside [`super::State`], because one entry a leaf would make
//!   every block's state root cost a hash a commitment
//! - **Shapes**: 32 bytes a leaf in sorted runs, each at least twice as long as the next, so that a look-up is a few binary
//!   searches and a clone is cheap
//! - **Invariants**: a function of the batches the state counts: their roots and digests stand there, and the files they are read
//!   back from are checked against them
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/ledger.md#publish-commitments

use std::fmt;
use std::sync::Arc;

use riskveil_crypto::digest::Digest32;

/// The leaves of one batch, strictly ascending.
pub type BatchLeaves = Arc<[Digest32]>;

/// A set of leaves; a cheap clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Each strictly ascending.
    runs: Vec<BatchLeaves>,
}

impl Leaves {
    /// Whether a leaf is in it.
    #[must_use]
    pub fn contains(&self, leaf: &Digest32) -> bool {
        self.runs.iter().any(|run| run.binary_search(leaf).is_ok())
    }

    /// Adds a batch whose leaves strictly ascend and of which none is in it.
    pub fn insert(&mut self, batch: BatchLeaves) {
        self.runs.push(batch);
        while let [.., longer, last] = self.runs.as_slice()
            && longer.len() < 2 * last.len()
        {
            let merged = merge(longer, last);
            self.runs.truncate(self.runs.len() - 2);
            self.runs.push(merged);
        }
    }

    /// How many leaves.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaves({})", self.len())
    }
}

fn merge(a: &[Digest32], b: &[Digest32]) -> BatchLeaves {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let mut merged = Vec::with_capacity(a.len() + b.len());
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        let next = if x <= y { a.next() } else { b.next() };
        merged.extend(next);
    }
    merged.extend(a.chain(b));
    merged.into()
}

#[cfg(test)]
mod tests {
    use riskveil_crypto::digest::sha256;

    use super::*;

    #[test]
    fn every_leaf_that_was_added_is_found_and_no_other_whatever_the_sizes() {
        let leaf = |n: u32| sha256(&n.to_le_bytes());
        let mut leaves = Leaves::default();
        let mut next = 0;
        for size in [64, 64, 256, 64, 1024, 64, 64, 64, 512, 64] {
            let before = leaves.clone();
            let mut batch: Vec<Digest32> = (next..next + size).map(leaf).collect();
            batch.sort_unstable();
            leaves.insert(batch.into());
            assert!(!before.contains(&leaf(next)), "a clone is not changed");
            next += size;
        }
        assert!((0..next).all(|n| leaves.contains(&leaf(n))));
        assert!((next..next + 1000).all(|n| !leaves.contains(&leaf(n))));
        assert_eq!(leaves.len(), next as usize);
        assert!(leaves.runs.windows(2).all(|pair| pair[0].len() >= 2 * pair[1].len()));
        assert!(leaves.runs.iter().all(|run| run.is_sorted()));
    }
}
