//! Why a row is refused: one word, in a fixed order, without its content.

/// Why a row or an identifier is refused.
///
/// The order is the order of judgement: of several reasons the smallest one is given. The reasons that the plaintext
/// oracle does not know (`id_region` onwards) come last, so that they never hide one that it does know.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// The identifier type is not one of the four.
    IdType,
    /// There is no identifier.
    IdMissing,
    /// Wrong length, or a character that the identifier type does not have.
    IdLength,
    /// The check digit does not fit.
    IdCheckDigit,
    /// The birth date does not exist, is not after 1880-01-01, or is after the as-of date.
    IdBirthDate,
    /// The category is not one of the four.
    Category,
    /// The severity is not an integer from 1 to 5.
    Severity,
    /// The days overdue are not an integer from 0 to 4,294,967,295.
    OverdueDays,
    /// The amount is not an integer number of minor units from 0 to 2^64-1.
    Amount,
    /// The event date does not exist, has another form, or is before 1970-01-01.
    EventDate,
    /// The event date is after the as-of date.
    EventDateFuture,
    /// A resident ID whose first two digits are no province.
    IdRegion,
    /// A resident ID with sequence 000, which is never issued.
    IdSequence,
    /// The currency is not the consortium's.
    Currency,
    /// The identifier already has [`MAX_RECORDS_PER_IDENTIFIER`](super::MAX_RECORDS_PER_IDENTIFIER) records.
    TooManyRecords,
}

impl RejectReason {
    /// Every reason, in the order of judgement.
    pub const ALL: [RejectReason; 15] = [
        Self::IdType,
        Self::IdMissing,
        Self::IdLength,
        Self::IdCheckDigit,
        Self::IdBirthDate,
        Self::Category,
        Self::Severity,
        Self::OverdueDays,
        Self::Amount,
        Self::EventDate,
        Self::EventDateFuture,
        Self::IdRegion,
        Self::IdSequence,
        Self::Currency,
        Self::TooManyRecords,
    ];

    /// The word used in `rejects.csv` and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IdType => "id_type",
            Self::IdMissing => "id_missing",
            Self::IdLength => "id_length",
            Self::IdCheckDigit => "id_check_digit",
            Self::IdBirthDate => "id_birth_date",
            Self::Category => "category",
            Self::Severity => "severity",
            Self::OverdueDays => "overdue_days",
            Self::Amount => "amount",
            Self::EventDate => "event_date",
            Self::EventDateFuture => "event_date_future",
            Self::IdRegion => "id_region",
            Self::IdSequence => "id_sequence",
            Self::Currency => "currency",
            Self::TooManyRecords => "too_many_records",
        }
    }

    /// The reason of this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The reason of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The position in the order of judgement, from 1.
    pub const fn code(self) -> u8 {
        self as u8 + 1
    }
}

crate::codes::serde_by_code!(RejectReason, "reject reason");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_in_the_order_of_judgement() {
        assert!(RejectReason::ALL.is_sorted());
        for reason in RejectReason::ALL {
            assert_eq!(RejectReason::from_word(reason.as_str()), Some(reason));
            assert_eq!(RejectReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(RejectReason::from_code(0), None);
        assert_eq!(RejectReason::from_code(16), None);
    }
}
