//! Bank card numbers: 13 to 19 digits with a Luhn check digit (ISO/IEC 7812-1 annex B). Issuer prefixes are not judged.
//!
//! - **Errors**: [`RejectReason::IdLength`] (length or a non-digit), [`RejectReason::IdCheckDigit`]

use zeroize::Zeroizing;

use super::reject::RejectReason;

/// The canonical form of a squeezed card number.
pub(super) fn canonical(squeezed: &str) -> Result<Zeroizing<String>, RejectReason> {
    if !(13..=19).contains(&squeezed.len()) || !squeezed.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(RejectReason::IdLength);
    }
    let sum: u32 = squeezed.bytes().rev().enumerate().map(|(index, digit)| luhn_value(digit - b'0', index)).sum();
    if !sum.is_multiple_of(10) {
        return Err(RejectReason::IdCheckDigit);
    }
    Ok(Zeroizing::new(squeezed.to_owned()))
}

/// Every second digit from the right is doubled and its digits added.
fn luhn_value(digit: u8, index_from_right: usize) -> u32 {
    let value = u32::from(digit) << (index_from_right & 1);
    if value > 9 { value - 9 } else { value }
}
