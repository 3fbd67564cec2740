//! What can go wrong in the ledger.

use std::path::PathBuf;

use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::Height;

use crate::genesis::GenesisError;
use crate::index::IndexError;
pub use crate::state::store::StoreError;

/// The ledger cannot open or go on; all but [`LedgerError::Genesis`] stop the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The genesis breaks a rule.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The state store failed while in use; a restart opens it anew and rebuilds it if it is damaged.
    #[error("state store: {0}")]
    Store(#[from] StoreError),
    /// Rows could not be written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Another process, or another handle of this one, has the directory open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// The directory belongs to a chain with another genesis.
    #[error("{path} holds the chain {found}, not {expected}; use the genesis it was made with, or another directory")]
    OtherChain {
        /// The directory.
        path: PathBuf,
        /// The chain it holds.
        found: Digest32,
        /// The chain of the genesis given.
        expected: Digest32,
    },
    /// A finalized block does not follow the tip.
    #[error("finalized block {got} does not follow the tip {tip}")]
    Gap {
        /// Its height.
        got: Height,
        /// Our tip.
        tip: Height,
    },
    /// A finalized block gives another result here than its header says: a defect, or a fork of more than a third.
    #[error("finalized block {height} does not give the result that its header states: {problem}")]
    Diverged {
        /// Its height.
        height: Height,
        /// What differs.
        problem: BlockInvalid,
    },
}

/// A proposed block that no honest validator votes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockInvalid {
    /// Another version, kind or suite.
    #[error("header version, kind or suite")]
    Header,
    /// Another chain.
    #[error("chain id")]
    Chain,
    /// Not the parent's height plus one, or not its digest.
    #[error("parent or height")]
    Parent,
    /// Not later than its parent.
    #[error("time is not after the parent's")]
    Time,
    /// Not the term of its height.
    #[error("term")]
    Term,
    /// The proposer is not in the term's committee.
    #[error("proposer")]
    Proposer,
    /// The next committee is missing, wrong, or stands where none belongs.
    #[error("next committee")]
    NextCommittee,
    /// Too many bytes or transactions.
    #[error("size")]
    Size,
    /// The transactions are not those of the root.
    #[error("transaction root")]
    TxRoot,
    /// The payloads are not those of the root.
    #[error("payload root")]
    PayloadRoot,
    /// A payload that no transaction names, or one that stands twice.
    #[error("payload that no transaction names")]
    PayloadUnreferenced,
    /// The receipts are not those of the root.
    #[error("receipts root")]
    ReceiptsRoot,
    /// The state is not that of the root.
    #[error("state root")]
    StateRoot,
    /// The ancestors given do not lead from the finalized tip to the parent (a fork below the tip, or a caller's defect).
    #[error("ancestors do not lead from the finalized tip to the parent")]
    Ancestors,
}
