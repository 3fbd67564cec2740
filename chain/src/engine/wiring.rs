//! Starts everything a node runs inside the engine's runtime, in order, and waits for it to end.
//!
//! - **Place**: `node::Node::start` -> peer network, block archive, replay, marshal, `orchestrator`
//! - **Invariants**: the ledger has every block of the archive before the node serves or votes; one node per directory
//! - **Errors**: [`NodeError`]; each ends the node
//! - **Source**: ENGINE.md "Wiring"

use std::{net::SocketAddr, num::NonZeroU64, path::PathBuf, sync::Arc};

use commonware_broadcast::buffered;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::{
    marshal::{
        self, Start,
        core::Actor as Marshal,
        resolver::p2p as backfill,
        standard::{Inline, Standard},
    },
    simplex::{self, scheme::ed25519::Scheme, types::Finalization},
    types::{Epoch, FixedEpocher, Height as EngineHeight, ViewDelta},
};
use commonware_cryptography::{
    Digested, Digestible as _, Signer as _,
    certificate::Verifier as _,
    ed25519::{PrivateKey, PublicKey},
    sha256::Digest,
};
use commonware_p2p::{Address, Ingress, authenticated::lookup, utils::mux::prefixed};
use commonware_parallel::Sequential;
use commonware_runtime::{Supervisor as _, buffer::paged::CacheRef, tokio::Context};
use commonware_storage::archive::{Archive as _, Identifier, immutable};
use commonware_utils::{Hostname, NZU64, NZUsize, NonZeroDuration, channel::mpsc};
use riskveil_crypto::SecretBytes;
use riskveil_exchange::{ids::Height, member::Member};
use tracing::info;

use super::{
    app::{App, Sink, now_ms},
    block_codec::{BlockLimit, EngineBlock},
    certificate::public_key,
    config::{self, MAX_VALIDATORS, Timeouts, channel},
    latency::FinalityLatency,
    orchestrator::{Archive, Channels, Orchestrator, Schemes},
};
use crate::{block::Block, ledger::Ledger, node::NodeError};

type Finalizations = immutable::Archive<Context, Digest, Finalization<Scheme, Digest>>;
type Blocks = immutable::Archive<Context, Digest, Arc<EngineBlock>>;

/// What a node is started with.
pub(crate) struct Setup {
    pub(crate) ledger: Ledger,
    /// The next height that the ledger wants from the block archive.
    pub(crate) replay_from: Height,
    pub(crate) key: PrivateKey,
    pub(crate) peers: Vec<(PublicKey, Address)>,
    pub(crate) listen: SocketAddr,
    /// The engine's own directory.
    pub(crate) directory: PathBuf,
}

/// What a started node hands out.
#[derive(Clone)]
pub(crate) struct Started {
    pub(crate) archive: Archive,
    pub(crate) latency: Arc<FinalityLatency>,
}

impl Started {
    /// The finalized block of a height in this node's archive.
    pub(crate) async fn block(&self, height: Height) -> Option<Arc<Block>> {
        let block = self.archive.get_block(EngineHeight::new(height.0)).await?;
        Some(block.inner().block().clone())
    }

    /// The certificate of exactly this height, if this node has one.
    pub(crate) async fn certificate(&self, height: Height) -> Option<Vec<u8>> {
        Some(self.archive.get_finalization(EngineHeight::new(height.0)).await?.encode().to_vec())
    }
}

/// The engine's signing key from its seed, if its public key is `expected`.
pub(crate) fn private_key(seed: &SecretBytes<32>, expected: &[u8; 32]) -> Option<PrivateKey> {
    let key = seed.expose(|seed| PrivateKey::decode(Copying(seed))).ok()?;
    (key.public_key().as_ref() == expected.as_slice()).then_some(key)
}

/// The peers that the genesis names.
pub(crate) fn peers(members: &[Member]) -> Result<Vec<(PublicKey, Address)>, NodeError> {
    let peer = |member: &Member| {
        let invalid = || NodeError::AddressInvalid { member: member.id.clone() };
        let key = public_key(member.engine_key.as_bytes()).ok_or_else(invalid)?;
        Ok((key, address(&member.engine_address).ok_or_else(invalid)?))
    };
    members.iter().map(peer).collect()
}

/// `host:port` as the engine dials it.
fn address(text: &str) -> Option<Address> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Address::Symmetric(socket));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let ingress = Ingress::Dns { host: Hostname::new(host).ok()?, port };
    // Connections from a member are known by its key and not by where they come from.
    Some(Address::Asymmetric { ingress, egress: SocketAddr::from(([0, 0, 0, 0], port)) })
}

/// Runs the node until it fails or `stop` resolves. `ready` is called once the ledger has replayed the archive.
pub(crate) async fn run(
    context: &Context,
    setup: Setup,
    ready: impl FnOnce(Started),
    stop: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    let ledger = setup.ledger.clone();
    let (policy, chain_id) = (ledger.genesis().policy.clone(), *ledger.chain_id());
    let limit = config::block_limit(&policy);
    let timeouts = Timeouts::of(&policy);
    let epocher = FixedEpocher::new(NonZeroU64::new(policy.term_blocks).unwrap_or(NonZeroU64::MIN));
    let cache = config::page_cache();

    let (finalizations, blocks) = open_archives(context, &cache, limit).await?;
    replay(&ledger, &blocks, setup.replay_from).await?;
    // The last height up to which no block is missing.
    let archived = Height(blocks.next_gap(1).0.unwrap_or(0));
    let genesis = EngineBlock::new(ledger.genesis_block().clone());
    let schemes = Schemes::new(config::namespace(&chain_id), setup.key.clone());
    schemes
        .insert(Epoch::zero(), &ledger.genesis().validators())
        .ok_or(NodeError::Engine { reason: "the genesis has no committee".into() })?;
    let (marshal, archive, floor) = Marshal::init(
        context.child("marshal"),
        finalizations,
        blocks,
        marshal::Config {
            provider: schemes.clone(),
            epocher: epocher.clone(),
            start: Start::Genesis(Digested::precomputed(genesis.clone(), genesis.digest())),
            partition_prefix: "marshal".into(),
            mailbox_size: config::MAILBOX,
            view_retention: ViewDelta::new(config::VIEW_RETENTION),
            prunable_items_per_section: NZU64!(64),
            page_cache: cache.clone(),
            replay_buffer: config::REPLAY_BUFFER,
            key_write_buffer: config::KEY_BUFFER,
            value_write_buffer: config::VALUE_BUFFER,
            block_codec_config: limit,
            max_repair: NZUsize!(32),
            max_pending_acks: NZUsize!(8),
            strategy: Sequential,
        },
    )
    .await;
    let processed = Height(floor.processed().map_or(0, |processed| processed.height().get()));
    if processed > archived {
        return Err(NodeError::ArchiveIncomplete { height: archived.next() });
    }

    let max_message = commonware_p2p::max_message_size(&[
        prefixed(simplex::max_payload_size::<Scheme, Digest>(MAX_VALIDATORS)),
        marshal::max_payload_size::<Standard<EngineBlock>, Scheme>(MAX_VALIDATORS, &limit),
    ]);
    let network = config::network(setup.key.clone(), &chain_id, setup.listen, setup.peers.len(), max_message);
    let (mut network, oracle) = lookup::Network::new(context.child("network"), network);
    let channels = Channels {
        votes: network.register(channel::VOTES, config::small_quota()),
        certificates: network.register(channel::CERTIFICATES, config::small_quota()),
        resolver: network.register(channel::RESOLVER, config::small_quota()),
    };
    let block_channel = network.register(channel::BLOCKS, config::block_quota());
    let backfill_channel = network.register(channel::BACKFILL, config::block_quota());
    network.start();

    let me = setup.key.public_key();
    let resolver = backfill::init(
        context.child("backfill"),
        backfill::Config {
            public_key: me.clone(),
            peer_provider: oracle.clone(),
            blocker: oracle.clone(),
            mailbox_size: config::MAILBOX,
            fetch_timeout: NonZeroDuration::new_panic(timeouts.fetch),
            fetch_retry_delay: timeouts.fetch_retry,
            priority_requests: false,
            priority_responses: false,
        },
        backfill_channel,
    );
    let (broadcast, buffer) = buffered::Engine::new(
        context.child("broadcast"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: config::MAILBOX,
            deque_size: config::BROADCAST_DEQUE,
            priority: false,
            codec_config: limit,
            peer_provider: oracle.clone(),
            strategy: Sequential,
        },
    );
    broadcast.start(block_channel);
    let (sender, updates) = mpsc::unbounded_channel();
    marshal.start(Sink(sender), buffer, resolver);

    let mut proposer = [0; 32];
    proposer.copy_from_slice(me.as_ref());
    let application = App::new(ledger.clone(), proposer, &policy);
    let automaton = Inline::new(context.child("application"), application, archive.clone(), epocher.clone());
    let latency = Arc::new(FinalityLatency::since(now_ms()));
    let orchestrator = Orchestrator {
        key: setup.key,
        peers: setup.peers,
        oracle,
        archive: archive.clone(),
        schemes,
        automaton,
        epocher,
        cache,
        timeouts,
        ledger,
        latency: latency.clone(),
        directory: setup.directory,
    };
    ready(Started { archive, latency });
    tokio::select! {
        outcome = orchestrator.run(context, channels, updates, genesis, processed) => outcome,
        () = stop => Ok(()),
    }
}

async fn open_archives(
    context: &Context,
    cache: &CacheRef,
    limit: BlockLimit,
) -> Result<(Finalizations, Blocks), NodeError> {
    let failed = |error: commonware_storage::archive::Error| NodeError::Archive { reason: error.to_string() };
    let unbounded = Scheme::certificate_codec_config_unbounded();
    let certificates = config::archive("certificates", cache.clone(), unbounded);
    let finalizations = immutable::Archive::init(context.child("certificates"), certificates).await.map_err(failed)?;
    let blocks = config::archive("blocks", cache.clone(), limit);
    let blocks = immutable::Archive::init(context.child("blocks"), blocks).await.map_err(failed)?;
    Ok((finalizations, blocks))
}

/// Gives the ledger every archived block from `from` on.
async fn replay(ledger: &Ledger, blocks: &Blocks, from: Height) -> Result<(), NodeError> {
    let first = Height(from.0.max(1));
    let mut height = first;
    loop {
        let block = blocks.get(Identifier::Index(height.0)).await;
        let block = block.map_err(|error| NodeError::Archive { reason: error.to_string() })?;
        let Some(block) = block else { break };
        let (ledger, body) = (ledger.clone(), block.block().clone());
        match tokio::task::spawn_blocking(move || ledger.finalize(&body)).await {
            Ok(Ok(())) => {}
            Ok(Err(source)) => return Err(NodeError::Ledger { height, source: Arc::new(source) }),
            Err(_) => return Err(NodeError::Engine { reason: format!("the ledger gave up at block {height}") }),
        }
        height = height.next();
    }
    if height > first {
        info!(from = first.0, blocks = height.0 - first.0, "replayed the block archive into the ledger");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_sockets_or_host_names_with_a_port() {
        assert_eq!(address("127.0.0.1:7"), Some(Address::Symmetric(SocketAddr::from(([127, 0, 0, 1], 7)))));
        assert!(matches!(address("[::1]:7"), Some(Address::Symmetric(_))));
        assert!(matches!(address("node.bank.example:7"), Some(Address::Asymmetric { .. })));
        for bad in ["", "node", "node:", ":7", "node:99999", "no de:7", "-x:7"] {
            assert!(address(bad).is_none(), "{bad:?}");
        }
    }
}
