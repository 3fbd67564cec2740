//! What every node of a chain must hold equal about the engine, and what each may choose.
//!
//! - **Place**: genesis policy -> `engine::wiring`
//! - **Invariants**: channels, limits, page size and items per section are fixed for the life of a chain: the first two are
//!   wire format, the last two are disk format. Timeouts follow from the policy's pacing: the leader's exceeds `empty_block_ms`
//! - **Source**: ENGINE.md "Wiring" and "Traps"; ADR 0002

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use commonware_cryptography::{ChaCha20Poly1305, ed25519::PrivateKey};
use commonware_p2p::authenticated::lookup;
use commonware_runtime::{Quota, buffer::paged::CacheRef, buffer::paged::page_size};
use commonware_storage::archive::immutable;
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZU64, NZUsize};
use riskveil_crypto::Digest32;
use riskveil_exchange::policy::Policy;

use super::block_codec::BlockLimit;
use crate::dst;

/// Most validators in a committee; sizes the largest certificate.
pub(crate) const MAX_VALIDATORS: u32 = 100;
/// Log target of the engine that calls it an error when its parts see each other's mailboxes close, as they do at every stop.
pub(crate) const NOISY_AT_STOP: &str = "commonware_resolver::p2p";
/// Room in an encoded block for header and lengths beside transactions and payloads, bytes.
const HEADER_ROOM: u64 = 64 * 1024;
/// Messages waiting in one actor's mailbox before its overflow rule applies.
pub(super) const MAILBOX: NonZeroUsize = NZUsize!(256);
/// Views of past activity a node keeps for peers that lag.
pub(super) const VIEW_RETENTION: u64 = 256;
/// Proposals of one peer kept while they wait for votes.
pub(super) const BROADCAST_DEQUE: usize = 4;
/// Bytes of pages kept of all journals together: 512 pages of 4 KiB.
const CACHE_PAGES: NonZeroUsize = NZUsize!(512);
/// Bytes read ahead when a journal is replayed at start.
pub(super) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 18);
/// Bytes collected before keys are written.
pub(super) const KEY_BUFFER: NonZeroUsize = NZUsize!(1 << 14);
/// Bytes collected before values are written.
pub(super) const VALUE_BUFFER: NonZeroUsize = NZUsize!(1 << 18);

/// Channel numbers of the peer network; wire format.
pub(super) mod channel {
    pub(crate) const VOTES: u64 = 0;
    pub(crate) const CERTIFICATES: u64 = 1;
    pub(crate) const RESOLVER: u64 = 2;
    pub(crate) const BLOCKS: u64 = 3;
    pub(crate) const BACKFILL: u64 = 4;
}

/// What the engine's signatures and handshakes are bound to: our tag and the chain id.
pub(super) fn namespace(chain_id: &Digest32) -> Vec<u8> {
    [dst::ENGINE.as_bytes(), chain_id.as_bytes()].concat()
}

/// The largest encoded block that any node of this chain sends or accepts.
pub(crate) fn block_limit(policy: &Policy) -> BlockLimit {
    let bytes = policy.max_block_bytes.saturating_add(HEADER_ROOM);
    BlockLimit { max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX) }
}

/// How long a view may take; all follow from the policy, so all nodes of a chain agree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a proposal to arrive.
    pub(super) leader: Duration,
    /// For a view to be certified.
    pub(super) certification: Duration,
    /// Between repeated votes to skip a view.
    pub(super) retry: Duration,
    /// Silence after which a leader's views are skipped at once.
    pub(super) skip: Duration,
    /// For a peer to answer a request.
    pub(super) fetch: Duration,
    /// Between two attempts to fetch.
    pub(super) fetch_retry: Duration,
}

impl Timeouts {
    /// A proposer may wait `empty_block_ms`; a second more is for building and sending a full block, and another for checking it.
    pub(super) fn of(policy: &Policy) -> Self {
        let leader = Duration::from_millis(policy.empty_block_ms) + Duration::from_secs(1);
        let certification = leader + Duration::from_secs(1);
        Self {
            leader,
            certification,
            retry: Duration::from_secs(1),
            skip: certification + Duration::from_millis(500),
            fetch: Duration::from_secs(1),
            fetch_retry: Duration::from_millis(100),
        }
    }
}

/// Messages per second that a node takes from one peer on the small channels (votes, certificates, requests).
pub(super) fn small_quota() -> Quota {
    Quota::per_second(NZU32!(256))
}

/// Messages per second that a node takes from one peer on the channels that carry whole blocks.
pub(super) fn block_quota() -> Quota {
    Quota::per_second(NZU32!(128))
}

/// The peer network: encrypted, authenticated by engine keys, at home on private addresses and behind address translation.
pub(super) fn network(
    key: PrivateKey,
    chain_id: &Digest32,
    listen: SocketAddr,
    members: usize,
    max_message: u32,
) -> lookup::Config<Cups<Sake<PrivateKey>, ChaCha20Poly1305>> {
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: key,
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let peers = NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN);
    let mut config = lookup::Config::local(handshake, &namespace(chain_id), listen, peers, max_message, MAILBOX);
    config.bypass_ip_check = true;
    config.peer_connection_cooldown = Duration::from_millis(500);
    config.dial_frequency = Duration::from_millis(250);
    config.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(128));
    config.allowed_handshake_rate_per_subnet = Quota::per_second(NZU32!(256));
    config.tracked_peer_sets = NZUsize!(2);
    config.block_duration = Duration::from_secs(60);
    config
}

/// The page cache shared by all journals of a node; the page size is disk format.
pub(super) fn page_cache() -> CacheRef {
    CacheRef::new(page_size(4096), CACHE_PAGES)
}

/// One append-only archive by height and digest; never pruned. Sizes are disk format.
pub(super) fn archive<C>(name: &str, cache: CacheRef, codec: C) -> immutable::Config<C> {
    immutable::Config {
        metadata_partition: format!("{name}-metadata"),
        freezer_table_partition: format!("{name}-table"),
        freezer_table_initial_size: 1 << 12,
        freezer_table_resize_frequency: 4,
        freezer_table_resize_chunk_size: 1 << 12,
        freezer_key_partition: format!("{name}-key"),
        freezer_key_page_cache: cache,
        freezer_value_partition: format!("{name}-value"),
        freezer_value_target_size: 256 << 20,
        freezer_value_compression: None,
        ordinal_partition: format!("{name}-ordinal"),
        items_per_section: NZU64!(65_536),
        freezer_key_write_buffer: KEY_BUFFER,
        freezer_value_write_buffer: VALUE_BUFFER,
        ordinal_write_buffer: KEY_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        codec_config: codec,
    }
}
