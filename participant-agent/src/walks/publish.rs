//! Walk A: the records of a file become rows that every replica holds.
//!
//! - **Place**: A1 to A8, one call a step; [`accept`] answers the caller, [`publish_pending`] does the rest behind it
//! - **Invariants**: a record is durable before its file is acknowledged, a row before its batch is signed; both calls may be
//!   repeated after a crash at any point and never draw a row twice. A snapshot is sealed when all batches of the first
//!   publication of the period are final; later batches are its deltas
//! - **Errors**: [`PublishError`]; a file that is no file of records publishes nothing, and whatever else fails is tried again
//! - **Source**: DESIGN.md section 4, HOUSE_STYLE.md section 3
//!
//! # Protocol
//! ```text
//! file --A1 A2--> records --journal--> acknowledged
//!                 pending --A3--> rows --A4--> batches --journal--> A5 sign, send --A6 A7--> finalized --seal--> A8 replicated
//! ```

use bytes::Bytes;
use riskveil_crypto::digest;
use riskveil_exchange::ids::Height;
use riskveil_exchange::record::Day;

use super::rows::{self, SubmittedBatches};
use super::{PublishError, snapshot};
use crate::context::Context;
use crate::ingest;
use crate::period_keys;
use crate::records::{Publication, RecordBook};

/// A1 and A2: reads a file and makes its new records durable.
///
/// # Errors
/// [`PublishError::Ingest`] when it is no file of records, [`PublishError::Records`] when the disk refuses.
pub async fn accept(book: &RecordBook, id: String, file: Bytes, as_of: Day) -> Result<Publication, PublishError> {
    // A1, A2: bytes -> records and rejected rows
    let (read, digest) = super::blocking(move || {
        ingest::csv::read_records(&file, as_of, None).map(|read| (read, digest::sha256(&file)))
    })
    .await?;
    // A2: durable, and only the new ones
    Ok(tokio::task::block_in_place(|| book.accept(id, digest, read))?)
}

/// A3 to A8: publishes every record that the period's snapshot does not have yet; returns the height at which it was complete.
///
/// # Errors
/// [`PublishError`]: what it waits for; call it again later.
pub async fn publish_pending(context: &Context, book: &RecordBook) -> Result<Height, PublishError> {
    // the key of the period (the next one during the freeze), announced and bound to every audit key
    let key = period_keys::ensure(context, period_keys::target(context, &context.ledger.view())).await?;
    // A3: record -> row (fingerprint, slot, sealed label), on all cores, resumed where a stop left it
    let pending = book.pending(key.id.period, key.id.key_serial, |record| rows::is_live(context, record));
    let drawn = rows::draw(context, &key, book, pending).await?;
    // A4: rows -> padded, sorted batches, durable before anything is signed
    rows::plan(context, &key, book, &drawn)?;
    // A5: batch -> signed transaction, journalled, sent to every validator
    // A6, A7: ordered, executed, finalized: receipts
    let SubmittedBatches { height, .. } = rows::submit(context, &key, book).await?;
    // A7: the first publication of the period seals its snapshot
    let height = snapshot::seal(context, &key, book).await?.max(height);
    // A8: this replica holds and checked every batch the state counts
    snapshot::replicated(context, &key).await?;
    Ok(height)
}
