//! Walk A, steps 3 and 4: commitments, their batches and what members refuse of them.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RESIDENT, World, member_id, record};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::digest::sha256;
use riskveil_crypto::pedersen::verify_opening;
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::ids::Period;
use riskveil_exchange::publish::commitment::{COMMITMENT_LEN, StaticFacts, h_static, link};
use riskveil_exchange::publish::commitment_batch::{
    CHUNK, CHUNK_PROOF_LEN, ChunkProof, RangeProofInvalid, commitment_at, payload_len,
};
use riskveil_exchange::publish::{
    Attribute, CommitmentOpening, CommitmentSeed, PublishError, RecordCommitment, UnprovenBatch, plan_commitments,
    verify_chunk, verify_commitments,
};
use riskveil_exchange::record::{IdType, RawRow, Record, Severity};

const MAX: u32 = 256;

fn seed(byte: u8) -> CommitmentSeed {
    CommitmentSeed::from_bytes([byte; 32])
}

fn openings(count: u8) -> Vec<CommitmentOpening> {
    let record = record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10");
    (0..count).map(|byte| seed(byte).open(&record)).collect()
}

fn padding_seed() -> SecretBytes<32> {
    SecretBytes::from_bytes([9; 32])
}

fn unproven(count: u8) -> Vec<UnprovenBatch> {
    plan_commitments(openings(count), &padding_seed(), MAX).unwrap()
}

fn chain() -> Digest32 {
    sha256(b"chain")
}

/// A batch's payload with proofs that nobody verifies.
fn payload(batch: &UnprovenBatch) -> Vec<u8> {
    let proof = ChunkProof::from_bytes(vec![0; CHUNK_PROOF_LEN]).unwrap();
    batch.payload(&vec![proof; batch.chunk_count()]).unwrap()
}

fn large() -> Record {
    let raw = RawRow {
        id_type: "resident_id".into(),
        id_number: RESIDENT.into(),
        category: "fraud".into(),
        severity: "5".into(),
        overdue_days: "70000".into(),
        amount_cents: "99999999999".into(),
        currency: "CNY".into(),
        event_date: "2026-01-10".into(),
        name: String::new(),
        mobile: String::new(),
        source_ref: String::new(),
    };
    Record::parse(&raw, "2026-06-30".parse().unwrap()).unwrap()
}

#[test]
fn a_seed_gives_one_commitment_and_another_seed_another() {
    let record = record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10");
    let opening = seed(1).open(&record);
    let commitment = opening.commitment();
    assert_eq!(seed(1).open(&record).commitment(), commitment);
    assert_ne!(seed(2).open(&record).commitment().leaf(), commitment.leaf());
    assert_eq!(RecordCommitment::from_bytes(&commitment.to_bytes()), commitment);
    for (attribute, value) in [(Attribute::Days, 45), (Attribute::Amount, 123_456)] {
        let blinding = opening.of(attribute).blinding_bytes().expose(|bytes| *bytes);
        verify_opening(commitment.of(attribute), value, &blinding).unwrap();
        verify_opening(commitment.of(attribute), value + 1, &blinding).unwrap_err();
    }
    let [days, amount] = Attribute::ALL.map(|attribute| opening.of(attribute).blinding_bytes().expose(|bytes| *bytes));
    assert_ne!(days, amount, "blindings are independent");
    assert_eq!(format!("{opening:?} {:?}", seed(1)), "CommitmentOpening(..) CommitmentSeed(SecretBytes(..))");
}

#[test]
fn values_saturate_as_they_do_in_a_label() {
    let opening = seed(1).open(&large());
    assert_eq!(opening.of(Attribute::Days).value(), u64::from(u16::MAX));
    assert_eq!(opening.of(Attribute::Amount).value(), u64::from(u32::MAX));
}

#[test]
fn every_static_fact_changes_the_static_part() {
    let one = record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10");
    let other = record(IdType::Mobile, common::MOBILE, "fraud", "2026-01-11");
    let facts = StaticFacts::from(&one);
    let salt = seed(1).static_salt();
    let expected = seed(1).open(&one).commitment().h_static;
    assert_eq!(h_static(&facts, &salt), expected);
    for changed in [
        StaticFacts { identifier: other.identifier(), ..facts },
        StaticFacts { category: other.category(), ..facts },
        StaticFacts { severity: Severity::parse("4").unwrap(), ..facts },
        StaticFacts { event_day: other.event_day(), ..facts },
    ] {
        assert_ne!(h_static(&changed, &salt), expected);
    }
    assert_ne!(h_static(&facts, &seed(2).static_salt()), expected);
}

#[test]
fn a_link_is_of_one_key_leaf_and_rho() {
    let world = World::new(2);
    let (key, other) = (&world.publishers[0].key, &world.publishers[1].key);
    let (leaf, rho) = (sha256(b"leaf"), seed(1).rho(Period(0), 0));
    let made = link(key, &leaf, &rho);
    assert_ne!(made, link(other, &leaf, &rho));
    assert_ne!(made, link(key, &sha256(b"another"), &rho));
    for changed in [seed(1).rho(Period(1), 0), seed(1).rho(Period(0), 1), seed(2).rho(Period(0), 0)] {
        assert_ne!(made, link(key, &leaf, &changed));
    }
}

#[test]
fn batches_are_buckets_in_the_order_of_leaves_and_say_nothing_of_the_records() {
    for (count, sizes) in [(0u8, vec![64]), (1, vec![64]), (64, vec![64]), (65, vec![128])] {
        let batches = unproven(count);
        assert_eq!(batches.iter().map(UnprovenBatch::count).collect::<Vec<_>>(), sizes, "{count} records");
        let leaves: Vec<Digest32> =
            batches.iter().flat_map(UnprovenBatch::commitments).map(RecordCommitment::leaf).collect();
        assert!(leaves.windows(2).all(|pair| pair[0] < pair[1]));
        for opening in openings(count) {
            assert!(leaves.contains(&opening.commitment().leaf()));
        }
    }
    let twice = [openings(1), openings(1)].concat();
    assert!(matches!(plan_commitments(twice, &padding_seed(), MAX), Err(PublishError::DuplicateTag)));
    let refused = plan_commitments(Vec::new(), &padding_seed(), 100);
    assert!(matches!(refused, Err(PublishError::NotABucket { .. })));
}

#[test]
fn validators_refuse_a_payload_of_another_form() {
    let batch = &unproven(65)[0];
    let (bytes, root) = (payload(batch), batch.root());
    assert_eq!(bytes.len() as u64, payload_len(128));
    assert_eq!(payload_len(64), 64 * 96 + 928 + 992);
    let leaves = verify_commitments(&bytes, 128, &root, MAX).unwrap();
    assert_eq!(leaves, batch.commitments().map(RecordCommitment::leaf).collect::<Vec<_>>());
    assert_eq!(commitment_at(&bytes, 128, 127).as_ref(), batch.commitments().last());
    assert_eq!(commitment_at(&bytes, 128, 128), None);

    let refused = |bytes: &[u8], count, root: &Digest32| verify_commitments(bytes, count, root, MAX).unwrap_err();
    assert!(matches!(refused(&bytes, 100, &root), PublishError::NotABucket { .. }));
    assert!(matches!(refused(&bytes, 512, &root), PublishError::NotABucket { .. }));
    assert!(matches!(refused(&bytes, 64, &root), PublishError::Length { .. }));
    assert!(matches!(refused(&bytes[1..], 128, &root), PublishError::Length { .. }));
    assert_eq!(refused(&bytes, 128, &sha256(b"another")), PublishError::RootMismatch);
    let mut swapped = bytes.clone();
    swapped[..2 * COMMITMENT_LEN].rotate_left(COMMITMENT_LEN);
    assert_eq!(refused(&swapped, 128, &root), PublishError::NotAscending { position: 1 });
    let mut twice = bytes.clone();
    twice.copy_within(..COMMITMENT_LEN, COMMITMENT_LEN);
    assert_eq!(refused(&twice, 128, &root), PublishError::NotAscending { position: 1 });
}

#[test]
fn a_chunk_is_proven_once_and_holds_for_its_publisher_chain_and_commitments() {
    let (batch, bank) = (&unproven(3)[0], member_id("BANK"));
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let proof = batch.prove_chunk(&chain(), &bank, 0, rng).unwrap();
    assert_eq!(proof.as_bytes().len(), CHUNK_PROOF_LEN);
    batch.prove_chunk(&chain(), &bank, 1, rng).unwrap_err();
    assert_eq!(batch.payload(&[]), None);
    let bytes = batch.payload(&[proof]).unwrap();
    verify_chunk(&chain(), &bank, &bytes, 64, 0).unwrap();

    let invalid = |attribute| RangeProofInvalid { chunk: 0, attribute };
    let refused = |bytes: &[u8]| verify_chunk(&chain(), &bank, bytes, 64, 0).unwrap_err();
    assert_eq!(verify_chunk(&sha256(b"another"), &bank, &bytes, 64, 0), Err(invalid(Attribute::Days)));
    assert_eq!(verify_chunk(&chain(), &member_id("OTHER"), &bytes, 64, 0), Err(invalid(Attribute::Days)));
    assert_eq!(
        verify_chunk(&chain(), &bank, &bytes, 64, 1),
        Err(RangeProofInvalid { chunk: 1, attribute: Attribute::Days })
    );
    let mut bad = bytes.clone();
    bad[CHUNK * COMMITMENT_LEN + 100] ^= 1;
    assert_eq!(refused(&bad), invalid(Attribute::Days));
    let mut bad = bytes.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&bad), invalid(Attribute::Amount));
    // the commitments of two records change places
    let mut bad = bytes.clone();
    bad[..2 * COMMITMENT_LEN].rotate_left(COMMITMENT_LEN);
    assert_eq!(refused(&bad), invalid(Attribute::Days));
    assert_eq!(refused(&bytes[..bytes.len() - 1]), invalid(Attribute::Days));
    assert_eq!(refused(&[]), invalid(Attribute::Days));
}
