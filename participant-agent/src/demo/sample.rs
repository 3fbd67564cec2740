//! The bundled consortium: five institutions with rows derived from public credit data, and 400 applicants.
//!
//! - **Place**: `demo` without `--data`; written below `--out` and then read like any other data
//! - **Source**: `tests/fixtures/sample`, with its licence notes in `tests/fixtures/sample/LICENSES.md`

use std::path::Path;
use std::{fs, io};

macro_rules! bundled {
    ($($name:literal),* $(,)?) => {
        [$(($name, &include_bytes!(concat!("../../../tests/fixtures/sample/", $name))[..])),*]
    };
}

/// The business date that the sample's dates are measured against.
pub(super) const AS_OF: &str = "2026-06-30";

/// Writes the sample's institutions, applicants and licence notes into `dir`.
pub(super) fn write_to(dir: &Path) -> io::Result<()> {
    let files = bundled![
        "institutions/INST-01.csv",
        "institutions/INST-02.csv",
        "institutions/INST-03.csv",
        "institutions/INST-04.csv",
        "institutions/INST-05.csv",
        "applicants.csv",
        "LICENSES.md",
    ];
    fs::create_dir_all(dir.join("institutions"))?;
    files.into_iter().try_for_each(|(name, bytes)| fs::write(dir.join(name), bytes))
}
