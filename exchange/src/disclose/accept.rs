//! Judges a publisher's answer: only what the chain, the opened label and the lender's own identifier bear out is a disclosure.
//!
//! - **Place**: response bytes -> [`SignedAnswer`] -> (own replica at its `tip_height`) -> [`Disclosure`]
//! - **Invariants**: a [`Disclosure`] exists only if the commitment stands on chain, is the one that the row's label names, is
//!   about the identifier asked, shows the value or its range, and the label does not contradict it
//! - **Errors**: [`DisclosureRejected`] names the publisher and the first lie; from [`SignedAnswer`] on its signed bytes are the
//!   proof. [`CommitmentUnavailable`] is this replica's fault and proves nothing
//! - **Security**: a publisher can tell no other story than the one it committed to, nor show another record's
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/protocol.md#disclosure

use std::fmt;

use riskveil_crypto::pedersen::verify_opening;
use riskveil_crypto::range_proof::verify_between;
use riskveil_crypto::{Digest32, VerifyingKey, codec};
use serde::{Deserialize, Serialize};

use crate::audit::entry::Outcome;
use crate::disclose::ask::HeldRow;
use crate::disclose::messages::{
    Ask, CommitmentPosition, Disclosed, DisclosureHead, DisclosureResponse, MAX_DISCLOSURE_RESPONSE_LEN, Shown,
    range_context,
};
use crate::disclose::refusal::{DisclosureRefusal, STATUS_DISCLOSED};
use crate::ids::{Height, MemberId};
use crate::publish::PeriodKeyId;
use crate::publish::commitment::{Attribute, RecordCommitment, StaticFacts, h_static, link};
use crate::record::{Currency, Detail, Identifier, Label};

/// A commitment batch is not held by this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the replica does not hold the commitment batch")]
pub struct CommitmentUnavailable;

/// The commitments of the finalized chain, in the lender's own replica.
pub trait CommitmentView {
    /// The publisher's commitment at a position; none if the chain has none there.
    ///
    /// # Errors
    /// [`CommitmentUnavailable`] when the state counts the batch and its bytes are not held.
    fn commitment(
        &self,
        publisher: &MemberId,
        position: CommitmentPosition,
    ) -> Result<Option<RecordCommitment>, CommitmentUnavailable>;
}

/// What is wrong with an answer; the publisher's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisclosureFault {
    /// Not a response to this question.
    #[error("the response does not decode")]
    Undecodable,
    /// It names another publisher.
    #[error("the response names another publisher")]
    WrongPublisher,
    /// It answers another request.
    #[error("the response is for another request")]
    WrongRequest,
    /// The publisher's signature does not cover it.
    #[error("the signature of the response is invalid")]
    SignatureInvalid,
    /// The status is not registered.
    #[error("the status of the response is not registered")]
    StatusUnknown,
    /// A refusal carries an answer.
    #[error("a refusal carries an answer")]
    RefusalNotEmpty,
    /// The answer is not one to this question.
    #[error("the answer is not one to this question")]
    AnswerMalformed,
    /// The chain has no commitment where the publisher says.
    #[error("the chain has no commitment where the publisher says")]
    NotOnChain,
    /// The row's label names another commitment.
    #[error("the label of the row names another commitment")]
    LinkMismatch,
    /// The commitment is to another person, category, severity, day or currency than the label says.
    #[error("the commitment is about another person or other facts than the label")]
    StaticFactsMismatch,
    /// The commitment does not open to the value.
    #[error("the commitment does not open to this value")]
    OpeningInvalid,
    /// The range proof does not hold for the bounds that were asked.
    #[error("the range proof is invalid")]
    RangeProofInvalid,
    /// The label tells another value than the commitment.
    #[error("the label tells another value than the commitment")]
    ValueContradictsLabel,
}

impl DisclosureFault {
    /// Every fault, in the order in which they are looked for.
    pub const ALL: [Self; 13] = [
        Self::Undecodable,
        Self::WrongPublisher,
        Self::WrongRequest,
        Self::SignatureInvalid,
        Self::StatusUnknown,
        Self::RefusalNotEmpty,
        Self::AnswerMalformed,
        Self::NotOnChain,
        Self::LinkMismatch,
        Self::StaticFactsMismatch,
        Self::OpeningInvalid,
        Self::RangeProofInvalid,
        Self::ValueContradictsLabel,
    ];

    /// The word used in JSON and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::WrongPublisher => "wrong_publisher",
            Self::WrongRequest => "wrong_request",
            Self::SignatureInvalid => "signature_invalid",
            Self::StatusUnknown => "status_unknown",
            Self::RefusalNotEmpty => "refusal_not_empty",
            Self::AnswerMalformed => "answer_malformed",
            Self::NotOnChain => "not_on_chain",
            Self::LinkMismatch => "link_mismatch",
            Self::StaticFactsMismatch => "static_facts_mismatch",
            Self::OpeningInvalid => "opening_invalid",
            Self::RangeProofInvalid => "range_proof_invalid",
            Self::ValueContradictsLabel => "value_contradicts_label",
        }
    }

    /// Whether the publisher's signature is under the bytes that show it, so that others can see it too.
    #[must_use]
    pub const fn is_signed(self) -> bool {
        !matches!(self, Self::Undecodable | Self::WrongPublisher | Self::WrongRequest | Self::SignatureInvalid)
    }
}

/// An answer that is none, with the party that gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{publisher}: {fault}")]
pub struct DisclosureRejected {
    /// Who answered.
    pub publisher: MemberId,
    /// What is wrong.
    pub fault: DisclosureFault,
    /// What it signed, for the log entry, if it signed.
    pub outcome: Option<Box<Outcome>>,
}

/// Why an answer is not a disclosure yet or ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The publisher lies.
    #[error(transparent)]
    Rejected(#[from] DisclosureRejected),
    /// This replica cannot tell.
    #[error(transparent)]
    Unavailable(#[from] CommitmentUnavailable),
}

/// A question whose answer is awaited.
pub struct AwaitingDisclosure {
    request_digest: Digest32,
    chain_id: Digest32,
    publisher: MemberId,
    attribute: Attribute,
    ask: Ask,
    identifier: Identifier,
    label: Label,
    key: PeriodKeyId,
}

impl fmt::Debug for AwaitingDisclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwaitingDisclosure({})", self.publisher)
    }
}

/// What a signed answer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisclosureAnswerHead {
    /// What goes into the log entry: status, response digest, its signature.
    pub outcome: Outcome,
    /// The publisher's finalized height.
    pub tip_height: Height,
    /// Unix seconds by its clock.
    pub served_at_s: u64,
}

/// A signed disclosure that is not judged yet.
#[derive(Debug)]
pub struct SignedAnswer {
    /// What it says of itself; the own replica has to reach its height before it is judged.
    pub head: DisclosureAnswerHead,
    disclosed: Disclosed,
}

/// A refusal with a valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDisclosureRefusal {
    /// What it says of itself.
    pub head: DisclosureAnswerHead,
    /// Why.
    pub reason: DisclosureRefusal,
}

/// A signed answer.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one per request, matched at once
pub enum AcceptedAnswer {
    /// Disclosed.
    Disclosed(SignedAnswer),
    /// Refused.
    Refused(SignedDisclosureRefusal),
}

/// What was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The value; the largest one that can be committed also stands for more.
    Value(u64),
    /// It lies between these, both included; the largest value that can be committed also stands for more.
    Between {
        /// The least value.
        lo: u64,
        /// The greatest value.
        hi: u64,
    },
}

/// What the lender knows now, and nobody else can tell otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// Who showed it.
    pub publisher: MemberId,
    /// Of which value.
    pub attribute: Attribute,
    /// What was shown.
    pub claim: Claim,
    /// The commitment.
    pub position: CommitmentPosition,
    /// Its leaf.
    pub leaf: Digest32,
}

impl Disclosure {
    /// Whether the claim reaches the largest value that is committed, which also stands for everything above.
    #[must_use]
    pub const fn is_open_above(&self) -> bool {
        let max = self.attribute.bits().max();
        match self.claim {
            Claim::Value(value) => value == max,
            Claim::Between { hi, .. } => hi == max,
        }
    }
}

impl AwaitingDisclosure {
    pub(super) fn new(
        head: &DisclosureHead,
        (attribute, ask): (Attribute, Ask),
        identifier: Identifier,
        row: &HeldRow<'_>,
    ) -> Self {
        Self {
            request_digest: head.digest(),
            chain_id: head.chain_id,
            publisher: head.publisher.clone(),
            attribute,
            ask,
            identifier,
            label: row.label.clone(),
            key: row.key.clone(),
        }
    }

    /// Whom it was sent to.
    #[must_use]
    pub const fn publisher(&self) -> &MemberId {
        &self.publisher
    }

    /// What names the request.
    #[must_use]
    pub const fn request_digest(&self) -> &Digest32 {
        &self.request_digest
    }

    /// Checks form and signature; only then is it an answer.
    ///
    /// # Errors
    /// [`DisclosureRejected`] with the first check that fails.
    pub fn open(&self, publisher_key: &VerifyingKey, bytes: &[u8]) -> Result<AcceptedAnswer, DisclosureRejected> {
        let response = self.signed(publisher_key, bytes).map_err(|fault| self.rejected(fault, None))?;
        let (status, signature) = (response.status, response.signature);
        let outcome = Outcome { status, response_digest: response.digest(), signature };
        self.read(&response, outcome.clone()).map_err(|fault| self.rejected(fault, Some(outcome)))
    }

    fn signed(&self, publisher_key: &VerifyingKey, bytes: &[u8]) -> Result<DisclosureResponse, DisclosureFault> {
        let response =
            DisclosureResponse::decode(bytes, self.attribute, self.ask).map_err(|_| DisclosureFault::Undecodable)?;
        if response.publisher != self.publisher {
            return Err(DisclosureFault::WrongPublisher);
        }
        if response.request_digest != self.request_digest {
            return Err(DisclosureFault::WrongRequest);
        }
        let outcome =
            Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
        outcome
            .verify(&self.chain_id, &self.request_digest, publisher_key)
            .map_err(|_| DisclosureFault::SignatureInvalid)?;
        Ok(response)
    }

    fn read(&self, response: &DisclosureResponse, outcome: Outcome) -> Result<AcceptedAnswer, DisclosureFault> {
        let head = DisclosureAnswerHead { outcome, tip_height: response.tip_height, served_at_s: response.served_at_s };
        if response.status != STATUS_DISCLOSED {
            let reason = response.refusal().ok_or(DisclosureFault::StatusUnknown)?;
            if response.answer.iter().any(|byte| *byte != 0) {
                return Err(DisclosureFault::RefusalNotEmpty);
            }
            return Ok(AcceptedAnswer::Refused(SignedDisclosureRefusal { head, reason }));
        }
        let disclosed: Disclosed = codec::decode(&response.answer, MAX_DISCLOSURE_RESPONSE_LEN)
            .map_err(|_| DisclosureFault::AnswerMalformed)?;
        let fits = matches!(
            (&disclosed.shown, self.ask),
            (Shown::Value { .. }, Ask::Open) | (Shown::Between { .. }, Ask::Between { .. })
        );
        if !fits {
            return Err(DisclosureFault::AnswerMalformed);
        }
        Ok(AcceptedAnswer::Disclosed(SignedAnswer { head, disclosed }))
    }

    /// Judges a signed answer against the chain, the label and the identifier. `chain` has to have reached its `tip_height`.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] with the publisher's first lie, [`VerifyError::Unavailable`] when this replica cannot tell.
    pub fn verify(&self, answer: &SignedAnswer, chain: &dyn CommitmentView) -> Result<Disclosure, VerifyError> {
        let disclosed = &answer.disclosed;
        let rejected = |fault| self.rejected(fault, Some(answer.head.outcome.clone()));
        let commitment = chain.commitment(&self.publisher, disclosed.position)?;
        let commitment = commitment.ok_or_else(|| rejected(DisclosureFault::NotOnChain))?;
        let claim = self.judge(disclosed, &commitment).map_err(rejected)?;
        Ok(Disclosure {
            publisher: self.publisher.clone(),
            attribute: self.attribute,
            claim,
            position: disclosed.position,
            leaf: commitment.leaf(),
        })
    }

    fn judge(&self, disclosed: &Disclosed, commitment: &RecordCommitment) -> Result<Claim, DisclosureFault> {
        if link(&self.key, &commitment.leaf(), &disclosed.rho) != *self.label.link() {
            return Err(DisclosureFault::LinkMismatch);
        }
        let facts = StaticFacts {
            identifier: &self.identifier,
            category: self.label.category(),
            severity: self.label.severity(),
            event_day: self.label.event_day(),
            currency: Currency::Cny,
        };
        if h_static(&facts, &disclosed.static_salt) != commitment.h_static {
            return Err(DisclosureFault::StaticFactsMismatch);
        }
        let claim = self.shown(&disclosed.shown, commitment)?;
        if label_agrees(self.label.detail(), self.attribute, claim) {
            Ok(claim)
        } else {
            Err(DisclosureFault::ValueContradictsLabel)
        }
    }

    fn shown(&self, shown: &Shown, commitment: &RecordCommitment) -> Result<Claim, DisclosureFault> {
        let (v, bits) = (commitment.of(self.attribute), self.attribute.bits());
        match (shown, self.ask) {
            (Shown::Value { value, blinding }, Ask::Open) if *value <= bits.max() => {
                verify_opening(v, *value, blinding).map_err(|_| DisclosureFault::OpeningInvalid)?;
                Ok(Claim::Value(*value))
            }
            (Shown::Value { .. }, Ask::Open) => Err(DisclosureFault::OpeningInvalid),
            (Shown::Between { proof }, Ask::Between { lo, hi }) => {
                let context = range_context(&self.request_digest);
                verify_between(bits, v, lo, hi, context.as_bytes(), proof)
                    .map_err(|_| DisclosureFault::RangeProofInvalid)?;
                Ok(Claim::Between { lo, hi })
            }
            _ => Err(DisclosureFault::AnswerMalformed),
        }
    }

    fn rejected(&self, fault: DisclosureFault, outcome: Option<Outcome>) -> DisclosureRejected {
        DisclosureRejected { publisher: self.publisher.clone(), fault, outcome: outcome.map(Box::new) }
    }
}

/// Whether what the label tells of the value and what was shown have a value in common.
fn label_agrees(detail: &Detail, attribute: Attribute, claim: Claim) -> bool {
    let (lo, hi) = match claim {
        Claim::Value(value) => (value, value),
        Claim::Between { lo, hi } => (lo, hi),
    };
    let (from, to) = match (*detail, attribute) {
        (Detail::Match, _) => (0, None),
        (Detail::Banded { overdue_days, .. }, Attribute::Days) => {
            let (from, to) = overdue_days.days();
            (u64::from(from), to.map(u64::from))
        }
        (Detail::Banded { amount, .. }, Attribute::Amount) => amount.minor_units(),
        // a saturated value is committed as the largest one, which is what the label says too
        (Detail::Exact { overdue_days, .. }, Attribute::Days) => (overdue_days.into(), Some(overdue_days.into())),
        (Detail::Exact { amount_minor, .. }, Attribute::Amount) => (amount_minor.into(), Some(amount_minor.into())),
    };
    hi >= from && to.is_none_or(|to| lo <= to)
}
