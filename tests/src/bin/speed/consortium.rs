//! A consortium of agents as processes, whose publishers hold many records.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use participant_agent::config;
use participant_agent::ingest::csv::Ingested;
use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::records::RecordBook;
use riskveil_crypto::digest;
use riskveil_crypto::kernel::{self, VARIABLE};
use riskveil_tests::processes::{Agent, Processes};

use crate::people;

/// The longest publication and replication that is waited for.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Records taken into a book at a time.
const PART: u64 = 1 << 18;

/// Blocks large enough for a screening's log, windows of a minute as everywhere.
const POLICY: &str = "max_block_bytes = 67108864\nquota_items_per_lender_per_day = 100000000\n";

static PORTABLE: AtomicBool = AtomicBool::new(false);

/// Has agents that are started from now on compute with dalek.
pub(crate) fn children_compute_portably() {
    PORTABLE.store(true, Ordering::Relaxed);
}

/// What computes, here and in the agents.
pub(crate) fn kernel() -> &'static str {
    kernel::chosen().as_str()
}

/// Publishers and a lender, all running, every row replicated.
pub(crate) struct Consortium {
    pub(crate) processes: Processes,
    pub(crate) publishers: Vec<Agent>,
    pub(crate) lender: Agent,
}

impl Consortium {
    /// Publishers with these people's records each, published; the first one validates.
    pub(crate) fn new(people_of: &[std::ops::Range<u64>]) -> Self {
        let processes = Processes::with_validators(people_of.len(), 1, POLICY, |_, dir| {
            let file = dir.join("agent.toml");
            let text = fs::read_to_string(&file).unwrap().replace("\"background\"", "\"held\"");
            assert!(text.contains("range_proofs = \"held\""));
            fs::write(file, text).unwrap();
        });
        let names: Vec<String> = (1..=people_of.len()).map(|number| format!("INST-{number:02}")).collect();
        for (name, people) in names.iter().zip(people_of) {
            fill(&processes.dir(name), people.clone());
        }
        let began = Instant::now();
        let choice = PORTABLE.load(Ordering::Relaxed).then_some((VARIABLE, "portable"));
        let start = |name: &str| processes.start_with(name, choice);
        let mut publishers: Vec<Agent> = names.iter().map(|name| start(name)).collect();
        let mut lender = start("LENDER-01");
        let rows: u64 = people_of.iter().map(|people| people.end - people.start).sum();
        lender.until_within(PATIENCE, "every row", |status| {
            status["rows_on_chain"].as_u64().is_some_and(|held| held >= rows) && status["fresh"] == true
        });
        for (publisher, people) in publishers.iter_mut().zip(people_of) {
            let last = format!("/v1/publications/{}", publication_of((people.end - 1) / PART * PART));
            let sealed = loop {
                let done = publisher.get(&last).filter(|status| status["state"] == "done");
                match done.and_then(|status| status["height"].as_u64()) {
                    Some(height) => break height,
                    None => std::thread::sleep(Duration::from_millis(200)),
                }
                assert!(began.elapsed() < PATIENCE, "a snapshot is not sealed:\n{}", publisher.log());
            };
            lender.until_within(PATIENCE, "the seal", |status| status["height"].as_u64() >= Some(sealed));
        }
        println!(
            "published and replicated: {rows} rows of {} publishers in {:.0} s wall",
            people_of.len(),
            began.elapsed().as_secs_f64()
        );
        Self { processes, publishers, lender }
    }
}

/// The id of the publication that begins with this person's part.
fn publication_of(from: u64) -> String {
    format!("{from:032x}")
}

/// Puts records into the book of an agent that does not run, as files would.
fn fill(dir: &Path, people: std::ops::Range<u64>) {
    config::load(dir).unwrap();
    let keystore = Keystore::open(dir, &Unlock::KeyFile).unwrap();
    let book =
        RecordBook::open(&dir.join(participant_agent::run::JOURNAL_DIR), |name| keystore.journal_key(name)).unwrap();
    let mut from = people.start;
    while from < people.end {
        let end = (from / PART * PART + PART).min(people.end);
        let file = Ingested { accepted: (0..).zip((from..end).map(people::record)).collect(), ..Ingested::default() };
        book.accept(publication_of(from / PART * PART), digest::sha256(&from.to_be_bytes()), file).unwrap();
        from = end;
    }
}
