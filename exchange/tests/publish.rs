//! Walk A, steps 3 and 4: rows, batches and what every validator refuses.

#![allow(clippy::unwrap_used)]

mod common;

use common::{RESIDENT, World, identifier, record};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::fingerprint::derive_slot;
use riskveil_crypto::label::{ROW_LEN, Row, open_label, padding_row};
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::ids::{AuditKeyId, MemberId, Period};
use riskveil_exchange::publish::{
    PeriodKeyId, PublishError, RowBatch, SlotBook, bucket, fingerprint, plan_batches, seal_record, snapshot_root,
    verify_rows,
};
use riskveil_exchange::record::{IdType, Label, Level};

const MAX_ROWS: u32 = 256;

fn rows(count: u32) -> Vec<Row> {
    let seed = SecretBytes::from_bytes([1; 32]);
    (0..count).map(|index| padding_row(&seed, index)).collect()
}

fn plan(count: u32) -> Vec<RowBatch> {
    plan_batches(rows(count), &SecretBytes::from_bytes([2; 32]), MAX_ROWS).unwrap()
}

#[test]
fn a_sealed_record_opens_with_its_slot_and_only_there() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let world = World::new(2);
    let (own, other) = (&world.publishers[0], &world.publishers[1]);
    let record = record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10");
    let label = Label::new(&record, Level::Banded, 5, [3; 32]);
    let out = fingerprint(&own.sk, record.identifier()).unwrap();
    let row = seal_record(&out, &own.key, 5, &label, &mut rng).unwrap();
    let slot = derive_slot(&out, &own.key.salt(), 5).unwrap();
    assert_eq!(row.to_bytes().len(), ROW_LEN);
    assert_eq!(row.tag, slot.tag);
    let bytes = open_label(&slot.label_key, &own.key.label_aad(&row.tag), &row).unwrap();
    assert_eq!(Label::decode(&bytes).unwrap(), label);
    assert!(open_label(&slot.label_key, &other.key.label_aad(&row.tag), &row).is_err());
    assert_eq!(seal_record(&out, &own.key, 64, &label, &mut rng).unwrap_err(), PublishError::TooManyRecords);
}

#[test]
fn tags_of_one_person_differ_by_publisher_period_and_key_serial() {
    let world = World::new(2);
    let who = identifier(IdType::ResidentId, RESIDENT);
    let key = &world.publishers[0].key;
    let out = fingerprint(&world.publishers[0].sk, &who).unwrap();
    let tag = |key: &PeriodKeyId| derive_slot(&out, &key.salt(), 0).unwrap().tag;
    let changed = [
        PeriodKeyId { period: Period(1), ..key.clone() },
        PeriodKeyId { key_serial: 1, ..key.clone() },
        PeriodKeyId { publisher: MemberId::new("INST-02").unwrap(), ..key.clone() },
        PeriodKeyId { chain_id: Digest32::ZERO, ..key.clone() },
    ];
    assert!(changed.iter().all(|other| tag(other) != tag(key)));
    assert!(changed.iter().all(|other| other.binding_context(AuditKeyId(0)) != key.binding_context(AuditKeyId(0))));
    assert_ne!(key.binding_context(AuditKeyId(0)), key.binding_context(AuditKeyId(1)));
}

#[test]
fn batches_are_buckets_that_hide_the_count() {
    assert_eq!([0, 1, 64, 65, 129, 256].map(bucket), [64, 64, 64, 128, 256, 256]);
    let counts = |rows: u32| plan(rows).iter().map(RowBatch::count).collect::<Vec<_>>();
    assert_eq!(counts(0), [64]);
    assert_eq!(counts(1), [64]);
    assert_eq!(counts(65), [128]);
    assert_eq!(counts(256), [256]);
    assert_eq!(counts(600), [256, 256, 128]);
}

#[test]
fn a_plan_keeps_every_row_and_its_batches_tile_the_tag_space() {
    let batches = plan(600);
    let all: Vec<Row> = batches.iter().flat_map(|batch| batch.rows().to_vec()).collect();
    assert!(all.windows(2).all(|pair| pair[0].tag < pair[1].tag));
    assert!(rows(600).iter().all(|row| all.contains(row)));
    for batch in &batches {
        let summary = verify_rows(&batch.payload(), batch.count(), &batch.root(), MAX_ROWS).unwrap();
        assert_eq!(summary.min_tag, batch.rows()[0].tag);
        assert_eq!(summary.max_tag, batch.rows()[batch.rows().len() - 1].tag);
        assert_eq!(batch.digest(), riskveil_crypto::digest::sha256(&batch.payload()));
    }
}

#[test]
fn duplicate_tags_are_refused() {
    let mut twice = rows(3);
    twice.push(twice[0]);
    let refused = plan_batches(twice, &SecretBytes::from_bytes([2; 32]), MAX_ROWS);
    assert_eq!(refused.unwrap_err(), PublishError::DuplicateTag);
    let refused = plan_batches(rows(3), &SecretBytes::from_bytes([2; 32]), 100);
    assert_eq!(refused.unwrap_err(), PublishError::NotABucket { count: 100, max: 100 });
}

#[test]
fn a_payload_of_another_length_is_refused() {
    let batch = &plan(10)[0];
    let mut bytes = batch.payload();
    bytes.push(0);
    let refused = verify_rows(&bytes, 64, &batch.root(), MAX_ROWS);
    assert_eq!(refused, Err(PublishError::Length { expected: 64 * 92, got: 64 * 92 + 1 }));
    assert!(matches!(verify_rows(&[], 64, &batch.root(), MAX_ROWS), Err(PublishError::Length { .. })));
}

#[test]
fn a_count_that_is_no_bucket_or_too_large_is_refused() {
    let batch = &plan(300)[0];
    for (count, max) in
        [(0, MAX_ROWS), (63, MAX_ROWS), (96, MAX_ROWS), (512, MAX_ROWS), (256, 128), (u32::MAX, MAX_ROWS)]
    {
        let refused = verify_rows(&batch.payload(), count, &batch.root(), max);
        assert_eq!(refused, Err(PublishError::NotABucket { count, max }));
    }
}

#[test]
fn unsorted_and_repeated_tags_are_refused() {
    let batch = &plan(10)[0];
    let swap = |a: usize, b: usize| {
        let mut rows = batch.rows().to_vec();
        rows.swap(a, b);
        rows.iter().flat_map(|row| row.to_bytes()).collect::<Vec<u8>>()
    };
    let refused = verify_rows(&swap(4, 5), 64, &batch.root(), MAX_ROWS);
    assert_eq!(refused, Err(PublishError::NotAscending { position: 5 }));
    let mut repeated = batch.payload();
    repeated.copy_within(0..ROW_LEN, ROW_LEN);
    assert_eq!(verify_rows(&repeated, 64, &batch.root(), MAX_ROWS), Err(PublishError::NotAscending { position: 1 }));
}

#[test]
fn a_changed_row_is_refused_by_its_root() {
    let batch = &plan(10)[0];
    let mut bytes = batch.payload();
    bytes[ROW_LEN - 1] ^= 1;
    assert_eq!(verify_rows(&bytes, 64, &batch.root(), MAX_ROWS), Err(PublishError::RootMismatch));
}

#[test]
fn a_snapshot_root_depends_on_every_batch_and_their_order() {
    let roots: Vec<Digest32> = plan(600).iter().map(RowBatch::root).collect();
    let mut swapped = roots.clone();
    swapped.swap(0, 1);
    assert_ne!(snapshot_root(&roots), snapshot_root(&swapped));
    assert_ne!(snapshot_root(&roots), snapshot_root(&roots[..2]));
}

#[test]
fn slots_are_given_once_and_survive_a_restart() {
    let who = identifier(IdType::ResidentId, RESIDENT);
    let other = identifier(IdType::ResidentId, common::OTHER_RESIDENT);
    let mut book = SlotBook::default();
    assert_eq!([book.take(&who).unwrap(), book.take(&who).unwrap(), book.take(&other).unwrap()], [0, 1, 0]);
    let mut restored = SlotBook::default();
    for slot in [1, 0] {
        restored.restore(&who, slot).unwrap();
    }
    assert_eq!(restored.take(&who).unwrap(), 2);
    assert_eq!(restored.restore(&who, 64), Err(PublishError::TooManyRecords));
    assert_eq!(format!("{restored:?}"), "SlotBook(1 identifiers)");
}

#[test]
fn a_sixty_fifth_record_of_one_identifier_is_refused() {
    let who = identifier(IdType::Mobile, common::MOBILE);
    let mut book = SlotBook::default();
    for slot in 0..64 {
        assert_eq!(book.take(&who), Ok(slot));
    }
    assert_eq!(book.take(&who), Err(PublishError::TooManyRecords));
}
