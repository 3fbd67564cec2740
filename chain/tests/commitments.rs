//! Commitments on chain: one sequence a publisher over all periods, no leaf twice by whatever way it comes, and range proofs
//! that nobody waits for.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{Chain, Consortium, PERIOD_S, commitments, commitments_of, id, publish_commitments, rng};
use riskveil_chain::block::Block;
use riskveil_chain::receipt::ReceiptCode::*;
use riskveil_chain::state::StateRead;
use riskveil_chain::tx::{Submission, TxBody};
use riskveil_crypto::SecretBytes;
use riskveil_exchange::publish::commitment::Attribute;
use riskveil_exchange::publish::commitment_batch::{RangeProofInvalid, plan_commitments, verify_chunk};

/// As many commitments as `commitments(seed, 64)` with one of `commitments(other, 64)` among them.
fn with_one_of(seed: u64, other: u64) -> Vec<u8> {
    let split = |bytes: Vec<u8>| -> Vec<Vec<u8>> { bytes[..64 * 96].chunks(96).map(<[u8]>::to_vec).collect() };
    let mut all = split(commitments(seed, 64));
    all[17] = split(commitments(other, 64))[40].clone();
    commitments_of(all)
}

fn act(chain: &mut Chain, publisher: &str, batch_seq: u32, payload: Vec<u8>) -> riskveil_chain::receipt::ReceiptCode {
    let body = publish_commitments(batch_seq, &payload);
    chain.act(publisher, TxBody::PublishCommitments(body), Some(payload))
}

fn submission(chain: &Chain, publisher: &str, sequence: u64, batch_seq: u32, payload: Vec<u8>) -> Submission {
    let body = TxBody::PublishCommitments(publish_commitments(batch_seq, &payload));
    Submission { transaction: chain.consortium.sign(publisher, sequence, 100, body), payload: Some(payload) }
}

fn codes(chain: &Chain, publisher: &str, sequences: std::ops::RangeInclusive<u64>) -> Vec<u16> {
    let code = |n| chain.ledger.outcome(&id(publisher), n).unwrap().unwrap().2.number();
    sequences.map(code).collect()
}

#[test]
fn batches_of_a_publisher_are_counted_over_all_periods() {
    let mut chain = Chain::new();
    chain.commit("INST-01", 0, 64);
    let second = chain.commit("INST-01", 1, 128);
    chain.at(PERIOD_S + 5);
    chain.commit("INST-01", 2, 64);
    chain.commit("INST-02", 0, 64);
    let view = chain.ledger.view();
    let counted = view.commitments(&id("INST-01"));
    assert_eq!((counted.batch_count, counted.total), (3, 256));
    let batches: Vec<(String, u32, u32)> =
        view.commitment_batches().into_iter().map(|(p, seq, batch)| (p.to_string(), seq, batch.count)).collect();
    let expected = [("INST-01", 0, 64), ("INST-01", 1, 128), ("INST-01", 2, 64), ("INST-02", 0, 64)];
    assert_eq!(batches, expected.map(|(p, seq, count)| (p.to_owned(), seq, count)));
    assert_eq!(view.leaves.len(), 320);
    let index = chain.ledger.commitments();
    assert_eq!(index.payload(&id("INST-01"), 1).unwrap(), second);
    assert_eq!(index.at(&id("INST-01"), 1, 5).unwrap().unwrap().to_bytes(), second[5 * 96..6 * 96]);
    let leaf = index.at(&id("INST-01"), 1, 5).unwrap().unwrap().leaf();
    assert_eq!(index.find(&id("INST-01"), 0..9, &leaf).unwrap(), Some((1, 5)));
    assert_eq!(index.find(&id("INST-01"), 2..9, &leaf).unwrap(), None);
    assert_eq!(index.find(&id("INST-02"), 0..9, &leaf).unwrap(), None);
    let entries = view.state.len();
    assert!(entries < 30, "{entries} state entries: none is a leaf's");
}

#[test]
fn a_leaf_twice_is_refused_in_one_batch_across_batches_and_across_publishers() {
    let mut chain = Chain::new();
    let mut twice: Vec<Vec<u8>> = commitments(1, 64)[..64 * 96].chunks(96).map(<[u8]>::to_vec).collect();
    twice[1] = twice[0].clone();
    assert_eq!(act(&mut chain, "INST-01", 0, commitments_of(twice)), CommitmentsOrder);
    assert_eq!(act(&mut chain, "INST-01", 0, commitments(1, 64)), Applied);
    assert_eq!(act(&mut chain, "INST-01", 1, commitments(1, 64)), LeafSeen);
    assert_eq!(act(&mut chain, "INST-01", 1, with_one_of(2, 1)), LeafSeen);
    assert_eq!(act(&mut chain, "INST-02", 0, with_one_of(2, 1)), LeafSeen);
    assert_eq!(act(&mut chain, "INST-02", 0, commitments(2, 64)), Applied);
    assert_eq!(act(&mut chain, "INST-01", 1, with_one_of(3, 2)), LeafSeen);
    assert_eq!(chain.ledger.view().leaves.len(), 128);
}

#[test]
fn a_leaf_twice_is_refused_in_one_block_and_when_an_unfinalized_ancestor_has_it() {
    let mut chain = Chain::new();
    let first = submission(&chain, "INST-01", 1, 0, commitments(1, 64));
    let same = submission(&chain, "INST-02", 1, 0, with_one_of(2, 1));
    let block = chain.block(vec![first, same]);
    assert_eq!(block.transactions.len(), 2);
    assert_eq!(codes(&chain, "INST-01", 1..=1), [Applied.number()]);
    assert_eq!(codes(&chain, "INST-02", 1..=1), [LeafSeen.number()]);

    // Three blocks ahead of finality: the second repeats a leaf of the first, the third one of the finalized block.
    let (mut parent, mut ancestors) = (chain.tip(), Vec::<Arc<Block>>::new());
    let branch = [
        submission(&chain, "INST-01", 2, 1, commitments(3, 64)),
        submission(&chain, "INST-02", 2, 0, with_one_of(4, 3)),
        submission(&chain, "INST-02", 3, 0, with_one_of(5, 1)),
    ];
    for (n, submission) in (1..).zip(branch) {
        let time_ms = chain.time_ms + n * 1000;
        let block = chain.ledger.propose(&parent, &ancestors, time_ms, chain.proposer(), vec![submission]).unwrap();
        parent = block.header.clone();
        ancestors.push(Arc::new(block));
    }
    // A validator that saw nothing but the finalized block comes to the same result.
    let dir = tempfile::tempdir().unwrap();
    let other = Chain::open(dir.path(), Consortium::new());
    other.ledger.finalize(&chain.blocks[0]).unwrap();
    for (n, block) in ancestors.iter().enumerate() {
        let parent = if n == 0 { chain.tip() } else { ancestors[n - 1].header.clone() };
        other.ledger.verify(block, &parent, &ancestors[..n]).unwrap();
    }
    for block in &ancestors {
        chain.ledger.finalize(block).unwrap();
        other.ledger.finalize(block).unwrap();
    }
    for chain in [&chain, &other] {
        assert_eq!(codes(chain, "INST-01", 2..=2), [Applied.number()]);
        assert_eq!(codes(chain, "INST-02", 2..=3), [LeafSeen.number(); 2]);
        assert_eq!(chain.ledger.view().leaves.len(), 128);
    }
}

#[test]
fn a_wrong_length_count_or_sender_is_refused() {
    let mut chain = Chain::new();
    let payload = commitments(1, 64);
    let mut longer = payload.clone();
    longer.push(0);
    let mut body = publish_commitments(0, &payload);
    body.commitments.digest = riskveil_crypto::digest::sha256(&longer);
    let code = chain.act("INST-01", TxBody::PublishCommitments(body.clone()), Some(longer.clone()));
    assert_eq!(code, PayloadLength);
    body.commitments.len += 1;
    assert_eq!(chain.act("INST-01", TxBody::PublishCommitments(body), Some(longer)), CommitmentsCount);
    // 512 is a bucket, and more than the policy's 256.
    assert_eq!(act(&mut chain, "INST-01", 0, commitments(1, 512)), CommitmentsCount);
    assert_eq!(act(&mut chain, "LENDER-01", 0, payload.clone()), RoleMissing);
    assert_eq!(act(&mut chain, "INST-01", 0, payload), Applied);
}

#[test]
fn a_batch_with_one_bad_range_proof_is_applied_and_the_chunk_is_named_later() {
    let mut chain = Chain::new();
    let (chain_id, publisher) = (*chain.ledger.chain_id(), id("INST-01"));
    let batch = plan_commitments(Vec::new(), &SecretBytes::from_bytes([1; 32]), 256).unwrap().remove(0);
    let proof = batch.prove_chunk(&chain_id, &publisher, 0, &mut rng(1)).unwrap();
    let honest = batch.payload(std::slice::from_ref(&proof)).unwrap();
    let mut forged = honest.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    assert_eq!(act(&mut chain, "INST-01", 0, forged.clone()), Applied, "range proofs are off the vote path");
    let replicated = chain.ledger.commitments().payload(&publisher, 0).unwrap();
    let invalid = RangeProofInvalid { chunk: 0, attribute: Attribute::Amount };
    assert_eq!(verify_chunk(&chain_id, &publisher, &replicated, 64, 0), Err(invalid));
    assert_eq!(verify_chunk(&chain_id, &publisher, &honest, 64, 0), Ok(()));
    assert!(verify_chunk(&chain_id, &id("INST-02"), &honest, 64, 0).is_err(), "a proof is of one publisher");
}
