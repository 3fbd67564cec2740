//! Runs one consensus instance per term and hands finalized blocks to the ledger.
//!
//! - **Place**: marshal's finalized blocks -> [`Ledger::finalize`] -> acknowledgement; boundary block -> next term
//! - **Invariants**: a block is acknowledged only after the ledger holds it durably; the committee of term e+1 is the one in
//!   the last block of term e; instances older than the last two terms leave no files
//! - **Errors**: [`NodeError::Ledger`] (disk: the node stops, and the block is delivered again at the next start),
//!   [`NodeError::ArchiveIncomplete`] (disk: the archive lost a block)
//! - **Source**: ENGINE.md "Wiring", step 7

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use commonware_consensus::{
    marshal::{
        Update,
        core::Mailbox,
        standard::{Inline, Standard},
    },
    simplex::{
        self,
        config::{Floor, ForwardPolicy, SkipBudget, SkipPolicy},
        elector::RoundRobin,
        scheme::ed25519::Scheme,
    },
    types::{Epoch, Epocher as _, FixedEpocher, Height as EngineHeight, ViewDelta},
};
use commonware_cryptography::{
    Digestible as _, Sha256, Signer as _,
    certificate::{Provider, Scoped},
    ed25519::{PrivateKey, PublicKey},
    sha256::Digest,
};
use commonware_p2p::{
    Address, AddressableManager as _, AddressableTrackedPeers,
    authenticated::lookup::{self, Oracle},
    utils::mux::{Builder as _, MuxHandle, Muxer},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, Storage as _, Supervisor as _, buffer::paged::CacheRef, tokio::Context};
use commonware_utils::{Acknowledgement as _, NonZeroDuration, channel::mpsc, ordered::Map, vec::NonEmptyVec};
use riskveil_exchange::ids::Height;
use tracing::{info, warn};

use super::{
    app::{App, now_ms},
    block_codec::EngineBlock,
    certificate::participants,
    config::{self, Timeouts},
    latency::FinalityLatency,
};
use crate::{ledger::Ledger, node::NodeError};

/// Marshal's mailbox: the block archive of this node.
pub(crate) type Archive = Mailbox<Scheme, Standard<EngineBlock>>;
/// The ledger behind the engine's own checks of parent, height and term.
pub(super) type Automaton = Inline<Context, Scheme, App, EngineBlock, FixedEpocher>;
type Mux = MuxHandle<lookup::Sender<PublicKey, Context>>;
/// Both directions of one channel of the peer network.
pub(super) type Channel = (lookup::Sender<PublicKey, Context>, lookup::Receiver<PublicKey>);

/// Term -> the scheme that signs (members of its committee) or only verifies (everyone else).
#[derive(Clone)]
pub(super) struct Schemes {
    namespace: Vec<u8>,
    key: PrivateKey,
    known: Arc<RwLock<BTreeMap<Epoch, Arc<Scheme>>>>,
}

impl Schemes {
    pub(super) fn new(namespace: Vec<u8>, key: PrivateKey) -> Self {
        Self { namespace, key, known: Arc::default() }
    }

    /// Adds the committee of a term; none if it is not a committee.
    pub(super) fn insert(&self, epoch: Epoch, committee: &[[u8; 32]]) -> Option<Arc<Scheme>> {
        let set = participants(committee)?;
        let scheme = Scheme::signer(&self.namespace, set.clone(), self.key.clone())
            .unwrap_or_else(|| Scheme::verifier(&self.namespace, set));
        let scheme = Arc::new(scheme);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(epoch, scheme.clone());
        Some(scheme)
    }
}

impl Provider for Schemes {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(&epoch).cloned().map(Scoped::scheme)
    }
}

/// Everything that an orchestrator holds for its life.
pub(super) struct Orchestrator {
    pub(super) key: PrivateKey,
    pub(super) peers: Vec<(PublicKey, Address)>,
    pub(super) oracle: Oracle<PublicKey>,
    pub(super) archive: Archive,
    pub(super) schemes: Schemes,
    pub(super) automaton: Automaton,
    pub(super) epocher: FixedEpocher,
    pub(super) cache: CacheRef,
    pub(super) timeouts: Timeouts,
    pub(super) ledger: Ledger,
    pub(super) latency: Arc<FinalityLatency>,
    pub(super) directory: PathBuf,
}

/// The channels of the peer network that consensus instances share.
pub(super) struct Channels {
    pub(super) votes: Channel,
    pub(super) certificates: Channel,
    pub(super) resolver: Channel,
}

struct Muxes {
    votes: Mux,
    certificates: Mux,
    resolver: Mux,
}

/// A term that is about to start.
struct Term {
    epoch: Epoch,
    committee: Vec<[u8; 32]>,
    /// Digest of the last block of the term before; of the genesis block for term 0.
    boundary: Digest,
}

impl Orchestrator {
    /// Enters the term that holds the next height and runs until marshal ends or the ledger fails.
    pub(super) async fn run(
        mut self,
        context: &Context,
        channels: Channels,
        mut updates: mpsc::UnboundedReceiver<Update<EngineBlock>>,
        genesis: EngineBlock,
        processed: Height,
    ) -> Result<(), NodeError> {
        let (votes, certificates) = (channels.votes, channels.certificates);
        let (mux, votes, mut late_votes) =
            Muxer::builder(context.child("vote_mux"), votes.0, votes.1).with_backup().build();
        mux.start();
        let (mux, certificates, mut late_certificates) =
            Muxer::builder(context.child("certificate_mux"), certificates.0, certificates.1).with_backup().build();
        mux.start();
        let (mux, resolver) = Muxer::new(context.child("resolver_mux"), channels.resolver.0, channels.resolver.1);
        mux.start();
        let mut muxes = Muxes { votes, certificates, resolver };

        let term = self.resume(&genesis, processed.next()).await?;
        let mut epoch = term.epoch;
        let mut instance = self.enter(context, &mut muxes, term).await?;
        let outcome = loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                Some((other, (from, _))) = late_votes.recv() => {
                    self.catch_up(epoch, other, from);
                    continue;
                }
                Some((other, (from, _))) = late_certificates.recv() => {
                    self.catch_up(epoch, other, from);
                    continue;
                }
            };
            let (block, acknowledgement) = match update {
                Some(Update::Block(block, acknowledgement)) => (block.inner().clone(), acknowledgement),
                Some(Update::Tip(..)) => continue,
                None => break Err(NodeError::Engine { reason: "the block archive stopped".into() }),
            };
            if let Err(error) = self.finalize(&block).await {
                break Err(error);
            }
            let height = EngineHeight::new(block.block().header.height.0);
            if self.epocher.last(epoch) == Some(height) {
                let Some(committee) = block.block().header.next_committee.clone() else {
                    break Err(NodeError::ArchiveIncomplete { height: block.block().header.height });
                };
                let term = Term { epoch: epoch.next(), committee, boundary: block.digest() };
                epoch = term.epoch;
                let fresh = self.enter(context, &mut muxes, term).await?;
                instance.abort();
                instance = fresh;
            }
            acknowledgement.acknowledge();
        };
        instance.abort();
        outcome
    }

    /// Traffic of a later term tells that this node is behind: the sender is asked for the end of this term.
    fn catch_up(&self, epoch: Epoch, other: u64, from: PublicKey) {
        if let (true, Some(last)) = (other > epoch.get(), self.epocher.last(epoch)) {
            self.archive.hint_finalized(last, NonEmptyVec::new(from));
        }
    }

    /// The term that holds height `next`; all committees up to it come from the archive's boundary blocks.
    async fn resume(&self, genesis: &EngineBlock, next: Height) -> Result<Term, NodeError> {
        let reached = self.epocher.containing(EngineHeight::new(next.0)).map_or(0, |info| info.epoch().get());
        let incomplete = |height: u64| NodeError::ArchiveIncomplete { height: Height(height) };
        let mut boundary = genesis.clone();
        for epoch in 0..=reached {
            let committee = boundary.block().header.next_committee.clone();
            let committee = committee.ok_or(incomplete(boundary.block().header.height.0))?;
            self.schemes.insert(Epoch::new(epoch), &committee).ok_or(incomplete(boundary.block().header.height.0))?;
            if epoch == reached {
                return Ok(Term { epoch: Epoch::new(epoch), committee, boundary: boundary.digest() });
            }
            let last = self.epocher.last(Epoch::new(epoch)).ok_or(incomplete(next.0))?;
            let block = self.archive.get_block(last).await.ok_or(incomplete(last.get()))?;
            boundary = block.inner().clone();
        }
        Err(incomplete(next.0))
    }

    /// Registers the term's scheme, tells the peer network who counts, and starts the term's consensus instance.
    async fn enter(&mut self, context: &Context, muxes: &mut Muxes, term: Term) -> Result<Handle<()>, NodeError> {
        let Term { epoch, committee, boundary } = term;
        let closed = |_| NodeError::Engine { reason: "the peer network stopped".into() };
        let no_committee = NodeError::Engine { reason: "a term has no committee".into() };
        let scheme = self.schemes.insert(epoch, &committee).ok_or(no_committee)?;
        self.track(epoch, &committee);
        let timeouts = self.timeouts;
        let instance = simplex::Engine::new(
            context.child("simplex").with_attribute("epoch", epoch),
            simplex::Config {
                scheme: scheme.as_ref().clone(),
                elector: RoundRobin::<Sha256>::default(),
                blocker: self.oracle.clone(),
                automaton: self.automaton.clone(),
                relay: self.automaton.clone(),
                reporter: self.automaton.clone(),
                strategy: Sequential,
                partition: partition(epoch),
                mailbox_size: config::MAILBOX,
                epoch,
                floor: Floor::Genesis(boundary),
                replay_buffer: config::REPLAY_BUFFER,
                write_buffer: config::KEY_BUFFER,
                page_cache: self.cache.clone(),
                leader_timeout: timeouts.leader,
                certification_timeout: timeouts.certification,
                timeout_retry: timeouts.retry,
                view_retention: ViewDelta::new(config::VIEW_RETENTION),
                skip: SkipPolicy::Enabled { timeout: timeouts.skip, budget: SkipBudget::Participants },
                fetch_timeout: NonZeroDuration::new_panic(timeouts.fetch),
                fetch_retry_delay: timeouts.fetch_retry,
                forward: ForwardPolicy::SilentVoters,
                track_historical_votes: false,
            },
        );
        let votes = muxes.votes.register(epoch.get()).await.map_err(closed)?;
        let certificates = muxes.certificates.register(epoch.get()).await.map_err(closed)?;
        let resolver = muxes.resolver.register(epoch.get()).await.map_err(closed)?;
        self.remove_outdated(context, epoch).await;
        let me = self.key.public_key();
        let signs = committee.iter().any(|key| key.as_slice() == me.as_ref());
        info!(term = epoch.get(), validators = committee.len(), signs, "entered a term");
        Ok(instance.start(votes, certificates, resolver))
    }

    /// The committee drives progress; every other member follows it.
    fn track(&mut self, epoch: Epoch, committee: &[[u8; 32]]) {
        let votes = |peer: &&(PublicKey, Address)| committee.iter().any(|key| key.as_slice() == peer.0.as_ref());
        let primary = Map::from_iter_dedup(self.peers.iter().filter(votes).cloned());
        let secondary = Map::from_iter_dedup(self.peers.iter().filter(|peer| !votes(peer)).cloned());
        self.oracle.track(epoch.get(), AddressableTrackedPeers::new(primary, secondary));
    }

    /// Hands a finalized block to the ledger on a thread for blocking work; it is durable when this returns.
    async fn finalize(&self, block: &EngineBlock) -> Result<(), NodeError> {
        let (ledger, body) = (self.ledger.clone(), block.block().clone());
        let height = body.header.height;
        match tokio::task::spawn_blocking(move || ledger.finalize(&body)).await {
            Ok(Ok(())) => self.latency.record(block.block().header.time_ms, now_ms()),
            Ok(Err(source)) => return Err(NodeError::Ledger { height, source: Arc::new(source) }),
            Err(_) => return Err(NodeError::Engine { reason: format!("the ledger gave up at block {height}") }),
        }
        Ok(())
    }

    /// Removes the vote journals of terms more than two behind; failing to leaves only files behind.
    async fn remove_outdated(&self, context: &Context, epoch: Epoch) {
        for name in outdated(&self.directory, epoch) {
            if let Err(error) = context.remove(&name, None).await {
                warn!(%name, %error, "an old vote journal could not be removed");
            }
        }
    }
}

fn partition(epoch: Epoch) -> String {
    format!("simplex-{epoch}")
}

/// The vote journals in `directory` of terms below `epoch - 2`.
fn outdated(directory: &std::path::Path, epoch: Epoch) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let term = |name: &str| name.strip_prefix("simplex-")?.parse::<u64>().ok();
    names.filter(|name| term(name).is_some_and(|term| term.saturating_add(2) < epoch.get())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_vote_journals_more_than_two_terms_behind_are_outdated() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["simplex-0", "simplex-1", "simplex-2", "simplex-3", "simplex-x", "blocks-value"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut names = outdated(directory.path(), Epoch::new(4));
        names.sort();
        assert_eq!(names, ["simplex-0", "simplex-1"]);
        assert!(outdated(directory.path(), Epoch::new(2)).is_empty());
        assert!(outdated(&directory.path().join("missing"), Epoch::new(9)).is_empty());
    }
}
