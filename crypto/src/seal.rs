//! Seals a message to the holder of an X25519 key: HPKE base mode, X25519-HKDF-SHA256, AES-256-GCM.
//!
//! - **Place**: walk B3 and B8, what is sealed to the regulator
//! - **Shapes**: sealed = encapsulated key 32, ciphertext of the plaintext's length, tag 16; possession proof 96
//! - **Invariants**: a [`SealPublicKey`] is canonically encoded and not of small order
//! - **Errors**: [`DecryptionFailed`], [`ProofInvalid`], [`SealKeyInvalid`], [`SealFailed`]
//! - **Security**: IND-CCA2 to the key's holder; no sender authentication (the surrounding message is signed), no forward
//!   secrecy against the receiver's key
//! - **Source**: RFC 9180 sections 5.1.1 and 6.1; vectors/rfc9180_hpke_x25519_hkdf_sha256.json
//!
//! # Possession
//! X25519 has no signatures, so the proof is a Schnorr proof on the Edwards form A of the key:
//! ```text
//! a = clamp(sk) mod l, A = a*B, R = r*B, c = challenge(context, pk, A, R), z = r + c*a
//! verify: A is of prime order, A in Montgomery form = pk, z*B - c*A = R
//! ```

use std::fmt;

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    montgomery::MontgomeryPoint,
    scalar::{Scalar, clamp_integer},
    traits::{Identity, IsIdentity},
};
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::AesGcm256, kdf::HkdfSha256, kem::X25519HkdfSha256,
};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use zeroize::Zeroizing;

use crate::{
    codec::bytes_n,
    dst,
    error::{DecryptionFailed, ProofInvalid},
    lately::{self, Lately},
    oprf::dleq::canonical_scalar,
    secret::SecretBytes,
    transcript::TranscriptProtocol,
};

/// Bytes a sealed message is longer than its plaintext.
pub const SEAL_OVERHEAD: usize = ENCAPSULATED_LEN + crate::aead::TAG_LEN;

const ENCAPSULATED_LEN: usize = 32;

/// Bytes that are no acceptable X25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seal key is not canonical or of small order")]
pub struct SealKeyInvalid;

/// A message that cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message cannot be sealed to this key")]
pub struct SealFailed;

/// An X25519 public key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealPublicKey([u8; 32]);

impl SealPublicKey {
    /// The key with this encoding.
    ///
    /// # Errors
    /// [`SealKeyInvalid`] if it is not below 2^255 - 19, or has small order on the curve or its twist.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<SealPublicKey, SealKeyInvalid> {
        thread_local!(static LATELY: Lately<()> = const { lately::nothing() });
        lately::decoded(&LATELY, bytes, || {
            let times_8 = MontgomeryPoint(*bytes) * Scalar::from(8u8);
            let is_small = times_8 == MontgomeryPoint::identity();
            if is_small || !field_element_is_canonical(bytes) { Err(SealKeyInvalid) } else { Ok(()) }
        })?;
        Ok(SealPublicKey(*bytes))
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for SealPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_n::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SealPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SealPublicKey, D::Error> {
        SealPublicKey::from_bytes(&bytes_n::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An X25519 secret key; zeroised when dropped.
#[derive(Clone)]
pub struct SealSecretKey {
    sk: SecretBytes<32>,
    public: SealPublicKey,
}

impl SealSecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> SealSecretKey {
        SealSecretKey::from_bytes(SecretBytes::random(rng))
    }

    /// The key with this encoding (RFC 7748: clamped where it is used), from the key store.
    pub fn from_bytes(sk: SecretBytes<32>) -> SealSecretKey {
        let public = sk.expose(|sk| MontgomeryPoint::mul_base_clamped(*sk));
        SealSecretKey { sk, public: SealPublicKey(public.to_bytes()) }
    }

    /// The public half.
    pub fn public(&self) -> SealPublicKey {
        self.public
    }

    /// The encoding, for the key store.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        self.sk.clone()
    }

    /// Proves knowledge of the secret key; `context` names chain, owner and validity.
    pub fn prove_possession(&self, context: &[u8], rng: &mut (impl RngCore + CryptoRng)) -> SealPossessionProof {
        let clamped = Zeroizing::new(self.sk.expose(|sk| clamp_integer(*sk)));
        let a = Zeroizing::new(Scalar::from_bytes_mod_order(*clamped));
        let A = EdwardsPoint::mul_base(&a).compress();
        let mut transcript = possession_transcript(&self.public, context, A.as_bytes());
        let r = transcript.hedged_nonce(&a, rng);
        let R = r.expose(EdwardsPoint::mul_base).compress();
        transcript.append_message(b"R", R.as_bytes());
        let c = transcript.challenge_scalar(b"c");
        let z = r.expose(|r| r + c * *a);
        let mut proof = [0; 96];
        proof[..32].copy_from_slice(A.as_bytes());
        proof[32..64].copy_from_slice(R.as_bytes());
        proof[64..].copy_from_slice(z.as_bytes());
        SealPossessionProof(proof)
    }
}

impl fmt::Debug for SealSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealSecretKey(..)")
    }
}

/// A proof of possession of a seal key, 96 bytes: A, R, z. Any 96 bytes are one until verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealPossessionProof(#[serde(with = "crate::codec::bytes_n")] [u8; 96]);

impl SealPossessionProof {
    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; 96]) -> SealPossessionProof {
        SealPossessionProof(bytes)
    }

    /// A, R, z.
    pub const fn to_bytes(&self) -> [u8; 96] {
        self.0
    }
}

/// Shows that whoever announced `pk` knows its secret key.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it for this context.
pub fn verify_seal_key(pk: &SealPublicKey, context: &[u8], proof: &SealPossessionProof) -> Result<(), ProofInvalid> {
    let (A_bytes, rest) = proof.0.split_at(32);
    let (R, z) = rest.split_at(32);
    let A_bytes: &[u8; 32] = A_bytes.try_into().map_err(|_| ProofInvalid)?;
    let A = CompressedEdwardsY(*A_bytes).decompress().ok_or(ProofInvalid)?;
    let is_canonical = A.compress().as_bytes() == A_bytes;
    let is_this_key = A.to_montgomery().to_bytes() == pk.0;
    if !is_canonical || !is_this_key || A.is_identity() || !A.is_torsion_free() {
        return Err(ProofInvalid);
    }
    let z = canonical_scalar(z)?;
    let mut transcript = possession_transcript(pk, context, A_bytes);
    transcript.append_message(b"R", R);
    let c = transcript.challenge_scalar(b"c");
    let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&-c, &A, &z);
    if expected.compress().as_bytes() == R { Ok(()) } else { Err(ProofInvalid) }
}

/// Seals `plaintext` to a key: `SealBase` of RFC 9180, encapsulated key first.
///
/// # Errors
/// [`SealFailed`] if the shared secret is zero (impossible for a [`SealPublicKey`]) or the plaintext is above 64 GiB.
pub fn seal(
    to: &SealPublicKey,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, SealFailed> {
    let pk = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(|_| SealFailed)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256, _>(
        &OpModeS::Base,
        &pk,
        info,
        plaintext,
        aad,
        rng,
    )
    .map_err(|_| SealFailed)?;
    Ok([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

/// The plaintext sealed to this key with the same `info` and `aad`: `OpenBase` of RFC 9180.
///
/// # Errors
/// [`DecryptionFailed`] in every other case, messages shorter than [`SEAL_OVERHEAD`] included.
pub fn open(
    sk: &SealSecretKey,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DecryptionFailed> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(ENCAPSULATED_LEN).ok_or(DecryptionFailed)?;
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| DecryptionFailed)?;
    let sk = sk.sk.expose(|sk| <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(sk)).map_err(|_| DecryptionFailed)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &sk,
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| DecryptionFailed)
}

fn possession_transcript(pk: &SealPublicKey, context: &[u8], A: &[u8; 32]) -> Transcript {
    let mut transcript = Transcript::begin(dst::SEAL_KEY_POSSESSION);
    transcript.append_message(b"context", context);
    transcript.append_message(b"pk", pk.as_bytes());
    transcript.append_message(b"A", A);
    transcript
}

/// Whether the little-endian number is below p = 2^255 - 19.
fn field_element_is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    let is_large = *last == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *first >= 0xed;
    *last <= 0x7f && !is_large
}
