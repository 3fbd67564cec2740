//! The 48 bytes inside a row: what whoever asked about a person learns of one record.
//!
//! - **Place**: walk A3, [`Record`] -> [`Label`] -> `crypto::label::seal_label`; walk B7 back
//! - **Shapes**: always 48 bytes, whatever the level
//! - **Invariants**: one encoding per label; [`Label::decode`] accepts exactly what [`Label::encode`] writes
//! - **Errors**: [`LabelError`] (the publisher's fault: the querier reports `malformed`)
//! - **Security**: personal data: redacted `Debug`, no serde; encodings are cleared on drop. Whether a hit is weak is the
//!   querier's judgement (it knows by which identifier it asked) and not in the label
//! - **Source**: DESIGN.md section 3 (Row); bands in [`DaysBand`] and [`AmountBand`]
//!
//! # Wire
//! ```text
//! offset | length | field            | encoding, integers little-endian (BCS)
//!      0 |      1 | version/category | high nibble version = 1, low nibble category 1-4
//!      1 |      1 | severity         | 1-5
//!      2 |      1 | flags            | bit 0 days saturated, bit 1 amount saturated (level exact only); others 0
//!      3 |      1 | level            | 1 match, 2 banded, 3 exact
//!      4 |      2 | event_day        | days since 1970-01-01 in Asia/Shanghai
//!      6 |      2 | expiry_day       | same; held as long as expiry_day >= as-of
//!      8 |      2 | days             | match 0; banded 0-7; exact days overdue, at most 65,535
//!     10 |      4 | amount           | match 0; banded 0-7; exact minor units, at most 2^32-1
//!     14 |     32 | link             | ties the row to its commitment
//!     46 |      2 | reserved         | zero
//! ```

use std::fmt;

use zeroize::Zeroizing;

use super::{
    band::{AmountBand, DaysBand},
    day::Day,
    error::LabelError,
    facts::{AmountMinor, Category, OverdueDays, Severity},
    schema::Record,
};
use crate::codes::serde_by_code;

/// Length of every label.
pub const LABEL_BYTES: usize = 48;

const VERSION: u8 = 1;
const DAYS_SATURATED: u8 = 1;
const AMOUNT_SATURATED: u8 = 2;

/// How much a publisher says about a record to whoever asks about its person.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Category, severity and dates.
    Match = 1,
    /// And the bands of days and amount; the default.
    Banded = 2,
    /// And the exact values.
    Exact = 3,
}

impl Level {
    /// Every level.
    pub const ALL: [Level; 3] = [Self::Match, Self::Banded, Self::Exact];

    /// The registered code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The level of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.code() == code)
    }

    /// The word used in configuration and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Banded => "banded",
            Self::Exact => "exact",
        }
    }

    /// The level of exactly this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

serde_by_code!(Level, "level");

/// The values of a label, by its level.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Detail {
    /// None.
    Match,
    /// Bands.
    Banded {
        /// Band of the days overdue.
        overdue_days: DaysBand,
        /// Band of the amount.
        amount: AmountBand,
    },
    /// Values, each at its maximum if saturated.
    Exact {
        /// Days overdue; 65,535 also stands for more if saturated.
        overdue_days: u16,
        /// The true number of days is above 65,535.
        days_saturated: bool,
        /// Minor units; 2^32-1 also stands for more if saturated.
        amount_minor: u32,
        /// The true amount is above 2^32-1.
        amount_saturated: bool,
    },
}

impl Detail {
    /// What this level says of these values.
    pub fn of(level: Level, days: OverdueDays, amount: AmountMinor) -> Detail {
        match level {
            Level::Match => Detail::Match,
            Level::Banded => Detail::Banded { overdue_days: DaysBand::of(days), amount: AmountBand::of(amount) },
            Level::Exact => Detail::Exact {
                overdue_days: u16::try_from(days.days()).unwrap_or(u16::MAX),
                days_saturated: days.days() > u32::from(u16::MAX),
                amount_minor: u32::try_from(amount.minor_units()).unwrap_or(u32::MAX),
                amount_saturated: amount.minor_units() > u64::from(u32::MAX),
            },
        }
    }

    /// The level that this detail belongs to.
    pub fn level(&self) -> Level {
        match self {
            Detail::Match => Level::Match,
            Detail::Banded { .. } => Level::Banded,
            Detail::Exact { .. } => Level::Exact,
        }
    }

    /// (flags, days field, amount field)
    fn fields(&self) -> (u8, u16, u32) {
        match *self {
            Detail::Match => (0, 0, 0),
            Detail::Banded { overdue_days, amount } => (0, overdue_days.number().into(), amount.number().into()),
            Detail::Exact { overdue_days, days_saturated, amount_minor, amount_saturated } => {
                let days_flag = if days_saturated { DAYS_SATURATED } else { 0 };
                let amount_flag = if amount_saturated { AMOUNT_SATURATED } else { 0 };
                (days_flag | amount_flag, overdue_days, amount_minor)
            }
        }
    }

    fn from_fields(level: Level, flags: u8, days: u16, amount: u32) -> Result<Detail, LabelError> {
        let (days_saturated, amount_saturated) = (flags & DAYS_SATURATED != 0, flags & AMOUNT_SATURATED != 0);
        let known = if level == Level::Exact { DAYS_SATURATED | AMOUNT_SATURATED } else { 0 };
        if flags & !known != 0 || (days_saturated && days != u16::MAX) || (amount_saturated && amount != u32::MAX) {
            return Err(LabelError::Flags);
        }
        match level {
            Level::Match if days == 0 && amount == 0 => Ok(Detail::Match),
            Level::Match => Err(LabelError::Value),
            Level::Banded => {
                let overdue_days = u8::try_from(days).ok().and_then(DaysBand::new).ok_or(LabelError::Value)?;
                let amount = u8::try_from(amount).ok().and_then(AmountBand::new).ok_or(LabelError::Value)?;
                Ok(Detail::Banded { overdue_days, amount })
            }
            Level::Exact => {
                Ok(Detail::Exact { overdue_days: days, days_saturated, amount_minor: amount, amount_saturated })
            }
        }
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detail({}, ..)", self.level())
    }
}

/// A label, opened or about to be sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Label {
    category: Category,
    severity: Severity,
    event_day: Day,
    expiry_day: Day,
    detail: Detail,
    link: [u8; 32],
}

impl Label {
    /// The label of a record. It expires `retention_years` after its event; `link` ties it to its commitment.
    pub fn new(record: &Record, level: Level, retention_years: u8, link: [u8; 32]) -> Label {
        Label {
            category: record.category(),
            severity: record.severity(),
            event_day: record.event_day(),
            expiry_day: record.event_day().plus_years(retention_years),
            detail: Detail::of(level, record.overdue_days(), record.amount()),
            link,
        }
    }

    /// The 48 bytes of this label.
    pub fn encode(&self) -> Zeroizing<[u8; LABEL_BYTES]> {
        let (flags, days, amount) = self.detail.fields();
        let mut bytes = Zeroizing::new([0u8; LABEL_BYTES]);
        bytes[0] = VERSION << 4 | self.category.code();
        bytes[1] = self.severity.value();
        bytes[2] = flags;
        bytes[3] = self.detail.level().code();
        bytes[4..6].copy_from_slice(&self.event_day.number().to_le_bytes());
        bytes[6..8].copy_from_slice(&self.expiry_day.number().to_le_bytes());
        bytes[8..10].copy_from_slice(&days.to_le_bytes());
        bytes[10..14].copy_from_slice(&amount.to_le_bytes());
        bytes[14..46].copy_from_slice(&self.link);
        bytes
    }

    /// The label of these bytes.
    ///
    /// # Errors
    /// [`LabelError`] for anything that [`Label::encode`] does not write.
    pub fn decode(bytes: &[u8; LABEL_BYTES]) -> Result<Label, LabelError> {
        let [version_and_category, severity, flags, level, e0, e1, x0, x1, d0, d1, a0, a1, a2, a3, rest @ ..] = bytes;
        let (link, reserved) = rest.split_first_chunk::<32>().ok_or(LabelError::Reserved)?;
        if version_and_category >> 4 != VERSION {
            return Err(LabelError::Version);
        }
        let category = Category::from_code(version_and_category & 0x0f).ok_or(LabelError::Category)?;
        let severity = Severity::new(*severity).ok_or(LabelError::Severity)?;
        let level = Level::from_code(*level).ok_or(LabelError::Level)?;
        let event_day = Day::from_number(u16::from_le_bytes([*e0, *e1]));
        let expiry_day = Day::from_number(u16::from_le_bytes([*x0, *x1]));
        if expiry_day < event_day {
            return Err(LabelError::Expiry);
        }
        let days = u16::from_le_bytes([*d0, *d1]);
        let amount = u32::from_le_bytes([*a0, *a1, *a2, *a3]);
        let detail = Detail::from_fields(level, *flags, days, amount)?;
        if reserved != [0, 0] {
            return Err(LabelError::Reserved);
        }
        Ok(Label { category, severity, event_day, expiry_day, detail, link: *link })
    }

    /// The kind of record.
    pub fn category(&self) -> Category {
        self.category
    }

    /// 1 to 5.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The day of the event.
    pub fn event_day(&self) -> Day {
        self.event_day
    }

    /// The last day on which the record counts as held.
    pub fn expiry_day(&self) -> Day {
        self.expiry_day
    }

    /// Whether it no longer counts as held on the as-of date.
    pub fn is_expired(&self, as_of: Day) -> bool {
        self.expiry_day < as_of
    }

    /// Days and amount, as far as the level tells.
    pub fn detail(&self) -> &Detail {
        &self.detail
    }

    /// What ties the row to its commitment.
    pub fn link(&self) -> &[u8; 32] {
        &self.link
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(..)")
    }
}

#[cfg(test)]
mod tests;
