//! The suite `ristretto255-SHA512`: context string, hashing to the group and to scalars, key derivation.
//!
//! - **Source**: RFC 9497 sections 3.1, 3.2.1 and 4.1; RFC 9380 section 5.3.1; vectors/rfc9380_expand_message_xmd_*.json

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use sha2::{
    Digest, Sha512,
    digest::{core_api::BlockSizeUser, typenum::Unsigned},
};

use super::OprfError;
use crate::{
    group::Element,
    kernel::Kernel,
    secret::SecretScalar,
    sha512::{self, Digests},
};

/// Mode of the protocol, one byte of the context string. POPRF (0x02) is not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 0x00, without proofs: for vectors.
    Oprf,
    /// 0x01, verifiable: what the protocol uses.
    Voprf,
}

/// `"OPRFV1-" | I2OSP(mode, 1) | "-ristretto255-SHA512"`, 27 bytes.
pub const fn context_string(mode: Mode) -> &'static [u8] {
    match mode {
        Mode::Oprf => b"OPRFV1-\x00-ristretto255-SHA512",
        Mode::Voprf => b"OPRFV1-\x01-ristretto255-SHA512",
    }
}

/// `HashToGroup(input)` with DST `"HashToGroup-" | contextString`.
///
/// # Errors
/// [`OprfError::InputTooLong`] above 65,535 bytes, [`OprfError::IdentityElement`] if the hash is the identity.
pub fn hash_to_group(mode: Mode, input: &[u8]) -> Result<Element, OprfError> {
    Ok(Element::from_point(hash_to_point(mode, input)?)?)
}

/// As [`hash_to_group`], not encoded: for batches that encode a multiple only.
pub(crate) fn hash_to_point(mode: Mode, input: &[u8]) -> Result<RistrettoPoint, OprfError> {
    if input.len() > usize::from(u16::MAX) {
        return Err(OprfError::InputTooLong { got: input.len() });
    }
    let uniform = expand_sha512(&[input], &[b"HashToGroup-", context_string(mode)]);
    Ok(RistrettoPoint::from_uniform_bytes(&uniform))
}

/// The uniform bytes that `HashToGroup` of each input maps, in VOPRF mode.
pub(crate) fn expand_to_group(kernel: Kernel, inputs: &[impl AsRef<[u8]>]) -> Result<Digests, OprfError> {
    if let Some(long) = inputs.iter().find(|input| input.as_ref().len() > usize::from(u16::MAX)) {
        return Err(OprfError::InputTooLong { got: long.as_ref().len() });
    }
    Ok(sha512::expand_message_xmd(kernel, inputs, &[b"HashToGroup-", context_string(Mode::Voprf)]))
}

/// `HashToScalar(parts)` with DST `"HashToScalar-" | contextString`; the parts are concatenated.
pub(crate) fn hash_to_scalar(mode: Mode, parts: &[&[u8]]) -> Scalar {
    let uniform = expand_sha512(parts, &[b"HashToScalar-", context_string(mode)]);
    Scalar::from_bytes_mod_order_wide(&uniform)
}

/// `DeriveKeyPair(seed, info)` of RFC 9497 section 3.2.1. For vectors: period keys are drawn, not derived.
///
/// # Errors
/// [`OprfError::InputTooLong`] if `info` is above 65,535 bytes, [`OprfError::IdentityElement`] if 256 tries give zero.
pub fn derive_key_pair(mode: Mode, seed: &[u8; 32], info: &[u8]) -> Result<SecretScalar, OprfError> {
    let too_long = |_| OprfError::InputTooLong { got: info.len() };
    let info_len = u16::try_from(info.len()).map_err(too_long)?.to_be_bytes();
    for counter in 0..=u8::MAX {
        let input: &[&[u8]] = &[seed, &info_len, info, &[counter]];
        let uniform = expand_sha512(input, &[b"DeriveKeyPair", context_string(mode)]);
        if let Ok(sk) = SecretScalar::from_scalar(Scalar::from_bytes_mod_order_wide(&uniform)) {
            return Ok(sk);
        }
    }
    Err(OprfError::IdentityElement)
}

fn expand_sha512(message: &[&[u8]], dst: &[&[u8]]) -> [u8; 64] {
    let mut uniform = [0; 64];
    expand_message_xmd::<Sha512>(message, dst, &mut uniform).expect("64 bytes are one block of SHA-512");
    uniform
}

/// More output asked for than `expand_message_xmd` gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expand_message_xmd gives at most 255 blocks and 65535 bytes")]
pub struct ExpandTooLong;

/// `expand_message_xmd` of RFC 9380 section 5.3.1; message and DST are given in parts and concatenated.
///
/// The suite uses SHA-512; other hashes are for the RFC's vectors.
///
/// # Errors
/// [`ExpandTooLong`] above 255 blocks or 65,535 bytes.
pub fn expand_message_xmd<H: Digest + BlockSizeUser>(
    message: &[&[u8]],
    dst: &[&[u8]],
    uniform_bytes: &mut [u8],
) -> Result<(), ExpandTooLong> {
    let out_len = u16::try_from(uniform_bytes.len()).map_err(|_| ExpandTooLong)?;
    let block_len = <H as Digest>::output_size();
    let ell = uniform_bytes.len().div_ceil(block_len);
    if ell > 255 {
        return Err(ExpandTooLong);
    }
    // DST_prime = DST || I2OSP(len(DST), 1), an oversized DST being hashed first (section 5.3.3)
    let mut dst_prime: Vec<u8> = dst.concat();
    if dst_prime.len() > 255 {
        let mut hash = H::new_with_prefix(b"H2C-OVERSIZE-DST-");
        hash.update(&dst_prime);
        dst_prime = hash.finalize().to_vec();
    }
    dst_prime.push(dst_prime.len() as u8);
    // b_0 = H(Z_pad || msg || I2OSP(len_in_bytes, 2) || I2OSP(0, 1) || DST_prime)
    let mut hash = H::new();
    hash.update(&[0u8; 256][..H::BlockSize::USIZE]);
    message.iter().for_each(|part| hash.update(part));
    hash.update(out_len.to_be_bytes());
    hash.update([0]);
    hash.update(&dst_prime);
    let b_0 = hash.finalize();
    // b_i = H(strxor(b_0, b_(i-1)) || I2OSP(i, 1) || DST_prime), b_1 with b_0 alone
    let mut previous = H::new().finalize();
    previous.fill(0);
    for (i, chunk) in uniform_bytes.chunks_mut(block_len).enumerate() {
        previous.iter_mut().zip(&b_0).for_each(|(b, b0)| *b ^= b0);
        let mut hash = H::new_with_prefix(&previous);
        hash.update([i as u8 + 1]);
        hash.update(&dst_prime);
        previous = hash.finalize();
        chunk.copy_from_slice(&previous[..chunk.len()]);
    }
    Ok(())
}
