//! Shows what an escrowed item holds without giving up the secret that shows it: by its maker's `s`, or by the audit key `y`.
//!
//! - **Place**: a lender asks a publisher to disclose ([`prove_item_opening`]); the regulator exports evidence
//!   ([`prove_decryption`])
//! - **Shapes**: a proof is 64 bytes: challenge c, response z
//! - **Invariants**: both statements are about the item (C1, C2) and one element P, usually `H(x)`; P is hashed in
//! - **Errors**: [`ProofInvalid`] (the prover)
//! - **Security**: sound in the random-oracle model: nobody can show another P for the same item, since C1 and Y fix s and y.
//!   Zero-knowledge in s and y: whoever sees a proof learns that the item holds P, which it had to know, and cannot unblind
//!   an answer. `context` names the purpose, the parties and what the proof stands in, so that it cannot be shown elsewhere
//! - **Source**: Chaum, Pedersen 1992; specs/crypto.md#openings
//!
//! # Protocol
//! ```text
//! item opening  log_G(C1) = log_Y(C2 - P) = s     R1 = r*G, R2 = r*Y
//! decryption    log_G(Y) = log_C1(C2 - P) = y     R1 = r*G, R2 = r*C1
//! c = challenge(context, Y, C1, C2, P, R1, R2), z = r + c*secret
//! verify: R1 = z*G - c*(C1 | Y), R2 = z*(Y | C1) - c*(C2 - P) give the same c
//! ```

use curve25519_dalek::{
    ristretto::RistrettoPoint,
    scalar::Scalar,
    traits::{IsIdentity, VartimeMultiscalarMul},
};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};

use crate::{
    dst::{self, Dst},
    error::ProofInvalid,
    escrow::{AuditKeyPair, EscrowSecret, EscrowedItem},
    group::Element,
    oprf::dleq::canonical_scalar,
    transcript::TranscriptProtocol,
};

/// That two pairs have one discrete logarithm, 64 bytes: c, z. Any 64 bytes are one until verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EqualityProof(#[serde(with = "crate::codec::bytes_n")] [u8; 64]);

impl EqualityProof {
    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> EqualityProof {
        EqualityProof(bytes)
    }

    /// c, then z.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }
}

/// Proves by the item's own `s` that it holds `p`: (G, C1; Y, C2 - P). A false statement gives a proof that does not verify.
pub fn prove_item_opening(
    secret: &EscrowSecret,
    item: &EscrowedItem,
    y: &Element,
    p: &Element,
    context: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> EqualityProof {
    let mut transcript = statement(dst::ITEM_OPENING, y, item, p, context);
    secret.s().expose(|s| prove(&mut transcript, s, y, rng))
}

/// Shows that whoever made the item says it holds `p`, and knows its `s`.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it for this item, audit key, element and context.
pub fn verify_item_opening(
    item: &EscrowedItem,
    y: &Element,
    p: &Element,
    context: &[u8],
    proof: &EqualityProof,
) -> Result<(), ProofInvalid> {
    let transcript = statement(dst::ITEM_OPENING, y, item, p, context);
    verify(transcript, &item.c1, y, &masked(item, p)?, proof)
}

/// Proves by the audit key that the item holds `p`: (G, Y; C1, C2 - P). A false statement gives a proof that does not verify.
pub fn prove_decryption(
    key: &AuditKeyPair,
    item: &EscrowedItem,
    p: &Element,
    context: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> EqualityProof {
    let mut transcript = statement(dst::ITEM_DECRYPTION, &key.public(), item, p, context);
    key.y().expose(|y| prove(&mut transcript, y, &item.c1, rng))
}

/// Shows that the item decrypts to `p` under the audit key `y`, whose possession was verified before.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it for this audit key, item, element and context.
pub fn verify_decryption(
    y: &Element,
    item: &EscrowedItem,
    p: &Element,
    context: &[u8],
    proof: &EqualityProof,
) -> Result<(), ProofInvalid> {
    let transcript = statement(dst::ITEM_DECRYPTION, y, item, p, context);
    verify(transcript, y, &item.c1, &masked(item, p)?, proof)
}

fn statement(dst: Dst, y: &Element, item: &EscrowedItem, p: &Element, context: &[u8]) -> Transcript {
    let mut transcript = Transcript::begin(dst);
    transcript.append_message(b"context", context);
    transcript.append_element(b"Y", y);
    transcript.append_element(b"C1", &item.c1);
    transcript.append_element(b"C2", &item.c2);
    transcript.append_element(b"P", p);
    transcript
}

/// `C2 - P`; no item that was made has the identity there, since neither s nor y is zero.
fn masked(item: &EscrowedItem, p: &Element) -> Result<RistrettoPoint, ProofInvalid> {
    let masked = item.c2.point() - p.point();
    if masked.is_identity() { Err(ProofInvalid) } else { Ok(masked) }
}

/// `base` is the second base; the first is G.
fn prove(
    transcript: &mut Transcript,
    secret: &Scalar,
    base: &Element,
    rng: &mut (impl RngCore + CryptoRng),
) -> EqualityProof {
    let r = transcript.hedged_nonce(secret, rng);
    let R1 = r.expose(RistrettoPoint::mul_base);
    let R2 = r.expose(|r| r * base.point());
    let c = challenge(transcript, &R1, &R2);
    let z = r.expose(|r| r + c * secret);
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(c.as_bytes());
    proof[32..].copy_from_slice(z.as_bytes());
    EqualityProof(proof)
}

/// `log_G(public) = log_base(power)`. Variable time, on public values.
fn verify(
    mut transcript: Transcript,
    public: &Element,
    base: &Element,
    power: &RistrettoPoint,
    proof: &EqualityProof,
) -> Result<(), ProofInvalid> {
    let c = canonical_scalar(&proof.0[..32])?;
    let z = canonical_scalar(&proof.0[32..])?;
    let R1 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-c, &public.point(), &z);
    let R2 = RistrettoPoint::vartime_multiscalar_mul([z, -c], [&base.point(), power]);
    if challenge(&mut transcript, &R1, &R2) == c { Ok(()) } else { Err(ProofInvalid) }
}

fn challenge(transcript: &mut Transcript, R1: &RistrettoPoint, R2: &RistrettoPoint) -> Scalar {
    transcript.append_message(b"R1", R1.compress().as_bytes());
    transcript.append_message(b"R2", R2.compress().as_bytes());
    transcript.challenge_scalar(b"c")
}
