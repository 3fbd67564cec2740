//! What an operator looks at before blaming somebody: each check reads `ok`, `warning` or `failed`, and says what to do.
//!
//! ```text
//! this machine   directory configuration tokens disk genesis keys ports          local.rs
//! the others     clock peers (with their TLS keys) heights                       peers.rs
//! the replica    tip period-key snapshots range-proofs logs, own and others'     replica.rs
//! ```
//!
//! - **Place**: neither walk; `cli/doctor.rs` prints it, `GET /v1/doctor` gives a running agent's [`replica::ReplicaFacts`]
//! - **Invariants**: judging is pure: facts and a time in, [`Finding`]s out. Nothing is changed but a probe file that is removed
//! - **Errors**: none: what cannot be looked at is a finding
//! - **Security**: no secret and nothing of a record stands in a finding

pub mod local;
pub mod peers;
pub mod replica;
#[cfg(test)]
mod tests;

use serde::Serialize;

/// How a check came out; the exit code is that of the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work, or soon will not.
    Failed,
}

/// A sentence in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

impl Text {
    /// A sentence.
    pub fn new(en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check: a stable word.
    pub check: &'static str,
    /// How it came out.
    pub status: Status,
    /// What was seen.
    pub detail: Text,
    /// What to do about it; none if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<Text>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub const fn ok(check: &'static str, detail: Text) -> Self {
        Self { check, status: Status::Ok, detail, to_do: None }
    }

    /// Somebody should look at it.
    #[must_use]
    pub const fn warning(check: &'static str, detail: Text, to_do: Text) -> Self {
        Self { check, status: Status::Warning, detail, to_do: Some(to_do) }
    }

    /// It does not work.
    #[must_use]
    pub const fn failed(check: &'static str, detail: Text, to_do: Text) -> Self {
        Self { check, status: Status::Failed, detail, to_do: Some(to_do) }
    }
}

/// The worst of them.
#[must_use]
pub fn worst(findings: &[Finding]) -> Status {
    findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
}
