//! specs/vectors/evidence: whole files, good and forged, and what each must come to.
//!
//! `RISKVEIL_WRITE_VECTORS=1 cargo test --test evidence vectors` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use riskveil_chain::evidence::{Outcome, Statement, Verified, verify};
use riskveil_crypto::digest::Digest32;

use crate::forged::cases;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors/evidence")
}

/// `hit`, `clear`, `incomplete`, `logged`, or the rule.
fn word(bytes: &[u8], chain_id: &Digest32) -> String {
    match verify(bytes, chain_id) {
        Ok(Verified { statement: Statement::LogEntry(_), .. }) => "logged".to_owned(),
        Ok(Verified { statement: Statement::Answers(statement), .. }) => match statement.outcome() {
            Outcome::Hit => "hit".to_owned(),
            Outcome::Clear => "clear".to_owned(),
            Outcome::Incomplete => "incomplete".to_owned(),
        },
        Err(refused) => format!("EV-{}", refused.rule.number()),
    }
}

fn write() {
    let (chain_id, cases) = cases();
    let mut index = format!("chain_id\t{chain_id}\n");
    for case in &cases {
        let file = format!("{}.evidence", case.name);
        fs::write(dir().join(&file), &case.bytes).unwrap();
        index.push_str(&format!("{file}\t{}\n", word(&case.bytes, &chain_id)));
    }
    fs::write(dir().join("index.tsv"), index).unwrap();
}

#[test]
fn every_vector_comes_to_what_the_index_says() {
    if std::env::var_os("RISKVEIL_WRITE_VECTORS").is_some() {
        write();
    }
    let index = fs::read_to_string(dir().join("index.tsv")).unwrap();
    let mut lines = index.lines().map(|line| line.split_once('\t').unwrap());
    let chain_id: Digest32 = lines.next().filter(|(name, _)| *name == "chain_id").unwrap().1.parse().unwrap();
    let mut count = 0;
    for (file, expected) in lines {
        assert_eq!(word(&fs::read(dir().join(file)).unwrap(), &chain_id), expected, "{file}");
        count += 1;
    }
    assert!(count > 60, "{count}");
}
