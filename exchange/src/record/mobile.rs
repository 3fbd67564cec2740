//! Mainland mobile numbers: `1[3-9]` and nine digits, without country prefix.
//!
//! - **Shapes**: `+86`, `0086` and `86` are stripped, bracketed or not, if eleven digits starting with 1 follow; round
//!   brackets are dropped. The table of operator prefixes is information, not a filter: new ranges appear
//! - **Errors**: [`RejectReason::IdLength`]

use zeroize::Zeroizing;

use super::reject::RejectReason;

/// The eleven digits of a squeezed mobile number.
pub(super) fn canonical(squeezed: &str) -> Result<Zeroizing<String>, RejectReason> {
    let mut number = Zeroizing::new(String::with_capacity(squeezed.len()));
    number.extend(squeezed.chars().filter(|c| !matches!(c, '(' | ')')));
    let national = ["+86", "0086", "86"]
        .iter()
        .find_map(|prefix| number.strip_prefix(prefix).filter(|rest| rest.len() == 11))
        .unwrap_or(&number);
    match national.as_bytes() {
        [b'1', b'3'..=b'9', rest @ ..] if rest.len() == 9 && rest.iter().all(u8::is_ascii_digit) => {
            Ok(Zeroizing::new(national.to_owned()))
        }
        _ => Err(RejectReason::IdLength),
    }
}
