//! Absence from a tree whose leaves are sorted strictly by key: the two neighbours that leave no room for it.

use serde::{Deserialize, Serialize};

use super::{EMPTY, InclusionProof, MerkleProofInvalid, leaf_hash};
use crate::digest::Digest32;

/// The key whose absence was to be proven is in the tree, at this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is present at leaf {index}")]
pub struct KeyPresent {
    /// Position of the leaf with the key.
    pub index: u64,
}

/// A leaf beside the gap, with its inclusion proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// The whole leaf.
    #[serde(with = "serde_bytes")]
    pub leaf: Vec<u8>,
    /// Shows where it stands.
    pub inclusion: InclusionProof,
}

/// Shows that no leaf of a sorted tree has a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsenceProof {
    /// The last leaf with a smaller key; none if the gap is before the first leaf.
    pub before: Option<Neighbour>,
    /// The first leaf with a larger key; none if the gap is after the last leaf.
    pub after: Option<Neighbour>,
}

/// The proof that `key` is the key of no leaf; `sorted_leaves` are sorted strictly by `key_of_leaf`.
///
/// # Errors
/// [`KeyPresent`] if it is there.
pub fn prove_absence(
    sorted_leaves: &[impl AsRef<[u8]>],
    key: &[u8],
    key_of_leaf: fn(&[u8]) -> &[u8],
) -> Result<AbsenceProof, KeyPresent> {
    let gap = match sorted_leaves.binary_search_by(|leaf| key_of_leaf(leaf.as_ref()).cmp(key)) {
        Ok(index) => return Err(KeyPresent { index: index as u64 }),
        Err(gap) => gap,
    };
    let hashes: Vec<Digest32> = sorted_leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    let neighbour = |index: usize| {
        let leaf = sorted_leaves.get(index)?.as_ref().to_vec();
        let inclusion = InclusionProof::prove(&hashes, index as u64).ok()?;
        Some(Neighbour { leaf, inclusion })
    };
    Ok(AbsenceProof { before: gap.checked_sub(1).and_then(neighbour), after: neighbour(gap) })
}

/// Shows that no leaf of the tree with this root and size has `key`.
///
/// `key_of_leaf` must give a key for every byte string, short ones included.
///
/// # Errors
/// [`MerkleProofInvalid`] in every other case.
pub fn verify_absence(
    root: &Digest32,
    size: u64,
    key: &[u8],
    key_of_leaf: fn(&[u8]) -> &[u8],
    proof: &AbsenceProof,
) -> Result<(), MerkleProofInvalid> {
    for neighbour in proof.before.iter().chain(&proof.after) {
        if neighbour.inclusion.size != size {
            return Err(MerkleProofInvalid);
        }
        neighbour.inclusion.verify(root, &leaf_hash(&neighbour.leaf))?;
    }
    let below = |n: &Neighbour| key_of_leaf(&n.leaf) < key;
    let above = |n: &Neighbour| key_of_leaf(&n.leaf) > key;
    let holds = match (&proof.before, &proof.after) {
        (None, None) => size == 0 && *root == EMPTY,
        (None, Some(after)) => after.inclusion.index == 0 && above(after),
        (Some(before), None) => before.inclusion.index == size - 1 && below(before),
        (Some(before), Some(after)) => {
            before.inclusion.index + 1 == after.inclusion.index && below(before) && above(after)
        }
    };
    if holds { Ok(()) } else { Err(MerkleProofInvalid) }
}
