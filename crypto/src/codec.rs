//! BCS: the one encoding of whatever is signed, hashed, stored or sent between members.
//!
//! - **Shapes**: fixed-length fields are raw bytes without a length ([`bytes_n`], [`lists_of_bytes_n`]); a reader states the longest
//!   input it takes
//! - **Invariants**: one value has one encoding; [`decode`] refuses every other spelling, and bytes left over
//! - **Errors**: [`DecodeError`] (whoever sent the bytes: drop them); it never quotes input
//! - **Source**: github.com/diem/bcs; crate `bcs`

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Bytes that are no value of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than the reader allows.
    #[error("encoding has {got} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes allowed.
        max: usize,
        /// Bytes given.
        got: usize,
    },
    /// Cut short, not canonical, out of range, or followed by more bytes.
    #[error("encoding is malformed")]
    Malformed,
}

/// The BCS encoding of a value.
///
/// # Panics
/// For types BCS has no encoding for: floats, sequences of 2^31 items, nesting deeper than 500. No message of ours is one.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    bcs::to_bytes(value).expect("message types hold no float, no 2^31 items and no 500 levels")
}

/// The value whose BCS encoding is exactly `bytes`.
///
/// # Errors
/// [`DecodeError::TooLong`] above `max_len` bytes, before anything is read; [`DecodeError::Malformed`] for everything else.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], max_len: usize) -> Result<T, DecodeError> {
    if bytes.len() > max_len {
        return Err(DecodeError::TooLong { max: max_len, got: bytes.len() });
    }
    bcs::from_bytes(bytes).map_err(|_| DecodeError::Malformed)
}

/// N raw bytes as an element of a list, encoded as [`bytes_n`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw<const N: usize>(#[serde(with = "bytes_n")] pub [u8; N]);

/// `#[serde(with = "riskveil_crypto::codec::lists_of_bytes_n")]` for `Vec<[u8; N]>`: each as [`bytes_n`] does.
pub mod lists_of_bytes_n {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Raw;

    /// Writes the length, then each.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer, const N: usize>(list: &[[u8; N]], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| Raw(*bytes)))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<Vec<[u8; N]>, D::Error> {
        Ok(Vec::<Raw<N>>::deserialize(deserializer)?.into_iter().map(|raw| raw.0).collect())
    }
}

/// `#[serde(with = "riskveil_crypto::codec::bytes_n")]` for `[u8; N]` of any N: N raw bytes in BCS, hex where humans read.
///
/// In BCS a number of 128 bits is its 16 bytes, least significant first, and a tuple has no length: so a tuple of numbers is the
/// same bytes as one of bytes, in a sixteenth of the calls.
pub mod bytes_n {
    use std::fmt;

    use serde::{
        Deserializer, Serializer,
        de::{Error, SeqAccess, Visitor},
        ser::SerializeTuple,
    };

    /// Bytes of a 128-bit number.
    const WORD: usize = 16;

    /// Writes N bytes raw, or 2N hex digits to a human-readable format.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&hex::encode(bytes));
        }
        let (words, rest) = bytes.as_chunks::<WORD>();
        let mut tuple = serializer.serialize_tuple(words.len() + rest.len())?;
        for word in words {
            tuple.serialize_element(&u128::from_le_bytes(*word))?;
        }
        for byte in rest {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// If there are not exactly N bytes, or the text is not hex.
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(HexVisitor::<N>)
        } else {
            deserializer.deserialize_tuple(N / WORD + N % WORD, RawVisitor::<N>)
        }
    }

    struct RawVisitor<const N: usize>;

    impl<'de, const N: usize> Visitor<'de> for RawVisitor<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{N} bytes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
            let mut bytes = [0; N];
            let (words, rest) = bytes.as_chunks_mut::<WORD>();
            for (i, word) in words.iter_mut().enumerate() {
                let number: u128 = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(i * WORD, &self))?;
                *word = number.to_le_bytes();
            }
            for byte in rest {
                *byte = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(N / WORD * WORD, &self))?;
            }
            Ok(bytes)
        }
    }

    struct HexVisitor<const N: usize>;

    impl<const N: usize> Visitor<'_> for HexVisitor<N> {
        type Value = [u8; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} hex digits", 2 * N)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<[u8; N], E> {
            let mut bytes = [0; N];
            hex::decode_to_slice(text, &mut bytes).map_err(|_| E::invalid_length(text.len(), &self))?;
            Ok(bytes)
        }
    }
}
