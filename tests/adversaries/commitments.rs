//! Commitments that commit to nothing, tell which row is whose, or were somebody else's.

use curve25519_dalek::ristretto::RistrettoPoint;
use riskveil_exchange::publish::commitment_batch::verify_chunk;
use riskveil_tests::second::bytes::{Bytes, h, merkle_root};
use riskveil_tests::second::ledger::payload_ref;
use riskveil_tests::second::oprf::encode;

use crate::common::id;
use crate::world::{OTHER, PUBLISHER, World, caught, scalar};

/// Days, amount and static part of one commitment.
type Commitment = [[u8; 32]; 3];

/// 64 commitments to values that nobody can open, ascending by leaf.
fn commitments(world: &mut World) -> Vec<Commitment> {
    let mut point = || encode(&RistrettoPoint::mul_base(&scalar(&mut world.rng)));
    let mut all: Vec<Commitment> = (0..64).map(|_| [point(), point(), point()]).collect();
    all.sort_by_key(leaf);
    all
}

fn leaf([days, amount, facts]: &Commitment) -> [u8; 32] {
    h("riskveil/v1/exchange/commitment-leaf", &[days, amount, facts])
}

/// The payload, with range proofs of zeros, and the body that names it.
fn publish(batch_seq: u32, commitments: &[Commitment]) -> (Vec<u8>, Vec<u8>) {
    let mut payload: Vec<u8> = commitments.iter().flatten().flatten().copied().collect();
    payload.resize(payload.len() + 928 + 992, 0);
    let root = merkle_root(&commitments.iter().map(|one| leaf(one).to_vec()).collect::<Vec<_>>());
    let named = payload_ref(&payload, commitments.len() as u32, &root);
    (Bytes::new().uleb(6).u32(batch_seq).raw(&named).done(), payload)
}

#[test]
fn values_out_of_range_behind_a_proof_of_nothing() {
    let mut world = World::new();
    let all = commitments(&mut world);
    let (body, payload) = publish(0, &all);
    // range proofs are no rule of execution: it is applied, and every member that verifies it names the publisher
    assert_eq!(world.sent(PUBLISHER, body, Some(payload.clone())), "INST-01 Applied");
    let verified = verify_chunk(world.chain.ledger.chain_id(), &id(PUBLISHER), &payload, 64, 0);
    let told = verified.map_or_else(|_| "range_proof_invalid", |()| "proved");
    caught(format!("{PUBLISHER} {told}"), "INST-01 range_proof_invalid");
}

#[test]
fn a_commitment_copied_from_another_publisher() {
    let mut world = World::new();
    let all = commitments(&mut world);
    let (body, payload) = publish(0, &all);
    assert_eq!(world.sent(PUBLISHER, body.clone(), Some(payload.clone())), "INST-01 Applied");
    caught(world.sent(OTHER, body, Some(payload)), "INST-02 LeafSeen");
}

#[test]
fn commitments_in_the_order_of_the_records() {
    let mut world = World::new();
    let mut all = commitments(&mut world);
    all.swap(0, 40);
    let (body, payload) = publish(0, &all);
    caught(world.sent(PUBLISHER, body, Some(payload)), "INST-01 CommitmentsOrder");
}
