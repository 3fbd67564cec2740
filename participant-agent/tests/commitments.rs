//! Commitments through whole agents: made and verified in the background, published once whatever happens, and a proof that does not
//! hold named at every member.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod agents;

use std::time::{Duration, Instant};

use agents::{Agent, Consortium, HEADER, LENDER, NAMES, PATIENCE, PUBLISHER, REGULATOR, VALIDATOR, verdict};
use participant_agent::api::auth::Role;
use participant_agent::api::models::{CommitmentsPage, CommitmentsSummary};
use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::outbox::courier::{SUBMISSION_CONTENT_TYPE, SUBMISSION_PATH};
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::records::RecordBook;
use participant_agent::regulator::Reconciled;
use rand::rngs::OsRng;
use riskveil_chain::tx::{PayloadRef, PublishCommitments, SignedTransaction, Submission, Transaction, TxBody};
use riskveil_crypto::digest::sha256;
use riskveil_crypto::{SecretBytes, merkle};
use riskveil_exchange::audit::{FindingKind, Proof};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::member::Roles;
use riskveil_exchange::publish::commitment_batch::commitment_at;
use riskveil_exchange::publish::plan_commitments;
use serde_json::{Value, json};

const SUBJECT: &str = "513230196105128094";
const FOUR: [(&str, Roles); 4] =
    [("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)];

fn is_fresh(status: &Value) -> bool {
    status["fresh"] == true && status["height"].as_u64() > Some(0)
}

/// A record of the subject and `others` of mobile numbers from `first` on.
fn records(first: u32, others: u32) -> String {
    let subject = format!("resident_id,{SUBJECT},张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n");
    let other = |n: u32| format!("mobile,139{:08},李四,,fraud,3,70000,{n},CNY,2026-02-03,b{n}\n", first + n);
    [HEADER.to_owned(), subject].into_iter().chain((0..others).map(other)).collect()
}

async fn start(consortium: &Consortium, names: &[&str]) -> Vec<Agent> {
    let mut agents: Vec<Agent> = names.iter().map(|name| consortium.start(name)).collect();
    for agent in &mut agents {
        agent.until("a fresh replica", is_fresh).await;
    }
    agents
}

async fn stop_all(agents: Vec<Agent>) {
    for agent in agents {
        agent.stop().await.unwrap();
    }
}

fn summary(status: &Value) -> CommitmentsSummary {
    serde_json::from_value(status["commitments"].clone()).unwrap()
}

async fn page(agent: &Agent) -> CommitmentsPage {
    agent.api(Role::Operator).get("/v1/chain/commitments").await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_answer_while_commitments_are_unproved_and_all_become_proved_at_every_member() {
    let consortium = Consortium::new(&FOUR, |_| {});
    let mut agents = start(&consortium, &NAMES).await;
    let (one, two) = (agents[0].publish(&records(0, 700)).await, agents[1].publish(HEADER).await);
    let height = one["height"].as_u64().max(two["height"].as_u64());
    agents[2].until("the publications", |status| status["height"].as_u64() >= height).await;

    // nothing waits for range proofs: those of 1,024 commitments take some seconds
    let report = agents[2].check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&report, "INST-01"), "hit", "{report:#}");
    assert_eq!(verdict(&report, "INST-02"), "clear", "{report:#}");
    let proved = summary(&agents[0].status().await.unwrap()).proved;
    assert!(proved < 2, "the answer came before the proofs");

    for agent in &mut agents {
        let status = agent.until("verified range proofs", |status| summary(status).proved == 2).await;
        let summary = summary(&status);
        assert_eq!((summary.batches, summary.unproved, summary.invalid, summary.chunks_left), (2, 0, 0, 0));
        assert_eq!((summary.on_chain, summary.verified.chunks), (1024 + 64, 17));
        let page = page(agent).await;
        assert_eq!((page.total, page.next), (2, None));
        let counts: Vec<(String, u32, u32)> =
            page.batches.iter().map(|b| (b.publisher.to_string(), b.batch_seq, b.count)).collect();
        assert!(counts.contains(&("INST-01".into(), 0, 1024)), "{counts:?}");
        assert!(counts.contains(&("INST-02".into(), 0, 64)), "an empty file has a batch of padding: {counts:?}");
        assert!(page.batches.iter().all(|batch| batch.range_proofs == "proved"));
        let metrics = agents::metrics(&agent.dir).await;
        assert!(metrics.contains("riskveil_commitment_batches{range_proofs=\"proved\"} 2"), "{metrics}");
        assert!(metrics.contains("riskveil_range_proof_chunks_total{work=\"verified\"} 17"), "{metrics}");
    }
    let id = one["id"].as_str().unwrap();
    let published = agents[0].published(id).await;
    assert_eq!(published["commitments"], json!({ "total": 1024, "proved": 1024, "published": 1024 }));

    // the same file again commits to nothing; one more record is one more batch
    agents[0].publish(&records(0, 700)).await;
    let delta = agents[0].publish(&records(5000, 1)).await;
    assert_eq!(delta["accepted"], 1);
    for agent in &mut agents {
        let status = agent.until("the delta's range proofs", |status| summary(status).proved == 3).await;
        assert_eq!(summary(&status).on_chain, 1024 + 64 + 64);
    }
    stop_all(agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_is_stopped_while_it_proves_goes_on_and_commits_to_every_record_once() {
    let consortium = Consortium::new(&FOUR, |_| {});
    let mut agents = start(&consortium, &NAMES).await;
    agents[0].publish(&records(0, 700)).await;
    let own = |status: &Value| summary(status).own.unwrap();
    agents[0].until("some proofs", |status| own(status).proved >= 128).await;
    agents.remove(0).stop().await.unwrap();
    agents.insert(0, consortium.start("INST-01"));
    let status = agents[0].until("the publisher again", is_fresh).await;
    assert!(own(&status).proved >= 128, "made proofs are kept: {:?}", own(&status));
    assert_eq!(own(&status).total, 1024, "so is the plan");
    for agent in &mut agents {
        agent.until("verified range proofs", |status| summary(status).proved == 1).await;
    }
    let status = agents[0].status().await.unwrap();
    let summary = summary(&status);
    assert_eq!((summary.on_chain, summary.batches, summary.invalid), (1024, 1, 0));
    assert!(summary.made.unwrap().chunks <= 14, "two chunks and more were proven before: {:?}", summary.made);

    // again after everything: nothing is planned, proven or verified twice
    agents.remove(0).stop().await.unwrap();
    agents.insert(0, consortium.start("INST-01"));
    agents[0].until("the publisher again", is_fresh).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = self::summary(&agents[0].status().await.unwrap());
    assert_eq!((after.on_chain, after.proved), (1024, 1));
    assert_eq!((after.made.unwrap().chunks, after.verified.chunks), (0, 0));
    stop_all(agents).await;
}

/// The payload of a batch of padding commitments of INST-02, with its proofs.
fn honest_payload(consortium: &Consortium) -> Vec<u8> {
    let batch = plan_commitments(Vec::new(), &SecretBytes::random(&mut OsRng), 64).unwrap().remove(0);
    let publisher = MemberId::new("INST-02").unwrap();
    let proof = batch.prove_chunk(&consortium.genesis.chain_id(), &publisher, 0, &mut OsRng).unwrap();
    batch.payload(std::slice::from_ref(&proof)).unwrap()
}

/// Puts a payload of 64 commitments on chain as the first batch of INST-02, signed with INST-02's own key.
async fn publish_as_inst_02(consortium: &Consortium, payload: Vec<u8>) {
    let (dir, genesis) = (consortium.dir("INST-02"), &consortium.genesis);
    let (publisher, chain_id) = (MemberId::new("INST-02").unwrap(), genesis.chain_id());
    let keystore = Keystore::open(&dir, &Unlock::KeyFile).unwrap();
    let leaf = |index| commitment_at(&payload, 64, index).unwrap().leaf();
    let leaves: Vec<_> = (0..64).map(|index| merkle::leaf_hash(leaf(index).as_bytes())).collect();
    let commitments = PayloadRef {
        digest: sha256(&payload),
        len: u32::try_from(payload.len()).unwrap(),
        count: 64,
        root: merkle::root_of_hashes(&leaves),
    };
    let body = TxBody::PublishCommitments(PublishCommitments { batch_seq: 0, commitments });
    let transaction = Transaction::new(chain_id, publisher, 1, Height(5000), body);
    let transaction = SignedTransaction::sign(transaction, &keystore.member().identity);
    let submission = Submission { transaction, payload: Some(payload) }.encode();
    let identity = TlsIdentity::from_seed(&keystore.member().tls_seed).unwrap();
    let client = PeerClient::new(&identity, &Directory::new(genesis.members.iter().cloned())).unwrap();
    let validator = MemberId::new("INST-01").unwrap();
    let patience = Duration::from_secs(10);
    client.post(&validator, SUBMISSION_PATH, SUBMISSION_CONTENT_TYPE, submission, patience).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_proof_that_does_not_hold_is_named_at_every_member_and_to_the_regulator() {
    let consortium = Consortium::new(&FOUR, |_| {});
    let others = ["INST-01", "LENDER-01", "REGULATOR-01"];
    let mut agents = start(&consortium, &others).await;
    let mut forged = honest_payload(&consortium);
    *forged.last_mut().unwrap() ^= 1;
    publish_as_inst_02(&consortium, forged).await;
    for agent in &mut agents {
        agent.until("a verdict", |status| summary(status).invalid == 1).await;
        let page = page(agent).await;
        let batch = &page.batches[0];
        assert_eq!((batch.publisher.as_str(), batch.batch_seq, batch.range_proofs.as_str()), ("INST-02", 0, "invalid"));
        assert_eq!((batch.chunk, batch.attribute.map(|attribute| attribute.as_str())), (Some(0), Some("amount")));
        let metrics = agents::metrics(&agent.dir).await;
        assert!(metrics.contains("riskveil_commitment_batches{range_proofs=\"invalid\"} 1"), "{metrics}");
    }
    let deadline = Instant::now() + PATIENCE;
    let findings = loop {
        let through = agents[2].status().await.unwrap()["logged_through"].clone();
        let report = agents[2].api(Role::Auditor);
        let report: Result<Reconciled, _> = report.post("/v1/audit/reconcile", &json!({ "through": 0 })).await;
        match report {
            Ok(report) => break report.findings,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}, logged through {through}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let named = findings.iter().find(|finding| finding.kind == FindingKind::RangeProofInvalid).unwrap();
    assert_eq!(named.party.as_str(), "INST-02");
    assert!(matches!(named.proof[0], Proof::Commitments { batch_seq: 0, chunk: 0, .. }), "{named:?}");

    // a verdict is remembered: after a restart it is there at once
    agents.remove(1).stop().await.unwrap();
    agents.insert(1, consortium.start("LENDER-01"));
    let status = agents[1].until("the lender again", is_fresh).await;
    assert_eq!((summary(&status).invalid, summary(&status).verified.chunks), (1, 0));
    stop_all(agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_a_commitment_of_another_first_has_an_invalid_batch_and_the_owner_does_not_flood_the_chain() {
    let consortium = Consortium::new(&FOUR, |_| {});
    let others = ["INST-01", "LENDER-01", "REGULATOR-01"];
    let mut agents = start(&consortium, &others).await;
    agents[0].publish(&records(0, 300)).await;
    agents[0].until("some proofs", |status| summary(status).own.unwrap().proved >= 64).await;
    agents.remove(0).stop().await.unwrap();

    // INST-01 validates alone, so the copy has to be first in its mempool: it comes from the courier of INST-02
    let dir = consortium.dir("INST-01");
    let keystore = Keystore::open(&dir, &Unlock::KeyFile).unwrap();
    let book = RecordBook::open(&dir.join("journal"), |name| keystore.journal_key(name)).unwrap();
    let held = &book.held(0..1)[0];
    let stolen = held.seed.open(&held.record).commitment();
    drop(book);
    let mut payload = honest_payload(&consortium);
    let mut all: Vec<_> = (1..64).map(|index| commitment_at(&payload, 64, index).unwrap()).chain([stolen]).collect();
    all.sort_by_key(|commitment| commitment.leaf());
    for (place, commitment) in payload.chunks_mut(96).zip(&all) {
        place.copy_from_slice(&commitment.to_bytes());
    }
    agents.insert(0, consortium.start("INST-01"));
    agents[0].until("the validator again", is_fresh).await;
    publish_as_inst_02(&consortium, payload).await;

    for agent in &mut agents {
        agent.until("a verdict", |status| summary(status).invalid == 1).await;
        let page = page(agent).await;
        assert_eq!((page.batches[0].publisher.as_str(), page.batches[0].range_proofs.as_str()), ("INST-02", "invalid"));
    }
    let status = agents[0].until("every proof", |status| summary(status).own.unwrap().proved == 512).await;
    let bytes = status["bytes_on_chain"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let status = agents[0].status().await.unwrap();
    assert_eq!((summary(&status).own.unwrap().published, summary(&status).on_chain), (0, 64), "the batch is refused");
    let more = status["bytes_on_chain"].as_u64().unwrap() - bytes;
    // once 64,512 bytes, and the log windows of three members; tried every 5 s it would be three times
    assert!(more < 220_000, "a refused batch is not sent again and again: {more} bytes in 12 s");
    stop_all(agents).await;
}
