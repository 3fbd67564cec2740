//! What can be wrong with rows, batches and slots; no variant carries record content.

/// Why rows were not built or a payload of rows is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The count is not 64 * 2^k, or above the policy's limit.
    #[error("a batch has {count} rows; the count must be 64 * 2^k and at most {max}")]
    NotABucket {
        /// The count stated.
        count: u32,
        /// The policy's `max_rows_per_tx`.
        max: u32,
    },
    /// The payload is not exactly `count` rows.
    #[error("a payload of rows has {got} bytes; expected {expected}")]
    Length {
        /// 92 bytes a row.
        expected: u64,
        /// Its length.
        got: u64,
    },
    /// A tag is not greater than the one before it.
    #[error("row {position} has a tag that is not greater than the one before it")]
    NotAscending {
        /// Position in the batch, from 0.
        position: u32,
    },
    /// The Merkle root over the rows is not the stated one.
    #[error("the Merkle root over the rows is not the stated one")]
    RootMismatch,
    /// Two rows have one tag; the padding seed must be drawn again, or a slot was used twice.
    #[error("two rows have the same tag")]
    DuplicateTag,
    /// More rows than one publication may have.
    #[error("more than {max} rows in one publication")]
    TooManyRows {
        /// The limit.
        max: u64,
    },
    /// The identifier already has 64 records in this period.
    #[error("more than 64 records of one identifier")]
    TooManyRecords,
    /// The fingerprint could not be computed: the input maps to the identity, which nobody can find.
    #[error("an identifier has no fingerprint")]
    NoFingerprint,
}
