//! Rules 21 to 31: one publisher's signed answer, and what follows from it.
//!
//! - **Place**: [`Exchange`], [`Evaluated`] -> [`ProvenAnswer`]; everything is recomputed from the identifiers, s and the response
//! - **Source**: specs/evidence.md#publisher; DESIGN.md section 4 (conditions 2 to 6 of `clear`)

use riskveil_crypto::Element;
use riskveil_crypto::announce::{KeyBinding, verify_key_binding};
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::escrow::EscrowSecret;
use riskveil_crypto::evaluation::{EvaluationContext, EvaluationProof, VerifiedEvaluation, verify_evaluation};
use riskveil_crypto::label::open_label;
use riskveil_exchange::audit::entry::Outcome;
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::member::Member;
use riskveil_exchange::publish::{PeriodKeyId, snapshot_root};
use riskveil_exchange::query::answer::Fact;
use riskveil_exchange::query::lookup::{FoundSlot, WalkError, walk};
use riskveil_exchange::query::messages::{Envelope, EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::{RefusalReason, STATUS_EVALUATED};
use riskveil_exchange::record::{Day, Identifier, Label};

use super::error::{Refused, Rule};
use super::format::{Evaluated, Exchange};
use super::openings::{OpenedBatch, OpenedBatches};
use super::request::{MAX_MESSAGE_BYTES, Request};
use super::statement::{ProvenAnswer, Shown};
use super::trusted::Trusted;
use crate::state::view::StateRead;
use crate::state::{BatchState, PeriodKeyState};

/// An identifier of the subject with the secret that escrowed it.
#[derive(Debug)]
pub(super) struct AskedItem {
    pub(super) index: usize,
    pub(super) identifier: Identifier,
    pub(super) secret: EscrowSecret,
}

/// What every publisher's answer is judged by.
#[derive(Debug)]
pub(super) struct Judging<'a> {
    pub(super) trusted: &'a Trusted,
    pub(super) request: &'a Request<'a>,
    pub(super) items: &'a [AskedItem],
    pub(super) height: Height,
    pub(super) as_of: Day,
}

struct Answered {
    envelope_digest: Digest32,
    k: Element,
    response: EvaluateResponse,
}

impl Judging<'_> {
    /// Rules 20 and 21 of a refusal.
    pub(super) fn refusal(&self, member: &Member, exchange: &Exchange) -> Result<ProvenAnswer, Refused> {
        let refused = || Refused::about(Rule::Response, &member.id);
        let Answered { response, .. } = self.answered(member, exchange)?;
        let reason: RefusalReason = response.refusal().ok_or_else(refused)?;
        if response.proof != [0; 64] || response.z.iter().any(|z| *z != [0; 32]) {
            return Err(refused());
        }
        Ok(ProvenAnswer::Refused { reason, served_at_s: response.served_at_s })
    }

    /// Rules 20 to 31 of an evaluation.
    pub(super) fn evaluated(&self, member: &Member, evaluated: &Evaluated) -> Result<ProvenAnswer, Refused> {
        let answered = self.answered(member, &evaluated.exchange)?;
        if answered.response.status != STATUS_EVALUATED {
            return Err(Refused::about(Rule::Response, &member.id));
        }
        self.tip(&member.id, &answered.response)?;
        let key = self.period_key(&member.id, &answered.k)?;
        let id = PeriodKeyId {
            chain_id: self.trusted.chain_id,
            publisher: member.id.clone(),
            period: self.request.core.period,
            key_serial: key.key_serial,
        };
        let k_y = self.binding(&id, &answered.k)?;
        let evaluation = self.evaluation(&member.id, &answered)?;
        let states = self.batches(&member.id, &key, &answered.response, evaluated.batches.len())?;
        snapshot(&key, &states, self.height).ok_or_else(|| Refused::about(Rule::Snapshot, &member.id))?;
        let opened: Option<Vec<OpenedBatch>> =
            states.iter().zip(&evaluated.batches).map(|(state, opening)| OpenedBatch::verify(state, opening)).collect();
        let opened = OpenedBatches(opened.ok_or_else(|| Refused::about(Rule::Openings, &member.id))?);
        let (facts, expired) = self.walks(&id, &evaluation, &k_y, &opened)?;
        let shown = Shown {
            served_at_s: answered.response.served_at_s,
            tip_height: answered.response.tip_height,
            batches: u32::try_from(states.len()).unwrap_or(u32::MAX),
            rows: states.iter().map(|state| u64::from(state.count)).sum(),
            expired,
        };
        Ok(if facts.is_empty() { ProvenAnswer::Clear { shown } } else { ProvenAnswer::Hit { facts, shown } })
    }

    /// Rules 20 and 21, what they have in common.
    fn answered(&self, member: &Member, exchange: &Exchange) -> Result<Answered, Refused> {
        let refused = || Refused::about(Rule::Response, &member.id);
        let envelope: Envelope = self.request.envelope(&exchange.envelope.0, &exchange.signature, &member.id)?;
        let envelope_digest = envelope.digest();
        let bytes = Some(&exchange.response.0).filter(|bytes| bytes.len() <= MAX_MESSAGE_BYTES).ok_or_else(refused)?;
        let response = EvaluateResponse::decode(bytes, Shape::Check).map_err(|_| refused())?;
        let names_this_query = response.core_digest == self.request.core_digest
            && response.envelope_digest == envelope_digest
            && response.publisher == member.id
            && response.period == self.request.core.period
            && response.k == envelope.k;
        if !names_this_query {
            return Err(refused());
        }
        let (status, response_digest) = (response.status, response.digest());
        let outcome = Outcome { status, response_digest, signature: response.signature };
        outcome.verify(&self.trusted.chain_id, &envelope_digest, &member.identity_key).map_err(|_| refused())?;
        Ok(Answered { envelope_digest, k: envelope.k, response })
    }

    /// Rule 22.
    fn tip(&self, publisher: &MemberId, response: &EvaluateResponse) -> Result<(), Refused> {
        let header = self.trusted.header(response.tip_height);
        let is_ours = header.is_some_and(|header| *header.digest() == response.tip_header_hash);
        if is_ours && response.tip_height <= self.height { Ok(()) } else { Err(Refused::about(Rule::Tip, publisher)) }
    }

    /// Rule 23.
    fn period_key(&self, publisher: &MemberId, k: &Element) -> Result<PeriodKeyState, Refused> {
        let key = self.trusted.period_key(self.request.core.period, publisher);
        let holds = |key: &PeriodKeyState| {
            key.k == *k
                && key.announced_at <= self.height
                && !key.revoked
                && key.sealed.is_some_and(|seal| seal.height <= self.height)
        };
        key.filter(holds).ok_or_else(|| Refused::about(Rule::PeriodKey, publisher))
    }

    /// Rule 24.
    fn binding(&self, id: &PeriodKeyId, k: &Element) -> Result<Element, Refused> {
        let refused = || Refused::about(Rule::Binding, &id.publisher);
        let audit_key_id = self.request.core.audit_key_id;
        let bound = self.trusted.binding(id.period, &id.publisher, audit_key_id).ok_or_else(refused)?;
        let binding = KeyBinding { k: *k, k_y: bound.k_y, proof: bound.proof };
        let context = id.binding_context(audit_key_id);
        verify_key_binding(&binding, &self.request.y, &context).map_err(|_| refused())?;
        Ok(bound.k_y)
    }

    /// Rule 25.
    fn evaluation(&self, publisher: &MemberId, answered: &Answered) -> Result<VerifiedEvaluation, Refused> {
        let refused = || Refused::about(Rule::Evaluation, publisher);
        let z: Result<Vec<Element>, _> = answered.response.z.iter().map(Element::from_bytes).collect();
        let c2: Vec<Element> = self.request.core.items.iter().map(|item| item.c2).collect();
        let ctx = EvaluationContext {
            chain_id: &self.trusted.chain_id,
            publisher: publisher.as_bytes(),
            period: self.request.core.period.0,
            k: &answered.k,
            core: &self.request.core_digest,
            envelope: &answered.envelope_digest,
        };
        let proof = EvaluationProof::from_bytes(answered.response.proof);
        verify_evaluation(&ctx, &c2, z.map_err(|_| refused())?, &proof).map_err(|_| refused())
    }

    /// Rule 26: batches 0 to n - 1 are those that the chain counted at the judged height, and the response counts at its tip
    /// what the chain counted there.
    fn batches(
        &self,
        publisher: &MemberId,
        key: &PeriodKeyState,
        response: &EvaluateResponse,
        opened: usize,
    ) -> Result<Vec<BatchState>, Refused> {
        let refused = || Refused::about(Rule::Batches, publisher);
        let count = u32::try_from(opened).map_err(|_| refused())?;
        let batch = |seq| self.trusted.batch(self.request.core.period, publisher, seq);
        let states: Option<Vec<BatchState>> = (0..count).map(batch).collect();
        let states = states.ok_or_else(refused)?;
        let ends_here = key.batch_count == count || batch(count).is_some_and(|next| next.height > self.height);
        let at_tip = states.iter().filter(|state| state.height <= response.tip_height).count();
        let all_counted = states.iter().all(|state| state.height <= self.height);
        if all_counted && ends_here && u32::try_from(at_tip) == Ok(response.last_batch_seq) {
            Ok(states)
        } else {
            Err(refused())
        }
    }

    /// Rules 29 to 31.
    fn walks(
        &self,
        id: &PeriodKeyId,
        evaluation: &VerifiedEvaluation,
        k_y: &Element,
        opened: &OpenedBatches,
    ) -> Result<(Vec<Fact>, u32), Refused> {
        let about = |rule| Refused::about(rule, &id.publisher);
        let (mut facts, mut expired) = (Vec::new(), 0);
        for item in self.items {
            let input = item.identifier.oprf_input();
            let output =
                evaluation.unblind(item.index, &input, &item.secret, k_y).map_err(|_| about(Rule::Evaluation))?;
            let found = walk(&output, &id.salt(), opened).map_err(|error| match error {
                WalkError::Gap => about(Rule::Gap),
                _ => about(Rule::Undecided),
            })?;
            for slot in found {
                let label = open(id, &slot).ok_or_else(|| about(Rule::Label))?;
                if label.is_expired(self.as_of) {
                    expired += 1;
                } else {
                    facts.push(Fact::of(&label, item.identifier.id_type()));
                }
            }
        }
        Ok((facts, expired))
    }
}

/// Rule 27: the seal covers the first of these batches, and names their roots.
fn snapshot(key: &PeriodKeyState, states: &[BatchState], height: Height) -> Option<()> {
    let seal = key.sealed.filter(|seal| seal.height <= height)?;
    let covered = states.get(..usize::try_from(seal.batch_count).ok()?)?;
    let roots: Vec<Digest32> = covered.iter().map(|state| state.root).collect();
    (snapshot_root(&roots) == seal.root).then_some(())
}

/// Rule 31.
fn open(id: &PeriodKeyId, slot: &FoundSlot) -> Option<Label> {
    let row = &slot.found.row;
    let bytes = open_label(&slot.label_key, &id.label_aad(&row.tag), row).ok()?;
    Label::decode(&bytes).ok()
}
