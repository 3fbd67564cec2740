//! Reports as the lender keeps them: on disk with their evidence before anyone sees them.
//!
//! - **Place**: B8
//! - **Shapes**: `journal/checks.log`; one entry a report: its JSON, and its evidence sealed under a key of this check
//! - **Invariants**: an idempotency key names one body and one report for a day, across restarts
//! - **Security**: encrypted; identifiers and blindings stand only in the evidence, twice encrypted ([`CheckEvidence`]); no OPRF
//!   output is in it
//! - **Source**: DESIGN.md sections 4 and 6

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskveil_crypto::Digest32;
use serde::{Deserialize, Serialize};

use super::kept::{CheckEvidence, KeptDamaged};
use crate::idempotency::{Claim, Keys, REMEMBER_S, Repeat, RequestKey};
use crate::journal::{Journal, JournalError, JournalWriter};
use crate::keystore::Keystore;

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "checks";

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

/// The journal of reports, and the keys of the last day.
pub struct Reports {
    journals: PathBuf,
    keystore: Arc<Keystore>,
    journal: JournalWriter<Kept>,
    keys: Keys,
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
        let keys = Keys::default();
        let (journal, _) =
            Journal::open_with(journals, JOURNAL_NAME, keystore.journal_key(JOURNAL_NAME), |kept: Kept| {
                let Kept { kept_at_s, json, request, .. } = kept;
                if let Some((key, request)) = request.filter(|_| kept_at_s.saturating_add(REMEMBER_S) > now_s) {
                    keys.remember(RequestKey { key, request }, json.into(), kept_at_s);
                }
            })?;
        Ok(Self { journals: journals.to_owned(), keystore, journal: journal.into_writer(), keys })
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
    pub fn begin(&self, request: &RequestKey, now_s: u64) -> Repeat<'_> {
        self.keys.begin(request, now_s)
    }

    /// Makes a report durable; only then may it be shown.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub async fn keep(
        &self,
        json: String,
        evidence: &CheckEvidence,
        claim: Option<Claim<'_>>,
        now_s: u64,
    ) -> Result<(), Arc<JournalError>> {
        let request = claim.as_ref().map(|claim| claim.request().clone());
        let key = request.clone().map(|request| (request.key, request.request));
        let core_digest = evidence.core_digest();
        let evidence = evidence.seal(&self.keystore.check_key(&core_digest));
        let kept = Kept { kept_at_s: now_s, core_digest, json: json.clone(), evidence, request: key };
        self.journal.append(kept).await?;
        if let Some(request) = request {
            self.keys.remember(request, json.into(), now_s);
        }
        Ok(())
    }
}
