//! Rules 10 to 12 and 20: a check as its lender sent it, and its envelope to one publisher.

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::escrow::verify_knowledge;
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::{Element, Signature};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::Member;
use riskveil_exchange::message::Kind;
use riskveil_exchange::query::messages::{CHECK_ITEMS, Envelope, Proofs, RequestCore, Shape};
use riskveil_exchange::record::{Day, IdType, Identifier};

use super::error::{Refused, Rule};
use super::format::MAX_CANONICAL;
use super::trusted::Trusted;
use crate::dst;
use crate::state::view::StateRead;

/// Longest encoded core, proofs, envelope or response of a check, bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 4_096;

/// A check whose lender, audit key and proofs of knowledge hold.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) core: RequestCore,
    pub(super) core_digest: Digest32,
    pub(super) lender: &'a Member,
    pub(super) y: Element,
    proofs_digest: Digest32,
}

impl<'a> Request<'a> {
    /// Rules 10 to 12.
    pub(super) fn verify(trusted: &'a Trusted, core: &[u8], proofs: &[u8]) -> Result<Self, Refused> {
        let core: RequestCore = codec::decode(core, MAX_MESSAGE_BYTES).map_err(|_| Rule::Request)?;
        let proofs: Proofs = codec::decode(proofs, MAX_MESSAGE_BYTES).map_err(|_| Rule::Request)?;
        let lender = trusted.genesis.member(&core.lender).filter(|member| member.roles.lender);
        let Proofs::Each(each) = &proofs else { return Err(Rule::Request.into()) };
        let is_check = core.header.expect(Kind::RequestCore).is_ok()
            && core.chain_id == trusted.chain_id
            && core.shape == Shape::Check
            && core.items.len() == CHECK_ITEMS
            && each.len() == CHECK_ITEMS;
        let lender = lender.filter(|_| is_check).ok_or(Rule::Request)?;
        let audit_key = trusted.audit_key(core.audit_key_id).ok_or(Rule::AuditKey)?;
        if audit_key.audit_key_id != core.audit_key_id {
            return Err(Rule::AuditKey.into());
        }
        let core_digest = core.digest();
        verify_knowledge(&core_digest, &core.items, &audit_key.y, each).map_err(|_| Rule::Knowledge)?;
        Ok(Self { proofs_digest: proofs.digest(), core, core_digest, lender, y: audit_key.y })
    }

    /// Rule 20.
    pub(super) fn envelope(
        &self,
        bytes: &[u8],
        signature: &Signature,
        publisher: &MemberId,
    ) -> Result<Envelope, Refused> {
        let refused = || Refused::about(Rule::Envelope, publisher);
        let envelope: Envelope = codec::decode(bytes, MAX_MESSAGE_BYTES).map_err(|_| refused())?;
        let is_ours = envelope.header.expect(Kind::Envelope).is_ok()
            && envelope.core_digest == self.core_digest
            && envelope.proofs_digest == self.proofs_digest
            && envelope.publisher == *publisher
            && envelope.period == self.core.period;
        if !is_ours {
            return Err(refused());
        }
        envelope.verify(&self.core.chain_id, &self.lender.identity_key, signature).map_err(|_| refused())?;
        Ok(envelope)
    }

    /// What the proof of a dummy item is bound to.
    pub(super) fn dummy_context(&self, item: usize) -> Vec<u8> {
        item_context(dst::EVIDENCE_DUMMY, &self.core.chain_id, &self.core_digest, item)
    }

    /// What the audit key's proof of an item is bound to.
    pub(super) fn subject_context(&self, item: usize) -> Vec<u8> {
        item_context(dst::EVIDENCE_SUBJECT, &self.core.chain_id, &self.core_digest, item)
    }
}

/// BCS of (tag, chain id, core digest, item u8).
pub(super) fn item_context(
    dst: riskveil_crypto::dst::Dst,
    chain_id: &Digest32,
    core_digest: &Digest32,
    item: usize,
) -> Vec<u8> {
    codec::encode(&(dst.as_str(), chain_id, core_digest, u8::try_from(item).unwrap_or(u8::MAX)))
}

/// The identifier at one place of a check, if these bytes are its canonical form; with its element.
pub(super) fn identifier(item: usize, canonical: &[u8]) -> Option<(Identifier, Element)> {
    let id_type = *IdType::ALL.get(item)?;
    let text = std::str::from_utf8(canonical).ok().filter(|text| text.len() <= MAX_CANONICAL)?;
    let identifier = Identifier::parse(id_type, text, Day::MAX).ok()?;
    let element = input_element(&identifier.oprf_input()).ok()?;
    identifier.canonical_expose(|parsed| parsed == text).then_some((identifier, element))
}
