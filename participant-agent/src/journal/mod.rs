//! Append-only, encrypted, checksummed files: what an agent must not forget survives `kill -9` and a full disk.
//!
//! - **Place**: records, outbox, queries, receipts, screenings, reports; each an own file and an own key
//! - **Shapes**: `magic 8 | frame 0 | frame 1 | ...`; a frame is
//!   `len u32 LE | !len u32 LE | nonce 12 | ciphertext | tag 16`, `len` counting what follows it; at most 32 MiB of plaintext.
//!   Frame 0 is empty and shows key and name; every other one holds a BCS `Vec<T>` of one `append` or `append_all`
//! - **Invariants**: an entry is on disk (fsync) before `append` returns. Additional data binds each frame to the journal's
//!   name, its number and the tag of the frame before it, so frames cannot be moved, dropped from the middle or swapped
//! - **Errors**: [`JournalError`] (disk, or whoever touched the file). A torn last frame was never acknowledged and is cut
//!   off when the journal is opened; damage anywhere before it is an error and nothing is changed
//! - **Security**: AES-256-GCM; plaintext is cleared after use; a missing tail (the file cut at a frame's edge) is not seen
//! - **Source**: DESIGN.md sections 3 ("at rest") and 5 ("Storage")

mod writer;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::rngs::OsRng;
use riskveil_crypto::at_rest::AtRestKey;
use riskveil_crypto::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

pub use writer::JournalWriter;

/// First bytes of a journal: the name and the format's version.
const MAGIC: &[u8; 8] = b"RVJRNL\x00\x01";
/// Most plaintext of a frame, bytes.
const MAX_PLAINTEXT_BYTES: usize = 32 << 20;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// `len | !len`.
const PREFIX_LEN: usize = 8;

/// A journal that cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system refuses a read or a write.
    #[error("journal {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not start as a journal does.
    #[error("{} is no journal of this version; restore it from a backup", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// The key does not open the journal's first frame.
    #[error("{} was written with another key or under another name; use the key store it belongs to", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// A frame that is not the last one does not open.
    #[error(
        "{} is damaged in frame {frame} at byte {offset}; restore it from a backup (the frames before it are intact)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Number of the frame.
        frame: u64,
        /// Where it starts, bytes.
        offset: u64,
    },
    /// A frame opens but holds no entries of this journal.
    #[error("{} holds entries in frame {frame} that this version cannot read", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Number of the frame.
        frame: u64,
    },
    /// One entry is larger than a frame may be.
    #[error("an entry of {bytes} bytes is too large for journal {}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its encoded length, bytes.
        bytes: usize,
    },
    /// An earlier write could not be made durable or undone.
    #[error("journal {} failed earlier and takes no more entries; restart the agent", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
    },
    /// The writer's thread is gone.
    #[error("the journal is closed")]
    Closed,
}

/// A journal of entries `T`, positioned at its end.
#[derive(Debug)]
pub struct Journal<T> {
    file: File,
    path: PathBuf,
    name: &'static str,
    key: AtRestKey,
    next_frame: u64,
    previous_tag: [u8; TAG_LEN],
    length: u64,
    failed: bool,
    entries: PhantomData<fn(T) -> T>,
}

/// A journal just opened.
#[derive(Debug)]
pub struct Opened<T> {
    /// Takes further entries.
    pub journal: Journal<T>,
    /// Every entry in it, oldest first.
    pub entries: Vec<T>,
    /// Bytes of a torn last frame that were cut off; 0 after an orderly stop.
    pub cut_bytes: u64,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens `dir/name.log`, makes it if it is not there, and returns all its entries.
    ///
    /// # Errors
    /// [`JournalError`]; the file is changed only to cut off a torn last frame.
    pub fn open(dir: &Path, name: &'static str, key: AtRestKey) -> Result<Opened<T>, JournalError> {
        let mut entries = Vec::new();
        let (journal, cut_bytes) = Self::open_with(dir, name, key, |entry| entries.push(entry))?;
        Ok(Opened { journal, entries, cut_bytes })
    }

    /// As [`Journal::open`], handing the entries one by one to `visit`; returns the bytes cut off beside the journal.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with(
        dir: &Path,
        name: &'static str,
        key: AtRestKey,
        visit: impl FnMut(T),
    ) -> Result<(Self, u64), JournalError> {
        let path = dir.join(format!("{name}.log"));
        let io = |source| JournalError::Io { path: path.clone(), source };
        if !path.try_exists().map_err(io)? {
            fs::create_dir_all(dir).map_err(io)?;
            return Ok((Self::create(path, name, key, &[])?, 0));
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut journal = Self::over(file, path, name, key);
        journal.replay(length, visit)?;
        let cut_bytes = length - journal.length;
        if cut_bytes > 0 {
            tracing::warn!(journal = name, cut_bytes, "a torn last frame was cut off");
            journal.truncate().map_err(|source| journal.io(source))?;
        }
        Ok((journal, cut_bytes))
    }

    /// Hands every entry of `dir/name.log` to `visit`, oldest first, while another handle may append to it. Changes nothing;
    /// a frame that is just being written is left out.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn read(dir: &Path, name: &'static str, key: AtRestKey, visit: impl FnMut(T)) -> Result<(), JournalError> {
        let path = dir.join(format!("{name}.log"));
        let io = |source| JournalError::Io { path: path.clone(), source };
        let file = File::open(&path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        Self::over(file, path, name, key).replay(length, visit)
    }

    /// A journal over an open file of which nothing is read yet.
    fn over(file: File, path: PathBuf, name: &'static str, key: AtRestKey) -> Self {
        Self {
            file,
            path,
            name,
            key,
            next_frame: 0,
            previous_tag: [0; TAG_LEN],
            length: 0,
            failed: false,
            entries: PhantomData,
        }
    }

    /// Appends one entry; on disk when this returns.
    ///
    /// # Errors
    /// [`JournalError`]; the entry is then not in the journal.
    pub fn append(&mut self, entry: &T) -> Result<(), JournalError> {
        self.append_all(std::slice::from_ref(entry))
    }

    /// Appends entries in one frame (and one fsync), or in several when they are more than a frame holds.
    ///
    /// # Errors
    /// [`JournalError`]; with several frames, the first ones may already be in the journal.
    pub fn append_all(&mut self, entries: &[T]) -> Result<(), JournalError> {
        self.append_borrowed(entries)
    }

    /// As [`Journal::append_all`], for values that encode as entries do and own nothing.
    ///
    /// # Errors
    /// As [`Journal::append_all`].
    pub fn append_borrowed<B: Serialize>(&mut self, entries: &[B]) -> Result<(), JournalError> {
        if self.failed {
            return Err(JournalError::Failed { path: self.path.clone() });
        }
        if entries.is_empty() {
            return Ok(());
        }
        let plaintext = encode(entries);
        if plaintext.len() > MAX_PLAINTEXT_BYTES {
            if entries.len() == 1 {
                return Err(JournalError::TooLarge { path: self.path.clone(), bytes: plaintext.len() });
            }
            drop(plaintext);
            let (first, rest) = entries.split_at(entries.len() / 2);
            self.append_borrowed(first)?;
            return self.append_borrowed(rest);
        }
        self.write_frame(&plaintext)
    }

    /// Replaces the whole content by `entries`, at once: a crash leaves either the old or the new journal.
    ///
    /// # Errors
    /// [`JournalError`]; the journal then still has its old content.
    pub fn rewrite(&mut self, entries: &[T]) -> Result<(), JournalError> {
        let replacement = Self::create(self.path.clone(), self.name, self.key.clone(), entries)?;
        *self = replacement;
        Ok(())
    }

    /// The file's length, bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// A writer that many tasks share; entries that arrive together share one fsync.
    #[must_use]
    pub fn into_writer(self) -> JournalWriter<T>
    where
        T: Send + 'static,
    {
        JournalWriter::spawn(self)
    }

    /// Writes a journal beside `path` and renames it into place.
    fn create(path: PathBuf, name: &'static str, key: AtRestKey, entries: &[T]) -> Result<Self, JournalError> {
        let fresh = path.with_extension("new");
        let io = |source| JournalError::Io { path: fresh.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(io)?;
        file.write_all(MAGIC).map_err(io)?;
        let mut journal = Self {
            file,
            path: fresh.clone(),
            name,
            key,
            next_frame: 0,
            previous_tag: [0; TAG_LEN],
            length: MAGIC.len() as u64,
            failed: false,
            entries: PhantomData,
        };
        journal.write_frame(&[])?;
        journal.append_all(entries)?;
        fs::rename(&fresh, &path).map_err(io)?;
        sync_directory_of(&path).map_err(io)?;
        journal.path = path;
        Ok(journal)
    }

    fn write_frame(&mut self, plaintext: &[u8]) -> Result<(), JournalError> {
        let sealed = self.key.seal(&self.additional_data(), plaintext, &mut OsRng);
        let length = u32::try_from(sealed.len())
            .map_err(|_| JournalError::TooLarge { path: self.path.clone(), bytes: sealed.len() })?;
        let mut frame = Vec::with_capacity(PREFIX_LEN + sealed.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&(!length).to_le_bytes());
        frame.extend_from_slice(&sealed);
        if let Err(source) = self.file.write_all(&frame) {
            // A full disk leaves part of a frame: take it away, so that the journal goes on when there is room again.
            self.failed = self.truncate().is_err();
            return Err(self.io(source));
        }
        if let Err(source) = self.file.sync_data() {
            // After a failed fsync nobody knows what is on disk.
            self.failed = true;
            return Err(self.io(source));
        }
        self.advance(&sealed);
        Ok(())
    }

    /// Reads frames from the start of the file to its end or to a torn last frame, where `self.length` stays.
    fn replay(&mut self, file_length: u64, mut visit: impl FnMut(T)) -> Result<(), JournalError> {
        let mut reader = BufReader::with_capacity(1 << 20, self.file.try_clone().map_err(|source| self.io(source))?);
        reader.rewind().map_err(|source| self.io(source))?;
        let mut magic = [0; MAGIC.len()];
        let not_a_journal = JournalError::NotAJournal { path: self.path.clone() };
        match reader.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => self.length = MAGIC.len() as u64,
            Ok(()) => return Err(not_a_journal),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(not_a_journal),
            Err(source) => return Err(self.io(source)),
        }
        while self.length < file_length {
            let Some(sealed) = self.read_frame(&mut reader, file_length)? else { break };
            let is_last = self.length + (PREFIX_LEN + sealed.len()) as u64 == file_length;
            let Ok(plaintext) = self.key.open(&self.additional_data(), &sealed) else {
                match (self.next_frame, is_last) {
                    (0, _) => return Err(JournalError::WrongKey { path: self.path.clone() }),
                    (_, true) => break,
                    (_, false) => return Err(self.damaged()),
                }
            };
            if self.next_frame > 0 {
                let entries: Vec<T> = codec::decode(&plaintext, MAX_PLAINTEXT_BYTES)
                    .map_err(|_| JournalError::Undecodable { path: self.path.clone(), frame: self.next_frame })?;
                entries.into_iter().for_each(&mut visit);
            }
            self.advance(&sealed);
        }
        if self.next_frame == 0 {
            return Err(not_a_journal); // a journal is renamed into place with its first frame
        }
        self.file.seek(SeekFrom::Start(self.length)).map_err(|source| self.io(source))?;
        Ok(())
    }

    /// The next frame's sealed bytes; `None` when it is torn.
    fn read_frame(&self, reader: &mut impl Read, file_length: u64) -> Result<Option<Vec<u8>>, JournalError> {
        let left = file_length - self.length;
        if left < PREFIX_LEN as u64 {
            return Ok(None);
        }
        let mut prefix = [0; PREFIX_LEN];
        reader.read_exact(&mut prefix).map_err(|source| self.io(source))?;
        let [a, b, c, d, e, f, g, h] = prefix;
        let (length, check) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let in_range = (NONCE_LEN + TAG_LEN..=MAX_PLAINTEXT_BYTES + NONCE_LEN + TAG_LEN).contains(&(length as usize));
        if check != !length || !in_range {
            // Zeros to the end are a frame whose bytes never reached the disk.
            return if prefix == [0; PREFIX_LEN] && only_zeros(reader).map_err(|source| self.io(source))? {
                Ok(None)
            } else {
                Err(self.damaged())
            };
        }
        if u64::from(length) > left - PREFIX_LEN as u64 {
            return Ok(None);
        }
        let mut sealed = vec![0; length as usize];
        reader.read_exact(&mut sealed).map_err(|source| self.io(source))?;
        Ok(Some(sealed))
    }

    /// `name | 0 | frame number u64 LE | previous tag`.
    fn additional_data(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(self.name.len() + 1 + 8 + TAG_LEN);
        aad.extend_from_slice(self.name.as_bytes());
        aad.push(0);
        aad.extend_from_slice(&self.next_frame.to_le_bytes());
        aad.extend_from_slice(&self.previous_tag);
        aad
    }

    fn advance(&mut self, sealed: &[u8]) {
        if let Some(tag) = sealed.last_chunk::<TAG_LEN>() {
            self.previous_tag = *tag;
        }
        self.next_frame += 1;
        self.length += (PREFIX_LEN + sealed.len()) as u64;
    }

    fn truncate(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.sync_data()
    }

    fn damaged(&self) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), frame: self.next_frame, offset: self.length }
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }
}

/// BCS into a buffer sized once, so that no copy of the plaintext is left behind.
fn encode<T: Serialize>(entries: &[T]) -> Zeroizing<Vec<u8>> {
    let size = bcs::serialized_size(entries).expect("journal entries hold no float and no 2^31 items");
    let mut plaintext = Zeroizing::new(Vec::with_capacity(size));
    bcs::serialize_into(&mut *plaintext, entries).expect("journal entries hold no float and no 2^31 items");
    plaintext
}

fn only_zeros(reader: &mut impl Read) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(true),
            read if chunk[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests;
