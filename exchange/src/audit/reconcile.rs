//! Compares both sides' logs and proves every deviation that one honest side is enough to show.
//!
//! - **Place**: B10, [`OpenedLogs`] -> [`ReconcileReport`]
//! - **Shapes**: [`reconcile`] judges all log windows from window 0, [`reconcile_windows`] a range of them, with the windows
//!   around it as the other side; work grows with entries times log entries. What is checked of one entry or request alone
//!   is spread, what holds among them is compared afterwards in the order of the logs
//! - **Invariants**: an honest lender and an honest responder are never named, whatever the other side does
//! - **Errors**: none: everything wrong is a finding
//! - **Security**: cannot find an exchange that both sides hide
//! - **Source**: DESIGN.md section 4, "Reconciliation finds"; specs/protocol.md#reconciliation

mod disclosures;
mod entries;

use std::collections::BTreeMap;

use riskveil_crypto::{Digest32, Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::audit::entry::{EntryEnvelope, LogKind, Outcome};
use crate::audit::finding::{EntryFault, Finding, FindingKind, Proof};
use crate::audit::opened::{LoggedIn, OpenedLogs, RegulatorKey};
use crate::audit::request_check::{LoggedRequest, faults_of, parts};
use crate::audit::spread::{InTurn, Spread};
use crate::ids::{MemberId, Window};
use crate::member::Member;
use crate::policy::Policy;
use crate::query::messages::{Envelope, RequestCore};
use crate::query::refusal::{RefusalReason, STATUS_EVALUATED};

/// What a reconciliation looks at besides the logs.
#[derive(Clone, Copy, Debug)]
pub struct Reconciliation<'a> {
    /// The chain.
    pub chain_id: &'a Digest32,
    /// When window 0 began, Unix seconds.
    pub genesis_time_s: u64,
    /// Header time of block 1, Unix seconds: nothing could be logged before it.
    pub first_block_time_s: u64,
    /// The consortium's parameters.
    pub policy: &'a Policy,
    /// All members.
    pub members: &'a [Member],
    /// The regulator's keys.
    pub keys: &'a [RegulatorKey<'a>],
    /// Header time of the finalized tip up to which the logs were read, Unix seconds.
    pub head_time_s: u64,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileCounts {
    /// Log transactions.
    pub windows: u64,
    /// Leaves in them, padding included; each was accounted for or is a finding.
    pub leaves: u64,
    /// Lenders' entries.
    pub queries: u64,
    /// Envelopes in them.
    pub envelopes: u64,
    /// Responders' entries.
    pub receipts: u64,
    /// Envelopes that both sides logged.
    pub matched: u64,
    /// Envelopes and disclosures whose other side is not due yet.
    pub pending: u64,
    /// Distinct requests.
    pub requests: u64,
    /// Disclosures in lenders' logs.
    #[serde(default)]
    pub disclosures: u64,
    /// Disclosures in publishers' logs.
    #[serde(default)]
    pub disclosure_receipts: u64,
    /// Disclosures that both sides logged.
    #[serde(default)]
    pub disclosures_matched: u64,
}

/// What a reconciliation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconcileReport {
    /// Everything wrong, by kind and party.
    pub findings: Vec<Finding>,
    /// How much was compared.
    pub counts: ReconcileCounts,
}

/// Compares the logs.
#[must_use]
pub fn reconcile(input: &Reconciliation<'_>, logs: &OpenedLogs) -> ReconcileReport {
    reconcile_windows(input, logs, (Window(0), Window(u64::MAX)), &InTurn)
}

/// Compares the logs, and judges what was logged in windows `judged.0` to `judged.1`. `logs` needs every window that can hold
/// the other side of such an entry: from [`other_side_from`] on, up to the tip.
#[must_use]
pub fn reconcile_windows(
    input: &Reconciliation<'_>,
    logs: &OpenedLogs,
    judged: (Window, Window),
    spread: &impl Spread,
) -> ReconcileReport {
    let mut state = State::new(input, logs, judged);
    state.windows_are_whole();
    state.read_queries(spread);
    state.read_receipts(spread);
    state.requests_hold(spread);
    state.nonces_are_used_once();
    state.blindings_are_fresh();
    state.lenders_logged_what_was_received();
    state.responders_logged_what_they_answered();
    state.disclosures_hold();
    let mut findings = state.findings;
    findings.sort_by(|a, b| (a.kind, &a.party).cmp(&(b.kind, &b.party)));
    ReconcileReport { findings, counts: state.counts }
}

/// The first window that can hold the other side of an entry logged in `window`.
#[must_use]
pub fn other_side_from(policy: &Policy, window: Window) -> Window {
    let exchange_s = policy.request_ttl_s.saturating_add(policy.clock_skew_s.saturating_mul(2));
    let windows = exchange_s.div_ceil(policy.log_window_s.max(1)).saturating_add(policy.leaf_due_windows);
    Window(window.0.saturating_sub(windows.saturating_add(1)))
}

/// One distinct request with the first signed envelope that attributes it to its lender.
struct Request<'a> {
    logged: LoggedRequest<'a>,
    core_digest: Digest32,
    envelope: &'a Envelope,
    signature: &'a Signature,
    logged_in: &'a LoggedIn,
}

struct Sent<'a> {
    one: &'a EntryEnvelope,
    answered: Option<&'a Outcome>,
    logged_in: &'a LoggedIn,
}

struct Received<'a> {
    core: &'a RequestCore,
    envelope: &'a Envelope,
    signature: &'a Signature,
    status: u8,
    response_digest: Digest32,
    logged_in: &'a LoggedIn,
}

struct State<'a> {
    input: &'a Reconciliation<'a>,
    logs: &'a OpenedLogs,
    judged: (Window, Window),
    members: BTreeMap<&'a MemberId, &'a Member>,
    requests: BTreeMap<(Digest32, Digest32), Request<'a>>,
    sent: BTreeMap<Digest32, Sent<'a>>,
    received: BTreeMap<Digest32, Received<'a>>,
    findings: Vec<Finding>,
    counts: ReconcileCounts,
}

impl<'a> State<'a> {
    fn new(input: &'a Reconciliation<'a>, logs: &'a OpenedLogs, judged: (Window, Window)) -> Self {
        let is_judged = |window: &&LoggedIn| is_judged(judged, window.scope.first_window, window.scope.last_window);
        let windows: Vec<&LoggedIn> = logs.windows.iter().filter(is_judged).collect();
        Self {
            input,
            logs,
            judged,
            members: input.members.iter().map(|member| (&member.id, member)).collect(),
            requests: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            findings: logs.findings.iter().filter(|finding| finding_is_judged(judged, finding)).cloned().collect(),
            counts: ReconcileCounts {
                windows: windows.len() as u64,
                leaves: windows.iter().map(|window| u64::from(window.leaf_count)).sum(),
                ..ReconcileCounts::default()
            },
        }
    }

    /// Every member logged every window that is due, in time.
    fn windows_are_whole(&mut self) {
        for member in self.input.members {
            let logs = [(member.roles.lender, LogKind::Queries), (member.roles.publisher, LogKind::Receipts)];
            for (_, kind) in logs.into_iter().filter(|(has_role, _)| *has_role) {
                let mut covered: Vec<&LoggedIn> = self
                    .logs
                    .windows
                    .iter()
                    .filter(|window| window.kind == kind && window.scope.member == member.id && self.is_judged(window))
                    .collect();
                covered.sort_by_key(|window| window.scope.first_window);
                let mut next = self.judged.0;
                for window in covered {
                    if window.scope.first_window > next {
                        let last = Window(window.scope.first_window.0 - 1);
                        self.findings.push(self.missing(&member.id, next, last, self.window_due_s(next)));
                    }
                    if self.window_is_late(window) {
                        self.findings.push(Finding::new(FindingKind::Late, member.id.clone(), vec![window.proof()]));
                    }
                    next = next.max(window.scope.last_window.next());
                }
                let due_windows = self.due_windows().min(self.judged.1.0.saturating_add(1));
                if next.0 < due_windows {
                    self.findings.push(self.missing(
                        &member.id,
                        next,
                        Window(due_windows - 1),
                        self.window_due_s(next),
                    ));
                }
            }
        }
    }

    /// When a window must be on chain, Unix seconds of header time.
    fn window_due_s(&self, window: Window) -> u64 {
        let end_s = self.input.policy.window_end_s(self.input.genesis_time_s, window);
        end_s.max(self.input.first_block_time_s).saturating_add(self.grace_s())
    }

    fn window_is_late(&self, window: &LoggedIn) -> bool {
        window.header_time_s > self.window_due_s(window.scope.first_window)
    }

    /// How many windows, from window 0 on, are due before the tip.
    fn due_windows(&self) -> u64 {
        let head_s = self.input.head_time_s;
        if head_s <= self.input.first_block_time_s.saturating_add(self.grace_s()) {
            return 0;
        }
        let ended_s = head_s.saturating_sub(self.input.genesis_time_s).saturating_sub(self.grace_s()).saturating_sub(1);
        ended_s / self.input.policy.log_window_s.max(1)
    }

    fn grace_s(&self) -> u64 {
        self.input.policy.leaf_due_windows.saturating_mul(self.input.policy.log_window_s)
    }

    fn missing(&self, member: &MemberId, first: Window, last: Window, due_s: u64) -> Finding {
        let proof = vec![Proof::AbsentAt { due_s, searched_until_s: self.input.head_time_s }];
        let mut finding = Finding::new(FindingKind::MissingWindow, member.clone(), proof);
        finding.windows = Some((first, last));
        finding
    }

    /// Lenders' entries that hold together; envelopes whose leaf is on chain count as logged.
    fn read_queries(&mut self, spread: &impl Spread) {
        let checked = spread.map(&self.logs.queries, |logged| self.check_query(logged));
        for (logged, checked) in self.logs.queries.iter().zip(checked) {
            let Some(logged_in) = self.logs.windows.get(logged.window) else { continue };
            let is_judged = self.is_judged(logged_in);
            self.counts.queries += u64::from(is_judged);
            let (entry, core_digest) = (&logged.entry, checked.core_digest);
            if !checked.is_own {
                self.invalid(logged_in, core_digest, EntryFault::NotOwn);
                continue;
            }
            if is_judged {
                self.is_in_time(logged_in, &entry.core, core_digest);
            }
            for ((one, on_chain), found) in entry.envelopes.iter().zip(&logged.on_chain).zip(checked.envelopes) {
                self.counts.envelopes += u64::from(is_judged);
                if let Err(fault) = found.holds {
                    self.invalid(logged_in, core_digest, fault);
                    continue;
                }
                // one that its responder did not sign is the lender's invention
                let answered = one.outcome.as_ref().filter(|_| found.is_answered);
                if one.outcome.is_some() && answered.is_none() {
                    self.invalid(logged_in, core_digest, EntryFault::OutcomeSignature);
                }
                if is_judged {
                    self.note_request(
                        &entry.core,
                        &entry.proofs,
                        &entry.seal,
                        core_digest,
                        &one.envelope,
                        &one.signature,
                        logged_in,
                    );
                }
                if *on_chain {
                    self.sent.insert(found.digest, Sent { one, answered, logged_in });
                }
            }
        }
    }

    /// Responders' entries that hold together.
    fn read_receipts(&mut self, spread: &impl Spread) {
        let checked = spread.map(&self.logs.receipts, |logged| self.check_receipt(logged));
        for (logged, checked) in self.logs.receipts.iter().zip(checked) {
            let Some(logged_in) = self.logs.windows.get(logged.window) else { continue };
            let is_judged = self.is_judged(logged_in);
            self.counts.receipts += u64::from(is_judged);
            let (entry, core_digest) = (&logged.entry, checked.core_digest);
            if let Err(fault) = checked.holds {
                self.invalid(logged_in, core_digest, fault);
                continue;
            }
            if is_judged {
                self.note_request(
                    &entry.core,
                    &entry.proofs,
                    &entry.seal,
                    core_digest,
                    &entry.envelope,
                    &entry.signature,
                    logged_in,
                );
                // A refused request may state any time; one that was evaluated was issued near the responder's clock.
                if entry.status == STATUS_EVALUATED {
                    self.is_in_time(logged_in, &entry.core, core_digest);
                }
            }
            if logged.on_chain.contains(&true) {
                let received = Received {
                    core: &entry.core,
                    envelope: &entry.envelope,
                    signature: &entry.signature,
                    status: entry.status,
                    response_digest: entry.response_digest,
                    logged_in,
                };
                self.received.insert(checked.envelope_digest, received);
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // the parts of two kinds of entry
    fn note_request(
        &mut self,
        core: &'a RequestCore,
        proofs: &'a crate::query::messages::Proofs,
        seal: &'a [u8],
        core_digest: Digest32,
        envelope: &'a Envelope,
        signature: &'a Signature,
        logged_in: &'a LoggedIn,
    ) {
        self.requests.entry((core_digest, envelope.proofs_digest)).or_insert_with(|| Request {
            // the digest stands in the request itself; LoggedRequest borrows it when it is checked
            logged: LoggedRequest { core, core_digest: &envelope.core_digest, proofs, seal },
            core_digest,
            envelope,
            signature,
            logged_in,
        });
    }

    fn is_in_time(&mut self, logged_in: &LoggedIn, core: &RequestCore, core_digest: Digest32) {
        if logged_in.header_time_s > self.due_s(core) && !self.window_is_late(logged_in) {
            let party = logged_in.scope.member.clone();
            self.findings.push(Finding::new(FindingKind::Late, party, vec![logged_in.proof()]).about(core_digest));
        }
    }

    /// Proofs, seal, ciphertexts and consents of every distinct request.
    fn requests_hold(&mut self, spread: &impl Spread) {
        self.counts.requests = self.requests.len() as u64;
        let logged: Vec<LoggedRequest<'_>> = self.requests.values().map(|request| request.logged).collect();
        let faults = spread.map(&parts(&logged), |part| faults_of(part, self.input.keys));
        for (request, faults) in self.requests.values().zip(faults.into_iter().flatten()) {
            for fault in faults {
                let mut finding = request.finding(fault.kind);
                finding.item = fault.item;
                if fault.kind == FindingKind::EntryInvalid {
                    finding.fault = Some(EntryFault::ProofOfKnowledge);
                }
                self.findings.push(finding);
            }
        }
    }

    /// One nonce, one request.
    fn nonces_are_used_once(&mut self) {
        let mut first: BTreeMap<(&MemberId, &[u8; 32]), &Request<'_>> = BTreeMap::new();
        for request in self.requests.values() {
            let core = request.logged.core;
            let before = *first.entry((&core.lender, &core.nonce)).or_insert(request);
            if before.core_digest != request.core_digest {
                let mut finding = request.finding(FindingKind::Equivocation);
                finding.proof.push(before.signed_envelope());
                self.findings.push(finding);
            }
        }
    }

    /// No C1 stands in two places of one lender's requests: two items with one s differ by the difference of their points.
    ///
    /// Another lender's C1 cannot be used without its s: such a request fails its proof of knowledge.
    fn blindings_are_fresh(&mut self) {
        let mut first: BTreeMap<(&MemberId, &[u8; 32]), (&Request<'_>, usize)> = BTreeMap::new();
        for request in self.requests.values() {
            let core = request.logged.core;
            for (index, item) in core.items.iter().enumerate() {
                let before = *first.entry((&core.lender, item.c1.as_bytes())).or_insert((request, index));
                let same_place = before.0.core_digest == request.core_digest && before.1 == index;
                if !same_place {
                    let mut finding = request.finding(FindingKind::RepeatedC1);
                    finding.item = u32::try_from(index).ok();
                    finding.proof.push(before.0.signed_envelope());
                    self.findings.push(finding);
                }
            }
        }
    }

    /// Every envelope that a responder holds is in its lender's log.
    fn lenders_logged_what_was_received(&mut self) {
        for (digest, received) in &self.received {
            if !self.is_judged(received.logged_in) {
                continue;
            }
            if self.sent.contains_key(digest) {
                self.counts.matched += 1;
                continue;
            }
            let due_s = self.other_side_due_s(received.logged_in);
            if self.input.head_time_s <= due_s {
                self.counts.pending += 1;
                continue;
            }
            let proof = vec![
                Proof::SignedEnvelope { envelope: received.envelope.clone(), signature: *received.signature },
                Proof::AbsentAt { due_s, searched_until_s: self.input.head_time_s },
                received.logged_in.proof(),
            ];
            let finding = Finding::new(FindingKind::LenderOmitted, received.core.lender.clone(), proof);
            self.findings.push(finding.about(received.envelope.core_digest));
        }
    }

    /// Every answer that a lender holds is in its responder's log, as it was given.
    fn responders_logged_what_they_answered(&mut self) {
        for (digest, sent) in &self.sent {
            if !self.is_judged(sent.logged_in) {
                continue;
            }
            let due_s = self.other_side_due_s(sent.logged_in);
            let Some(outcome) = sent.answered.filter(|outcome| is_receipted(outcome.status)) else { continue };
            let publisher = &sent.one.envelope.publisher;
            let signed = Proof::SignedOutcome {
                publisher: publisher.clone(),
                envelope_digest: *digest,
                outcome: outcome.clone(),
            };
            let about = sent.one.envelope.core_digest;
            match self.received.get(digest) {
                Some(received)
                    if received.status == outcome.status && received.response_digest == outcome.response_digest => {}
                Some(received) => {
                    let proof = vec![signed, received.logged_in.proof()];
                    let finding = Finding::new(FindingKind::Equivocation, publisher.clone(), proof);
                    self.findings.push(finding.about(about));
                }
                None if self.input.head_time_s <= due_s => self.counts.pending += 1,
                None => {
                    let absent = Proof::AbsentAt { due_s, searched_until_s: self.input.head_time_s };
                    let proof = vec![signed, absent, sent.logged_in.proof()];
                    let finding = Finding::new(FindingKind::ResponderOmitted, publisher.clone(), proof);
                    self.findings.push(finding.about(about));
                }
            }
        }
    }

    fn is_judged(&self, logged_in: &LoggedIn) -> bool {
        is_judged(self.judged, logged_in.scope.first_window, logged_in.scope.last_window)
    }

    fn invalid(&mut self, logged_in: &LoggedIn, core_digest: Digest32, fault: EntryFault) {
        if !self.is_judged(logged_in) {
            return;
        }
        let party = logged_in.scope.member.clone();
        let mut finding = Finding::new(FindingKind::EntryInvalid, party, vec![logged_in.proof()]).about(core_digest);
        finding.fault = Some(fault);
        self.findings.push(finding);
    }

    /// When the entry of a request must be on chain: its issue by a clock that may be fast, and the policy's windows.
    fn due_s(&self, core: &RequestCore) -> u64 {
        self.due_at_s(core.issued_at_s)
    }

    fn due_at_s(&self, issued_at_s: u64) -> u64 {
        issued_at_s.saturating_add(self.input.policy.clock_skew_s).saturating_add(self.grace_s())
    }

    /// When the other side of an entry must be on chain. Counted from when the entry was logged, because a core states whatever
    /// time its lender likes, and a member that catches up may log under an old window what happened just now; one side may
    /// have waited for the request's whole lifetime after the other was done.
    fn other_side_due_s(&self, logged_in: &LoggedIn) -> u64 {
        let policy = self.input.policy;
        let exchange_s = policy.request_ttl_s.saturating_add(policy.clock_skew_s);
        let window_end_s = policy.window_end_s(self.input.genesis_time_s, logged_in.scope.last_window);
        window_end_s.max(logged_in.header_time_s).saturating_add(exchange_s).saturating_add(self.grace_s())
    }

    fn identity_key(&self, member: &MemberId) -> Option<&'a VerifyingKey> {
        self.members.get(member).map(|member| &member.identity_key)
    }
}

impl Request<'_> {
    fn signed_envelope(&self) -> Proof {
        Proof::SignedEnvelope { envelope: self.envelope.clone(), signature: *self.signature }
    }

    fn finding(&self, kind: FindingKind) -> Finding {
        let proof = vec![self.signed_envelope(), self.logged_in.proof()];
        Finding::new(kind, self.logged.core.lender.clone(), proof).about(self.core_digest)
    }
}

fn is_judged(judged: (Window, Window), first: Window, last: Window) -> bool {
    first <= judged.1 && last >= judged.0
}

/// A finding about a log transaction is judged with its windows.
fn finding_is_judged(judged: (Window, Window), finding: &Finding) -> bool {
    finding.proof.iter().all(|proof| match proof {
        Proof::OnChain { first_window, last_window, .. } => is_judged(judged, *first_window, *last_window),
        _ => true,
    })
}

fn is_receipted(status: u8) -> bool {
    RefusalReason::from_code(status).is_none_or(RefusalReason::is_receipted)
}
