//! Publication of many records by the agent's own pipeline: drawn on all cores, spooled, sorted in parts, cut into batches.
//!
//! Records and their commitments are made as they are needed (what that costs is printed first, and is in what follows), and slots drawn
//! for them by the agent's book of slots; neither is kept. Not in the figure: the record journal before, the chain after.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use participant_agent::period_keys::LiveKey;
use participant_agent::records::drawn::{self, DrawnRows};
use participant_agent::records::{HeldRecord, PendingRow, RecordsError};
use participant_agent::walks::background::Priority;
use participant_agent::walks::draw::{self, CHUNK, ToDraw};
use rand::rngs::OsRng;
use riskveil_crypto::at_rest::KeyEncryptionKey;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{SecretBytes, digest};
use riskveil_exchange::ids::{MemberId, Period};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::{BatchPlanner, PeriodKeyId, RowBatch, SlotBook, Telling, verify_rows};
use riskveil_tests::processes::peak_mb;

use crate::people;

pub(crate) fn measure(records: u64) {
    let dir = tempfile::tempdir().unwrap();
    let id = PeriodKeyId {
        chain_id: digest::sha256(b"speed"),
        publisher: MemberId::new("INST-01").unwrap(),
        period: Period(0),
        key_serial: 0,
    };
    let key = LiveKey { id, sk: Arc::new(OprfSecretKey::generate(&mut OsRng)) };
    let policy = Policy::default();
    let making = (Instant::now(), cpu_s());
    let sample = records.min(200_000);
    for first in (0..sample).step_by(CHUNK) {
        std::hint::black_box(make(first..(first + CHUNK as u64).min(sample)));
    }
    report("(records and commitments made, alone)", sample, making);
    let began = (Instant::now(), cpu_s());
    let mut spool = DrawnRows::open(dir.path(), spool_key()).unwrap();
    draw_all(&key, &policy, records, &mut spool);
    report("rows drawn and spooled", records, began);
    let planning = (Instant::now(), cpu_s());
    let (batches, bytes) = plan_all(&policy, &spool, dir.path());
    report("rows sorted, batches with roots written", records, planning);
    report("publication: records -> batches", records, began);
    println!("  {batches} batches, {} MB on disk, peak memory {} MB", bytes >> 20, peak_mb("self"));
}

fn draw_all(key: &LiveKey, policy: &Policy, records: u64, spool: &mut DrawnRows) {
    let telling = Telling { level: policy.level, retention_years: policy.retention_years };
    let (mut slots, mut person) = (SlotBook::default(), 0);
    let chunks = std::iter::from_fn(move || {
        let end = (person + CHUNK as u64).min(records);
        let people = person..end;
        person = end;
        let held = make(people.clone());
        let slot =
            |(place, one): (u64, &HeldRecord)| PendingRow { place, slot: slots.take(one.record.identifier()).unwrap() };
        let pending: Vec<PendingRow> = people.zip(&held).map(slot).collect();
        (!pending.is_empty()).then_some(ToDraw { pending, held })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut drawn = draw::draw(key.clone(), telling, Priority::Waited, chunks);
        while let Some(chunk) = drawn.next().await {
            let (places, rows) = chunk.unwrap();
            spool.keep(&places, &rows).unwrap();
        }
    });
    assert_eq!(spool.len(), records);
}

/// The records of these people with their commitments, as an agent's book has them.
fn make(people: std::ops::Range<u64>) -> Vec<HeldRecord> {
    HeldRecord::new_all(people.map(people::record).collect())
}

/// Number and bytes of the batches, each verified as validators do (outside the figure: a sample).
fn plan_all(policy: &Policy, spool: &DrawnRows, dir: &std::path::Path) -> (usize, u64) {
    let seed = SecretBytes::random(&mut OsRng);
    let mut planner = BatchPlanner::new(spool.len(), &seed, policy.max_rows_per_tx).unwrap();
    let (mut count, mut bytes) = (0, 0);
    let mut write = |batches: Vec<RowBatch>| {
        for batch in batches {
            let (payload, root) = (batch.payload(), batch.root());
            if count % 100 == 0 {
                verify_rows(&payload, batch.count(), &root, policy.max_rows_per_tx).unwrap();
            }
            fs::write(dir.join(format!("{count:08}.rows")), &payload).unwrap();
            count += 1;
            bytes += payload.len() as u64;
        }
    };
    spool
        .ascending(|rows| {
            write(planner.take(rows).unwrap());
            Ok::<_, RecordsError>(())
        })
        .unwrap();
    write(planner.finish().unwrap());
    (count, bytes)
}

fn spool_key() -> riskveil_crypto::at_rest::AtRestKey {
    KeyEncryptionKey::random(&mut OsRng).purpose_key(participant_agent::dst::JOURNAL, drawn::JOURNAL_NAME.as_bytes())
}

fn report(what: &str, records: u64, (began, cpu_before): (Instant, f64)) {
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_s() - cpu_before);
    let each = cpu * 1e6 / records as f64;
    println!(
        "  {what:<42} {wall:>8.1} s wall, {cpu:>8.1} s CPU, {each:>6.2} us a record, {:>8.0} rows/s/core",
        1e6 / each
    );
}

/// CPU time of this process, s.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
