//! The lender's question: which record of which check, which value, on which consent.
//!
//! - **Place**: a kept check and a found row -> [`Asked`]: what is sent, what is journalled before, what judges the answer
//! - **Invariants**: the item holds the identifier (checked before anything is proven), the publisher evaluated the check, the
//!   bounds are bounds of the attribute
//! - **Errors**: [`AskError`] (caller)
//! - **Security**: s proves whom the check asked about and stays here; the identifier is not sent
//! - **Source**: specs/protocol.md#disclosure

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::escrow::EscrowSecret;
use riskveil_crypto::escrow_opening::prove_item_opening;
use riskveil_crypto::fingerprint::Tag;
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::{Digest32, Element, SigningKey};

use crate::audit::entry::Outcome;
use crate::disclose::accept::AwaitingDisclosure;
use crate::disclose::entry::DisclosureEntry;
use crate::disclose::messages::{Ask, DisclosureBody, DisclosureHead, DisclosureRequest, proof_context};
use crate::ids::MemberId;
use crate::message::{Kind, MessageHeader};
use crate::publish::PeriodKeyId;
use crate::publish::commitment::Attribute;
use crate::purpose::Purpose;
use crate::query::messages::{Envelope, RequestCore};
use crate::query::refusal::STATUS_EVALUATED;
use crate::query::seal::Consent;
use crate::record::{Identifier, Label};

/// What the lender kept of the check, for one publisher and one item.
#[derive(Clone, Copy, Debug)]
pub struct HeldCheck<'a> {
    /// What was asked.
    pub core: &'a RequestCore,
    /// The envelope to this publisher.
    pub envelope: &'a Envelope,
    /// Its signature that it evaluated it.
    pub outcome: &'a Outcome,
    /// The item, from 0.
    pub item: u8,
    /// Whom that item asked about.
    pub identifier: &'a Identifier,
    /// The item's s.
    pub secret: &'a EscrowSecret,
    /// Y of the core's audit key.
    pub y: &'a Element,
}

/// The row that the item found.
#[derive(Clone, Copy, Debug)]
pub struct HeldRow<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its label, opened.
    pub label: &'a Label,
    /// The key under which it was published.
    pub key: &'a PeriodKeyId,
}

/// Who asks, why, when, on which consent.
#[derive(Clone, Copy, Debug)]
pub struct AskingLender<'a> {
    /// Its name.
    pub lender: &'a MemberId,
    /// Its identity.
    pub identity: &'a SigningKey,
    /// Why.
    pub purpose: Purpose,
    /// The consent for this disclosure.
    pub consent: Consent,
    /// Unix seconds.
    pub now_s: u64,
    /// Lifetime of the request: the policy's `request_ttl_s`.
    pub ttl_s: u64,
}

/// Why nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The publisher did not evaluate the check.
    #[error("the publisher did not evaluate this check")]
    NotEvaluated,
    /// The item of the check does not hold the identifier.
    #[error("this item of the check is not about the identifier")]
    AnotherItem,
    /// lo above hi, or hi above what is committed.
    #[error("the bounds are not 0 <= LO <= HI <= {max}")]
    Bounds {
        /// The largest committed value of the attribute.
        max: u64,
    },
    /// No consent document.
    #[error("a disclosure needs a consent")]
    NoConsent,
}

/// A question ready to be sent.
#[derive(Debug)]
pub struct Asked {
    /// Judges the answer.
    pub state: AwaitingDisclosure,
    /// What is sent.
    pub request: DisclosureRequest,
    /// What is journalled before it is sent.
    pub entry: DisclosureEntry,
}

/// Asks the publisher of a found row for one of its values.
///
/// # Errors
/// [`AskError`].
pub fn ask(
    lender: &AskingLender<'_>,
    check: &HeldCheck<'_>,
    row: &HeldRow<'_>,
    (attribute, ask): (Attribute, Ask),
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Asked, AskError> {
    if check.outcome.status != STATUS_EVALUATED {
        return Err(AskError::NotEvaluated);
    }
    if !ask.fits(attribute) {
        return Err(AskError::Bounds { max: attribute.bits().max() });
    }
    if lender.consent.digest == Digest32::ZERO {
        return Err(AskError::NoConsent);
    }
    let item = check.core.items.get(usize::from(check.item)).ok_or(AskError::AnotherItem)?;
    let p = input_element(&check.identifier.oprf_input()).map_err(|_| AskError::AnotherItem)?;
    if !check.secret.escrows(&p, check.y, item) {
        return Err(AskError::AnotherItem);
    }
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let (chain_id, publisher) = (&check.core.chain_id, &check.envelope.publisher);
    let envelope_digest = check.envelope.digest();
    let parties = (chain_id, lender.lender, publisher, &nonce);
    let context = proof_context(parties, &envelope_digest, check.item, &row.tag, (attribute, ask));
    let proof = prove_item_opening(check.secret, item, check.y, &p, context.as_bytes(), rng);
    let body = DisclosureBody {
        core: check.core.clone(),
        envelope: check.envelope.clone(),
        outcome: check.outcome.clone(),
        consent: lender.consent,
        item: check.item,
        tag: row.tag,
        attribute,
        ask,
        proof,
    };
    let head = DisclosureHead {
        header: MessageHeader::new(Kind::DisclosureHead),
        chain_id: *chain_id,
        lender: lender.lender.clone(),
        publisher: publisher.clone(),
        nonce,
        issued_at_s: lender.now_s,
        expires_at_s: lender.now_s.saturating_add(lender.ttl_s),
        purpose: lender.purpose,
        check: envelope_digest,
        consent_commit: lender.consent.commitment(),
        body_digest: body.digest(),
    };
    let signature = head.sign(lender.identity);
    let entry = DisclosureEntry { head: head.clone(), consent: lender.consent, signature, outcome: None };
    let state = AwaitingDisclosure::new(&head, (attribute, ask), check.identifier.clone(), row);
    Ok(Asked { state, request: DisclosureRequest { head, body, signature }, entry })
}
