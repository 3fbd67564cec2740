//! CSV as the judges read it: rows by column name, like Python's `csv.DictReader`.
//!
//! - **Shapes**: lines without characters are no rows; short rows have empty fields, surplus fields are dropped
//! - **Invariants**: shares no code with the agent's reader, so that each checks the other

use csv::{ReaderBuilder, StringRecord};

/// A judge's input that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// A CSV text with a header.
pub(crate) struct Table {
    header: StringRecord,
    rows: Vec<StringRecord>,
}

impl Table {
    /// Reads a text; every column of `needed` must be there.
    pub(crate) fn read(what: &str, text: &str, needed: &[&str]) -> Result<Table, Malformed> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| Malformed(format!("{what}: {error}")))?.clone();
        let missing: Vec<&str> = needed.iter().copied().filter(|column| !header.iter().any(|h| h == *column)).collect();
        if !missing.is_empty() {
            return Err(Malformed(format!("{what}: no column {}", missing.join(","))));
        }
        let rows = reader.records().collect::<Result<_, _>>().map_err(|error| Malformed(format!("{what}: {error}")))?;
        Ok(Table { header, rows })
    }

    /// The rows in order.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|fields| Row { header: &self.header, fields })
    }
}

/// One row of a [`Table`].
#[derive(Copy, Clone)]
pub(crate) struct Row<'a> {
    header: &'a StringRecord,
    fields: &'a StringRecord,
}

impl<'a> Row<'a> {
    /// The field of this column, the last one if the header repeats it; empty if there is none.
    pub(crate) fn get(&self, column: &str) -> &'a str {
        let position = (0..self.header.len()).rfind(|position| self.header.get(*position) == Some(column));
        position.and_then(|position| self.fields.get(position)).unwrap_or_default()
    }

    /// Whether every named field is white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.fields.iter().take(self.header.len()).all(|field| field.trim().is_empty())
    }
}

/// UTF-8 text of a judge's own input.
pub(crate) fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed(format!("{what}: not UTF-8")))
}
