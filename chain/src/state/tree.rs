//! The authenticated state: sorted entries, the root that a header carries, and proofs of presence and absence under it.
//!
//! - **Place**: A8: entries -> `state_root`; evidence and light clients check [`StateProof`]s
//! - **Shapes**: leaf = BCS of (key, value); `state_root = hash(STATE_ROOT, u64 BE entry count | Merkle root over the leaves
//!   sorted by key)`. The count is in the root because absence proofs depend on it
//! - **Invariants**: each entry keeps its leaf hash, so that a root costs one node hash an entry and no leaf hash
//! - **Errors**: [`StateProofInvalid`] (whoever made the proof)
//! - **Source**: specs/ledger.md#state-root; ADR 0003

use std::collections::{BTreeMap, BTreeSet};

use riskveil_crypto::codec;
use riskveil_crypto::digest::{self, Digest32};
use riskveil_crypto::merkle::{self, AbsenceProof, InclusionProof, MerkleTree};
use serde::{Deserialize, Serialize};

use crate::dst;
use crate::state::keys::Key;

/// What blocks change: new values by key. No transaction removes an entry.
pub type Changes = BTreeMap<Key, Vec<u8>>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    leaf_hash: Digest32,
}

impl Entry {
    fn new(key: &[u8], value: Vec<u8>) -> Self {
        let leaf_hash = merkle::leaf_hash(&leaf(key, &value));
        Self { value, leaf_hash }
    }
}

/// Every entry of the state at one height.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    entries: BTreeMap<Key, Entry>,
}

impl State {
    /// The state with these entries.
    #[must_use]
    pub fn from_entries(entries: impl IntoIterator<Item = (Key, Vec<u8>)>) -> Self {
        let mut state = Self::default();
        state.apply(entries);
        state
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(|e| e.value.as_slice())
    }

    /// Entries whose keys begin with `prefix`, ascending.
    pub fn prefixed<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.entries
            .range(prefix.to_vec()..)
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| (key.as_slice(), entry.value.as_slice()))
    }

    /// Every entry, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, entry)| (key.as_slice(), entry.value.as_slice()))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes new values.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = (Key, Vec<u8>)>) {
        for (key, value) in changes {
            let entry = Entry::new(&key, value);
            self.entries.insert(key, entry);
        }
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> Digest32 {
        let hashes: Vec<Digest32> = self.entries.values().map(|e| e.leaf_hash).collect();
        root_of(&hashes)
    }

    /// The root this state would have after `changes`.
    #[must_use]
    pub fn root_after(&self, changes: &Changes) -> Digest32 {
        let mut hashes = Vec::with_capacity(self.entries.len() + changes.len());
        let mut changed = changes.iter().map(|(key, value)| (key, merkle::leaf_hash(&leaf(key, value)))).peekable();
        for (key, entry) in &self.entries {
            while let Some((_, hash)) = changed.next_if(|(k, _)| *k < key) {
                hashes.push(hash);
            }
            let replaced = changed.next_if(|(k, _)| *k == key);
            hashes.push(replaced.map_or(entry.leaf_hash, |(_, hash)| hash));
        }
        hashes.extend(changed.map(|(_, hash)| hash));
        root_of(&hashes)
    }

    /// Shows what stands under each of these keys; keys without an entry are left out. Hashes the whole state once.
    #[must_use]
    pub fn open(&self, keys: &BTreeSet<Key>) -> OpenedEntries {
        let tree = MerkleTree::new(self.entries.values().map(|e| e.leaf_hash).collect());
        let held = (0u64..).zip(&self.entries).filter(|(_, (key, _))| keys.contains(*key));
        let opened = held.filter_map(|(index, (key, entry))| {
            let inclusion = tree.prove(index).ok()?;
            Some((key.clone(), entry.value.clone(), inclusion))
        });
        OpenedEntries { size: tree.size(), entries_root: tree.root(), entries: opened.collect() }
    }

    /// Shows what stands under a key, or that nothing does.
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> Option<StateProof> {
        let hashes: Vec<Digest32> = self.entries.values().map(|e| e.leaf_hash).collect();
        let size = hashes.len() as u64;
        let entries_root = merkle::root_of_hashes(&hashes);
        let claim = match self.entries.get(key) {
            Some(entry) => {
                let index = self.entries.range(..key.to_vec()).count() as u64;
                let inclusion = InclusionProof::prove(&hashes, index).ok()?;
                StateClaim::Present { value: entry.value.clone(), inclusion }
            }
            None => {
                let leaves: Vec<Vec<u8>> = self.entries.iter().map(|(k, e)| leaf(k, &e.value)).collect();
                StateClaim::Absent(merkle::prove_absence(&leaves, key, key_of_leaf).ok()?)
            }
        };
        Some(StateProof { size, entries_root, claim })
    }
}

/// Entries of one state with their places, under one size and root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedEntries {
    /// Number of entries of the whole state.
    pub size: u64,
    /// Merkle root over them; with the size it hashes to the state root.
    pub entries_root: Digest32,
    /// (key, value, where its leaf stands), ascending by key.
    pub entries: Vec<(Key, Vec<u8>, InclusionProof)>,
}

/// Shows that `value` stands under `key` of the state with this root.
///
/// # Errors
/// [`StateProofInvalid`].
pub fn verify_entry(
    entries_root: &Digest32,
    key: &[u8],
    value: &[u8],
    inclusion: &InclusionProof,
) -> Result<(), StateProofInvalid> {
    inclusion.verify(entries_root, &merkle::leaf_hash(&leaf(key, value))).map_err(|_| StateProofInvalid)
}

/// The state root of `size` entries with this Merkle root.
#[must_use]
pub fn state_root(size: u64, entries_root: &Digest32) -> Digest32 {
    combine(size, entries_root)
}

/// What stands under a key of the state with a given root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateProof {
    /// Number of entries.
    pub size: u64,
    /// Merkle root over them; with the size it hashes to the state root.
    pub entries_root: Digest32,
    /// What is claimed.
    pub claim: StateClaim,
}

/// Presence or absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateClaim {
    /// The key has this value.
    Present {
        /// The value.
        #[serde(with = "serde_bytes")]
        value: Vec<u8>,
        /// Where its leaf stands.
        inclusion: InclusionProof,
    },
    /// The key has no value.
    Absent(AbsenceProof),
}

/// A state proof that does not show its claim under the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("state proof is invalid")]
pub struct StateProofInvalid;

impl StateProof {
    /// The value under `key` in the state with this root; `None` if it is shown to have none.
    ///
    /// # Errors
    /// [`StateProofInvalid`] if neither is shown.
    pub fn verify(&self, state_root: &Digest32, key: &[u8]) -> Result<Option<&[u8]>, StateProofInvalid> {
        if combine(self.size, &self.entries_root) != *state_root {
            return Err(StateProofInvalid);
        }
        match &self.claim {
            StateClaim::Present { value, inclusion } => {
                if inclusion.size != self.size {
                    return Err(StateProofInvalid);
                }
                let hash = merkle::leaf_hash(&leaf(key, value));
                inclusion.verify(&self.entries_root, &hash).map_err(|_| StateProofInvalid)?;
                Ok(Some(value))
            }
            StateClaim::Absent(absence) => {
                merkle::verify_absence(&self.entries_root, self.size, key, key_of_leaf, absence)
                    .map_err(|_| StateProofInvalid)?;
                Ok(None)
            }
        }
    }
}

fn root_of(hashes: &[Digest32]) -> Digest32 {
    combine(hashes.len() as u64, &merkle::root_of_hashes(hashes))
}

fn combine(size: u64, entries_root: &Digest32) -> Digest32 {
    digest::hash(dst::STATE_ROOT, &[&size.to_be_bytes(), entries_root.as_bytes()])
}

fn leaf(key: &[u8], value: &[u8]) -> Vec<u8> {
    codec::encode(&(serde_bytes::Bytes::new(key), serde_bytes::Bytes::new(value)))
}

/// The key at the start of a leaf: keys have fewer than 128 bytes, so that their BCS length is one byte.
fn key_of_leaf(leaf: &[u8]) -> &[u8] {
    leaf.split_first().and_then(|(len, rest)| rest.get(..usize::from(*len))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(n: u8) -> State {
        State::from_entries((0..n).map(|i| (vec![7, i * 2], vec![i; usize::from(i)])))
    }

    #[test]
    fn root_after_changes_is_the_root_of_the_changed_state() {
        for n in [0, 1, 5, 100] {
            let before = state(n);
            let changes: Changes = [(vec![7, 1], vec![1]), (vec![7, 4], vec![9]), (vec![9], vec![])].into();
            let mut after = before.clone();
            after.apply(changes.clone());
            assert_eq!(before.root_after(&changes), after.root());
            assert_eq!(before.root_after(&Changes::new()), before.root());
        }
    }

    #[test]
    fn presence_and_absence_verify_and_changed_proofs_do_not() {
        let state = state(9);
        let root = state.root();
        for i in 0..9 {
            let proof = state.prove(&[7, i * 2]).unwrap();
            assert_eq!(proof.verify(&root, &[7, i * 2]), Ok(Some(vec![i; usize::from(i)].as_slice())));
            assert!(proof.verify(&root, &[7, i * 2 + 1]).is_err());
            let absent = state.prove(&[7, i * 2 + 1]).unwrap();
            assert_eq!(absent.verify(&root, &[7, i * 2 + 1]), Ok(None));
            assert!(absent.verify(&root, &[7, i * 2]).is_err());
            assert!(absent.verify(&self::state(8).root(), &[7, i * 2 + 1]).is_err());
            let mut shorter = absent.clone();
            shorter.size -= 1;
            assert!(shorter.verify(&root, &[7, i * 2 + 1]).is_err());
        }
        let keys = (0..20).map(|i| vec![7, i]).collect();
        let opened = state.open(&keys);
        assert_eq!((state_root(opened.size, &opened.entries_root), opened.entries.len()), (root, 9));
        for (key, value, inclusion) in &opened.entries {
            assert_eq!(verify_entry(&opened.entries_root, key, value, inclusion), Ok(()));
            assert!(verify_entry(&opened.entries_root, key, b"another", inclusion).is_err());
        }
        assert_eq!(State::default().prove(b"x").unwrap().verify(&State::default().root(), b"x"), Ok(None));
    }
}
