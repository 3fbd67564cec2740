//! Evaluations that were not made as they should have been, and answers to something else.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use riskveil_exchange::ids::AuditKeyId;
use riskveil_exchange::query::messages::Shape;
use riskveil_tests::second::messages::Response;
use riskveil_tests::second::oprf::{decode, encode, prove_composite, prove_pair, rfc_weights, weighted};

use crate::world::{Asked, OTHER, PUBLISHER, World, caught, public, scalar};

const PROOF: &str = "INST-01 malformed(response): the evaluation proof is invalid";

/// INST-01 makes its answer and changes it before it signs.
fn crime(change: impl FnOnce(&mut World, &Asked, &mut Response)) -> String {
    let mut world = World::new();
    let asked = world.ask();
    let k = world.k;
    let mut answer = world.answer(&asked, &k);
    change(&mut world, &asked, &mut answer);
    world.sign(&mut answer);
    world.told(&asked, &answer.bytes())
}

/// Moves the evaluation of the person, which is item 0, so that nothing would be found.
fn shift(answer: &mut Response, error: &RistrettoPoint, index: usize, times: i8) {
    let sign = if times < 0 { -Scalar::ONE } else { Scalar::ONE };
    answer.z[index] = encode(&(decode(&answer.z[index]) + sign * error));
}

#[test]
fn a_forged_evaluation_proof() {
    let told = crime(|world, _, answer| {
        let error = RistrettoPoint::mul_base(&scalar(&mut world.rng));
        shift(answer, &error, 0, 1);
        answer.proof[..32].copy_from_slice(scalar(&mut world.rng).as_bytes());
        answer.proof[32..].copy_from_slice(scalar(&mut world.rng).as_bytes());
    });
    caught(told, PROOF);
}

#[test]
fn errors_that_cancel_in_an_unweighted_sum() {
    let told = crime(|world, asked, answer| {
        let error = RistrettoPoint::mul_base(&scalar(&mut world.rng));
        shift(answer, &error, 0, 1);
        shift(answer, &error, 1, -1);
        let ones = [Scalar::ONE; 4];
        let (m, zc) = (weighted(&ones, &asked.c2()), weighted(&ones, &answer.z));
        assert_eq!(encode(&(world.k * m)), encode(&zc), "the errors cancel");
        answer.proof = prove_pair(&world.k, &answer.k, &m, &zc, &scalar(&mut world.rng));
    });
    caught(told, PROOF);
}

#[test]
fn the_batch_proof_of_the_rfc_instead_of_ours() {
    let told = crime(|world, asked, answer| {
        // honest Z: the proof itself is the crime, because its weights can be searched for errors that cancel
        let weights = rfc_weights(&answer.k, &asked.c2(), &answer.z);
        let m = weighted(&weights, &asked.c2());
        answer.proof = prove_composite(&world.k, &answer.k, &m, &scalar(&mut world.rng));
    });
    caught(told, PROOF);
}

#[test]
fn two_items_are_answered_for_each_other() {
    caught(crime(|_, _, answer| answer.z.swap(0, 1)), PROOF);
}

#[test]
fn three_of_four_items_are_evaluated() {
    let told = crime(|_, _, answer| answer.z = answer.z.split_off(1));
    caught(told, "INST-01 malformed(response): the response does not decode");
}

#[test]
fn an_evaluated_element_is_the_identity() {
    let told = crime(|_, _, answer| answer.z[0] = [0; 32]);
    caught(told, "INST-01 malformed(response): an evaluated element is invalid");
}

#[test]
fn an_answer_to_another_query() {
    let mut world = World::new();
    let (first, second) = (world.ask(), world.ask());
    let k = world.k;
    let answer = world.answer(&first, &k);
    caught(world.told(&second, &answer.bytes()), "INST-01 malformed(response): the response is for another core");
}

#[test]
fn an_answer_to_another_envelope_of_the_query() {
    let told = crime(|_, _, answer| answer.envelope_digest[0] ^= 1);
    caught(told, "INST-01 malformed(response): the response is for another envelope");
}

#[test]
fn an_answer_in_the_name_of_another_publisher() {
    let told = crime(|_, _, answer| answer.publisher = OTHER.to_owned());
    caught(told, "INST-01 malformed(response): the response names another publisher");
}

#[test]
fn an_answer_of_another_period() {
    let told = crime(|_, _, answer| answer.period = 1);
    caught(told, "INST-01 malformed(response): the response names another period");
}

#[test]
fn an_answer_that_its_publisher_did_not_sign() {
    let mut world = World::new();
    let asked = world.ask();
    let k = world.k;
    let mut answer = world.answer(&asked, &k);
    answer.sign(&world.chain_id(), &world.identity(OTHER));
    caught(
        world.told(&asked, &answer.bytes()),
        "INST-01 malformed(response): the signature of the response is invalid",
    );
}

#[test]
fn an_answer_altered_on_the_way() {
    let mut world = World::new();
    let asked = world.ask();
    let k = world.k;
    let mut answer = world.answer(&asked, &k);
    answer.last_batch_seq = 0;
    caught(
        world.told(&asked, &answer.bytes()),
        "INST-01 malformed(response): the signature of the response is invalid",
    );
}

#[test]
fn a_refusal_that_nobody_registered() {
    let told = crime(|_, _, answer| {
        (answer.status, answer.proof) = (99, [0; 64]);
        answer.z.fill([0; 32]);
    });
    caught(told, "INST-01 malformed(response): the status of the response is not registered");
}

#[test]
fn a_refusal_that_carries_a_message() {
    let told = crime(|_, _, answer| answer.status = 15);
    caught(told, "INST-01 malformed(response): a refusal carries an evaluation");
}

#[test]
fn the_answer_to_a_screening_is_passed_off_as_one_to_a_check() {
    let mut world = World::new();
    let check = world.ask();
    let chunk =
        world.ask_of(PUBLISHER, &public(&world.k.clone()), AuditKeyId(0), Shape::Chunk { width: 1, subjects: 16 });
    let k = world.k;
    let answer = world.answer(&chunk, &k);
    let told = match world.accept(&chunk, &answer.bytes(), None) {
        Ok(response) => world.judged(&check, &response, |_| {}),
        Err(verdict) => verdict,
    };
    caught(told, "INST-01 malformed(items_unverified)");
}
