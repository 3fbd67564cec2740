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

use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

pub use crate::oprf::dleq::Proof as EvaluationProof;
use crate::{
    digest::Digest32,
    dst,
    elements::Elements,
    error::ProofInvalid,
    escrow::EscrowSecret,
    group::{Element, GroupError},
    kernel::kernel,
    oprf::{OprfError, OprfSecretKey, PrfOutput, dleq, finalize_all},
    points::{self, Base, HALF, Points, RUN, SHORT_SUM, Weighted, weighted_sums},
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
    let mut evaluated = blind_evaluate_many(sk, &[(*ctx, &c2.to_vec().into())], rng);
    evaluated.pop().unwrap_or(Err(OprfError::BatchSize { got: 0 }))
}

/// [`blind_evaluate`] of each request, all under one key, so that small ones fill the lanes together. Each has its own proof.
pub fn blind_evaluate_many(
    sk: &OprfSecretKey,
    requests: &[(EvaluationContext<'_>, &Elements)],
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<Result<Evaluation, OprfError>> {
    let admitted: Vec<Result<(), OprfError>> = requests.iter().map(|(ctx, c2)| can_evaluate(sk, ctx, c2)).collect();
    let good = || requests.iter().zip(&admitted).filter(|(_, admitted)| admitted.is_ok()).map(|(request, _)| request);
    let half = Zeroizing::new(sk.k().expose(|k| k * *HALF));
    let points: Vec<&Points> = good().map(|(_, c2)| c2.points()).collect();
    let multiplied = points::multiply_and_double(&points, &half);
    // no C2 is the identity and the order is prime, so no Z is
    let z: Result<Vec<Vec<Element>>, GroupError> = multiplied.iter().map(|z| Element::of_computed(z)).collect();
    let Ok(z) = z else {
        return admitted.into_iter().map(|admitted| admitted.and(Err(OprfError::IdentityElement))).collect();
    };
    let (weights, rs): (Vec<Vec<u128>>, Vec<SecretScalar>) = good()
        .zip(&z)
        .map(|((ctx, c2), z)| {
            let mut transcript = evaluation_transcript(ctx, c2, z);
            let weights = transcript.challenge_weights(b"weights", c2.len());
            (weights, sk.k().expose(|k| transcript.hedged_nonce(k, rng)))
        })
        .unzip();
    let pairs = composites(&points, &multiplied, &weights, &half);
    // an identity has no proof; a pair of others stands in for it so that places stay
    let stand_in = (Element::BASE, sk.public_key());
    let of_pairs: Vec<(Element, Element)> = pairs.iter().map(|pair| pair.unwrap_or(stand_in)).collect();
    let proofs = dleq::generate_proofs(sk.k(), &sk.public_key(), &of_pairs, &rs);
    let mut evaluated = z.into_iter().zip(pairs).zip(proofs).map(|((z, pair), proof)| {
        pair?;
        Ok(Evaluation { z, proof })
    });
    admitted
        .into_iter()
        .map(|admitted| admitted.and_then(|()| evaluated.next().unwrap_or(Err(OprfError::IdentityElement))))
        .collect()
}

/// M and Zc of each list. Zc is k*M; where lists are short it is also the sum that M is, of Z, and costs nothing beside that of C2.
fn composites(
    c2: &[&Points],
    z: &[Vec<[u8; 32]>],
    weights: &[Vec<u128>],
    half: &Scalar,
) -> Vec<Result<(Element, Element), GroupError>> {
    let of_c2 = || c2.iter().copied().zip(weights.iter().map(Vec::as_slice));
    if !weights.iter().all(|weights| weights.len() <= SHORT_SUM) {
        let to_pair = |M: Result<Element, GroupError>| {
            let M: Elements = vec![M?].into();
            let Zc = points::multiply_and_double(&[M.points()], half).concat();
            Ok((M[0], Element::of_computed(&Zc)?[0]))
        };
        return weighted_sums(&of_c2().collect::<Vec<_>>()).into_iter().map(to_pair).collect();
    }
    let lists: Vec<&[[u8; 32]]> = z.iter().map(Vec::as_slice).collect();
    let z: Result<Vec<Elements>, GroupError> = Elements::from_bytes_lists(&lists).into_iter().collect();
    let z = match z {
        Ok(z) => z,
        Err(error) => return c2.iter().map(|_| Err(error)).collect(),
    };
    let of_z = z.iter().map(Elements::points).zip(weights.iter().map(Vec::as_slice));
    let both: Vec<Weighted<'_>> = of_c2().chain(of_z).collect();
    let mut M = weighted_sums(&both);
    let Zc = M.split_off(c2.len());
    M.into_iter().zip(Zc).map(|(M, Zc)| Ok((M?, Zc?))).collect()
}

fn can_evaluate(sk: &OprfSecretKey, ctx: &EvaluationContext<'_>, c2: &[Element]) -> Result<(), OprfError> {
    if *ctx.k != sk.public_key() {
        return Err(OprfError::AnotherKey);
    }
    if c2.is_empty() || c2.len() > MAX_ITEMS { Err(OprfError::BatchSize { got: c2.len() }) } else { Ok(()) }
}

/// `k * C2` of each, without a proof: what a proof costs is the difference. Nothing unblinds it.
///
/// # Errors
/// [`OprfError::IdentityElement`], never for elements.
pub fn evaluate_unproven(sk: &OprfSecretKey, c2: &Elements) -> Result<Vec<Element>, OprfError> {
    let half = Zeroizing::new(sk.k().expose(|k| k * *HALF));
    Ok(Element::of_computed(&points::multiply_and_double(&[c2.points()], &half).concat())?)
}

/// Evaluated elements that a proof has shown to be `k*C2`.
#[derive(Debug)]
pub struct VerifiedEvaluation {
    c2: Vec<Element>,
    z: Elements,
}

/// An answer to verify.
#[derive(Debug)]
pub struct ToVerify<'a> {
    /// What it is bound to.
    pub ctx: EvaluationContext<'a>,
    /// What was sent.
    pub c2: &'a Elements,
    /// What came back.
    pub z: Elements,
    /// What shows that it is `k*C2`.
    pub proof: EvaluationProof,
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
    let c2: Elements = c2.to_vec().into();
    verify_evaluations(vec![ToVerify { ctx: *ctx, c2: &c2, z: z.into(), proof: *proof }])
        .pop()
        .unwrap_or(Err(ProofInvalid))
}

/// [`verify_evaluation`] of each answer, in order; small ones share the kernel, each is judged by its own proof.
///
/// # Errors
/// [`ProofInvalid`] for each answer that does not hold; it changes nothing for the others.
pub fn verify_evaluations(answers: Vec<ToVerify<'_>>) -> Vec<Result<VerifiedEvaluation, ProofInvalid>> {
    let has_items = |answer: &ToVerify<'_>| {
        !answer.c2.is_empty() && answer.c2.len() <= MAX_ITEMS && answer.c2.len() == answer.z.len()
    };
    let weights: Vec<Option<Vec<u128>>> = answers
        .iter()
        .map(|answer| {
            let weights = || {
                let mut transcript = evaluation_transcript(&answer.ctx, answer.c2, &answer.z);
                transcript.challenge_weights(b"weights", answer.c2.len())
            };
            has_items(answer).then(weights)
        })
        .collect();
    let mut lists: Vec<Weighted<'_>> = Vec::with_capacity(2 * answers.len());
    for (answer, weights) in answers.iter().zip(&weights) {
        if let Some(weights) = weights {
            lists.extend([(answer.c2.points(), &weights[..]), (answer.z.points(), &weights[..])]);
        }
    }
    let sums = weighted_sums(&lists);
    let (sums, _) = sums.as_chunks::<2>();
    let mut sums = sums.iter();
    let statements: Vec<Option<dleq::Statement>> = answers
        .iter()
        .zip(&weights)
        .map(|(answer, weights)| {
            weights.as_ref()?;
            let [M, Zc] = sums.next()?;
            Some(dleq::Statement { B: *answer.ctx.k, C: M.ok()?, D: Zc.ok()?, proof: answer.proof })
        })
        .collect();
    let mut shown = dleq::verify_proofs(&statements.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
    answers
        .into_iter()
        .zip(statements)
        .map(|(answer, statement)| {
            statement.and_then(|_| shown.next()).unwrap_or(Err(ProofInvalid))?;
            Ok(VerifiedEvaluation { c2: answer.c2.to_vec(), z: answer.z })
        })
        .collect()
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
            let places: Vec<usize> = items.iter().map(|item| item.index).collect();
            let s = points::scalar_bytes(items.iter().map(|item| item.secret.s()));
            let masks = points::multiples(&base, &s);
            let unblinded = Zeroizing::new(self.z.points().pick(&places).sub(&masks).encode());
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
