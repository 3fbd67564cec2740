//! Names and numbers of the consortium: who, which period, which height, which window.
//!
//! - **Place**: every step of both walks carries them
//! - **Invariants**: a [`MemberId`] is 1 to 32 characters of `A-Z 0-9 . _ -`; its only constructors check that
//! - **Source**: DESIGN.md sections 3 and 5 ("period", "term": never "epoch" alone)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest member name, in bytes.
pub const MAX_MEMBER_ID_LEN: usize = 32;

/// A member of the consortium by its name in the genesis, for example `INST-01`; 1 to 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberId(String);

/// A member name that is empty, too long or has a character outside `A-Z 0-9 . _ -`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a member name has 1 to 32 characters of A-Z, 0-9, '.', '_' and '-'")]
pub struct MemberIdInvalid;

impl MemberId {
    /// Parses a name.
    ///
    /// # Errors
    /// [`MemberIdInvalid`] when it is empty, longer than 32 bytes or has another character.
    pub fn new(name: impl Into<String>) -> Result<Self, MemberIdInvalid> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if name.is_empty() || name.len() > MAX_MEMBER_ID_LEN || !name.bytes().all(allowed) {
            return Err(MemberIdInvalid);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name's bytes, as bound into transcripts.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for MemberId {
    type Err = MemberIdInvalid;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl TryFrom<String> for MemberId {
    type Error = MemberIdInvalid;
    fn try_from(s: String) -> Result<Self, Self::Error> {
        Self::new(s)
    }
}

impl From<MemberId> for String {
    fn from(id: MemberId) -> Self {
        id.0
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The number after this one; the last number stays itself.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }
    };
}

number!(
    /// A key period: number p covers header times `[genesis_time + p * period_s, ...)`.
    Period(u32)
);
number!(
    /// A block height; the genesis block has height 0.
    Height(u64)
);
number!(
    /// A log window: number w covers header times `[genesis_time + w * log_window_s, ...)`.
    Window(u64)
);
number!(
    /// A regulator's audit key, numbered from 0 (the one in the genesis) and never reused.
    AuditKeyId(u32)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_names_with_other_characters_or_lengths_are_refused() {
        for bad in ["", "inst-01", "INST 01", "../etc", "I\u{200b}", &"A".repeat(33)] {
            assert!(MemberId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(MemberId::new("INST-01").unwrap().as_str(), "INST-01");
    }
}
