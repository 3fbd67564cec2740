//! Whom a lender asks about: up to one valid identifier of each type, and the names of those that were unusable.
//!
//! - **Place**: walk B2, [`RawApplicant`] -> [`Applicant`] -> `query::session`
//! - **Invariants**: `subjects` holds at most one identifier of a type, in the order of [`IdType::ALL`]
//! - **Errors**: [`ApplicantRefInvalid`] for the reference only; an unusable identifier never stops a screening, it is left out
//!   and named by column and reason
//! - **Source**: DESIGN.md section 3 (Identifiers)

use std::fmt;

use super::{
    canonical,
    day::Day,
    error::ApplicantRefInvalid,
    identifier::{IdType, Identifier},
    reject::RejectReason,
};

/// Longest applicant reference, in bytes.
pub const MAX_APPLICANT_REF_BYTES: usize = 128;

/// The columns of an applicant, as text that the caller owns and clears.
#[derive(Clone, Copy, Default)]
pub struct RawApplicant<'a> {
    /// The lender's own reference.
    pub applicant_ref: &'a str,
    /// The type of `id_number`.
    pub id_type: &'a str,
    /// The primary identifier.
    pub id_number: &'a str,
    /// The mobile number, may be empty.
    pub mobile: &'a str,
    /// The bank card number, may be empty.
    pub bank_card: &'a str,
}

impl fmt::Debug for RawApplicant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawApplicant(..)")
    }
}

/// The lender's own name for an applicant: 1 to 128 bytes without control characters, path separators or a leading dot,
/// because consent files are named after it. It is not personal data and appears in answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicantRef(String);

impl ApplicantRef {
    /// Reads a reference; surrounding white space does not count.
    ///
    /// # Errors
    /// [`ApplicantRefInvalid`].
    pub fn parse(raw: &str) -> Result<ApplicantRef, ApplicantRefInvalid> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(ApplicantRefInvalid::Empty);
        }
        if text.len() > MAX_APPLICANT_REF_BYTES {
            return Err(ApplicantRefInvalid::TooLong);
        }
        if text.starts_with('.') || text.chars().any(|c| c.is_control() || matches!(c, '/' | '\\')) {
            return Err(ApplicantRefInvalid::Character);
        }
        Ok(ApplicantRef(text.to_owned()))
    }

    /// The reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplicantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The columns of an applicant that hold an identifier.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApplicantColumn {
    /// `id_number`, of the type in `id_type`.
    IdNumber,
    /// `bank_card`.
    BankCard,
    /// `mobile`.
    Mobile,
}

impl ApplicantColumn {
    /// The column's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdNumber => "id_number",
            Self::BankCard => "bank_card",
            Self::Mobile => "mobile",
        }
    }
}

/// An identifier that was left out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct InvalidIdentifier {
    /// Where it stood.
    pub column: ApplicantColumn,
    /// Its type; `None` if `id_type` is not one of the four.
    pub id_type: Option<IdType>,
    /// Why it is unusable. [`RejectReason::IdType`] also for a mobile or card in `id_number` that contradicts its own column.
    pub reason: RejectReason,
}

/// An applicant, ready to be asked about.
#[derive(Clone)]
pub struct Applicant {
    applicant_ref: ApplicantRef,
    subjects: Vec<Identifier>,
    invalid: Vec<InvalidIdentifier>,
}

impl Applicant {
    /// The applicant that these columns mean on the as-of date. Empty identifier columns are left out silently.
    ///
    /// # Errors
    /// [`ApplicantRefInvalid`].
    pub fn parse(raw: &RawApplicant<'_>, as_of: Day) -> Result<Applicant, ApplicantRefInvalid> {
        let mut applicant = Applicant {
            applicant_ref: ApplicantRef::parse(raw.applicant_ref)?,
            subjects: Vec::new(),
            invalid: Vec::new(),
        };
        applicant.add(ApplicantColumn::BankCard, Some(IdType::BankCard), raw.bank_card, as_of);
        applicant.add(ApplicantColumn::Mobile, Some(IdType::Mobile), raw.mobile, as_of);
        applicant.add(ApplicantColumn::IdNumber, IdType::parse(raw.id_type).ok(), raw.id_number, as_of);
        applicant.subjects.sort_by_key(Identifier::id_type);
        applicant.invalid.sort_by_key(|invalid| invalid.column);
        Ok(applicant)
    }

    /// The lender's reference.
    pub fn applicant_ref(&self) -> &ApplicantRef {
        &self.applicant_ref
    }

    /// The valid identifiers, at most one of a type, in the order of [`IdType::ALL`]. May be empty.
    pub fn subjects(&self) -> &[Identifier] {
        &self.subjects
    }

    /// The identifier of this type, if it is present and valid.
    pub fn subject(&self, id_type: IdType) -> Option<&Identifier> {
        self.subjects.iter().find(|subject| subject.id_type() == id_type)
    }

    /// The identifiers that were left out, in the order of columns.
    pub fn invalid(&self) -> &[InvalidIdentifier] {
        &self.invalid
    }

    fn add(&mut self, column: ApplicantColumn, id_type: Option<IdType>, raw: &str, as_of: Day) {
        let squeezed = canonical::squeeze(raw);
        if squeezed.is_empty() {
            return;
        }
        let parsed = id_type.ok_or(RejectReason::IdType);
        let parsed = parsed.and_then(|id_type| Identifier::of_squeezed(id_type, &squeezed, as_of));
        let reason = match parsed {
            Err(reason) => reason,
            Ok(subject) => match self.subject(subject.id_type()) {
                None => return self.subjects.push(subject),
                Some(present) if *present == subject => return,
                Some(_) => RejectReason::IdType,
            },
        };
        self.invalid.push(InvalidIdentifier { column, id_type, reason });
    }
}

impl fmt::Debug for Applicant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Applicant({}, ..)", self.applicant_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(columns: [&str; 5]) -> Applicant {
        let [applicant_ref, id_type, id_number, mobile, bank_card] = columns;
        let raw = RawApplicant { applicant_ref, id_type, id_number, mobile, bank_card };
        assert_eq!(format!("{raw:?}"), "RawApplicant(..)");
        Applicant::parse(&raw, "2026-06-30".parse().unwrap()).unwrap()
    }

    #[test]
    fn subjects_stand_in_the_order_of_types() {
        let applicant = parse(["A1", "resident_id", "513230196105128094", "13812345678", "6229 2609 0283 6859"]);
        let types: Vec<IdType> = applicant.subjects().iter().map(Identifier::id_type).collect();
        assert_eq!(types, [IdType::ResidentId, IdType::BankCard, IdType::Mobile]);
        assert!(applicant.invalid().is_empty());
        assert_eq!(format!("{applicant:?}"), "Applicant(A1, ..)");
    }

    #[test]
    fn unusable_identifiers_are_left_out_and_named() {
        let applicant = parse(["A1", "resident_id", "513230196105128090", "12812345678", " "]);
        assert!(applicant.subjects().is_empty());
        let named: Vec<_> = applicant.invalid().iter().map(|i| (i.column.as_str(), i.id_type, i.reason)).collect();
        assert_eq!(
            named,
            [
                ("id_number", Some(IdType::ResidentId), RejectReason::IdCheckDigit),
                ("mobile", Some(IdType::Mobile), RejectReason::IdLength),
            ]
        );
        let unknown = parse(["A1", "passport", "E12345678", "", ""]);
        assert_eq!(unknown.invalid()[0].reason, RejectReason::IdType);
        assert_eq!(unknown.invalid()[0].id_type, None);
        assert!(parse(["A1", "", "", "", ""]).invalid().is_empty());
    }

    #[test]
    fn two_numbers_of_one_type_never_stand_together() {
        let same = parse(["A1", "mobile", "+8613812345678", "138 1234 5678", ""]);
        assert_eq!((same.subjects().len(), same.invalid().len()), (1, 0));
        let contradiction = parse(["A1", "mobile", "13912345678", "13812345678", ""]);
        assert_eq!(contradiction.subjects().len(), 1);
        assert_eq!(contradiction.subject(IdType::Mobile).unwrap().canonical_expose(str::to_owned), "13812345678");
        assert_eq!(contradiction.invalid()[0].reason, RejectReason::IdType);
    }

    #[test]
    fn references_that_cannot_name_a_file_are_refused() {
        assert_eq!(ApplicantRef::parse("  "), Err(ApplicantRefInvalid::Empty));
        assert_eq!(ApplicantRef::parse(&"a".repeat(129)), Err(ApplicantRefInvalid::TooLong));
        for bad in ["../x", "a/b", "a\\b", "a\nb", ".", "a\0"] {
            assert_eq!(ApplicantRef::parse(bad), Err(ApplicantRefInvalid::Character), "{bad:?}");
        }
        assert_eq!(ApplicantRef::parse(" 申请 1 ").unwrap().as_str(), "申请 1");
    }
}
