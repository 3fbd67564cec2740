//! Starts an agent in order, says when it is ready, stops it in order.
//!
//! ```text
//! lock -> keys -> genesis -> ports -> ledger -> node -> peers -> outbox -> journals -> routes -> tasks
//! ```
//!
//! - **Invariants**: no other member has to be up; nothing is served before the ledger has what its archive has
//! - **Errors**: [`CliError`] with one sentence: what fails at the start, the engine's end, a disk that refuses
//! - **Security**: keys are opened before any port; the local API listens where the configuration says, loopback by default

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use riskveil_chain::genesis::Genesis;
use riskveil_chain::ledger::Ledger;
use riskveil_chain::node::{Node, NodeConfig};
use riskveil_exchange::audit::entry::LogKind;
use riskveil_exchange::member::Member;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api;
use crate::api::auth::{TOKEN_FILE, Tokens};
use crate::cli::exit::{CliError, Exit};
use crate::clock::Clock;
use crate::config::{self, RangeProofWork, ValidConfig};
use crate::context::{Context, Lender};
use crate::figures::ChainFigures;
use crate::idempotency::{self, Requests};
use crate::keystore::{Keystore, Unlock};
use crate::leaf_watch::LeafWatch;
use crate::lock::DirLock;
use crate::outbox::Outbox;
use crate::peers::client::PeerClient;
use crate::peers::directory::Directory;
use crate::peers::server::{Limits, serve_local, serve_peers};
use crate::peers::tls::TlsIdentity;
use crate::period_keys::PeriodKeys;
use crate::ports;
use crate::query_log::{QueryLog, QueryLogKeys};
use crate::records::RecordBook;
use crate::regulator::Regulator;
use crate::responder::{ResponderMemory, Restored};
use crate::telemetry::{self, Metrics};
use crate::walks::commitments::{self, Prover};
use crate::walks::disclosures::{self, Disclosures};
use crate::walks::publisher::{self, Publisher};
use crate::walks::range_proofs::{self, RangeProofs};
use crate::walks::reports::Reports;
use crate::walks::screen::{self, Screenings};
use crate::walks::{ask::Traffic, jobs};
use crate::windows::WindowTask;

/// Name of the genesis file in an agent's directory.
pub const GENESIS_FILE: &str = "genesis.toml";
/// Name of the folder of journals.
pub const JOURNAL_DIR: &str = "journal";
/// Name of the folder of the replica.
pub const CHAIN_DIR: &str = "chain";

/// A disk with less than this left is full: one block of the engine's journal does not fit, bytes.
const FULL_BELOW_BYTES: u64 = 1 << 20;

/// Why a task ended the agent; none when it ended because the agent stops.
type Ended = Result<(), CliError>;

/// The sockets of an agent, held before anything else is started.
struct Sockets {
    api: TcpListener,
    peers: TcpListener,
}

/// Runs the agent of a directory until SIGINT or SIGTERM.
///
/// # Errors
/// [`CliError`].
pub async fn run(dir: &Path, json: bool) -> Result<(), CliError> {
    let signals =
        signal(SignalKind::interrupt()).and_then(|interrupt| Ok((interrupt, signal(SignalKind::terminate())?)));
    let (mut interrupt, mut terminate) = signals.map_err(|error| CliError::new(Exit::Io, error))?;
    let told = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    run_until(dir, json, told).await
}

/// Runs the agent of a directory until `told` is ready.
///
/// # Errors
/// [`CliError`].
pub async fn run_until(dir: &Path, json: bool, told: impl Future<Output = ()>) -> Result<(), CliError> {
    let config = config::load(dir)?;
    telemetry::init(config.log_format, config.log_level);
    let _lock = DirLock::acquire(dir)?;
    let keystore = Arc::new(Keystore::open(dir, &Unlock::obtain(config.key_protection, false)?)?);
    let genesis = read_genesis(dir)?;
    let member = own_entry(&genesis, &config, &keystore)?;
    let tokens = Arc::new(Tokens::load(&dir.join(TOKEN_FILE))?);
    let sockets = Sockets {
        api: ports::listen(config.api_listen, "api_listen in agent.toml")?,
        peers: ports::listen(config.peer_listen, "peer_listen in agent.toml")?,
    };
    ports::check_free(config.engine_listen, "engine_listen in agent.toml")?;
    let node = start_node(dir, &config, &keystore, genesis, &member)?;
    let (stop, stopping) = watch::channel(false);
    let (context, mut tasks) = assemble(dir, config, keystore, member, node.clone(), &stopping)?;
    serve(&context, &tokens, sockets, &stopping, &mut tasks)?;
    start_tasks(&context, &stopping, &mut tasks);
    announce(&context, json);
    let ended = until_stopped(&node, &mut tasks, told).await;
    tracing::info!("the agent stops");
    // the receivers are the tasks and servers that are left
    let _nobody_left = stop.send(true);
    node.stop();
    let stopped = node.stopped().await.map_err(|error| CliError::new(Exit::Io, error));
    tasks.shutdown().await;
    ended.and(stopped).map_err(|error| if is_full(dir) { disk_full(dir) } else { error })
}

/// Whether what the agent failed of is that nothing more can be written.
fn is_full(dir: &Path) -> bool {
    fs4::available_space(dir).is_ok_and(|free| free < FULL_BELOW_BYTES)
}

fn disk_full(dir: &Path) -> CliError {
    let dir = dir.display();
    CliError::new(
        Exit::Io,
        format_args!("the disk of {dir} is full; make room and start the agent again: nothing acknowledged is lost"),
    )
}

/// The genesis in the agent's directory.
///
/// # Errors
/// [`CliError`] when it is missing or breaks a rule.
pub fn read_genesis(dir: &Path) -> Result<Genesis, CliError> {
    let path = dir.join(GENESIS_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CliError::new(
            Exit::Usage,
            format_args!("{} is missing: copy the consortium's genesis.toml there", path.display()),
        ),
        _ => CliError::io(&path, &error),
    })?;
    Genesis::from_toml(&text).map_err(|error| CliError::new(Exit::Usage, format_args!("{}: {error}", path.display())))
}

/// The genesis entry of this agent, if it has this agent's name and keys.
pub(crate) fn own_entry(genesis: &Genesis, config: &ValidConfig, keystore: &Keystore) -> Result<Member, CliError> {
    let member = genesis.member(&config.member).ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            format_args!("{GENESIS_FILE} has no member {}; is it the right consortium's?", config.member),
        )
    })?;
    let keys = keystore.member().public();
    if (keys.identity, keys.tls, keys.engine) != (member.identity_key, member.tls_key, member.engine_key) {
        let sentence = format!("{GENESIS_FILE} names other keys for {} than keys/ holds", config.member);
        return Err(CliError::new(Exit::Key, sentence));
    }
    if member.roles.regulator && keystore.regulator().is_none() {
        return Err(CliError::new(Exit::Key, "keys/ holds no audit key, which a regulator needs"));
    }
    Ok(member.clone())
}

fn start_node(
    dir: &Path,
    config: &ValidConfig,
    keystore: &Keystore,
    genesis: Genesis,
    member: &Member,
) -> Result<Node, CliError> {
    let chain = dir.join(CHAIN_DIR);
    let opened = Ledger::open(&chain, genesis).map_err(|error| CliError::new(Exit::Io, error))?;
    let node = NodeConfig {
        dir: chain.join("engine"),
        engine_key: keystore.member().engine_seed.clone(),
        member: member.id.clone(),
        listen: config.engine_listen,
        worker_threads: config.engine_threads,
    };
    Node::start(node, opened).map_err(|error| CliError::new(Exit::Io, error))
}

/// Opens the journals and makes the handles that every route and task shares.
fn assemble(
    dir: &Path,
    config: ValidConfig,
    keystore: Arc<Keystore>,
    member: Member,
    node: Node,
    stopping: &watch::Receiver<bool>,
) -> Result<(Arc<Context>, JoinSet<Ended>), CliError> {
    let clock = Clock::system();
    let now_s = clock.now_s();
    let ledger = node.ledger().clone();
    let genesis = ledger.genesis();
    let journals = dir.join(JOURNAL_DIR);
    let setup = |error: crate::peers::tls::TlsSetupFailed| CliError::new(Exit::Key, error);
    let identity = TlsIdentity::from_seed(&keystore.member().tls_seed).map_err(setup)?;
    let peers = Arc::new(PeerClient::new(&identity, &Directory::new(genesis.members.iter().cloned())).map_err(setup)?);
    let metrics = Arc::new(Metrics::new());
    let leaf_watch = LeafWatch::new(genesis.policy.clone(), genesis.genesis_time_s);
    let mut restored = Restored::default();
    let keys = QueryLogKeys { queries: keystore.journal_key("queries"), receipts: keystore.journal_key("receipts") };
    let query_log = QueryLog::open(&journals, keys, genesis.policy.clone(), leaf_watch.clone(), |receipt| {
        restored.receipt(receipt, now_s);
    })
    .map_err(|error| CliError::new(Exit::Io, error))?;
    let publisher = if member.roles.publisher {
        let book = RecordBook::open(&journals, |name| keystore.journal_key(name));
        let prover = Prover::open(&journals, keystore.journal_key(commitments::JOURNAL_NAME));
        let book = book.map_err(|error| CliError::new(Exit::Io, error))?;
        Some(Publisher::new(book, prover.map_err(|error| CliError::new(Exit::Io, error))?))
    } else {
        None
    };
    let lender = if member.roles.lender {
        let jobs = jobs::Jobs::open(&journals, keystore.journal_key(jobs::JOURNAL_NAME))?;
        let reports = Reports::open(&journals, keystore.clone(), now_s)?;
        let disclosures = Disclosures::open(&journals, keystore.journal_key(disclosures::JOURNAL_NAME))?;
        let (screenings, traffic) = (Arc::new(Screenings::new(jobs)), Traffic::default());
        Some(Lender { reports, screenings, disclosures, traffic })
    } else {
        None
    };
    let range_proofs = RangeProofs::open(&journals, keystore.journal_key(range_proofs::JOURNAL_NAME))
        .map_err(|error| CliError::new(Exit::Io, error))?;
    let mut tasks = JoinSet::new();
    let outbox = Outbox::open(&journals, &keystore, member.id.clone(), ledger.clone())
        .map_err(|error| CliError::new(Exit::Io, error))?;
    let (sending, client, stop) = (outbox.clone(), peers.clone(), stopping.clone());
    let to = Directory::new(genesis.members.iter().cloned());
    tasks.spawn(async move { sending.run(client, &to, stop).await.map_err(|error| CliError::new(Exit::Io, error)) });
    let requests = Requests::open(&journals, keystore.journal_key(idempotency::JOURNAL_NAME), now_s)?;
    let regulator = Regulator::new(&member, node.clone(), outbox.clone(), keystore.clone());
    let context = Context {
        dir: dir.to_owned(),
        config,
        clock,
        chain_id: *ledger.chain_id(),
        period_keys: PeriodKeys::new(keystore.clone()),
        keystore,
        member,
        node,
        ledger,
        outbox,
        peers,
        query_log,
        leaf_watch,
        figures: ChainFigures::default(),
        metrics,
        responder: ResponderMemory::new(now_s, restored),
        requests,
        range_proofs,
        publisher,
        lender,
        regulator,
    };
    Ok((Arc::new(context), tasks))
}

fn serve(
    context: &Arc<Context>,
    tokens: &Arc<Tokens>,
    sockets: Sockets,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<Ended>,
) -> Result<(), CliError> {
    let listener = |socket| tokio::net::TcpListener::from_std(socket).map_err(|error| CliError::new(Exit::Io, error));
    let setup = |error: crate::peers::tls::TlsSetupFailed| CliError::new(Exit::Key, error);
    let directory = Arc::new(Directory::new(context.ledger.genesis().members.iter().cloned()));
    let identity = TlsIdentity::from_seed(&context.keystore.member().tls_seed).map_err(setup)?;
    let tls = identity.server_config(directory.clone()).map_err(setup)?;
    let (api, peers) = (listener(sockets.api)?, listener(sockets.peers)?);
    let local = api::local(context, tokens);
    let (routes, stop) = (api::peers(context), stopping.clone());
    tasks.spawn(async move {
        serve_peers(peers, tls, directory, routes, Limits::PEERS, stop).await;
        Ok(())
    });
    let stop = stopping.clone();
    tasks.spawn(async move {
        serve_local(api, local, Limits::LOCAL, stop).await;
        Ok(())
    });
    Ok(())
}

fn start_tasks(context: &Arc<Context>, stopping: &watch::Receiver<bool>, tasks: &mut JoinSet<Ended>) {
    let (watching, stop) = (context.clone(), stopping.clone());
    tasks.spawn(async move {
        watching.leaf_watch.clone().run(watching.node.clone(), stop).await;
        Ok(())
    });
    let counting = context.clone();
    tasks.spawn(async move {
        counting.figures.follow(&counting.node).await;
        std::future::pending().await
    });
    for (logs, kind) in
        [(context.member.roles.lender, LogKind::Queries), (context.member.roles.publisher, LogKind::Receipts)]
    {
        if logs {
            let task = WindowTask {
                member: context.member.id.clone(),
                kind,
                ledger: context.ledger.clone(),
                outbox: context.outbox.clone(),
                query_log: context.query_log.clone(),
                leaf_watch: context.leaf_watch.clone(),
            };
            let stop = stopping.clone();
            tasks.spawn(async move { task.run(stop).await.map_err(|error| CliError::new(Exit::Io, error)) });
        }
    }
    if context.publisher.is_some() {
        let publishing = context.clone();
        tasks.spawn(async move {
            let Some(publisher) = &publishing.publisher else { return Ok(()) };
            publisher::run(&publishing, publisher).await.map_err(|error| CliError::new(Exit::Io, error))
        });
    }
    if context.config.range_proofs == RangeProofWork::Background {
        spawn_range_proofs(context, tasks);
    }
    if let Some(lender) = &context.lender {
        for job in lender.screenings.jobs.interrupted() {
            screen::start(context, &lender.screenings, job);
        }
        let warming = context.clone();
        tasks.spawn(async move {
            warm(&warming).await;
            std::future::pending().await
        });
    }
}

/// Connects to every publisher ahead of the first check; who is not up yet is connected to when it is asked.
async fn warm(context: &Context) {
    let publishers = context.ledger.genesis().members.iter().filter(|member| member.roles.publisher);
    let connect = publishers.map(|member| context.peers.warm(&member.id, std::time::Duration::from_secs(5)));
    for connected in futures::future::join_all(connect).await {
        if let Err(error) = connected {
            tracing::debug!(%error, "a publisher is not connected yet");
        }
    }
}

fn announce(context: &Context, json: bool) {
    let (member, api, peer) = (&context.member.id, context.config.api_listen, context.config.peer_listen);
    let height = context.ledger.view().height();
    if json {
        let ready = serde_json::json!({ "ready": true, "member": member, "api": api, "peer": peer, "height": height });
        println!("{ready}");
    } else {
        println!("{member} is ready: API http://{api}, peers {peer}, height {height}");
    }
}

/// Waits until the agent is told to stop, the engine ends, or a task cannot go on.
async fn until_stopped(node: &Node, tasks: &mut JoinSet<Ended>, told: impl Future<Output = ()>) -> Ended {
    tokio::select! {
        () = told => Ok(()),
        ended = node.stopped() => match ended {
            Ok(()) => Err(CliError::new(Exit::Io, "the consensus engine ended")),
            Err(error) => Err(CliError::new(Exit::Io, error)),
        },
        ended = tasks.join_next() => match ended {
            Some(Ok(Ok(()))) | None => Err(CliError::new(Exit::Io, "a part of the agent ended; see its log")),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(_)) => Err(CliError::new(Exit::Io, "a part of the agent failed; see its log")),
        },
    }
}

/// Makes this publisher's range proofs, and verifies everybody's.
fn spawn_range_proofs(context: &Arc<Context>, tasks: &mut JoinSet<Result<(), CliError>>) {
    if context.publisher.is_some() {
        let committing = context.clone();
        tasks.spawn(async move {
            let Some(publisher) = &committing.publisher else { return Ok(()) };
            commitments::run(&committing, publisher).await.map_err(|error| CliError::new(Exit::Io, error))
        });
    }
    let verifying = context.clone();
    tasks.spawn(async move { range_proofs::run(&verifying).await.map_err(|error| CliError::new(Exit::Io, error)) });
}
