//! Exports one logged query: a file that shows who asked about whom, and that both sides logged it, without any node.
//!
//! - **Place**: `GET /v1/audit/evidence/{core_digest}`; opened logs and blocks -> `chain::evidence::build` -> bytes
//! - **Invariants**: as every reading of the logs, it is committed to the chain before anything is read; the file was verified
//! - **Errors**: [`RegulatorError`]
//! - **Security**: the audit key's proofs show whom an item is about; no secret and no output is in the file
//! - **Source**: specs/evidence.md#log-entry

use std::collections::BTreeMap;

use rand::rngs::OsRng;
use riskveil_chain::block::Block;
use riskveil_chain::evidence::build::{self, BuildError, Built, LogRecord, LoggedIn};
use riskveil_crypto::Digest32;
use riskveil_exchange::{
    audit::{
        AuditAction, OpenedLogs, QueryEntry, RegulatorKey,
        request_check::{LoggedRequest, sealed_identifier},
    },
    ids::{Height, MemberId, Window},
    query::seal::Consent,
    record::Identifier,
};

use super::opened::LogReadError;
use super::{Regulator, RegulatorError};
use crate::windows::blocks::LogMissing;

/// A logged query as the opened logs have it.
struct Found {
    entry: QueryEntry,
    identifiers: Vec<Option<Identifier>>,
    consent: Consent,
    queries: (Height, Window),
    receipts: BTreeMap<MemberId, (Height, Window)>,
}

impl Regulator {
    /// The evidence of the logged query with this core digest; none if no lender's log has it.
    ///
    /// # Errors
    /// [`RegulatorError`].
    pub async fn export(&self, core_digest: Digest32) -> Result<Option<Built>, RegulatorError> {
        let view = self.node.ledger().view();
        let (from, to) = self.range(&view, None, None)?;
        self.commit(AuditAction::Log, from, to, &[]).await?;
        let found = self.with_logs(from, move |logs, keys| find(logs, keys, &core_digest)).await?;
        let Some(found) = found else { return Ok(None) };
        let blocks = self.blocks(&found).await?;
        let (ledger, keystore) = (self.node.ledger().clone(), self.keystore.clone());
        let drafted = tokio::task::spawn_blocking(move || {
            let keys = keystore.regulator().ok_or(BuildError::RecordIncomplete)?;
            let record = found.record(&blocks).ok_or(BuildError::RecordIncomplete)?;
            build::log_entry(&ledger, &record, &keys.audit, &mut OsRng)
        });
        let draft = drafted.await.map_err(|_| LogReadError::Stopping)??;
        let headers = build::headers(&self.node, draft.heights()).await?;
        let built = tokio::task::spawn_blocking(move || draft.finish(headers));
        Ok(Some(built.await.map_err(|_| LogReadError::Stopping)??))
    }

    async fn blocks(&self, found: &Found) -> Result<BTreeMap<Height, Block>, RegulatorError> {
        let mut blocks = BTreeMap::new();
        for (height, _) in found.receipts.values().chain([&found.queries]) {
            let block = self.node.block(*height).await.ok_or(LogMissing { height: *height })?;
            blocks.insert(*height, block);
        }
        Ok(blocks)
    }
}

impl Found {
    fn record<'a>(&'a self, blocks: &'a BTreeMap<Height, Block>) -> Option<LogRecord<'a>> {
        let place = |(height, first_window): &(Height, Window)| {
            Some(LoggedIn { block: blocks.get(height)?, first_window: *first_window })
        };
        let receipts = self.receipts.iter().map(|(member, at)| Some((member.clone(), place(at)?)));
        Some(LogRecord {
            entry: &self.entry,
            identifiers: self.identifiers.clone(),
            consent: self.consent,
            queries: place(&self.queries)?,
            receipts: receipts.collect::<Option<_>>()?,
        })
    }
}

/// The first entry of the lender itself with every leaf on chain, and the receipts of its envelopes.
fn find(logs: &OpenedLogs, keys: &[RegulatorKey<'_>], core_digest: &Digest32) -> Option<Found> {
    let logged = logs.queries.iter().find(|logged| {
        let by_lender = logs.windows.get(logged.window).is_some_and(|at| at.scope.member == logged.entry.core.lender);
        by_lender && !logged.on_chain.contains(&false) && logged.entry.core.digest() == *core_digest
    })?;
    let entry = &logged.entry;
    let key = keys.iter().find(|key| key.id == entry.core.audit_key_id)?;
    let request = LoggedRequest { core: &entry.core, core_digest, proofs: &entry.proofs, seal: &entry.seal };
    let plain = request.open_seal(key)?;
    let place = |window: usize| logs.windows.get(window).map(|at| (at.height, at.scope.first_window));
    let mut receipts = BTreeMap::new();
    for receipt in logs.receipts.iter().filter(|receipt| !receipt.on_chain.contains(&false)) {
        let by_responder =
            logs.windows.get(receipt.window).is_some_and(|at| at.scope.member == receipt.entry.envelope.publisher);
        let ours = || entry.envelopes.iter().any(|one| one.envelope == receipt.entry.envelope);
        if by_responder && receipt.entry.envelope.core_digest == *core_digest && ours() {
            receipts.insert(receipt.entry.envelope.publisher.clone(), place(receipt.window)?);
        }
    }
    Some(Found {
        identifiers: plain.items.iter().map(sealed_identifier).collect(),
        consent: *plain.consents.first()?,
        queries: place(logged.window)?,
        receipts,
        entry: entry.clone(),
    })
}
