//! Reports as the lender keeps them: on disk with their evidence before anyone sees them.
//!
//! - **Place**: B8
//! - **Shapes**: `journal/reports.log`; one entry a report: its JSON, the query as it was sent, the responses as they came
//! - **Invariants**: an idempotency key names one body and one report for a day, across restarts
//! - **Security**: encrypted; no identifier, no blinding and no OPRF output is in it
//! - **Source**: DESIGN.md sections 4 and 6

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use riskveil_crypto::Digest32;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_exchange::audit::entry::QueryEntry;
use riskveil_exchange::ids::MemberId;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError, JournalWriter};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "reports";
/// How long an idempotency key is remembered, s.
const REMEMBER_S: u64 = 86_400;
/// Idempotency keys remembered; the oldest are forgotten first.
const MAX_KEYS: usize = 100_000;

/// What shows a report: the query as it was sent and the responses as they came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evidence {
    entry: QueryEntry,
    responses: Vec<(MemberId, ResponseBytes)>,
}

#[derive(Clone, Serialize, Deserialize)]
struct ResponseBytes(#[serde(with = "serde_bytes")] Vec<u8>);

impl fmt::Debug for ResponseBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseBytes({})", self.0.len())
    }
}

impl Evidence {
    /// The evidence of one query.
    #[must_use]
    pub fn new(entry: QueryEntry, responses: BTreeMap<MemberId, Bytes>) -> Self {
        let responses = responses.into_iter().map(|(publisher, bytes)| (publisher, ResponseBytes(bytes.to_vec())));
        Self { entry, responses: responses.collect() }
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    kept_at_s: u64,
    json: String,
    evidence: Evidence,
    request: Option<(String, Digest32)>,
}

/// An idempotency key with the digest of the body it came with.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// The key.
    pub key: String,
    /// Digest of the body.
    pub body: Digest32,
}

/// What a key says about a request.
#[derive(Debug)]
pub enum Repeat {
    /// It is new; [`Reports::keep`] or [`Reports::abandon`] has to follow.
    New,
    /// The same request is answered already: its report.
    Answered(Arc<str>),
    /// The same request is under way.
    UnderWay,
    /// The key came with another body.
    OtherBody,
}

/// The journal of reports, and the keys of the last day.
pub struct Reports {
    journal: JournalWriter<Kept>,
    keys: Mutex<HashMap<String, Remembered>>,
}

struct Remembered {
    body: Digest32,
    at_s: u64,
    json: Option<Arc<str>>,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports(..)")
    }
}

impl Reports {
    /// Opens `reports.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, key: AtRestKey, now_s: u64) -> Result<Self, JournalError> {
        let mut keys = HashMap::new();
        let (journal, _) = Journal::open_with(journals, JOURNAL_NAME, key, |kept: Kept| {
            let Kept { kept_at_s, json, request, .. } = kept;
            if let Some((key, body)) = request.filter(|_| kept_at_s.saturating_add(REMEMBER_S) > now_s) {
                keys.insert(key, Remembered { body, at_s: kept_at_s, json: Some(json.into()) });
            }
        })?;
        Ok(Self { journal: journal.into_writer(), keys: Mutex::new(keys) })
    }

    /// Whether a request with this key was made before.
    #[must_use]
    pub fn begin(&self, request: &RequestKey, now_s: u64) -> Repeat {
        let mut keys = self.keys();
        match keys.get(&request.key) {
            Some(known) if known.at_s.saturating_add(REMEMBER_S) <= now_s => {}
            Some(known) if known.body != request.body => return Repeat::OtherBody,
            Some(known) => return known.json.clone().map_or(Repeat::UnderWay, Repeat::Answered),
            None => {}
        }
        if keys.len() >= MAX_KEYS {
            keys.retain(|_, known| known.json.is_none() || known.at_s.saturating_add(REMEMBER_S) > now_s);
            let oldest = keys.iter().min_by_key(|(_, known)| known.at_s).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| keys.len() >= MAX_KEYS) {
                keys.remove(&oldest);
            }
        }
        keys.insert(request.key.clone(), Remembered { body: request.body, at_s: now_s, json: None });
        Repeat::New
    }

    /// Makes a report durable; only then may it be shown.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub async fn keep(
        &self,
        json: String,
        evidence: Evidence,
        request: Option<RequestKey>,
        now_s: u64,
    ) -> Result<(), Arc<JournalError>> {
        let key = request.map(|request| (request.key, request.body));
        let kept = Kept { kept_at_s: now_s, json: json.clone(), evidence, request: key.clone() };
        self.journal.append(kept).await?;
        if let Some((key, body)) = key {
            self.keys().insert(key, Remembered { body, at_s: now_s, json: Some(json.into()) });
        }
        Ok(())
    }

    /// Forgets a key whose request failed, so that it may be tried again.
    pub fn abandon(&self, request: &RequestKey) {
        self.keys().retain(|key, known| *key != request.key || known.json.is_some());
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
