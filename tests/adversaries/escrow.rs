//! A lender that deceives the regulator about whom it asked, and what the regulator finds on its next reconciliation.

use crate::logs::Trial;
use crate::requests::{Draft, Place};
use crate::world::{PERSON, RESIDENT_ID, STRANGER, caught};

const NOBODY: [Place; 4] = [None; 4];
const MOBILE: Place = Some((4, "13812345678"));

fn crime(change: impl FnOnce(&mut Draft)) -> String {
    let mut trial = Trial::empty();
    trial.exchange(change);
    trial.findings()
}

#[test]
fn an_escrow_that_does_not_match_its_seal() {
    let told = crime(|draft| draft.sealed[0] = Some((RESIDENT_ID, STRANGER)));
    caught(told, "LENDER-01 escrow_mismatch");
}

#[test]
fn a_person_hidden_behind_a_sealed_dummy() {
    caught(crime(|draft| draft.sealed = NOBODY), "LENDER-01 escrow_mismatch");
}

#[test]
fn a_person_named_in_the_seal_and_not_asked_about() {
    caught(crime(|draft| draft.escrowed = NOBODY), "LENDER-01 escrow_mismatch");
}

#[test]
fn a_seal_that_nobody_can_open() {
    // as long as a seal of a check: 48 + 4 + 1 + 4 * 26 + 1 + 64
    caught(crime(|draft| draft.seal = Some(vec![7; 222])), "LENDER-01 seal_malformed");
}

#[test]
fn an_identifier_in_the_place_of_another_type() {
    let told = crime(|draft| {
        draft.escrowed = [MOBILE, None, None, None];
        draft.sealed = [MOBILE, None, None, None];
    });
    caught(told, "LENDER-01 seal_malformed");
}

#[test]
fn an_identifier_that_does_not_exist() {
    let invented = Some((RESIDENT_ID, "513230196105128095"));
    let told = crime(|draft| {
        draft.escrowed[0] = invented;
        draft.sealed[0] = invented;
    });
    caught(told, "LENDER-01 seal_malformed");
}

#[test]
fn a_consent_other_than_the_committed_one() {
    caught(crime(|draft| draft.sealed_consent = [0xdd; 32]), "LENDER-01 consent_mismatch");
}

#[test]
fn a_person_without_any_consent() {
    let told = crime(|draft| (draft.consent, draft.sealed_consent) = ([0; 32], [0; 32]));
    caught(told, "LENDER-01 consent_mismatch");
}

#[test]
fn a_blinding_used_in_two_requests() {
    let mut trial = Trial::empty();
    let mut secret = None;
    trial.exchange(|draft| secret = Some(draft.secrets[0]));
    trial.exchange(|draft| {
        draft.secrets[0] = secret.unwrap();
        draft.escrowed[0] = Some((RESIDENT_ID, STRANGER));
        draft.sealed[0] = Some((RESIDENT_ID, STRANGER));
    });
    caught(trial.findings(), "LENDER-01 repeated_c1");
    assert_ne!(PERSON, STRANGER);
}
