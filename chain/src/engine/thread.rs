//! The engine's own thread and runtime: started, watched, stopped.
//!
//! - **Place**: `node::Node` -> [`spawn`] -> `wiring::run`
//! - **Invariants**: a panic of any engine task ends the runtime and becomes [`NodeError::Engine`]; when [`Running::ended`]
//!   resolves, every task is gone and the engine's directory is free
//! - **Errors**: [`NodeError`]

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use commonware_runtime::{
    Metrics as _, Runner as _, Supervisor as _,
    tokio::{Config, Context, Runner},
};
use tokio::sync::watch;

use super::wiring::{self, Setup, Started};
use crate::node::NodeError;

/// Threads for blocking work (files, the ledger) that a runtime may have at once.
const BLOCKING_THREADS: usize = 64;

/// An engine that was started; clones are handles of the same one. It stops when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) started: Started,
    metrics: Registry,
    stop: Arc<watch::Sender<bool>>,
    ended: watch::Receiver<Option<Result<(), NodeError>>>,
}

/// The engine's registry of metrics while it runs. Emptied at the end: it holds the engine's directory.
type Registry = Arc<Mutex<Option<Context>>>;

/// Starts the engine and waits until it has replayed its archive into the ledger.
pub(crate) fn spawn(setup: Setup, worker_threads: usize) -> Result<Running, NodeError> {
    let config = Config::new()
        .with_storage_directory(setup.directory.clone())
        .with_worker_threads(worker_threads.max(1))
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_tcp_nodelay(Some(true));
    let metrics = Registry::default();
    let (stop, stopping) = watch::channel(false);
    let (end, ended) = watch::channel(None);
    let (ready, is_ready) = mpsc::channel();
    let registry = metrics.clone();
    let body = move || {
        let run = || Runner::new(config).start(|context| root(context, setup, registry, ready, stopping));
        let outcome = catch_unwind(AssertUnwindSafe(run));
        let outcome = outcome.unwrap_or_else(|panic| Err(NodeError::Engine { reason: panic_text(panic.as_ref()) }));
        if let Err(error) = &outcome {
            tracing::error!(%error, "the node ended");
        }
        end.send_replace(Some(outcome));
    };
    let thread = thread::Builder::new().name("chain-engine".into()).spawn(body);
    let thread = thread.map_err(|source| NodeError::Thread { source: Arc::new(source) })?;
    match is_ready.recv() {
        Ok(started) => Ok(Running { started, metrics, stop: Arc::new(stop), ended }),
        Err(_) => {
            // The thread dropped its end without a word, so it is about to end and to say why.
            let _ = thread.join();
            let outcome = ended.borrow().clone();
            Err(outcome.and_then(Result::err).unwrap_or_else(gone))
        }
    }
}

async fn root(
    context: Context,
    setup: Setup,
    registry: Registry,
    ready: mpsc::Sender<Started>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), NodeError> {
    let node = context.child("node");
    let filled = registry.clone();
    let on_ready = move |started| {
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        // Fails only when the caller of `spawn` is gone.
        let _ = ready.send(started);
    };
    let stop = async move {
        // An error means that every handle is gone, which ends the engine too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let outcome = wiring::run(&context, setup, on_ready, stop).await;
    registry.lock().unwrap_or_else(PoisonError::into_inner).take();
    outcome
}

impl Running {
    /// Asks the engine to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until the engine has ended.
    pub(crate) async fn ended(&self) -> Result<(), NodeError> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            _ => Err(gone()),
        }
    }

    /// Prometheus text; empty once the engine has ended.
    pub(crate) fn metrics(&self) -> String {
        let registry = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        registry.as_ref().map(|context| context.encode()).unwrap_or_default()
    }
}

fn gone() -> NodeError {
    NodeError::Engine { reason: "its thread is gone".into() }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}
