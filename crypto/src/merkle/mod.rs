//! Merkle trees over SHA-256: roots, and short proofs of presence, of growth, and of absence in a sorted tree.
//!
//! - **Shapes**: a path has at most 64 digests, `ceil(log2(size))` in an inclusion proof
//! - **Invariants**: a leaf hashes as `SHA-256(0x00 | leaf)`, a node as `SHA-256(0x01 | left | right)`, so neither passes for
//!   the other; the empty tree is `SHA-256("")`
//! - **Errors**: [`MerkleProofInvalid`] (whoever made the proof), [`OutOfRange`] and [`KeyPresent`] (the caller)
//! - **Security**: absence holds only for trees whose leaves are sorted strictly by key; whoever admits a root checks that.
//!   [`verify_absence`] hands a leaf to `key_of_leaf` only after its inclusion is shown
//! - **Source**: RFC 9162 section 2.1; vectors/rfc6962_trees.json, vectors/rfc6962_merkle_proofs.json

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::digest::Digest32;

mod absence;
mod tree;
pub use tree::MerkleTree;

pub use absence::{AbsenceProof, KeyPresent, Neighbour, prove_absence, verify_absence};

/// Root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY: Digest32 = Digest32::new([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// A Merkle proof that does not show its statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("merkle proof is invalid")]
pub struct MerkleProofInvalid;

/// An index or a size that the tree does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{index} is out of range in a tree of {size} leaves")]
pub struct OutOfRange {
    /// Index of the leaf, or size of the older tree, asked for.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
}

/// `SHA-256(0x00 | leaf)`.
pub fn leaf_hash(leaf: &[u8]) -> Digest32 {
    let sha = Sha256::new().chain_update([0x00]).chain_update(leaf);
    Digest32::new(sha.finalize().into())
}

/// `SHA-256(0x01 | left | right)`.
pub fn node_hash(left: &Digest32, right: &Digest32) -> Digest32 {
    let mut node = [0x01; 65];
    node[1..33].copy_from_slice(left.as_bytes());
    node[33..].copy_from_slice(right.as_bytes());
    Digest32::new(Sha256::digest(node).into())
}

/// Root of the tree over these leaves, in this order.
pub fn root(leaves: &[impl AsRef<[u8]>]) -> Digest32 {
    let hashes: Vec<Digest32> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    root_of_hashes(&hashes)
}

/// Root of the tree over leaves given by their [`leaf_hash`]es: `MTH(D[n])` of RFC 9162 section 2.1.1.
pub fn root_of_hashes(hashes: &[Digest32]) -> Digest32 {
    match hashes {
        [] => EMPTY,
        [leaf] => *leaf,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len()));
            node_hash(&root_of_hashes(left), &root_of_hashes(right))
        }
    }
}

/// The largest power of two below `size`; `size` is at least 2.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// Shows that a leaf stands at `index` of a tree of `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// Position of the leaf, from 0.
    pub index: u64,
    /// Leaves in the tree.
    pub size: u64,
    /// Siblings from the leaf to the root.
    pub path: Vec<Digest32>,
}

impl InclusionProof {
    /// The proof for the leaf at `index`: `PATH(m, D[n])` of RFC 9162 section 2.1.3.1, over leaf hashes.
    ///
    /// # Errors
    /// [`OutOfRange`] if there is no such leaf.
    pub fn prove(hashes: &[Digest32], index: u64) -> Result<InclusionProof, OutOfRange> {
        let size = hashes.len() as u64;
        if index >= size {
            return Err(OutOfRange { index, size });
        }
        let mut path = Vec::new();
        let (mut subtree, mut position) = (hashes, index as usize);
        while subtree.len() > 1 {
            let (left, right) = subtree.split_at(split(subtree.len()));
            if position < left.len() {
                path.push(root_of_hashes(right));
                subtree = left;
            } else {
                path.push(root_of_hashes(left));
                position -= left.len();
                subtree = right;
            }
        }
        path.reverse();
        Ok(InclusionProof { index, size, path })
    }

    /// Shows that the leaf with this [`leaf_hash`] is at `index` of the tree with this root: RFC 9162 section 2.1.3.2.
    ///
    /// The caller compares `index` and `size` with what it trusts.
    ///
    /// # Errors
    /// [`MerkleProofInvalid`] in every other case.
    pub fn verify(&self, root: &Digest32, leaf: &Digest32) -> Result<(), MerkleProofInvalid> {
        if self.index >= self.size {
            return Err(MerkleProofInvalid);
        }
        let (mut position, mut last) = (self.index, self.size - 1);
        let mut hash = *leaf;
        for sibling in &self.path {
            if last == 0 {
                return Err(MerkleProofInvalid);
            }
            if position & 1 == 1 || position == last {
                hash = node_hash(sibling, &hash);
                while position & 1 == 0 && position != 0 {
                    position >>= 1;
                    last >>= 1;
                }
            } else {
                hash = node_hash(&hash, sibling);
            }
            position >>= 1;
            last >>= 1;
        }
        if last == 0 && hash == *root { Ok(()) } else { Err(MerkleProofInvalid) }
    }
}

/// Shows that the first `old_size` leaves of a tree are those of an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// Leaves in the older tree; at least 1.
    pub old_size: u64,
    /// Leaves in the newer tree.
    pub new_size: u64,
    /// Nodes in the order of RFC 9162.
    pub path: Vec<Digest32>,
}

impl ConsistencyProof {
    /// The proof from `old_size` leaves to all of them: `PROOF(m, D[n])` of RFC 9162 section 2.1.4.1, over leaf hashes.
    ///
    /// # Errors
    /// [`OutOfRange`] if `old_size` is 0 or more than there are leaves.
    pub fn prove(hashes: &[Digest32], old_size: u64) -> Result<ConsistencyProof, OutOfRange> {
        let new_size = hashes.len() as u64;
        if old_size == 0 || old_size > new_size {
            return Err(OutOfRange { index: old_size, size: new_size });
        }
        let mut path = Vec::new();
        let (mut subtree, mut old, mut old_root_is_known) = (hashes, old_size as usize, true);
        while old < subtree.len() {
            let (left, right) = subtree.split_at(split(subtree.len()));
            if old <= left.len() {
                path.push(root_of_hashes(right));
                subtree = left;
            } else {
                path.push(root_of_hashes(left));
                old -= left.len();
                subtree = right;
                old_root_is_known = false;
            }
        }
        if !old_root_is_known {
            path.push(root_of_hashes(subtree));
        }
        path.reverse();
        Ok(ConsistencyProof { old_size, new_size, path })
    }

    /// Shows that the tree with `new_root` extends the tree with `old_root`: RFC 9162 section 2.1.4.2.
    ///
    /// The caller compares both sizes with what it trusts.
    ///
    /// # Errors
    /// [`MerkleProofInvalid`] in every other case.
    pub fn verify(&self, old_root: &Digest32, new_root: &Digest32) -> Result<(), MerkleProofInvalid> {
        if self.old_size == 0 || self.old_size > self.new_size {
            return Err(MerkleProofInvalid);
        }
        if self.old_size == self.new_size {
            let holds = self.path.is_empty() && old_root == new_root;
            return if holds { Ok(()) } else { Err(MerkleProofInvalid) };
        }
        // Step 2: if the old size is a power of two, its root is the first node and is not repeated in the path.
        let first = if self.old_size.is_power_of_two() { Some(old_root) } else { None };
        let mut nodes = first.into_iter().chain(&self.path);
        let (mut position, mut last) = (self.old_size - 1, self.new_size - 1);
        while position & 1 == 1 {
            position >>= 1;
            last >>= 1;
        }
        let start = nodes.next().ok_or(MerkleProofInvalid)?;
        let (mut old_hash, mut new_hash) = (*start, *start);
        for node in nodes {
            if last == 0 {
                return Err(MerkleProofInvalid);
            }
            if position & 1 == 1 || position == last {
                old_hash = node_hash(node, &old_hash);
                new_hash = node_hash(node, &new_hash);
                while position & 1 == 0 && position != 0 {
                    position >>= 1;
                    last >>= 1;
                }
            } else {
                new_hash = node_hash(&new_hash, node);
            }
            position >>= 1;
            last >>= 1;
        }
        if last == 0 && old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(MerkleProofInvalid) }
    }
}
