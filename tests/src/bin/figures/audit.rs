//! The audit: a window with the log of 200 checks at five responders, sealed, opened, checked and reconciled.

use std::hint::black_box;

use riskveil_exchange::audit::entry::{LenderEntry, LogEntry, QueryEntry, ReceiptEntry, ResponderEntry};
use riskveil_exchange::audit::opened::{OpenedLogs, RegulatorKey, SeenWindow};
use riskveil_exchange::audit::reconcile::{Reconciliation, reconcile};
use riskveil_exchange::audit::request_check::{LoggedRequest, faults_of, parts};
use riskveil_exchange::audit::window::{LogPayload, SealTo, SealedWindow, WindowScope, payload_budget};
use riskveil_exchange::ids::{Height, MemberId, Window};
use riskveil_exchange::query::messages::Shape;
use riskveil_exchange::query::session::Subject;
use riskveil_exchange::record::Identifier;

use riskveil_crypto::Digest32;
use riskveil_crypto::escrow::EscrowedItem;

use crate::meter::Table;
use crate::world::{GENESIS_S, NOW_S, PUBLISHERS, World, rng, subject};

const CHECKS: usize = 200;

/// A window as the chain holds it.
struct OnChain {
    scope: WindowScope,
    payload: LogPayload,
}

impl OnChain {
    fn seal<E: LogEntry>(world: &World, member: &MemberId, entries: &[E]) -> Self {
        let (first_window, last_window) = (Window(0), Window(0));
        let scope = WindowScope { chain_id: world.chain_id, member: member.clone(), first_window, last_window };
        let to = SealTo { audit_key_id: world.audit_key_id, key: &world.seal.public() };
        let (bucket, budget) = (world.policy.min_log_bucket, payload_budget(&world.policy));
        let sealed = SealedWindow::build(&scope, entries, to, bucket, budget, &mut rng(7)).unwrap();
        assert_eq!(sealed.taken, entries.len());
        Self { scope, payload: sealed.payload }
    }

    fn open<E: LogEntry>(&self, logs: &mut OpenedLogs, keys: &[RegulatorKey<'_>]) {
        let (kind, scope, payload) = (E::KIND, &self.scope, &self.payload);
        let seen = SeenWindow { kind, scope, height: Height(3), header_time_s: NOW_S, payload };
        logs.add(&seen, keys);
    }
}

/// What both sides log of the checks.
fn log_checks(world: &World) -> (Vec<QueryEntry>, Vec<Vec<ReceiptEntry>>) {
    eprintln!("logging {CHECKS} checks");
    let mut rng = rng(8);
    let mut receipts: Vec<Vec<ReceiptEntry>> = vec![Vec::new(); PUBLISHERS];
    let mut check = |serial| {
        let mut asked = world.ask(Shape::Check, &[subject(serial)], PUBLISHERS, &mut rng);
        for ((own, request), receipts) in world.publishers.iter().zip(asked.requests).zip(&mut receipts) {
            let response = world.respond(own, &request.encode(), &mut rng);
            let head = world.accept(&asked.state, own, &response.encode()).head;
            assert!(asked.entry.note_outcome(&head.envelope_digest, head.outcome));
            receipts.push(ReceiptEntry::new(request, response.status, response.digest()));
        }
        asked.entry
    };
    ((0..CHECKS).map(&mut check).collect(), receipts)
}

/// Checks what is checked of entries besides their outcomes: signatures, proofs of knowledge, seal against escrow, consent.
fn check_entries(world: &World, entries: &[QueryEntry], keys: &[RegulatorKey<'_>]) {
    let digests: Vec<(Digest32, Digest32)> =
        entries.iter().map(|entry| (entry.core.digest(), entry.proofs.digest())).collect();
    let requests: Vec<LoggedRequest<'_>> = entries
        .iter()
        .zip(&digests)
        .map(|(QueryEntry { core, proofs, seal, .. }, (core_digest, _))| LoggedRequest {
            core,
            core_digest,
            proofs,
            seal,
        })
        .collect();
    for ((request, entry), (_, proofs_digest)) in requests.iter().zip(entries).zip(&digests) {
        request.is_well_formed().unwrap();
        for one in &entry.envelopes {
            request.is_signed(proofs_digest, &one.envelope, &one.signature, &world.lender_identity).unwrap();
        }
    }
    assert_eq!(faults_found(&requests, keys), 0);
}

fn faults_found(requests: &[LoggedRequest<'_>], keys: &[RegulatorKey<'_>]) -> usize {
    parts(requests).into_iter().flat_map(|part| faults_of(part, keys)).map(|faults| faults.len()).sum()
}

/// Entries a second, and bytes on chain.
pub(crate) fn measure(table: &mut Table, world: &World) {
    let (entries, receipts) = log_checks(world);
    let keys = [RegulatorKey { id: world.audit_key_id, audit: &world.audit, seal: &world.seal }];
    let logged: Vec<LenderEntry> = entries.iter().cloned().map(LenderEntry::Query).collect();
    let of_lender = OnChain::seal(world, &world.lender, &logged);
    let received = receipts.into_iter().map(|of_one| of_one.into_iter().map(ResponderEntry::Receipt).collect());
    let received: Vec<Vec<ResponderEntry>> = received.collect();
    let of_responders: Vec<OnChain> =
        world.publishers.iter().zip(&received).map(|(own, receipts)| OnChain::seal(world, &own.id, receipts)).collect();

    table.section("audit of a window with 200 checks at 5 responders");
    table.time("lender: seal the window", "check", CHECKS, || {
        black_box(OnChain::seal(world, &world.lender, &logged));
    });
    table.time("regulator: open the lender's window", "check", CHECKS, || {
        let mut logs = OpenedLogs::default();
        of_lender.open::<LenderEntry>(&mut logs, &keys);
        assert_eq!(logs.queries.len(), CHECKS);
    });
    table.time("regulator: signatures, proofs, seal against escrow", "check", CHECKS, || {
        check_entries(world, &entries, &keys);
    });
    let key = &keys[0];
    table.time("  of it: open the seal, read identifiers", "check", CHECKS, || {
        for QueryEntry { core, proofs, seal, .. } in &entries {
            let request = LoggedRequest { core, core_digest: &core.seal_digest, proofs, seal };
            black_box(request.open_seal(key)).unwrap();
        }
    });
    let items: Vec<EscrowedItem> = entries.iter().flat_map(|entry| entry.core.items.iter().copied()).collect();
    let subjects: Vec<Subject> = (0..CHECKS).map(subject).collect();
    let inputs: Vec<_> = subjects.iter().flat_map(Subject::identifiers).map(Identifier::oprf_input).collect();
    let claimed: Vec<Option<&[u8]>> = inputs.iter().map(|input| Some(&input[..])).collect();
    table.time("  of it: open the escrow, compare with H(x)", "check", CHECKS, || {
        assert!(world.audit.agree(&items, &claimed).into_iter().all(|agrees| agrees));
    });
    let members = world.members();
    table.time("regulator: open both sides' logs and reconcile", "check", CHECKS, || {
        let mut logs = OpenedLogs::default();
        of_lender.open::<LenderEntry>(&mut logs, &keys);
        of_responders.iter().for_each(|window| window.open::<ResponderEntry>(&mut logs, &keys));
        let input = Reconciliation {
            chain_id: &world.chain_id,
            genesis_time_s: GENESIS_S,
            first_block_time_s: GENESIS_S,
            policy: &world.policy,
            members: &members,
            keys: &keys,
            head_time_s: NOW_S,
        };
        let report = reconcile(&input, &logs);
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.counts.matched as usize, CHECKS * PUBLISHERS);
    });
    let bytes = of_lender.payload.encode().len();
    table.size("lender's log on chain", "check", CHECKS, bytes, None);
    let bytes = of_responders[0].payload.encode().len();
    table.size("one responder's log on chain", "check", CHECKS, bytes, None);
}
