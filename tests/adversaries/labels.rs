//! Rows that a publisher spoils so that a person it lists is not found, or that somebody alters on their way.

use riskveil_tests::second::ledger;
use riskveil_tests::second::rows::{batch, row};

use crate::world::{LABEL, PUBLISHER, World, caught};

fn told(world: &mut World) -> String {
    let asked = world.ask();
    let k = world.k;
    let answer = world.answer(&asked, &k);
    world.told(&asked, &answer.bytes())
}

#[test]
fn a_flipped_label_bit() {
    let mut world = World::publishing(|place, out, rng| {
        let mut flipped = row(place, out, 0, &LABEL.bytes(), rng);
        flipped[40] ^= 0x10;
        vec![flipped]
    });
    caught(told(&mut world), "INST-01 malformed(row_unopenable)");
}

#[test]
fn a_label_of_another_period() {
    let mut world = World::publishing(|place, out, rng| {
        let mut old = place.clone();
        old.period = 7;
        // the tag is today's, the label was sealed for another period
        let (tag, label) = (row(place, out, 0, &LABEL.bytes(), rng), row(&old, out, 0, &LABEL.bytes(), rng));
        let mut both = tag;
        both[16..].copy_from_slice(&label[16..]);
        vec![both]
    });
    caught(told(&mut world), "INST-01 malformed(row_unopenable)");
}

#[test]
fn a_label_that_says_nothing() {
    let mut world = World::publishing(|place, out, rng| vec![row(place, out, 0, &[0xff; 48], rng)]);
    caught(told(&mut world), "INST-01 malformed(label_invalid)");
}

#[test]
fn a_gap_in_a_persons_slots() {
    let mut world =
        World::publishing(|place, out, rng| [0, 2].map(|number| row(place, out, number, &LABEL.bytes(), rng)).to_vec());
    caught(told(&mut world), "INST-01 malformed(slot_gap)");
}

#[test]
fn a_batch_altered_under_its_root() {
    let mut world = World::new();
    let mut rows = batch(&[], &mut world.rng).concat();
    let root = ledger::rows_root(&rows);
    rows[50] ^= 1;
    let body = ledger::publish_rows(0, 0, 1, &rows, &root);
    caught(world.sent(PUBLISHER, body, Some(rows)), "INST-01 BatchRoot");
}

#[test]
fn a_batch_out_of_order_in_which_absence_cannot_be_shown() {
    let mut world = World::new();
    let mut rows = batch(&[], &mut world.rng);
    rows.swap(3, 9);
    let rows = rows.concat();
    let body = ledger::publish_rows(0, 0, 1, &rows, &ledger::rows_root(&rows));
    caught(world.sent(PUBLISHER, body, Some(rows)), "INST-01 BatchOrder");
}

#[test]
fn a_batch_whose_size_tells_how_many_records_there_are() {
    let mut world = World::new();
    let rows = batch(&[], &mut world.rng)[..61].concat();
    let body = ledger::publish_rows(0, 0, 1, &rows, &ledger::rows_root(&rows));
    caught(world.sent(PUBLISHER, body, Some(rows)), "INST-01 BatchCount");
}
