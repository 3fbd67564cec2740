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

#[cfg(test)]
mod tests {
    use riskveil_crypto::at_rest::KeyEncryptionKey;
    use riskveil_crypto::escrow::{AuditKeyPair, EscrowSecret};
    use riskveil_crypto::seal::SealSecretKey;
    use riskveil_crypto::{SigningKey, digest};
    use riskveil_exchange::ids::{AuditKeyId, Period};
    use riskveil_exchange::purpose::Purpose;
    use riskveil_exchange::query::Shape;
    use riskveil_exchange::query::session::{Addressed, Consent, QueryParameters, Session, Subject};

    use super::*;
    use crate::dst;

    const NUMBER: &str = "513230196105128094";

    fn kept() -> CheckEvidence {
        let identifier = Identifier::parse(IdType::ResidentId, NUMBER, Day::MAX).unwrap();
        let lender = MemberId::new("LENDER-01").unwrap();
        let parameters = QueryParameters {
            chain_id: &digest::sha256(b"chain"),
            lender: &lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &AuditKeyPair::generate(&mut OsRng).public(),
            seal_key: &SealSecretKey::generate(&mut OsRng).public(),
            ref_height: Height(7),
            ref_header_hash: Digest32::ZERO,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: 1_800_000_000,
            ttl_s: 30,
        };
        let subject = Subject::new(vec![identifier.clone()]).unwrap();
        let consent = Consent::new(digest::sha256(b"consent"), &mut OsRng);
        let prepared = Session::start(&parameters, Shape::Check, &[(subject, consent)], &mut OsRng).unwrap();
        let Addressed { state, entry, .. } = prepared.address(&[], &SigningKey::generate(&mut OsRng), &mut OsRng);
        let secrets = state.export_secrets().into_iter().enumerate();
        let item = |(at, secret)| KeptItem { identifier: (at == 0).then(|| identifier.clone()), secret };
        CheckEvidence {
            items: secrets.map(item).collect(),
            responses: BTreeMap::from([(MemberId::new("INST-01").unwrap(), vec![7; 400])]),
            judged_height: Height(9),
            as_of: "2026-06-30".parse().unwrap(),
            unanswered: BTreeMap::from([(MemberId::new("INST-02").unwrap(), "unavailable(timed_out)".to_owned())]),
            entry,
        }
    }

    #[test]
    fn what_is_kept_of_a_check_opens_under_its_own_key_and_shows_nothing() {
        let kept = kept();
        let kek = KeyEncryptionKey::random(&mut OsRng);
        let key = |digest: &Digest32| kek.purpose_key(dst::CHECK_EVIDENCE, digest.as_bytes());
        let own = kept.core_digest();
        let sealed = kept.seal(&key(&own));
        assert!(!sealed.windows(NUMBER.len()).any(|window| window == NUMBER.as_bytes()));
        let opened = CheckEvidence::open(&key(&own), &own, &sealed).unwrap();
        assert_eq!((&opened.entry, &opened.responses), (&kept.entry, &kept.responses));
        assert_eq!((opened.judged_height, opened.as_of), (kept.judged_height, kept.as_of));
        assert_eq!(opened.unanswered, kept.unanswered);
        assert_eq!(opened.items[0].identifier, kept.items[0].identifier);
        for (item, sent) in opened.items.iter().zip(&opened.entry.core.items) {
            assert!(EscrowSecret::from_evidence(&item.secret, sent).is_ok());
        }
        let secret = opened.items[0].secret.expose(|secret| hex::encode(secret));
        let printed = format!("{opened:?}");
        assert!(!printed.contains(NUMBER) && !printed.contains(&secret));

        let other = digest::sha256(b"another check");
        assert!(CheckEvidence::open(&key(&other), &own, &sealed).is_err());
        assert!(CheckEvidence::open(&key(&own), &other, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(CheckEvidence::open(&key(&own), &own, &changed).is_err());
        }
    }
}
