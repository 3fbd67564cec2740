//! BCS by hand, the framed hash, and Ed25519 over it.

use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};

/// A BCS writer.
#[derive(Clone, Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Two bytes, little-endian.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes, little-endian.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes, little-endian.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    /// A ULEB128 number: lengths and variants.
    #[must_use]
    pub fn uleb(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    /// Bytes of a fixed length.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes or text with their length before them.
    #[must_use]
    pub fn sized(self, bytes: &[u8]) -> Self {
        self.uleb(bytes.len() as u64).raw(bytes)
    }

    /// A message header: version 1, this kind, suite 1.
    #[must_use]
    pub fn header(self, kind: u8) -> Self {
        self.u16(1).u8(kind).u8(1)
    }

    /// The bytes.
    #[must_use]
    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads BCS by hand; panics on what does not fit, because a test feeds it the victim's own bytes.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `length` bytes.
    pub fn raw(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(length);
        self.0 = tail;
        head
    }

    /// The next N bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.raw(N).try_into().expect("N bytes")
    }

    /// A little-endian number of four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A little-endian number of eight bytes.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A ULEB128 number.
    pub fn uleb(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.raw(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    /// Bytes with their length before them.
    pub fn sized(&mut self) -> &'a [u8] {
        let length = self.uleb();
        self.raw(length)
    }

    /// A text with its length before it.
    pub fn text(&mut self) -> String {
        String::from_utf8(self.sized().to_vec()).expect("UTF-8")
    }
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// `H(dst, parts)` of specs/crypto.md.
#[must_use]
pub fn h(dst: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    sha.update((dst.len() as u16).to_be_bytes());
    sha.update(dst.as_bytes());
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

/// The RFC 9162 tree hash over leaves.
#[must_use]
pub fn merkle_root(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => sha256(b""),
        [leaf] => sha256(&[&[0], leaf.as_slice()].concat()),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = (merkle_root(&leaves[..split]), merkle_root(&leaves[split..]));
            sha256(&[&[1], left.as_slice(), &right].concat())
        }
    }
}

/// An Ed25519 key pair.
#[derive(Clone, Debug)]
pub struct Identity(pub ed25519_dalek::SigningKey);

impl Identity {
    /// The key of a seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// A signature for a purpose on a chain.
    #[must_use]
    pub fn sign(&self, dst: &str, chain_id: &[u8; 32], message: &[u8]) -> [u8; 64] {
        self.0.sign(&h(dst, &[chain_id, message])).to_bytes()
    }
}
