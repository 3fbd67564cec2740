//! A replica that lags, clocks that lie, a snapshot that is not sealed: nothing of it reads as "clear".

use std::fs;

use riskveil_chain::receipt::ReceiptCode;
use riskveil_crypto::Element;
use riskveil_exchange::ids::AuditKeyId;
use riskveil_exchange::query::clear::Conditions;
use riskveil_exchange::query::messages::Shape;
use riskveil_tests::second::Bytes;
use riskveil_tests::second::rows::row;

use crate::common::{Chain, Consortium, PERIOD_S};
use crate::world::{LABEL, LENDER, PUBLISHER, REGULATOR, World, caught, public, scalar};

/// INST-01 does not list the person: an honest answer would read "clear".
fn unlisted() -> World {
    World::publishing(|_, _, _| Vec::new())
}

fn told_with(world: &mut World, change: impl FnOnce(&mut Conditions<'_>)) -> String {
    let asked = world.ask();
    let k = world.k;
    let answer = world.answer(&asked, &k);
    world.told_with(&asked, &answer.bytes(), change)
}

#[test]
fn a_replica_that_lags() {
    // validators withhold blocks from the lender: a row published since would be missed
    let mut world = unlisted();
    let late = world.now_s() + 30;
    let told = told_with(&mut world, |at| {
        at.now_s = late;
        at.responder_times_s = &[]; // filled below: every responder's clock is right
        at.responder_times_s = Box::leak(Box::new([late]));
    });
    caught(told, "INST-01 unavailable(stale_replica)");
}

#[test]
fn a_chain_whose_validators_run_ahead_of_time() {
    let mut world = unlisted();
    world.chain.time_ms += 20_000;
    let now_s = world.now_s();
    world.chain.raw_block(Vec::new(), Vec::new());
    let told = told_with(&mut world, |at| {
        at.now_s = now_s;
        at.responder_times_s = Box::leak(Box::new([now_s]));
    });
    caught(told, "INST-01 unavailable(header_ahead)");
}

#[test]
fn responders_that_agree_on_a_wrong_time() {
    let mut world = unlisted();
    let asked = world.ask();
    let k = world.k;
    let mut answer = world.answer(&asked, &k);
    answer.served_at_s += 600;
    world.sign(&mut answer);
    caught(world.told(&asked, &answer.bytes()), "INST-01 unavailable(clock_disagrees)");
}

#[test]
fn an_unsealed_snapshot() {
    let mut world = World::unsealed(|_, _, _| Vec::new());
    caught(told_with(&mut world, |_| {}), "INST-01 unavailable(no_snapshot)");
}

#[test]
fn a_key_that_was_never_announced() {
    let mut world = World::empty();
    caught(told_with(&mut world, |_| {}), "INST-01 unavailable(no_snapshot)");
}

#[test]
fn a_member_that_publishes_nothing_answers_as_a_publisher() {
    let mut world = unlisted();
    let k = scalar(&mut world.rng);
    let asked = world.ask_of(LENDER, &public(&k), AuditKeyId(0), Shape::Check);
    let answer = world.answer(&asked, &k);
    caught(world.told(&asked, &answer.bytes()), "LENDER-01 unavailable(not_active)");
}

#[test]
fn an_answer_under_the_key_of_a_period_that_is_over() {
    let mut world = unlisted();
    let asked = world.ask();
    let k = world.k;
    world.chain.at(PERIOD_S + 5);
    world.chain.raw_block(Vec::new(), Vec::new());
    let answer = world.answer(&asked, &k);
    // the block before the boundary was the last that INST-01 answers for
    let Ok(response) = world.accept(&asked, &answer.bytes(), Some(Element::BASE)) else { panic!("it is verified") };
    caught(world.judged(&asked, &response, |_| {}), "INST-01 unavailable(period_over)");
}

#[test]
fn an_answer_under_a_key_that_is_no_longer_live() {
    let mut world = unlisted();
    let other = Element::from_bytes(&public(&scalar(&mut world.rng))).unwrap();
    let told = told_with(&mut world, |at| {
        if let Some(key) = &mut at.key {
            key.k = Box::leak(Box::new(other));
        }
    });
    caught(told, "INST-01 unavailable(key_changed)");
}

#[test]
fn an_answer_under_a_key_that_was_revoked() {
    let mut world = unlisted();
    let told = told_with(&mut world, |at| {
        if let Some(key) = &mut at.key {
            key.revoked = true;
        }
    });
    caught(told, "INST-01 unavailable(revoked)");
}

#[test]
fn a_publisher_that_does_not_bind_its_key_to_the_new_audit_key() {
    let mut world = unlisted();
    let (announced, _) = world.chain.audit_key_announcement(1);
    let body = Bytes::new().uleb(0).u32(1).raw(announced.y.as_bytes()).raw(&announced.y_possession.to_bytes());
    let body = body.raw(announced.seal_key.as_bytes()).raw(&announced.seal_possession.to_bytes());
    let body = body.u64(announced.from_s).u64(announced.until_s).done();
    assert_eq!(world.send(REGULATOR, body, None), ReceiptCode::Applied);
    world.chain.at(2 * 86_400);
    world.chain.raw_block(Vec::new(), Vec::new());
    let asked = world.ask_of(PUBLISHER, &public(&world.k.clone()), AuditKeyId(1), Shape::Check);
    let k = world.k;
    let answer = world.answer(&asked, &k);
    // it says a K_Y of its own choice in private
    let Ok(response) = world.accept(&asked, &answer.bytes(), Some(Element::BASE)) else { panic!("it is verified") };
    caught(world.judged(&asked, &response, |_| {}), "INST-01 unavailable(no_audit_binding)");
}

#[test]
fn a_row_file_tampered_with_on_the_lenders_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::empty();
    world.chain = Chain::open(dir.path(), Consortium::new());
    let mut world = rebuild(world);
    let (blocks, asked) = (world.chain.blocks.clone(), world.ask());
    let k = world.k;
    let answer = world.answer(&asked, &k);
    assert_eq!(world.told(&asked, &answer.bytes()), "INST-01 hit(1)");
    // whoever has the disk overwrites every row, so that the person is found nowhere
    let file = dir.path().join("segments/p0000000000/INST-01-00000000.rows");
    world.chain = Chain::new();
    let mut bytes = fs::read(&file).unwrap();
    let rows = bytes.len() - 32 - 64 * 92;
    let end = bytes.len() - 32;
    for byte in &mut bytes[rows..end] {
        *byte ^= 0x5a;
    }
    fs::write(&file, bytes).unwrap();
    world.chain = Chain::open(dir.path(), Consortium::new());
    world.chain.blocks = blocks;
    caught(world.told(&asked, &answer.bytes()), "INST-01 unavailable(replica_incomplete)");
}

/// Publishes [`PERSON`](crate::world::PERSON) on the chain that the world has now.
fn rebuild(mut world: World) -> World {
    let (k, chain_id) = (world.k, world.chain_id());
    let body = world.announcement(PUBLISHER, &k);
    assert_eq!(world.send(PUBLISHER, body, None), ReceiptCode::Applied);
    let out = riskveil_tests::second::oprf::output(
        &k,
        &riskveil_tests::second::oprf::input(crate::world::RESIDENT_ID, crate::world::PERSON),
    );
    let place =
        riskveil_tests::second::rows::Place { chain_id: &chain_id, publisher: PUBLISHER, period: 0, key_serial: 0 };
    let rows = [row(&place, &out, 0, &LABEL.bytes(), &mut world.rng)];
    assert_eq!(world.publish(&rows), ReceiptCode::Applied);
    let body = riskveil_tests::second::ledger::seal_snapshot(0, 0, &world.roots);
    assert_eq!(world.send(PUBLISHER, body, None), ReceiptCode::Applied);
    world
}
