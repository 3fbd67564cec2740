//! AES-256-GCM with a 96-bit nonce and a 128-bit tag: the one AEAD of suite 1. Other sizes are refused by type.
//!
//! - **Shapes**: sealed = ciphertext of the plaintext's length, then the tag of 16 bytes
//! - **Errors**: [`DecryptionFailed`] (wrong key, wrong place, or altered bytes: no telling which)
//! - **Security**: a nonce must not repeat under a key; the callers here draw it at random, and their keys seal one label
//!   or, at rest, far fewer than 2^32 values
//! - **Source**: NIST SP 800-38D; vectors/wycheproof/aes_gcm_test.json

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, AeadInPlace, Payload},
};
use zeroize::Zeroizing;

use crate::{error::DecryptionFailed, secret::SecretBytes};

/// Bytes of the authentication tag at the end of what [`seal`] returns.
pub const TAG_LEN: usize = 16;

/// Encrypts and authenticates `plaintext`, authenticates `aad`.
///
/// # Panics
/// Above 64 GiB of plaintext.
pub fn seal(key: &SecretBytes<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plaintext, aad };
    cipher(key).encrypt(nonce.into(), payload).expect("plaintexts are far below the 64 GiB of GCM")
}

/// As [`seal`], in place: returns the tag.
///
/// # Panics
/// As [`seal`].
pub fn seal_in_place(key: &SecretBytes<32>, nonce: &[u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
    let tag = cipher(key).encrypt_in_place_detached(nonce.into(), aad, text);
    tag.expect("plaintexts are far below the 64 GiB of GCM").into()
}

/// The plaintext that [`seal`] encrypted with the same key, nonce and `aad`.
///
/// # Errors
/// [`DecryptionFailed`] in every other case.
pub fn open(
    key: &SecretBytes<32>,
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DecryptionFailed> {
    let payload = Payload { msg: sealed, aad };
    cipher(key).decrypt(nonce.into(), payload).map(Zeroizing::new).map_err(|_| DecryptionFailed)
}

fn cipher(key: &SecretBytes<32>) -> Aes256Gcm {
    key.expose(|bytes| Aes256Gcm::new(bytes.into()))
}
