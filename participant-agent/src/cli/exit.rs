//! How the program ends: documented exit codes, and errors as one sentence or as JSON.
//!
//! - **Shapes**: text `error: <sentence>` or, with `--json`, `{"error": <sentence>, "exit_code": <n>}`; standard error
//! - **Source**: README.md#exit-codes

use std::fmt;
use std::process::ExitCode;

use crate::api::auth::TokenError;
use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::keystore::KeystoreError;
use crate::lock::LockError;
use crate::ports::PortError;

/// Exit codes; the numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It ran, and what it checked does not hold.
    NotHeld = 1,
    /// The command line, a configuration or an input file is wrong.
    Usage = 2,
    /// No agent answers, or its token is refused.
    NoAgent = 3,
    /// Refused by the policy, or a consent is missing.
    Refused = 4,
    /// Not every responder answered.
    Unanswered = 5,
    /// A disk, port or lock fails.
    Io = 6,
    /// A key or passphrase is missing or wrong.
    Key = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not get done, and the exit code that says so.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    sentence: String,
}

impl CliError {
    /// An error that ends the program with `exit`.
    pub fn new(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, sentence: sentence.to_string() }
    }

    /// A failed read or write of `path`.
    pub fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(Exit::Io, format_args!("{}: {error}", path.display()))
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints it to standard error.
    pub fn print(&self, json: bool) {
        if json {
            eprintln!("{}", serde_json::json!({ "error": self.sentence, "exit_code": self.exit as u8 }));
        } else {
            eprintln!("error: {}", self.sentence);
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for CliError {}

macro_rules! exits {
    ($($error:ty => $exit:expr),* $(,)?) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                let exit: fn(&$error) -> Exit = $exit;
                Self::new(exit(&error), error)
            }
        })*
    };
}

exits! {
    ConfigError => |_| Exit::Usage,
    LockError => |_| Exit::Io,
    PortError => |_| Exit::Io,
    TokenError => |_| Exit::NoAgent,
    JournalError => |error| if matches!(error, JournalError::WrongKey { .. }) { Exit::Key } else { Exit::Io },
    KeystoreError => |error| match error {
        KeystoreError::Io { .. } => Exit::Io,
        KeystoreError::AlreadyThere { .. } => Exit::Usage,
        _ => Exit::Key,
    },
}
