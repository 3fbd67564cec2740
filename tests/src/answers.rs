//! `answers.csv` and `truth.csv`: who is held by whom, as a product says and as it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::table::{Malformed, Table, utf8};

/// The four categories, in the order of `truth.csv`.
pub const CATEGORIES: [&str; 4] = ["blacklist", "overdue", "cash_out", "fraud"];

/// One question: does this institution hold a record of this category about this applicant?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The lender's reference.
    pub applicant_ref: String,
    /// The institution that was asked.
    pub institution: String,
    /// One of [`CATEGORIES`].
    pub category: String,
}

impl Pair {
    /// The pair of these three words.
    pub fn new(applicant_ref: &str, institution: &str, category: &str) -> Pair {
        let [applicant_ref, institution, category] = [applicant_ref, institution, category].map(str::to_owned);
        Pair { applicant_ref, institution, category }
    }
}

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.applicant_ref, self.institution, self.category)
    }
}

/// What is so about one pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Why it matches: `id`, `card`, `phone`, `attr_mobile`, `attr_mobile_name`; empty if it does not.
    pub match_keys: BTreeSet<String>,
    /// What trap the applicant is.
    pub kind: String,
}

/// One line of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The question.
    pub pair: Pair,
    /// The product's answer.
    pub hit: bool,
}

/// Reads `truth.csv`.
///
/// # Errors
/// [`Malformed`] for missing columns, a repeated pair, or bytes that are not UTF-8.
pub fn read_truth(bytes: &[u8]) -> Result<BTreeMap<Pair, Truth>, Malformed> {
    let needed = ["applicant_ref", "institution", "category", "match_keys"];
    let table = Table::read("truth", utf8("truth", bytes)?, &needed)?;
    let mut truth = BTreeMap::new();
    for row in table.rows() {
        let pair = Pair::new(row.get("applicant_ref"), row.get("institution"), row.get("category"));
        let match_keys = row.get("match_keys").split('+').filter(|key| !key.is_empty()).map(str::to_owned).collect();
        if truth.insert(pair.clone(), Truth { match_keys, kind: row.get("kind").to_owned() }).is_some() {
            return Err(Malformed(format!("truth repeats {pair}")));
        }
    }
    Ok(truth)
}

/// Reads `answers.csv`. Repeated pairs stay: the checker judges them.
///
/// # Errors
/// [`Malformed`] for missing columns, an unknown category or hit word, or bytes that are not UTF-8.
pub fn read_answers(bytes: &[u8]) -> Result<Vec<Answer>, Malformed> {
    let needed = ["applicant_ref", "institution", "category", "hit"];
    let table = Table::read("answers", utf8("answers", bytes)?, &needed)?;
    let mut answers = Vec::new();
    for (line, row) in table.rows().enumerate() {
        let line = line + 2;
        let [applicant_ref, institution, category] =
            ["applicant_ref", "institution", "category"].map(|column| row.get(column).trim());
        let hit = match row.get("hit").trim().to_lowercase().as_str() {
            "1" | "true" | "yes" | "hit" | "y" | "t" => true,
            "0" | "false" | "no" | "miss" | "n" | "f" => false,
            other => return Err(Malformed(format!("answers line {line}: hit={other:?}"))),
        };
        if !CATEGORIES.contains(&category) {
            return Err(Malformed(format!("answers line {line}: category {category:?}")));
        }
        answers.push(Answer { pair: Pair::new(applicant_ref, institution, category), hit });
    }
    Ok(answers)
}

/// Writes `answers.csv`.
pub fn write_answers<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = answers.into_iter().map(|Answer { pair, hit }| {
        [pair.applicant_ref.as_str(), &pair.institution, &pair.category, if *hit { "1" } else { "0" }]
    });
    for row in std::iter::once(["applicant_ref", "institution", "category", "hit"]).chain(rows) {
        writer.write_record(row).expect("memory takes every record of four fields");
    }
    writer.into_inner().expect("memory needs no flush")
}

/// One answer per applicant, institution and category: the dense form.
pub fn dense<'a>(
    applicant_refs: &[String],
    institutions: &[String],
    is_hit: impl Fn(&Pair) -> bool + 'a,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    for applicant_ref in applicant_refs {
        for institution in institutions {
            for category in CATEGORIES {
                let pair = Pair::new(applicant_ref, institution, category);
                answers.push(Answer { hit: is_hit(&pair), pair });
            }
        }
    }
    answers
}
