//! Unified social credit codes, GB 32100-2015: 18 characters of 31 (no I, O, S, V, Z), the last one a check character.
//!
//! - **Errors**: [`RejectReason::IdLength`] (length or alphabet), [`RejectReason::IdCheckDigit`]
//! - **Deviations**: the organisation code inside is not judged by GB 11714; old codes break it

use zeroize::Zeroizing;

use super::reject::RejectReason;

const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS: [usize; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

/// The canonical form of a squeezed code.
pub(super) fn canonical(squeezed: &str) -> Result<Zeroizing<String>, RejectReason> {
    if squeezed.len() != 18 {
        return Err(RejectReason::IdLength);
    }
    let mut values = [0usize; 18];
    for (value, character) in values.iter_mut().zip(squeezed.bytes()) {
        *value = ALPHABET.iter().position(|known| *known == character).ok_or(RejectReason::IdLength)?;
    }
    let sum: usize = values.iter().zip(WEIGHTS).map(|(value, weight)| value * weight).sum();
    // GB 32100 section 4.2: C18 = 31 - sum mod 31, and 31 counts as 0.
    if values.last() != Some(&((31 - sum % 31) % 31)) {
        return Err(RejectReason::IdCheckDigit);
    }
    Ok(Zeroizing::new(squeezed.to_owned()))
}
