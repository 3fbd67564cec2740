//! The four bytes that every top-level message starts with: version, kind, suite.
//!
//! - **Shapes**: BCS `version u16 LE | kind u8 | suite u8`
//! - **Errors**: another version, kind or suite is an error, never skipped
//! - **Source**: DESIGN.md section 10, "Formats fixed from the first day"; specs/wire.md

use serde::{Deserialize, Serialize};

/// The only version there is.
pub const VERSION: u16 = 1;
/// `ristretto255-SHA512`, Ed25519, X25519-HKDF-SHA256-AES-256-GCM. Suite 2 (SM2, SM3, SM4) is reserved.
pub const SUITE_1: u8 = 1;

/// Kinds of top-level messages; the numbers are wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A signed transaction.
    Transaction = 1,
    /// A block header.
    BlockHeader = 2,
    /// The genesis.
    Genesis = 3,
    /// The core of a query.
    RequestCore = 16,
    /// A responder's envelope of a query.
    Envelope = 17,
    /// A responder's answer.
    Response = 18,
    /// What is sealed to the regulator in a query.
    SealPlaintext = 19,
    /// The signed and logged part of a disclosure request.
    DisclosureHead = 24,
    /// A publisher's answer to a disclosure request.
    DisclosureResponse = 25,
    /// A lender's log window, sealed.
    QueryLog = 32,
    /// A responder's log window, sealed.
    ReceiptLog = 33,
    /// An evidence file.
    Evidence = 48,
}

/// `version u16 | kind u8 | suite u8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHeader {
    /// 1.
    pub version: u16,
    /// A [`Kind`].
    pub kind: u8,
    /// 1.
    pub suite: u8,
}

/// A message of another version, kind or suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message has version {version}, kind {kind}, suite {suite}; expected version 1, kind {expected}, suite 1")]
pub struct HeaderUnexpected {
    /// The version it has.
    pub version: u16,
    /// The kind it has.
    pub kind: u8,
    /// The suite it has.
    pub suite: u8,
    /// The kind that was expected.
    pub expected: u8,
}

impl MessageHeader {
    /// The header of a message of this kind.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { version: VERSION, kind: kind as u8, suite: SUITE_1 }
    }

    /// Refuses any other version, kind or suite.
    ///
    /// # Errors
    /// [`HeaderUnexpected`] with what was found.
    pub fn expect(&self, kind: Kind) -> Result<(), HeaderUnexpected> {
        if *self == Self::new(kind) {
            return Ok(());
        }
        Err(HeaderUnexpected { version: self.version, kind: self.kind, suite: self.suite, expected: kind as u8 })
    }
}
