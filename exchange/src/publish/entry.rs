//! Turns a record into its row: the identifier's fingerprint, then one slot of it with the label sealed inside.
//!
//! - **Place**: A3, `Identifier` and `Label` -> `PrfOutput` -> `Row` -> `publish::batch`; [`draw_rows`] is what a publisher calls,
//!   [`fingerprint`] and [`seal_record`] are its steps for one record
//! - **Shapes**: `PrfOutput` 64 bytes, secret; label 48 bytes; row 92 bytes
//! - **Errors**: `NoFingerprint` (practically impossible), `TooManyRecords` (slot 64 and above)
//! - **Security**: whoever has the `PrfOutput` recognises all rows of that identifier until the period ends; it is zeroised
//! - **Source**: DESIGN.md section 3, "Fingerprint", "Row"

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::Digest32;
use riskveil_crypto::fingerprint::{SlotKeys, derive_slot};
use riskveil_crypto::label::{self, Row};
use riskveil_crypto::oprf::{OprfSecretKey, PrfOutput};

use zeroize::Zeroizing;

use crate::publish::commitment::{CommitmentSeed, links};
use crate::publish::error::PublishError;
use crate::publish::key::PeriodKeyId;
use crate::record::{Identifier, Label, Level, Record};

/// The OPRF output of an identifier under the publisher's own key of the period.
///
/// # Errors
/// [`PublishError::NoFingerprint`] when the input maps to the identity.
pub fn fingerprint(sk: &OprfSecretKey, identifier: &Identifier) -> Result<PrfOutput, PublishError> {
    sk.evaluate(&identifier.oprf_input()).map_err(|_| PublishError::NoFingerprint)
}

/// Seals a label into slot `slot` of an identifier.
///
/// The agent journals the row before a batch is signed and re-sends those bytes after a restart: the nonce is fresh here.
///
/// # Errors
/// [`PublishError::TooManyRecords`] when `slot` is 64 or more.
pub fn seal_record(
    out: &PrfOutput,
    key: &PeriodKeyId,
    slot: u8,
    label: &Label,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Row, PublishError> {
    let slot = derive_slot(out, &key.salt(), slot).map_err(|_| PublishError::TooManyRecords)?;
    Ok(label::seal_label(&slot, &key.label_aad(&slot.tag), &label.encode(), rng))
}

/// A record that takes a slot of its identifier.
#[derive(Clone, Copy, Debug)]
pub struct SlottedRecord<'a> {
    /// The record.
    pub record: &'a Record,
    /// What its commitment comes from.
    pub seed: &'a CommitmentSeed,
    /// The commitment's leaf.
    pub leaf: &'a Digest32,
    /// The slot.
    pub slot: u8,
}

/// How records are told.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    /// How much a label says.
    pub level: Level,
    /// Years after the event that a record is held.
    pub retention_years: u8,
}

/// The row of each record, in order: fingerprint, slot, and a label tied to the record's commitment by a link that only the
/// publisher can open.
///
/// Costs about 10 us a record on a core with AVX-512 IFMA, in runs of a thousand and more.
///
/// # Errors
/// [`PublishError::NoFingerprint`], [`PublishError::TooManyRecords`]; then there is no row.
pub fn draw_rows(
    sk: &OprfSecretKey,
    key: &PeriodKeyId,
    records: &[SlottedRecord<'_>],
    telling: Telling,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<Row>, PublishError> {
    let inputs: Vec<Zeroizing<Vec<u8>>> = records.iter().map(|one| one.record.identifier().oprf_input()).collect();
    let outputs = sk.evaluate_batch(&inputs).map_err(|_| PublishError::NoFingerprint)?;
    let numbers: Vec<u8> = records.iter().map(|one| one.slot).collect();
    let slots = SlotKeys::new(&outputs, &key.salt()).derive(&numbers).map_err(|_| PublishError::TooManyRecords)?;
    let commitments: Vec<(&CommitmentSeed, &Digest32)> = records.iter().map(|one| (one.seed, one.leaf)).collect();
    let labels: Vec<Zeroizing<[u8; label::LABEL_LEN]>> = records
        .iter()
        .zip(links(key, &commitments))
        .map(|(one, link)| Label::new(one.record, telling.level, telling.retention_years, link).encode())
        .collect();
    Ok(label::seal_labels(&slots, &key.label_aad_prefix(), &labels, rng))
}
