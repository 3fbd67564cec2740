//! The holder of a period's secret key: evaluates inputs it knows.
//!
//! - **Place**: walk A3, `x` -> [`PrfOutput`] -> `fingerprint`
//! - **Invariants**: `k` is not zero, so K is not the identity; K is computed once
//! - **Security**: constant time in `k` and in the inputs but for their lengths
//! - **Source**: RFC 9497 sections 3.2.1 and 3.3.2

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::{OprfError, PrfOutput, finalize, finalize_all, suite};
use crate::{
    group::Element,
    kernel::kernel,
    points::{self, HALF, RUN},
    secret::{ScalarInvalid, SecretBytes, SecretScalar},
};

/// The secret key `k` of one period; zeroised when dropped.
#[derive(Clone)]
pub struct OprfSecretKey {
    k: SecretScalar,
    public: Element,
}

impl OprfSecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> OprfSecretKey {
        OprfSecretKey::from_scalar(SecretScalar::random(rng))
    }

    /// The key with this encoding, from the key store.
    ///
    /// # Errors
    /// [`ScalarInvalid`] for zero and for encodings of l and more.
    pub fn from_bytes(bytes: &SecretBytes<32>) -> Result<OprfSecretKey, ScalarInvalid> {
        let k = bytes.expose(|bytes| SecretScalar::from_canonical_bytes(*bytes))?;
        Ok(OprfSecretKey::from_scalar(k))
    }

    /// The key `k`; `K = k*G` is computed here.
    pub fn from_scalar(k: SecretScalar) -> OprfSecretKey {
        let public = k.expose(RistrettoPoint::mul_base);
        let public = Element::from_point(public).expect("k is not zero and G has prime order");
        OprfSecretKey { k, public }
    }

    /// `K = k*G`.
    pub fn public_key(&self) -> Element {
        self.public
    }

    /// The encoding of `k`, for the key store.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        self.k.to_secret_bytes()
    }

    /// `Evaluate(k, x)`: what a client obtains for the same input by the interactive protocol.
    ///
    /// # Errors
    /// [`OprfError::InputTooLong`]; [`OprfError::IdentityElement`] for an input nobody knows.
    pub fn evaluate(&self, input: &[u8]) -> Result<PrfOutput, OprfError> {
        let point = suite::hash_to_point(suite::Mode::Voprf, input)?;
        let evaluated = Element::from_point(self.k.expose(|k| k * point))?;
        finalize(input, evaluated.as_bytes())
    }

    /// [`evaluate`](Self::evaluate) of each input, in order, many at a time.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate), when any input has one; then no output is returned.
    pub fn evaluate_batch(&self, inputs: &[impl AsRef<[u8]>]) -> Result<Vec<PrfOutput>, OprfError> {
        let kernel = kernel();
        let half = Zeroizing::new(self.k.expose(|k| k * *HALF));
        let mut outputs = Vec::with_capacity(inputs.len());
        for inputs in inputs.chunks(RUN) {
            let uniform = suite::expand_to_group(kernel, inputs)?;
            let encodings = Zeroizing::new(points::map(kernel, &uniform).multiply(&half).double_and_encode());
            outputs.extend(finalize_all(kernel, inputs, &encodings)?);
        }
        Ok(outputs)
    }

    pub(crate) fn k(&self) -> &SecretScalar {
        &self.k
    }
}

impl fmt::Debug for OprfSecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OprfSecretKey(..)")
    }
}
