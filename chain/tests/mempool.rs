//! Admission says no for each of its reasons, and `take` gives what a block can carry, in order.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Chain, id, publish_rows, rows};
use riskveil_chain::mempool::{AdmissionError, Limits, Mempool};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::tx::{SignedTransaction, Submission, Transaction, TxBody};
use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::Height;

fn plain(chain: &Chain, sender: &str, sequence: u64, expiry: u64) -> Submission {
    let transaction = chain.consortium.sign(sender, sequence, expiry, TxBody::Vote(vec![0; 40]));
    Submission { transaction, payload: None }
}

fn changed(chain: &Chain, change: fn(&mut Transaction)) -> Submission {
    let mut transaction = plain(chain, "INST-01", 1, 50).transaction.transaction;
    change(&mut transaction);
    let transaction = SignedTransaction::sign(transaction, &chain.consortium.identities[&id("INST-01")]);
    Submission { transaction, payload: None }
}

#[test]
fn admission_is_idempotent_by_id_and_forgets_what_is_final() {
    let mut chain = Chain::new();
    let submission = plain(&chain, "INST-01", 1, 50);
    let first = chain.ledger.submit(submission.clone()).unwrap();
    let again = chain.ledger.submit(submission.clone()).unwrap();
    assert!(first.new && !again.new && first.id == again.id && first.id == submission.transaction.id());
    assert_eq!(chain.ledger.mempool().len(), 1);
    let candidates = chain.ledger.candidates(&chain.tip(), &[]).unwrap();
    chain.block(candidates);
    assert!(chain.ledger.mempool().is_empty());
    let used = chain.ledger.submit(submission);
    assert_eq!(used, Err(AdmissionError::SequenceUsed { sequence: 1, last: 1 }));
    let outcome = chain.ledger.outcome(&id("INST-01"), 1).unwrap();
    assert_eq!(outcome, Some((first.id, Height(1), ReceiptCode::KindReserved)));
}

#[test]
fn each_rule_of_admission_refuses() {
    let chain = Chain::new();
    let submit = |submission| chain.ledger.submit(submission).unwrap_err();
    let refused = AdmissionError::Refused;
    assert_eq!(submit(changed(&chain, |t| t.header.version = 2)), refused(ReceiptCode::HeaderUnexpected));
    assert_eq!(submit(changed(&chain, |t| t.chain_id = Digest32::ZERO)), refused(ReceiptCode::WrongChain));
    assert_eq!(submit(changed(&chain, |t| t.sender = id("NOBODY"))), refused(ReceiptCode::SenderUnknown));
    assert_eq!(submit(changed(&chain, |t| t.sender = id("INST-02"))), refused(ReceiptCode::SignatureInvalid));
    assert_eq!(submit(changed(&chain, |t| t.expiry_height = Height(0))), refused(ReceiptCode::Expired));
    assert_eq!(submit(changed(&chain, |t| t.expiry_height = Height(10_001))), refused(ReceiptCode::ExpiryTooFar));
    let oversize = changed(&chain, |t| t.body = TxBody::Vote(vec![0; 17 << 10]));
    assert_eq!(submit(oversize), refused(ReceiptCode::Malformed));
    let far = changed(&chain, |t| t.sequence = 4097);
    assert_eq!(submit(far), AdmissionError::SequenceTooFar { sequence: 4097, last: 0 });
    assert_eq!(submit(changed(&chain, |t| t.sequence = 0)), AdmissionError::SequenceUsed { sequence: 0, last: 0 });

    chain.ledger.submit(plain(&chain, "INST-01", 1, 50)).unwrap();
    assert_eq!(submit(plain(&chain, "INST-01", 1, 51)), AdmissionError::SequenceTaken(1));

    let bytes = rows(1, 64);
    let body = || TxBody::PublishRows(publish_rows(0, 0, &rows(1, 64)));
    let publish = |payload| Submission { transaction: chain.consortium.sign("INST-02", 1, 50, body()), payload };
    assert_eq!(submit(publish(None)), AdmissionError::PayloadMismatch);
    assert_eq!(submit(publish(Some(bytes[1..].to_vec()))), AdmissionError::PayloadMismatch);
    assert_eq!(submit(publish(Some(rows(2, 64)))), AdmissionError::PayloadMismatch);
    let mut unasked = plain(&chain, "INST-02", 1, 50);
    unasked.payload = Some(vec![1]);
    assert_eq!(submit(unasked), AdmissionError::PayloadMismatch);
    assert_eq!(submit(publish(Some(vec![0; 1 << 20]))), AdmissionError::TooLarge);
    assert!(chain.ledger.submit(publish(Some(bytes))).unwrap().new);
}

#[test]
fn a_sender_fills_its_own_share_and_all_senders_the_pool() {
    let chain = Chain::new();
    let view = chain.ledger.view();
    let one = plain(&chain, "INST-01", 1, 50).block_bytes();
    let limits = Limits { sender_bytes: 2 * one, ..Limits::new(1 << 20) };
    let by_sender = Mempool::new(*chain.ledger.chain_id(), limits);
    for sequence in 1..=2 {
        by_sender.admit(plain(&chain, "INST-01", sequence, 50), &view).unwrap();
    }
    let third = || plain(&chain, "INST-01", 3, 50);
    assert_eq!(by_sender.admit(third(), &view), Err(AdmissionError::SenderFull));
    by_sender.admit(plain(&chain, "INST-02", 1, 50), &view).unwrap();

    for limits in [Limits { transactions: 2, ..limits }, Limits { bytes: 2 * one, ..limits }] {
        let full = Mempool::new(*chain.ledger.chain_id(), limits);
        full.admit(plain(&chain, "INST-01", 1, 50), &view).unwrap();
        full.admit(plain(&chain, "INST-02", 1, 50), &view).unwrap();
        assert_eq!(full.admit(plain(&chain, "INST-02", 2, 50), &view), Err(AdmissionError::Full));
        assert!(!full.admit(plain(&chain, "INST-02", 1, 50), &view).unwrap().new, "idempotent even when full");
    }
}

#[test]
fn candidates_are_in_order_of_arrival_and_of_sequence_without_gaps() {
    let chain = Chain::new();
    for (sender, sequence) in [("INST-02", 2), ("INST-01", 1), ("INST-02", 1), ("INST-01", 3), ("LENDER-01", 1)] {
        chain.ledger.submit(plain(&chain, sender, sequence, 50)).unwrap();
    }
    let candidates = chain.ledger.candidates(&chain.tip(), &[]).unwrap();
    let order: Vec<(String, u64)> = candidates
        .iter()
        .map(|s| (s.transaction.transaction.sender.to_string(), s.transaction.transaction.sequence))
        .collect();
    let named = |name: &str, n| (name.to_owned(), n);
    assert_eq!(order, [named("INST-01", 1), named("INST-02", 1), named("INST-02", 2), named("LENDER-01", 1)]);
}

#[test]
fn candidates_of_a_child_leave_out_what_the_unfinalized_parent_carries() {
    let mut chain = Chain::new();
    for sequence in 1..=3 {
        chain.ledger.submit(plain(&chain, "INST-01", sequence, 50)).unwrap();
    }
    let mut candidates = chain.ledger.candidates(&chain.tip(), &[]).unwrap();
    candidates.truncate(2);
    chain.time_ms += 1000;
    let parent = chain.ledger.propose(&chain.tip(), &[], chain.time_ms, chain.proposer(), candidates).unwrap();
    let ancestors = common::shared(std::slice::from_ref(&parent));
    let rest = chain.ledger.candidates(&parent.header, &ancestors).unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].transaction.transaction.sequence, 3);
    let child = chain.ledger.propose(&parent.header, &ancestors, chain.time_ms + 1, chain.proposer(), rest).unwrap();
    chain.ledger.verify(&child, &parent.header, &ancestors).unwrap();
    chain.ledger.finalize(&parent).unwrap();
    chain.ledger.finalize(&child).unwrap();
    assert!(chain.ledger.mempool().is_empty());
}

#[test]
fn expired_transactions_leave_the_pool() {
    let mut chain = Chain::new();
    chain.ledger.submit(plain(&chain, "INST-01", 2, 2)).unwrap();
    chain.block(Vec::new());
    assert_eq!(chain.ledger.mempool().len(), 1);
    chain.block(Vec::new());
    assert!(chain.ledger.mempool().is_empty());
}

#[test]
fn a_block_takes_no_more_than_its_size() {
    let mut chain = Chain::new();
    chain.announce("INST-01", 0);
    let first = chain.ledger.view().header.height.0 + 60;
    for n in 0..50 {
        let rows = rows(n, 256);
        let body = TxBody::PublishRows(publish_rows(0, u32::try_from(n).unwrap(), &rows));
        let transaction = chain.consortium.sign("INST-01", n + 2, first, body);
        chain.ledger.submit(Submission { transaction, payload: Some(rows) }).unwrap();
    }
    let mut blocks = 0;
    while !chain.ledger.mempool().is_empty() {
        let candidates = chain.ledger.candidates(&chain.tip(), &[]).unwrap();
        let block = chain.block(candidates);
        assert!(block.encode().len() <= 1 << 20 && !block.transactions.is_empty());
        blocks += 1;
    }
    assert_eq!(blocks, 2);
}
