//! Escrowed items, proofs of knowledge, and HPKE seals.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeS, Serializable as _};
use merlin::Transcript;
use rand_chacha::ChaCha20Rng;

use super::oprf::{decode, encode, hash_to_group, schnorr};

/// C1 and C2.
pub type Item = ([u8; 32], [u8; 32]);

/// The dummy element D.
#[must_use]
pub fn dummy() -> RistrettoPoint {
    hash_to_group(b"riskveil/v1/crypto/escrow-dummy")
}

/// `C1 = s*G`, `C2 = P + s*Y`.
#[must_use]
pub fn escrow(p: &RistrettoPoint, y: &[u8; 32], s: &Scalar) -> Item {
    (encode(&RistrettoPoint::mul_base(s)), encode(&(p + s * decode(y))))
}

/// One proof of knowledge per item, bound to the core's digest.
#[must_use]
pub fn prove_each(core: &[u8; 32], y: &[u8; 32], items: &[Item], secrets: &[Scalar], r: &Scalar) -> Vec<[u8; 64]> {
    let one = |(index, ((c1, c2), s)): (u64, (&Item, &Scalar))| {
        let mut transcript = Transcript::new(b"riskveil/v1/crypto/escrow-item");
        transcript.append_message(b"binding", core);
        transcript.append_message(b"Y", y);
        transcript.append_u64(b"count", items.len() as u64);
        transcript.append_u64(b"index", index);
        transcript.append_message(b"C1", c1);
        transcript.append_message(b"C2", c2);
        schnorr(&mut transcript, s, &(r + Scalar::from(index)))
    };
    (0u64..).zip(items.iter().zip(secrets)).map(one).collect()
}

/// A proof of possession of an audit key.
#[must_use]
pub fn prove_possession(y: &Scalar, public: &[u8; 32], context: &[u8], r: &Scalar) -> [u8; 64] {
    let mut transcript = Transcript::new(b"riskveil/v1/crypto/audit-key-possession");
    transcript.append_message(b"context", context);
    transcript.append_message(b"Y", public);
    schnorr(&mut transcript, y, r)
}

/// HPKE base mode: encapsulated key, ciphertext, tag.
#[must_use]
pub fn seal(to: &[u8; 32], info: &[u8], aad: &[u8], plaintext: &[u8], rng: &mut ChaCha20Rng) -> Vec<u8> {
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(to).expect("a key");
    let sealed = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256, _>(
        &OpModeS::Base,
        &to,
        info,
        plaintext,
        aad,
        rng,
    );
    let (encapsulated, ciphertext) = sealed.expect("sealed");
    [encapsulated.to_bytes().as_slice(), &ciphertext].concat()
}
