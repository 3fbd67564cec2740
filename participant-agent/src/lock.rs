//! One agent per directory: `run` holds an advisory lock on `agent.lock` as long as it lives.
//!
//! - **Errors**: [`LockError::Held`] (another `run`: stop it), [`LockError::Io`] (disk)

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt;

/// Name of the lock file in an agent's directory.
pub const LOCK_FILE: &str = "agent.lock";

/// The lock on a directory; released when dropped and by the system when the process dies.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// The directory cannot be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process runs on this directory.
    #[error("another agent already runs on {}; stop it first, or use another --dir", dir.display())]
    Held {
        /// The directory.
        dir: PathBuf,
    },
    /// The lock file cannot be opened.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DirLock {
    /// Takes the lock of `dir`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process holds it; [`LockError::Io`] when the file cannot be opened.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let io = |source| LockError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match file.try_lock_exclusive() {
            Ok(true) => Ok(Self { _file: file }),
            Ok(false) => Err(LockError::Held { dir: dir.to_owned() }),
            Err(source) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_locked_once_and_free_again_after_the_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(LockError::Held { .. })));
        drop(held);
        DirLock::acquire(dir.path()).unwrap();
    }
}
