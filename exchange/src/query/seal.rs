//! What every request tells the regulator and nobody else: who is asked about, and on which consent.
//!
//! - **Place**: B3 (sealed by the lender), B10 (opened by the regulator)
//! - **Shapes**: 26 bytes an item, 64 a consent; the sealed length depends on the shape alone: [`seal_len`]
//! - **Invariants**: item i of a check is of type i + 1 or a dummy; unused bytes of a canonical form are zero
//! - **Errors**: [`SealMalformed`]: the lender's fault, finding `seal_malformed`
//! - **Security**: HPKE info = suite, chain, audit key; additional data = the core without `seal_digest`, so a seal fits one
//!   core only. The scalar s is not in it: without s the regulator can compute no OPRF output. Redacted and zeroised
//! - **Source**: DESIGN.md section 3, "Query = audit escrow"; specs/wire.md

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::digest::hash;
use riskveil_crypto::seal::SEAL_OVERHEAD;
use riskveil_crypto::{Digest32, codec, merkle};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::dst;
use crate::ids::AuditKeyId;
use crate::message::{Kind, MessageHeader, SUITE_1};
use crate::query::messages::{MAX_ITEMS, MAX_SUBJECTS, Shape};
use crate::record::Identifier;

/// Longest canonical form with its padding, bytes.
pub const CANONICAL_LEN: usize = 24;
const ITEM_LEN: usize = 2 + CANONICAL_LEN;
const CONSENT_LEN: usize = 64;
/// Longest seal: the largest chunk.
pub const MAX_SEAL_LEN: usize = SEAL_OVERHEAD + 16 + MAX_ITEMS * ITEM_LEN + MAX_SUBJECTS * CONSENT_LEN;

/// One item in the clear.
#[derive(Clone, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct SealedItem {
    /// 0 for a dummy, otherwise the code of the identifier's type.
    pub id_type: u8,
    /// Bytes of the canonical form; 0 for a dummy.
    pub length: u8,
    /// The canonical form, zero-padded.
    pub canonical: [u8; CANONICAL_LEN],
}

impl SealedItem {
    /// A dummy.
    #[must_use]
    pub const fn dummy() -> Self {
        Self { id_type: 0, length: 0, canonical: [0; CANONICAL_LEN] }
    }

    /// An identifier; canonical forms have at most 19 bytes.
    #[must_use]
    pub fn real(identifier: &Identifier) -> Self {
        let mut item = Self { id_type: identifier.id_type().code(), ..Self::dummy() };
        identifier.canonical_expose(|text| {
            let length = text.len().min(CANONICAL_LEN);
            item.canonical[..length].copy_from_slice(&text.as_bytes()[..length]);
            item.length = length as u8;
        });
        item
    }

    /// Whether it is a dummy.
    #[must_use]
    pub const fn is_dummy(&self) -> bool {
        self.id_type == 0
    }
}

impl fmt::Debug for SealedItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedItem(..)")
    }
}

/// The consent of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// SHA-256 of the consent document; zero for a padding subject.
    pub digest: Digest32,
    /// The salt of its commitment.
    #[serde(with = "codec::bytes_n")]
    pub salt: [u8; 32],
}

impl Consent {
    /// The consent of a document with this digest.
    #[must_use]
    pub fn new(digest: Digest32, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        Self { digest, salt }
    }

    /// The consents of documents with these digests, in order, zero for a padding subject; their salts are drawn at once.
    #[must_use]
    pub fn of_each(digests: &[Digest32], rng: &mut (impl RngCore + CryptoRng)) -> Vec<Self> {
        let mut salts = vec![[0; 32]; digests.len()];
        rng.fill_bytes(salts.as_flattened_mut());
        digests.iter().zip(salts).map(|(digest, salt)| Self { digest: *digest, salt }).collect()
    }

    /// The commitment in the core: without the salt nobody can guess the document.
    #[must_use]
    pub fn commitment(&self) -> Digest32 {
        hash(dst::CONSENT_COMMIT, &[&self.salt, self.digest.as_bytes()])
    }
}

/// What a core's `consent_commit` must be for these consents.
#[must_use]
pub fn consent_commit(shape: Shape, consents: &[Consent]) -> Digest32 {
    match (shape, consents) {
        (Shape::Check, [consent]) => consent.commitment(),
        _ => {
            let leaves: Vec<Digest32> =
                consents.iter().map(|consent| merkle::leaf_hash(consent.commitment().as_bytes())).collect();
            merkle::root_of_hashes(&leaves)
        }
    }
}

/// The plaintext of a seal.
#[derive(Clone, Deserialize)]
pub struct SealPlaintext {
    /// Kind [`Kind::SealPlaintext`].
    pub header: MessageHeader,
    /// One per item of the core, in order.
    pub items: Vec<SealedItem>,
    /// One per subject, in order.
    pub consents: Vec<Consent>,
}

impl fmt::Debug for SealPlaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealPlaintext({} items, ..)", self.items.len())
    }
}

/// A seal that does not say what its shape requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a seal does not have the form of its request")]
pub struct SealMalformed;

impl SealPlaintext {
    /// The plaintext of a request.
    #[must_use]
    pub fn new(items: Vec<SealedItem>, consents: Vec<Consent>) -> Self {
        Self { header: MessageHeader::new(Kind::SealPlaintext), items, consents }
    }

    /// BCS, written once into a buffer of the right size so that no copy of an identifier stays behind.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = plaintext_len(self.items.len(), self.consents.len());
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        bytes.extend_from_slice(&self.header.version.to_le_bytes());
        bytes.extend_from_slice(&[self.header.kind, self.header.suite]);
        push_uleb(&mut bytes, self.items.len());
        for item in &self.items {
            bytes.extend_from_slice(&[item.id_type, item.length]);
            bytes.extend_from_slice(&item.canonical);
        }
        push_uleb(&mut bytes, self.consents.len());
        for consent in &self.consents {
            bytes.extend_from_slice(consent.digest.as_bytes());
            bytes.extend_from_slice(&consent.salt);
        }
        bytes
    }

    /// Reads the plaintext of a request of this shape.
    ///
    /// # Errors
    /// [`SealMalformed`] when counts, types, their order or the zero padding are wrong. That an identifier is valid and
    /// that it is the escrowed one is checked by reconciliation.
    pub fn decode(bytes: &[u8], shape: Shape) -> Result<Self, SealMalformed> {
        let plain: Self = codec::decode(bytes, MAX_SEAL_LEN).map_err(|_| SealMalformed)?;
        plain.header.expect(Kind::SealPlaintext).map_err(|_| SealMalformed)?;
        let counts_match = plain.items.len() == shape.item_count() && plain.consents.len() == shape.subject_count();
        let types_in_order = plain.items.chunks(shape.width()).all(|subject| types_are_in_order(shape, subject));
        if counts_match && types_in_order && plain.items.iter().all(has_zero_padding) {
            Ok(plain)
        } else {
            Err(SealMalformed)
        }
    }
}

/// Length of the seal of a request.
#[must_use]
pub const fn seal_len(shape: Shape) -> usize {
    SEAL_OVERHEAD + plaintext_len(shape.item_count(), shape.subject_count())
}

/// The HPKE info of a seal.
#[must_use]
pub fn seal_info(chain_id: &Digest32, audit_key_id: AuditKeyId) -> Vec<u8> {
    codec::encode(&(dst::SEAL_INFO.as_str(), SUITE_1, chain_id, audit_key_id))
}

/// A check has a fixed place for each type; a chunk's subject has its identifiers by ascending type, dummies after them.
fn types_are_in_order(shape: Shape, subject: &[SealedItem]) -> bool {
    match shape {
        Shape::Check => {
            subject.iter().enumerate().all(|(place, item)| item.is_dummy() || usize::from(item.id_type) == place + 1)
        }
        Shape::Chunk { .. } => subject
            .windows(2)
            .all(|pair| pair[1].is_dummy() || (!pair[0].is_dummy() && pair[0].id_type < pair[1].id_type)),
    }
}

fn has_zero_padding(item: &SealedItem) -> bool {
    let length = usize::from(item.length);
    length <= CANONICAL_LEN
        && item.is_dummy() == (length == 0)
        && item.canonical[length..].iter().all(|byte| *byte == 0)
}

const fn plaintext_len(items: usize, consents: usize) -> usize {
    4 + uleb_len(items) + items * ITEM_LEN + uleb_len(consents) + consents * CONSENT_LEN
}

const fn uleb_len(mut value: usize) -> usize {
    let mut length = 1;
    while value >= 0x80 {
        value >>= 7;
        length += 1;
    }
    length
}

fn push_uleb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
