//! Elements of ristretto255, a group of prime order l in which every element has one encoding.
//!
//! - **Shapes**: 32 bytes: the encoding alone. Points have one form in dalek and another in lanes (`points`), and lists of 65,535
//!   elements are copied and kept
//! - **Invariants**: an [`Element`] is never the identity, and its encoding is the canonical one
//! - **Errors**: [`GroupError`] (whoever sent the bytes)
//! - **Security**: equality, order and hash go by the encoding, in variable time: an [`Element`] is for public values.
//!   `H(x)` of an identifier is as sensitive as the identifier, so `Debug` prints no bytes of any element
//! - **Source**: RFC 9496; vectors/rfc9496_ristretto255.json

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_COMPRESSED,
    ristretto::{CompressedRistretto, RistrettoPoint},
    traits::IsIdentity,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    codec::bytes_n,
    lately::{self, Lately},
};

/// Bytes or a computation that give no usable group element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Not the canonical encoding of an element.
    #[error("not a canonical encoding of a group element")]
    NotCanonical,
    /// The identity element.
    #[error("group element is the identity")]
    Identity,
}

/// A ristretto255 element other than the identity.
#[derive(Clone, Copy)]
pub struct Element {
    bytes: [u8; 32],
}

impl Element {
    /// The generator G.
    pub const BASE: Element = Element { bytes: RISTRETTO_BASEPOINT_COMPRESSED.0 };

    /// Implements `DeserializeElement` of RFC 9497 section 4.1.
    ///
    /// # Errors
    /// [`GroupError::Identity`] for 32 zero bytes, [`GroupError::NotCanonical`] for whatever RFC 9496 does not decode.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Element, GroupError> {
        if *bytes == [0; 32] {
            return Err(GroupError::Identity);
        }
        thread_local!(static LATELY: Lately<()> = const { lately::nothing() });
        lately::decoded(&LATELY, bytes, || match CompressedRistretto(*bytes).decompress() {
            Some(_) => Ok(()),
            None => Err(GroupError::NotCanonical),
        })?;
        Ok(Element { bytes: *bytes })
    }

    /// Elements of encodings that were computed here, which are canonical.
    pub(crate) fn of_computed(encodings: &[[u8; 32]]) -> Result<Vec<Element>, GroupError> {
        encodings.iter().map(|bytes| Element::of_encoding(*bytes)).collect()
    }

    /// The element of an encoding that was computed here.
    pub(crate) fn of_encoding(bytes: [u8; 32]) -> Result<Element, GroupError> {
        if bytes == [0; 32] { Err(GroupError::Identity) } else { Ok(Element { bytes }) }
    }

    /// The one-way map of RFC 9496 section 4.3.4 of 64 uniform bytes.
    ///
    /// # Errors
    /// [`GroupError::Identity`] for bytes that nobody is known to be able to find.
    pub fn from_uniform_bytes(bytes: &[u8; 64]) -> Result<Element, GroupError> {
        Element::from_point(RistrettoPoint::from_uniform_bytes(bytes))
    }

    /// The 32-byte encoding.
    pub const fn to_bytes(&self) -> [u8; 32] {
        self.bytes
    }

    /// The 32-byte encoding.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(crate) fn from_point(point: RistrettoPoint) -> Result<Element, GroupError> {
        if point.is_identity() {
            return Err(GroupError::Identity);
        }
        Ok(Element { bytes: point.compress().0 })
    }

    /// The point, decoded: 4.6 us.
    pub(crate) fn point(&self) -> RistrettoPoint {
        CompressedRistretto(self.bytes).decompress().expect("an element's encoding is canonical")
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Element {}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Element) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Element) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl Hash for Element {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Element(..)")
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        bytes_n::serialize(&self.bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        Element::from_bytes(&bytes_n::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
