//! A key that is not the one it is said to be.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::rand_core::RngCore as _;
use riskveil_crypto::Element;
use riskveil_exchange::ids::AuditKeyId;
use riskveil_exchange::query::messages::Shape;
use riskveil_tests::second::oprf::{self, Context, decode, encode};
use riskveil_tests::second::{Bytes, escrow, ledger};

use crate::world::{OTHER, PERSON, PUBLISHER, REGULATOR, RESIDENT_ID, World, caught, public, scalar};

#[test]
fn a_responder_evaluates_under_another_key() {
    let mut world = World::new();
    let asked = world.ask();
    let other = scalar(&mut world.rng);
    let answer = world.answer(&asked, &other);
    caught(world.told(&asked, &answer.bytes()), "INST-01 malformed(response): the evaluation proof is invalid");
}

#[test]
fn a_responder_names_the_other_key_it_evaluated_under() {
    let mut world = World::new();
    let asked = world.ask();
    let other = scalar(&mut world.rng);
    let (chain_id, k) = (world.chain_id(), public(&other));
    let (core, envelope) = (asked.request.core.digest(), asked.request.envelope.digest());
    let ctx = Context { chain_id: &chain_id, publisher: PUBLISHER, period: 0, k: &k, core: &core, envelope: &envelope };
    let mut answer = world.answer(&asked, &other);
    (answer.z, answer.proof) = oprf::evaluate(&other, &ctx, &asked.c2(), &scalar(&mut world.rng));
    answer.k = k;
    world.sign(&mut answer);
    caught(world.told(&asked, &answer.bytes()), "INST-01 malformed(response): the response names another key");
}

#[test]
fn a_publisher_announces_the_key_of_another() {
    let mut world = World::new();
    // INST-02 cannot prove it: it copies INST-01's announcement, proof and all
    let k = world.k;
    let copied = world.announcement(PUBLISHER, &k);
    caught(world.sent(OTHER, copied, None), "INST-02 KeySeen");
}

#[test]
fn a_publisher_binds_a_key_it_does_not_hold() {
    let mut world = World::empty();
    let honest = world.k;
    let context = ledger::binding_context(&world.chain_id(), PUBLISHER, 0, 0, 0);
    let (_, proof) = oprf::bind(&honest, &world.y(), &context, &scalar(&mut world.rng));
    // K of one secret, K_Y of another: unblinding would give outputs that nobody published under
    let k_y = encode(&(scalar(&mut world.rng) * decode(&world.y())));
    let body = ledger::announce_period_key(0, 0, &public(&honest), &[(0, k_y, proof)]);
    caught(world.sent(PUBLISHER, body, None), "INST-01 BindingInvalid");
}

#[test]
fn a_publisher_announces_the_audit_key_as_its_own() {
    let mut world = World::empty();
    let (y, context) = (world.y(), ledger::binding_context(&world.chain_id(), PUBLISHER, 0, 0, 0));
    let k = scalar(&mut world.rng);
    let (k_y, proof) = oprf::bind(&k, &y, &context, &scalar(&mut world.rng));
    let body = ledger::announce_period_key(0, 0, &y, &[(0, k_y, proof)]);
    caught(world.sent(PUBLISHER, body, None), "INST-01 BindingInvalid");
}

#[test]
fn a_regulator_announces_a_persons_element_as_its_audit_key() {
    let mut world = World::new();
    // every publisher would compute k*H(x): the output of that person
    let y = encode(&oprf::hash_to_group(&oprf::input(RESIDENT_ID, PERSON)));
    let context = Bytes::new().sized(b"riskveil/v1/exchange/audit-key").raw(&world.chain_id());
    let context = context.sized(REGULATOR.as_bytes()).u32(1).done();
    let possession = escrow::prove_possession(&scalar(&mut world.rng), &y, &context, &scalar(&mut world.rng));
    let (honest, _) = world.chain.audit_key_announcement(1);
    let body = Bytes::new().uleb(0).u32(1).raw(&y).raw(&possession).raw(honest.seal_key.as_bytes());
    let body = body.raw(&honest.seal_possession.to_bytes()).u64(honest.from_s).u64(honest.until_s).done();
    caught(world.sent(REGULATOR, body, None), "REGULATOR-01 PossessionInvalid");
}

#[test]
fn a_publisher_that_foresees_a_blinding_makes_the_output_vanish() {
    let mut world = World::new();
    // the lender's generator is known to INST-01, and so is s of the first item
    let mut foreseen = world.rng.clone();
    let asked = world.ask_of(PUBLISHER, &public(&world.k.clone()), AuditKeyId(0), Shape::Check);
    foreseen.fill_bytes(&mut [0; 32]); // the salt of the consent
    let mut wide = [0; 64];
    foreseen.fill_bytes(&mut wide);
    // s/2 is what is drawn
    let half = Scalar::from_bytes_mod_order_wide(&wide);
    let s = half + half;
    assert_eq!(encode(&RistrettoPoint::mul_base(&s)), asked.request.core.items[0].0, "s is foreseen");
    // K_Y = Z/s: what is unblinded is the identity
    let k = world.k;
    let answer = world.answer(&asked, &k);
    let k_y = Element::from_bytes(&encode(&(s.invert() * decode(&answer.z[0])))).unwrap();
    let told = match world.accept(&asked, &answer.bytes(), Some(k_y)) {
        Ok(response) => world.judged(&asked, &response, |_| {}),
        Err(verdict) => verdict,
    };
    caught(told, "INST-01 malformed(output)");
}
