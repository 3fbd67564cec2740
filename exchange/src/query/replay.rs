//! Remembers which requests were answered, so that none is answered twice.
//!
//! - **Place**: B4, between `Responder::authenticate` and `Responder::judge`; one per responder process
//! - **Shapes**: one entry per request until it expires (at most the policy's `request_ttl_s` and `clock_skew_s` later)
//! - **Invariants**: bounded; when full, new requests are refused rather than old ones forgotten
//! - **Errors**: `replayed`, `overloaded`
//! - **Source**: DESIGN.md section 4, "Replay"

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::MemberId;
use crate::query::refusal::RefusalReason;

/// The (lender, nonce) pairs of requests that have not expired.
#[derive(Clone, Debug)]
pub struct SeenNonces {
    capacity: usize,
    seen: BTreeSet<(MemberId, [u8; 32])>,
    by_expiry: BTreeMap<u64, Vec<(MemberId, [u8; 32])>>,
}

impl SeenNonces {
    /// An empty memory of at most `capacity` requests.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, seen: BTreeSet::new(), by_expiry: BTreeMap::new() }
    }

    /// Whether this request was seen and has not expired at `now_s`.
    #[must_use]
    pub fn contains(&self, lender: &MemberId, nonce: &[u8; 32]) -> bool {
        self.seen.contains(&(lender.clone(), *nonce))
    }

    /// Remembers a request until `expires_at_s`.
    ///
    /// # Errors
    /// [`RefusalReason::Replayed`] when it is remembered already, [`RefusalReason::Overloaded`] when the memory is full.
    pub fn insert(
        &mut self,
        lender: &MemberId,
        nonce: &[u8; 32],
        expires_at_s: u64,
        now_s: u64,
    ) -> Result<(), RefusalReason> {
        self.forget_expired(now_s);
        let pair = (lender.clone(), *nonce);
        if self.seen.contains(&pair) {
            return Err(RefusalReason::Replayed);
        }
        if self.seen.len() >= self.capacity {
            return Err(RefusalReason::Overloaded);
        }
        self.seen.insert(pair.clone());
        self.by_expiry.entry(expires_at_s).or_default().push(pair);
        Ok(())
    }

    /// The number of requests remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn forget_expired(&mut self, now_s: u64) {
        // a request is refused as expired from expires_at_s + 1 on, so it may be forgotten then
        let live = self.by_expiry.split_off(&now_s);
        for pair in std::mem::replace(&mut self.by_expiry, live).into_values().flatten() {
            self.seen.remove(&pair);
        }
    }
}
