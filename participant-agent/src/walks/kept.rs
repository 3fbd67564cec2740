//! What a lender keeps of one check so that it can show later what it was told: sealed under a key of that check alone.
//!
//! - **Place**: B8, `walks::check` -> [`CheckEvidence`] -> `walks::reports`; read by `check --evidence` and `disclose`
//! - **Shapes**: BCS of entry, responses, judged height, business date, unanswered, and per item the escrow secret s and the
//!   identifier if it has one
//! - **Invariants**: a secret is that of its item's C1; an identifier is canonical
//! - **Errors**: [`KeptDamaged`] (another key, or bytes that are not what was kept)
//! - **Security**: with s and the responses anyone can recompute what was answered, so this is the one place where s outlives a
//!   check. The key is derived from the key-encryption key and the check's digest; nothing here prints; cleared on drop
//! - **Source**: DESIGN.md section 2 ("kept evidence can recompute it and is encrypted under a key per report")

use std::collections::BTreeMap;
use std::fmt;

use rand::rngs::OsRng;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::{Digest32, SecretBytes, codec};
use riskveil_exchange::audit::entry::QueryEntry;
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::record::{Day, IdType, Identifier};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

/// Most bytes of a kept check.
const MAX_BYTES: usize = 1 << 20;

/// One item of a check as its lender keeps it.
#[derive(Clone, Debug)]
pub struct KeptItem {
    /// Whom it asks about; none for a dummy.
    pub identifier: Option<Identifier>,
    /// The escrow secret s.
    pub secret: SecretBytes<32>,
}

/// Everything that shows a check.
#[derive(Clone, Debug)]
pub struct CheckEvidence {
    /// What was sent, to everyone.
    pub entry: QueryEntry,
    /// Responses as they arrived.
    pub responses: BTreeMap<MemberId, Vec<u8>>,
    /// The height at which the answers were judged.
    pub judged_height: Height,
    /// The business date of the answers.
    pub as_of: Day,
    /// Publishers that gave no hit and no clear, with the reason as the report has it.
    pub unanswered: BTreeMap<MemberId, String>,
    /// The items in the order of the request.
    pub items: Vec<KeptItem>,
}

/// Kept bytes that do not open under their check's key, or are not a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kept evidence of a check is damaged")]
pub struct KeptDamaged;

#[derive(Serialize, Deserialize)]
struct StoredItem {
    id_type: u8,
    canonical: String,
    secret: [u8; 32],
}

impl Drop for StoredItem {
    fn drop(&mut self) {
        self.canonical.zeroize();
        self.secret.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
struct StoredResponse(#[serde(with = "serde_bytes")] Vec<u8>);

#[derive(Serialize, Deserialize)]
struct Stored {
    entry: QueryEntry,
    responses: Vec<(MemberId, StoredResponse)>,
    judged_height: Height,
    as_of: Day,
    unanswered: Vec<(MemberId, String)>,
    items: Vec<StoredItem>,
}

impl CheckEvidence {
    /// The digest of the check's request core.
    #[must_use]
    pub fn core_digest(&self) -> Digest32 {
        self.entry.core.digest()
    }

    /// Seals it under the key of this check.
    #[must_use]
    pub fn seal(&self, key: &AtRestKey) -> Vec<u8> {
        let stored = Stored {
            entry: self.entry.clone(),
            responses: self.responses.iter().map(|(id, bytes)| (id.clone(), StoredResponse(bytes.clone()))).collect(),
            judged_height: self.judged_height,
            as_of: self.as_of,
            unanswered: self.unanswered.iter().map(|(id, reason)| (id.clone(), reason.clone())).collect(),
            items: self.items.iter().map(StoredItem::of).collect(),
        };
        // sized once, so that no copy of a secret is left behind
        let size = bcs::serialized_size(&stored).expect("a check holds no float and no 2^31 items");
        let mut plaintext = Zeroizing::new(Vec::with_capacity(size));
        bcs::serialize_into(&mut *plaintext, &stored).expect("a check holds no float and no 2^31 items");
        key.seal(self.core_digest().as_bytes(), &plaintext, &mut OsRng)
    }

    /// Opens what was kept of the check with this digest.
    ///
    /// # Errors
    /// [`KeptDamaged`].
    pub fn open(key: &AtRestKey, core_digest: &Digest32, sealed: &[u8]) -> Result<Self, KeptDamaged> {
        let plaintext = key.open(core_digest.as_bytes(), sealed).map_err(|_| KeptDamaged)?;
        let stored: Stored = codec::decode(&plaintext, MAX_BYTES).map_err(|_| KeptDamaged)?;
        let items: Option<Vec<KeptItem>> = stored.items.iter().map(StoredItem::item).collect();
        let evidence = Self {
            responses: stored.responses.into_iter().map(|(id, bytes)| (id, bytes.0)).collect(),
            judged_height: stored.judged_height,
            as_of: stored.as_of,
            unanswered: stored.unanswered.into_iter().collect(),
            items: items.ok_or(KeptDamaged)?,
            entry: stored.entry,
        };
        if evidence.core_digest() == *core_digest { Ok(evidence) } else { Err(KeptDamaged) }
    }
}

impl StoredItem {
    fn of(item: &KeptItem) -> Self {
        let id_type = item.identifier.as_ref().map_or(0, |identifier| identifier.id_type().code());
        let canonical = item.identifier.as_ref().map(|identifier| identifier.canonical_expose(str::to_owned));
        Self { id_type, canonical: canonical.unwrap_or_default(), secret: item.secret.expose(|secret| *secret) }
    }

    fn item(&self) -> Option<KeptItem> {
        let identifier = match self.id_type {
            0 => None,
            code => Some(Identifier::parse(IdType::from_code(code)?, &self.canonical, Day::MAX).ok()?),
        };
        Some(KeptItem { identifier, secret: SecretBytes::from_bytes(self.secret) })
    }
}

impl fmt::Debug for StoredItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredItem(..)")
    }
}
