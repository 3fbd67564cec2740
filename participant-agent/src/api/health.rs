//! `/healthz`, `/readyz`, `/metrics`: for machines that watch this one; no token, so keep the API on loopback.
//!
//! - **Shapes**: `/readyz` is 200 when the replica is fresh and a publisher's snapshot is sealed (or there is nothing to
//!   publish), 503 with the reason otherwise; `/metrics` is OpenMetrics text of agent and engine

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::json;
use warp::http::header::{CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call, shown};
use crate::context::Context;

const END: &str = "# EOF\n";

/// `GET /healthz`.
pub(super) async fn alive(_context: Arc<Context>, _call: Call) -> Answered {
    shown(&json!({ "alive": true }))
}

/// `GET /readyz`.
pub(super) async fn ready(context: Arc<Context>, _call: Call) -> Answered {
    is_ready(&context)?;
    shown(&json!({ "ready": true }))
}

/// `GET /metrics`.
pub(super) async fn metrics(context: Arc<Context>, _call: Call) -> Answered {
    let mut response = Response::new(text(&context).into());
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(openmetrics));
    Ok(response)
}

fn is_ready(context: &Context) -> Result<(), Problem> {
    let not = |reason: &'static str, detail: String| {
        Err(Problem::new(ProblemKind::Unavailable).reason(reason).detail(detail))
    };
    if !context.is_fresh() {
        return not("stale_replica", format!("the finalized tip is {} s old", context.tip_age_s()));
    }
    match &context.publisher {
        Some(publisher) if !publisher.is_ready(context) => {
            let waiting =
                publisher.waiting_for().unwrap_or_else(|| "the period's snapshot is not sealed yet".to_owned());
            not("no_snapshot", waiting)
        }
        _ => Ok(()),
    }
}

fn text(context: &Context) -> String {
    let metrics = &context.metrics;
    metrics.finalized_height.set(i64::try_from(context.ledger.view().height().0).unwrap_or(i64::MAX));
    let backlog = context.query_log.backlog();
    metrics.unlogged_entries.set(i64::try_from(backlog.queries + backlog.receipts).unwrap_or(i64::MAX));
    let counts = context.range_proofs.counts(&context.ledger.view());
    for (found, batches) in [("unproved", counts.unproved), ("proved", counts.proved), ("invalid", counts.invalid)] {
        metrics
            .commitment_batches
            .get_or_create(&[("range_proofs", found)])
            .set(i64::try_from(batches).unwrap_or(i64::MAX));
    }
    let mut text = context.node.metrics();
    text.truncate(text.trim_end().strip_suffix(END.trim_end()).map_or(text.len(), str::len));
    let ours = metrics.encode();
    text.push_str(ours.strip_suffix(END).unwrap_or(&ours));
    traffic(context, &mut text);
    finality(context, &mut text);
    text.push_str(END);
    text
}

fn traffic(context: &Context, text: &mut String) {
    text.push_str("# HELP riskveil_peer_wire_bytes Bytes to and from each member, TLS included.\n");
    text.push_str("# TYPE riskveil_peer_wire_bytes counter\n");
    for member in &context.ledger.genesis().members {
        let traffic = context.peers.traffic(&member.id);
        for (direction, bytes) in [("out", traffic.wire_bytes_out), ("back", traffic.wire_bytes_back)] {
            // writing to a String does not fail
            let _ = writeln!(
                text,
                "riskveil_peer_wire_bytes_total{{member=\"{}\",direction=\"{direction}\"}} {bytes}",
                member.id
            );
        }
    }
}

fn finality(context: &Context, text: &mut String) {
    let mut samples = context.node.finality_latency();
    samples.sort_unstable();
    text.push_str("# HELP riskveil_finality_ms From a block's time to its finalization here, recent blocks.\n");
    text.push_str("# TYPE riskveil_finality_ms gauge\n");
    for (quantile, share) in [("0.5", 50), ("0.99", 99)] {
        if let Some(sample) = samples.get(samples.len() * share / 100) {
            let _ = writeln!(text, "riskveil_finality_ms{{quantile=\"{quantile}\"}} {sample}");
        }
    }
}
