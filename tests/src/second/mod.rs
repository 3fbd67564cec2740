//! A second implementation of Riskveil's messages and proofs, written from `specs/` alone: what an adversary would bring.
//!
//! - **Place**: `tests/adversaries` and `src/bin/timing.rs`; nothing of the product is called from here
//! - **Shapes**: plain structs with public fields and `bytes()`: whoever builds one may state anything, in any field
//! - **Invariants**: with honest values in every field the product accepts every message (the `control_*` tests)
//! - **Source**: specs/wire.md, specs/crypto.md, specs/ledger.md; RFC 9497, RFC 9180, RFC 9162

pub mod bytes;
pub mod escrow;
pub mod ledger;
pub mod log;
pub mod messages;
pub mod oprf;
pub mod rows;

pub use bytes::{Bytes, Identity, h, sha256};
