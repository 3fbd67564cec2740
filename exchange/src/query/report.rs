//! What the lender keeps of a query about one subject: who answered what, at which height, and who did not answer.
//!
//! - **Place**: B8, answers -> [`Report`] -> the agent's journal, API and files
//! - **Invariants**: `answers` has every publisher that should have been asked; [`Report::outcome`] is clear only when every
//!   one of them is
//! - **Security**: no identifier, no name, no applicant reference; what was asked is named by type only
//! - **Source**: DESIGN.md sections 1 and 4

use std::collections::BTreeMap;

use riskveil_crypto::Digest32;
use riskveil_crypto::digest::hash;
use serde::{Deserialize, Serialize};

use crate::dst;
use crate::ids::{Height, MemberId, Period};
use crate::purpose::Purpose;
use crate::query::answer::{ResponderAnswer, UnavailableReason};
use crate::record::{IdType, InvalidIdentifier, RejectReason};

/// An identifier of the applicant that was not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotAsked {
    /// Its type, if it has one.
    pub id_type: Option<IdType>,
    /// Why it is invalid.
    pub reason: RejectReason,
}

impl From<&InvalidIdentifier> for NotAsked {
    fn from(invalid: &InvalidIdentifier) -> Self {
        Self { id_type: invalid.id_type, reason: invalid.reason }
    }
}

/// What a reader of a report must not overlook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Not every publisher answered: the absence of a hit means nothing for those.
    Incomplete,
    /// An identifier was invalid and not asked.
    IdentifierNotAsked,
    /// No identifier was valid: nobody was asked about anything.
    NothingAsked,
    /// A hit was found by a mobile number alone.
    WeakHit,
    /// A suspicion is never the sole ground for a refusal.
    SuspicionOnly,
}

/// What a report says in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// At least one publisher holds a record.
    Hit,
    /// Every publisher answered, and none holds a record.
    Clear,
    /// No hit, but somebody did not answer, or nothing was asked.
    Incomplete,
}

/// What a query was, apart from its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportHead {
    /// The core of the query.
    pub core_digest: Digest32,
    /// Which of its subjects, from 0.
    pub subject: u32,
    /// Why the lender asked.
    pub purpose: Purpose,
    /// The period asked.
    pub period: Period,
    /// The height at which the answers were judged.
    pub height: Height,
    /// Its header hash.
    pub header_hash: Digest32,
    /// When they were judged, Unix seconds by the lender's clock.
    pub judged_at_s: u64,
}

/// The report about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Names the report: a hash of core digest and subject number.
    pub report_id: Digest32,
    /// What was asked.
    pub query: ReportHead,
    /// Hit, clear or incomplete.
    pub outcome: ReportOutcome,
    /// Types of the identifiers that were asked, ascending.
    pub asked: Vec<IdType>,
    /// Identifiers that were not asked.
    pub not_asked: Vec<NotAsked>,
    /// The answer of every publisher of the consortium.
    pub answers: BTreeMap<MemberId, ResponderAnswer>,
    /// Publishers without a connection or an answer in time.
    pub not_reached: Vec<MemberId>,
    /// What a reader must not overlook, ascending.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// The report of one subject. `publishers` are all that should have been asked; who has no answer in `answers` was not
    /// reached.
    #[must_use]
    pub fn new(
        query: ReportHead,
        asked: Vec<IdType>,
        not_asked: Vec<NotAsked>,
        publishers: &[MemberId],
        mut answers: BTreeMap<MemberId, ResponderAnswer>,
    ) -> Self {
        for publisher in publishers {
            answers.entry(publisher.clone()).or_insert(ResponderAnswer::Unavailable(UnavailableReason::NotReached));
        }
        let not_reached =
            answers.iter().filter(|(_, answer)| was_not_reached(answer)).map(|(id, _)| id.clone()).collect();
        let outcome = outcome(&asked, &answers);
        let warnings = warnings(&asked, &not_asked, &answers);
        let report_id = hash(dst::REPORT, &[query.core_digest.as_bytes(), &query.subject.to_le_bytes()]);
        Self { report_id, query, outcome, asked, not_asked, answers, not_reached, warnings }
    }

    /// Publishers that gave no hit and no clear, with the reason as text.
    pub fn unanswered(&self) -> impl Iterator<Item = (&MemberId, String)> {
        self.answers.iter().filter_map(|(id, answer)| answer.unanswered().map(|reason| (id, reason)))
    }
}

fn outcome(asked: &[IdType], answers: &BTreeMap<MemberId, ResponderAnswer>) -> ReportOutcome {
    if answers.values().any(|answer| matches!(answer, ResponderAnswer::Hit(_))) {
        return ReportOutcome::Hit;
    }
    let all_clear = answers.values().all(|answer| *answer == ResponderAnswer::Clear);
    if all_clear && !answers.is_empty() && !asked.is_empty() { ReportOutcome::Clear } else { ReportOutcome::Incomplete }
}

fn warnings(asked: &[IdType], not_asked: &[NotAsked], answers: &BTreeMap<MemberId, ResponderAnswer>) -> Vec<Warning> {
    let facts = || {
        answers.values().flat_map(|answer| match answer {
            ResponderAnswer::Hit(facts) => facts.as_slice(),
            _ => &[],
        })
    };
    let found = [
        (answers.is_empty() || answers.values().any(|answer| !answer.is_answered()), Warning::Incomplete),
        (!not_asked.is_empty(), Warning::IdentifierNotAsked),
        (asked.is_empty(), Warning::NothingAsked),
        (facts().any(|fact| fact.weak), Warning::WeakHit),
        (facts().next().is_some() && facts().all(|fact| fact.category.is_suspicion()), Warning::SuspicionOnly),
    ];
    found.into_iter().filter(|(holds, _)| *holds).map(|(_, warning)| warning).collect()
}

const fn was_not_reached(answer: &ResponderAnswer) -> bool {
    matches!(answer, ResponderAnswer::Unavailable(UnavailableReason::NotReached | UnavailableReason::TimedOut))
}
