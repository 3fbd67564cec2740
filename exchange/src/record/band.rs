//! Bands: what a lender learns of days and amounts unless the publisher chose to say more.
//!
//! ```text
//! band | days overdue | amount, CNY
//!    0 | 0            | 0
//!    1 | 1 - 30       | above 0, below 1,000
//!    2 | 31 - 60      | 1,000 to below 5,000
//!    3 | 61 - 90      | 5,000 to below 10,000
//!    4 | 91 - 120     | 10,000 to below 50,000
//!    5 | 121 - 150    | 50,000 to below 100,000
//!    6 | 151 - 180    | 100,000 to below 500,000
//!    7 | above 180    | 500,000 and above
//! ```
//! Days follow the M0 - M7 buckets of Chinese consumer lending. The tables are bytes of the label: changing one is a new version.

use super::facts::{AmountMinor, OverdueDays};

/// Highest value of both tables.
const LAST_BAND: u8 = 7;
/// First amount above bands 1 to 6, in minor units.
const AMOUNT_LIMITS_MINOR: [u64; 6] = [100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 50_000_000];

/// A band of days overdue, 0 to 7 (M0 to M7).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DaysBand(u8);

impl DaysBand {
    /// The band of so many days.
    pub fn of(days: OverdueDays) -> DaysBand {
        DaysBand(u8::try_from(days.days().div_ceil(30)).unwrap_or(LAST_BAND).min(LAST_BAND))
    }

    /// The band of this number, 0 to 7.
    pub fn new(number: u8) -> Option<DaysBand> {
        (number <= LAST_BAND).then_some(DaysBand(number))
    }

    /// 0 to 7.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// First and last day of the band; no last day in the highest band.
    pub fn days(self) -> (u32, Option<u32>) {
        let band = u32::from(self.0);
        match self.0 {
            0 => (0, Some(0)),
            LAST_BAND => (30 * (band - 1) + 1, None),
            _ => (30 * (band - 1) + 1, Some(30 * band)),
        }
    }
}

/// A band of amounts, 0 to 7.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmountBand(u8);

impl AmountBand {
    /// The band of this amount.
    pub fn of(amount: AmountMinor) -> AmountBand {
        match amount.minor_units() {
            0 => AmountBand(0),
            minor_units => {
                let passed = AMOUNT_LIMITS_MINOR.iter().filter(|limit| **limit <= minor_units).count();
                AmountBand(u8::try_from(passed).map_or(LAST_BAND, |passed| passed + 1))
            }
        }
    }

    /// The band of this number, 0 to 7.
    pub fn new(number: u8) -> Option<AmountBand> {
        (number <= LAST_BAND).then_some(AmountBand(number))
    }

    /// 0 to 7.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// First and last amount of the band in minor units; no last amount in the highest band.
    pub fn minor_units(self) -> (u64, Option<u64>) {
        let limit = |index: u8| AMOUNT_LIMITS_MINOR.get(usize::from(index)).copied();
        match self.0 {
            0 => (0, Some(0)),
            1 => (1, limit(0).map(|first| first - 1)),
            band => (limit(band - 2).unwrap_or(u64::MAX), limit(band - 1).map(|first| first - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_bands_are_the_documented_ones() {
        let edges =
            [(0, 0), (1, 1), (30, 1), (31, 2), (60, 2), (90, 3), (91, 4), (150, 5), (180, 6), (181, 7), (u32::MAX, 7)];
        for (days, band) in edges {
            assert_eq!(DaysBand::of(OverdueDays::new(days)).number(), band, "{days}");
        }
        assert_eq!(DaysBand::new(8), None);
    }

    #[test]
    fn bands_tile_their_range_without_gap() {
        let (mut next_day, mut next_amount) = (0, 0);
        for number in 0..=LAST_BAND {
            let (first, last) = DaysBand::new(number).unwrap().days();
            assert_eq!(first, next_day);
            assert_eq!(DaysBand::of(OverdueDays::new(first)).number(), number);
            next_day = last.map_or(u32::MAX, |last| last + 1);
            let (first, last) = AmountBand::new(number).unwrap().minor_units();
            assert_eq!(first, next_amount);
            assert_eq!(AmountBand::of(AmountMinor::new(first)).number(), number);
            assert_eq!(AmountBand::of(AmountMinor::new(last.unwrap_or(u64::MAX))).number(), number);
            next_amount = last.map_or(u64::MAX, |last| last + 1);
        }
        assert_eq!((next_day, next_amount), (u32::MAX, u64::MAX));
        assert_eq!(AmountBand::new(8), None);
    }
}
