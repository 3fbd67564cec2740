//! Why a lender asks: the registry of purpose codes.
//!
//! - **Place**: B1 (stated by the lender), in the request core, in every log entry
//! - **Source**: DESIGN.md sections 6 and 10, "Consent"

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A purpose code, one byte on the wire, a snake-case word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purpose(u8);

/// A purpose word or code that the registry does not have; the text lists the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown purpose; use one of pre_loan_approval, post_loan_management, guarantor_check, dispute_check, subject_access"
)]
pub struct PurposeUnknown;

const WORDS: [&str; 5] =
    ["pre_loan_approval", "post_loan_management", "guarantor_check", "dispute_check", "subject_access"];

impl Purpose {
    /// Every registered purpose, codes 1 to 5 in order.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];
    /// A loan application is being decided (code 1).
    pub const PRE_LOAN_APPROVAL: Self = Self(1);

    /// The wire code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The registered word.
    #[must_use]
    pub fn word(self) -> &'static str {
        WORDS.get(usize::from(self.0).wrapping_sub(1)).copied().unwrap_or("unknown")
    }
}

impl TryFrom<u8> for Purpose {
    type Error = PurposeUnknown;
    fn try_from(code: u8) -> Result<Self, Self::Error> {
        Self::ALL.into_iter().find(|p| p.0 == code).ok_or(PurposeUnknown)
    }
}

impl FromStr for Purpose {
    type Err = PurposeUnknown;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.word() == word).ok_or(PurposeUnknown)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Purpose {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.word())
        } else {
            serializer.serialize_u8(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Purpose {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            u8::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_agree_and_others_are_refused() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.word().parse(), Ok(purpose));
            assert_eq!(Purpose::try_from(purpose.code()), Ok(purpose));
        }
        assert!("marketing".parse::<Purpose>().is_err());
        assert!(Purpose::try_from(0).is_err() && Purpose::try_from(6).is_err());
    }
}
