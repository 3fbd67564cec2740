//! The leaves of a log window: 32 bytes that only the two parties and the regulator can match.
//!
//! - **Place**: B8; entry -> leaf -> `audit::window` -> chain
//! - **Security**: an envelope's salt is 32 random bytes, so a leaf says nothing to whoever lacks the envelope; the lender's
//!   and the responder's leaf of one envelope differ
//! - **Source**: DESIGN.md section 4, "Request, response, log"

use riskveil_crypto::digest::hash;
use riskveil_crypto::{Digest32, SecretBytes};

use crate::dst;

/// The lender's leaf of an envelope.
#[must_use]
pub fn query_leaf(salt: &[u8; 32], envelope_digest: &Digest32) -> Digest32 {
    hash(dst::QUERY_LEAF, &[salt, envelope_digest.as_bytes()])
}

/// The responder's leaf of an envelope.
#[must_use]
pub fn receipt_leaf(salt: &[u8; 32], envelope_digest: &Digest32) -> Digest32 {
    hash(dst::RECEIPT_LEAF, &[salt, envelope_digest.as_bytes()])
}

/// Padding leaf `index` of a window; the seed is in the window's sealed blob.
#[must_use]
pub fn pad_leaf(seed: &SecretBytes<32>, index: u32) -> Digest32 {
    seed.expose(|seed| hash(dst::PAD_LEAF, &[seed, &index.to_le_bytes()]))
}
