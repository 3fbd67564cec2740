//! The JSON shapes of the local API, shared by the routes that serve them and the commands that send them.
//!
//! - **Place**: B1 (a check's body), the two ends of a screening and of a publication
//! - **Invariants**: every request body refuses unknown fields; an identifier of a person is [`PersonalText`], which does
//!   not print and is cleared when it is dropped
//! - **Source**: specs/openapi.yaml; DESIGN.md section 6

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use riskveil_crypto::Digest32;
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::Attribute;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::record::{Day, IdType};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::records::drawn::DrawProgress;

/// Most applicants in one screening.
pub const MAX_APPLICANTS: usize = 250_000;

/// Above 2^53 not every whole number is a float.
const MAX_EXACT_FLOAT: f64 = 9_007_199_254_740_992.0;

/// A value that stands as a JSON object; a struct of serde's would take an array of its fields too.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
            }
        }

        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// `deserialize_with` of a field that is an object.
///
/// # Errors
/// The deserializer's.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// `deserialize_with` of a field that is a whole number or absent: to JSON Schema, 3.0 is one too.
///
/// # Errors
/// The deserializer's; a fraction, or out of range.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let exact = |float: &f64| float.fract() == 0.0 && (0.0..MAX_EXACT_FLOAT).contains(float);
    let whole = number.as_u64().or_else(|| number.as_f64().filter(exact).map(|float| float as u64));
    let fits = whole.and_then(|whole| T::try_from(whole).ok());
    fits.map(Some).ok_or_else(|| serde::de::Error::custom("not a whole number in range"))
}

/// As [`whole`], for a field that must be there.
///
/// # Errors
/// As [`whole`].
pub fn whole_number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    whole(deserializer)?.ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// `deserialize_with` of a field that is a list of objects.
fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// An identifier of a person as it was typed: serialised only to and from the local API, never printed.
#[derive(Clone, Default)]
pub struct PersonalText(Zeroizing<String>);

impl Serialize for PersonalText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PersonalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl PersonalText {
    /// Keeps this text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text; keep it no longer than the call needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing but white space is there.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.0.trim().is_empty()
    }
}

impl fmt::Debug for PersonalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonalText(..)")
    }
}

/// The person or company a check is about: at most one identifier of each type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectBody {
    /// GB 11643 resident ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_id: Option<PersonalText>,
    /// GB 32100 unified social credit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uscc: Option<PersonalText>,
    /// Bank card number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bank_card: Option<PersonalText>,
    /// Mobile number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mobile: Option<PersonalText>,
}

impl SubjectBody {
    /// What was given, in the fixed order of identifier types; blank ones left out.
    #[must_use]
    pub fn given(&self) -> Vec<(IdType, &PersonalText)> {
        let all = [
            (IdType::ResidentId, &self.resident_id),
            (IdType::Uscc, &self.uscc),
            (IdType::BankCard, &self.bank_card),
            (IdType::Mobile, &self.mobile),
        ];
        all.into_iter().filter_map(|(kind, text)| Some((kind, text.as_ref()?))).filter(|(_, t)| !t.is_blank()).collect()
    }
}

/// `POST /v1/checks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckBody {
    /// Whom it is about.
    #[serde(deserialize_with = "object")]
    pub subject: SubjectBody,
    /// Why: a word of the purpose registry.
    pub purpose: Purpose,
    /// SHA-256 of the consent file, 64 hex digits.
    pub consent_digest: String,
    /// Business date of the answer; the agent's configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Day>,
}

/// One applicant of a screening.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplicantBody {
    /// The lender's own reference; names the rows of the answers.
    pub applicant_ref: String,
    /// `resident_id` or `uscc` (any identifier type is accepted).
    pub id_type: String,
    /// The identifier of that type.
    pub id_number: PersonalText,
    /// Mobile number, may be empty.
    #[serde(default)]
    pub mobile: PersonalText,
    /// Bank card, may be empty.
    #[serde(default)]
    pub bank_card: PersonalText,
    /// SHA-256 of the consent file, 64 hex digits; without one the applicant is refused before anything is sent.
    pub consent_digest: Option<String>,
}

/// `POST /v1/screenings`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreeningBody {
    /// Why: a word of the purpose registry.
    pub purpose: Purpose,
    /// Business date of the answers; the agent's configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Day>,
    /// 1 to [`MAX_APPLICANTS`]; references are unique.
    #[serde(deserialize_with = "objects")]
    pub applicants: Vec<ApplicantBody>,
}

/// The answer to a `POST` that started work: where to look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// Hex; the same input gives the same screening id.
    pub id: String,
}

/// How far a publication or screening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// Journalled, not begun.
    Queued,
    /// Being worked on.
    Running,
    /// Finished.
    Done,
}

/// `GET /v1/screenings/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScreeningProgress {
    /// The screening.
    pub id: String,
    /// How far.
    pub state: WorkState,
    /// Applicants in it.
    pub applicants: usize,
    /// Applicants that every institution answered, and those that are never sent.
    pub finished: usize,
    /// Applicants without consent or without a valid identifier, never sent.
    pub not_sent: usize,
    /// Applicants that were asked about and that not every institution answered.
    pub unanswered: usize,
    /// Wall-clock time spent on it by this process, ms.
    pub elapsed_ms: u64,
    /// Why it ended early, in one sentence; the same request goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One row of `answers.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRow<'a> {
    /// The lender's reference.
    pub applicant_ref: Cow<'a, str>,
    /// The publisher that answered.
    pub institution: Cow<'a, str>,
    /// `blacklist`, `overdue`, `cash_out` or `fraud`.
    pub category: Cow<'a, str>,
    /// 1 or 0.
    pub hit: u8,
    /// Whether it rests on the mobile number alone.
    pub weak: bool,
}

/// One row of `unanswered.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredRow<'a> {
    /// The lender's reference.
    pub applicant_ref: Cow<'a, str>,
    /// The publisher that did not answer.
    pub institution: Cow<'a, str>,
    /// Why: a word of specs/errors.md.
    pub reason: Cow<'a, str>,
}

/// An identifier that was left out of the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidRow<'a> {
    /// The lender's reference.
    pub applicant_ref: Cow<'a, str>,
    /// Which identifier.
    pub id_type: Cow<'a, str>,
    /// What is wrong with it.
    pub reason: Cow<'a, str>,
}

/// `GET /v1/screenings/{id}/answers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ScreeningAnswers<'a> {
    /// Dense over those that answered: one row per applicant, institution and category.
    pub answers: Vec<AnswerRow<'a>>,
    /// Those that did not.
    pub unanswered: Vec<UnansweredRow<'a>>,
    /// Identifiers that were left out because they are not valid.
    pub invalid: Vec<InvalidRow<'a>>,
    /// The `offset` of the next page of applicants; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}

/// A rejected row of a file: its number and reason, never its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Counted from 1 after the header; a record with embedded newlines is one.
    pub record_number: u64,
    /// A word of the reject registry.
    pub reason: String,
}

/// How far a publication's commitments are, padding included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentProgress {
    /// In the batches that carry them.
    pub total: u64,
    /// Of them, those whose range proofs are made.
    pub proved: u64,
    /// Of them, those on chain.
    pub published: u64,
}

/// Range proofs since the start of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofWork {
    /// Chunks of 64 commitments: two range proofs each.
    pub chunks: u64,
    /// The time they took, on all cores at the lowest priority, ms.
    pub busy_ms: u64,
}

/// How many commitments there are and how far their range proofs are: `commitments` of `GET /v1/chain/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentsSummary {
    /// Commitments on chain, of all publishers, padding included.
    pub on_chain: u64,
    /// Batches of them.
    pub batches: u64,
    /// Batches whose range proofs this member has not verified yet.
    pub unproved: u64,
    /// Batches whose range proofs hold.
    pub proved: u64,
    /// Batches with a range proof that does not hold.
    pub invalid: u64,
    /// Chunks of 64 commitments that wait to be verified here.
    pub chunks_left: u64,
    /// What this member verified.
    pub verified: ProofWork,
    /// A publisher's own commitments, as far as they are planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<CommitmentProgress>,
    /// What a publisher proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<ProofWork>,
}

/// A batch of commitments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentBatchInfo {
    /// Whose.
    pub publisher: MemberId,
    /// Its number, over all periods.
    pub batch_seq: u32,
    /// Commitments, padding included.
    pub count: u32,
    /// The block that carries it.
    pub height: Height,
    /// Root over its leaves.
    pub root: Digest32,
    /// `unproved`, `proved` or `invalid`, as this member found.
    pub range_proofs: String,
    /// For `invalid`: the lowest chunk of 64 whose proof does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u32>,
    /// For `invalid`: what that proof is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<Attribute>,
}

/// `GET /v1/chain/commitments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentsPage {
    /// As in `GET /v1/chain/status`.
    pub summary: CommitmentsSummary,
    /// A page of batches: invalid ones first, then the newest.
    pub batches: Vec<CommitmentBatchInfo>,
    /// How many batches there are.
    pub total: usize,
    /// The `offset` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
}

/// `GET /v1/publications/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublicationStatus {
    /// The publication.
    pub id: String,
    /// How far.
    pub state: WorkState,
    /// Records taken.
    pub accepted: u64,
    /// Records that were there already.
    pub duplicates: u64,
    /// Wholly blank lines.
    pub blank_lines: u64,
    /// Columns that were ignored.
    pub ignored_columns: Vec<String>,
    /// Rows refused, a page of them.
    pub rejected: Vec<RejectedRow>,
    /// Rows refused, all of them.
    #[serde(default)]
    pub rejected_total: usize,
    /// The `offset` of the next page of rejected rows; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
    /// Batches that carried it in this period.
    pub batches: u32,
    /// Height at which the last of them (or the seal) was finalized.
    pub height: Option<Height>,
    /// Whether the period's snapshot is sealed.
    pub sealed: bool,
    /// How far the rows that are drawn now are, of this publication and whatever else waits; absent when none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<DrawProgress>,
    /// How far the commitments of its records are; absent while they are not planned. Nothing waits for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitments: Option<CommitmentProgress>,
    /// Why it is not going on, in one sentence; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let parse = |text: &str| whole::<_, u32>(&mut serde_json::Deserializer::from_str(text)).ok();
        assert_eq!((parse("3"), parse("3.0"), parse("null")), (Some(Some(3)), Some(Some(3)), Some(None)));
        assert!(whole_number::<_, u32>(&mut serde_json::Deserializer::from_str("null")).is_err());
        for wrong in ["3.5", "-1", "-1.0", "1e300", "4294967296", "\"3\"", "[3]", "18446744073709551616"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_array_of_fields_is_no_object() {
        let digest = "ab".repeat(32);
        let check = format!("{{\"subject\":{{}},\"purpose\":\"dispute_check\",\"consent_digest\":\"{digest}\"}}");
        assert!(serde_json::from_str::<Object<CheckBody>>(&check).is_ok());
        assert!(serde_json::from_str::<Object<CheckBody>>(&check.replace("{}", "[]")).is_err());
        let array = format!("[{{}},\"dispute_check\",\"{digest}\",null]");
        assert!(serde_json::from_str::<Object<CheckBody>>(&array).is_err());
        let unknown = serde_json::from_str::<Object<CheckBody>>(&check.replace("{}", "{\"passport\":\"E1\"}"));
        assert!(unknown.is_err_and(|error| !error.to_string().contains("E1")));
        let screening = "{\"purpose\":\"dispute_check\",\"applicants\":[[\"A\",\"uscc\",\"\",\"\",\"\",null]]}";
        assert!(serde_json::from_str::<Object<ScreeningBody>>(screening).is_err());
    }
}
