//! HKDF (RFC 5869) with SHA-256 and with SHA-512: every derived key of this room comes from one of the two.
//!
//! - **Shapes**: at most 255 digests of output: 8,160 bytes with SHA-256, 16,320 with SHA-512
//! - **Source**: RFC 5869; vectors/rfc5869_hkdf_sha256.json, vectors/wycheproof/hkdf_sha{256,512}_test.json

use hkdf::Hkdf;
use sha2::{Sha256, Sha512};

/// More output asked for than HKDF gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("HKDF gives at most 255 digests")]
pub struct OutputTooLong;

/// Fills `okm` by HKDF-SHA-256. An empty salt is the RFC's absent one.
///
/// # Errors
/// [`OutputTooLong`] above 8,160 bytes.
pub fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]], okm: &mut [u8]) -> Result<(), OutputTooLong> {
    Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, okm).map_err(|_| OutputTooLong)
}

/// Fills `okm` by HKDF-SHA-512. An empty salt is the RFC's absent one.
///
/// # Errors
/// [`OutputTooLong`] above 16,320 bytes.
pub fn hkdf_sha512(salt: &[u8], ikm: &[u8], info: &[&[u8]], okm: &mut [u8]) -> Result<(), OutputTooLong> {
    Hkdf::<Sha512>::new(Some(salt), ikm).expand_multi_info(info, okm).map_err(|_| OutputTooLong)
}
