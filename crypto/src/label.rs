//! Rows: a label sealed under its slot's key beside its tag, and padding that looks the same.
//!
//! - **Place**: walk A3 [`seal_label`], B7 [`open_label`]
//! - **Shapes**: label 48 bytes, row 92: tag 16, nonce 12, ciphertext 48, authentication tag 16
//! - **Errors**: [`DecryptionFailed`] (the publisher's row is not what its tag claims, or the caller's AAD is another's)
//! - **Security**: the AAD binds DST, the caller's context and the tag. The nonce is random: a key seals one label unless
//!   its slot is re-sealed. A padding row is indistinguishable from a real one to whoever lacks its `r`
//! - **Source**: specs/crypto.md#rows

use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    aead, dst,
    error::DecryptionFailed,
    fingerprint::{LabelKey, Slot, TAG_LEN, Tag},
    kdf,
    secret::SecretBytes,
};

/// Bytes of a label.
pub const LABEL_LEN: usize = 48;

/// Bytes of a row.
pub const ROW_LEN: usize = 92;

const NONCE_LEN: usize = 12;
const SEALED_LEN: usize = LABEL_LEN + aead::TAG_LEN;

/// A tag and a sealed label; 92 bytes in BCS, public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// What the row is found by.
    pub tag: Tag,
    /// Nonce of the sealed label.
    #[serde(with = "crate::codec::bytes_n")]
    pub nonce: [u8; NONCE_LEN],
    /// Ciphertext (48 bytes) and authentication tag (16).
    #[serde(with = "crate::codec::bytes_n")]
    pub sealed_label: [u8; SEALED_LEN],
}

impl Row {
    /// The row with these bytes; any 92 bytes are one.
    pub fn from_bytes(bytes: &[u8; ROW_LEN]) -> Row {
        let (mut tag, mut nonce, mut sealed_label) = ([0; TAG_LEN], [0; NONCE_LEN], [0; SEALED_LEN]);
        tag.copy_from_slice(&bytes[..TAG_LEN]);
        nonce.copy_from_slice(&bytes[TAG_LEN..TAG_LEN + NONCE_LEN]);
        sealed_label.copy_from_slice(&bytes[TAG_LEN + NONCE_LEN..]);
        Row { tag: Tag::new(tag), nonce, sealed_label }
    }

    /// tag, nonce, sealed label: the BCS encoding.
    pub fn to_bytes(&self) -> [u8; ROW_LEN] {
        let mut bytes = [0; ROW_LEN];
        bytes[..TAG_LEN].copy_from_slice(self.tag.as_bytes());
        bytes[TAG_LEN..TAG_LEN + NONCE_LEN].copy_from_slice(&self.nonce);
        bytes[TAG_LEN + NONCE_LEN..].copy_from_slice(&self.sealed_label);
        bytes
    }
}

/// The row of a slot: its tag, and `label` sealed under its key. `aad` names chain, publisher and period.
pub fn seal_label(slot: &Slot, aad: &[u8], label: &[u8; LABEL_LEN], rng: &mut (impl RngCore + CryptoRng)) -> Row {
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    seal_framed(slot, &framed_aad(aad, &slot.tag), label, nonce)
}

/// As [`seal_label`] for each slot and label; the `aad` of a row is `aad_prefix` and the row's tag.
pub fn seal_labels(
    slots: &[Slot],
    aad_prefix: &[u8],
    labels: &[Zeroizing<[u8; LABEL_LEN]>],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<Row> {
    let mut nonces = vec![[0; NONCE_LEN]; slots.len()];
    rng.fill_bytes(nonces.as_flattened_mut());
    let mut aad = framed_aad(&[aad_prefix, &[0; TAG_LEN]].concat(), &Tag::new([0; TAG_LEN]));
    let tags_at = aad.len() - 2 * TAG_LEN;
    let mut rows = Vec::with_capacity(slots.len());
    for ((slot, label), nonce) in slots.iter().zip(labels).zip(nonces) {
        // the tag stands in the caller's context and in ours
        aad[tags_at..].chunks_exact_mut(TAG_LEN).for_each(|place| place.copy_from_slice(slot.tag.as_bytes()));
        rows.push(seal_framed(slot, &aad, label, nonce));
    }
    rows
}

fn seal_framed(slot: &Slot, framed_aad: &[u8], label: &[u8; LABEL_LEN], nonce: [u8; NONCE_LEN]) -> Row {
    let mut sealed_label = [0; SEALED_LEN];
    let (text, tag) = sealed_label.split_at_mut(LABEL_LEN);
    text.copy_from_slice(label);
    tag.copy_from_slice(&aead::seal_in_place(slot.label_key.secret(), &nonce, framed_aad, text));
    Row { tag: slot.tag, nonce, sealed_label }
}

/// The label of a row, if `key` and `aad` are those it was sealed with.
///
/// # Errors
/// [`DecryptionFailed`] in every other case.
pub fn open_label(key: &LabelKey, aad: &[u8], row: &Row) -> Result<Zeroizing<[u8; LABEL_LEN]>, DecryptionFailed> {
    let aad = framed_aad(aad, &row.tag);
    let plaintext = aead::open(key.secret(), &row.nonce, &aad, &row.sealed_label)?;
    let mut label = Zeroizing::new([0; LABEL_LEN]);
    label.copy_from_slice(&plaintext);
    Ok(label)
}

/// The secret `r` of padding row `index` of a batch. Shown with the index, it shows the row to be padding.
pub fn padding_seed_r(batch_seed: &SecretBytes<32>, index: u32) -> SecretBytes<32> {
    let mut r = [0; 32];
    batch_seed
        .expose(|seed| {
            let salt = dst::PADDING_SECRET.as_bytes();
            kdf::hkdf_sha512(salt, seed, &[&index.to_be_bytes()], &mut r)
        })
        .expect("32 bytes are one block of HKDF-SHA-512");
    SecretBytes::from_bytes(r)
}

/// The padding row of `r`: 92 bytes of HKDF-SHA-512.
pub fn padding_row_from_r(r: &[u8; 32]) -> Row {
    let mut bytes = [0; ROW_LEN];
    kdf::hkdf_sha512(dst::PADDING_ROW.as_bytes(), r, &[], &mut bytes).expect("92 bytes are two blocks of HKDF-SHA-512");
    Row::from_bytes(&bytes)
}

/// Padding row `index` of a batch.
pub fn padding_row(batch_seed: &SecretBytes<32>, index: u32) -> Row {
    padding_seed_r(batch_seed, index).expose(padding_row_from_r)
}

/// `u16 len(dst) | dst | u64 len(aad) | aad | tag`
fn framed_aad(aad: &[u8], tag: &Tag) -> Vec<u8> {
    let dst = dst::SEALED_LABEL.as_bytes();
    [&(dst.len() as u16).to_be_bytes()[..], dst, &(aad.len() as u64).to_be_bytes(), aad, tag.as_bytes()].concat()
}
