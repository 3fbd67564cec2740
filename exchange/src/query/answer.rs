//! What one responder's answer comes to: a hit with its facts, clear, or why it is neither.
//!
//! - **Place**: B7, [`VerifiedResponse`], [`Conditions`] and the replica -> [`ResponderAnswer`] -> `query::report`
//! - **Invariants**: hit and clear exist only when all six conditions hold; only [`answer_subjects`] makes them
//! - **Errors**: none: every failure is an answer that is not "no"
//! - **Security**: facts are personal data without the person: no identifier is in them
//! - **Source**: DESIGN.md section 4; section 3, "Row"

use std::ops::Range;

use riskveil_crypto::label::open_label;
use riskveil_crypto::oprf::PrfOutput;
use serde::{Deserialize, Serialize};

use crate::publish::PeriodKeyId;
use crate::query::clear::{self, Conditions, NotAnswered};
use crate::query::lookup::{FoundSlot, IndexView, WalkError, walk_all};
use crate::query::refusal::RefusalReason;
use crate::query::session::{AskedOutput, AwaitingEvaluations, VerifiedResponse};
use crate::record::{Category, Day, Detail, IdType, Label, Level};

/// Why a publisher has no answer although it did nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnavailableReason {
    /// No connection.
    NotReached,
    /// No answer in time.
    TimedOut,
    /// Condition 1: the lender's replica is too far behind its clock.
    StaleReplica,
    /// Condition 1: the finalized header is ahead of the lender's clock.
    HeaderAhead,
    /// Condition 1: the lender's clock disagrees with the responders'.
    ClockDisagrees,
    /// Condition 2: the lender's replica has not reached the responder's tip.
    TipUnknown,
    /// Condition 2: the responder's header at its tip is not the lender's.
    TipConflict,
    /// Condition 3: no active publisher.
    NotActive,
    /// Condition 3: the period is over.
    PeriodOver,
    /// Condition 3: the publisher's live key is another one.
    KeyChanged,
    /// Condition 3: no sealed snapshot.
    NoSnapshot,
    /// Condition 3: the key was revoked.
    Revoked,
    /// Condition 3: the key is not bound to the audit key.
    NoAuditBinding,
    /// Condition 4 or 6: a counted batch is not held.
    ReplicaIncomplete,
}

impl UnavailableReason {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::NotReached,
        Self::TimedOut,
        Self::StaleReplica,
        Self::HeaderAhead,
        Self::ClockDisagrees,
        Self::TipUnknown,
        Self::TipConflict,
        Self::NotActive,
        Self::PeriodOver,
        Self::KeyChanged,
        Self::NoSnapshot,
        Self::Revoked,
        Self::NoAuditBinding,
        Self::ReplicaIncomplete,
    ];

    /// The word used in reports and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotReached => "not_reached",
            Self::TimedOut => "timed_out",
            Self::StaleReplica => "stale_replica",
            Self::HeaderAhead => "header_ahead",
            Self::ClockDisagrees => "clock_disagrees",
            Self::TipUnknown => "tip_unknown",
            Self::TipConflict => "tip_conflict",
            Self::NotActive => "not_active",
            Self::PeriodOver => "period_over",
            Self::KeyChanged => "key_changed",
            Self::NoSnapshot => "no_snapshot",
            Self::Revoked => "revoked",
            Self::NoAuditBinding => "no_audit_binding",
            Self::ReplicaIncomplete => "replica_incomplete",
        }
    }
}

/// What a publisher did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MalformedReason {
    /// The response was rejected: signature, digests, key, count or proof.
    Response,
    /// Condition 4: it counts other batches at its tip than the chain.
    BatchCount,
    /// Condition 5: not all items were verified.
    ItemsUnverified,
    /// An output could not be computed: K_Y is another key's.
    Output,
    /// Condition 6: a slot is used after one that is not.
    SlotGap,
    /// Condition 6: a found row does not open.
    RowUnopenable,
    /// Condition 6: an opened label is none.
    LabelInvalid,
}

impl MalformedReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Response,
        Self::BatchCount,
        Self::ItemsUnverified,
        Self::Output,
        Self::SlotGap,
        Self::RowUnopenable,
        Self::LabelInvalid,
    ];

    /// The word used in reports and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::BatchCount => "batch_count",
            Self::ItemsUnverified => "items_unverified",
            Self::Output => "output",
            Self::SlotGap => "slot_gap",
            Self::RowUnopenable => "row_unopenable",
            Self::LabelInvalid => "label_invalid",
        }
    }
}

/// From one value to another; without an end it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRange {
    /// The least value.
    pub from: u64,
    /// The greatest value, if bounded.
    pub to: Option<u64>,
}

/// One record that a publisher holds of the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Blacklist, overdue, suspected cash-out or suspected fraud.
    pub category: Category,
    /// 1 to 5.
    pub severity: u8,
    /// How much the publisher tells.
    pub level: Level,
    /// The day of the event.
    pub event_day: Day,
    /// Days overdue; none at level `match`.
    pub overdue_days: Option<ValueRange>,
    /// Minor units of the consortium's currency; none at level `match`.
    pub amount_minor: Option<ValueRange>,
    /// The type of the identifier it was found by.
    pub found_by: IdType,
    /// Found by a mobile number alone: numbers are recycled.
    pub weak: bool,
}

impl Fact {
    /// What an opened label says of a record that was found by an identifier of this type.
    #[must_use]
    pub fn of(label: &Label, found_by: IdType) -> Self {
        let (overdue_days, amount_minor) = match *label.detail() {
            Detail::Match => (None, None),
            Detail::Banded { overdue_days, amount } => {
                let (from, to) = overdue_days.days();
                let days = ValueRange { from: u64::from(from), to: to.map(u64::from) };
                let (from, to) = amount.minor_units();
                (Some(days), Some(ValueRange { from, to }))
            }
            Detail::Exact { overdue_days, days_saturated, amount_minor, amount_saturated } => (
                Some(exact(u64::from(overdue_days), days_saturated)),
                Some(exact(u64::from(amount_minor), amount_saturated)),
            ),
        };
        Self {
            category: label.category(),
            severity: label.severity().value(),
            level: label.detail().level(),
            event_day: label.event_day(),
            overdue_days,
            amount_minor,
            found_by,
            weak: found_by == IdType::Mobile,
        }
    }
}

fn exact(value: u64, saturated: bool) -> ValueRange {
    ValueRange { from: value, to: if saturated { None } else { Some(value) } }
}

/// The answer of one responder about one subject.
///
/// JSON has `answer` and, except for clear, `detail`; BCS is that of the enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponderAnswer {
    /// It holds these records; at least one.
    Hit(Vec<Fact>),
    /// All six conditions hold and it holds no record.
    Clear,
    /// It could not be asked or its answer could not be judged.
    Unavailable(UnavailableReason),
    /// It refused.
    Refused(RefusalReason),
    /// Its answer is wrong.
    Malformed(MalformedReason),
}

impl ResponderAnswer {
    /// Whether the publisher answered the question: hit or clear.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        matches!(self, Self::Hit(_) | Self::Clear)
    }

    /// Why there is no answer, as `kind(reason)`; none for hit and clear.
    #[must_use]
    pub fn unanswered(&self) -> Option<String> {
        match self {
            Self::Hit(_) | Self::Clear => None,
            Self::Unavailable(reason) => Some(format!("unavailable({})", reason.as_str())),
            Self::Refused(reason) => Some(format!("refused({})", reason.as_str())),
            Self::Malformed(reason) => Some(format!("malformed({})", reason.as_str())),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ResponderAnswer", tag = "answer", content = "detail", rename_all = "snake_case")]
enum AnswerForPeople {
    Hit(Vec<Fact>),
    Clear,
    Unavailable(UnavailableReason),
    Refused(RefusalReason),
    Malformed(MalformedReason),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ResponderAnswer")]
enum AnswerInBcs {
    Hit(Vec<Fact>),
    Clear,
    Unavailable(UnavailableReason),
    Refused(RefusalReason),
    Malformed(MalformedReason),
}

impl Serialize for ResponderAnswer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            AnswerForPeople::serialize(self, serializer)
        } else {
            AnswerInBcs::serialize(self, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ResponderAnswer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            AnswerForPeople::deserialize(deserializer)
        } else {
            AnswerInBcs::deserialize(deserializer)
        }
    }
}

impl From<NotAnswered> for ResponderAnswer {
    fn from(reason: NotAnswered) -> Self {
        match reason {
            NotAnswered::Unavailable(reason) => Self::Unavailable(reason),
            NotAnswered::Malformed(reason) => Self::Malformed(reason),
        }
    }
}

/// Judges a verified response about one subject: conditions 1 to 5, the walks, the labels.
///
/// `key` is the publisher's key of the query's period, `view` its rows as of the judged height, `as_of` the business date on
/// which a label counts as held.
#[must_use]
pub fn answer_subject(
    query: &AwaitingEvaluations,
    subject: usize,
    response: &VerifiedResponse,
    at: &Conditions<'_>,
    key: &PeriodKeyId,
    view: &dyn IndexView,
    as_of: Day,
) -> ResponderAnswer {
    let mut answers = answer_subjects(query, subject..subject + 1, response, at, key, view, as_of);
    answers.pop().unwrap_or(ResponderAnswer::Malformed(MalformedReason::ItemsUnverified))
}

/// [`answer_subject`] of each of these subjects, in order, many at a time.
#[must_use]
pub fn answer_subjects(
    query: &AwaitingEvaluations,
    subjects: Range<usize>,
    response: &VerifiedResponse,
    at: &Conditions<'_>,
    key: &PeriodKeyId,
    view: &dyn IndexView,
    as_of: Day,
) -> Vec<ResponderAnswer> {
    let core = query.core();
    let outputs = clear::judge(at, core.period, core.shape.item_count(), response).and_then(|()| {
        let outputs = query.outputs_of(response, subjects.clone());
        outputs.map_err(|_| NotAnswered::Malformed(MalformedReason::Output))
    });
    match outputs {
        Ok(outputs) => look_up(outputs, key, view, as_of),
        Err(reason) => subjects.map(|_| reason.into()).collect(),
    }
}

/// Condition 6 of every subject, over the outputs of its real items.
fn look_up(
    outputs: Vec<Vec<AskedOutput>>,
    key: &PeriodKeyId,
    view: &dyn IndexView,
    as_of: Day,
) -> Vec<ResponderAnswer> {
    let counts: Vec<usize> = outputs.iter().map(Vec::len).collect();
    let (found_by, outputs): (Vec<IdType>, Vec<PrfOutput>) =
        outputs.into_iter().flatten().map(|asked| (asked.id_type, asked.output)).unzip();
    let mut walks = walk_all(&outputs, &key.salt(), view).into_iter().zip(found_by);
    counts
        .into_iter()
        .map(|count| {
            // every walk of the subject is taken, whatever the first ones say
            let walks: Vec<_> = walks.by_ref().take(count).collect();
            match facts(walks, key, as_of) {
                Ok(facts) if facts.is_empty() => ResponderAnswer::Clear,
                Ok(facts) => ResponderAnswer::Hit(facts),
                Err(reason) => reason.into(),
            }
        })
        .collect()
}

type Walked = (Result<Vec<FoundSlot>, WalkError>, IdType);

fn facts(walks: Vec<Walked>, key: &PeriodKeyId, as_of: Day) -> Result<Vec<Fact>, NotAnswered> {
    let mut facts = Vec::new();
    for (walk, found_by) in walks {
        for slot in clear::walk_is_whole(walk)? {
            facts.extend(open(&slot, key, found_by, as_of)?);
        }
    }
    Ok(facts)
}

/// Condition 6, second half: a found row opened, was withdrawn or has expired.
fn open(slot: &FoundSlot, key: &PeriodKeyId, found_by: IdType, as_of: Day) -> Result<Option<Fact>, NotAnswered> {
    Ok(open_slot(slot, key, as_of)?.map(|label| Fact::of(&label, found_by)))
}

/// The label of a found row, unless it was withdrawn or has expired.
pub(crate) fn open_slot(slot: &FoundSlot, key: &PeriodKeyId, as_of: Day) -> Result<Option<Label>, NotAnswered> {
    if slot.found.withdrawn {
        return Ok(None);
    }
    let aad = key.label_aad(&slot.found.row.tag);
    let bytes = open_label(&slot.label_key, &aad, &slot.found.row)
        .map_err(|_| NotAnswered::Malformed(MalformedReason::RowUnopenable))?;
    let label = Label::decode(&bytes).map_err(|_| NotAnswered::Malformed(MalformedReason::LabelInvalid))?;
    Ok(if label.is_expired(as_of) { None } else { Some(label) })
}
