//! Disclosure through whole agents on loopback: what is told holds, a lie is named, and both logs have it.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // a test that cannot go on says so; tables of (change, expected)

mod agents;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agents::{Agent, Four, HEADER, NAMES, PATIENCE, files_below, now_s, post_with_key, verdict};
use participant_agent::api::auth::Role;
use participant_agent::api::disclosures::DisclosureReport;
use participant_agent::cli::exit::{CliError, Exit};
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::server::{Limits, serve_peers};
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::records::RecordBook;
use participant_agent::regulator::{LogPage, Reconciled, SubjectReport};
use participant_agent::walks::disclose::DISCLOSE_PATH;
use riskveil_chain::ledger::Ledger;
use riskveil_crypto::{Digest32, Signature, codec};
use riskveil_exchange::audit::{FindingKind, Outcome, Proof};
use riskveil_exchange::disclose::messages::{Disclosed, Shown};
use riskveil_exchange::disclose::{CommitmentPosition, DisclosureRequest, DisclosureResponse};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::publish::Attribute;
use serde_json::{Value, json};
use warp::Filter;

const RECORDS: &str = "resident_id,513230196105128094,张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n\
    resident_id,513230196105128094,张三,13812345678,blacklist,5,0,7654321,CNY,2026-04-01,a2\n";
const SUBJECT: &str = "513230196105128094";
const STRANGER: &str = "410803198802084193";

/// INST-01 and INST-02 hold the same two records, committed to; nothing of INST-03 exists.
async fn running() -> Four {
    let mut all = Four::started(|_| {}).await;
    all.one.publish(&format!("{HEADER}{RECORDS}")).await;
    all.two.publish(&format!("{HEADER}{RECORDS}")).await;
    all.lender.until("proved commitments of both", |status| status["commitments"]["proved"].as_u64() >= Some(2)).await;
    all
}

impl Four {
    async fn check(&self, id: &str) -> Value {
        self.lender.check(json!({ "resident_id": id })).await.unwrap()
    }

    async fn disclose(&self, body: &Value) -> Result<DisclosureReport, CliError> {
        self.lender.api(Role::Underwriter).post("/v1/disclosures", body).await
    }

    async fn window(&self) -> u64 {
        self.regulator.status().await.unwrap()["window"].as_u64().unwrap()
    }

    async fn reconcile(&self, query: Value) -> Reconciled {
        self.regulator.api(Role::Auditor).post("/v1/audit/reconcile", &query).await.unwrap()
    }

    /// Reconciles once everything up to now is due on both sides.
    async fn reconcile_when_due(&mut self) -> Reconciled {
        let deadline = Instant::now() + PATIENCE;
        let mut past = self.window().await + 16;
        loop {
            self.regulator.until("the time", |status| status["window"].as_u64() > Some(past)).await;
            let report = self.reconcile(json!({})).await;
            if report.pending == 0 {
                return report;
            }
            assert!(Instant::now() < deadline, "{report:?}");
            past = self.window().await + 1;
        }
    }
}

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn body(report: &Value, more: Value) -> Value {
    let mut body = json!({
        "check": report["query"]["core_digest"], "publisher": "INST-01", "fact": 1, "attribute": "amount",
        "purpose": "pre_loan_approval", "consent_digest": "cd".repeat(32),
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The number, from 1, of the fact of this category.
fn number_of(report: &Value, institution: &str, category: &str) -> u64 {
    let answer = report["answers"].as_array().unwrap().iter().find(|one| one["institution"] == institution).unwrap();
    let at = answer["facts"].as_array().unwrap().iter().position(|fact| fact["category"] == category).unwrap();
    at as u64 + 1
}

fn omissions(report: &Reconciled) -> BTreeSet<(FindingKind, String)> {
    // on a slow machine a restart itself may make somebody late
    let named = report.findings.iter().filter(|finding| finding.kind != FindingKind::Late);
    named.map(|finding| (finding.kind, finding.party.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lender_with_a_hit_learns_the_committed_value_or_its_range_and_nobody_else_does() {
    let mut all = running().await;
    let report = all.check(SUBJECT).await;
    assert_eq!(verdict(&report, "INST-01"), "hit");
    let (overdue, blacklist) = (number_of(&report, "INST-01", "overdue"), number_of(&report, "INST-01", "blacklist"));

    let opened = all.disclose(&body(&report, json!({ "fact": overdue }))).await.unwrap();
    assert_eq!(
        (opened.outcome.as_str(), opened.value, opened.or_more),
        ("disclosed", Some(198_000), false),
        "{opened:?}"
    );
    let commitment = opened.commitment.unwrap();
    assert_eq!(commitment.range_proofs, "proved");
    assert!(opened.proves.unwrap().starts_with("INST-01 opened the amount: 198000 minor units. It is what INST-01"));
    let other = all.disclose(&body(&report, json!({ "fact": blacklist }))).await.unwrap();
    assert_eq!(other.value, Some(7_654_321));
    let days = json!({ "fact": overdue, "attribute": "days", "between": { "lo": 31, "hi": 60 } });
    let bounded = all.disclose(&body(&report, days)).await.unwrap();
    assert_eq!((bounded.outcome.as_str(), bounded.value), ("disclosed", None), "{bounded:?}");
    assert_eq!(bounded.between.map(|bounds| (bounds.lo, bounds.hi)), Some((31, 60)));
    let outside = json!({ "fact": overdue, "between": { "lo": 0, "hi": 197_999 } });
    let outside = all.disclose(&body(&report, outside)).await.unwrap();
    assert_eq!((outside.outcome.as_str(), outside.reason.as_deref()), ("refused", Some("out_of_range")));

    // the same key is one disclosure
    let text = body(&report, json!({ "fact": overdue })).to_string();
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(post_with_key(&all.lender.dir, "/v1/disclosures", "k1", Role::Underwriter, text.as_bytes()).await);
    }
    assert_eq!((answers[0].0, &answers[0]), (200, &answers[1]));
    let other_body = body(&report, json!({ "fact": blacklist })).to_string();
    let reused =
        post_with_key(&all.lender.dir, "/v1/disclosures", "k1", Role::Underwriter, other_body.as_bytes()).await;
    assert_eq!(reused.0, 409);

    // what cannot be asked is not sent
    let stranger = all.check(STRANGER).await;
    let refused = |body: Value| {
        let all = &all;
        async move { all.disclose(&body).await.unwrap_err() }
    };
    assert_eq!(refused(body(&stranger, json!({}))).await.exit(), Exit::Usage, "no hit");
    for wrong in [
        json!({ "publisher": "INST-09" }),
        json!({ "fact": 3 }),
        json!({ "fact": null }),
        json!({ "check": "00".repeat(32) }),
        json!({ "between": { "lo": 2, "hi": 1 } }),
        json!({ "between": { "lo": 0, "hi": 4_294_967_296_u64 } }),
        json!({ "attribute": "name" }),
        json!({ "unknown": 1 }),
    ] {
        let error = refused(body(&report, wrong.clone())).await;
        assert_eq!(error.exit(), Exit::Usage, "{wrong} {error}");
        assert!(!error.to_string().contains(SUBJECT));
    }
    for none in [String::new(), "00".repeat(32)] {
        let no_consent = refused(body(&report, json!({ "consent_digest": none }))).await;
        assert_eq!(no_consent.exit(), Exit::Refused);
    }
    let operator: Result<Value, _> =
        all.lender.api(Role::Operator).post("/v1/disclosures", &body(&report, json!({}))).await;
    assert_eq!(operator.unwrap_err().exit(), Exit::NoAgent, "another role's token");
    let publisher: Result<Value, _> =
        all.one.api(Role::Underwriter).post("/v1/disclosures", &body(&report, json!({}))).await;
    assert_eq!(publisher.unwrap_err().exit(), Exit::Refused, "an agent that is no lender");

    // both sides logged every one of them, and the regulator reads who, when, why: not what
    let window = all.window().await + 1;
    all.logged_through(window + 1).await;
    let reconciled = all.reconcile(json!({ "through": window })).await;
    assert_eq!(omissions(&reconciled), BTreeSet::new(), "{:#?}", reconciled.findings);
    let counts = (reconciled.disclosures, reconciled.disclosure_receipts, reconciled.disclosures_matched);
    assert_eq!(counts, (5, 5, 5));
    let page: LogPage = all.regulator.api(Role::Auditor).get("/v1/audit/log").await.unwrap();
    assert_eq!((page.disclosures.len(), page.matching_disclosures), (5, 5));
    let statuses: BTreeSet<_> = page.disclosures.iter().map(|line| line.status.as_str()).collect();
    assert_eq!(statuses, BTreeSet::from(["disclosed", "out_of_range"]));
    let check = report["query"]["core_digest"].as_str().unwrap();
    assert!(page.disclosures.iter().all(|line| line.core_digest.unwrap().to_hex() == check));
    assert!(page.disclosures.iter().all(|line| line.consent_digest.to_hex() == "cd".repeat(32)));
    let trail: SubjectReport = all
        .regulator
        .api(Role::Auditor)
        .post("/v1/audit/subject", &json!({ "subject": { "resident_id": SUBJECT } }))
        .await
        .unwrap();
    assert_eq!((trail.trail.len(), trail.trail[0].disclosures.len()), (1, 5));
    let read = serde_json::to_string(&(&page.disclosures, &trail)).unwrap();
    for told in ["198000", "197999", "7654321", &commitment.leaf.to_hex()] {
        assert!(!read.contains(told), "the regulator reads {told}");
    }

    // what was kept of the check outlives a restart, and so does the answer under its key
    let lender = std::mem::replace(&mut all.lender, Agent::start(all.consortium.dir("NOBODY")));
    lender.stop().await.unwrap();
    all.lender = all.consortium.start("LENDER-01");
    all.lender.until("a fresh replica", |status| status["fresh"] == true).await;
    let again = all.disclose(&body(&report, json!({ "fact": overdue }))).await.unwrap();
    assert_eq!(again.value, Some(198_000));
    let kept = post_with_key(&all.lender.dir, "/v1/disclosures", "k1", Role::Underwriter, text.as_bytes()).await;
    assert_eq!(kept, answers[0]);

    let (asked, answered) = (agents::metrics(&all.lender.dir).await, agents::metrics(&all.one.dir).await);
    assert!(asked.contains("riskveil_disclosures_total{outcome=\"disclosed\"} 1"), "since the restart");
    assert!(answered.contains("riskveil_disclosures_answered_total{outcome=\"out_of_range\"} 1"));

    // nothing of the person or the value stands anywhere in the clear
    let consortium = all.stop().await;
    let needles = [SUBJECT.as_bytes().to_vec(), hex::encode(SUBJECT).into_bytes(), b"\"value\":198000".to_vec()];
    for file in NAMES.iter().flat_map(|name| files_below(&consortium.dir(name))) {
        let bytes = std::fs::read(&file).unwrap();
        for needle in &needles {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle), "{}", file.display());
        }
    }
}

/// INST-02's server, in the hands of somebody who has its keys and its records and lies about them.
struct Liar {
    stop: tokio::sync::watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    async fn start(all: &Four, lie: impl Fn(&mut Disclosed) + Send + Sync + Clone + 'static) -> Self {
        let dir = all.consortium.dir("INST-02");
        let keystore = Arc::new(all.keystore("INST-02"));
        let book = RecordBook::open(&dir.join("journal"), |name| keystore.journal_key(name)).unwrap();
        let book = Arc::new(book);
        let ledger = Ledger::open(&dir.join("chain"), all.consortium.genesis.clone()).unwrap().ledger;
        let identity = TlsIdentity::from_seed(&keystore.member().tls_seed).unwrap();
        let members = all.consortium.genesis.members.clone();
        let address = members.iter().find(|member| member.id == id("INST-02")).unwrap().peer_address.clone();
        let directory = Arc::new(Directory::new(members));
        let tls = identity.server_config(directory.clone()).unwrap();
        let chain_id = all.consortium.genesis.chain_id();
        let answer = move |bytes: bytes::Bytes| {
            let request = DisclosureRequest::decode(&bytes).unwrap();
            let own = book.by_tag(request.body.core.period, &request.body.tag).unwrap();
            let opening = own.held.seed.open(&own.held.record);
            let leaf = opening.commitment().leaf();
            let batches = own.commitment_batches.unwrap();
            let (batch_seq, index) = ledger.commitments().find(&id("INST-02"), batches, &leaf).unwrap().unwrap();
            let amount = opening.of(Attribute::Amount);
            let blinding = amount.blinding_bytes().expose(|blinding| *blinding);
            let mut disclosed = Disclosed {
                position: CommitmentPosition { batch_seq, index },
                rho: own.held.seed.rho(request.body.core.period, own.key_serial),
                static_salt: own.held.seed.static_salt(),
                shown: Shown::Value { value: amount.value(), blinding },
            };
            lie(&mut disclosed);
            let mut response = DisclosureResponse {
                header: MessageHeader::new(Kind::DisclosureResponse),
                request_digest: request.head.digest(),
                publisher: id("INST-02"),
                status: 0,
                tip_height: Height(1),
                served_at_s: now_s(),
                answer: codec::encode(&disclosed),
                signature: Signature::from_bytes([0; 64]),
            };
            let (digest, key) = (response.digest(), &keystore.member().identity);
            response.signature = Outcome::sign(&chain_id, &response.request_digest, 0, digest, key).signature;
            warp::reply::Response::new(response.encode().into())
        };
        let route = warp::path!("peer" / "v1" / "disclose").and(warp::post()).and(warp::body::bytes()).map(answer);
        let routes = participant_agent::api::problem::routes(route.boxed());
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let (stop, stopping) = tokio::sync::watch::channel(false);
        let task = tokio::spawn(serve_peers(listener, tls, directory, routes, Limits::PEERS, stopping));
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_lies_is_named_with_its_signature_and_one_that_hides_it_is_found() {
    let mut all = running().await;
    let report = all.check(SUBJECT).await;
    assert_eq!(verdict(&report, "INST-02"), "hit");
    let fact = number_of(&report, "INST-02", "overdue");
    let honest = all.disclose(&body(&report, json!({ "publisher": "INST-02", "fact": fact }))).await.unwrap();
    assert_eq!(honest.value, Some(198_000), "{honest:?}");
    let two = std::mem::replace(&mut all.two, Agent::start(all.consortium.dir("NOBODY")));
    two.stop().await.unwrap();

    // truth first, so that each lie below is the only difference
    let lies: [(fn(&mut Disclosed), &str); 5] = [
        (|_| {}, "disclosed"),
        (
            |told| {
                let Shown::Value { value, .. } = &mut told.shown else { return };
                *value += 1;
            },
            "opening_invalid",
        ),
        (|told| told.position.index ^= 1, "link_mismatch"),
        (|told| told.static_salt[0] ^= 1, "static_facts_mismatch"),
        (|told| told.position.batch_seq = 7, "not_on_chain"),
    ];
    for (lie, expected) in lies {
        let liar = Liar::start(&all, lie).await;
        let asked = body(&report, json!({ "publisher": "INST-02", "fact": fact }));
        let told = all.disclose(&asked).await.unwrap();
        liar.stop().await;
        if expected == "disclosed" {
            assert_eq!(told.value, Some(198_000), "{told:?}");
            continue;
        }
        assert_eq!((told.outcome.as_str(), told.reason.as_deref()), ("faulty", Some(expected)), "{told:?}");
        assert_eq!((told.publisher.as_str(), told.value), ("INST-02", None));
        let evidence = told.evidence.unwrap();
        let request = DisclosureRequest::decode(&hex::decode(evidence.request).unwrap()).unwrap();
        let bytes = hex::decode(evidence.response).unwrap();
        let response = DisclosureResponse::decode(&bytes, request.body.attribute, request.body.ask).unwrap();
        let outcome = Outcome { status: 0, response_digest: response.digest(), signature: response.signature };
        let members = &all.consortium.genesis.members;
        let key = members.iter().find(|member| member.id == id("INST-02")).unwrap().identity_key;
        outcome.verify(&all.consortium.genesis.chain_id(), &request.head.digest(), &key).unwrap();
    }
    let asked = body(&report, json!({ "publisher": "INST-02", "fact": fact }));
    let silent = all.disclose(&asked).await.unwrap();
    assert_eq!((silent.outcome.as_str(), silent.reason.as_deref()), ("unavailable", Some("not_reached")));

    // the liar logged none of them: the lender's log holds its signatures
    all.two = all.consortium.start("INST-02");
    let report = all.reconcile_when_due().await;
    let expected = BTreeSet::from([(FindingKind::ResponderOmitted, "INST-02".to_owned())]);
    assert_eq!(omissions(&report), expected, "{:#?}", report.findings);
    let omitted = report.findings.iter().filter(|finding| finding.kind == FindingKind::ResponderOmitted).count();
    assert_eq!((omitted, report.disclosures_matched), (5, 1));
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lender_that_asks_behind_its_logs_back_is_found_and_one_with_anothers_check_learns_nothing() {
    let mut all = running().await;
    let report = all.check(SUBJECT).await;
    let fact = number_of(&report, "INST-01", "overdue");
    all.disclose(&body(&report, json!({ "fact": fact }))).await.unwrap();

    // the lender's own request again, altered and signed anew by its key, past its agent and its log
    let mut request = {
        let liar_dir = all.consortium.dir("INST-02");
        let two = std::mem::replace(&mut all.two, Agent::start(all.consortium.dir("NOBODY")));
        two.stop().await.unwrap();
        assert!(liar_dir.exists());
        let liar = Liar::start(&all, |told| told.rho = [0; 32]).await;
        let fact = number_of(&report, "INST-02", "overdue");
        let asked = body(&report, json!({ "publisher": "INST-02", "fact": fact }));
        let told = all.disclose(&asked).await.unwrap();
        liar.stop().await;
        all.two = all.consortium.start("INST-02");
        DisclosureRequest::decode(&hex::decode(told.evidence.unwrap().request).unwrap()).unwrap()
    };
    let lender = all.keystore("LENDER-01");
    let identity = TlsIdentity::from_seed(&lender.member().tls_seed).unwrap();
    let peers = PeerClient::new(&identity, &Directory::new(all.consortium.genesis.members.clone())).unwrap();
    let ask = |request: DisclosureRequest| {
        let peers = &peers;
        async move {
            let to = request.head.publisher.clone();
            let content_type = "application/vnd.riskveil+binary; message=disclose-request; v=1";
            let bytes = peers.post(&to, DISCLOSE_PATH, content_type, request.encode(), Duration::from_secs(5)).await;
            let (attribute, what) = (request.body.attribute, request.body.ask);
            DisclosureResponse::decode(&bytes.unwrap(), attribute, what).unwrap()
        }
    };
    // a check that INST-02 evaluated, shown to INST-01: signed by the lender, and still not INST-01's
    request.head.publisher = id("INST-01");
    (request.head.nonce, request.head.issued_at_s) = ([9; 32], now_s());
    request.head.expires_at_s = request.head.issued_at_s + 5;
    request.signature = request.head.sign(&lender.member().identity);
    let refused = ask(request.clone()).await;
    assert_eq!(refused.refusal().unwrap().as_str(), "check_unknown");
    assert_eq!(ask(request.clone()).await.refusal().unwrap().as_str(), "replayed");
    request.head.nonce = [8; 32];
    assert_eq!(ask(request.clone()).await.refusal().unwrap().as_str(), "signature_invalid");
    // issued after INST-01 started, however short ago that was
    request.head.issued_at_s = now_s();
    request.head.expires_at_s = request.head.issued_at_s + 1;
    request.signature = request.head.sign(&lender.member().identity);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(ask(request.clone()).await.refusal().unwrap().as_str(), "expired");
    request.head.chain_id = Digest32::ZERO;
    request.signature = request.head.sign(&lender.member().identity);
    assert_eq!(ask(request).await.refusal().unwrap().as_str(), "not_addressed");

    let report = all.reconcile_when_due().await;
    let find = |kind| report.findings.iter().find(|finding| finding.kind == kind);
    let omitted = find(FindingKind::LenderOmitted).unwrap_or_else(|| panic!("{:#?}", report.findings));
    assert_eq!(omitted.party.as_str(), "LENDER-01");
    let signed = |proof: &Proof| matches!(proof, Proof::SignedDisclosure { head, .. } if head.nonce == [9; 32]);
    assert!(omitted.proof.iter().any(signed), "{omitted:#?}");
    all.stop().await;
}
