//! Times from a block's header time to its durable finalization at this node; the most recent ones.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// How many samples are kept.
const SAMPLES: usize = 1024;

/// Recent finality latencies of blocks made since this node started, in ms.
#[derive(Debug)]
pub(crate) struct FinalityLatency {
    started_ms: u64,
    samples: Mutex<VecDeque<u64>>,
}

impl FinalityLatency {
    /// Counts blocks with a header time from `started_ms` on, so that catching up is not taken for slowness.
    pub(super) fn since(started_ms: u64) -> Self {
        Self { started_ms, samples: Mutex::default() }
    }

    /// Adds a block made at `time_ms` by its header and finalized at `now_ms`.
    pub(super) fn record(&self, time_ms: u64, now_ms: u64) {
        if time_ms < self.started_ms {
            return;
        }
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back(now_ms.saturating_sub(time_ms));
    }

    /// The samples, oldest first, ms.
    pub(crate) fn samples(&self) -> Vec<u64> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_from_before_the_start_do_not_count_and_old_samples_go() {
        let latency = FinalityLatency::since(1000);
        latency.record(999, 5000);
        assert!(latency.samples().is_empty());
        for i in 0..1030 {
            latency.record(1000, 1000 + i);
        }
        assert_eq!(latency.samples().len(), SAMPLES);
        assert_eq!((latency.samples()[0], latency.samples()[SAMPLES - 1]), (6, 1029));
    }
}
