//! What the engine asks of the ledger: build a block on this parent, judge this block, here is a finalized one.
//!
//! - **Place**: walk A6, mempool -> [`App::propose`] -> peers -> [`App::verify`] -> votes; `orchestrator` finalizes
//! - **Invariants**: nothing here panics; ledger work runs on threads for blocking work and never on the reactor
//! - **Security**: `verify` answers no only for what is invalid for ever; a clock that is ahead, or an ancestor that is not
//!   here yet, is waited for, because a no cannot be taken back
//! - **Source**: DESIGN.md section 5 "Empty blocks every 2-3 s, others at most 200 ms apart"; ADR 0002

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use commonware_actor::Feedback;
use commonware_consensus::{
    Application, Epochable as _, Reporter,
    marshal::{Update, ancestry::Ancestry},
    simplex::{scheme::ed25519::Scheme, types::Context as RoundContext},
};
use commonware_cryptography::{Digested, Digestible as _, ed25519::PublicKey, sha256::Digest};
use commonware_runtime::{Clock as _, tokio::Context};
use commonware_utils::channel::mpsc;
use futures::StreamExt as _;
use riskveil_exchange::policy::Policy;
use tracing::{debug, warn};

use super::{
    block_codec::{BlockLimit, EngineBlock},
    config,
};
use crate::{
    block::{Block, Header},
    error::BlockInvalid,
    ledger::Ledger,
    tx::Submission,
};

/// The consortium's ledger as the engine sees it.
#[derive(Clone)]
pub(super) struct App {
    ledger: Ledger,
    proposer: [u8; 32],
    limit: BlockLimit,
    commit_delay: Duration,
    empty_block: Duration,
    clock_skew: Duration,
}

impl App {
    /// An application over `ledger` that proposes under the engine key `proposer`.
    pub(super) fn new(ledger: Ledger, proposer: [u8; 32], policy: &Policy) -> Self {
        Self {
            ledger,
            proposer,
            limit: config::block_limit(policy),
            commit_delay: Duration::from_millis(policy.commit_delay_ms),
            empty_block: Duration::from_millis(policy.empty_block_ms),
            clock_skew: Duration::from_secs(policy.clock_skew_s),
        }
    }

    /// Waits until the block after `parent` is due, and returns what it shall carry: `commit_delay_ms` after the parent when
    /// there is work, `empty_block_ms` after it when there is none. A parent from a clock ahead of ours delays us no longer
    /// than one that was made now. None if `parent` is not on the ledger's branch (any more).
    async fn wait_until_due(
        &self,
        clock: &Context,
        parent: &Header,
        ancestors: &[Arc<Block>],
    ) -> Option<Vec<Submission>> {
        let since_parent = Duration::from_millis(now_ms().saturating_sub(parent.time_ms));
        clock.sleep(self.commit_delay.saturating_sub(since_parent)).await;
        let idle = self.empty_block.saturating_sub(since_parent.max(self.commit_delay));
        let give_up = tokio::time::Instant::now() + idle;
        let mut changes = self.ledger.mempool().changes();
        loop {
            changes.borrow_and_update();
            let candidates = self.candidates(parent, ancestors).await?;
            // The pool tells of every arrival, and lives as long as the ledger.
            if !candidates.is_empty() || tokio::time::timeout_at(give_up, changes.changed()).await.is_err() {
                return Some(candidates);
            }
        }
    }

    async fn candidates(&self, parent: &Header, ancestors: &[Arc<Block>]) -> Option<Vec<Submission>> {
        if self.ledger.mempool().is_empty() {
            return Some(Vec::new());
        }
        let (ledger, parent, ancestors) = (self.ledger.clone(), parent.clone(), ancestors.to_vec());
        let candidates = tokio::task::spawn_blocking(move || ledger.candidates(&parent, &ancestors));
        candidates.await.ok()?.ok()
    }

    /// The ancestors that the ledger has not finalized, oldest first. The first block of `ancestry` is the newest.
    async fn unfinalized(&self, mut ancestry: impl Ancestry<EngineBlock>) -> Vec<Arc<Block>> {
        let mut ancestors = Vec::new();
        while ancestry.peek().is_none_or(|block| self.is_unfinalized(block.inner())) {
            match ancestry.next().await {
                Some(block) if self.is_unfinalized(block.inner()) => ancestors.push(block.inner().block().clone()),
                _ => break,
            }
        }
        ancestors.reverse();
        ancestors
    }

    fn is_unfinalized(&self, block: &EngineBlock) -> bool {
        block.block().header.height > self.ledger.view().header.height
    }

    /// Builds the block after `parent` on a thread for blocking work.
    async fn build(
        &self,
        parent: Header,
        ancestors: Vec<Arc<Block>>,
        submissions: Vec<Submission>,
    ) -> Option<EngineBlock> {
        let time_ms = now_ms().max(parent.time_ms.saturating_add(1));
        let (ledger, proposer) = (self.ledger.clone(), self.proposer);
        let built = tokio::task::spawn_blocking(move || {
            ledger.propose(&parent, &ancestors, time_ms, proposer, submissions).map(EngineBlock::new)
        });
        match built.await {
            Ok(Ok(block)) if block.encoded_len() <= self.limit.max_bytes => Some(block),
            Ok(Ok(block)) => {
                warn!(bytes = block.encoded_len(), "a block larger than the limit was built and is not proposed");
                None
            }
            Ok(Err(error)) => {
                debug!(%error, "no block was built");
                None
            }
            Err(_) => {
                warn!("building a block was interrupted");
                None
            }
        }
    }
}

impl Application<Context> for App {
    type SigningScheme = Scheme;
    type Context = RoundContext<Digest, PublicKey>;
    type Block = EngineBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (clock, _round): (Context, Self::Context),
        ancestry: impl Ancestry<EngineBlock>,
        _: (),
    ) -> Option<Digested<EngineBlock>> {
        let parent = ancestry.peek()?.inner().block().header.clone();
        let ancestors = self.unfinalized(ancestry).await;
        let submissions = self.wait_until_due(&clock, &parent, &ancestors).await?;
        let block = self.build(parent, ancestors, submissions).await?;
        let digest = block.digest();
        Some(Digested::precomputed(block, digest))
    }

    async fn verify(
        &mut self,
        (clock, round): (Context, Self::Context),
        mut ancestry: impl Ancestry<EngineBlock>,
    ) -> bool {
        // A stream that ends early is one that the engine gave up on: no verdict.
        let (Some(block), Some(parent)) = (ancestry.next().await, ancestry.peek().cloned()) else {
            return futures::future::pending().await;
        };
        let block = block.inner().block().clone();
        let parent = parent.inner().block().header.clone();
        if !belongs_to_round(&block.header, round.epoch().get(), round.leader.as_ref()) {
            return false;
        }
        let ahead = Duration::from_millis(block.header.time_ms.saturating_sub(now_ms()));
        clock.sleep(ahead.saturating_sub(self.clock_skew)).await;
        let ancestors = self.unfinalized(ancestry).await;
        let (ledger, height) = (self.ledger.clone(), block.header.height);
        let verdict = tokio::task::spawn_blocking(move || ledger.verify(&block, &parent, &ancestors));
        match verdict.await {
            Ok(Ok(())) => true,
            // The ledger's tip has left this branch: whoever asks is late, and gives up by itself.
            Ok(Err(BlockInvalid::Ancestors)) | Err(_) => futures::future::pending().await,
            Ok(Err(reason)) => {
                warn!(%height, %reason, "a proposed block is invalid");
                false
            }
        }
    }
}

/// Takes finalized blocks from the engine, in order of height and at least once.
#[derive(Clone)]
pub(super) struct Sink(pub(super) mpsc::UnboundedSender<Update<EngineBlock>>);

impl Reporter for Sink {
    type Activity = Update<EngineBlock>;

    fn report(&mut self, update: Self::Activity) -> Feedback {
        match self.0.send(update) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

/// Whether the header is of this term and names the leader that the engine elected for this view.
fn belongs_to_round(header: &Header, term: u64, leader: &[u8]) -> bool {
    header.term == term && header.proposer.as_slice() == leader
}

/// Unix time in milliseconds; 0 before 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::block_codec::tests::block;

    #[test]
    fn a_block_of_another_term_or_proposer_does_not_belong_to_the_round() {
        let header = block(Vec::new()).header;
        assert!(belongs_to_round(&header, 3, &[4; 32]));
        assert!(!belongs_to_round(&header, 2, &[4; 32]));
        assert!(!belongs_to_round(&header, 3, &[5; 32]));
    }
}
