//! An honest validator votes for no block that breaks a rule, each rule with a block that breaks it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{Chain, publish_rows, rows};
use riskveil_chain::block::{self, Block};
use riskveil_chain::error::BlockInvalid;
use riskveil_chain::tx::{Submission, TxBody};
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_exchange::ids::Height;

/// A chain and a valid block on its tip that is not final.
fn proposed() -> (Chain, Block) {
    let mut chain = Chain::new();
    chain.announce("INST-01", 0);
    let rows = rows(1, 64);
    let transaction = chain.sign("INST-01", TxBody::PublishRows(publish_rows(0, 0, &rows)));
    let submission = Submission { transaction, payload: Some(rows) };
    chain.time_ms += 1000;
    let block = chain.ledger.propose(&chain.tip(), &[], chain.time_ms, chain.proposer(), vec![submission]).unwrap();
    assert_eq!(block.transactions.len(), 1);
    (chain, block)
}

#[test]
fn each_rule_of_a_block_refuses() {
    let (chain, good) = proposed();
    let parent = chain.tip();
    assert_eq!(chain.ledger.verify(&good, &parent, &[]), Ok(()));
    let refused = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        chain.ledger.verify(&block, &parent, &[]).unwrap_err()
    };
    assert_eq!(refused(&|b| b.header.header.version = 2), BlockInvalid::Header);
    assert_eq!(refused(&|b| b.header.chain_id = Digest32::ZERO), BlockInvalid::Chain);
    assert_eq!(refused(&|b| b.header.height = Height(9)), BlockInvalid::Parent);
    assert_eq!(refused(&|b| b.header.parent = Digest32::ZERO), BlockInvalid::Parent);
    assert_eq!(refused(&|b| b.header.time_ms = parent.time_ms), BlockInvalid::Time);
    assert_eq!(refused(&|b| b.header.term = 1), BlockInvalid::Term);
    assert_eq!(refused(&|b| b.header.proposer = [9; 32]), BlockInvalid::Proposer);
    assert_eq!(refused(&|b| b.header.next_committee = Some(vec![])), BlockInvalid::NextCommittee);
    assert_eq!(refused(&|b| b.header.tx_root = Digest32::ZERO), BlockInvalid::TxRoot);
    assert_eq!(refused(&|b| b.header.payload_root = Digest32::ZERO), BlockInvalid::PayloadRoot);
    assert_eq!(refused(&|b| b.header.receipts_root = Digest32::ZERO), BlockInvalid::ReceiptsRoot);
    assert_eq!(refused(&|b| b.header.state_root = Digest32::ZERO), BlockInvalid::StateRoot);
    let with_payloads = |payloads: Vec<Vec<u8>>| {
        refused(&|b| {
            b.payloads.extend(payloads.clone());
            let digests: Vec<Digest32> = b.payloads.iter().map(|p| sha256(p)).collect();
            b.header.payload_root = block::payload_root(&digests);
        })
    };
    assert_eq!(with_payloads(vec![vec![1]]), BlockInvalid::PayloadUnreferenced);
    assert_eq!(with_payloads(good.payloads.clone()), BlockInvalid::PayloadUnreferenced);
    assert_eq!(with_payloads(vec![vec![0; 1 << 20]]), BlockInvalid::Size);
    let many = vec![Vec::new(); block::MAX_TRANSACTIONS + 1];
    let too_many = refused(&|b| {
        b.header.tx_root = block::tx_root(&many);
        b.transactions.clone_from(&many);
    });
    assert_eq!(too_many, BlockInvalid::Size);
    // The parent is neither the tip nor among the ancestors given.
    let unknown = good.header.clone();
    let child = chain.ledger.propose(&unknown, &[], chain.time_ms + 1, chain.proposer(), vec![]);
    assert_eq!(child.unwrap_err(), BlockInvalid::Ancestors);
}

#[test]
fn a_final_block_and_an_ancestor_below_the_tip_are_still_understood() {
    let (chain, good) = proposed();
    let parent = chain.tip();
    chain.ledger.finalize(&good).unwrap();
    assert_eq!(chain.ledger.verify(&good, &parent, &[]), Ok(()));
    let ancestors = [Arc::new(good.clone())];
    let child = chain.ledger.propose(&good.header, &ancestors, chain.time_ms, chain.proposer(), vec![]).unwrap();
    assert!(child.header.time_ms > good.header.time_ms);
    let mut fork = good.clone();
    fork.header.time_ms += 1;
    assert_eq!(chain.ledger.verify(&fork, &parent, &[]), Err(BlockInvalid::Ancestors));
}

#[test]
fn the_last_block_of_a_term_names_the_next_committee_and_no_other_does() {
    let mut chain = Chain::new();
    let validators = chain.ledger.genesis().validators();
    assert_eq!(chain.ledger.genesis_block().header.next_committee.as_ref(), Some(&validators));
    for height in 1..=20 {
        let block = chain.block(Vec::new());
        assert_eq!(block.header.term, height / 10);
        assert_eq!(block.header.next_committee.is_some(), height % 10 == 9, "{height}");
    }
}

#[test]
fn a_proposal_leaves_out_what_would_not_use_up_its_sequence() {
    let (mut chain, _) = proposed();
    let rows = rows(1, 64);
    let body = || TxBody::PublishRows(publish_rows(0, 0, &rows));
    let good = chain.sign("INST-01", body());
    let later = chain.consortium.sign("INST-01", 9, 50, TxBody::Vote(vec![]));
    let without = chain.sign("INST-02", body());
    let submissions = vec![
        Submission { transaction: later, payload: None },
        Submission { transaction: without, payload: None },
        Submission { transaction: good.clone(), payload: Some(rows.clone()) },
        Submission { transaction: good.clone(), payload: Some(rows.clone()) },
    ];
    let block = chain.block(submissions);
    assert_eq!((block.transactions, block.payloads), (vec![good.encode()], vec![rows]));
}
