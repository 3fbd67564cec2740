//! Two publishers, a lender and a regulator on a chain of three terms: a check, its logs, and certificates made byte by byte.

use std::collections::BTreeMap;

use ed25519_dalek::Signer as _;
use rand_chacha::ChaCha20Rng;
use riskveil_chain::block::{Block, Header};
use riskveil_chain::dst;
use riskveil_chain::evidence::Evidence;
use riskveil_chain::evidence::build::{self, Built, CheckItem, CheckRecord, Draft, HeaderParts, LogRecord, LoggedIn};
use riskveil_chain::evidence::format::{Blob, CertifiedHeader, HeaderChain};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::StateRead;
use riskveil_chain::tx::{AnnouncePeriodKey, TxBody};
use riskveil_crypto::evaluation::{Evaluation, EvaluationContext, blind_evaluate};
use riskveil_crypto::label::{Row, padding_row};
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{Digest32, SecretBytes, digest};
use riskveil_exchange::audit::{
    LenderEntry, Outcome, QueryEntry, ReceiptEntry, ResponderEntry, SealTo, SealedWindow, WindowScope,
};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::{PeriodKeyId, fingerprint, plan_batches, seal_record};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::session::{Addressed, Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier, Label, Level, RawRow, Record};

use crate::common::{Chain, Consortium, id, publish_rows, rng, varint};

pub(crate) const RESIDENT: &str = "513230196105128094";
pub(crate) const STRANGER: &str = "37078619700116954X";
pub(crate) const MOBILE: &str = "13812345678";
/// The height at which the answers are judged; the responders' tip is the one before.
pub(crate) const JUDGED: u64 = 13;

pub(crate) fn as_of() -> Day {
    "2026-06-30".parse().unwrap()
}

fn identifier(id_type: IdType, text: &str) -> Identifier {
    Identifier::parse(id_type, text, as_of()).unwrap()
}

/// What INST-01 publishes about the resident.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Slots in the snapshot.
    pub(crate) snapshot: &'static [u8],
    /// Slots in the delta after it.
    pub(crate) delta: &'static [u8],
    /// The rows do not open.
    pub(crate) spoiled: bool,
}

pub(crate) const TWO_RECORDS: Plan = Plan { snapshot: &[0], delta: &[1], spoiled: false };

pub(crate) struct World {
    pub(crate) chain: Chain,
    /// The height at which answers are judged; the responders' tip is the one before.
    pub(crate) judged: u64,
    dir: Option<tempfile::TempDir>,
    pub(crate) keys: BTreeMap<MemberId, OprfSecretKey>,
    pub(crate) rng: ChaCha20Rng,
}

/// A check that was answered.
pub(crate) struct Check {
    pub(crate) entry: QueryEntry,
    pub(crate) requests: Vec<EvaluateRequest>,
    pub(crate) responses: BTreeMap<MemberId, Vec<u8>>,
    pub(crate) unanswered: BTreeMap<MemberId, String>,
    pub(crate) identifiers: Vec<Option<Identifier>>,
    pub(crate) secrets: Vec<SecretBytes<32>>,
    pub(crate) consent: Consent,
}

impl World {
    /// A chain up to height 13: both publishers sealed, a delta of INST-01's after its seal.
    pub(crate) fn new(plan: Plan) -> World {
        let mut world = World { chain: Chain::new(), judged: JUDGED, dir: None, keys: BTreeMap::new(), rng: rng(3) };
        world.announce("INST-01");
        world.publish("INST-01", 0, plan.snapshot, plan.spoiled);
        world.seal("INST-01");
        world.publish("INST-01", 1, plan.delta, plan.spoiled);
        world.announce("INST-02");
        world.publish("INST-02", 0, &[], false);
        world.seal("INST-02");
        while world.chain.height() < Height(JUDGED) {
            world.chain.block(Vec::new());
        }
        world
    }

    /// INST-01 has a small batch and `count` batches of 8,192 rows that tile the tag space.
    pub(crate) fn with_full_batches(count: u32) -> World {
        let policy = Policy { term_blocks: 100, max_rows_per_tx: 8192, ..Consortium::new().genesis.policy };
        let policy = Policy { max_block_bytes: 4 << 20, ..policy };
        let dir = tempfile::tempdir().unwrap();
        let chain = Chain::open(dir.path(), Consortium::with_policy(policy));
        let mut world = World { chain, judged: 0, dir: Some(dir), keys: BTreeMap::new(), rng: rng(3) };
        world.announce("INST-01");
        world.publish("INST-01", 0, &[], false);
        let seed = SecretBytes::random(&mut world.rng);
        let mut rows: Vec<Row> = (0..count * 8192).map(|at| padding_row(&seed, at)).collect();
        rows.sort_unstable_by_key(|row| row.tag);
        for (batch_seq, rows) in (1..).zip(rows.chunks(8192)) {
            let payload: Vec<u8> = rows.iter().flat_map(Row::to_bytes).collect();
            let body = publish_rows(0, batch_seq, &payload);
            world.chain.apply("INST-01", TxBody::PublishRows(body), Some(payload));
        }
        world.seal("INST-01");
        world.announce("INST-02");
        world.publish("INST-02", 0, &[], false);
        world.seal("INST-02");
        world.chain.block(Vec::new());
        world.judged = world.chain.height().0;
        assert!(world.dir.is_some());
        world
    }

    /// Lets two more terms pass; INST-01 publishes another delta in the first block.
    pub(crate) fn go_on(&mut self) {
        self.publish("INST-01", 2, &[2], false);
        while self.chain.height() < Height(22) {
            self.chain.block(Vec::new());
        }
    }

    pub(crate) fn period_key(&self, publisher: &str) -> PeriodKeyId {
        PeriodKeyId {
            chain_id: *self.chain.ledger.chain_id(),
            publisher: id(publisher),
            period: Period(0),
            key_serial: 0,
        }
    }

    fn announce(&mut self, publisher: &str) {
        let key = OprfSecretKey::generate(&mut self.rng);
        let bindings = vec![self.chain.binding(publisher, 0, &key)];
        let body = AnnouncePeriodKey { period: Period(0), key_serial: 0, k: key.public_key(), bindings };
        self.chain.apply(publisher, TxBody::AnnouncePeriodKey(body), None);
        self.keys.insert(id(publisher), key);
    }

    fn seal(&mut self, publisher: &str) {
        let seal = self.chain.seal(publisher, 0);
        self.chain.apply(publisher, TxBody::SealSnapshot(seal), None);
    }

    fn publish(&mut self, publisher: &str, batch_seq: u32, slots: &[u8], spoiled: bool) {
        let (sk, key) = (&self.keys[&id(publisher)], self.period_key(publisher));
        let mut rows: Vec<Row> = Vec::new();
        for slot in slots {
            let record = record(*slot);
            let out = fingerprint(sk, record.identifier()).unwrap();
            let label = Label::new(&record, Level::Banded, 5, [9; 32]);
            let mut row = seal_record(&out, &key, *slot, &label, &mut self.rng).unwrap();
            row.sealed_label[0] ^= u8::from(spoiled);
            rows.push(row);
        }
        let batches = plan_batches(rows, &SecretBytes::random(&mut self.rng), 256).unwrap();
        let payload = batches[0].payload();
        let body = publish_rows(0, batch_seq, &payload);
        self.chain.apply(publisher, TxBody::PublishRows(body), Some(payload));
    }

    /// LENDER-01 asks both publishers; both evaluate, at the block before the tip.
    pub(crate) fn ask(&mut self, identifiers: &[(IdType, &str)]) -> Check {
        let identifiers: Vec<Identifier> = identifiers.iter().map(|(one, text)| identifier(*one, text)).collect();
        let consent = Consent::new(digest::sha256(b"consent"), &mut self.rng);
        let Addressed { state, requests, entry } = self.address(&identifiers, consent);
        let mut check = Check {
            secrets: state.export_secrets(),
            identifiers: IdType::ALL.map(|one| identifiers.iter().find(|i| i.id_type() == one).cloned()).to_vec(),
            responses: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            requests,
            entry,
            consent,
        };
        for at in 0..check.requests.len() {
            self.evaluate(&mut check, at, None);
        }
        check
    }

    fn address(&mut self, identifiers: &[Identifier], consent: Consent) -> Addressed {
        let view = self.chain.ledger.view();
        let (lender, consortium) = (id("LENDER-01"), &self.chain.consortium);
        let (y, seal_key) = (consortium.audit_key.public(), consortium.seal_key.public());
        let parameters = QueryParameters {
            chain_id: self.chain.ledger.chain_id(),
            lender: &lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &y,
            seal_key: &seal_key,
            ref_height: view.height(),
            ref_header_hash: view.digest,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: view.time_s(),
            ttl_s: 30,
        };
        let subject = Subject::new(identifiers.to_vec()).unwrap();
        let prepared = Session::start(&parameters, Shape::Check, &[(subject, consent)], &mut self.rng).unwrap();
        let publishers: Vec<_> = self.keys.iter().map(|(id, key)| (id, key.public_key())).collect();
        let to: Vec<Addressee<'_>> = publishers.iter().map(|(publisher, k)| Addressee { publisher, k }).collect();
        prepared.address(&to, &self.chain.consortium.identities[&lender], &mut self.rng)
    }

    /// The answer of one responder; evaluated with `sk` in place of its own key if there is one.
    pub(crate) fn evaluate(&mut self, check: &mut Check, at: usize, sk: Option<&OprfSecretKey>) {
        let request = &check.requests[at];
        let publisher = &request.envelope.publisher;
        let own = &self.keys[publisher];
        let k = sk.unwrap_or(own).public_key();
        let (core, envelope) = (request.core.digest(), request.envelope.digest());
        let ctx = EvaluationContext {
            chain_id: self.chain.ledger.chain_id(),
            publisher: publisher.as_bytes(),
            period: 0,
            k: &k,
            core: &core,
            envelope: &envelope,
        };
        let c2: Vec<_> = request.core.items.iter().map(|item| item.c2).collect();
        let Evaluation { z, proof } = blind_evaluate(sk.unwrap_or(own), &ctx, &c2, &mut self.rng).unwrap();
        let z = z.iter().map(riskveil_crypto::Element::to_bytes).collect();
        self.answer(check, at, 0, z, proof.to_bytes());
    }

    /// A signed refusal.
    pub(crate) fn refuse(&mut self, check: &mut Check, at: usize, reason: RefusalReason, proof: [u8; 64]) {
        self.answer(check, at, reason.code(), vec![[0; 32]; 4], proof);
        let publisher = check.requests[at].envelope.publisher.clone();
        check.unanswered.insert(publisher, format!("refused({})", reason.as_str()));
    }

    fn answer(&mut self, check: &mut Check, at: usize, status: u8, z: Vec<[u8; 32]>, proof: [u8; 64]) {
        let request = &check.requests[at];
        let (publisher, envelope_digest) = (request.envelope.publisher.clone(), request.envelope.digest());
        let tip = &self.block(self.judged - 1).header;
        let view = self.chain.ledger.view();
        let held =
            (0..).take_while(|seq| view.batch(Period(0), &publisher, *seq).is_some_and(|b| b.height <= tip.height));
        let identity = &self.chain.consortium.identities[&publisher];
        let chain_id = self.chain.ledger.chain_id();
        let mut response = EvaluateResponse {
            header: MessageHeader::new(Kind::Response),
            core_digest: request.core.digest(),
            envelope_digest,
            publisher: publisher.clone(),
            period: Period(0),
            k: request.envelope.k,
            status,
            tip_height: tip.height,
            tip_header_hash: tip.digest(),
            last_batch_seq: u32::try_from(held.count()).unwrap(),
            served_at_s: tip.time_s() + 1,
            z,
            proof,
            signature: Outcome::sign(chain_id, &envelope_digest, 0, Digest32::ZERO, identity).signature,
        };
        let outcome = Outcome::sign(chain_id, &envelope_digest, status, response.digest(), identity);
        response.signature = outcome.signature;
        check.entry.note_outcome(&envelope_digest, outcome);
        check.responses.insert(publisher, response.encode());
    }

    /// Drafts the evidence of a check.
    pub(crate) fn draft(&mut self, check: &Check) -> Draft {
        let items = check.identifiers.iter().zip(&check.secrets);
        let record = CheckRecord {
            entry: &check.entry,
            responses: &check.responses,
            judged_height: Height(self.judged),
            as_of: as_of(),
            unanswered: &check.unanswered,
            items: items.map(|(identifier, secret)| CheckItem { identifier: identifier.as_ref(), secret }).collect(),
        };
        build::answers(&self.chain.ledger, &record, &mut self.rng).unwrap()
    }

    /// The evidence of a check, verified.
    pub(crate) fn export(&mut self, check: &Check) -> Built {
        let draft = self.draft(check);
        let parts = self.parts(&draft);
        draft.finish(parts).unwrap()
    }

    /// The lender logs the check, INST-01 logs its receipt, and INST-02 tries to log its own out of order.
    pub(crate) fn log(&mut self, check: &Check) -> [(Height, ReceiptCode); 3] {
        self.chain.at(400);
        let queries = self.windows("LENDER-01", 0, 4, &[LenderEntry::Query(check.entry.clone())]);
        let receipt = |at: usize| {
            let outcome = check.entry.envelopes[at].outcome.clone().unwrap();
            ResponderEntry::Receipt(ReceiptEntry::new(
                check.requests[at].clone(),
                outcome.status,
                outcome.response_digest,
            ))
        };
        let first = self.windows("INST-01", 0, 4, &[receipt(0)]);
        let refused = self.windows("INST-02", 3, 4, &[receipt(1)]);
        while self.chain.height() < Height(32) {
            self.chain.block(Vec::new());
        }
        [queries, first, refused]
    }

    fn windows<E: riskveil_exchange::audit::LogEntry>(
        &mut self,
        member: &str,
        first: u64,
        last: u64,
        entries: &[E],
    ) -> (Height, ReceiptCode) {
        let (first_window, last_window) = (Window(first), Window(last));
        let chain_id = *self.chain.ledger.chain_id();
        let scope = WindowScope { chain_id, member: id(member), first_window, last_window };
        let to = self.chain.consortium.seal_key.public();
        let to = SealTo { audit_key_id: AuditKeyId(0), key: &to };
        let sealed = SealedWindow::build(&scope, entries, to, 4, 1 << 18, &mut self.rng).unwrap();
        let (windows, payload) = crate::common::log_windows_of(first, last, sealed.payload);
        let body = match E::KIND {
            riskveil_exchange::audit::LogKind::Queries => TxBody::LogQueries(windows),
            riskveil_exchange::audit::LogKind::Receipts => TxBody::LogReceipts(windows),
        };
        let code = self.chain.act(member, body, Some(payload));
        (self.chain.height(), code)
    }

    /// Drafts the evidence of the logged check, with INST-01's receipt.
    pub(crate) fn draft_log(&mut self, check: &Check, queries: Height, receipt: Height) -> Draft {
        let blocks = [queries, receipt].map(|height| self.block(height.0).clone());
        let logged = |at: usize| LoggedIn { block: &blocks[at], first_window: Window(0) };
        let record = LogRecord {
            entry: &check.entry,
            identifiers: check.identifiers.clone(),
            consent: check.consent,
            queries: logged(0),
            receipts: BTreeMap::from([(id("INST-01"), logged(1))]),
        };
        build::log_entry(&self.chain.ledger, &record, &self.chain.consortium.audit_key, &mut self.rng).unwrap()
    }

    pub(crate) fn export_log(&mut self, check: &Check, queries: Height, receipt: Height) -> Built {
        let draft = self.draft_log(check, queries, receipt);
        let parts = self.parts(&draft);
        draft.finish(parts).unwrap()
    }

    pub(crate) fn block(&self, height: u64) -> &Block {
        let block = &self.chain.blocks[usize::try_from(height).unwrap() - 1];
        assert_eq!(block.header.height, Height(height));
        block
    }

    /// Runs of two headers for every height of a draft, and every boundary.
    pub(crate) fn parts(&self, draft: &Draft) -> HeaderParts {
        let tip = self.chain.height().0;
        let run = |height: &Height| {
            let last = (height.0 + 1).min(tip);
            let headers: Vec<&Header> = (height.0..=last).map(|at| &self.block(at).header).collect();
            HeaderChain {
                certificate: Blob(self.certificate(headers[headers.len() - 1])),
                headers: headers.iter().map(|header| Blob(header.encode())).collect(),
            }
        };
        let boundary = |height: u64| self.certified(&self.block(height).header);
        let term_blocks = self.chain.consortium.genesis.policy.term_blocks;
        HeaderParts {
            chains: draft.heights().iter().map(run).collect(),
            boundaries: (term_blocks - 1..tip).step_by(usize::try_from(term_blocks).unwrap()).map(boundary).collect(),
        }
    }

    pub(crate) fn certified(&self, header: &Header) -> CertifiedHeader {
        CertifiedHeader { header: Blob(header.encode()), certificate: Blob(self.certificate(header)) }
    }

    /// A certificate by both validators, from ADR 0002's bytes.
    pub(crate) fn certificate(&self, header: &Header) -> Vec<u8> {
        let namespace = [dst::ENGINE.as_bytes(), self.chain.ledger.chain_id().as_bytes(), b"_FINALIZE"].concat();
        let digest = header.digest().as_bytes().to_vec();
        let proposal = [varint(header.term), varint(700), varint(699), digest].concat();
        let message = [varint(namespace.len() as u64), namespace, proposal.clone()].concat();
        let seeds = self.chain.consortium.engines.iter().map(riskveil_crypto::SigningKey::seed);
        let mut keys: Vec<_> = seeds.map(|seed| seed.expose(ed25519_dalek::SigningKey::from_bytes)).collect();
        keys.sort_by_key(|key| key.verifying_key().to_bytes());
        let mut bytes = proposal;
        bytes.extend_from_slice(&(keys.len() as u64).to_be_bytes());
        bytes.push(0b11);
        bytes.extend(varint(2));
        keys.iter().for_each(|key| bytes.extend_from_slice(&key.sign(&message).to_bytes()));
        bytes
    }
}

pub(crate) fn evidence(bytes: &[u8]) -> Evidence {
    Evidence::decode(bytes).unwrap()
}

/// The first record is overdue, the second on a blacklist and held no longer, the others are too.
fn record(slot: u8) -> Record {
    let (category, date, days) =
        if slot == 0 { ("overdue", "2026-05-19", "45") } else { ("blacklist", "2020-01-02", "0") };
    let raw = RawRow {
        id_type: "resident_id".into(),
        id_number: RESIDENT.into(),
        name: "测试".into(),
        category: category.into(),
        severity: "3".into(),
        overdue_days: days.into(),
        amount_cents: "123456".into(),
        currency: "CNY".into(),
        event_date: date.into(),
        mobile: String::new(),
        source_ref: String::new(),
    };
    Record::parse(&raw, as_of()).unwrap()
}
