//! Why a file as a whole is refused. Record numbers and column names only, never content.

use riskveil_exchange::record::ApplicantRefInvalid;

use super::{MAX_COLUMNS, MAX_FIELD_BYTES, MAX_FILE_BYTES};

/// A file that cannot be read as records. Nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// Longer than [`MAX_FILE_BYTES`].
    #[error("the file is longer than {MAX_FILE_BYTES} bytes; split it")]
    FileTooLong,
    /// Neither UTF-8 nor GB18030.
    #[error("the file is neither UTF-8 nor GB18030 text; save it as CSV in UTF-8")]
    Encoding,
    /// UTF-8 that ends within a character.
    #[error("the file ends in the middle of a character; it was cut off, export or copy it again")]
    CutOff,
    /// NUL characters: a spreadsheet, UTF-16, or damage.
    #[error("the file holds NUL bytes, so it is not a CSV text; save it as CSV in UTF-8")]
    NulByte,
    /// No header line.
    #[error("the file is empty; its first line must name the columns")]
    NoHeader,
    /// Columns that are needed and not in the header.
    #[error("the header has no column {}; the first line must name the columns, separated by commas", .columns.join(", "))]
    MissingColumns {
        /// Their names.
        columns: Vec<&'static str>,
    },
    /// A column that the header names twice, so that it is unclear which one is meant.
    #[error("the header names column {column} twice; remove one")]
    DuplicateColumn {
        /// Its name.
        column: &'static str,
    },
    /// More columns than [`MAX_COLUMNS`].
    #[error("{} has more than {MAX_COLUMNS} columns; remove the ones that are not needed", place(*.record_number))]
    TooManyColumns {
        /// Where; 0 is the header.
        record_number: u64,
    },
    /// A field longer than [`MAX_FIELD_BYTES`], usually after a quotation mark that is never closed.
    #[error(
        "{} has a field longer than {MAX_FIELD_BYTES} bytes; look for a quotation mark that is not closed, or shorten it",
        place(*.record_number)
    )]
    FieldTooLong {
        /// Where; 0 is the header.
        record_number: u64,
    },
    /// The file ends within quotation marks.
    #[error("the file ends inside a quoted field that starts in {}; close the quotation mark or export the file again", place(*.record_number))]
    UnclosedQuote {
        /// Where; 0 is the header.
        record_number: u64,
    },
    /// An applicant whose answers could not be named.
    #[error("record {record_number}: {problem}; give every applicant a reference of its own")]
    ApplicantRef {
        /// Where.
        record_number: u64,
        /// What is wrong with it.
        problem: ApplicantRefInvalid,
    },
    /// Two applicants with one reference.
    #[error(
        "record {record_number} repeats the applicant_ref of record {first}; give every applicant a reference of its own"
    )]
    RepeatedApplicantRef {
        /// The later one.
        record_number: u64,
        /// The earlier one.
        first: u64,
    },
}

fn place(record_number: u64) -> String {
    if record_number == 0 { "the header".to_owned() } else { format!("record {record_number}") }
}
