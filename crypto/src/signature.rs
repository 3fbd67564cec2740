//! Ed25519 signatures bound to a purpose and a chain, verified strictly.
//!
//! - **Shapes**: verifying key 32 bytes, signature 64, seed 32; the signed bytes are the 32 of
//!   `digest::hash(dst, [context, message])`
//! - **Invariants**: a [`VerifyingKey`] is canonically encoded and not of small order
//! - **Errors**: [`SignatureInvalid`] (the signer, or whoever altered the message), [`KeyInvalid`] (whoever sent the key)
//! - **Security**: `verify_strict`: no small-order key or nonce point, s < l, no cofactor. A signature for one purpose or
//!   chain verifies for no other
//! - **Source**: RFC 8032 section 5.1; vectors/wycheproof/ed25519_test.json

use std::fmt;

use ed25519_dalek::Signer;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    codec::bytes_n,
    digest::{self, Digest32},
    dst::Dst,
    lately::{self, Lately},
    secret::SecretBytes,
};

/// A signature that does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signature is invalid")]
pub struct SignatureInvalid;

/// Bytes that are no acceptable verifying key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("verifying key is not canonical or of small order")]
pub struct KeyInvalid;

/// An Ed25519 public key; canonical, not of small order.
#[derive(Clone, Copy)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// The key with this encoding.
    ///
    /// # Errors
    /// [`KeyInvalid`] if it is no point, not the canonical encoding of it, or one of the eight points of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyInvalid> {
        thread_local!(static LATELY: Lately<VerifyingKey> = const { lately::nothing() });
        lately::decoded(&LATELY, bytes, || {
            let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyInvalid)?;
            let is_canonical = key.to_edwards().compress().0 == *bytes;
            if key.is_weak() || !is_canonical { Err(KeyInvalid) } else { Ok(VerifyingKey(key)) }
        })
    }

    /// The 32-byte encoding.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The 32-byte encoding.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.as_bytes())
    }

    /// Shows that this key signed `message` for the purpose `dst` on the chain `context`.
    ///
    /// # Errors
    /// [`SignatureInvalid`] in every other case.
    pub fn verify(
        &self,
        dst: Dst,
        context: &Digest32,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureInvalid> {
        self.verify_raw_strict(signed_bytes(dst, context, message).as_bytes(), signature)
    }

    /// RFC 8032 verification over the bare message. For vectors: nothing of ours signs unframed bytes.
    ///
    /// # Errors
    /// [`SignatureInvalid`] if it does not verify strictly.
    pub fn verify_raw_strict(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureInvalid> {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature.0)).map_err(|_| SignatureInvalid)
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &VerifyingKey) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for VerifyingKey {}

impl PartialOrd for VerifyingKey {
    fn partial_cmp(&self, other: &VerifyingKey) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for VerifyingKey {
    fn cmp(&self, other: &VerifyingKey) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl std::hash::Hash for VerifyingKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_n::serialize(self.as_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<VerifyingKey, D::Error> {
        VerifyingKey::from_bytes(&bytes_n::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An Ed25519 secret key; zeroised when dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> SigningKey {
        SigningKey::from_seed(SecretBytes::random(rng))
    }

    /// The key of an RFC 8032 seed, 32 bytes.
    pub fn from_seed(seed: SecretBytes<32>) -> SigningKey {
        SigningKey(seed.expose(ed25519_dalek::SigningKey::from_bytes))
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs `message` for the purpose `dst` on the chain `context`; deterministic.
    pub fn sign(&self, dst: Dst, context: &Digest32, message: &[u8]) -> Signature {
        let signed = signed_bytes(dst, context, message);
        Signature(self.0.sign(signed.as_bytes()).to_bytes())
    }

    /// The seed, for the key store.
    pub fn seed(&self) -> SecretBytes<32> {
        SecretBytes::from_bytes(self.0.to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// An Ed25519 signature, 64 bytes; not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(#[serde(with = "crate::codec::bytes_n")] [u8; 64]);

impl Signature {
    /// The signature with these bytes; any 64 bytes are one until verified.
    pub const fn from_bytes(bytes: [u8; 64]) -> Signature {
        Signature(bytes)
    }

    /// The 64 bytes.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

fn signed_bytes(dst: Dst, context: &Digest32, message: &[u8]) -> Digest32 {
    digest::hash(dst, &[context.as_bytes(), message])
}
