//! The logs on this agent's disk: what was about to leave survives a crash, every entry is logged once, and a lender that
//! does not log is noticed by header time.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

use std::path::Path;

use participant_agent::leaf_watch::LeafWatch;
use participant_agent::query_log::{Built, QueryLog, QueryLogError, QueryLogKeys};
use rand::rngs::OsRng;
use riskveil_crypto::at_rest::KeyEncryptionKey;
use riskveil_crypto::dst::Dst;
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, SecretBytes, SigningKey, digest};
use riskveil_exchange::audit::entry::{LenderEntry, ResponderEntry};
use riskveil_exchange::audit::leaf::query_leaf;
use riskveil_exchange::audit::{Outcome, QueryEntry, ReceiptEntry};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateRequest, Shape};
use riskveil_exchange::query::session::{Addressed, Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier};

const GENESIS_S: u64 = 1_800_000_000;
const MOBILE: &str = "13812345678";

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// A lender, two publishers and a regulator, by their keys.
struct World {
    chain_id: Digest32,
    policy: Policy,
    lender: MemberId,
    lender_key: SigningKey,
    publishers: Vec<(MemberId, SigningKey, OprfSecretKey)>,
    audit: AuditKeyPair,
    seal: SealSecretKey,
}

impl World {
    fn new(policy: Policy) -> Self {
        let publisher = |name: &str| (id(name), SigningKey::generate(&mut OsRng), OprfSecretKey::generate(&mut OsRng));
        Self {
            chain_id: digest::sha256(b"chain"),
            policy,
            lender: id("LENDER-01"),
            lender_key: SigningKey::generate(&mut OsRng),
            publishers: vec![publisher("INST-01"), publisher("INST-02")],
            audit: AuditKeyPair::generate(&mut OsRng),
            seal: SealSecretKey::generate(&mut OsRng),
        }
    }

    fn query(&self, shape: Shape) -> Addressed {
        let (y, seal_key) = (self.audit.public(), self.seal.public());
        let parameters = QueryParameters {
            chain_id: &self.chain_id,
            lender: &self.lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &y,
            seal_key: &seal_key,
            ref_height: Height(9),
            ref_header_hash: Digest32::ZERO,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: GENESIS_S + 100,
            ttl_s: 30,
        };
        let mobile = Identifier::parse(IdType::Mobile, MOBILE, Day::MAX).unwrap();
        let subject = Subject::new(vec![mobile]).unwrap();
        let consent = Consent::new(digest::sha256(b"consent"), &mut OsRng);
        let prepared = Session::start(&parameters, shape, &[(subject, consent)], &mut OsRng).unwrap();
        let keys: Vec<_> = self.publishers.iter().map(|(id, _, sk)| (id, sk.public_key())).collect();
        let to: Vec<_> = keys.iter().map(|(publisher, k)| Addressee { publisher, k }).collect();
        prepared.address(&to, &self.lender_key, &mut OsRng)
    }

    fn outcome(&self, request: &EvaluateRequest) -> (Digest32, Outcome) {
        let digest = request.envelope.digest();
        let (_, key, _) = self.publishers.iter().find(|(id, ..)| *id == request.envelope.publisher).unwrap();
        (digest, Outcome::sign(&self.chain_id, &digest, 0, digest::sha256(b"response"), key))
    }

    fn watch(&self) -> LeafWatch {
        LeafWatch::new(self.policy.clone(), GENESIS_S)
    }

    fn open(&self, dir: &Path) -> QueryLog {
        self.open_watching(dir, self.watch(), |_| {})
    }

    fn open_watching(&self, dir: &Path, watch: LeafWatch, on_receipt: impl FnMut(&ResponderEntry)) -> QueryLog {
        QueryLog::open(dir, keys(), self.policy.clone(), watch, on_receipt).unwrap()
    }

    /// A header time inside a window.
    fn in_window(&self, window: u64) -> u64 {
        GENESIS_S + window * self.policy.log_window_s
    }
}

fn keys() -> QueryLogKeys {
    let kek = KeyEncryptionKey::from_key_file(SecretBytes::from_bytes([5; 32]));
    let key = |name: &[u8]| kek.purpose_key(Dst::new("riskveil/v1/agent/journal"), name);
    QueryLogKeys { queries: key(b"queries"), receipts: key(b"receipts") }
}

fn built(first: u64, last: u64, numbers: &[u64], settled_before: u64) -> Built {
    Built {
        first: Window(first),
        last: Window(last),
        entries: numbers.to_vec(),
        leaf_count: 4,
        root: Digest32::ZERO,
        payload: vec![first as u8; 100],
        settled_before: Window(settled_before),
    }
}

fn numbers<E>(entries: &[(u64, E)]) -> Vec<u64> {
    entries.iter().map(|(number, _)| *number).collect()
}

fn query(entry: &LenderEntry) -> Option<&QueryEntry> {
    match entry {
        LenderEntry::Query(entry) => Some(entry),
        LenderEntry::Disclosure(_) => None,
    }
}

fn leaves(entry: &QueryEntry) -> Vec<Digest32> {
    entry.leaves()
}

#[tokio::test]
async fn an_interrupted_query_is_logged_as_unanswered_and_an_answered_one_with_its_outcomes() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    let (interrupted, answered) = (world.query(Shape::Check), world.query(Shape::Check));
    {
        let log = world.open(dir.path());
        log.set_open_window(Window(3));
        let ticket = log.begin(answered.entry.clone()).await.unwrap();
        let lost = log.begin(interrupted.entry.clone()).await.unwrap();
        log.finish(ticket, answered.requests.iter().map(|request| world.outcome(request)).collect());
        // what a crash leaves behind: the frame of the answers may or may not be there, the ticket is never finished
        std::mem::forget(lost);
        // the frame is written in the background
        while log.queries_up_to(Window(3), usize::MAX).is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let log = world.open(dir.path());
    let entries = log.queries_up_to(Window(3), usize::MAX);
    assert_eq!(entries.len(), 2, "both are logged, each once");
    let answers = |entry: &QueryEntry| entry.envelopes.iter().filter(|one| one.outcome.is_some()).count();
    let queries: Vec<&QueryEntry> = entries.iter().filter_map(|(_, entry)| query(entry)).collect();
    let find = |wanted: &QueryEntry| *queries.iter().find(|entry| entry.core == wanted.core).unwrap();
    assert_eq!(answers(find(&interrupted.entry)), 0);
    assert_eq!(answers(find(&answered.entry)), 2);
    assert_eq!(leaves(find(&interrupted.entry)), leaves(&interrupted.entry));
}

#[tokio::test]
async fn a_dropped_ticket_is_logged_as_unanswered_without_a_restart() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    let log = world.open(dir.path());
    let ticket = log.begin(world.query(Shape::Check).entry).await.unwrap();
    assert_eq!(log.queries_up_to(Window(9), usize::MAX).len(), 0, "a query under way is in no window");
    drop(ticket);
    assert_eq!(log.queries_up_to(Window(9), usize::MAX).len(), 1);
}

#[tokio::test]
async fn a_built_window_is_not_drawn_again_after_a_restart_and_its_entries_are_in_no_other() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    let window = {
        let log = world.open(dir.path());
        log.set_open_window(Window(2));
        for _ in 0..3 {
            let ticket = log.begin(world.query(Shape::Check).entry).await.unwrap();
            log.finish(ticket, Vec::new());
        }
        let taken = numbers(&log.queries_up_to(Window(2), usize::MAX));
        assert_eq!(taken.len(), 3);
        let window = built(0, 2, &taken[..2], 0);
        log.queries_built(window.clone()).await.unwrap();
        window
    };
    let log = world.open(dir.path());
    assert_eq!(log.last_built_queries(), Some(window));
    assert_eq!(log.queries_up_to(Window(9), usize::MAX).len(), 1);
    assert_eq!(log.last_built_receipts(), None);
}

#[tokio::test]
async fn a_receipt_is_durable_when_receipt_returns_and_is_shown_on_replay() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    let request = world.query(Shape::Check).requests.remove(0);
    let entry = ReceiptEntry::new(request, 0, digest::sha256(b"response"));
    {
        let log = world.open(dir.path());
        // many at once: they share fsyncs, and each is there afterwards
        let all = (0..40).map(|_| log.receipt(entry.clone()));
        for outcome in futures::future::join_all(all).await {
            outcome.unwrap();
        }
        std::mem::forget(log);
    }
    let (mut shown, watch) = (0, world.watch());
    let log = world.open_watching(dir.path(), watch.clone(), |receipt| {
        assert_eq!(*receipt, ResponderEntry::Receipt(entry.clone()));
        shown += 1;
    });
    assert_eq!((shown, log.backlog().receipts), (40, 40));
    assert_eq!(watch.owed(&world.lender), 1, "one leaf, however often it was asked for");
}

#[tokio::test]
async fn an_entry_that_no_window_can_hold_is_refused_before_it_is_sent_or_answered() {
    let policy = Policy { max_block_bytes: 1 << 20, max_rows_per_tx: 64, ..Policy::default() };
    let (world, dir) = (World::new(policy), tempfile::tempdir().unwrap());
    let log = world.open(dir.path());
    let mut large = world.query(Shape::Chunk { width: 4, subjects: 4096 });
    assert!(matches!(log.begin(large.entry).await, Err(QueryLogError::TooLarge(_))));
    let receipt = ReceiptEntry::new(large.requests.remove(0), 0, Digest32::ZERO);
    assert!(matches!(log.receipt(receipt).await, Err(QueryLogError::TooLarge(_))));
    assert_eq!(log.backlog().queries + log.backlog().receipts, 0);
}

#[test]
fn another_key_does_not_open_the_journals() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    drop(world.open(dir.path()));
    let QueryLogKeys { queries, receipts } = keys();
    let swapped = QueryLogKeys { queries: receipts, receipts: queries };
    let opened = QueryLog::open(dir.path(), swapped, world.policy.clone(), world.watch(), |_| {});
    assert!(matches!(opened, Err(QueryLogError::Journal(_))));
}

#[test]
fn a_lender_is_overdue_once_enough_windows_have_closed_and_served_again_when_it_logs() {
    let world = World::new(Policy::default());
    let request = world.query(Shape::Check).requests.remove(0);
    let leaf = query_leaf(&request.envelope.salt, &request.envelope.digest());
    let watch = world.watch();
    watch.expect(&world.lender, leaf, Window(5));
    let last_good = world.in_window(5 + world.policy.refuse_after_windows);
    assert!(!watch.is_overdue(&world.lender, last_good + 3600), "nobody is before the logs have been read");
    watch.caught_up();
    assert!(!watch.is_overdue(&world.lender, last_good));
    let too_late = last_good + world.policy.log_window_s;
    assert!(watch.is_overdue(&world.lender, too_late));
    assert!(!watch.is_overdue(&id("INST-01"), too_late), "only the lender that owes");
    watch.logged(&id("INST-02"), too_late, [leaf]);
    assert!(watch.is_overdue(&world.lender, too_late), "another member's log does not count");
    watch.logged(&world.lender, too_late, [leaf]);
    assert!(!watch.is_overdue(&world.lender, too_late));
    assert_eq!(watch.owed(&world.lender), 0);
}

#[test]
fn a_lender_that_gave_up_and_logged_before_the_receipt_was_given_owes_nothing() {
    let world = World::new(Policy::default());
    let request = world.query(Shape::Check).requests.remove(0);
    let leaf = query_leaf(&request.envelope.salt, &request.envelope.digest());
    let watch = world.watch();
    watch.logged(&world.lender, world.in_window(5), [leaf]);
    watch.tip(world.in_window(5) + 20);
    watch.expect(&world.lender, leaf, Window(5));
    assert_eq!(watch.owed(&world.lender), 0);
    watch.tip(world.in_window(9));
    watch.expect(&world.lender, leaf, Window(9));
    assert_eq!(watch.owed(&world.lender), 1, "leaves are not remembered for ever");
}

#[tokio::test]
async fn what_a_lender_owes_survives_a_restart_of_the_responder_and_what_was_settled_does_not_come_back() {
    let (world, dir) = (World::new(Policy::default()), tempfile::tempdir().unwrap());
    let (settled, owed) = (world.query(Shape::Check), world.query(Shape::Check));
    {
        let watch = world.watch();
        let log = world.open_watching(dir.path(), watch.clone(), |_| {});
        log.set_open_window(Window(4));
        let entry = |addressed: &Addressed| ReceiptEntry::new(addressed.requests[0].clone(), 0, Digest32::ZERO);
        log.receipt(entry(&settled)).await.unwrap();
        log.set_open_window(Window(6));
        log.receipt(entry(&owed)).await.unwrap();
        watch.logged(&world.lender, world.in_window(6), leaves(&settled.entry));
        assert_eq!(watch.position(Window(8)), Window(6), "the oldest expectation");
        let taken = numbers(&log.receipts_up_to(Window(8), usize::MAX));
        log.receipts_built(built(0, 8, &taken, watch.position(Window(8)).0)).await.unwrap();
    }
    let watch = world.watch();
    let _log = world.open_watching(dir.path(), watch.clone(), |_| {});
    watch.caught_up();
    assert_eq!(watch.owed(&world.lender), 1);
    assert!(watch.is_overdue(&world.lender, world.in_window(6 + world.policy.refuse_after_windows + 1)));
    watch.logged(&world.lender, world.in_window(40), leaves(&owed.entry));
    assert_eq!((watch.owed(&world.lender), watch.position(Window(50))), (0, Window(50)));
}
