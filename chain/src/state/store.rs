//! Where the finalized state and two local indexes are kept: the only use of `sled` in this crate.
//!
//! - **Place**: A8: one finalized block -> one atomic batch and a flush; read whole into memory at open
//! - **Shapes**: one tree; keys `m` meta, `s<state key>`, `o<sender 32><sequence 8>` outcome, `l<kind><member 32><window 8>` log
//! - **Invariants**: what [`Store::open`] returns has entries whose root is the recorded header's, and local entries whose
//!   checksums and number are right; nothing here exists only here
//! - **Errors**: damage is no error: the directory is moved aside to `<name>.damaged-<n>` and the store begins empty, to be
//!   rebuilt by replay. [`StoreError`] is the disk's or the operator's fault
//! - **Source**: DESIGN.md section 5, "Storage"; ADR 0003
//! - **Deviations**: sled can hang for ever on a damaged file. It is opened and read on its own thread; after
//!   [`STALL`] without progress that thread is abandoned (it keeps what it has mapped until the process ends)

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use riskveil_crypto::codec;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{Height, MemberId, Window};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::block::{Header, MAX_HEADER_BYTES};
use crate::receipt::ReceiptCode;
use crate::state::keys;
use crate::state::tree::{Changes, State};
use crate::tx::TxId;

/// Longest that opening may go without reading another entry.
pub const STALL: Duration = Duration::from_secs(5);
const SCHEMA: u16 = 1;
const META: &[u8] = b"m";
const STATE: u8 = b's';
const OUTCOME: u8 = b'o';
const LOG: u8 = b'l';
const CHECKSUM_LEN: usize = 4;

/// What can go wrong with the state store in use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// sled's own error.
    #[error("{0}")]
    Sled(#[from] sled::Error),
    /// A directory could not be made or moved.
    #[error("{path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store did not open even after its directory was moved aside.
    #[error("{0}: a new state store does not open")]
    Unusable(PathBuf),
}

/// What became of a sender's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its id.
    pub id: TxId,
    /// Its block.
    pub height: Height,
    /// Its receipt.
    pub code: ReceiptCode,
}

/// Where log windows stand on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLocation {
    /// First window of the transaction.
    pub first_window: Window,
    /// Its last window.
    pub last_window: Window,
    /// Its block.
    pub height: Height,
    /// Its place among the block's transactions, from 0.
    pub position: u32,
    /// SHA-256 of its payload.
    pub payload_digest: Digest32,
}

/// What a finalized block leaves besides the state.
#[derive(Clone, Debug, Default)]
pub struct LocalEntries {
    /// By sender and sequence.
    pub outcomes: Vec<(MemberId, u64, Outcome)>,
    /// By kind and member.
    pub logs: Vec<(LogKind, MemberId, LogLocation)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Meta {
    schema: u16,
    #[serde(with = "serde_bytes")]
    header: Vec<u8>,
    local_entries: u64,
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    db: sled::Db,
    local_entries: u64,
}

/// An open store and what it holds.
#[derive(Debug)]
pub struct Loaded {
    /// The store.
    pub store: Store,
    /// The last block it recorded and the state after it; none in a new store.
    pub tip: Option<(Header, State)>,
}

enum Attempt {
    Opened(Box<Loaded>),
    Damaged(&'static str),
    Failed(StoreError),
}

impl Store {
    /// Opens the store in `dir`, checks all it holds, and starts anew beside the old directory if it is damaged.
    ///
    /// # Errors
    /// [`StoreError`]: the directory cannot be used at all.
    pub fn open(dir: &Path) -> Result<Loaded, StoreError> {
        match attempt(dir, STALL, load) {
            Attempt::Opened(loaded) => return Ok(*loaded),
            Attempt::Failed(error) => return Err(error),
            Attempt::Damaged(why) => {
                let aside = move_aside(dir)?;
                tracing::warn!(why, aside = %aside.display(), "state store is damaged; rebuilding it from the block archive");
            }
        }
        match attempt(dir, STALL, load) {
            Attempt::Opened(loaded) => Ok(*loaded),
            Attempt::Failed(error) => Err(error),
            Attempt::Damaged(_) => Err(StoreError::Unusable(dir.to_owned())),
        }
    }

    /// Records one block: one atomic batch, then a flush. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Sled`].
    pub fn commit(&mut self, header: &Header, changes: &Changes, local: &LocalEntries) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            batch.insert([&[STATE], key.as_slice()].concat(), value.as_slice());
        }
        let mut added = 0;
        let outcomes = local.outcomes.iter().map(|(s, n, outcome)| (outcome_key(s, *n), codec::encode(outcome)));
        let logs = local.logs.iter().map(|(k, m, log)| (log_key(*k, m, log.last_window), codec::encode(log)));
        for (key, value) in outcomes.chain(logs) {
            let sealed = with_checksum(&key, value);
            batch.insert(key, sealed);
            added += 1;
        }
        let meta = Meta { schema: SCHEMA, header: header.encode(), local_entries: self.local_entries + added };
        batch.insert(META, codec::encode(&meta));
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        self.local_entries += added;
        Ok(())
    }

    /// What became of a sender's transaction with this sequence number.
    ///
    /// # Errors
    /// [`StoreError::Sled`].
    pub fn outcome(&self, sender: &MemberId, sequence: u64) -> Result<Option<Outcome>, StoreError> {
        let key = outcome_key(sender, sequence);
        Ok(self.db.get(&key)?.and_then(|value| read_checked(&key, &value)))
    }

    /// Where a member's log windows from `from` on stand, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Sled`].
    pub fn logs(
        &self,
        kind: LogKind,
        member: &MemberId,
        from: Window,
        limit: usize,
    ) -> Result<Vec<LogLocation>, StoreError> {
        let (first, last) = (log_key(kind, member, from), log_key(kind, member, Window(u64::MAX)));
        let mut found = Vec::new();
        for entry in self.db.range(first..=last).take(limit) {
            let (key, value) = entry?;
            found.extend(read_checked::<LogLocation>(&key, &value));
        }
        Ok(found)
    }
}

/// Opens and reads on a thread of its own; gives up when that makes no progress.
fn attempt(dir: &Path, stall: Duration, load: fn(&Path, &AtomicU64) -> Attempt) -> Attempt {
    let progress = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = mpsc::sync_channel(1);
    let (path, counter) = (dir.to_owned(), progress.clone());
    let spawned = thread::Builder::new().name("state-store-open".to_owned()).spawn(move || {
        let result = load(&path, &counter);
        // If nobody waits any more the directory was moved aside and the result is not wanted.
        let _ = sender.send(result);
    });
    if let Err(source) = spawned {
        return Attempt::Failed(StoreError::Io { path: dir.to_owned(), source });
    }
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok(attempt) => return attempt,
            // The thread panicked inside sled.
            Err(mpsc::RecvTimeoutError::Disconnected) => return Attempt::Damaged("opening it panicked"),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let now = progress.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= stall {
            return Attempt::Damaged("opening it hangs");
        }
    }
}

fn load(dir: &Path, progress: &AtomicU64) -> Attempt {
    let db = match open_db(dir, progress) {
        Ok(db) => db,
        Err(sled::Error::Io(source)) if is_the_disks_fault(source.kind()) => {
            return Attempt::Failed(StoreError::Io { path: dir.to_owned(), source });
        }
        Err(_) => return Attempt::Damaged("it does not open"),
    };
    let mut entries = Vec::new();
    let (mut local_entries, mut meta) = (0_u64, None);
    let mut before: Option<sled::IVec> = None;
    for entry in db.iter() {
        progress.fetch_add(1, Ordering::Relaxed);
        let Ok((key, value)) = entry else { return Attempt::Damaged("an entry does not read") };
        // A damaged tree could lead round in a circle.
        if before.replace(key.clone()).is_some_and(|before| before >= key) {
            return Attempt::Damaged("its keys do not ascend");
        }
        match key.split_first() {
            Some((&STATE, state_key)) => entries.push((state_key.to_vec(), value.to_vec())),
            Some((&OUTCOME, _)) if read_checked::<Outcome>(&key, &value).is_some() => local_entries += 1,
            Some((&LOG, _)) if read_checked::<LogLocation>(&key, &value).is_some() => local_entries += 1,
            _ if key == META => meta = codec::decode::<Meta>(&value, MAX_HEADER_BYTES + 64).ok(),
            _ => return Attempt::Damaged("an entry is not whole"),
        }
    }
    let Some(meta) = meta else {
        if entries.is_empty() && local_entries == 0 {
            return Attempt::Opened(Box::new(Loaded { store: Store { db, local_entries: 0 }, tip: None }));
        }
        return Attempt::Damaged("its meta entry is missing");
    };
    let Ok(header) = Header::decode(&meta.header) else { return Attempt::Damaged("its header does not decode") };
    let state = State::from_entries(entries);
    if meta.schema != SCHEMA || meta.local_entries != local_entries || state.root() != header.state_root {
        return Attempt::Damaged("its entries do not match its recorded root");
    }
    Attempt::Opened(Box::new(Loaded { store: Store { db, local_entries }, tip: Some((header, state)) }))
}

/// Opens sled, and waits for a store that this process is just closing.
fn open_db(dir: &Path, progress: &AtomicU64) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::new().path(dir).flush_every_ms(None).cache_capacity(64 << 20);
    for _ in 0..20 {
        match config.open() {
            Err(sled::Error::Io(e)) if e.to_string().contains("lock") => {
                progress.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
            done => return done,
        }
    }
    config.open()
}

const fn is_the_disks_fault(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, PermissionDenied | StorageFull | QuotaExceeded | ReadOnlyFilesystem | NotADirectory)
}

fn move_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let name = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let aside = (1_u32..).map(|n| dir.with_file_name(format!("{name}.damaged-{n}"))).find(|path| !path.exists());
    let aside = aside.ok_or_else(|| StoreError::Unusable(dir.to_owned()))?;
    fs::rename(dir, &aside).map_err(|source| StoreError::Io { path: dir.to_owned(), source })?;
    Ok(aside)
}

fn outcome_key(sender: &MemberId, sequence: u64) -> Vec<u8> {
    member_key(&[OUTCOME], sender, sequence)
}

fn log_key(kind: LogKind, member: &MemberId, last_window: Window) -> Vec<u8> {
    member_key(&[LOG, keys::log_kind(kind)], member, last_window.0)
}

fn member_key(prefix: &[u8], member: &MemberId, number: u64) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend_from_slice(member.as_bytes());
    key.resize(prefix.len() + 32, 0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The value with the first four bytes of SHA-256 over key and value: nothing else would notice a changed local entry.
fn with_checksum(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let checksum = sha256(&[key, value.as_slice()].concat());
    value.extend_from_slice(&checksum.as_bytes()[..CHECKSUM_LEN]);
    value
}

fn read_checked<T: DeserializeOwned>(key: &[u8], sealed: &[u8]) -> Option<T> {
    let value = sealed.get(..sealed.len().checked_sub(CHECKSUM_LEN)?)?;
    if with_checksum(key, value.to_vec()) != sealed {
        return None;
    }
    codec::decode(value, 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_store_that_hangs_or_panics_is_damaged_and_a_slow_one_is_not() {
        let dir = Path::new("unused");
        let hangs = attempt(dir, SHORT, |_, _| {
            loop {
                thread::park();
            }
        });
        assert!(matches!(hangs, Attempt::Damaged("opening it hangs")));
        let panics = attempt(dir, STALL, |_, _| panic!("inside sled"));
        assert!(matches!(panics, Attempt::Damaged("opening it panicked")));
        let slow = attempt(dir, SHORT, |dir, progress| {
            for _ in 0..10 {
                thread::sleep(Duration::from_millis(100));
                progress.fetch_add(1, Ordering::Relaxed);
            }
            Attempt::Failed(StoreError::Unusable(dir.to_owned()))
        });
        assert!(matches!(slow, Attempt::Failed(_)));
    }

    #[test]
    fn a_local_entry_whose_bytes_changed_is_not_read() {
        let outcome = Outcome { id: TxId::ZERO, height: Height(7), code: ReceiptCode::Applied };
        let sealed = with_checksum(b"key", codec::encode(&outcome));
        assert_eq!(read_checked(b"key", &sealed), Some(outcome));
        assert_eq!(read_checked::<Outcome>(b"kez", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(read_checked::<Outcome>(b"key", &changed), None);
        }
        assert_eq!(read_checked::<Outcome>(b"key", &sealed[..3]), None);
    }
}
