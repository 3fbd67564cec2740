//! A small consortium in memory: one lender, one regulator, a few publishers with rows in a map.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // every test file includes this one and uses its part

pub mod disclosure;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::announce::{KeyBinding, bind_key, verify_key_binding};
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, SigningKey, VerifyingKey, digest};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::{PeriodKeyId, SlotBook, fingerprint, seal_record};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::clear::{Conditions, KeyAtHeight};
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::responder::{CurrentAuditKey, OwnPeriodKey, Responder, ResponderContext, Standing, Tip};
use riskveil_exchange::query::session::{
    Accepted, Addressed, Addressee, Consent, Prepared, PublisherView, QueryParameters, Session, Subject,
    VerifiedResponse,
};
use riskveil_exchange::query::{FoundRow, IndexUnavailable, IndexView};
use riskveil_exchange::record::{Day, IdType, Identifier, Label, Level, RawRow, Record};

pub const GENESIS_S: u64 = 1_000_000;
pub const NOW_S: u64 = GENESIS_S + 10_000;
pub const RESIDENT: &str = "513230196105128094";
pub const OTHER_RESIDENT: &str = "37078619700116954X";
pub const MOBILE: &str = "13812345678";
pub const CARD: &str = "6229260902836859";

pub fn as_of() -> Day {
    "2026-06-30".parse().unwrap()
}

pub fn identifier(id_type: IdType, text: &str) -> Identifier {
    Identifier::parse(id_type, text, as_of()).unwrap()
}

pub fn member_id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub fn record(id_type: IdType, number: &str, category: &str, event_date: &str) -> Record {
    let raw = RawRow {
        id_type: id_type.as_str().into(),
        id_number: number.into(),
        name: "测试".into(),
        category: category.into(),
        severity: "3".into(),
        overdue_days: if category == "overdue" { "45".into() } else { "0".into() },
        amount_cents: "123456".into(),
        currency: "CNY".into(),
        event_date: event_date.into(),
        mobile: String::new(),
        source_ref: String::new(),
    };
    Record::parse(&raw, as_of()).unwrap()
}

/// Rows by tag, as a chain's index shows them.
#[derive(Default)]
pub struct MemoryIndex {
    pub rows: BTreeMap<Tag, FoundRow>,
    pub damaged: bool,
}

impl IndexView for MemoryIndex {
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        if self.damaged { Err(IndexUnavailable) } else { Ok(self.rows.get(tag).cloned()) }
    }
}

pub struct Publisher {
    pub id: MemberId,
    pub identity: SigningKey,
    pub identity_key: VerifyingKey,
    pub sk: OprfSecretKey,
    pub key: PeriodKeyId,
    pub binding: KeyBinding,
    pub index: MemoryIndex,
    pub slots: SlotBook,
}

pub struct World {
    pub rng: ChaCha20Rng,
    pub chain_id: Digest32,
    pub policy: Policy,
    pub lender: MemberId,
    pub lender_key: SigningKey,
    pub lender_identity: VerifyingKey,
    pub audit_key_id: AuditKeyId,
    pub audit: AuditKeyPair,
    pub seal: SealSecretKey,
    pub publishers: Vec<Publisher>,
}

pub fn tip() -> Tip {
    Tip { height: Height(77), header_hash: digest::sha256(b"header 77"), time_s: NOW_S - 2 }
}

impl World {
    pub fn new(publishers: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let chain_id = digest::sha256(b"chain");
        let lender_key = SigningKey::generate(&mut rng);
        let audit = AuditKeyPair::generate(&mut rng);
        let seal = SealSecretKey::generate(&mut rng);
        let publishers = (1..=publishers)
            .map(|number| {
                let id = member_id(&format!("INST-{number:02}"));
                let identity = SigningKey::generate(&mut rng);
                let sk = OprfSecretKey::generate(&mut rng);
                let key = PeriodKeyId { chain_id, publisher: id.clone(), period: Period(0), key_serial: 0 };
                let context = key.binding_context(AuditKeyId(0));
                let binding = bind_key(&sk, &audit.public(), &context, &mut rng);
                verify_key_binding(&binding, &audit.public(), &context).unwrap();
                let identity_key = identity.verifying_key();
                let (index, slots) = (MemoryIndex::default(), SlotBook::default());
                Publisher { id, identity, identity_key, sk, key, binding, index, slots }
            })
            .collect();
        Self {
            rng,
            chain_id,
            policy: Policy::default(),
            lender: member_id("LENDER-01"),
            lender_identity: lender_key.verifying_key(),
            lender_key,
            audit_key_id: AuditKeyId(0),
            audit,
            seal,
            publishers,
        }
    }

    /// Publishes a record into a publisher's index; returns its tag.
    pub fn publish(&mut self, publisher: usize, record: &Record, level: Level) -> Tag {
        let label = Label::new(record, level, self.policy.retention_years, [9; 32]);
        let own = &mut self.publishers[publisher];
        let out = fingerprint(&own.sk, record.identifier()).unwrap();
        let slot = own.slots.take(record.identifier()).unwrap();
        let row = seal_record(&out, &own.key, slot, &label, &mut self.rng).unwrap();
        let position = own.index.rows.len() as u32;
        own.index.rows.insert(row.tag, FoundRow { row, batch_seq: 0, position, withdrawn: false });
        row.tag
    }

    pub fn subject(&self, identifiers: &[(IdType, &str)]) -> Subject {
        Subject::new(identifiers.iter().map(|(id_type, text)| identifier(*id_type, text)).collect()).unwrap()
    }

    pub fn consent(&mut self) -> Consent {
        Consent::new(digest::sha256(b"consent document"), &mut self.rng)
    }

    pub fn prepare(&mut self, shape: Shape, subjects: &[(Subject, Consent)]) -> Prepared {
        let (y, seal_key) = (self.audit.public(), self.seal.public());
        let params = QueryParameters {
            chain_id: &self.chain_id,
            lender: &self.lender,
            period: Period(0),
            audit_key_id: self.audit_key_id,
            y: &y,
            seal_key: &seal_key,
            ref_height: Height(76),
            ref_header_hash: digest::sha256(b"header 76"),
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: NOW_S,
            ttl_s: self.policy.request_ttl_s,
        };
        Session::start(&params, shape, subjects, &mut self.rng).unwrap()
    }

    pub fn address(&mut self, prepared: Prepared) -> Addressed {
        let to: Vec<_> =
            self.publishers.iter().map(|own| Addressee { publisher: &own.id, k: &own.binding.k }).collect();
        prepared.address(&to, &self.lender_key, &mut self.rng)
    }

    pub fn ask(&mut self, identifiers: &[(IdType, &str)]) -> Addressed {
        let subject = (self.subject(identifiers), self.consent());
        let prepared = self.prepare(Shape::Check, &[subject]);
        self.address(prepared)
    }

    pub fn responder<'a>(&'a self, own: &'a Publisher) -> Responder<'a> {
        Responder { chain_id: &self.chain_id, publisher: &own.id, genesis_time_s: GENESIS_S, policy: &self.policy }
    }

    pub fn standing(&self) -> Standing {
        Standing { tip: tip(), last_batch_seq: 1, now_s: NOW_S }
    }

    /// Judges and answers as an honest responder, over the bytes of the request.
    pub fn respond(&mut self, publisher: usize, request: &EvaluateRequest) -> EvaluateResponse {
        let request = EvaluateRequest::decode(&request.encode()).unwrap();
        let y = self.audit.public();
        let mut rng = self.rng.clone();
        let own = &self.publishers[publisher];
        let ctx = context(&self.lender_identity, own, &y);
        let responder = self.responder(own);
        let admitted = responder
            .authenticate(&request, &self.lender, &ctx)
            .and_then(|authentic| responder.judge(&authentic, &request, &ctx))
            .unwrap();
        let standing = self.standing();
        let response = responder.evaluate(&admitted, &request, &own.sk, &standing, &own.identity, &mut rng).unwrap();
        self.rng = rng;
        response
    }

    pub fn refuse(&self, publisher: usize, request: &EvaluateRequest, reason: RefusalReason) -> EvaluateResponse {
        let own = &self.publishers[publisher];
        self.responder(own).refuse(request, reason, &self.standing(), &own.identity)
    }

    pub fn view<'a>(&'a self, publisher: usize) -> PublisherView<'a> {
        let own = &self.publishers[publisher];
        PublisherView { publisher: &own.id, identity_key: &own.identity_key, k_y: &own.binding.k_y }
    }

    /// Conditions of `clear` that all hold.
    pub fn conditions<'a>(&'a self, publisher: usize) -> Conditions<'a> {
        let own = &self.publishers[publisher];
        Conditions {
            policy: &self.policy,
            now_s: NOW_S,
            height: Height(78),
            header_time_s: NOW_S - 1,
            responder_times_s: &[NOW_S],
            own_header_hash_at_tip: Some(tip().header_hash),
            active: true,
            current_period: Period(0),
            key: Some(KeyAtHeight { k: &own.binding.k, sealed: true, revoked: false, bound: true, batch_count: 1 }),
            batches_held: 1,
            batch_count_at_tip: 1,
        }
    }

    pub fn members(&mut self) -> Vec<Member> {
        let mut members =
            vec![self.member("LENDER-01", self.lender_identity, Roles { lender: true, ..Roles::default() })];
        for index in 0..self.publishers.len() {
            let (id, key) = (self.publishers[index].id.clone(), self.publishers[index].identity_key);
            let roles = Roles { publisher: true, validator: true, ..Roles::default() };
            members.push(self.member(id.as_str(), key, roles));
        }
        members
    }

    fn member(&mut self, name: &str, identity_key: VerifyingKey, roles: Roles) -> Member {
        Member {
            id: member_id(name),
            roles,
            identity_key,
            tls_key: SigningKey::generate(&mut self.rng).verifying_key(),
            engine_key: SigningKey::generate(&mut self.rng).verifying_key(),
            peer_address: "127.0.0.1:1".into(),
            engine_address: "127.0.0.1:2".into(),
        }
    }
}

/// A context in which an honest request of the lender is admitted.
pub fn context<'a>(
    lender: &'a VerifyingKey,
    own: &'a Publisher,
    y: &'a riskveil_crypto::Element,
) -> ResponderContext<'a> {
    ResponderContext {
        now_s: NOW_S,
        started_at_s: NOW_S - 1_000,
        tip: tip(),
        lender_key: Some(lender),
        period_key: Some(OwnPeriodKey { k: &own.binding.k, sealed: true, batch_count: 1 }),
        audit_key: Some(CurrentAuditKey { y, bound: true }),
        quota_left: 1_000_000,
        lender_overdue: false,
    }
}

pub fn evaluated(accepted: Accepted) -> VerifiedResponse {
    match accepted {
        Accepted::Evaluated(response) => *response,
        Accepted::Refused(refusal) => panic!("refused: {}", refusal.reason),
    }
}
