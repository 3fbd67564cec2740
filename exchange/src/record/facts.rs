//! What a record says: category, severity, days overdue, amount, currency; each read from a cell or refused.
//!
//! - **Invariants**: every value is in the range that its type states; amounts are integer minor units, never floats
//! - **Errors**: [`RejectReason`] of the same name
//! - **Source**: DESIGN.md sections 3 (Row) and 10 (Rejects)

use super::{canonical, reject::RejectReason};
use crate::codes::serde_by_code;

/// The four kinds of risk record.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Category {
    /// Seriously delinquent, or on the institution's own blacklist.
    Blacklist = 1,
    /// A payment is overdue.
    Overdue = 2,
    /// Suspected cash-out. Never the sole ground for a refusal.
    CashOut = 3,
    /// Suspected fraud. Never the sole ground for a refusal.
    Fraud = 4,
}

impl Category {
    /// Every category, in the order of its codes.
    pub const ALL: [Category; 4] = [Self::Blacklist, Self::Overdue, Self::CashOut, Self::Fraud];

    /// The registered code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The category of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.code() == code)
    }

    /// The word used in CSV and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blacklist => "blacklist",
            Self::Overdue => "overdue",
            Self::CashOut => "cash_out",
            Self::Fraud => "fraud",
        }
    }

    /// The category of exactly this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == word)
    }

    /// Whether it states a suspicion and not an event.
    pub const fn is_suspicion(self) -> bool {
        matches!(self, Self::CashOut | Self::Fraud)
    }

    /// Reads a cell: NFKC, surrounding white space and case do not count.
    ///
    /// # Errors
    /// [`RejectReason::Category`].
    pub fn parse(raw: &str) -> Result<Self, RejectReason> {
        Self::from_word(&canonical::fold_word(raw)).ok_or(RejectReason::Category)
    }
}

serde_by_code!(Category, "category");

/// How grave the record is, 1 (slight) to 5 (grave).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// The severity of this value, 1 to 5.
    pub fn new(value: u8) -> Option<Severity> {
        (1..=5).contains(&value).then_some(Severity(value))
    }

    /// 1 to 5.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Reads a cell.
    ///
    /// # Errors
    /// [`RejectReason::Severity`].
    pub fn parse(raw: &str) -> Result<Severity, RejectReason> {
        let value = canonical::non_negative_integer(raw).and_then(|value| u8::try_from(value).ok());
        value.and_then(Severity::new).ok_or(RejectReason::Severity)
    }
}

/// Days overdue at the event date; 0 where nothing is overdue.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverdueDays(u32);

impl OverdueDays {
    /// So many days.
    pub const fn new(days: u32) -> OverdueDays {
        OverdueDays(days)
    }

    /// The number of days.
    pub const fn days(self) -> u32 {
        self.0
    }

    /// Reads a cell.
    ///
    /// # Errors
    /// [`RejectReason::OverdueDays`].
    pub fn parse(raw: &str) -> Result<OverdueDays, RejectReason> {
        let days = canonical::non_negative_integer(raw).and_then(|days| u32::try_from(days).ok());
        days.map(OverdueDays).ok_or(RejectReason::OverdueDays)
    }
}

/// An amount in minor units (fen for CNY).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmountMinor(u64);

impl AmountMinor {
    /// So many minor units.
    pub const fn new(minor_units: u64) -> AmountMinor {
        AmountMinor(minor_units)
    }

    /// The number of minor units.
    pub const fn minor_units(self) -> u64 {
        self.0
    }

    /// Reads a cell.
    ///
    /// # Errors
    /// [`RejectReason::Amount`].
    pub fn parse(raw: &str) -> Result<AmountMinor, RejectReason> {
        canonical::non_negative_integer(raw).map(AmountMinor).ok_or(RejectReason::Amount)
    }
}

/// The currency of a consortium. One per consortium; CNY is the only one of version 1.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Currency {
    /// Renminbi; the minor unit is the fen.
    Cny = 1,
}

impl Currency {
    /// The registered code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The currency of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        (code == Self::Cny.code()).then_some(Self::Cny)
    }

    /// The ISO 4217 letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cny => "CNY",
        }
    }

    /// The currency of exactly these letters.
    pub fn from_word(word: &str) -> Option<Self> {
        (word == Self::Cny.as_str()).then_some(Self::Cny)
    }

    /// Reads a cell: NFKC, surrounding white space and case do not count.
    ///
    /// # Errors
    /// [`RejectReason::Currency`].
    pub fn parse(raw: &str) -> Result<Self, RejectReason> {
        Self::from_word(&canonical::fold(raw).to_uppercase()).ok_or(RejectReason::Currency)
    }
}

serde_by_code!(Currency, "currency");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_range_are_refused_by_name() {
        for bad in ["0", "6", "-1", "x", "", "256", "99999999999999999999999"] {
            assert_eq!(Severity::parse(bad), Err(RejectReason::Severity), "{bad}");
        }
        for bad in ["-5", "", "4294967296", "1.5"] {
            assert_eq!(OverdueDays::parse(bad), Err(RejectReason::OverdueDays), "{bad}");
        }
        for bad in ["abc", "", "12.5", "-1", "18446744073709551616"] {
            assert_eq!(AmountMinor::parse(bad), Err(RejectReason::Amount), "{bad}");
        }
        for bad in ["USD", "", "C N Y", "人民币"] {
            assert_eq!(Currency::parse(bad), Err(RejectReason::Currency), "{bad}");
        }
        for bad in ["", "unknown", "黑名单?", "cash-out"] {
            assert_eq!(Category::parse(bad), Err(RejectReason::Category), "{bad}");
        }
    }

    #[test]
    fn values_are_read_through_full_width_case_and_spaces() {
        assert_eq!(Severity::parse("５"), Ok(Severity(5)));
        assert_eq!(OverdueDays::parse(" ４2"), Ok(OverdueDays(42)));
        assert_eq!(AmountMinor::parse("１９8０００"), Ok(AmountMinor(198_000)));
        assert_eq!(Currency::parse(" cny"), Ok(Currency::Cny));
        assert_eq!(Category::parse(" CASH_OUT "), Ok(Category::CashOut));
    }
}
