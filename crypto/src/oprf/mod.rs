//! The oblivious pseudorandom function: RFC 9497 VOPRF(ristretto255, SHA-512), mode 0x01.
//!
//! - **Place**: walk A3 evaluates inputs directly ([`OprfSecretKey::evaluate`]); walk B4 and B5 evaluate escrowed elements
//!   (`evaluation`), with the same output
//! - **Shapes**: input up to 65,535 bytes; secret key, element and scalar 32 bytes; output 64; single-pair proof 64
//! - **Invariants**: a secret key is not zero; elements are never the identity
//! - **Errors**: [`OprfError`] (the caller, except `IdentityElement`: the peer)
//! - **Security**: whoever has `k` can evaluate, and test guesses of an input; whoever has the output alone can recognise
//!   it. `k * P` is constant time; hashing to the group is not required to be and is
//! - **Source**: RFC 9497; vectors/rfc9497_ristretto255_sha512.json, vectors/voprf_negative_cases.json
//! - **Deviations**: blinding and the batched proof of the protocol are not the RFC's: see `escrow` and `evaluation`
//!
//! # Notation
//! ```text
//! symbol   meaning                         Rust                            bytes
//! x        private input                   input: &[u8]                    0..=65535
//! P        HashToGroup(x)                  input_element(x)                32, sensitive as x
//! k, K     secret key, K = k*G             OprfSecretKey, public_key()     32, 32
//! N        k*P                             inside evaluate and unblind     32, secret
//! out      Finalize(x, N)                  PrfOutput                       64, secret
//! ```

use crate::group::{Element, GroupError};

pub mod dleq;
pub mod rfc9497;
pub mod server;
pub mod suite;

mod output;

pub use output::PrfOutput;
pub use server::OprfSecretKey;

pub(crate) use output::{finalize, finalize_all};

/// Why an OPRF operation gives no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OprfError {
    /// The input is longer than the 65,535 bytes RFC 9497 can frame.
    #[error("OPRF input has {got} bytes, at most 65535 are allowed")]
    InputTooLong {
        /// Bytes given.
        got: usize,
    },
    /// A result is the identity element (RFC 9497 `InvalidInputError`).
    #[error("OPRF element is the identity")]
    IdentityElement,
    /// A batch with no item, more than 65,535, or lists of different lengths.
    #[error("a batch of {got} items cannot be evaluated")]
    BatchSize {
        /// Items given.
        got: usize,
    },
    /// The context names another public key than that of the secret key.
    #[error("the public key is not that of the secret key")]
    AnotherKey,
    /// The item was not escrowed with this secret, or there is no item at this index.
    #[error("the secret does not belong to this item")]
    NotThisItem,
}

impl From<GroupError> for OprfError {
    fn from(_: GroupError) -> OprfError {
        OprfError::IdentityElement
    }
}

/// `P = HashToGroup(x)` in VOPRF mode.
///
/// # Errors
/// [`OprfError::InputTooLong`], or [`OprfError::IdentityElement`] for an input nobody knows.
pub fn input_element(input: &[u8]) -> Result<Element, OprfError> {
    suite::hash_to_group(suite::Mode::Voprf, input)
}
