//! How many bytes the finalized blocks take, counted in the background from this member's own archive.

use std::sync::atomic::{AtomicU64, Ordering};

use riskveil_chain::node::Node;
use riskveil_exchange::ids::Height;

/// Bytes of finalized blocks so far.
#[derive(Debug, Default)]
pub struct ChainFigures {
    bytes: AtomicU64,
}

impl ChainFigures {
    /// Encoded headers, transactions and payloads of the blocks counted so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts every block from the first on, and follows the tip.
    pub async fn follow(&self, node: &Node) {
        let mut tip = node.ledger().watch();
        let mut next = Height(1);
        loop {
            let final_height = *tip.borrow_and_update();
            while next <= final_height {
                // a block that is final but not in the archive yet is there with the next one
                let Some(block) = node.block(next).await else { break };
                self.bytes.fetch_add(block.encode().len() as u64, Ordering::Relaxed);
                next = next.next();
            }
            if tip.changed().await.is_err() {
                return;
            }
        }
    }
}
