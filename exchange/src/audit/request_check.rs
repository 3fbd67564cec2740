//! Checks logged requests: is each signed, and do its seal, ciphertexts and consents agree.
//!
//! - **Place**: B10, called by `audit::reconcile` once per core
//! - **Shapes**: [`parts`] of about [`ITEMS_AT_ONCE`] items; a check has only 4, so the items of many checks are opened together
//! - **Errors**: findings `entry_invalid`, `seal_malformed`, `escrow_mismatch`, `consent_mismatch`
//! - **Security**: the regulator sees the identifiers here; nothing of them leaves this module. A lender that deviates is
//!   found on every entry, though not about whom it asked; it can never make an entry name another person
//! - **Source**: DESIGN.md section 3, "Query = audit escrow"

use std::collections::BTreeMap;

use riskveil_crypto::escrow::{EscrowedItem, verify_knowledge, verify_knowledge_weighted};
use riskveil_crypto::{Digest32, Signature, VerifyingKey, seal};
use zeroize::Zeroizing;

use crate::audit::finding::{EntryFault, FindingKind};
use crate::audit::opened::RegulatorKey;
use crate::message::Kind;
use crate::query::messages::{Envelope, Proofs, RequestCore, seal_digest};
use crate::query::seal::{SealPlaintext, SealedItem, consent_commit, seal_info, seal_len};
use crate::record::{Day, IdType, Identifier};

/// Items that are opened together: enough to fill the lanes, few enough to stay in the cache.
pub const ITEMS_AT_ONCE: usize = 1024;

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

    /// That an envelope is for this request.
    ///
    /// # Errors
    /// [`EntryFault::Digests`].
    pub fn is_bound(&self, proofs_digest: &Digest32, envelope: &Envelope) -> Result<(), EntryFault> {
        let bound = envelope.header.expect(Kind::Envelope).is_ok()
            && envelope.core_digest == *self.core_digest
            && envelope.proofs_digest == *proofs_digest
            && envelope.period == self.core.period;
        if bound { Ok(()) } else { Err(EntryFault::Digests) }
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
        self.is_bound(proofs_digest, envelope)?;
        envelope.verify(&self.core.chain_id, lender, signature).map_err(|_| EntryFault::LenderSignature)
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

/// Cuts requests, in order, into parts of at most [`ITEMS_AT_ONCE`] items; a request with more is a part alone.
#[must_use]
pub fn parts<'s, 'a>(requests: &'s [LoggedRequest<'a>]) -> Vec<&'s [LoggedRequest<'a>]> {
    let (mut parts, mut rest) = (Vec::new(), requests);
    while !rest.is_empty() {
        let mut items = 0;
        let fits = |request: &&LoggedRequest<'_>| {
            items += request.core.items.len();
            items <= ITEMS_AT_ONCE
        };
        let (part, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        parts.push(part);
        rest = after;
    }
    parts
}

/// What is wrong, for each request, between proofs, seal, ciphertexts and consents; empty when all agree.
#[must_use]
pub fn faults_of(requests: &[LoggedRequest<'_>], keys: &[RegulatorKey<'_>]) -> Vec<Vec<RequestFault>> {
    let opened: Vec<OpenedRequest<'_>> = requests.iter().map(|request| OpenedRequest::new(request, keys)).collect();
    let mut wrong = BTreeMap::new();
    for (number, key) in keys.iter().enumerate() {
        let mut claims = Claims { key, wrong: &mut wrong, places: Vec::new(), items: Vec::new(), inputs: Vec::new() };
        for (request, one) in opened.iter().enumerate().filter(|(_, one)| one.key == Some(number)) {
            one.claim(request, &mut claims);
        }
        claims.compare();
    }
    opened.iter().enumerate().map(|(request, one)| one.faults(request, &wrong)).collect()
}

/// What is wrong with single items, by request and item.
type Wrong = BTreeMap<(usize, u32), FindingKind>;

/// A request, the key that its core names, and what that opened.
struct OpenedRequest<'a> {
    request: &'a LoggedRequest<'a>,
    key: Option<usize>,
    blindings_are_known: bool,
    plaintext: Option<SealPlaintext>,
}

impl<'a> OpenedRequest<'a> {
    fn new(request: &'a LoggedRequest<'a>, keys: &[RegulatorKey<'_>]) -> Self {
        let number = keys.iter().position(|key| key.id == request.core.audit_key_id);
        let key = number.and_then(|number| keys.get(number));
        Self {
            request,
            key: number,
            blindings_are_known: key.is_some_and(|key| request.blindings_are_known(key)),
            plaintext: key.and_then(|key| request.open_seal(key)),
        }
    }

    /// Claims `C2 - y*C1 = H(x)` of every item, x as the seal says; an x that is no identifier is wrong at once.
    fn claim(&self, request: usize, claims: &mut Claims<'_>) {
        let Some(plaintext) = &self.plaintext else { return };
        for (index, (item, sealed)) in (0u32..).zip(self.request.core.items.iter().zip(&plaintext.items)) {
            let place = (request, index);
            if sealed.is_dummy() {
                claims.add(place, item, None);
            } else if let Some(identifier) = sealed_identifier(sealed) {
                claims.add(place, item, Some(identifier.oprf_input()));
            } else {
                claims.wrong.insert(place, FindingKind::SealMalformed);
            }
        }
    }

    fn faults(&self, request: usize, wrong: &Wrong) -> Vec<RequestFault> {
        let whole = |kind| RequestFault { kind, item: None };
        let mut faults = Vec::new();
        if self.key.is_some() && !self.blindings_are_known {
            faults.push(whole(FindingKind::EntryInvalid));
        }
        match &self.plaintext {
            Some(plaintext) => {
                let of_items = wrong.range((request, 0)..=(request, u32::MAX));
                faults.extend(of_items.map(|((_, item), kind)| RequestFault { kind: *kind, item: Some(*item) }));
                faults.extend(self.request.consent_fault(plaintext));
            }
            None => faults.push(whole(FindingKind::SealMalformed)),
        }
        faults
    }
}

/// Items under one key and what each is said to hold, compared as soon as there are [`ITEMS_AT_ONCE`].
struct Claims<'a> {
    key: &'a RegulatorKey<'a>,
    wrong: &'a mut Wrong,
    places: Vec<(usize, u32)>,
    items: Vec<EscrowedItem>,
    inputs: Vec<Option<Zeroizing<Vec<u8>>>>,
}

impl Claims<'_> {
    fn add(&mut self, place: (usize, u32), item: &EscrowedItem, input: Option<Zeroizing<Vec<u8>>>) {
        self.places.push(place);
        self.items.push(*item);
        self.inputs.push(input);
        if self.items.len() == ITEMS_AT_ONCE {
            self.compare();
        }
    }

    fn compare(&mut self) {
        let inputs = self.inputs.iter().map(|input| input.as_ref().map(|input| input.as_slice()));
        let agree = self.key.audit.agree(&self.items, &inputs.collect::<Vec<_>>());
        let disagree = self.places.drain(..).zip(agree).filter(|(_, agrees)| !agrees);
        self.wrong.extend(disagree.map(|(place, _)| (place, FindingKind::EscrowMismatch)));
        self.items.clear();
        self.inputs.clear();
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
