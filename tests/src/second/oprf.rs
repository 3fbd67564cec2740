//! RFC 9497 VOPRF over ristretto255 and the evaluation proof of specs/crypto.md, on dalek and merlin alone.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use sha2::{Digest as _, Sha512};

use super::Bytes;

const CONTEXT: &[u8] = b"OPRFV1-\x01-ristretto255-SHA512";

/// `expand_message_xmd` of RFC 9380 with SHA-512 and 64 bytes of output.
fn expand(message: &[u8], dst: &[u8]) -> [u8; 64] {
    let dst_prime = [dst, &[dst.len() as u8]].concat();
    let b0 = Sha512::new()
        .chain_update([0; 128])
        .chain_update(message)
        .chain_update([0, 64, 0])
        .chain_update(&dst_prime)
        .finalize();
    Sha512::new().chain_update(b0).chain_update([1]).chain_update(&dst_prime).finalize().into()
}

/// `HashToGroup`.
#[must_use]
pub fn hash_to_group(input: &[u8]) -> RistrettoPoint {
    RistrettoPoint::from_uniform_bytes(&expand(input, &[b"HashToGroup-", CONTEXT].concat()))
}

fn hash_to_scalar(input: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand(input, &[b"HashToScalar-", CONTEXT].concat()))
}

/// The input `x` of an identifier.
#[must_use]
pub fn input(id_type: u8, canonical: &str) -> Vec<u8> {
    Bytes::new().sized(b"riskveil/v1/exchange/oprf-input").u8(id_type).sized(canonical.as_bytes()).done()
}

/// The output of `x` under `k`.
#[must_use]
pub fn output(k: &Scalar, x: &[u8]) -> [u8; 64] {
    finalize(x, &(k * hash_to_group(x)))
}

/// `Finalize`.
#[must_use]
pub fn finalize(x: &[u8], n: &RistrettoPoint) -> [u8; 64] {
    let hash = Sha512::new().chain_update((x.len() as u16).to_be_bytes()).chain_update(x).chain_update([0, 32]);
    hash.chain_update(encode(n)).chain_update(b"Finalize").finalize().into()
}

/// The encoding of an element.
#[must_use]
pub fn encode(point: &RistrettoPoint) -> [u8; 32] {
    point.compress().0
}

/// The element of an encoding.
#[must_use]
pub fn decode(bytes: &[u8; 32]) -> RistrettoPoint {
    CompressedRistretto(*bytes).decompress().expect("an element")
}

/// What an evaluation proof is bound to.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The chain.
    pub chain_id: &'a [u8; 32],
    /// Who evaluates.
    pub publisher: &'a str,
    /// The period.
    pub period: u32,
    /// K as the proof names it.
    pub k: &'a [u8; 32],
    /// The core's digest.
    pub core: &'a [u8; 32],
    /// The envelope's digest.
    pub envelope: &'a [u8; 32],
}

fn append_list(transcript: &mut Transcript, label: &'static [u8], list: &[[u8; 32]]) {
    transcript.append_u64(b"count", list.len() as u64);
    transcript.append_message(label, list.as_flattened());
}

/// The weights of all pairs, from one transcript over everything.
#[must_use]
pub fn weights(ctx: &Context<'_>, c2: &[[u8; 32]], z: &[[u8; 32]]) -> Vec<Scalar> {
    let mut transcript = Transcript::new(b"riskveil/v1/crypto/evaluation");
    transcript.append_message(b"chain id", ctx.chain_id);
    transcript.append_message(b"publisher", ctx.publisher.as_bytes());
    transcript.append_u64(b"period", u64::from(ctx.period));
    transcript.append_message(b"K", ctx.k);
    transcript.append_message(b"core", ctx.core);
    transcript.append_message(b"envelope", ctx.envelope);
    append_list(&mut transcript, b"C2", c2);
    append_list(&mut transcript, b"Z", z);
    let mut bytes = vec![[0; 16]; c2.len()];
    transcript.challenge_bytes(b"weights", bytes.as_flattened_mut());
    bytes.into_iter().map(|weight| Scalar::from(u128::from_le_bytes(weight))).collect()
}

/// The weights of RFC 9497's batch: each from its own pair alone.
#[must_use]
pub fn rfc_weights(k: &[u8; 32], c2: &[[u8; 32]], z: &[[u8; 32]]) -> Vec<Scalar> {
    (0u16..).zip(c2.iter().zip(z)).map(|(index, (c, d))| composite_weight(k, index, c, d)).collect()
}

fn composite_weight(k: &[u8; 32], index: u16, c: &[u8; 32], d: &[u8; 32]) -> Scalar {
    let seed_dst = [b"Seed-", CONTEXT].concat();
    let seed = Sha512::new().chain_update([0, 32]).chain_update(k).chain_update((seed_dst.len() as u16).to_be_bytes());
    let seed: [u8; 64] = seed.chain_update(&seed_dst).finalize().into();
    let framed: [&[u8]; 8] = [&[0, 64], &seed, &index.to_be_bytes(), &[0, 32], c, &[0, 32], d, b"Composite"];
    hash_to_scalar(&framed.concat())
}

/// `sum w_i * e_i`.
#[must_use]
pub fn weighted(weights: &[Scalar], elements: &[[u8; 32]]) -> RistrettoPoint {
    weights.iter().zip(elements).map(|(weight, element)| weight * decode(element)).sum()
}

/// RFC 9497 `GenerateProof(k, G, K, [C], [D], r)`.
#[must_use]
pub fn prove_pair(k: &Scalar, public: &[u8; 32], c: &RistrettoPoint, d: &RistrettoPoint, r: &Scalar) -> [u8; 64] {
    let weight = composite_weight(public, 0, &encode(c), &encode(d));
    prove_composite(k, public, &(weight * c), r)
}

/// The part of `GenerateProof` after the composites.
#[must_use]
pub fn prove_composite(k: &Scalar, public: &[u8; 32], m: &RistrettoPoint, r: &Scalar) -> [u8; 64] {
    let (z, t2, t3) = (k * m, RistrettoPoint::mul_base(r), r * m);
    let mut framed = Vec::new();
    for element in [public, &encode(m), &encode(&z), &encode(&t2), &encode(&t3)] {
        framed.extend_from_slice(&[0, 32]);
        framed.extend_from_slice(element);
    }
    framed.extend_from_slice(b"Challenge");
    let challenge = hash_to_scalar(&framed);
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(challenge.as_bytes());
    proof[32..].copy_from_slice((r - challenge * k).as_bytes());
    proof
}

/// The honest evaluation of a request under `k`: every Z and the proof.
#[must_use]
pub fn evaluate(k: &Scalar, ctx: &Context<'_>, c2: &[[u8; 32]], r: &Scalar) -> (Vec<[u8; 32]>, [u8; 64]) {
    let z: Vec<[u8; 32]> = c2.iter().map(|element| encode(&(k * decode(element)))).collect();
    let weights = weights(ctx, c2, &z);
    let proof = prove_pair(k, ctx.k, &weighted(&weights, c2), &weighted(&weights, &z), r);
    (z, proof)
}

/// K_Y and the proof that binds `k` to the audit key.
#[must_use]
pub fn bind(k: &Scalar, y: &[u8; 32], context: &[u8], r: &Scalar) -> ([u8; 32], [u8; 64]) {
    let (public, k_y) = (encode(&RistrettoPoint::mul_base(k)), encode(&(k * decode(y))));
    let mut transcript = Transcript::new(b"riskveil/v1/crypto/key-binding");
    transcript.append_message(b"context", context);
    transcript.append_message(b"Y", y);
    transcript.append_message(b"K", &public);
    transcript.append_message(b"K_Y", &k_y);
    transcript.append_message(b"R1", &encode(&RistrettoPoint::mul_base(r)));
    transcript.append_message(b"R2", &encode(&(r * decode(y))));
    let c = challenge(&mut transcript);
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(c.as_bytes());
    proof[32..].copy_from_slice((r + c * k).as_bytes());
    (k_y, proof)
}

/// A Schnorr proof of knowledge over a transcript that holds the statement: R, z.
pub(super) fn schnorr(transcript: &mut Transcript, secret: &Scalar, r: &Scalar) -> [u8; 64] {
    let announced = encode(&RistrettoPoint::mul_base(r));
    transcript.append_message(b"R", &announced);
    let z = r + challenge(transcript) * secret;
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(&announced);
    proof[32..].copy_from_slice(z.as_bytes());
    proof
}

fn challenge(transcript: &mut Transcript) -> Scalar {
    let mut wide = [0; 64];
    transcript.challenge_bytes(b"c", &mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}
