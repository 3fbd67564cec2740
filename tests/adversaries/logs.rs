//! Logs that leave something out, add something or contradict each other: each finding and the party it names.

use riskveil_chain::receipt::ReceiptCode;
use riskveil_exchange::audit::entry::LogKind;
use riskveil_exchange::audit::finding::{EntryFault, Finding};
use riskveil_exchange::audit::window::{LogPayload, WindowScope};
use riskveil_exchange::audit::{OpenedLogs, Reconciliation, RegulatorKey, SeenWindow, reconcile};
use riskveil_exchange::ids::{AuditKeyId, Height};
use riskveil_exchange::member::{Member, Roles};
use riskveil_tests::second::log::{self, Outcome};
use riskveil_tests::second::messages::{Request, Response, sign_outcome};
use riskveil_tests::second::{ledger, sha256};

use crate::common::id;
use crate::requests::{Draft, draft};
use crate::world::{GENESIS_TIME_S, LENDER, OTHER, PUBLISHER, World, caught};

/// Header time at which everything is due and was logged.
const HEAD_S: u64 = GENESIS_TIME_S + 1_000;

/// A member's log of window 0 before it is sealed.
#[derive(Clone, Default)]
pub struct Log {
    pub entries: Vec<Vec<u8>>,
    pub leaves: Vec<[u8; 32]>,
}

/// One request and how it was answered.
#[derive(Clone)]
pub struct Exchange {
    pub request: Request,
    pub outcome: Outcome,
}

/// Changes the leaves and the blob of a sealed window.
pub type Tamper = fn(&mut Vec<[u8; 32]>, &mut Vec<u8>);

/// What LENDER-01 and INST-01 log with the second implementation, and a regulator of the product.
pub struct Trial {
    pub world: World,
    pub exchanges: Vec<Exchange>,
    pub lender: Log,
    pub responder: Log,
    /// Changes a window's sealed payload.
    pub tamper: Option<(u8, Tamper)>,
    /// Who logs nothing: 0 the lender, 1 the responder.
    pub absent: Option<u8>,
    /// Header time of the block with window 0.
    pub logged_at_s: u64,
}

impl Trial {
    pub fn empty() -> Self {
        Self {
            world: World::new(),
            exchanges: Vec::new(),
            lender: Log::default(),
            responder: Log::default(),
            tamper: None,
            absent: None,
            logged_at_s: GENESIS_TIME_S + 61,
        }
    }

    /// One honest exchange, logged by both.
    pub fn new() -> Self {
        let mut trial = Self::empty();
        trial.exchange(|_| {});
        trial
    }

    /// The lender asks, INST-01 evaluates, both log.
    pub fn exchange(&mut self, change: impl FnOnce(&mut Draft)) {
        let request = draft(&mut self.world, change);
        let response = evaluate(&mut self.world, &request);
        let outcome = (response.status, response.digest(), response.signature);
        self.log(Exchange { request, outcome });
    }

    pub fn log(&mut self, exchange: Exchange) {
        self.lender.entries.push(log::query_entry(&[(exchange.request.clone(), Some(exchange.outcome))]));
        self.lender.leaves.push(log::query_leaf(&exchange.request));
        let (status, digest, _) = exchange.outcome;
        self.responder.entries.push(log::receipt_entry(&exchange.request, status, &digest));
        self.responder.leaves.push(log::receipt_leaf(&exchange.request));
        self.exchanges.push(exchange);
    }

    /// Everything reconciliation finds, as "party kind(fault)".
    pub fn findings(&mut self) -> String {
        let mut opened = OpenedLogs::default();
        let lender = self.lender.clone();
        let responder = self.responder.clone();
        for (kind, member, log) in [(0, LENDER, lender), (1, PUBLISHER, responder)] {
            if self.absent != Some(kind) {
                self.see(&mut opened, kind, member, (0, 0), log, self.logged_at_s);
                for (first, last) in [(1, 8), (9, 15)] {
                    let header_time_s = GENESIS_TIME_S + (last + 1) * 60 + 1;
                    self.see(&mut opened, kind, member, (first, last), Log::default(), header_time_s);
                }
            }
        }
        let members: Vec<Member> = self.members();
        let chain = &self.world.chain;
        let input = Reconciliation {
            chain_id: chain.ledger.chain_id(),
            genesis_time_s: GENESIS_TIME_S,
            first_block_time_s: GENESIS_TIME_S + 1,
            policy: &chain.ledger.genesis().policy,
            members: &members,
            keys: &[self.key()],
            head_time_s: HEAD_S,
        };
        let report = reconcile(&input, &opened);
        assert!(report.findings.iter().all(|finding| !finding.proof.is_empty()), "every finding has a proof");
        let told: Vec<String> = report.findings.iter().map(verdict).collect();
        if told.is_empty() { "nobody".into() } else { told.join(", ") }
    }

    fn key(&self) -> RegulatorKey<'_> {
        let consortium = &self.world.chain.consortium;
        RegulatorKey { id: AuditKeyId(0), audit: &consortium.audit_key, seal: &consortium.seal_key }
    }

    fn members(&self) -> Vec<Member> {
        let roles = |member: &Member| match member.id.as_str() {
            LENDER => Roles { lender: true, ..Roles::default() },
            PUBLISHER => Roles { publisher: true, ..Roles::default() },
            _ => Roles::default(),
        };
        let members = self.world.chain.consortium.genesis.members.iter();
        members.map(|member| Member { roles: roles(member), ..member.clone() }).collect()
    }

    pub fn window(&mut self, kind: u8, member: &str, (first, last): (u64, u64), log: Log) -> log::Window {
        let seed = self.world.bytes32();
        let Log { entries, leaves } = log;
        let chain_id = self.world.chain_id();
        log::Window { kind, chain_id, member: member.to_owned(), first, last, entries, leaves, audit_key_id: 0, seed }
    }

    fn see(
        &mut self,
        opened: &mut OpenedLogs,
        kind: u8,
        member: &str,
        windows: (u64, u64),
        log: Log,
        header_time_s: u64,
    ) {
        let window = self.window(kind, member, windows, log);
        let to = *self.world.chain.consortium.seal_key.public().as_bytes();
        let (mut leaves, mut blob) = window.seal(&to, &mut self.world.rng);
        if let Some((_, tamper)) = self.tamper.filter(|(which, _)| *which == kind && windows.0 == 0) {
            tamper(&mut leaves, &mut blob);
        }
        let payload = LogPayload::decode(&log::payload(&leaves, &blob), 1 << 20, 4).unwrap();
        let scope = WindowScope {
            chain_id: *self.world.chain.ledger.chain_id(),
            member: id(member),
            first_window: riskveil_exchange::ids::Window(windows.0),
            last_window: riskveil_exchange::ids::Window(windows.1),
        };
        let kind = if kind == 0 { LogKind::Queries } else { LogKind::Receipts };
        let height = Height(header_time_s - GENESIS_TIME_S);
        let seen = SeenWindow { kind, scope: &scope, height, header_time_s, payload: &payload };
        let consortium = &self.world.chain.consortium;
        let key = RegulatorKey { id: AuditKeyId(0), audit: &consortium.audit_key, seal: &consortium.seal_key };
        opened.add(&seen, &[key]);
    }
}

fn verdict(finding: &Finding) -> String {
    let fault = finding.fault.map(|fault| format!("({})", word(fault))).unwrap_or_default();
    format!("{} {}{fault}", finding.party, finding.kind.as_str())
}

fn word(fault: EntryFault) -> String {
    serde_json::to_string(&fault).unwrap().trim_matches('"').to_owned()
}

/// INST-01's signed answer to a request.
fn evaluate(world: &mut World, request: &Request) -> Response {
    let mut response = Response {
        header: [1, 0, 18, 1],
        core_digest: request.core.digest(),
        envelope_digest: request.envelope.digest(),
        publisher: PUBLISHER.to_owned(),
        period: 0,
        k: request.envelope.k,
        status: 0,
        tip_height: world.chain.height().0,
        tip_header_hash: *world.view().digest.as_bytes(),
        last_batch_seq: 1,
        served_at_s: world.now_s(),
        z: vec![[1; 32]; 4],
        proof: [2; 64],
        signature: [0; 64],
    };
    world.sign(&mut response);
    response
}

#[test]
fn a_dropped_log_entry() {
    let mut trial = Trial::new();
    trial.lender = Log::default();
    caught(trial.findings(), "LENDER-01 lender_omitted");
}

#[test]
fn a_dropped_receipt() {
    let mut trial = Trial::new();
    trial.responder = Log::default();
    caught(trial.findings(), "INST-01 responder_omitted");
}

#[test]
fn a_leaf_without_entry() {
    let mut trial = Trial::new();
    // others count a leaf; the regulator has nothing to read
    trial.responder.entries.clear();
    caught(trial.findings(), "INST-01 responder_omitted, INST-01 leaf_without_entry");
}

#[test]
fn an_entry_without_leaf() {
    let mut trial = Trial::new();
    // the regulator reads it; nothing on chain shows that it was ever logged
    trial.lender.leaves.clear();
    caught(trial.findings(), "LENDER-01 lender_omitted, LENDER-01 entry_invalid(leaf_missing)");
}

#[test]
fn a_blob_that_nobody_can_open() {
    let mut trial = Trial::new();
    trial.tamper = Some((1, |_, blob| blob[60] ^= 1));
    caught(trial.findings(), "INST-01 responder_omitted, INST-01 blob_unopenable");
}

#[test]
fn a_blob_of_other_windows() {
    let mut trial = Trial::new();
    let earlier = trial.window(0, LENDER, (7, 7), trial.lender.clone());
    let to = *trial.world.chain.consortium.seal_key.public().as_bytes();
    let (_, blob) = earlier.seal(&to, &mut trial.world.rng);
    let stale = std::sync::Mutex::new(Some(blob));
    static STALE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    STALE.get_or_init(|| stale.lock().unwrap().take().unwrap());
    trial.tamper = Some((0, |_, blob| *blob = STALE.get().unwrap().clone()));
    caught(trial.findings(), "LENDER-01 lender_omitted, LENDER-01 blob_unopenable");
}

#[test]
fn a_window_that_was_never_logged() {
    let mut trial = Trial::empty();
    trial.absent = Some(1);
    caught(trial.findings(), "INST-01 missing_window");
}

#[test]
fn a_window_logged_too_late() {
    let mut trial = Trial::empty();
    trial.logged_at_s = GENESIS_TIME_S + 60 + 601;
    caught(trial.findings(), "INST-01 late, LENDER-01 late");
}

#[test]
fn one_nonce_for_two_requests() {
    let mut trial = Trial::new();
    let nonce = trial.exchanges[0].request.core.nonce;
    trial.exchange(|draft| draft.core.nonce = nonce);
    caught(trial.findings(), "LENDER-01 equivocation");
}

#[test]
fn an_answer_signed_otherwise_than_it_was_logged() {
    let mut trial = Trial::new();
    let request = trial.exchanges[0].request.clone();
    trial.responder.entries[0] = log::receipt_entry(&request, 0, &sha256(b"a harmless answer"));
    caught(trial.findings(), "INST-01 equivocation");
}

#[test]
fn an_answer_that_the_lender_invented() {
    let mut trial = Trial::new();
    trial.responder = Log::default();
    let request = trial.exchanges[0].request.clone();
    let signature =
        sign_outcome(&trial.world.chain_id(), &request.envelope.digest(), 0, &[3; 32], &trial.world.identity(OTHER));
    trial.lender.entries[0] = log::query_entry(&[(request, Some((0, [3; 32], signature)))]);
    caught(trial.findings(), "LENDER-01 entry_invalid(outcome_signature)");
}

#[test]
fn a_request_that_the_responder_invented() {
    let mut trial = Trial::empty();
    let mut request = draft(&mut trial.world, |_| {});
    request.sign(&trial.world.identity(PUBLISHER));
    trial.responder.entries.push(log::receipt_entry(&request, 0, &[3; 32]));
    trial.responder.leaves.push(log::receipt_leaf(&request));
    caught(trial.findings(), "INST-01 entry_invalid(lender_signature)");
}

#[test]
fn a_logged_request_altered_afterwards() {
    let mut trial = Trial::new();
    let mut request = trial.exchanges[0].request.clone();
    request.core.purpose = 5;
    let (status, digest, _) = trial.exchanges[0].outcome;
    trial.responder.entries[0] = log::receipt_entry(&request, status, &digest);
    caught(trial.findings(), "INST-01 responder_omitted, INST-01 entry_invalid(digests)");
}

#[test]
fn a_logged_seal_exchanged_afterwards() {
    let mut trial = Trial::new();
    let mut request = trial.exchanges[0].request.clone();
    request.seal[60] ^= 1;
    let (status, digest, _) = trial.exchanges[0].outcome;
    trial.responder.entries[0] = log::receipt_entry(&request, status, &digest);
    caught(trial.findings(), "INST-01 responder_omitted, INST-01 entry_invalid(seal)");
}

#[test]
fn a_receipt_of_somebody_elses_envelope() {
    let mut trial = Trial::empty();
    let request = draft(&mut trial.world, |draft| draft.publisher = OTHER.to_owned());
    trial.responder.entries.push(log::receipt_entry(&request, 0, &[3; 32]));
    trial.responder.leaves.push(log::receipt_leaf(&request));
    caught(trial.findings(), "INST-01 entry_invalid(not_own)");
}

#[test]
fn a_request_logged_under_another_form() {
    let mut trial = Trial::empty();
    trial.exchange(|draft| draft.core.header = [9, 0, 16, 1]);
    caught(trial.findings(), "INST-01 entry_invalid(form), LENDER-01 entry_invalid(form)");
}

#[test]
fn a_request_logged_without_knowledge_of_its_blindings() {
    let mut trial = Trial::empty();
    trial.exchange(|draft| draft.spoil_proofs = true);
    caught(trial.findings(), "LENDER-01 entry_invalid(proof_of_knowledge)");
}

#[test]
fn leaves_on_chain_that_are_not_under_their_root() {
    let mut trial = Trial::new();
    let window = trial.window(0, LENDER, (0, 0), trial.lender.clone());
    let to = *trial.world.chain.consortium.seal_key.public().as_bytes();
    let (leaves, blob) = window.seal(&to, &mut trial.world.rng);
    let payload = log::payload(&leaves, &blob);
    let mut others = leaves;
    others[0][0] ^= 1;
    trial.world.chain.at(70);
    let body = ledger::log_windows(8, 0, 0, &payload, &others);
    caught(trial.world.sent(LENDER, body, Some(payload)), "LENDER-01 LogRoot");
}

#[test]
fn a_window_left_out_of_the_sequence() {
    let mut trial = Trial::new();
    let window = trial.window(0, LENDER, (1, 1), trial.lender.clone());
    let to = *trial.world.chain.consortium.seal_key.public().as_bytes();
    let (leaves, blob) = window.seal(&to, &mut trial.world.rng);
    let payload = log::payload(&leaves, &blob);
    trial.world.chain.at(200);
    let body = ledger::log_windows(8, 1, 1, &payload, &leaves);
    caught(trial.world.sent(LENDER, body, Some(payload)), "LENDER-01 WindowNotNext");
    assert_eq!(ReceiptCode::WindowNotNext.number(), 600);
}
