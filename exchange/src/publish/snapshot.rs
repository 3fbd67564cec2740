//! The one digest that a `SealSnapshot` states and every replica recomputes.
//!
//! - **Place**: A7; batch roots in sequence order -> root
//! - **Source**: DESIGN.md section 4, "Period boundary"

use riskveil_crypto::{Digest32, merkle};

/// The Merkle root over the batch roots 0..n, one leaf of 32 bytes a batch.
#[must_use]
pub fn snapshot_root(batch_roots: &[Digest32]) -> Digest32 {
    let leaves: Vec<Digest32> = batch_roots.iter().map(|root| merkle::leaf_hash(root.as_bytes())).collect();
    merkle::root_of_hashes(&leaves)
}
