//! `/v1/chain/...` and `/v1/members`: the chain as this agent's own replica has it.
//!
//! - **Shapes**: a header as JSON with its digest; a finality proof as headers from h to H and the certificate of H, hex
//! - **Errors**: 404 a height that is not final here

use std::sync::Arc;

use riskveil_chain::block::Header;
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_exchange::audit::entry::LogKind;
use riskveil_exchange::ids::{Height, Window};
use serde_json::{Value, json};

use super::commitments;
use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call, shown};
use crate::context::Context;

/// `GET /v1/chain/status`.
pub(super) async fn status(context: Arc<Context>, _call: Call) -> Answered {
    shown(&status_of(&context))
}

/// `GET /v1/chain/headers/{height}`.
pub(super) async fn header(context: Arc<Context>, call: Call) -> Answered {
    let header = context.node.header(Height(call.path("height")?)).await.ok_or_else(not_final)?;
    shown(&show(&header))
}

/// `GET /v1/chain/finality/{height}`: the headers from this height to the next certified one, and its certificate.
pub(super) async fn finality(context: Arc<Context>, call: Call) -> Answered {
    let proof = context.node.finality(Height(call.path("height")?)).await.ok_or_else(not_final)?;
    let headers: Vec<Value> = proof.headers.iter().map(show).collect();
    shown(&json!({ "headers": headers, "certificate": hex::encode(&proof.certificate) }))
}

/// `GET /v1/members`.
pub(super) async fn members(context: Arc<Context>, _call: Call) -> Answered {
    shown(&context.ledger.genesis().members)
}

fn not_final() -> Problem {
    Problem::new(ProblemKind::NotFound).detail("this height is not final here")
}

fn show(header: &Header) -> Value {
    json!({ "digest": header.digest(), "encoded": hex::encode(header.encode()), "header": header })
}

fn status_of(context: &Context) -> Value {
    let view = context.ledger.view();
    let genesis = context.ledger.genesis();
    let mut finality = context.node.finality_latency();
    finality.sort_unstable();
    let at = |share: usize| finality.get(finality.len() * share / 100).or(finality.last()).copied();
    let traffic = context.lender.as_ref().map(|lender| &lender.traffic);
    json!({
        "network": genesis.network,
        "chain_id": context.chain_id,
        "member": context.member.id,
        "height": view.height(),
        "header_digest": view.digest,
        "time_s": view.time_s(),
        "tip_age_s": context.tip_age_s(),
        "fresh": context.is_fresh(),
        "term": view.header.term,
        "period": view.period(genesis),
        "period_end_s": genesis.period_end_s(view.period(genesis)),
        "validators": genesis.validators().len(),
        "members": genesis.members.len(),
        "state_root": view.header.state_root,
        "rows_on_chain": context.ledger.index().rows_held(),
        "commitments": commitments::summary(context),
        "bytes_on_chain": context.figures.bytes(),
        "finality_ms": { "p50": at(50), "p95": at(95), "p99": at(99), "samples": finality.len() },
        "window": genesis.policy.window_at(genesis.genesis_time_s, view.time_s()),
        "logged_through": logged_through(context, &view),
        "mempool": context.ledger.mempool().len(),
        "lender_traffic": traffic.map(|traffic| {
            let (checks, chunks) = (traffic.checks.so_far(), traffic.chunks.so_far());
            json!({
                "requests": checks.requests,
                "sent_per_check": checks.sent / checks.requests.max(1),
                "received_per_check": checks.received / checks.requests.max(1),
                "screened_items": chunks.items,
                "screening_sent": chunks.sent,
                "screening_received": chunks.received,
            })
        }),
    })
}

/// The last window that every member that has to log has on chain; none while one has none.
fn logged_through(context: &Context, view: &FinalizedView) -> Option<Window> {
    let logs = context.ledger.genesis().members.iter().flat_map(|member| {
        let queries = member.roles.lender.then_some((LogKind::Queries, &member.id));
        let receipts = member.roles.publisher.then_some((LogKind::Receipts, &member.id));
        queries.into_iter().chain(receipts)
    });
    logs.map(|(kind, member)| view.last_window(kind, member)).try_fold(None::<Window>, |least, window| {
        window.map(|window| Some(least.map_or(window, |least| least.min(window))))
    })?
}
