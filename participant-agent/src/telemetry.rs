//! Logs and metrics: what an operator sees; ids, counts and times only, never personal data.
//!
//! - **Shapes**: log lines on standard error, text or JSON; metrics in OpenMetrics text
//! - **Security**: libraries log warnings and errors only; ours log no identifier, label, key or token at any level

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use riskveil_chain::node::NOISY_LOG_TARGET;
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// Starts logging to standard error; later calls change nothing.
pub fn init(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let ours = ["participant_agent", "riskveil_chain", "riskveil_exchange"].map(|room| format!(",{room}={level}"));
    let libraries = if level == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{libraries},{NOISY_LOG_TARGET}=off{}", ours.concat()));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    // A second subscriber is refused; the first one stays.
    let _ = match format {
        LogFormat::Text => logs.with_ansi(false).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
}

/// Logs a panic as one line, in the log's format and without a backtrace: the engine panics when its disk is full, and what
/// the operator needs is the sentence that `run` ends with.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("a panic without words");
        tracing::error!(place, what, "a thread panicked");
    }));
}

/// One label of a metric: its name and value.
pub type Label = [(&'static str, &'static str); 1];

/// Every metric of the agent; each field is one line in [`Metrics::new`].
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Time of a check, by phase.
    pub check_seconds: Family<Label, Histogram>,
    /// Checks, by outcome.
    pub checks: Family<Label, Counter>,
    /// Applicants screened.
    pub screened_applicants: Counter,
    /// Time of evaluating a request as a responder.
    pub evaluate_seconds: Histogram,
    /// Requests served as a responder, by outcome.
    pub evaluations: Family<Label, Counter>,
    /// Disclosures asked for as a lender, by outcome.
    pub disclosures: Family<Label, Counter>,
    /// Disclosures answered as a publisher, by outcome.
    pub disclosures_answered: Family<Label, Counter>,
    /// Requests to other members, by outcome.
    pub peer_requests: Family<Label, Counter>,
    /// Rows published.
    pub published_rows: Counter,
    /// Transactions submitted, by outcome.
    pub transactions: Family<Label, Counter>,
    /// Height of the finalized tip.
    pub finalized_height: Gauge,
    /// Journal entries not yet in a finalized log window.
    pub unlogged_entries: Gauge,
    /// Batches of commitments on chain, by what this member found of their range proofs.
    pub commitment_batches: Family<Label, Gauge>,
    /// Chunks of 64 commitments whose range proofs were made or verified.
    pub range_proof_chunks: Family<Label, Counter>,
}

impl Metrics {
    /// Every metric at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("riskveil");
        let latency = || Histogram::new(LATENCY_BUCKETS_S);
        let metrics = Self {
            check_seconds: Family::new_with_constructor(latency),
            checks: Family::default(),
            screened_applicants: Counter::default(),
            evaluate_seconds: latency(),
            evaluations: Family::default(),
            disclosures: Family::default(),
            disclosures_answered: Family::default(),
            peer_requests: Family::default(),
            published_rows: Counter::default(),
            transactions: Family::default(),
            finalized_height: Gauge::default(),
            unlogged_entries: Gauge::default(),
            commitment_batches: Family::default(),
            range_proof_chunks: Family::default(),
            registry: Registry::default(),
        };
        registry.register_with_unit("check", "Time of a check, by phase", Unit::Seconds, metrics.check_seconds.clone());
        registry.register("checks", "Checks, by outcome", metrics.checks.clone());
        registry.register("screened_applicants", "Applicants screened", metrics.screened_applicants.clone());
        registry.register_with_unit(
            "evaluate",
            "Time of evaluating a request as a responder",
            Unit::Seconds,
            metrics.evaluate_seconds.clone(),
        );
        registry.register("evaluations", "Requests served as a responder, by outcome", metrics.evaluations.clone());
        registry.register("disclosures", "Disclosures asked for as a lender, by outcome", metrics.disclosures.clone());
        registry.register(
            "disclosures_answered",
            "Disclosures answered as a publisher, by outcome",
            metrics.disclosures_answered.clone(),
        );
        registry.register("peer_requests", "Requests to other members, by outcome", metrics.peer_requests.clone());
        registry.register("published_rows", "Rows published", metrics.published_rows.clone());
        registry.register("transactions", "Transactions submitted, by outcome", metrics.transactions.clone());
        registry.register("finalized_height", "Height of the finalized tip", metrics.finalized_height.clone());
        registry.register(
            "unlogged_entries",
            "Journal entries not yet in a finalized log window",
            metrics.unlogged_entries.clone(),
        );
        registry.register(
            "commitment_batches",
            "Batches of commitments on chain, by what was found of their range proofs",
            metrics.commitment_batches.clone(),
        );
        registry.register(
            "range_proof_chunks",
            "Chunks of 64 commitments whose range proofs were made or verified",
            metrics.range_proof_chunks.clone(),
        );
        Self { registry, ..metrics }
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String does not fail");
        text
    }

    /// Adds one observation of a check's phase.
    pub fn observe_check(&self, phase: &'static str, took: Duration) {
        self.check_seconds.get_or_create(&[("phase", phase)]).observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Upper bounds of the latency histograms, s: 0.25 ms to 10 s.
const LATENCY_BUCKETS_S: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.05, 0.1, 0.25, 1.0, 3.0, 10.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_their_documented_names() {
        let metrics = Metrics::new();
        metrics.observe_check("lookup", Duration::from_millis(4));
        metrics.transactions.get_or_create(&[("outcome", "finalized")]).inc();
        let text = metrics.encode();
        for line in [
            "riskveil_check_seconds_bucket{le=\"0.005\",phase=\"lookup\"} 1",
            "riskveil_transactions_total{outcome=\"finalized\"} 1",
            "riskveil_finalized_height 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
