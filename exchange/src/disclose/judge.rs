//! The publisher's rule: to whom it discloses, and what a refusal looks like.
//!
//! - **Place**: `DisclosureRequest` and the publisher's own state -> [`AuthenticDisclosure`] -> nonce ->
//!   [`AdmittedDisclosure`] -> quota -> [`MatchedRecord`] -> `DisclosureResponse`
//! - **Shapes**: a refusal is as long as a disclosure
//! - **Invariants**: each step is made by the one before it alone, and nothing is disclosed without a [`MatchedRecord`]: the
//!   publisher's own signature under the check, and a proof that the check asked about the person of this record
//! - **Errors**: [`DisclosureRefusal`], the first rule that does not hold; its `is_receipted` says which are logged
//! - **Security**: the caller looks the tag up and hands over what it found; without a record the same proof is verified against
//!   a decoy, so that a tag of padding, of nobody, of somebody else and of the right person cost the same. Every tag is on
//!   chain: telling rows from padding is what this must not do. So nothing that depends on the record, such as where its
//!   commitment stands, may be looked up before there is a [`MatchedRecord`], and the look-up itself must not end early
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/protocol.md#disclosure

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::escrow_opening::verify_item_opening;
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::range_proof::prove_between;
use riskveil_crypto::{Digest32, Element, Signature, SigningKey, VerifyingKey, codec};

use crate::audit::entry::Outcome;
use crate::disclose::messages::{
    Ask, CommitmentPosition, Disclosed, DisclosureRequest, DisclosureResponse, Shown, answer_len, proof_context,
    range_context,
};
use crate::disclose::refusal::{DisclosureRefusal, STATUS_DISCLOSED};
use crate::ids::MemberId;
use crate::message::{Kind, MessageHeader};
use crate::policy::Policy;
use crate::publish::commitment::CommitmentSeed;
use crate::query::refusal::STATUS_EVALUATED;
use crate::query::responder::Tip;
use crate::record::{Day, Record};

/// What stands in for a record that is not there: no identifier has this input.
const DECOY_INPUT: [u8; 48] = [0; 48];

/// Who judges, under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Discloser<'a> {
    /// The chain.
    pub chain_id: &'a Digest32,
    /// The publisher itself.
    pub publisher: &'a MemberId,
    /// Its own identity key: it signed the outcome of the check.
    pub publisher_key: &'a VerifyingKey,
    /// When period 0 began, Unix seconds.
    pub genesis_time_s: u64,
    /// The consortium's parameters.
    pub policy: &'a Policy,
}

/// Everything the rule looks at besides the request and the record.
#[derive(Clone, Copy, Debug)]
pub struct DiscloserContext<'a> {
    /// The publisher's clock, Unix seconds.
    pub now_s: u64,
    /// Requests issued earlier are refused: the start of this process.
    pub started_at_s: u64,
    /// The finalized tip.
    pub tip: Tip,
    /// The identity key of `head.lender`, if it is an active member with the lender role at the tip.
    pub lender_key: Option<&'a VerifyingKey>,
    /// Y of the check's audit key, if the chain has it.
    pub audit_key: Option<&'a Element>,
    /// Items the lender has left today; a disclosure takes one.
    pub quota_left: u64,
    /// A leaf of the lender is missing for longer than the policy's `refuse_after_windows`.
    pub lender_overdue: bool,
}

/// A record of the publisher that has the tag under the check's key.
#[derive(Clone, Copy, Debug)]
pub struct HeldRecord<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its commitment seed.
    pub seed: &'a CommitmentSeed,
    /// Serial of the key under which the row was published.
    pub key_serial: u32,
}

/// A request that its lender signed for this publisher, in time.
#[derive(Debug)]
pub struct AuthenticDisclosure {
    digest: Digest32,
}

/// A request that every rule admits but the record.
#[derive(Debug)]
pub struct AdmittedDisclosure {
    digest: Digest32,
    y: Element,
}

/// A request about a record of the person that its check asked about.
#[derive(Debug)]
pub struct MatchedRecord<'a> {
    digest: Digest32,
    record: HeldRecord<'a>,
}

impl MatchedRecord<'_> {
    /// The leaf of its commitment, to be looked up on chain.
    #[must_use]
    pub fn leaf(&self) -> Digest32 {
        self.record.seed.open(self.record.record).commitment().leaf()
    }
}

impl Discloser<'_> {
    /// Who sent it, is it for this publisher, is it one request, is it in time: none of these refusals is receipted.
    ///
    /// The caller takes the nonce next and refuses with what that returns.
    ///
    /// # Errors
    /// The first [`DisclosureRefusal`] that applies.
    pub fn authenticate(
        &self,
        request: &DisclosureRequest,
        peer: &MemberId,
        ctx: &DiscloserContext<'_>,
    ) -> Result<AuthenticDisclosure, DisclosureRefusal> {
        self.is_signed_by_a_lender(request, peer, ctx)?;
        self.is_well_formed(request)?;
        self.is_in_time(request, ctx)?;
        Ok(AuthenticDisclosure { digest: request.head.digest() })
    }

    /// Applies every rule that does not look at records.
    ///
    /// The caller takes the quota next, looks the tag up and calls [`Self::match_record`] with what it found.
    ///
    /// # Errors
    /// The first [`DisclosureRefusal`] that applies.
    pub fn judge(
        &self,
        authentic: &AuthenticDisclosure,
        request: &DisclosureRequest,
        ctx: &DiscloserContext<'_>,
    ) -> Result<AdmittedDisclosure, DisclosureRefusal> {
        if ctx.now_s.saturating_sub(ctx.tip.time_s) > self.policy.fresh_tip_s {
            return Err(DisclosureRefusal::NotReady);
        }
        if !self.policy.purposes.contains(&request.head.purpose) {
            return Err(DisclosureRefusal::PurposeNotAllowed);
        }
        if ctx.lender_overdue {
            return Err(DisclosureRefusal::LogOverdue);
        }
        if ctx.quota_left == 0 {
            return Err(DisclosureRefusal::QuotaExceeded);
        }
        let y = self.evaluated_this_check(request, ctx)?;
        if request.body.core.period != self.policy.period_at(self.genesis_time_s, ctx.tip.time_s) {
            return Err(DisclosureRefusal::PeriodOver);
        }
        Ok(AdmittedDisclosure { digest: authentic.digest, y: *y })
    }

    /// The record, if the check asked about its person; `found` is what the publisher has under the tag.
    ///
    /// # Errors
    /// `no_matching_record`.
    pub fn match_record<'r>(
        &self,
        admitted: &AdmittedDisclosure,
        request: &DisclosureRequest,
        found: Option<HeldRecord<'r>>,
        as_of: Day,
    ) -> Result<MatchedRecord<'r>, DisclosureRefusal> {
        let (head, body) = (&request.head, &request.body);
        let held = found.filter(|held| held.record.event_day().plus_years(self.policy.retention_years) >= as_of);
        let input = held.map(|held| held.record.identifier().oprf_input());
        let p = input_element(input.as_ref().map_or(&DECOY_INPUT, |input| input.as_slice()));
        let item = body.core.items.get(usize::from(body.item)).ok_or(DisclosureRefusal::NoMatchingRecord)?;
        let parties = (&head.chain_id, &head.lender, &head.publisher, &head.nonce);
        let context = proof_context(parties, &head.check, body.item, &body.tag, (body.attribute, body.ask));
        // verified whether or not there is a record, against the decoy if not
        let holds =
            p.is_ok_and(|p| verify_item_opening(item, &admitted.y, &p, context.as_bytes(), &body.proof).is_ok());
        let record = held.filter(|_| holds).ok_or(DisclosureRefusal::NoMatchingRecord)?;
        Ok(MatchedRecord { digest: admitted.digest, record })
    }

    /// Discloses what was asked and signs it. `position` is where the record's leaf stands on chain, if it does.
    ///
    /// # Errors
    /// `not_committed`, `out_of_range`: told only to a lender whose proof holds.
    pub fn disclose(
        &self,
        matched: &MatchedRecord<'_>,
        position: Option<CommitmentPosition>,
        request: &DisclosureRequest,
        ctx: &DiscloserContext<'_>,
        identity: &SigningKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<DisclosureResponse, DisclosureRefusal> {
        let (body, HeldRecord { record, seed, key_serial }) = (&request.body, matched.record);
        let position = position.ok_or(DisclosureRefusal::NotCommitted)?;
        let opening = seed.open(record);
        let opening = opening.of(body.attribute);
        let shown = match body.ask {
            Ask::Open => {
                Shown::Value { value: opening.value(), blinding: opening.blinding_bytes().expose(|blinding| *blinding) }
            }
            Ask::Between { lo, hi } => {
                let context = range_context(&matched.digest);
                let proof = prove_between(body.attribute.bits(), opening, lo, hi, context.as_bytes(), rng);
                Shown::Between { proof: proof.map_err(|_| DisclosureRefusal::OutOfRange)? }
            }
        };
        let disclosed =
            Disclosed { position, rho: seed.rho(body.core.period, key_serial), static_salt: seed.static_salt(), shown };
        Ok(self.respond(matched.digest, STATUS_DISCLOSED, codec::encode(&disclosed), ctx, identity))
    }

    /// A signed refusal, as long as a disclosure.
    #[must_use]
    pub fn refuse(
        &self,
        request: &DisclosureRequest,
        reason: DisclosureRefusal,
        ctx: &DiscloserContext<'_>,
        identity: &SigningKey,
    ) -> DisclosureResponse {
        let answer = vec![0; answer_len(request.body.attribute, request.body.ask)];
        self.respond(request.head.digest(), reason.code(), answer, ctx, identity)
    }

    fn is_signed_by_a_lender(
        &self,
        request: &DisclosureRequest,
        peer: &MemberId,
        ctx: &DiscloserContext<'_>,
    ) -> Result<(), DisclosureRefusal> {
        let head = &request.head;
        let lender_key = ctx.lender_key.filter(|_| *peer == head.lender).ok_or(DisclosureRefusal::NotALender)?;
        if head.chain_id != *self.chain_id || head.publisher != *self.publisher {
            return Err(DisclosureRefusal::NotAddressed);
        }
        if head.body_digest != request.body.digest() {
            return Err(DisclosureRefusal::SignatureInvalid);
        }
        head.verify(lender_key, &request.signature).map_err(|_| DisclosureRefusal::SignatureInvalid)
    }

    fn is_well_formed(&self, request: &DisclosureRequest) -> Result<(), DisclosureRefusal> {
        let (head, body) = (&request.head, &request.body);
        let holds = head.check == body.envelope.digest()
            && head.consent_commit == body.consent.commitment()
            && body.consent.digest != Digest32::ZERO
            && usize::from(body.item) < body.core.items.len()
            && body.ask.fits(body.attribute)
            && head
                .expires_at_s
                .checked_sub(head.issued_at_s)
                .is_some_and(|life_s| life_s <= self.policy.request_ttl_s);
        if holds { Ok(()) } else { Err(DisclosureRefusal::Malformed) }
    }

    fn is_in_time(&self, request: &DisclosureRequest, ctx: &DiscloserContext<'_>) -> Result<(), DisclosureRefusal> {
        let head = &request.head;
        if head.issued_at_s < ctx.started_at_s {
            return Err(DisclosureRefusal::BeforeRestart);
        }
        if ctx.now_s > head.expires_at_s {
            return Err(DisclosureRefusal::Expired);
        }
        if head.issued_at_s.abs_diff(ctx.now_s) > self.policy.clock_skew_s {
            return Err(DisclosureRefusal::ClockSkew);
        }
        Ok(())
    }

    /// The check is this lender's, to this publisher, and the publisher signed that it evaluated it: no memory is needed.
    fn evaluated_this_check<'c>(
        &self,
        request: &DisclosureRequest,
        ctx: &DiscloserContext<'c>,
    ) -> Result<&'c Element, DisclosureRefusal> {
        let (head, body) = (&request.head, &request.body);
        let (core, envelope) = (&body.core, &body.envelope);
        let is_this = core.lender == head.lender
            && core.chain_id == *self.chain_id
            && envelope.publisher == *self.publisher
            && envelope.core_digest == core.digest()
            && envelope.period == core.period
            && body.outcome.status == STATUS_EVALUATED
            && body.outcome.verify(self.chain_id, &head.check, self.publisher_key).is_ok();
        ctx.audit_key.filter(|_| is_this).ok_or(DisclosureRefusal::CheckUnknown)
    }

    fn respond(
        &self,
        request_digest: Digest32,
        status: u8,
        answer: Vec<u8>,
        ctx: &DiscloserContext<'_>,
        identity: &SigningKey,
    ) -> DisclosureResponse {
        let mut response = DisclosureResponse {
            header: MessageHeader::new(Kind::DisclosureResponse),
            request_digest,
            publisher: self.publisher.clone(),
            status,
            tip_height: ctx.tip.height,
            served_at_s: ctx.now_s,
            answer,
            signature: Signature::from_bytes([0; 64]),
        };
        let digest = response.digest();
        response.signature = Outcome::sign(self.chain_id, &request_digest, status, digest, identity).signature;
        response
    }
}
