//! Who may call the local API: one bearer token a role.
//!
//! - **Shapes**: `api.token`, lines `role token`; a token is 64 hex digits (256 random bits)
//! - **Errors**: [`TokenError`] (the operator); over HTTP 401 for no or an unknown token, 403 for another role
//! - **Security**: tokens are compared by digest; the file has mode 0600

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rand::RngCore;
use riskveil_crypto::digest::{self, Digest32};
use warp::http::header::{AUTHORIZATION, HeaderMap};
use zeroize::Zeroizing;

use super::problem::{Problem, ProblemKind};
use crate::{dst, keystore};

/// Name of the token file in an agent's directory.
pub const TOKEN_FILE: &str = "api.token";

/// What a caller of the local API is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Publishes and looks after the agent.
    Operator,
    /// Checks and screens applicants.
    Underwriter,
    /// Audits.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Underwriter, Self::Auditor];

    /// Its word in the token file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Underwriter => "underwriter",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = ();
    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|role| role.word() == word).ok_or(())
    }
}

/// The tokens an agent accepts, by digest.
#[derive(Debug)]
pub struct Tokens(Vec<(Role, Digest32)>);

/// A token file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It cannot be read or written.
    #[error("token file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not `role token`.
    #[error(
        "token file {}, line {line}: expected `operator`, `underwriter` or `auditor` and 64 hex digits",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No line for the wanted role.
    #[error("token file {} has no token for the role {role}", path.display())]
    NoToken {
        /// The file.
        path: PathBuf,
        /// The role.
        role: Role,
    },
}

impl Tokens {
    /// Writes a file with a fresh token for every role.
    ///
    /// # Errors
    /// [`TokenError::Io`].
    pub fn create(path: &Path, rng: &mut impl RngCore) -> Result<(), TokenError> {
        let mut text = Zeroizing::new(String::with_capacity(512));
        for role in Role::ALL {
            let mut token = Zeroizing::new([0; 32]);
            rng.fill_bytes(token.as_mut_slice());
            text.push_str(&format!("{role} {}\n", *Zeroizing::new(hex::encode(*token))));
        }
        keystore::write_private(path, text.as_bytes())
            .map_err(|source| TokenError::Io { path: path.to_owned(), source })
    }

    /// Reads a token file.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        Ok(Self(read(path)?.iter().map(|(role, token)| (*role, token_digest(token))).collect()))
    }

    /// No token at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The role of the `Authorization` header, if it is among the allowed.
    ///
    /// # Errors
    /// [`Problem`]: unauthorized without a known token, forbidden with another role's.
    pub fn authorize(&self, headers: &HeaderMap, allowed: &[Role]) -> Result<Role, Problem> {
        let unauthorized = || Problem::new(ProblemKind::Unauthorized);
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(unauthorized)?;
        let bearer = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let given = token_digest(bearer.ok_or_else(unauthorized)?.1.trim());
        let (role, _) = self.0.iter().find(|(_, known)| *known == given).ok_or_else(unauthorized)?;
        if allowed.contains(role) { Ok(*role) } else { Err(Problem::new(ProblemKind::Forbidden)) }
    }
}

/// The token of a role, for a client on the same machine.
///
/// # Errors
/// [`TokenError`].
pub fn token_of(path: &Path, role: Role) -> Result<Zeroizing<String>, TokenError> {
    let found = read(path)?.into_iter().find(|(of, _)| *of == role);
    found.map(|(_, token)| token).ok_or_else(|| TokenError::NoToken { path: path.to_owned(), role })
}

fn read(path: &Path) -> Result<Vec<(Role, Zeroizing<String>)>, TokenError> {
    let text = fs::read_to_string(path).map_err(|source| TokenError::Io { path: path.to_owned(), source })?;
    let text = Zeroizing::new(text);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parsed = lines.map(|(index, line)| {
        let wrong = || TokenError::Line { path: path.to_owned(), line: index + 1 };
        let (role, token) = line.split_once(' ').ok_or_else(wrong)?;
        let token = token.trim();
        if token.len() != 64 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        Ok((role.parse().map_err(|()| wrong())?, Zeroizing::new(token.to_owned())))
    });
    parsed.collect()
}

fn token_digest(token: &str) -> Digest32 {
    digest::hash(dst::API_TOKEN, &[token.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_of_an_allowed_role_passes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TOKEN_FILE);
        Tokens::create(&path, &mut rand::rngs::OsRng).unwrap();
        let tokens = Tokens::load(&path).unwrap();
        let ask = |authorization: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
            let refused = tokens.authorize(&headers, &[Role::Auditor, Role::Operator]);
            refused.map_err(|problem| problem.kind().status().as_u16())
        };
        let bearer = |role| format!("Bearer {}", *token_of(&path, role).unwrap());
        assert_eq!(ask(&bearer(Role::Auditor)), Ok(Role::Auditor));
        assert_eq!(ask(&bearer(Role::Auditor).replace("Bearer", "bearer")), Ok(Role::Auditor));
        assert_eq!(ask(&bearer(Role::Underwriter)), Err(403));
        assert_eq!(ask(&format!("Bearer {}", "0".repeat(64))), Err(401));
        assert_eq!(ask("Basic abc"), Err(401));
        let none = tokens.authorize(&HeaderMap::new(), &[Role::Operator]);
        assert_eq!(none.unwrap_err().kind(), ProblemKind::Unauthorized);
        assert!(Tokens::none().authorize(&HeaderMap::new(), &Role::ALL).is_err());
    }

    #[test]
    fn a_damaged_token_file_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TOKEN_FILE);
        fs::write(&path, format!("operator {}\nauditor short\n", "a".repeat(64))).unwrap();
        assert!(Tokens::load(&path).unwrap_err().to_string().contains("line 2"));
        assert!(matches!(token_of(&dir.path().join("none"), Role::Operator), Err(TokenError::Io { .. })));
        fs::write(&path, format!("operator {}\n", "a".repeat(64))).unwrap();
        assert!(matches!(token_of(&path, Role::Auditor), Err(TokenError::NoToken { .. })));
    }
}
