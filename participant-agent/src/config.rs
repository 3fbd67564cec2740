//! `agent.toml`: read strictly, checked once, used as a [`ValidConfig`].
//!
//! - **Place**: every command that has a `--dir`
//! - **Invariants**: a [`ValidConfig`] has three different listening addresses with fixed ports and thread counts in range
//! - **Errors**: [`ConfigError`] names file, line and what to do (whoever edited the file)
//! - **Security**: holds no secret; secrets are named by path only
//!
//! # Example
//! ```
//! let text = r#"
//! member = "INST-01"
//! api_listen = "127.0.0.1:17800"
//! peer_listen = "127.0.0.1:17801"
//! engine_listen = "127.0.0.1:17802"
//! as_of = "2026-06-30"
//! log_format = "json"
//! "#;
//! let config = participant_agent::config::parse(text, "agent.toml".as_ref()).unwrap();
//! assert_eq!(config.member.as_str(), "INST-01");
//! ```

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use riskveil_exchange::ids::MemberId;
use riskveil_exchange::record::Day;
use serde::{Deserialize, Serialize};

/// Name of the configuration file in an agent's directory.
pub const CONFIG_FILE: &str = "agent.toml";
/// Longest configuration file, bytes.
const MAX_CONFIG_BYTES: u64 = 64 << 10;
/// Every key a configuration may have.
const KEYS: [&str; 10] = [
    "member",
    "api_listen",
    "peer_listen",
    "engine_listen",
    "as_of",
    "key_protection",
    "log_format",
    "log_level",
    "engine_threads",
    "range_proofs",
];

/// What each key is for, as `agent.toml` says it; the order of the file.
const COMMENTS: [(&str, &str); 10] = [
    ("member", "This agent's name in the genesis."),
    ("as_of", "Business date that records and queries are judged by; without this line, today in Asia/Shanghai."),
    ("api_listen", "The local HTTP API, for this member's own staff and machines: keep it on loopback."),
    (
        "peer_listen",
        "Where other members' agents connect. They were told `peer_address` of member.toml: change both or neither.",
    ),
    ("engine_listen", "Where other members' consensus engines connect; told as `engine_address` of member.toml."),
    ("key_protection", "How the keys are kept, `file` or `passphrase`; set when they were made."),
    ("log_format", "text or json."),
    ("log_level", "error, warn, info, debug or trace."),
    ("engine_threads", "Threads of the consensus engine, 1 to 16."),
    (
        "range_proofs",
        "background, or held: commitments and their range proofs wait. A record's proofs take some 6 ms of a core, once.",
    ),
];

/// Whether range proofs are made and verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeProofWork {
    /// On all cores, at the lowest priority.
    #[default]
    Background,
    /// Not while this agent runs: rows are published, asked about and answered all the same, commitments wait. For loading
    /// millions of records into a machine that has to answer meanwhile.
    Held,
}

/// How the key-encryption key is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyProtection {
    /// In the file `keys/kek`, readable by its owner only.
    #[default]
    File,
    /// Derived by argon2id from a passphrase, which `RISKVEIL_PASSPHRASE_FILE` names or a prompt asks for.
    Passphrase,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line of text an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the tracing crate")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// The configuration as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// This agent's name in the genesis.
    pub member: MemberId,
    /// `ip:port` of the local HTTP API; keep it on loopback.
    pub api_listen: SocketAddr,
    /// `ip:port` where other members' agents connect (TLS); others reach it by `peer_address` in the genesis.
    pub peer_listen: SocketAddr,
    /// `ip:port` of the consensus engine; others reach it by `engine_address` in the genesis.
    pub engine_listen: SocketAddr,
    /// Business date, `YYYY-MM-DD`, against which dates are checked; without it, today in Asia/Shanghai.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Day>,
    /// How the key-encryption key is kept; `file` or `passphrase`. Set by `init member`.
    #[serde(default)]
    pub key_protection: KeyProtection,
    /// `text` or `json`.
    #[serde(default)]
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    #[serde(default)]
    pub log_level: LogLevel,
    /// Threads of the consensus engine, 1 to 16.
    #[serde(default = "default_engine_threads")]
    pub engine_threads: usize,
    /// `background` or `held`.
    #[serde(default)]
    pub range_proofs: RangeProofWork,
}

/// Threads of the consensus engine unless the configuration says otherwise.
pub const DEFAULT_ENGINE_THREADS: usize = 2;

/// Most threads of the consensus engine.
const MAX_ENGINE_THREADS: usize = 16;

const fn default_engine_threads() -> usize {
    DEFAULT_ENGINE_THREADS
}

/// A configuration whose every field is in range.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValidConfig {
    /// This agent's name in the genesis.
    pub member: MemberId,
    /// Where the local HTTP API listens.
    pub api_listen: SocketAddr,
    /// Where other members' agents connect.
    pub peer_listen: SocketAddr,
    /// Where the consensus engine listens.
    pub engine_listen: SocketAddr,
    /// Business date; `None` is today in Asia/Shanghai.
    pub as_of: Option<Day>,
    /// How the key-encryption key is kept.
    pub key_protection: KeyProtection,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How much is logged.
    pub log_level: LogLevel,
    /// Threads of the consensus engine.
    pub engine_threads: usize,
    /// Whether range proofs are made and verified.
    pub range_proofs: RangeProofWork,
}

/// A configuration that cannot be used: where, what, and what to do.
#[derive(Debug)]
pub struct ConfigError {
    path: PathBuf,
    line: Option<usize>,
    what: String,
    fix: String,
}

impl ConfigError {
    /// The line of the file, from 1, if the fault is in one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}; {}", self.what, self.fix)
    }
}

impl std::error::Error for ConfigError {}

/// Reads and checks `agent.toml` in `dir`.
///
/// # Errors
/// [`ConfigError`] when it is missing, too long, no TOML, has an unknown key, or a field out of range.
pub fn load(dir: &Path) -> Result<ValidConfig, ConfigError> {
    let path = dir.join(CONFIG_FILE);
    let refuse = |what: String, fix: &str| ConfigError { path: path.clone(), line: None, what, fix: fix.to_owned() };
    let size = fs::metadata(&path).map(|meta| meta.len()).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse(
            "there is no such file".into(),
            "make it with `participant-agent init member`, or name another --dir",
        ),
        _ => refuse(format!("cannot be read ({error})"), "check the permissions of the directory"),
    })?;
    if size > MAX_CONFIG_BYTES {
        return Err(refuse(format!("has {size} bytes, more than 65536"), "this is no agent configuration"));
    }
    let text = fs::read_to_string(&path).map_err(|error| {
        refuse(format!("cannot be read ({error})"), "save it as UTF-8 text and check its permissions")
    })?;
    parse(&text, &path)
}

/// Checks the text of a configuration; `path` is for the error text only.
///
/// # Errors
/// [`ConfigError`] with the line and the fix.
pub fn parse(text: &str, path: &Path) -> Result<ValidConfig, ConfigError> {
    let config: AgentConfig = toml::from_str(text).map_err(|error| from_toml(&error, text, path))?;
    config.validate().map_err(|(key, what, fix)| ConfigError {
        path: path.to_owned(),
        line: line_of_key(text, key),
        what,
        fix,
    })
}

impl AgentConfig {
    /// The configuration as `agent.toml` text, every key with a comment for whoever edits it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let keys = toml::to_string(self).expect("an agent configuration is a flat table");
        let mut text =
            String::from("# The configuration of this agent; `participant-agent config check` reads it back.\n");
        for (key, comment) in COMMENTS {
            let line = keys.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" =")));
            let line = line.map_or_else(|| format!("# {key} = \"2026-06-30\""), str::to_owned);
            text.push_str(&format!("\n# {comment}\n{line}\n"));
        }
        text
    }

    /// The checked configuration, or the key at fault, what is wrong and what to do.
    fn validate(self) -> Result<ValidConfig, (&'static str, String, String)> {
        let listen =
            [("api_listen", self.api_listen), ("peer_listen", self.peer_listen), ("engine_listen", self.engine_listen)];
        for (i, (key, address)) in listen.iter().enumerate() {
            if address.port() == 0 {
                return Err((key, format!("{key} has port 0"), "give a fixed port, so that others can find it".into()));
            }
            if let Some((other, _)) = listen[..i].iter().find(|(_, before)| before == address) {
                return Err((key, format!("{key} and {other} are the same address"), "give each its own port".into()));
            }
        }
        if !(1..=MAX_ENGINE_THREADS).contains(&self.engine_threads) {
            let what = format!("engine_threads is {}", self.engine_threads);
            return Err(("engine_threads", what, format!("use 1 to {MAX_ENGINE_THREADS}")));
        }
        Ok(ValidConfig {
            member: self.member,
            api_listen: self.api_listen,
            peer_listen: self.peer_listen,
            engine_listen: self.engine_listen,
            as_of: self.as_of,
            key_protection: self.key_protection,
            log_format: self.log_format,
            log_level: self.log_level,
            engine_threads: self.engine_threads,
            range_proofs: self.range_proofs,
        })
    }
}

fn from_toml(error: &toml::de::Error, text: &str, path: &Path) -> ConfigError {
    let what = error.message().lines().next().unwrap_or("is no TOML").to_owned();
    let fix = match error.span().and_then(|span| unknown_key(&what, text, &span)) {
        Some(key) => match closest(key) {
            Some(known) => format!("did you mean `{known}`? (keys: {})", KEYS.join(", ")),
            None => format!("remove the line (keys: {})", KEYS.join(", ")),
        },
        None if what.starts_with("missing field") => "add it (see `participant-agent config check --help`)".to_owned(),
        None => "correct this line".to_owned(),
    };
    let line = error.span().filter(|_| !what.starts_with("missing field")).map(|span| line_at(text, span.start));
    let what = what.split(", expected one of").next().unwrap_or_default().to_owned();
    ConfigError { path: path.to_owned(), line, what, fix }
}

fn unknown_key<'a>(what: &str, text: &'a str, span: &Range<usize>) -> Option<&'a str> {
    if !what.starts_with("unknown field") {
        return None;
    }
    text.get(span.clone()).map(|key| key.trim_matches(['"', '\'']))
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let assigns =
        |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    text.lines().position(assigns).map(|index| index + 1)
}

/// The known key within two edits of `key`.
fn closest(key: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .map(|known| (edits(key, known), known))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "member = \"INST-01\"\napi_listen = \"127.0.0.1:17800\"\npeer_listen = \"127.0.0.1:17801\"\n\
                        engine_listen = \"127.0.0.1:17802\"\n";

    fn refusal(text: &str) -> String {
        parse(text, Path::new("agent.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_minimal_configuration_gets_the_documented_defaults_and_survives_its_own_toml() {
        let config = parse(GOOD, Path::new("agent.toml")).unwrap();
        assert_eq!((config.key_protection, config.log_level), (KeyProtection::File, LogLevel::Info));
        let written = toml::from_str::<AgentConfig>(GOOD).unwrap().to_toml();
        assert_eq!(parse(&written, Path::new("agent.toml")).unwrap(), config);
        assert_eq!(config.as_of, None);
        let dated = written.replace("# as_of = ", "as_of = ");
        let day = parse(&dated, Path::new("agent.toml")).unwrap().as_of.unwrap();
        assert_eq!(day.to_string(), "2026-06-30", "the line that people are told to edit is there");
        assert!(COMMENTS.iter().all(|(key, _)| KEYS.contains(key)) && COMMENTS.len() == KEYS.len());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_key_that_was_meant() {
        let text = refusal(&format!("{GOOD}log_levle = \"info\"\n"));
        assert!(text.starts_with("agent.toml, line 5: unknown field `log_levle`; did you mean `log_level`?"), "{text}");
        let text = refusal(&format!("colour = 3\n{GOOD}"));
        assert!(text.starts_with("agent.toml, line 1: unknown field `colour`; remove the line"), "{text}");
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        let text = refusal(&GOOD.replace("127.0.0.1:17801", "peer.example"));
        assert!(text.starts_with("agent.toml, line 3: "), "{text}");
        let text = refusal(&GOOD.replace("17802", "17801"));
        assert_eq!(
            text,
            "agent.toml, line 4: engine_listen and peer_listen are the same address; give each its own port"
        );
        let text = refusal(&GOOD.replace("17800", "0"));
        assert!(text.contains("line 2: api_listen has port 0"), "{text}");
        let text = refusal(&format!("{GOOD}engine_threads = 0\n"));
        assert_eq!(text, "agent.toml, line 5: engine_threads is 0; use 1 to 16");
        assert!(refusal(&format!("{GOOD}as_of = \"2026-02-30\"\n")).contains("line 5"));
        assert!(refusal(&GOOD.replace("INST-01", "inst")).contains("line 1"));
    }

    #[test]
    fn a_missing_key_and_a_missing_file_say_what_to_do() {
        assert!(refusal("member = \"INST-01\"\n").contains("missing field `api_listen`; add it"));
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap_err().to_string().contains("participant-agent init member"));
    }
}
