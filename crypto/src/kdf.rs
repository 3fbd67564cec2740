//! HKDF (RFC 5869) with SHA-256 and with SHA-512: every derived key of this room comes from one of the two.
//!
//! - **Shapes**: at most 255 digests of output: 8,160 bytes with SHA-256, 16,320 with SHA-512
//! - **Source**: RFC 5869; vectors/rfc5869_hkdf_sha256.json, vectors/wycheproof/hkdf_sha{256,512}_test.json

use std::fmt;

use hkdf::Hkdf;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use crate::{
    kernel::kernel,
    sha512::{self, Prks},
};

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

/// HKDF-SHA-512 of many secrets under one salt, extracted once and expanded as often as wanted.
pub struct HkdfBatch {
    prks: Prks,
    count: usize,
}

impl HkdfBatch {
    /// `HKDF-Extract(salt, ikm)` of each.
    pub fn extract(salt: &[u8], ikms: &[impl AsRef<[u8]>]) -> HkdfBatch {
        HkdfBatch { prks: sha512::extract(kernel(), salt, ikms), count: ikms.len() }
    }

    /// The first 64 bytes of `HKDF-Expand(PRK, info)` of each, in order; the parts of the info are concatenated.
    pub fn expand(&self, info: &[&[u8]]) -> Zeroizing<Vec<[u8; 64]>> {
        let info = info.concat();
        self.prks.expand(&vec![&info[..]; self.count])
    }
}

impl fmt::Debug for HkdfBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HkdfBatch({})", self.count)
    }
}
