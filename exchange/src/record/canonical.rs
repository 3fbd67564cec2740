//! Folding of text as people and spreadsheets write it.
//!
//! - **Shapes**: NFKC (full width, compatibility ideographs and ligatures become the usual characters), then either
//!   trimming (numbers, dates, words) or squeezing (identifiers: white space, dashes, invisible characters dropped)
//! - **Security**: results are personal data and are cleared on drop; a squeezed text stops growing at
//!   [`MAX_SQUEEZED_CHARS`], above every valid length, so a hostile cell cannot make it long
//! - **Source**: Unicode Standard Annex 15; DESIGN.md section 3 (Identifiers)

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Characters after which squeezing stops; the longest valid identifier, a mobile with prefix, is 24.
const MAX_SQUEEZED_CHARS: usize = 64;

/// NFKC, without surrounding white space.
pub(super) fn fold(raw: &str) -> Zeroizing<String> {
    if raw.is_ascii() {
        return Zeroizing::new(raw.trim().to_owned());
    }
    let mut folded = Zeroizing::new(String::with_capacity(raw.len().saturating_mul(2)));
    folded.extend(raw.nfkc());
    if folded.trim().len() == folded.len() { folded } else { Zeroizing::new(folded.trim().to_owned()) }
}

/// As [`fold`], in lower case: words of a registry.
pub(super) fn fold_word(raw: &str) -> Zeroizing<String> {
    Zeroizing::new(fold(raw).to_lowercase())
}

/// NFKC, upper case, without white space, dashes and invisible characters; at most [`MAX_SQUEEZED_CHARS`] + 1 characters.
pub(super) fn squeeze(raw: &str) -> Zeroizing<String> {
    // ASCII is its own NFKC, and most numbers are written in it
    if raw.is_ascii() {
        let mut squeezed = Zeroizing::new(String::with_capacity(raw.len().min(MAX_SQUEEZED_CHARS + 1)));
        squeezed.extend(kept(raw.chars()));
        return squeezed;
    }
    let mut squeezed = Zeroizing::new(String::with_capacity(4 * (MAX_SQUEEZED_CHARS + 1)));
    squeezed.extend(kept(raw.nfkc()));
    squeezed
}

fn kept(folded: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    folded.filter(|c| !is_dropped(*c)).map(|c| c.to_ascii_uppercase()).take(MAX_SQUEEZED_CHARS + 1)
}

/// An integer with an optional minus sign, as the oracle reads it: `-0` is 0, `+1`, `1.0` and `1,000` are not integers.
/// `None` if it is none, negative, or above `u64`.
pub(super) fn non_negative_integer(raw: &str) -> Option<u64> {
    let folded = fold(raw);
    let (negative, digits) = match folded.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, folded.as_str()),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.bytes().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    (!negative || value == 0).then_some(value)
}

/// White space, dashes (U+2212 is the minus sign) and characters without width.
fn is_dropped(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '-' | '\u{2010}'..='\u{2015}' | '\u{2212}'
            | '\u{00ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}'
            | '\u{1c}'..='\u{1f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn squeezing_drops_what_pasting_adds() {
        let raw = "\u{feff} １１０１０1\u{3000}1990-0307\u{a0}\t00\u{200b}1\u{2011}ｘ\u{200d}";
        assert_eq!(squeeze(raw).as_str(), "11010119900307001X");
        assert_eq!(squeeze(&"9".repeat(10_000)).len(), MAX_SQUEEZED_CHARS + 1);
        assert_eq!(squeeze(" \u{3000}-\u{200b}").as_str(), "");
    }

    #[test]
    fn integers_are_read_as_the_oracle_reads_them() {
        assert_eq!(non_negative_integer(" １２３ "), Some(123));
        assert_eq!(non_negative_integer("-0"), Some(0));
        assert_eq!(non_negative_integer("0000000000000000000000000007"), Some(7));
        assert_eq!(non_negative_integer("18446744073709551615"), Some(u64::MAX));
        for bad in ["", " ", "-", "-5", "+5", "1.0", "1,000", "abc", "1 2", "18446744073709551616", "--1", "0x1"] {
            assert_eq!(non_negative_integer(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn ascii_is_squeezed_as_any_other_text(raw in "[\\x00-\\x7f]{0,40}|[0-9Xx +()\\t-]{0,90}") {
            let slow: String = kept(raw.nfkc()).collect();
            let squeezed = squeeze(&raw);
            prop_assert_eq!(squeezed.as_str(), slow);
            prop_assert!(squeezed.capacity() <= raw.len(), "a text that grows leaves copies behind");
        }
    }
}
