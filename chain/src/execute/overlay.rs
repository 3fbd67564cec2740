//! Pending writes over a finalized state.

use serde::Serialize;

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;

use crate::state::keys::Key;
use crate::state::tree::{Changes, State};
use crate::state::view::StateRead;

/// A finalized state, what unfinalized ancestors changed, and what this block changes.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    base: &'a State,
    /// The ancestors' changes, overwritten by this block's.
    pending: Changes,
    own: Changes,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(base: &'a State, inherited: Changes) -> Self {
        Self { base, pending: inherited, own: Changes::new() }
    }

    pub(super) fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = codec::encode(value);
        self.pending.insert(key.clone(), value.clone());
        self.own.insert(key, value);
    }

    pub(super) fn root(&self) -> Digest32 {
        self.base.root_after(&self.pending)
    }

    pub(super) fn into_changes(self) -> Changes {
        self.own
    }
}

impl StateRead for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.pending.get(key).cloned().or_else(|| StateRead::get(self.base, key))
    }

    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut entries: Changes = StateRead::prefixed(self.base, prefix).into_iter().collect();
        let pending = self.pending.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        entries.extend(pending.map(|(key, value)| (key.clone(), value.clone())));
        entries.into_iter().collect()
    }
}
