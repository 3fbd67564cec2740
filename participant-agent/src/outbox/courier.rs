//! Brings the drafts to one validator, in order, again and again until they are final.
//!
//! - **Place**: `drafts` -> `POST /peer/v1/transactions` with a BCS `Submission`, or the own mempool
//! - **Invariants**: sending twice changes nothing: a mempool knows a transaction by its id

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use riskveil_chain::ledger::Ledger;
use riskveil_chain::mempool::AdmissionError;
use riskveil_chain::tx::TxId;
use riskveil_exchange::ids::MemberId;

use super::Outbox;
use super::drafts::Draft;
use crate::peers::client::{PeerClient, PeerError};

/// Where validators take submissions.
pub const SUBMISSION_PATH: &str = "/peer/v1/transactions";
/// Content type of a BCS `Submission`.
pub const SUBMISSION_CONTENT_TYPE: &str = "application/vnd.riskveil+binary; message=submission; v=1";

/// After this long a validator that has not brought a transaction into a block is given it again: it may have restarted.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Drafts and bytes that one validator is given ahead of finality.
const WINDOW_DRAFTS: usize = 512;
const WINDOW_BYTES: usize = 32 << 20;

/// A validator's mempool.
#[derive(Debug)]
pub(super) enum Target {
    Own(Ledger),
    Peer(Arc<PeerClient>, MemberId),
}

/// What became of one delivery.
enum Delivery {
    /// The validator has it, or will not take it: look again later.
    Settled,
    /// The validator has no room or is not there: wait before anything else.
    Busy,
}

/// Runs until the task is dropped.
pub(super) async fn deliver(outbox: Outbox, target: Target) {
    let mut changed = outbox.0.changed.subscribe();
    let mut given: HashMap<u64, (TxId, Instant)> = HashMap::new();
    let mut backoff = FIRST_BACKOFF;
    loop {
        changed.mark_unchanged();
        let Some(draft) = next_due(&outbox, &mut given) else {
            // A timeout is the time to look for what must be given again; a gone sender means that the outbox is gone.
            if let Ok(Err(_)) = tokio::time::timeout(AGAIN_AFTER, changed.changed()).await {
                return;
            }
            continue;
        };
        match target.give(&draft).await {
            Delivery::Settled => {
                given.insert(draft.sequence, (draft.id, Instant::now()));
                backoff = FIRST_BACKOFF;
            }
            Delivery::Busy => {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(LAST_BACKOFF);
            }
        }
    }
}

/// The first draft in the window that was not given, was signed anew since, or was given long ago.
fn next_due(outbox: &Outbox, given: &mut HashMap<u64, (TxId, Instant)>) -> Option<Draft> {
    let drafts = outbox.lock();
    let first = drafts.iter().next()?.sequence;
    given.retain(|sequence, _| *sequence >= first);
    let mut bytes = 0;
    for draft in drafts.iter().take(WINDOW_DRAFTS) {
        let had = given.get(&draft.sequence);
        if had.is_none_or(|(id, since)| *id != draft.id || since.elapsed() > AGAIN_AFTER) {
            return Some(draft.clone());
        }
        bytes += draft.submission.block_bytes();
        if bytes > WINDOW_BYTES {
            break;
        }
    }
    None
}

impl Target {
    async fn give(&self, draft: &Draft) -> Delivery {
        match self {
            Self::Own(ledger) => {
                let (ledger, submission) = (ledger.clone(), draft.submission.as_ref().clone());
                let admitted = tokio::task::spawn_blocking(move || ledger.submit(submission)).await;
                match admitted {
                    Ok(Ok(_) | Err(AdmissionError::SequenceUsed { .. })) => Delivery::Settled,
                    Ok(Err(AdmissionError::Full | AdmissionError::SenderFull)) | Err(_) => Delivery::Busy,
                    Ok(Err(error)) => {
                        tracing::warn!(sequence = draft.sequence, %error, "the own mempool does not take a transaction");
                        Delivery::Settled
                    }
                }
            }
            Self::Peer(peers, validator) => {
                let body = draft.submission.encode();
                let sent = peers.post(validator, SUBMISSION_PATH, SUBMISSION_CONTENT_TYPE, body, TIMEOUT).await;
                match sent {
                    Ok(_) => Delivery::Settled,
                    // The number is used: the transaction became final meanwhile.
                    Err(PeerError::Status(409)) => Delivery::Settled,
                    Err(PeerError::Status(status)) if status != 429 && status < 500 => {
                        tracing::warn!(%validator, sequence = draft.sequence, status, "a validator does not take a transaction");
                        Delivery::Settled
                    }
                    Err(error) => {
                        tracing::debug!(%validator, %error, "a validator is not reached");
                        Delivery::Busy
                    }
                }
            }
        }
    }
}
