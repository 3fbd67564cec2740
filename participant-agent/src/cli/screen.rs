//! `participant-agent screen FILE`: asks every publisher about a file of applicants.
//!
//! - **Shapes**: `answers.csv` (applicant_ref,institution,category,hit; dense over those that answered), `unanswered.csv`
//!   (applicant_ref,institution,reason), `invalid.csv` (applicant_ref,id_type,reason)
//! - **Invariants**: the same file, consents, purpose and date resume the same screening; finished applicants are not asked again

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use riskveil_exchange::record::{Applicant, Day, IdType, Identifier};
use serde::Serialize;
use zeroize::Zeroizing;

use super::client::LocalApi;
use super::exit::{CliError, Exit};
use super::output::{date, print_json, print_line, progress_bar};
use crate::api::auth::Role;
use crate::api::models::{
    ApplicantBody, InvalidRow, PersonalText, ScreeningAnswers, ScreeningBody, ScreeningProgress, Started, SubjectBody,
    WorkState,
};
use crate::config;
use crate::ingest::applicants::read_applicants;

/// Longest consent file, bytes.
const MAX_CONSENT: u64 = 256 << 20;
const POLL: Duration = Duration::from_millis(100);

/// Screens the applicants of a CSV file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent screen applicants.csv --dir gamma --purpose pre_loan_approval --consents consents/ --out results\n  \
    participant-agent screen applicants.csv --dir gamma --purpose post_loan_management --consent-batch consents.zip\n\n\
    applicants.csv has the columns applicant_ref,id_type,id_number and, if you have them, name,mobile,bank_card.\n\n\
    consents/ holds one file per applicant, <applicant_ref>.<anything>; an applicant without one is refused(no_consent) before \
    anything is sent. The same command again goes on with the same screening: who is finished is not asked again.\n\n\
    Results in --out: answers.csv (applicant_ref,institution,category,hit: one row for every category and institution that answered), \
    unanswered.csv (applicant_ref,institution,reason), invalid.csv (applicant_ref,id_type,reason).\n\n\
    Exit codes: 0 everyone answered about everyone, 2 a file that cannot be read, 3 the agent is not running, 4 refused by a rule, \
    5 unanswered.csv has rows."
)]
pub struct ScreenArgs {
    /// The file of applicants.
    pub file: PathBuf,
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Folder with one consent file per applicant.
    #[arg(long, value_name = "DIR", required_unless_present = "consent_batch", conflicts_with = "consent_batch")]
    pub consents: Option<PathBuf>,
    /// One consent file that covers every applicant.
    #[arg(long, value_name = "FILE")]
    pub consent_batch: Option<PathBuf>,
    /// Why: pre_loan_approval, post_loan_management, guarantor_check, dispute_check or subject_access.
    #[arg(long, value_name = "CODE")]
    pub purpose: String,
    /// Business date, YYYY-MM-DD; the agent's when absent.
    #[arg(long, value_name = "DATE")]
    pub as_of: Option<String>,
    /// Folder for the results.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// A file of applicants, read.
#[derive(Debug)]
pub struct ApplicantFile(Vec<Applicant>);

/// What a screening came to, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    id: &'a str,
    applicants: usize,
    answers: usize,
    hits: usize,
    weak: usize,
    unanswered: usize,
    invalid: usize,
    elapsed_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a str>,
}

impl ApplicantFile {
    /// Reads a file as of a business date; today when there is none.
    ///
    /// # Errors
    /// [`CliError`] when it cannot be read as applicants.
    pub fn read(file: &Path, as_of: Option<&str>) -> Result<Self, CliError> {
        let as_of = as_of.map_or_else(|| Ok(crate::clock::Clock::system().today()), date)?;
        Self::read_as_of(file, as_of)
    }

    fn read_as_of(file: &Path, as_of: Day) -> Result<Self, CliError> {
        let bytes = std::fs::read(file).map(Zeroizing::new).map_err(|error| CliError::io(file, &error))?;
        let read = read_applicants(&bytes, as_of)
            .map_err(|error| CliError::new(Exit::Usage, format_args!("{}: {error}", file.display())))?;
        Ok(Self(read.applicants.into_iter().map(|(_, applicant)| applicant).collect()))
    }

    /// Applicants in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lender's references, in order.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|applicant| applicant.applicant_ref().as_str())
    }

    /// An applicant as the subject of a check.
    #[must_use]
    pub fn subject(&self, at: usize) -> Option<(&str, SubjectBody)> {
        let applicant = self.0.get(at)?;
        let text = |id_type| applicant.subject(id_type).map(personal);
        let subject = SubjectBody {
            resident_id: text(IdType::ResidentId),
            uscc: text(IdType::Uscc),
            bank_card: text(IdType::BankCard),
            mobile: text(IdType::Mobile),
        };
        Some((applicant.applicant_ref().as_str(), subject))
    }
}

/// SHA-256 of a consent file, hex.
///
/// # Errors
/// [`CliError`] when it cannot be read.
pub fn consent_digest(file: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_CONSENT).read_to_end(&mut bytes));
    read.map_err(|error| CliError::io(file, &error))?;
    Ok(riskveil_crypto::digest::sha256(&bytes).to_string())
}

/// Screens and writes the results.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: ScreenArgs, json: bool) -> Result<Exit, CliError> {
    let purpose = args.purpose.parse().map_err(|error| CliError::new(Exit::Usage, error))?;
    let as_of = match args.as_of.as_deref() {
        Some(text) => date(text)?,
        None => config::load(&args.dir)?.as_of.unwrap_or_else(|| crate::clock::Clock::system().today()),
    };
    let file = ApplicantFile::read_as_of(&args.file, as_of)?;
    let consents = Consents::read(&args)?;
    let applicants: Vec<ApplicantBody> = file.0.iter().map(|applicant| body(applicant, &consents)).collect();
    let api = LocalApi::open(&args.dir, Role::Underwriter)?;
    let body = ScreeningBody { purpose, as_of: Some(as_of), applicants };
    let started: Started = api.post("/v1/screenings", &body).await?;
    let bar = progress_bar(json, "screening");
    let progress = wait(&api, &started.id, &bar).await?;
    bar.finish_and_clear();
    let mut answers = all_answers(&api, &started.id).await?;
    answers.invalid.extend(file.0.iter().flat_map(invalid_of));
    write(&args.out, &answers)?;
    let summary = Summary {
        id: &started.id,
        applicants: file.len(),
        answers: answers.answers.len(),
        hits: answers.answers.iter().filter(|row| row.hit == 1).count(),
        weak: answers.answers.iter().filter(|row| row.weak).count(),
        unanswered: answers.unanswered.len(),
        invalid: answers.invalid.len(),
        elapsed_ms: progress.elapsed_ms,
        failure: progress.failure.as_deref(),
    };
    if json {
        print_json(&summary)
    } else {
        print(&summary, &args.out)
    }
    Ok(if answers.unanswered.is_empty() { Exit::Done } else { Exit::Unanswered })
}

/// The answers of every page.
async fn all_answers(api: &LocalApi, id: &str) -> Result<ScreeningAnswers<'static>, CliError> {
    let mut all = ScreeningAnswers::default();
    let mut offset = Some(0);
    while let Some(from) = offset {
        let path = format!("/v1/screenings/{id}/answers?limit=10000&offset={from}");
        let page: ScreeningAnswers<'static> = api.get(&path).await?;
        all.answers.extend(page.answers);
        all.unanswered.extend(page.unanswered);
        all.invalid.extend(page.invalid);
        offset = page.next;
    }
    Ok(all)
}

async fn wait(api: &LocalApi, id: &str, bar: &ProgressBar) -> Result<ScreeningProgress, CliError> {
    loop {
        let progress: ScreeningProgress = api.get(&format!("/v1/screenings/{id}")).await?;
        bar.set_length(progress.applicants as u64);
        bar.set_position(progress.finished as u64);
        if progress.state == WorkState::Done {
            return Ok(progress);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Who consented: everyone by one file, or each by a file of its own.
enum Consents {
    Batch(String),
    Each(HashMap<String, PathBuf>),
}

impl Consents {
    fn read(args: &ScreenArgs) -> Result<Self, CliError> {
        if let Some(file) = &args.consent_batch {
            return Ok(Self::Batch(consent_digest(file)?));
        }
        let Some(dir) = &args.consents else {
            return Err(CliError::new(Exit::Refused, "name the consents with --consents or --consent-batch"));
        };
        let io = |error: std::io::Error| CliError::io(dir, &error);
        let mut files = HashMap::new();
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|name| name.to_str())) {
                files.insert(name.to_owned(), path.clone());
            }
        }
        // a reference may hold dots itself, so every prefix that ends before a dot names an applicant
        let named = files.iter().flat_map(|(name, path)| {
            name.match_indices('.').map(move |(dot, _)| (name[..dot].to_owned(), path.clone()))
        });
        Ok(Self::Each(named.collect()))
    }

    /// The digest of an applicant's consent; none if there is none that can be read.
    fn of(&self, applicant_ref: &str) -> Option<String> {
        match self {
            Self::Batch(digest) => Some(digest.clone()),
            Self::Each(files) => files.get(applicant_ref).and_then(|path| consent_digest(path).ok()),
        }
    }
}

/// The valid identifiers of an applicant in the columns of the API.
fn body(applicant: &Applicant, consents: &Consents) -> ApplicantBody {
    let column = |id_type| applicant.subject(id_type).map(personal).unwrap_or_default();
    let primary = applicant.subject(IdType::ResidentId).or_else(|| applicant.subject(IdType::Uscc));
    ApplicantBody {
        applicant_ref: applicant.applicant_ref().as_str().to_owned(),
        id_type: primary.map_or(IdType::ResidentId, Identifier::id_type).to_string(),
        id_number: primary.map(personal).unwrap_or_default(),
        mobile: column(IdType::Mobile),
        bank_card: column(IdType::BankCard),
        consent_digest: consents.of(applicant.applicant_ref().as_str()),
    }
}

fn personal(identifier: &Identifier) -> PersonalText {
    PersonalText::new(identifier.canonical_expose(str::to_owned))
}

fn invalid_of(applicant: &Applicant) -> impl Iterator<Item = InvalidRow<'_>> {
    applicant.invalid().iter().map(|invalid| InvalidRow {
        applicant_ref: applicant.applicant_ref().as_str().into(),
        id_type: invalid.id_type.map_or("unknown", IdType::as_str).into(),
        reason: invalid.reason.as_str().into(),
    })
}

fn write(out: &Path, answers: &ScreeningAnswers<'_>) -> Result<(), CliError> {
    std::fs::create_dir_all(out).map_err(|error| CliError::io(out, &error))?;
    let rows = answers.answers.iter().map(|row| {
        let hit = if row.hit == 1 { "1" } else { "0" };
        [row.applicant_ref.as_ref(), row.institution.as_ref(), row.category.as_ref(), hit]
    });
    table(&out.join("answers.csv"), ["applicant_ref", "institution", "category", "hit"], rows)?;
    let rows = answers.unanswered.iter();
    let rows = rows.map(|row| [row.applicant_ref.as_ref(), row.institution.as_ref(), row.reason.as_ref()]);
    table(&out.join("unanswered.csv"), ["applicant_ref", "institution", "reason"], rows)?;
    let rows = answers.invalid.iter();
    let rows = rows.map(|row| [row.applicant_ref.as_ref(), row.id_type.as_ref(), row.reason.as_ref()]);
    table(&out.join("invalid.csv"), ["applicant_ref", "id_type", "reason"], rows)
}

fn table<'a, const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> Result<(), CliError> {
    let failed = |error: csv::Error| CliError::new(Exit::Io, format_args!("{}: {error}", path.display()));
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    writer.flush().map_err(|error| CliError::io(path, &error))
}

fn print(summary: &Summary<'_>, out: &Path) {
    print_line(&format!(
        "screening 批量筛查 {}: {} applicants in {:.1} s",
        summary.id,
        summary.applicants,
        summary.elapsed_ms as f64 / 1000.0
    ));
    print_line(&format!(
        "{} answers 答复, {} hits 命中 ({} by mobile number alone 仅凭手机号), {} unanswered 未答复, {} identifiers not valid 证件号无效",
        summary.answers, summary.hits, summary.weak, summary.unanswered, summary.invalid
    ));
    if let Some(failure) = summary.failure {
        print_line(&format!("it stopped early 提前结束: {failure}; run the same command again to go on"));
    }
    print_line(&format!("answers.csv, unanswered.csv and invalid.csv are in {}", out.display()));
}
