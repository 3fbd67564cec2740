//! The lender's side of a query as states: prepared, addressed and awaiting evaluations.
//!
//! - **Place**: B3 subjects and consents -> [`Prepared`] -> [`Addressed`]; B5 response bytes -> [`VerifiedResponse`] -> outputs
//! - **Shapes**: `shape.item_count()` items, one fresh scalar each; dummies fill every place without an identifier
//! - **Invariants**: each step takes the state before it; an output exists only for a [`VerifiedEvaluation`]; dummies are
//!   verified like real items and never looked up
//! - **Errors**: [`SessionError`] (caller), [`ResponseRejected`] (names the publisher; a rejected answer is `malformed`)
//! - **Security**: scalars never leave; identifiers leave only as ciphertexts. What is sent depends on the shape, never on
//!   what was found. Nothing here prints an identifier; inputs are zeroised
//! - **Source**: DESIGN.md sections 3 ("Query = audit escrow") and 4; specs/protocol.md

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::escrow::{self, EscrowSecret};
use riskveil_crypto::evaluation::{
    EvaluationContext, EvaluationProof, ToVerify, Unblinding, VerifiedEvaluation, verify_evaluations,
};
use riskveil_crypto::oprf::{OprfError, PrfOutput};
use riskveil_crypto::seal::{SealPublicKey, seal};
use riskveil_crypto::{Digest32, Element, Elements, SecretBytes, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::audit::entry::{EntryEnvelope, Outcome, QueryEntry};
use crate::ids::{AuditKeyId, Height, MemberId, Period};
use crate::message::{Kind, MessageHeader};
use crate::purpose::Purpose;
use crate::query::messages::{
    Envelope, EvaluateRequest, EvaluateResponse, Proofs, RequestCore, Shape, ShapeInvalid, seal_digest,
};
use crate::query::refusal::{RefusalReason, STATUS_EVALUATED};
use crate::query::seal::{SealPlaintext, SealedItem, consent_commit, seal_info};
use crate::record::{Applicant, IdType, Identifier};

pub use crate::query::seal::Consent;

/// Whom a lender asks about: up to one identifier of each type, ascending by type.
#[derive(Clone)]
pub struct Subject {
    identifiers: Vec<Identifier>,
}

impl Subject {
    /// A subject with these identifiers.
    ///
    /// # Errors
    /// [`SessionError::RepeatedType`] when two are of one type.
    pub fn new(mut identifiers: Vec<Identifier>) -> Result<Self, SessionError> {
        identifiers.sort_unstable_by_key(Identifier::id_type);
        if identifiers.windows(2).any(|pair| pair[0].id_type() == pair[1].id_type()) {
            return Err(SessionError::RepeatedType);
        }
        Ok(Self { identifiers })
    }

    /// The identifiers, ascending by type.
    #[must_use]
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }
}

impl From<&Applicant> for Subject {
    fn from(applicant: &Applicant) -> Self {
        Self { identifiers: applicant.subjects().to_vec() }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({} identifiers)", self.identifiers.len())
    }
}

/// Why a query cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// An unregistered shape.
    #[error(transparent)]
    Shape(#[from] ShapeInvalid),
    /// Two identifiers of one type.
    #[error("a subject has at most one identifier of each type")]
    RepeatedType,
    /// No subject, or more than the shape holds.
    #[error("{given} subjects for a shape of {places}")]
    SubjectCount {
        /// Subjects given.
        given: usize,
        /// Subjects of the shape.
        places: usize,
    },
    /// A subject has more identifiers than the shape has items for it.
    #[error("a subject has more identifiers than the shape's width {width}")]
    TooManyIdentifiers {
        /// Items of one subject.
        width: usize,
    },
    /// An identifier maps to the identity element, which nobody can find.
    #[error("an identifier has no group element")]
    NoElement,
    /// HPKE refused the regulator's key.
    #[error("the request could not be sealed")]
    SealFailed,
}

/// What a query is bound to besides its subjects; read from one finalized height of the lender's own replica.
#[derive(Clone, Copy, Debug)]
pub struct QueryParameters<'a> {
    /// The chain.
    pub chain_id: &'a Digest32,
    /// Who asks.
    pub lender: &'a MemberId,
    /// The period current at `ref_height`.
    pub period: Period,
    /// The audit key current at `ref_height`.
    pub audit_key_id: AuditKeyId,
    /// Its Y.
    pub y: &'a Element,
    /// Its HPKE key.
    pub seal_key: &'a SealPublicKey,
    /// The finalized height.
    pub ref_height: Height,
    /// Its header hash.
    pub ref_header_hash: Digest32,
    /// Why the lender asks.
    pub purpose: Purpose,
    /// Unix seconds.
    pub now_s: u64,
    /// Lifetime of the request: the policy's `request_ttl_s`.
    pub ttl_s: u64,
}

/// Starts queries.
#[derive(Clone, Copy, Debug)]
pub struct Session;

struct Asked {
    id_type: IdType,
    input: Zeroizing<Vec<u8>>,
}

impl Asked {
    fn new(identifier: &Identifier) -> Self {
        Self { id_type: identifier.id_type(), input: identifier.oprf_input() }
    }
}

/// A query that is blinded, proven and sealed, and not yet addressed to anybody.
pub struct Prepared {
    core: RequestCore,
    core_digest: Digest32,
    proofs: Proofs,
    seal: Vec<u8>,
    secrets: Vec<EscrowSecret>,
    asked: Vec<Option<Asked>>,
}

/// A responder to ask.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// Its name.
    pub publisher: &'a MemberId,
    /// Its live key of the period.
    pub k: &'a Element,
}

/// A query with a signed envelope for every responder.
#[derive(Debug)]
pub struct Addressed {
    /// The next state.
    pub state: AwaitingEvaluations,
    /// What to send, in the order of the addressees.
    pub requests: Vec<EvaluateRequest>,
    /// What to journal before anything is sent.
    pub entry: QueryEntry,
}

/// A query whose answers are awaited.
pub struct AwaitingEvaluations {
    core: RequestCore,
    core_digest: Digest32,
    addressed: BTreeMap<MemberId, AddressedTo>,
    secrets: Vec<EscrowSecret>,
    asked: Vec<Option<Asked>>,
}

struct AddressedTo {
    k: Element,
    envelope_digest: Digest32,
}

impl Session {
    /// Blinds every item under the audit key, seals the identifiers and consents to the regulator, proves knowledge of the
    /// blindings, in that order.
    ///
    /// Fewer subjects than the shape holds are filled up with padding subjects, which have dummies only.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn start(
        params: &QueryParameters<'_>,
        shape: Shape,
        subjects: &[(impl Borrow<Subject>, Consent)],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Prepared, SessionError> {
        shape.check()?;
        let places = shape.subject_count();
        if subjects.is_empty() || subjects.len() > places {
            return Err(SessionError::SubjectCount { given: subjects.len(), places });
        }
        let mut items = place_subjects(shape, subjects)?;
        items.resize_with(shape.item_count(), || None);
        let mut consents: Vec<Consent> = subjects.iter().map(|(_, consent)| *consent).collect();
        consents.extend(Consent::of_each(&vec![Digest32::ZERO; places - subjects.len()], rng));

        let asked: Vec<Option<Asked>> = items.iter().map(|item| item.map(Asked::new)).collect();
        let inputs: Vec<Option<&[u8]>> = asked.iter().map(|one| one.as_ref().map(|one| &one.input[..])).collect();
        let (escrowed, secrets) = escrow::escrow_batch(&inputs, params.y, rng).map_err(|_| SessionError::NoElement)?;
        let sealed_items = items.iter().map(|item| item.map_or_else(SealedItem::dummy, SealedItem::real)).collect();

        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let mut core = RequestCore {
            header: MessageHeader::new(Kind::RequestCore),
            chain_id: *params.chain_id,
            lender: params.lender.clone(),
            nonce,
            issued_at_s: params.now_s,
            expires_at_s: params.now_s.saturating_add(params.ttl_s),
            period: params.period,
            audit_key_id: params.audit_key_id,
            ref_height: params.ref_height,
            ref_header_hash: params.ref_header_hash,
            purpose: params.purpose,
            consent_commit: consent_commit(shape, &consents),
            shape,
            items: escrowed,
            seal_digest: Digest32::ZERO,
        };
        let plaintext = SealPlaintext::new(sealed_items, consents).encode();
        let info = seal_info(params.chain_id, params.audit_key_id);
        let seal = seal(params.seal_key, &info, &core.aad_without_seal_digest(), &plaintext, rng)
            .map_err(|_| SessionError::SealFailed)?;
        core.seal_digest = seal_digest(&seal);

        let core_digest = core.digest();
        let proofs = match shape {
            Shape::Check => Proofs::Each(escrow::prove_knowledge(&core_digest, &core.items, &secrets, params.y, rng)),
            Shape::Chunk { .. } => {
                Proofs::Weighted(escrow::prove_knowledge_weighted(&core_digest, &core.items, &secrets, params.y, rng))
            }
        };
        Ok(Prepared { core, core_digest, proofs, seal, secrets, asked })
    }
}

impl Prepared {
    /// The core.
    #[must_use]
    pub const fn core(&self) -> &RequestCore {
        &self.core
    }

    /// Signs one envelope per responder and makes the log entry of all of them.
    #[must_use]
    pub fn address(
        self,
        responders: &[Addressee<'_>],
        lender: &SigningKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Addressed {
        let proofs_digest = self.proofs.digest();
        let mut addressed = BTreeMap::new();
        let mut requests = Vec::with_capacity(responders.len());
        let mut envelopes = Vec::with_capacity(responders.len());
        for to in responders {
            let mut salt = [0; 32];
            rng.fill_bytes(&mut salt);
            let envelope = Envelope {
                header: MessageHeader::new(Kind::Envelope),
                core_digest: self.core_digest,
                proofs_digest,
                publisher: to.publisher.clone(),
                period: self.core.period,
                k: *to.k,
                salt,
            };
            let signature = envelope.sign(&self.core.chain_id, lender);
            addressed.insert(to.publisher.clone(), AddressedTo { k: *to.k, envelope_digest: envelope.digest() });
            envelopes.push(EntryEnvelope { envelope: envelope.clone(), signature, outcome: None });
            requests.push(EvaluateRequest {
                core: self.core.clone(),
                proofs: self.proofs.clone(),
                seal: self.seal.clone(),
                envelope,
                signature,
            });
        }
        let entry = QueryEntry { core: self.core.clone(), proofs: self.proofs, seal: self.seal, envelopes };
        let state = AwaitingEvaluations {
            core: self.core,
            core_digest: self.core_digest,
            addressed,
            secrets: self.secrets,
            asked: self.asked,
        };
        Addressed { state, requests, entry }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?}, ..)", self.core.shape)
    }
}

/// What the lender's replica says of a responder.
#[derive(Clone, Copy, Debug)]
pub struct PublisherView<'a> {
    /// Its name.
    pub publisher: &'a MemberId,
    /// Its identity key.
    pub identity_key: &'a VerifyingKey,
    /// Its K_Y for the query's audit key, from a verified key binding.
    pub k_y: &'a Element,
}

/// What every signed answer says, evaluation or refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Who answered.
    pub publisher: MemberId,
    /// The envelope it answered.
    pub envelope_digest: Digest32,
    /// Its finalized height.
    pub tip_height: Height,
    /// Its header hash at that height.
    pub tip_header_hash: Digest32,
    /// How many batches of its own it counts at that height.
    pub last_batch_seq: u32,
    /// Unix seconds by its clock.
    pub served_at_s: u64,
    /// What goes into the log entry: status, response digest, its signature.
    pub outcome: Outcome,
}

/// A response whose signature, digests, publisher, period, key, count and proof hold.
#[derive(Debug)]
pub struct VerifiedResponse {
    /// What it says of the responder.
    pub head: AnswerHead,
    /// The key it evaluated with.
    pub k: Element,
    k_y: Element,
    evaluation: VerifiedEvaluation,
}

impl VerifiedResponse {
    /// Items whose evaluation was verified: all of the request.
    #[must_use]
    pub fn items_verified(&self) -> usize {
        self.evaluation.len()
    }
}

/// A response to this query that its publisher signed.
struct Authentic<'a> {
    head: AnswerHead,
    response: EvaluateResponse,
    to: &'a AddressedTo,
}

impl<'a> Authentic<'a> {
    /// What it answers with, unless it refuses.
    fn evaluated(&self) -> Option<(&EvaluateResponse, &'a AddressedTo)> {
        (self.response.status == STATUS_EVALUATED).then_some((&self.response, self.to))
    }
}

fn refusal(head: AnswerHead, response: &EvaluateResponse) -> Result<Accepted, ResponseFault> {
    let reason = response.refusal().ok_or(ResponseFault::StatusUnknown)?;
    if response.proof != [0; 64] || response.z.iter().any(|z| *z != [0; 32]) {
        return Err(ResponseFault::RefusalNotEmpty);
    }
    Ok(Accepted::Refused(SignedRefusal { head, reason }))
}

/// A refusal with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRefusal {
    /// What it says of the responder.
    pub head: AnswerHead,
    /// Why.
    pub reason: RefusalReason,
}

/// An accepted answer.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one per responder, matched at once
pub enum Accepted {
    /// Evaluated.
    Evaluated(Box<VerifiedResponse>),
    /// Refused.
    Refused(SignedRefusal),
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseFault {
    /// Not a response to a request of this shape.
    #[error("the response does not decode")]
    Undecodable,
    /// Nothing was sent to this responder.
    #[error("the responder was not asked")]
    NotAsked,
    /// It answers another core.
    #[error("the response is for another core")]
    WrongCore,
    /// It answers another envelope.
    #[error("the response is for another envelope")]
    WrongEnvelope,
    /// It names another publisher.
    #[error("the response names another publisher")]
    WrongPublisher,
    /// It names another period.
    #[error("the response names another period")]
    WrongPeriod,
    /// It names another key.
    #[error("the response names another key")]
    WrongKey,
    /// The publisher's signature does not cover it.
    #[error("the signature of the response is invalid")]
    SignatureInvalid,
    /// The status is not registered.
    #[error("the status of the response is not registered")]
    StatusUnknown,
    /// A refusal carries bytes other than zero.
    #[error("a refusal carries an evaluation")]
    RefusalNotEmpty,
    /// An element of Z is not canonical or the identity.
    #[error("an evaluated element is invalid")]
    ElementInvalid,
    /// The evaluation proof does not hold.
    #[error("the evaluation proof is invalid")]
    ProofInvalid,
}

/// A response that is not an answer; the answer of its publisher is `malformed`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{publisher}: {fault}")]
pub struct ResponseRejected {
    /// Who sent it.
    pub publisher: MemberId,
    /// What is wrong.
    pub fault: ResponseFault,
}

/// The output of one identifier at one publisher.
#[derive(Debug)]
pub struct AskedOutput {
    /// The type of the identifier.
    pub id_type: IdType,
    /// The OPRF output: whoever has it recognises the publisher's rows of that identifier until the period ends.
    pub output: PrfOutput,
}

/// What was kept of a query is not what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kept secrets are not those of the query")]
pub struct KeptMismatch;

impl AwaitingEvaluations {
    /// A query as it awaited its answers, from its log entry and what its lender kept of every item: whom it asks about, if
    /// anyone, and s.
    ///
    /// # Errors
    /// [`KeptMismatch`] when there is not one secret an item, or one is not its item's.
    pub fn restore(
        entry: &QueryEntry,
        items: &[(Option<&Identifier>, &SecretBytes<32>)],
    ) -> Result<Self, KeptMismatch> {
        let core = entry.core.clone();
        if items.len() != core.items.len() {
            return Err(KeptMismatch);
        }
        let secrets: Result<Vec<EscrowSecret>, _> =
            items.iter().zip(&core.items).map(|((_, s), item)| EscrowSecret::from_evidence(s, item)).collect();
        let asked = items.iter().map(|(identifier, _)| identifier.map(Asked::new));
        let addressed = entry.envelopes.iter().map(|EntryEnvelope { envelope, .. }| {
            (envelope.publisher.clone(), AddressedTo { k: envelope.k, envelope_digest: envelope.digest() })
        });
        Ok(Self {
            core_digest: core.digest(),
            addressed: addressed.collect(),
            secrets: secrets.map_err(|_| KeptMismatch)?,
            asked: asked.collect(),
            core,
        })
    }

    /// The escrow secret of an item.
    #[must_use]
    pub fn secret(&self, item: usize) -> Option<&EscrowSecret> {
        self.secrets.get(item)
    }

    /// The core that was sent.
    #[must_use]
    pub const fn core(&self) -> &RequestCore {
        &self.core
    }

    /// The core's digest.
    #[must_use]
    pub const fn core_digest(&self) -> &Digest32 {
        &self.core_digest
    }

    /// The escrow secret s of every item, in order, for evidence that the lender keeps. With them and the responses anyone can
    /// recompute every output.
    #[must_use]
    pub fn export_secrets(&self) -> Vec<SecretBytes<32>> {
        self.secrets.iter().map(EscrowSecret::to_evidence).collect()
    }

    /// Everyone it was addressed to.
    pub fn addressed(&self) -> impl Iterator<Item = &MemberId> {
        self.addressed.keys()
    }

    /// Checks everything about a response; only then is it an answer.
    ///
    /// # Errors
    /// [`ResponseRejected`] with the first check that fails.
    pub fn accept(&self, from: &PublisherView<'_>, bytes: &[u8]) -> Result<Accepted, ResponseRejected> {
        let rejected = |fault| ResponseRejected { publisher: from.publisher.clone(), fault };
        let mut accepted = self.accept_all(&[(*from, bytes)]);
        accepted.pop().unwrap_or_else(|| Err(rejected(ResponseFault::NotAsked)))
    }

    /// [`accept`](Self::accept) of each response, in order; their elements and proofs share the kernel, none changes what
    /// another is judged to be.
    pub fn accept_all(&self, responses: &[(PublisherView<'_>, &[u8])]) -> Vec<Result<Accepted, ResponseRejected>> {
        let mut heard: Vec<Result<Authentic<'_>, ResponseFault>> =
            responses.iter().map(|(from, bytes)| self.authenticate(from, bytes)).collect();
        let evaluated = || heard.iter().filter_map(|heard| heard.as_ref().ok()?.evaluated());
        let encodings: Vec<&[[u8; 32]]> = evaluated().map(|(response, _)| &response.z[..]).collect();
        let z = Elements::from_bytes_lists(&encodings);
        let to_verify: Vec<Option<ToVerify<'_>>> = evaluated()
            .zip(z)
            .map(|((response, to), z)| {
                let proof = EvaluationProof::from_bytes(response.proof);
                Some(ToVerify {
                    ctx: self.evaluation_context(&response.publisher, to),
                    c2: self.core.items.c2(),
                    z: z.ok()?,
                    proof,
                })
            })
            .collect();
        let decoded: Vec<bool> = to_verify.iter().map(Option::is_some).collect();
        let mut verified = verify_evaluations(to_verify.into_iter().flatten().collect()).into_iter();
        let mut decoded = decoded.into_iter();
        let mut judge = |authentic: Authentic<'_>, from: &PublisherView<'_>| {
            let Authentic { head, response, to } = authentic;
            if response.status != STATUS_EVALUATED {
                return refusal(head, &response);
            }
            if !decoded.next().unwrap_or(false) {
                return Err(ResponseFault::ElementInvalid);
            }
            let evaluation = verified.next().and_then(Result::ok).ok_or(ResponseFault::ProofInvalid)?;
            Ok(Accepted::Evaluated(Box::new(VerifiedResponse { head, k: to.k, k_y: *from.k_y, evaluation })))
        };
        let rejected = |from: &PublisherView<'_>| {
            let publisher = from.publisher.clone();
            move |fault| ResponseRejected { publisher, fault }
        };
        heard
            .drain(..)
            .zip(responses)
            .map(|(heard, (from, _))| heard.and_then(|authentic| judge(authentic, from)).map_err(rejected(from)))
            .collect()
    }

    /// Everything but what the kernel checks: whose response it is, and to what.
    fn authenticate(&self, from: &PublisherView<'_>, bytes: &[u8]) -> Result<Authentic<'_>, ResponseFault> {
        let to = self.addressed.get(from.publisher).ok_or(ResponseFault::NotAsked)?;
        let response = EvaluateResponse::decode(bytes, self.core.shape).map_err(|_| ResponseFault::Undecodable)?;
        self.names_this_query(to, from, &response)?;
        let outcome =
            Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
        outcome
            .verify(&self.core.chain_id, &to.envelope_digest, from.identity_key)
            .map_err(|_| ResponseFault::SignatureInvalid)?;
        let head = AnswerHead {
            publisher: response.publisher.clone(),
            envelope_digest: to.envelope_digest,
            tip_height: response.tip_height,
            tip_header_hash: response.tip_header_hash,
            last_batch_seq: response.last_batch_seq,
            served_at_s: response.served_at_s,
            outcome,
        };
        Ok(Authentic { head, response, to })
    }

    fn names_this_query(
        &self,
        to: &AddressedTo,
        from: &PublisherView<'_>,
        response: &EvaluateResponse,
    ) -> Result<(), ResponseFault> {
        let rules = [
            (response.publisher == *from.publisher, ResponseFault::WrongPublisher),
            (response.core_digest == self.core_digest, ResponseFault::WrongCore),
            (response.envelope_digest == to.envelope_digest, ResponseFault::WrongEnvelope),
            (response.period == self.core.period, ResponseFault::WrongPeriod),
            (response.k == to.k, ResponseFault::WrongKey),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, fault)| Err(fault))
    }

    fn evaluation_context<'a>(&'a self, publisher: &'a MemberId, to: &'a AddressedTo) -> EvaluationContext<'a> {
        EvaluationContext {
            chain_id: &self.core.chain_id,
            publisher: publisher.as_bytes(),
            period: self.core.period.0,
            k: &to.k,
            core: &self.core_digest,
            envelope: &to.envelope_digest,
        }
    }

    /// The outputs of one subject's real items, by ascending type; dummies have none.
    ///
    /// # Errors
    /// [`OprfError`] when the publisher's K_Y is another key's; the answer is `malformed`.
    pub fn outputs(&self, response: &VerifiedResponse, subject: usize) -> Result<Vec<AskedOutput>, OprfError> {
        Ok(self.outputs_of(response, subject..subject + 1)?.pop().unwrap_or_default())
    }

    /// [`outputs`](Self::outputs) of each of these subjects, many at a time.
    ///
    /// # Errors
    /// As [`outputs`](Self::outputs), when any item has one.
    pub fn outputs_of(
        &self,
        response: &VerifiedResponse,
        subjects: Range<usize>,
    ) -> Result<Vec<Vec<AskedOutput>>, OprfError> {
        let width = self.core.shape.width();
        let real = |index: usize| Some((self.asked.get(index)?.as_ref()?, self.secrets.get(index)?));
        let items: Vec<Unblinding<'_>> = (subjects.start * width..subjects.end * width)
            .filter_map(|index| real(index).map(|(asked, secret)| Unblinding { index, input: &asked.input, secret }))
            .collect();
        let outputs = response.evaluation.unblind_batch(&items, &response.k_y)?;
        let mut of_subjects: Vec<Vec<AskedOutput>> = subjects.clone().map(|_| Vec::with_capacity(width)).collect();
        for (item, output) in items.iter().zip(outputs) {
            let place = item.index / width - subjects.start;
            if let (Some(subject), Some((asked, _))) = (of_subjects.get_mut(place), real(item.index)) {
                subject.push(AskedOutput { id_type: asked.id_type, output });
            }
        }
        Ok(of_subjects)
    }
}

impl fmt::Debug for AwaitingEvaluations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitingEvaluations({:?}, {} responders)", self.core.shape, self.addressed.len())
    }
}

/// Lays identifiers out: a check has one place per type, a chunk's subject has its identifiers first and dummies after them.
fn place_subjects(
    shape: Shape,
    subjects: &[(impl Borrow<Subject>, Consent)],
) -> Result<Vec<Option<&Identifier>>, SessionError> {
    let width = shape.width();
    let mut items = Vec::with_capacity(shape.item_count());
    for (subject, _) in subjects {
        let (subject, start) = (subject.borrow(), items.len());
        match shape {
            Shape::Check => {
                items.extend(IdType::ALL.map(|id_type| subject.identifiers.iter().find(|one| one.id_type() == id_type)))
            }
            Shape::Chunk { .. } if subject.identifiers.len() > width => {
                return Err(SessionError::TooManyIdentifiers { width });
            }
            Shape::Chunk { .. } => items.extend(subject.identifiers.iter().map(Some)),
        }
        items.resize(start + width, None);
    }
    Ok(items)
}
