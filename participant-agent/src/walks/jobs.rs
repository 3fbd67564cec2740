//! Screenings as the lender's journal keeps them: the inputs, and the applicants that are finished.
//!
//! - **Place**: B1 (a screening is durable before its id is returned), B8 (answers are durable before they are shown)
//! - **Shapes**: the id is a digest of purpose, as-of date and every applicant, so the same inputs resume the same screening
//! - **Invariants**: an applicant is finished when every publisher answered or the agent itself refused it; a finished one is
//!   never asked again. Applicants of a job whose closing entry is missing never arrived
//! - **Errors**: [`JournalError`] (disk)
//! - **Security**: personal data; encrypted on disk, cleared on drop, not printed
//! - **Source**: DESIGN.md sections 6 and 10 ("Answers")

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::{Digest32, codec, digest};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::answer::{MalformedReason, ResponderAnswer, UnavailableReason};
use riskveil_exchange::query::refusal::RefusalReason;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It answered.
    Answered {
        /// Bit `code - 1` of each category that is hit.
        hit: u8,
        /// The same, where the hit rests on the mobile number alone.
        weak: u8,
    },
    /// It could not be asked or its answer could not be judged.
    Unavailable(UnavailableReason),
    /// It refused.
    Refused(RefusalReason),
    /// Its answer is wrong.
    Malformed(MalformedReason),
}

impl Told {
    /// What an answer tells.
    #[must_use]
    pub fn of(answer: &ResponderAnswer) -> Self {
        match answer {
            ResponderAnswer::Clear => Self::Answered { hit: 0, weak: 0 },
            ResponderAnswer::Hit(facts) => {
                let bits = |weak: bool| {
                    facts.iter().filter(|f| f.weak == weak).fold(0, |bits, f| bits | Self::bit(f.category))
                };
                // weak is what the mobile number alone shows
                Self::Answered { hit: bits(false) | bits(true), weak: bits(true) & !bits(false) }
            }
            ResponderAnswer::Unavailable(reason) => Self::Unavailable(*reason),
            ResponderAnswer::Refused(reason) => Self::Refused(*reason),
            ResponderAnswer::Malformed(reason) => Self::Malformed(*reason),
        }
    }

    /// The bit of a category.
    #[must_use]
    pub const fn bit(category: Category) -> u8 {
        1 << (category.code() - 1)
    }

    /// Whether it answered.
    #[must_use]
    pub const fn answered(self) -> bool {
        matches!(self, Self::Answered { .. })
    }

    /// Why it did not: a word of specs/errors.md.
    #[must_use]
    pub fn unanswered(self) -> Option<String> {
        match self {
            Self::Answered { .. } => None,
            Self::Unavailable(reason) => ResponderAnswer::Unavailable(reason).unanswered(),
            Self::Refused(reason) => ResponderAnswer::Refused(reason).unanswered(),
            Self::Malformed(reason) => ResponderAnswer::Malformed(reason).unanswered(),
        }
    }
}

/// What every publisher told about some applicants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// The applicants.
    pub places: Vec<u32>,
    /// A publisher, and what it told about each of them in order.
    pub told: Vec<(MemberId, Vec<Told>)>,
}

/// How many applicants of a screening are how far; together they are all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Nothing is ever sent about them.
    pub not_sent: usize,
    /// Nobody was asked about them yet.
    pub never_asked: usize,
    /// They were asked about, and not every publisher answered.
    pub unanswered: usize,
    /// Every publisher answered.
    pub answered: usize,
}

/// How far one applicant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotSent,
    NeverAsked,
    Unanswered,
    Answered,
}

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
    known: Mutex<Known>,
}

/// What is known of a screening's applicants, by place.
#[derive(Default)]
struct Known {
    stages: Vec<Stage>,
    counts: Counts,
    told: Vec<(MemberId, Vec<Option<Told>>)>,
}

/// Every screening of this agent.
pub struct Jobs {
    inner: Mutex<Inner>,
}

struct Inner {
    journal: Journal<Entry<'static>>,
    jobs: BTreeMap<Digest32, Arc<Job>>,
}

#[derive(Serialize, Deserialize)]
enum Entry<'a> {
    /// Applicants of the job whose `Job` entry follows.
    Applicants(Cow<'a, [JobApplicant]>),
    /// Closes the inputs of a job.
    Job { id: Digest32, purpose: Purpose, as_of: Day, applicants: u32 },
    /// What was told about some applicants.
    Answers { id: Digest32, answers: Cow<'a, Answers> },
}

impl Known {
    fn new(applicants: &[JobApplicant]) -> Self {
        let stage = |applicant: &JobApplicant| match applicant.not_sent() {
            Some(_) => Stage::NotSent,
            None => Stage::NeverAsked,
        };
        let mut known = Self { stages: applicants.iter().map(stage).collect(), ..Self::default() };
        for stage in &known.stages {
            *known.counts.of(*stage) += 1;
        }
        known
    }

    /// Takes answers in place of whatever was told about these applicants before.
    fn take(&mut self, answers: &Answers) {
        for (publisher, _) in &answers.told {
            if !self.told.iter().any(|(known, _)| known == publisher) {
                self.told.push((publisher.clone(), vec![None; self.stages.len()]));
            }
        }
        for (publisher, column) in &mut self.told {
            let told = answers.told.iter().find(|(told_by, _)| told_by == publisher).map(|(_, told)| told.as_slice());
            for (at, place) in answers.places.iter().enumerate() {
                if let Some(known) = column.get_mut(*place as usize) {
                    *known = told.and_then(|told| told.get(at)).copied();
                }
            }
        }
        for (at, place) in answers.places.iter().enumerate() {
            let Some(stage) = self.stages.get_mut(*place as usize).filter(|stage| **stage != Stage::NotSent) else {
                continue;
            };
            let mut told = answers.told.iter().filter_map(|(_, told)| told.get(at));
            let next = if told.all(|told| told.answered()) { Stage::Answered } else { Stage::Unanswered };
            *self.counts.of(*stage) -= 1;
            *self.counts.of(next) += 1;
            *stage = next;
        }
    }
}

impl Counts {
    const fn of(&mut self, stage: Stage) -> &mut usize {
        match stage {
            Stage::NotSent => &mut self.not_sent,
            Stage::NeverAsked => &mut self.never_asked,
            Stage::Unanswered => &mut self.unanswered,
            Stage::Answered => &mut self.answered,
        }
    }
}

impl Job {
    fn new(id: Digest32, purpose: Purpose, as_of: Day, applicants: Vec<JobApplicant>) -> Self {
        let known = Mutex::new(Known::new(&applicants));
        Self { id, purpose, as_of, applicants, known }
    }

    /// Places of the applicants that are to be asked: with consent and an identifier, and not finished.
    #[must_use]
    pub fn to_ask(&self) -> Vec<u32> {
        let to_ask = |stage: &Stage| matches!(stage, Stage::NeverAsked | Stage::Unanswered);
        (0u32..).zip(&self.known().stages).filter(|(_, stage)| to_ask(stage)).map(|(place, _)| place).collect()
    }

    /// How many applicants are how far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.known().counts
    }

    /// What each publisher told about a range of applicants; none where it was not asked yet.
    #[must_use]
    pub fn told(&self, places: Range<usize>) -> BTreeMap<MemberId, Vec<Option<Told>>> {
        let known = self.known();
        let of = |column: &[Option<Told>]| column.get(places.clone()).unwrap_or_default().to_vec();
        known.told.iter().map(|(publisher, column)| (publisher.clone(), of(column))).collect()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
                Entry::Applicants(more) => waiting.extend(more.into_owned()),
                Entry::Job { id, purpose, as_of, applicants } => {
                    // what an interrupted request left stands before the applicants of the job that closes here
                    let skip = waiting.len().saturating_sub(applicants as usize);
                    inner.add(id, purpose, as_of, std::mem::take(&mut waiting).split_off(skip));
                }
                Entry::Answers { id, answers } => inner.answer(&id, &answers),
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
        let parts = applicants.chunks(APPLICANTS_PER_ENTRY).map(|part| Entry::Applicants(Cow::Borrowed(part)));
        let entries: Vec<Entry<'_>> = parts.chain([Entry::Job { id, purpose, as_of, applicants: count }]).collect();
        inner.journal.append_borrowed(&entries)?;
        drop(entries);
        Ok(inner.add(id, purpose, as_of, applicants))
    }

    /// Makes answers durable.
    ///
    /// # Errors
    /// [`JournalError`] when the disk refuses.
    pub fn finish(&self, job: &Job, answers: &Answers) -> Result<(), JournalError> {
        let mut inner = self.lock();
        inner.journal.append_borrowed(&[Entry::Answers { id: job.id, answers: Cow::Borrowed(answers) }])?;
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
        self.lock().jobs.values().filter(|job| job.counts().never_asked > 0).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, id: Digest32, purpose: Purpose, as_of: Day, applicants: Vec<JobApplicant>) -> Arc<Job> {
        let job = Arc::new(Job::new(id, purpose, as_of, applicants));
        self.jobs.insert(id, job.clone());
        job
    }

    fn answer(&self, id: &Digest32, answers: &Answers) {
        if let Some(job) = self.jobs.get(id) {
            job.known().take(answers);
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

#[cfg(test)]
mod tests {
    use riskveil_crypto::SecretBytes;
    use riskveil_crypto::at_rest::KeyEncryptionKey;

    use super::*;

    const ANSWERED: Told = Told::Answered { hit: 1, weak: 0 };
    const SILENT: Told = Told::Unavailable(UnavailableReason::TimedOut);

    fn open(dir: &Path) -> Jobs {
        let kek = KeyEncryptionKey::from_key_file(SecretBytes::from_bytes([7; 32]));
        Jobs::open(dir, kek.purpose_key(dst::JOURNAL, JOURNAL_NAME.as_bytes())).unwrap()
    }

    fn applicant(number: usize) -> JobApplicant {
        JobApplicant {
            applicant_ref: format!("A{number}"),
            identifiers: if number == 1 { vec![] } else { vec![(IdType::Mobile, "13812345678".to_owned())] },
            invalid: vec![],
            consent: (number != 0).then_some(Digest32::ZERO),
        }
    }

    fn answers(places: &[u32], first: &[Told], second: &[Told]) -> Answers {
        let told = [("INST-01", first), ("INST-02", second)];
        let told = told.map(|(publisher, told)| (MemberId::new(publisher).unwrap(), told.to_vec())).to_vec();
        Answers { places: places.to_vec(), told }
    }

    /// What the counts are if every applicant is looked at.
    fn walked(job: &Job) -> Counts {
        let columns = job.told(0..job.applicants.len());
        let mut counts = Counts::default();
        for (place, applicant) in job.applicants.iter().enumerate() {
            let told: Vec<Told> = columns.values().filter_map(|column| column[place]).collect();
            *counts.of(match (applicant.not_sent(), told.is_empty()) {
                (Some(_), _) => Stage::NotSent,
                (None, true) => Stage::NeverAsked,
                (None, false) if told.iter().all(|told| told.answered()) => Stage::Answered,
                (None, false) => Stage::Unanswered,
            }) += 1;
        }
        counts
    }

    #[test]
    fn counts_are_what_a_walk_over_the_applicants_gives_and_survive_a_stop() {
        let dir = tempfile::tempdir().unwrap();
        let mut jobs = open(dir.path());
        let inputs = || (0..8).map(applicant).collect::<Vec<_>>();
        let accept = |jobs: &Jobs| jobs.accept(Purpose::PRE_LOAN_APPROVAL, Day::MAX, inputs()).unwrap();
        let mut job = accept(&jobs);
        let rounds = [
            (answers(&[5, 2], &[ANSWERED, ANSWERED], &[SILENT, ANSWERED]), [2, 4, 1, 1], vec![3, 4, 5, 6, 7]),
            // again completely; one that nobody answered
            (answers(&[5, 7], &[ANSWERED, SILENT], &[ANSWERED, SILENT]), [2, 3, 1, 2], vec![3, 4, 6, 7]),
            // again incompletely; one that was finished before
            (answers(&[7, 2], &[ANSWERED, SILENT], &[SILENT, ANSWERED]), [2, 3, 2, 1], vec![2, 3, 4, 6, 7]),
            // places that nothing is sent about, or that are not there, change nothing
            (answers(&[0, 9], &[ANSWERED, SILENT], &[ANSWERED, SILENT]), [2, 3, 2, 1], vec![2, 3, 4, 6, 7]),
            (answers(&[2, 3, 4, 6, 7], &[ANSWERED; 5], &[ANSWERED; 5]), [2, 0, 0, 6], vec![]),
        ];
        for (round, (answers, expected, to_ask)) in rounds.iter().enumerate() {
            jobs.finish(&job, answers).unwrap();
            drop(jobs);
            jobs = open(dir.path());
            let reopened = jobs.job(&job.id).unwrap();
            for job in [&job, &reopened] {
                let [not_sent, never_asked, unanswered, answered] = *expected;
                assert_eq!(job.counts(), Counts { not_sent, never_asked, unanswered, answered }, "round {round}");
                assert_eq!((job.counts(), &job.to_ask()), (walked(job), to_ask), "round {round}");
            }
            assert_eq!(job.told(0..8), reopened.told(0..8));
            assert_eq!(jobs.interrupted().len(), usize::from(expected[1] > 0));
            job = accept(&jobs);
        }
    }
}
