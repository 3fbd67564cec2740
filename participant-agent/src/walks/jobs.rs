//! Screenings as the lender's journal keeps them: the inputs, and the applicants that are finished.
//!
//! - **Place**: B1 (a screening is durable before its id is returned), B8 (answers are durable before they are shown)
//! - **Shapes**: the id is a digest of purpose, as-of date and every applicant, so the same inputs resume the same screening
//! - **Invariants**: an applicant is finished when every publisher answered or the agent itself refused it; a finished one is
//!   never asked again. Applicants of a job whose closing entry is missing never arrived
//! - **Errors**: [`JournalError`] (disk)
//! - **Security**: personal data; encrypted on disk, cleared on drop, not printed
//! - **Source**: DESIGN.md sections 6 and 10 ("Answers")

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::{Digest32, codec, digest};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::record::{Category, Day, IdType, Identifier, RejectReason};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::dst;
use crate::journal::{Journal, JournalError};

/// The journal's name, for its key and its file.
pub const JOURNAL_NAME: &str = "screenings";
/// Applicants in one journal entry.
const APPLICANTS_PER_ENTRY: usize = 16_384;

/// An applicant as the journal keeps it: valid identifiers in canonical form, and what was left out.
#[derive(Clone, Serialize, Deserialize)]
pub struct JobApplicant {
    /// The lender's reference.
    pub applicant_ref: String,
    /// (type, canonical number), at most one of a type.
    pub identifiers: Vec<(IdType, String)>,
    /// Identifiers that are not valid: type if it is known, and why.
    pub invalid: Vec<(Option<IdType>, RejectReason)>,
    /// SHA-256 of the consent file; none is refused before anything is sent.
    pub consent: Option<Digest32>,
}

/// What one publisher told about one applicant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It answered.
    Answered {
        /// Bit `code - 1` of each category that is hit.
        hit: u8,
        /// The same, where the hit rests on the mobile number alone.
        weak: u8,
    },
    /// It did not: a word of specs/errors.md.
    Unanswered(String),
}

impl Told {
    /// The bit of a category.
    #[must_use]
    pub const fn bit(category: Category) -> u8 {
        1 << (category.code() - 1)
    }

    /// Whether it answered.
    #[must_use]
    pub const fn answered(&self) -> bool {
        matches!(self, Self::Answered { .. })
    }
}

/// What every publisher told about one applicant.
pub type Answers = Vec<(MemberId, Told)>;

/// A screening.
pub struct Job {
    /// Digest of its inputs.
    pub id: Digest32,
    /// Why the lender asks.
    pub purpose: Purpose,
    /// Business date of the answers.
    pub as_of: Day,
    /// In the order of the request.
    pub applicants: Vec<JobApplicant>,
    answers: Mutex<BTreeMap<u32, Answers>>,
}

/// Every screening of this agent.
pub struct Jobs {
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal<Entry>,
    jobs: BTreeMap<Digest32, Arc<Job>>,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    /// Applicants of the job whose `Job` entry follows.
    Applicants(Vec<JobApplicant>),
    /// Closes the inputs of a job.
    Job { id: Digest32, purpose: Purpose, as_of: Day, applicants: u32 },
    /// What was told about some applicants, by place.
    Answers { id: Digest32, answers: Vec<(u32, Answers)> },
}

impl Job {
    /// Places of the applicants that are to be asked: with consent and an identifier, and not finished.
    #[must_use]
    pub fn to_ask(&self) -> Vec<u32> {
        let answers = self.answers();
        let unfinished =
            |place: &u32| !answers.get(place).is_some_and(|told| told.iter().all(|(_, told)| told.answered()));
        (0u32..)
            .zip(&self.applicants)
            .filter(|(_, a)| a.not_sent().is_none())
            .map(|(p, _)| p)
            .filter(unfinished)
            .collect()
    }

    /// What is known of one applicant.
    #[must_use]
    pub fn told(&self, place: u32) -> Option<Answers> {
        self.answers().get(&place).cloned()
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u32, Answers>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobApplicant {
    /// Why nothing is sent about this applicant; none if it can be asked about.
    #[must_use]
    pub fn not_sent(&self) -> Option<&'static str> {
        match (&self.consent, self.identifiers.is_empty()) {
            (None, _) => Some("no_consent"),
            (_, true) => Some("no_valid_identifier"),
            (Some(_), false) => None,
        }
    }

    /// Its identifiers as parsed ones.
    #[must_use]
    pub fn parsed(&self) -> Vec<Identifier> {
        // they are canonical, and the birth date was judged when the job was accepted
        self.identifiers.iter().filter_map(|(kind, text)| Identifier::parse(*kind, text, Day::MAX).ok()).collect()
    }
}

impl Jobs {
    /// Opens `screenings.log` in the directory of journals.
    ///
    /// # Errors
    /// [`JournalError`] when it is damaged or unreadable.
    pub fn open(journals: &Path, key: AtRestKey) -> Result<Self, JournalError> {
        let opened = Journal::open(journals, JOURNAL_NAME, key)?;
        let mut inner = Inner { journal: opened.journal, jobs: BTreeMap::new() };
        let mut waiting: Vec<JobApplicant> = Vec::new();
        for entry in opened.entries {
            match entry {
                Entry::Applicants(more) => waiting.extend(more),
                Entry::Job { id, purpose, as_of, applicants } => {
                    // what an interrupted request left stands before the applicants of the job that closes here
                    let skip = waiting.len().saturating_sub(applicants as usize);
                    inner.add(id, purpose, as_of, std::mem::take(&mut waiting).split_off(skip));
                }
                Entry::Answers { id, answers } => inner.answer(&id, answers),
            }
        }
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// The job of these inputs: the one that is there, or a new one, durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn accept(
        &self,
        purpose: Purpose,
        as_of: Day,
        applicants: Vec<JobApplicant>,
    ) -> Result<Arc<Job>, JournalError> {
        let id = digest::hash(dst::SCREENING, &[&codec::encode(&(purpose, as_of, &applicants))]);
        let mut inner = self.lock();
        if let Some(job) = inner.jobs.get(&id) {
            return Ok(job.clone());
        }
        let count = u32::try_from(applicants.len()).unwrap_or(u32::MAX);
        let parts = applicants.chunks(APPLICANTS_PER_ENTRY).map(|part| Entry::Applicants(part.to_vec()));
        let entries: Vec<Entry> = parts.chain([Entry::Job { id, purpose, as_of, applicants: count }]).collect();
        inner.journal.append_all(&entries)?;
        Ok(inner.add(id, purpose, as_of, applicants))
    }

    /// Makes answers durable.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn finish(&self, job: &Job, answers: Vec<(u32, Answers)>) -> Result<(), JournalError> {
        let mut inner = self.lock();
        inner.journal.append(&Entry::Answers { id: job.id, answers: answers.clone() })?;
        inner.answer(&job.id, answers);
        Ok(())
    }

    /// A job.
    #[must_use]
    pub fn job(&self, id: &Digest32) -> Option<Arc<Job>> {
        self.lock().jobs.get(id).cloned()
    }

    /// Jobs with applicants that were never asked: what a stop interrupted.
    #[must_use]
    pub fn interrupted(&self) -> Vec<Arc<Job>> {
        let never_asked = |job: &Arc<Job>| job.to_ask().into_iter().any(|place| job.told(place).is_none());
        self.lock().jobs.values().filter(|job| never_asked(job)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, id: Digest32, purpose: Purpose, as_of: Day, applicants: Vec<JobApplicant>) -> Arc<Job> {
        let job = Arc::new(Job { id, purpose, as_of, applicants, answers: Mutex::new(BTreeMap::new()) });
        self.jobs.insert(id, job.clone());
        job
    }

    fn answer(&mut self, id: &Digest32, answers: Vec<(u32, Answers)>) {
        if let Some(job) = self.jobs.get(id) {
            job.answers().extend(answers);
        }
    }
}

impl Drop for JobApplicant {
    fn drop(&mut self) {
        for (_, canonical) in &mut self.identifiers {
            canonical.zeroize();
        }
    }
}

impl fmt::Debug for JobApplicant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobApplicant({}, ..)", self.applicant_ref)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({}, {} applicants)", self.id, self.applicants.len())
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jobs({})", self.lock().jobs.len())
    }
}
