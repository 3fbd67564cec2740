//! The audit through whole agents on loopback: honest members are never named, whoever hides is named with proof.

#![allow(clippy::unwrap_used)] // helpers of tests

mod agents;

use std::collections::BTreeSet;
use std::time::Duration;

use agents::{Agent, Four, HEADER, now_s, verdict};
use participant_agent::api::auth::Role;
use participant_agent::cli::exit::{CliError, Exit};
use participant_agent::leaf_watch::LeafWatch;
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::query_log::{Built, QueryLog, QueryLogKeys};
use participant_agent::regulator::{LogPage, Reconciled, SubjectReport};
use participant_agent::walks::ask::{EVALUATE_PATH, EVALUATE_TYPE};
use rand::rngs::OsRng;
use riskveil_chain::ledger::Ledger;
use riskveil_chain::state::view::StateRead;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{Digest32, digest};
use riskveil_exchange::audit::window::payload_budget;
use riskveil_exchange::audit::{FindingKind, LenderEntry, LogKind, Outcome, Proof, SealTo, SealedWindow, WindowScope};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::Shape;
use riskveil_exchange::query::session::{Addressed, Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier};
use serde_json::{Value, json};

const RECORD: &str = "resident_id,513230196105128094,张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n";
const SUBJECT: &str = "513230196105128094";
const STRANGER: &str = "410803198802084193";

async fn running() -> Four {
    running_with(|_| {}).await
}

async fn running_with(change: impl FnOnce(&mut Policy)) -> Four {
    let mut all = Four::started(change).await;
    all.one.publish(&format!("{HEADER}{RECORD}")).await;
    let published = all.two.publish(HEADER).await;
    all.lender.until("both snapshots", |status| status["height"].as_u64() >= published["height"].as_u64()).await;
    all
}

impl Four {
    /// The open window by the newest tip of any running agent.
    async fn window(&self) -> u64 {
        let mut newest = 0;
        for agent in
            [&self.one, &self.two, &self.lender, &self.regulator].into_iter().filter(|agent| agent.dir.exists())
        {
            let window = agent.status().await.and_then(|status| status["window"].as_u64());
            newest = newest.max(window.unwrap_or(0));
        }
        newest
    }

    async fn past(&mut self, window: u64) {
        self.regulator.until("the time", |status| status["window"].as_u64() > Some(window)).await;
    }

    async fn reconcile(&self, query: Value) -> Result<Reconciled, CliError> {
        self.regulator.api(Role::Auditor).post("/v1/audit/reconcile", &query).await
    }

    async fn log(&self, query: &str) -> Result<LogPage, CliError> {
        self.regulator.api(Role::Auditor).get(&format!("/v1/audit/log{query}")).await
    }

    async fn subject(&self, subject: Value) -> Result<SubjectReport, CliError> {
        self.regulator.api(Role::Auditor).post("/v1/audit/subject", &json!({ "subject": subject })).await
    }

    /// A query by the lender's keys that its agent knows nothing of, to a key that the publisher does not have.
    fn hidden_query(&self, publisher: &str) -> Addressed {
        let regulator = self.keystore("REGULATOR-01");
        let keys = regulator.regulator().unwrap();
        let (y, seal_key, chain_id) = (keys.audit.public(), keys.seal.public(), self.consortium.genesis.chain_id());
        let lender = MemberId::new("LENDER-01").unwrap();
        let parameters = QueryParameters {
            chain_id: &chain_id,
            lender: &lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &y,
            seal_key: &seal_key,
            ref_height: Height(1),
            ref_header_hash: Digest32::ZERO,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: now_s(),
            ttl_s: 5,
        };
        let stranger = Identifier::parse(IdType::ResidentId, STRANGER, Day::MAX).unwrap();
        let subject = (Subject::new(vec![stranger]).unwrap(), Consent::new(digest::sha256(b"consent"), &mut OsRng));
        let prepared = Session::start(&parameters, Shape::Check, &[subject], &mut OsRng).unwrap();
        let (publisher, k) = (MemberId::new(publisher).unwrap(), OprfSecretKey::generate(&mut OsRng).public_key());
        let to = [Addressee { publisher: &publisher, k: &k }];
        prepared.address(&to, &self.keystore("LENDER-01").member().identity, &mut OsRng)
    }

    /// Leaves the lender's journal as a crash does between drawing a window and signing its transaction; returns the payload.
    async fn draw_next_window(&self) -> Vec<u8> {
        let log = self.lenders_log();
        let first = log.last_built_queries().unwrap().last.next();
        let (chain_id, member) = (self.consortium.genesis.chain_id(), MemberId::new("LENDER-01").unwrap());
        let scope = WindowScope { chain_id, member, first_window: first, last_window: first };
        let (policy, key) = (&self.consortium.genesis.policy, self.consortium.genesis.audit_key.seal_key);
        let to = SealTo { audit_key_id: AuditKeyId(0), key: &key };
        let budget = payload_budget(policy);
        let payload = SealedWindow::build::<LenderEntry>(&scope, &[], to, policy.min_log_bucket, budget, &mut OsRng);
        let payload = payload.unwrap().payload;
        let built = Built {
            first,
            last: first,
            entries: Vec::new(),
            leaf_count: payload.count(),
            root: payload.root(),
            payload: payload.encode(),
            settled_before: Window(0),
        };
        log.queries_built(built).await.unwrap();
        payload.encode()
    }

    /// The journal of the lender, whose agent is stopped.
    fn lenders_log(&self) -> QueryLog {
        let (genesis, keystore) = (&self.consortium.genesis, self.keystore("LENDER-01"));
        let keys =
            QueryLogKeys { queries: keystore.journal_key("queries"), receipts: keystore.journal_key("receipts") };
        let watch = LeafWatch::new(genesis.policy.clone(), genesis.genesis_time_s);
        let journals = self.consortium.dir("LENDER-01").join("journal");
        QueryLog::open(&journals, keys, genesis.policy.clone(), watch, |_| {}).unwrap()
    }
}

fn named(report: &Reconciled) -> BTreeSet<(FindingKind, String)> {
    report.findings.iter().map(|finding| (finding.kind, finding.party.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_members_are_never_named_and_every_query_can_be_read() {
    let mut all = running().await;
    assert_eq!(verdict(&all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap(), "INST-01"), "hit");
    all.lender.check(json!({ "resident_id": STRANGER, "mobile": "13912345678" })).await.unwrap();
    all.lender.check(json!({ "mobile": "13912345678" })).await.unwrap();
    let window = all.window().await + 1;
    all.logged_through(window + 1).await;

    let page = all.log("?lender=LENDER-01").await.unwrap();
    assert_eq!((page.entries.len(), page.matching), (3, 3));
    let newest = &page.entries[0];
    assert_eq!(newest.purpose, Purpose::PRE_LOAN_APPROVAL);
    let subjects = newest.subjects.as_ref().unwrap();
    assert_eq!(subjects[0].consent_digest.to_hex(), "ab".repeat(32));
    assert_eq!((subjects.len(), subjects[0].identifiers[0].value.expose()), (1, "13912345678"));
    let statuses: Vec<_> = newest.responders.iter().map(|one| (one.publisher.as_str(), one.status.as_str())).collect();
    assert_eq!(statuses, [("INST-01", "evaluated"), ("INST-02", "evaluated")]);
    let page = all.log("?limit=1").await.unwrap();
    assert_eq!((page.entries.len(), page.matching), (1, 3));
    for nothing in ["?lender=INST-01", "?publisher=LENDER-01", "?purpose=subject_access", "?to=0"] {
        assert_eq!(all.log(nothing).await.unwrap().matching, 0, "{nothing}");
    }

    let report = all.subject(json!({ "mobile": "139 1234 5678" })).await.unwrap();
    assert_eq!(report.trail.len(), 2);
    let both = |one: &&riskveil_exchange::audit::SubjectTrail| one.by_seal && one.by_escrow;
    assert_eq!(report.trail.iter().filter(both).count(), 2);
    assert!(report.trail[0].responders.iter().all(|one| one.logged_by_lender && one.logged_by_responder));
    assert_eq!(all.subject(json!({ "mobile": "13711112222" })).await.unwrap().trail.len(), 0);

    let report = all.reconcile(json!({ "through": window })).await.unwrap();
    assert_eq!(named(&report), BTreeSet::new(), "{:#?}", report.findings);
    assert_eq!((report.queries, report.receipts, report.matched, report.pending), (3, 6, 6, 0));
    assert_eq!(report.requests, 3);
    let none_of_it = all.reconcile(json!({ "from": window, "through": window })).await.unwrap();
    assert!(none_of_it.findings.is_empty() && none_of_it.windows >= 3, "{none_of_it:?}");

    // what is refused
    let refused = |outcome: Result<Reconciled, CliError>| outcome.unwrap_err().exit();
    assert_eq!(refused(all.reconcile(json!({ "through": u64::MAX })).await), Exit::Usage, "not closed");
    assert_eq!(refused(all.reconcile(json!({ "from": 3, "through": 2 })).await), Exit::Usage, "no range");
    assert_eq!(refused(all.reconcile(json!({ "until": 2 })).await), Exit::Usage, "unknown field");
    assert_eq!(all.log("?limit=-1").await.unwrap_err().exit(), Exit::Usage);
    assert_eq!(all.subject(json!({})).await.unwrap_err().exit(), Exit::Usage, "nobody");
    let invalid = all.subject(json!({ "resident_id": "513230196105128090" })).await.unwrap_err();
    assert!(!invalid.to_string().contains("5132"), "{invalid}");
    let underwriter: Result<Value, _> = all.regulator.api(Role::Underwriter).get("/v1/audit/log").await;
    assert_eq!(underwriter.unwrap_err().exit(), Exit::NoAgent, "another role's token");
    let lenders: Result<Value, _> = all.lender.api(Role::Auditor).get("/v1/audit/log").await;
    assert_eq!(lenders.unwrap_err().exit(), Exit::Refused, "an agent that is no regulator");

    // every access is on chain
    let through = all.window().await + 1;
    all.past(through).await;
    let consortium = all.stop().await;
    let opened = Ledger::open(&consortium.dir("REGULATOR-01").join("chain"), consortium.genesis.clone()).unwrap();
    let regulator = MemberId::new("REGULATOR-01").unwrap();
    assert_eq!(opened.ledger.view().audit_access(&regulator).count, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lender_that_found_nobody_to_ask_has_nothing_to_log_and_is_not_named() {
    let mut all = Four::started(|_| {}).await;
    let report = all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&report, "INST-01"), "unavailable(no_snapshot)");
    let window = all.window().await + 1;
    all.logged_through(window + 1).await;
    assert_eq!(all.log("?lender=LENDER-01").await.unwrap().matching, 0);
    let report = all.reconcile(json!({ "through": window })).await.unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lender_and_a_responder_that_hide_a_query_are_named_with_proof_once_it_is_due() {
    let mut all = running().await;
    all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();

    // the lender asks INST-01 behind its own log's back; INST-01 logs the receipt of its refusal
    let hidden = all.hidden_query("INST-01");
    let identity = TlsIdentity::from_seed(&all.keystore("LENDER-01").member().tls_seed).unwrap();
    let peers = PeerClient::new(&identity, &Directory::new(all.consortium.genesis.members.clone())).unwrap();
    let body = hidden.requests[0].encode();
    let to = MemberId::new("INST-01").unwrap();
    peers.post(&to, EVALUATE_PATH, EVALUATE_TYPE, body, Duration::from_secs(5)).await.unwrap();

    // INST-02 signs an answer that it does not log: the lender's log holds the signature
    let answered = all.hidden_query("INST-02");
    let lender = std::mem::replace(&mut all.lender, Agent::start(all.consortium.dir("NOBODY")));
    lender.stop().await.unwrap();
    {
        let (genesis, log) = (&all.consortium.genesis, all.lenders_log());
        let ticket = log.begin(answered.entry.clone()).await.unwrap();
        let (digest, response) = (answered.requests[0].envelope.digest(), digest::sha256(b"response"));
        let responder = all.keystore("INST-02");
        let outcome = Outcome::sign(&genesis.chain_id(), &digest, 0, response, &responder.member().identity);
        log.finish(ticket, vec![(digest, outcome)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    all.lender = all.consortium.start("LENDER-01");
    let window = all.window().await + 1;
    all.logged_through(window + 1).await;

    let omissions = |report: &Reconciled| -> BTreeSet<(FindingKind, String)> {
        // on a slow machine the restart itself may have made the lender late
        named(report).into_iter().filter(|(kind, _)| *kind != FindingKind::Late).collect()
    };
    let report = all.reconcile(json!({ "through": window })).await.unwrap();
    assert_eq!(omissions(&report), BTreeSet::new(), "not due yet: {:#?}", report.findings);
    assert_eq!(report.pending, 2);

    // 6 s of a request's life and clocks, 6 windows of 1 s, and some
    all.past(window + 15).await;
    let mut report = all.reconcile(json!({})).await.unwrap();
    while report.pending > 0 {
        // on a slow machine the lender logged later, and what is due counts from when it did
        let next = all.window().await + 1;
        all.past(next).await;
        report = all.reconcile(json!({})).await.unwrap();
    }
    let expected =
        [(FindingKind::LenderOmitted, "LENDER-01".to_owned()), (FindingKind::ResponderOmitted, "INST-02".to_owned())];
    assert_eq!(omissions(&report), BTreeSet::from(expected), "{:#?}", report.findings);
    let find = |kind| report.findings.iter().find(|finding| finding.kind == kind).unwrap();
    let signed = &hidden.requests[0];
    assert!(find(FindingKind::LenderOmitted).proof.iter().any(|proof| matches!(
        proof,
        Proof::SignedEnvelope { envelope, signature } if *envelope == signed.envelope && *signature == signed.signature
    )));
    let has_outcome =
        |proof: &Proof| matches!(proof, Proof::SignedOutcome { publisher, .. } if publisher.as_str() == "INST-02");
    assert!(find(FindingKind::ResponderOmitted).proof.iter().any(has_outcome));
    // found in the responder's log though the lender logged nothing
    let trail = all.subject(json!({ "resident_id": STRANGER })).await.unwrap().trail;
    assert!(trail.iter().any(|one| one.responders.iter().any(|r| r.logged_by_responder && !r.logged_by_lender)));

    // the responder knows which leaf it is owed, and refuses that lender by now
    all.lender.until("a fresh replica", |status| status["fresh"] == true).await;
    let report = all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&report, "INST-01"), "refused(log_overdue)", "{report:#}");
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lender_that_stops_logging_misses_windows_and_catches_up_in_one_range() {
    let mut all = running().await;
    all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    let last = all.window().await + 1;
    all.logged_through(last).await;
    let lender = std::mem::replace(&mut all.lender, Agent::start(all.consortium.dir("NOBODY")));
    lender.stop().await.unwrap();
    let drawn = all.draw_next_window().await;
    let stopped = all.window().await;
    all.past(stopped + 12).await;

    let report = all.reconcile(json!({ "through": stopped + 3 })).await.unwrap();
    assert_eq!(named(&report), BTreeSet::from([(FindingKind::MissingWindow, "LENDER-01".to_owned())]), "{report:#?}");

    all.lender = all.consortium.start("LENDER-01");
    all.logged_through(stopped + 12).await;
    let report = all.reconcile(json!({ "through": stopped + 12 })).await.unwrap();
    assert_eq!(named(&report), BTreeSet::from([(FindingKind::Late, "LENDER-01".to_owned())]), "{report:#?}");
    let consortium = all.stop().await;
    let opened = Ledger::open(&consortium.dir("REGULATOR-01").join("chain"), consortium.genesis.clone()).unwrap();
    let lender = MemberId::new("LENDER-01").unwrap();
    let logs = opened.ledger.logs(LogKind::Queries, &lender, Window(0), 1000).unwrap();
    assert!(logs.windows(2).all(|pair| pair[1].first_window == pair[0].last_window.next()), "no gap, no overlap");
    assert!(logs.iter().any(|log| log.last_window.0 >= log.first_window.0 + 8), "one range over the downtime");
    assert!(logs.iter().any(|log| log.payload_digest == digest::sha256(&drawn)), "what was drawn before the crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_late_because_the_chain_stood_still() {
    let mut all = running_with(|policy| {
        policy.leaf_due_windows = 12;
        policy.refuse_after_windows = 24;
    })
    .await;
    all.lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    let before = all.window().await;
    // the only validator is away for longer than a log may take
    let validator = std::mem::replace(&mut all.one, Agent::start(all.consortium.dir("NOBODY")));
    validator.stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(16)).await;
    all.one = all.consortium.start("INST-01");
    all.logged_through(before + 16).await;
    let report = all.reconcile(json!({ "through": before + 16 })).await.unwrap();
    assert_eq!(named(&report), BTreeSet::new(), "{report:#?}");
    assert!(report.excused > 0, "by the clock alone everyone was late");
    assert_eq!(report.matched, 2);
    all.stop().await;
}
