//! The logs on the regulator's own replica, opened once and kept while they fit.
//!
//! - **Place**: B10, chain -> [`OpenedLogs`] -> log lines, subject trails, reconciliation
//! - **Shapes**: what is kept reaches from one window to the tip and grows with it; above [`KEPT_BYTES`] of payloads it is
//!   dropped after use and read again next time. Payloads are fetched and opened, on all cores, [`OPENED_AT_ONCE`] bytes at a
//!   time, so beside what is opened hardly more than that is held
//! - **Errors**: [`LogReadError`] (this replica). A blob that does not open is no error: it is a finding of its member
//! - **Security**: entries hold ciphertexts and sealed identifiers; they stay in memory and are never printed

use std::{collections::BTreeMap, sync::Arc};

use riskveil_chain::{node::Node, state::store::StoreError};
use riskveil_crypto::Digest32;
use riskveil_exchange::{
    audit::{LogKind, OpenedLogs, RegulatorKey, SeenWindow, WindowScope},
    ids::{AuditKeyId, MemberId, Window},
};

use super::cores::Cores;
use crate::{
    keystore::Keystore,
    windows::blocks::{self, LogMissing, LoggedWindow},
};

/// Most payload bytes whose opened form is kept.
const KEPT_BYTES: usize = 512 << 20;
/// Payload bytes that are fetched before they are opened.
const OPENED_AT_ONCE: usize = 64 << 20;
/// Log transactions looked up at a time.
const LOCATIONS_AT_ONCE: usize = 256;

/// Why a log cannot be read from this replica.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogReadError {
    /// A block is missing.
    #[error(transparent)]
    Missing(#[from] LogMissing),
    /// The state store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The agent is ending.
    #[error("the agent is stopping")]
    Stopping,
}

/// Opened logs from one window to the tip.
#[derive(Debug, Default)]
pub(super) struct Kept {
    from: Window,
    next: BTreeMap<(MemberId, LogKind), Window>,
    logs: Arc<OpenedLogs>,
    bytes: usize,
}

impl Kept {
    /// Everything that reaches into windows from `from` on, up to this replica's tip.
    pub(super) async fn read(
        &mut self,
        node: &Node,
        keystore: &Arc<Keystore>,
        from: Window,
    ) -> Result<Arc<OpenedLogs>, LogReadError> {
        if from < self.from || self.bytes > KEPT_BYTES || self.next.is_empty() {
            *self = Self { from, ..Self::default() };
        }
        let read = self.catch_up(node, keystore).await;
        if read.is_err() {
            // What was fetched and not opened must be fetched again.
            *self = Self::default();
        }
        read.map(|()| self.logs.clone())
    }

    async fn catch_up(&mut self, node: &Node, keystore: &Arc<Keystore>) -> Result<(), LogReadError> {
        let mut fresh = Fresh::default();
        for member in &node.ledger().genesis().members {
            for (has_role, kind) in
                [(member.roles.lender, LogKind::Queries), (member.roles.publisher, LogKind::Receipts)]
            {
                if has_role {
                    self.fetch(node, keystore, (&member.id, kind), &mut fresh).await?;
                }
            }
        }
        self.open(node, keystore, &mut fresh).await
    }

    async fn fetch(
        &mut self,
        node: &Node,
        keystore: &Arc<Keystore>,
        (member, kind): (&MemberId, LogKind),
        fresh: &mut Fresh,
    ) -> Result<(), LogReadError> {
        let mut next = self.next.get(&(member.clone(), kind)).copied().unwrap_or(self.from);
        loop {
            let locations = node.ledger().logs(kind, member, next, LOCATIONS_AT_ONCE)?;
            if locations.is_empty() {
                break;
            }
            for location in &locations {
                fresh.push(blocks::fetch(node, member, kind, location).await?);
                next = location.last_window.next();
                if fresh.bytes >= OPENED_AT_ONCE {
                    self.open(node, keystore, fresh).await?;
                }
            }
        }
        self.next.insert((member.clone(), kind), next);
        Ok(())
    }

    async fn open(&mut self, node: &Node, keystore: &Arc<Keystore>, fresh: &mut Fresh) -> Result<(), LogReadError> {
        let Fresh { windows, bytes } = std::mem::take(fresh);
        if windows.is_empty() {
            return Ok(());
        }
        self.bytes += bytes;
        let (chain_id, keystore) = (*node.ledger().chain_id(), keystore.clone());
        let mut logs = std::mem::take(&mut self.logs);
        let opened = tokio::task::spawn_blocking(move || {
            // Nobody else holds the logs while they grow: whoever read them before is done.
            let growing = Arc::make_mut(&mut logs);
            let scopes: Vec<WindowScope> = windows.iter().map(|window| scope(window, chain_id)).collect();
            let seen = windows.iter().zip(&scopes).map(|(window, scope)| SeenWindow {
                kind: window.kind,
                scope,
                height: window.height,
                header_time_s: window.time_s,
                payload: &window.payload,
            });
            growing.add_all(&seen.collect::<Vec<_>>(), &regulator_keys(&keystore), &Cores::all());
            logs
        });
        self.logs = opened.await.map_err(|_| LogReadError::Stopping)?;
        Ok(())
    }
}

/// Log windows that were fetched and not yet opened.
#[derive(Default)]
struct Fresh {
    windows: Vec<LoggedWindow>,
    bytes: usize,
}

impl Fresh {
    fn push(&mut self, window: LoggedWindow) {
        self.bytes += window.payload.blob.len();
        self.windows.push(window);
    }
}

fn scope(window: &LoggedWindow, chain_id: Digest32) -> WindowScope {
    WindowScope { chain_id, member: window.member.clone(), first_window: window.first, last_window: window.last }
}

/// The regulator's keys as the audit takes them: there is one audit key, the one of the genesis.
pub(super) fn regulator_keys(keystore: &Keystore) -> Vec<RegulatorKey<'_>> {
    let keys = keystore.regulator().into_iter();
    keys.map(|keys| RegulatorKey { id: AuditKeyId(0), audit: &keys.audit, seal: &keys.seal }).collect()
}
