//! Steps A3 to A7 of one publication: draw rows, plan batches, send them, wait until they are final.
//!
//! - **Place**: A3 `publish::entry`, A4 `publish::batch`, A5 the outbox, A6 and A7 the chain's receipts
//! - **Shapes**: rows are drawn in as many threads as there are cores; at most [`MAX_IN_FLIGHT`] batches wait for a block. A
//!   row's label is tied to the commitment of its record by a link that only the publisher can open
//! - **Security**: nonces and padding seeds come from the operating system; a PRF output lives as long as its row is drawn

use std::num::NonZero;

use rand::rngs::OsRng;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::StateRead;
use riskveil_chain::tx::{PayloadRef, PublishRows, TxBody};
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::Row;
use riskveil_crypto::{SecretBytes, digest};
use riskveil_exchange::ids::Height;
use riskveil_exchange::publish::{self, PeriodKeyId, commitment, plan_batches};
use riskveil_exchange::record::{Label, Level, Record};

use super::{PublishError, blocking};
use crate::context::Context;
use crate::period_keys::LiveKey;
use crate::records::{HeldRecord, PendingRow, PendingRows, PlannedBatch, RecordBook};

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

/// A3: one row for each pending record.
///
/// # Errors
/// [`PublishError::Rows`].
pub async fn draw(context: &Context, key: &LiveKey, pending: &PendingRows) -> Result<Vec<Row>, PublishError> {
    let (key, level, years) = (key.clone(), context.ledger.genesis().policy.level, retention_years(context));
    let records = pending.records.clone();
    let started = std::time::Instant::now();
    let count = records.len();
    let rows = blocking(move || draw_all(&key, &records, level, years)).await?;
    if count > 0 {
        tracing::info!(rows = count, took_ms = started.elapsed().as_millis(), "rows are drawn");
    }
    Ok(rows)
}

/// A4: batches of these rows, journalled. No rows make a batch of padding if the period has none, and none otherwise.
///
/// # Errors
/// [`PublishError::Rows`], [`PublishError::Records`].
pub async fn plan(
    context: &Context,
    key: &LiveKey,
    book: &RecordBook,
    pending: &PendingRows,
    rows: Vec<Row>,
) -> Result<(), PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    if rows.is_empty() && pending.next_batch > 0 && book.covered(period, key_serial) {
        return Ok(());
    }
    let max_rows = context.ledger.genesis().policy.max_rows_per_tx;
    let plan = |pending: &PendingRows, rows: Vec<Row>| {
        let padding_seed = SecretBytes::<32>::random(&mut OsRng);
        let tags: Vec<Tag> = rows.iter().map(|row| row.tag).collect();
        let batches = match pending.next_batch {
            0 => plan_batches(rows, &padding_seed, max_rows)?,
            _ if rows.is_empty() => Vec::new(),
            _ => plan_batches(rows, &padding_seed, max_rows)?,
        };
        book.plan(period, key_serial, pending, &tags, &batches, &padding_seed)?;
        Ok::<_, PublishError>(())
    };
    tokio::task::block_in_place(|| {
        if pending.next_batch == 0 || rows.len() <= max_rows as usize {
            return plan(pending, rows);
        }
        // Deltas are seen one by one: in the order of their slots no look-up meets a slot before the one below it.
        let parts = pending.records.chunks(max_rows as usize).zip(rows.chunks(max_rows as usize));
        for ((records, rows), next_batch) in parts.zip(pending.next_batch..) {
            let is_last = records.last().map(|last| last.place) == pending.records.last().map(|last| last.place);
            let records_until =
                if is_last { pending.records_until } else { records.last().map_or(0, |last| last.place + 1) };
            plan(&PendingRows { records: records.to_vec(), records_until, next_batch }, rows.to_vec())?;
        }
        Ok(())
    })
}

/// A5 to A7: sends every planned batch that the chain does not count yet, in order, and waits until all are final.
///
/// # Errors
/// [`PublishError::Refused`] with the first code that is not `Applied`.
pub async fn submit(context: &Context, key: &LiveKey, book: &RecordBook) -> Result<SubmittedBatches, PublishError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    let counted = context.ledger.view().period_key(period, &context.member.id).map_or(0, |state| state.batch_count);
    book.release(period, key_serial, counted);
    let batches = book.batches_from(period, key_serial, counted);
    let mut seen = SubmittedBatches { batches: batches.len(), height: Height(0) };
    let mut in_flight = std::collections::VecDeque::new();
    for batch in batches {
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

fn draw_all(key: &LiveKey, records: &[PendingRow], level: Level, years: u8) -> Result<Vec<Row>, publish::PublishError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = records.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = records
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(|row| draw_one(key, row, level, years)).collect()))
            .collect();
        let mut rows = Vec::with_capacity(records.len());
        for thread in threads {
            let drawn: Result<Vec<Row>, publish::PublishError> =
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            rows.append(&mut drawn?);
        }
        Ok(rows)
    })
}

fn draw_one(key: &LiveKey, row: &PendingRow, level: Level, years: u8) -> Result<Row, publish::PublishError> {
    let HeldRecord { record, seed } = &row.held;
    let out = publish::fingerprint(&key.sk, record.identifier())?;
    let leaf = seed.open(record).commitment().leaf();
    let link = commitment::link(&key.id, &leaf, &seed.rho(key.id.period, key.id.key_serial));
    publish::seal_record(&out, &key.id, row.slot, &Label::new(record, level, years, link), &mut OsRng)
}

fn retention_years(context: &Context) -> u8 {
    context.ledger.genesis().policy.retention_years
}
