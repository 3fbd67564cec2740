//! Why a publisher does not disclose: the registry of reasons.
//!
//! - **Place**: byte `status` of a disclosure response and of its log entries; 0 is "disclosed"
//! - **Errors**: an unknown status byte is no reason: the response is rejected
//! - **Security**: `no_matching_record` stands for a tag of nobody, a tag of padding, a record of somebody else and one that is no
//!   longer held alike: the same bytes after the same work. What comes after it is told only to a lender that has the hit
//! - **Source**: specs/protocol.md#disclosure, specs/errors.md

use crate::codes::serde_by_code;
use crate::query::refusal::RefusalReason;

/// Status byte of a response that discloses.
pub const STATUS_DISCLOSED: u8 = 0;

/// A reason, one byte on the wire, a snake-case word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DisclosureRefusal {
    /// The peer is not the lender of the request, or that member is no active lender.
    NotALender = 1,
    /// The request is for another chain or publisher.
    NotAddressed = 2,
    /// The lender's signature does not cover this request.
    SignatureInvalid = 3,
    /// A field contradicts another one.
    Malformed = 4,
    /// The request was issued before the publisher started.
    BeforeRestart = 5,
    /// The request has expired.
    Expired = 6,
    /// `issued_at_s` is too far from the publisher's clock.
    ClockSkew = 7,
    /// The lender's nonce was seen before.
    Replayed = 8,
    /// Too many requests at once.
    Overloaded = 9,
    /// The publisher's replica is behind.
    NotReady = 10,
    /// The policy does not allow the purpose.
    PurposeNotAllowed = 11,
    /// A log leaf of the lender is long overdue.
    LogOverdue = 12,
    /// The lender's items of the day are used up.
    QuotaExceeded = 13,
    /// The publisher did not evaluate this check for this lender.
    CheckUnknown = 14,
    /// The period of the check is over: check again first.
    PeriodOver = 15,
    /// No record of this publisher has the tag and is about whom the check asked.
    NoMatchingRecord = 16,
    /// The record's commitment is not on chain yet.
    NotCommitted = 17,
    /// The value does not lie between the bounds.
    OutOfRange = 18,
}

impl DisclosureRefusal {
    /// Every reason, codes 1 to 18 in order.
    pub const ALL: [Self; 18] = [
        Self::NotALender,
        Self::NotAddressed,
        Self::SignatureInvalid,
        Self::Malformed,
        Self::BeforeRestart,
        Self::Expired,
        Self::ClockSkew,
        Self::Replayed,
        Self::Overloaded,
        Self::NotReady,
        Self::PurposeNotAllowed,
        Self::LogOverdue,
        Self::QuotaExceeded,
        Self::CheckUnknown,
        Self::PeriodOver,
        Self::NoMatchingRecord,
        Self::NotCommitted,
        Self::OutOfRange,
    ];

    /// The status byte, 1 to 18.
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
            Self::NotAddressed => "not_addressed",
            Self::SignatureInvalid => "signature_invalid",
            Self::Malformed => "malformed",
            Self::BeforeRestart => "before_restart",
            Self::Expired => "expired",
            Self::ClockSkew => "clock_skew",
            Self::Replayed => "replayed",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not_ready",
            Self::PurposeNotAllowed => "purpose_not_allowed",
            Self::LogOverdue => "log_overdue",
            Self::QuotaExceeded => "quota_exceeded",
            Self::CheckUnknown => "check_unknown",
            Self::PeriodOver => "period_over",
            Self::NoMatchingRecord => "no_matching_record",
            Self::NotCommitted => "not_committed",
            Self::OutOfRange => "out_of_range",
        }
    }

    /// Whether the publisher logs the request: every rule after the nonce was remembered, so that none is receipted twice.
    #[must_use]
    pub const fn is_receipted(self) -> bool {
        !matches!(
            self,
            Self::NotALender
                | Self::NotAddressed
                | Self::SignatureInvalid
                | Self::Malformed
                | Self::BeforeRestart
                | Self::Expired
                | Self::ClockSkew
                | Self::Replayed
                | Self::Overloaded
        )
    }

    /// What this one reason tells: that the lender has the hit, since only then it is reached.
    #[must_use]
    pub const fn implies_a_hit(self) -> bool {
        matches!(self, Self::NotCommitted | Self::OutOfRange)
    }
}

/// Whether a request with this status cost an item of the lender's quota: every one whose tag was looked up.
#[must_use]
pub fn took_quota(status: u8) -> bool {
    status == STATUS_DISCLOSED
        || DisclosureRefusal::from_code(status).is_some_and(|reason| {
            matches!(
                reason,
                DisclosureRefusal::NoMatchingRecord | DisclosureRefusal::NotCommitted | DisclosureRefusal::OutOfRange
            )
        })
}

/// What the shared memory of nonces says.
impl From<RefusalReason> for DisclosureRefusal {
    fn from(reason: RefusalReason) -> Self {
        match reason {
            RefusalReason::Replayed => Self::Replayed,
            RefusalReason::QuotaExceeded => Self::QuotaExceeded,
            _ => Self::Overloaded,
        }
    }
}

serde_by_code!(DisclosureRefusal, "reason");
