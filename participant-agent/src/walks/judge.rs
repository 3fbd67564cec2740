//! Steps B6 and B7: at one height of the lender's own replica, what each publisher's answer is.
//!
//! - **Place**: verified responses -> the six conditions, the local look-up, opened labels -> `ResponderAnswer`
//! - **Invariants**: one finalized view judges a whole question; it has reached every responder's tip, or that responder is
//!   `unavailable(tip_unknown)`
//! - **Security**: the look-up is local: nobody learns what was found. The chain decides what is complete, never a response
//! - **Source**: DESIGN.md section 4, "`clear` requires"; `exchange::query::clear`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use riskveil_chain::index::{self, RowIndex, Rows};
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_crypto::Digest32;
use riskveil_crypto::fingerprint::Tag;
use riskveil_exchange::ids::{Height, MemberId, Period};
use riskveil_exchange::publish::PeriodKeyId;
use riskveil_exchange::query::answer::{MalformedReason, ResponderAnswer, answer_subjects};
use riskveil_exchange::query::clear::{Conditions, KeyAtHeight, TIP_WAIT_S};
use riskveil_exchange::query::lookup::{FoundRow, IndexUnavailable, IndexView};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::session::VerifiedResponse;
use riskveil_exchange::record::Day;

use super::QueryError;
use super::ask::{Asked, Heard, Question, ask};
use crate::context::Context;

/// The finalized view that judges a question, and what it says of every responder's tip.
#[derive(Debug)]
pub struct Judgement {
    /// The view.
    pub view: Arc<FinalizedView>,
    /// The lender's clock when it was taken, Unix seconds.
    pub judged_at_s: u64,
    /// The period that the view's header time falls in.
    pub period: Period,
    responder_times_s: Vec<u64>,
    own_hashes: BTreeMap<MemberId, Digest32>,
}

/// A question that was asked and can be judged.
#[derive(Debug)]
pub struct Settled {
    /// What was heard.
    pub asked: Asked,
    /// What judges it.
    pub judgement: Judgement,
}

/// Asks, and waits until the own replica can judge. A question that a period's end overtook is asked once more, with a new
/// nonce and fresh blindings, when the own replica has passed that end.
///
/// # Errors
/// [`QueryError`]: nothing was sent.
pub async fn ask_and_settle(context: &Context, question: Question) -> Result<Settled, QueryError> {
    let asked = ask(context, question.clone()).await?;
    let judgement = settle(context, &asked).await;
    if judgement.period == asked.period {
        return Ok(Settled { asked, judgement });
    }
    let asked = ask(context, question).await?;
    let judgement = settle(context, &asked).await;
    Ok(Settled { asked, judgement })
}

/// Waits, at most 5 s, until the own finalized view has reached the tip of every responder.
async fn settle(context: &Context, asked: &Asked) -> Judgement {
    let tips: Vec<(&MemberId, Height, u64, bool)> =
        asked.heard.iter().filter_map(|(id, heard)| tip_of(id, heard)).collect();
    let highest = tips.iter().filter(|(.., judged)| *judged).map(|(_, tip, ..)| *tip).max().unwrap_or_default();
    // who is not reached in time is `unavailable(tip_unknown)`
    let _in_time = reached(context, highest).await;
    let view = context.ledger.view();
    let mut own_hashes = BTreeMap::new();
    for (publisher, tip, ..) in &tips {
        if let Some(hash) = own_hash(context, &view, asked, *tip).await {
            own_hashes.insert((*publisher).clone(), hash);
        }
    }
    Judgement {
        judged_at_s: context.clock.now_s(),
        period: view.period(context.ledger.genesis()),
        responder_times_s: tips.iter().map(|(_, _, served_at_s, _)| *served_at_s).collect(),
        own_hashes,
        view,
    }
}

/// Waits, at most 5 s, until the own finalized view has reached a height; says whether it has.
pub(super) async fn reached(context: &Context, height: Height) -> bool {
    let mut changes = context.ledger.watch();
    let reached = changes.wait_for(|own| *own >= height);
    tokio::time::timeout(Duration::from_secs(TIP_WAIT_S), reached).await.is_ok()
}

/// The tip and clock in a signed answer, and whether the own replica has to reach that tip.
fn tip_of<'a>(publisher: &'a MemberId, heard: &Heard) -> Option<(&'a MemberId, Height, u64, bool)> {
    let (head, judged) = match heard {
        Heard::Evaluated(response) => (&response.head, true),
        Heard::Refused(refusal) => (&refusal.head, refusal.reason == RefusalReason::PeriodOver),
        Heard::Faulty(_) | Heard::Nothing(_) => return None,
    };
    Some((publisher, head.tip_height, head.served_at_s, judged))
}

/// The own header hash at a height; none above the view.
async fn own_hash(context: &Context, view: &FinalizedView, asked: &Asked, height: Height) -> Option<Digest32> {
    let core = asked.state.core();
    match height {
        height if height > view.height() => None,
        height if height == view.height() => Some(view.digest),
        height if height == core.ref_height => Some(core.ref_header_hash),
        height => context.node.header(height).await.map(|header| header.digest()),
    }
}

impl Judgement {
    /// One publisher's answer about each of the first `subjects` subjects of the question.
    #[must_use]
    pub fn answers(
        &self,
        context: &Context,
        asked: &Asked,
        publisher: &MemberId,
        subjects: usize,
        as_of: Day,
    ) -> Vec<ResponderAnswer> {
        let same = match asked.heard.get(publisher) {
            Some(Heard::Evaluated(response)) => {
                return self.judge(context, asked, publisher, response, subjects, as_of);
            }
            Some(Heard::Refused(refusal)) => ResponderAnswer::Refused(refusal.reason),
            Some(Heard::Faulty(_)) => ResponderAnswer::Malformed(MalformedReason::Response),
            Some(Heard::Nothing(reason)) => ResponderAnswer::Unavailable(*reason),
            None => ResponderAnswer::Unavailable(riskveil_exchange::query::UnavailableReason::NotReached),
        };
        vec![same; subjects]
    }

    fn judge(
        &self,
        context: &Context,
        asked: &Asked,
        publisher: &MemberId,
        response: &VerifiedResponse,
        subjects: usize,
        as_of: Day,
    ) -> Vec<ResponderAnswer> {
        let (view, period) = (&self.view, asked.period);
        let key = view.period_key(period, publisher);
        let bound = view.binding(period, publisher, asked.state.core().audit_key_id).is_some();
        let counted = key.as_ref().map_or(0, |key| key.batch_count);
        let index = context.ledger.index();
        let at = Conditions {
            policy: &context.ledger.genesis().policy,
            now_s: self.judged_at_s,
            height: view.height(),
            header_time_s: view.time_s(),
            responder_times_s: &self.responder_times_s,
            own_header_hash_at_tip: self.own_hashes.get(publisher).copied(),
            active: view.member(publisher).is_some_and(|member| member.roles.publisher),
            current_period: self.period,
            key: key.as_ref().map(|key| KeyAtHeight {
                k: &key.k,
                sealed: key.sealed.is_some(),
                revoked: key.revoked,
                bound,
                batch_count: key.batch_count,
            }),
            batches_held: if index.holds(period, publisher, counted) { counted } else { 0 },
            batch_count_at_tip: counted_at(view, period, publisher, counted, response.head.tip_height),
        };
        let id = PeriodKeyId {
            chain_id: context.chain_id,
            publisher: publisher.clone(),
            period,
            key_serial: key.as_ref().map_or(0, |key| key.key_serial),
        };
        let rows = ReplicaRows::new(index, period, publisher, counted);
        answer_subjects(&asked.state, 0..subjects, response, &at, &id, &rows, as_of)
    }
}

/// How many of a publisher's batches the chain counted at a height that is not above the view.
pub(super) fn counted_at(
    view: &FinalizedView,
    period: Period,
    publisher: &MemberId,
    counted: u32,
    height: Height,
) -> u32 {
    let later = |seq: &u32| view.batch(period, publisher, *seq).is_some_and(|batch| batch.height > height);
    let above = (0..counted).rev().take_while(later).count();
    counted.saturating_sub(u32::try_from(above).unwrap_or(u32::MAX))
}

/// The replica's rows of one publisher as of the judged height; none if they are not whole.
pub(super) struct ReplicaRows(Option<Rows>);

impl ReplicaRows {
    pub(super) fn new(index: &RowIndex, period: Period, publisher: &MemberId, batch_count: u32) -> Self {
        Self(index.rows(period, publisher, batch_count).ok())
    }
}

impl IndexView for ReplicaRows {
    fn lookup(&self, tag: &Tag) -> Result<Option<FoundRow>, IndexUnavailable> {
        let rows = self.0.as_ref().ok_or(IndexUnavailable)?;
        Ok(rows.lookup(tag).map(found))
    }

    fn lookup_all(&self, tags: &[Tag]) -> Vec<Result<Option<FoundRow>, IndexUnavailable>> {
        match &self.0 {
            Some(rows) => rows.lookup_all(tags).into_iter().map(|row| Ok(row.map(found))).collect(),
            None => vec![Err(IndexUnavailable); tags.len()],
        }
    }
}

fn found(found: index::FoundRow) -> FoundRow {
    let index::FoundRow { row, batch_seq, position, withdrawn } = found;
    FoundRow { row, batch_seq, position, withdrawn }
}
