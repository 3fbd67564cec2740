//! Walk B, steps 8 to 10: sealed windows, and each finding with the deviation that brings it about.

#![allow(clippy::unwrap_used, clippy::type_complexity)] // tables of (change, expected)

mod common;

use common::{CARD, GENESIS_S, MOBILE, NOW_S, OTHER_RESIDENT, RESIDENT, World, identifier, member_id};
use riskveil_crypto::escrow::{EscrowSecret, escrow, prove_knowledge};
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, SecretBytes, codec, digest};
use riskveil_exchange::audit::access::{AuditAction, AuditScope};
use riskveil_exchange::audit::entry::{LenderEntry, LogKind, QueryEntry, ReceiptEntry, ResponderEntry};
use riskveil_exchange::audit::finding::{EntryFault, Finding, FindingKind, Proof};
use riskveil_exchange::audit::window::{LogPayload, SealTo, SealedWindow, WindowError, WindowScope, payload_budget};
use riskveil_exchange::audit::{
    InTurn, LogEntry, LogPayloadError, OpenedLogs, Outcome, ReconcileReport, Reconciliation, RegulatorKey, SeenWindow,
    reconcile, subject_trail,
};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Window};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::query::messages::{Proofs, Shape, seal_digest};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::seal::{Consent, SealPlaintext, SealedItem, consent_commit, seal_info};
use riskveil_exchange::query::session::Addressed;
use riskveil_exchange::record::IdType;

const ASKED: [(IdType, &str); 2] = [(IdType::ResidentId, RESIDENT), (IdType::Mobile, MOBILE)];
/// The window that NOW_S falls in; everything before it was logged empty.
const WINDOW: Window = Window((NOW_S - GENESIS_S) / 60);
/// Header time by which everything is due.
const LATER_S: u64 = NOW_S + 1_000;

/// Everyone's log of one window, in the clear, before it is sealed.
struct Logs {
    world: World,
    queries: Vec<QueryEntry>,
    receipts: Vec<Vec<ReceiptEntry>>,
    /// Header time of the block that carries the windows.
    logged_at_s: u64,
    /// Applied to sealed payloads.
    tamper: Option<(MemberId, fn(&mut LogPayload))>,
    absent: Option<MemberId>,
    head_time_s: u64,
}

impl Logs {
    /// One check by the lender, answered by two publishers, logged by all.
    fn honest() -> Self {
        let mut world = World::new(2);
        let addressed = world.ask(&ASKED);
        let mut logs = Self {
            world,
            queries: Vec::new(),
            receipts: vec![Vec::new(), Vec::new()],
            logged_at_s: NOW_S + 60,
            tamper: None,
            absent: None,
            head_time_s: LATER_S,
        };
        logs.answer(addressed);
        logs
    }

    /// Both publishers evaluate; both sides log.
    fn answer(&mut self, addressed: Addressed) {
        let mut entry = addressed.entry;
        for (publisher, request) in addressed.requests.into_iter().enumerate() {
            let response = self.world.respond(publisher, &request);
            let envelope = request.envelope.digest();
            let outcome =
                Outcome { status: response.status, response_digest: response.digest(), signature: response.signature };
            assert!(entry.note_outcome(&envelope, outcome));
            self.receipts[publisher].push(ReceiptEntry::new(request, response.status, response.digest()));
        }
        self.queries.push(entry);
    }

    fn reconcile(&mut self) -> ReconcileReport {
        let opened = self.open();
        let members = self.world.members();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &self.world.audit, seal: &self.world.seal }];
        let input = Reconciliation {
            chain_id: &self.world.chain_id,
            genesis_time_s: GENESIS_S,
            first_block_time_s: GENESIS_S,
            policy: &self.world.policy,
            members: &members,
            keys: &keys,
            head_time_s: self.head_time_s,
        };
        reconcile(&input, &opened)
    }

    fn open(&mut self) -> OpenedLogs {
        let mut opened = OpenedLogs::default();
        let lender = self.world.lender.clone();
        let queries: Vec<LenderEntry> = self.queries.iter().cloned().map(LenderEntry::Query).collect();
        self.log(&mut opened, LogKind::Queries, &lender, &queries);
        for publisher in 0..self.receipts.len() {
            let id = self.world.publishers[publisher].id.clone();
            let receipts: Vec<ResponderEntry> =
                self.receipts[publisher].iter().cloned().map(ResponderEntry::Receipt).collect();
            self.log(&mut opened, LogKind::Receipts, &id, &receipts);
        }
        opened
    }

    /// Log transactions in time for every window that ended, eight at once; the entries stand in the window of the query.
    fn log<E: LogEntry>(&mut self, opened: &mut OpenedLogs, kind: LogKind, member: &MemberId, entries: &[E]) {
        if self.absent.as_ref() == Some(member) {
            return;
        }
        self.log_empty::<E>(opened, kind, member, 0..WINDOW.0);
        self.add(opened, kind, member, WINDOW, WINDOW, entries, self.logged_at_s);
        self.log_empty::<E>(opened, kind, member, WINDOW.0 + 1..(LATER_S - GENESIS_S) / 60);
    }

    fn log_empty<E: LogEntry>(
        &mut self,
        opened: &mut OpenedLogs,
        kind: LogKind,
        member: &MemberId,
        windows: std::ops::Range<u64>,
    ) {
        for first in windows.clone().step_by(8) {
            let last = (first + 7).min(windows.end - 1);
            let header_time_s = GENESIS_S + 60 * (last + 1) + 1;
            self.add::<E>(opened, kind, member, Window(first), Window(last), &[], header_time_s);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add<E: LogEntry>(
        &mut self,
        opened: &mut OpenedLogs,
        kind: LogKind,
        member: &MemberId,
        first_window: Window,
        last_window: Window,
        entries: &[E],
        header_time_s: u64,
    ) {
        let scope = WindowScope { chain_id: self.world.chain_id, member: member.clone(), first_window, last_window };
        let public = self.world.seal.public();
        let to = SealTo { audit_key_id: AuditKeyId(0), key: &public };
        let budget = payload_budget(&self.world.policy);
        let sealed = SealedWindow::build(&scope, entries, to, 4, budget, &mut self.world.rng).unwrap();
        assert_eq!(sealed.taken, entries.len());
        let mut payload = sealed.payload;
        payload.leaves.dedup(); // what a member with an entry twice would have to put on chain
        if let Some((_, tamper)) = self.tamper.iter().find(|(who, _)| who == member && first_window == WINDOW) {
            tamper(&mut payload);
        }
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &self.world.audit, seal: &self.world.seal }];
        let height = Height(header_time_s - GENESIS_S);
        opened.add(&SeenWindow { kind, scope: &scope, height, header_time_s, payload: &payload }, &keys);
    }
}

fn kinds(report: &ReconcileReport) -> Vec<(FindingKind, &str)> {
    report.findings.iter().map(|finding| (finding.kind, finding.party.as_str())).collect()
}

fn only(report: &ReconcileReport) -> &Finding {
    assert_eq!(report.findings.len(), 1, "{:#?}", kinds(report));
    assert!(!report.findings[0].proof.is_empty());
    &report.findings[0]
}

/// Rebuilds the entry of a lender that escrows and seals what it likes, with valid proofs and signatures.
fn deviate(
    logs: &mut Logs,
    escrowed: &[Option<(IdType, &str)>; 4],
    sealed: &[Option<(IdType, &str)>; 4],
    consent: Digest32,
) {
    let mut addressed = logs.world.ask(&ASKED);
    let rng = &mut logs.world.rng;
    let y = logs.world.audit.public();
    let mut secrets: Vec<EscrowSecret> = Vec::new();
    let core = &mut addressed.entry.core;
    for (place, item) in escrowed.iter().enumerate() {
        let p = item.map_or_else(riskveil_crypto::escrow::dummy_element, |(id_type, text)| {
            input_element(&identifier(id_type, text).oprf_input()).unwrap()
        });
        let blinded = escrow(&p, &y, rng);
        core.items[place] = blinded.item;
        secrets.push(blinded.secret);
    }
    let items = sealed
        .iter()
        .map(|item| item.map_or_else(SealedItem::dummy, |(id_type, text)| SealedItem::real(&identifier(id_type, text))))
        .collect();
    let consents = vec![Consent { digest: consent, salt: [5; 32] }];
    core.consent_commit = consent_commit(Shape::Check, &consents);
    let plaintext = SealPlaintext::new(items, consents).encode();
    let info = seal_info(&core.chain_id, core.audit_key_id);
    let public = logs.world.seal.public();
    let seal = riskveil_crypto::seal::seal(&public, &info, &core.aad_without_seal_digest(), &plaintext, rng).unwrap();
    core.seal_digest = seal_digest(&seal);
    let core_digest = core.digest();
    let proofs = Proofs::Each(prove_knowledge(&core_digest, &core.items, &secrets, &y, rng));
    resend(logs, addressed, proofs, seal);
}

/// Signs the changed request again for both publishers, has it answered and logged.
fn resend(logs: &mut Logs, mut addressed: Addressed, proofs: Proofs, seal: Vec<u8>) {
    let core = addressed.entry.core.clone();
    addressed.entry.proofs = proofs.clone();
    addressed.entry.seal = seal.clone();
    for (one, request) in addressed.entry.envelopes.iter_mut().zip(&mut addressed.requests) {
        one.envelope.core_digest = core.digest();
        one.envelope.proofs_digest = proofs.digest();
        one.signature = one.envelope.sign(&core.chain_id, &logs.world.lender_key);
        request.core = core.clone();
        request.proofs = proofs.clone();
        request.seal = seal.clone();
        request.envelope = one.envelope.clone();
        request.signature = one.signature;
    }
    logs.answer(addressed);
}

mod windows {
    use super::*;

    fn scope(world: &World) -> WindowScope {
        let member = member_id("LENDER-01");
        WindowScope { chain_id: world.chain_id, member, first_window: Window(3), last_window: Window(3) }
    }

    fn build(world: &mut World, entries: &[QueryEntry], budget: usize) -> Result<SealedWindow, WindowError> {
        let (scope, public) = (scope(world), world.seal.public());
        let to = SealTo { audit_key_id: AuditKeyId(0), key: &public };
        let entries: Vec<LenderEntry> = entries.iter().cloned().map(LenderEntry::Query).collect();
        SealedWindow::build(&scope, &entries, to, 4, budget, &mut world.rng)
    }

    #[test]
    fn the_regulator_opens_what_a_member_sealed_and_nobody_else() {
        let mut logs = Logs::honest();
        let entries = logs.queries.clone();
        let world = &mut logs.world;
        let payload = build(world, &entries, 1 << 20).unwrap().payload;
        let scope = scope(world);
        let opened = SealedWindow::open::<LenderEntry>(&scope, &payload.blob, &world.seal).unwrap();
        assert_eq!(opened.entries, entries.into_iter().map(LenderEntry::Query).collect::<Vec<_>>());
        assert_eq!(opened.padding.len() + 2, payload.leaves.len());
        let other = SealSecretKey::generate(&mut world.rng);
        assert!(SealedWindow::open::<LenderEntry>(&scope, &payload.blob, &other).is_err());
        assert!(SealedWindow::open::<ResponderEntry>(&scope, &payload.blob, &world.seal).is_err());
        let elsewhere = WindowScope { last_window: Window(4), ..scope.clone() };
        assert!(SealedWindow::open::<LenderEntry>(&elsewhere, &payload.blob, &world.seal).is_err());
        for index in [0, 4, 40, payload.blob.len() - 1] {
            let mut changed = payload.blob.clone();
            changed[index] ^= 1;
            assert!(SealedWindow::open::<LenderEntry>(&scope, &changed, &world.seal).is_err());
        }
        assert!(SealedWindow::open::<LenderEntry>(&scope, &payload.blob[..3], &world.seal).is_err());
    }

    #[test]
    fn an_empty_window_looks_like_one_with_few_queries() {
        let mut world = World::new(1);
        let entries: Vec<QueryEntry> = (0..4).map(|_| world.ask(&ASKED).entry).collect();
        let sizes: Vec<(usize, usize)> = (0..=4)
            .map(|count| {
                let payload = build(&mut world, &entries[..count], 1 << 20).unwrap().payload;
                (payload.leaves.len(), payload.blob.len())
            })
            .collect();
        println!("log window of 0 to 4 checks at one publisher (leaves, blob bytes): {sizes:?}");
        assert!(sizes.iter().all(|size| *size == sizes[0] && size.0 == 4));
    }

    #[test]
    fn blobs_of_one_bucket_have_one_length() {
        let mut world = World::new(5);
        let entries: Vec<QueryEntry> = (0..12).map(|_| world.ask(&ASKED).entry).collect();
        let size = |payload: LogPayload| (payload.leaves.len(), payload.blob.len());
        let seven = size(build(&mut world, &entries[..7], 1 << 20).unwrap().payload);
        let twelve = size(build(&mut world, &entries, 1 << 20).unwrap().payload);
        println!("log window of 7 and 12 checks at five publishers (leaves, blob bytes): {seven:?} {twelve:?}");
        assert_eq!((seven, seven.0), (twelve, 64));
    }

    #[test]
    fn what_does_not_fit_the_budget_waits_and_an_entry_that_never_fits_is_refused() {
        let mut world = World::new(2);
        let entries: Vec<QueryEntry> = (0..40).map(|_| world.ask(&ASKED).entry).collect();
        let sealed = build(&mut world, &entries, 40_000).unwrap();
        assert!(sealed.taken > 0 && sealed.taken < 40);
        assert!(sealed.payload.encode().len() <= 40_000);
        let refused = build(&mut world, &entries, 1_000);
        assert!(matches!(refused, Err(WindowError::EntryTooLarge { budget: 1_000, .. })));
        assert!(payload_budget(&Policy::default()) < Policy::default().max_block_bytes as usize / 2);
    }

    #[test]
    fn payloads_with_other_counts_or_order_are_refused() {
        let mut world = World::new(1);
        let payload = build(&mut world, &[], 1 << 20).unwrap().payload;
        assert_eq!(payload.check(4), Ok(()));
        assert_eq!(payload.check(8), Err(LogPayloadError::NotABucket { count: 4, min: 8 }));
        let mut swapped = payload.clone();
        swapped.leaves.swap(0, 1);
        assert_eq!(swapped.check(4), Err(LogPayloadError::NotAscending));
        let mut repeated = payload.clone();
        repeated.leaves[1] = repeated.leaves[0];
        assert_eq!(repeated.check(4), Err(LogPayloadError::NotAscending));
        let mut three = payload.clone();
        three.leaves.pop();
        assert!(matches!(three.check(1), Err(LogPayloadError::NotABucket { count: 3, .. })));
        assert!(LogPayload::decode(&payload.encode(), 10, 4).is_err());
    }

    #[test]
    fn leaves_differ_by_side_and_hide_the_envelope() {
        let logs = Logs::honest();
        let lender = logs.queries[0].leaves();
        let responder = logs.receipts[0][0].leaf();
        assert!(!lender.contains(&responder));
        let mut other = logs.receipts[0][0].clone();
        other.envelope.salt[0] ^= 1;
        assert_ne!(other.leaf(), responder);
    }

    #[test]
    fn an_entry_holds_no_evaluation() {
        let mut world = World::new(1);
        let addressed = world.ask(&ASKED);
        let response = world.respond(0, &addressed.requests[0]);
        let receipt = ReceiptEntry::new(addressed.requests[0].clone(), response.status, response.digest());
        let bytes = codec::encode(&receipt);
        println!("receipt of a check: {} bytes", bytes.len());
        for z in &response.z {
            assert!(!bytes.windows(32).any(|window| window == z));
        }
    }
}

mod findings {
    use super::*;

    #[test]
    fn honest_logs_give_none() {
        let mut logs = Logs::honest();
        let report = logs.reconcile();
        assert_eq!(report.findings, []);
        let counts = report.counts;
        assert_eq!((counts.queries, counts.envelopes, counts.receipts), (1, 2, 2));
        assert_eq!((counts.matched, counts.pending, counts.requests), (2, 0, 1));
    }

    #[test]
    fn an_unanswered_query_is_no_finding() {
        let mut logs = Logs::honest();
        let entry = logs.world.ask(&ASKED).entry;
        logs.queries.push(entry);
        assert_eq!(logs.reconcile().findings, []);
    }

    #[test]
    fn lender_omitted() {
        let mut logs = Logs::honest();
        logs.queries[0].envelopes.remove(1);
        let report = logs.reconcile();
        let finding = only(&report);
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::LenderOmitted, "LENDER-01"));
        let Proof::SignedEnvelope { envelope, signature } = &finding.proof[0] else { panic!("no envelope") };
        assert_eq!(envelope.publisher, member_id("INST-02"));
        assert!(envelope.verify(&logs.world.chain_id, &logs.world.lender_identity, signature).is_ok());
    }

    #[test]
    fn what_is_not_due_is_pending() {
        let mut logs = Logs::honest();
        logs.queries.clear();
        logs.head_time_s = NOW_S + 300;
        let report = logs.reconcile();
        assert_eq!((report.findings.len(), report.counts.pending), (0, 2));
    }

    #[test]
    fn an_entry_logged_late_under_an_old_window_makes_nobody_else_late() {
        let mut logs = Logs::honest();
        logs.queries.clear();
        logs.logged_at_s = NOW_S + 900;
        let report = logs.reconcile();
        assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Late), "{:?}", kinds(&report));
        assert_eq!(report.counts.pending, 2);
    }

    #[test]
    fn responder_omitted() {
        let mut logs = Logs::honest();
        logs.receipts[1].clear();
        let report = logs.reconcile();
        let finding = only(&report);
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ResponderOmitted, "INST-02"));
        let Proof::SignedOutcome { envelope_digest, outcome, .. } = &finding.proof[0] else { panic!("no outcome") };
        let own = &logs.world.publishers[1];
        assert!(outcome.verify(&logs.world.chain_id, envelope_digest, &own.identity_key).is_ok());
    }

    #[test]
    fn a_lender_cannot_blame_a_responder_that_did_not_answer_or_refused_unreceipted() {
        let mut logs = Logs::honest();
        logs.receipts[1].clear();
        let one = &mut logs.queries[0].envelopes[1];
        let (envelope, signature) = (one.envelope.digest(), one.outcome.as_ref().unwrap().signature);
        one.outcome = Some(Outcome { status: 0, response_digest: Digest32::ZERO, signature });
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::EntryInvalid, "LENDER-01"));
        assert_eq!(finding.fault, Some(EntryFault::OutcomeSignature));

        let own = &logs.world.publishers[1].identity;
        for reason in RefusalReason::ALL.into_iter().filter(|reason| !reason.is_receipted()) {
            let outcome =
                Outcome::sign(&logs.world.chain_id, &envelope, reason.code(), digest::sha256(b"refusal"), own);
            logs.queries[0].envelopes[1].outcome = Some(outcome);
        }
        assert_eq!(logs.reconcile().findings, []);
    }

    #[test]
    fn leaf_without_entry() {
        let mut logs = Logs::honest();
        logs.tamper = Some((member_id("INST-01"), |payload| {
            payload.leaves[0] = Digest32::ZERO;
        }));
        let report = logs.reconcile();
        let found = kinds(&report);
        assert!(found.contains(&(FindingKind::LeafWithoutEntry, "INST-01")), "{found:?}");
        assert!(found.iter().all(|(_, party)| *party == "INST-01"), "{found:?}");
    }

    #[test]
    fn an_entry_without_its_leaf_is_not_logged() {
        let mut logs = Logs::honest();
        let leaf = logs.queries[0].leaves()[0];
        // the leaf of the first envelope is replaced on chain by another one
        let entry = logs.queries[0].clone();
        let opened = {
            let mut opened = OpenedLogs::default();
            let lender = logs.world.lender.clone();
            logs.log::<LenderEntry>(&mut opened, LogKind::Queries, &lender, &[]);
            opened.queries.push(riskveil_exchange::audit::Logged { entry, window: 0, on_chain: vec![false, true] });
            opened
        };
        assert!(opened.windows.len() > 1 && leaf != Digest32::ZERO);
        let mut full = logs.open();
        full.queries = opened.queries;
        let members = logs.world.members();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &logs.world.audit, seal: &logs.world.seal }];
        let report = reconcile(
            &Reconciliation {
                chain_id: &logs.world.chain_id,
                genesis_time_s: GENESIS_S,
                first_block_time_s: GENESIS_S,
                policy: &logs.world.policy,
                members: &members,
                keys: &keys,
                head_time_s: LATER_S,
            },
            &full,
        );
        assert_eq!(kinds(&report), [(FindingKind::LenderOmitted, "LENDER-01")]);
    }

    #[test]
    fn blob_unopenable() {
        let mut logs = Logs::honest();
        logs.tamper = Some((member_id("INST-02"), |payload| payload.blob[50] ^= 1));
        let report = logs.reconcile();
        let found = kinds(&report);
        assert!(found.contains(&(FindingKind::BlobUnopenable, "INST-02")), "{found:?}");
        assert!(found.iter().all(|(_, party)| *party == "INST-02"), "an honest party is named: {found:?}");
    }

    #[test]
    fn missing_window() {
        let mut logs = Logs::honest();
        logs.receipts[1].clear();
        logs.queries[0].envelopes.remove(1);
        logs.absent = Some(member_id("INST-02"));
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::MissingWindow, "INST-02"));
        let due = (LATER_S - GENESIS_S - 600 - 1) / 60;
        assert_eq!(finding.windows, Some((Window(0), Window(due - 1))));
    }

    #[test]
    fn late_window_and_late_entry() {
        let mut logs = Logs::honest();
        logs.logged_at_s = NOW_S + 900;
        let report = logs.reconcile();
        let late: Vec<_> = report.findings.iter().filter(|finding| finding.kind == FindingKind::Late).collect();
        assert_eq!((late.len(), report.findings.len()), (3, 3), "each member's window, once");

        let mut logs = Logs::honest();
        // the window's transaction is in time, and the request was issued long before it
        logs.world.policy.leaf_due_windows = 1;
        let core_time = logs.queries[0].core.issued_at_s;
        logs.logged_at_s = core_time + 75;
        let report = logs.reconcile();
        assert!(report.findings.iter().all(|finding| finding.kind == FindingKind::Late), "{:?}", kinds(&report));
        assert!(report.findings.iter().any(|finding| finding.core_digest.is_some()));
    }

    #[test]
    fn a_consortium_that_started_late_is_not_late() {
        let mut logs = Logs::honest();
        let mut opened = OpenedLogs::default();
        let start_s = GENESIS_S + 7_200;
        let (lender, last) = (logs.world.lender.clone(), Window(7_200 / 60));
        logs.add::<LenderEntry>(&mut opened, LogKind::Queries, &lender, Window(0), last, &[], start_s + 61);
        let members: Vec<_> = logs.world.members().into_iter().filter(|member| member.roles.lender).collect();
        let input = Reconciliation {
            chain_id: &logs.world.chain_id,
            genesis_time_s: GENESIS_S,
            first_block_time_s: start_s,
            policy: &logs.world.policy,
            members: &members,
            keys: &[],
            head_time_s: start_s + 120,
        };
        assert_eq!(reconcile(&input, &opened).findings, []);
        let without = Reconciliation { first_block_time_s: GENESIS_S, ..input };
        assert_eq!(kinds(&reconcile(&without, &opened)), [(FindingKind::Late, "LENDER-01")]);
    }

    #[test]
    fn equivocation_of_a_responder() {
        let mut logs = Logs::honest();
        logs.receipts[0][0].response_digest = digest::sha256(b"another response");
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::Equivocation, "INST-01"));
        assert!(matches!(finding.proof[0], Proof::SignedOutcome { .. }));
    }

    #[test]
    fn equivocation_of_a_lender() {
        let mut logs = Logs::honest();
        let mut addressed = logs.world.ask(&ASKED);
        addressed.entry.core.nonce = logs.queries[0].core.nonce;
        // sent to nobody who would evaluate it: the proofs are of another core
        let entry = &mut addressed.entry;
        for one in &mut entry.envelopes {
            one.envelope.core_digest = entry.core.digest();
            one.signature = one.envelope.sign(&logs.world.chain_id, &logs.world.lender_key);
        }
        logs.queries.push(addressed.entry);
        let report = logs.reconcile();
        let found: Vec<_> = report.findings.iter().filter(|one| one.kind == FindingKind::Equivocation).collect();
        assert_eq!(found.len(), 1);
        let envelopes = found[0].proof.iter().filter(|proof| matches!(proof, Proof::SignedEnvelope { .. })).count();
        assert_eq!(envelopes, 2, "two signed envelopes with one nonce");
    }

    #[test]
    fn escrow_mismatch() {
        let mut logs = Logs::honest();
        // asks about one person and tells the regulator another
        let escrowed = [Some((IdType::ResidentId, RESIDENT)), None, None, None];
        let sealed = [Some((IdType::ResidentId, OTHER_RESIDENT)), None, None, None];
        deviate(&mut logs, &escrowed, &sealed, digest::sha256(b"consent"));
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::EscrowMismatch, "LENDER-01"));
        assert_eq!(finding.item, Some(0));
        assert!(!format!("{finding:?}").contains(RESIDENT) && !format!("{finding:?}").contains(OTHER_RESIDENT));
    }

    #[test]
    fn escrow_mismatch_of_a_hidden_or_invented_item() {
        let mut logs = Logs::honest();
        let person = Some((IdType::ResidentId, RESIDENT));
        deviate(&mut logs, &[person, None, None, None], &[None; 4], digest::sha256(b"consent"));
        deviate(&mut logs, &[None; 4], &[person, None, None, None], digest::sha256(b"consent"));
        let report = logs.reconcile();
        assert_eq!(kinds(&report), [(FindingKind::EscrowMismatch, "LENDER-01"); 2]);
    }

    #[test]
    fn seal_malformed() {
        let mut logs = Logs::honest();
        // a mobile number in the place of the resident ID
        let wrong_place = [Some((IdType::Mobile, MOBILE)), None, None, None];
        deviate(&mut logs, &wrong_place, &wrong_place, digest::sha256(b"consent"));
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::SealMalformed, "LENDER-01"));
    }

    #[test]
    fn a_seal_that_does_not_open_is_malformed() {
        let mut logs = Logs::honest();
        let mut addressed = logs.world.ask(&ASKED);
        let seal = vec![7; addressed.entry.seal.len()];
        addressed.entry.core.seal_digest = seal_digest(&seal);
        let (y, items) = (logs.world.audit.public(), 4);
        let blinded: Vec<_> =
            (0..items).map(|_| escrow(&riskveil_crypto::escrow::dummy_element(), &y, &mut logs.world.rng)).collect();
        let mut secrets = Vec::new();
        addressed.entry.core.items.clear();
        for one in blinded {
            addressed.entry.core.items.push(one.item);
            secrets.push(one.secret);
        }
        let core = &addressed.entry.core;
        let proofs = Proofs::Each(prove_knowledge(&core.digest(), &core.items, &secrets, &y, &mut logs.world.rng));
        resend(&mut logs, addressed, proofs, seal);
        assert_eq!(only(&logs.reconcile()).kind, FindingKind::SealMalformed);
    }

    #[test]
    fn consent_mismatch() {
        let mut logs = Logs::honest();
        let person = [Some((IdType::ResidentId, RESIDENT)), None, None, None];
        deviate(&mut logs, &person, &person, Digest32::ZERO);
        let finding = only(&logs.reconcile()).clone();
        assert_eq!((finding.kind, finding.party.as_str()), (FindingKind::ConsentMismatch, "LENDER-01"));
    }

    #[test]
    fn repeated_c1() {
        let mut logs = Logs::honest();
        let mut addressed = logs.world.ask(&ASKED);
        addressed.entry.core.items[2].c1 = logs.queries[0].core.items[1].c1;
        let entry = &mut addressed.entry;
        for one in &mut entry.envelopes {
            one.envelope.core_digest = entry.core.digest();
            one.signature = one.envelope.sign(&logs.world.chain_id, &logs.world.lender_key);
        }
        logs.queries.push(addressed.entry);
        let report = logs.reconcile();
        let repeated: Vec<_> = report.findings.iter().filter(|one| one.kind == FindingKind::RepeatedC1).collect();
        assert_eq!((repeated.len(), repeated[0].party.as_str()), (1, "LENDER-01"));
    }

    #[test]
    fn entry_invalid_when_a_proof_of_knowledge_fails() {
        let mut logs = Logs::honest();
        let mut addressed = logs.world.ask(&ASKED);
        addressed.entry.core.purpose = riskveil_exchange::purpose::Purpose::ALL[3];
        let entry = &mut addressed.entry;
        for one in &mut entry.envelopes {
            one.envelope.core_digest = entry.core.digest();
            one.signature = one.envelope.sign(&logs.world.chain_id, &logs.world.lender_key);
        }
        logs.queries.push(addressed.entry);
        let report = logs.reconcile();
        assert!(report.findings.iter().any(|one| one.fault == Some(EntryFault::ProofOfKnowledge)));
        assert!(kinds(&report).iter().all(|(_, party)| *party == "LENDER-01"));
    }

    #[test]
    fn entry_invalid_when_a_responder_invents_or_alters_a_request() {
        let changes: [(fn(&mut ReceiptEntry), EntryFault); 5] = [
            (|r| r.core.purpose = riskveil_exchange::purpose::Purpose::ALL[3], EntryFault::Digests),
            (|r| r.envelope.salt = [0; 32], EntryFault::LenderSignature),
            (|r| r.seal[0] ^= 1, EntryFault::Seal),
            (|r| r.core.chain_id = Digest32::ZERO, EntryFault::NotOwn),
            (|r| r.envelope.publisher = member_id("INST-01"), EntryFault::NotOwn),
        ];
        for (change, fault) in changes {
            let mut logs = Logs::honest();
            let mut invented = logs.receipts[1][0].clone();
            change(&mut invented);
            logs.receipts[1].push(invented);
            let report = logs.reconcile();
            assert!(report.findings.iter().any(|one| one.fault == Some(fault)), "{fault:?} {:?}", kinds(&report));
            assert!(kinds(&report).iter().all(|(_, party)| *party == "INST-02"), "{fault:?} {:?}", kinds(&report));
        }
    }

    #[test]
    fn entry_invalid_when_an_entry_stands_twice() {
        let mut logs = Logs::honest();
        let mut two = logs.queries[0].clone();
        two.envelopes.truncate(1);
        logs.queries.push(two);
        let report = logs.reconcile();
        let finding = only(&report);
        assert_eq!((finding.kind, finding.fault), (FindingKind::EntryInvalid, Some(EntryFault::LeafMissing)));
        let json = serde_json::to_string(&report).unwrap();
        assert!(json.contains("\"entry_invalid\"") && !json.contains(RESIDENT));
        assert_eq!(serde_json::from_str::<ReconcileReport>(&json).unwrap(), report);
    }

    #[test]
    fn a_chunk_is_reconciled_like_a_check() {
        let mut logs = Logs::honest();
        let subjects = [
            (
                logs.world.subject(&[(IdType::ResidentId, OTHER_RESIDENT), (IdType::BankCard, CARD)]),
                logs.world.consent(),
            ),
            (logs.world.subject(&ASKED), logs.world.consent()),
        ];
        let prepared = logs.world.prepare(Shape::Chunk { width: 2, subjects: 16 }, &subjects);
        let addressed = logs.world.address(prepared);
        logs.answer(addressed);
        assert_eq!(logs.reconcile().findings, []);
        let opened = logs.open();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &logs.world.audit, seal: &logs.world.seal }];
        let trail = subject_trail(&opened, &keys, &[identifier(IdType::Mobile, MOBILE)], &InTurn);
        assert_eq!(trail.iter().map(|one| one.subject).collect::<Vec<_>>().len(), 2);
        assert!(trail.iter().any(|one| one.subject == 1));
    }
}

mod trail {
    use super::*;

    #[test]
    fn every_query_about_a_person_is_found_and_no_other() {
        let mut logs = Logs::honest();
        let opened = logs.open();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &logs.world.audit, seal: &logs.world.seal }];
        let trail = subject_trail(&opened, &keys, &[identifier(IdType::ResidentId, RESIDENT)], &InTurn);
        assert_eq!(trail.len(), 1);
        let found = &trail[0];
        assert_eq!((found.lender.as_str(), found.by_seal, found.by_escrow), ("LENDER-01", true, true));
        assert_eq!(found.consent_digest, Some(digest::sha256(b"consent document")));
        assert_eq!(found.responders.len(), 2);
        assert!(
            found.responders.iter().all(|one| one.logged_by_lender && one.logged_by_responder && one.status == Some(0))
        );
        assert!(!serde_json::to_string(&trail).unwrap().contains(RESIDENT));
        let stranger = [identifier(IdType::ResidentId, OTHER_RESIDENT), identifier(IdType::BankCard, CARD)];
        assert!(subject_trail(&opened, &keys, &stranger, &InTurn).is_empty());
    }

    #[test]
    fn a_lender_that_logs_nothing_is_found_in_the_responders_logs() {
        let mut logs = Logs::honest();
        logs.queries.clear();
        let opened = logs.open();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &logs.world.audit, seal: &logs.world.seal }];
        let trail = subject_trail(&opened, &keys, &[identifier(IdType::Mobile, MOBILE)], &InTurn);
        assert_eq!(trail.len(), 1);
        assert!(trail[0].responders.iter().all(|one| !one.logged_by_lender && one.logged_by_responder));
    }

    #[test]
    fn a_lying_seal_is_found_by_the_ciphertext() {
        let mut logs = Logs::honest();
        let escrowed = [Some((IdType::ResidentId, OTHER_RESIDENT)), None, None, None];
        deviate(&mut logs, &escrowed, &[None; 4], digest::sha256(b"consent"));
        let opened = logs.open();
        let keys = [RegulatorKey { id: AuditKeyId(0), audit: &logs.world.audit, seal: &logs.world.seal }];
        let trail = subject_trail(&opened, &keys, &[identifier(IdType::ResidentId, OTHER_RESIDENT)], &InTurn);
        assert_eq!((trail.len(), trail[0].by_seal, trail[0].by_escrow), (1, false, true));
    }

    #[test]
    fn an_access_commitment_depends_on_everything_it_hides() {
        let who = [identifier(IdType::ResidentId, RESIDENT)];
        let other = [identifier(IdType::ResidentId, OTHER_RESIDENT)];
        let salt = SecretBytes::from_bytes([1; 32]);
        let scope = AuditScope { action: AuditAction::Subject, from: Window(0), to: Window(9), identifiers: &who };
        let changed = [
            AuditScope { action: AuditAction::Log, ..scope },
            AuditScope { from: Window(1), ..scope },
            AuditScope { to: Window(8), ..scope },
            AuditScope { identifiers: &other, ..scope },
            AuditScope { identifiers: &[], ..scope },
        ];
        assert!(changed.iter().all(|one| one.commit(&salt) != scope.commit(&salt)));
        assert_ne!(scope.commit(&salt), scope.commit(&SecretBytes::from_bytes([2; 32])));
        assert!(!format!("{scope:?}").contains(RESIDENT));
    }
}
