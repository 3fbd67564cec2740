//! RFC 9497's own blinding and batched proof. **For vectors and the differential test only; nothing of the protocol calls it.**
//!
//! The protocol blinds by escrow (`escrow`) and weighs a batch from one transcript (`evaluation`), because the weights of
//! `ComputeComposites` each depend on one pair alone: a responder can search for errors that cancel.
//!
//! - **Source**: RFC 9497 sections 2.2 and 3.3; vectors/rfc9497_ristretto255_sha512.json

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};

use super::{
    OprfError, PrfOutput,
    dleq::{self, Proof},
    finalize as finalize_hash,
    suite::{Mode, hash_to_group},
};
use crate::{error::ProofInvalid, group::Element, secret::SecretScalar};

/// `Blind(input)` with the given blind.
///
/// # Errors
/// As [`hash_to_group`].
pub fn blind(mode: Mode, input: &[u8], blind: &SecretScalar) -> Result<Element, OprfError> {
    let P = hash_to_group(mode, input)?;
    Ok(Element::from_point(blind.expose(|blind| blind * P.point()))?)
}

/// `BlindEvaluate(skS, blindedElement)` without its proof.
///
/// # Errors
/// [`OprfError::IdentityElement`], which a prime-order group does not give.
pub fn blind_evaluate(k: &SecretScalar, blinded: &Element) -> Result<Element, OprfError> {
    Ok(Element::from_point(k.expose(|k| k * blinded.point()))?)
}

/// `Finalize(input, blind, evaluatedElement)` without the verification.
///
/// # Errors
/// [`OprfError::InputTooLong`] above 65,535 bytes of input.
pub fn finalize(input: &[u8], blind: &SecretScalar, evaluated: &Element) -> Result<PrfOutput, OprfError> {
    let N = Element::from_point(blind.expose(|blind| blind.invert() * evaluated.point()))?;
    finalize_hash(input, N.as_bytes())
}

/// `Evaluate(skS, input)` in either mode.
///
/// # Errors
/// As [`hash_to_group`].
pub fn evaluate(mode: Mode, k: &SecretScalar, input: &[u8]) -> Result<PrfOutput, OprfError> {
    let P = hash_to_group(mode, input)?;
    finalize_hash(input, blind_evaluate(k, &P)?.as_bytes())
}

/// The composite elements M and Z of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Composites {
    /// `sum d_i*C_i`
    pub M: Element,
    /// `sum d_i*D_i`
    pub Z: Element,
}

/// `ComputeComposites(B, C, D)`.
///
/// # Errors
/// [`OprfError::BatchSize`] unless both lists have the same length, 1 to 65,535; [`OprfError::IdentityElement`] if a sum is.
pub fn compute_composites(B: &Element, C: &[Element], D: &[Element]) -> Result<Composites, OprfError> {
    let weights = weights(B, C, D)?;
    Ok(Composites { M: weighted_sum(&weights, C)?, Z: weighted_sum(&weights, D)? })
}

/// `ComputeCompositesFast(k, B, C, D)`.
///
/// # Errors
/// As [`compute_composites`].
pub fn compute_composites_fast(
    k: &SecretScalar,
    B: &Element,
    C: &[Element],
    D: &[Element],
) -> Result<Composites, OprfError> {
    let M = weighted_sum(&weights(B, C, D)?, C)?;
    let Z = blind_evaluate(k, &M)?;
    Ok(Composites { M, Z })
}

/// `GenerateProof(k, G, B, C, D, r)` for a batch.
///
/// # Errors
/// As [`compute_composites`].
pub fn generate_proof(
    k: &SecretScalar,
    B: &Element,
    C: &[Element],
    D: &[Element],
    r: &SecretScalar,
) -> Result<Proof, OprfError> {
    let M = compute_composites_fast(k, B, C, D)?.M;
    Ok(dleq::prove_composite(k, B, &M.point(), r))
}

/// `VerifyProof(G, B, C, D, proof)` for a batch.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it, lists of different length included.
pub fn verify_proof(B: &Element, C: &[Element], D: &[Element], proof: &Proof) -> Result<(), ProofInvalid> {
    let composites = compute_composites(B, C, D).map_err(|_| ProofInvalid)?;
    dleq::verify_composite(B, &composites.M.point(), &composites.Z.point(), proof)
}

fn weights(B: &Element, C: &[Element], D: &[Element]) -> Result<Vec<Scalar>, OprfError> {
    if C.is_empty() || C.len() != D.len() || C.len() > usize::from(u16::MAX) {
        return Err(OprfError::BatchSize { got: C.len() });
    }
    let seed = dleq::composite_seed(B);
    Ok((0u16..).zip(C.iter().zip(D)).map(|(i, (C, D))| dleq::composite_weight(&seed, i, C, D)).collect())
}

fn weighted_sum(weights: &[Scalar], elements: &[Element]) -> Result<Element, OprfError> {
    Ok(Element::from_point(RistrettoPoint::vartime_multiscalar_mul(weights, elements.iter().map(Element::point)))?)
}
