//! Errors of this folder other than [`RejectReason`](super::RejectReason). No text here contains input.

use super::applicant::MAX_APPLICANT_REF_BYTES;

/// A date that is not a [`Day`](super::Day).
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DayInvalid {
    /// The text is not `YYYY-MM-DD` or names a day that does not exist.
    #[error("not a date; write YYYY-MM-DD")]
    NotADate,
    /// The date lies outside 1970-01-01 ..= 2149-06-06.
    #[error("the date lies outside 1970-01-01 to 2149-06-06")]
    OutOfRange,
}

/// Forty-eight bytes that are not a label. The publisher's fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The version nibble is not 1.
    #[error("label version is unknown")]
    Version,
    /// The category nibble is not registered.
    #[error("label category is unknown")]
    Category,
    /// The severity is not 1 to 5.
    #[error("label severity is unknown")]
    Severity,
    /// The level byte is not registered.
    #[error("label level is unknown")]
    Level,
    /// A flag is unknown, not allowed at this level, or contradicts its value.
    #[error("label flags are not allowed")]
    Flags,
    /// A band number is not registered, or a `match` label carries values.
    #[error("label value is out of range")]
    Value,
    /// The record would expire before its event.
    #[error("label expires before its event")]
    Expiry,
    /// The two reserved bytes are not zero.
    #[error("label reserved bytes are not zero")]
    Reserved,
}

/// An applicant reference that cannot name a row of answers or a consent file.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplicantRefInvalid {
    /// Nothing but white space.
    #[error("applicant_ref is empty")]
    Empty,
    /// Longer than [`MAX_APPLICANT_REF_BYTES`].
    #[error("applicant_ref is longer than {MAX_APPLICANT_REF_BYTES} bytes")]
    TooLong,
    /// A control character, a path separator, or `.` in first place (consent files are named after the reference).
    #[error("applicant_ref holds a control character, / or \\, or starts with a dot")]
    Character,
}
