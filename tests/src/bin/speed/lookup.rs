//! Tags looked up in one publisher's rows of a replica: mapped segments of 8,192 rows, tags that are there and tags that are
//! not, one after another and as many at a time as a screening's chunk has items.

use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use riskveil_chain::index::RowIndex;
use riskveil_chain::index::rows::Rows;
use riskveil_chain::state::BatchState;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_crypto::{Digest32, SecretBytes, digest};
use riskveil_exchange::ids::{Height, MemberId, Period};
use riskveil_exchange::publish::{BatchPlanner, RowBatch};

const LOOKED_UP: usize = 1_000_000;
/// Tags that are looked up together: one slot of each item of the largest chunk.
const TOGETHER: usize = 16_384;

pub(crate) fn measure(most: u64) {
    for rows in [most / 10, most] {
        measure_one(rows.max(64));
    }
}

fn measure_one(rows: u64) {
    let dir = tempfile::tempdir().unwrap();
    let publisher = MemberId::new("INST-01").unwrap();
    let index = RowIndex::empty(dir.path(), digest::sha256(b"speed")).unwrap();
    let (batches, mut known) = write(&index, &publisher, rows);
    let opening = Instant::now();
    let replica = index.rows(Period(0), &publisher, batches).unwrap();
    println!("{rows} rows in {batches} segments: view made in {:.1} ms", opening.elapsed().as_secs_f64() * 1e3);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    known.shuffle(&mut rng);
    let absent: Vec<Tag> = (0..LOOKED_UP).map(|_| random_tag(&mut rng)).collect();
    report("tags of rows", &replica, &known, known.len());
    report("tags of nothing", &replica, &absent, 0);
}

fn report(what: &str, replica: &Rows, tags: &[Tag], expected: usize) {
    let one_by_one = || tags.iter().filter(|tag| replica.lookup(tag).is_some()).count();
    let together =
        || tags.chunks(TOGETHER).map(|tags| replica.lookup_all(tags).iter().flatten().count()).sum::<usize>();
    for (how, find) in [("one by one", &one_by_one as &dyn Fn() -> usize), ("together", &together)] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            let found = find();
            best = best.min(began.elapsed());
            assert_eq!(found, expected);
        }
        let each = best.as_secs_f64() / tags.len() as f64;
        println!("  {what:<16} {how:<10} {:>7.0} ns each, {:>10.0} a second on one core", each * 1e9, 1.0 / each);
    }
}

/// Rows with random tags, as a publication cuts them; a sample of the tags.
fn write(index: &RowIndex, publisher: &MemberId, rows: u64) -> (u32, Vec<Tag>) {
    const PART: u64 = 1 << 20;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let seed = SecretBytes::random(&mut rng);
    let mut planner = BatchPlanner::new(rows, &seed, 8192).unwrap();
    let (mut batch_seq, mut sample) = (0, Vec::new());
    let mut add = |batches: Vec<RowBatch>| {
        for batch in batches {
            let (payload, root) = (batch.payload(), batch.root());
            let state = BatchState {
                root,
                digest: Digest32::ZERO,
                count: batch.count(),
                len: u32::try_from(payload.len()).unwrap(),
                height: Height(1),
            };
            index.add(Period(0), publisher, batch_seq, &state, &payload).unwrap();
            batch_seq += 1;
        }
    };
    let parts = rows.div_ceil(PART);
    for part in 0..parts {
        let count = rows / parts + u64::from(part < rows % parts);
        let rows: Vec<Row> = (0..count).map(|_| random_row(part, parts, &mut rng)).collect();
        let every = usize::try_from(parts).unwrap();
        sample.extend(rows.iter().step_by(every).map(|row| row.tag).take(LOOKED_UP / every));
        add(planner.take(rows).unwrap());
    }
    add(planner.finish().unwrap());
    (batch_seq, sample)
}

/// A row whose tag is in the given one of `parts` equal ranges.
fn random_row(part: u64, parts: u64, rng: &mut ChaCha20Rng) -> Row {
    let mut bytes = [0; 92];
    rng.fill_bytes(&mut bytes);
    let span = u64::MAX / parts;
    let first = part * span + rng.next_u64() % span;
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    Row::from_bytes(&bytes)
}

fn random_tag(rng: &mut ChaCha20Rng) -> Tag {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Tag::new(bytes)
}
