//! A publisher's side of a disclosure: judges a request, finds the record behind the tag, journals the receipt, answers.
//!
//! - **Place**: bytes from a peer -> `exchange::disclose::judge` -> signed response
//! - **Shapes**: a refusal is as long as a disclosure; requests share places, nonces and quota with queries
//! - **Invariants**: a nonce is used up once its request is authentic, an item of the quota before a tag is looked up; a receipt
//!   is on disk before its response leaves. Where a commitment stands is looked up only when the record is known to be about
//!   whom the lender's check asked
//! - **Errors**: [`NotAnswered`]
//! - **Security**: learns whom the lender asked about, that it hit, and the consent's digest; every rule is exchange's
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/protocol.md#disclosure

use std::ops::Range;
use std::sync::Arc;

use rand::rngs::OsRng;
use riskveil_chain::state::view::StateRead;
use riskveil_crypto::Digest32;
use riskveil_exchange::disclose::{
    CommitmentPosition, Discloser, DiscloserContext, DisclosureReceipt, DisclosureRefusal, DisclosureRequest,
    DisclosureResponse, HeldRecord,
};
use riskveil_exchange::ids::MemberId;

use super::{NotAnswered, place, tip};
use crate::context::Context;
use crate::walks::blocking;

/// Answers one request of a peer.
///
/// # Errors
/// [`NotAnswered`].
pub async fn answer(context: &Arc<Context>, peer: MemberId, bytes: &[u8]) -> Result<Vec<u8>, NotAnswered> {
    let request = DisclosureRequest::decode(bytes)?;
    let _place = place(context)?;
    let judging = context.clone();
    let judged = blocking(move || {
        let response = judge(&judging, &peer, &request);
        Ok::<_, std::convert::Infallible>((request, response))
    });
    let (request, response) = match judged.await {
        Ok(done) => done,
        Err(never) => match never {},
    };
    let outcome = response.refusal().map_or("disclosed", DisclosureRefusal::as_str);
    context.metrics.disclosures_answered.get_or_create(&[("outcome", outcome)]).inc();
    if response.refusal().is_none_or(DisclosureRefusal::is_receipted) {
        let receipt = DisclosureReceipt::new(request, response.status, response.digest());
        context.query_log.receipt(receipt).await?;
    }
    Ok(response.encode())
}

/// Judges with every rule at one finalized view, takes nonce and quota, discloses.
fn judge(context: &Context, peer: &MemberId, request: &DisclosureRequest) -> DisclosureResponse {
    let view = context.ledger.view();
    let genesis = context.ledger.genesis();
    let (now_s, head, body) = (context.clock.now_s(), &request.head, &request.body);
    let limit = genesis.policy.quota_items_per_lender_per_day;
    let rule = Discloser {
        chain_id: &context.chain_id,
        publisher: &context.member.id,
        publisher_key: &context.member.identity_key,
        genesis_time_s: genesis.genesis_time_s,
        policy: &genesis.policy,
    };
    let lender = view.member(&head.lender).filter(|member| member.roles.lender);
    let audit_key = view.audit_key(body.core.audit_key_id);
    let at = DiscloserContext {
        now_s,
        started_at_s: context.responder.started_at_s,
        tip: tip(&view),
        lender_key: lender.as_ref().map(|member| &member.identity_key),
        audit_key: audit_key.as_ref().map(|key| &key.y),
        quota_left: context.responder.memory().quota.left(&head.lender, now_s, limit),
        lender_overdue: context.leaf_watch.is_overdue(&head.lender, view.time_s()),
    };
    let disclosed = || {
        let authentic = rule.authenticate(request, peer, &at)?;
        context.responder.memory().seen.insert(&head.lender, &head.nonce, head.expires_at_s, now_s)?;
        let admitted = rule.judge(&authentic, request, &at)?;
        context.responder.memory().quota.take(&head.lender, 1, now_s, limit)?;
        let publisher = context.publisher.as_ref().ok_or(DisclosureRefusal::NotReady)?;
        let own = publisher.book.by_tag(body.core.period, &body.tag);
        let found = own.as_ref().map(|own| HeldRecord {
            record: &own.held.record,
            seed: &own.held.seed,
            key_serial: own.key_serial,
        });
        let matched = rule.match_record(&admitted, request, found, context.as_of())?;
        let batches = own.as_ref().and_then(|own| own.commitment_batches.clone());
        let position = batches.and_then(|batches| position(context, batches, &matched.leaf()));
        rule.disclose(&matched, position, request, &at, context.identity(), &mut OsRng)
    };
    match disclosed() {
        Ok(response) => response,
        Err(reason) => rule.refuse(request, reason, &at, context.identity()),
    }
}

/// Where the own leaf stands on the finalized chain; none before its batch is on it.
fn position(context: &Context, batches: Range<u32>, leaf: &Digest32) -> Option<CommitmentPosition> {
    match context.ledger.commitments().find(&context.member.id, batches, leaf) {
        Ok(found) => found.map(|(batch_seq, index)| CommitmentPosition { batch_seq, index }),
        Err(error) => {
            tracing::error!(%error, "own commitments cannot be read; the lender is told that they are not on chain yet");
            None
        }
    }
}
