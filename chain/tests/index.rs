//! Look-ups over segments: every row is found where it stands, nothing else is, and the lowest place counts.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Chain, id, publish_rows, rows};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use riskveil_chain::index::RowIndex;
use riskveil_chain::index::segment::{self, Segment, SegmentError, SegmentName};
use riskveil_chain::state::BatchState;
use riskveil_chain::tx::TxBody;
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::fingerprint::Tag;
use riskveil_exchange::ids::{Height, Period};

fn tag(row: &[u8]) -> Tag {
    Tag::new(row[..16].try_into().unwrap())
}

fn name(batch_seq: u32) -> SegmentName {
    SegmentName { chain_id: Digest32::new([1; 32]), period: Period(2), publisher: id("A..-_9"), batch_seq }
}

#[test]
fn every_row_of_every_bucket_is_found_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    for (seq, count) in (0..).zip([64, 128, 1024, 8192, 32_768]) {
        let rows = rows(u64::from(count), count);
        segment::write(dir.path(), &name(seq), &Digest32::ZERO, &rows).unwrap();
        let segment = Segment::open(dir.path(), &name(seq), &Digest32::ZERO, count).unwrap();
        assert_eq!(segment.rows(), rows);
        for (position, row) in rows.chunks(92).enumerate() {
            let found = segment.lookup(&tag(row)).unwrap();
            assert_eq!((found.0 as usize, found.1.to_bytes().as_slice()), (position, row));
            for step in [1, u128::MAX] {
                let beside = u128::from_be_bytes(*tag(row).as_bytes()).wrapping_add(step);
                assert!(segment.lookup(&Tag::new(beside.to_be_bytes())).is_none());
            }
        }
        assert!(segment.lookup(&Tag::new([0; 16])).is_none() && segment.lookup(&Tag::new([255; 16])).is_none());
    }
}

#[test]
fn tags_that_share_their_first_bits_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut rows = vec![0_u8; 92 * 64];
    for (position, row) in rows.chunks_mut(92).enumerate() {
        row[15] = u8::try_from(position).unwrap();
    }
    segment::write(dir.path(), &name(0), &Digest32::ZERO, &rows).unwrap();
    let segment = Segment::open(dir.path(), &name(0), &Digest32::ZERO, 64).unwrap();
    for (position, row) in rows.chunks(92).enumerate() {
        assert_eq!(segment.lookup(&tag(row)).unwrap().0 as usize, position);
    }
}

#[test]
fn a_segment_of_another_batch_kind_or_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows(1, 64);
    segment::write(dir.path(), &name(0), &Digest32::ZERO, &rows).unwrap();
    let open = |name: &SegmentName, root: &Digest32, count| Segment::open(dir.path(), name, root, count);
    assert!(open(&name(0), &Digest32::ZERO, 64).is_ok());
    let other_root = Digest32::new([9; 32]);
    assert!(matches!(open(&name(0), &other_root, 64), Err(SegmentError::Other(_))));
    assert!(matches!(open(&name(0), &Digest32::ZERO, 128), Err(SegmentError::Other(_))));
    let mut other_chain = name(0);
    other_chain.chain_id = other_root;
    assert!(matches!(open(&other_chain, &Digest32::ZERO, 64), Err(SegmentError::Other(_))));
    assert!(matches!(open(&name(1), &Digest32::ZERO, 64), Err(SegmentError::Io { .. })));

    // Tombstones (kind 1) and version 2 with a right checksum: reserved, so refused.
    let path = dir.path().join("p0000000002/A..-_9-00000000.rows");
    let original = std::fs::read(&path).unwrap();
    for (at, value) in [(10, 1), (8, 2)] {
        let mut bytes = original[..original.len() - 32].to_vec();
        bytes[at] = value;
        let checksum = riskveil_crypto::digest::sha256(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&name(0), &Digest32::ZERO, 64), Err(SegmentError::Other(_))));
    }
    assert!(segment::write(dir.path(), &name(2), &Digest32::ZERO, &rows[1..]).is_err());
    assert!(segment::write(dir.path(), &name(2), &Digest32::ZERO, &[]).is_err());
}

#[test]
fn the_lowest_batch_counts_and_batches_not_yet_counted_do_not() {
    let mut chain = Chain::new();
    chain.announce("INST-01", 0);
    let (first, second) = (rows(1, 64), rows(2, 64));
    // The third batch repeats a tag of the second with other contents.
    let repeated = tag(&second);
    let mut third = rows(3, 64);
    third[..16].copy_from_slice(repeated.as_bytes());
    let mut sorted: Vec<&[u8]> = third.chunks(92).collect();
    sorted.sort_unstable();
    let third = sorted.concat();
    for (seq, rows) in (0..).zip([&first, &second, &third]) {
        let body = publish_rows(0, seq, rows);
        chain.apply("INST-01", TxBody::PublishRows(body), Some(rows.clone()));
    }
    let index = chain.ledger.index();
    let lookup = |count, tag: &Tag| index.lookup(Period(0), &id("INST-01"), count, tag).unwrap();
    for count in [2, 3] {
        let found = lookup(count, &repeated).unwrap();
        assert_eq!((found.batch_seq, found.position, found.withdrawn), (1, 0, false));
        assert_eq!(found.row.to_bytes().as_slice(), &second[..92]);
    }
    assert!(lookup(1, &repeated).is_none());
    assert_eq!(lookup(3, &tag(&first)).unwrap().batch_seq, 0);
    assert!(lookup(0, &tag(&first)).is_none());
    assert_eq!(index.rows_held(), 192);
    assert!(index.lookup(Period(0), &id("INST-01"), 4, &repeated).is_err(), "a batch the state counts is missing");
    assert!(index.lookup(Period(1), &id("INST-01"), 1, &repeated).is_err());
}

#[test]
fn tags_looked_up_together_are_found_where_each_alone_is() {
    let dir = tempfile::tempdir().unwrap();
    let index = RowIndex::empty(dir.path(), Digest32::new([1; 32])).unwrap();
    // two plans of three batches each, and a batch that repeats the first one's tags
    let plans: Vec<Vec<u8>> = (1..=2).map(|seed| rows(seed, 3 * 1024)).collect();
    let batches = plans.iter().flat_map(|plan| plan.chunks(92 * 1024)).chain([&plans[0][..92 * 64]]);
    for (seq, rows) in (0..).zip(batches) {
        let (count, len) = (u32::try_from(rows.len() / 92).unwrap(), u32::try_from(rows.len()).unwrap());
        let state = BatchState { root: Digest32::ZERO, digest: Digest32::ZERO, count, len, height: Height(1) };
        index.add(Period(2), &id("INST-01"), seq, &state, rows).unwrap();
    }
    let mut tags: Vec<Tag> = plans.iter().flat_map(|plan| plan.chunks(92)).map(tag).collect();
    tags.extend(plans.iter().flat_map(|plan| plan.chunks(92).step_by(7)).flat_map(|row| {
        let tag = u128::from_be_bytes(*tag(row).as_bytes());
        [tag, tag.wrapping_add(1), tag.wrapping_sub(1), tag.rotate_left(64)].map(|tag| Tag::new(tag.to_be_bytes()))
    }));
    tags.extend([Tag::new([0; 16]), Tag::new([255; 16])]);
    tags.shuffle(&mut ChaCha20Rng::seed_from_u64(1));
    for batch_count in 0..=7 {
        let rows = index.rows(Period(2), &id("INST-01"), batch_count).unwrap();
        for tags in [&tags[..], &tags[..1], &tags[..16], &tags[..17], &[]] {
            let alone: Vec<_> = tags.iter().map(|tag| rows.lookup(tag)).collect();
            assert_eq!(rows.lookup_all(tags), alone, "{batch_count} batches");
        }
    }
}
