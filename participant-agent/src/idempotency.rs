//! Idempotency keys: the same request again gets the same answer, another request under its key is refused.
//!
//! - **Place**: what writes: `api/checks.rs` (keys stand in the journal of reports), and [`Requests`] for every other route
//! - **Shapes**: a key belongs to one address; a request is the digest of its query string and body
//! - **Invariants**: an answer is on disk before it is remembered; a key is remembered for a day, across restarts; a request
//!   that failed or was given up leaves nothing behind
//! - **Security**: holds digests of bodies, never bodies

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_crypto::Digest32;
use riskveil_crypto::at_rest::AtRestKey;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError, JournalWriter};

/// Name of the journal of [`Requests`], for its key and its file.
pub const JOURNAL_NAME: &str = "requests";
/// How long a key is remembered, s.
pub const REMEMBER_S: u64 = 86_400;
/// Keys remembered; the oldest are forgotten first.
const MAX_KEYS: usize = 100_000;

/// An idempotency key with the digest of the request it came with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestKey {
    /// The address and the key.
    pub key: String,
    /// Digest of query string and body.
    pub request: Digest32,
}

/// What a key says about a request.
#[derive(Debug)]
pub enum Repeat<'a> {
    /// It is new, and the caller's to answer.
    New(Claim<'a>),
    /// The same request is answered already.
    Answered(Arc<str>),
    /// The same request is under way.
    UnderWay,
    /// The key came with another request.
    Other,
}

/// A request under way; dropped without an answer, its key may be used again.
#[derive(Debug)]
pub struct Claim<'a> {
    keys: &'a Keys,
    request: RequestKey,
}

/// The keys of the last day, in memory.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, Remembered>>);

struct Remembered {
    request: Digest32,
    at_s: u64,
    answer: Option<Arc<str>>,
}

impl Keys {
    /// Whether a request with this key was made before.
    #[must_use]
    pub fn begin(&self, request: &RequestKey, now_s: u64) -> Repeat<'_> {
        let mut keys = self.lock();
        match keys.get(&request.key) {
            Some(known) if known.answer.is_some() && known.at_s.saturating_add(REMEMBER_S) <= now_s => {}
            Some(known) if known.request != request.request => return Repeat::Other,
            Some(known) => return known.answer.clone().map_or(Repeat::UnderWay, Repeat::Answered),
            None => {}
        }
        if keys.len() >= MAX_KEYS {
            forget(&mut keys, now_s);
        }
        keys.insert(request.key.clone(), Remembered { request: request.request, at_s: now_s, answer: None });
        Repeat::New(Claim { keys: self, request: request.clone() })
    }

    /// Remembers an answer that is on disk.
    pub fn remember(&self, request: RequestKey, answer: Arc<str>, at_s: u64) {
        let remembered = Remembered { request: request.request, at_s, answer: Some(answer) };
        self.lock().insert(request.key, remembered);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room: what is over a day old goes, or else the oldest answer.
fn forget(keys: &mut HashMap<String, Remembered>, now_s: u64) {
    keys.retain(|_, known| known.answer.is_none() || known.at_s.saturating_add(REMEMBER_S) > now_s);
    let answered = keys.iter().filter(|(_, known)| known.answer.is_some());
    let oldest = answered.min_by_key(|(_, known)| known.at_s).map(|(key, _)| key.clone());
    if let Some(oldest) = oldest.filter(|_| keys.len() >= MAX_KEYS) {
        keys.remove(&oldest);
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.lock().len())
    }
}

impl Claim<'_> {
    /// The key and its request.
    #[must_use]
    pub const fn request(&self) -> &RequestKey {
        &self.request
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut keys = self.keys.lock();
        if keys.get(&self.request.key).is_some_and(|known| known.answer.is_none()) {
            keys.remove(&self.request.key);
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    request: RequestKey,
    at_s: u64,
    answer: String,
}

/// The keys of routes whose work has a journal of its own, with their answers, on disk.
#[derive(Debug)]
pub struct Requests {
    journal: JournalWriter<Kept>,
    keys: Keys,
}

impl Requests {
    /// Opens `requests.log` in the directory of journals; what is over a day old is left out of it.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, key: AtRestKey, now_s: u64) -> Result<Self, JournalError> {
        let opened = Journal::open(journals, JOURNAL_NAME, key)?;
        let (mut journal, all): (Journal<Kept>, _) = (opened.journal, opened.entries.len());
        let young = |kept: &Kept| kept.at_s.saturating_add(REMEMBER_S) > now_s;
        let kept: Vec<Kept> = opened.entries.into_iter().filter(young).collect();
        if kept.len() < all {
            journal.rewrite(&kept)?;
        }
        let keys = Keys::default();
        for Kept { request, at_s, answer } in kept {
            keys.remember(request, answer.into(), at_s);
        }
        Ok(Self { journal: journal.into_writer(), keys })
    }

    /// Whether a request with this key was made before.
    #[must_use]
    pub fn begin(&self, request: &RequestKey, now_s: u64) -> Repeat<'_> {
        self.keys.begin(request, now_s)
    }

    /// Makes the answer of a request durable; only then may it be shown.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub async fn keep(&self, claim: Claim<'_>, answer: String, now_s: u64) -> Result<(), Arc<JournalError>> {
        let request = claim.request().clone();
        self.journal.append(Kept { request: request.clone(), at_s: now_s, answer: answer.clone() }).await?;
        self.keys.remember(request, answer.into(), now_s);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, body: u8) -> RequestKey {
        RequestKey { key: key.into(), request: riskveil_crypto::digest::sha256(&[body]) }
    }

    #[test]
    fn a_key_names_one_request_for_a_day_and_a_dropped_claim_frees_it() {
        let keys = Keys::default();
        let claim = keys.begin(&request("a", 1), 0);
        assert!(matches!(keys.begin(&request("a", 1), 0), Repeat::UnderWay));
        assert!(matches!(keys.begin(&request("a", 2), 0), Repeat::Other));
        drop(claim);
        assert!(matches!(keys.begin(&request("a", 2), 0), Repeat::New(_)));
        keys.remember(request("a", 1), "done".into(), 0);
        assert!(matches!(keys.begin(&request("a", 1), REMEMBER_S - 1), Repeat::Answered(answer) if &*answer == "done"));
        assert!(matches!(keys.begin(&request("a", 2), REMEMBER_S - 1), Repeat::Other));
        assert!(matches!(keys.begin(&request("a", 2), REMEMBER_S), Repeat::New(_)));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_answer_goes_first() {
        let keys = Keys::default();
        for number in 0..MAX_KEYS {
            keys.remember(request(&number.to_string(), 1), "x".into(), number as u64);
        }
        let claim = keys.begin(&request("one more", 1), 5);
        assert!(matches!(claim, Repeat::New(_)));
        assert_eq!(keys.lock().len(), MAX_KEYS);
        assert!(!keys.lock().contains_key("0"));
    }
}
