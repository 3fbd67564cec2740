//! Reports as the lender keeps them: on disk with their evidence before anyone sees them.
//!
//! - **Place**: B8
//! - **Shapes**: `journal/checks.log`; one entry a report: its JSON, and its evidence sealed under a key of this check
//! - **Invariants**: an idempotency key names one body and one report for a day, across restarts
//! - **Security**: encrypted; identifiers and blindings stand only in the evidence, twice encrypted ([`CheckEvidence`]); no OPRF
//!   output is in it
//! - **Source**: DESIGN.md sections 4 and 6

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_crypto::Digest32;
use serde::{Deserialize, Serialize};

use super::kept::{CheckEvidence, KeptDamaged};
use crate::journal::{Journal, JournalError, JournalWriter};
use crate::keystore::Keystore;

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "checks";
/// How long an idempotency key is remembered, s.
const REMEMBER_S: u64 = 86_400;
/// Idempotency keys remembered; the oldest are forgotten first.
const MAX_KEYS: usize = 100_000;

#[derive(Serialize, Deserialize)]
struct Kept {
    kept_at_s: u64,
    core_digest: Digest32,
    json: String,
    /// A [`CheckEvidence`] under the key of this check.
    #[serde(with = "serde_bytes")]
    evidence: Vec<u8>,
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

/// Kept evidence that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadKeptError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was kept of this check.
    #[error(transparent)]
    Damaged(#[from] KeptDamaged),
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
    journals: PathBuf,
    keystore: Arc<Keystore>,
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
    /// Opens `checks.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, keystore: Arc<Keystore>, now_s: u64) -> Result<Self, JournalError> {
        let mut keys = HashMap::new();
        let (journal, _) =
            Journal::open_with(journals, JOURNAL_NAME, keystore.journal_key(JOURNAL_NAME), |kept: Kept| {
                let Kept { kept_at_s, json, request, .. } = kept;
                if let Some((key, body)) = request.filter(|_| kept_at_s.saturating_add(REMEMBER_S) > now_s) {
                    keys.insert(key, Remembered { body, at_s: kept_at_s, json: Some(json.into()) });
                }
            })?;
        Ok(Self { journals: journals.to_owned(), keystore, journal: journal.into_writer(), keys: Mutex::new(keys) })
    }

    /// What was kept of the check with this core digest. Reads the journal from its start: call it off the reactor.
    ///
    /// # Errors
    /// [`ReadKeptError`]: the journal cannot be read, or what was kept does not open.
    pub fn evidence(&self, core_digest: &Digest32) -> Result<Option<CheckEvidence>, ReadKeptError> {
        let mut found = None;
        let key = self.keystore.journal_key(JOURNAL_NAME);
        Journal::read(&self.journals, JOURNAL_NAME, key, |kept: Kept| {
            if kept.core_digest == *core_digest {
                found = Some(kept.evidence);
            }
        })?;
        let Some(sealed) = found else { return Ok(None) };
        Ok(Some(CheckEvidence::open(&self.keystore.check_key(core_digest), core_digest, &sealed)?))
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
        evidence: &CheckEvidence,
        request: Option<RequestKey>,
        now_s: u64,
    ) -> Result<(), Arc<JournalError>> {
        let key = request.map(|request| (request.key, request.body));
        let core_digest = evidence.core_digest();
        let evidence = evidence.seal(&self.keystore.check_key(&core_digest));
        let kept = Kept { kept_at_s: now_s, core_digest, json: json.clone(), evidence, request: key.clone() };
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
