//! A whole tree kept in memory, for whoever needs many paths of one tree: each costs a walk, not a hash of all leaves.

use super::{EMPTY, InclusionProof, OutOfRange, node_hash};
use crate::digest::Digest32;

/// Every node of the tree over some leaf hashes.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    /// Leaf hashes first, the root last. A node without a sibling is its own parent: that is RFC 9162's shape.
    levels: Vec<Vec<Digest32>>,
}

impl MerkleTree {
    /// The tree over leaves given by their [`leaf_hash`](super::leaf_hash)es.
    pub fn new(leaf_hashes: Vec<Digest32>) -> MerkleTree {
        let mut levels = vec![leaf_hashes];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let parent = |pair: &[Digest32]| match pair {
                [left, right] => node_hash(left, right),
                [alone, ..] => *alone,
                [] => EMPTY,
            };
            levels.push(below.chunks(2).map(parent).collect());
        }
        MerkleTree { levels }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root: that of [`root_of_hashes`](super::root_of_hashes).
    pub fn root(&self) -> Digest32 {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or(EMPTY)
    }

    /// The proof for the leaf at `index`: that of [`InclusionProof::prove`].
    ///
    /// # Errors
    /// [`OutOfRange`] if there is no such leaf.
    pub fn prove(&self, index: u64) -> Result<InclusionProof, OutOfRange> {
        let size = self.size();
        let out_of_range = OutOfRange { index, size };
        let mut position = usize::try_from(index).ok().filter(|_| index < size).ok_or(out_of_range)?;
        let mut path = Vec::new();
        for level in &self.levels {
            path.extend(level.get(position ^ 1));
            position >>= 1;
        }
        Ok(InclusionProof { index, size, path })
    }
}
