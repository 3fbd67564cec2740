//! Binds a period key to an audit key: `K_Y = k*Y`, with a proof that the same `k` is behind K, and is known.
//!
//! - **Place**: key announcement; `K_Y` is what unblinding subtracts (walk B5)
//! - **Shapes**: proof 64 bytes: challenge c, response z
//! - **Invariants**: K is neither the identity, nor G, nor Y
//! - **Errors**: [`ProofInvalid`] (the publisher)
//! - **Security**: verify the audit key's own proof of possession before calling [`bind_key`]: with Y = H(x) for an x of
//!   somebody's choice, `K_Y` would be an OPRF output
//! - **Source**: Chaum, Pedersen 1992; specs/crypto.md#key-binding
//!
//! # Protocol
//! ```text
//! R1 = r*G, R2 = r*Y, c = challenge(context, Y, K, K_Y, R1, R2), z = r + c*k
//! verify: R1 = z*G - c*K, R2 = z*Y - c*K_Y give the same c
//! ```

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use crate::{
    dst,
    error::ProofInvalid,
    group::Element,
    oprf::{OprfSecretKey, dleq::canonical_scalar},
    transcript::TranscriptProtocol,
};

/// A DLEQ proof for (G, K; Y, K_Y), 64 bytes: c, z. Any 64 bytes are one until verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyBindingProof(#[serde(with = "crate::codec::bytes_n")] [u8; 64]);

impl KeyBindingProof {
    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> KeyBindingProof {
        KeyBindingProof(bytes)
    }

    /// c, then z.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }
}

/// A period key bound to an audit key: 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyBinding {
    /// `k*G`
    pub k: Element,
    /// `k*Y`
    pub k_y: Element,
    /// That both have the same `k`, and its owner knows it.
    pub proof: KeyBindingProof,
}

/// Binds the key to the audit key `y`, which must have shown its possession; `context` names chain, publisher and period.
pub fn bind_key(sk: &OprfSecretKey, y: &Element, context: &[u8], rng: &mut (impl RngCore + CryptoRng)) -> KeyBinding {
    let k = sk.public_key();
    let k_y = sk.k().expose(|k| k * y.point());
    let k_y = Element::from_point(k_y).expect("neither k nor Y is zero, and the order is prime");
    let mut transcript = statement_transcript(&k, &k_y, y, context);
    let r = sk.k().expose(|k| transcript.hedged_nonce(k, rng));
    let R1 = r.expose(RistrettoPoint::mul_base);
    let R2 = r.expose(|r| r * y.point());
    let c = challenge(&mut transcript, &R1, &R2);
    let z = r.expose(|r| sk.k().expose(|k| r + c * k));
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(c.as_bytes());
    proof[32..].copy_from_slice(z.as_bytes());
    KeyBinding { k, k_y, proof: KeyBindingProof(proof) }
}

/// Shows that `K = k*G` and `K_Y = k*Y` for one `k` that the announcer knows.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it for this audit key and context, or if K is G or Y.
pub fn verify_key_binding(binding: &KeyBinding, y: &Element, context: &[u8]) -> Result<(), ProofInvalid> {
    let KeyBinding { k, k_y, proof } = binding;
    if *k == Element::BASE || k == y {
        return Err(ProofInvalid);
    }
    let c = canonical_scalar(&proof.0[..32])?;
    let z = canonical_scalar(&proof.0[32..])?;
    let R1 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-c, &k.point(), &z);
    let R2 = RistrettoPoint::vartime_multiscalar_mul([z, -c], [y.point(), k_y.point()]);
    let mut transcript = statement_transcript(k, k_y, y, context);
    if challenge(&mut transcript, &R1, &R2) == c { Ok(()) } else { Err(ProofInvalid) }
}

fn statement_transcript(k: &Element, k_y: &Element, y: &Element, context: &[u8]) -> Transcript {
    let mut transcript = Transcript::begin(dst::KEY_BINDING);
    transcript.append_message(b"context", context);
    transcript.append_element(b"Y", y);
    transcript.append_element(b"K", k);
    transcript.append_element(b"K_Y", k_y);
    transcript
}

fn challenge(transcript: &mut Transcript, R1: &RistrettoPoint, R2: &RistrettoPoint) -> Scalar {
    transcript.append_message(b"R1", R1.compress().as_bytes());
    transcript.append_message(b"R2", R2.compress().as_bytes());
    transcript.challenge_scalar(b"c")
}
