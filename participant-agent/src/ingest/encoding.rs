//! Bytes -> text: UTF-8 if it is UTF-8, otherwise GB18030, otherwise refused.
//!
//! - **Deviations**: a file with a UTF-8 mark, or one that is UTF-8 up to a character cut off at its end, is never tried as
//!   GB18030, which would turn it into other characters without an error

use encoding_rs::GB18030;
use zeroize::Zeroizing;

use super::{MAX_FILE_BYTES, error::IngestError};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text of a file: borrowed if it was UTF-8, otherwise a copy that is cleared on drop.
pub(super) enum Text<'a> {
    Utf8(&'a str),
    Decoded(Zeroizing<String>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Text::Utf8(text) => text,
            Text::Decoded(text) => text,
        }
    }
}

/// The text of these bytes, without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<Text<'_>, IngestError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(IngestError::FileTooLong);
    }
    if bytes.contains(&0) {
        return Err(IngestError::NulByte);
    }
    let (marked, content) = match bytes.strip_prefix(UTF8_MARK) {
        Some(content) => (true, content),
        None => (false, bytes),
    };
    let error = match std::str::from_utf8(content) {
        Ok(text) => return Ok(Text::Utf8(text)),
        Err(error) => error,
    };
    let cut_off = error.error_len().is_none();
    let before = content.get(..error.valid_up_to()).unwrap_or_default();
    if cut_off && (marked || !before.is_ascii()) {
        return Err(IngestError::CutOff);
    }
    if marked {
        return Err(IngestError::Encoding);
    }
    match GB18030.decode_without_bom_handling_and_without_replacement(content) {
        Some(text) => Ok(Text::Decoded(Zeroizing::new(text.into_owned()))),
        None => Err(IngestError::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, IngestError> {
        decode(bytes).map(|text| text.as_str().to_owned())
    }

    #[test]
    fn utf8_with_or_without_mark_and_gb18030_are_read() {
        assert_eq!(read("张三,１".as_bytes()).unwrap(), "张三,１");
        assert_eq!(read(b"\xef\xbb\xbfa,b").unwrap(), "a,b");
        assert_eq!(read(b"\xd5\xc5\xc8\xfd,1").unwrap(), "张三,1");
        // U+20C2A... four-byte forms: U+9FC3 and U+20087
        assert_eq!(read(b"\x82\x35\x95\x33\x95\x32\x90\x31").unwrap().chars().count(), 2);
        assert_eq!(read(b"").unwrap(), "");
    }

    #[test]
    fn other_bytes_are_refused_with_what_to_do() {
        assert_eq!(read(b"a,\xff\xfeb"), Err(IngestError::Encoding));
        assert_eq!(read(b"a,\xd5"), Err(IngestError::Encoding));
        assert_eq!(read(b"\xef\xbb\xbfa,\xd5\xc5"), Err(IngestError::Encoding));
        assert_eq!(read(b"i\0d\0"), Err(IngestError::NulByte));
        let whole = "张三,李四".as_bytes();
        assert_eq!(read(&whole[..whole.len() - 1]), Err(IngestError::CutOff));
    }
}
