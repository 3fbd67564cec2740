//! `/v1/chain/commitments`: every member's commitments as this agent's replica has them, and what became of their range proofs.
//!
//! - **Shapes**: a summary, which `/v1/chain/status` has too, and a page of batches: invalid ones first, then the newest
//! - **Errors**: 400 a page that is none

use std::cmp::Reverse;
use std::sync::Arc;

use riskveil_chain::state::view::StateRead;

use super::models::{CommitmentBatchInfo, CommitmentsPage, CommitmentsSummary, ProofWork};
use super::route::{Answered, Call, shown};
use crate::context::Context;
use crate::walks::commitments;
use crate::walks::range_proofs::BatchProofs;

/// Batches on a page, usually and at most.
const PAGE: (usize, usize) = (100, 1000);

/// `GET /v1/chain/commitments`.
pub(super) async fn list(context: Arc<Context>, call: Call) -> Answered {
    let page = call.page(PAGE.0, PAGE.1)?;
    let mut all = context.range_proofs.all(&context.ledger.view());
    let is_invalid = |found: &BatchProofs| matches!(found, BatchProofs::Invalid { .. });
    all.sort_by_key(|(_, _, batch, found)| (!is_invalid(found), Reverse(batch.height)));
    let total = all.len();
    let batches = all.into_iter().skip(page.offset).take(page.limit).map(|(publisher, batch_seq, batch, found)| {
        let (chunk, attribute) = match found {
            BatchProofs::Invalid { chunk, attribute } => (Some(chunk), Some(attribute)),
            _ => (None, None),
        };
        let (count, height, root, range_proofs) = (batch.count, batch.height, batch.root, found.as_str().to_owned());
        CommitmentBatchInfo { publisher, batch_seq, count, height, root, range_proofs, chunk, attribute }
    });
    let batches = batches.collect();
    shown(&CommitmentsPage { summary: summary(&context), batches, total, next: page.next(total) })
}

/// How many commitments there are, and how far their range proofs are here.
pub(super) fn summary(context: &Context) -> CommitmentsSummary {
    let view = context.ledger.view();
    let counts = context.range_proofs.counts(&view);
    let publishers = context.ledger.genesis().members.iter().filter(|member| member.roles.publisher);
    let work = |(chunks, busy_ms): (u64, u64)| ProofWork { chunks, busy_ms };
    CommitmentsSummary {
        on_chain: publishers.map(|member| view.commitments(&member.id).total).sum(),
        batches: counts.unproved + counts.proved + counts.invalid,
        unproved: counts.unproved,
        proved: counts.proved,
        invalid: counts.invalid,
        chunks_left: counts.chunks_left,
        verified: work(context.range_proofs.verified()),
        own: context.publisher.as_ref().map(|publisher| commitments::own_progress(context, publisher)),
        made: context.publisher.as_ref().map(|publisher| work(publisher.prover.made())),
    }
}
