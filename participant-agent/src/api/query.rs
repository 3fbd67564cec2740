//! Query strings: `name=value&...`, percent-encoded, every name known and once.
//!
//! - **Errors**: malformed, without the text that is
//! - **Source**: WHATWG URL, application/x-www-form-urlencoded

use std::collections::BTreeMap;
use std::str::FromStr;

use super::problem::{Problem, ProblemKind};

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads a query string that may hold these names.
    pub(super) fn parse(text: &str, names: &'static [&'static str]) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            let unknown = || malformed(format!("the query string here takes: {}", listed(names)));
            let known = names.iter().find(|known| **known == name).ok_or_else(unknown)?;
            if values.insert(*known, decoded(value)?).is_some() {
                return Err(malformed(format!("{known} stands twice in the query string")));
            }
        }
        Ok(Self(values))
    }

    /// A parameter's value, if it is given.
    pub(super) fn value<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let value = self.0.get(name).map(|text| text.parse());
        value.transpose().map_err(|_| malformed(format!("the query string holds no valid {name}")))
    }
}

fn malformed(detail: String) -> Problem {
    Problem::new(ProblemKind::Malformed).detail(detail)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Percent-decoded, `+` as a space.
fn decoded(text: &str) -> Result<String, Problem> {
    let wrong = || malformed("the query string is not percent-encoded UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).map_err(|_| wrong())?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_read_once_and_everything_else_is_refused() {
        let parse = |text| Query::parse(text, &["limit", "lender"]);
        let query = parse("limit=12&lender=A%2d1+b").unwrap();
        assert_eq!(query.value::<usize>("limit").unwrap(), Some(12));
        assert_eq!(query.value::<String>("lender").unwrap().as_deref(), Some("A-1 b"));
        assert_eq!(parse("").unwrap().value::<usize>("limit").unwrap(), None);
        for wrong in ["limit=1&limit=2", "other=1", "limit=%zz", "lender=%ff", "=1", "limit=%4"] {
            assert_eq!(parse(wrong).unwrap_err().kind(), ProblemKind::Malformed, "{wrong}");
        }
        assert!(parse("limit=-1").unwrap().value::<usize>("limit").is_err());
    }
}
