//! A running node: the engine on its own thread and runtime, and what the rest of the agent asks of it.
//!
//! - **Place**: walk A6; agent -> [`Node`] -> ledger, block archive, certificates
//! - **Shapes**: one thread `chain-engine` and `worker_threads` workers; a node of any member, validator or observer
//! - **Invariants**: when [`Node::start`] returns, the ledger has every block of this node's archive
//! - **Errors**: [`NodeError`]; after [`Node::stopped`] resolves nothing is finalized any more and the process must end
//! - **Security**: peers are authenticated by their engine keys in the genesis; no one else can connect
//! - **Source**: ADR 0002

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use riskveil_crypto::SecretBytes;
use riskveil_exchange::ids::{Height, MemberId};

use crate::{
    block::{Block, Header},
    engine::{
        config,
        thread::{self, Running},
        wiring::{self, Setup},
    },
    error::LedgerError,
    ledger::{Ledger, Opened},
};

/// Log target that says nothing worth reading; a filter can leave it out.
pub const NOISY_LOG_TARGET: &str = config::NOISY_AT_STOP;
/// Most headers between a height and the next certificate that [`Node::finality`] looks through.
pub const MAX_FINALITY_HEADERS: u64 = 512;

/// How a node is started.
#[derive(Debug)]
pub struct NodeConfig {
    /// Directory of the engine's journals and block archive; created if missing, for one node alone.
    pub dir: PathBuf,
    /// Seed of the engine key that the genesis names for `member`.
    pub engine_key: SecretBytes<32>,
    /// Who this node is.
    pub member: MemberId,
    /// Where the engine listens.
    pub listen: SocketAddr,
    /// Threads of the engine's runtime, at least 1.
    pub worker_threads: usize,
}

/// Why a node did not start, or ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The name is not in the genesis.
    #[error("{member} is not a member of this chain")]
    NotMember {
        /// The name.
        member: MemberId,
    },
    /// Another engine key than the genesis names.
    #[error("the engine key is not the one that the genesis names for {member}")]
    KeyMismatch {
        /// The member.
        member: MemberId,
    },
    /// An engine address or key of the genesis that cannot be dialled.
    #[error("the engine address or key of {member} in the genesis cannot be used")]
    AddressInvalid {
        /// The member.
        member: MemberId,
    },
    /// The port is taken, or not ours to listen on.
    #[error("the consensus engine cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The thread could not be started.
    #[error("the consensus engine's thread cannot be started: {source}")]
    Thread {
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The block archive cannot be read.
    #[error("the block archive cannot be read: {reason}")]
    Archive {
        /// What the engine's storage says (names and offsets of files).
        reason: String,
    },
    /// A block that this node had is gone.
    #[error(
        "the block archive has lost block {height}; restore the engine's directory, or delete it together with the \
             ledger's to fetch everything from the peers"
    )]
    ArchiveIncomplete {
        /// The block's height.
        height: Height,
    },
    /// The ledger could not take a finalized block.
    #[error("the ledger cannot take finalized block {height}: {source}")]
    Ledger {
        /// The block's height.
        height: Height,
        /// Why.
        source: Arc<LedgerError>,
    },
    /// The engine ended on its own.
    #[error("the consensus engine ended: {reason}")]
    Engine {
        /// What it said.
        reason: String,
    },
}

/// Headers from a height to the next certificate, and the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalityProof {
    /// Headers h, h+1, ..., H; each is the parent of the next.
    pub headers: Vec<Header>,
    /// Finality certificate of the last header; see [`crate::engine::certificate`].
    pub certificate: Vec<u8>,
}

/// A running node; clones are handles of the same node.
#[derive(Clone)]
pub struct Node {
    ledger: Ledger,
    running: Running,
}

impl Node {
    /// Starts the engine on its own thread, replays the block archive into the ledger, and joins the peers. Returns once the
    /// ledger has all that the archive has; that takes as long as the replay.
    ///
    /// # Errors
    /// [`NodeError`] when the member, its key or the port is wrong, or the directory cannot be used.
    pub fn start(config: NodeConfig, opened: Opened) -> Result<Self, NodeError> {
        let ledger = opened.ledger.clone();
        let worker_threads = config.worker_threads;
        let setup = setup(config, opened)?;
        check_port(setup.listen)?;
        let running = thread::spawn(setup, worker_threads)?;
        Ok(Self { ledger, running })
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The finalized block of a height; the genesis block for 0; none if this node does not have it.
    pub async fn block(&self, height: Height) -> Option<Block> {
        if height.0 == 0 {
            return Some(self.ledger.genesis_block().clone());
        }
        self.running.started.block(height).await.map(|block| block.as_ref().clone())
    }

    /// The finalized header of a height.
    pub async fn header(&self, height: Height) -> Option<Header> {
        if height.0 == 0 {
            return Some(self.ledger.genesis_block().header.clone());
        }
        self.running.started.block(height).await.map(|block| block.header.clone())
    }

    /// Headers from `height` to the next one that this node has a certificate of, and that certificate. None above the tip, for
    /// the genesis (final by itself), and when no certificate follows within [`MAX_FINALITY_HEADERS`].
    pub async fn finality(&self, height: Height) -> Option<FinalityProof> {
        if height.0 == 0 {
            return None;
        }
        let tip = self.ledger.view().header.height.0;
        let last = tip.min(height.0.saturating_add(MAX_FINALITY_HEADERS - 1));
        let mut headers = Vec::new();
        for at in height.0..=last {
            headers.push(self.header(Height(at)).await?);
            if let Some(certificate) = self.running.started.certificate(Height(at)).await {
                return Some(FinalityProof { headers, certificate });
            }
        }
        None
    }

    /// Asks the engine to end; [`Node::stopped`] tells when it has.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Waits until the engine has ended: after [`Node::stop`] without an error, or with the reason it ended for.
    ///
    /// # Errors
    /// [`NodeError::Ledger`] when a finalized block could not be written, [`NodeError::Engine`] when the engine failed.
    pub async fn stopped(&self) -> Result<(), NodeError> {
        self.running.ended().await
    }

    /// The engine's metrics as Prometheus text; empty once it has ended.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.running.metrics()
    }

    /// Recent times from a block's header time to its durable finalization here, oldest first, ms; at most 1024, and only of
    /// blocks made since this node started.
    #[must_use]
    pub fn finality_latency(&self) -> Vec<u64> {
        self.running.started.latency.samples()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").finish_non_exhaustive()
    }
}

/// Checks who this node is and gathers what the engine starts with.
fn setup(config: NodeConfig, opened: Opened) -> Result<Setup, NodeError> {
    let Opened { ledger, replay_from } = opened;
    let NodeConfig { dir: directory, engine_key, member, listen, .. } = config;
    let Some(named) = ledger.genesis().member(&member) else { return Err(NodeError::NotMember { member }) };
    let Some(key) = wiring::private_key(&engine_key, named.engine_key.as_bytes()) else {
        return Err(NodeError::KeyMismatch { member });
    };
    let peers = wiring::peers(&ledger.genesis().members)?;
    Ok(Setup { ledger, replay_from, key, peers, listen, directory })
}

/// Whether the engine can listen there: it would panic if not.
fn check_port(address: SocketAddr) -> Result<(), NodeError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(NodeError::Listen { address, source: Arc::new(source) }),
    }
}
