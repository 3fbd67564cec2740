//! A consortium in which publishers commit to their records, and a lender with a hit that asks for more.

use std::collections::BTreeMap;

use riskveil_crypto::{Digest32, SigningKey, VerifyingKey, digest};
use riskveil_exchange::audit::entry::Outcome;
use riskveil_exchange::disclose::rows::HitRow;
use riskveil_exchange::disclose::{
    Ask, Asked, AskingLender, CommitmentPosition, CommitmentUnavailable, CommitmentView, Discloser, DiscloserContext,
    DisclosureRefusal, DisclosureRequest, DisclosureResponse, HeldCheck, HeldRecord, HeldRow, ask, hit_rows,
};
use riskveil_exchange::ids::{MemberId, Period};
use riskveil_exchange::publish::commitment::link;
use riskveil_exchange::publish::{Attribute, CommitmentSeed, RecordCommitment, fingerprint, seal_record};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::FoundRow;
use riskveil_exchange::query::messages::{Envelope, RequestCore};
use riskveil_exchange::query::session::{AwaitingEvaluations, Consent};
use riskveil_exchange::record::{IdType, Identifier, Label, Level, RawRow, Record};

use super::{GENESIS_S, NOW_S, World, as_of, evaluated, identifier, tip};

/// The commitments on chain.
#[derive(Default)]
pub struct Chain {
    pub commitments: BTreeMap<(MemberId, CommitmentPosition), RecordCommitment>,
    pub damaged: bool,
}

impl CommitmentView for Chain {
    fn commitment(
        &self,
        publisher: &MemberId,
        position: CommitmentPosition,
    ) -> Result<Option<RecordCommitment>, CommitmentUnavailable> {
        if self.damaged {
            return Err(CommitmentUnavailable);
        }
        Ok(self.commitments.get(&(publisher.clone(), position)).copied())
    }
}

/// A record as its publisher holds it.
pub struct Held {
    pub record: Record,
    pub seed: CommitmentSeed,
    pub position: Option<CommitmentPosition>,
}

impl Held {
    pub fn of(&self) -> HeldRecord<'_> {
        HeldRecord { record: &self.record, seed: &self.seed, key_serial: 0 }
    }
}

/// What the lender kept of a check that hit.
pub struct Hit {
    pub core: RequestCore,
    pub envelope: Envelope,
    pub outcome: Outcome,
    pub item: u8,
    pub identifier: Identifier,
    pub state: AwaitingEvaluations,
    pub rows: Vec<HitRow>,
}

pub struct Disclosing {
    pub world: World,
    pub chain: Chain,
}

pub fn record_of(number: &str, days: u32, amount_minor: u64, event_date: &str) -> Record {
    let raw = RawRow {
        id_type: "resident_id".into(),
        id_number: number.into(),
        category: "overdue".into(),
        severity: "3".into(),
        overdue_days: days.to_string(),
        amount_cents: amount_minor.to_string(),
        currency: "CNY".into(),
        event_date: event_date.into(),
        name: String::new(),
        mobile: String::new(),
        source_ref: String::new(),
    };
    Record::parse(&raw, as_of()).unwrap()
}

impl Disclosing {
    pub fn new() -> Self {
        Self { world: World::new(2), chain: Chain::default() }
    }

    /// Commits to a record on chain.
    pub fn commit(&mut self, publisher: usize, record: &Record) -> Held {
        let seed = CommitmentSeed::random(&mut self.world.rng);
        let index = self.chain.commitments.len() as u32;
        let position = CommitmentPosition { batch_seq: 0, index };
        let id = self.world.publishers[publisher].id.clone();
        self.chain.commitments.insert((id, position), seed.open(record).commitment());
        Held { record: record.clone(), seed, position: Some(position) }
    }

    /// Publishes the row of `told`, linked to the commitment of `held`; an honest publisher tells what it committed to.
    pub fn publish(&mut self, publisher: usize, told: &Record, held: &Held, level: Level) {
        let leaf = held.seed.open(&held.record).commitment().leaf();
        let years = self.world.policy.retention_years;
        let own = &mut self.world.publishers[publisher];
        let rho = held.seed.rho(Period(0), 0);
        let label = Label::new(told, level, years, link(&own.key, &leaf, &rho));
        let out = fingerprint(&own.sk, told.identifier()).unwrap();
        let slot = own.slots.take(told.identifier()).unwrap();
        let row = seal_record(&out, &own.key, slot, &label, &mut self.world.rng).unwrap();
        let position = own.index.rows.len() as u32;
        own.index.rows.insert(row.tag, FoundRow { row, batch_seq: 0, position, withdrawn: false });
    }

    /// One honest record of this person.
    pub fn honest(&mut self, publisher: usize, record: &Record, level: Level) -> Held {
        let held = self.commit(publisher, record);
        self.publish(publisher, record, &held, level);
        held
    }

    /// Checks a resident and keeps what a disclosure needs; no rows when there is no hit.
    pub fn check(&mut self, publisher: usize, number: &str) -> Hit {
        let addressed = self.world.ask(&[(IdType::ResidentId, number)]);
        let request = &addressed.requests[publisher];
        let (envelope, core) = (request.envelope.clone(), request.core.clone());
        let response = self.world.respond(publisher, &request.clone());
        let outcome =
            Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
        let accepted = addressed.state.accept(&self.world.view(publisher), &response.encode()).unwrap();
        let verified = evaluated(accepted);
        let outputs = addressed.state.outputs(&verified, 0).unwrap();
        let own = &self.world.publishers[publisher];
        let rows = hit_rows(&outputs[0].output, &own.key, &own.index, as_of()).unwrap();
        let identifier = identifier(IdType::ResidentId, number);
        Hit { core, envelope, outcome, item: 0, identifier, state: addressed.state, rows }
    }

    pub fn consent(&mut self) -> Consent {
        Consent::new(digest::sha256(b"consent to a disclosure"), &mut self.world.rng)
    }

    /// The lender asks for the first row of its hit.
    pub fn ask(&mut self, publisher: usize, hit: &Hit, attribute: Attribute, what: Ask) -> Asked {
        let consent = self.consent();
        let y = self.world.audit.public();
        let key = self.world.publishers[publisher].key.clone();
        let lender = AskingLender {
            lender: &self.world.lender,
            identity: &self.world.lender_key,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            consent,
            now_s: NOW_S,
            ttl_s: self.world.policy.request_ttl_s,
        };
        let check = HeldCheck {
            core: &hit.core,
            envelope: &hit.envelope,
            outcome: &hit.outcome,
            item: hit.item,
            identifier: &hit.identifier,
            secret: hit.state.secret(usize::from(hit.item)).unwrap(),
            y: &y,
        };
        let row = HeldRow { tag: hit.rows[0].tag, label: &hit.rows[0].label, key: &key };
        ask(&lender, &check, &row, (attribute, what), &mut self.world.rng).unwrap()
    }

    pub fn discloser(&self, publisher: usize) -> Discloser<'_> {
        let own = &self.world.publishers[publisher];
        Discloser {
            chain_id: &self.world.chain_id,
            publisher: &own.id,
            publisher_key: &own.identity_key,
            genesis_time_s: GENESIS_S,
            policy: &self.world.policy,
        }
    }

    /// Judges and answers as an honest publisher, over the bytes of the request; `found` is what it has under the tag.
    pub fn answer_in(
        &self,
        publisher: usize,
        request: &DisclosureRequest,
        found: Option<&Held>,
        ctx: &DiscloserContext<'_>,
    ) -> (DisclosureResponse, Result<(), DisclosureRefusal>) {
        let request = DisclosureRequest::decode(&request.encode()).unwrap();
        let (rule, identity) = (self.discloser(publisher), &self.world.publishers[publisher].identity);
        let mut rng = self.world.rng.clone();
        let outcome = rule
            .authenticate(&request, &self.world.lender, ctx)
            .and_then(|authentic| rule.judge(&authentic, &request, ctx))
            .and_then(|admitted| rule.match_record(&admitted, &request, found.map(Held::of), as_of()))
            .and_then(|matched| {
                let position = found.and_then(|held| held.position);
                rule.disclose(&matched, position, &request, ctx, identity, &mut rng)
            });
        match outcome {
            Ok(response) => (response, Ok(())),
            Err(reason) => (rule.refuse(&request, reason, ctx, identity), Err(reason)),
        }
    }

    pub fn answer(
        &self,
        publisher: usize,
        request: &DisclosureRequest,
        found: Option<&Held>,
    ) -> (DisclosureResponse, Result<(), DisclosureRefusal>) {
        let y = self.world.audit.public();
        self.answer_in(publisher, request, found, &disclosing(&self.world.lender_identity, &y))
    }
}

/// A context in which an honest request of the lender is admitted.
pub fn disclosing<'a>(lender: &'a VerifyingKey, y: &'a riskveil_crypto::Element) -> DiscloserContext<'a> {
    DiscloserContext {
        now_s: NOW_S,
        started_at_s: NOW_S - 1_000,
        tip: tip(),
        lender_key: Some(lender),
        audit_key: Some(y),
        quota_left: 10,
        lender_overdue: false,
    }
}

/// Signs a changed response again, as a lying publisher does.
pub fn resign(response: &mut DisclosureResponse, chain_id: &Digest32, identity: &SigningKey) {
    let digest = response.digest();
    let outcome = Outcome::sign(chain_id, &response.request_digest, response.status, digest, identity);
    response.signature = outcome.signature;
}

/// Signs a changed request again, as a deviating lender does.
pub fn resend(request: &mut DisclosureRequest, identity: &SigningKey) {
    request.head.body_digest = request.body.digest();
    request.signature = request.head.sign(identity);
}
