//! Requests replayed, altered or sent by the wrong hand: each refusal reason and the lender it names.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use riskveil_chain::state::view::StateRead as _;
use riskveil_exchange::ids::AuditKeyId;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse};
use riskveil_exchange::query::quota::QuotaCounter;
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::replay::SeenNonces;
use riskveil_exchange::query::responder::{CurrentAuditKey, OwnPeriodKey, Responder, ResponderContext, Standing, Tip};
use riskveil_tests::second::escrow::{dummy, escrow, prove_each, seal};
use riskveil_tests::second::messages::{
    Core, Envelope, Request, consent_commit, proofs_each, seal_digest, seal_info, seal_plaintext, sealed_item,
};
use riskveil_tests::second::oprf::{hash_to_group, input};

use crate::common::{PERIOD_S, id};
use crate::world::{
    GENESIS_TIME_S, LENDER, OTHER, PERSON, PUBLISHER, REGULATOR, RESIDENT_ID, World, caught, public, scalar,
};

/// An identifier type and its canonical text, or a dummy.
pub type Place = Option<(u8, &'static str)>;

/// What a lender of the second implementation puts into a request before it proves, seals and signs.
pub struct Draft {
    pub core: Core,
    pub escrowed: [Place; 4],
    pub sealed: [Place; 4],
    pub consent: [u8; 32],
    /// The consent digest inside the seal.
    pub sealed_consent: [u8; 32],
    pub secrets: Vec<Scalar>,
    /// Instead of an honest seal.
    pub seal: Option<Vec<u8>>,
    pub publisher: String,
    pub k: [u8; 32],
    /// Applied to the proofs.
    pub spoil_proofs: bool,
}

/// Builds a request to INST-01 with what `change` left of an honest draft.
pub fn draft(world: &mut World, change: impl FnOnce(&mut Draft)) -> Request {
    let view = world.view();
    let person = [Some((RESIDENT_ID, PERSON)), None, None, None];
    let nonce = world.bytes32();
    let core = Core {
        header: [1, 0, 16, 1],
        chain_id: world.chain_id(),
        lender: LENDER.to_owned(),
        nonce,
        issued_at_s: world.now_s(),
        expires_at_s: world.now_s() + 30,
        period: 0,
        audit_key_id: 0,
        ref_height: view.height().0,
        ref_header_hash: *view.digest.as_bytes(),
        purpose: 1,
        consent_commit: [0; 32],
        shape: vec![0],
        items: Vec::new(),
        seal_digest: [0; 32],
    };
    let mut draft = Draft {
        core,
        escrowed: person,
        sealed: person,
        consent: [0xc0; 32],
        sealed_consent: [0xc0; 32],
        secrets: (0..4).map(|_| scalar(&mut world.rng)).collect(),
        seal: None,
        publisher: PUBLISHER.to_owned(),
        k: public(&world.k),
        spoil_proofs: false,
    };
    change(&mut draft);
    let Draft { mut core, escrowed, sealed, consent, sealed_consent, secrets, .. } = draft;
    let (y, salt) = (world.y(), world.bytes32());
    let element = |place: &Place| place.map_or_else(dummy, |(id_type, text)| hash_to_group(&input(id_type, text)));
    if core.items.is_empty() {
        core.items = escrowed.iter().zip(&secrets).map(|(place, s)| escrow(&element(place), &y, s)).collect();
    }
    core.consent_commit = consent_commit(&consent, &salt);
    let items: Vec<Vec<u8>> = sealed.iter().map(|place| sealed_item(*place)).collect();
    let plaintext = seal_plaintext(&items, &[(sealed_consent, salt)]);
    let seal_key = *world.chain.consortium.seal_key.public().as_bytes();
    let info = seal_info(&core.chain_id, core.audit_key_id);
    let honest = seal(&seal_key, &info, &core.seal_aad(), &plaintext, &mut world.rng);
    let seal = draft.seal.unwrap_or(honest);
    core.seal_digest = seal_digest(&seal);
    let mut proofs = prove_each(&core.digest(), &y, &core.items, &secrets, &scalar(&mut world.rng));
    if draft.spoil_proofs {
        proofs[0][40] ^= 1;
    }
    let envelope = Envelope {
        header: [1, 0, 17, 1],
        core_digest: [0; 32],
        proofs_digest: [0; 32],
        publisher: draft.publisher,
        period: core.period,
        k: draft.k,
        salt: world.bytes32(),
    };
    let mut request = Request { core, proofs: proofs_each(&proofs), seal, envelope, signature: [0; 64] };
    request.sign(&world.identity(LENDER));
    request
}

/// INST-01's responder: the product's rules over the real ledger, as `participant_agent::responder` calls them.
pub struct Served {
    pub world: World,
    pub seen: SeenNonces,
    pub quota: QuotaCounter,
    pub quota_limit: u64,
    pub started_at_s: u64,
    pub now_s: u64,
    pub lender_overdue: bool,
}

impl Served {
    pub fn new() -> Self {
        Self::of(World::new())
    }

    pub fn of(world: World) -> Self {
        let now_s = world.now_s();
        let (seen, quota) = (SeenNonces::new(8), QuotaCounter::default());
        Self { world, seen, quota, quota_limit: 1_000, started_at_s: now_s - 5, now_s, lender_overdue: false }
    }

    pub fn request(&mut self, change: impl FnOnce(&mut Draft)) -> Request {
        draft(&mut self.world, change)
    }

    pub fn asks(&mut self, request: &Request) -> String {
        self.asks_as(LENDER, request)
    }

    /// What the peer hears, read from the bytes of the signed response.
    pub fn asks_as(&mut self, peer: &str, request: &Request) -> String {
        let Ok(decoded) = EvaluateRequest::decode(&request.bytes()) else {
            return format!("{peer} sent no request");
        };
        let response = self.respond(peer, &decoded);
        let status = EvaluateResponse::decode(&response.encode(), decoded.core.shape).unwrap();
        match (status.status, status.refusal()) {
            (0, _) => format!("{peer} evaluated"),
            (_, Some(reason)) => format!("{peer} refused({reason})"),
            (code, None) => format!("{peer} status {code}"),
        }
    }

    pub fn respond(&mut self, peer: &str, request: &EvaluateRequest) -> EvaluateResponse {
        let world = &mut self.world;
        let (view, me) = (world.view(), id(PUBLISHER));
        let genesis = world.chain.ledger.genesis();
        let period = view.period(genesis);
        let lender = view.member(&request.core.lender).filter(|member| member.roles.lender);
        let own = view.period_key(period, &me);
        let audit_key = view.audit_key(request.core.audit_key_id).filter(|key| key.is_live(view.time_s()));
        let bound = view.binding(period, &me, request.core.audit_key_id).is_some();
        let tip = Tip { height: view.height(), header_hash: view.digest, time_s: view.time_s() };
        let at = ResponderContext {
            now_s: self.now_s,
            started_at_s: self.started_at_s,
            tip,
            lender_key: lender.as_ref().map(|member| &member.identity_key),
            period_key: own.as_ref().map(|key| OwnPeriodKey {
                k: &key.k,
                sealed: key.sealed.is_some(),
                batch_count: key.batch_count,
            }),
            audit_key: audit_key.as_ref().map(|key| CurrentAuditKey { y: &key.y, bound }),
            quota_left: self.quota.left(&request.core.lender, self.now_s, self.quota_limit),
            lender_overdue: self.lender_overdue,
        };
        let responder = Responder {
            chain_id: world.chain.ledger.chain_id(),
            publisher: &me,
            genesis_time_s: GENESIS_TIME_S,
            policy: &genesis.policy,
        };
        let standing = Standing { tip, last_batch_seq: world.roots.len() as u32, now_s: self.now_s };
        let identity = &world.chain.consortium.identities[&me];
        let core = &request.core;
        let judged = responder
            .authenticate(request, &id(peer), &at)
            .and_then(|authentic| {
                self.seen.insert(&core.lender, &core.nonce, core.expires_at_s, self.now_s)?;
                responder.judge(&authentic, request, &at)
            })
            .and_then(|admitted| {
                self.quota.take(&core.lender, admitted.item_count(), self.now_s, self.quota_limit)?;
                Ok(admitted)
            });
        match judged {
            Err(reason) => responder.refuse(request, reason, &standing, identity),
            Ok(admitted) => {
                let sk = riskveil_crypto::oprf::OprfSecretKey::from_bytes(&riskveil_crypto::SecretBytes::from_bytes(
                    world.k.to_bytes(),
                ))
                .unwrap();
                let evaluated = responder.evaluate(&admitted, request, &sk, &standing, identity, &mut world.rng);
                evaluated.unwrap_or_else(|_| responder.refuse(request, RefusalReason::Overloaded, &standing, identity))
            }
        }
    }
}

fn crime(change: impl FnOnce(&mut Draft)) -> String {
    let mut served = Served::new();
    let request = served.request(change);
    served.asks(&request)
}

#[test]
fn a_replayed_request() {
    let mut served = Served::new();
    let request = served.request(|_| {});
    assert_eq!(served.asks(&request), "LENDER-01 evaluated");
    caught(served.asks(&request), "LENDER-01 refused(replayed)");
}

#[test]
fn a_request_replayed_after_a_restart() {
    let mut served = Served::new();
    let request = served.request(|_| {});
    served.started_at_s = served.now_s + 1;
    caught(served.asks(&request), "LENDER-01 refused(before_restart)");
}

#[test]
fn a_request_replayed_after_its_time() {
    let mut served = Served::new();
    let request = served.request(|draft| draft.core.expires_at_s = draft.core.issued_at_s + 5);
    served.now_s += 6;
    caught(served.asks(&request), "LENDER-01 refused(expired)");
}

#[test]
fn a_request_dated_ahead_so_that_it_lives_longer() {
    let ahead = |draft: &mut Draft| {
        draft.core.issued_at_s += 11;
        draft.core.expires_at_s += 11;
    };
    caught(crime(ahead), "LENDER-01 refused(clock_skew)");
}

#[test]
fn a_request_that_lives_too_long() {
    caught(crime(|draft| draft.core.expires_at_s += 1), "LENDER-01 refused(malformed)");
}

#[test]
fn a_flood_that_would_push_old_nonces_out() {
    let mut served = Served::new();
    let first = served.request(|_| {});
    assert_eq!(served.asks(&first), "LENDER-01 evaluated");
    for _ in 0..7 {
        let request = served.request(|_| {});
        assert_eq!(served.asks(&request), "LENDER-01 evaluated");
    }
    let request = served.request(|_| {});
    caught(served.asks(&request), "LENDER-01 refused(overloaded)");
}

#[test]
fn a_request_altered_on_the_way() {
    let mut served = Served::new();
    let mut request = served.request(|_| {});
    request.core.purpose = 4;
    caught(served.asks(&request), "LENDER-01 refused(signature_invalid)");
}

#[test]
fn a_request_signed_by_somebody_else() {
    let mut served = Served::new();
    let mut request = served.request(|_| {});
    request.sign(&served.world.identity(OTHER));
    caught(served.asks(&request), "LENDER-01 refused(signature_invalid)");
}

#[test]
fn a_stolen_request_sent_by_another_member() {
    let mut served = Served::new();
    let request = served.request(|_| {});
    caught(served.asks_as(REGULATOR, &request), "REGULATOR-01 refused(not_a_lender)");
}

#[test]
fn a_member_that_is_no_lender_asks() {
    let mut served = Served::new();
    let mut request = served.request(|draft| draft.core.lender = REGULATOR.to_owned());
    request.sign(&served.world.identity(REGULATOR));
    caught(served.asks_as(REGULATOR, &request), "REGULATOR-01 refused(not_a_lender)");
}

#[test]
fn an_item_lifted_from_the_request_of_another() {
    let mut served = Served::new();
    // whoever sees a request and repeats its ciphertext would learn what INST-01 says about that person
    let victim = served.request(|_| {});
    let request = served.request(|draft| {
        draft.core.items = victim.core.items.clone();
        draft.spoil_proofs = true;
    });
    caught(served.asks(&request), "LENDER-01 refused(proof_invalid)");
}

#[test]
fn a_blinding_used_twice_in_one_request() {
    let told = crime(|draft| draft.secrets[1] = draft.secrets[0]);
    caught(told, "LENDER-01 refused(proof_invalid)");
}

#[test]
fn a_request_for_another_publisher() {
    caught(crime(|draft| draft.publisher = OTHER.to_owned()), "LENDER-01 refused(not_addressed)");
}

#[test]
fn a_request_of_another_chain() {
    caught(crime(|draft| draft.core.chain_id = [9; 32]), "LENDER-01 refused(not_addressed)");
}

#[test]
fn a_request_for_a_period_that_has_not_begun() {
    caught(crime(|draft| draft.core.period = 1), "LENDER-01 refused(wrong_period)");
}

#[test]
fn a_request_for_a_period_that_is_over() {
    let mut served = Served::new();
    served.world.chain.at(PERIOD_S + 5);
    served.world.chain.raw_block(Vec::new(), Vec::new());
    served.now_s = served.world.now_s();
    let request = served.request(|_| {});
    caught(served.asks(&request), "LENDER-01 refused(period_over)");
}

#[test]
fn a_request_under_an_audit_key_that_is_not_the_regulators() {
    caught(crime(|draft| draft.core.audit_key_id = 7), "LENDER-01 refused(audit_key_not_current)");
}

#[test]
fn a_request_under_an_audit_key_that_the_publisher_is_not_bound_to() {
    let mut served = Served::new();
    let (announced, _) = served.world.chain.audit_key_announcement(1);
    let body = riskveil_chain::tx::TxBody::AnnounceAuditKey(announced);
    served.world.chain.apply(REGULATOR, body, None);
    served.world.chain.at(2 * 86_400);
    served.world.chain.raw_block(Vec::new(), Vec::new());
    (served.now_s, served.started_at_s) = (served.world.now_s(), served.world.now_s() - 5);
    assert_eq!(AuditKeyId(1).0, 1);
    let request = served.request(|draft| draft.core.audit_key_id = 1);
    caught(served.asks(&request), "LENDER-01 refused(no_audit_binding)");
}

#[test]
fn a_seal_of_another_length() {
    caught(crime(|draft| draft.seal = Some(vec![7; 100])), "LENDER-01 refused(seal_length)");
}

#[test]
fn a_seal_swapped_after_the_core_named_it() {
    let mut served = Served::new();
    let mut request = served.request(|_| {});
    request.seal[50] ^= 1;
    caught(served.asks(&request), "LENDER-01 refused(malformed)");
}

#[test]
fn a_request_under_a_key_that_the_lender_made_up() {
    let told = crime(|draft| draft.k = public(&Scalar::from(12_345u64)));
    caught(told, "LENDER-01 refused(wrong_key)");
}

#[test]
fn a_lender_that_asks_for_more_than_its_quota() {
    let mut served = Served::new();
    served.quota_limit = 6;
    let first = served.request(|_| {});
    assert_eq!(served.asks(&first), "LENDER-01 evaluated");
    let second = served.request(|_| {});
    caught(served.asks(&second), "LENDER-01 refused(quota_exceeded)");
}

#[test]
fn a_lender_that_owes_the_chain_a_log_leaf() {
    let mut served = Served::new();
    served.lender_overdue = true;
    let request = served.request(|_| {});
    caught(served.asks(&request), "LENDER-01 refused(log_overdue)");
}

#[test]
fn a_purpose_that_the_policy_does_not_allow() {
    let mut served = Served::new();
    let mut genesis = crate::common::Consortium::new();
    genesis.genesis.policy.purposes.retain(|purpose| *purpose != riskveil_exchange::purpose::Purpose::ALL[3]);
    served.world.chain = crate::common::Chain::open(tempfile::tempdir().unwrap().path(), genesis);
    served.world.roots.clear();
    let k = served.world.k;
    let body = served.world.announcement(PUBLISHER, &k);
    served.world.send(PUBLISHER, body, None);
    served.world.publish(&[]);
    let body = riskveil_tests::second::ledger::seal_snapshot(0, 0, &served.world.roots);
    served.world.send(PUBLISHER, body, None);
    (served.now_s, served.started_at_s) = (served.world.now_s(), served.world.now_s() - 5);
    let request = served.request(|draft| draft.core.purpose = 4);
    caught(served.asks(&request), "LENDER-01 refused(purpose_not_allowed)");
}

#[test]
fn a_publisher_that_is_not_sealed_is_asked() {
    let mut served = Served::of(World::unsealed(|_, _, _| Vec::new()));
    let request = served.request(|_| {});
    caught(served.asks(&request), "LENDER-01 refused(not_ready)");
}

#[test]
fn a_publisher_whose_replica_lags_is_asked() {
    let mut served = Served::new();
    served.now_s += 30;
    let request = served.request(|draft| {
        draft.core.issued_at_s += 30;
        draft.core.expires_at_s += 30;
    });
    caught(served.asks(&request), "LENDER-01 refused(not_ready)");
}

#[test]
fn an_element_that_is_the_identity() {
    let mut served = Served::new();
    let mut request = served.request(|_| {});
    request.core.items[0].0 = [0; 32];
    request.sign(&served.world.identity(LENDER));
    caught(served.asks(&request), "LENDER-01 sent no request");
    assert_eq!(RistrettoPoint::mul_base(&Scalar::ZERO).compress().0, [0; 32]);
}
