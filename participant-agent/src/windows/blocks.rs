//! Reads log windows back from finalized blocks.
//!
//! - **Place**: the ledger's index of log windows -> block -> [`LoggedWindow`]; out to the leaf watch and the regulator
//! - **Invariants**: the chain applied the transaction (the ledger indexes no other), so leaves, count and root hold
//! - **Errors**: [`LogMissing`]: this replica does not have what its own index names
//! - **Source**: DESIGN.md section 4, "Request, response, log"

use riskveil_chain::{
    block::Block,
    node::Node,
    state::store::LogLocation,
    tx::{TxId, tx_id},
};
use riskveil_crypto::{Digest32, digest::sha256};
use riskveil_exchange::{
    audit::{entry::LogKind, window::LogPayload},
    ids::{Height, MemberId, Window},
    policy::Policy,
};

/// One `LogQueries` or `LogReceipts` as it stands on chain.
#[derive(Clone, Debug)]
pub struct LoggedWindow {
    /// The transaction.
    pub tx_id: TxId,
    /// The block.
    pub height: Height,
    /// The block header's digest.
    pub header_digest: Digest32,
    /// Its header time, s.
    pub time_s: u64,
    /// Whose log.
    pub member: MemberId,
    /// Which log.
    pub kind: LogKind,
    /// First window it covers.
    pub first: Window,
    /// Last window it covers.
    pub last: Window,
    /// Leaves and sealed blob.
    pub payload: LogPayload,
}

/// A log window that this replica's index names and its archive lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log window in block {height} cannot be read from this replica; restart the agent so that it fetches the block"
)]
pub struct LogMissing {
    /// The block.
    pub height: Height,
}

/// Fetches the log window that stands at `location`.
///
/// # Errors
/// [`LogMissing`].
pub async fn fetch(
    node: &Node,
    member: &MemberId,
    kind: LogKind,
    location: &LogLocation,
) -> Result<LoggedWindow, LogMissing> {
    let missing = LogMissing { height: location.height };
    let block = node.block(location.height).await.ok_or(missing)?;
    read(&node.ledger().genesis().policy, &block, member, kind, location).ok_or(missing)
}

fn read(
    policy: &Policy,
    block: &Block,
    member: &MemberId,
    kind: LogKind,
    location: &LogLocation,
) -> Option<LoggedWindow> {
    let transaction = block.transactions.get(usize::try_from(location.position).ok()?)?;
    let payload = block.payloads.iter().find(|payload| sha256(payload) == location.payload_digest)?;
    let max_len = usize::try_from(policy.max_block_bytes).unwrap_or(usize::MAX);
    Some(LoggedWindow {
        tx_id: tx_id(transaction),
        height: location.height,
        header_digest: block.digest(),
        time_s: block.header.time_s(),
        member: member.clone(),
        kind,
        first: location.first_window,
        last: location.last_window,
        payload: LogPayload::decode(payload, max_len, policy.min_log_bucket).ok()?,
    })
}
