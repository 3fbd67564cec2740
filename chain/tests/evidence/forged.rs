//! Every way of forging a file that we could think of, each refused by its rule.

use std::collections::BTreeSet;

use riskveil_chain::evidence::format::{AnswerClaim, LogClaim};
use riskveil_chain::evidence::format::{
    BatchOpening, Blob, Claim, Evaluated, Exchange, ExportedScalar, ItemDecryption, ItemOpening, LoggedReceipt,
    LoggedTransaction, OpenedRow, Said, StateEntry, StateOpening,
};
use riskveil_chain::evidence::{Evidence, Rule, Statement, verify};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::{BindingState, PeriodKeyState, State, keys};
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::escrow::{EscrowSecret, dummy_element};
use riskveil_crypto::escrow_opening::prove_item_opening;
use riskveil_crypto::label::Row;
use riskveil_crypto::merkle::{InclusionProof, leaf_hash};
use riskveil_crypto::{SecretBytes, codec};
use riskveil_exchange::ids::{AuditKeyId, Height, Period};
use riskveil_exchange::query::messages::{EvaluateResponse, Proofs, RequestCore, Shape};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::record::IdType;

use crate::common::id;
use crate::world::{Check, MOBILE, Plan, RESIDENT, STRANGER, TWO_RECORDS, World, evidence};

/// A file, and the rule it breaks; none if it holds.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) breaks: Option<Rule>,
}

/// Good and forged files of one chain, and its id.
pub(crate) fn cases() -> (Digest32, Vec<Case>) {
    let mut cases = Cases::default();
    let mut world = World::new(TWO_RECORDS);
    let check = world.ask(&[(IdType::ResidentId, RESIDENT), (IdType::Mobile, MOBILE)]);
    let clear = world.ask(&[(IdType::ResidentId, STRANGER)]);
    let clear = world.export(&clear).bytes;
    world.go_on();
    let hit = world.export(&check).bytes;
    cases.good("clear", clear);
    chain_is_forged(&mut cases, &world, &hit);
    request_is_forged(&mut cases, &check, &hit);
    publishers_are_forged(&mut cases, &mut world, &check, &hit);
    state_is_forged(&mut cases, &world, &hit);
    rows_are_forged(&mut cases, &hit);
    logs_are_forged(&mut cases, &mut world, &check);
    cases.good("hit", hit);
    publishers_are_at_fault(&mut cases);
    (*world.chain.ledger.chain_id(), cases.0)
}

/// Other histories of the same genesis: a publisher that left a slot out, one whose row does not open, and one that refused.
fn publishers_are_at_fault(cases: &mut Cases) {
    let (_, gap) = with_every_row(Plan { snapshot: &[1], delta: &[], spoiled: false });
    cases.0.push(Case { name: "slot-left-out", bytes: gap, breaks: Some(Rule::Gap) });
    let (_, spoiled) = with_every_row(Plan { snapshot: &[0], delta: &[], spoiled: true });
    cases.0.push(Case { name: "row-that-does-not-open", bytes: spoiled, breaks: Some(Rule::Label) });
    let mut world = World::new(TWO_RECORDS);
    let mut check = world.ask(&[(IdType::ResidentId, STRANGER)]);
    world.refuse(&mut check, 0, RefusalReason::QuotaExceeded, [0; 64]);
    check.unanswered.insert(id("INST-02"), "unavailable(timed_out)".to_owned());
    check.responses.remove(&id("INST-02"));
    cases.good("incomplete", world.export(&check).bytes);
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn good(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.0.push(Case { name, bytes, breaks: None });
    }

    fn bad(&mut self, name: &'static str, rule: Rule, base: &[u8], forge: impl FnOnce(&mut Evidence)) {
        let mut forged = evidence(base);
        forge(&mut forged);
        let bytes = forged.encode();
        assert_ne!(bytes, base, "{name}");
        self.0.push(Case { name, bytes, breaks: Some(rule) });
    }

    fn bad_answer(&mut self, name: &'static str, rule: Rule, base: &[u8], forge: impl FnOnce(&mut AnswerClaim)) {
        self.bad(name, rule, base, |evidence| forge(answers(evidence)));
    }

    fn bad_log(&mut self, name: &'static str, rule: Rule, base: &[u8], forge: impl FnOnce(&mut LogClaim)) {
        self.bad(name, rule, base, |evidence| match &mut evidence.claim {
            Claim::LogEntry(claim) => forge(claim),
            Claim::Answers(_) => panic!("answers"),
        });
    }
}

fn answers(evidence: &mut Evidence) -> &mut AnswerClaim {
    match &mut evidence.claim {
        Claim::Answers(claim) => claim,
        Claim::LogEntry(_) => panic!("a log entry"),
    }
}

fn evaluated(claim: &mut AnswerClaim, at: usize) -> &mut Evaluated {
    match &mut claim.publishers[at].said {
        Said::Evaluated(evaluated) => evaluated,
        _ => panic!("not evaluated"),
    }
}

fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1;
}

fn chain_is_forged(cases: &mut Cases, world: &World, hit: &[u8]) {
    cases.bad("kind-of-another-message", Rule::Form, hit, |e| e.header.kind = 18);
    cases.bad("too-many-header-runs", Rule::Form, hit, |e| e.chains = vec![e.chains[0].clone(); 300]);
    cases.bad("another-chain-id", Rule::Chain, hit, |e| e.chain_id = Digest32::ZERO);
    cases.bad("another-genesis", Rule::Genesis, hit, |e| flip(&mut e.genesis.0, 6));
    cases.bad("term-history-cut-at-its-start", Rule::Boundaries, hit, |e| drop(e.boundaries.remove(0)));
    cases.bad("term-history-cut-at-its-end", Rule::Headers, hit, |e| drop(e.boundaries.pop()));
    cases.bad("boundary-certificate-forged", Rule::Boundaries, hit, |e| flip(&mut e.boundaries[0].certificate.0, 90));
    cases.bad("certificate-forged", Rule::Headers, hit, |e| flip(&mut e.chains[0].certificate.0, 90));
    cases.bad("certificate-of-another-header", Rule::Headers, hit, |e| {
        e.chains[0].certificate = e.chains[1].certificate.clone();
    });
    cases.bad("header-altered", Rule::Headers, hit, |e| flip(&mut e.chains[0].headers[0].0, 200));
    cases.bad("headers-not-linked", Rule::Headers, hit, |e| e.chains[0].headers[0] = e.chains[2].headers[0].clone());
    // both validators sign two blocks of one height
    cases.bad("two-blocks-of-one-height", Rule::Headers, hit, |e| {
        let mut other = world.block(13).header.clone();
        other.time_ms += 1;
        let certified = world.certified(&other);
        e.chains[0].headers = vec![certified.header];
        e.chains[0].certificate = certified.certificate;
    });
    cases.bad("state-entry-altered", Rule::State, hit, |e| flip(&mut e.state.entries[1].value.0, 0));
    cases.bad("state-of-another-block", Rule::State, hit, |e| e.state.height = Height(13));
    cases.bad("state-of-a-block-that-is-not-shown", Rule::State, hit, |e| e.state.height = Height(21));
}

fn request_is_forged(cases: &mut Cases, check: &Check, hit: &[u8]) {
    let core = |forge: fn(&mut RequestCore)| {
        let mut core = check.entry.core.clone();
        forge(&mut core);
        Blob(codec::encode(&core))
    };
    cases
        .bad_answer("request-of-another-chain", Rule::Request, hit, |c| c.core = core(|r| r.chain_id = Digest32::ZERO));
    cases.bad_answer("lender-is-none", Rule::Request, hit, |c| c.core = core(|r| r.lender = id("REGULATOR-01")));
    cases.bad_answer("request-is-a-chunk", Rule::Request, hit, |c| {
        c.core = core(|r| r.shape = Shape::Chunk { width: 4, subjects: 1 });
    });
    cases.bad("audit-key-not-shown", Rule::AuditKey, hit, |e| {
        let key = keys::audit_key(AuditKeyId(0));
        e.state.entries.retain(|entry| entry.key.0 != key);
    });
    cases.bad_answer("proof-of-knowledge-forged", Rule::Knowledge, hit, |c| {
        let Proofs::Each(mut proofs) = check.entry.proofs.clone() else { panic!("a chunk") };
        proofs.swap(0, 1);
        c.proofs = Blob(codec::encode(&Proofs::Each(proofs)));
    });
    cases.bad_answer("s-changed", Rule::Items, hit, |c| {
        let ItemOpening::Identifier { secret, .. } = &mut c.items[0] else { panic!("a dummy") };
        *secret = ExportedScalar(SecretBytes::from_bytes([1; 32]));
    });
    cases.bad_answer("another-person", Rule::Items, hit, |c| {
        let ItemOpening::Identifier { canonical, .. } = &mut c.items[0] else { panic!("a dummy") };
        *canonical = Blob(STRANGER.as_bytes().to_vec());
    });
    cases.bad_answer("identifier-not-canonical", Rule::Items, hit, |c| {
        let ItemOpening::Identifier { canonical, .. } = &mut c.items[3] else { panic!("a dummy") };
        *canonical = Blob(format!("+86{MOBILE}").into_bytes());
    });
    cases.bad_answer("identifier-hidden-as-a-dummy", Rule::Items, hit, |c| {
        let (core, item) = (&check.entry.core, &check.entry.core.items[3]);
        let secret = EscrowSecret::from_evidence(&check.secrets[3], item).unwrap();
        let context = codec::encode(&("riskveil/v1/chain/evidence-dummy", core.chain_id, core.digest(), 3u8));
        let y = riskveil_crypto::Element::BASE;
        let proof = prove_item_opening(&secret, item, &y, &dummy_element(), &context, &mut crate::common::rng(9));
        c.items[3] = ItemOpening::Dummy { proof };
    });
    cases.bad_answer("item-left-out", Rule::Items, hit, |c| drop(c.items.pop()));
    cases.bad_answer("judged-height-not-shown", Rule::JudgedHeight, hit, |c| c.judged_height = Height(17));
}

fn publishers_are_forged(cases: &mut Cases, world: &mut World, check: &Check, hit: &[u8]) {
    cases.bad_answer("publisher-left-out", Rule::Publishers, hit, |c| drop(c.publishers.remove(0)));
    cases.bad_answer("publisher-twice", Rule::Publishers, hit, |c| c.publishers[0] = c.publishers[1].clone());
    cases.bad_answer("reason-is-markup", Rule::Reason, hit, |c| {
        c.publishers[1].said = Said::NotProven { reason: "<b>clear</b>".to_owned() };
    });
    cases.bad_answer("answer-of-another-publisher", Rule::Envelope, hit, |c| {
        evaluated(c, 1).exchange = evaluated(c, 0).exchange.clone();
    });
    cases.bad_answer("lenders-signature-forged", Rule::Envelope, hit, |c| {
        evaluated(c, 0).exchange.signature = evaluated(c, 1).exchange.signature;
    });
    cases.bad_answer("response-altered", Rule::Response, hit, |c| {
        let bytes = &mut evaluated(c, 0).exchange.response;
        let mut response = EvaluateResponse::decode(&bytes.0, Shape::Check).unwrap();
        response.last_batch_seq += 1;
        *bytes = Blob(response.encode());
    });
    let with_response = |claim: &mut AnswerClaim, at: usize, response: &[u8]| {
        evaluated(claim, at).exchange.response = Blob(response.to_vec());
    };
    let mut other = again(check);
    let publisher = id("INST-02");
    let sk = riskveil_crypto::oprf::OprfSecretKey::from_bytes(&world.keys[&id("INST-01")].to_secret_bytes()).unwrap();
    world.evaluate(&mut other, 1, Some(&sk));
    let by_another_key = other.responses[&publisher].clone();
    cases.bad_answer("evaluated-with-another-publishers-key", Rule::Evaluation, hit, |c| {
        with_response(c, 1, &by_another_key);
    });
    world.refuse(&mut other, 1, RefusalReason::NotReady, [0; 64]);
    let refusal = other.responses[&publisher].clone();
    cases.bad_answer("refusal-shown-as-clear", Rule::Response, hit, |c| with_response(c, 1, &refusal));
    world.refuse(&mut other, 1, RefusalReason::NotReady, [7; 64]);
    let noisy = other.responses[&publisher].clone();
    let as_refused = |claim: &mut AnswerClaim, response: &[u8]| {
        let exchange = Exchange { response: Blob(response.to_vec()), ..evaluated(claim, 1).exchange.clone() };
        claim.publishers[1].said = Said::Refused(Box::new(exchange));
    };
    cases.bad_answer("refusal-that-carries-an-evaluation", Rule::Response, hit, |c| as_refused(c, &noisy));
    let evaluation = check.responses[&publisher].clone();
    cases.bad_answer("evaluation-shown-as-refusal", Rule::Response, hit, |c| as_refused(c, &evaluation));
    cases.bad("tip-not-shown", Rule::Tip, hit, |e| drop(e.chains.remove(0)));
}

/// The same check, its answers open to change.
fn again(check: &Check) -> Check {
    Check {
        entry: check.entry.clone(),
        requests: check.requests.clone(),
        responses: check.responses.clone(),
        unanswered: check.unanswered.clone(),
        identifiers: check.identifiers.clone(),
        secrets: check.secrets.clone(),
        consent: check.consent,
    }
}

/// Both validators sign a state that the chain never had.
fn with_state(world: &World, evidence: &mut Evidence, key: &[u8], value: Vec<u8>) {
    let view = world.chain.ledger.view();
    let entries = view.state.iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
    let mut state = State::from_entries(entries);
    state.apply([(key.to_vec(), value)]);
    let shown: BTreeSet<Vec<u8>> = evidence.state.entries.iter().map(|entry| entry.key.0.clone()).collect();
    let opened = state.open(&shown);
    let entries = opened.entries.into_iter().map(|(key, value, inclusion)| StateEntry {
        key: Blob(key),
        value: Blob(value),
        index: inclusion.index,
        path: inclusion.path,
    });
    evidence.state = StateOpening {
        height: view.height(),
        size: opened.size,
        entries_root: opened.entries_root,
        entries: entries.collect(),
    };
    let mut header = view.header.clone();
    header.state_root = state.root();
    let certified = world.certified(&header);
    let last = evidence.chains.last_mut().unwrap();
    (last.headers, last.certificate) = (vec![certified.header], certified.certificate);
}

fn state_is_forged(cases: &mut Cases, world: &World, hit: &[u8]) {
    let view = world.chain.ledger.view();
    let key_of = |publisher: &str| keys::period_key(Period(0), &id(publisher));
    let period_key = |publisher: &str| -> PeriodKeyState {
        codec::decode(view.state.get(&key_of(publisher)).unwrap(), 1024).unwrap()
    };
    let changed = |forge: fn(&mut PeriodKeyState)| {
        let mut key = period_key("INST-01");
        forge(&mut key);
        codec::encode(&key)
    };
    let cases_of_keys: [(&str, Rule, Vec<u8>); 5] = [
        ("key-of-another-publisher", Rule::PeriodKey, codec::encode(&period_key("INST-02"))),
        ("snapshot-not-sealed", Rule::PeriodKey, changed(|key| key.sealed = None)),
        ("key-revoked", Rule::PeriodKey, changed(|key| key.revoked = true)),
        ("key-announced-later", Rule::PeriodKey, changed(|key| key.announced_at = Height(14))),
        ("seal-of-other-batches", Rule::Snapshot, changed(|key| key.sealed.as_mut().unwrap().root = Digest32::ZERO)),
    ];
    for (name, rule, value) in cases_of_keys {
        cases.bad(name, rule, hit, |e| with_state(world, e, &key_of("INST-01"), value));
    }
    let binding_of = |publisher: &str| keys::binding(Period(0), &id(publisher), AuditKeyId(0));
    let other = view.state.get(&binding_of("INST-02")).unwrap().to_vec();
    assert!(codec::decode::<BindingState>(&other, 1024).is_ok());
    cases.bad("binding-of-another-publisher", Rule::Binding, hit, |e| {
        with_state(world, e, &binding_of("INST-01"), other);
    });
    cases.bad("period-key-not-shown", Rule::PeriodKey, hit, |e| {
        e.state.entries.retain(|entry| entry.key.0 != key_of("INST-01"));
    });
    cases.bad("later-batch-not-shown", Rule::Batches, hit, |e| {
        let later = keys::batch(Period(0), &id("INST-01"), 2);
        e.state.entries.retain(|entry| entry.key.0 != later);
    });
}

fn rows_are_forged(cases: &mut Cases, hit: &[u8]) {
    cases.bad_answer("last-batch-left-out", Rule::Batches, hit, |c| drop(evaluated(c, 0).batches.pop()));
    cases.bad_answer("only-batch-left-out", Rule::Batches, hit, |c| drop(evaluated(c, 1).batches.pop()));
    cases.bad_answer("batch-from-after-the-judged-height", Rule::Batches, hit, |c| {
        let batches = &mut evaluated(c, 0).batches;
        batches.push(batches[0].clone());
    });
    cases.bad_answer("absence-in-another-batch", Rule::Openings, hit, |c| evaluated(c, 0).batches.swap(0, 1));
    cases.bad_answer("absence-in-another-publishers-batch", Rule::Openings, hit, |c| {
        evaluated(c, 1).batches[0] = evaluated(c, 0).batches[0].clone();
    });
    cases.bad_answer("row-swapped", Rule::Openings, hit, |c| {
        let rows = &mut evaluated(c, 0).batches[0].rows;
        rows[0].row = rows[1].row;
    });
    cases.bad_answer("row-at-another-place", Rule::Openings, hit, |c| evaluated(c, 0).batches[0].rows[0].index += 1);
    cases.bad_answer("row-altered", Rule::Openings, hit, |c| {
        evaluated(c, 0).batches[0].rows[0].row.sealed_label[3] ^= 1;
    });
    cases.bad_answer("found-row-hidden", Rule::Undecided, hit, |c| {
        // the row that decides the overdue record: without it there is a hole where its tag belongs
        let rows = evaluated(c, 0).batches[0].rows.clone();
        let hidden = (0..rows.len()).find(|at| {
            let neighbours = at.checked_sub(1).map(|before| rows[before].index + 1 == rows[*at].index);
            neighbours == Some(true) && rows.get(at + 1).is_some_and(|after| rows[*at].index + 1 == after.index)
        });
        let at = hidden.unwrap_or(rows.len() / 2);
        drop(evaluated(c, 0).batches[0].rows.remove(at));
    });
    cases.bad_answer("no-row-opened", Rule::Undecided, hit, |c| evaluated(c, 1).batches[0].rows.clear());
}

fn logs_are_forged(cases: &mut Cases, world: &mut World, check: &Check) {
    let [(queries, _), (receipt, _), (refused, code)] = world.log(check);
    assert_eq!(code, ReceiptCode::WindowNotNext);
    let log = world.export_log(check, queries, receipt).bytes;
    cases.bad_log("log-about-another-person", Rule::Subject, &log, |c| {
        let ItemDecryption::Identifier { canonical, .. } = &mut c.items[0] else { panic!("a dummy") };
        *canonical = Blob(STRANGER.as_bytes().to_vec());
    });
    cases.bad_log("log-identifier-hidden-as-a-dummy", Rule::Subject, &log, |c| c.items[0] = c.items[1].clone());
    cases.bad_log("log-with-another-consent", Rule::Consent, &log, |c| c.consent_digest = Digest32::ZERO);
    cases.bad_log("log-transaction-altered", Rule::Logged, &log, |c| flip(&mut c.queries.transaction.0, 60));
    cases.bad_log("log-of-another-member", Rule::Logged, &log, |c| {
        c.queries = c.envelopes[0].receipt.as_ref().unwrap().transaction.clone();
    });
    cases.bad_log("leaf-of-another-payload", Rule::Leaf, &log, |c| {
        c.envelopes[0].leaf = c.envelopes[0].receipt.as_ref().unwrap().leaf.clone();
    });
    cases.bad_log("leaf-of-another-envelope", Rule::Leaf, &log, |c| c.envelopes[0].leaf = c.envelopes[1].leaf.clone());
    cases
        .bad_log("outcome-altered", Rule::LoggedOutcome, &log, |c| c.envelopes[0].outcome.as_mut().unwrap().status = 1);
    cases.bad_log("receipt-of-another-responder", Rule::Receipt, &log, |c| {
        c.envelopes[1].receipt = c.envelopes[0].receipt.clone();
    });
    // INST-02's log transaction stands on chain with the leaf in it, and was refused
    let block = world.block(refused.0).clone();
    let receipts = leaf_hash(&riskveil_chain::receipt::Receipt { tx: id_of(&block.transactions[0]), code }.encode());
    let transaction = LoggedTransaction {
        height: refused,
        transaction: Blob(block.transactions[0].clone()),
        inclusion: block.prove_transaction(0).unwrap(),
        receipt: InclusionProof::prove(&[receipts], 0).unwrap(),
    };
    let run = |world: &World, height: Height| {
        let certified = world.certified(&world.block(height.0).header);
        riskveil_chain::evidence::format::HeaderChain {
            headers: vec![certified.header],
            certificate: certified.certificate,
        }
    };
    let shown = run(world, refused);
    cases.bad("receipt-that-was-refused", Rule::Receipt, &log, |e| {
        if !e.chains.iter().any(|chain| chain.headers.contains(&shown.headers[0])) {
            e.chains.push(shown);
        }
        let Claim::LogEntry(claim) = &mut e.claim else { panic!("answers") };
        let payload = &block.payloads[0];
        let leaves = riskveil_exchange::audit::LogPayload::decode(payload, payload.len(), 4).unwrap().leaves;
        let envelope = &check.requests[1].envelope;
        let leaf = riskveil_exchange::audit::leaf::receipt_leaf(&envelope.salt, &envelope.digest());
        let at = leaves.iter().position(|one| *one == leaf).unwrap();
        let hashes: Vec<Digest32> = leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect();
        let leaf = InclusionProof::prove(&hashes, at as u64).unwrap();
        claim.envelopes[1].receipt = Some(LoggedReceipt { transaction, leaf });
    });
    cases.bad_log("envelopes-out-of-order", Rule::Envelopes, &log, |c| c.envelopes.swap(0, 1));
    cases.bad_log("envelope-forged", Rule::Envelope, &log, |c| c.envelopes[0].signature = c.envelopes[1].signature);
    cases.good("log-entry", log);
}

fn id_of(transaction: &[u8]) -> Digest32 {
    riskveil_chain::tx::tx_id(transaction)
}

#[test]
fn every_forged_file_is_refused_by_its_rule_and_every_rule_refuses() {
    let (chain_id, cases) = cases();
    let mut seen = BTreeSet::new();
    for case in &cases {
        let verdict = verify(&case.bytes, &chain_id);
        assert_eq!(verdict.err().map(|refused| refused.rule), case.breaks, "{}", case.name);
        seen.extend(case.breaks);
    }
    assert!(seen.iter().eq(Rule::ALL), "not every rule refused: {seen:?}");
    assert!(cases.len() > 60, "{}", cases.len());
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_is_the_stated_business_date() {
    let (chain_id, cases) = cases();
    for name in ["hit", "clear", "log-entry"] {
        let good = &cases.iter().find(|case| case.name == name).unwrap().bytes;
        let mut dates = 0;
        for at in (0..good.len()).step_by(47).chain(good.len() - 900..good.len()) {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            let Ok(verified) = verify(&flipped, &chain_id) else { continue };
            let Statement::Answers(statement) = &verified.statement else { panic!("{name}: byte {at}") };
            assert_ne!(statement.as_of, crate::world::as_of(), "{name}: byte {at}");
            dates += 1;
        }
        assert!(dates <= 2, "{name}");
    }
}

#[test]
fn a_file_of_another_chain_or_cut_anywhere_is_refused() {
    let (chain_id, cases) = cases();
    let good = &cases.iter().find(|case| case.name == "hit").unwrap().bytes;
    assert_eq!(verify(good, &Digest32::ZERO).unwrap_err().rule, Rule::Chain);
    for length in (0..good.len()).step_by(997) {
        assert_eq!(verify(&good[..length], &chain_id).unwrap_err().rule, Rule::Form);
    }
    assert_eq!(verify(&[good.as_slice(), &[0]].concat(), &chain_id).unwrap_err().rule, Rule::Form);
    let long = vec![0; riskveil_chain::evidence::MAX_EVIDENCE_BYTES + 1];
    assert_eq!(verify(&long, &chain_id).unwrap_err().rule, Rule::Form);
}

/// Evidence that opens every row of INST-01, whatever they are.
fn with_every_row(plan: Plan) -> (Digest32, Vec<u8>) {
    let mut world = World::new(plan);
    let mut check = world.ask(&[(IdType::ResidentId, RESIDENT)]);
    check.unanswered.insert(id("INST-01"), "malformed(slot_gap)".to_owned());
    let draft = world.draft(&check);
    let parts = world.parts(&draft);
    let mut forged = evidence(&draft.finish(parts).unwrap().bytes);
    let batches = (0..2).map(|seq| {
        let segment = world.chain.ledger.index().segment(Period(0), &id("INST-01"), seq).unwrap();
        let rows: Vec<[u8; 92]> = segment.rows().as_chunks::<92>().0.to_vec();
        let hashes: Vec<Digest32> = rows.iter().map(|row| leaf_hash(row)).collect();
        let open = |(index, row): (u32, &[u8; 92])| OpenedRow {
            index,
            row: Row::from_bytes(row),
            path: InclusionProof::prove(&hashes, u64::from(index)).unwrap().path,
        };
        BatchOpening { rows: (0..).zip(&rows).map(open).collect() }
    });
    let batches = batches.collect();
    let sent = &check.entry.envelopes[0];
    let exchange = Exchange {
        envelope: Blob(codec::encode(&sent.envelope)),
        signature: sent.signature,
        response: Blob(check.responses[&id("INST-01")].clone()),
    };
    let claim = answers(&mut forged);
    claim.publishers[0].said = Said::Evaluated(Box::new(Evaluated { exchange, batches }));
    let key = keys::period_key(Period(0), &id("INST-01"));
    let mut shown: BTreeSet<Vec<u8>> = forged.state.entries.iter().map(|entry| entry.key.0.clone()).collect();
    shown.extend([key, keys::binding(Period(0), &id("INST-01"), AuditKeyId(0))]);
    shown.extend((0..2).map(|seq| keys::batch(Period(0), &id("INST-01"), seq)));
    let opened = world.chain.ledger.view().state.open(&shown);
    forged.state.entries = opened
        .entries
        .into_iter()
        .map(|(key, value, inclusion)| StateEntry {
            key: Blob(key),
            value: Blob(value),
            index: inclusion.index,
            path: inclusion.path,
        })
        .collect();
    (*world.chain.ledger.chain_id(), forged.encode())
}

#[test]
fn a_publishers_gap_or_unreadable_row_proves_nothing_of_it() {
    let (chain_id, bytes) = with_every_row(Plan { snapshot: &[1], delta: &[], spoiled: false });
    assert_eq!(verify(&bytes, &chain_id).unwrap_err().rule, Rule::Gap);
    let (chain_id, bytes) = with_every_row(Plan { snapshot: &[0], delta: &[], spoiled: true });
    let refused = verify(&bytes, &chain_id).unwrap_err();
    assert_eq!((refused.rule, refused.publisher), (Rule::Label, Some(id("INST-01"))));
    assert_eq!(refused_words(&chain_id, &bytes), "[EV-31] a found row does not open (INST-01)");
    // the same with honest rows holds: opening more than needed is no fault
    let (chain_id, bytes) = with_every_row(TWO_RECORDS);
    assert!(verify(&bytes, &chain_id).is_ok());
}

fn refused_words(chain_id: &Digest32, bytes: &[u8]) -> String {
    verify(bytes, chain_id).unwrap_err().to_string()
}
