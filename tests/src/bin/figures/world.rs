//! A consortium in memory: a lender, a regulator and five publishers, each with one published batch in a mapped segment.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use riskveil_chain::index::segment::{self, Segment, SegmentName};
use riskveil_crypto::announce::{KeyBinding, bind_key};
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::oprf::{OprfSecretKey, PrfOutput};
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, Element, SigningKey, VerifyingKey, digest};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::PeriodKeyId;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::responder::{CurrentAuditKey, OwnPeriodKey, Responder, ResponderContext, Standing, Tip};
use riskveil_exchange::query::session::{
    Accepted, Addressed, Addressee, AwaitingEvaluations, Consent, PublisherView, QueryParameters, Session, Subject,
    VerifiedResponse,
};
use riskveil_exchange::query::{FoundRow, IndexUnavailable, IndexView, lookup};
use riskveil_exchange::record::{Day, IdType, Identifier, Record};
use tempfile::TempDir;

use crate::rows;

/// Responders of a check.
pub(crate) const PUBLISHERS: usize = 5;
/// Records of every publisher, one of each identifier.
pub(crate) const RECORDS: usize = 8_000;
/// 2026-07-01, Unix seconds.
pub(crate) const GENESIS_S: u64 = 1_782_864_000;
/// In the first log window and period.
pub(crate) const NOW_S: u64 = GENESIS_S + 30;

/// The business date.
pub(crate) fn as_of() -> Day {
    "2026-06-30".parse().unwrap()
}

/// Randomness that is the same in every run.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The valid identifier of this type and serial number, 0 to 16,799.
pub(crate) fn identifier(id_type: IdType, serial: usize) -> Identifier {
    let (year, month, day) = (1950 + serial % 50, 1 + serial / 50 % 12, 1 + serial / 600 % 28);
    let prefix = match id_type {
        IdType::ResidentId => format!("513230{year}{month:02}{day:02}001"),
        IdType::Uscc => format!("91350100M{serial:08}"),
        IdType::BankCard => format!("622926{serial:012}"),
        IdType::Mobile => format!("138{serial:08}"),
    };
    let endings = std::iter::once(String::new()).chain("0123456789ABCDEFGHJKLMNPQRTUWXY".chars().map(String::from));
    let mut parsed = endings.filter_map(|end| Identifier::parse(id_type, &format!("{prefix}{end}"), as_of()).ok());
    parsed.next().expect("one character is the check character")
}

/// A subject with an identifier of each type; serial numbers below [`RECORDS`] have a record at every publisher.
pub(crate) fn subject(serial: usize) -> Subject {
    Subject::new(IdType::ALL.map(|id_type| identifier(id_type, serial)).to_vec()).unwrap()
}

/// A publisher and the lender's replica of its rows.
pub(crate) struct Publisher {
    pub(crate) id: MemberId,
    pub(crate) sk: OprfSecretKey,
    pub(crate) key: PeriodKeyId,
    identity: SigningKey,
    identity_key: VerifyingKey,
    binding: KeyBinding,
    replica: Replica,
}

/// One batch, mapped from a file as an agent maps it.
struct Replica {
    segment: Segment,
    _dir: TempDir,
}

impl IndexView for Replica {
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        let found = self.segment.lookup(tag);
        Ok(found.map(|(position, row)| FoundRow { row, batch_seq: 0, position, withdrawn: false }))
    }
}

/// The consortium.
pub(crate) struct World {
    pub(crate) chain_id: Digest32,
    pub(crate) policy: Policy,
    pub(crate) lender: MemberId,
    pub(crate) lender_identity: VerifyingKey,
    pub(crate) audit_key_id: AuditKeyId,
    pub(crate) audit: AuditKeyPair,
    pub(crate) seal: SealSecretKey,
    pub(crate) records: Vec<Record>,
    pub(crate) publishers: Vec<Publisher>,
    y: Element,
    lender_key: SigningKey,
}

impl World {
    /// Draws all keys and publishes the records at every publisher.
    pub(crate) fn new() -> Self {
        eprintln!("publishing {RECORDS} records at {PUBLISHERS} publishers");
        let mut rng = rng(1);
        let (chain_id, policy) = (digest::sha256(b"figures"), Policy::default());
        let audit = AuditKeyPair::generate(&mut rng);
        let lender_key = SigningKey::generate(&mut rng);
        let records = rows::records();
        let publishers = (1..=PUBLISHERS)
            .map(|number| Publisher::new(number, chain_id, &policy, &audit, &records, &mut rng))
            .collect();
        Self {
            chain_id,
            policy,
            lender: MemberId::new("LENDER-01").unwrap(),
            lender_identity: lender_key.verifying_key(),
            audit_key_id: AuditKeyId(0),
            y: audit.public(),
            audit,
            seal: SealSecretKey::generate(&mut rng),
            records,
            publishers,
            lender_key,
        }
    }

    /// Lender: blinds, seals, proves and addresses a query to the first `responders` publishers.
    pub(crate) fn ask(
        &self,
        shape: Shape,
        subjects: &[Subject],
        responders: usize,
        rng: &mut ChaCha20Rng,
    ) -> Addressed {
        let seal_key = self.seal.public();
        let parameters = QueryParameters {
            chain_id: &self.chain_id,
            lender: &self.lender,
            period: Period(0),
            audit_key_id: self.audit_key_id,
            y: &self.y,
            seal_key: &seal_key,
            ref_height: Height(1),
            ref_header_hash: digest::sha256(b"header 1"),
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: NOW_S,
            ttl_s: self.policy.request_ttl_s,
        };
        let consent = digest::sha256(b"consent document");
        let subjects: Vec<_> =
            subjects.iter().map(|subject| (subject.clone(), Consent::new(consent, &mut *rng))).collect();
        let prepared = Session::start(&parameters, shape, &subjects, rng).unwrap();
        let to = self.publishers.iter().take(responders);
        let to: Vec<_> = to.map(|own| Addressee { publisher: &own.id, k: &own.binding.k }).collect();
        prepared.address(&to, &self.lender_key, rng)
    }

    /// Responder: request bytes to a signed evaluation.
    pub(crate) fn respond(&self, own: &Publisher, request: &[u8], rng: &mut ChaCha20Rng) -> EvaluateResponse {
        let tip = Tip { height: Height(2), header_hash: digest::sha256(b"header 2"), time_s: NOW_S };
        let ctx = ResponderContext {
            now_s: NOW_S,
            started_at_s: GENESIS_S,
            tip,
            lender_key: Some(&self.lender_identity),
            period_key: Some(OwnPeriodKey { k: &own.binding.k, sealed: true, batch_count: 1 }),
            audit_key: Some(CurrentAuditKey { y: &self.y, bound: true }),
            quota_left: self.policy.quota_items_per_lender_per_day,
            lender_overdue: false,
        };
        let responder =
            Responder { chain_id: &self.chain_id, publisher: &own.id, genesis_time_s: GENESIS_S, policy: &self.policy };
        let request = EvaluateRequest::decode(request).unwrap();
        let authentic = responder.authenticate(&request, &self.lender, &ctx).unwrap();
        let admitted = responder.judge(&authentic, &request, &ctx).unwrap();
        let standing = Standing { tip, last_batch_seq: 1, now_s: NOW_S };
        responder.evaluate(&admitted, &request, &own.sk, &standing, &own.identity, rng).unwrap()
    }

    /// Lender: response bytes to a verified evaluation.
    pub(crate) fn accept(&self, state: &AwaitingEvaluations, own: &Publisher, response: &[u8]) -> VerifiedResponse {
        let view = PublisherView { publisher: &own.id, identity_key: &own.identity_key, k_y: &own.binding.k_y };
        match state.accept(&view, response).unwrap() {
            Accepted::Evaluated(response) => *response,
            Accepted::Refused(refusal) => panic!("refused: {}", refusal.reason),
        }
    }

    /// Lender: response bytes to the number of rows found, over `subjects` subjects.
    pub(crate) fn find(&self, state: &AwaitingEvaluations, own: &Publisher, response: &[u8], subjects: usize) -> usize {
        let response = self.accept(state, own, response);
        let outputs = state.outputs_of(&response, 0..subjects).unwrap().into_iter().flatten();
        let outputs: Vec<PrfOutput> = outputs.map(|asked| asked.output).collect();
        lookup::walk_all(&outputs, &own.key.salt(), &own.replica).into_iter().map(|walk| walk.unwrap().len()).sum()
    }

    /// The lender and the publishers as the genesis names them.
    pub(crate) fn members(&self) -> Vec<Member> {
        let lender = (&self.lender, self.lender_identity, Roles { lender: true, ..Roles::default() });
        let publisher = Roles { publisher: true, ..Roles::default() };
        let publishers = self.publishers.iter().map(|own| (&own.id, own.identity_key, publisher));
        let members = std::iter::once(lender).chain(publishers);
        let member = |(id, identity_key, roles): (&MemberId, VerifyingKey, Roles)| Member {
            id: id.clone(),
            roles,
            identity_key,
            // nothing measured here looks at the other keys and the addresses
            tls_key: identity_key,
            engine_key: identity_key,
            peer_address: String::new(),
            engine_address: String::new(),
        };
        members.map(member).collect()
    }
}

impl Publisher {
    fn new(
        number: usize,
        chain_id: Digest32,
        policy: &Policy,
        audit: &AuditKeyPair,
        records: &[Record],
        rng: &mut ChaCha20Rng,
    ) -> Self {
        let id = MemberId::new(format!("BANK-{number:02}")).unwrap();
        let identity = SigningKey::generate(rng);
        let sk = OprfSecretKey::generate(rng);
        let key = PeriodKeyId { chain_id, publisher: id.clone(), period: Period(0), key_serial: 0 };
        let binding = bind_key(&sk, &audit.public(), &key.binding_context(AuditKeyId(0)), rng);
        let batches = rows::publish(&sk, &key, policy, records, &rows::commit(records, rng), rng);
        let [(batch, root)] = batches.as_slice() else { panic!("{RECORDS} records fit one batch") };
        let dir = TempDir::new().unwrap();
        let name = SegmentName { chain_id, period: Period(0), publisher: id.clone(), batch_seq: 0 };
        segment::write(dir.path(), &name, root, &batch.payload()).unwrap();
        let segment = Segment::open(dir.path(), &name, root, batch.count()).unwrap();
        let identity_key = identity.verifying_key();
        Self { id, sk, key, identity, identity_key, binding, replica: Replica { segment, _dir: dir } }
    }
}
