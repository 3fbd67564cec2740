//! What every sigma proof of ours does to a merlin transcript: begin under a tag, absorb, challenge, draw a hedged nonce.
//!
//! - **Security**: a nonce depends on the secret, on 32 fresh random bytes and on the whole transcript, so neither a broken
//!   generator nor a repeated statement alone repeats it under another challenge
//! - **Source**: merlin 3.0, vectors/merlin_transcript.json

use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use crate::{dst::Dst, group::Element, secret::SecretScalar};

pub(crate) trait TranscriptProtocol {
    fn begin(dst: Dst) -> Self;
    fn append_element(&mut self, label: &'static [u8], element: &Element);
    fn append_elements(&mut self, label: &'static [u8], elements: &[Element]);
    fn challenge_scalar(&mut self, label: &'static [u8]) -> Scalar;
    fn challenge_weights(&mut self, label: &'static [u8], count: usize) -> Vec<u128>;
    fn hedged_nonce(&self, secret: &Scalar, rng: &mut (impl RngCore + CryptoRng)) -> SecretScalar;
}

impl TranscriptProtocol for Transcript {
    fn begin(dst: Dst) -> Transcript {
        Transcript::new(dst.as_bytes())
    }

    fn append_element(&mut self, label: &'static [u8], element: &Element) {
        self.append_message(label, element.as_bytes());
    }

    /// The count, then all encodings as one message: 32 bytes each, so the split is unambiguous.
    fn append_elements(&mut self, label: &'static [u8], elements: &[Element]) {
        let mut bytes = Vec::with_capacity(elements.len() * 32);
        elements.iter().for_each(|element| bytes.extend_from_slice(element.as_bytes()));
        self.append_u64(b"count", elements.len() as u64);
        self.append_message(label, &bytes);
    }

    fn challenge_scalar(&mut self, label: &'static [u8]) -> Scalar {
        let mut wide = [0; 64];
        self.challenge_bytes(label, &mut wide);
        Scalar::from_bytes_mod_order_wide(&wide)
    }

    /// `count` weights of 128 bits, squeezed as one challenge of `16 * count` bytes, each little-endian.
    fn challenge_weights(&mut self, label: &'static [u8], count: usize) -> Vec<u128> {
        let mut bytes = vec![[0u8; 16]; count];
        self.challenge_bytes(label, bytes.as_flattened_mut());
        bytes.into_iter().map(u128::from_le_bytes).collect()
    }

    fn hedged_nonce(&self, secret: &Scalar, rng: &mut (impl RngCore + CryptoRng)) -> SecretScalar {
        let witness = Zeroizing::new(secret.to_bytes());
        let mut nonce_rng = self.build_rng().rekey_with_witness_bytes(b"secret", witness.as_ref()).finalize(rng);
        SecretScalar::random(&mut nonce_rng)
    }
}
