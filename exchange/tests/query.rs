//! Walk B, steps 3 to 8: each refusal reason, each condition of `clear`, each response fault says no.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // tables of (change, expected)

mod common;

use std::collections::BTreeMap;

use common::{
    CARD, GENESIS_S, MOBILE, NOW_S, OTHER_RESIDENT, Publisher, RESIDENT, World, as_of, context, evaluated, identifier,
    member_id, record, tip,
};
use riskveil_crypto::evaluation::{EvaluationContext, blind_evaluate};
use riskveil_crypto::fingerprint::derive_slot;
use riskveil_crypto::{Digest32, Element, codec, digest};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::fingerprint;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::{MalformedReason, ResponderAnswer, UnavailableReason, answer_subject};
use riskveil_exchange::query::clear::{self, Conditions, KeyAtHeight, NotAnswered};
use riskveil_exchange::query::messages::{
    EvaluateRequest, EvaluateResponse, MAX_REQUEST_LEN, MessageError, Proofs, Shape, seal_digest,
};
use riskveil_exchange::query::quota::QuotaCounter;
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::replay::SeenNonces;
use riskveil_exchange::query::report::{NotAsked, Report, ReportHead, ReportOutcome, Warning};
use riskveil_exchange::query::responder::{Admitted, ResponderContext};
use riskveil_exchange::query::seal::{MAX_SEAL_LEN, SealPlaintext, SealedItem, seal_info, seal_len};
use riskveil_exchange::query::session::{
    Accepted, Addressed, Consent, ResponseFault, SessionError, Subject, VerifiedResponse,
};
use riskveil_exchange::record::{IdType, Level, RejectReason};

const ASKED: [(IdType, &str); 3] = [(IdType::ResidentId, RESIDENT), (IdType::BankCard, CARD), (IdType::Mobile, MOBILE)];

/// Asks publisher 0 of a consortium of one and accepts its answer.
fn asked(world: &mut World) -> (Addressed, VerifiedResponse) {
    let addressed = world.ask(&ASKED);
    let response = world.respond(0, &addressed.requests[0]).encode();
    let accepted = addressed.state.accept(&world.view(0), &response).unwrap();
    (addressed, evaluated(accepted))
}

fn answer(world: &World, addressed: &Addressed, response: &VerifiedResponse, at: &Conditions<'_>) -> ResponderAnswer {
    let own = &world.publishers[0];
    answer_subject(&addressed.state, 0, response, at, &own.key, &own.index, as_of())
}

mod walk {
    use super::*;

    #[test]
    fn a_held_record_is_a_hit_and_a_stranger_is_clear() {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "fraud", "2026-02-10"), Level::Exact);
        let (addressed, response) = asked(&mut world);
        let ResponderAnswer::Hit(facts) = answer(&world, &addressed, &response, &world.conditions(0)) else {
            panic!("no hit");
        };
        let told: Vec<_> = facts.iter().map(|fact| (fact.category.as_str(), fact.found_by, fact.weak)).collect();
        assert_eq!(told, [("overdue", IdType::ResidentId, false), ("fraud", IdType::ResidentId, false)]);
        assert_eq!(facts[0].overdue_days.map(|days| (days.from, days.to)), Some((31, Some(60))));
        assert_eq!(facts[1].amount_minor.map(|amount| (amount.from, amount.to)), Some((123_456, Some(123_456))));

        let addressed = world.ask(&[(IdType::ResidentId, OTHER_RESIDENT)]);
        let bytes = world.respond(0, &addressed.requests[0]).encode();
        let response = evaluated(addressed.state.accept(&world.view(0), &bytes).unwrap());
        assert_eq!(answer(&world, &addressed, &response, &world.conditions(0)), ResponderAnswer::Clear);
    }

    #[test]
    fn a_hit_by_mobile_alone_is_weak() {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::Mobile, MOBILE, "blacklist", "2026-01-10"), Level::Match);
        let (addressed, response) = asked(&mut world);
        let ResponderAnswer::Hit(facts) = answer(&world, &addressed, &response, &world.conditions(0)) else {
            panic!("no hit");
        };
        assert_eq!((facts[0].weak, facts[0].overdue_days, facts[0].amount_minor), (true, None, None));
    }

    #[test]
    fn expired_and_withdrawn_records_count_as_not_held() {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2019-01-10"), Level::Banded);
        let tag = world.publish(0, &record(IdType::ResidentId, RESIDENT, "fraud", "2026-01-10"), Level::Banded);
        world.publishers[0].index.rows.get_mut(&tag).unwrap().withdrawn = true;
        let (addressed, response) = asked(&mut world);
        assert_eq!(answer(&world, &addressed, &response, &world.conditions(0)), ResponderAnswer::Clear);
    }

    #[test]
    fn a_withdrawn_slot_does_not_hide_the_one_after_it() {
        let mut world = World::new(1);
        let tag = world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        world.publishers[0].index.rows.get_mut(&tag).unwrap().withdrawn = true;
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "fraud", "2026-01-10"), Level::Banded);
        let (addressed, response) = asked(&mut world);
        assert!(
            matches!(answer(&world, &addressed, &response, &world.conditions(0)), ResponderAnswer::Hit(facts) if facts.len() == 1)
        );
    }

    #[test]
    fn sixty_four_records_of_one_identifier_are_all_found() {
        let mut world = World::new(1);
        for _ in 0..64 {
            world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        }
        let (addressed, response) = asked(&mut world);
        assert!(
            matches!(answer(&world, &addressed, &response, &world.conditions(0)), ResponderAnswer::Hit(facts) if facts.len() == 64)
        );
    }

    #[test]
    fn a_chunk_answers_each_of_its_subjects_and_pads_the_rest() {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::ResidentId, OTHER_RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        let consents = [world.consent(), world.consent()];
        let subjects = [
            (world.subject(&[(IdType::ResidentId, RESIDENT), (IdType::Mobile, MOBILE)]), consents[0]),
            (world.subject(&[(IdType::ResidentId, OTHER_RESIDENT)]), consents[1]),
        ];
        let prepared = world.prepare(Shape::Chunk { width: 2, subjects: 16 }, &subjects);
        assert_eq!(prepared.core().items.len(), 32);
        let addressed = world.address(prepared);
        let bytes = world.respond(0, &addressed.requests[0]).encode();
        let response = evaluated(addressed.state.accept(&world.view(0), &bytes).unwrap());
        let (own, at) = (&world.publishers[0], world.conditions(0));
        let answers: Vec<_> = (0..16)
            .map(|subject| answer_subject(&addressed.state, subject, &response, &at, &own.key, &own.index, as_of()))
            .collect();
        assert_eq!(answers[0], ResponderAnswer::Clear);
        assert!(matches!(&answers[1], ResponderAnswer::Hit(facts) if facts.len() == 1));
        assert!(addressed.state.outputs(&response, 2).unwrap().is_empty(), "padding subjects are not looked up");
    }

    #[test]
    fn outputs_equal_what_the_publisher_published_under() {
        let mut world = World::new(1);
        let (addressed, response) = asked(&mut world);
        let outputs = addressed.state.outputs(&response, 0).unwrap();
        assert_eq!(outputs.len(), 3, "the uscc item is a dummy and has no output");
        for ((id_type, text), asked) in ASKED.iter().zip(outputs) {
            let own = &world.publishers[0];
            let published = fingerprint(&own.sk, &identifier(*id_type, text)).unwrap();
            let tag = |out| derive_slot(out, &own.key.salt(), 0).unwrap().tag;
            assert_eq!((asked.id_type, tag(&asked.output)), (*id_type, tag(&published)));
        }
    }
}

mod sizes {
    use super::*;

    #[test]
    fn a_single_check_is_under_1500_bytes_each_way_per_responder() {
        let mut world = World::new(1);
        let addressed = world.ask(&ASKED);
        let response = world.respond(0, &addressed.requests[0]);
        let (out, back) = (addressed.requests[0].encode().len(), response.encode().len());
        println!("single check: {out} bytes to each responder, {back} bytes back");
        assert!(out < 1_500 && back < 1_500);
    }

    #[test]
    fn sizes_do_not_depend_on_whom_or_how_many_identifiers_or_the_answer() {
        let mut world = World::new(1);
        let one = world.ask(&[(IdType::Mobile, MOBILE)]);
        let three = world.ask(&ASKED);
        assert_eq!(one.requests[0].encode().len(), three.requests[0].encode().len());
        let evaluated = world.respond(0, &one.requests[0]).encode().len();
        for reason in RefusalReason::ALL {
            assert_eq!(world.refuse(0, &one.requests[0], reason).encode().len(), evaluated, "{reason}");
        }
    }

    #[test]
    fn the_largest_chunk_fits_the_limits() {
        let largest = [Shape::Chunk { width: 2, subjects: 16384 }, Shape::Chunk { width: 4, subjects: 4096 }];
        for shape in largest {
            assert_eq!(shape.check(), Ok(()));
            assert!(seal_len(shape) <= MAX_SEAL_LEN);
        }
        for shape in [
            Shape::Chunk { width: 4, subjects: 16384 },
            Shape::Chunk { width: 3, subjects: 16 },
            Shape::Chunk { width: 0, subjects: 16 },
            Shape::Chunk { width: 1, subjects: 17 },
        ] {
            assert!(shape.check().is_err(), "{shape:?}");
        }
    }

    #[test]
    fn a_seal_is_canonical_bcs_of_its_fixed_length() {
        let mut world = World::new(1);
        for (shape, subjects) in [(Shape::Check, 1), (Shape::Chunk { width: 4, subjects: 256 }, 2)] {
            let consent = world.consent();
            let subjects: Vec<_> = (0..subjects).map(|_| (world.subject(&ASKED), consent)).collect();
            let prepared = world.prepare(shape, &subjects);
            let addressed = world.address(prepared);
            let request = &addressed.requests[0];
            assert_eq!(request.seal.len(), seal_len(shape));
            let info = seal_info(&world.chain_id, AuditKeyId(0));
            let aad = request.core.aad_without_seal_digest();
            let bytes = riskveil_crypto::seal::open(&world.seal, &info, &aad, &request.seal).unwrap();
            let plain = SealPlaintext::decode(&bytes, shape).unwrap();
            assert_eq!(*plain.encode(), *bytes);
            assert_eq!(plain.consents[0], consent);
        }
    }
}

mod refusals {
    use super::*;

    /// Judges a request after changing it, signing the envelope again as the lender would.
    fn judge_with(
        change_request: impl FnOnce(&mut EvaluateRequest),
        change_context: impl FnOnce(&mut ResponderContext<'_>),
    ) -> Result<Admitted, RefusalReason> {
        let mut world = World::new(1);
        let mut request = world.ask(&ASKED).requests.remove(0);
        change_request(&mut request);
        sign(&world, &mut request);
        judge(&world, &request, &world.lender, change_context)
    }

    fn sign(world: &World, request: &mut EvaluateRequest) {
        request.envelope.core_digest = request.core.digest();
        request.envelope.proofs_digest = request.proofs.digest();
        request.signature = request.envelope.sign(&world.chain_id, &world.lender_key);
    }

    fn judge(
        world: &World,
        request: &EvaluateRequest,
        peer: &MemberId,
        change: impl FnOnce(&mut ResponderContext<'_>),
    ) -> Result<Admitted, RefusalReason> {
        let own: &Publisher = &world.publishers[0];
        let y = world.audit.public();
        let mut ctx = context(&world.lender_identity, own, &y);
        change(&mut ctx);
        let responder = world.responder(own);
        let authentic = responder.authenticate(request, peer, &ctx)?;
        responder.judge(&authentic, request, &ctx)
    }

    fn refused(result: Result<Admitted, RefusalReason>) -> RefusalReason {
        result.map(|admitted| admitted.item_count()).unwrap_err()
    }

    #[test]
    fn an_honest_request_is_admitted() {
        assert_eq!(judge_with(|_| {}, |_| {}).unwrap().item_count(), 4);
    }

    #[test]
    fn not_a_lender() {
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.lender_key = None)), RefusalReason::NotALender);
        let mut world = World::new(1);
        let request = world.ask(&ASKED).requests.remove(0);
        let other = member_id("LENDER-02");
        assert_eq!(refused(judge(&world, &request, &other, |_| {})), RefusalReason::NotALender);
    }

    #[test]
    fn signature_invalid() {
        let mut world = World::new(1);
        let request = world.ask(&ASKED).requests.remove(0);
        let changes: [fn(&mut EvaluateRequest); 4] = [
            |r| r.core.purpose = Purpose::ALL[1],
            |r| r.core.items.swap(0, 1),
            |r| r.envelope.salt[0] ^= 1,
            |r| {
                let Proofs::Each(proofs) = &mut r.proofs else { panic!("a check") };
                proofs.swap(0, 1);
            },
        ];
        for change in changes {
            let mut changed = request.clone();
            change(&mut changed);
            let reason = refused(judge(&world, &changed, &world.lender, |_| {}));
            assert_eq!(reason, RefusalReason::SignatureInvalid);
        }
        let mut forged = request;
        forged.signature = forged.envelope.sign(&world.chain_id, &world.publishers[0].identity);
        assert_eq!(refused(judge(&world, &forged, &world.lender, |_| {})), RefusalReason::SignatureInvalid);
    }

    #[test]
    fn not_addressed() {
        let other = refused(judge_with(|r| r.envelope.publisher = member_id("INST-02"), |_| {}));
        assert_eq!(other, RefusalReason::NotAddressed);
        let chain = refused(judge_with(|r| r.core.chain_id = Digest32::ZERO, |_| {}));
        assert_eq!(chain, RefusalReason::NotAddressed);
    }

    #[test]
    fn wrong_period_and_period_over() {
        let next = |r: &mut EvaluateRequest| (r.core.period, r.envelope.period) = (Period(1), Period(1));
        assert_eq!(refused(judge_with(next, |_| {})), RefusalReason::WrongPeriod);
        let over = refused(judge_with(
            |_| {},
            |ctx| {
                ctx.tip.time_s = GENESIS_S + Policy::default().period_s;
                // the boundary has passed by header time; the clocks of request and responder say the same
                ctx.now_s = NOW_S;
            },
        ));
        assert_eq!(over, RefusalReason::PeriodOver);
    }

    #[test]
    fn audit_key_not_current_and_no_audit_binding() {
        let unknown = refused(judge_with(|_| {}, |ctx| ctx.audit_key = None));
        assert_eq!(unknown, RefusalReason::AuditKeyNotCurrent);
        let unbound = refused(judge_with(
            |_| {},
            |ctx| {
                if let Some(key) = &mut ctx.audit_key {
                    key.bound = false;
                }
            },
        ));
        assert_eq!(unbound, RefusalReason::NoAuditBinding);
    }

    #[test]
    fn expired_clock_skew_and_before_restart() {
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.now_s = NOW_S + 31)), RefusalReason::Expired);
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.now_s = NOW_S + 11)), RefusalReason::ClockSkew);
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.now_s = NOW_S - 11)), RefusalReason::ClockSkew);
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.started_at_s = NOW_S + 1)), RefusalReason::BeforeRestart);
        assert!(judge_with(|_| {}, |ctx| ctx.now_s = NOW_S + 10).is_ok());
    }

    #[test]
    fn replayed_until_it_expires_and_overloaded_when_full() {
        let lender = member_id("LENDER-01");
        let mut seen = SeenNonces::new(2);
        assert_eq!(seen.insert(&lender, &[1; 32], 130, 100), Ok(()));
        assert_eq!(seen.insert(&lender, &[1; 32], 130, 130), Err(RefusalReason::Replayed));
        assert_eq!(seen.insert(&member_id("LENDER-02"), &[1; 32], 130, 100), Ok(()));
        assert_eq!(seen.insert(&lender, &[2; 32], 130, 100), Err(RefusalReason::Overloaded));
        assert!(seen.contains(&lender, &[1; 32]));
        assert_eq!(seen.insert(&lender, &[2; 32], 160, 131), Ok(()));
        assert_eq!(seen.len(), 1, "expired requests are forgotten");
    }

    #[test]
    fn malformed() {
        let lifetime = refused(judge_with(|r| r.core.expires_at_s = NOW_S + 31, |_| {}));
        assert_eq!(lifetime, RefusalReason::Malformed);
        let backwards = refused(judge_with(|r| r.core.expires_at_s = NOW_S - 1, |_| {}));
        assert_eq!(backwards, RefusalReason::Malformed);
        assert_eq!(refused(judge_with(|r| r.envelope.period = Period(1), |_| {})), RefusalReason::Malformed);
        assert_eq!(refused(judge_with(|r| r.seal[0] ^= 1, |_| {})), RefusalReason::Malformed);
    }

    #[test]
    fn seal_length() {
        let longer = |r: &mut EvaluateRequest| {
            r.seal.push(0);
            r.core.seal_digest = seal_digest(&r.seal);
        };
        assert_eq!(refused(judge_with(longer, |_| {})), RefusalReason::SealLength);
    }

    #[test]
    fn proof_invalid() {
        // the core digest changes with any field, and every proof is bound to it
        let changes: [fn(&mut EvaluateRequest); 5] = [
            |r| r.core.purpose = Purpose::ALL[1],
            |r| r.core.items.swap(0, 1),
            |r| r.core.items[1] = r.core.items[0],
            |r| r.core.nonce[0] ^= 1,
            |r| r.core.consent_commit = Digest32::ZERO,
        ];
        for change in changes {
            assert_eq!(refused(judge_with(change, |_| {})), RefusalReason::ProofInvalid);
        }
    }

    #[test]
    fn a_chunk_with_a_changed_item_is_refused() {
        let mut world = World::new(1);
        let subject = (world.subject(&ASKED), world.consent());
        let prepared = world.prepare(Shape::Chunk { width: 4, subjects: 16 }, &[subject]);
        let mut request = world.address(prepared).requests.remove(0);
        assert!(judge(&world, &request, &world.lender, |_| {}).is_ok());
        request.core.items.swap(3, 40);
        sign(&world, &mut request);
        assert_eq!(refused(judge(&world, &request, &world.lender, |_| {})), RefusalReason::ProofInvalid);
    }

    #[test]
    fn wrong_key() {
        assert_eq!(refused(judge_with(|r| r.envelope.k = Element::BASE, |_| {})), RefusalReason::WrongKey);
    }

    #[test]
    fn quota_exceeded() {
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.quota_left = 3)), RefusalReason::QuotaExceeded);
        let lender = member_id("LENDER-01");
        let mut quota = QuotaCounter::default();
        assert_eq!(quota.take(&lender, 4, NOW_S, 6), Ok(()));
        assert_eq!(quota.left(&lender, NOW_S, 6), 2);
        assert_eq!(quota.take(&lender, 4, NOW_S, 6), Err(RefusalReason::QuotaExceeded));
        assert_eq!(quota.take(&lender, 4, NOW_S + 86_400, 6), Ok(()));
        assert_eq!(quota.take(&lender, 4, NOW_S, 6), Err(RefusalReason::QuotaExceeded), "the clock went back");
    }

    #[test]
    fn log_overdue() {
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.lender_overdue = true)), RefusalReason::LogOverdue);
    }

    #[test]
    fn not_ready() {
        assert_eq!(refused(judge_with(|_| {}, |ctx| ctx.period_key = None)), RefusalReason::NotReady);
        let unsealed = refused(judge_with(
            |_| {},
            |ctx| {
                if let Some(key) = &mut ctx.period_key {
                    key.sealed = false;
                }
            },
        ));
        assert_eq!(unsealed, RefusalReason::NotReady);
        let stale = refused(judge_with(|_| {}, |ctx| ctx.tip.time_s = NOW_S - 31));
        assert_eq!(stale, RefusalReason::NotReady);
    }

    #[test]
    fn purpose_not_allowed() {
        let mut world = World::new(1);
        world.policy.purposes = vec![Purpose::ALL[2]];
        let request = world.ask(&ASKED).requests.remove(0);
        let reason = refused(judge(&world, &request, &world.lender, |_| {}));
        assert_eq!(reason, RefusalReason::PurposeNotAllowed);
    }

    #[test]
    fn every_reason_has_one_code_one_word_and_a_place_in_the_registry() {
        for (code, reason) in (1u8..).zip(RefusalReason::ALL) {
            assert_eq!((reason.code(), RefusalReason::from_code(code)), (code, Some(reason)));
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
            assert_eq!(serde_json::from_str::<RefusalReason>(&json).unwrap(), reason);
        }
        assert_eq!((RefusalReason::from_code(0), RefusalReason::from_code(21)), (None, None));
        let before_the_nonce = RefusalReason::ALL.into_iter().filter(|reason| !reason.is_receipted()).count();
        assert_eq!(before_the_nonce, 9);
    }
}

mod bytes {
    use super::*;

    #[test]
    fn a_request_with_other_counts_headers_or_shapes_does_not_decode() {
        let mut world = World::new(1);
        let request = world.ask(&ASKED).requests.remove(0);
        assert_eq!(EvaluateRequest::decode(&request.encode()), Ok(request.clone()));
        let changes: [(fn(&mut EvaluateRequest), fn(&MessageError) -> bool); 6] = [
            (|r| r.core.header.version = 2, |e| matches!(e, MessageError::Header(_))),
            (|r| r.envelope.header.suite = 2, |e| matches!(e, MessageError::Header(_))),
            (|r| r.core.shape = Shape::Chunk { width: 3, subjects: 1 }, |e| matches!(e, MessageError::Shape(_))),
            (|r| r.core.items.truncate(3), |e| matches!(e, MessageError::Count)),
            (
                |r| {
                    let Proofs::Each(proofs) = &mut r.proofs else { panic!("a check") };
                    proofs.truncate(3);
                },
                |e| matches!(e, MessageError::Count),
            ),
            (|r| r.core.shape = Shape::Chunk { width: 4, subjects: 1 }, |e| matches!(e, MessageError::Count)),
        ];
        for (change, expected) in changes {
            let mut changed = request.clone();
            change(&mut changed);
            let error = EvaluateRequest::decode(&changed.encode()).unwrap_err();
            assert!(expected(&error), "{error}");
        }
        let mut longer = request.encode();
        longer.push(0);
        assert!(EvaluateRequest::decode(&longer).is_err());
        assert!(EvaluateRequest::decode(&vec![0; MAX_REQUEST_LEN + 1]).is_err());
    }

    #[test]
    fn truncated_and_flipped_messages_never_panic() {
        let mut world = World::new(1);
        let addressed = world.ask(&ASKED);
        let request = addressed.requests[0].encode();
        let response = world.respond(0, &addressed.requests[0]).encode();
        for length in 0..request.len() {
            assert!(EvaluateRequest::decode(&request[..length]).is_err());
        }
        for index in 0..response.len() {
            assert!(EvaluateResponse::decode(&response[..index], Shape::Check).is_err());
            let mut flipped = response.clone();
            flipped[index] ^= 0x40;
            assert!(addressed.state.accept(&world.view(0), &flipped).is_err(), "byte {index}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            if let Ok(request) = EvaluateRequest::decode(&bytes) {
                proptest::prop_assert_eq!(request.encode(), bytes.clone());
            }
            let _ = EvaluateResponse::decode(&bytes, Shape::Check);
            let _ = SealPlaintext::decode(&bytes, Shape::Check);
        }
    }
}

mod responses {
    use super::*;

    fn fault_of(change: impl FnOnce(&mut EvaluateResponse)) -> ResponseFault {
        let mut world = World::new(2);
        let addressed = world.ask(&ASKED);
        let mut response = world.respond(0, &addressed.requests[0]);
        change(&mut response);
        resign(&world, &mut response);
        let rejected = addressed.state.accept(&world.view(0), &response.encode()).unwrap_err();
        assert_eq!(rejected.publisher, world.publishers[0].id, "the rejection names the publisher");
        rejected.fault
    }

    /// Signs again as the publisher would.
    fn resign(world: &World, response: &mut EvaluateResponse) {
        let (digest, own) = (response.digest(), &world.publishers[0].identity);
        let envelope = response.envelope_digest;
        let outcome = riskveil_exchange::audit::Outcome::sign(&world.chain_id, &envelope, response.status, digest, own);
        response.signature = outcome.signature;
    }

    #[test]
    fn each_field_that_names_another_query_is_rejected() {
        assert_eq!(fault_of(|r| r.core_digest = Digest32::ZERO), ResponseFault::WrongCore);
        assert_eq!(fault_of(|r| r.envelope_digest = Digest32::ZERO), ResponseFault::WrongEnvelope);
        assert_eq!(fault_of(|r| r.publisher = member_id("INST-02")), ResponseFault::WrongPublisher);
        assert_eq!(fault_of(|r| r.period = Period(1)), ResponseFault::WrongPeriod);
        assert_eq!(fault_of(|r| r.k = Element::BASE), ResponseFault::WrongKey);
        assert_eq!(fault_of(|r| r.status = 99), ResponseFault::StatusUnknown);
        assert_eq!(fault_of(|r| r.z.truncate(3)), ResponseFault::Undecodable);
        assert_eq!(fault_of(|r| r.header.kind = 1), ResponseFault::Undecodable);
    }

    #[test]
    fn a_wrong_evaluation_is_rejected_before_it_is_unblinded() {
        assert_eq!(fault_of(|r| r.z.swap(0, 1)), ResponseFault::ProofInvalid);
        assert_eq!(fault_of(|r| r.z[3] = Element::BASE.to_bytes()), ResponseFault::ProofInvalid);
        assert_eq!(fault_of(|r| r.z[0] = [0; 32]), ResponseFault::ElementInvalid);
        assert_eq!(fault_of(|r| r.z[0] = [0xff; 32]), ResponseFault::ElementInvalid);
        assert_eq!(fault_of(|r| r.proof[0] ^= 1), ResponseFault::ProofInvalid);
    }

    #[test]
    fn responses_accepted_together_are_judged_alone() {
        let mut world = World::new(5);
        let addressed = world.ask(&ASKED);
        let mut wrong = world.respond(0, &addressed.requests[0]);
        let refusal = world.refuse(1, &addressed.requests[1], RefusalReason::NotReady);
        let mut unsigned = world.respond(3, &addressed.requests[3]);
        unsigned.served_at_s += 1;
        let good = [2, 4].map(|at| world.respond(at, &addressed.requests[at]).encode());
        let honest_z = wrong.z.clone();
        let changes: [(&dyn Fn(&mut EvaluateResponse), ResponseFault); 3] = [
            (&|r| r.z[0] = [0xff; 32], ResponseFault::ElementInvalid),
            (&|r| r.z.swap(0, 1), ResponseFault::ProofInvalid),
            (&|r| r.status = 250, ResponseFault::StatusUnknown),
        ];
        for (change, fault) in changes {
            wrong.z.clone_from(&honest_z);
            change(&mut wrong);
            resign(&world, &mut wrong);
            let bytes = [wrong.encode(), refusal.encode(), good[0].clone(), unsigned.encode(), good[1].clone()];
            let responses: Vec<_> = bytes.iter().enumerate().map(|(at, bytes)| (world.view(at), &bytes[..])).collect();
            let accepted = addressed.state.accept_all(&responses);
            assert!(matches!(&accepted[0], Err(rejected) if rejected.fault == fault), "{fault:?}");
            assert!(
                matches!(&accepted[1], Ok(Accepted::Refused(refused)) if refused.reason == RefusalReason::NotReady)
            );
            assert!(matches!(&accepted[3], Err(rejected) if rejected.fault == ResponseFault::SignatureInvalid));
            for at in [2, 4] {
                let Ok(Accepted::Evaluated(together)) = &accepted[at] else { panic!("{:?}", accepted[at]) };
                let Ok(Accepted::Evaluated(alone)) = addressed.state.accept(&world.view(at), &bytes[at]) else {
                    panic!()
                };
                assert_eq!(together.head, alone.head);
                let outputs = |response: &VerifiedResponse| -> Vec<_> {
                    let outputs = addressed.state.outputs(response, 0).unwrap();
                    outputs.into_iter().map(|one| one.output.expose(|output| *output)).collect()
                };
                assert_eq!(outputs(together), outputs(&alone));
            }
        }
    }

    #[test]
    fn an_evaluation_under_another_key_is_rejected() {
        let mut world = World::new(2);
        let addressed = world.ask(&ASKED);
        let request = &addressed.requests[0];
        let mut response = world.respond(0, request);
        let other = &world.publishers[1];
        let ctx = EvaluationContext {
            chain_id: &world.chain_id,
            publisher: world.publishers[0].id.as_bytes(),
            period: 0,
            k: &other.binding.k,
            core: &request.core.digest(),
            envelope: &request.envelope.digest(),
        };
        let c2: Vec<Element> = request.core.items.iter().map(|item| item.c2).collect();
        let evaluation = blind_evaluate(&other.sk, &ctx, &c2, &mut world.rng).unwrap();
        response.z = evaluation.z.iter().map(Element::to_bytes).collect();
        response.proof = evaluation.proof.to_bytes();
        resign(&world, &mut response);
        let rejected = addressed.state.accept(&world.view(0), &response.encode()).unwrap_err();
        assert_eq!(rejected.fault, ResponseFault::ProofInvalid);
    }

    #[test]
    fn an_unsigned_answer_and_one_of_somebody_not_asked_are_rejected() {
        let mut world = World::new(2);
        let addressed = world.ask(&ASKED);
        let mut response = world.respond(0, &addressed.requests[0]);
        response.served_at_s += 1;
        let rejected = addressed.state.accept(&world.view(0), &response.encode()).unwrap_err();
        assert_eq!(rejected.fault, ResponseFault::SignatureInvalid);
        let stranger = member_id("INST-09");
        let mut view = world.view(0);
        view.publisher = &stranger;
        let rejected = addressed.state.accept(&view, &response.encode()).unwrap_err();
        assert_eq!(rejected.fault, ResponseFault::NotAsked);
    }

    #[test]
    fn a_refusal_is_accepted_as_a_refusal_and_carries_nothing() {
        let mut world = World::new(1);
        let addressed = world.ask(&ASKED);
        let mut refusal = world.refuse(0, &addressed.requests[0], RefusalReason::NotReady);
        let accepted = addressed.state.accept(&world.view(0), &refusal.encode()).unwrap();
        assert!(matches!(accepted, Accepted::Refused(refused) if refused.reason == RefusalReason::NotReady));
        refusal.z[0][0] = 1;
        resign(&world, &mut refusal);
        let rejected = addressed.state.accept(&world.view(0), &refusal.encode()).unwrap_err();
        assert_eq!(rejected.fault, ResponseFault::RefusalNotEmpty);
    }

    #[test]
    fn a_response_to_another_lenders_envelope_is_rejected() {
        let mut world = World::new(1);
        let first = world.ask(&ASKED);
        let second = world.ask(&ASKED);
        let response = world.respond(0, &first.requests[0]).encode();
        let rejected = second.state.accept(&world.view(0), &response).unwrap_err();
        assert_eq!(rejected.fault, ResponseFault::WrongCore);
    }
}

mod conditions_of_clear {
    use super::*;

    fn judged(change: impl FnOnce(&mut Conditions<'_>)) -> ResponderAnswer {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        let (addressed, response) = asked(&mut world);
        let mut at = world.conditions(0);
        change(&mut at);
        answer(&world, &addressed, &response, &at)
    }

    fn key_with(change: impl FnOnce(&mut KeyAtHeight<'_>)) -> ResponderAnswer {
        judged(|at| {
            if let Some(key) = &mut at.key {
                change(key);
            }
        })
    }

    fn unavailable(reason: UnavailableReason) -> ResponderAnswer {
        ResponderAnswer::Unavailable(reason)
    }

    #[test]
    fn with_all_six_the_answer_counts() {
        assert!(matches!(judged(|_| {}), ResponderAnswer::Hit(_)));
    }

    #[test]
    fn condition_1_header_too_old_or_ahead_or_clock_against_the_median() {
        assert_eq!(judged(|at| at.header_time_s = NOW_S - 31), unavailable(UnavailableReason::StaleReplica));
        assert_eq!(judged(|at| at.header_time_s = NOW_S + 6), unavailable(UnavailableReason::HeaderAhead));
        assert!(judged(|at| at.header_time_s = NOW_S + 5).is_answered());
        let disagrees = unavailable(UnavailableReason::ClockDisagrees);
        assert_eq!(judged(|at| at.responder_times_s = &[NOW_S + 11, NOW_S + 12, NOW_S]), disagrees);
        assert_eq!(judged(|at| at.responder_times_s = &[]), disagrees);
        assert!(judged(|at| at.responder_times_s = &[NOW_S + 999, NOW_S, NOW_S + 1]).is_answered(), "one liar");
    }

    #[test]
    fn condition_2_tip_unknown_or_of_a_fork() {
        assert_eq!(judged(|at| at.own_header_hash_at_tip = None), unavailable(UnavailableReason::TipUnknown));
        let fork = judged(|at| at.own_header_hash_at_tip = Some(digest::sha256(b"another header 77")));
        assert_eq!(fork, unavailable(UnavailableReason::TipConflict));
    }

    #[test]
    fn condition_3_publisher_period_key_snapshot_and_binding() {
        assert_eq!(judged(|at| at.active = false), unavailable(UnavailableReason::NotActive));
        assert_eq!(judged(|at| at.current_period = Period(1)), unavailable(UnavailableReason::PeriodOver));
        assert_eq!(judged(|at| at.key = None), unavailable(UnavailableReason::NoSnapshot));
        assert_eq!(key_with(|key| key.sealed = false), unavailable(UnavailableReason::NoSnapshot));
        assert_eq!(key_with(|key| key.revoked = true), unavailable(UnavailableReason::Revoked));
        assert_eq!(key_with(|key| key.k = &Element::BASE), unavailable(UnavailableReason::KeyChanged));
        assert_eq!(key_with(|key| key.bound = false), unavailable(UnavailableReason::NoAuditBinding));
    }

    #[test]
    fn condition_4_a_batch_not_held_or_counted_otherwise() {
        assert_eq!(judged(|at| at.batches_held = 0), unavailable(UnavailableReason::ReplicaIncomplete));
        assert_eq!(key_with(|key| key.batch_count = 2), unavailable(UnavailableReason::ReplicaIncomplete));
        let counted = judged(|at| at.batch_count_at_tip = 2);
        assert_eq!(counted, ResponderAnswer::Malformed(MalformedReason::BatchCount));
    }

    #[test]
    fn condition_5_not_all_items_verified() {
        let unverified = NotAnswered::Malformed(MalformedReason::ItemsUnverified);
        assert_eq!(clear::items_are_verified(4, 3), Err(unverified));
        assert_eq!(clear::items_are_verified(0, 0), Err(unverified));
        assert_eq!(clear::items_are_verified(4, 4), Ok(()));
    }

    #[test]
    fn condition_6_a_gap_an_unreadable_row_or_a_missing_batch() {
        let mut world = World::new(1);
        let first = world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        let second = world.publish(0, &record(IdType::ResidentId, RESIDENT, "fraud", "2026-01-10"), Level::Banded);
        let (addressed, response) = asked(&mut world);

        let removed = world.publishers[0].index.rows.remove(&first).unwrap();
        let gap = answer(&world, &addressed, &response, &world.conditions(0));
        assert_eq!(gap, ResponderAnswer::Malformed(MalformedReason::SlotGap));
        world.publishers[0].index.rows.insert(first, removed);

        world.publishers[0].index.rows.get_mut(&second).unwrap().row.sealed_label[0] ^= 1;
        let unopenable = answer(&world, &addressed, &response, &world.conditions(0));
        assert_eq!(unopenable, ResponderAnswer::Malformed(MalformedReason::RowUnopenable));

        world.publishers[0].index.damaged = true;
        let damaged = answer(&world, &addressed, &response, &world.conditions(0));
        assert_eq!(damaged, unavailable(UnavailableReason::ReplicaIncomplete));
    }

    #[test]
    fn condition_6_a_label_that_is_none() {
        let mut world = World::new(1);
        let own = &mut world.publishers[0];
        let who = identifier(IdType::ResidentId, RESIDENT);
        let slot = derive_slot(&fingerprint(&own.sk, &who).unwrap(), &own.key.salt(), 0).unwrap();
        let row = riskveil_crypto::label::seal_label(&slot, &own.key.label_aad(&slot.tag), &[0xff; 48], &mut world.rng);
        let found = riskveil_exchange::query::FoundRow { row, batch_seq: 0, position: 0, withdrawn: false };
        own.index.rows.insert(slot.tag, found);
        let (addressed, response) = asked(&mut world);
        let invalid = answer(&world, &addressed, &response, &world.conditions(0));
        assert_eq!(invalid, ResponderAnswer::Malformed(MalformedReason::LabelInvalid));
    }

    #[test]
    fn a_key_binding_of_another_key_never_reads_as_clear() {
        let mut world = World::new(2);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "overdue", "2026-01-10"), Level::Banded);
        let addressed = world.ask(&ASKED);
        let bytes = world.respond(0, &addressed.requests[0]).encode();
        // the binding on chain is verified before it is used: another K_Y has no proof
        let (own, other) = (&world.publishers[0], &world.publishers[1]);
        let forged = riskveil_crypto::announce::KeyBinding { k_y: other.binding.k_y, ..own.binding };
        let context = own.key.binding_context(AuditKeyId(0));
        assert!(riskveil_crypto::announce::verify_key_binding(&forged, &world.audit.public(), &context).is_err());
        assert!(addressed.state.accept(&world.view(0), &bytes).is_ok());
    }
}

mod reports {
    use super::*;

    fn head() -> ReportHead {
        ReportHead {
            core_digest: digest::sha256(b"core"),
            subject: 0,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            period: Period(0),
            height: Height(78),
            header_hash: tip().header_hash,
            judged_at_s: NOW_S,
        }
    }

    fn report(answers: Vec<(&str, ResponderAnswer)>) -> Report {
        let publishers = [member_id("INST-01"), member_id("INST-02")];
        let answers: BTreeMap<_, _> = answers.into_iter().map(|(id, answer)| (member_id(id), answer)).collect();
        Report::new(head(), vec![IdType::ResidentId], Vec::new(), &publishers, answers)
    }

    #[test]
    fn a_missing_or_refused_responder_never_reads_as_clear() {
        let clear = || ("INST-01", ResponderAnswer::Clear);
        assert_eq!(report(vec![clear(), ("INST-02", ResponderAnswer::Clear)]).outcome, ReportOutcome::Clear);
        let mut not_clear = vec![None];
        not_clear.extend(UnavailableReason::ALL.map(|reason| Some(ResponderAnswer::Unavailable(reason))));
        not_clear.extend(RefusalReason::ALL.map(|reason| Some(ResponderAnswer::Refused(reason))));
        not_clear.extend(MalformedReason::ALL.map(|reason| Some(ResponderAnswer::Malformed(reason))));
        for other in not_clear {
            let mut answers = vec![clear()];
            answers.extend(other.clone().map(|answer| ("INST-02", answer)));
            let report = report(answers);
            assert_eq!(report.outcome, ReportOutcome::Incomplete, "{other:?}");
            assert!(report.warnings.contains(&Warning::Incomplete));
            assert_eq!(report.unanswered().count(), 1);
        }
        let nobody = Report::new(head(), vec![IdType::ResidentId], Vec::new(), &[], BTreeMap::new());
        assert_eq!(nobody.outcome, ReportOutcome::Incomplete, "no publisher at all");
    }

    #[test]
    fn a_missing_responder_is_named() {
        let report = report(vec![("INST-01", ResponderAnswer::Clear)]);
        assert_eq!(report.not_reached, [member_id("INST-02")]);
        let unanswered: Vec<_> = report.unanswered().map(|(id, reason)| format!("{id} {reason}")).collect();
        assert_eq!(unanswered, ["INST-02 unavailable(not_reached)"]);
    }

    #[test]
    fn nothing_asked_is_not_clear() {
        let not_asked = vec![NotAsked { id_type: Some(IdType::Mobile), reason: RejectReason::IdLength }];
        let answers = BTreeMap::from([(member_id("INST-01"), ResponderAnswer::Clear)]);
        let report = Report::new(head(), Vec::new(), not_asked, &[member_id("INST-01")], answers);
        assert_eq!(report.outcome, ReportOutcome::Incomplete);
        assert_eq!(report.warnings, [Warning::IdentifierNotAsked, Warning::NothingAsked]);
    }

    #[test]
    fn a_report_survives_json_and_bcs_and_holds_no_identifier() {
        let mut world = World::new(1);
        world.publish(0, &record(IdType::ResidentId, RESIDENT, "fraud", "2026-01-10"), Level::Exact);
        world.publish(0, &record(IdType::Mobile, MOBILE, "cash_out", "2026-01-10"), Level::Banded);
        let (addressed, response) = asked(&mut world);
        let answer = answer(&world, &addressed, &response, &world.conditions(0));
        let publishers = [member_id("INST-01"), member_id("INST-02"), member_id("INST-03")];
        let answers = BTreeMap::from([
            (member_id("INST-01"), answer),
            (member_id("INST-02"), ResponderAnswer::Refused(RefusalReason::LogOverdue)),
        ]);
        let not_asked = vec![NotAsked { id_type: None, reason: RejectReason::IdType }];
        let report = Report::new(head(), vec![IdType::ResidentId, IdType::Mobile], not_asked, &publishers, answers);
        assert!(report.warnings.contains(&Warning::WeakHit) && report.warnings.contains(&Warning::SuspicionOnly));
        let json = serde_json::to_string_pretty(&report).unwrap();
        println!("{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        assert_eq!(codec::decode::<Report>(&codec::encode(&report), 1 << 16).unwrap(), report);
        for secret in [RESIDENT, MOBILE, CARD, "测试"] {
            assert!(!json.contains(secret) && !format!("{report:?}").contains(secret));
        }
    }
}

mod secrets {
    use super::*;

    #[test]
    fn nothing_that_holds_an_identifier_prints_it() {
        let mut world = World::new(1);
        let subject = world.subject(&ASKED);
        let item = SealedItem::real(&identifier(IdType::ResidentId, RESIDENT));
        let plain = SealPlaintext::new(vec![item.clone()], Vec::new());
        let printed_before = format!("{subject:?} {item:?} {plain:?}");
        let consent = world.consent();
        let prepared = world.prepare(Shape::Check, &[(subject, consent)]);
        let printed = format!("{printed_before} {prepared:?}");
        let addressed = world.address(prepared);
        let bytes = world.respond(0, &addressed.requests[0]).encode();
        let response = evaluated(addressed.state.accept(&world.view(0), &bytes).unwrap());
        let outputs = addressed.state.outputs(&response, 0).unwrap();
        let printed = format!("{printed} {addressed:?} {response:?} {outputs:?}");
        for (_, text) in ASKED {
            assert!(!printed.contains(text));
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!printed.contains(&hex));
            assert!(!printed.contains(&format!("{:?}", text.as_bytes()).replace(['[', ']'], "")));
        }
    }

    #[test]
    fn a_query_that_cannot_start_says_why() {
        let mut world = World::new(1);
        let two = vec![identifier(IdType::ResidentId, RESIDENT), identifier(IdType::ResidentId, OTHER_RESIDENT)];
        assert_eq!(Subject::new(two).unwrap_err(), SessionError::RepeatedType);
        let y = world.audit.public();
        let seal_key = world.seal.public();
        let chain_id = world.chain_id;
        let lender = world.lender.clone();
        let params = riskveil_exchange::query::session::QueryParameters {
            chain_id: &chain_id,
            lender: &lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &y,
            seal_key: &seal_key,
            ref_height: Height(1),
            ref_header_hash: Digest32::ZERO,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: NOW_S,
            ttl_s: 30,
        };
        let subject: (Subject, Consent) = (world.subject(&ASKED), world.consent());
        let mut start = |shape, subjects: &[(Subject, Consent)]| {
            riskveil_exchange::query::Session::start(&params, shape, subjects, &mut world.rng).unwrap_err()
        };
        assert_eq!(start(Shape::Check, &[]), SessionError::SubjectCount { given: 0, places: 1 });
        let two = [subject.clone(), subject.clone()];
        assert_eq!(start(Shape::Check, &two), SessionError::SubjectCount { given: 2, places: 1 });
        let narrow = Shape::Chunk { width: 2, subjects: 16 };
        assert_eq!(start(narrow, &two), SessionError::TooManyIdentifiers { width: 2 });
        assert!(matches!(start(Shape::Chunk { width: 5, subjects: 1 }, &two), SessionError::Shape(_)));
    }

    #[test]
    fn no_scalar_is_used_twice() {
        let mut world = World::new(2);
        let (first, second) = (world.ask(&ASKED), world.ask(&ASKED));
        let mut c1: Vec<_> =
            first.entry.core.items.iter().chain(&second.entry.core.items).map(|item| item.c1).collect();
        c1.sort_by_key(Element::to_bytes);
        c1.dedup();
        assert_eq!(c1.len(), 8);
        assert_ne!(first.requests[0].envelope.salt, first.requests[1].envelope.salt);
        assert_ne!(first.entry.core.nonce, second.entry.core.nonce);
    }
}
