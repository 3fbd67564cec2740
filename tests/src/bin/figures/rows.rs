//! Walk A: file -> records -> rows -> padded batches, and what a validator checks of them.

use std::hint::black_box;

use participant_agent::ingest::csv::read_records;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::label::{ROW_LEN, Row};
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::{
    CommitmentSeed, PeriodKeyId, RowBatch, SlotBook, SlottedRecord, Telling, commitment, draw_rows, fingerprint,
    plan_batches, verify_rows,
};
use riskveil_exchange::record::{IdType, Record};

use crate::baseline::Baseline;
use crate::meter::Table;
use crate::world::{RECORDS, World, as_of, identifier, rng};

/// The records of an institution, read from its file.
pub(crate) fn records() -> Vec<Record> {
    let read = read_records(file().as_bytes(), as_of(), None).unwrap();
    assert_eq!(read.accepted.len(), RECORDS);
    read.accepted.into_iter().map(|(_, record)| record).collect()
}

fn file() -> String {
    let mut file =
        "id_type,id_number,name,mobile,category,severity,overdue_days,amount_cents,currency,event_date,source_ref\n"
            .to_owned();
    for serial in 0..RECORDS {
        identifier(IdType::ResidentId, serial).canonical_expose(|number| {
            file += &format!(
                "resident_id,{number},张三,138{serial:08},overdue,2,42,{serial},CNY,2026-05-19,case {serial}\n"
            );
        });
    }
    file
}

/// What an agent keeps of the records' commitments.
pub(crate) struct Commitments {
    seeds: Vec<CommitmentSeed>,
    leaves: Vec<Digest32>,
}

/// Fresh commitments to the records.
pub(crate) fn commit(records: &[Record], rng: &mut ChaCha20Rng) -> Commitments {
    let seeds: Vec<CommitmentSeed> = records.iter().map(|_| CommitmentSeed::random(rng)).collect();
    let pairs: Vec<(&Record, &CommitmentSeed)> = records.iter().zip(&seeds).collect();
    let leaves = commitment::leaves(&pairs);
    Commitments { seeds, leaves }
}

/// Records to batches and their roots, by the steps of the publish walk.
pub(crate) fn publish(
    sk: &OprfSecretKey,
    key: &PeriodKeyId,
    policy: &Policy,
    records: &[Record],
    commitments: &Commitments,
    rng: &mut ChaCha20Rng,
) -> Vec<(RowBatch, Digest32)> {
    let rows = draw(sk, key, policy, records, commitments, rng);
    let batches = plan_batches(rows, &SecretBytes::random(rng), policy.max_rows_per_tx).unwrap();
    let with_root = |batch: RowBatch| {
        let root = batch.root();
        (batch, root)
    };
    batches.into_iter().map(with_root).collect()
}

fn draw(
    sk: &OprfSecretKey,
    key: &PeriodKeyId,
    policy: &Policy,
    records: &[Record],
    commitments: &Commitments,
    rng: &mut ChaCha20Rng,
) -> Vec<Row> {
    let mut slots = SlotBook::default();
    let slot = |record: &Record| slots.take(record.identifier()).unwrap();
    let slots: Vec<u8> = records.iter().map(slot).collect();
    let committed = records.iter().zip(&commitments.seeds).zip(&commitments.leaves);
    let slotted: Vec<SlottedRecord<'_>> =
        committed.zip(slots).map(|(((record, seed), leaf), slot)| SlottedRecord { record, seed, leaf, slot }).collect();
    let telling = Telling { level: policy.level, retention_years: policy.retention_years };
    draw_rows(sk, key, &slotted, telling, rng).unwrap()
}

/// Rows a second, and bytes.
pub(crate) fn measure(table: &mut Table, world: &World) {
    let (own, policy, records) = (&world.publishers[0], &world.policy, &world.records);
    let (sk, key) = (&own.sk, &own.key);
    let inputs: Vec<Vec<u8>> = records.iter().map(|record| record.identifier().oprf_input().to_vec()).collect();
    let baseline = Baseline::new(sk, inputs.clone(), &mut rng(2));
    let mut rng = rng(3);

    table.section("publish 8,000 records");
    let file = file();
    table.time("ingest: CSV -> records", "row", RECORDS, || {
        black_box(read_records(file.as_bytes(), as_of(), None)).unwrap();
    });
    let mut commit_rng = rng.clone();
    table.time("once a record: commitment and its leaf", "record", RECORDS, || {
        black_box(commit(records, &mut commit_rng));
    });
    let commitments = commit(records, &mut rng);
    table.time_against(
        "record -> row -> sorted padded batch, root",
        "record",
        RECORDS,
        || drop(black_box(publish(sk, key, policy, records, &commitments, &mut rng))),
        "Evaluate alone",
        || baseline.evaluate(),
    );
    table.time_against(
        "of it: fingerprints",
        "record",
        RECORDS,
        || drop(black_box(sk.evaluate_batch(&inputs))),
        "Evaluate",
        || baseline.evaluate(),
    );
    table.time_against(
        "a fingerprint alone",
        "record",
        10,
        || records[..10].iter().for_each(|record| drop(black_box(fingerprint(sk, record.identifier())))),
        "Evaluate",
        || baseline.evaluate_first(10),
    );
    let batches = publish(sk, key, policy, records, &commitments, &mut rng);
    let payloads: Vec<_> = batches.iter().map(|(batch, root)| (batch.payload(), batch.count(), root)).collect();
    let rows: usize = batches.iter().map(|(batch, _)| batch.rows().len()).sum();
    table.time("validator: verify_rows", "row", rows, || {
        for (payload, count, root) in &payloads {
            verify_rows(payload, *count, root, policy.max_rows_per_tx).unwrap();
        }
    });
    table.size("row", "row", 1, ROW_LEN, None);
    let bytes = payloads.iter().map(|(payload, ..)| payload.len()).sum();
    table.size("payload with padding rows", "record", RECORDS, bytes, None);
}
