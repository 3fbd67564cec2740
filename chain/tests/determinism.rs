//! The same blocks give the same state at every height, on every path through the ledger, and no bytes stop it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Chain, Consortium, busy_chain, shared};
use proptest::prelude::*;
use riskveil_chain::block::{Block, Header};
use riskveil_chain::tx::{SignedTransaction, Submission};

#[test]
fn the_same_blocks_give_the_same_state_root_at_every_height() {
    let mut chain = Chain::new();
    busy_chain(&mut chain);
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let replicas = dirs.each_ref().map(|dir| Chain::open(dir.path(), Consortium::new()));
    for block in &chain.blocks {
        replicas[0].ledger.finalize(block).unwrap();
        let decoded = Block::decode(&block.encode(), 1 << 20).unwrap();
        replicas[1].ledger.verify(&decoded, &replicas[1].tip(), &[]).unwrap();
        replicas[1].ledger.finalize(&decoded).unwrap();
        for replica in &replicas {
            let view = replica.ledger.view();
            assert_eq!(view.header, block.header);
            assert_eq!(view.state.root(), block.header.state_root);
        }
    }
    assert!(chain.blocks.len() > 15);
}

#[test]
fn a_branch_of_unfinalized_ancestors_gives_what_finalizing_them_gives() {
    let mut chain = Chain::new();
    busy_chain(&mut chain);
    let dir = tempfile::tempdir().unwrap();
    let ahead = Chain::open(dir.path(), Consortium::new());
    // Verified without finalizing, several at a time, as a validator does between certificates.
    let ancestors = shared(&chain.blocks);
    for (n, block) in chain.blocks.iter().enumerate() {
        let parent =
            n.checked_sub(1).map_or(ahead.ledger.genesis_block().header.clone(), |p| chain.blocks[p].header.clone());
        ahead.ledger.verify(block, &parent, &ancestors[..n]).unwrap();
        if n % 4 == 3 {
            for block in &chain.blocks[..n] {
                ahead.ledger.finalize(block).unwrap();
            }
        }
    }
    // A validator that saw none of the ancestors executes them on the way.
    let dir = tempfile::tempdir().unwrap();
    let fresh = Chain::open(dir.path(), Consortium::new());
    let last = chain.blocks.len() - 1;
    fresh.ledger.verify(&chain.blocks[last], &chain.blocks[last - 1].header, &ancestors[..last]).unwrap();
}

fn chain_from(bytes: &[Vec<u8>]) -> (Chain, usize) {
    let mut chain = Chain::new();
    let receipts = chain.raw_block(bytes.to_vec(), vec![]).len();
    (chain, receipts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bytes_give_a_receipt_each(junk in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
        let (chain, receipts) = chain_from(&junk);
        prop_assert_eq!(receipts, junk.len());
        prop_assert_eq!(chain.height().0, 1);
    }

    #[test]
    fn decoders_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = SignedTransaction::decode(&bytes);
        let _ = Submission::decode(&bytes, 1000);
        let _ = Header::decode(&bytes);
        let _ = Block::decode(&bytes, 1 << 20);
    }
}

#[test]
fn a_transaction_with_any_byte_changed_is_refused_and_changes_nothing() {
    let mut chain = Chain::new();
    let announcement = chain.announcement("INST-01", 0);
    let good = chain.sign("INST-01", riskveil_chain::tx::TxBody::AnnouncePeriodKey(announcement)).encode();
    let before = chain.ledger.view().state.root();
    let changed: Vec<Vec<u8>> = (0..good.len())
        .map(|at| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        })
        .collect();
    let codes = chain.raw_block(changed, vec![]);
    assert!(codes.iter().all(|code| !code.consumes_sequence()));
    assert_eq!(chain.ledger.view().state.root(), before);
}

#[test]
fn blocks_survive_their_encoding_and_bodies_that_do_not_match_are_refused() {
    let mut chain = Chain::new();
    busy_chain(&mut chain);
    for block in &chain.blocks {
        let bytes = block.encode();
        assert_eq!(&Block::decode(&bytes, bytes.len()).unwrap(), block);
        assert!(Block::decode(&bytes, bytes.len() - 1).is_err());
        assert!(Block::decode(&[bytes.as_slice(), &[0]].concat(), 1 << 20).is_err());
        let mut other = block.clone();
        other.transactions.push(vec![1]);
        assert!(Block::decode(&other.encode(), 1 << 20).is_err());
        let mut other = block.clone();
        other.payloads.push(vec![1]);
        assert!(Block::decode(&other.encode(), 1 << 20).is_err());
    }
}
