//! The bytes of a disclosure: a head that is logged, a body that only the publisher sees, one answer of fixed length.
//!
//! - **Place**: `ask` -> [`DisclosureRequest`] -> wire -> `judge` -> [`DisclosureResponse`] -> `accept`
//! - **Shapes**: a request has about 1.2 KB; an answer's length follows from what is asked ([`answer_len`]) and a refusal is as
//!   long as a disclosure
//! - **Invariants**: a decoded request is about a check of 4 items; the head binds the body by its digest
//! - **Errors**: [`MessageError`], the sender's fault
//! - **Security**: no identifier is in a request. What the regulator reads later is the head alone: who, when, why, on which
//!   consent, after which check; item, tag, attribute, bounds and the answer are in the body and in the response
//! - **Source**: specs/wire.md#disclosure

use std::fmt;

use riskveil_crypto::digest::hash;
use riskveil_crypto::escrow_opening::EqualityProof;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::range_proof::{Bits, proof_len};
use riskveil_crypto::signature::SignatureInvalid;
use riskveil_crypto::{Digest32, Signature, SigningKey, VerifyingKey, codec};
use serde::{Deserialize, Serialize};

use crate::audit::entry::Outcome;
use crate::disclose::refusal::{DisclosureRefusal, STATUS_DISCLOSED};
use crate::dst;
use crate::ids::{Height, MemberId};
use crate::message::{Kind, MessageHeader};
use crate::publish::commitment::Attribute;
use crate::purpose::Purpose;
use crate::query::messages::{CHECK_ITEMS, Envelope, MessageError, RequestCore, Shape};
use crate::query::seal::Consent;

/// Longest request, bytes.
pub const MAX_DISCLOSURE_REQUEST_LEN: usize = 4_096;
/// Longest response, bytes.
pub const MAX_DISCLOSURE_RESPONSE_LEN: usize = 2_048;
const SIGNATURE_LEN: usize = 64;
/// Position, rho, static salt, variant number.
const ANSWER_HEAD_LEN: usize = 8 + 32 + 32 + 1;

/// What is asked about a committed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// The value.
    Open,
    /// That it lies between two bounds, both included.
    Between {
        /// The least value.
        lo: u64,
        /// The greatest value.
        hi: u64,
    },
}

impl Ask {
    /// Whether the bounds are bounds of this attribute.
    #[must_use]
    pub const fn fits(self, attribute: Attribute) -> bool {
        match self {
            Self::Open => true,
            Self::Between { lo, hi } => lo <= hi && hi <= attribute.bits().max(),
        }
    }
}

/// Where a commitment stands on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitmentPosition {
    /// The publisher's commitment batch.
    pub batch_seq: u32,
    /// The commitment's place in it.
    pub index: u32,
}

/// What the lender signs and both sides log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureHead {
    /// Kind [`Kind::DisclosureHead`].
    pub header: MessageHeader,
    /// The chain.
    pub chain_id: Digest32,
    /// Who asks.
    pub lender: MemberId,
    /// Whom it asks.
    pub publisher: MemberId,
    /// 32 random bytes; the publisher remembers (lender, nonce) until expiry. It also salts the log leaves.
    #[serde(with = "codec::bytes_n")]
    pub nonce: [u8; 32],
    /// Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// Unix seconds; at most the policy's `request_ttl_s` later.
    pub expires_at_s: u64,
    /// Why it asks.
    pub purpose: Purpose,
    /// The envelope of the check that found the record.
    pub check: Digest32,
    /// Commitment to the consent for this disclosure.
    pub consent_commit: Digest32,
    /// [`DisclosureBody::digest`].
    pub body_digest: Digest32,
}

impl DisclosureHead {
    /// Names the request: what responses, leaves and log entries say.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        hash(dst::DISCLOSURE_HEAD, &[&codec::encode(self)])
    }

    /// Signs as the lender.
    #[must_use]
    pub fn sign(&self, lender: &SigningKey) -> Signature {
        lender.sign(dst::DISCLOSURE_HEAD, &self.chain_id, &codec::encode(self))
    }

    /// Verifies the lender's signature.
    ///
    /// # Errors
    /// [`SignatureInvalid`].
    pub fn verify(&self, lender: &VerifyingKey, signature: &Signature) -> Result<(), SignatureInvalid> {
        lender.verify(dst::DISCLOSURE_HEAD, &self.chain_id, &codec::encode(self), signature)
    }
}

/// What only the publisher sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureBody {
    /// The core of the check.
    pub core: RequestCore,
    /// The lender's envelope of the check to this publisher.
    pub envelope: Envelope,
    /// The publisher's own signature that it evaluated that envelope.
    pub outcome: Outcome,
    /// The consent for this disclosure.
    pub consent: Consent,
    /// Which item of the check found the record, from 0.
    pub item: u8,
    /// The tag of the row that was found.
    pub tag: Tag,
    /// Which value.
    pub attribute: Attribute,
    /// Opened or bounded.
    pub ask: Ask,
    /// That the item holds `H(x)`, for the x that the publisher finds by the tag.
    pub proof: EqualityProof,
}

impl DisclosureBody {
    /// What the head binds. Nobody can guess it: the proof in it is random.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        hash(dst::DISCLOSURE_BODY, &[&codec::encode(self)])
    }
}

/// What a body's proof is bound to: the parties, this request's nonce, the check, and everything that is asked.
#[must_use]
pub fn proof_context(
    (chain_id, lender, publisher, nonce): (&Digest32, &MemberId, &MemberId, &[u8; 32]),
    check: &Digest32,
    item: u8,
    tag: &Tag,
    what: (Attribute, Ask),
) -> Digest32 {
    hash(
        dst::DISCLOSURE_PROOF,
        &[&codec::encode(&(chain_id, lender, publisher)), nonce, check.as_bytes(), &codec::encode(&(item, tag, what))],
    )
}

/// The context of the range proof in an answer: this request and no other.
#[must_use]
pub fn range_context(request_digest: &Digest32) -> Digest32 {
    hash(dst::DISCLOSURE_RANGE, &[request_digest.as_bytes()])
}

/// One request as it goes to the publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureRequest {
    /// Signed and logged.
    pub head: DisclosureHead,
    /// Sent only.
    pub body: DisclosureBody,
    /// The lender's signature over the head.
    pub signature: Signature,
}

impl DisclosureRequest {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a request; headers hold afterwards, and it names a check of 4 items.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let request: Self = codec::decode(bytes, MAX_DISCLOSURE_REQUEST_LEN)?;
        request.head.header.expect(Kind::DisclosureHead)?;
        request.body.core.header.expect(Kind::RequestCore)?;
        request.body.envelope.header.expect(Kind::Envelope)?;
        if request.body.core.shape != Shape::Check || request.body.core.items.len() != CHECK_ITEMS {
            return Err(MessageError::Count);
        }
        Ok(request)
    }
}

/// What is disclosed: which commitment the record has, and the value or its range.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosed {
    /// The commitment on chain.
    pub position: CommitmentPosition,
    /// Ties it to the row's link.
    #[serde(with = "codec::bytes_n")]
    pub rho: [u8; 32],
    /// Opens the static part.
    #[serde(with = "codec::bytes_n")]
    pub static_salt: [u8; 32],
    /// The value or its range.
    pub shown: Shown,
}

/// The value with what opens it, or a proof of its range.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shown {
    /// Opens the commitment.
    Value {
        /// Days, or minor units; saturated as in a label.
        value: u64,
        /// The commitment's blinding.
        #[serde(with = "codec::bytes_n")]
        blinding: [u8; 32],
    },
    /// A range proof for the bounds that were asked.
    Between {
        /// Its bytes.
        #[serde(with = "serde_bytes")]
        proof: Vec<u8>,
    },
}

impl fmt::Debug for Disclosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disclosed({:?}, ..)", self.position)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

/// Bytes of an answer to this question, disclosed or refused.
#[must_use]
pub const fn answer_len(attribute: Attribute, ask: Ask) -> usize {
    match ask {
        Ask::Open => ANSWER_HEAD_LEN + 8 + 32,
        // two values of these bits in one proof; its length takes two bytes of ULEB128
        Ask::Between { .. } => ANSWER_HEAD_LEN + 2 + between_len(attribute.bits()),
    }
}

const fn between_len(bits: Bits) -> usize {
    proof_len(bits, 2)
}

/// What a publisher answers; a refusal has an answer of zeros.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisclosureResponse {
    /// Kind [`Kind::DisclosureResponse`].
    pub header: MessageHeader,
    /// The head answered.
    pub request_digest: Digest32,
    /// Who answers.
    pub publisher: MemberId,
    /// 0, or the code of a [`DisclosureRefusal`].
    pub status: u8,
    /// The publisher's finalized height, at which the commitment is on chain.
    pub tip_height: Height,
    /// Unix seconds by the publisher's clock.
    pub served_at_s: u64,
    /// BCS of [`Disclosed`], or as many zeros.
    #[serde(with = "serde_bytes")]
    pub answer: Vec<u8>,
    /// The publisher's signature over `outcome_statement(request_digest, status, response digest)`.
    pub signature: Signature,
}

impl DisclosureResponse {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads a response to this question.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8], attribute: Attribute, ask: Ask) -> Result<Self, MessageError> {
        let response: Self = codec::decode(bytes, MAX_DISCLOSURE_RESPONSE_LEN)?;
        response.header.expect(Kind::DisclosureResponse)?;
        if response.answer.len() != answer_len(attribute, ask) {
            return Err(MessageError::Count);
        }
        Ok(response)
    }

    /// The digest that logs keep: everything but the signature. A disclosure's cannot be guessed: rho and blinding are random.
    #[must_use]
    pub fn digest(&self) -> Digest32 {
        let bytes = codec::encode(self);
        hash(dst::DISCLOSURE_RESPONSE, &[&bytes[..bytes.len().saturating_sub(SIGNATURE_LEN)]])
    }

    /// Why it refuses; none for a disclosure and for an unregistered status.
    #[must_use]
    pub fn refusal(&self) -> Option<DisclosureRefusal> {
        if self.status == STATUS_DISCLOSED { None } else { DisclosureRefusal::from_code(self.status) }
    }
}
