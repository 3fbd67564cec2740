//! Shows that committed values lie in a range, without telling them: Bulletproofs, aggregated, bound to a context.
//!
//! - **Place**: walk A4, openings -> proof beside the commitments; every member verifies in the background. Disclosure: one
//!   opening -> a proof of `lo <= v <= hi`
//! - **Shapes**: m values (a power of two, at most 64) of n bits give `32 * (9 + 2 * log2(n * m))` bytes: 928 for 64 of 16 bits,
//!   992 for 64 of 32 bits
//! - **Invariants**: proof and verification absorb the same context first, so a proof is of one chain and publisher
//! - **Errors**: [`RangeProofError`] (the prover's caller), [`ProofInvalid`] (the prover)
//! - **Security**: sound under discrete log in the random-oracle model, zero-knowledge; the prover is constant-time in values
//!   and blindings, the verifier variable-time on public data
//! - **Source**: Bünz et al. 2018, section 4.3; bulletproofs 5.0; vectors/bulletproofs_rangeproof_v1.json
//!
//! # Protocol
//! ```text
//! in range  V_1..V_m           0 <= v_j < 2^n                             one aggregated proof
//! between   V                  V - lo*B and hi*B - V, both in [0, 2^n)    one aggregated proof, m = 2
//! ```
//! `v - lo` and `hi - v` below 2^n and their sum `hi - lo` leave no room for a wrap around l, whatever else is known of V.

use std::sync::LazyLock;

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::{ristretto::CompressedRistretto, scalar::Scalar};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::{
    dst::{self, Dst},
    error::ProofInvalid,
    pedersen::{BASES, Commitment, Opening},
    transcript::TranscriptProtocol,
};

/// Most values in one proof.
pub const AGGREGATED: usize = 64;

/// Generators for 64 values of 32 bits: 4,096 elements, 0.1 s once, 0.6 MB.
static GENERATORS: LazyLock<BulletproofGens> = LazyLock::new(|| BulletproofGens::new(32, AGGREGATED));

/// The width of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// [0, 2^16)
    Sixteen,
    /// [0, 2^32)
    ThirtyTwo,
}

impl Bits {
    /// n.
    pub const fn count(self) -> usize {
        match self {
            Bits::Sixteen => 16,
            Bits::ThirtyTwo => 32,
        }
    }

    /// 2^n - 1.
    pub const fn max(self) -> u64 {
        (1 << self.count()) - 1
    }
}

/// What cannot be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeProofError {
    /// The number of values is not a power of two, or above 64.
    #[error("a range proof is for 1, 2, 4, .. or 64 values")]
    Count,
    /// A value, or a bound, is outside what can be shown.
    #[error("the value is not in the range")]
    OutOfRange,
}

/// The length of a proof of `m` values, a power of two.
pub const fn proof_len(bits: Bits, m: usize) -> usize {
    match (bits.count() * m).checked_ilog2() {
        Some(rounds) => 32 * (9 + 2 * rounds as usize),
        None => 0,
    }
}

/// Proves that every opening's value is below 2^n; about 2.1 ms a value of 16 bits and 4.0 of 32 on a core of 2026.
///
/// # Errors
/// [`RangeProofError`].
pub fn prove(
    bits: Bits,
    openings: &[Opening],
    context: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RangeProofError> {
    prove_values(&mut transcript(dst::RANGE, context), bits, openings, rng)
}

/// Verifies a proof of [`prove`].
///
/// # Errors
/// [`ProofInvalid`] unless every commitment's value is shown to be below 2^n.
pub fn verify(bits: Bits, commitments: &[Commitment], context: &[u8], proof: &[u8]) -> Result<(), ProofInvalid> {
    let encodings: Vec<CompressedRistretto> = commitments.iter().map(Commitment::compressed).collect();
    verify_values(&mut transcript(dst::RANGE, context), bits, &encodings, proof)
}

/// Proves `lo <= v <= hi` of one opening.
///
/// # Errors
/// [`RangeProofError::OutOfRange`] if it does not hold, or if `hi` is above 2^n - 1.
pub fn prove_between(
    bits: Bits,
    opening: &Opening,
    lo: u64,
    hi: u64,
    context: &[u8],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RangeProofError> {
    let value = opening.value();
    if lo > value || value > hi || hi > bits.max() {
        return Err(RangeProofError::OutOfRange);
    }
    let [above, below] = opening.expose(|value, blinding| {
        [(value - lo, *blinding), (hi - value, -blinding)].map(|(value, blinding)| (value, Zeroizing::new(blinding)))
    });
    let values = Zeroizing::new(vec![above.0, below.0]);
    let blindings = Zeroizing::new(vec![*above.1, *below.1]);
    prove_raw(&mut between_transcript(lo, hi, context), bits, &values, &blindings, rng)
}

/// Verifies a proof of [`prove_between`].
///
/// # Errors
/// [`ProofInvalid`] unless `lo <= v <= hi` is shown of the commitment's value.
pub fn verify_between(
    bits: Bits,
    commitment: &Commitment,
    lo: u64,
    hi: u64,
    context: &[u8],
    proof: &[u8],
) -> Result<(), ProofInvalid> {
    if lo > hi || hi > bits.max() {
        return Err(ProofInvalid);
    }
    let V = commitment.compressed().decompress().ok_or(ProofInvalid)?;
    let PedersenGens { B, .. } = *BASES;
    let shifted = [V - B * Scalar::from(lo), B * Scalar::from(hi) - V].map(|point| point.compress());
    verify_values(&mut between_transcript(lo, hi, context), bits, &shifted, proof)
}

fn prove_values(
    transcript: &mut Transcript,
    bits: Bits,
    openings: &[Opening],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RangeProofError> {
    if openings.iter().any(|opening| opening.value() > bits.max()) {
        return Err(RangeProofError::OutOfRange);
    }
    let values = Zeroizing::new(openings.iter().map(Opening::value).collect::<Vec<u64>>());
    let blindings =
        Zeroizing::new(openings.iter().map(|opening| opening.expose(|_, blinding| *blinding)).collect::<Vec<Scalar>>());
    prove_raw(transcript, bits, &values, &blindings, rng)
}

fn prove_raw(
    transcript: &mut Transcript,
    bits: Bits,
    values: &[u64],
    blindings: &[Scalar],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<u8>, RangeProofError> {
    if !values.len().is_power_of_two() || values.len() > AGGREGATED {
        return Err(RangeProofError::Count);
    }
    let (proof, _) =
        RangeProof::prove_multiple_with_rng(&GENERATORS, &BASES, transcript, values, blindings, bits.count(), rng)
            .map_err(|_| RangeProofError::Count)?;
    Ok(proof.to_bytes())
}

fn verify_values(
    transcript: &mut Transcript,
    bits: Bits,
    commitments: &[CompressedRistretto],
    proof: &[u8],
) -> Result<(), ProofInvalid> {
    let count = commitments.len();
    if !count.is_power_of_two() || count > AGGREGATED || proof.len() != proof_len(bits, count) {
        return Err(ProofInvalid);
    }
    let proof = RangeProof::from_bytes(proof).map_err(|_| ProofInvalid)?;
    // The verifier weighs its two equations by a number the prover must not foresee. One drawn from everything that is verified
    // is such a number, and gives every member the same verdict.
    let mut weight_rng = weight_rng(transcript, commitments, &proof);
    proof
        .verify_multiple_with_rng(&GENERATORS, &BASES, transcript, commitments, bits.count(), &mut weight_rng)
        .map_err(|_| ProofInvalid)
}

fn weight_rng(
    transcript: &Transcript,
    commitments: &[CompressedRistretto],
    proof: &RangeProof,
) -> impl RngCore + CryptoRng + use<> {
    let mut transcript = transcript.clone();
    for commitment in commitments {
        transcript.append_message(b"V", commitment.as_bytes());
    }
    transcript.append_message(b"proof", &proof.to_bytes());
    transcript.build_rng().finalize(&mut NoEntropy)
}

/// What a transcript's generator is finished with where its output has to be the same for everyone.
struct NoEntropy;

impl RngCore for NoEntropy {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        bytes.fill(0);
        Ok(())
    }
}

impl CryptoRng for NoEntropy {}

fn transcript(dst: Dst, context: &[u8]) -> Transcript {
    let mut transcript = Transcript::begin(dst);
    transcript.append_message(b"context", context);
    transcript
}

fn between_transcript(lo: u64, hi: u64, context: &[u8]) -> Transcript {
    let mut transcript = transcript(dst::RANGE_BETWEEN, context);
    transcript.append_u64(b"lo", lo);
    transcript.append_u64(b"hi", hi);
    transcript
}
