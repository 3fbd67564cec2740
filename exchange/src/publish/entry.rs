//! Turns a record into its row: the identifier's fingerprint, then one slot of it with the label sealed inside.
//!
//! - **Place**: A3, `Identifier` and `Label` -> `PrfOutput` -> `Row` -> `publish::batch`
//! - **Shapes**: `PrfOutput` 64 bytes, secret; label 48 bytes; row 92 bytes
//! - **Errors**: `NoFingerprint` (practically impossible), `TooManyRecords` (slot 64 and above)
//! - **Security**: whoever has the `PrfOutput` recognises all rows of that identifier until the period ends; it is zeroised
//! - **Source**: DESIGN.md section 3, "Fingerprint", "Row"

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::fingerprint::derive_slot;
use riskveil_crypto::label::{self, Row};
use riskveil_crypto::oprf::{OprfSecretKey, PrfOutput};

use crate::publish::error::PublishError;
use crate::publish::key::PeriodKeyId;
use crate::record::{Identifier, Label};

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
