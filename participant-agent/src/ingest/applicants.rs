//! A lender's file of applicants -> whom to ask about.
//!
//! - **Invariants**: every applicant has a reference of its own; unusable identifiers are named in the applicant
//! - **Errors**: [`IngestError`]: nobody is asked about

use std::collections::HashMap;

use riskveil_exchange::record::{Applicant, ApplicantRef, Day, RawApplicant};

use super::{encoding::decode, error::IngestError, table::Table};

/// Columns that a file of applicants must have.
pub const NEEDED_COLUMNS: [&str; 3] = ["applicant_ref", "id_type", "id_number"];
/// Columns that a file of applicants may have; the name is not used.
pub const OPTIONAL_COLUMNS: [&str; 3] = ["mobile", "bank_card", "name"];

/// What a file of applicants holds.
#[derive(Debug)]
pub struct IngestedApplicants {
    /// Record number and applicant, in the order of the file.
    pub applicants: Vec<(u64, Applicant)>,
    /// Lines without content.
    pub blank: u64,
    /// Columns of the header that have no meaning here.
    pub ignored_columns: Vec<String>,
}

/// Reads a file of applicants as of a business date.
///
/// # Errors
/// [`IngestError`] if the file cannot be read, or an applicant has no reference of its own.
pub fn read_applicants(bytes: &[u8], as_of: Day) -> Result<IngestedApplicants, IngestError> {
    let text = decode(bytes)?;
    let mut table = Table::open(text.as_str(), &NEEDED_COLUMNS, &OPTIONAL_COLUMNS)?;
    let ignored_columns = std::mem::take(&mut table.ignored_columns);
    let mut ingested = IngestedApplicants { applicants: Vec::new(), blank: 0, ignored_columns };
    let mut first_use: HashMap<ApplicantRef, u64> = HashMap::new();
    while let Some(row) = table.next_row()? {
        if row.is_blank() {
            ingested.blank += 1;
            continue;
        }
        let record_number = row.number;
        // The numbers are positions in NEEDED_COLUMNS followed by OPTIONAL_COLUMNS.
        let [applicant_ref, id_type, id_number, mobile, bank_card] = [0, 1, 2, 3, 4].map(|column| row.text(column));
        let raw = RawApplicant { applicant_ref, id_type, id_number, mobile, bank_card };
        let applicant =
            Applicant::parse(&raw, as_of).map_err(|problem| IngestError::ApplicantRef { record_number, problem })?;
        if let Some(first) = first_use.insert(applicant.applicant_ref().clone(), record_number) {
            return Err(IngestError::RepeatedApplicantRef { record_number, first });
        }
        ingested.applicants.push((record_number, applicant));
    }
    ingested.blank += table.empty_lines();
    Ok(ingested)
}

#[cfg(test)]
mod tests {
    use riskveil_exchange::record::{ApplicantRefInvalid, IdType, RejectReason};

    use super::*;

    fn read(text: &str) -> Result<IngestedApplicants, IngestError> {
        read_applicants(text.as_bytes(), "2026-06-30".parse().unwrap())
    }

    #[test]
    fn an_unusable_identifier_is_named_and_stops_nobody() {
        let text = "mobile,applicant_ref,id_number,id_type,channel\n\
                    13812345678,A1,513230196105128090,resident_id,web\n\n\
                    ,A2,,,\n";
        let ingested = read(text).unwrap();
        assert_eq!(ingested.ignored_columns, ["channel"]);
        assert_eq!(ingested.blank, 1);
        let (number, first) = &ingested.applicants[0];
        assert_eq!((*number, first.subjects().len()), (1, 1));
        assert!(first.subject(IdType::Mobile).is_some());
        assert_eq!(first.invalid()[0].reason, RejectReason::IdCheckDigit);
        let (number, second) = &ingested.applicants[1];
        assert_eq!((*number, second.subjects().len(), second.invalid().len()), (2, 0, 0));
    }

    #[test]
    fn references_must_be_there_and_differ() {
        let header = "applicant_ref,id_type,id_number\n";
        let missing = read(&format!("{header},mobile,13812345678\n")).unwrap_err();
        assert_eq!(missing, IngestError::ApplicantRef { record_number: 1, problem: ApplicantRefInvalid::Empty });
        let repeated = read(&format!("{header}A1,,\nA2,,\nA1 ,,\n")).unwrap_err();
        assert_eq!(repeated, IngestError::RepeatedApplicantRef { record_number: 3, first: 1 });
        let columns = read("applicant_ref,id_type\n").unwrap_err();
        assert_eq!(columns, IngestError::MissingColumns { columns: vec!["id_number"] });
    }
}
