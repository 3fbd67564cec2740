//! What a regulator finds in the logs: one kind, one party, and the statements that prove it.
//!
//! - **Place**: B10, `audit::reconcile` -> [`Finding`] -> the regulator's files and console
//! - **Invariants**: every finding names the party at fault; a finding about what is absent names what shows that it should
//!   be there
//! - **Security**: digests, numbers and signatures only: no identifier is in a finding
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/errors.md

use riskveil_crypto::{Digest32, Signature};
use serde::{Deserialize, Serialize};

use crate::audit::entry::{LogKind, Outcome};
use crate::disclose::messages::DisclosureHead;
use crate::ids::{Height, MemberId, Window};
use crate::publish::Attribute;
use crate::query::messages::Envelope;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A responder holds an envelope, or a publisher a disclosure's head, signed by a lender that did not log it.
    LenderOmitted,
    /// A lender holds a signed answer of a responder that did not log the request.
    ResponderOmitted,
    /// A leaf on chain belongs to no entry and is no padding.
    LeafWithoutEntry,
    /// The regulator cannot read a blob.
    BlobUnopenable,
    /// A window that is due was not logged.
    MissingWindow,
    /// A lender used one nonce for two requests, or a responder signed one answer and logged another.
    Equivocation,
    /// A window or an entry was logged after it was due.
    Late,
    /// A ciphertext does not hold what the seal says.
    EscrowMismatch,
    /// A seal does not open or does not have its form.
    SealMalformed,
    /// The consents in the seal are not the committed ones, or a subject has none.
    ConsentMismatch,
    /// A C1 stands in two places.
    RepeatedC1,
    /// An entry contradicts itself or is signed by nobody.
    EntryInvalid,
    /// A publisher's commitments have a range proof that does not hold; found by whoever verified them.
    RangeProofInvalid,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::LenderOmitted,
        Self::ResponderOmitted,
        Self::LeafWithoutEntry,
        Self::BlobUnopenable,
        Self::MissingWindow,
        Self::Equivocation,
        Self::Late,
        Self::EscrowMismatch,
        Self::SealMalformed,
        Self::ConsentMismatch,
        Self::RepeatedC1,
        Self::EntryInvalid,
        Self::RangeProofInvalid,
    ];

    /// The word used in reports and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LenderOmitted => "lender_omitted",
            Self::ResponderOmitted => "responder_omitted",
            Self::LeafWithoutEntry => "leaf_without_entry",
            Self::BlobUnopenable => "blob_unopenable",
            Self::MissingWindow => "missing_window",
            Self::Equivocation => "equivocation",
            Self::Late => "late",
            Self::EscrowMismatch => "escrow_mismatch",
            Self::SealMalformed => "seal_malformed",
            Self::ConsentMismatch => "consent_mismatch",
            Self::RepeatedC1 => "repeated_c1",
            Self::EntryInvalid => "entry_invalid",
            Self::RangeProofInvalid => "range_proof_invalid",
        }
    }
}

/// What is wrong with an entry, for [`FindingKind::EntryInvalid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryFault {
    /// Headers, shape or counts are not those of a request.
    Form,
    /// The entry is another member's, or of another chain.
    NotOwn,
    /// An envelope is for another core or other proofs.
    Digests,
    /// The seal is not the one that the core names.
    Seal,
    /// The lender's signature over an envelope does not verify.
    LenderSignature,
    /// A responder's signature over an outcome does not verify.
    OutcomeSignature,
    /// A proof of knowledge does not verify.
    ProofOfKnowledge,
    /// Its leaf is not among the window's leaves.
    LeafMissing,
}

/// A statement that a third party can check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // a finding has at most three
pub enum Proof {
    /// A log transaction on chain, signed by the member.
    OnChain {
        /// Whose log.
        kind: LogKind,
        /// Who logged.
        member: MemberId,
        /// First window covered.
        first_window: Window,
        /// Last window covered.
        last_window: Window,
        /// The block.
        height: Height,
        /// The root over its leaves.
        root: Digest32,
    },
    /// An envelope signed by the lender.
    SignedEnvelope {
        /// The envelope.
        envelope: Envelope,
        /// The lender's signature.
        signature: Signature,
    },
    /// A disclosure's head signed by the lender.
    SignedDisclosure {
        /// The head.
        head: DisclosureHead,
        /// The lender's signature.
        signature: Signature,
    },
    /// An outcome signed by a responder.
    SignedOutcome {
        /// The responder.
        publisher: MemberId,
        /// Which envelope, or head of a disclosure, it answered.
        envelope_digest: Digest32,
        /// What it signed.
        outcome: Outcome,
    },
    /// A batch of commitments on chain, signed by its publisher, and where its proofs fail.
    Commitments {
        /// The batch's number.
        batch_seq: u32,
        /// The block.
        height: Height,
        /// SHA-256 of its payload.
        digest: Digest32,
        /// The lowest chunk of 64 whose proof does not hold.
        chunk: u32,
        /// What that proof is about.
        attribute: Attribute,
    },
    /// What was due by this header time is not on chain at a later one.
    AbsentAt {
        /// When it was due, Unix seconds of header time.
        due_s: u64,
        /// Header time of the tip that was searched.
        searched_until_s: u64,
    },
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// Who is at fault.
    pub party: MemberId,
    /// For `entry_invalid`: what about the entry.
    pub fault: Option<EntryFault>,
    /// The request, where there is one.
    pub core_digest: Option<Digest32>,
    /// The disclosure, where it is about one: the digest of its head.
    #[serde(default)]
    pub disclosure: Option<Digest32>,
    /// Its item, from 0, for `escrow_mismatch`, `seal_malformed` and `repeated_c1`.
    pub item: Option<u32>,
    /// The leaf, for `leaf_without_entry`.
    pub leaf: Option<Digest32>,
    /// First and last window, for `missing_window`.
    pub windows: Option<(Window, Window)>,
    /// What proves it.
    pub proof: Vec<Proof>,
}

impl Finding {
    /// A finding with this proof and nothing else named.
    #[must_use]
    pub const fn new(kind: FindingKind, party: MemberId, proof: Vec<Proof>) -> Self {
        Self {
            kind,
            party,
            fault: None,
            core_digest: None,
            disclosure: None,
            item: None,
            leaf: None,
            windows: None,
            proof,
        }
    }

    /// The same, about this request.
    #[must_use]
    pub const fn about(mut self, core_digest: Digest32) -> Self {
        self.core_digest = Some(core_digest);
        self
    }

    /// The same, about this disclosure.
    #[must_use]
    pub const fn about_disclosure(mut self, head_digest: Digest32) -> Self {
        self.disclosure = Some(head_digest);
        self
    }
}
