//! Encrypts what is stored: AES-256-GCM under keys derived, one per purpose, from a key-encryption key.
//!
//! - **Shapes**: sealed = nonce 12, ciphertext of the plaintext's length, tag 16; salt of a passphrase 16 bytes
//! - **Errors**: [`DecryptionFailed`] (wrong key or place, or damaged bytes), [`PassphraseRefused`] (the operator)
//! - **Security**: the AAD names where a value lives, so that stored values cannot be exchanged. Nonces are random: at most
//!   2^32 values under one purpose key. A passphrase is stretched by argon2id, 19 MiB, 2 passes, 1 lane
//! - **Source**: RFC 9106, OWASP password storage (argon2id); RFC 5869; NIST SP 800-38D section 8.3

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::{
    aead,
    dst::{self, Dst},
    error::DecryptionFailed,
    kdf,
    secret::SecretBytes,
};

/// Bytes a sealed value is longer than its plaintext.
pub const AT_REST_OVERHEAD: usize = NONCE_LEN + aead::TAG_LEN;

const NONCE_LEN: usize = 12;
const ARGON2_MEMORY_KIB: u32 = 19 * 1024;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;

/// A passphrase that is empty or longer than argon2 takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("passphrase is empty or too long")]
pub struct PassphraseRefused;

/// The key that purpose keys are derived from, 32 bytes; zeroised when dropped.
#[derive(Clone)]
pub struct KeyEncryptionKey(SecretBytes<32>);

impl KeyEncryptionKey {
    /// argon2id of a passphrase with a stored random salt. Takes some tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// [`PassphraseRefused`] if it is empty or of 2^32 bytes and more.
    pub fn from_passphrase(passphrase: &[u8], salt: &[u8; 16]) -> Result<KeyEncryptionKey, PassphraseRefused> {
        if passphrase.is_empty() {
            return Err(PassphraseRefused);
        }
        let params =
            Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, Some(32)).map_err(|_| PassphraseRefused)?;
        let mut key = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut key)
            .map_err(|_| PassphraseRefused)?;
        Ok(KeyEncryptionKey(SecretBytes::from_bytes(key)))
    }

    /// The key that a key file holds.
    pub const fn from_key_file(bytes: SecretBytes<32>) -> KeyEncryptionKey {
        KeyEncryptionKey(bytes)
    }

    /// A fresh key, to be written to a key file.
    pub fn random(rng: &mut (impl RngCore + CryptoRng)) -> KeyEncryptionKey {
        KeyEncryptionKey(SecretBytes::random(rng))
    }

    /// The 32 bytes, for the key file.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        self.0.clone()
    }

    /// The key of one purpose and context: HKDF-SHA-256, info = framed purpose, then context.
    pub fn purpose_key(&self, purpose: Dst, context: &[u8]) -> AtRestKey {
        let purpose_len = (purpose.as_bytes().len() as u16).to_be_bytes();
        let info = [&purpose_len, purpose.as_bytes(), context];
        let mut key = [0; 32];
        self.0
            .expose(|kek| kdf::hkdf_sha256(dst::AT_REST.as_bytes(), kek, &info, &mut key))
            .expect("32 bytes are one block of HKDF-SHA-256");
        AtRestKey(SecretBytes::from_bytes(key))
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyEncryptionKey(..)")
    }
}

/// A key that encrypts the stored values of one purpose; zeroised when dropped.
#[derive(Clone)]
pub struct AtRestKey(SecretBytes<32>);

impl AtRestKey {
    /// Encrypts a value; `aad` names its store and key.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8], rng: &mut (impl RngCore + CryptoRng)) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut sealed = nonce.to_vec();
        sealed.extend(aead::seal(&self.0, &nonce, aad, plaintext));
        sealed
    }

    /// The value sealed with the same key and `aad`.
    ///
    /// # Errors
    /// [`DecryptionFailed`] in every other case, values shorter than [`AT_REST_OVERHEAD`] included.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptionFailed> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(DecryptionFailed)?;
        aead::open(&self.0, nonce, aad, ciphertext)
    }
}

impl fmt::Debug for AtRestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtRestKey(..)")
    }
}
