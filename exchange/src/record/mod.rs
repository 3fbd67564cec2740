//! What a record is, who it is about, and when it is refused: one reading of a row for everybody.
//!
//! - **Place**: walk A2 ([`RawRow`] -> [`Record`]), walk B2 (raw text -> [`Identifier`]), and the 48 bytes inside a row ([`Label`])
//! - **Invariants**: an [`Identifier`] is always canonical and valid; a [`Record`] holds only values in range. Publisher and
//!   lender call the same [`Identifier::parse`], so equal people give equal bytes on both sides
//! - **Errors**: [`RejectReason`], one word per row, never its content
//! - **Security**: identifiers, raw rows, records, applicants and labels are personal data: redacted `Debug`, no serde, cleared on drop
//! - **Source**: DESIGN.md sections 3 (Identifiers, Row) and 10 (Same record, Rejects); specs/vectors/identifier_vectors.json
//!
//! Reading order: `day`, `reject`, `canonical`, the four identifier rules, `identifier`, `facts`, `schema`, `applicant`,
//! `band`, `label`.

mod applicant;
mod band;
mod bank_card;
mod canonical;
mod day;
mod error;
mod facts;
mod identifier;
mod label;
mod mobile;
mod reject;
mod resident_id;
mod schema;
mod uscc;

pub use applicant::{
    Applicant, ApplicantColumn, ApplicantRef, InvalidIdentifier, MAX_APPLICANT_REF_BYTES, RawApplicant,
};
pub use band::{AmountBand, DaysBand};
pub use day::Day;
pub use error::{ApplicantRefInvalid, DayInvalid, LabelError};
pub use facts::{AmountMinor, Category, Currency, OverdueDays, Severity};
pub use identifier::{IdType, Identifier};
pub use label::{Detail, LABEL_BYTES, Label, Level};
pub use reject::RejectReason;
pub use schema::{MAX_RECORDS_PER_IDENTIFIER, PersonalData, RawRow, Record, SameRecordKey};
