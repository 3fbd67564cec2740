//! What the chain answers to a transaction: a stable code.
//!
//! - **Place**: A7, B9: one receipt per transaction of a block, in order; `receipts_root` is over their BCS
//! - **Shapes**: 34 bytes: SHA-256-based id 32 | code u16 LE
//! - **Invariants**: codes below 100 leave the sender's sequence where it is (the transaction may come again);
//!   0 and codes from 100 on consume it
//! - **Source**: specs/errors.md#receipt-codes

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal),+ $(,)?) => {
        /// A registered receipt code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ReceiptCode {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        impl ReceiptCode {
            /// Every registered code, ascending.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The registered name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

codes! {
    /// The transaction did what it asked.
    Applied = 0,
    /// Not a signed transaction of at most 16 KiB.
    Malformed = 1,
    /// Another version, message kind or suite.
    HeaderUnexpected = 2,
    /// Another chain's id.
    WrongChain = 3,
    /// The sender is no member.
    SenderUnknown = 4,
    /// The signature does not verify under the sender's identity key.
    SignatureInvalid = 5,
    /// The sequence number is not the sender's next.
    SequenceNotNext = 6,
    /// The block is above the expiry height.
    Expired = 7,
    /// The expiry height is more than 10,000 above the block.
    ExpiryTooFar = 8,
    /// The payload does not stand beside the transaction in its block.
    PayloadMissing = 9,
    /// A kind that is reserved and not built.
    KindReserved = 100,
    /// The sender does not have the role this kind needs.
    RoleMissing = 101,
    /// The payload's length is not the stated one.
    PayloadLength = 102,
    /// The audit key's number is not the next.
    AuditKeyNotNext = 200,
    /// The audit key begins less than 24 hours after the block.
    AuditKeyTooSoon = 201,
    /// The audit key ends before it begins.
    AuditKeyInterval = 202,
    /// The escrow key or the seal key was announced before.
    AuditKeyReused = 203,
    /// A possession proof does not verify.
    PossessionInvalid = 204,
    /// There are 8 audit keys that have not ended.
    AuditKeyTooMany = 205,
    /// The period is neither the current nor the next.
    PeriodNotOpen = 300,
    /// The period is frozen: nothing of it changes before its end.
    PeriodFrozen = 301,
    /// This K was announced before on this chain.
    KeySeen = 302,
    /// The publisher has a live key in this period.
    KeyAlreadyLive = 303,
    /// The key serial is not the expected one.
    KeySerialWrong = 304,
    /// A live audit key is not bound.
    BindingMissing = 305,
    /// A binding names an audit key that is unknown or over, or bindings are not ascending.
    BindingUnexpected = 306,
    /// A binding proof does not verify, or K is G or Y.
    BindingInvalid = 307,
    /// The audit key is bound already.
    BindingExists = 308,
    /// The publisher has no key in this period.
    PeriodKeyUnknown = 309,
    /// The batch number is not the next.
    BatchNotNext = 400,
    /// The row count is not a bucket (64 * 2^k up to max_rows_per_tx), or not the payload's.
    BatchCount = 401,
    /// Tags are not strictly ascending.
    BatchOrder = 402,
    /// The root is not the rows'.
    BatchRoot = 403,
    /// The commitment batch's number is not the publisher's next.
    CommitmentsNotNext = 410,
    /// The number of commitments is not a bucket (64 * 2^k up to max_rows_per_tx), or not the payload's.
    CommitmentsCount = 411,
    /// Leaves are not strictly ascending.
    CommitmentsOrder = 412,
    /// The root is not the leaves'.
    CommitmentsRoot = 413,
    /// A leaf was published before on this chain, by whomever.
    LeafSeen = 414,
    /// The snapshot is sealed already.
    AlreadySealed = 500,
    /// The batch count is not the state's.
    SealCount = 501,
    /// The root is not that of the state's batch roots.
    SealRoot = 502,
    /// covers_prev_seq is not the number of batches of the period before.
    SealCoverage = 503,
    /// The next period's snapshot is sealed before the current period froze.
    SealTooEarly = 504,
    /// The first window is not the one after the last logged, or the last is before the first.
    WindowNotNext = 600,
    /// The last window is not over at the block's time.
    WindowNotOver = 601,
    /// The number of leaves is not a power of two of at least min_log_bucket, or not the payload's.
    LogBucket = 602,
    /// The payload is not a log payload, or its leaves are not strictly ascending.
    LogMalformed = 603,
    /// The root is not the leaves'.
    LogRoot = 604,
    /// The action is not 1, 2 or 3.
    AuditActionUnknown = 700,
    /// The window range is reversed.
    AuditRangeReversed = 701,
}

impl ReceiptCode {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether a transaction with this code used up its sequence number. One that did not may come again.
    #[must_use]
    pub const fn consumes_sequence(self) -> bool {
        self.number() == 0 || self.number() >= 100
    }
}

/// A number that is no registered code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no registered receipt code")]
pub struct CodeUnknown(pub u16);

impl TryFrom<u16> for ReceiptCode {
    type Error = CodeUnknown;
    fn try_from(code: u16) -> Result<Self, Self::Error> {
        Self::ALL.iter().copied().find(|c| c.number() == code).ok_or(CodeUnknown(code))
    }
}

impl std::fmt::Display for ReceiptCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

impl Serialize for ReceiptCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for ReceiptCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u16::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// One transaction's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Id of the transaction's bytes, whatever they are.
    pub tx: Digest32,
    /// What became of it.
    pub code: ReceiptCode,
}

impl Receipt {
    /// BCS, the leaf of `receipts_root`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}
