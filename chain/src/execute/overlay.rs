//! Pending writes over a finalized state.

use serde::Serialize;

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;

use super::Executed;
use crate::state::keys::Key;
use crate::state::leaves::BatchLeaves;
use crate::state::tree::Changes;
use crate::state::view::{FinalizedView, StateRead};

/// What the unfinalized ancestors of a block change.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    changes: Changes,
    leaves: Vec<BatchLeaves>,
}

impl Inherited {
    /// Adds what the next ancestor changes.
    pub fn extend(&mut self, executed: &Executed) {
        self.changes.extend(executed.changes.clone());
        self.leaves.extend(executed.commitments.iter().map(|batch| batch.leaves.clone()));
    }
}

/// A finalized state, what unfinalized ancestors changed, and what this block changes.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    base: &'a FinalizedView,
    /// The ancestors' changes, overwritten by this block's.
    pending: Changes,
    own: Changes,
    /// Of the ancestors and of this block.
    pending_leaves: Vec<BatchLeaves>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a FinalizedView, inherited: Inherited) -> Self {
        Self { base, pending: inherited.changes, own: Changes::new(), pending_leaves: inherited.leaves }
    }

    pub(super) fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = codec::encode(value);
        self.pending.insert(key.clone(), value.clone());
        self.own.insert(key, value);
    }

    pub(super) fn add_leaves(&mut self, leaves: BatchLeaves) {
        self.pending_leaves.push(leaves);
    }

    /// Whether a commitment's leaf stands on chain already, or in this block so far.
    pub(super) fn leaf_seen(&self, leaf: &Digest32) -> bool {
        self.base.leaves.contains(leaf) || self.pending_leaves.iter().any(|batch| batch.binary_search(leaf).is_ok())
    }

    pub(super) fn root(&self) -> Digest32 {
        self.base.state.root_after(&self.pending)
    }

    pub(super) fn into_changes(self) -> Changes {
        self.own
    }
}

impl StateRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.pending.get(key).cloned().or_else(|| self.base.get(key))
    }

    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries: Changes = self.base.prefixed(prefix).into_iter().collect();
        let pending = self.pending.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        entries.extend(pending.map(|(key, value)| (key.clone(), value.clone())));
        entries.into_iter().collect()
    }
}
