//! Disclosure: what is shown holds, every refusal and every fault is brought about by somebody who deserves it.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // tables of (change, expected)

mod common;

use common::disclosure::{Disclosing, Held, Hit, disclosing, record_of, resend, resign};
use common::{NOW_S, OTHER_RESIDENT, RESIDENT, as_of, member_id};
use riskveil_crypto::escrow::{EscrowSecret, escrow, prove_knowledge};
use riskveil_crypto::escrow_opening::{EqualityProof, prove_item_opening};
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::range_proof::{Bits, prove_between};
use riskveil_crypto::{Digest32, Signature, SigningKey, codec, digest};
use riskveil_exchange::audit::entry::Outcome;
use riskveil_exchange::disclose::messages::{Disclosed, Shown, answer_len, proof_context, range_context};
use riskveil_exchange::disclose::refusal::took_quota;
use riskveil_exchange::disclose::{
    AcceptedAnswer, Ask, AskError, Asked, AskingLender, Claim, CommitmentPosition, Disclosure, DisclosureFault,
    DisclosureRefusal, DisclosureRequest, DisclosureResponse, HeldCheck, HeldRow, VerifyError, ask,
};
use riskveil_exchange::ids::{Height, Period};
use riskveil_exchange::publish::Attribute;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::Proofs;
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::replay::SeenNonces;
use riskveil_exchange::query::seal::Consent;
use riskveil_exchange::record::Level;

const DAYS: u32 = 45;
const AMOUNT: u64 = 123_456;

/// A publisher with one honest record of RESIDENT, and a lender that hit it.
fn hit() -> (Disclosing, Held, Hit) {
    hit_at(Level::Banded)
}

fn hit_at(level: Level) -> (Disclosing, Held, Hit) {
    let mut all = Disclosing::new();
    let held = all.honest(0, &record_of(RESIDENT, DAYS, AMOUNT, "2026-05-19"), level);
    let hit = all.check(0, RESIDENT);
    assert_eq!(hit.rows.len(), 1);
    (all, held, hit)
}

fn judged(all: &Disclosing, asked: &Asked, response: &DisclosureResponse) -> Result<Disclosure, VerifyError> {
    let key = &all.world.publishers[0].identity_key;
    match asked.state.open(key, &response.encode())? {
        AcceptedAnswer::Disclosed(answer) => asked.state.verify(&answer, &all.chain),
        AcceptedAnswer::Refused(refusal) => panic!("refused: {}", refusal.reason),
    }
}

fn fault(all: &Disclosing, asked: &Asked, response: &DisclosureResponse) -> DisclosureFault {
    match judged(all, asked, response) {
        Err(VerifyError::Rejected(rejected)) => {
            assert_eq!(rejected.publisher, member_id("INST-01"), "the liar is named");
            assert_eq!(rejected.outcome.is_some(), rejected.fault.is_signed(), "and what it signed is at hand");
            rejected.fault
        }
        other => panic!("{other:?}"),
    }
}

mod shown {
    use super::*;

    #[test]
    fn a_value_or_its_range_at_every_level() {
        for level in Level::ALL {
            let (mut all, held, hit) = hit_at(level);
            let questions = [
                (Attribute::Days, Ask::Open, Claim::Value(DAYS.into())),
                (Attribute::Amount, Ask::Open, Claim::Value(AMOUNT)),
                (Attribute::Days, Ask::Between { lo: 31, hi: 60 }, Claim::Between { lo: 31, hi: 60 }),
                (Attribute::Amount, Ask::Between { lo: AMOUNT, hi: AMOUNT }, Claim::Between { lo: AMOUNT, hi: AMOUNT }),
                (
                    Attribute::Amount,
                    Ask::Between { lo: 0, hi: u32::MAX.into() },
                    Claim::Between { lo: 0, hi: u32::MAX.into() },
                ),
            ];
            for (attribute, what, claim) in questions {
                let asked = all.ask(0, &hit, attribute, what);
                let (response, outcome) = all.answer(0, &asked.request, Some(&held));
                assert_eq!(outcome, Ok(()));
                let shown = judged(&all, &asked, &response).unwrap();
                assert_eq!((shown.attribute, shown.claim), (attribute, claim), "{level}");
                assert_eq!((shown.publisher.as_str(), Some(shown.position)), ("INST-01", held.position));
                assert_eq!(shown.is_open_above(), matches!(claim, Claim::Between { hi: 4_294_967_295, .. }));
            }
        }
    }

    #[test]
    fn saturated_values_are_shown_as_the_largest_that_is_committed() {
        let mut all = Disclosing::new();
        for level in Level::ALL {
            let held = all.honest(0, &record_of(RESIDENT, 70_000, 5_000_000_000, "2026-05-19"), level);
            let hit = all.check(0, RESIDENT);
            let last = Hit { rows: vec![hit.rows.last().unwrap().clone()], ..hit };
            for (attribute, max) in [(Attribute::Days, 65_535), (Attribute::Amount, 4_294_967_295)] {
                let asked = all.ask(0, &last, attribute, Ask::Open);
                let (response, _) = all.answer(0, &asked.request, Some(&held));
                let shown = judged(&all, &asked, &response).unwrap();
                assert_eq!((shown.claim, shown.is_open_above()), (Claim::Value(max), true));
            }
        }
    }

    #[test]
    fn sizes_are_fixed_and_a_refusal_is_as_long() {
        let (mut all, held, hit) = hit();
        for (attribute, what) in [
            (Attribute::Days, Ask::Open),
            (Attribute::Amount, Ask::Open),
            (Attribute::Days, Ask::Between { lo: 0, hi: 100 }),
            (Attribute::Amount, Ask::Between { lo: 0, hi: 1_000_000 }),
        ] {
            let asked = all.ask(0, &hit, attribute, what);
            let (response, _) = all.answer(0, &asked.request, Some(&held));
            let (refusal, outcome) = all.answer(0, &asked.request, None);
            assert_eq!(outcome, Err(DisclosureRefusal::NoMatchingRecord));
            println!(
                "{attribute:?} {what:?}: request {} bytes, response {} bytes",
                asked.request.encode().len(),
                response.encode().len()
            );
            assert_eq!(response.answer.len(), answer_len(attribute, what));
            assert_eq!(response.encode().len(), refusal.encode().len());
        }
    }

    #[test]
    fn no_message_and_no_entry_holds_the_identifier_and_no_entry_the_answer() {
        let (mut all, held, hit) = hit();
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        let receipt = riskveil_exchange::disclose::DisclosureReceipt::new(
            asked.request.clone(),
            response.status,
            response.digest(),
        );
        let holds = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        for bytes in [asked.request.encode(), response.encode()] {
            assert!(!holds(&bytes, RESIDENT.as_bytes()));
        }
        let blinding = held.seed.open(&held.record).of(Attribute::Amount).blinding_bytes();
        for bytes in [codec::encode(&asked.entry), codec::encode(&receipt)] {
            assert!(!holds(&bytes, RESIDENT.as_bytes()) && !holds(&bytes, &AMOUNT.to_le_bytes()));
            assert!(!holds(&bytes, asked.request.body.tag.as_bytes()), "which row is not logged");
            assert!(blinding.expose(|blinding| !holds(&bytes, blinding)));
        }
        let printed = format!("{asked:?}{response:?}{:?}", all.answer(0, &asked.request, Some(&held)));
        assert!(!printed.contains(RESIDENT) && !printed.contains("123456"));
    }
}

mod refusals {
    use super::*;

    /// Every reason, by the request, the context or the record that brings it about.
    #[test]
    fn each_is_signed_of_fixed_length_and_read_by_the_lender() {
        let (mut all, held, hit) = hit();
        let mut seen = Vec::new();
        let y = all.world.audit.public();
        let lender = all.world.lender_identity;
        let stranger = SigningKey::generate(&mut all.world.rng);
        let stranger_key = stranger.verifying_key();
        let mut expect = |all: &Disclosing, asked: &Asked, response: DisclosureResponse, reason: DisclosureRefusal| {
            let opened = asked.state.open(&all.world.publishers[0].identity_key, &response.encode()).unwrap();
            let AcceptedAnswer::Refused(refusal) = opened else { panic!("disclosed instead of {reason}") };
            assert_eq!(refusal.reason, reason);
            assert_eq!(refusal.head.outcome.status, reason.code());
            assert!(response.answer.iter().all(|byte| *byte == 0));
            seen.push(reason);
        };

        // by the context
        let contexts: [(fn(&mut riskveil_exchange::disclose::DiscloserContext<'_>), DisclosureRefusal); 8] = [
            (|c| c.lender_key = None, DisclosureRefusal::NotALender),
            (|c| c.started_at_s = NOW_S + 1, DisclosureRefusal::BeforeRestart),
            (|c| c.now_s = NOW_S + 31, DisclosureRefusal::Expired),
            (|c| c.now_s = NOW_S + 11, DisclosureRefusal::ClockSkew),
            (|c| c.tip.time_s = NOW_S - 31, DisclosureRefusal::NotReady),
            (|c| c.lender_overdue = true, DisclosureRefusal::LogOverdue),
            (|c| c.quota_left = 0, DisclosureRefusal::QuotaExceeded),
            (|c| c.audit_key = None, DisclosureRefusal::CheckUnknown),
        ];
        for (change, reason) in contexts {
            let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
            let mut ctx = disclosing(&lender, &y);
            change(&mut ctx);
            let (response, _) = all.answer_in(0, &asked.request, Some(&held), &ctx);
            expect(&all, &asked, response, reason);
        }
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer_in(0, &asked.request, Some(&held), &disclosing(&stranger_key, &y));
        expect(&all, &asked, response, DisclosureRefusal::SignatureInvalid);

        // by the record
        let absent = Held { record: held.record.clone(), seed: held.seed.clone(), position: None };
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, None);
        expect(&all, &asked, response, DisclosureRefusal::NoMatchingRecord);
        let (response, _) = all.answer(0, &asked.request, Some(&absent));
        expect(&all, &asked, response, DisclosureRefusal::NotCommitted);
        let outside = Ask::Between { lo: AMOUNT + 1, hi: AMOUNT + 2 };
        let asked = all.ask(0, &hit, Attribute::Amount, outside);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        expect(&all, &asked, response, DisclosureRefusal::OutOfRange);

        // by the memory of nonces, which the caller asks
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let mut nonces = SeenNonces::new(1);
        let head = &asked.request.head;
        nonces.insert(&head.lender, &head.nonce, head.expires_at_s, NOW_S).unwrap();
        for nonce in [head.nonce, [0; 32]] {
            let refused = nonces.insert(&head.lender, &nonce, head.expires_at_s, NOW_S).unwrap_err();
            let reason = DisclosureRefusal::from(refused);
            let identity = &all.world.publishers[0].identity;
            let response = all.discloser(0).refuse(&asked.request, reason, &disclosing(&lender, &y), identity);
            expect(&all, &asked, response, reason);
        }

        // by the policy and the period; changed last
        all.world.policy.purposes.clear();
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        expect(&all, &asked, response, DisclosureRefusal::PurposeNotAllowed);
        all.world.policy.purposes = Purpose::ALL.to_vec();
        all.world.policy.period_s = 5_000;
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        expect(&all, &asked, response, DisclosureRefusal::PeriodOver);

        seen.sort_unstable();
        seen.dedup();
        let elsewhere = [DisclosureRefusal::NotAddressed, DisclosureRefusal::Malformed];
        let all_but: Vec<_> = DisclosureRefusal::ALL.into_iter().filter(|reason| !elsewhere.contains(reason)).collect();
        assert_eq!(seen, all_but);
    }

    #[test]
    fn a_request_for_another_chain_or_publisher_is_not_addressed() {
        let (mut all, held, hit) = hit();
        let asked = all.ask(0, &hit, Attribute::Days, Ask::Open);
        assert_eq!(all.answer(1, &asked.request, Some(&held)).1, Err(DisclosureRefusal::NotAddressed));
        let mut elsewhere = asked.request.clone();
        elsewhere.head.chain_id = Digest32::ZERO;
        resend(&mut elsewhere, &all.world.lender_key);
        assert_eq!(all.answer(0, &elsewhere, Some(&held)).1, Err(DisclosureRefusal::NotAddressed));
    }

    #[test]
    fn a_request_that_contradicts_itself_is_malformed_and_one_that_was_altered_is_not_signed() {
        let changes: [(fn(&mut DisclosureRequest), DisclosureRefusal); 9] = [
            (|r| r.head.check = Digest32::ZERO, DisclosureRefusal::Malformed),
            (|r| r.head.consent_commit = Digest32::ZERO, DisclosureRefusal::Malformed),
            (|r| r.body.consent.salt[0] ^= 1, DisclosureRefusal::Malformed),
            (
                |r| {
                    r.body.consent = Consent { digest: Digest32::ZERO, salt: [1; 32] };
                    r.head.consent_commit = r.body.consent.commitment();
                },
                DisclosureRefusal::Malformed,
            ),
            (|r| r.body.item = 4, DisclosureRefusal::Malformed),
            (|r| r.body.ask = Ask::Between { lo: 2, hi: 1 }, DisclosureRefusal::Malformed),
            (|r| r.body.ask = Ask::Between { lo: 0, hi: 1 << 32 }, DisclosureRefusal::Malformed),
            (|r| r.head.expires_at_s = r.head.issued_at_s + 31, DisclosureRefusal::Malformed),
            (|r| r.head.expires_at_s = r.head.issued_at_s - 1, DisclosureRefusal::Malformed),
        ];
        let (mut all, held, hit) = hit();
        for (number, (change, reason)) in changes.into_iter().enumerate() {
            let mut request = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
            change(&mut request);
            let altered = all.answer(0, &request, Some(&held)).1;
            assert_eq!(altered, Err(DisclosureRefusal::SignatureInvalid), "{number} without the lender's signature");
            resend(&mut request, &all.world.lender_key);
            assert_eq!(all.answer(0, &request, Some(&held)).1, Err(reason), "{number}");
        }
    }

    #[test]
    fn a_check_that_was_refused_or_answered_by_another_or_is_another_lenders_is_unknown() {
        let (mut all, held, hit) = hit();
        let own = &all.world.publishers[0];
        let chain_id = all.world.chain_id;
        let envelope = hit.envelope.digest();
        let refused =
            Outcome::sign(&chain_id, &envelope, RefusalReason::LogOverdue.code(), Digest32::ZERO, &own.identity);
        let mut claimed = refused.clone();
        claimed.status = 0;
        let other = Outcome::sign(&chain_id, &envelope, 0, Digest32::ZERO, &all.world.publishers[1].identity);
        for outcome in [refused, claimed, other] {
            let mut request = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
            request.body.outcome = outcome;
            resend(&mut request, &all.world.lender_key);
            assert_eq!(all.answer(0, &request, Some(&held)).1, Err(DisclosureRefusal::CheckUnknown));
        }
        // a second lender with everything that the first one kept, s included
        let second = SigningKey::generate(&mut all.world.rng);
        let mut request = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        request.head.lender = member_id("LENDER-02");
        let y = all.world.audit.public();
        let head = &request.head;
        let parties = (&head.chain_id, &head.lender, &head.publisher, &head.nonce);
        let what = (Attribute::Amount, Ask::Open);
        let context = proof_context(parties, &head.check, 0, &request.body.tag, what);
        let p = input_element(&hit.identifier.oprf_input()).unwrap();
        let (item, secret) = (&hit.core.items[0], hit.state.secret(0).unwrap());
        request.body.proof = prove_item_opening(secret, item, &y, &p, context.as_bytes(), &mut all.world.rng);
        resend(&mut request, &second);
        let (key, rule) = (second.verifying_key(), all.discloser(0));
        let ctx = disclosing(&key, &y);
        assert!(rule.authenticate(&request, &all.world.lender, &ctx).is_err(), "the channel is another's");
        let authentic = rule.authenticate(&request, &member_id("LENDER-02"), &ctx).unwrap();
        let refused = rule.judge(&authentic, &request, &ctx).unwrap_err();
        assert_eq!(refused, DisclosureRefusal::CheckUnknown);
    }

    #[test]
    fn a_core_or_envelope_that_was_not_evaluated_is_unknown() {
        let (mut all, held, hit) = hit();
        let mut other_core = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        other_core.body.core.items.swap(0, 1);
        let mut other_period = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        other_period.body.core.period = Period(7);
        for mut request in [other_core, other_period] {
            resend(&mut request, &all.world.lender_key);
            assert_eq!(all.answer(0, &request, Some(&held)).1, Err(DisclosureRefusal::CheckUnknown));
        }
    }

    #[test]
    fn a_lender_without_the_hit_learns_nothing_whatever_tag_it_names() {
        let (mut all, held, _) = hit();
        let others = all.honest(0, &record_of(OTHER_RESIDENT, 9, 5, "2026-05-19"), Level::Banded);
        let hit = all.check(0, RESIDENT);
        let tag = |all: &mut Disclosing, number: &str| all.check(0, number).rows[0].tag;
        let (own_tag, others_tag) = (hit.rows[0].tag, tag(&mut all, OTHER_RESIDENT));
        let mut answers = Vec::new();
        // a tag of nobody, a tag of padding (nobody's, too), a row of somebody else, its own row with a proof of another item
        for (tag, found, item) in [
            (Tag::new([7; 16]), None, 0),
            (others_tag, Some(&others), 0),
            (own_tag, Some(&held), 1),
            (others_tag, Some(&others), 2),
        ] {
            let mut asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
            let request = &mut asked.request;
            (request.body.tag, request.body.item) = (tag, item);
            reprove(&mut all, &hit, request);
            let (response, outcome) = all.answer(0, &request.clone(), found);
            assert_eq!(outcome, Err(DisclosureRefusal::NoMatchingRecord));
            answers.push((response.status, response.answer, response.tip_height, response.served_at_s));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the same bytes but for the request's own digest");
    }

    /// Proves for the changed request that its first item holds RESIDENT, which is all this lender can show.
    fn reprove(all: &mut Disclosing, hit: &Hit, request: &mut DisclosureRequest) {
        let y = all.world.audit.public();
        let (head, body) = (&request.head, &request.body);
        let parties = (&head.chain_id, &head.lender, &head.publisher, &head.nonce);
        let context = proof_context(parties, &head.check, body.item, &body.tag, (body.attribute, body.ask));
        let p = input_element(&hit.identifier.oprf_input()).unwrap();
        let (item, secret) = (&hit.core.items[0], hit.state.secret(0).unwrap());
        request.body.proof = prove_item_opening(secret, item, &y, &p, context.as_bytes(), &mut all.world.rng);
        resend(request, &all.world.lender_key);
    }

    #[test]
    fn a_check_about_the_decoy_finds_nothing_behind_a_tag_of_padding() {
        let (mut all, _, _) = hit();
        let y = all.world.audit.public();
        let decoy = input_element(&[0; 48]).unwrap();
        // a lender whose check asks about the element that stands in for absent records, with valid proofs
        let mut addressed = all.world.ask(&[]);
        let mut secrets: Vec<EscrowSecret> = Vec::new();
        let core = &mut addressed.entry.core;
        for item in core.items.iter_mut() {
            let blinded = escrow(&decoy, &y, &mut all.world.rng);
            *item = blinded.item;
            secrets.push(blinded.secret);
        }
        let core = core.clone();
        let proofs = Proofs::Each(prove_knowledge(&core.digest(), &core.items, &secrets, &y, &mut all.world.rng));
        let mut request = addressed.requests.remove(0);
        (request.core, request.proofs) = (core.clone(), proofs);
        request.envelope.core_digest = core.digest();
        request.envelope.proofs_digest = request.proofs.digest();
        request.signature = request.envelope.sign(&core.chain_id, &all.world.lender_key);
        let response = all.world.respond(0, &request);
        let outcome =
            Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
        assert_eq!(outcome.status, 0, "the check itself is evaluated");
        let hit = all.check(0, RESIDENT);
        let mut forged = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        (forged.body.core, forged.body.envelope, forged.body.outcome) = (core, request.envelope, outcome);
        (forged.head.check, forged.body.tag) = (forged.body.envelope.digest(), Tag::new([9; 16]));
        let head = &forged.head;
        let parties = (&head.chain_id, &head.lender, &head.publisher, &head.nonce);
        let what = (Attribute::Amount, Ask::Open);
        let context = proof_context(parties, &head.check, 0, &forged.body.tag, what);
        let (item, rng) = (&forged.body.core.items[0], &mut all.world.rng);
        forged.body.proof = prove_item_opening(&secrets[0], item, &y, &decoy, context.as_bytes(), rng);
        resend(&mut forged, &all.world.lender_key);
        assert_eq!(all.answer(0, &forged, None).1, Err(DisclosureRefusal::NoMatchingRecord));
    }

    #[test]
    fn a_proof_is_of_one_request_and_one_question() {
        let (mut all, held, hit) = hit();
        let first = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        let changes: [fn(&mut DisclosureRequest); 4] = [
            |r| r.head.nonce[0] ^= 1,
            |r| r.body.attribute = Attribute::Days,
            |r| r.body.ask = Ask::Between { lo: 0, hi: 9 },
            |r| r.body.proof = EqualityProof::from_bytes([1; 64]),
        ];
        for change in changes {
            let mut request = first.clone();
            change(&mut request);
            resend(&mut request, &all.world.lender_key);
            assert_eq!(all.answer(0, &request, Some(&held)).1, Err(DisclosureRefusal::NoMatchingRecord));
        }
    }

    #[test]
    fn a_record_that_is_no_longer_held_is_not_disclosed() {
        let (mut all, _, hit) = hit();
        let old = all.commit(0, &record_of(RESIDENT, DAYS, AMOUNT, "2021-06-29"));
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        assert_eq!(all.answer(0, &asked.request, Some(&old)).1, Err(DisclosureRefusal::NoMatchingRecord));
        let last_day = all.commit(0, &record_of(RESIDENT, DAYS, AMOUNT, "2021-06-30"));
        assert_eq!(all.answer(0, &asked.request, Some(&last_day)).1, Ok(()));
        assert_eq!(as_of().to_string(), "2026-06-30");
    }

    #[test]
    fn codes_and_words_are_unique_and_only_late_reasons_are_receipted_or_cost_quota() {
        for reason in DisclosureRefusal::ALL {
            assert_eq!(DisclosureRefusal::from_code(reason.code()), Some(reason));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<DisclosureRefusal>(&json).unwrap(), reason);
            assert!(!took_quota(reason.code()) || reason.is_receipted(), "{reason}");
            assert!(!reason.implies_a_hit() || took_quota(reason.code()));
        }
        assert!(took_quota(0) && DisclosureRefusal::from_code(0).is_none());
        assert!(DisclosureRefusal::from_code(19).is_none() && !took_quota(19));
        let words: std::collections::BTreeSet<_> = DisclosureRefusal::ALL.map(DisclosureRefusal::as_str).into();
        assert_eq!(words.len(), 18);
    }

    #[test]
    fn bytes_that_are_no_request_are_not_read() {
        let (mut all, _, hit) = hit();
        let request = all.ask(0, &hit, Attribute::Amount, Ask::Open).request;
        let bytes = request.encode();
        assert!(DisclosureRequest::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(DisclosureRequest::decode(&[&bytes[..], &[0]].concat()).is_err());
        assert!(DisclosureRequest::decode(&vec![0; 5_000]).is_err());
        let changes: [fn(&mut DisclosureRequest); 3] = [
            |r| r.head.header.kind = 17,
            |r| r.body.core.items.truncate(3),
            |r| r.body.core.shape = riskveil_exchange::query::Shape::Chunk { width: 4, subjects: 1 },
        ];
        for change in changes {
            let mut other = request.clone();
            change(&mut other);
            assert!(DisclosureRequest::decode(&other.encode()).is_err());
        }
    }

    #[test]
    fn a_lender_does_not_ask_what_cannot_be_answered() {
        let (mut all, _, hit) = hit();
        let (y, key, consent) = (all.world.audit.public(), all.world.publishers[0].key.clone(), all.consent());
        let row = HeldRow { tag: hit.rows[0].tag, label: &hit.rows[0].label, key: &key };
        let lender = AskingLender {
            lender: &all.world.lender,
            identity: &all.world.lender_key,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            consent,
            now_s: NOW_S,
            ttl_s: 30,
        };
        let check = HeldCheck {
            core: &hit.core,
            envelope: &hit.envelope,
            outcome: &hit.outcome,
            item: 0,
            identifier: &hit.identifier,
            secret: hit.state.secret(0).unwrap(),
            y: &y,
        };
        let rng = &mut all.world.rng;
        let days = (Attribute::Days, Ask::Open);
        let no_consent = AskingLender { consent: Consent { digest: Digest32::ZERO, salt: [0; 32] }, ..lender };
        assert_eq!(ask(&no_consent, &check, &row, days, rng).unwrap_err(), AskError::NoConsent);
        let refused = Outcome { status: 13, ..hit.outcome.clone() };
        let not_evaluated = HeldCheck { outcome: &refused, ..check };
        assert_eq!(ask(&lender, &not_evaluated, &row, days, rng).unwrap_err(), AskError::NotEvaluated);
        for wrong in [HeldCheck { item: 1, ..check }, HeldCheck { item: 9, ..check }] {
            assert_eq!(ask(&lender, &wrong, &row, days, rng).unwrap_err(), AskError::AnotherItem);
        }
        for bounds in [Ask::Between { lo: 0, hi: 65_536 }, Ask::Between { lo: 9, hi: 8 }] {
            let refused = ask(&lender, &check, &row, (Attribute::Days, bounds), rng).unwrap_err();
            assert_eq!(refused, AskError::Bounds { max: 65_535 });
        }
    }
}

mod faults {
    use super::*;

    /// The honest answer, changed and signed again by the publisher.
    fn changed(what: Ask, change: impl FnOnce(&mut Disclosed, &Disclosing, &Asked)) -> DisclosureFault {
        let (mut all, held, hit) = hit();
        // another record of the same publisher stands on chain
        all.commit(0, &record_of(OTHER_RESIDENT, 1, 2, "2026-05-19"));
        let asked = all.ask(0, &hit, Attribute::Amount, what);
        let (mut response, _) = all.answer(0, &asked.request, Some(&held));
        let mut disclosed: Disclosed = codec::decode(&response.answer, 2_048).unwrap();
        change(&mut disclosed, &all, &asked);
        response.answer = codec::encode(&disclosed);
        resign(&mut response, &all.world.chain_id, &all.world.publishers[0].identity);
        fault(&all, &asked, &response)
    }

    #[test]
    fn an_answer_that_is_not_this_publishers_to_this_request() {
        let (mut all, held, hit) = hit();
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let other = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        let identity = &all.world.publishers[0].identity;
        let signed = |change: fn(&mut DisclosureResponse)| {
            let mut changed = response.clone();
            change(&mut changed);
            resign(&mut changed, &all.world.chain_id, identity);
            fault(&all, &asked, &changed)
        };
        assert_eq!(signed(|r| r.answer.truncate(100)), DisclosureFault::Undecodable);
        assert_eq!(signed(|r| r.header.kind = 18), DisclosureFault::Undecodable);
        assert_eq!(signed(|r| r.publisher = member_id("INST-02")), DisclosureFault::WrongPublisher);
        assert_eq!(fault(&all, &other, &response), DisclosureFault::WrongRequest);
        assert_eq!(signed(|r| r.status = 200), DisclosureFault::StatusUnknown);
        assert_eq!(signed(|r| r.status = 16), DisclosureFault::RefusalNotEmpty);
        let mut flipped = response.clone();
        flipped.tip_height = Height(78);
        assert_eq!(fault(&all, &asked, &flipped), DisclosureFault::SignatureInvalid);
        flipped.signature = Signature::from_bytes([3; 64]);
        assert_eq!(fault(&all, &asked, &flipped), DisclosureFault::SignatureInvalid);
        let bytes = response.encode();
        let key = &all.world.publishers[0].identity_key;
        let cut = asked.state.open(key, &bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(cut.fault, DisclosureFault::Undecodable);
    }

    #[test]
    fn an_answer_to_another_question_of_the_same_length() {
        let (mut all, held, hit) = hit();
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (mut response, _) = all.answer(0, &asked.request, Some(&held));
        let mut disclosed: Disclosed = codec::decode(&response.answer, 2_048).unwrap();
        disclosed.shown = Shown::Between { proof: vec![1; 39] };
        let garbage = vec![0xff; response.answer.len()];
        for answer in [codec::encode(&disclosed), garbage] {
            assert_eq!(answer.len(), response.answer.len());
            response.answer = answer;
            resign(&mut response, &all.world.chain_id, &all.world.publishers[0].identity);
            assert_eq!(fault(&all, &asked, &response), DisclosureFault::AnswerMalformed);
        }
    }

    #[test]
    fn a_commitment_that_the_chain_does_not_have() {
        let nowhere = CommitmentPosition { batch_seq: 9, index: 0 };
        assert_eq!(changed(Ask::Open, |d, _, _| d.position = nowhere), DisclosureFault::NotOnChain);
    }

    #[test]
    fn another_leaf_or_another_rho() {
        let another = CommitmentPosition { batch_seq: 0, index: 1 };
        assert_eq!(changed(Ask::Open, |d, _, _| d.position = another), DisclosureFault::LinkMismatch);
        assert_eq!(changed(Ask::Open, |d, _, _| d.rho[0] ^= 1), DisclosureFault::LinkMismatch);
    }

    #[test]
    fn another_record_of_the_publisher_with_everything_that_belongs_to_it() {
        let (mut all, _, hit) = hit();
        let other = all.commit(0, &record_of(RESIDENT, 60, 999_999, "2026-05-19"));
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&other));
        assert_eq!(fault(&all, &asked, &response), DisclosureFault::LinkMismatch);
    }

    #[test]
    fn a_row_whose_link_names_the_commitment_of_somebody_else() {
        let mut all = Disclosing::new();
        let others = all.commit(0, &record_of(OTHER_RESIDENT, DAYS, AMOUNT, "2026-05-19"));
        let told = record_of(RESIDENT, DAYS, AMOUNT, "2026-05-19");
        all.publish(0, &told, &others, Level::Banded);
        let hit = all.check(0, RESIDENT);
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        // it answers with the values of the commitment, as if its record were the asked person's
        let lie = Held { record: told, seed: others.seed, position: others.position };
        let (response, outcome) = all.answer(0, &asked.request, Some(&lie));
        assert_eq!(outcome, Ok(()));
        assert_eq!(fault(&all, &asked, &response), DisclosureFault::StaticFactsMismatch);
    }

    #[test]
    fn a_label_with_other_facts_than_its_commitment() {
        // told: another day of the event than committed
        let mut all = Disclosing::new();
        let held = all.commit(0, &record_of(RESIDENT, DAYS, AMOUNT, "2026-05-18"));
        all.publish(0, &record_of(RESIDENT, DAYS, AMOUNT, "2026-05-19"), &held, Level::Exact);
        let hit = all.check(0, RESIDENT);
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        assert_eq!(fault(&all, &asked, &response), DisclosureFault::StaticFactsMismatch);
        assert_eq!(changed(Ask::Open, |d, _, _| d.static_salt[0] ^= 1), DisclosureFault::StaticFactsMismatch);
    }

    #[test]
    fn another_value_than_the_committed_one() {
        let value = |to: u64| {
            changed(Ask::Open, move |d, _, _| {
                let Shown::Value { value, .. } = &mut d.shown else { panic!() };
                *value = to;
            })
        };
        // 123457 lies in the same band: only the opening gives the lie away
        for other in [AMOUNT + 1, 0, 1 << 32, u64::MAX] {
            assert_eq!(value(other), DisclosureFault::OpeningInvalid);
        }
        let blinding = changed(Ask::Open, |d, _, _| {
            let Shown::Value { blinding, .. } = &mut d.shown else { panic!() };
            *blinding = [0xff; 32];
        });
        assert_eq!(blinding, DisclosureFault::OpeningInvalid);
    }

    #[test]
    fn a_range_proof_of_other_bounds_another_request_or_another_record() {
        let bounds = Ask::Between { lo: 100_000, hi: 200_000 };
        let flipped = changed(bounds, |d, _, _| {
            let Shown::Between { proof } = &mut d.shown else { panic!() };
            proof[0] ^= 1;
        });
        assert_eq!(flipped, DisclosureFault::RangeProofInvalid);
        let prove = |lo: u64, hi: u64, right_request: bool| {
            let (mut all, held, hit) = hit();
            let asked = all.ask(0, &hit, Attribute::Amount, bounds);
            let (mut response, _) = all.answer(0, &asked.request, Some(&held));
            let mut disclosed: Disclosed = codec::decode(&response.answer, 2_048).unwrap();
            let request = if right_request { asked.request.head.digest() } else { Digest32::ZERO };
            let opening = held.seed.open(&held.record);
            let context = range_context(&request);
            let proof = prove_between(
                Bits::ThirtyTwo,
                opening.of(Attribute::Amount),
                lo,
                hi,
                context.as_bytes(),
                &mut all.world.rng,
            );
            disclosed.shown = Shown::Between { proof: proof.unwrap() };
            response.answer = codec::encode(&disclosed);
            resign(&mut response, &all.world.chain_id, &all.world.publishers[0].identity);
            judged(&all, &asked, &response)
        };
        assert!(prove(100_000, 200_000, true).is_ok());
        for (lo, hi, right_request) in [(100_000, 200_001, true), (0, 200_000, true), (100_000, 200_000, false)] {
            let Err(VerifyError::Rejected(rejected)) = prove(lo, hi, right_request) else { panic!() };
            assert_eq!(rejected.fault, DisclosureFault::RangeProofInvalid);
        }
    }

    #[test]
    fn a_label_that_tells_another_value_than_its_commitment() {
        // (level, told days, told amount, question): the commitment says 45 days and 123456 fen
        let cases = [
            (Level::Banded, DAYS, 600_000, Attribute::Amount, Ask::Open),
            (Level::Banded, 90, AMOUNT, Attribute::Days, Ask::Open),
            (Level::Banded, 90, AMOUNT, Attribute::Days, Ask::Between { lo: 40, hi: 50 }),
            (Level::Exact, DAYS, AMOUNT + 1, Attribute::Amount, Ask::Open),
            (Level::Exact, DAYS, AMOUNT + 1, Attribute::Amount, Ask::Between { lo: 0, hi: AMOUNT }),
            (Level::Exact, 46, AMOUNT, Attribute::Days, Ask::Open),
        ];
        for (level, days, amount, attribute, what) in cases {
            let mut all = Disclosing::new();
            let held = all.commit(0, &record_of(RESIDENT, DAYS, AMOUNT, "2026-05-19"));
            all.publish(0, &record_of(RESIDENT, days, amount, "2026-05-19"), &held, level);
            let hit = all.check(0, RESIDENT);
            let asked = all.ask(0, &hit, attribute, what);
            let (response, _) = all.answer(0, &asked.request, Some(&held));
            assert_eq!(fault(&all, &asked, &response), DisclosureFault::ValueContradictsLabel, "{level} {what:?}");
        }
    }

    #[test]
    fn what_this_replica_cannot_tell_is_nobodys_lie() {
        let (mut all, held, hit) = hit();
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (response, _) = all.answer(0, &asked.request, Some(&held));
        all.chain.damaged = true;
        assert!(matches!(judged(&all, &asked, &response), Err(VerifyError::Unavailable(_))));
    }

    #[test]
    fn faults_are_signed_from_the_signature_on_and_named_once() {
        let signed: Vec<_> = DisclosureFault::ALL.into_iter().filter(|fault| fault.is_signed()).collect();
        assert_eq!(signed.first(), Some(&DisclosureFault::StatusUnknown));
        let words: std::collections::BTreeSet<_> = DisclosureFault::ALL.map(DisclosureFault::as_str).into();
        assert_eq!(words.len(), DisclosureFault::ALL.len());
        for fault in DisclosureFault::ALL {
            assert_eq!(serde_json::to_string(&fault).unwrap(), format!("\"{}\"", fault.as_str()));
        }
        assert_ne!(digest::sha256(b""), Digest32::ZERO);
    }
}
