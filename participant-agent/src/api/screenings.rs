//! `/v1/screenings`: a file of applicants, its progress, its answers.
//!
//! - **Place**: B1 for many; `walks::screen` does the rest behind it
//! - **Idempotency**: the id is a digest of the inputs, so the same body resumes the same screening and asks nobody again who
//!   is finished
//! - **Errors**: 400 malformed body, no or too many applicants; 422 a reference that repeats or is none; 404 an unknown id

use std::borrow::Cow;
use std::sync::Arc;

use riskveil_crypto::Digest32;
use riskveil_exchange::record::{Applicant, Category, Day, IdType, Identifier, RawApplicant};
use warp::http::StatusCode;

use super::checks::{not_a_lender, problem_of};
use super::json;
use super::models::{
    AnswerRow, ApplicantBody, InvalidRow, MAX_APPLICANTS, ScreeningAnswers, ScreeningBody, ScreeningProgress, Started,
    UnansweredRow, WorkState,
};
use super::once::{self, Once};
use super::problem::{Problem, ProblemKind};
use super::route::{Answered, Call, Page, shown, with_status};
use crate::context::{Context, Lender};
use crate::walks::jobs::{Job, JobApplicant, Told};
use crate::walks::{QueryError, blocking, screen};

/// Applicants on a page of answers, usually and at most.
const PAGE: (usize, usize) = (1_000, 10_000);

/// `POST /v1/screenings`.
pub(super) async fn start(context: Arc<Context>, call: Call) -> Answered {
    let lender = context.lender.as_ref().ok_or_else(not_a_lender)?;
    let claim = match call.request_key("/v1/screenings") {
        None => None,
        Some(key) => match once::once(context.requests.begin(&key, context.clock.now_s()))? {
            Once::Do(claim) => Some(claim),
            Once::Done(id) => return with_status(StatusCode::ACCEPTED, &Started { id: id.to_string() }),
        },
    };
    let (as_of, screenings, accepting) = (context.as_of(), lender.screenings.clone(), context.clone());
    let accept = move || {
        let body: ScreeningBody = json(&call.body)?;
        if !accepting.ledger.genesis().policy.purposes.contains(&body.purpose) {
            return Err(problem_of(&QueryError::PurposeNotAllowed));
        }
        let as_of = body.as_of.unwrap_or(as_of);
        let applicants = applicants(&body.applicants, as_of)?;
        screenings.jobs.accept(body.purpose, as_of, applicants).map_err(|error| problem_of(&error.into()))
    };
    let job = blocking(accept).await?;
    let id = job.id.to_string();
    screen::start(&context, &lender.screenings, job);
    once::keep(&context, claim, &id).await?;
    with_status(StatusCode::ACCEPTED, &Started { id })
}

/// `GET /v1/screenings/{id}`.
pub(super) async fn progress(context: Arc<Context>, call: Call) -> Answered {
    shown(&progress_of(&context, call.segment("id"))?)
}

/// `GET /v1/screenings/{id}/answers`.
pub(super) async fn answers(context: Arc<Context>, call: Call) -> Answered {
    let page = call.page(PAGE.0, PAGE.1)?;
    blocking(move || answers_of(&context, call.segment("id"), page)).await
}

/// B2 for every applicant.
fn applicants(bodies: &[ApplicantBody], as_of: Day) -> Result<Vec<JobApplicant>, Problem> {
    let wrong = |kind| move |detail: String| Problem::new(kind).detail(detail);
    let (malformed, invalid) = (wrong(ProblemKind::Malformed), wrong(ProblemKind::Invalid));
    if bodies.is_empty() || bodies.len() > MAX_APPLICANTS {
        return Err(malformed(format!("a screening has 1 to {MAX_APPLICANTS} applicants")));
    }
    let references: Vec<&str> = bodies.iter().map(|body| body.applicant_ref.trim()).collect();
    if let Some(at) = screen::repeated(&references) {
        return Err(invalid(format!("applicant {} repeats an applicant_ref", at + 1)));
    }
    let parse = |(number, body): (usize, &ApplicantBody)| {
        parse(body, as_of).map_err(|what| invalid(format!("applicant {}: {what}", number + 1)))
    };
    bodies.iter().enumerate().map(parse).collect()
}

fn parse(body: &ApplicantBody, as_of: Day) -> Result<JobApplicant, String> {
    let raw = RawApplicant {
        applicant_ref: &body.applicant_ref,
        id_type: &body.id_type,
        id_number: body.id_number.expose(),
        mobile: body.mobile.expose(),
        bank_card: body.bank_card.expose(),
    };
    let applicant = Applicant::parse(&raw, as_of).map_err(|error| error.to_string())?;
    let consent = body.consent_digest.as_deref().map(str::parse::<Digest32>).transpose();
    let consent = consent.map_err(|_| "consent_digest is not 64 hex digits".to_owned())?;
    let canonical = |identifier: &Identifier| (identifier.id_type(), identifier.canonical_expose(str::to_owned));
    Ok(JobApplicant {
        applicant_ref: applicant.applicant_ref().as_str().to_owned(),
        identifiers: applicant.subjects().iter().map(canonical).collect(),
        invalid: applicant.invalid().iter().map(|invalid| (invalid.id_type, invalid.reason)).collect(),
        consent,
    })
}

fn find<'a>(context: &'a Context, id: &str) -> Result<(&'a Lender, Arc<Job>), Problem> {
    let lender = context.lender.as_ref().ok_or_else(not_a_lender)?;
    let job = id.parse().ok().and_then(|id| lender.screenings.jobs.job(&id));
    Ok((lender, job.ok_or_else(|| Problem::new(ProblemKind::NotFound))?))
}

fn progress_of(context: &Context, id: &str) -> Result<ScreeningProgress, Problem> {
    let (lender, job) = find(context, id)?;
    let run = lender.screenings.run_of(&job.id);
    let counts = job.counts();
    let to_ask = counts.never_asked + counts.unanswered;
    let running = run.as_ref().is_some_and(|run| run.took.is_none());
    let state = match (running, &run) {
        (true, _) => WorkState::Running,
        (false, None) if to_ask > 0 => WorkState::Queued,
        (false, _) => WorkState::Done,
    };
    let elapsed = run.as_ref().map(|run| run.took.unwrap_or_else(|| run.began.elapsed())).unwrap_or_default();
    Ok(ScreeningProgress {
        id: id.to_owned(),
        state,
        applicants: job.applicants.len(),
        finished: counts.not_sent + counts.answered,
        not_sent: counts.not_sent,
        unanswered: counts.unanswered,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        failure: run.and_then(|run| run.failure),
    })
}

fn answers_of(context: &Context, id: &str, page: Page) -> Answered {
    let (_, job) = find(context, id)?;
    let all = &job.applicants;
    let places = page.offset.min(all.len())..page.offset.saturating_add(page.limit).min(all.len());
    let columns = job.told(places.clone());
    let publishers = context.ledger.genesis().members.iter().filter(|member| member.roles.publisher);
    let publishers: Vec<(&str, &[Option<Told>])> =
        publishers.map(|m| (m.id.as_str(), columns.get(&m.id).map(Vec::as_slice).unwrap_or_default())).collect();
    let mut rows = ScreeningAnswers { next: page.next(all.len()), ..ScreeningAnswers::default() };
    for (at, applicant) in all.get(places).unwrap_or_default().iter().enumerate() {
        let applicant_ref = || Cow::Borrowed(applicant.applicant_ref.as_str());
        for (publisher, column) in &publishers {
            let institution = || Cow::Borrowed(*publisher);
            let reason = match (applicant.not_sent(), column.get(at).copied().flatten()) {
                (Some(reason), _) => format!("refused({reason})").into(),
                (None, None) => "not_asked_yet".into(),
                (None, Some(Told::Answered { hit, weak })) => {
                    rows.answers.extend(Category::ALL.map(|category| AnswerRow {
                        applicant_ref: applicant_ref(),
                        institution: institution(),
                        category: category.as_str().into(),
                        hit: u8::from(hit & Told::bit(category) != 0),
                        weak: weak & Told::bit(category) != 0,
                    }));
                    continue;
                }
                (None, Some(told)) => told.unanswered().unwrap_or_default().into(),
            };
            rows.unanswered.push(UnansweredRow { applicant_ref: applicant_ref(), institution: institution(), reason });
        }
        rows.invalid.extend(applicant.invalid.iter().map(|(id_type, reason)| InvalidRow {
            applicant_ref: applicant_ref(),
            id_type: id_type.map_or("unknown", IdType::as_str).into(),
            reason: reason.as_str().into(),
        }));
    }
    shown(&rows)
}
