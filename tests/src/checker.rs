//! Compares a product's answers with the truth: a port of `check_answers.py`.
//!
//! - **Shapes**: a pair that is absent from the answers counts as no hit; in the dense form its absence is a mismatch
//! - **Errors**: [`Malformed`] for input that cannot be judged; mismatches are in the [`Report`]
//! - **Source**: data/tools/check_answers.py

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::{
    answers::{CATEGORIES, Pair, read_answers, read_truth},
    table::Malformed,
};

/// The reasons of a match that truth knows.
const KNOWN_KEYS: [&str; 5] = ["id", "card", "phone", "attr_mobile", "attr_mobile_name"];
/// The reasons that count for a product that looks records up by their own identifier.
pub const DEFAULT_KEYS: [&str; 3] = ["id", "card", "phone"];

/// Exit code of the Python tool when the answers are exact.
pub const EXIT_EXACT: i32 = 0;
/// Exit code of the Python tool on any mismatch.
pub const EXIT_MISMATCH: i32 = 1;
/// Exit code of the Python tool when an input is malformed.
pub const EXIT_MALFORMED: i32 = 2;

/// Whether a pair that is not answered counts as an answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Absent means no hit.
    Sparse,
    /// Every pair of the truth must be answered.
    Dense,
}

/// What is wrong with one pair.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Answered twice, differently.
    Conflict,
    /// A hit about an applicant, institution or category that truth does not know.
    FalseHitNotInTruth,
    /// Not answered, in the dense form.
    NoAnswer,
    /// A hit where there is no record.
    FalseHit,
    /// No hit where there is a record.
    Missed,
}

impl Mismatch {
    /// The words of the Python tool.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "CONFLICT",
            Self::FalseHitNotInTruth => "FALSE HIT (not in truth)",
            Self::NoAnswer => "NO ANSWER",
            Self::FalseHit => "FALSE HIT",
            Self::Missed => "MISSED",
        }
    }
}

/// True and false, positive and negative answers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hits that are so.
    pub true_hits: usize,
    /// Hits that are not so.
    pub false_hits: usize,
    /// Records that were not found.
    pub missed: usize,
    /// Absences that are so.
    pub true_misses: usize,
}

/// The result of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Pairs of the truth.
    pub pairs: usize,
    /// Over all pairs of the truth, and hits outside it.
    pub counts: Counts,
    /// By category.
    pub by_category: BTreeMap<String, Counts>,
    /// Wrong pairs by kind of applicant.
    pub by_kind: BTreeMap<String, usize>,
    /// Every mismatch.
    pub mismatches: Vec<(Mismatch, Pair)>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_exact(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// Compares answers with truth; `keys` are the reasons of a match that count as a hit.
///
/// # Errors
/// [`Malformed`] if an input cannot be read, or `keys` is empty or unknown.
pub fn check(truth: &[u8], answers: &[u8], keys: &[&str], form: Form) -> Result<Report, Malformed> {
    if keys.is_empty() || keys.iter().any(|key| !KNOWN_KEYS.contains(key)) {
        return Err(Malformed(format!("keys: {}", keys.join(","))));
    }
    let truth = read_truth(truth)?;
    let answers = read_answers(answers)?;
    let mut mismatches = Vec::new();
    let mut given: BTreeMap<Pair, bool> = BTreeMap::new();
    for answer in answers {
        if given.get(&answer.pair).is_some_and(|before| *before != answer.hit) {
            mismatches.push((Mismatch::Conflict, answer.pair));
            continue;
        }
        if answer.hit && !truth.contains_key(&answer.pair) {
            mismatches.push((Mismatch::FalseHitNotInTruth, answer.pair.clone()));
        }
        given.insert(answer.pair, answer.hit);
    }
    let mut counts = Counts {
        false_hits: mismatches.iter().filter(|m| m.0 == Mismatch::FalseHitNotInTruth).count(),
        ..Counts::default()
    };
    let mut by_category: BTreeMap<String, Counts> = CATEGORIES.map(|c| (c.to_owned(), Counts::default())).into();
    let mut by_kind = BTreeMap::new();
    for (pair, fact) in &truth {
        let held = keys.iter().any(|key| fact.match_keys.contains(*key));
        let answer = given.get(pair).copied();
        if form == Form::Dense && answer.is_none() {
            mismatches.push((Mismatch::NoAnswer, pair.clone()));
        }
        let category = by_category.entry(pair.category.clone()).or_default();
        match (held, answer.unwrap_or(false)) {
            (true, true) => [&mut counts, category].map(|c| c.true_hits += 1),
            (false, true) => [&mut counts, category].map(|c| c.false_hits += 1),
            (true, false) => [&mut counts, category].map(|c| c.missed += 1),
            (false, false) => [&mut counts, category].map(|c| c.true_misses += 1),
        };
        if held != answer.unwrap_or(false) {
            mismatches.push((if held { Mismatch::Missed } else { Mismatch::FalseHit }, pair.clone()));
            *by_kind.entry(fact.kind.clone()).or_default() += 1;
        }
    }
    Ok(Report { pairs: truth.len(), counts, by_category, by_kind, mismatches })
}

/// The exit code that the Python tool gives for this result.
pub fn exit_code(result: &Result<Report, Malformed>) -> i32 {
    match result {
        Ok(report) if report.is_exact() => EXIT_EXACT,
        Ok(_) => EXIT_MISMATCH,
        Err(_) => EXIT_MALFORMED,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { true_hits, false_hits, missed, true_misses } = self.counts;
        writeln!(f, "pairs {}  tp {true_hits}  fp {false_hits}  fn {missed}  tn {true_misses}", self.pairs)?;
        for (category, counts) in &self.by_category {
            writeln!(f, "  {category:10} tp {:6} fp {:5} fn {:5}", counts.true_hits, counts.false_hits, counts.missed)?;
        }
        let kinds: BTreeSet<String> = self.by_kind.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        if !kinds.is_empty() {
            let kinds: Vec<String> = kinds.into_iter().collect();
            writeln!(f, "mismatches by applicant kind: {}", kinds.join(", "))?;
        }
        for (mismatch, pair) in self.mismatches.iter().take(20) {
            writeln!(f, "  {}: {pair}", mismatch.as_str())?;
        }
        if self.is_exact() { write!(f, "EXACT") } else { write!(f, "{} MISMATCHES", self.mismatches.len()) }
    }
}
