//! The evidence of one check, from what its lender kept and its replica.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::codec;
use riskveil_crypto::escrow::{EscrowSecret, dummy_element};
use riskveil_crypto::escrow_opening::prove_item_opening;
use riskveil_crypto::evaluation::{EvaluationContext, EvaluationProof, verify_evaluation};
use riskveil_crypto::{Element, SecretBytes};
use riskveil_exchange::audit::entry::{EntryEnvelope, QueryEntry};
use riskveil_exchange::ids::{Height, MemberId};
use riskveil_exchange::publish::PeriodKeyId;
use riskveil_exchange::query::lookup::walk;
use riskveil_exchange::query::messages::{EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::STATUS_EVALUATED;
use riskveil_exchange::record::{Day, Identifier};

use super::rows::Recording;
use super::{BuildError, Draft, NOT_PROVABLE};
use crate::dst;
use crate::evidence::format::{
    AnswerClaim, Blob, Claim, Evaluated, Exchange, ExportedScalar, ItemOpening, PublisherClaim, Said,
};
use crate::evidence::request::item_context;
use crate::ledger::Ledger;
use crate::state::FinalizedView;
use crate::state::keys::{self, Key};
use crate::state::view::StateRead;

/// One item of a check with its secret.
#[derive(Clone, Copy, Debug)]
pub struct CheckItem<'a> {
    /// Whom it asks about; none for a dummy.
    pub identifier: Option<&'a Identifier>,
    /// The escrow secret s.
    pub secret: &'a SecretBytes<32>,
}

/// What a lender kept of a check.
#[derive(Clone, Debug)]
pub struct CheckRecord<'a> {
    /// What was sent.
    pub entry: &'a QueryEntry,
    /// Responses as they arrived.
    pub responses: &'a BTreeMap<MemberId, Vec<u8>>,
    /// The height at which they were judged.
    pub judged_height: Height,
    /// The business date.
    pub as_of: Day,
    /// Publishers that gave no hit and no clear, with the stated reason.
    pub unanswered: &'a BTreeMap<MemberId, String>,
    /// The items in the order of the request.
    pub items: Vec<CheckItem<'a>>,
}

/// Drafts the evidence of a check under the replica's tip.
///
/// # Errors
/// [`BuildError::NotACheck`], [`BuildError::RecordIncomplete`].
pub fn answers(
    ledger: &Ledger,
    record: &CheckRecord<'_>,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Draft, BuildError> {
    let core = &record.entry.core;
    if core.shape != Shape::Check {
        return Err(BuildError::NotACheck);
    }
    let view = ledger.view();
    let y = view.audit_key(core.audit_key_id).ok_or(BuildError::RecordIncomplete)?.y;
    let (items, secrets) = items(record, &y, rng).ok_or(BuildError::RecordIncomplete)?;
    let mut draft = Drafting {
        ledger,
        view: &view,
        record,
        secrets,
        keys: BTreeSet::from([keys::audit_key(core.audit_key_id)]),
        heights: BTreeSet::from([record.judged_height]),
    };
    let members = ledger.genesis().members.iter().filter(|member| member.roles.publisher);
    let publishers =
        members.map(|member| PublisherClaim { publisher: member.id.clone(), said: draft.said(&member.id) }).collect();
    let claim = AnswerClaim {
        core: Blob(codec::encode(core)),
        proofs: Blob(codec::encode(&record.entry.proofs)),
        judged_height: record.judged_height,
        as_of: record.as_of.number(),
        items,
        publishers,
    };
    let Drafting { keys, heights, .. } = draft;
    let mut draft = Draft::new(ledger, &view, &keys, Claim::Answers(Box::new(claim)));
    draft.heights.extend(heights);
    Ok(draft)
}

/// Every item's opening, and the real ones by index with their input and secret.
#[allow(clippy::type_complexity)] // taken apart at once
fn items<'a>(
    record: &CheckRecord<'a>,
    y: &Element,
    rng: &mut (impl RngCore + CryptoRng),
) -> Option<(Vec<ItemOpening>, Vec<(usize, &'a Identifier, EscrowSecret)>)> {
    let core = &record.entry.core;
    if record.items.len() != core.items.len() {
        return None;
    }
    let (mut openings, mut secrets) = (Vec::new(), Vec::new());
    for (index, (kept, item)) in record.items.iter().zip(&core.items).enumerate() {
        let secret = EscrowSecret::from_evidence(kept.secret, item).ok()?;
        match kept.identifier {
            Some(identifier) => {
                let canonical = identifier.canonical_expose(|text| text.as_bytes().to_vec());
                let exported = ExportedScalar(kept.secret.clone());
                openings.push(ItemOpening::Identifier { canonical: Blob(canonical), secret: exported });
                secrets.push((index, identifier, secret));
            }
            None => {
                let context = item_context(dst::EVIDENCE_DUMMY, &core.chain_id, &core.digest(), index);
                let proof = prove_item_opening(&secret, item, y, &dummy_element(), &context, rng);
                openings.push(ItemOpening::Dummy { proof });
            }
        }
    }
    Some((openings, secrets))
}

struct Drafting<'a> {
    ledger: &'a Ledger,
    view: &'a FinalizedView,
    record: &'a CheckRecord<'a>,
    secrets: Vec<(usize, &'a Identifier, EscrowSecret)>,
    keys: BTreeSet<Key>,
    heights: BTreeSet<Height>,
}

impl Drafting<'_> {
    fn said(&mut self, publisher: &MemberId) -> Said {
        let stated = self.record.unanswered.get(publisher);
        let sent = self.record.entry.envelopes.iter().find(|one| one.envelope.publisher == *publisher);
        let received = self.record.responses.get(publisher);
        let shown = sent.zip(received).and_then(|(sent, bytes)| match stated {
            None => self.evaluated(publisher, sent, bytes),
            Some(_) => refused(sent, bytes),
        });
        let reason = || stated.map_or_else(|| NOT_PROVABLE.to_owned(), Clone::clone);
        shown.unwrap_or_else(|| Said::NotProven { reason: reason() })
    }

    /// An evaluation with every row that decides it; none if the replica cannot show it any more.
    fn evaluated(&mut self, publisher: &MemberId, sent: &EntryEnvelope, bytes: &[u8]) -> Option<Said> {
        let core = &self.record.entry.core;
        let response = EvaluateResponse::decode(bytes, Shape::Check).ok()?;
        let key = self.view.period_key(core.period, publisher)?;
        let binding = self.view.binding(core.period, publisher, core.audit_key_id)?;
        let z: Result<Vec<Element>, _> = response.z.iter().map(Element::from_bytes).collect();
        let c2: Vec<Element> = core.items.iter().map(|item| item.c2).collect();
        let (core_digest, envelope) = (core.digest(), sent.envelope.digest());
        let ctx = EvaluationContext {
            chain_id: &core.chain_id,
            publisher: publisher.as_bytes(),
            period: core.period.0,
            k: &key.k,
            core: &core_digest,
            envelope: &envelope,
        };
        let evaluation = verify_evaluation(&ctx, &c2, z.ok()?, &EvaluationProof::from_bytes(response.proof)).ok()?;
        let batch = |seq: u32| self.view.batch(core.period, publisher, seq);
        let judged = |seq: &u32| batch(*seq).is_some_and(|batch| batch.height <= self.record.judged_height);
        let batch_count = (0..key.batch_count).take_while(judged).count();
        let batch_count = u32::try_from(batch_count).ok()?;
        let rows = Recording::new(self.ledger.index(), core.period, publisher, batch_count);
        let id = PeriodKeyId {
            chain_id: core.chain_id,
            publisher: publisher.clone(),
            period: core.period,
            key_serial: key.key_serial,
        };
        for (index, identifier, secret) in &self.secrets {
            let output = evaluation.unblind(*index, &identifier.oprf_input(), secret, &binding.k_y).ok()?;
            walk(&output, &id.salt(), &rows).ok()?;
        }
        let batches = rows.openings()?;
        self.heights.insert(response.tip_height);
        self.keys.insert(keys::period_key(core.period, publisher));
        self.keys.insert(keys::binding(core.period, publisher, core.audit_key_id));
        // the one after the last shows, if it is there, that it came later
        self.keys.extend((0..=batch_count).map(|seq| keys::batch(core.period, publisher, seq)));
        Some(Said::Evaluated(Box::new(Evaluated { exchange: exchange(sent, bytes), batches })))
    }
}

fn refused(sent: &EntryEnvelope, bytes: &[u8]) -> Option<Said> {
    let response = EvaluateResponse::decode(bytes, Shape::Check).ok()?;
    let is_refusal = response.status != STATUS_EVALUATED && response.refusal().is_some();
    is_refusal.then(|| Said::Refused(Box::new(exchange(sent, bytes))))
}

fn exchange(sent: &EntryEnvelope, response: &[u8]) -> Exchange {
    Exchange {
        envelope: Blob(codec::encode(&sent.envelope)),
        signature: sent.signature,
        response: Blob(response.to_vec()),
    }
}
