//! Whatever happens to the directory, the ledger comes back from the block archive as it was.
//!
//! The archive is the list of blocks that the chain finalized; replay hands them to `finalize` from `replay_from` on, as
//! the engine does.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Chain, Consortium, busy_chain, id};
use rand::Rng as _;
use riskveil_chain::block::Block;
use riskveil_chain::error::LedgerError;
use riskveil_chain::index::IndexError;
use riskveil_chain::ledger::Ledger;
use riskveil_chain::state::StateRead;
use riskveil_chain::tx::TxBody;
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::fingerprint::Tag;
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{Height, Period, Window};

/// What must be the same after every recovery.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    tip: Digest32,
    state_root: Digest32,
    rows: Vec<Vec<u8>>,
    commitments: Vec<Vec<u8>>,
    leaves: usize,
    outcomes: Vec<Option<(Digest32, Height, u16)>>,
    logs: usize,
}

fn observe(ledger: &Ledger) -> Observed {
    let view = ledger.view();
    let rows = view
        .batches()
        .iter()
        .map(|(period, publisher, seq, _)| ledger.index().segment(*period, publisher, *seq).unwrap().rows().to_vec())
        .collect();
    let commitments = view
        .commitment_batches()
        .iter()
        .map(|(publisher, seq, _)| ledger.commitments().payload(publisher, *seq).unwrap())
        .collect();
    let outcome = |n| ledger.outcome(&id("INST-01"), n).unwrap().map(|(tx, height, code)| (tx, height, code.number()));
    Observed {
        tip: view.digest,
        state_root: view.state.root(),
        rows,
        commitments,
        leaves: view.leaves.len(),
        outcomes: (0..12).map(outcome).collect(),
        logs: ledger.logs(LogKind::Queries, &id("LENDER-01"), Window(0), 100).unwrap().len(),
    }
}

/// A finished chain: its directory, its archive, and what it looked like.
struct Finished {
    dir: tempfile::TempDir,
    archive: Vec<Block>,
    observed: Observed,
}

fn finished() -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::open(dir.path(), Consortium::new());
    assert_eq!(chain.replay_from, Height(1));
    busy_chain(&mut chain);
    let observed = observe(&chain.ledger);
    assert!(observed.rows.len() == 8 && observed.logs == 2 && observed.outcomes[3].is_some());
    Finished { dir, archive: chain.blocks.clone(), observed }
}

impl Finished {
    fn reopen(&self) -> Chain {
        Chain::open(self.dir.path(), Consortium::new())
    }

    fn replay(&self, chain: &Chain) {
        for block in self.archive.iter().filter(|b| b.header.height >= chain.replay_from) {
            chain.ledger.finalize(block).unwrap();
        }
        assert_eq!(observe(&chain.ledger), self.observed);
    }

    fn tip(&self) -> Height {
        self.archive.last().unwrap().header.height
    }

    fn segment(&self, publisher: &str, seq: u32) -> PathBuf {
        self.dir.path().join(format!("segments/p0000000000/{publisher}-{seq:08}.rows"))
    }

    fn commitments(&self, publisher: &str, seq: u32) -> PathBuf {
        self.dir.path().join(format!("commitments/{publisher}-{seq:08}.commitments"))
    }

    fn damaged_dirs(&self) -> usize {
        let named = |p: &Path| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("state.damaged-"));
        fs::read_dir(self.dir.path()).unwrap().filter(|e| named(&e.as_ref().unwrap().path())).count()
    }
}

#[test]
fn a_restart_goes_on_at_the_tip() {
    let finished = finished();
    let chain = finished.reopen();
    assert_eq!(chain.replay_from, finished.tip().next());
    assert_eq!(observe(&chain.ledger), finished.observed);
    assert_eq!(chain.height(), finished.tip());
}

#[test]
fn a_state_store_that_is_gone_is_rebuilt_by_replay() {
    let finished = finished();
    fs::remove_dir_all(finished.dir.path().join("state")).unwrap();
    let chain = finished.reopen();
    assert_eq!(chain.replay_from, Height(1));
    finished.replay(&chain);
}

#[test]
fn a_whole_directory_that_is_gone_is_rebuilt_by_replay() {
    let finished = finished();
    fs::remove_dir_all(finished.dir.path().join("state")).unwrap();
    fs::remove_dir_all(finished.dir.path().join("segments")).unwrap();
    fs::remove_dir_all(finished.dir.path().join("commitments")).unwrap();
    finished.replay(&finished.reopen());
}

/// Adds blocks full of refused transactions: a store of some thousand entries over several of sled's segments.
fn fill(dir: &Path, archive: &mut Vec<Block>) -> Observed {
    let mut chain = Chain::open(dir, Consortium::new());
    chain.time_ms = chain.tip().time_ms;
    for _ in 0..20 {
        let first = chain.ledger.view().sequence(&id("LENDER-01")) + 1;
        let transactions = (first..first + 100)
            .map(|n| chain.consortium.sign("LENDER-01", n, chain.height().0 + 9, TxBody::Vote(Vec::new())).encode());
        chain.raw_block(transactions.collect(), Vec::new());
    }
    archive.extend(chain.blocks.clone());
    observe(&chain.ledger)
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) = entry.map(|e| (e.path(), to.join(e.file_name()))).unwrap();
        if entry.is_dir() { copy_dir(&entry, &target) } else { assert!(fs::copy(&entry, &target).is_ok()) }
    }
}

/// `RISKVEIL_DAMAGE_SEEDS` runs more than the usual few.
#[test]
fn sixteen_damaged_bytes_in_the_state_store_lose_nothing_even_if_it_hangs() {
    let Finished { dir, mut archive, .. } = finished();
    let observed = fill(dir.path(), &mut archive);
    let seeds = std::env::var("RISKVEIL_DAMAGE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(6);
    for seed in 0..seeds {
        let start = std::time::Instant::now();
        let damaged = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), damaged.path());
        let mut rng = common::rng(seed);
        let db = damaged.path().join("state/db");
        let mut bytes = fs::read(&db).unwrap();
        // Only the part that was written: the rest of sled's file is a hole.
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        for _ in 0..16 {
            let at = rng.gen_range(0..used);
            bytes[at] = rng.r#gen();
        }
        fs::write(&db, &bytes).unwrap();
        let chain = Chain::open(damaged.path(), Consortium::new());
        let from = chain.replay_from;
        for block in archive.iter().filter(|b| b.header.height >= from) {
            chain.ledger.finalize(block).unwrap();
        }
        assert_eq!(observe(&chain.ledger), observed);
        let aside = damaged.path().join("state.damaged-1").exists();
        println!("seed {seed}: {used} bytes, moved aside: {aside}, replay from {from}, {:?}", start.elapsed());
    }
}

#[test]
fn a_state_store_full_of_noise_is_moved_aside_and_rebuilt() {
    let finished = finished();
    let mut rng = common::rng(9);
    for entry in fs::read_dir(finished.dir.path().join("state")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let mut noise = vec![0_u8; fs::metadata(&path).unwrap().len() as usize];
            rng.fill(noise.as_mut_slice());
            fs::write(&path, noise).unwrap();
        }
    }
    let chain = finished.reopen();
    assert_eq!((chain.replay_from, finished.damaged_dirs()), (Height(1), 1));
    finished.replay(&chain);
}

#[test]
fn a_deleted_segment_is_rebuilt_and_no_look_up_passes_it_over_before() {
    let finished = finished();
    fs::remove_file(finished.segment("INST-02", 1)).unwrap();
    let chain = finished.reopen();
    let batch = chain.ledger.view().batch(Period(0), &id("INST-02"), 1).unwrap();
    assert_eq!(chain.replay_from, batch.height);
    let index = chain.ledger.index();
    let lookup = index.lookup(Period(0), &id("INST-02"), 4, &Tag::new([1; 16]));
    assert!(matches!(lookup, Err(IndexError::BatchNotHeld { batch_seq: 1, .. })));
    assert!(index.holds(Period(0), &id("INST-02"), 1) && !index.holds(Period(0), &id("INST-02"), 2));
    finished.replay(&chain);
    assert!(index.holds(Period(0), &id("INST-02"), 4));
}

fn flip_a_bit_in_the_middle(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut_the_last_byte(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

#[test]
fn damaged_shortened_and_swapped_segments_are_rebuilt() {
    let damages: [fn(&Finished, &Path); 5] = [
        |_, path| flip_a_bit_in_the_middle(path),
        |_, path| cut_the_last_byte(path),
        |_, path| fs::write(path, b"").unwrap(),
        |finished, path| assert!(fs::copy(finished.segment("INST-01", 2), path).is_ok()),
        |finished, path| assert!(fs::copy(finished.segment("INST-02", 0), path).is_ok()),
    ];
    let finished = finished();
    let original = fs::read(finished.segment("INST-01", 0)).unwrap();
    for damage in damages {
        damage(&finished, &finished.segment("INST-01", 0));
        let chain = finished.reopen();
        let batch = chain.ledger.view().batch(Period(0), &id("INST-01"), 0).unwrap();
        assert_eq!(chain.replay_from, batch.height);
        finished.replay(&chain);
        assert_eq!(fs::read(finished.segment("INST-01", 0)).unwrap(), original);
        drop(chain);
        assert_eq!(finished.reopen().replay_from, finished.tip().next());
    }
}

#[test]
fn deleted_damaged_shortened_and_swapped_commitments_are_written_anew() {
    let damages: [fn(&Finished, &Path); 6] = [
        |_, path| fs::remove_file(path).unwrap(),
        |_, path| flip_a_bit_in_the_middle(path),
        |_, path| cut_the_last_byte(path),
        |_, path| fs::write(path, b"").unwrap(),
        |finished, path| assert!(fs::copy(finished.commitments("INST-01", 2), path).is_ok()),
        |finished, path| assert!(fs::copy(finished.commitments("INST-02", 0), path).is_ok()),
    ];
    let finished = finished();
    let original = fs::read(finished.commitments("INST-01", 0)).unwrap();
    for damage in damages {
        damage(&finished, &finished.commitments("INST-01", 0));
        let chain = finished.reopen();
        let batch = chain.ledger.view().commitment_batch(&id("INST-01"), 0).unwrap();
        assert_eq!(chain.replay_from, batch.height);
        assert_eq!(chain.ledger.view().leaves.len() + 64, finished.observed.leaves);
        let missing = chain.ledger.commitments().payload(&id("INST-01"), 0);
        assert!(matches!(missing, Err(IndexError::CommitmentsNotHeld { batch_seq: 0, .. })));
        finished.replay(&chain);
        assert_eq!(fs::read(finished.commitments("INST-01", 0)).unwrap(), original);
        drop(chain);
        assert_eq!(finished.reopen().replay_from, finished.tip().next());
    }
}

#[test]
fn no_new_block_is_taken_while_leaves_are_missing() {
    let finished = finished();
    let dir = tempfile::tempdir().unwrap();
    copy_dir(finished.dir.path(), dir.path());
    let mut ahead = Chain::open(dir.path(), Consortium::new());
    ahead.time_ms = ahead.tip().time_ms;
    let next = ahead.block(Vec::new());
    fs::remove_file(finished.commitments("INST-02", 1)).unwrap();
    let chain = finished.reopen();
    let refused = chain.ledger.finalize(&next).unwrap_err();
    assert!(matches!(refused, LedgerError::Index(IndexError::CommitmentsNotHeld { batch_seq: 1, .. })), "{refused}");
    finished.replay(&chain);
    chain.ledger.finalize(&next).unwrap();
}

#[test]
fn commitments_that_are_damaged_while_in_use_are_an_error_and_never_other_bytes() {
    let finished = finished();
    let chain = finished.reopen();
    let (publisher, path) = (id("INST-01"), finished.commitments("INST-01", 1));
    assert!(chain.ledger.commitments().at(&publisher, 1, 127).unwrap().is_some());
    assert!(chain.ledger.commitments().at(&publisher, 1, 128).unwrap().is_none());
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, bytes).unwrap();
    let read = chain.ledger.commitments().at(&publisher, 1, 0);
    assert!(matches!(read, Err(IndexError::Commitments(_))), "{read:?}");
}

#[test]
fn a_stop_between_segment_and_state_leaves_a_block_that_finalizes_again() {
    let finished = finished();
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), Consortium::new());
    let (before, rest) = finished.archive.split_at(2);
    for block in before {
        chain.ledger.finalize(block).unwrap();
    }
    drop(chain);
    // The segment of the next block is written, half of another too, but the state is not.
    let segments = dir.path().join("segments/p0000000000");
    fs::create_dir_all(&segments).unwrap();
    fs::copy(finished.segment("INST-01", 1), segments.join("INST-01-00000001.rows")).unwrap();
    fs::write(segments.join("INST-01-00000002.rows"), b"half").unwrap();
    fs::write(segments.join("INST-01-00000002.tmp"), b"half").unwrap();
    // So are commitments of later blocks.
    let commitments = dir.path().join("commitments");
    fs::create_dir_all(&commitments).unwrap();
    fs::copy(finished.commitments("INST-01", 0), commitments.join("INST-01-00000000.commitments")).unwrap();
    fs::write(commitments.join("INST-01-00000001.commitments"), b"half").unwrap();
    fs::write(commitments.join("INST-01-00000001.tmp"), b"half").unwrap();
    let chain = Chain::open(dir.path(), Consortium::new());
    assert_eq!(chain.replay_from, Height(3));
    for block in rest {
        chain.ledger.finalize(block).unwrap();
    }
    assert_eq!(observe(&chain.ledger), finished.observed);
}

#[test]
fn finalize_is_idempotent_by_height_and_refuses_a_gap() {
    let finished = finished();
    let chain = finished.reopen();
    for block in &finished.archive {
        chain.ledger.finalize(block).unwrap();
    }
    assert_eq!(observe(&chain.ledger), finished.observed);
    let dir = tempfile::tempdir().unwrap();
    let chain = Chain::open(dir.path(), Consortium::new());
    assert!(matches!(chain.ledger.finalize(&finished.archive[1]), Err(LedgerError::Gap { .. })));
    let mut other = finished.archive[0].clone();
    other.header.state_root = Digest32::ZERO;
    assert!(matches!(chain.ledger.finalize(&other), Err(LedgerError::Diverged { .. })));
    assert_eq!(chain.height(), Height(0));
    chain.ledger.finalize(&finished.archive[0]).unwrap();
}

#[test]
fn a_directory_of_another_chain_or_in_use_is_refused_and_left_alone() {
    let finished = finished();
    let mut other = Consortium::new().genesis;
    other.currency = "CNY".to_owned();
    other.policy.log_window_s += 1;
    assert!(matches!(Ledger::open(finished.dir.path(), other), Err(LedgerError::OtherChain { .. })));
    let chain = finished.reopen();
    let again = Ledger::open(finished.dir.path(), Consortium::new().genesis);
    assert!(matches!(again, Err(LedgerError::InUse(_))));
    drop(chain);
    assert_eq!(finished.damaged_dirs(), 0);
    assert_eq!(observe(&finished.reopen().ledger), finished.observed);
}

#[test]
fn a_genesis_that_breaks_a_rule_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut genesis = Consortium::new().genesis;
    genesis.members.clear();
    assert!(matches!(Ledger::open(dir.path(), genesis), Err(LedgerError::Genesis(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_cannot_be_used_is_an_error_and_not_damage() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), b"").unwrap();
    let error = Ledger::open(&dir.path().join("file/below"), Consortium::new().genesis).unwrap_err();
    assert!(matches!(error, LedgerError::Store(_)), "{error}");
}
