//! Walk A: file -> records -> rows -> padded batches, and what a validator checks of them.

use std::hint::black_box;

use participant_agent::ingest::csv::read_records;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::label::{ROW_LEN, Row};
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{Digest32, SecretBytes};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::{
    CommitmentSeed, PeriodKeyId, RowBatch, SlotBook, commitment, fingerprint, plan_batches, seal_record, verify_rows,
};
use riskveil_exchange::record::{IdType, Label, Record};

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

/// Records to batches and their roots, by the steps of the publish walk.
pub(crate) fn publish(
    sk: &OprfSecretKey,
    key: &PeriodKeyId,
    policy: &Policy,
    records: &[Record],
    rng: &mut ChaCha20Rng,
) -> Vec<(RowBatch, Digest32)> {
    let rows = draw(sk, key, policy, records, rng);
    let batches = plan_batches(rows, &SecretBytes::random(rng), policy.max_rows_per_tx).unwrap();
    let with_root = |batch: RowBatch| {
        let root = batch.root();
        (batch, root)
    };
    batches.into_iter().map(with_root).collect()
}

fn draw(sk: &OprfSecretKey, key: &PeriodKeyId, policy: &Policy, records: &[Record], rng: &mut ChaCha20Rng) -> Vec<Row> {
    let mut slots = SlotBook::default();
    let row = |record: &Record| {
        let slot = slots.take(record.identifier()).unwrap();
        let out = fingerprint(sk, record.identifier()).unwrap();
        let seed = CommitmentSeed::random(rng);
        let leaf = seed.open(record).commitment().leaf();
        let link = commitment::link(key, &leaf, &seed.rho(key.period, key.key_serial));
        let label = Label::new(record, policy.level, policy.retention_years, link);
        seal_record(&out, key, slot, &label, rng).unwrap()
    };
    records.iter().map(row).collect()
}

/// Rows a second, and bytes.
pub(crate) fn measure(table: &mut Table, world: &World) {
    let (own, policy, records) = (&world.publishers[0], &world.policy, &world.records);
    let (sk, key) = (&own.sk, &own.key);
    let inputs: Vec<Vec<u8>> = records.iter().map(|record| record.identifier().oprf_input().to_vec()).collect();
    let baseline = Baseline::new(sk, inputs.clone(), &mut rng(2));
    let mut rng = rng(3);

    table.section("publish 2,000 records");
    let file = file();
    table.time("ingest: CSV -> records", "row", RECORDS, || {
        black_box(read_records(file.as_bytes(), as_of(), None)).unwrap();
    });
    table.time_against(
        "record -> commitment, row -> sorted padded batch, root",
        "record",
        RECORDS,
        || drop(black_box(publish(sk, key, policy, records, &mut rng))),
        "Evaluate alone",
        || baseline.evaluate(),
    );
    table.time_against(
        "of it: fingerprint",
        "record",
        RECORDS,
        || records.iter().for_each(|record| drop(black_box(fingerprint(sk, record.identifier())))),
        "Evaluate",
        || baseline.evaluate(),
    );
    table.time_against(
        "the same fingerprints by evaluate_batch",
        "record",
        RECORDS,
        || drop(black_box(sk.evaluate_batch(&inputs))),
        "Evaluate",
        || baseline.evaluate(),
    );
    let batches = publish(sk, key, policy, records, &mut rng);
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
