//! The headers of a draft, from a running node: runs to the next certificate, and the boundary of every term.

use std::collections::BTreeSet;
use std::time::Duration;

use riskveil_exchange::ids::Height;

use super::{BuildError, HeaderParts};
use crate::block::Header;
use crate::evidence::format::{Blob, CertifiedHeader, HeaderChain};
use crate::node::{FinalityProof, Node};

/// How long a certificate at or above the tip is waited for; an idle chain makes a block every few seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Headers and certificates for these heights; waits until the newest of them is certified.
///
/// # Errors
/// [`BuildError::NotFinal`].
pub async fn headers(node: &Node, heights: &BTreeSet<Height>) -> Result<HeaderParts, BuildError> {
    let mut parts = HeaderParts::default();
    let (mut covered, mut last_term) = (None, 0);
    for height in heights {
        if covered.is_some_and(|covered| *height <= covered) {
            continue;
        }
        let proof = finality(node, *height).await?;
        let certified = proof.headers.last().ok_or(BuildError::NotFinal(*height))?;
        (covered, last_term) = (Some(certified.height), certified.term.max(last_term));
        parts.chains.push(HeaderChain { headers: encode(&proof.headers), certificate: Blob(proof.certificate) });
    }
    let term_blocks = node.ledger().genesis().policy.term_blocks;
    for term in 0..last_term {
        let height = Height(term.saturating_add(1).saturating_mul(term_blocks).saturating_sub(1));
        let proof = node.finality(height).await.ok_or(BuildError::NotFinal(height))?;
        // no block of a term follows its last one, so its certificate is its own
        let [header] = proof.headers.as_slice() else { return Err(BuildError::NotFinal(height)) };
        parts.boundaries.push(CertifiedHeader { header: Blob(header.encode()), certificate: Blob(proof.certificate) });
    }
    Ok(parts)
}

async fn finality(node: &Node, height: Height) -> Result<FinalityProof, BuildError> {
    let mut changes = node.ledger().watch();
    let certified = async {
        loop {
            changes.borrow_and_update();
            if let Some(proof) = node.finality(height).await {
                return Some(proof);
            }
            changes.changed().await.ok()?;
        }
    };
    let found = tokio::time::timeout(PATIENCE, certified).await.ok().flatten();
    found.ok_or(BuildError::NotFinal(height))
}

fn encode(headers: &[Header]) -> Vec<Blob> {
    headers.iter().map(|header| Blob(header.encode())).collect()
}
