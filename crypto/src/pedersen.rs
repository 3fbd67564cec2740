//! Pedersen commitments on the generators of the `bulletproofs` crate: hiding for ever, binding under discrete log.
//!
//! - **Place**: walk A3, a value of a record -> [`Opening`] -> [`Commitment`]; opened by disclosure alone
//! - **Shapes**: a commitment is 32 bytes, an opening a `u64` and a blinding of 32 bytes
//! - **Invariants**: any 32 bytes are a [`Commitment`] until a range proof or an opening of it is verified: both decode it
//! - **Errors**: [`OpeningInvalid`] (whoever opened)
//! - **Security**: a commitment says nothing about its value, whatever power the reader has; its maker cannot open it to two
//!   values without a discrete logarithm between the bases. An [`Opening`] never prints and is zeroised
//! - **Source**: Bünz et al. 2018, section 2; bulletproofs 5.0 `PedersenGens`; vectors/bulletproofs_rangeproof_v1.json
//!
//! # Notation
//! ```text
//! B, B_blinding   bases of PedersenGens::default(): B = G, B_blinding = SHA3-512 of G's encoding, mapped
//! v, v_blinding   value and blinding                          Opening
//! V               v*B + v_blinding*B_blinding                 Commitment
//! ```

use std::{
    fmt,
    sync::{LazyLock, OnceLock},
};

use bulletproofs::PedersenGens;
use curve25519_dalek::{ristretto::CompressedRistretto, scalar::Scalar};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    kernel::{Choice, Kernel, kernel},
    points::{self, Base, HALF, RUN},
    secret::{SecretBytes, SecretScalar},
};

pub(crate) static BASES: LazyLock<PedersenGens> = LazyLock::new(PedersenGens::default);

/// A commitment V, 32 bytes; not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commitment(#[serde(with = "crate::codec::bytes_n")] [u8; 32]);

impl Commitment {
    /// The commitment with this encoding.
    pub const fn from_bytes(bytes: [u8; 32]) -> Commitment {
        Commitment(bytes)
    }

    /// The encoding.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) const fn compressed(&self) -> CompressedRistretto {
        CompressedRistretto(self.0)
    }
}

/// A value and the blinding of its commitment; zeroised when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Opening {
    value: u64,
    blinding: SecretScalar,
}

impl Opening {
    /// The opening of this value under a blinding used for nothing else.
    pub const fn new(value: u64, blinding: SecretScalar) -> Opening {
        Opening { value, blinding }
    }

    /// The value.
    pub const fn value(&self) -> u64 {
        self.value
    }

    /// The encoding of the blinding: revealed, together with the value, to whoever is shown the value.
    pub fn blinding_bytes(&self) -> SecretBytes<32> {
        self.blinding.to_secret_bytes()
    }

    /// `V = v*B + v_blinding*B_blinding`, in constant time.
    pub fn commit(&self) -> Commitment {
        Commitment(self.expose(|value, blinding| BASES.commit(Scalar::from(value), *blinding)).compress().0)
    }

    /// [`commit`](Self::commit) of each, many at a time; values below 2^34.
    ///
    /// # Panics
    /// For a value of 2^34 or more, which no range proof of this room covers.
    pub fn commit_batch(openings: &[Opening]) -> Vec<Commitment> {
        let kernel = kernel();
        let mut commitments = Vec::with_capacity(openings.len());
        let bases = halved_bases(kernel);
        for openings in openings.chunks(RUN) {
            // V/2 = v*(B/2) + v_blinding*(B_blinding/2), doubled while it is encoded
            let values: Vec<Zeroizing<[u8; 32]>> = openings.iter().map(|opening| small(opening.value)).collect();
            let blindings = points::scalar_bytes(openings.iter().map(|opening| &opening.blinding));
            let sums = points::multiples(&bases.0, &values).add(&points::multiples(&bases.1, &blindings));
            commitments.extend(sums.double_and_encode().into_iter().map(Commitment));
        }
        commitments
    }

    pub(crate) fn expose<R>(&self, read: impl FnOnce(u64, &Scalar) -> R) -> R {
        self.blinding.expose(|blinding| read(self.value, blinding))
    }
}

/// B/2 for small values and B_blinding/2, with tables.
fn halved_bases(kernel: Kernel) -> (Base, Base) {
    static MADE: [OnceLock<(Base, Base)>; Choice::ALL.len()] = [const { OnceLock::new() }; Choice::ALL.len()];
    let make = || (Base::small(kernel, &(*HALF * BASES.B)), Base::full(kernel, &(*HALF * BASES.B_blinding)));
    MADE[kernel.choice() as usize].get_or_init(make).clone()
}

fn small(value: u64) -> Zeroizing<[u8; 32]> {
    assert!(value < 1 << 34, "a committed value is below 2^34");
    let mut bytes = Zeroizing::new([0; 32]);
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    bytes
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

/// Value and blinding are not those of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the commitment does not open to this value")]
pub struct OpeningInvalid;

/// Checks that a commitment opens to `value` under `blinding`, its 32-byte encoding. The blinding is public by now.
///
/// # Errors
/// [`OpeningInvalid`] if it does not, or if the blinding is not canonical.
pub fn verify_opening(commitment: &Commitment, value: u64, blinding: &[u8; 32]) -> Result<(), OpeningInvalid> {
    let blinding: Option<Scalar> = Scalar::from_canonical_bytes(*blinding).into();
    let expected = BASES.commit(Scalar::from(value), blinding.ok_or(OpeningInvalid)?);
    if expected.compress() == commitment.compressed() { Ok(()) } else { Err(OpeningInvalid) }
}
