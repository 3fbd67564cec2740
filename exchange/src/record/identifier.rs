//! Who a record is about: one of four numbers, in the one form that both sides hash.
//!
//! - **Place**: walks A2 and B2, raw text -> [`Identifier`] -> [`Identifier::oprf_input`] -> `crypto::oprf`
//! - **Invariants**: an [`Identifier`] holds a valid canonical number; only [`Identifier::parse`] makes one, and parsing a
//!   canonical number again gives the same identifier
//! - **Errors**: [`RejectReason`] `id_type` .. `id_birth_date`, `id_region`, `id_sequence` (whoever wrote the number)
//! - **Security**: as sensitive as a key: no serde, redacted `Debug`, cleared on drop. Comparing two identifiers takes variable
//!   time; that happens only inside the agent that holds both
//! - **Source**: DESIGN.md section 3 (Identifiers); specs/vectors/identifier_vectors.json
//!
//! # Wire
//! ```text
//! OPRF input x, BCS: length | field
//!               1 + 32     | dst       "riskveil/v1/exchange/oprf-input"
//!               1          | id_type   1 resident_id, 2 uscc, 3 bank_card, 4 mobile
//!               1 + 11..19 | canonical ASCII
//! ```

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{bank_card, canonical, day::Day, mobile, reject::RejectReason, resident_id, uscc};
use crate::dst::OPRF_INPUT;

/// The four kinds of identifier; the codes are those of the OPRF input.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum IdType {
    /// Resident identity number, GB 11643-1999.
    ResidentId = 1,
    /// Unified social credit code, GB 32100-2015.
    Uscc = 2,
    /// Bank card number.
    BankCard = 3,
    /// Mobile number. A hit by this alone is weak, because numbers are recycled.
    Mobile = 4,
}

impl IdType {
    /// The types in the order of a check's items.
    pub const ALL: [IdType; 4] = [Self::ResidentId, Self::Uscc, Self::BankCard, Self::Mobile];

    /// The registered code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|id_type| id_type.code() == code)
    }

    /// The word used in CSV and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResidentId => "resident_id",
            Self::Uscc => "uscc",
            Self::BankCard => "bank_card",
            Self::Mobile => "mobile",
        }
    }

    /// The type of exactly this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id_type| id_type.as_str() == word)
    }

    /// Reads a cell: NFKC, surrounding white space and case do not count.
    ///
    /// # Errors
    /// [`RejectReason::IdType`].
    pub fn parse(raw: &str) -> Result<Self, RejectReason> {
        // a word that needs no folding is what it folds to
        Self::from_word(raw).or_else(|| Self::from_word(&canonical::fold_word(raw))).ok_or(RejectReason::IdType)
    }
}

crate::codes::serde_by_code!(IdType, "identifier type");

/// A valid identifier in canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Zeroize, ZeroizeOnDrop)]
pub struct Identifier {
    #[zeroize(skip)]
    id_type: IdType,
    canonical: String,
}

impl Identifier {
    /// The identifier that this text means on the as-of date (birth dates lie not after it).
    ///
    /// # Errors
    /// The first [`RejectReason`] that applies.
    pub fn parse(id_type: IdType, raw: &str, as_of: Day) -> Result<Identifier, RejectReason> {
        Self::of_squeezed(id_type, &canonical::squeeze(raw), as_of)
    }

    /// [`Identifier::parse`] of a text that is squeezed already.
    pub(super) fn of_squeezed(id_type: IdType, squeezed: &str, as_of: Day) -> Result<Identifier, RejectReason> {
        if squeezed.is_empty() {
            return Err(RejectReason::IdMissing);
        }
        let mut canonical = match id_type {
            IdType::ResidentId => resident_id::canonical(squeezed, as_of)?,
            IdType::Uscc => uscc::canonical(squeezed)?,
            IdType::BankCard => bank_card::canonical(squeezed)?,
            IdType::Mobile => mobile::canonical(squeezed)?,
        };
        Ok(Identifier { id_type, canonical: std::mem::take(&mut *canonical) })
    }

    /// The kind of number.
    pub fn id_type(&self) -> IdType {
        self.id_type
    }

    /// Lets `read` see the canonical number, 11 to 19 ASCII characters.
    pub fn canonical_expose<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        read(&self.canonical)
    }

    /// The OPRF input `x = BCS { dst, id_type, canonical }`, the same bytes at publisher, lender and regulator.
    pub fn oprf_input(&self) -> Zeroizing<Vec<u8>> {
        let dst = OPRF_INPUT.as_str();
        let mut input = Zeroizing::new(Vec::with_capacity(3 + dst.len() + self.canonical.len()));
        push_bcs_string(&mut input, dst);
        input.push(self.id_type.code());
        push_bcs_string(&mut input, &self.canonical);
        input
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identifier({}, ..)", self.id_type)
    }
}

/// BCS of a string: its length as ULEB128, then its bytes.
pub(super) fn push_bcs_string(out: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn as_of() -> Day {
        "2026-06-30".parse().unwrap()
    }

    #[test]
    fn oprf_input_is_bcs_of_dst_type_and_canonical() {
        let mobile = Identifier::parse(IdType::Mobile, "+86 138-1234-5678", as_of()).unwrap();
        let dst = "riskveil/v1/exchange/oprf-input";
        let mut expected = vec![dst.len() as u8];
        expected.extend_from_slice(dst.as_bytes());
        expected.extend_from_slice(b"\x04\x0b13812345678");
        assert_eq!(*mobile.oprf_input(), expected);
    }

    #[test]
    fn bcs_length_is_uleb128() {
        let mut out = Vec::new();
        push_bcs_string(&mut out, &"a".repeat(300));
        assert_eq!(out[..2], [0xac, 0x02]);
        assert_eq!(out.len(), 302);
    }

    #[test]
    fn debug_hides_the_number() {
        let id = Identifier::parse(IdType::ResidentId, "513230196105128094", as_of()).unwrap();
        assert_eq!(format!("{id:?}"), "Identifier(resident_id, ..)");
    }

    #[test]
    fn one_person_written_in_many_ways_is_one_identifier() {
        let plain = Identifier::parse(IdType::ResidentId, "37078619700116954X", as_of()).unwrap();
        for raw in [
            "37078619700116954x",
            "３７０７８６１９７００１１６９５４Ｘ",
            " 370786 19700116-954x\u{3000}",
            "\u{a0}37078619700116954X\t",
        ] {
            assert_eq!(Identifier::parse(IdType::ResidentId, raw, as_of()), Ok(plain.clone()), "{raw}");
        }
        assert_eq!(Identifier::parse(IdType::BankCard, " - \u{200b}", as_of()), Err(RejectReason::IdMissing));
        assert_eq!(Identifier::parse(IdType::Mobile, "()", as_of()), Err(RejectReason::IdLength));
    }

    #[test]
    fn type_words_are_exact_after_folding() {
        assert_eq!(IdType::parse(" ＲＥＳＩＤＥＮＴ＿ＩＤ "), Ok(IdType::ResidentId));
        for bad in ["", "passport", "residentid", "id"] {
            assert_eq!(IdType::parse(bad), Err(RejectReason::IdType));
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_parsing_is_idempotent(raw in "\\PC{0,40}|[0-9Xx +()-]{0,30}|1[0-9]{10}|[0-9]{13,19}") {
            for id_type in IdType::ALL {
                if let Ok(id) = Identifier::parse(id_type, &raw, as_of()) {
                    let again = id.canonical_expose(|text| Identifier::parse(id_type, text, as_of()));
                    prop_assert_eq!(again, Ok(id));
                }
            }
        }
    }
}
