//! The responder's rule: which requests it evaluates, and what a refusal looks like.
//!
//! - **Place**: B4, `EvaluateRequest` and the responder's own state -> [`Authentic`] -> nonce -> [`Admitted`] -> quota ->
//!   [`EvaluateResponse`]
//! - **Shapes**: a refusal is as long as an evaluation
//! - **Invariants**: only [`Responder::authenticate`] makes an [`Authentic`], only [`Responder::judge`] makes an
//!   [`Admitted`], and nothing is evaluated without one. A nonce is remembered before anything is receipted, so an envelope
//!   has at most one receipted answer
//! - **Errors**: [`RefusalReason`], the first rule that does not hold; [`RefusalReason::is_receipted`] says which are logged
//! - **Security**: an unproven ciphertext is never multiplied by k. The responder learns lender, purpose, padded size, time
//! - **Source**: DESIGN.md section 4; specs/protocol.md#refusal-reasons

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::escrow::{verify_knowledge, verify_knowledge_weighted};
use riskveil_crypto::evaluation::{EvaluationContext, blind_evaluate_many};
use riskveil_crypto::oprf::{OprfError, OprfSecretKey};
use riskveil_crypto::{Digest32, Element, Elements, SigningKey, VerifyingKey};

use crate::audit::entry::Outcome;
use crate::ids::{Height, MemberId};
use crate::message::{Kind, MessageHeader};
use crate::policy::Policy;
use crate::query::messages::{EvaluateRequest, EvaluateResponse, Proofs, seal_digest};
use crate::query::refusal::{RefusalReason, STATUS_EVALUATED};
use crate::query::seal::seal_len;

/// Who judges, under which rules.
#[derive(Clone, Copy, Debug)]
pub struct Responder<'a> {
    /// The chain.
    pub chain_id: &'a Digest32,
    /// The responder itself.
    pub publisher: &'a MemberId,
    /// When period 0 began, Unix seconds.
    pub genesis_time_s: u64,
    /// The consortium's parameters.
    pub policy: &'a Policy,
}

/// The responder's finalized tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its header hash.
    pub header_hash: Digest32,
    /// Its header time, Unix seconds.
    pub time_s: u64,
}

/// The responder's own key in the period of its tip.
#[derive(Clone, Copy, Debug)]
pub struct OwnPeriodKey<'a> {
    /// The public key.
    pub k: &'a Element,
    /// Its snapshot is sealed on chain and not revoked.
    pub sealed: bool,
    /// How many batches the chain counts for it at the tip.
    pub batch_count: u32,
}

/// An audit key that is current at the tip.
#[derive(Clone, Copy, Debug)]
pub struct CurrentAuditKey<'a> {
    /// Its Y.
    pub y: &'a Element,
    /// The responder's key of the period is bound to it.
    pub bound: bool,
}

/// Everything the rule looks at besides the request.
#[derive(Clone, Copy, Debug)]
pub struct ResponderContext<'a> {
    /// The responder's clock, Unix seconds.
    pub now_s: u64,
    /// Requests issued earlier are refused: the start of this process. What a lender with a fast clock issued before a
    /// restart is restored into `SeenNonces` from the receipts journal.
    pub started_at_s: u64,
    /// The finalized tip.
    pub tip: Tip,
    /// The identity key of `core.lender`, if it is an active member with the lender role at the tip.
    pub lender_key: Option<&'a VerifyingKey>,
    /// The responder's key in the period of the tip, if announced.
    pub period_key: Option<OwnPeriodKey<'a>>,
    /// The key that `core.audit_key_id` names, if current at the tip.
    pub audit_key: Option<CurrentAuditKey<'a>>,
    /// Items the lender has left today.
    pub quota_left: u64,
    /// A leaf of the lender is missing for longer than the policy's `refuse_after_windows`.
    pub lender_overdue: bool,
}

/// A request that its lender signed for this responder, in time.
#[derive(Debug)]
pub struct Authentic {
    core_digest: Digest32,
}

/// A request that every rule admits.
#[derive(Debug)]
pub struct Admitted {
    core_digest: Digest32,
    envelope_digest: Digest32,
    item_count: usize,
}

impl Admitted {
    /// Items to evaluate.
    #[must_use]
    pub const fn item_count(&self) -> usize {
        self.item_count
    }
}

/// An admitted request and when it was admitted.
#[derive(Clone, Copy, Debug)]
pub struct ToEvaluate<'a> {
    /// What the rules admitted.
    pub admitted: &'a Admitted,
    /// The request.
    pub request: &'a EvaluateRequest,
    /// What its response says of the responder.
    pub standing: &'a Standing,
}

/// What a response says of the responder.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The tip.
    pub tip: Tip,
    /// How many batches of its own the chain counts at the tip.
    pub last_batch_seq: u32,
    /// Unix seconds.
    pub now_s: u64,
}

impl Responder<'_> {
    /// Who sent it, is it for this responder, is it in time: none of these refusals is receipted.
    ///
    /// The caller takes the nonce next (`SeenNonces::insert`) and refuses with what that returns.
    ///
    /// # Errors
    /// The first [`RefusalReason`] that applies.
    pub fn authenticate(
        &self,
        request: &EvaluateRequest,
        peer: &MemberId,
        ctx: &ResponderContext<'_>,
    ) -> Result<Authentic, RefusalReason> {
        let core_digest = self.is_signed_by_a_lender(request, peer, ctx)?;
        self.is_in_time(request, ctx)?;
        Ok(Authentic { core_digest })
    }

    /// Applies every other rule, cheap ones first.
    ///
    /// The caller takes the quota next (`QuotaCounter::take`), journals the receipt and only then answers.
    ///
    /// # Errors
    /// The first [`RefusalReason`] that applies.
    pub fn judge(
        &self,
        authentic: &Authentic,
        request: &EvaluateRequest,
        ctx: &ResponderContext<'_>,
    ) -> Result<Admitted, RefusalReason> {
        self.is_well_formed(request)?;
        self.is_of_the_live_keys(request, ctx)?;
        self.is_allowed(request, ctx)?;
        let audit_key = ctx.audit_key.ok_or(RefusalReason::AuditKeyNotCurrent)?;
        blindings_are_known(request, &authentic.core_digest, audit_key.y)?;
        let item_count = request.core.items.len();
        Ok(Admitted { core_digest: authentic.core_digest, envelope_digest: request.envelope.digest(), item_count })
    }

    fn is_signed_by_a_lender(
        &self,
        request: &EvaluateRequest,
        peer: &MemberId,
        ctx: &ResponderContext<'_>,
    ) -> Result<Digest32, RefusalReason> {
        let (core, envelope) = (&request.core, &request.envelope);
        let lender_key = ctx.lender_key.filter(|_| *peer == core.lender).ok_or(RefusalReason::NotALender)?;
        if core.chain_id != *self.chain_id || envelope.publisher != *self.publisher {
            return Err(RefusalReason::NotAddressed);
        }
        let core_digest = core.digest();
        if envelope.core_digest != core_digest || envelope.proofs_digest != request.proofs.digest() {
            return Err(RefusalReason::SignatureInvalid);
        }
        envelope.verify(self.chain_id, lender_key, &request.signature).map_err(|_| RefusalReason::SignatureInvalid)?;
        Ok(core_digest)
    }

    fn is_well_formed(&self, request: &EvaluateRequest) -> Result<(), RefusalReason> {
        let core = &request.core;
        if request.envelope.period != core.period {
            return Err(RefusalReason::Malformed);
        }
        if request.seal.len() != seal_len(core.shape) {
            return Err(RefusalReason::SealLength);
        }
        if seal_digest(&request.seal) != core.seal_digest { Err(RefusalReason::Malformed) } else { Ok(()) }
    }

    fn is_in_time(&self, request: &EvaluateRequest, ctx: &ResponderContext<'_>) -> Result<(), RefusalReason> {
        let core = &request.core;
        let lifetime_s = core.expires_at_s.checked_sub(core.issued_at_s).ok_or(RefusalReason::Malformed)?;
        if lifetime_s > self.policy.request_ttl_s {
            return Err(RefusalReason::Malformed);
        }
        if core.issued_at_s < ctx.started_at_s {
            return Err(RefusalReason::BeforeRestart);
        }
        if ctx.now_s > core.expires_at_s {
            return Err(RefusalReason::Expired);
        }
        // DESIGN.md section 4: "issued_at within 10 s of the responder's clock"
        if core.issued_at_s.abs_diff(ctx.now_s) > self.policy.clock_skew_s {
            return Err(RefusalReason::ClockSkew);
        }
        Ok(())
    }

    fn is_of_the_live_keys(&self, request: &EvaluateRequest, ctx: &ResponderContext<'_>) -> Result<(), RefusalReason> {
        if ctx.now_s.saturating_sub(ctx.tip.time_s) > self.policy.fresh_tip_s {
            return Err(RefusalReason::NotReady);
        }
        let current = self.policy.period_at(self.genesis_time_s, ctx.tip.time_s);
        if request.core.period < current {
            return Err(RefusalReason::PeriodOver);
        }
        if request.core.period > current {
            return Err(RefusalReason::WrongPeriod);
        }
        let own = ctx.period_key.filter(|key| key.sealed).ok_or(RefusalReason::NotReady)?;
        if request.envelope.k != *own.k {
            return Err(RefusalReason::WrongKey);
        }
        let audit_key = ctx.audit_key.ok_or(RefusalReason::AuditKeyNotCurrent)?;
        if audit_key.bound { Ok(()) } else { Err(RefusalReason::NoAuditBinding) }
    }

    fn is_allowed(&self, request: &EvaluateRequest, ctx: &ResponderContext<'_>) -> Result<(), RefusalReason> {
        if !self.policy.purposes.contains(&request.core.purpose) {
            return Err(RefusalReason::PurposeNotAllowed);
        }
        if ctx.lender_overdue {
            return Err(RefusalReason::LogOverdue);
        }
        if request.core.items.len() as u64 > ctx.quota_left { Err(RefusalReason::QuotaExceeded) } else { Ok(()) }
    }

    /// Evaluates an admitted request and signs the answer.
    ///
    /// # Errors
    /// [`OprfError`] when a weighted sum is the identity, which a lender cannot bring about; refuse with `overloaded`.
    pub fn evaluate(
        &self,
        admitted: &Admitted,
        request: &EvaluateRequest,
        sk: &OprfSecretKey,
        standing: &Standing,
        identity: &SigningKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<EvaluateResponse, OprfError> {
        let one = ToEvaluate { admitted, request, standing };
        let mut evaluated = self.evaluate_many(&[one], sk, identity, rng);
        evaluated.pop().unwrap_or(Err(OprfError::BatchSize { got: 0 }))
    }

    /// [`evaluate`](Self::evaluate) of each request, so that small ones share the kernel; in order.
    pub fn evaluate_many(
        &self,
        requests: &[ToEvaluate<'_>],
        sk: &OprfSecretKey,
        identity: &SigningKey,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Vec<Result<EvaluateResponse, OprfError>> {
        let contexts: Vec<(EvaluationContext<'_>, &Elements)> = requests
            .iter()
            .map(|ToEvaluate { admitted, request, .. }| {
                let ctx = EvaluationContext {
                    chain_id: self.chain_id,
                    publisher: self.publisher.as_bytes(),
                    period: request.core.period.0,
                    k: &request.envelope.k,
                    core: &admitted.core_digest,
                    envelope: &admitted.envelope_digest,
                };
                (ctx, request.core.items.c2())
            })
            .collect();
        let evaluated = blind_evaluate_many(sk, &contexts, rng);
        requests
            .iter()
            .zip(evaluated)
            .map(|(ToEvaluate { admitted, request, standing }, evaluation)| {
                let evaluation = evaluation?;
                let z = evaluation.z.iter().map(Element::to_bytes).collect();
                let digests = (admitted.core_digest, admitted.envelope_digest);
                let proof = evaluation.proof.to_bytes();
                Ok(self.respond(request, digests, STATUS_EVALUATED, z, proof, standing, identity))
            })
            .collect()
    }

    /// A signed refusal, as long as an evaluation.
    #[must_use]
    pub fn refuse(
        &self,
        request: &EvaluateRequest,
        reason: RefusalReason,
        standing: &Standing,
        identity: &SigningKey,
    ) -> EvaluateResponse {
        let z = vec![[0; 32]; request.core.items.len()];
        let digests = (request.core.digest(), request.envelope.digest());
        self.respond(request, digests, reason.code(), z, [0; 64], standing, identity)
    }

    #[allow(clippy::too_many_arguments)] // the fields of one message
    fn respond(
        &self,
        request: &EvaluateRequest,
        (core_digest, envelope_digest): (Digest32, Digest32),
        status: u8,
        z: Vec<[u8; 32]>,
        proof: [u8; 64],
        standing: &Standing,
        identity: &SigningKey,
    ) -> EvaluateResponse {
        let mut response = EvaluateResponse {
            header: MessageHeader::new(Kind::Response),
            core_digest,
            envelope_digest,
            publisher: self.publisher.clone(),
            period: request.core.period,
            k: request.envelope.k,
            status,
            tip_height: standing.tip.height,
            tip_header_hash: standing.tip.header_hash,
            last_batch_seq: standing.last_batch_seq,
            served_at_s: standing.now_s,
            z,
            proof,
            signature: riskveil_crypto::Signature::from_bytes([0; 64]),
        };
        let digest = response.digest();
        response.signature = Outcome::sign(self.chain_id, &envelope_digest, status, digest, identity).signature;
        response
    }
}

/// Verifies the proofs of knowledge; also refuses a C1 or C2 that stands twice in the request.
fn blindings_are_known(request: &EvaluateRequest, core_digest: &Digest32, y: &Element) -> Result<(), RefusalReason> {
    let items = &request.core.items;
    match &request.proofs {
        Proofs::Each(proofs) => verify_knowledge(core_digest, items, y, proofs),
        Proofs::Weighted(proof) => verify_knowledge_weighted(core_digest, items, y, proof),
    }
    .map_err(|_| RefusalReason::ProofInvalid)
}
