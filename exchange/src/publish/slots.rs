//! Which slot a record gets: the next one that its identifier never used in this period.
//!
//! - **Place**: A3, between `fingerprint` and `seal_record`; the agent's journal rebuilds it after a restart
//! - **Shapes**: one book per (publisher, period); 64 slots an identifier, in order, without gaps, never used again
//! - **Errors**: `TooManyRecords` (reject reason `too_many_records`)
//! - **Security**: the book holds hashes of identifiers, which are as sensitive as identifiers: memory only, never printed
//! - **Source**: DESIGN.md section 3, "Fingerprint"

use std::collections::BTreeMap;
use std::fmt;

use riskveil_crypto::digest::hash;
use riskveil_crypto::fingerprint::MAX_SLOTS;

use crate::dst;
use crate::publish::error::PublishError;
use crate::record::Identifier;

/// The next free slot of every identifier of one publisher in one period.
#[derive(Default)]
pub struct SlotBook {
    next: BTreeMap<[u8; 16], u8>,
}

impl SlotBook {
    /// Takes the next free slot of an identifier.
    ///
    /// # Errors
    /// [`PublishError::TooManyRecords`] when its 64 slots are used.
    pub fn take(&mut self, identifier: &Identifier) -> Result<u8, PublishError> {
        let next = self.next.entry(key(identifier)).or_insert(0);
        if *next >= MAX_SLOTS {
            return Err(PublishError::TooManyRecords);
        }
        let slot = *next;
        *next += 1;
        Ok(slot)
    }

    /// Replays a journalled use of `slot`; the order of replay does not matter.
    ///
    /// # Errors
    /// [`PublishError::TooManyRecords`] when the journal names slot 64 or above.
    pub fn restore(&mut self, identifier: &Identifier, slot: u8) -> Result<(), PublishError> {
        if slot >= MAX_SLOTS {
            return Err(PublishError::TooManyRecords);
        }
        let next = self.next.entry(key(identifier)).or_insert(0);
        *next = (*next).max(slot + 1);
        Ok(())
    }

    /// How many identifiers have a slot.
    #[must_use]
    pub fn identifiers(&self) -> usize {
        self.next.len()
    }
}

impl fmt::Debug for SlotBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotBook({} identifiers)", self.next.len())
    }
}

/// 128 bits of a digest: two of a billion identifiers share one with probability 2^-69.
fn key(identifier: &Identifier) -> [u8; 16] {
    let digest = hash(dst::SLOT_BOOK, &[&identifier.oprf_input()]);
    *digest.as_bytes().first_chunk().expect("32 bytes begin with 16")
}
