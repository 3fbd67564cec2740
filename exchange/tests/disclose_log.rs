//! Disclosures in the logs: both sides are compared, an omitted one is a finding, and the regulator learns no more than needed.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // tables of (change, expected)

mod common;

use common::disclosure::{Disclosing, record_of};
use common::{GENESIS_S, NOW_S, RESIDENT, identifier, member_id};
use riskveil_crypto::{Digest32, digest};
use riskveil_exchange::audit::entry::{LenderEntry, LogKind, ReceiptEntry, ResponderEntry};
use riskveil_exchange::audit::finding::{EntryFault, Finding, FindingKind, Proof};
use riskveil_exchange::audit::window::{SealTo, SealedWindow, WindowScope, payload_budget};
use riskveil_exchange::audit::{
    InTurn, LogEntry, OpenedLogs, Outcome, ReconcileReport, Reconciliation, RegulatorKey, SeenWindow,
    reconcile_windows, subject_trail,
};
use riskveil_exchange::disclose::{Ask, DisclosureEntry, DisclosureReceipt, DisclosureRefusal, DisclosureRequest};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Window};
use riskveil_exchange::publish::Attribute;
use riskveil_exchange::query::seal::Consent;
use riskveil_exchange::record::{IdType, Level};

const WINDOW: Window = Window((NOW_S - GENESIS_S) / 60);
const LATER_S: u64 = NOW_S + 2_000;

/// The logs of one window of the lender and of INST-01, in the clear: a check that hit, and one disclosure after it.
struct Logs {
    all: Disclosing,
    lender: Vec<LenderEntry>,
    publisher: Vec<ResponderEntry>,
    logged_at_s: u64,
    head_time_s: u64,
}

impl Logs {
    fn honest() -> Self {
        let mut all = Disclosing::new();
        let held = all.honest(0, &record_of(RESIDENT, 45, 123_456, "2026-05-19"), Level::Banded);
        let addressed = all.world.ask(&[(IdType::ResidentId, RESIDENT)]);
        let request = addressed.requests[0].clone();
        let response = all.world.respond(0, &request);
        let outcome =
            Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
        let mut query = addressed.entry;
        query.envelopes.truncate(1);
        assert!(query.note_outcome(&request.envelope.digest(), outcome.clone()));
        let receipt = ReceiptEntry::new(request.clone(), response.status, response.digest());
        let mut hit = all.check(0, RESIDENT);
        // the disclosure names the check that is logged
        let verified = common::evaluated(addressed.state.accept(&all.world.view(0), &response.encode()).unwrap());
        assert_eq!(verified.items_verified(), 4);
        (hit.core, hit.envelope, hit.outcome, hit.state) = (request.core, request.envelope, outcome, addressed.state);
        let asked = all.ask(0, &hit, Attribute::Amount, Ask::Open);
        let (answer, outcome) = all.answer(0, &asked.request, Some(&held));
        assert_eq!(outcome, Ok(()));
        let mut entry = asked.entry;
        let outcome = Outcome { status: answer.status, response_digest: answer.digest(), signature: answer.signature };
        assert!(entry.note_outcome(&asked.request.head.digest(), outcome));
        let disclosed = DisclosureReceipt::new(asked.request, answer.status, answer.digest());
        Self {
            all,
            lender: vec![query.into(), entry.into()],
            publisher: vec![receipt.into(), disclosed.into()],
            logged_at_s: NOW_S + 60,
            head_time_s: LATER_S,
        }
    }

    fn entry(&mut self) -> &mut DisclosureEntry {
        let found = self.lender.iter_mut().find_map(|entry| match entry {
            LenderEntry::Disclosure(entry) => Some(entry),
            LenderEntry::Query(_) => None,
        });
        found.unwrap()
    }

    fn receipt(&mut self) -> &mut DisclosureReceipt {
        let found = self.publisher.iter_mut().find_map(|entry| match entry {
            ResponderEntry::Disclosure(entry) => Some(entry),
            ResponderEntry::Receipt(_) => None,
        });
        found.unwrap()
    }

    fn open(&mut self) -> OpenedLogs {
        let mut opened = OpenedLogs::default();
        let (lender, publisher) = (self.lender.clone(), self.publisher.clone());
        self.add(&mut opened, LogKind::Queries, member_id("LENDER-01"), &lender);
        self.add(&mut opened, LogKind::Receipts, member_id("INST-01"), &publisher);
        opened
    }

    fn add<E: LogEntry>(&mut self, opened: &mut OpenedLogs, kind: LogKind, member: MemberId, entries: &[E]) {
        let world = &mut self.all.world;
        let scope = WindowScope { chain_id: world.chain_id, member, first_window: WINDOW, last_window: WINDOW };
        let public = world.seal.public();
        let to = SealTo { audit_key_id: AuditKeyId(0), key: &public };
        let sealed =
            SealedWindow::build(&scope, entries, to, 4, payload_budget(&world.policy), &mut world.rng).unwrap();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &world.audit, seal: &world.seal }];
        let (height, header_time_s) = (Height(9), self.logged_at_s);
        opened.add(&SeenWindow { kind, scope: &scope, height, header_time_s, payload: &sealed.payload }, &keys);
    }

    fn reconcile(&mut self) -> ReconcileReport {
        let opened = self.open();
        let members: Vec<_> =
            self.all.world.members().into_iter().filter(|member| member.id != member_id("INST-02")).collect();
        let world = &self.all.world;
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &world.audit, seal: &world.seal }];
        let input = Reconciliation {
            chain_id: &world.chain_id,
            genesis_time_s: GENESIS_S,
            first_block_time_s: GENESIS_S,
            policy: &world.policy,
            members: &members,
            keys: &keys,
            head_time_s: self.head_time_s,
        };
        reconcile_windows(&input, &opened, (WINDOW, WINDOW), &InTurn)
    }
}

fn only(report: &ReconcileReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    assert!(!report.findings[0].proof.is_empty());
    &report.findings[0]
}

#[test]
fn a_disclosure_that_both_sides_logged_is_matched_and_hidden_among_the_leaves() {
    let mut logs = Logs::honest();
    let report = logs.reconcile();
    assert_eq!(report.findings, []);
    let counts = report.counts;
    assert_eq!((counts.disclosures, counts.disclosure_receipts, counts.disclosures_matched), (1, 1, 1));
    assert_eq!((counts.queries, counts.receipts, counts.matched, counts.pending), (1, 1, 1, 0));
    let opened = logs.open();
    assert_eq!((opened.queries.len(), opened.receipts.len()), (1, 1));
    assert!(opened.windows.iter().all(|window| window.leaf_count == 4), "two entries and two padding leaves");
    assert_ne!(logs.entry().leaf(), logs.receipt().leaf());
    let (receipt, entry) = (logs.receipt().lender_leaf(), logs.entry().leaf());
    assert_eq!(receipt, entry, "the publisher knows which leaf the lender owes");
}

#[test]
fn lender_omitted_disclosure() {
    let mut logs = Logs::honest();
    logs.lender.pop();
    let report = logs.reconcile();
    let finding = only(&report);
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::LenderOmitted, "LENDER-01"));
    assert_eq!(finding.disclosure, Some(logs.receipt().head.digest()));
    let Proof::SignedDisclosure { head, signature } = &finding.proof[0] else { panic!("no head") };
    assert!(head.verify(&logs.all.world.lender_identity, signature).is_ok());
    logs.head_time_s = NOW_S + 300;
    let pending = logs.reconcile();
    assert_eq!((pending.findings.len(), pending.counts.pending), (0, 1), "not due yet");
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ReconcileReport>(&json).unwrap(), report);
    assert!(!json.contains(RESIDENT));
}

#[test]
fn publisher_omitted_disclosure() {
    let mut logs = Logs::honest();
    logs.publisher.pop();
    let report = logs.reconcile();
    let finding = only(&report);
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ResponderOmitted, "INST-01"));
    let Proof::SignedOutcome { envelope_digest, outcome, .. } = &finding.proof[0] else { panic!("no outcome") };
    let own = &logs.all.world.publishers[0];
    assert!(outcome.verify(&logs.all.world.chain_id, envelope_digest, &own.identity_key).is_ok());
    assert_eq!(finding.disclosure, Some(*envelope_digest));
    logs.head_time_s = NOW_S + 300;
    assert_eq!(logs.reconcile().counts.pending, 1);
}

#[test]
fn a_lender_cannot_blame_a_publisher_that_did_not_answer_or_refused_unreceipted() {
    let mut logs = Logs::honest();
    logs.publisher.pop();
    let invented = logs.entry().outcome.clone().unwrap();
    logs.entry().outcome = Some(Outcome { response_digest: Digest32::ZERO, ..invented });
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::EntryInvalid, "LENDER-01"));
    assert_eq!(finding.fault, Some(EntryFault::OutcomeSignature));
    logs.entry().outcome = None;
    assert_eq!(logs.reconcile().findings, []);
    for reason in DisclosureRefusal::ALL.into_iter().filter(|reason| !reason.is_receipted()) {
        let (chain_id, digest) = (logs.all.world.chain_id, logs.entry().head.digest());
        let identity = &logs.all.world.publishers[0].identity;
        let outcome = Outcome::sign(&chain_id, &digest, reason.code(), digest::sha256(b"refusal"), identity);
        logs.entry().outcome = Some(outcome);
        assert_eq!(logs.reconcile().findings, [], "{reason}");
    }
}

#[test]
fn a_publisher_that_logs_another_answer_than_it_gave_equivocates() {
    let lies: [fn(&mut DisclosureReceipt); 2] = [|r| r.status = 16, |r| r.response_digest = Digest32::ZERO];
    for change in lies {
        let mut logs = Logs::honest();
        change(logs.receipt());
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::Equivocation, "INST-01"));
    }
}

#[test]
fn a_lender_that_uses_one_nonce_for_two_disclosures_equivocates() {
    let mut logs = Logs::honest();
    let mut second = logs.entry().clone();
    second.head.body_digest = Digest32::ZERO;
    second.signature = second.head.sign(&logs.all.world.lender_key);
    second.outcome = None;
    logs.lender.push(second.into());
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::Equivocation, "LENDER-01"));
    let heads = finding.proof.iter().filter(|proof| matches!(proof, Proof::SignedDisclosure { .. })).count();
    assert_eq!(heads, 2);
}

#[test]
fn a_consent_that_is_not_the_committed_one_names_who_logged_it() {
    let mut logs = Logs::honest();
    logs.entry().consent.digest = digest::sha256(b"another document");
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ConsentMismatch, "LENDER-01"));

    let mut logs = Logs::honest();
    logs.receipt().consent.salt = [0; 32];
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ConsentMismatch, "INST-01"));

    // no document at all, signed by the lender
    let mut logs = Logs::honest();
    logs.publisher.pop();
    let none = Consent { digest: Digest32::ZERO, salt: [4; 32] };
    let key = logs.all.world.lender_key.clone();
    let entry = logs.entry();
    (entry.consent, entry.head.consent_commit, entry.outcome) = (none, none.commitment(), None);
    entry.signature = entry.head.sign(&key);
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ConsentMismatch, "LENDER-01"));
}

#[test]
fn entries_that_nobody_signed_or_that_are_another_members_are_invalid() {
    let lies: [(fn(&mut DisclosureEntry), EntryFault); 4] = [
        (|e| e.head.check = Digest32::ZERO, EntryFault::LenderSignature),
        (|e| e.head.header.kind = 17, EntryFault::Form),
        (|e| e.head.lender = member_id("INST-01"), EntryFault::NotOwn),
        (|e| e.head.chain_id = Digest32::ZERO, EntryFault::NotOwn),
    ];
    for (lie, fault) in lies {
        let mut logs = Logs::honest();
        logs.publisher.pop();
        logs.entry().outcome = None;
        lie(logs.entry());
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.fault), (FindingKind::EntryInvalid, Some(fault)));
        assert_eq!(finding.party.as_str(), "LENDER-01");
    }
    // a publisher that invents a request names only itself
    let mut logs = Logs::honest();
    let mut invented = logs.receipt().clone();
    invented.head.nonce = [1; 32];
    logs.publisher.push(invented.into());
    let finding = only(&logs.reconcile()).clone();
    assert_eq!((finding.kind, finding.fault), (FindingKind::EntryInvalid, Some(EntryFault::LenderSignature)));
    assert_eq!(finding.party.as_str(), "INST-01");
    let mut logs = Logs::honest();
    let mut others = logs.receipt().clone();
    others.head.publisher = member_id("INST-02");
    logs.publisher.push(others.into());
    assert_eq!(only(&logs.reconcile()).fault, Some(EntryFault::NotOwn));
}

#[test]
fn a_disclosure_that_is_logged_long_after_it_was_asked_for_is_late() {
    let mut logs = Logs::honest();
    logs.all.world.policy.leaf_due_windows = 1;
    logs.logged_at_s = NOW_S + 75;
    let report = logs.reconcile();
    assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Late), "{:#?}", report.findings);
    let about = report.findings.iter().filter(|finding| finding.disclosure.is_some()).count();
    assert_eq!(about, 2, "the lender's entry and the publisher's");
}

#[test]
fn the_trail_of_a_person_says_who_was_told_more() {
    let mut logs = Logs::honest();
    let opened = logs.open();
    let world = &logs.all.world;
    let keys = [RegulatorKey { id: AuditKeyId(0), audit: &world.audit, seal: &world.seal }];
    let who = [identifier(IdType::ResidentId, RESIDENT)];
    let trail = subject_trail(&opened, &keys, &who, &InTurn);
    assert_eq!((trail.len(), trail[0].disclosures.len()), (1, 1));
    let disclosure = &trail[0].disclosures[0];
    assert_eq!((disclosure.publisher.as_str(), disclosure.status), ("INST-01", Some(0)));
    assert_eq!(disclosure.consent_digest, digest::sha256(b"consent to a disclosure"));
    assert!(disclosure.logged_by_lender && disclosure.logged_by_publisher);
    // hidden by the lender, still found in the publisher's log
    logs.lender.clear();
    let opened = logs.open();
    let world = &logs.all.world;
    let keys = [RegulatorKey { id: AuditKeyId(0), audit: &world.audit, seal: &world.seal }];
    let trail = subject_trail(&opened, &keys, &who, &InTurn);
    assert_eq!((trail[0].disclosures.len(), trail[0].disclosures[0].logged_by_lender), (1, false));
    let json = serde_json::to_string(&trail).unwrap();
    assert!(!json.contains(RESIDENT) && !json.contains("123456"));
}

#[test]
fn a_receipt_is_made_of_the_request_alone() {
    let mut logs = Logs::honest();
    let receipt = logs.receipt().clone();
    let bytes = riskveil_crypto::codec::encode(&ResponderEntry::Disclosure(receipt.clone()));
    println!("receipt of a disclosure: {} bytes", bytes.len());
    assert!(bytes.len() < 600 && DisclosureRequest::decode(&bytes).is_err());
    assert_eq!(
        receipt.head.check,
        match &logs.publisher[0] {
            ResponderEntry::Receipt(check) => check.envelope.digest(),
            ResponderEntry::Disclosure(_) => panic!(),
        }
    );
}
