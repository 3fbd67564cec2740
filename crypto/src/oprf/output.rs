//! The output of the function and its derivation from N.

use std::fmt;

use sha2::{Digest, Sha512};

use super::OprfError;
use crate::{kernel::Kernel, secret::SecretBytes, sha512};

/// `Finalize(x, N)`, 64 secret bytes: whoever holds it recognises this input's tags of this key until the period ends.
#[derive(Clone)]
pub struct PrfOutput(SecretBytes<64>);

impl PrfOutput {
    /// Lends the bytes to `read`. What it returns is no longer guarded.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8; 64]) -> R) -> R {
        self.0.expose(read)
    }
}

impl PrfOutput {
    pub(crate) const fn as_bytes(&self) -> &[u8; 64] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PrfOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrfOutput(..)")
    }
}

/// `Hash(len(input) | input | len(N) | N | "Finalize")`, the last step of `Finalize` and `Evaluate` of RFC 9497 section 3.3.
pub(crate) fn finalize(input: &[u8], unblinded: &[u8; 32]) -> Result<PrfOutput, OprfError> {
    let too_long = |_| OprfError::InputTooLong { got: input.len() };
    let input_len = u16::try_from(input.len()).map_err(too_long)?;
    let sha = Sha512::new()
        .chain_update(input_len.to_be_bytes())
        .chain_update(input)
        .chain_update(32u16.to_be_bytes())
        .chain_update(unblinded)
        .chain_update(b"Finalize");
    Ok(PrfOutput(SecretBytes::from_bytes(sha.finalize().into())))
}

/// [`finalize`] of each pair. A pair whose N is the identity has no output.
pub(crate) fn finalize_all(
    kernel: Kernel,
    inputs: &[impl AsRef<[u8]>],
    unblinded: &[[u8; 32]],
) -> Result<Vec<PrfOutput>, OprfError> {
    if unblinded.contains(&[0; 32]) {
        return Err(OprfError::IdentityElement);
    }
    if let Some(long) = inputs.iter().find(|input| input.as_ref().len() > usize::from(u16::MAX)) {
        return Err(OprfError::InputTooLong { got: long.as_ref().len() });
    }
    let digests = sha512::finalize(kernel, inputs, unblinded);
    Ok(digests.iter().map(|digest| PrfOutput(SecretBytes::from_bytes(*digest))).collect())
}
