//! The regulator's reading of the logs: who asked about whom, who asked about one person, and who deviated.
//!
//! - **Place**: B10; `api::audit` -> [`Regulator`] -> `exchange::audit`
//! - **Invariants**: every access is signed and on its way to the chain before anything is read. It does not wait for
//!   finality: a regulator needs nobody's permission, and reads its own replica
//! - **Shapes**: blobs, seals and ciphertexts are opened on all cores; somebody waits for the answer
//! - **Errors**: [`RegulatorError`]
//! - **Security**: the only place where seals are opened; results go to the caller, never into the agent's log
//! - **Source**: DESIGN.md sections 2 (regulator), 3 ("Query = audit escrow") and 4 ("Reconciliation finds")

mod cores;
mod export;
mod line;
mod liveness;
mod opened;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand::rngs::OsRng;
use riskveil_chain::{
    evidence::build::BuildError,
    node::Node,
    state::view::FinalizedView,
    tx::{LogAuditAccess, TxBody},
};
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::{
    audit::{
        AuditAction, AuditScope, Finding, OpenedLogs, Reconciliation, RegulatorKey, Spread, SubjectTrail,
        opened::LoggedIn, other_side_from, reconcile_windows, subject_trail,
    },
    disclose::DisclosureEntry,
    ids::{Height, MemberId, Window},
    member::Member,
    purpose::Purpose,
    record::Identifier,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::cores::Cores;
use self::opened::{Kept, regulator_keys};
use crate::{
    keystore::Keystore,
    outbox::{Outbox, OutboxError},
    windows::blocks::LogMissing,
};

pub use self::{
    line::{AuditIdentifier, AuditLine, AuditResponder, AuditSubject, DisclosureLine, disclosure_word, status_word},
    opened::LogReadError,
};

/// Most queries in one answer of [`Regulator::log`].
pub const MAX_LOG_LINES: usize = 10_000;

/// Why a regulator's question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegulatorError {
    /// The access could not be committed, so nothing was read.
    #[error("the access could not be committed to the chain, so nothing was read: {0}")]
    Access(#[from] OutboxError),
    /// The replica.
    #[error(transparent)]
    Read(#[from] LogReadError),
    /// A logged query that cannot be exported.
    #[error(transparent)]
    Export(#[from] BuildError),
    /// The range is no range, or reaches into the open window.
    #[error("windows {from} to {through}: the last window that has closed is {last_closed}")]
    Range {
        /// First window asked for.
        from: Window,
        /// Last window asked for.
        through: Window,
        /// The last closed window.
        last_closed: Window,
    },
    /// Nothing is due yet.
    #[error("no window is due yet: name a closed window to reconcile up to, or wait {wait_s} s")]
    NothingDue {
        /// Seconds of header time until the first window is due.
        wait_s: u64,
    },
}

impl From<LogMissing> for RegulatorError {
    fn from(error: LogMissing) -> Self {
        Self::Read(error.into())
    }
}

/// What stands on chain for an access; keep it to show later what was looked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Sequence number of the transaction.
    pub sequence: u64,
    /// Commitment to action, windows and identifiers.
    pub scope_commit: Digest32,
    /// Opens the commitment; 64 hex digits.
    pub scope_salt: String,
}

/// Which queries to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// First window; window 0 without it.
    pub from: Option<Window>,
    /// Last window; the newest without it.
    pub to: Option<Window>,
    /// Only this lender's.
    pub lender: Option<MemberId>,
    /// Only those sent to this publisher.
    pub publisher: Option<MemberId>,
    /// Only for this purpose.
    pub purpose: Option<Purpose>,
    /// Matching queries left out at the front.
    pub offset: usize,
    /// Most queries, at most [`MAX_LOG_LINES`].
    pub limit: usize,
}

/// Queries, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogPage {
    /// The access on chain.
    pub access: Access,
    /// First window looked at.
    pub from: Window,
    /// Last window looked at.
    pub to: Window,
    /// The queries.
    pub entries: Vec<AuditLine>,
    /// How many match.
    pub matching: usize,
    /// The `offset` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
    /// The disclosures that lenders asked for, newest first; the same filter, offset and limit.
    #[serde(default)]
    pub disclosures: Vec<DisclosureLine>,
    /// How many of them match.
    #[serde(default)]
    pub matching_disclosures: usize,
}

/// Who asked about a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubjectReport {
    /// The access on chain.
    pub access: Access,
    /// First window looked at.
    pub from: Window,
    /// Last window looked at.
    pub to: Window,
    /// The requests, oldest first; over HTTP a page of them.
    pub trail: Vec<SubjectTrail>,
    /// How many there are.
    pub matching: usize,
    /// The `offset` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}

/// What a reconciliation came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reconciled {
    /// The access on chain.
    pub access: Access,
    /// First window judged.
    pub from: Window,
    /// Last window judged.
    pub through: Window,
    /// The height of the replica it was judged at.
    pub head_height: Height,
    /// That block's header time, s.
    pub head_time_s: u64,
    /// Log transactions.
    pub windows: u64,
    /// Leaves in them, padding included.
    pub leaves: u64,
    /// Lenders' entries.
    pub queries: u64,
    /// Envelopes in them.
    pub envelopes: u64,
    /// Responders' entries.
    pub receipts: u64,
    /// Distinct requests whose proofs, seal, ciphertexts and consents were checked.
    pub requests: u64,
    /// Disclosures in lenders' logs.
    #[serde(default)]
    pub disclosures: u64,
    /// Disclosures in publishers' logs.
    #[serde(default)]
    pub disclosure_receipts: u64,
    /// Disclosures that both sides logged.
    #[serde(default)]
    pub disclosures_matched: u64,
    /// Receipts whose envelope the lender logged too.
    pub matched: u64,
    /// Entries whose other side is missing and not due yet: reconcile again later.
    pub pending: u64,
    /// Findings left out because the chain stood still meanwhile.
    pub excused: u64,
    /// What is wrong, each with its party and proof; over HTTP a page of them.
    pub findings: Vec<Finding>,
    /// How many findings there are.
    pub findings_total: usize,
    /// The `offset` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}

/// A regulator's access to the logs.
#[derive(Debug)]
pub struct Regulator {
    node: Node,
    outbox: Outbox,
    keystore: Arc<Keystore>,
    kept: Arc<Mutex<Kept>>,
}

impl Regulator {
    /// The regulator's access, if this member is one and has its keys.
    #[must_use]
    pub fn new(member: &Member, node: Node, outbox: Outbox, keystore: Arc<Keystore>) -> Option<Self> {
        let is_regulator = member.roles.regulator && keystore.regulator().is_some();
        is_regulator.then(|| Self { node, outbox, keystore, kept: Arc::default() })
    }

    /// Lists what lenders logged.
    ///
    /// # Errors
    /// [`RegulatorError`].
    pub async fn log(&self, filter: LogFilter) -> Result<LogPage, RegulatorError> {
        let view = self.node.ledger().view();
        let (from, to) = self.range(&view, filter.from, filter.to)?;
        let access = self.commit(AuditAction::Log, from, to, &[]).await?;
        let ((entries, matching), (disclosures, matching_disclosures)) = self
            .with_logs(from, move |logs: &OpenedLogs, keys: &[RegulatorKey<'_>]| {
                (list(logs, keys, &filter, from, to), list_disclosures(logs, &filter, from, to))
            })
            .await?;
        Ok(LogPage { access, from, to, entries, matching, disclosures, matching_disclosures, next: None })
    }

    /// Lists every request about a person, in lenders' and responders' logs.
    ///
    /// # Errors
    /// [`RegulatorError`].
    pub async fn subject(&self, identifiers: Vec<Identifier>) -> Result<SubjectReport, RegulatorError> {
        let view = self.node.ledger().view();
        let (from, to) = self.range(&view, None, None)?;
        let access = self.commit(AuditAction::Subject, from, to, &identifiers).await?;
        let trail = self
            .with_logs(from, move |logs: &OpenedLogs, keys: &[RegulatorKey<'_>]| {
                subject_trail(logs, keys, &identifiers, &Cores::all())
            })
            .await?;
        Ok(SubjectReport { access, from, to, matching: trail.len(), trail, next: None })
    }

    /// Compares both sides of everything logged in windows `from` to `through`. Without `through`, up to the last window
    /// whose other side is due: then only what was logged late can be pending.
    ///
    /// # Errors
    /// [`RegulatorError`].
    pub async fn reconcile(&self, from: Option<Window>, through: Option<Window>) -> Result<Reconciled, RegulatorError> {
        let view = self.node.ledger().view();
        let through = match through {
            Some(through) => through,
            None => self.last_due(&view)?,
        };
        let (from, through) = self.range(&view, from, Some(through))?;
        let access = self.commit(AuditAction::Reconcile, from, through, &[]).await?;
        let genesis = self.node.ledger().genesis().clone();
        let first_block = self.node.header(Height(1)).await.ok_or(LogMissing { height: Height(1) })?;
        let (chain_id, head_time_s) = (*self.node.ledger().chain_id(), view.time_s());
        let read_from = other_side_from(&genesis.policy, from);
        let report = self
            .with_logs(read_from, move |logs: &OpenedLogs, keys: &[RegulatorKey<'_>]| {
                let input = Reconciliation {
                    chain_id: &chain_id,
                    genesis_time_s: genesis.genesis_time_s,
                    first_block_time_s: first_block.time_s(),
                    policy: &genesis.policy,
                    members: &genesis.members,
                    keys,
                    head_time_s,
                };
                reconcile_windows(&input, logs, (from, through), &Cores::all())
            })
            .await?;
        let (findings, excused) = liveness::excuse(&self.node, view.height(), report.findings).await?;
        let counts = report.counts;
        Ok(Reconciled {
            access,
            from,
            through,
            head_height: view.height(),
            head_time_s,
            windows: counts.windows,
            leaves: counts.leaves,
            queries: counts.queries,
            envelopes: counts.envelopes,
            receipts: counts.receipts,
            requests: counts.requests,
            disclosures: counts.disclosures,
            disclosure_receipts: counts.disclosure_receipts,
            disclosures_matched: counts.disclosures_matched,
            matched: counts.matched,
            pending: counts.pending,
            excused,
            findings_total: findings.len(),
            findings,
            next: None,
        })
    }

    /// Signs and sends the access; it will stand on chain whatever becomes of the answer.
    async fn commit(
        &self,
        action: AuditAction,
        from: Window,
        to: Window,
        identifiers: &[Identifier],
    ) -> Result<Access, RegulatorError> {
        let salt = SecretBytes::random(&mut OsRng);
        let scope_commit = AuditScope { action, from, to, identifiers }.commit(&salt);
        let body = LogAuditAccess { scope_commit, action: action.code(), from, to };
        let submitted = self.outbox.submit(TxBody::LogAuditAccess(body), None).await?;
        let scope_salt = salt.expose(|salt| hex::encode(salt));
        Ok(Access { sequence: submitted.sequence, scope_commit, scope_salt })
    }

    /// Runs `read` over the opened logs, off the reactor. One reader at a time.
    async fn with_logs<R: Send + 'static>(
        &self,
        from: Window,
        read: impl FnOnce(&OpenedLogs, &[RegulatorKey<'_>]) -> R + Send + 'static,
    ) -> Result<R, RegulatorError> {
        let mut kept = self.kept.clone().lock_owned().await;
        let logs = kept.read(&self.node, &self.keystore, from).await?;
        let keystore = self.keystore.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = read(&logs, &regulator_keys(&keystore));
            drop(logs);
            drop(kept);
            result
        });
        Ok(done.await.map_err(|_| LogReadError::Stopping)?)
    }

    /// Checks a range of closed windows; without an end, up to the last closed one.
    fn range(
        &self,
        view: &FinalizedView,
        from: Option<Window>,
        through: Option<Window>,
    ) -> Result<(Window, Window), RegulatorError> {
        let genesis = self.node.ledger().genesis();
        let open = genesis.policy.window_at(genesis.genesis_time_s, view.time_s());
        let last_closed = Window(open.0.saturating_sub(1));
        let (from, through) = (from.unwrap_or(Window(0)), through.unwrap_or(last_closed));
        if from > through || through >= open {
            return Err(RegulatorError::Range { from, through, last_closed });
        }
        Ok((from, through))
    }

    /// The last window whose entries' other side is due before the tip.
    fn last_due(&self, view: &FinalizedView) -> Result<Window, RegulatorError> {
        let genesis = self.node.ledger().genesis();
        let policy = &genesis.policy;
        let grace_s = policy.leaf_due_windows.saturating_mul(policy.log_window_s);
        let decided_s = grace_s.saturating_add(policy.request_ttl_s).saturating_add(policy.clock_skew_s);
        let lived_s = view.time_s().saturating_sub(genesis.genesis_time_s);
        let first_due_s = decided_s.saturating_add(policy.log_window_s).saturating_add(1);
        match lived_s.checked_sub(first_due_s) {
            Some(past_s) => Ok(Window(past_s / policy.log_window_s.max(1))),
            None => Err(RegulatorError::NothingDue { wait_s: first_due_s - lived_s }),
        }
    }
}

/// The queries that match, newest first, and how many match.
fn list(
    logs: &OpenedLogs,
    keys: &[RegulatorKey<'_>],
    filter: &LogFilter,
    from: Window,
    to: Window,
) -> (Vec<AuditLine>, usize) {
    let mut matching: Vec<_> = logs
        .queries
        .iter()
        .filter_map(|logged| Some((logs.windows.get(logged.window)?, &logged.entry)))
        .filter(|(logged_in, _)| logged_in.scope.first_window <= to && logged_in.scope.last_window >= from)
        .filter(|(_, entry)| filter.lender.as_ref().is_none_or(|lender| entry.core.lender == *lender))
        .filter(|(_, entry)| filter.purpose.is_none_or(|purpose| entry.core.purpose == purpose))
        .filter(|(_, entry)| {
            let asked = |publisher: &MemberId| entry.envelopes.iter().any(|one| one.envelope.publisher == *publisher);
            filter.publisher.as_ref().is_none_or(asked)
        })
        .collect();
    // One lender's entries stand in the order in which they finished: among equal times the last one is the newest.
    matching.reverse();
    matching.sort_by_key(|(logged_in, entry)| std::cmp::Reverse((entry.core.issued_at_s, logged_in.height)));
    let limit = filter.limit.min(MAX_LOG_LINES);
    let page: Vec<_> = matching.iter().skip(filter.offset).take(limit).collect();
    let lines = Cores::all().map(&page, |(logged_in, entry)| AuditLine::new(logged_in, entry, keys));
    (lines, matching.len())
}

/// The disclosures that match, newest first, and how many match.
fn list_disclosures(logs: &OpenedLogs, filter: &LogFilter, from: Window, to: Window) -> (Vec<DisclosureLine>, usize) {
    let mut matching: Vec<_> = logs
        .disclosures
        .iter()
        .filter_map(|logged| Some((logs.windows.get(logged.window)?, &logged.entry)))
        .filter(|(logged_in, _)| logged_in.scope.first_window <= to && logged_in.scope.last_window >= from)
        .filter(|(_, entry)| filter.lender.as_ref().is_none_or(|lender| entry.head.lender == *lender))
        .filter(|(_, entry)| filter.publisher.as_ref().is_none_or(|publisher| entry.head.publisher == *publisher))
        .filter(|(_, entry)| filter.purpose.is_none_or(|purpose| entry.head.purpose == purpose))
        .collect();
    matching.reverse();
    matching.sort_by_key(|(logged_in, entry)| std::cmp::Reverse((entry.head.issued_at_s, logged_in.height)));
    let shown: Vec<_> = matching.iter().skip(filter.offset).take(filter.limit.min(MAX_LOG_LINES)).collect();
    let checks = queries_of(logs, shown.iter().map(|(_, entry)| entry.head.check).collect());
    let line = |(logged_in, entry): &&(&LoggedIn, &DisclosureEntry)| {
        DisclosureLine::new(logged_in, entry, checks.get(&entry.head.check).copied())
    };
    (shown.iter().map(line).collect(), matching.len())
}

/// The core digests of the queries that these envelopes are of, as far as they were read; one pass over the logs.
fn queries_of(logs: &OpenedLogs, envelopes: BTreeSet<Digest32>) -> BTreeMap<Digest32, Digest32> {
    if envelopes.is_empty() {
        return BTreeMap::new();
    }
    let sent = logs.queries.iter().flat_map(|logged| &logged.entry.envelopes).map(|one| &one.envelope);
    let received = logs.receipts.iter().map(|logged| &logged.entry.envelope);
    let named = sent.chain(received).map(|envelope| (envelope.digest(), envelope.core_digest));
    named.filter(|(digest, _)| envelopes.contains(digest)).collect()
}
