//! One segment: a file of sorted rows with a prefix directory and a checksum, mapped into memory.
//!
//! - **Shapes**: 160 bytes of header, the directory, `92 * count` bytes of rows, 32 bytes of checksum
//! - **Invariants**: an open [`Segment`] has the checksum, name, root and count that were asked for; its file is never
//!   written again
//! - **Errors**: [`SegmentError`]: the disk, or a file that is damaged or another one
//! - **Security**: a file that shrinks while mapped ends the process with SIGBUS; only this process writes the directory
//! - **Source**: specs/ledger.md#segments; ADR 0003
//!
//! # Wire
//!
//! ```text
//! offset | length | field
//!      0 |      8 | magic "RVROWSEG"
//!      8 |      2 | version u16 LE = 1
//!     10 |      1 | kind: 0 rows (1 tombstones: sorted tags of 16 bytes, reserved and refused)
//!     11 |      1 | directory bits b, 0..=15
//!     12 |      4 | count u32 LE
//!     16 |     32 | chain id
//!     48 |     32 | publisher, zero-padded
//!     80 |      4 | period u32 LE
//!     84 |      4 | batch number u32 LE
//!     88 |     32 | RFC 9162 root over the rows
//!    120 |     16 | lowest tag
//!    136 |     16 | highest tag
//!    152 |      8 | zero
//!    160 | 4(2^b + 1) | directory: u32 LE, entry i = number of rows whose first b tag bits are below i
//!        | 92 count   | rows
//!        |     32 | SHA-256 of everything before
//! ```

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::label::{ROW_LEN, Row};
use riskveil_exchange::ids::{MemberId, Period};

use super::durable;

const MAGIC: &[u8; 8] = b"RVROWSEG";
const VERSION: u16 = 1;
const KIND_ROWS: u8 = 0;
const HEADER_LEN: usize = 160;
const CHECKSUM_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Rows that one directory entry covers on average.
const ROWS_PER_ENTRY: u32 = 8;
const MAX_BITS: u32 = 15;

/// Which batch a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentName {
    /// The chain.
    pub chain_id: Digest32,
    /// The period.
    pub period: Period,
    /// The publisher.
    pub publisher: MemberId,
    /// The batch.
    pub batch_seq: u32,
}

impl SegmentName {
    fn path(&self, dir: &Path) -> PathBuf {
        let file = format!("{}-{:08}.rows", self.publisher, self.batch_seq);
        dir.join(format!("p{:010}", self.period.0)).join(file)
    }
}

/// What can go wrong with a segment file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Reading or writing failed.
    #[error("row segment {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file's checksum or form is wrong.
    #[error("row segment {0} is damaged")]
    Damaged(PathBuf),
    /// The file is whole but holds another batch than the state counts.
    #[error("row segment {0} holds another batch")]
    Other(PathBuf),
}

impl From<durable::IoAt> for SegmentError {
    fn from((path, source): durable::IoAt) -> Self {
        Self::Io { path, source }
    }
}

/// A mapped segment.
#[derive(Debug)]
pub struct Segment {
    map: Mmap,
    bits: u32,
    count: u32,
    min_tag: [u8; TAG_LEN],
    max_tag: [u8; TAG_LEN],
}

/// Where in a segment a tag is searched.
#[derive(Clone, Debug)]
pub(super) struct Seek {
    bucket: Range<u32>,
    guess: u32,
}

impl Segment {
    /// Maps a segment file and checks it.
    ///
    /// # Errors
    /// [`SegmentError`]: missing, damaged, or another batch.
    pub fn open(dir: &Path, name: &SegmentName, root: &Digest32, count: u32) -> Result<Self, SegmentError> {
        let path = name.path(dir);
        let io = |source| SegmentError::Io { path: path.clone(), source };
        let mut file = File::open(&path).map_err(io)?;
        // Checked in a buffer that is given back, so that only the pages which look-ups touch stay in memory.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let Some(form) = Form::parse(&bytes) else { return Err(SegmentError::Damaged(path)) };
        let expected = header(name, root, form.bits, count, &form.min_tag, &form.max_tag);
        if bytes.get(..HEADER_LEN) != Some(expected.as_slice()) {
            return Err(SegmentError::Other(path));
        }
        // SAFETY: the file is written whole, synced and renamed into place by `write`, and never changed afterwards.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        if map.len() != bytes.len() {
            return Err(SegmentError::Damaged(path));
        }
        let Form { bits, count, min_tag, max_tag } = form;
        Ok(Self { map, bits, count, min_tag, max_tag })
    }

    /// Rows, padding included.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The rows, concatenated: the batch's payload.
    #[must_use]
    pub fn rows(&self) -> &[u8] {
        let start = HEADER_LEN + directory_len(self.bits);
        self.map.get(start..start + ROW_LEN * self.count as usize).unwrap_or_default()
    }

    /// The lowest and the highest tag.
    #[must_use]
    pub(super) const fn tag_range(&self) -> ([u8; TAG_LEN], [u8; TAG_LEN]) {
        (self.min_tag, self.max_tag)
    }

    /// The row with this tag and its position.
    #[must_use]
    pub fn lookup(&self, tag: &Tag) -> Option<(u32, Row)> {
        self.search(tag, &self.seek(tag, self.bucket(self.entry(tag)?)?))
    }

    /// The directory entry that covers a tag; none for a tag outside of the segment.
    pub(super) fn entry(&self, tag: &Tag) -> Option<usize> {
        let (wanted, min, max) = (number(tag.as_bytes()), number(&self.min_tag), number(&self.max_tag));
        (min..=max).contains(&wanted).then(|| prefix(tag.as_bytes(), self.bits))
    }

    /// The rows that a directory entry covers.
    pub(super) fn bucket(&self, entry: usize) -> Option<Range<u32>> {
        let low = read_u32(&self.map, HEADER_LEN + 4 * entry)?;
        let high = read_u32(&self.map, HEADER_LEN + 4 * (entry + 1))?;
        Some(low.min(self.count)..high.min(self.count))
    }

    /// Where in its bucket a tag most likely is. Tags are as good as random, so a tag's value tells.
    pub(super) fn seek(&self, tag: &Tag, bucket: Range<u32>) -> Seek {
        Seek { guess: self.guess(tag.as_bytes(), bucket.start, bucket.end), bucket }
    }

    /// Reads what [`Segment::search`] will compare first, so that it is in the cache by then.
    pub(super) fn touch(&self, seek: &Seek) {
        std::hint::black_box(self.rows().get(seek.guess as usize * ROW_LEN).copied());
    }

    /// The row with this tag and its position, searched outwards from the guess in steps that double.
    pub(super) fn search(&self, tag: &Tag, seek: &Seek) -> Option<(u32, Row)> {
        let (wanted, rows) = (number(tag.as_bytes()), self.rows());
        let Seek { bucket: Range { start: mut low, end: mut high }, guess: mut at } = *seek;
        let mut step = 1_u32;
        while low < high {
            if at < low || high <= at {
                at = low + (high - low) / 2;
            }
            let row = rows.get(at as usize * ROW_LEN..)?.first_chunk::<ROW_LEN>()?;
            match number(row.first_chunk::<TAG_LEN>()?).cmp(&wanted) {
                Ordering::Less => (low, at) = (at + 1, at.saturating_add(step)),
                Ordering::Greater => (high, at) = (at, at.saturating_sub(step)),
                Ordering::Equal => return Some((at, Row::from_bytes(row))),
            }
            step = step.saturating_mul(2);
        }
        None
    }

    /// Where a tag would stand in `low..high` if tags were spread evenly over what a directory entry and the segment cover.
    fn guess(&self, wanted: &[u8; TAG_LEN], low: u32, high: u32) -> u32 {
        let first_word = |tag: &[u8; TAG_LEN]| u64::from_be_bytes(*tag.first_chunk().expect("16 bytes begin with 8"));
        let (wanted, bits) = (first_word(wanted), self.bits);
        let covered_from = if bits == 0 { 0 } else { wanted >> (64 - bits) << (64 - bits) };
        let covered_to = covered_from | (u64::MAX >> bits);
        let from = first_word(&self.min_tag).max(covered_from);
        let to = first_word(&self.max_tag).min(covered_to);
        let rows = high.saturating_sub(low);
        let share = u128::from(wanted.saturating_sub(from)) * u128::from(rows);
        low + u32::try_from(share / u128::from(to.saturating_sub(from).max(1))).unwrap_or(u32::MAX).min(rows)
    }
}

/// What a whole segment file says of itself.
struct Form {
    bits: u32,
    count: u32,
    min_tag: [u8; TAG_LEN],
    max_tag: [u8; TAG_LEN],
}

impl Form {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let body = bytes.get(..bytes.len().checked_sub(CHECKSUM_LEN)?)?;
        let bits = u32::from(*body.get(11)?);
        let count = read_u32(body, 12)?;
        if bits > MAX_BITS || body.len() != HEADER_LEN + directory_len(bits) + ROW_LEN * count as usize {
            return None;
        }
        if bytes.get(body.len()..) != Some(sha256(body).as_bytes().as_slice()) {
            return None;
        }
        let min_tag = body.get(120..136)?.try_into().ok()?;
        let max_tag = body.get(136..152)?.try_into().ok()?;
        Some(Self { bits, count, min_tag, max_tag })
    }
}

/// Writes a batch's rows, which `publish::verify_rows` accepted: temporary file, sync, rename, sync of the directory.
///
/// # Errors
/// [`SegmentError::Io`]; [`SegmentError::Damaged`] if `rows` is no whole number of rows or none.
pub fn write(dir: &Path, name: &SegmentName, root: &Digest32, rows: &[u8]) -> Result<(), SegmentError> {
    let path = name.path(dir);
    let damaged = || SegmentError::Damaged(path.clone());
    let bytes = encode(name, root, rows).ok_or_else(damaged)?;
    Ok(durable::write(&path, &bytes)?)
}

/// Renames a segment file that is damaged, if there is one, to `<name>.damaged`.
///
/// # Errors
/// [`SegmentError::Io`].
pub fn move_aside(dir: &Path, name: &SegmentName) -> Result<(), SegmentError> {
    Ok(durable::move_aside(&name.path(dir))?)
}

/// Makes a directory and those above it.
///
/// # Errors
/// [`SegmentError::Io`].
pub fn create_dir(dir: &Path) -> Result<(), SegmentError> {
    fs::create_dir_all(dir).map_err(|source| SegmentError::Io { path: dir.to_owned(), source })
}

fn encode(name: &SegmentName, root: &Digest32, rows: &[u8]) -> Option<Vec<u8>> {
    let count = u32::try_from(rows.len() / ROW_LEN).ok()?;
    let tags: Vec<[u8; TAG_LEN]> =
        rows.chunks_exact(ROW_LEN).filter_map(|row| row.first_chunk::<TAG_LEN>().copied()).collect();
    let (min_tag, max_tag) = (tags.first()?, tags.last()?);
    let bits = (count / ROWS_PER_ENTRY).max(1).ilog2().min(MAX_BITS);
    let mut bytes = header(name, root, bits, count, min_tag, max_tag);
    bytes.reserve(directory_len(bits) + rows.len() + CHECKSUM_LEN);
    for entry in 0..=1usize << bits {
        let below = tags.partition_point(|tag| prefix(tag, bits) < entry);
        bytes.extend_from_slice(&u32::try_from(below).ok()?.to_le_bytes());
    }
    bytes.extend_from_slice(rows);
    let checksum = sha256(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    rows.len().is_multiple_of(ROW_LEN).then_some(bytes)
}

fn header(
    name: &SegmentName,
    root: &Digest32,
    bits: u32,
    count: u32,
    min_tag: &[u8; TAG_LEN],
    max_tag: &[u8; TAG_LEN],
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.push(KIND_ROWS);
    bytes.push(bits.to_le_bytes()[0]);
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(name.chain_id.as_bytes());
    let mut publisher = name.publisher.as_bytes().to_vec();
    publisher.resize(32, 0);
    bytes.extend_from_slice(&publisher);
    bytes.extend_from_slice(&name.period.0.to_le_bytes());
    bytes.extend_from_slice(&name.batch_seq.to_le_bytes());
    bytes.extend_from_slice(root.as_bytes());
    bytes.extend_from_slice(min_tag);
    bytes.extend_from_slice(max_tag);
    bytes.resize(HEADER_LEN, 0);
    bytes
}

const fn directory_len(bits: u32) -> usize {
    4 * ((1 << bits) + 1)
}

/// A tag as the number that it is compared as.
const fn number(tag: &[u8; TAG_LEN]) -> u128 {
    u128::from_be_bytes(*tag)
}

/// The first `bits` bits of a tag, at most 15.
fn prefix(tag: &[u8; TAG_LEN], bits: u32) -> usize {
    usize::from(u16::from_be_bytes([tag[0], tag[1]])) >> (16 - bits)
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}
