//! Walk B for a file of applicants: chunks of one shape, several under way at a time, resumed where a stop left them.
//!
//! - **Place**: B2 to B8 over many subjects; `walks::jobs` keeps what is finished
//! - **Shapes**: one width (1, 2 or 4 items a subject) for the whole run; chunks of 1 to 16,384 subjects, filled up with padding
//!   subjects, so that a publisher learns padded sizes only; at most [`MAX_CHUNK_ITEMS`] items a request, and half of what a log
//!   window holds. [`UNDER_WAY`] chunks are blinded, under way and looked up at the same time
//! - **Invariants**: the order is random; an applicant without consent is never sent; answers are on disk before they are shown
//! - **Pace**: as fast as the log windows take its entries, so that none of them is late
//! - **Errors**: [`QueryError`]: the rest was not asked; running the screening again goes on from there
//! - **Source**: DESIGN.md sections 3 ("Query = audit escrow") and 10 ("Answers")

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::{OsRng, StdRng};
use rand::seq::SliceRandom;
use rand::{RngCore, SeedableRng};
use riskveil_crypto::Digest32;
use riskveil_exchange::audit::window::payload_budget;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::policy::Policy;
use riskveil_exchange::query::messages::{ITEM_LEN, Shape};
use riskveil_exchange::query::seal::seal_len;
use riskveil_exchange::query::session::Subject;

use super::ask::Question;
use super::jobs::{Answers, Job, Jobs, Told};
use super::judge::{Settled, ask_and_settle};
use super::{QueryError, blocking};
use crate::context::Context;

/// Most items in one request; a chunk of it is answered within 0.2 s on one core with AVX-512 IFMA, within a second without.
pub const MAX_CHUNK_ITEMS: usize = 16_384;
/// Chunks under way at a time.
const UNDER_WAY: usize = 3;
/// How long a chunk's answers are waited for.
const DEADLINE: Duration = Duration::from_secs(25);
/// How long a screening waits for a replica that is behind before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// The screenings of this agent: what the journal has, and which are under way.
#[derive(Debug)]
pub struct Screenings {
    /// The journal.
    pub jobs: Jobs,
    runs: Mutex<HashMap<Digest32, Run>>,
}

/// A screening in this process.
#[derive(Clone, Debug)]
pub struct Run {
    /// When it began.
    pub began: Instant,
    /// How long it took, once it ended.
    pub took: Option<Duration>,
    /// Why it ended early.
    pub failure: Option<String>,
}

impl Screenings {
    /// No screening is under way yet.
    #[must_use]
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs, runs: Mutex::new(HashMap::new()) }
    }

    /// How a screening does in this process, if it was started in it.
    #[must_use]
    pub fn run_of(&self, id: &Digest32) -> Option<Run> {
        self.runs().get(id).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<Digest32, Run>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a screening, or goes on with it, unless it is under way.
pub fn start(context: &Arc<Context>, screenings: &Arc<Screenings>, job: Arc<Job>) {
    {
        let mut runs = screenings.runs();
        if runs.get(&job.id).is_some_and(|run| run.took.is_none()) {
            return;
        }
        runs.insert(job.id, Run { began: Instant::now(), took: None, failure: None });
    }
    let (context, screenings) = (context.clone(), screenings.clone());
    tokio::spawn(async move {
        let outcome = screen(&context, &screenings.jobs, &job).await;
        if let Err(error) = &outcome {
            tracing::warn!(screening = %job.id, %error, "a screening stopped early");
        }
        if let Some(run) = screenings.runs().get_mut(&job.id) {
            run.took = Some(run.began.elapsed());
            run.failure = outcome.err().map(|error| error.to_string());
        }
    });
}

/// B2 to B8 for every applicant of a job that is not finished.
///
/// # Errors
/// [`QueryError`].
pub async fn screen(context: &Arc<Context>, jobs: &Jobs, job: &Arc<Job>) -> Result<(), QueryError> {
    // B2: identifiers are parsed when the job is accepted; here their order is drawn
    let mut places = job.to_ask();
    let mut seed = <StdRng as SeedableRng>::Seed::default();
    OsRng.fill_bytes(&mut seed);
    // one generator for all draws: the system's takes a call for each
    places.shuffle(&mut StdRng::from_seed(seed));
    let chunks = chunks(width(job), places, largest_entry(&context.ledger.genesis().policy));
    stream::iter(chunks.into_iter().map(Ok))
        .try_for_each_concurrent(UNDER_WAY, |(shape, places)| async move {
            // B3 to B5: ask everyone about the chunk
            let settled = ask_chunk(context, job, shape, &places).await?;
            // B6, B7: look up, open, judge
            let answers = judge_chunk(context, job, settled, places).await;
            // B8: durable
            context.metrics.screened_applicants.inc_by(answers.places.len() as u64);
            tokio::task::block_in_place(|| jobs.finish(job, &answers))?;
            Ok(())
        })
        .await
}

/// Asks about one chunk; waits for a replica that is behind and for log windows that are full.
async fn ask_chunk(context: &Context, job: &Job, shape: Shape, places: &[u32]) -> Result<Settled, QueryError> {
    let subjects: Arc<[(Subject, Digest32)]> = places
        .iter()
        .filter_map(|place| job.applicants.get(*place as usize))
        .filter_map(|applicant| Some((Subject::new(applicant.parsed()).ok()?, applicant.consent?)))
        .collect();
    let question = Question { shape, subjects, purpose: job.purpose, deadline: DEADLINE };
    let until = Instant::now() + PATIENCE;
    loop {
        // a window takes half a block, and an entry is due `leaf_due_windows` later: a quarter of that waits at most
        let policy = &context.ledger.genesis().policy;
        let windows = usize::try_from(policy.leaf_due_windows / 4).unwrap_or(1).max(1);
        while context.query_log.backlog().query_bytes > payload_budget(policy).saturating_mul(windows) {
            tokio::time::sleep(PAUSE).await;
        }
        match ask_and_settle(context, question.clone()).await {
            Err(QueryError::ReplicaBehind { .. }) if Instant::now() < until => tokio::time::sleep(PAUSE).await,
            asked => return asked,
        }
    }
}

/// Every publisher's answers about every subject of the chunk, publishers side by side.
async fn judge_chunk(context: &Arc<Context>, job: &Job, settled: Settled, places: Vec<u32>) -> Answers {
    let settled = Arc::new(settled);
    let publishers: Vec<MemberId> = settled.asked.heard.keys().cloned().collect();
    let (count, as_of) = (places.len(), job.as_of);
    let told = stream::iter(publishers)
        .map(|publisher| {
            let (context, settled) = (context.clone(), settled.clone());
            let judge = move || {
                let answers = settled.judgement.answers(&context, &settled.asked, &publisher, count, as_of);
                let told = answers.iter().map(Told::of).collect();
                Ok::<_, std::convert::Infallible>((publisher, told))
            };
            blocking(judge)
        })
        .buffer_unordered(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
        .map(|judged| match judged {
            Ok(judged) => judged,
            Err(never) => match never {},
        })
        .collect()
        .await;
    Answers { places, told }
}

/// Items a subject gets in this run: as many as the applicant with the most identifiers has, rounded up to 1, 2 or 4.
fn width(job: &Job) -> u8 {
    let most = job.applicants.iter().map(|applicant| applicant.identifiers.len()).max().unwrap_or(1);
    Shape::WIDTHS.into_iter().find(|width| usize::from(*width) >= most).unwrap_or(4)
}

/// Bytes of the largest chunk that is sent: a log window takes at least two.
fn largest_entry(policy: &Policy) -> usize {
    payload_budget(policy) / 2
}

/// Cuts places into chunks: the largest size while it is at least a quarter full, then smaller ones.
fn chunks(width: u8, mut places: Vec<u32>, largest: usize) -> Vec<(Shape, Vec<u32>)> {
    let is_sent = |subjects: &u16| {
        let shape = Shape::Chunk { width, subjects: *subjects };
        let bytes = shape.item_count() * ITEM_LEN + seal_len(shape);
        *subjects == 1 || (shape.item_count() <= MAX_CHUNK_ITEMS && bytes <= largest)
    };
    let sizes: Vec<u16> = Shape::SUBJECTS.into_iter().filter(is_sent).collect();
    let mut cut = Vec::new();
    while !places.is_empty() {
        let fits = |size: &&u16| places.len() * 4 >= usize::from(**size);
        let subjects = sizes.iter().rev().find(fits).copied().unwrap_or(1);
        let rest = places.split_off(places.len().min(usize::from(subjects)));
        cut.push((Shape::Chunk { width, subjects }, std::mem::replace(&mut places, rest)));
    }
    cut
}

/// References that stand more than once.
#[must_use]
pub fn repeated(references: &[&str]) -> Option<usize> {
    let mut seen = HashSet::with_capacity(references.len());
    references.iter().position(|reference| !seen.insert(*reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_registered_shapes_and_hold_every_place_once() {
        let largest = largest_entry(&Policy::default());
        for (width, count) in [(1, 50_000), (2, 1), (4, 400), (4, 3), (4, 64), (2, 17)] {
            let cut = chunks(width, (0..count).collect(), largest);
            let mut places: Vec<u32> = cut.iter().flat_map(|(_, places)| places.clone()).collect();
            places.sort_unstable();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
            for (shape, places) in cut {
                shape.check().unwrap();
                assert!(!places.is_empty() && places.len() <= shape.subject_count());
                assert!(shape.item_count() <= MAX_CHUNK_ITEMS);
                assert!(shape.item_count() * ITEM_LEN + seal_len(shape) <= largest);
            }
        }
    }

    #[test]
    fn a_consortium_with_larger_blocks_has_larger_chunks() {
        let policy = Policy { max_block_bytes: 64 << 20, ..Policy::default() };
        let largest = |width, policy: &Policy| {
            let cut = chunks(width, (0..100_000).collect(), largest_entry(policy));
            cut.iter().map(|(shape, _)| shape.subject_count()).max()
        };
        assert_eq!([largest(1, &policy), largest(4, &policy)], [Some(16_384), Some(4096)]);
        assert_eq!([largest(1, &Policy::default()), largest(4, &Policy::default())], [Some(4096), Some(256)]);
    }
}
