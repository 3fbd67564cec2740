//! The bytes of a query: one core for all responders, one signed envelope for each, one signed response from each.
//!
//! - **Place**: B3 `RequestCore`, `Proofs`, seal, `Envelope` -> wire -> B4 -> `EvaluateResponse` -> B5
//! - **Shapes**: a check has 4 items, a chunk width * subjects; the length of a request and of its response depends on the
//!   shape and on the two names alone, and a refusal is as long as an evaluation
//! - **Invariants**: [`EvaluateRequest::decode`] yields only registered shapes with matching counts; points are canonical and
//!   not the identity (by type)
//! - **Errors**: [`MessageError`], the sender's fault
//! - **Security**: a request holds ciphertexts only; identifier types are not on the wire. A response digest is what logs
//!   keep, never Z
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/wire.md

use riskveil_crypto::digest::hash;
use riskveil_crypto::escrow::{EscrowedItems, KnowledgeProof};
use riskveil_crypto::{Digest32, Element, Signature, SigningKey, VerifyingKey, codec, signature::SignatureInvalid};
use serde::{Deserialize, Serialize};

use crate::dst;
use crate::ids::{AuditKeyId, Height, MemberId, Period};
use crate::message::{HeaderUnexpected, Kind, MessageHeader};
use crate::purpose::Purpose;
use crate::query::refusal::{RefusalReason, STATUS_EVALUATED};
use crate::query::seal;

/// Items of a check, one per identifier type in the order of `IdType::ALL`.
pub const CHECK_ITEMS: usize = 4;
/// Most items in a request.
pub const MAX_ITEMS: usize = 65_535;
/// Most subjects in a chunk.
pub const MAX_SUBJECTS: usize = 16_384;
/// Longest request: the largest chunk.
pub const MAX_REQUEST_LEN: usize = 1_024 + MAX_ITEMS * ITEM_LEN + seal::MAX_SEAL_LEN;
/// Longest response: the largest chunk.
pub const MAX_RESPONSE_LEN: usize = 512 + MAX_ITEMS * 32;
/// Bytes of an item: C1 and C2.
pub const ITEM_LEN: usize = 64;
const SIGNATURE_LEN: usize = 64;

/// How many items a request has and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// One subject, 4 items.
    Check,
    /// A screening chunk: item `s * width + j` is identifier j of subject s.
    Chunk {
        /// Items of a subject: 1, 2 or 4, one choice for a whole run.
        width: u8,
        /// Subjects, padding ones included: 1, 16, 256, 4096 or 16384.
        subjects: u16,
    },
}

/// A shape that is not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk has 1, 2 or 4 items for each of 1, 16, 256, 4096 or 16384 subjects, at most 65535 items")]
pub struct ShapeInvalid;

impl Shape {
    /// Widths of a chunk.
    pub const WIDTHS: [u8; 3] = [1, 2, 4];
    /// Sizes of a chunk, in subjects.
    pub const SUBJECTS: [u16; 5] = [1, 16, 256, 4096, 16384];

    /// Refuses an unregistered shape.
    ///
    /// # Errors
    /// [`ShapeInvalid`].
    pub fn check(self) -> Result<(), ShapeInvalid> {
        match self {
            Self::Check => Ok(()),
            Self::Chunk { width, subjects }
                if Self::WIDTHS.contains(&width)
                    && Self::SUBJECTS.contains(&subjects)
                    && self.item_count() <= MAX_ITEMS =>
            {
                Ok(())
            }
            Self::Chunk { .. } => Err(ShapeInvalid),
        }
    }

    /// Items of the request.
    #[must_use]
    pub const fn item_count(self) -> usize {
        match self {
            Self::Check => CHECK_ITEMS,
            Self::Chunk { width, subjects } => width as usize * subjects as usize,
        }
    }

    /// Items of one subject.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Check => CHECK_ITEMS,
            Self::Chunk { width, .. } => width as usize,
        }
    }

    /// Subjects of the request, padding ones included.
    #[must_use]
    pub const fn subject_count(self) -> usize {
        match self {
            Self::Check => 1,
            Self::Chunk { subjects, .. } => subjects as usize,
        }
    }
}

/// What is asked: the same bytes for every responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCore {
    /// Kind [`Kind::RequestCore`].
    pub header: MessageHeader,
    /// The chain.
    pub chain_id: Digest32,
    /// Who asks.
    pub lender: MemberId,
    /// 32 random bytes, fresh per request; responders remember (lender, nonce) until expiry.
    #[serde(with = "codec::bytes_n")]
    pub nonce: [u8; 32],
    /// Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// Unix seconds; at most the policy's `request_ttl_s` later.
    pub expires_at_s: u64,
    /// The period whose keys are asked.
    pub period: Period,
    /// The audit key under which the items are escrowed.
    pub audit_key_id: AuditKeyId,
    /// The lender's finalized height when it asked.
    pub ref_height: Height,
    /// The header hash at `ref_height`.
    pub ref_header_hash: Digest32,
    /// Why it asks.
    pub purpose: Purpose,
    /// Check: the consent commitment. Chunk: the Merkle root over one commitment per subject.
    pub consent_commit: Digest32,
    /// How many items of how many subjects.
    pub shape: Shape,
    /// The escrowed items, `shape.item_count()` of them.
    pub items: EscrowedItems,
    /// [`seal_digest`] of the seal.
    pub seal_digest: Digest32,
}

impl RequestCore {
    /// The digest of the whole core: what proofs of knowledge, envelopes and responses bind.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        hash(dst::REQUEST_CORE, &[&codec::encode(self)])
    }

    /// The additional data of the seal: a tag and the core without its last field, `seal_digest`.
    #[must_use]
    pub fn aad_without_seal_digest(&self) -> Vec<u8> {
        let mut aad = codec::encode(dst::SEAL_AAD.as_str());
        let core = codec::encode(self);
        aad.extend_from_slice(&core[..core.len().saturating_sub(32)]);
        aad
    }
}

/// Proofs that the lender knows the blinding of its items: without them the escrow would be malleable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proofs {
    /// A check: one per item.
    Each(Vec<KnowledgeProof>),
    /// A chunk: one over a weighted sum of all items.
    Weighted(KnowledgeProof),
}

impl Proofs {
    /// The digest that envelopes bind.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        hash(dst::REQUEST_PROOFS, &[&codec::encode(self)])
    }

    fn fits(&self, shape: Shape) -> bool {
        match (self, shape) {
            (Self::Each(proofs), Shape::Check) => proofs.len() == CHECK_ITEMS,
            (Self::Weighted(_), Shape::Chunk { .. }) => true,
            _ => false,
        }
    }
}

/// The digest of a seal, as a core binds it.
#[must_use]
pub fn seal_digest(seal: &[u8]) -> Digest32 {
    hash(dst::SEAL_DIGEST, &[seal])
}

/// What the lender signs for one responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Kind [`Kind::Envelope`].
    pub header: MessageHeader,
    /// The core.
    pub core_digest: Digest32,
    /// Its proofs.
    pub proofs_digest: Digest32,
    /// Whom the lender asks.
    pub publisher: MemberId,
    /// The period of the core.
    pub period: Period,
    /// The publisher's key as the lender's replica has it.
    pub k: Element,
    /// 32 random bytes, fresh per envelope: only the two parties and the regulator can match its log leaves.
    #[serde(with = "codec::bytes_n")]
    pub salt: [u8; 32],
}

impl Envelope {
    /// The digest that responses, leaves and log entries name.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        hash(dst::ENVELOPE, &[&codec::encode(self)])
    }

    /// Signs as the lender.
    #[must_use]
    pub fn sign(&self, chain_id: &Digest32, lender: &SigningKey) -> Signature {
        lender.sign(dst::ENVELOPE, chain_id, &codec::encode(self))
    }

    /// Verifies the lender's signature.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(
        &self,
        chain_id: &Digest32,
        lender: &VerifyingKey,
        signature: &Signature,
    ) -> Result<(), SignatureInvalid> {
        lender.verify(dst::ENVELOPE, chain_id, &codec::encode(self), signature)
    }
}

/// One request as it goes to one responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateRequest {
    /// What is asked.
    pub core: RequestCore,
    /// The proofs of knowledge.
    pub proofs: Proofs,
    /// What is asked, sealed to the regulator: HPKE, fixed length for the shape.
    #[serde(with = "serde_bytes")]
    pub seal: Vec<u8>,
    /// Addressed to this responder.
    pub envelope: Envelope,
    /// The lender's signature over the envelope.
    pub signature: Signature,
}

/// Bytes that are no message of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not BCS of the type, or too long.
    #[error(transparent)]
    Decode(#[from] codec::DecodeError),
    /// Another version, kind or suite.
    #[error(transparent)]
    Header(#[from] HeaderUnexpected),
    /// An unregistered shape.
    #[error(transparent)]
    Shape(#[from] ShapeInvalid),
    /// A count that is not the shape's.
    #[error("counts of items, proofs or evaluations do not match the shape")]
    Count,
}

impl EvaluateRequest {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a request; headers, shape and counts hold afterwards.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let request: Self = codec::decode(bytes, MAX_REQUEST_LEN)?;
        request.core.header.expect(Kind::RequestCore)?;
        request.envelope.header.expect(Kind::Envelope)?;
        request.core.shape.check()?;
        if request.core.items.len() != request.core.shape.item_count() || !request.proofs.fits(request.core.shape) {
            return Err(MessageError::Count);
        }
        Ok(request)
    }
}

/// What a responder answers; a refusal has the same length, with zeros for Z and the proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvaluateResponse {
    /// Kind [`Kind::Response`].
    pub header: MessageHeader,
    /// The core answered.
    pub core_digest: Digest32,
    /// The envelope answered.
    pub envelope_digest: Digest32,
    /// Who answers.
    pub publisher: MemberId,
    /// The period.
    pub period: Period,
    /// The key it evaluated with (on a refusal: the one the envelope names).
    pub k: Element,
    /// 0, or the code of a [`RefusalReason`].
    pub status: u8,
    /// The responder's finalized height.
    pub tip_height: Height,
    /// The header hash at `tip_height`.
    pub tip_header_hash: Digest32,
    /// How many batches of its own the chain counted at `tip_height`.
    pub last_batch_seq: u32,
    /// Unix seconds by the responder's clock.
    pub served_at_s: u64,
    /// Z, one encoded point per item.
    #[serde(with = "codec::lists_of_bytes_n")]
    pub z: Vec<[u8; 32]>,
    /// The evaluation proof.
    #[serde(with = "codec::bytes_n")]
    pub proof: [u8; 64],
    /// The responder's signature over [`outcome_statement`].
    pub signature: Signature,
}

impl EvaluateResponse {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a response to a request of this shape.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8], shape: Shape) -> Result<Self, MessageError> {
        let response: Self = codec::decode(bytes, MAX_RESPONSE_LEN)?;
        response.header.expect(Kind::Response)?;
        if response.z.len() != shape.item_count() {
            return Err(MessageError::Count);
        }
        Ok(response)
    }

    /// The digest that logs keep: everything but the signature.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let bytes = codec::encode(self);
        hash(dst::RESPONSE, &[&bytes[..bytes.len().saturating_sub(SIGNATURE_LEN)]])
    }

    /// Why it refuses; none for an evaluation and for an unregistered status.
    #[must_use]
    pub fn refusal(&self) -> Option<RefusalReason> {
        if self.status == STATUS_EVALUATED { None } else { RefusalReason::from_code(self.status) }
    }
}

/// What a responder signs: which envelope it answered, with which status and which response.
///
/// The statement holds no Z, so that a log entry can prove that a responder answered without holding its answer.
#[must_use]
pub fn outcome_statement(envelope_digest: &Digest32, status: u8, response_digest: &Digest32) -> Vec<u8> {
    codec::encode(&(envelope_digest, status, response_digest))
}
