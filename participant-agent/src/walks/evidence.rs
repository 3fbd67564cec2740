//! Exports what shows a check: a file that anyone verifies offline from the genesis hash.
//!
//! - **Place**: `GET /v1/checks/{core_digest}/evidence`; kept check and replica -> `chain::evidence::build` -> bytes
//! - **Shapes**: at most 16 MiB; one export at a time, because each reads the journal of checks from its start
//! - **Invariants**: the file was verified before it is handed out
//! - **Errors**: [`ExportError`]
//! - **Security**: the file holds the subject's identifiers and the escrow secrets of this one check; nothing of it is logged
//! - **Source**: specs/evidence.md

use std::sync::Arc;

use rand::rngs::OsRng;
use riskveil_chain::evidence::build::{self, BuildError, Built, CheckItem, CheckRecord};
use riskveil_crypto::Digest32;
use tokio::sync::Semaphore;

use super::blocking;
use super::kept::CheckEvidence;
use super::reports::ReadKeptError;
use crate::context::Context;

/// Exports under way at one time.
static UNDER_WAY: Semaphore = Semaphore::const_new(1);

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// No check with this digest was made here.
    #[error("this agent made no check with this core_digest")]
    NotFound,
    /// What was kept.
    #[error(transparent)]
    Read(#[from] ReadKeptError),
    /// The chain, or what was kept, does not show it.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The agent is ending.
    #[error("the agent is stopping")]
    Stopping,
}

/// The evidence of the check with this core digest, as of the replica's tip.
///
/// # Errors
/// [`ExportError`].
pub async fn export(context: &Arc<Context>, core_digest: Digest32) -> Result<Built, ExportError> {
    let _turn = UNDER_WAY.acquire().await.map_err(|_| ExportError::Stopping)?;
    let reading = context.clone();
    let kept = blocking(move || match &reading.lender {
        Some(lender) => lender.reports.evidence(&core_digest),
        None => Ok(None),
    });
    let kept = kept.await?.ok_or(ExportError::NotFound)?;
    let ledger = context.ledger.clone();
    let draft = blocking(move || build::answers(&ledger, &record(&kept), &mut OsRng)).await?;
    let headers = build::headers(&context.node, draft.heights()).await?;
    Ok(blocking(move || draft.finish(headers)).await?)
}

fn record(kept: &CheckEvidence) -> CheckRecord<'_> {
    let items = kept.items.iter();
    CheckRecord {
        entry: &kept.entry,
        responses: &kept.responses,
        judged_height: kept.judged_height,
        as_of: kept.as_of,
        unanswered: &kept.unanswered,
        items: items.map(|item| CheckItem { identifier: item.identifier.as_ref(), secret: &item.secret }).collect(),
    }
}
