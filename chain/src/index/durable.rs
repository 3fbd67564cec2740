//! Files that are written once: whole and on disk, or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Where the system refused, and why.
pub(super) type IoAt = (PathBuf, io::Error);

/// Temporary file, sync, rename, sync of the directory, which is made if it is missing.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), IoAt> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| (path, source)
    };
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(at(parent))?;
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary).map_err(at(&temporary))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))?;
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(at(parent))
}

/// Renames a file, if there is one, to `<name>.damaged`.
pub(super) fn move_aside(path: &Path) -> Result<(), IoAt> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    match fs::rename(path, &aside) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), source)),
        _ => Ok(()),
    }
}
