//! Disclosures as the lender keeps them: what was asked and what was answered, bytes and verdict, before anyone sees it.
//!
//! - **Place**: the end of `walks::disclose`
//! - **Shapes**: `journal/disclosures.log`; one entry a disclosure that was sent: its JSON, the request, the response if one came
//! - **Security**: encrypted; the response holds the value. With request, response and the chain others can see a publisher's lie
//! - **Source**: specs/protocol.md#disclosure

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use riskveil_crypto::Digest32;
use riskveil_crypto::at_rest::AtRestKey;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError, JournalWriter};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "disclosures";

/// One disclosure.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeptDisclosure {
    /// Unix seconds.
    pub kept_at_s: u64,
    /// The check it follows.
    pub core_digest: Digest32,
    /// Names the request.
    pub head_digest: Digest32,
    /// What was sent.
    #[serde(with = "serde_bytes")]
    pub request: Vec<u8>,
    /// What came back, signed; empty when nothing did.
    #[serde(with = "serde_bytes")]
    pub response: Vec<u8>,
    /// What the caller was told.
    pub json: String,
}

impl fmt::Debug for KeptDisclosure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptDisclosure({})", self.head_digest)
    }
}

/// The journal of disclosures.
pub struct Disclosures {
    journal: JournalWriter<KeptDisclosure>,
}

impl fmt::Debug for Disclosures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disclosures(..)")
    }
}

impl Disclosures {
    /// Opens `disclosures.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let (journal, _) = Journal::open_with(journals, JOURNAL_NAME, key, drop::<KeptDisclosure>)?;
        Ok(Self { journal: journal.into_writer() })
    }

    /// Makes a disclosure durable; only then may it be shown.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub async fn keep(&self, disclosure: KeptDisclosure) -> Result<(), Arc<JournalError>> {
        self.journal.append(disclosure).await
    }
}
