//! The agent's clock: the system's, or one that a test sets by hand.
//!
//! - **Place**: the only reader of wall-clock time; everything below takes times as arguments
//! - **Shapes**: Unix time in milliseconds or seconds; days are calendar days in Asia/Shanghai

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use riskveil_exchange::record::Day;

/// A source of Unix time; clones share it.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `now_ms` until it is set or advanced.
    #[must_use]
    pub fn manual(now_ms: u64) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(now_ms))))
    }

    /// Unix time, ms; 0 before 1970.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            Source::Manual(now_ms) => now_ms.load(Ordering::SeqCst),
        }
    }

    /// Unix time, s.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// Today in Asia/Shanghai; stays at 2149-06-06 after that day.
    #[must_use]
    pub fn today(&self) -> Day {
        Day::from_unix_seconds(self.now_s()).unwrap_or(Day::MAX)
    }

    /// Moves a manual clock forward; the system's clock is not ours to move.
    pub fn advance_ms(&self, by_ms: u64) {
        if let Source::Manual(now_ms) = &self.0 {
            now_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_advanced_and_the_day_turns_in_shanghai() {
        let clock = Clock::manual(1_782_835_199_999); // 2026-06-30T15:59:59.999Z
        assert_eq!(clock.today().to_string(), "2026-06-30");
        clock.clone().advance_ms(1);
        assert_eq!(clock.now_s(), 1_782_835_200);
        assert_eq!(clock.today().to_string(), "2026-07-01");
    }

    #[test]
    fn the_system_clock_is_past_2024() {
        assert!(Clock::system().now_s() > 1_704_067_200);
    }
}
