//! Makes evidence files from a replica. What it makes is verified before it is handed out.
//!
//! - **Place**: [`answers`] or [`log_entry`] -> [`Draft`] -> [`HeaderParts`] (from a [`Node`](crate::node::Node): [`headers`]) ->
//!   [`Draft::finish`] -> bytes
//! - **Shapes**: hashes every batch that is shown once; some milliseconds for 8,192 rows: keep it off an async reactor
//! - **Errors**: [`BuildError`]; whatever cannot be shown of one publisher stands in the file as not proven
//! - **Source**: specs/evidence.md

mod answers;
mod headers;
mod log_entry;
mod rows;

use std::collections::BTreeSet;

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::message::{Kind, MessageHeader};

use super::error::Refused;
use super::format::{
    Blob, CertifiedHeader, Claim, Evidence, HeaderChain, MAX_EVIDENCE_BYTES, StateEntry, StateOpening,
};
use super::statement::Verified;
use super::verify::verify;
use crate::ledger::Ledger;
use crate::state::FinalizedView;
use crate::state::keys::Key;

pub use answers::{CheckItem, CheckRecord, answers};
pub use headers::headers;
pub use log_entry::{LogRecord, LoggedIn, log_entry};

/// What a publisher whose answer cannot be shown any more is stated to be.
pub const NOT_PROVABLE: &str = "no_longer_provable";

/// Why there is no file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A block that this replica does not have, or has no certificate for.
    #[error("block {0} or its certificate of finality is not on this replica")]
    NotFinal(Height),
    /// A member's log transaction is not in the block that is said to hold it.
    #[error("the log of {0} is not on this replica")]
    LogMissing(MemberId),
    /// The record does not hold what a file needs.
    #[error("what was kept of this query is not enough to show it")]
    RecordIncomplete,
    /// A screening: its requests hold other applicants too.
    #[error("only single checks are exported")]
    NotACheck,
    /// The file would be above the limit.
    #[error("the file would have {bytes} bytes; the limit is {MAX_EVIDENCE_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The file does not verify, so what was kept is not what happened.
    #[error("the file does not verify: {0}")]
    Refused(#[from] Refused),
}

/// A file without its headers.
#[derive(Clone, Debug)]
pub struct Draft {
    chain_id: Digest32,
    genesis: Vec<u8>,
    state: StateOpening,
    claim: Claim,
    heights: BTreeSet<Height>,
}

/// The headers of a file.
#[derive(Clone, Debug, Default)]
pub struct HeaderParts {
    /// The last header of each term from 0 on, with its certificate.
    pub boundaries: Vec<CertifiedHeader>,
    /// Runs that hold every height of the draft.
    pub chains: Vec<HeaderChain>,
}

/// A file that verifies.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it proves.
    pub verified: Verified,
}

impl Draft {
    fn new(ledger: &Ledger, view: &FinalizedView, keys: &BTreeSet<Key>, claim: Claim) -> Self {
        let opened = view.state.open(keys);
        let entries = opened.entries.into_iter().map(|(key, value, inclusion)| StateEntry {
            key: Blob(key),
            value: Blob(value),
            index: inclusion.index,
            path: inclusion.path,
        });
        let state = StateOpening {
            height: view.height(),
            size: opened.size,
            entries_root: opened.entries_root,
            entries: entries.collect(),
        };
        Self {
            chain_id: *ledger.chain_id(),
            genesis: codec::encode(ledger.genesis()),
            state,
            claim,
            heights: BTreeSet::from([view.height()]),
        }
    }

    /// The heights whose headers the file needs.
    #[must_use]
    pub const fn heights(&self) -> &BTreeSet<Height> {
        &self.heights
    }

    /// The file, verified.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`], [`BuildError::Refused`].
    pub fn finish(self, parts: HeaderParts) -> Result<Built, BuildError> {
        let chain_id = self.chain_id;
        let evidence = Evidence {
            header: MessageHeader::new(Kind::Evidence),
            chain_id,
            genesis: Blob(self.genesis),
            boundaries: parts.boundaries,
            chains: parts.chains,
            state: self.state,
            claim: self.claim,
        };
        let bytes = evidence.encode();
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(BuildError::TooLarge { bytes: bytes.len() });
        }
        let verified = verify(&bytes, &chain_id)?;
        Ok(Built { bytes, verified })
    }
}
