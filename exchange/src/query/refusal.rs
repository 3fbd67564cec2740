//! Why a responder refuses a request: the registry of reasons.
//!
//! - **Place**: B4, byte `status` of a response and of log entries; 0 is "evaluated"
//! - **Errors**: an unknown status byte is no reason: the response is rejected
//! - **Source**: DESIGN.md section 4, "Request, response, log"; specs/errors.md

use crate::codes::serde_by_code;

/// Status byte of a response that carries an evaluation.
pub const STATUS_EVALUATED: u8 = 0;

/// A reason, one byte on the wire, a snake-case word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RefusalReason {
    /// The peer is not the lender of the request, or that member is no active lender.
    NotALender = 1,
    /// The request is for a period that has not begun.
    WrongPeriod = 2,
    /// The request is for a period that is over at the responder's finalized tip.
    PeriodOver = 3,
    /// The audit key is not current at the responder's tip.
    AuditKeyNotCurrent = 4,
    /// The request has expired.
    Expired = 5,
    /// `issued_at_s` is too far from the responder's clock.
    ClockSkew = 6,
    /// The lender's nonce was seen before.
    Replayed = 7,
    /// The request was issued before the responder started.
    BeforeRestart = 8,
    /// A field contradicts another one.
    Malformed = 9,
    /// A proof of knowledge does not verify, or a ciphertext repeats.
    ProofInvalid = 10,
    /// The seal does not have the length of its shape.
    SealLength = 11,
    /// The envelope names a key that is not the responder's live one.
    WrongKey = 12,
    /// The lender's items of the day are used up.
    QuotaExceeded = 13,
    /// A log leaf of the lender is long overdue.
    LogOverdue = 14,
    /// The responder has no sealed snapshot of the period, or its replica is behind.
    NotReady = 15,
    /// The responder's key is not bound to the audit key.
    NoAuditBinding = 16,
    /// Too many requests at once.
    Overloaded = 17,
    /// The policy does not allow the purpose.
    PurposeNotAllowed = 18,
    /// The lender's signature does not cover this request.
    SignatureInvalid = 19,
    /// The envelope is for another chain or responder.
    NotAddressed = 20,
}

impl RefusalReason {
    /// Every reason, codes 1 to 20 in order.
    pub const ALL: [Self; 20] = [
        Self::NotALender,
        Self::WrongPeriod,
        Self::PeriodOver,
        Self::AuditKeyNotCurrent,
        Self::Expired,
        Self::ClockSkew,
        Self::Replayed,
        Self::BeforeRestart,
        Self::Malformed,
        Self::ProofInvalid,
        Self::SealLength,
        Self::WrongKey,
        Self::QuotaExceeded,
        Self::LogOverdue,
        Self::NotReady,
        Self::NoAuditBinding,
        Self::Overloaded,
        Self::PurposeNotAllowed,
        Self::SignatureInvalid,
        Self::NotAddressed,
    ];

    /// The status byte, 1 to 20.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a status byte; none for 0 and for unregistered ones.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason of exactly this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The registered word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotALender => "not_a_lender",
            Self::WrongPeriod => "wrong_period",
            Self::PeriodOver => "period_over",
            Self::AuditKeyNotCurrent => "audit_key_not_current",
            Self::Expired => "expired",
            Self::ClockSkew => "clock_skew",
            Self::Replayed => "replayed",
            Self::BeforeRestart => "before_restart",
            Self::Malformed => "malformed",
            Self::ProofInvalid => "proof_invalid",
            Self::SealLength => "seal_length",
            Self::WrongKey => "wrong_key",
            Self::QuotaExceeded => "quota_exceeded",
            Self::LogOverdue => "log_overdue",
            Self::NotReady => "not_ready",
            Self::NoAuditBinding => "no_audit_binding",
            Self::Overloaded => "overloaded",
            Self::PurposeNotAllowed => "purpose_not_allowed",
            Self::SignatureInvalid => "signature_invalid",
            Self::NotAddressed => "not_addressed",
        }
    }

    /// Whether the responder logs the request.
    ///
    /// Yes for every rule that is applied after the lender's signature held, the request was in time and its nonce was
    /// remembered: so no envelope is ever receipted twice. A refusal tells the lender nothing, receipted or not.
    #[must_use]
    pub const fn is_receipted(self) -> bool {
        !matches!(
            self,
            Self::NotALender
                | Self::SignatureInvalid
                | Self::NotAddressed
                | Self::Malformed
                | Self::Expired
                | Self::ClockSkew
                | Self::BeforeRestart
                | Self::Replayed
                | Self::Overloaded
        )
    }
}

serde_by_code!(RefusalReason, "refusal reason");
