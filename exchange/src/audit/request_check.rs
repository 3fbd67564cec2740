//! Checks one logged request: is it signed, and do seal, ciphertexts and consents agree.
//!
//! - **Place**: B10, called by `audit::reconcile` once per core
//! - **Errors**: findings `entry_invalid`, `seal_malformed`, `escrow_mismatch`, `consent_mismatch`
//! - **Security**: the regulator sees the identifiers here; nothing of them leaves this module. A lender that deviates is
//!   found on every entry, though not about whom it asked; it can never make an entry name another person
//! - **Source**: DESIGN.md section 3, "Query = audit escrow"

use riskveil_crypto::escrow::{verify_knowledge, verify_knowledge_weighted};
use riskveil_crypto::{Digest32, Signature, VerifyingKey, seal};

use crate::audit::finding::{EntryFault, FindingKind};
use crate::audit::opened::RegulatorKey;
use crate::message::Kind;
use crate::query::messages::{Envelope, Proofs, RequestCore, seal_digest};
use crate::query::seal::{SealPlaintext, SealedItem, consent_commit, seal_info, seal_len};
use crate::record::{Day, IdType, Identifier};

/// A request as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct LoggedRequest<'a> {
    /// The core.
    pub core: &'a RequestCore,
    /// The core's digest.
    pub core_digest: &'a Digest32,
    /// Its proofs.
    pub proofs: &'a Proofs,
    /// Its seal.
    pub seal: &'a [u8],
}

/// Something wrong inside a request; the lender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFault {
    /// Which finding.
    pub kind: FindingKind,
    /// Which item, where it is about one.
    pub item: Option<u32>,
}

impl LoggedRequest<'_> {
    /// Headers, shape, counts, and that the seal is the one that the core names.
    ///
    /// # Errors
    /// [`EntryFault::Form`], [`EntryFault::Seal`].
    pub fn is_well_formed(&self) -> Result<(), EntryFault> {
        let core = self.core;
        let form = core.header.expect(Kind::RequestCore).is_ok()
            && core.shape.check().is_ok()
            && core.items.len() == core.shape.item_count();
        if !form {
            return Err(EntryFault::Form);
        }
        if seal_digest(self.seal) == core.seal_digest { Ok(()) } else { Err(EntryFault::Seal) }
    }

    /// That an envelope is for this request and signed by its lender.
    ///
    /// # Errors
    /// [`EntryFault::Digests`], [`EntryFault::LenderSignature`].
    pub fn is_signed(
        &self,
        proofs_digest: &Digest32,
        envelope: &Envelope,
        signature: &Signature,
        lender: &VerifyingKey,
    ) -> Result<(), EntryFault> {
        let bound = envelope.header.expect(Kind::Envelope).is_ok()
            && envelope.core_digest == *self.core_digest
            && envelope.proofs_digest == *proofs_digest
            && envelope.period == self.core.period;
        if !bound {
            return Err(EntryFault::Digests);
        }
        envelope.verify(&self.core.chain_id, lender, signature).map_err(|_| EntryFault::LenderSignature)
    }

    /// What is wrong between proofs, seal, ciphertexts and consents; empty when all agree.
    #[must_use]
    pub fn faults(&self, keys: &[RegulatorKey<'_>]) -> Vec<RequestFault> {
        let malformed = || vec![RequestFault { kind: FindingKind::SealMalformed, item: None }];
        let Some(key) = keys.iter().find(|key| key.id == self.core.audit_key_id) else { return malformed() };
        let mut faults = Vec::new();
        if !self.blindings_are_known(key) {
            faults.push(RequestFault { kind: FindingKind::EntryInvalid, item: None });
        }
        match self.open_seal(key) {
            Some(plaintext) => {
                faults.extend(self.escrow_faults(&plaintext, key));
                faults.extend(self.consent_fault(&plaintext));
            }
            None => faults.extend(malformed()),
        }
        faults
    }

    /// The plaintext of the seal; none when it does not open or does not have its form.
    #[must_use]
    pub fn open_seal(&self, key: &RegulatorKey<'_>) -> Option<SealPlaintext> {
        if self.seal.len() != seal_len(self.core.shape) {
            return None;
        }
        let info = seal_info(&self.core.chain_id, self.core.audit_key_id);
        let bytes = seal::open(key.seal, &info, &self.core.aad_without_seal_digest(), self.seal).ok()?;
        SealPlaintext::decode(&bytes, self.core.shape).ok()
    }

    fn blindings_are_known(&self, key: &RegulatorKey<'_>) -> bool {
        let y = key.audit.public();
        match self.proofs {
            Proofs::Each(proofs) => verify_knowledge(self.core_digest, &self.core.items, &y, proofs).is_ok(),
            Proofs::Weighted(proof) => verify_knowledge_weighted(self.core_digest, &self.core.items, &y, proof).is_ok(),
        }
    }

    /// `C2 - y*C1 = H(x)` for every item, x as the seal says.
    fn escrow_faults(&self, plaintext: &SealPlaintext, key: &RegulatorKey<'_>) -> Vec<RequestFault> {
        let mut faults = Vec::new();
        for (index, (item, sealed)) in (0u32..).zip(self.core.items.iter().zip(&plaintext.items)) {
            let agrees = if sealed.is_dummy() {
                key.audit.agrees_with_dummy(item)
            } else {
                let Some(identifier) = sealed_identifier(sealed) else {
                    faults.push(RequestFault { kind: FindingKind::SealMalformed, item: Some(index) });
                    continue;
                };
                key.audit.agrees(item, &identifier.oprf_input())
            };
            if !agrees {
                faults.push(RequestFault { kind: FindingKind::EscrowMismatch, item: Some(index) });
            }
        }
        faults
    }

    /// The committed consents are the sealed ones, and every subject that is asked about has one.
    fn consent_fault(&self, plaintext: &SealPlaintext) -> Option<RequestFault> {
        let committed = consent_commit(self.core.shape, &plaintext.consents) == self.core.consent_commit;
        let subjects = plaintext.items.chunks(self.core.shape.width());
        let all_have_one = subjects
            .zip(&plaintext.consents)
            .all(|(items, consent)| consent.digest != Digest32::ZERO || items.iter().all(SealedItem::is_dummy));
        if committed && all_have_one {
            None
        } else {
            Some(RequestFault { kind: FindingKind::ConsentMismatch, item: None })
        }
    }
}

/// The identifier of a sealed item, if its bytes are a valid canonical form. Birth dates are not judged: the lender's
/// business date is in no message.
#[must_use]
pub fn sealed_identifier(item: &SealedItem) -> Option<Identifier> {
    let id_type = IdType::from_code(item.id_type)?;
    let text = std::str::from_utf8(item.canonical.get(..usize::from(item.length))?).ok()?;
    let identifier = Identifier::parse(id_type, text, Day::MAX).ok()?;
    identifier.canonical_expose(|canonical| canonical == text).then_some(identifier)
}
