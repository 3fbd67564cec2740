//! RFC 9497's proof that one pair (C, D) has the discrete logarithm of (G, B): `GenerateProof` and `VerifyProof` with m = 1.
//!
//! - **Shapes**: [`Proof`] is 64 bytes: challenge c, response s, each a canonical scalar
//! - **Errors**: [`ProofInvalid`] (the prover); a proof with a scalar of l or more is one
//! - **Security**: sound in the random-oracle model for the pair it is given. For several pairs the RFC's own weights are
//!   not enough (see `evaluation`), so this module proves one
//! - **Source**: RFC 9497 section 2.2; vectors/rfc9497_ristretto255_sha512.json
//!
//! # Protocol
//! ```text
//! seed = H(len(B) | B | len("Seed-" | ctx) | "Seed-" | ctx)
//! d_i  = HashToScalar(len(seed) | seed | i | len(C_i) | C_i | len(D_i) | D_i | "Composite")
//! M    = sum d_i*C_i      Z = sum d_i*D_i = k*M
//! t2   = r*G              t3 = r*M
//! c    = HashToScalar(len(B) | B | len(M) | M | len(Z) | Z | len(t2) | t2 | len(t3) | t3 | "Challenge")
//! s    = r - c*k
//! verify: t2 = s*G + c*B, t3 = s*M + c*Z give the same c
//! ```

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::suite::{Mode, context_string, hash_to_scalar};
use crate::{
    error::ProofInvalid,
    group::Element,
    kernel::kernel,
    points::{self, Base},
    secret::SecretScalar,
};

const MODE: Mode = Mode::Voprf;
const LEN_32: [u8; 2] = 32u16.to_be_bytes();

/// A DLEQ proof of RFC 9497, 64 bytes: c, s. Any 64 bytes are one until verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Proof(#[serde(with = "crate::codec::bytes_n")] [u8; 64]);

impl Proof {
    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Proof {
        Proof(bytes)
    }

    /// c, then s.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }
}

/// `GenerateProof(k, G, B, [C], [D], r)`: that `B = k*G` and `D = k*C`. `r` must be fresh and uniform.
pub fn generate_proof(k: &SecretScalar, B: &Element, C: &Element, D: &Element, r: &SecretScalar) -> Proof {
    let [proof] = generate_proofs(k, B, &[(*C, *D)], std::slice::from_ref(r)).try_into().expect("one proof a pair");
    proof
}

/// [`generate_proof`] of each pair, all under one key, each with its own `r`.
///
/// `M = d*C`, `Z = k*M` and `t3 = r*M` are three multiples of one point, so they are computed side by side.
pub(crate) fn generate_proofs(
    k: &SecretScalar,
    B: &Element,
    pairs: &[(Element, Element)],
    rs: &[SecretScalar],
) -> Vec<Proof> {
    let kernel = kernel();
    let seed = composite_seed(B);
    let (mut bases, mut scalars) = (Vec::with_capacity(3 * pairs.len()), Zeroizing::new(Vec::new()));
    scalars.reserve_exact(3 * pairs.len());
    for ((C, D), r) in pairs.iter().zip(rs) {
        let d = composite_weight(&seed, 0, C, D);
        bases.extend([C, C, C]);
        scalars.extend([d, k.expose(|k| k * d), r.expose(|r| r * d)]);
    }
    let multiples = points::of_elements(kernel, bases.into_iter()).multiply_each(&scalars).encode();
    let t2 = points::multiples(&Base::of(kernel, &Element::BASE), &points::scalar_bytes(rs.iter())).encode();
    let (multiples, _) = multiples.as_chunks::<3>();
    multiples
        .iter()
        .zip(&t2)
        .zip(rs)
        .map(|(([M, Z, t3], t2), r)| proof_of(&challenge_of_encodings(B, [M, Z, t2, t3]), k, r))
        .collect()
}

/// `VerifyProof(G, B, [C], [D], proof)`, on public values.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it.
pub fn verify_proof(B: &Element, C: &Element, D: &Element, proof: &Proof) -> Result<(), ProofInvalid> {
    let statement = Statement { B: *B, C: *C, D: *D, proof: *proof };
    verify_proofs(&[statement]).pop().unwrap_or(Err(ProofInvalid))
}

/// What a proof is said to show: that (C, D) has the discrete logarithm of (G, B).
#[derive(Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) B: Element,
    pub(crate) C: Element,
    pub(crate) D: Element,
    pub(crate) proof: Proof,
}

/// [`verify_proof`] of each statement, side by side; none changes what another shows.
pub(crate) fn verify_proofs(statements: &[Statement]) -> Vec<Result<(), ProofInvalid>> {
    let kernel = kernel();
    let scalars: Vec<Result<(Scalar, Scalar), ProofInvalid>> =
        statements.iter().map(|statement| scalars_of(&statement.proof)).collect();
    // M = d*C, Z = d*D, t2 = s*G + c*B, t3 = s*M + c*Z; where a scalar is not canonical, whatever comes of zeros
    let (mut bases, mut factors, mut of_s) = (Vec::new(), Vec::new(), Vec::new());
    for (Statement { B, C, D, .. }, scalars) in statements.iter().zip(&scalars) {
        let (c, s) = scalars.unwrap_or_default();
        let d = composite_weight(&composite_seed(B), 0, C, D);
        bases.extend([C, D, C, D, B]);
        factors.extend([d, d, s * d, c * d, c]);
        of_s.push(Zeroizing::new(s.to_bytes()));
    }
    let multiples = points::of_elements(kernel, bases.into_iter()).multiply_each(&factors);
    let of_place = |place: usize| multiples.pick(&(place..5 * statements.len()).step_by(5).collect::<Vec<_>>());
    let [M, Z] = [0, 1].map(|place| of_place(place).encode());
    let t2 = points::multiples(&Base::of(kernel, &Element::BASE), &of_s).add(&of_place(4)).encode();
    let t3 = of_place(2).add(&of_place(3)).encode();
    let encodings = M.iter().zip(&Z).zip(t2.iter().zip(&t3));
    statements
        .iter()
        .zip(scalars)
        .zip(encodings)
        .map(|((Statement { B, .. }, scalars), ((M, Z), (t2, t3)))| {
            let (c, _) = scalars?;
            if challenge_of_encodings(B, [M, Z, t2, t3]) == c { Ok(()) } else { Err(ProofInvalid) }
        })
        .collect()
}

/// The seed of `ComputeComposites`.
pub(super) fn composite_seed(B: &Element) -> [u8; 64] {
    let context = context_string(MODE);
    let seed_dst_len = (b"Seed-".len() + context.len()) as u16;
    Sha512::new()
        .chain_update(LEN_32)
        .chain_update(B.as_bytes())
        .chain_update(seed_dst_len.to_be_bytes())
        .chain_update(b"Seed-")
        .chain_update(context)
        .finalize()
        .into()
}

/// The weight `d_i` of `ComputeComposites`.
pub(super) fn composite_weight(seed: &[u8; 64], i: u16, C: &Element, D: &Element) -> Scalar {
    hash_to_scalar(
        MODE,
        &[&64u16.to_be_bytes(), seed, &i.to_be_bytes(), &LEN_32, C.as_bytes(), &LEN_32, D.as_bytes(), b"Composite"],
    )
}

/// The part of `GenerateProof` after `ComputeCompositesFast`.
pub(super) fn prove_composite(k: &SecretScalar, B: &Element, M: &RistrettoPoint, r: &SecretScalar) -> Proof {
    let Z = k.expose(|k| k * M);
    let t2 = r.expose(RistrettoPoint::mul_base);
    let t3 = r.expose(|r| r * M);
    proof_of(&challenge(B, M, &Z, &t2, &t3), k, r)
}

/// c, s = r - c*k.
fn proof_of(c: &Scalar, k: &SecretScalar, r: &SecretScalar) -> Proof {
    let s = r.expose(|r| k.expose(|k| r - c * k));
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(c.as_bytes());
    proof[32..].copy_from_slice(s.as_bytes());
    Proof(proof)
}

fn scalars_of(proof: &Proof) -> Result<(Scalar, Scalar), ProofInvalid> {
    Ok((canonical_scalar(&proof.0[..32])?, canonical_scalar(&proof.0[32..])?))
}

/// The part of `VerifyProof` after `ComputeComposites`.
pub(super) fn verify_composite(
    B: &Element,
    M: &RistrettoPoint,
    Z: &RistrettoPoint,
    proof: &Proof,
) -> Result<(), ProofInvalid> {
    let (c, s) = scalars_of(proof)?;
    let t2 = RistrettoPoint::vartime_double_scalar_mul_basepoint(&c, &B.point(), &s);
    let t3 = RistrettoPoint::vartime_multiscalar_mul([s, c], [M, Z]);
    if challenge(B, M, Z, &t2, &t3) == c { Ok(()) } else { Err(ProofInvalid) }
}

fn challenge(B: &Element, M: &RistrettoPoint, Z: &RistrettoPoint, t2: &RistrettoPoint, t3: &RistrettoPoint) -> Scalar {
    let [M, Z, t2, t3] = [M, Z, t2, t3].map(|point| point.compress().0);
    challenge_of_encodings(B, [&M, &Z, &t2, &t3])
}

fn challenge_of_encodings(B: &Element, [M, Z, t2, t3]: [&[u8; 32]; 4]) -> Scalar {
    hash_to_scalar(MODE, &[&LEN_32, B.as_bytes(), &LEN_32, M, &LEN_32, Z, &LEN_32, t2, &LEN_32, t3, b"Challenge"])
}

/// The scalar with this 32-byte encoding.
pub(crate) fn canonical_scalar(bytes: &[u8]) -> Result<Scalar, ProofInvalid> {
    let bytes = bytes.try_into().map_err(|_| ProofInvalid)?;
    Option::from(Scalar::from_canonical_bytes(bytes)).ok_or(ProofInvalid)
}
