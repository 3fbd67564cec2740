//! `/v1/screenings`: a file of applicants, its progress, its answers.
//!
//! - **Place**: B1 for many; `walks::screen` does the rest behind it
//! - **Idempotency**: the id is a digest of the inputs, so the same body resumes the same screening and asks nobody again who
//!   is finished
//! - **Errors**: 400 malformed body, no or too many applicants, a repeated reference; 404 an unknown id

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use riskveil_crypto::Digest32;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::record::{Applicant, Category, Day, Identifier, RawApplicant};
use warp::Filter;
use warp::http::StatusCode;

use super::auth::{Role, Tokens, require};
use super::checks::{not_a_lender, problem_of};
use super::models::{
    AnswerRow, ApplicantBody, InvalidRow, MAX_APPLICANTS, ScreeningAnswers, ScreeningBody, ScreeningProgress, Started,
    UnansweredRow, WorkState,
};
use super::problem::{Problem, ProblemKind};
use super::{Resource, json, reply, with};
use crate::context::{Context, Lender};
use crate::walks::jobs::{Job, JobApplicant, Told};
use crate::walks::{QueryError, blocking, screen};

/// Longest body, bytes.
const MAX_BODY: u64 = 64 << 20;

/// Every route of this resource.
pub fn routes(context: &Arc<Context>, tokens: &Arc<Tokens>) -> Resource {
    let role = || require(tokens.clone(), &[Role::Underwriter]);
    let start = warp::path!("v1" / "screenings")
        .and(warp::post())
        .and(role())
        .and(warp::body::content_length_limit(MAX_BODY))
        .and(warp::body::bytes())
        .and(with(context))
        .then(|_role, body, context| async move { reply(start(&context, body).await) });
    let progress =
        warp::path!("v1" / "screenings" / String).and(warp::get()).and(role()).and(with(context)).map(
            |id: String, _role, context: Arc<Context>| reply(progress(&context, &id).map(|p| warp::reply::json(&p))),
        );
    let answers =
        warp::path!("v1" / "screenings" / String / "answers").and(warp::get()).and(role()).and(with(context)).then(
            |id: String, _role, context: Arc<Context>| async move {
                reply(blocking(move || answers(&context, &id)).await.map(|answers| warp::reply::json(&answers)))
            },
        );
    start.or(progress).unify().or(answers).unify().boxed()
}

async fn start(context: &Arc<Context>, body: Bytes) -> Result<impl warp::Reply + use<>, Problem> {
    let lender = context.lender.as_ref().ok_or_else(not_a_lender)?;
    let (as_of, screenings, accepting) = (context.as_of(), lender.screenings.clone(), context.clone());
    let accept = move || {
        let body: ScreeningBody = json(&body)?;
        if !accepting.ledger.genesis().policy.purposes.contains(&body.purpose) {
            return Err(problem_of(&QueryError::PurposeNotAllowed));
        }
        let as_of = body.as_of.unwrap_or(as_of);
        let applicants = applicants(&body.applicants, as_of)?;
        screenings.jobs.accept(body.purpose, as_of, applicants).map_err(|error| problem_of(&error.into()))
    };
    let job = blocking(accept).await?;
    let id = job.id.to_string();
    screen::start(context, &lender.screenings, job);
    Ok(warp::reply::with_status(warp::reply::json(&Started { id }), StatusCode::ACCEPTED))
}

/// B2 for every applicant.
fn applicants(bodies: &[ApplicantBody], as_of: Day) -> Result<Vec<JobApplicant>, Problem> {
    let malformed = |detail: String| Problem::new(ProblemKind::Malformed).detail(detail);
    if bodies.is_empty() || bodies.len() > MAX_APPLICANTS {
        return Err(malformed(format!("a screening has 1 to {MAX_APPLICANTS} applicants")));
    }
    let references: Vec<&str> = bodies.iter().map(|body| body.applicant_ref.trim()).collect();
    if let Some(at) = screen::repeated(&references) {
        return Err(malformed(format!("applicant {} repeats an applicant_ref", at + 1)));
    }
    let parse = |(number, body): (usize, &ApplicantBody)| {
        parse(body, as_of).map_err(|what| malformed(format!("applicant {}: {what}", number + 1)))
    };
    bodies.iter().enumerate().map(parse).collect()
}

fn parse(body: &ApplicantBody, as_of: Day) -> Result<JobApplicant, String> {
    let raw = RawApplicant {
        applicant_ref: body.applicant_ref.clone(),
        id_type: body.id_type.clone(),
        id_number: body.id_number.expose().to_owned(),
        mobile: body.mobile.expose().to_owned(),
        bank_card: body.bank_card.expose().to_owned(),
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

fn progress(context: &Context, id: &str) -> Result<ScreeningProgress, Problem> {
    let (lender, job) = find(context, id)?;
    let run = lender.screenings.run_of(&job.id);
    let to_ask = job.to_ask();
    let running = run.as_ref().is_some_and(|run| run.took.is_none());
    let state = match (running, &run) {
        (true, _) => WorkState::Running,
        (false, None) if !to_ask.is_empty() => WorkState::Queued,
        (false, _) => WorkState::Done,
    };
    let elapsed = run.as_ref().map(|run| run.took.unwrap_or_else(|| run.began.elapsed())).unwrap_or_default();
    Ok(ScreeningProgress {
        id: id.to_owned(),
        state,
        applicants: job.applicants.len(),
        finished: job.applicants.len() - to_ask.len(),
        not_sent: job.applicants.iter().filter(|applicant| applicant.not_sent().is_some()).count(),
        unanswered: to_ask.iter().filter(|place| job.told(**place).is_some()).count(),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        failure: run.and_then(|run| run.failure),
    })
}

fn answers(context: &Context, id: &str) -> Result<ScreeningAnswers, Problem> {
    let (_, job) = find(context, id)?;
    let publishers: Vec<&MemberId> =
        context.ledger.genesis().members.iter().filter(|m| m.roles.publisher).map(|m| &m.id).collect();
    let mut rows = ScreeningAnswers::default();
    for (place, applicant) in (0u32..).zip(&job.applicants) {
        let told: BTreeMap<MemberId, Told> = job.told(place).unwrap_or_default().into_iter().collect();
        for publisher in &publishers {
            let unanswered = match (applicant.not_sent(), told.get(*publisher)) {
                (Some(reason), _) => format!("refused({reason})"),
                (None, None) => "not_asked_yet".to_owned(),
                (None, Some(Told::Unanswered(reason))) => reason.clone(),
                (None, Some(Told::Answered { hit, weak })) => {
                    rows.answers.extend(Category::ALL.map(|category| AnswerRow {
                        applicant_ref: applicant.applicant_ref.clone(),
                        institution: publisher.to_string(),
                        category: category.to_string(),
                        hit: u8::from(hit & Told::bit(category) != 0),
                        weak: weak & Told::bit(category) != 0,
                    }));
                    continue;
                }
            };
            rows.unanswered.push(UnansweredRow {
                applicant_ref: applicant.applicant_ref.clone(),
                institution: publisher.to_string(),
                reason: unanswered,
            });
        }
        rows.invalid.extend(applicant.invalid.iter().map(|(id_type, reason)| InvalidRow {
            applicant_ref: applicant.applicant_ref.clone(),
            id_type: id_type.map_or_else(|| "unknown".to_owned(), |id_type| id_type.to_string()),
            reason: reason.to_string(),
        }));
    }
    Ok(rows)
}
