//! `GET /v1/doctor` and `GET /peer/v1/tip`: what `doctor` asks this agent and the others'.
//!
//! - **Shapes**: [`ReplicaFacts`] and [`PeerTip`] as JSON
//! - **Security**: both tell what the replica of every member knows, and how far this member's own publication is

use std::collections::BTreeSet;
use std::sync::Arc;

use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_exchange::ids::{Height, MemberId};

use super::route::{Answered, Call, shown};
use crate::context::Context;
use crate::doctor::peers::PeerTip;
use crate::doctor::replica::{self, PublicationFacts, RangeProofFacts, ReplicaFacts};
use crate::walks::range_proofs::BatchProofs;

/// `GET /v1/doctor`.
pub(super) async fn facts(context: Arc<Context>, _call: Call) -> Answered {
    let view = context.ledger.view();
    let first_block_time_s = context.node.header(Height(1)).await.map(|header| header.time_s());
    let publication = context.publisher.as_ref().map(|publisher| PublicationFacts {
        any: publisher.book.has_publications(),
        waiting_for: publisher.waiting_for(),
    });
    let range_proofs = Some(range_proofs(&context, &view));
    shown(&ReplicaFacts {
        first_block_time_s,
        publication,
        range_proofs,
        ..replica::facts(context.ledger.genesis(), &view)
    })
}

/// Own batches that are planned and not on chain, and what is known here of everybody's that are.
fn range_proofs(context: &Context, view: &FinalizedView) -> RangeProofFacts {
    let on_chain = view.commitments(&context.member.id).batch_count;
    let planned = context.publisher.as_ref().and_then(|publisher| publisher.book.commitment_plans().pop());
    let counts = context.range_proofs.counts(view);
    let is_false = |(publisher, _, _, found)| matches!(found, BatchProofs::Invalid { .. }).then_some(publisher);
    let invalid: BTreeSet<MemberId> = context.range_proofs.all(view).into_iter().filter_map(is_false).collect();
    RangeProofFacts {
        to_prove: planned.map_or(0, |plan| plan.batch_seqs().end.saturating_sub(on_chain).into()),
        unproved: counts.unproved,
        proved: counts.proved,
        invalid: invalid.into_iter().collect(),
    }
}

/// `GET /peer/v1/tip`.
pub(super) async fn tip(context: Arc<Context>, _call: Call) -> Answered {
    let view = context.ledger.view();
    shown(&PeerTip {
        member: context.member.id.clone(),
        height: view.height(),
        header_digest: view.digest,
        header_time_s: view.time_s(),
        clock_ms: context.clock.now_ms(),
    })
}
