//! Secrets that do not print, serialise or compare in variable time, and are zeroised when dropped.
//!
//! - **Shapes**: [`SecretBytes`] of N bytes; [`SecretScalar`], a scalar modulo the group order l = 2^252 + ...
//! - **Invariants**: a [`SecretScalar`] is canonical and not zero
//! - **Security**: read through `expose(|s| ...)` only, so that every use can be found by its name; `Debug` prints the type
//!   alone; equality is `subtle`'s. Moves may leave copies on the stack, as everywhere in Rust

use std::fmt;

use curve25519_dalek::scalar::Scalar;
use rand_core::{CryptoRng, RngCore};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// N secret bytes.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

impl<const N: usize> SecretBytes<N> {
    /// N bytes drawn from the given generator.
    pub fn random(rng: &mut (impl RngCore + CryptoRng)) -> SecretBytes<N> {
        let mut secret = SecretBytes([0; N]);
        rng.fill_bytes(&mut secret.0);
        secret
    }

    /// Wraps bytes at birth.
    pub const fn from_bytes(bytes: [u8; N]) -> SecretBytes<N> {
        SecretBytes(bytes)
    }

    /// Lends the bytes to `read`. What it returns is no longer guarded.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8; N]) -> R) -> R {
        read(&self.0)
    }
}

impl<const N: usize> SecretBytes<N> {
    /// The bytes, for this room's batches, which take slices of them.
    pub(crate) const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> ConstantTimeEq for SecretBytes<N> {
    fn ct_eq(&self, other: &SecretBytes<N>) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl<const N: usize> fmt::Debug for SecretBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Bytes that are no canonical scalar, or the zero scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scalar is not canonical or is zero")]
pub struct ScalarInvalid;

/// A secret scalar modulo l; never zero.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretScalar(Scalar);

impl SecretScalar {
    /// A uniform scalar other than zero.
    pub fn random(rng: &mut (impl RngCore + CryptoRng)) -> SecretScalar {
        loop {
            if let Ok(scalar) = SecretScalar::from_scalar(Scalar::random(rng)) {
                return scalar;
            }
        }
    }

    /// The scalar with this encoding: 32 bytes, little-endian, less than l.
    ///
    /// # Errors
    /// [`ScalarInvalid`] for zero and for values of l and more.
    pub fn from_canonical_bytes(bytes: [u8; 32]) -> Result<SecretScalar, ScalarInvalid> {
        let scalar: Option<Scalar> = Scalar::from_canonical_bytes(bytes).into();
        SecretScalar::from_scalar(scalar.ok_or(ScalarInvalid)?)
    }

    /// 64 uniform bytes, little-endian, modulo l.
    ///
    /// # Errors
    /// [`ScalarInvalid`] for a multiple of l, which nobody is known to be able to find by hashing.
    pub fn from_uniform_bytes(bytes: &SecretBytes<64>) -> Result<SecretScalar, ScalarInvalid> {
        SecretScalar::from_scalar(bytes.expose(Scalar::from_bytes_mod_order_wide))
    }

    /// `count` of them, drawn from the generator in one go: a system call for each would cost as much as hashing.
    pub(crate) fn random_batch(count: usize, rng: &mut (impl RngCore + CryptoRng)) -> Vec<SecretScalar> {
        let mut wide = Zeroizing::new(vec![[0; 64]; count]);
        rng.fill_bytes(wide.as_flattened_mut());
        let scalars = wide.iter().map(Scalar::from_bytes_mod_order_wide);
        scalars.map(|scalar| SecretScalar::from_scalar(scalar).unwrap_or_else(|_| SecretScalar::random(rng))).collect()
    }

    /// Twice it; not zero, since l is odd.
    pub(crate) fn doubled(&self) -> SecretScalar {
        SecretScalar(self.0 + self.0)
    }

    /// The 32-byte little-endian encoding, for the key store.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        SecretBytes(self.0.to_bytes())
    }

    pub(crate) fn from_scalar(scalar: Scalar) -> Result<SecretScalar, ScalarInvalid> {
        if scalar == Scalar::ZERO {
            return Err(ScalarInvalid);
        }
        Ok(SecretScalar(scalar))
    }

    pub(crate) fn expose<R>(&self, read: impl FnOnce(&Scalar) -> R) -> R {
        read(&self.0)
    }
}

impl ConstantTimeEq for SecretScalar {
    fn ct_eq(&self, other: &SecretScalar) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for SecretScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretScalar(..)")
    }
}
