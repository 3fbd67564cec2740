//! Draws rows on all cores, in the order of the records, in bounded memory.
//!
//! - **Place**: A3; `rows` calls it for what is pending, whatever the reason: new records, or all of them under the next period's key
//! - **Shapes**: chunks of [`CHUNK`] records, each drawn by one thread in runs of the eight-lane kernel; results are put back in
//!   order, a few chunks at most wait for an earlier one
//! - **Errors**: [`publish::PublishError`] of the first chunk that has one
//! - **Security**: nonces come from the operating system; a PRF output lives as long as its chunk is drawn

use std::collections::BTreeMap;

use rand::rngs::OsRng;
use riskveil_crypto::label::Row;
use riskveil_exchange::publish::{self, SlottedRecord, Telling, draw_rows};

use super::background::{self, Priority, Running};
use crate::period_keys::LiveKey;
use crate::records::{HeldRecord, PendingRow};

/// Records drawn by one thread at a time: 0.75 MB of rows.
pub const CHUNK: usize = 8192;

/// Records to draw, with their slots.
#[derive(Debug)]
pub struct ToDraw {
    /// Where their rows belong.
    pub pending: Vec<PendingRow>,
    /// The records, in the same order.
    pub held: Vec<HeldRecord>,
}

/// Rows on their way.
#[derive(Debug)]
pub struct DrawnChunks {
    running: Running<(usize, Drawn)>,
    next: usize,
    early: BTreeMap<usize, Drawn>,
}

type Drawn = Result<(Vec<PendingRow>, Vec<Row>), publish::PublishError>;

/// Draws the rows of these records; `chunks` is asked for the next one whenever a core is free.
pub fn draw(
    key: LiveKey,
    telling: Telling,
    priority: Priority,
    chunks: impl Iterator<Item = ToDraw> + Send + 'static,
) -> DrawnChunks {
    let running = background::run(priority, chunks.enumerate(), move |(number, ToDraw { pending, held })| {
        let places = pending.iter().zip(&held);
        let records: Vec<SlottedRecord<'_>> = places
            .map(|(row, held)| SlottedRecord {
                record: &held.record,
                seed: &held.seed,
                leaf: &held.leaf,
                slot: row.slot,
            })
            .collect();
        let rows = draw_rows(&key.sk, &key.id, &records, telling, &mut OsRng);
        (number, rows.map(|rows| (pending, rows)))
    });
    DrawnChunks { running, next: 0, early: BTreeMap::new() }
}

impl DrawnChunks {
    /// The next chunk in order; none when all are drawn, or the work was interrupted.
    pub async fn next(&mut self) -> Option<Drawn> {
        loop {
            if let Some(drawn) = self.early.remove(&self.next) {
                self.next += 1;
                return Some(drawn);
            }
            let (number, drawn) = self.running.next().await?;
            self.early.insert(number, drawn);
        }
    }
}
