//! Names a byte string by 32 bytes: plain SHA-256, and SHA-256 under a domain separation tag with every part framed.
//!
//! - **Shapes**: a [`Digest32`] is 32 bytes in BCS and 64 lower-case hex digits where humans read
//! - **Security**: parts are length-prefixed, so that moving a byte from one part to the next changes the digest
//! - **Source**: FIPS 180-4; specs/crypto.md

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dst::Dst;

/// A SHA-256 digest, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest32(#[serde(with = "crate::codec::bytes_n")] [u8; 32]);

impl Digest32 {
    /// Thirty-two zero bytes: stands where no digest exists yet.
    pub const ZERO: Digest32 = Digest32([0; 32]);

    /// The digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Digest32 {
        Digest32(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl AsRef<[u8]> for Digest32 {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest32 {
    fn from(bytes: [u8; 32]) -> Digest32 {
        Digest32(bytes)
    }
}

impl fmt::Display for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hex digits")]
pub struct DigestTextInvalid;

impl FromStr for Digest32 {
    type Err = DigestTextInvalid;

    fn from_str(text: &str) -> Result<Digest32, DigestTextInvalid> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| DigestTextInvalid)?;
        Ok(Digest32(bytes))
    }
}

/// SHA-256 of the bytes as they are: for files and consent documents, whose digests others must be able to recompute.
pub fn sha256(bytes: &[u8]) -> Digest32 {
    Digest32(Sha256::digest(bytes).into())
}

/// SHA-256 over `u16 len(dst) | dst`, then `u64 len(part) | part` for each part; lengths big-endian.
pub fn hash(dst: Dst, parts: &[&[u8]]) -> Digest32 {
    let mut sha = Sha256::new();
    sha.update((dst.as_bytes().len() as u16).to_be_bytes());
    sha.update(dst.as_bytes());
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    Digest32(sha.finalize().into())
}
