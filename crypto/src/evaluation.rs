//! Evaluates a request's escrowed elements with one proof, and unblinds only what that proof has shown.
//!
//! - **Place**: walk B4 [`blind_evaluate`], B5 [`verify_evaluation`] then [`VerifiedEvaluation::unblind`]
//! - **Shapes**: 1 to 65,535 items; Z has 32 bytes an item, the proof 64 in all
//! - **Invariants**: a [`VerifiedEvaluation`] comes from [`verify_evaluation`] alone, and only it unblinds
//! - **Errors**: [`ProofInvalid`] (the responder), [`OprfError`] (the caller)
//! - **Security**: a responder that answers any item with something other than `k*C2` is caught but with probability 2^-128
//!   per try: all weights come from one transcript that first absorbed every C2 and every Z, so changing one answer changes
//!   every weight. Additive blinding is unsafe without this check: a wrong Z would be unblinded all the same. `unblind`
//!   needs K_Y from a verified `announce::KeyBinding`
//! - **Source**: RFC 9497 section 2.2 for the single-pair proof; DESIGN.md section 3 for the weights
//! - **Deviations**: RFC 9497 weighs each pair by a hash of that pair, which lets a prover search for errors that cancel
//!
//! # Protocol
//! ```text
//! responder  Z_i = k*C2_i                         w_1..w_n = challenge(chain id, publisher, period, K, core, envelope,
//!            M = sum w_i*C2_i, Zc = sum w_i*Z_i              n, C2_1..C2_n, n, Z_1..Z_n), 128 bits each
//!            proof = GenerateProof(k, G, K, [M], [Zc], r)
//! querier    the same weights and sums, VerifyProof(G, K, [M], [Zc], proof)
//!            N_i = Z_i - s_i*K_Y = k*P_i          out_i = Finalize(x_i, N_i)
//! ```

use std::fmt;

use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

pub use crate::oprf::dleq::Proof as EvaluationProof;
use crate::{
    digest::Digest32,
    dst,
    error::ProofInvalid,
    escrow::EscrowSecret,
    group::Element,
    kernel::{Kernel, kernel},
    oprf::{OprfError, OprfSecretKey, PrfOutput, dleq, finalize_all},
    points::{self, Base, HALF, RUN, weighted_sum},
    secret::SecretScalar,
    transcript::TranscriptProtocol,
};

/// Most items of one evaluation.
pub const MAX_ITEMS: usize = 65_535;

/// What an evaluation is bound to, besides its elements.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationContext<'a> {
    /// The chain both parties follow.
    pub chain_id: &'a Digest32,
    /// Encoded id of the publisher whose key evaluates.
    pub publisher: &'a [u8],
    /// Number of the period.
    pub period: u32,
    /// The publisher's public key K of the period.
    pub k: &'a Element,
    /// Digest of the request core.
    pub core: &'a Digest32,
    /// Digest of the envelope to this responder.
    pub envelope: &'a Digest32,
}

/// What a responder sends back: one element per item, and a proof for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// `k*C2` of each item, in order.
    pub z: Vec<Element>,
    /// That K's secret was used for every item.
    pub proof: EvaluationProof,
}

/// Evaluates every C2 of a request.
///
/// # Errors
/// [`OprfError::AnotherKey`] if `ctx.k` is not the public half of `sk`; [`OprfError::BatchSize`] without items or above 65,535;
/// [`OprfError::IdentityElement`] if the weighted sum is it.
pub fn blind_evaluate(
    sk: &OprfSecretKey,
    ctx: &EvaluationContext<'_>,
    c2: &[Element],
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Evaluation, OprfError> {
    let mut evaluated = blind_evaluate_many(sk, &[(*ctx, c2)], rng);
    evaluated.pop().unwrap_or(Err(OprfError::BatchSize { got: 0 }))
}

/// [`blind_evaluate`] of each request, all under one key, so that small ones fill the lanes together. Each has its own proof.
pub fn blind_evaluate_many(
    sk: &OprfSecretKey,
    requests: &[(EvaluationContext<'_>, &[Element])],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<Result<Evaluation, OprfError>> {
    let kernel = kernel();
    let admitted: Vec<Result<(), OprfError>> = requests.iter().map(|(ctx, c2)| can_evaluate(sk, ctx, c2)).collect();
    let good = || requests.iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok()).map(|(request, _)| request);
    let c2: Vec<Element> = good().flat_map(|(_, c2)| c2.iter().copied()).collect();
    let z = match multiply_all(kernel, sk, &c2) {
        Ok(z) => z,
        // no C2 is the identity and the order is prime, so no Z is
        Err(error) => return admitted.into_iter().map(|admitted| admitted.and(Err(error))).collect(),
    };
    let mut z = &z[..];
    let begun: Vec<Result<Begun, OprfError>> = good()
        .map(|(ctx, c2)| {
            let (own, rest) = z.split_at(c2.len());
            z = rest;
            Begun::new(kernel, sk, ctx, c2, own, rng)
        })
        .collect();
    let sums: Vec<Element> = begun.iter().flatten().map(|begun| begun.M).collect();
    let proofs = multiply_all(kernel, sk, &sums).map(|Zc| {
        let pairs: Vec<(Element, Element)> = sums.iter().copied().zip(Zc).collect();
        let rs: Vec<SecretScalar> = begun.iter().flatten().map(|begun| begun.r.clone()).collect();
        dleq::generate_proofs(sk.k(), &sk.public_key(), &pairs, &rs)
    });
    let mut proofs = proofs.unwrap_or_default().into_iter();
    let mut evaluated = begun.into_iter().map(|begun| {
        let Begun { z, .. } = begun?;
        Ok(Evaluation { z, proof: proofs.next().ok_or(OprfError::IdentityElement)? })
    });
    admitted
        .into_iter()
        .map(|admitted| admitted.and_then(|()| evaluated.next().unwrap_or(Err(OprfError::AnotherKey))))
        .collect()
}

fn can_evaluate(sk: &OprfSecretKey, ctx: &EvaluationContext<'_>, c2: &[Element]) -> Result<(), OprfError> {
    if *ctx.k != sk.public_key() {
        return Err(OprfError::AnotherKey);
    }
    if c2.is_empty() || c2.len() > MAX_ITEMS { Err(OprfError::BatchSize { got: c2.len() }) } else { Ok(()) }
}

/// An evaluation that its proof is missing of.
struct Begun {
    z: Vec<Element>,
    M: Element,
    r: SecretScalar,
}

impl Begun {
    fn new(
        kernel: Kernel,
        sk: &OprfSecretKey,
        ctx: &EvaluationContext<'_>,
        c2: &[Element],
        z: &[Element],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Begun, OprfError> {
        let mut transcript = evaluation_transcript(ctx, c2, z);
        let weights = transcript.challenge_weights(b"weights", c2.len());
        let M = weighted_sum(kernel, &weights, c2)?;
        let r = sk.k().expose(|k| transcript.hedged_nonce(k, rng));
        Ok(Begun { z: z.to_vec(), M, r })
    }
}

/// `k * C2` of each, without a proof: what a proof costs is the difference. Nothing unblinds it.
///
/// # Errors
/// [`OprfError::IdentityElement`], never for elements.
pub fn evaluate_unproven(sk: &OprfSecretKey, c2: &[Element]) -> Result<Vec<Element>, OprfError> {
    multiply_all(kernel(), sk, c2)
}

/// `k * C2` of each: (k/2)*C2, doubled while it is encoded.
pub(crate) fn multiply_all(kernel: Kernel, sk: &OprfSecretKey, c2: &[Element]) -> Result<Vec<Element>, OprfError> {
    let half = Zeroizing::new(sk.k().expose(|k| k * *HALF));
    let mut z = Vec::with_capacity(c2.len());
    for c2 in c2.chunks(RUN) {
        let encodings = points::of_elements(kernel, c2.iter()).multiply(&half).double_and_encode();
        z.extend(Element::of_computed(&encodings)?);
    }
    Ok(z)
}

/// Evaluated elements that a proof has shown to be `k*C2`.
#[derive(Debug)]
pub struct VerifiedEvaluation {
    c2: Vec<Element>,
    z: Vec<Element>,
}

/// Shows that every `z[i]` is `k*c2[i]` for the `k` of `ctx.k`. Variable time, on public values.
///
/// # Errors
/// [`ProofInvalid`] in every other case, lists of different length included.
pub fn verify_evaluation(
    ctx: &EvaluationContext<'_>,
    c2: &[Element],
    z: Vec<Element>,
    proof: &EvaluationProof,
) -> Result<VerifiedEvaluation, ProofInvalid> {
    if c2.is_empty() || c2.len() > MAX_ITEMS || c2.len() != z.len() {
        return Err(ProofInvalid);
    }
    let kernel = kernel();
    let weights = evaluation_transcript(ctx, c2, &z).challenge_weights(b"weights", c2.len());
    let M = weighted_sum(kernel, &weights, c2).map_err(|_| ProofInvalid)?;
    let Zc = weighted_sum(kernel, &weights, &z).map_err(|_| ProofInvalid)?;
    dleq::verify_proof(ctx.k, &M, &Zc, proof)?;
    Ok(VerifiedEvaluation { c2: c2.to_vec(), z })
}

impl VerifiedEvaluation {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.z.len()
    }

    /// Never: an evaluation has at least one item.
    pub fn is_empty(&self) -> bool {
        self.z.is_empty()
    }

    /// The OPRF output of item `index`, whose input and secret the querier kept: N = Z - s*K_Y, then `Finalize(x, N)`.
    ///
    /// `input` must be the one that was escrowed; `k_y` is that of the publisher's verified key binding.
    ///
    /// # Errors
    /// [`OprfError::NotThisItem`] if `secret` did not escrow the item at `index`; [`OprfError::InputTooLong`];
    /// [`OprfError::IdentityElement`] if `k_y` is another key's by intent.
    pub fn unblind(
        &self,
        index: usize,
        input: &[u8],
        secret: &EscrowSecret,
        k_y: &Element,
    ) -> Result<PrfOutput, OprfError> {
        let mut outputs = self.unblind_batch(&[Unblinding { index, input, secret }], k_y)?;
        outputs.pop().ok_or(OprfError::NotThisItem)
    }

    /// As [`unblind`](Self::unblind) for each, many at a time; in the order of `items`.
    ///
    /// # Errors
    /// As [`unblind`](Self::unblind), when any item has one; then there is no output.
    pub fn unblind_batch(&self, items: &[Unblinding<'_>], k_y: &Element) -> Result<Vec<PrfOutput>, OprfError> {
        let is_its_secret = |item: &Unblinding<'_>| self.c2.get(item.index) == Some(item.secret.c2());
        if !items.iter().all(is_its_secret) {
            return Err(OprfError::NotThisItem);
        }
        let kernel = kernel();
        let base = Base::of(kernel, k_y);
        let mut outputs = Vec::with_capacity(items.len());
        for items in items.chunks(RUN) {
            // N = Z - s*K_Y
            let z: Vec<Element> = items.iter().filter_map(|item| self.z.get(item.index)).copied().collect();
            let s = points::scalar_bytes(items.iter().map(|item| item.secret.s()));
            let masks = points::multiples(&base, &s);
            let unblinded = Zeroizing::new(points::of_elements(kernel, z.iter()).sub(&masks).encode());
            let inputs: Vec<&[u8]> = items.iter().map(|item| item.input).collect();
            outputs.extend(finalize_all(kernel, &inputs, &unblinded)?);
        }
        Ok(outputs)
    }
}

/// An item to unblind.
#[derive(Clone, Copy)]
pub struct Unblinding<'a> {
    /// Its place in the request.
    pub index: usize,
    /// What was escrowed.
    pub input: &'a [u8],
    /// The secret it was escrowed with.
    pub secret: &'a EscrowSecret,
}

impl fmt::Debug for Unblinding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unblinding({}, ..)", self.index)
    }
}

fn evaluation_transcript(ctx: &EvaluationContext<'_>, c2: &[Element], z: &[Element]) -> Transcript {
    let mut transcript = Transcript::begin(dst::EVALUATION);
    transcript.append_message(b"chain id", ctx.chain_id.as_bytes());
    transcript.append_message(b"publisher", ctx.publisher);
    transcript.append_u64(b"period", u64::from(ctx.period));
    transcript.append_element(b"K", ctx.k);
    transcript.append_message(b"core", ctx.core.as_bytes());
    transcript.append_message(b"envelope", ctx.envelope.as_bytes());
    transcript.append_elements(b"C2", c2);
    transcript.append_elements(b"Z", z);
    transcript
}
