//! Checks headers, transactions and state of a chain from its genesis hash alone, offline.
//!
//! - **Place**: B8, B10: evidence and audit; `genesis hash -> committees of the terms -> certified header -> what is under it`
//! - **Invariants**: a [`TrustedHeader`] exists only after rules LC-1 to LC-6 held for it
//! - **Errors**: [`LightClientError`] names the rule; the fault is the prover's
//! - **Security**: trust rests on the genesis hash, and on fewer than a third of each term's committee having been
//!   Byzantine, or having lost its keys since. Nothing here tells how old the newest header is: that is the caller's clock
//! - **Source**: specs/ledger.md#light-client; ENGINE.md, "Finality certificate"

mod predicates;
mod verify;

pub use predicates::LightClientError;
pub use verify::{HeaderProof, LightClient, TrustedHeader};
