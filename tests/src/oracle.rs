//! The plaintext answer, without any privacy: a port of `reference_match.py`.
//!
//! It reads a consortium the way a careful product should. It imports nothing of ours on purpose: it judges our
//! canonicalisation, so it has its own.
//!
//! - **Source**: data/tools/reference_match.py, line by line
//! - **Deviations**: only ASCII digits are digits; fields of an applicant with an unusable identifier match nothing, as there

use std::collections::{BTreeMap, BTreeSet};

use encoding_rs::GB18030;
use time::{Date, Month};
use unicode_normalization::UnicodeNormalization;

use crate::{
    answers::{CATEGORIES, Pair},
    table::{Malformed, Row, Table},
};

/// (type, canonical number)
type Key = (String, String);

const RESIDENT_ID_WEIGHTS: [usize; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const USCC_ALPHABET: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
const USCC_WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

/// One institution's file.
#[derive(Clone, Debug)]
pub struct Institution {
    /// File name without extension.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A row that the oracle refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reject {
    /// The institution.
    pub institution: String,
    /// From 1 after the header; lines without characters do not count.
    pub record_number: u64,
    /// The first reason.
    pub reason: String,
}

/// What a perfect product says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// Every pair that is held.
    pub hits: BTreeSet<Pair>,
    /// Rows refused, in the order of the files.
    pub rejects: Vec<Reject>,
    /// References of the applicants, in the order of their file.
    pub applicant_refs: Vec<String>,
}

/// Matches all applicants against all institutions.
///
/// # Errors
/// [`Malformed`] if a file is neither UTF-8 nor GB18030 or lacks a column.
pub fn reference_match(institutions: &[Institution], applicants: &[u8], as_of: Date) -> Result<Reference, Malformed> {
    let mut reference = Reference::default();
    let mut held: BTreeMap<Key, BTreeSet<(String, String)>> = BTreeMap::new();
    for institution in institutions {
        let text = load(&institution.name, &institution.bytes)?;
        let needed = ["id_type", "id_number", "category", "severity", "overdue_days", "amount_cents", "event_date"];
        for (index, row) in Table::read(&institution.name, &text, &needed)?.rows().enumerate() {
            if row.is_blank() {
                continue;
            }
            match judge(&row, as_of) {
                Ok((key, category)) => {
                    held.entry(key).or_default().insert((institution.name.clone(), category));
                }
                Err(reason) => reference.rejects.push(Reject {
                    institution: institution.name.clone(),
                    record_number: index as u64 + 1,
                    reason: reason.to_owned(),
                }),
            }
        }
    }
    let text = load("applicants", applicants)?;
    let needed = ["applicant_ref", "id_type", "id_number", "bank_card", "mobile"];
    for row in Table::read("applicants", &text, &needed)?.rows() {
        let applicant_ref = row.get("applicant_ref");
        reference.applicant_refs.push(applicant_ref.to_owned());
        let keys = [
            key(row.get("id_type"), row.get("id_number"), as_of),
            key("bank_card", row.get("bank_card"), as_of),
            key("mobile", row.get("mobile"), as_of),
        ];
        for (institution, category) in keys.iter().flatten().filter_map(|key| held.get(key)).flatten() {
            reference.hits.insert(Pair::new(applicant_ref, institution, category));
        }
    }
    Ok(reference)
}

/// The hits of exact string comparison without any reading: the floor that canonicalisation is measured against.
///
/// # Errors
/// [`Malformed`] if a file lacks a column.
pub fn naive_match(institutions: &[Institution], applicants: &[u8]) -> Result<BTreeSet<Pair>, Malformed> {
    let mut held: BTreeMap<Key, BTreeSet<(String, String)>> = BTreeMap::new();
    for institution in institutions {
        let text = String::from_utf8_lossy(&institution.bytes);
        for row in Table::read(&institution.name, &text, &["id_number"])?.rows() {
            let category = row.get("category");
            if CATEGORIES.contains(&category) {
                let key = (row.get("id_type").to_owned(), row.get("id_number").to_owned());
                held.entry(key).or_default().insert((institution.name.clone(), category.to_owned()));
            }
        }
    }
    let mut hits = BTreeSet::new();
    for row in Table::read("applicants", &load("applicants", applicants)?, &["applicant_ref"])?.rows() {
        let keys = [(row.get("id_type"), "id_number"), ("bank_card", "bank_card"), ("mobile", "mobile")];
        for (id_type, column) in keys {
            for (institution, category) in
                held.get(&(id_type.to_owned(), row.get(column).to_owned())).into_iter().flatten()
            {
                hits.insert(Pair::new(row.get("applicant_ref"), institution, category));
            }
        }
    }
    Ok(hits)
}

/// Key and category of a row, or its first reason.
fn judge(row: &Row<'_>, as_of: Date) -> Result<(Key, String), &'static str> {
    let key = key(&fold(row.get("id_type")).trim().to_lowercase(), row.get("id_number"), as_of)?;
    let category = fold(row.get("category")).trim().to_lowercase();
    if !CATEGORIES.contains(&category.as_str()) {
        return Err("category");
    }
    integer(row.get("severity")).filter(|severity| (1..=5).contains(severity)).ok_or("severity")?;
    integer(row.get("overdue_days")).filter(|days| *days >= 0).ok_or("overdue_days")?;
    integer(row.get("amount_cents")).filter(|amount| *amount >= 0).ok_or("amount")?;
    let event = date(row.get("event_date")).ok_or("event_date")?;
    if event > as_of { Err("event_date_future") } else { Ok((key, category)) }
}

fn key(id_type: &str, raw: &str, as_of: Date) -> Result<Key, &'static str> {
    let number = squeeze(raw);
    if number.is_empty() {
        return Err("id_missing");
    }
    let number = match id_type {
        "resident_id" => resident_id(&number, as_of).map(|()| number)?,
        "uscc" => uscc(&number).map(|()| number)?,
        "bank_card" => luhn(&number).map(|()| number)?,
        "mobile" => mobile(raw).ok_or("id_length")?,
        _ => return Err("id_type"),
    };
    Ok((id_type.to_owned(), number))
}

fn fold(text: &str) -> String {
    text.nfkc().collect()
}

fn squeeze(text: &str) -> String {
    let kept = |c: &char| !(c.is_whitespace() || matches!(c, '-' | '\u{200b}' | '\u{feff}' | '\u{1c}'..='\u{1f}'));
    fold(text).chars().filter(kept).collect::<String>().to_uppercase()
}

fn load(what: &str, bytes: &[u8]) -> Result<String, Malformed> {
    let unmarked = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(unmarked) {
        return Ok(text.to_owned());
    }
    let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes);
    text.map(|text| text.into_owned()).ok_or_else(|| Malformed(format!("{what}: neither UTF-8 nor GB18030")))
}

fn resident_id(number: &str, as_of: Date) -> Result<(), &'static str> {
    let (Some(body), Some(check)) = (number.get(..17), number.get(17..)) else { return Err("id_length") };
    if check.len() != 1 || !all_digits(body) || !(all_digits(check) || check == "X") {
        return Err("id_length");
    }
    let sum: usize =
        body.bytes().zip(RESIDENT_ID_WEIGHTS).map(|(digit, weight)| usize::from(digit - b'0') * weight).sum();
    if "10X98765432".as_bytes()[sum % 11] != check.as_bytes()[0] {
        return Err("id_check_digit");
    }
    let born = calendar_date(&body[6..10], &body[10..12], &body[12..14]).ok_or("id_birth_date")?;
    let earliest = calendar_date("1880", "01", "01").ok_or("id_birth_date")?;
    if earliest < born && born <= as_of { Ok(()) } else { Err("id_birth_date") }
}

fn uscc(number: &str) -> Result<(), &'static str> {
    let values: Vec<usize> = number.chars().map_while(|c| USCC_ALPHABET.find(c)).collect();
    if values.len() != 18 || number.len() != 18 {
        return Err("id_length");
    }
    let sum: usize = values.iter().zip(USCC_WEIGHTS).map(|(value, weight)| value * weight).sum();
    if (31 - sum % 31) % 31 == values[17] { Ok(()) } else { Err("id_check_digit") }
}

fn luhn(number: &str) -> Result<(), &'static str> {
    if !(13..=19).contains(&number.len()) || !all_digits(number) {
        return Err("id_length");
    }
    let doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];
    let digits = number.bytes().rev().map(|digit| usize::from(digit - b'0'));
    let sum: usize = digits.enumerate().map(|(index, digit)| if index % 2 == 1 { doubled[digit] } else { digit }).sum();
    if sum.is_multiple_of(10) { Ok(()) } else { Err("id_check_digit") }
}

fn mobile(raw: &str) -> Option<String> {
    let dropped = |c: char| c.is_whitespace() || matches!(c, '-' | '(' | ')' | '\u{200b}' | '\u{1c}'..='\u{1f}');
    let text: String = fold(raw).chars().filter(|c| !dropped(*c)).collect();
    let is_national = |text: &str| text.len() == 11 && text.starts_with('1') && all_digits(text);
    let stripped =
        ["+86", "86", "0086"].iter().filter_map(|prefix| text.strip_prefix(prefix)).find(|rest| is_national(rest));
    let number = stripped.unwrap_or(&text);
    (is_national(number) && number.as_bytes()[1] >= b'3').then(|| number.to_owned())
}

fn integer(raw: &str) -> Option<i128> {
    let folded = fold(raw);
    let text = folded.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !all_digits(digits) {
        return None;
    }
    Some(text.parse().unwrap_or(if text.starts_with('-') { i128::MIN } else { i128::MAX }))
}

fn date(raw: &str) -> Option<Date> {
    let folded = fold(raw);
    let text = folded.trim();
    let separator = text.chars().nth(4).filter(|c| matches!(c, '-' | '/'));
    let digits = match separator {
        Some(separator) => {
            let parts: Vec<&str> = text.split(separator).collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            (lengths == [4, 2, 2]).then(|| parts.concat())?
        }
        None => text.to_owned(),
    };
    if digits.len() != 8 || !all_digits(&digits) {
        return None;
    }
    calendar_date(&digits[..4], &digits[4..6], &digits[6..])
}

fn calendar_date(year: &str, month: &str, day: &str) -> Option<Date> {
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    let year = year.parse::<i32>().ok().filter(|year| *year >= 1)?;
    Date::from_calendar_date(year, month, day.parse().ok()?).ok()
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
