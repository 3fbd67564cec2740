//! Rows that are drawn and not planned yet, on disk chunk by chunk: a stop in the middle of ten million costs a chunk.
//!
//! - **Place**: A3 to A4, between drawing, which goes in the order of the book, and planning, which goes in the order of tags
//! - **Shapes**: `drawn.log`, a journal; 101 bytes a row. Memory holds none of them, but for what [`DrawnRows::ascending`] lends:
//!   at most [`ROWS_IN_MEMORY`] at a time, for each of which it reads the journal once
//! - **Invariants**: the rows are of one key and of a beginning of what was pending when drawing began; whatever else is found at a
//!   start is dropped. No batch is signed before its plan is in the record journal, so dropping loses work and nothing else
//! - **Errors**: [`JournalError`] (disk)
//! - **Security**: encrypted at rest: the order and the slots would tell rows from padding
//! - **Source**: DESIGN.md section 3, "Fingerprint": "the agent journals before a batch is signed"

use std::path::{Path, PathBuf};
use std::time::Instant;

use riskveil_crypto::Digest32;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::digest;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::{ROW_LEN, Row};
use riskveil_exchange::ids::Period;
use serde::{Deserialize, Serialize};

use super::PendingRow;
use crate::journal::{Journal, JournalError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "drawn";
/// Rows that are sorted at a time: 200 MB.
const ROWS_IN_MEMORY: u64 = 1 << 21;
/// Place, slot, row.
const ENTRY_LEN: usize = 8 + 1 + ROW_LEN;

/// What is being drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawing {
    /// Of the key.
    pub period: Period,
    /// Of the key.
    pub key_serial: u32,
    /// Digest of the places and slots.
    pending: Digest32,
    /// Rows in all.
    pub rows: u64,
    /// What the plan of these rows covers of the book.
    pub records_until: u64,
}

impl Drawing {
    /// The drawing of these rows.
    #[must_use]
    pub fn new(period: Period, key_serial: u32, pending: &[PendingRow], records_until: u64) -> Self {
        let digest = digest_of(pending);
        Self { period, key_serial, pending: digest, rows: pending.len() as u64, records_until }
    }

    /// Whether this is the drawing of a beginning of these rows under this key.
    fn begins(&self, period: Period, key_serial: u32, pending: &[PendingRow]) -> bool {
        let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
        (self.period, self.key_serial) == (period, key_serial)
            && pending.get(..rows).is_some_and(|beginning| digest_of(beginning) == self.pending)
    }
}

fn digest_of(pending: &[PendingRow]) -> Digest32 {
    let mut bytes = Vec::with_capacity(pending.len() * 9);
    for row in pending {
        bytes.extend_from_slice(&row.place.to_le_bytes());
        bytes.push(row.slot);
    }
    digest::sha256(&bytes)
}

#[derive(Serialize, Deserialize)]
enum Entry {
    /// Drawing begins; what stands before is of another one.
    Began(Drawing),
    /// Rows, in the order of the drawing, [`ENTRY_LEN`] bytes each.
    Rows(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// The rows of one drawing.
pub struct DrawnRows {
    dir: PathBuf,
    key: AtRestKey,
    journal: Journal<Entry>,
    drawing: Option<Drawing>,
    drawn: u64,
    /// When this process began or went on, and what was there then.
    since: (Instant, u64),
}

/// How far a drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawProgress {
    /// Rows drawn.
    pub drawn: u64,
    /// Rows in all.
    pub total: u64,
    /// Rows a second since this process began to draw.
    pub rows_per_s: u64,
    /// Seconds left at that rate; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

impl DrawnRows {
    /// Opens `drawn.log` in the directory of journals, with what an interrupted drawing left.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let (mut drawing, mut drawn) = (None, 0);
        let (journal, _) = Journal::open_with(journals, JOURNAL_NAME, key.clone(), |entry| match entry {
            Entry::Began(began) => (drawing, drawn) = (Some(began), 0),
            Entry::Rows(rows) => drawn += (rows.len() / ENTRY_LEN) as u64,
        })?;
        Ok(Self { dir: journals.to_owned(), key, journal, drawing, drawn, since: (Instant::now(), drawn) })
    }

    /// Begins to draw these rows, or goes on with a drawing of a beginning of them; returns what is drawn and how many rows of it
    /// are there already.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn begin(
        &mut self,
        period: Period,
        key_serial: u32,
        pending: &[PendingRow],
        records_until: u64,
    ) -> Result<(Drawing, u64), JournalError> {
        match self.drawing {
            Some(drawing) if self.drawn <= drawing.rows && drawing.begins(period, key_serial, pending) => {
                self.since = (Instant::now(), self.drawn);
                Ok((drawing, self.drawn))
            }
            _ => {
                let drawing = Drawing::new(period, key_serial, pending, records_until);
                self.journal.rewrite(&[Entry::Began(drawing)])?;
                (self.drawing, self.drawn) = (Some(drawing), 0);
                self.since = (Instant::now(), 0);
                Ok((drawing, 0))
            }
        }
    }

    /// Keeps the next rows of the drawing; on disk when it returns.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn keep(&mut self, pending: &[PendingRow], rows: &[Row]) -> Result<(), JournalError> {
        let mut bytes = Vec::with_capacity(rows.len() * ENTRY_LEN);
        for (place, row) in pending.iter().zip(rows) {
            bytes.extend_from_slice(&place.place.to_le_bytes());
            bytes.push(place.slot);
            bytes.extend_from_slice(&row.to_bytes());
        }
        self.journal.append(&Entry::Rows(bytes))?;
        self.drawn += rows.len() as u64;
        Ok(())
    }

    /// How far the drawing is; none when nothing is drawn.
    #[must_use]
    pub fn progress(&self) -> Option<DrawProgress> {
        let Drawing { rows: total, .. } = self.drawing?;
        let (began, there) = self.since;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rows_per_s = self.drawn.saturating_sub(there).saturating_mul(1000) / elapsed_ms;
        let seconds_left = total.saturating_sub(self.drawn).checked_div(rows_per_s);
        Some(DrawProgress { drawn: self.drawn, total, rows_per_s, seconds_left })
    }

    /// Rows kept.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.drawn
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.drawn == 0
    }

    /// Lends every row in the order of the drawing.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn in_order(&self, mut visit: impl FnMut(PendingRow, &[u8; ROW_LEN])) -> Result<(), JournalError> {
        Journal::read(&self.dir, JOURNAL_NAME, self.key.clone(), |entry| {
            let Entry::Rows(bytes) = entry else { return };
            let (entries, _) = bytes.as_chunks::<ENTRY_LEN>();
            for entry in entries {
                if let Some((place, rest)) = entry.split_first_chunk::<8>()
                    && let Some((slot, rest)) = rest.split_first()
                    && let Some(row) = rest.first_chunk::<ROW_LEN>()
                {
                    visit(PendingRow { place: u64::from_le_bytes(*place), slot: *slot }, row);
                }
            }
        })
    }

    /// Lends every row in ranges of ascending tags; within a range in the order of the drawing.
    ///
    /// # Errors
    /// [`JournalError`]; those of `visit`.
    pub fn ascending<E: From<JournalError>>(&self, mut visit: impl FnMut(Vec<Row>) -> Result<(), E>) -> Result<(), E> {
        // tags are as good as random, so equal ranges hold about as many rows each
        let ranges = self.drawn.div_ceil(ROWS_IN_MEMORY).next_power_of_two();
        let range_of = |tag: &Tag| {
            let first = u64::from_be_bytes(*tag.as_bytes().first_chunk().expect("16 bytes begin with 8"));
            first.checked_shr(64 - ranges.ilog2()).unwrap_or(0)
        };
        for range in 0..ranges {
            let mut rows = Vec::with_capacity(usize::try_from(self.drawn / ranges).unwrap_or(0));
            self.in_order(|_, bytes| {
                let row = Row::from_bytes(bytes);
                if range_of(&row.tag) == range {
                    rows.push(row);
                }
            })?;
            visit(rows)?;
        }
        Ok(())
    }

    /// Forgets the rows: they are planned.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn clear(&mut self) -> Result<(), JournalError> {
        self.journal.rewrite(&[])?;
        (self.drawing, self.drawn) = (None, 0);
        Ok(())
    }
}

impl std::fmt::Debug for DrawnRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DrawnRows({} of {})", self.drawn, self.drawing.map_or(0, |drawing| drawing.rows))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::OsRng;
    use riskveil_crypto::SecretBytes;
    use riskveil_crypto::at_rest::KeyEncryptionKey;
    use riskveil_crypto::label::padding_row;

    use super::*;

    const PERIOD: Period = Period(2);

    fn pending(count: u64) -> Vec<PendingRow> {
        (0..count).map(|place| PendingRow { place, slot: (place % 64) as u8 }).collect()
    }

    fn rows(count: u32) -> Vec<Row> {
        let seed = SecretBytes::random(&mut OsRng);
        (0..count).map(|index| padding_row(&seed, index)).collect()
    }

    #[test]
    fn a_drawing_goes_on_where_a_stop_left_it_and_another_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyEncryptionKey::random(&mut OsRng).purpose_key(crate::dst::JOURNAL, JOURNAL_NAME.as_bytes());
        let (pending, rows) = (pending(1000), rows(1000));
        let mut drawn = DrawnRows::open(dir.path(), key.clone()).unwrap();
        let (drawing, there) = drawn.begin(PERIOD, 0, &pending[..900], 950).unwrap();
        assert_eq!((drawing.rows, there), (900, 0));
        drawn.keep(&pending[..300], &rows[..300]).unwrap();
        drop(drawn);

        let mut drawn = DrawnRows::open(dir.path(), key.clone()).unwrap();
        // more records arrived meanwhile: what was begun is finished first
        assert_eq!(drawn.begin(PERIOD, 0, &pending, 1000).unwrap(), (drawing, 300));
        drawn.keep(&pending[300..900], &rows[300..900]).unwrap();
        let mut seen = Vec::new();
        drawn.in_order(|place, row| seen.push((place, Row::from_bytes(row)))).unwrap();
        assert_eq!(seen, pending.iter().copied().zip(rows.iter().copied()).take(900).collect::<Vec<_>>());
        let mut ascending = Vec::new();
        drawn
            .ascending(|mut range| {
                range.sort_unstable_by_key(|row| row.tag);
                ascending.extend(range);
                Ok::<_, JournalError>(())
            })
            .unwrap();
        assert!(ascending.len() == 900 && ascending.is_sorted_by_key(|row| row.tag));

        for (period, serial) in [(Period(3), 0), (PERIOD, 1)] {
            assert_eq!(drawn.begin(period, serial, &pending, 1000).unwrap().1, 0, "another key draws all rows");
            drawn.keep(&pending[..10], &rows[..10]).unwrap();
        }
        let other = &pending[1..];
        assert_eq!(drawn.begin(PERIOD, 1, other, 1000).unwrap().1, 0, "other records");
        drawn.keep(&other[..10], &rows[..10]).unwrap();
        drawn.clear().unwrap();
        assert_eq!(DrawnRows::open(dir.path(), key).unwrap().len(), 0);
    }
}
