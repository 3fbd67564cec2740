//! The handles a walk needs: own name and keys, the replica, the outbox, the peers, the journals.
//!
//! - **Place**: made once by `run`; shared by every route and task
//! - **Invariants**: `member` is the genesis entry whose keys the key store holds

use std::path::PathBuf;
use std::sync::Arc;

use riskveil_chain::ledger::Ledger;
use riskveil_chain::node::Node;
use riskveil_crypto::{Digest32, SigningKey};
use riskveil_exchange::member::Member;
use riskveil_exchange::record::Day;

use crate::clock::Clock;
use crate::config::ValidConfig;
use crate::figures::ChainFigures;
use crate::idempotency::Requests;
use crate::keystore::Keystore;
use crate::leaf_watch::LeafWatch;
use crate::outbox::Outbox;
use crate::peers::client::PeerClient;
use crate::period_keys::PeriodKeys;
use crate::query_log::QueryLog;
use crate::regulator::Regulator;
use crate::responder::ResponderMemory;
use crate::telemetry::Metrics;
use crate::walks::ask::Traffic;
use crate::walks::disclosures::Disclosures;
use crate::walks::publisher::Publisher;
use crate::walks::range_proofs::RangeProofs;
use crate::walks::reports::Reports;
use crate::walks::screen::Screenings;

/// Everything an agent holds while it runs.
#[derive(Debug)]
pub struct Context {
    /// The agent's directory.
    pub dir: PathBuf,
    /// Its configuration.
    pub config: ValidConfig,
    /// Its clock.
    pub clock: Clock,
    /// Who it is.
    pub member: Member,
    /// The chain it is on.
    pub chain_id: Digest32,
    /// Its secrets.
    pub keystore: Arc<Keystore>,
    /// Its OPRF keys.
    pub period_keys: PeriodKeys,
    /// The consensus engine and the block archive.
    pub node: Node,
    /// The finalized state and the row index.
    pub ledger: Ledger,
    /// Transactions on their way.
    pub outbox: Outbox,
    /// The other members' agents.
    pub peers: Arc<PeerClient>,
    /// What was asked and answered, for the log windows.
    pub query_log: QueryLog,
    /// Lenders' leaves that are owed.
    pub leaf_watch: LeafWatch,
    /// Bytes of finalized blocks.
    pub figures: ChainFigures,
    /// Counters and histograms.
    pub metrics: Arc<Metrics>,
    /// What a responder remembers.
    pub responder: ResponderMemory,
    /// Requests with an idempotency key.
    pub requests: Requests,
    /// What was found of every member's range proofs.
    pub range_proofs: RangeProofs,
    /// The record book, if this member publishes.
    pub publisher: Option<Publisher>,
    /// Reports and screenings, if this member is a lender.
    pub lender: Option<Lender>,
    /// The logs, if this member is the regulator.
    pub regulator: Option<Regulator>,
}

/// What a lender keeps.
#[derive(Debug)]
pub struct Lender {
    /// Its reports.
    pub reports: Reports,
    /// Its screenings.
    pub screenings: Arc<Screenings>,
    /// What publishers disclosed to it.
    pub disclosures: Disclosures,
    /// Bytes of its questions.
    pub traffic: Traffic,
}

impl Context {
    /// The key this member signs with.
    #[must_use]
    pub fn identity(&self) -> &SigningKey {
        &self.keystore.member().identity
    }

    /// The business date: the configured one, or today.
    #[must_use]
    pub fn as_of(&self) -> Day {
        self.config.as_of.unwrap_or_else(|| self.clock.today())
    }

    /// How old the finalized tip is by the own clock, s.
    #[must_use]
    pub fn tip_age_s(&self) -> u64 {
        self.clock.now_s().saturating_sub(self.ledger.view().time_s())
    }

    /// Whether the finalized tip is young enough for an answer to count.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.tip_age_s() <= self.ledger.genesis().policy.fresh_tip_s
    }
}
