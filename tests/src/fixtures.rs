//! The consortia checked in under `tests/fixtures`: the bundled sample and small generated ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    oracle::{Institution, Reject},
    table::{Malformed, Table, utf8},
};

/// "Today" of every fixture.
pub const AS_OF: &str = "2026-06-30";

/// A folder with `institutions/*.csv`, `applicants.csv`, `truth.csv` and what is expected.
#[derive(Clone, Debug)]
pub struct Fixture {
    dir: PathBuf,
}

impl Fixture {
    /// The consortium in this folder.
    pub fn at(dir: impl Into<PathBuf>) -> Fixture {
        Fixture { dir: dir.into() }
    }

    /// The bundled sample: 5 institutions, 400 applicants.
    pub fn sample() -> Fixture {
        Fixture::at(root().join("sample"))
    }

    /// A small generated consortium, by the name of its folder.
    pub fn consortium(name: &str) -> Fixture {
        Fixture::at(root().join("consortia").join(name))
    }

    /// The sample and every generated consortium, by name.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn all() -> io::Result<Vec<Fixture>> {
        let mut dirs =
            fs::read_dir(root().join("consortia"))?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        dirs.sort();
        Ok(std::iter::once(Fixture::sample()).chain(dirs.into_iter().map(Fixture::at)).collect())
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Name of its folder.
    pub fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A file of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn file(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    /// The institutions' files, by name.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn institutions(&self) -> io::Result<Vec<Institution>> {
        let mut institutions = Vec::new();
        for entry in fs::read_dir(self.dir.join("institutions"))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            institutions.push(Institution { name, bytes: fs::read(&path)? });
        }
        institutions.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(institutions)
    }

    /// What `expected_rejects.csv` says, sorted.
    ///
    /// # Errors
    /// [`Malformed`] if it cannot be read.
    pub fn expected_rejects(&self) -> Result<Vec<Reject>, Malformed> {
        let bytes = self.file("expected_rejects.csv").map_err(|error| Malformed(error.to_string()))?;
        let needed = ["institution", "record_number", "reason"];
        let mut rejects = Vec::new();
        for row in Table::read("expected_rejects", utf8("expected_rejects", &bytes)?, &needed)?.rows() {
            let record_number = row
                .get("record_number")
                .parse()
                .map_err(|_| Malformed("expected_rejects: record_number".to_owned()))?;
            let [institution, reason] = ["institution", "reason"].map(|column| row.get(column).to_owned());
            rejects.push(Reject { institution, record_number, reason });
        }
        rejects.sort();
        Ok(rejects)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}
