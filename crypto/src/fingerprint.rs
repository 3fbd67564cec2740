//! Slots of an OPRF output: a public tag to find a row by, and a secret key to open its label with.
//!
//! - **Place**: walk A3 and B6, [`PrfOutput`] -> [`Slot`] -> `label`
//! - **Shapes**: slots 0 to 63 of one output; a tag is 16 bytes, a label key 32
//! - **Security**: HKDF-SHA-512 with the period's public salt, so tags of different slots, salts and inputs are unlinkable
//!   to whoever lacks the output; a tag says nothing on the key beside it
//! - **Source**: RFC 5869; specs/crypto.md#slots

use std::{fmt, sync::LazyLock};

use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

use crate::{
    dst,
    kernel::kernel,
    oprf::PrfOutput,
    secret::SecretBytes,
    sha512::{self, Prks},
};

/// Slots of one output: numbers 0 to 63.
pub const MAX_SLOTS: u8 = 64;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// What a row is found by; public, 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tag(#[serde(with = "crate::codec::bytes_n")] [u8; TAG_LEN]);

impl Tag {
    /// The tag with these bytes.
    pub const fn new(bytes: [u8; TAG_LEN]) -> Tag {
        Tag(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; TAG_LEN] {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The AES-256-GCM key of one slot's label; zeroised when dropped.
#[derive(Clone)]
pub struct LabelKey(SecretBytes<32>);

impl LabelKey {
    pub(crate) const fn secret(&self) -> &SecretBytes<32> {
        &self.0
    }
}

impl ConstantTimeEq for LabelKey {
    fn ct_eq(&self, other: &LabelKey) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey(..)")
    }
}

/// Tag and label key of one slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What the row is found by.
    pub tag: Tag,
    /// What its label is opened with.
    pub label_key: LabelKey,
}

/// A slot number of 64 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {slot} is out of range, the last is 63")]
pub struct SlotOutOfRange {
    /// The number asked for.
    pub slot: u8,
}

/// Slot `slot` of an output: HKDF-SHA-512 of it, salted with the period's public `salt`, info = DST, slot; tag then key.
///
/// # Errors
/// [`SlotOutOfRange`] for 64 and more.
pub fn derive_slot(out: &PrfOutput, salt: &[u8], slot: u8) -> Result<Slot, SlotOutOfRange> {
    if slot >= MAX_SLOTS {
        return Err(SlotOutOfRange { slot });
    }
    let slots = SlotKeys::new(std::slice::from_ref(out), salt).derive(&[slot])?;
    slots.into_iter().next().ok_or(SlotOutOfRange { slot })
}

/// What the slots of many outputs are derived from, extracted once.
pub struct SlotKeys {
    prks: Prks,
    outputs: usize,
}

impl SlotKeys {
    /// HKDF-Extract of each output with the period's public `salt`.
    pub fn new(outs: &[PrfOutput], salt: &[u8]) -> SlotKeys {
        let ikms: Vec<&[u8]> = outs.iter().map(|out| &out.as_bytes()[..]).collect();
        SlotKeys { prks: sha512::extract(kernel(), salt, &ikms), outputs: outs.len() }
    }

    /// Slot `numbers[i]` of output i, as [`derive_slot`] gives it; one number an output.
    ///
    /// # Errors
    /// [`SlotOutOfRange`] for the first number of 64 and more.
    pub fn derive(&self, numbers: &[u8]) -> Result<Vec<Slot>, SlotOutOfRange> {
        debug_assert_eq!(numbers.len(), self.outputs);
        if let Some(slot) = numbers.iter().find(|slot| **slot >= MAX_SLOTS) {
            return Err(SlotOutOfRange { slot: *slot });
        }
        // of every slot once: most callers ask for the same few of many outputs
        static INFOS: LazyLock<Vec<Vec<u8>>> =
            LazyLock::new(|| (0..MAX_SLOTS).map(|slot| [dst::SLOT.as_bytes(), &[slot]].concat()).collect());
        let infos: Vec<&[u8]> = numbers.iter().map(|slot| &INFOS[usize::from(*slot)][..]).collect();
        Ok(self.prks.expand(&infos).iter().map(Slot::of_okm).collect())
    }
}

impl fmt::Debug for SlotKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotKeys({} outputs)", self.outputs)
    }
}

impl Slot {
    /// Tag and key are the first 48 bytes of T(1).
    fn of_okm(okm: &[u8; 64]) -> Slot {
        let (mut tag, mut key) = ([0; TAG_LEN], [0; 32]);
        tag.copy_from_slice(&okm[..TAG_LEN]);
        key.copy_from_slice(&okm[TAG_LEN..TAG_LEN + 32]);
        Slot { tag: Tag(tag), label_key: LabelKey(SecretBytes::from_bytes(key)) }
    }
}
