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
use warp::Filter;

use super::auth::{Role, Tokens, require};
use super::problem::{Problem, ProblemKind};
use super::{Resource, reply, with};
use crate::context::Context;

/// Every route of these resources.
pub fn routes(context: &Arc<Context>, tokens: &Arc<Tokens>) -> Resource {
    let any = || require(tokens.clone(), &Role::ALL);
    let status = warp::path!("v1" / "chain" / "status")
        .and(warp::get())
        .and(any())
        .and(with(context))
        .map(|_role, context: Arc<Context>| reply(Ok(warp::reply::json(&status(&context)))));
    let header = warp::path!("v1" / "chain" / "headers" / u64).and(warp::get()).and(any()).and(with(context)).then(
        |height, _role, context: Arc<Context>| async move {
            let header = context.node.header(Height(height)).await;
            reply(header.map(|header| warp::reply::json(&show(&header))).ok_or_else(not_final))
        },
    );
    let finality = warp::path!("v1" / "chain" / "finality" / u64).and(warp::get()).and(any()).and(with(context)).then(
        |height, _role, context: Arc<Context>| async move {
            let proof = context.node.finality(Height(height)).await;
            let proof = proof.map(|proof| {
                let headers: Vec<Value> = proof.headers.iter().map(show).collect();
                warp::reply::json(&json!({ "headers": headers, "certificate": hex::encode(&proof.certificate) }))
            });
            reply(proof.ok_or_else(not_final))
        },
    );
    let members = warp::path!("v1" / "members")
        .and(warp::get())
        .and(any())
        .and(with(context))
        .map(|_role, context: Arc<Context>| reply(Ok(warp::reply::json(&context.ledger.genesis().members))));
    status.or(header).unify().or(finality).unify().or(members).unify().boxed()
}

fn not_final() -> Problem {
    Problem::new(ProblemKind::NotFound).detail("this height is not final here")
}

fn show(header: &Header) -> Value {
    json!({ "digest": header.digest(), "encoded": hex::encode(header.encode()), "header": header })
}

fn status(context: &Context) -> Value {
    let view = context.ledger.view();
    let genesis = context.ledger.genesis();
    let mut finality = context.node.finality_latency();
    finality.sort_unstable();
    let at = |share: usize| finality.get(finality.len() * share / 100).or(finality.last()).copied();
    let checks = context.lender.as_ref().map(|lender| lender.traffic.per_request());
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
        "bytes_on_chain": context.figures.bytes(),
        "finality_ms": { "p50": at(50), "p95": at(95), "p99": at(99), "samples": finality.len() },
        "window": genesis.policy.window_at(genesis.genesis_time_s, view.time_s()),
        "logged_through": logged_through(context, &view),
        "mempool": context.ledger.mempool().len(),
        "lender_traffic": checks.map(|(requests, sent, received)| json!({
            "requests": requests, "sent_per_check": sent, "received_per_check": received,
        })),
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
