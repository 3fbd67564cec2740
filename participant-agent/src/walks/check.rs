//! Walk B: does any publisher hold a record of this person?
//!
//! - **Place**: B2 to B8, one call a step; B1 is `api/checks.rs`, B9 `windows`, B10 the regulator's
//! - **Shapes**: 4 items for everyone, whatever was given; every publisher at once; [`DEADLINE`] for their answers
//! - **Invariants**: nothing leaves before its log entry is on disk, no report before it is journalled with its evidence; a
//!   publisher that did not answer is named and never reads as clear
//! - **Errors**: [`QueryError`]: nothing was asked
//! - **Source**: DESIGN.md section 4; HOUSE_STYLE.md section 3

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use riskveil_crypto::Digest32;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::ResponderAnswer;
use riskveil_exchange::query::messages::Shape;
use riskveil_exchange::query::report::{NotAsked, Report, ReportHead, ReportOutcome};
use riskveil_exchange::query::session::Subject;
use riskveil_exchange::record::{Day, IdType, Identifier};

use super::ask::{Asked, Question, Took};
use super::judge::{Settled, ask_and_settle};
use super::kept::{CheckEvidence, KeptItem};
use super::{QueryError, blocking};
use crate::api::models::SubjectBody;
use crate::context::Context;
use crate::telemetry::Metrics;

/// How long answers are waited for.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// A check, its identifiers parsed.
#[derive(Debug)]
pub struct CheckRequest {
    /// Whom about.
    pub subject: Subject,
    /// Identifiers that were left out because they are not valid.
    pub not_asked: Vec<NotAsked>,
    /// SHA-256 of the consent file.
    pub consent: Digest32,
    /// Why.
    pub purpose: Purpose,
    /// Business date of the answer.
    pub as_of: Day,
}

/// A report with the time its steps took.
#[derive(Debug)]
pub struct Checked {
    /// What each publisher answered.
    pub report: Report,
    /// B3 to B5.
    pub took: Took,
    /// B6 and B7.
    pub judge: Duration,
}

/// B2: the identifiers that were given, by the same function that publishers use.
///
/// # Errors
/// [`QueryError::NoIdentifier`] when none is valid, [`QueryError::Session`] never for identifiers of one type each.
pub fn identify(given: &SubjectBody, as_of: Day) -> Result<(Subject, Vec<NotAsked>), QueryError> {
    let (mut valid, mut not_asked) = (Vec::new(), Vec::new());
    for (id_type, text) in given.given() {
        match Identifier::parse(id_type, text.expose(), as_of) {
            Ok(identifier) => valid.push(identifier),
            Err(reason) => not_asked.push(NotAsked { id_type: Some(id_type), reason }),
        }
    }
    if valid.is_empty() {
        return Err(QueryError::NoIdentifier(not_asked));
    }
    Ok((Subject::new(valid)?, not_asked))
}

/// B3 to B8 for one subject.
///
/// # Errors
/// [`QueryError`].
pub async fn check(context: &Arc<Context>, request: CheckRequest) -> Result<(Checked, CheckEvidence), QueryError> {
    let CheckRequest { subject, not_asked, consent, purpose, as_of } = request;
    let identifiers = subject.identifiers().to_vec();
    let asked_types: Vec<IdType> = identifiers.iter().map(Identifier::id_type).collect();
    // B3: blind, prove, seal, journal; B4: ask everyone at once; B5: verify every answer
    let subjects = Arc::new([(subject, consent)]);
    let question = Question { shape: Shape::Check, subjects, purpose, deadline: DEADLINE };
    let settled = ask_and_settle(context, question).await?;
    // B6: look up in the own replica; B7: open labels; the six conditions of clear, at one height
    let started = Instant::now();
    let (answers, settled) = judge_all(context.clone(), settled, as_of).await;
    let judge = started.elapsed();
    let Settled { asked, judgement } = settled;
    // B8: the report and what shows it
    let head = ReportHead {
        core_digest: *asked.state.core_digest(),
        subject: 0,
        purpose,
        period: asked.period,
        height: judgement.view.height(),
        header_hash: judgement.view.digest,
        judged_at_s: judgement.judged_at_s,
    };
    let publishers: Vec<MemberId> = asked.heard.keys().cloned().collect();
    let report = Report::new(head, asked_types, not_asked, &publishers, answers);
    let took = asked.took;
    observe(&context.metrics, &took, judge, &report);
    let evidence = keep(asked, &report, identifiers, as_of);
    Ok((Checked { report, took, judge }, evidence))
}

/// What shows the report later: secrets and identifiers by the place of their item.
fn keep(asked: Asked, report: &Report, identifiers: Vec<Identifier>, as_of: Day) -> CheckEvidence {
    let secrets = IdType::ALL.into_iter().zip(asked.state.export_secrets());
    let items = secrets.map(|(id_type, secret)| KeptItem {
        identifier: identifiers.iter().find(|identifier| identifier.id_type() == id_type).cloned(),
        secret,
    });
    CheckEvidence {
        items: items.collect(),
        responses: asked.responses.into_iter().map(|(publisher, bytes)| (publisher, bytes.to_vec())).collect(),
        judged_height: report.query.height,
        as_of,
        unanswered: report.unanswered().map(|(publisher, reason)| (publisher.clone(), reason)).collect(),
        entry: asked.entry,
    }
}

fn observe(metrics: &Metrics, took: &Took, judge: Duration, report: &Report) {
    for (phase, took) in [("prepare", took.prepare), ("journal", took.journal), ("ask", took.ask), ("judge", judge)] {
        metrics.observe_check(phase, took);
    }
    let outcome = match report.outcome {
        ReportOutcome::Hit => "hit",
        ReportOutcome::Clear => "clear",
        ReportOutcome::Incomplete => "incomplete",
    };
    metrics.checks.get_or_create(&[("outcome", outcome)]).inc();
}

async fn judge_all(
    context: Arc<Context>,
    settled: Settled,
    as_of: Day,
) -> (BTreeMap<MemberId, ResponderAnswer>, Settled) {
    let judge = move || {
        let answers_of = |publisher: &MemberId| {
            let answers = settled.judgement.answers(&context, &settled.asked, publisher, 1, as_of);
            answers.into_iter().map(|answer| (publisher.clone(), answer)).collect::<Vec<_>>()
        };
        let answers = settled.asked.heard.keys().flat_map(answers_of).collect();
        Ok::<_, std::convert::Infallible>((answers, settled))
    };
    match blocking(judge).await {
        Ok(judged) => judged,
        Err(never) => match never {},
    }
}
