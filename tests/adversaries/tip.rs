//! A responder that lies about the chain it has seen.

use riskveil_tests::second::messages::Response;

use crate::world::{World, caught};

fn crime(change: impl FnOnce(&mut Response)) -> String {
    let mut world = World::publishing(|_, _, _| Vec::new());
    let asked = world.ask();
    let k = world.k;
    let mut answer = world.answer(&asked, &k);
    change(&mut answer);
    world.sign(&mut answer);
    world.told(&asked, &answer.bytes())
}

#[test]
fn a_responder_lies_that_its_tip_is_far_ahead() {
    caught(crime(|answer| answer.tip_height += 1_000), "INST-01 unavailable(tip_unknown)");
}

#[test]
fn a_responder_answers_from_a_fork() {
    caught(crime(|answer| answer.tip_header_hash[0] ^= 1), "INST-01 unavailable(tip_conflict)");
}

#[test]
fn a_responder_hides_its_newest_batch() {
    caught(crime(|answer| answer.last_batch_seq -= 1), "INST-01 malformed(batch_count)");
}

#[test]
fn a_responder_counts_a_batch_that_it_did_not_publish() {
    caught(crime(|answer| answer.last_batch_seq += 1), "INST-01 malformed(batch_count)");
}
