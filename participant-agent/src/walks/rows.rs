//! Steps A3 to A7 of one publication: draw rows, plan batches, send them, wait until they are final.
//!
//! - **Place**: A3 `publish::entry`, A4 `publish::batch`, A5 the outbox, A6 and A7 the chain's receipts
//! - **Shapes**: rows are drawn on all cores, chunk by chunk onto the disk, and sorted in parts that fit memory; at most
//!   [`MAX_IN_FLIGHT`] batches wait for a block. A row's label is tied to the commitment of its record by a link that only the
//!   publisher can open
//! - **Security**: padding seeds come from the operating system

use std::time::Instant;

use rand::rngs::OsRng;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::StateRead;
use riskveil_chain::tx::{PayloadRef, PublishRows, TxBody};
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_crypto::{SecretBytes, digest};
use riskveil_exchange::ids::Height;
use riskveil_exchange::publish::{BatchPlanner, PeriodKeyId, Telling, plan_batches};
use riskveil_exchange::record::Record;

use super::PublishError;
use super::background::Priority;
use super::draw::{self, CHUNK, ToDraw};
use crate::context::Context;
use crate::period_keys::LiveKey;
use crate::records::{PendingRows, PlannedBatch, RecordBook, RecordsError};

/// Batches that wait for a block at the same time.
const MAX_IN_FLIGHT: usize = 8;

/// What [`submit`] saw.
#[derive(Clone, Copy, Debug)]
pub struct SubmittedBatches {
    /// Batches sent.
    pub batches: usize,
    /// The block of the last one; 0 if there was none.
    pub height: Height,
}

/// Whether a record still counts as held on the agent's business date.
#[must_use]
pub fn is_live(context: &Context, record: &Record) -> bool {
    record.event_day().plus_years(retention_years(context)) >= context.as_of()
}

/// A3: one row for each pending record, on disk; goes on where a stop left it. Returns the records that are drawn, which are all
/// that were pending when drawing began. Under the next period's key it yields to everything else: nobody waits for it.
///
/// # Errors
/// [`PublishError::Rows`], [`PublishError::Records`], [`PublishError::Interrupted`].
pub async fn draw(
    context: &Context,
    key: &LiveKey,
    book: &RecordBook,
    mut pending: PendingRows,
) -> Result<PendingRows, PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    let until = pending.records_until;
    let (drawing, there) =
        tokio::task::block_in_place(|| book.drawn().begin(period, key_serial, &pending.records, until))
            .map_err(RecordsError::from)?;
    pending.records.truncate(usize::try_from(drawing.rows).unwrap_or(usize::MAX));
    pending.records_until = drawing.records_until;
    let policy = &context.ledger.genesis().policy;
    let telling = Telling { level: policy.level, retention_years: policy.retention_years };
    let is_next = period > context.ledger.view().period(context.ledger.genesis());
    let priority = if is_next { Priority::Background } else { Priority::Waited };
    let to_draw = pending.records.get(usize::try_from(there).unwrap_or(usize::MAX)..).unwrap_or_default().to_vec();
    let (source, started) = (book.clone(), Instant::now());
    let mut at = 0;
    let chunks = std::iter::from_fn(move || {
        let rows = to_draw.get(at..(at + CHUNK).min(to_draw.len())).filter(|rows| !rows.is_empty())?.to_vec();
        at += rows.len();
        Some(ToDraw { held: source.held_of(&rows), pending: rows })
    });
    let mut drawn = draw::draw(key.clone(), telling, priority, chunks);
    let (mut done, all) = (there, drawing.rows);
    while let Some(chunk) = drawn.next().await {
        let (places, rows) = chunk?;
        tokio::task::block_in_place(|| book.drawn().keep(&places, &rows)).map_err(RecordsError::from)?;
        done += rows.len() as u64;
    }
    if done < all {
        return Err(PublishError::Interrupted);
    }
    if all > there {
        tracing::info!(rows = all - there, took_ms = started.elapsed().as_millis(), "rows are drawn");
    }
    Ok(pending)
}

/// A4: batches of the drawn rows, journalled. No rows make a batch of padding if the period has none, and none otherwise.
///
/// # Errors
/// [`PublishError::Rows`], [`PublishError::Records`].
pub fn plan(context: &Context, key: &LiveKey, book: &RecordBook, pending: &PendingRows) -> Result<(), PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    if pending.records.is_empty() && pending.next_batch > 0 && book.covered(period, key_serial) {
        return Ok(());
    }
    let max_rows = context.ledger.genesis().policy.max_rows_per_tx;
    tokio::task::block_in_place(|| {
        if pending.next_batch == 0 {
            plan_snapshot(key, book, pending, max_rows)?;
        } else {
            plan_deltas(key, book, pending, max_rows)?;
        }
        Ok(book.drawn().clear().map_err(RecordsError::from)?)
    })
}

/// One plan over all rows, whose batches tile the tag space.
fn plan_snapshot(key: &LiveKey, book: &RecordBook, pending: &PendingRows, max_rows: u32) -> Result<(), PublishError> {
    let padding_seed = SecretBytes::<32>::random(&mut OsRng);
    let drawn = book.drawn();
    let mut planner = BatchPlanner::new(drawn.len(), &padding_seed, max_rows)?;
    let mut batches = Vec::new();
    drawn.ascending(|rows| {
        batches.extend(planner.take(rows)?);
        Ok::<_, PublishError>(())
    })?;
    batches.extend(planner.finish()?);
    let mut tags = Vec::with_capacity(pending.records.len());
    drawn.in_order(|_, row| tags.push(Row::from_bytes(row).tag)).map_err(RecordsError::from)?;
    drop(drawn);
    book.plan(key.id.period, key.id.key_serial, pending, &tags, batches, &padding_seed)?;
    Ok(())
}

/// A plan for each batch: deltas are seen one by one, and in the order of their slots no look-up meets a slot before the one below.
fn plan_deltas(key: &LiveKey, book: &RecordBook, pending: &PendingRows, max_rows: u32) -> Result<(), PublishError> {
    let mut rows = Vec::with_capacity(pending.records.len());
    book.drawn().in_order(|_, row| rows.push(Row::from_bytes(row))).map_err(RecordsError::from)?;
    let max = max_rows as usize;
    let (last, nothing) = (pending.records.last().map(|last| last.place), pending.records.is_empty());
    let parts = pending.records.chunks(max).zip(rows.chunks(max));
    for ((records, rows), next_batch) in parts.zip(pending.next_batch..) {
        let end = records.last().map(|last| last.place);
        let records_until = if end == last { pending.records_until } else { end.map_or(0, |place| place + 1) };
        let padding_seed = SecretBytes::<32>::random(&mut OsRng);
        let tags: Vec<Tag> = rows.iter().map(|row| row.tag).collect();
        let part = PendingRows { records: records.to_vec(), records_until, next_batch };
        let batches = plan_batches(rows.to_vec(), &padding_seed, max_rows)?;
        book.plan(key.id.period, key.id.key_serial, &part, &tags, batches, &padding_seed)?;
    }
    if nothing {
        // records that are no longer held: covered without a row
        let padding_seed = SecretBytes::<32>::random(&mut OsRng);
        book.plan(key.id.period, key.id.key_serial, pending, &[], Vec::new(), &padding_seed)?;
    }
    Ok(())
}

/// A5 to A7: sends every planned batch that the chain does not count yet, in order, and waits until all are final.
///
/// # Errors
/// [`PublishError::Refused`] with the first code that is not `Applied`.
pub async fn submit(context: &Context, key: &LiveKey, book: &RecordBook) -> Result<SubmittedBatches, PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    let counted = context.ledger.view().period_key(period, &context.member.id).map_or(0, |state| state.batch_count);
    book.release(period, key_serial, counted);
    let planned = book.planned(period, key_serial);
    let mut seen = SubmittedBatches { batches: planned.saturating_sub(counted) as usize, height: Height(0) };
    let mut in_flight = std::collections::VecDeque::new();
    // one batch at a time: all of them would be in memory twice
    for batch in (counted..planned).map_while(|batch_seq| book.batch(period, key_serial, batch_seq)) {
        if in_flight.len() == MAX_IN_FLIGHT
            && let Some((sequence, rows)) = in_flight.pop_front()
        {
            seen.height = finalized(context, sequence, rows).await?;
        }
        let (count, (body, payload)) = (batch.count, transaction(key, batch));
        in_flight.push_back((context.outbox.submit(body, Some(payload)).await?.sequence, count));
    }
    for (sequence, rows) in in_flight {
        seen.height = finalized(context, sequence, rows).await?;
    }
    Ok(seen)
}

async fn finalized(context: &Context, sequence: u64, rows: u32) -> Result<Height, PublishError> {
    match context.outbox.await_outcome(sequence).await? {
        (height, ReceiptCode::Applied) => {
            context.metrics.published_rows.inc_by(u64::from(rows));
            Ok(height)
        }
        (_, code) => Err(PublishError::Refused(code)),
    }
}

fn transaction(key: &LiveKey, batch: PlannedBatch) -> (TxBody, Vec<u8>) {
    let rows = PayloadRef {
        digest: digest::sha256(&batch.payload),
        // a batch has at most 32,768 rows of 92 bytes
        len: u32::try_from(batch.payload.len()).unwrap_or(u32::MAX),
        count: batch.count,
        root: batch.root,
    };
    let PeriodKeyId { period, key_serial, .. } = key.id;
    (TxBody::PublishRows(PublishRows { period, key_serial, batch_seq: batch.batch_seq, rows }), batch.payload)
}

fn retention_years(context: &Context) -> u8 {
    context.ledger.genesis().policy.retention_years
}
