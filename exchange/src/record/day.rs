//! Calendar days: the day numbers of labels and the dates of rows.
//!
//! - **Shapes**: a [`Day`] is a `u16`, days since 1970-01-01 in Asia/Shanghai: 1970-01-01 ..= 2149-06-06
//! - **Errors**: [`DayInvalid`] (caller)
//! - **Source**: DESIGN.md section 3 (Row), section 10 (As-of)

use std::{fmt, str::FromStr};

use time::{Date, Month};

use super::error::DayInvalid;

/// Julian day number of 1970-01-01.
const EPOCH_JULIAN_DAY: i32 = 2_440_588;
/// Asia/Shanghai is UTC+8 the whole year.
const SHANGHAI_OFFSET_S: u64 = 8 * 3600;
const SECONDS_PER_DAY: u64 = 86_400;

/// A calendar day in Asia/Shanghai, counted from 1970-01-01.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u16);

impl Day {
    /// 1970-01-01.
    pub const MIN: Day = Day(0);
    /// 2149-06-06.
    pub const MAX: Day = Day(u16::MAX);

    /// The day with this number, in days since 1970-01-01.
    pub const fn from_number(number: u16) -> Day {
        Day(number)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The day it is in Asia/Shanghai at this Unix time, in seconds.
    ///
    /// # Errors
    /// [`DayInvalid::OutOfRange`] after 2149-06-06.
    pub fn from_unix_seconds(seconds: u64) -> Result<Day, DayInvalid> {
        let number = seconds.saturating_add(SHANGHAI_OFFSET_S) / SECONDS_PER_DAY;
        u16::try_from(number).map(Day).map_err(|_| DayInvalid::OutOfRange)
    }

    /// The same date so many years later; 29 February becomes 1 March in a common year. Stays at [`Day::MAX`] beyond it.
    pub fn plus_years(self, years: u8) -> Day {
        let date = self.date();
        let year = date.year() + i32::from(years);
        let later = Date::from_calendar_date(year, date.month(), date.day())
            .or_else(|_| Date::from_calendar_date(year, Month::March, 1));
        later.ok().and_then(|date| Day::from_date(date).ok()).unwrap_or(Day::MAX)
    }

    pub(super) fn from_date(date: Date) -> Result<Day, DayInvalid> {
        u16::try_from(date.to_julian_day() - EPOCH_JULIAN_DAY).map(Day).map_err(|_| DayInvalid::OutOfRange)
    }

    pub(super) fn date(self) -> Date {
        Date::from_julian_day(EPOCH_JULIAN_DAY + i32::from(self.0)).expect("1970 to 2149 lies within the range of Date")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Day({self})")
    }
}

impl FromStr for Day {
    type Err = DayInvalid;

    /// Reads `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Day, DayInvalid> {
        if text.len() != 10 || text.contains('/') {
            return Err(DayInvalid::NotADate);
        }
        Day::from_date(parse_date(text).ok_or(DayInvalid::NotADate)?)
    }
}

impl serde::Serialize for Day {
    /// `YYYY-MM-DD` in JSON, the number in BCS.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u16(self.0) }
    }
}

impl<'de> serde::Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u16::deserialize(deserializer).map(Day)
        }
    }
}

/// Reads `YYYY-MM-DD`, `YYYY/MM/DD` or `YYYYMMDD` (ASCII digits, years 0001 to 9999).
pub(super) fn parse_date(text: &str) -> Option<Date> {
    match text.as_bytes() {
        [y @ .., b'-', m1, m2, b'-', d1, d2] | [y @ .., b'/', m1, m2, b'/', d1, d2] if y.len() == 4 => {
            date_from_digits(y, &[*m1, *m2], &[*d1, *d2])
        }
        [y @ .., m1, m2, d1, d2] if y.len() == 4 => date_from_digits(y, &[*m1, *m2], &[*d1, *d2]),
        _ => None,
    }
}

/// The date whose year, month and day are these ASCII digits, if there is such a day.
pub(super) fn date_from_digits(year: &[u8], month: &[u8], day: &[u8]) -> Option<Date> {
    let year = decimal(year)?;
    let month = Month::try_from(u8::try_from(decimal(month)?).ok()?).ok()?;
    let day = u8::try_from(decimal(day)?).ok()?;
    if year == 0 {
        return None;
    }
    Date::from_calendar_date(i32::from(year), month, day).ok()
}

fn decimal(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |sum, digit| {
        let value = digit.is_ascii_digit().then(|| digit - b'0')?;
        sum.checked_mul(10)?.checked_add(u16::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_numbers_count_from_1970_in_shanghai() {
        assert_eq!("1970-01-01".parse::<Day>().unwrap(), Day::MIN);
        assert_eq!("2149-06-06".parse::<Day>().unwrap(), Day::MAX);
        assert_eq!("2149-06-07".parse::<Day>(), Err(DayInvalid::OutOfRange));
        assert_eq!("1969-12-31".parse::<Day>(), Err(DayInvalid::OutOfRange));
        assert_eq!(Day::from_unix_seconds(0).unwrap(), Day::MIN);
        // 16:00 UTC is midnight in Shanghai.
        assert_eq!(Day::from_unix_seconds(57_599).unwrap().number(), 0);
        assert_eq!(Day::from_unix_seconds(57_600).unwrap().number(), 1);
        assert_eq!(Day::from_unix_seconds(u64::MAX), Err(DayInvalid::OutOfRange));
        assert_eq!("2026-06-30".parse::<Day>().unwrap().to_string(), "2026-06-30");
    }

    #[test]
    fn only_the_iso_form_is_a_day_argument() {
        for text in
            ["2026/06/30", "20260630", "2026-6-30", "2026-02-30", "", "2026-06-30 ", "0000-01-01", "２026-06-30"]
        {
            assert_eq!(text.parse::<Day>(), Err(DayInvalid::NotADate), "{text}");
        }
    }

    #[test]
    fn three_date_forms_are_read_and_mixed_ones_refused() {
        let expected = parse_date("2025-03-09");
        assert!(expected.is_some());
        assert_eq!(parse_date("2025/03/09"), expected);
        assert_eq!(parse_date("20250309"), expected);
        for text in [
            "2025-03/09",
            "2025/03-09",
            "2025-0309",
            "2025-13-01",
            "2025-00-10",
            "2025-04-31",
            "1900-02-29",
            "+025-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn years_are_added_by_the_calendar() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        assert_eq!(day("2026-06-30").plus_years(5), day("2031-06-30"));
        assert_eq!(day("2024-02-29").plus_years(5), day("2029-03-01"));
        assert_eq!(day("2024-02-29").plus_years(4), day("2028-02-29"));
        assert_eq!(Day::MAX.plus_years(1), Day::MAX);
    }
}
