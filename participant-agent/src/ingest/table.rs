//! Text -> named fields: the CSV reader (RFC 4180, as spreadsheets write it).
//!
//! - **Shapes**: fields are slices of the text; only a quoted field with doubled marks is copied, into memory cleared on drop.
//!   This is why the reader is ours: it keeps no buffer of personal data, it bounds a field before copying it, and it notices
//!   a quotation mark that is never closed, which would swallow the rows after it without a word
//! - **Errors**: [`IngestError`]; record 0 is the header
//! - **Deviations**: characters after a closing mark belong to the field; LF, CRLF and CR all end a record; a record may be
//!   shorter (missing fields are empty) or longer (surplus fields are ignored) than the header

use zeroize::Zeroizing;

use super::error::IngestError;

/// Longest field, in bytes.
pub const MAX_FIELD_BYTES: usize = 64 * 1024;
/// Most columns of a header or a record.
pub const MAX_COLUMNS: usize = 256;

/// A CSV text whose header has been read.
pub(super) struct Table<'a> {
    reader: Reader<'a>,
    /// Where each known column stands in a record, in the order of `known`.
    positions: Vec<Option<usize>>,
    /// Names of the columns that are not known.
    pub(super) ignored_columns: Vec<String>,
}

/// One record of a table.
pub(super) struct Row<'t, 'a> {
    /// From 1 after the header.
    pub(super) number: u64,
    positions: &'t [Option<usize>],
    fields: &'t [Field<'a>],
}

/// Text of one field.
enum Field<'a> {
    Slice(&'a str),
    Copied(Zeroizing<String>),
}

struct Reader<'a> {
    rest: &'a str,
    fields: Vec<Field<'a>>,
    /// Number of the record being read; 0 is the header.
    record_number: u64,
    empty_lines: u64,
}

impl<'a> Table<'a> {
    /// Reads the header: every `needed` column must be there, `optional` ones may.
    /// Rows number their fields by position in `needed` followed by `optional`.
    pub(super) fn open(
        text: &'a str,
        needed: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Table<'a>, IngestError> {
        let mut reader = Reader { rest: text, fields: Vec::new(), record_number: 0, empty_lines: 0 };
        if !reader.read_record()? {
            return Err(IngestError::NoHeader);
        }
        reader.empty_lines = 0;
        let names: Vec<&str> = reader.fields.iter().map(|field| field.as_str().trim()).collect();
        let mut positions = Vec::with_capacity(needed.len() + optional.len());
        for column in needed.iter().chain(optional) {
            let mut found = names.iter().enumerate().filter(|(_, name)| *name == column).map(|(position, _)| position);
            positions.push(found.next());
            if found.next().is_some() {
                return Err(IngestError::DuplicateColumn { column });
            }
        }
        let missing = needed.iter().zip(&positions).filter(|(_, position)| position.is_none());
        let columns: Vec<&'static str> = missing.map(|(column, _)| *column).collect();
        if !columns.is_empty() {
            return Err(IngestError::MissingColumns { columns });
        }
        let known = |name: &&str| needed.contains(name) || optional.contains(name);
        let ignored_columns = names.iter().filter(|name| !known(name)).map(|name| (*name).to_owned()).collect();
        Ok(Table { reader, positions, ignored_columns })
    }

    /// The next record, or `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_, 'a>>, IngestError> {
        self.reader.record_number += 1;
        if !self.reader.read_record()? {
            return Ok(None);
        }
        Ok(Some(Row { number: self.reader.record_number, positions: &self.positions, fields: &self.reader.fields }))
    }

    /// Lines without any character so far, the ones before the header aside.
    pub(super) fn empty_lines(&self) -> u64 {
        self.reader.empty_lines
    }

    /// Bytes of the text not read yet.
    pub(super) fn bytes_left(&self) -> usize {
        self.reader.rest.len()
    }
}

impl Row<'_, '_> {
    /// The field of a known column; empty if the file or the record does not have it.
    pub(super) fn field(&self, column: usize) -> String {
        self.text(column).to_owned()
    }

    /// [`Row::field`], borrowed.
    pub(super) fn text(&self, column: usize) -> &str {
        let position = self.positions.get(column).copied().flatten();
        position.and_then(|position| self.fields.get(position)).map(|field| field.as_str()).unwrap_or_default()
    }

    /// Whether there is nothing but white space in any field.
    pub(super) fn is_blank(&self) -> bool {
        self.fields.iter().all(|field| field.as_str().trim().is_empty())
    }
}

impl Field<'_> {
    fn as_str(&self) -> &str {
        match self {
            Field::Slice(text) => text,
            Field::Copied(text) => text,
        }
    }
}

impl<'a> Reader<'a> {
    /// Reads one record into `fields`; false at the end of the text.
    fn read_record(&mut self) -> Result<bool, IngestError> {
        self.fields.clear();
        while let Some(after) = strip_line_end(self.rest) {
            self.rest = after;
            self.empty_lines += 1;
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        loop {
            if self.fields.len() == MAX_COLUMNS {
                return Err(IngestError::TooManyColumns { record_number: self.record_number });
            }
            let field = self.read_field()?;
            self.fields.push(field);
            if let Some(after) = self.rest.strip_prefix(',') {
                self.rest = after;
            } else {
                self.rest = strip_line_end(self.rest).unwrap_or(self.rest);
                return Ok(true);
            }
        }
    }

    /// Reads up to, not over, the separator or line end.
    fn read_field(&mut self) -> Result<Field<'a>, IngestError> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return self.read_plain().map(Field::Slice);
        };
        let first = self.read_to_quote(quoted)?;
        if self.at_field_end() {
            return Ok(Field::Slice(first));
        }
        let mut copied = Zeroizing::new(String::with_capacity(first.len() + 64));
        self.append(&mut copied, first)?;
        while let Some(after) = self.rest.strip_prefix('"') {
            self.append(&mut copied, "\"")?;
            let part = self.read_to_quote(after)?;
            self.append(&mut copied, part)?;
        }
        let tail = self.read_plain()?;
        self.append(&mut copied, tail)?;
        Ok(Field::Copied(copied))
    }

    /// Text up to the separator or line end, in which quotation marks mean nothing.
    fn read_plain(&mut self) -> Result<&'a str, IngestError> {
        let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.bounded(text)
    }

    /// Text up to the next quotation mark; goes on behind it.
    fn read_to_quote(&mut self, quoted: &'a str) -> Result<&'a str, IngestError> {
        let (text, after) =
            quoted.split_once('"').ok_or(IngestError::UnclosedQuote { record_number: self.record_number })?;
        self.rest = after;
        self.bounded(text)
    }

    fn at_field_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with([',', '\n', '\r'])
    }

    fn bounded(&self, text: &'a str) -> Result<&'a str, IngestError> {
        if text.len() > MAX_FIELD_BYTES {
            return Err(IngestError::FieldTooLong { record_number: self.record_number });
        }
        Ok(text)
    }

    /// Appends within the bound of a field, growing into new memory so that the old copy is cleared.
    fn append(&self, copied: &mut Zeroizing<String>, part: &str) -> Result<(), IngestError> {
        let length = copied.len() + part.len();
        if length > MAX_FIELD_BYTES {
            return Err(IngestError::FieldTooLong { record_number: self.record_number });
        }
        if length > copied.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(2 * length));
            larger.push_str(copied);
            *copied = larger;
        }
        copied.push_str(part);
        Ok(())
    }
}

fn strip_line_end(text: &str) -> Option<&str> {
    text.strip_prefix("\r\n").or_else(|| text.strip_prefix(['\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every record of columns a and b, joined by `|`.
    fn read(text: &str) -> Result<Vec<String>, IngestError> {
        let mut table = Table::open(text, &["a"], &["b"])?;
        let mut rows = Vec::new();
        while let Some(row) = table.next_row()? {
            rows.push(format!("{} {}|{}", row.number, row.field(0), row.field(1)));
        }
        Ok(rows)
    }

    #[test]
    fn quotes_newlines_and_line_ends_are_read_as_spreadsheets_write_them() {
        let text = "b,x,a\r\n\"1,\"\"2\"\"\",,\"line\r\nline\"\n\n4,,5\r\"\",,6 \"q\"\n\"7\"8,,\"\"9";
        let expected = ["1 line\r\nline|1,\"2\"", "2 5|4", "3 6 \"q\"|", "4 9|78"];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn short_records_have_empty_fields_and_surplus_fields_are_ignored() {
        assert_eq!(read("a,b\n1\n2,3,4,5\n,\n").unwrap(), ["1 1|", "2 2|3", "3 |"]);
        assert_eq!(read("\n\na\n1").unwrap(), ["1 1|"]);
    }

    #[test]
    fn header_must_name_each_needed_column_once() {
        assert_eq!(read(""), Err(IngestError::NoHeader));
        assert_eq!(read("\r\n\n"), Err(IngestError::NoHeader));
        assert_eq!(read("b,c\n1,2"), Err(IngestError::MissingColumns { columns: vec!["a"] }));
        assert_eq!(read("A\n1"), Err(IngestError::MissingColumns { columns: vec!["a"] }));
        assert_eq!(read("a,b, b\n1,2,3"), Err(IngestError::DuplicateColumn { column: "b" }));
        assert_eq!(read("a,,\n1,2,3").unwrap(), ["1 1|"]);
        let table = Table::open("note,a,备注", &["a"], &["b"]).map(|table| table.ignored_columns);
        assert_eq!(table.unwrap_or_default(), ["note", "备注"]);
    }

    #[test]
    fn what_cannot_be_read_as_records_is_refused() {
        assert_eq!(read("a\n1\n\"2\n3\n"), Err(IngestError::UnclosedQuote { record_number: 2 }));
        assert_eq!(read("\"a\n1"), Err(IngestError::UnclosedQuote { record_number: 0 }));
        let long = "x".repeat(MAX_FIELD_BYTES);
        assert!(read(&format!("a\n{long}\n\"{long}\"")).is_ok());
        assert_eq!(read(&format!("a\n1\n{long}x")), Err(IngestError::FieldTooLong { record_number: 2 }));
        assert_eq!(read(&format!("a\n\"{long}x\"")), Err(IngestError::FieldTooLong { record_number: 1 }));
        assert_eq!(read(&format!("a\n\"{long}\"\"\"")), Err(IngestError::FieldTooLong { record_number: 1 }));
        let wide = format!("a{}\n", ",".repeat(MAX_COLUMNS - 1));
        assert!(read(&wide).is_ok());
        assert_eq!(read(&format!("{wide}1,{wide}")), Err(IngestError::TooManyColumns { record_number: 1 }));
    }

    #[test]
    fn lines_without_characters_are_counted_apart() {
        let mut table = Table::open("\na,b\n\n1,2\n\r\n , \n\n", &["a"], &["b"]).ok().unwrap();
        assert_eq!(table.next_row().unwrap().map(|row| row.is_blank()), Some(false));
        assert_eq!(table.next_row().unwrap().map(|row| (row.number, row.is_blank())), Some((2, true)));
        assert!(table.next_row().unwrap().is_none());
        assert_eq!(table.empty_lines(), 3);
        assert_eq!(table.bytes_left(), 0);
    }
}
