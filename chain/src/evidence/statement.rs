//! What a verified file proves.
//!
//! - **Invariants**: only `verify` makes a [`Verified`]
//! - **Security**: an [`Identifier`] does not print; facts are personal data

use riskveil_crypto::digest::Digest32;
use riskveil_exchange::ids::{Height, MemberId, Period, Window};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::Fact;
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::record::{Day, Identifier};

/// A file that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The trusted chain.
    pub chain_id: Digest32,
    /// Its network's name.
    pub network: String,
    /// The highest final block that the file holds.
    pub newest_height: Height,
    /// Its header time, Unix seconds.
    pub newest_time_s: u64,
    /// What is proven.
    pub statement: Statement,
}

/// What is proven.
#[derive(Clone, Debug)]
pub enum Statement {
    /// What every publisher answered about a subject.
    Answers(Box<AnswerStatement>),
    /// That a query was logged.
    LogEntry(Box<LogStatement>),
}

/// What an answer's evidence comes to in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At least one publisher held a record.
    Hit,
    /// No publisher held a record, and that is proven for every one of them.
    Clear,
    /// No record is shown, and for some publisher nothing is proven.
    Incomplete,
}

impl Outcome {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Clear => "clear",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What every publisher answered about a subject.
#[derive(Clone, Debug)]
pub struct AnswerStatement {
    /// Who asked.
    pub lender: MemberId,
    /// Why.
    pub purpose: Purpose,
    /// When, by the lender's clock, Unix seconds.
    pub issued_at_s: u64,
    /// Names the query.
    pub core_digest: Digest32,
    /// Whose keys were asked.
    pub period: Period,
    /// The block as of which it holds.
    pub height: Height,
    /// Its digest.
    pub header_digest: Digest32,
    /// Its header time, Unix seconds.
    pub header_time_s: u64,
    /// The business date, as stated by whoever made the file: labels that ended before it do not count.
    pub as_of: Day,
    /// Whom it is about, all that was asked.
    pub asked: Vec<Identifier>,
    /// Every publisher of the chain.
    pub answers: Vec<(MemberId, ProvenAnswer)>,
}

impl AnswerStatement {
    /// Hit, clear or incomplete.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let mut answers = self.answers.iter().map(|(_, answer)| answer);
        if answers.clone().any(|answer| matches!(answer, ProvenAnswer::Hit { .. })) {
            return Outcome::Hit;
        }
        let all_clear = !self.answers.is_empty() && answers.all(|answer| matches!(answer, ProvenAnswer::Clear { .. }));
        if all_clear { Outcome::Clear } else { Outcome::Incomplete }
    }
}

/// What is proven of one publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProvenAnswer {
    /// It held these records.
    Hit {
        /// At least one.
        facts: Vec<Fact>,
        /// What it rests on.
        shown: Shown,
    },
    /// It held no record on the business date.
    Clear {
        /// What it rests on.
        shown: Shown,
    },
    /// It refused, signed.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// When, by its clock, Unix seconds.
        served_at_s: u64,
    },
    /// Nothing.
    NotProven {
        /// What whoever made the file says.
        stated: String,
    },
}

/// What a hit or a clear rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When it answered, by its clock, Unix seconds.
    pub served_at_s: u64,
    /// Its finalized height then.
    pub tip_height: Height,
    /// Batches that the chain counted, all of them decided.
    pub batches: u32,
    /// Rows in them, padding included.
    pub rows: u64,
    /// Found rows whose label ended before the business date.
    pub expired: u32,
}

/// That a query was logged.
#[derive(Clone, Debug)]
pub struct LogStatement {
    /// Who asked.
    pub lender: MemberId,
    /// Why.
    pub purpose: Purpose,
    /// When, by the lender's clock, Unix seconds.
    pub issued_at_s: u64,
    /// Names the query.
    pub core_digest: Digest32,
    /// Whose keys were asked.
    pub period: Period,
    /// Whom it is about, all that was asked.
    pub asked: Vec<Identifier>,
    /// SHA-256 of the consent document it is bound to.
    pub consent_digest: Digest32,
    /// Where the lender logged it.
    pub logged: LoggedAt,
    /// Whom it was sent to; others may not be shown.
    pub responders: Vec<LoggedResponder>,
}

/// Where something was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedAt {
    /// The block.
    pub height: Height,
    /// Its header time, Unix seconds.
    pub time_s: u64,
    /// First window of the log transaction.
    pub first_window: Window,
    /// Its last window.
    pub last_window: Window,
}

/// One responder of a logged query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedResponder {
    /// Who.
    pub publisher: MemberId,
    /// 0 evaluated or a refusal code, as it signed; none if no signed answer is shown.
    pub status: Option<u8>,
    /// Where it logged the receipt; none if that is not shown.
    pub receipt: Option<LoggedAt>,
}
