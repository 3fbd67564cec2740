//! Entries that are checked together come to what each comes to alone, whoever does the parts and in whatever order.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{CARD, GENESIS_S, MOBILE, NOW_S, OTHER_RESIDENT, RESIDENT, World, identifier};
use riskveil_crypto::escrow::{
    AuditKeyPair, EscrowSecret, dummy_element, escrow, prove_knowledge, verify_knowledge, verify_knowledge_weighted,
};
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, digest, seal};
use riskveil_exchange::audit::entry::{LenderEntry, LogEntry, LogKind, QueryEntry, ReceiptEntry, ResponderEntry};
use riskveil_exchange::audit::request_check::{
    ITEMS_AT_ONCE, LoggedRequest, RequestFault, faults_of, parts, sealed_identifier,
};
use riskveil_exchange::audit::window::{LogPayload, SealTo, SealedWindow, WindowScope};
use riskveil_exchange::audit::{
    EntryFault, FindingKind, InTurn, Logged, OpenedLogs, ReconcileReport, Reconciliation, RegulatorKey, SeenWindow,
    Spread, reconcile_windows, subject_trail,
};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Window};
use riskveil_exchange::query::messages::{Proofs, Shape, seal_digest};
use riskveil_exchange::query::seal::{Consent, SealPlaintext, SealedItem, consent_commit, seal_info};
use riskveil_exchange::record::{IdType, Identifier};

/// A person as a lender escrows or seals her: one item of each type or none.
type Items<'a> = [Option<(IdType, &'a str)>; 4];

const PERSON: Items<'_> =
    [Some((IdType::ResidentId, RESIDENT)), None, Some((IdType::BankCard, CARD)), Some((IdType::Mobile, MOBILE))];
const NOBODY: Items<'_> = [None; 4];
const OTHER_PERSON: Items<'_> = [Some((IdType::ResidentId, OTHER_RESIDENT)), None, None, None];
/// The right place and length, and a wrong check digit.
const NO_PERSON: Items<'_> = [
    Some((IdType::ResidentId, "513230196105128095")),
    None,
    Some((IdType::BankCard, CARD)),
    Some((IdType::Mobile, MOBILE)),
];
/// A mobile number where a resident ID belongs.
const MISPLACED: Items<'_> = [Some((IdType::Mobile, MOBILE)), None, None, None];

/// Two audit keys: a regulator that changed its key reads the entries of both.
struct Regulator {
    audit: [AuditKeyPair; 2],
    seal: [SealSecretKey; 2],
}

impl Regulator {
    fn of(world: &mut World) -> Self {
        let (audit, seal) = (AuditKeyPair::generate(&mut world.rng), SealSecretKey::generate(&mut world.rng));
        Self { audit: [world.audit.clone(), audit], seal: [world.seal.clone(), seal] }
    }

    fn keys(&self) -> [RegulatorKey<'_>; 2] {
        [0, 1].map(|number| RegulatorKey {
            id: AuditKeyId(number as u32),
            audit: &self.audit[number],
            seal: &self.seal[number],
        })
    }
}

fn sealed_item(item: &Option<(IdType, &str)>) -> SealedItem {
    let mut sealed = SealedItem::dummy();
    if let Some((id_type, text)) = item {
        (sealed.id_type, sealed.length) = (id_type.code(), text.len() as u8);
        sealed.canonical[..text.len()].copy_from_slice(text.as_bytes());
    }
    sealed
}

/// The entry of a lender that escrows and seals what it likes under a key, with valid proofs and signatures.
fn entry(world: &mut World, regulator: &Regulator, key: usize, [escrowed, sealed]: [&Items<'_>; 2]) -> QueryEntry {
    entry_on(digest::sha256(b"consent"), world, regulator, key, [escrowed, sealed])
}

fn entry_on(
    consent: Digest32,
    world: &mut World,
    regulator: &Regulator,
    key: usize,
    [escrowed, sealed]: [&Items<'_>; 2],
) -> QueryEntry {
    let mut entry = world.ask(&[(IdType::Mobile, MOBILE)]).entry;
    let (rng, y) = (&mut world.rng, regulator.audit[key].public());
    let core = &mut entry.core;
    core.audit_key_id = AuditKeyId(key as u32);
    let mut secrets: Vec<EscrowSecret> = Vec::new();
    for (item, place) in escrowed.iter().zip(core.items.iter_mut()) {
        let element = item.map_or_else(dummy_element, |(id_type, text)| {
            input_element(&identifier(id_type, text).oprf_input()).unwrap()
        });
        let blinded = escrow(&element, &y, rng);
        *place = blinded.item;
        secrets.push(blinded.secret);
    }
    let consents = vec![Consent { digest: consent, salt: [5; 32] }];
    core.consent_commit = consent_commit(Shape::Check, &consents);
    let plaintext = SealPlaintext::new(sealed.iter().map(sealed_item).collect(), consents).encode();
    let info = seal_info(&core.chain_id, core.audit_key_id);
    let to = regulator.seal[key].public();
    let sealed = seal::seal(&to, &info, &core.aad_without_seal_digest(), &plaintext, rng).unwrap();
    core.seal_digest = seal_digest(&sealed);
    entry.proofs = Proofs::Each(prove_knowledge(&core.digest(), &core.items, &secrets, &y, rng));
    entry.seal = sealed;
    sign(world, entry)
}

fn sign(world: &World, mut entry: QueryEntry) -> QueryEntry {
    let (core_digest, proofs_digest) = (entry.core.digest(), entry.proofs.digest());
    for one in &mut entry.envelopes {
        (one.envelope.core_digest, one.envelope.proofs_digest) = (core_digest, proofs_digest);
        one.signature = one.envelope.sign(&world.chain_id, &world.lender_key);
    }
    entry
}

fn chunk(world: &mut World) -> QueryEntry {
    let subjects = [[(IdType::ResidentId, OTHER_RESIDENT)], [(IdType::Mobile, MOBILE)]];
    let subjects = subjects.map(|identifiers| (world.subject(&identifiers), world.consent()));
    let prepared = world.prepare(Shape::Chunk { width: 2, subjects: 16 }, &subjects);
    world.address(prepared).entry
}

/// Honest and dishonest entries of every kind, mixed; mostly honest, so that the bad ones stand at changing places of a group.
fn entries(world: &mut World, regulator: &Regulator, count: usize) -> Vec<QueryEntry> {
    let honest = [&PERSON, &PERSON];
    let one = |number: usize, world: &mut World| match number % 37 {
        1 => entry(world, regulator, 0, [&PERSON, &OTHER_PERSON]),
        2 => entry(world, regulator, 0, [&PERSON, &NOBODY]),
        5 => entry(world, regulator, 0, [&NOBODY, &PERSON]),
        9 => entry(world, regulator, 0, [&PERSON, &MISPLACED]),
        11 => entry(world, regulator, 0, [&PERSON, &NO_PERSON]),
        12 => entry(world, regulator, 1, [&NOBODY, &NO_PERSON]),
        14 | 15 | 33 => entry(world, regulator, 1, honest),
        17 => {
            let mut entry = entry(world, regulator, 0, honest);
            entry.core.consent_commit = Digest32::ZERO; // neither the seal nor the proofs are of this core
            sign(world, entry)
        }
        19 => {
            let mut entry = entry(world, regulator, 0, [&PERSON, &OTHER_PERSON]);
            let Proofs::Each(proofs) = &mut entry.proofs else { panic!("a check has a proof for each item") };
            proofs.swap(0, 1);
            sign(world, entry)
        }
        23 => {
            let mut entry = entry(world, regulator, 0, honest);
            entry.core.audit_key_id = AuditKeyId(9);
            sign(world, entry)
        }
        25 => entry_on(Digest32::ZERO, world, regulator, 0, [&PERSON, &OTHER_PERSON]),
        27 => chunk(world),
        _ => entry(world, regulator, 0, honest),
    };
    (0..count).map(|number| one(number, world)).collect()
}

/// Digests of the cores, which [`LoggedRequest`]s borrow.
fn digests(entries: &[QueryEntry]) -> Vec<Digest32> {
    entries.iter().map(|entry| entry.core.digest()).collect()
}

fn requests<'a>(entries: &'a [QueryEntry], digests: &'a [Digest32]) -> Vec<LoggedRequest<'a>> {
    let request = |(entry, core_digest): (&'a QueryEntry, &'a Digest32)| LoggedRequest {
        core: &entry.core,
        core_digest,
        proofs: &entry.proofs,
        seal: &entry.seal,
    };
    entries.iter().zip(digests).map(request).collect()
}

/// What is wrong with a request by the rule, item by item, each opened alone.
fn faults_alone(request: &LoggedRequest<'_>, keys: &[RegulatorKey<'_>]) -> Vec<RequestFault> {
    let fault = |kind, item| RequestFault { kind, item };
    let Some(key) = keys.iter().find(|key| key.id == request.core.audit_key_id) else {
        return vec![fault(FindingKind::SealMalformed, None)];
    };
    let (y, items) = (key.audit.public(), &request.core.items);
    let known = match request.proofs {
        Proofs::Each(proofs) => verify_knowledge(request.core_digest, items, &y, proofs).is_ok(),
        Proofs::Weighted(proof) => verify_knowledge_weighted(request.core_digest, items, &y, proof).is_ok(),
    };
    let mut faults = Vec::new();
    if !known {
        faults.push(fault(FindingKind::EntryInvalid, None));
    }
    let Some(plain) = request.open_seal(key) else {
        faults.push(fault(FindingKind::SealMalformed, None));
        return faults;
    };
    for (index, (item, sealed)) in (0u32..).zip(items.iter().zip(&plain.items)) {
        let agrees = match sealed_identifier(sealed) {
            _ if sealed.is_dummy() => Ok(key.audit.agrees_with_dummy(item)),
            Some(identifier) => Ok(key.audit.agrees(item, &identifier.oprf_input())),
            None => Err(FindingKind::SealMalformed),
        };
        match agrees {
            Ok(true) => {}
            Ok(false) => faults.push(fault(FindingKind::EscrowMismatch, Some(index))),
            Err(kind) => faults.push(fault(kind, Some(index))),
        }
    }
    let subjects = plain.items.chunks(request.core.shape.width()).zip(&plain.consents);
    let without = |(items, consent): (&[SealedItem], &Consent)| {
        consent.digest == Digest32::ZERO && items.iter().any(|item| !item.is_dummy())
    };
    let committed = consent_commit(request.core.shape, &plain.consents) == request.core.consent_commit;
    if !committed || subjects.into_iter().any(without) {
        faults.push(fault(FindingKind::ConsentMismatch, None));
    }
    faults
}

/// Entry counts around a group of eight lanes and around a run, in items (four an entry) and in entries.
fn counts() -> impl Iterator<Item = usize> {
    let run = ITEMS_AT_ONCE / 4;
    [
        0,
        1,
        2,
        3,
        7,
        8,
        9,
        15,
        16,
        17,
        run - 1,
        run,
        run + 1,
        2 * run,
        ITEMS_AT_ONCE - 1,
        ITEMS_AT_ONCE,
        ITEMS_AT_ONCE + 1,
    ]
    .into_iter()
}

#[test]
fn entries_checked_together_have_the_faults_that_each_has_alone() {
    let mut world = World::new(1);
    let regulator = Regulator::of(&mut world);
    let entries = entries(&mut world, &regulator, ITEMS_AT_ONCE + 1);
    let (keys, digests) = (regulator.keys(), digests(&entries));
    let requests = requests(&entries, &digests);
    let alone: Vec<Vec<RequestFault>> = requests.iter().map(|request| faults_alone(request, &keys)).collect();
    for count in counts() {
        assert_eq!(faults_of(&requests[..count], &keys), alone[..count], "the first {count}");
        let from = requests.len() - count;
        assert_eq!(faults_of(&requests[from..], &keys), alone[from..], "the last {count}");
    }
    let parted = parts(&requests).into_iter().flat_map(|part| faults_of(part, &keys));
    assert_eq!(parted.collect::<Vec<_>>(), alone, "in parts");
    let kinds: BTreeMap<FindingKind, usize> = alone.iter().flatten().fold(BTreeMap::new(), |mut kinds, fault| {
        *kinds.entry(fault.kind).or_default() += 1;
        kinds
    });
    assert!(kinds.len() == 4 && kinds.values().all(|count| *count > 20), "{kinds:?}");
    assert!(alone.iter().filter(|faults| faults.is_empty()).count() > ITEMS_AT_ONCE / 2);
    assert!(faults_of(&requests[..9], &[]).iter().all(|faults| faults.len() == 1), "no key, nothing opens");
}

#[test]
fn parts_keep_order_and_hold_no_more_items_than_are_opened_together() {
    let mut world = World::new(1);
    let large = {
        let subject = (world.subject(&[(IdType::Mobile, MOBILE)]), world.consent());
        let prepared = world.prepare(Shape::Chunk { width: 4, subjects: 4096 }, &[subject]);
        world.address(prepared).entry
    };
    let check = world.ask(&[(IdType::Mobile, MOBILE)]).entry;
    let entries: Vec<&QueryEntry> =
        std::iter::repeat_n(&check, 300).chain([&large]).chain(std::iter::repeat_n(&check, 3)).collect();
    let requests: Vec<LoggedRequest<'_>> = entries
        .iter()
        .map(|entry| LoggedRequest {
            core: &entry.core,
            core_digest: &entry.core.seal_digest,
            proofs: &entry.proofs,
            seal: &entry.seal,
        })
        .collect();
    let parts = parts(&requests);
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [256, 44, 1, 3]);
}

/// The last part first.
struct Backwards;

impl Spread for Backwards {
    fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let mut done: Vec<R> = parts.iter().rev().map(work).collect();
        done.reverse();
        done
    }
}

/// Whichever of so many threads is free takes the next part.
struct Threads(usize);

impl Spread for Threads {
    fn map<T: Sync, R: Send>(&self, parts: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let next = AtomicUsize::new(0);
        let take = || {
            let number = || next.fetch_add(1, Ordering::Relaxed);
            let mine = std::iter::from_fn(|| Some(number()).and_then(|number| Some((number, parts.get(number)?))));
            mine.map(|(number, part)| (number, work(part))).collect::<Vec<_>>()
        };
        let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.0).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        done.sort_unstable_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

/// A log of both sides on chain, many windows each.
struct OnChain {
    world: World,
    regulator: Regulator,
    windows: Vec<(LogKind, WindowScope, LogPayload)>,
}

impl OnChain {
    /// Mixed entries; some were refused, answered otherwise than logged, or are missing on one side.
    fn mixed(count: usize) -> Self {
        let mut world = World::new(1);
        let regulator = Regulator::of(&mut world);
        let mut entries = entries(&mut world, &regulator, count);
        let mut receipts = Vec::new();
        for (number, entry) in entries.iter_mut().enumerate() {
            receipts.extend(answer(&world, entry, number));
        }
        entries.remove(count / 2);
        let mut all = Self { world, regulator, windows: Vec::new() };
        let (lender, publisher) = (all.world.lender.clone(), all.world.publishers[0].id.clone());
        all.log(&lender, &entries.into_iter().map(LenderEntry::Query).collect::<Vec<_>>());
        all.log(&publisher, &receipts.into_iter().map(ResponderEntry::Receipt).collect::<Vec<_>>());
        all
    }

    fn log<E: LogEntry>(&mut self, member: &MemberId, entries: &[E]) {
        let (public, chain_id) = (self.world.seal.public(), self.world.chain_id);
        for (window, entries) in (0..).map(Window).zip(entries.chunks(11)) {
            let scope = WindowScope { chain_id, member: member.clone(), first_window: window, last_window: window };
            let to = SealTo { audit_key_id: AuditKeyId(0), key: &public };
            let sealed = SealedWindow::build(&scope, entries, to, 4, 1 << 22, &mut self.world.rng).unwrap();
            assert_eq!(sealed.taken, entries.len());
            self.windows.push((E::KIND, scope, sealed.payload));
        }
    }

    fn open(&self, spread: &impl Spread) -> OpenedLogs {
        let seen = self.windows.iter().map(|(kind, scope, payload)| SeenWindow {
            kind: *kind,
            scope,
            height: Height(3 + scope.first_window.0),
            header_time_s: NOW_S,
            payload,
        });
        let (seen, mut logs) = (seen.collect::<Vec<_>>(), OpenedLogs::default());
        let (first, rest) = seen.split_at(1);
        first.iter().for_each(|one| logs.add(one, &self.regulator.keys()));
        logs.add_all(rest, &self.regulator.keys(), spread);
        logs
    }

    fn reconcile(&mut self, spread: &impl Spread) -> ReconcileReport {
        let (logs, members) = (self.open(spread), self.world.members());
        let input = Reconciliation {
            chain_id: &self.world.chain_id,
            genesis_time_s: GENESIS_S,
            first_block_time_s: NOW_S,
            policy: &self.world.policy,
            members: &members,
            keys: &self.regulator.keys(),
            head_time_s: NOW_S + 10_000,
        };
        reconcile_windows(&input, &logs, (Window(0), Window(u64::MAX)), spread)
    }
}

/// The publisher's receipt of an entry, none if it hides it, and its outcome in the entry.
fn answer(world: &World, entry: &mut QueryEntry, number: usize) -> Option<ReceiptEntry> {
    let (one, own) = (&mut entry.envelopes[0], &world.publishers[0]);
    let (digest, response) = (one.envelope.digest(), digest::sha256(b"response"));
    let by = if number % 29 == 4 { &world.lender_key } else { &own.identity };
    one.outcome = Some(riskveil_exchange::audit::Outcome::sign(&world.chain_id, &digest, 0, response, by));
    let mut receipt = ReceiptEntry {
        core: entry.core.clone(),
        proofs: entry.proofs.clone(),
        seal: entry.seal.clone(),
        envelope: one.envelope.clone(),
        signature: one.signature,
        status: 0,
        response_digest: response,
    };
    match number % 31 {
        3 => return None,
        7 => receipt.response_digest = Digest32::ZERO,
        // an envelope that the lender's log has, under a signature that is not the lender's
        10 => receipt.signature = one.outcome.as_ref().unwrap().signature,
        13 => receipt.seal[0] ^= 1,
        _ => {}
    }
    Some(receipt)
}

#[test]
fn an_audit_finds_the_same_whoever_does_its_parts() {
    let mut all = OnChain::mixed(400);
    let middle = all.windows.len() / 2;
    all.windows[middle].2.blob[50] ^= 1;
    all.windows[middle + 1].2.leaves[0] = Digest32::ZERO;
    let report = all.reconcile(&InTurn);
    assert!(report.counts.matched > 200 && report.counts.requests > 300, "{:?}", report.counts);
    let mut kinds: Vec<FindingKind> = report.findings.iter().map(|finding| finding.kind).collect();
    kinds.dedup();
    assert!(kinds.len() >= 10, "{kinds:?}");
    for threads in [1, 2, 3, 8] {
        assert_eq!(all.reconcile(&Threads(threads)), report, "{threads} threads");
    }
    assert_eq!(all.reconcile(&Backwards), report);

    let keys = all.regulator.keys();
    let wanted = [(IdType::Mobile, MOBILE), (IdType::ResidentId, OTHER_RESIDENT)]
        .map(|(id_type, text)| identifier(id_type, text));
    let trail = subject_trail(&all.open(&InTurn), &keys, &wanted, &InTurn);
    assert!(trail.len() > 300);
    assert_eq!(subject_trail(&all.open(&Threads(3)), &keys, &wanted, &Threads(3)), trail);
    assert_eq!(subject_trail(&all.open(&Backwards), &keys, &wanted, &Backwards), trail);
}

#[test]
fn a_known_envelope_under_another_signature_is_the_responders_invention() {
    let mut all = OnChain::mixed(12); // the eleventh is one
    let report = all.reconcile(&InTurn);
    let invented: Vec<_> =
        report.findings.iter().filter(|finding| finding.fault == Some(EntryFault::LenderSignature)).collect();
    assert_eq!(invented.iter().map(|finding| finding.party.as_str()).collect::<Vec<_>>(), ["INST-01"]);
}

/// Who asks about one of these identifiers, by the rule, item by item, each opened alone.
fn found_alone(
    requests: &[LoggedRequest<'_>],
    keys: &[RegulatorKey<'_>],
    wanted: &[Identifier],
) -> Vec<(Digest32, u32, IdType, bool, bool, Option<Digest32>)> {
    let mut found = Vec::new();
    for request in requests {
        let Some(key) = keys.iter().find(|key| key.id == request.core.audit_key_id) else { continue };
        let plain = request.open_seal(key);
        for (index, item) in request.core.items.iter().enumerate() {
            let sealed = plain.as_ref().and_then(|plain| sealed_identifier(&plain.items[index]));
            for one in wanted {
                let by_seal = sealed.as_ref() == Some(one);
                let by_escrow = key.audit.open(item) == Some(input_element(&one.oprf_input()).unwrap());
                if by_seal || by_escrow {
                    let subject = index / request.core.shape.width();
                    let consent = plain.as_ref().map(|plain| plain.consents[subject].digest);
                    found.push((*request.core_digest, subject as u32, one.id_type(), by_seal, by_escrow, consent));
                }
            }
        }
    }
    found.sort_by_key(|(core_digest, subject, id_type, ..)| (*core_digest, *subject, *id_type));
    found
}

#[test]
fn a_search_finds_what_opening_each_item_alone_finds() {
    let mut world = World::new(1);
    let regulator = Regulator::of(&mut world);
    let entries = entries(&mut world, &regulator, ITEMS_AT_ONCE / 2);
    let (keys, digests) = (regulator.keys(), digests(&entries));
    let requests = requests(&entries, &digests);
    let wanted = [(IdType::Mobile, MOBILE), (IdType::ResidentId, OTHER_RESIDENT)];
    let wanted = wanted.map(|(id_type, text)| identifier(id_type, text));
    for count in counts().filter(|count| *count <= entries.len()) {
        let logged = |entry: &QueryEntry| Logged { entry: entry.clone(), window: 0, on_chain: vec![true] };
        let queries = entries[..count].iter().map(logged).collect();
        let logs = OpenedLogs { queries, ..OpenedLogs::default() };
        let trail = subject_trail(&logs, &keys, &wanted, &InTurn);
        let found = trail
            .into_iter()
            .map(|one| (one.core_digest, one.subject, one.id_type, one.by_seal, one.by_escrow, one.consent_digest));
        assert_eq!(found.collect::<Vec<_>>(), found_alone(&requests[..count], &keys, &wanted), "{count} entries");
    }
}
