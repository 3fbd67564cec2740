//! The house keeps its shape: import edges, owned crates, unique tags, complete error registries.
//!
//! Each rule is one test; HOUSE_STYLE marks them **[test]** so that nobody has to remember them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// Every `.rs` file below `dir`, with its path relative to the workspace and its code without `//` comments.
fn sources(dir: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let root = root();
    let mut paths = Vec::new();
    walk(&root.join(dir), &mut paths);
    paths.sort();
    assert!(!paths.is_empty(), "no sources below {dir}");
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("readable source");
            let code = text.lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
            (path.strip_prefix(&root).expect("below the root").display().to_string(), code)
        })
        .collect()
}

/// The code before the first `#[cfg(test)]`: what ships.
fn shipped(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or("")
}

/// Asserts that `needle` occurs in shipped code below `dir` only in files whose path starts with one of `owners`.
fn only_in(dir: &str, needle: &str, owners: &[&str]) {
    let mut owned = 0;
    for (path, code) in sources(dir) {
        if shipped(&code).contains(needle) {
            assert!(
                owners.iter().any(|o| path.starts_with(o)),
                "{path} uses {needle}, which belongs to {owners:?} alone"
            );
            owned += 1;
        }
    }
    assert!(owned > 0 || owners.is_empty(), "nothing below {dir} uses {needle}: the rule guards nothing");
}

fn never_in(dir: &str, needles: &[&str]) {
    for (path, code) in sources(dir) {
        for needle in needles {
            assert!(!shipped(&code).contains(needle), "{path} must not contain {needle}");
        }
    }
}

#[test]
fn rooms_import_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("crypto", &[][..]),
        ("exchange", &["riskveil-crypto"][..]),
        ("chain", &["riskveil-crypto", "riskveil-exchange"][..]),
        ("participant-agent", &["riskveil-chain", "riskveil-crypto", "riskveil-exchange"][..]),
    ]);
    for (room, edges) in allowed {
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).expect("manifest");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
        for line in dependencies.lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            if name.starts_with("riskveil-") || name == "participant-agent" {
                assert!(edges.contains(&name), "{room} must not depend on {name}");
            }
        }
    }
}

#[test]
fn the_engine_is_imported_in_one_folder() {
    only_in("chain/src", "commonware_", &["chain/src/engine/"]);
    for room in ["crypto/src", "exchange/src", "participant-agent/src"] {
        never_in(room, &["commonware_"]);
    }
}

#[test]
fn sled_is_used_in_one_file() {
    only_in("chain/src", "sled::", &["chain/src/state/store.rs"]);
    for room in ["crypto/src", "exchange/src", "participant-agent/src"] {
        never_in(room, &["sled::"]);
    }
}

#[test]
fn instructions_are_used_and_memory_is_mapped_in_one_file_each_and_nothing_else_is_unsafe() {
    only_in("crypto/src", "unsafe ", &["crypto/src/lanes/avx512/simd.rs", "crypto/src/lanes/avx2/simd.rs"]);
    only_in("chain/src", "unsafe ", &["chain/src/index/segment.rs"]);
    for room in ["exchange/src", "participant-agent/src"] {
        never_in(room, &["unsafe "]);
    }
}

#[test]
fn scalars_and_points_stay_in_crypto() {
    for room in ["exchange/src", "chain/src", "participant-agent/src"] {
        never_in(room, &["curve25519_dalek", "merlin::", "aes_gcm::", "hkdf::", "hpke::"]);
    }
}

#[test]
fn the_domain_does_no_io_and_has_no_clock_or_randomness_of_its_own() {
    for room in ["crypto/src", "exchange/src"] {
        never_in(room, &["std::fs", "std::net", "SystemTime", "Instant::now", "thread_rng", "OsRng", "tokio::"]);
    }
}

#[test]
fn execution_is_deterministic_by_construction() {
    never_in(
        "chain/src/execute",
        &[
            "HashMap",
            "HashSet",
            "f32",
            "f64",
            "SystemTime",
            "Instant",
            "rand::",
            "unwrap()",
            ".expect(\"",
            "panic!",
            "std::fs",
        ],
    );
}

#[test]
fn the_http_server_stays_in_api_and_peers_and_the_command_line_in_cli() {
    only_in("participant-agent/src", "warp::", &["participant-agent/src/api/", "participant-agent/src/peers/"]);
    only_in(
        "participant-agent/src",
        "clap::",
        &["participant-agent/src/cli/", "participant-agent/src/demo/", "participant-agent/src/main.rs"],
    );
}

#[test]
fn the_demo_uses_only_the_command_line_and_the_http_api() {
    for (path, code) in sources("participant-agent/src/demo") {
        assert!(!code.contains("riskveil_"), "{path} reaches into the rooms below");
        for import in code.match_indices("crate::").map(|(at, _)| &code[at + 7..]) {
            assert!(
                import.starts_with("cli::") || import.starts_with("demo::"),
                "{path} imports crate::{}: a user has only the command line and the HTTP API",
                import.lines().next().unwrap_or("")
            );
        }
    }
}

/// The literal of every `Dst::new("...")` in shipped code.
fn tags() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for room in ["crypto/src", "exchange/src", "chain/src", "participant-agent/src"] {
        for (path, code) in sources(room) {
            for (at, _) in shipped(&code).match_indices("Dst::new(") {
                let rest = code[at + 9..].trim_start();
                if let Some(tag) = rest.strip_prefix('"').and_then(|r| r.split('"').next()) {
                    found.push((path.clone(), tag.to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn domain_separation_tags_are_unique_prefix_free_well_formed_and_registered() {
    let registry = fs::read_to_string(root().join("specs/crypto.md")).expect("specs/crypto.md");
    let tags = tags();
    assert!(tags.len() > 20, "found only {} tags", tags.len());
    let mut seen = BTreeSet::new();
    for (path, tag) in &tags {
        assert!(seen.insert(tag.clone()), "{tag} stands twice ({path})");
        assert!(tag.starts_with("riskveil/v1/"), "{tag} in {path} is not riskveil/v1/<room>/<purpose>");
        assert!(registry.contains(tag.as_str()), "{tag} ({path}) is not in specs/crypto.md");
    }
    for a in &seen {
        for b in &seen {
            assert!(a == b || !b.starts_with(a.as_str()), "{a} is a prefix of {b}");
        }
    }
}

#[test]
fn every_receipt_code_stands_in_the_error_registry() {
    let registry = fs::read_to_string(root().join("specs/errors.md")).expect("specs/errors.md");
    for code in riskveil_chain::receipt::ReceiptCode::ALL {
        assert!(registry.contains(&format!("| {} |", code.number())), "receipt code {} has no row", code.number());
    }
}

#[test]
fn every_claim_of_the_threat_model_names_tests_that_exist() {
    let text = fs::read_to_string(root().join("specs/threat-model.md")).expect("specs/threat-model.md");
    let table = text.split("## Adversaries").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the table");
    let code: String = ["crypto", "exchange", "chain", "participant-agent", "tests"]
        .iter()
        .flat_map(|room| sources(room))
        .map(|(_, code)| code)
        .collect();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| crime")) {
        let tests = row.rsplit('|').nth(1).unwrap_or("");
        for test in tests.split('`').skip(1).step_by(2) {
            assert!(code.contains(&format!("fn {test}(")), "specs/threat-model.md names {test}, which is no test");
            named += 1;
        }
    }
    assert!(named > 40, "only {named} tests are named");
}

#[test]
fn nothing_is_left_to_do_without_an_issue_number() {
    for room in ["crypto", "exchange", "chain", "participant-agent", "tests"] {
        let root = root();
        for (path, _) in sources(room) {
            if path == "tests/architecture.rs" {
                continue;
            }
            let text = fs::read_to_string(root.join(&path)).expect("readable source");
            for (number, line) in text.lines().enumerate() {
                for word in ["TODO", "FIXME", "XXX", "HACK"] {
                    let Some(at) = line.find(&format!("// {word}")) else { continue };
                    assert!(line[at..].contains('#'), "{path}:{}: {word} without an issue number", number + 1);
                }
            }
        }
    }
}
