//! Nodes of a consortium agree: validators and observer, one validator alone, terms, a late joiner, one validator lost.

mod consortium;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use consortium::{Consortium, digest_at, outcome, reach, regulator, stop, submit, tip, validator};
use riskveil_chain::engine::certificate::{CertificateError, verify_certificate};
use riskveil_chain::ledger::Ledger;
use riskveil_chain::node::{Node, NodeError};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::ids::{Height, Period};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_and_an_observer_finalize_the_same_blocks_with_certificates() {
    let mut consortium = Consortium::new(4, |_| {});
    let nodes = consortium.start_validators();
    let observer = consortium.start(&regulator());
    let publisher = validator(1);
    // Three full batches: 2.2 MB of rows, about what fits beside each other in one block.
    let (mut publication, rows) = consortium.publication(&publisher, 8192);
    publication.extend(consortium.publication(&validator(2), 8192).0);
    publication.extend(consortium.publication(&validator(3), 8192).0);
    for submission in &publication {
        submit(&nodes, submission);
    }
    for sequence in 1..=20 {
        submit(&nodes, &consortium.audit_access(sequence));
    }
    let (last, code) = outcome(&observer, &regulator(), 20).await;
    assert_eq!(code, ReceiptCode::Applied);
    for publisher in [1, 2, 3].map(validator) {
        assert_eq!(outcome(&observer, &publisher, 2).await.1, ReceiptCode::Applied);
    }
    // One at a time, as a member does in quiet hours: from submission to finality at the observer.
    let mut waits = Vec::new();
    for sequence in 21..=28 {
        let begun = Instant::now();
        submit(&nodes, &consortium.audit_access(sequence));
        outcome(&observer, &regulator(), sequence).await;
        waits.push(begun.elapsed().as_millis());
    }
    let blocks = nodes[0].finality_latency();
    println!("submission to finality at an observer, ms: {waits:?}; block time to finality, ms: {blocks:?}");
    assert!(!blocks.is_empty());

    let height = tip(&observer);
    for node in &nodes {
        reach(node, height).await;
        for at in 1..=height {
            assert_eq!(digest_at(node, at).await, digest_at(&observer, at).await, "height {at}");
        }
    }
    let found = observer.ledger().index().lookup(Period(0), &publisher, 1, &rows[5].tag).unwrap().unwrap();
    assert_eq!(found.row.to_bytes(), rows[5].to_bytes());

    let proof = observer.finality(last).await.unwrap();
    assert_eq!(proof.headers[0].height, last);
    for pair in proof.headers.windows(2) {
        assert_eq!(pair[1].parent, pair[0].digest());
    }
    let certified = proof.headers.last().unwrap();
    let (chain_id, committee) = (consortium.genesis.chain_id(), consortium.genesis.validators());
    let verify = |committee: &[[u8; 32]], digest: Digest32| {
        verify_certificate(&chain_id, certified.term, committee, &digest, &proof.certificate)
    };
    assert_eq!(verify(&committee, certified.digest()), Ok(()));
    assert_eq!(verify(&committee, certified.parent), Err(CertificateError::Invalid));
    assert!(verify(&committee[1..], certified.digest()).is_err());
    assert!(observer.finality(Height(height + 1000)).await.is_none());
    assert!(observer.block(Height(height + 1000)).await.is_none());
    assert!(observer.metrics().contains("simplex"));

    for node in nodes.into_iter().chain([observer]) {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_validator_alone_finalizes_and_stops_when_asked() {
    let consortium = Consortium::new(1, |_| {});
    let node = consortium.start(&validator(1));
    for sequence in 1..=5 {
        node.ledger().submit(consortium.audit_access(sequence)).unwrap();
        assert_eq!(outcome(&node, &regulator(), sequence).await.1, ReceiptCode::Applied);
    }
    println!("one validator, block time to finality, ms: {:?}", node.finality_latency());
    // Blocks without transactions keep coming: the tip stays fresh.
    reach(&node, tip(&node) + 2).await;
    assert!(node.finality(Height(1)).await.is_some());
    let copy = node.clone();
    stop(node).await;
    copy.stopped().await.unwrap();
    assert!(copy.metrics().is_empty());
    assert!(copy.block(Height(1)).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_change_and_a_late_observer_gets_every_block() {
    let consortium = Consortium::new(4, |policy| {
        policy.term_blocks = 10;
        (policy.commit_delay_ms, policy.empty_block_ms) = (10, 40);
    });
    let nodes = consortium.start_validators();
    submit(&nodes, &consortium.audit_access(1));
    reach(&nodes[0], 45).await;
    for height in 1..=45 {
        let header = nodes[0].header(Height(height)).await.unwrap();
        assert_eq!(header.term, height / 10);
        let expected = (height % 10 == 9).then(|| consortium.genesis.validators());
        assert_eq!(header.next_committee, expected, "height {height}");
    }
    let engine = consortium.engine_dir(&validator(1));
    assert!(!engine.join("simplex-0").exists() && !engine.join("simplex-1").exists());
    assert!(engine.join("simplex-4").exists());

    let late = consortium.start(&regulator());
    let target = tip(&nodes[0]) + 5;
    reach(&late, target).await;
    reach(&nodes[0], target).await;
    for height in 1..=target {
        assert_eq!(digest_at(&late, height).await, digest_at(&nodes[0], height).await);
    }
    assert_eq!(outcome(&late, &regulator(), 1).await.1, ReceiptCode::Applied);
    // The boundary of a term can be proven by whoever came late.
    let proof = late.finality(Height(9)).await.unwrap();
    let (chain_id, committee) = (consortium.genesis.chain_id(), consortium.genesis.validators());
    let digest = proof.headers.last().unwrap().digest();
    assert_eq!(verify_certificate(&chain_id, 0, &committee, &digest, &proof.certificate), Ok(()));
    for node in nodes.into_iter().chain([late]) {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_goes_on_without_one_of_four_and_the_lost_one_catches_up() {
    let consortium = Consortium::new(4, |policy| (policy.commit_delay_ms, policy.empty_block_ms) = (20, 100));
    let mut nodes = consortium.start_validators();
    reach(&nodes[0], 5).await;
    stop(nodes.remove(3)).await;
    let lost_at = tip(&nodes[0]);
    submit(&nodes, &consortium.audit_access(1));
    assert_eq!(outcome(&nodes[0], &regulator(), 1).await.1, ReceiptCode::Applied);
    reach(&nodes[0], lost_at + 12).await;

    let back = consortium.start(&validator(4));
    reach(&back, tip(&nodes[0]) + 3).await;
    assert_eq!(outcome(&back, &regulator(), 1).await.1, ReceiptCode::Applied);
    assert_eq!(digest_at(&back, lost_at + 6).await, digest_at(&nodes[0], lost_at + 6).await);
    nodes.push(back);
    for node in nodes {
        stop(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_a_stranger_and_a_taken_port_are_refused_with_a_reason() {
    let consortium = Consortium::new(1, |_| {});
    let open = || Ledger::open(&consortium.ledger_dir(&validator(1)), consortium.genesis.clone()).unwrap();
    let mut config = consortium.config(&validator(1));
    config.engine_key = SecretBytes::from_bytes([9; 32]);
    assert!(matches!(Node::start(config, open()), Err(NodeError::KeyMismatch { .. })));
    let mut config = consortium.config(&validator(1));
    config.member = validator(2);
    assert!(matches!(Node::start(config, open()), Err(NodeError::NotMember { .. })));
    let config = consortium.config(&validator(1));
    let _taken = TcpListener::bind(config.listen).unwrap();
    let refused = Node::start(config, open()).unwrap_err();
    assert!(refused.to_string().starts_with("the consensus engine cannot listen on 127.0.0.1:"), "{refused}");
    // None of them left anything locked.
    drop(_taken);
    let node = tokio::time::timeout(Duration::from_secs(10), async { consortium.start(&validator(1)) }).await.unwrap();
    reach(&node, 1).await;
    stop(node).await;
}
