//! `PublishCommitments`: batches in strict sequence over all periods, whose leaves nobody published before.
//!
//! - **Place**: A7, over `exchange::publish::verify_commitments`
//! - **Security**: range proofs are not checked here: every member verifies them in the background, and nothing waits for that
//! - **Source**: DESIGN.md sections 3 ("Commitment") and 10 ("Who verifies what"); specs/ledger.md#publish-commitments

use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::publish::PublishError;
use riskveil_exchange::publish::commitment_batch::verify_commitments;

use super::overlay::Overlay;
use super::{BlockContext, CommittedBatch, payload_length};
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::leaves::BatchLeaves;
use crate::state::view::{BatchState, CommitmentsState, StateRead};
use crate::tx::PublishCommitments;

/// The batch's leaves, ascending.
pub(super) fn check_stateless(
    context: &BlockContext<'_>,
    publish: &PublishCommitments,
    payload: &[u8],
) -> Result<Vec<Digest32>, ReceiptCode> {
    let commitments = &publish.commitments;
    payload_length(commitments, payload)?;
    let max = context.genesis.policy.max_rows_per_tx;
    verify_commitments(payload, commitments.count, &commitments.root, max).map_err(|error| match error {
        PublishError::NotAscending { .. } => ReceiptCode::CommitmentsOrder,
        PublishError::RootMismatch => ReceiptCode::CommitmentsRoot,
        _ => ReceiptCode::CommitmentsCount,
    })
}

pub(super) fn check_stateful(
    state: &Overlay<'_>,
    sender: &MemberId,
    publish: &PublishCommitments,
    leaves: &[Digest32],
) -> Result<CommitmentsState, ReceiptCode> {
    let so_far = state.commitments(sender);
    if publish.batch_seq != so_far.batch_count || so_far.batch_count == u32::MAX {
        return Err(ReceiptCode::CommitmentsNotNext);
    }
    if leaves.iter().any(|leaf| state.leaf_seen(leaf)) { Err(ReceiptCode::LeafSeen) } else { Ok(so_far) }
}

pub(super) fn apply(
    context: &BlockContext<'_>,
    overlay: &mut Overlay<'_>,
    sender: &MemberId,
    publish: &PublishCommitments,
    so_far: CommitmentsState,
    leaves: Vec<Digest32>,
) -> CommittedBatch {
    let commitments = &publish.commitments;
    let batch = BatchState {
        root: commitments.root,
        digest: commitments.digest,
        count: commitments.count,
        len: commitments.len,
        height: context.height,
    };
    let after = CommitmentsState {
        batch_count: so_far.batch_count.saturating_add(1),
        total: so_far.total.saturating_add(u64::from(commitments.count)),
    };
    overlay.put(keys::commitments(sender), &after);
    overlay.put(keys::commitment_batch(sender, publish.batch_seq), &batch);
    let leaves: BatchLeaves = leaves.into();
    overlay.add_leaves(leaves.clone());
    CommittedBatch { publisher: sender.clone(), batch_seq: publish.batch_seq, batch, leaves }
}
