//! Files in: bytes of a CSV file -> records to publish, or applicants to screen.
//!
//! - **Place**: walk A1, bytes -> [`RawRow`](riskveil_exchange::record::RawRow) -> A2; and the input of a screening
//! - **Shapes**: UTF-8 (strict, with or without BOM) or GB18030; LF, CRLF or CR; quoted fields may hold newlines; columns in any
//!   order; extra columns are ignored and named. Bounds: [`MAX_FILE_BYTES`], [`MAX_FIELD_BYTES`], [`MAX_COLUMNS`]
//! - **Invariants**: a file is read whole or not at all. A bad row is rejected whole by number and reason, the rest stands
//! - **Errors**: [`IngestError`] (whoever wrote the file; every text says what to do and shows nothing of the content)
//! - **Security**: nothing here logs or keeps a cell; copies made here are cleared on drop
//!
//! Record numbers count from 1 after the header. Embedded newlines belong to their record. A line without any character
//! is no record and has no number; a line of white space or separators has a number. Both are counted as blank.
//!
//! Reading order: `encoding` (bytes -> text), `table` (text -> named fields), [`csv`], [`applicants`].

pub mod applicants;
pub mod csv;
mod encoding;
mod error;
mod table;

pub use error::IngestError;
pub use table::{MAX_COLUMNS, MAX_FIELD_BYTES};

/// Longest file that is read, in bytes: 2 GiB, about 15 million records.
pub const MAX_FILE_BYTES: usize = 2 << 30;

/// How far reading has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of decoded text read so far.
    pub bytes_read: usize,
    /// Bytes of decoded text in all.
    pub bytes_total: usize,
    /// Records read so far, bad and blank ones included.
    pub records: u64,
}
