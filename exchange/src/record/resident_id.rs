//! Resident identity numbers, GB 11643-1999.
//!
//! - **Shapes**: 6 region + 8 birth date + 3 sequence + 1 check character = 18; first-generation numbers (GB 11643-1989) of
//!   15 digits are upgraded by inserting the century `19` and appending the check character
//! - **Errors**: [`RejectReason`], in its order
//! - **Source**: GB 11643-1999; ISO 7064 MOD 11-2; province codes of GB/T 2260
//! - **Deviations**: of the region only the province is judged: county codes move and holders keep their numbers

use time::{Date, Month};
use zeroize::Zeroizing;

use super::{
    day::{Day, date_from_digits},
    reject::RejectReason,
};

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK_CHARACTERS: &[u8; 11] = b"10X98765432";

/// The 34 province-level codes of GB/T 2260.
const PROVINCES: [&[u8; 2]; 34] = [
    b"11", b"12", b"13", b"14", b"15", b"21", b"22", b"23", b"31", b"32", b"33", b"34", b"35", b"36", b"37", b"41",
    b"42", b"43", b"44", b"45", b"46", b"50", b"51", b"52", b"53", b"54", b"61", b"62", b"63", b"64", b"65", b"71",
    b"81", b"82",
];

/// The 18-character form of a squeezed resident ID.
pub(super) fn canonical(squeezed: &str, as_of: Day) -> Result<Zeroizing<String>, RejectReason> {
    let number = match squeezed.len() {
        18 => Zeroizing::new(squeezed.to_owned()),
        15 => upgrade(squeezed).ok_or(RejectReason::IdLength)?,
        _ => return Err(RejectReason::IdLength),
    };
    let (body, check) = number.as_bytes().split_at(17);
    match check_character(body) {
        None => return Err(RejectReason::IdLength),
        Some(_) if !matches!(check, [b'0'..=b'9' | b'X']) => return Err(RejectReason::IdLength),
        Some(expected) if check != [expected] => return Err(RejectReason::IdCheckDigit),
        Some(_) => {}
    }
    let (region, rest) = body.split_at(6);
    let (birth, sequence) = rest.split_at(8);
    if !birth_date_is_possible(birth, as_of) {
        return Err(RejectReason::IdBirthDate);
    }
    if !PROVINCES.iter().any(|province| region.starts_with(province.as_slice())) {
        return Err(RejectReason::IdRegion);
    }
    if sequence == b"000" {
        return Err(RejectReason::IdSequence);
    }
    Ok(number)
}

/// 15 digits to 18; `None` if they are not digits.
fn upgrade(squeezed: &str) -> Option<Zeroizing<String>> {
    let (region, rest) = squeezed.split_at_checked(6)?;
    let mut number = Zeroizing::new(String::with_capacity(18));
    number.push_str(region);
    number.push_str("19");
    number.push_str(rest);
    let check = check_character(number.as_bytes())?;
    number.push(char::from(check));
    Some(number)
}

/// ISO 7064 MOD 11-2 over 17 digits; `None` if one is not a digit.
fn check_character(body: &[u8]) -> Option<u8> {
    let sum = body.iter().zip(WEIGHTS).try_fold(0u32, |sum, (digit, weight)| {
        digit.is_ascii_digit().then(|| sum + u32::from(digit - b'0') * weight)
    })?;
    CHECK_CHARACTERS.get(sum as usize % 11).copied()
}

/// After 1880-01-01 and not after the as-of date.
fn birth_date_is_possible(birth: &[u8], as_of: Day) -> bool {
    let (year, month_and_day) = birth.split_at(4);
    let (month, day) = month_and_day.split_at(2);
    let Some(date) = date_from_digits(year, month, day) else { return false };
    Date::from_calendar_date(1880, Month::January, 1).is_ok_and(|earliest| earliest < date) && date <= as_of.date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(number: &str) -> Result<String, RejectReason> {
        canonical(number, "2026-06-30".parse().unwrap()).map(|number| number.to_string())
    }

    /// Appends the check character to 17 digits.
    fn with_check(body: &str) -> String {
        format!("{body}{}", char::from(check_character(body.as_bytes()).unwrap()))
    }

    #[test]
    fn first_generation_number_becomes_the_same_person() {
        assert_eq!(parse("130503670401001").unwrap(), "130503196704010016");
        assert_eq!(parse("130503196704010016").unwrap(), "130503196704010016");
        assert_eq!(parse("13050367040100X"), Err(RejectReason::IdLength));
        assert_eq!(parse("130503671301001"), Err(RejectReason::IdBirthDate));
    }

    #[test]
    fn birth_date_is_after_1880_and_not_after_the_as_of_date() {
        assert_eq!(parse(&with_check("11010118800101001")), Err(RejectReason::IdBirthDate));
        assert!(parse(&with_check("11010118800102001")).is_ok());
        assert!(parse(&with_check("11010120260630001")).is_ok());
        assert_eq!(parse(&with_check("11010120260701001")), Err(RejectReason::IdBirthDate));
    }

    #[test]
    fn region_and_sequence_are_judged_last() {
        assert_eq!(parse(&with_check("99010119900101001")), Err(RejectReason::IdRegion));
        assert_eq!(parse(&with_check("11010119900101000")), Err(RejectReason::IdSequence));
        assert_eq!(parse(&with_check("99010119901301000")), Err(RejectReason::IdBirthDate));
    }

    #[test]
    fn characters_out_of_place_are_a_length_error() {
        for number in
            ["X10629200612264767", "11010119900101001A", "é1010119900101001", "1101011990010100", "éééééééé1990010100"]
        {
            assert_eq!(parse(number), Err(RejectReason::IdLength), "{number}");
        }
    }
}
