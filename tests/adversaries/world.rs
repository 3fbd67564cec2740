//! The stage: a real ledger, a lender and a responder of the product, and adversaries of the second implementation.

use std::fmt::Display;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::RngCore as _;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::{FinalizedView, StateRead as _};
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::{Digest32, Element};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::publish::PeriodKeyId;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::{ResponderAnswer, answer_subject};
use riskveil_exchange::query::clear::{Conditions, KeyAtHeight};
use riskveil_exchange::query::messages::Shape;
use riskveil_exchange::query::session::{
    Accepted, Addressed, Addressee, Consent, PublisherView, QueryParameters, Session, Subject, VerifiedResponse,
};
use riskveil_exchange::query::{FoundRow, IndexUnavailable, IndexView};
use riskveil_exchange::record::{Day, IdType, Identifier};
use riskveil_tests::second::messages::{Request, Response};
use riskveil_tests::second::oprf::{self, Context, encode};
use riskveil_tests::second::rows::{Label, Place, batch, row};
use riskveil_tests::second::{Identity, ledger, sha256};

pub use crate::common::GENESIS_TIME_S;
use crate::common::{Chain, id};

pub const PUBLISHER: &str = "INST-01";
pub const OTHER: &str = "INST-02";
pub const LENDER: &str = "LENDER-01";
pub const REGULATOR: &str = "REGULATOR-01";
/// Listed at INST-01 unless a test says otherwise.
pub const PERSON: &str = "513230196105128094";
pub const STRANGER: &str = "37078619700116954X";
pub const RESIDENT_ID: u8 = 1;
/// An honest label: overdue, severity 3, banded, of 2026-01-10.
pub const LABEL: Label =
    Label { category: 2, severity: 3, level: 2, event_day: 20_463, expiry_day: 22_289, days: 3, amount: 2 };

pub fn as_of() -> Day {
    "2026-06-30".parse().unwrap()
}

/// The verdict on a crime: anything else than `expected` means that it passed.
#[track_caller]
pub fn caught(what_happened: impl Display, expected: &str) {
    let what_happened = what_happened.to_string();
    assert!(what_happened == expected, "the crime passed: {what_happened} (instead of: {expected})");
}

pub struct World {
    pub chain: Chain,
    pub rng: ChaCha20Rng,
    /// INST-01's OPRF key.
    pub k: Scalar,
    /// Roots of INST-01's batches.
    pub roots: Vec<[u8; 32]>,
}

impl World {
    /// Nothing is announced yet.
    pub fn empty() -> Self {
        let mut rng = crate::common::rng(11);
        let k = scalar(&mut rng);
        Self { chain: Chain::new(), rng, k, roots: Vec::new() }
    }

    /// INST-01 lists [`PERSON`] in slot 0 and seals.
    pub fn new() -> Self {
        Self::publishing(|place, out, rng| vec![row(place, out, 0, &LABEL.bytes(), rng)])
    }

    /// INST-01 announces its key, publishes these rows of [`PERSON`] and seals.
    pub fn publishing(rows: impl FnOnce(&Place<'_>, &[u8; 64], &mut ChaCha20Rng) -> Vec<[u8; 92]>) -> Self {
        let mut world = Self::unsealed(rows);
        let body = ledger::seal_snapshot(0, 0, &world.roots);
        assert_eq!(world.send(PUBLISHER, body, None), ReceiptCode::Applied);
        world
    }

    /// As [`World::publishing`], without the seal.
    pub fn unsealed(rows: impl FnOnce(&Place<'_>, &[u8; 64], &mut ChaCha20Rng) -> Vec<[u8; 92]>) -> Self {
        let mut world = Self::empty();
        let k = world.k;
        let body = world.announcement(PUBLISHER, &k);
        assert_eq!(world.send(PUBLISHER, body, None), ReceiptCode::Applied);
        let chain_id = world.chain_id();
        let place = Place { chain_id: &chain_id, publisher: PUBLISHER, period: 0, key_serial: 0 };
        let out = oprf::output(&k, &oprf::input(RESIDENT_ID, PERSON));
        let rows = rows(&place, &out, &mut world.rng);
        assert_eq!(world.publish(&rows), ReceiptCode::Applied);
        world
    }

    pub fn publish(&mut self, rows: &[[u8; 92]]) -> ReceiptCode {
        let payload = batch(rows, &mut self.rng).concat();
        let root = ledger::rows_root(&payload);
        let seq = self.roots.len() as u32;
        self.roots.push(root);
        self.send(PUBLISHER, ledger::publish_rows(0, 0, seq, &payload, &root), Some(payload))
    }

    pub fn announcement(&mut self, publisher: &str, k: &Scalar) -> Vec<u8> {
        let context = ledger::binding_context(&self.chain_id(), publisher, 0, 0, 0);
        let (k_y, proof) = oprf::bind(k, &self.y(), &context, &scalar(&mut self.rng));
        ledger::announce_period_key(0, 0, &public(k), &[(0, k_y, proof)])
    }

    pub fn chain_id(&self) -> [u8; 32] {
        *self.chain.ledger.chain_id().as_bytes()
    }

    pub fn y(&self) -> [u8; 32] {
        self.chain.consortium.audit_key.public().to_bytes()
    }

    pub fn identity(&self, member: &str) -> Identity {
        Identity::from_seed(self.chain.consortium.identities[&id(member)].seed().expose(|seed| *seed))
    }

    pub fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    pub fn view(&self) -> std::sync::Arc<FinalizedView> {
        self.chain.ledger.view()
    }

    /// Everybody's clock, unless it lies: one second after the newest header.
    pub fn now_s(&self) -> u64 {
        self.view().time_s() + 1
    }

    pub fn transaction(&self, sender: &str, body: Vec<u8>) -> ledger::Transaction {
        ledger::Transaction {
            chain_id: self.chain_id(),
            sender: sender.to_owned(),
            sequence: self.view().sequence(&id(sender)) + 1,
            expiry_height: self.chain.height().0 + 100,
            body,
        }
    }

    /// Signs a body as its sender and has it executed in a block of its own.
    pub fn send(&mut self, sender: &str, body: Vec<u8>, payload: Option<Vec<u8>>) -> ReceiptCode {
        let signed = self.transaction(sender, body).sign(&self.identity(sender));
        self.chain.raw_block(vec![signed], payload.into_iter().collect())[0]
    }

    /// As [`World::send`], as a verdict.
    pub fn sent(&mut self, sender: &str, body: Vec<u8>, payload: Option<Vec<u8>>) -> String {
        format!("{sender} {:?}", self.send(sender, body, payload))
    }

    /// The lender asks INST-01 about [`PERSON`].
    pub fn ask(&mut self) -> Asked {
        let k = public(&self.k);
        self.ask_of(PUBLISHER, &k, AuditKeyId(0), Shape::Check)
    }

    pub fn ask_of(&mut self, publisher: &str, k: &[u8; 32], audit_key_id: AuditKeyId, shape: Shape) -> Asked {
        let consent = Consent::new(Digest32::new(sha256(b"consent")), &mut self.rng);
        let (view, chain_id, lender) = (self.view(), *self.chain.ledger.chain_id(), id(LENDER));
        let audit_key = view.audit_key(audit_key_id).unwrap();
        let params = QueryParameters {
            chain_id: &chain_id,
            lender: &lender,
            period: view.period(self.chain.ledger.genesis()),
            audit_key_id,
            y: &audit_key.y,
            seal_key: &audit_key.seal_key,
            ref_height: view.height(),
            ref_header_hash: view.digest,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: self.now_s(),
            ttl_s: 30,
        };
        let person = Identifier::parse(IdType::ResidentId, PERSON, as_of()).unwrap();
        let subject = (Subject::new(vec![person]).unwrap(), consent);
        let prepared = Session::start(&params, shape, &[subject], &mut self.rng).unwrap();
        let (publisher, k) = (id(publisher), Element::from_bytes(k).unwrap());
        let to = Addressee { publisher: &publisher, k: &k };
        let addressed = prepared.address(&[to], &self.chain.consortium.identities[&id(LENDER)], &mut self.rng);
        let request = Request::read(&addressed.requests[0].encode());
        Asked { addressed, request, publisher }
    }

    /// An answer under `k`, honest in every field and signed by whom the request asks.
    pub fn answer(&mut self, asked: &Asked, k: &Scalar) -> Response {
        let mut response = self.unsigned(asked, k);
        self.sign(&mut response);
        response
    }

    pub fn sign(&self, response: &mut Response) {
        response.sign(&self.chain_id(), &self.identity(&response.publisher.clone()));
    }

    fn unsigned(&mut self, asked: &Asked, k: &Scalar) -> Response {
        let request = &asked.request;
        let (core, envelope, chain_id) = (request.core.digest(), request.envelope.digest(), self.chain_id());
        let ctx = Context {
            chain_id: &chain_id,
            publisher: &request.envelope.publisher,
            period: request.core.period,
            k: &request.envelope.k,
            core: &core,
            envelope: &envelope,
        };
        let (z, proof) = oprf::evaluate(k, &ctx, &asked.c2(), &scalar(&mut self.rng));
        let view = self.view();
        Response {
            header: [1, 0, 18, 1],
            core_digest: core,
            envelope_digest: envelope,
            publisher: request.envelope.publisher.clone(),
            period: request.core.period,
            k: request.envelope.k,
            status: 0,
            tip_height: view.height().0,
            tip_header_hash: *view.digest.as_bytes(),
            last_batch_seq: self.roots.len() as u32,
            served_at_s: self.now_s(),
            z,
            proof,
            signature: [0; 64],
        }
    }

    /// What the lender makes of these bytes: the publisher and its answer.
    pub fn told(&self, asked: &Asked, bytes: &[u8]) -> String {
        self.told_with(asked, bytes, |_| {})
    }

    /// As [`World::told`], under conditions that differ from the replica's.
    pub fn told_with(&self, asked: &Asked, bytes: &[u8], change: impl FnOnce(&mut Conditions<'_>)) -> String {
        match self.accept(asked, bytes, None) {
            Ok(response) => self.judged(asked, &response, change),
            Err(verdict) => verdict,
        }
    }

    /// B5: the verified response, or the verdict.
    pub fn accept(&self, asked: &Asked, bytes: &[u8], k_y: Option<Element>) -> Result<VerifiedResponse, String> {
        let view = self.view();
        let period = view.period(self.chain.ledger.genesis());
        let bound = view.binding(period, &asked.publisher, asked.addressed.state.core().audit_key_id);
        let member = view.member(&asked.publisher).unwrap();
        let from = PublisherView {
            publisher: &asked.publisher,
            identity_key: &member.identity_key,
            k_y: &k_y.or(bound.map(|bound| bound.k_y)).unwrap_or(Element::BASE),
        };
        match asked.addressed.state.accept(&from, bytes) {
            Ok(Accepted::Evaluated(response)) => Ok(*response),
            Ok(Accepted::Refused(refusal)) => Err(format!("{} refused({})", refusal.head.publisher, refusal.reason)),
            Err(rejected) => Err(format!("{} malformed(response): {}", rejected.publisher, rejected.fault)),
        }
    }

    /// B6 and B7 over the real replica, as `participant_agent::walks::judge` does it.
    pub fn judged(
        &self,
        asked: &Asked,
        response: &VerifiedResponse,
        change: impl FnOnce(&mut Conditions<'_>),
    ) -> String {
        let (view, publisher) = (self.view(), &asked.publisher);
        let core = asked.addressed.state.core();
        let period = core.period;
        let key = view.period_key(period, publisher);
        let counted = key.as_ref().map_or(0, |key| key.batch_count);
        let times = [response.head.served_at_s];
        let index = self.chain.ledger.index();
        let mut at = Conditions {
            policy: &self.chain.ledger.genesis().policy,
            now_s: self.now_s(),
            height: view.height(),
            header_time_s: view.time_s(),
            responder_times_s: &times,
            own_header_hash_at_tip: self.header_hash(response.head.tip_height),
            active: view.member(publisher).is_some_and(|member| member.roles.publisher),
            current_period: view.period(self.chain.ledger.genesis()),
            key: key.as_ref().map(|key| KeyAtHeight {
                k: &key.k,
                sealed: key.sealed.is_some(),
                revoked: key.revoked,
                bound: view.binding(period, publisher, core.audit_key_id).is_some(),
                batch_count: key.batch_count,
            }),
            batches_held: if index.holds(period, publisher, counted) { counted } else { 0 },
            batch_count_at_tip: counted,
        };
        change(&mut at);
        let id = PeriodKeyId {
            chain_id: *self.chain.ledger.chain_id(),
            publisher: publisher.clone(),
            period,
            key_serial: 0,
        };
        let rows = Replica { world: self, period, publisher, batch_count: counted };
        match answer_subject(&asked.addressed.state, 0, response, &at, &id, &rows, as_of()) {
            ResponderAnswer::Hit(facts) => format!("{publisher} hit({})", facts.len()),
            ResponderAnswer::Clear => format!("{publisher} clear"),
            other => format!("{publisher} {}", other.unanswered().unwrap()),
        }
    }

    fn header_hash(&self, height: Height) -> Option<Digest32> {
        let genesis = self.chain.ledger.genesis_block();
        let mut blocks = self.chain.blocks.iter().chain([genesis]);
        blocks.find(|block| block.header.height == height).map(|block| block.digest())
    }
}

/// A question of the product's lender to one publisher.
pub struct Asked {
    pub addressed: Addressed,
    pub request: Request,
    pub publisher: MemberId,
}

impl Asked {
    pub fn c2(&self) -> Vec<[u8; 32]> {
        self.request.core.items.iter().map(|(_, c2)| *c2).collect()
    }
}

struct Replica<'a> {
    world: &'a World,
    period: Period,
    publisher: &'a MemberId,
    batch_count: u32,
}

impl IndexView for Replica<'_> {
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        let index = self.world.chain.ledger.index();
        let found = index.lookup(self.period, self.publisher, self.batch_count, tag).map_err(|_| IndexUnavailable)?;
        Ok(found.map(|found| FoundRow {
            row: found.row,
            batch_seq: found.batch_seq,
            position: found.position,
            withdrawn: found.withdrawn,
        }))
    }
}

pub fn scalar(rng: &mut ChaCha20Rng) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

pub fn public(k: &Scalar) -> [u8; 32] {
    encode(&RistrettoPoint::mul_base(k))
}
