//! Every receipt code has a case that produces it, and a refused transaction changes nothing but its sender's sequence.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{
    Chain, FREEZE_S, PERIOD_S, commitments, id, log_windows, log_windows_of, publish_commitments, publish_rows, rows,
};
use riskveil_chain::receipt::ReceiptCode::{self, *};
use riskveil_chain::state::{StateRead, keys};
use riskveil_chain::tx::{BindAuditKey, LogAuditAccess, SignedTransaction, TxBody};
use riskveil_crypto::announce::bind_key;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_exchange::audit::{LogKind, LogPayload};
use riskveil_exchange::ids::{AuditKeyId, Height, Period, Window};
use riskveil_exchange::publish::key::key_binding_context;

type Case = (ReceiptCode, fn(&mut Chain) -> ReceiptCode);

fn access(action: u8, from: u64, to: u64) -> TxBody {
    let (from, to) = (Window(from), Window(to));
    TxBody::LogAuditAccess(LogAuditAccess { scope_commit: Digest32::ZERO, action, from, to })
}

fn any_body() -> TxBody {
    access(1, 0, 1)
}

/// Runs the regulator's next transaction after a change to it, signed again.
fn changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::Transaction)) -> ReceiptCode {
    let mut transaction = chain.sign("REGULATOR-01", any_body()).transaction;
    change(&mut transaction);
    let key = &chain.consortium.identities[&id("REGULATOR-01")];
    let signed = SignedTransaction::sign(transaction, key);
    chain.run(signed, None)
}

/// Announces a key of period 0 for INST-01 after a change to the announcement.
fn announce_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::AnnouncePeriodKey)) -> ReceiptCode {
    let mut announcement = chain.announcement("INST-01", 0);
    change(&mut announcement);
    chain.act("INST-01", TxBody::AnnouncePeriodKey(announcement), None)
}

/// Publishes the first batch of INST-01 after a change to the transaction.
fn publish_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::PublishRows)) -> ReceiptCode {
    chain.announce("INST-01", 0);
    let rows = rows(1, 64);
    let mut body = publish_rows(0, 0, &rows);
    change(&mut body);
    chain.act("INST-01", TxBody::PublishRows(body), Some(rows))
}

/// Publishes these bytes as the first batch of INST-01.
fn publish_bytes(chain: &mut Chain, rows: Vec<u8>) -> ReceiptCode {
    chain.announce("INST-01", 0);
    let body = publish_rows(0, 0, &rows);
    chain.act("INST-01", TxBody::PublishRows(body), Some(rows))
}

/// Publishes INST-01's first batch of commitments after a change to the transaction.
fn commit_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::PublishCommitments)) -> ReceiptCode {
    let payload = commitments(1, 64);
    let mut body = publish_commitments(0, &payload);
    change(&mut body);
    chain.act("INST-01", TxBody::PublishCommitments(body), Some(payload))
}

/// Publishes these bytes as a batch of commitments.
fn commit_bytes(chain: &mut Chain, publisher: &str, batch_seq: u32, payload: Vec<u8>) -> ReceiptCode {
    let body = publish_commitments(batch_seq, &payload);
    chain.act(publisher, TxBody::PublishCommitments(body), Some(payload))
}

/// Seals INST-01's snapshot of two batches after a change.
fn seal_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::SealSnapshot)) -> ReceiptCode {
    chain.announce("INST-01", 0);
    chain.publish("INST-01", 0, 0, 64);
    chain.publish("INST-01", 0, 1, 64);
    let mut seal = chain.seal("INST-01", 0);
    change(&mut seal);
    chain.act("INST-01", TxBody::SealSnapshot(seal), None)
}

/// Logs windows 0 to 1 of LENDER-01, with a payload that is well formed, after a change to the transaction.
fn log_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::LogWindows)) -> ReceiptCode {
    chain.at(200);
    let (mut windows, payload) = log_windows(0, 1, 4);
    change(&mut windows);
    chain.act("LENDER-01", TxBody::LogQueries(windows), Some(payload))
}

/// Announces audit key 1 after a change.
fn audit_key_changed(chain: &mut Chain, change: fn(&mut riskveil_chain::tx::AnnounceAuditKey)) -> ReceiptCode {
    let (mut announcement, _) = chain.audit_key_announcement(1);
    change(&mut announcement);
    chain.act("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None)
}

const CASES: &[Case] = &[
    (Applied, |c| c.act("REGULATOR-01", any_body(), None)),
    (Malformed, |c| c.raw_block(vec![vec![0xff; 40]], vec![])[0]),
    (HeaderUnexpected, |c| changed(c, |t| t.header.suite = 2)),
    (WrongChain, |c| changed(c, |t| t.chain_id = Digest32::ZERO)),
    (SenderUnknown, |c| changed(c, |t| t.sender = id("NOBODY"))),
    (SignatureInvalid, |c| {
        let mut signed = c.sign("REGULATOR-01", any_body());
        signed.transaction.expiry_height.0 += 1;
        c.run(signed, None)
    }),
    (SequenceNotNext, |c| changed(c, |t| t.sequence += 1)),
    (Expired, |c| changed(c, |t| t.expiry_height = Height(0))),
    (ExpiryTooFar, |c| changed(c, |t| t.expiry_height = Height(20_000))),
    (PayloadMissing, |c| {
        c.announce("INST-01", 0);
        let body = publish_rows(0, 0, &rows(1, 64));
        c.act("INST-01", TxBody::PublishRows(body), None)
    }),
    (KindReserved, |c| c.act("INST-01", TxBody::RevokePeriodKey(vec![]), None)),
    (RoleMissing, |c| c.act("LENDER-01", any_body(), None)),
    (PayloadLength, |c| publish_changed(c, |p| p.rows.len += 1)),
    (AuditKeyNotNext, |c| {
        let (announcement, _) = c.audit_key_announcement(2);
        c.act("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None)
    }),
    (AuditKeyTooSoon, |c| audit_key_changed(c, |a| a.from_s -= 200)),
    (AuditKeyInterval, |c| audit_key_changed(c, |a| a.until_s = a.from_s)),
    (AuditKeyReused, |c| {
        let (mut announcement, _) = c.audit_key_announcement(1);
        let context = riskveil_chain::genesis::announced_audit_key_context(
            c.ledger.chain_id(),
            &id("REGULATOR-01"),
            AuditKeyId(1),
        );
        announcement.y = c.consortium.audit_key.public();
        announcement.y_possession = c.consortium.audit_key.prove_possession(&context, &mut c.rng);
        c.act("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None)
    }),
    (PossessionInvalid, |c| audit_key_changed(c, |a| a.y = riskveil_crypto::Element::BASE)),
    (AuditKeyTooMany, |c| {
        for number in 1..8 {
            let (announcement, _) = c.audit_key_announcement(number);
            c.apply("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None);
        }
        let (announcement, _) = c.audit_key_announcement(8);
        c.act("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None)
    }),
    (PeriodNotOpen, |c| announce_changed(c, |a| a.period = Period(2))),
    (PeriodFrozen, |c| {
        c.at(PERIOD_S - FREEZE_S);
        announce_changed(c, |_| ())
    }),
    (KeySeen, |c| {
        let k = OprfSecretKey::generate(&mut c.rng);
        let announce = |c: &mut Chain, publisher: &str| {
            let bindings = vec![c.binding(publisher, 0, &k)];
            let body =
                riskveil_chain::tx::AnnouncePeriodKey { period: Period(0), key_serial: 0, k: k.public_key(), bindings };
            c.act(publisher, TxBody::AnnouncePeriodKey(body), None)
        };
        assert_eq!(announce(c, "INST-01"), Applied);
        announce(c, "INST-02")
    }),
    (KeyAlreadyLive, |c| {
        c.announce("INST-01", 0);
        announce_changed(c, |_| ())
    }),
    (KeySerialWrong, |c| announce_changed(c, |a| a.key_serial = 1)),
    (BindingMissing, |c| announce_changed(c, |a| a.bindings.clear())),
    (BindingUnexpected, |c| {
        announce_changed(c, |a| {
            let mut unknown = a.bindings[0].clone();
            unknown.audit_key_id = AuditKeyId(9);
            a.bindings.push(unknown);
        })
    }),
    (BindingInvalid, |c| announce_changed(c, |a| a.bindings[0].k_y = a.k)),
    (BindingExists, |c| {
        let k = OprfSecretKey::generate(&mut c.rng);
        let binding = c.binding("INST-01", 0, &k);
        let body = riskveil_chain::tx::AnnouncePeriodKey {
            period: Period(0),
            key_serial: 0,
            k: k.public_key(),
            bindings: vec![binding.clone()],
        };
        c.apply("INST-01", TxBody::AnnouncePeriodKey(body), None);
        let bind = BindAuditKey { period: Period(0), key_serial: 0, binding };
        c.act("INST-01", TxBody::BindAuditKey(bind), None)
    }),
    (PeriodKeyUnknown, |c| {
        let rows = rows(1, 64);
        let body = publish_rows(0, 0, &rows);
        c.act("INST-01", TxBody::PublishRows(body), Some(rows))
    }),
    (BatchNotNext, |c| publish_changed(c, |p| p.batch_seq = 1)),
    (BatchCount, |c| publish_bytes(c, rows(1, 65))),
    (BatchOrder, |c| {
        let mut bytes = rows(1, 64);
        bytes.rotate_left(92);
        publish_bytes(c, bytes)
    }),
    (BatchRoot, |c| publish_changed(c, |p| p.rows.root = Digest32::ZERO)),
    (CommitmentsNotNext, |c| commit_changed(c, |p| p.batch_seq = 1)),
    (CommitmentsCount, |c| commit_changed(c, |p| p.commitments.count = 128)),
    (CommitmentsOrder, |c| {
        let mut bytes = commitments(1, 64);
        bytes[..64 * 96].rotate_left(96);
        commit_bytes(c, "INST-01", 0, bytes)
    }),
    (CommitmentsRoot, |c| commit_changed(c, |p| p.commitments.root = Digest32::ZERO)),
    (LeafSeen, |c| {
        assert_eq!(commit_bytes(c, "INST-01", 0, commitments(1, 64)), Applied);
        commit_bytes(c, "INST-02", 0, commitments(1, 64))
    }),
    (AlreadySealed, |c| {
        assert_eq!(seal_changed(c, |_| ()), Applied);
        let seal = c.seal("INST-01", 0);
        c.act("INST-01", TxBody::SealSnapshot(seal), None)
    }),
    (SealCount, |c| seal_changed(c, |s| s.batch_count = 1)),
    (SealRoot, |c| seal_changed(c, |s| s.root = Digest32::ZERO)),
    (SealCoverage, |c| seal_changed(c, |s| s.covers_prev_seq = 1)),
    (SealTooEarly, |c| {
        c.announce("INST-01", 1);
        let seal = c.seal("INST-01", 1);
        c.act("INST-01", TxBody::SealSnapshot(seal), None)
    }),
    (WindowNotNext, |c| log_changed(c, |w| w.first_window = Window(1))),
    (WindowNotOver, |c| log_changed(c, |w| w.last_window = Window(3))),
    (LogBucket, |c| {
        c.at(200);
        let (windows, payload) = log_windows(0, 1, 2);
        c.act("LENDER-01", TxBody::LogQueries(windows), Some(payload))
    }),
    (LogMalformed, |c| {
        c.at(200);
        let mut leaves: Vec<Digest32> = (0..4u8).map(|i| sha256(&[i])).collect();
        leaves.sort_unstable();
        leaves.reverse();
        let (windows, payload) = log_windows_of(0, 1, LogPayload { leaves, blob: vec![] });
        c.act("LENDER-01", TxBody::LogQueries(windows), Some(payload))
    }),
    (LogRoot, |c| log_changed(c, |w| w.log.root = Digest32::ZERO)),
    (AuditActionUnknown, |c| c.act("REGULATOR-01", access(4, 0, 1), None)),
    (AuditRangeReversed, |c| c.act("REGULATOR-01", access(1, 2, 1), None)),
];

#[test]
fn every_receipt_code_is_produced_by_its_case() {
    let mut covered: Vec<ReceiptCode> = CASES.iter().map(|(code, _)| *code).collect();
    covered.sort_unstable();
    assert_eq!(covered, ReceiptCode::ALL, "one case per registered code");
    for (code, case) in CASES {
        assert_eq!(case(&mut Chain::new()), *code);
    }
}

#[test]
fn the_registry_in_specs_lists_every_code_with_its_name() {
    let text = include_str!("../../specs/errors.md");
    for code in ReceiptCode::ALL {
        let row = format!("| {} | `{}` |", code.number(), code.name());
        assert!(text.contains(&row), "specs/errors.md has no row {row}");
        assert_eq!(ReceiptCode::try_from(code.number()), Ok(*code));
    }
    assert!(ReceiptCode::try_from(99).is_err());
}

#[test]
fn a_refused_transaction_changes_nothing_but_its_sequence_and_that_only_from_code_100() {
    for (code, case) in CASES.iter().filter(|(code, _)| *code != Applied) {
        let mut chain = Chain::new();
        case(&mut chain);
        let refused = chain.blocks.last().unwrap();
        let sender = SignedTransaction::decode(&refused.transactions[0]).map(|s| s.transaction.sender);
        let before = chain
            .blocks
            .iter()
            .rev()
            .nth(1)
            .map_or_else(|| chain.ledger.genesis_block().header.state_root, |block| block.header.state_root);
        let view = chain.ledger.view();
        let mut state = view.state.as_ref().clone();
        if let Ok(sender) = sender
            && code.consumes_sequence()
        {
            let outcome = chain.ledger.outcome(&sender, view.sequence(&sender)).unwrap();
            assert_eq!(outcome.map(|(_, height, code)| (height, code)), Some((view.height(), *code)));
            let sequence = view.sequence(&sender) - 1;
            state = riskveil_chain::state::State::from_entries(
                state.iter().filter(|(key, _)| sequence > 0 || *key != keys::sequence(&sender)).map(|(key, value)| {
                    let own = key == keys::sequence(&sender);
                    (key.to_vec(), if own { sequence.to_le_bytes().to_vec() } else { value.to_vec() })
                }),
            );
        }
        assert_eq!(state.root(), before, "{code}");
    }
}

#[test]
fn a_period_passes_from_announcement_to_sealed_snapshot_and_deltas() {
    let mut chain = Chain::new();
    chain.announce("INST-01", 0);
    chain.publish("INST-01", 0, 0, 64);
    chain.publish("INST-01", 0, 1, 128);
    let seal = chain.seal("INST-01", 0);
    chain.apply("INST-01", TxBody::SealSnapshot(seal), None);
    chain.publish("INST-01", 0, 2, 64);
    let key = chain.ledger.view().period_key(Period(0), &id("INST-01")).unwrap();
    assert_eq!((key.batch_count, key.rows_total, key.sealed.unwrap().batch_count), (3, 256, 2));

    // The next period is prepared before the boundary and sealed in the freeze, covering what the old one has.
    chain.announce("INST-01", 1);
    chain.publish("INST-01", 1, 0, 64);
    chain.at(PERIOD_S - FREEZE_S);
    let mut seal = chain.seal("INST-01", 1);
    seal.covers_prev_seq = 3;
    chain.apply("INST-01", TxBody::SealSnapshot(seal), None);
    let late = rows(9, 64);
    let body = publish_rows(0, 3, &late);
    assert_eq!(chain.act("INST-01", TxBody::PublishRows(body), Some(late)), PeriodFrozen);
    chain.at(PERIOD_S);
    chain.publish("INST-01", 1, 1, 64);
}

#[test]
fn a_snapshot_missed_before_the_boundary_is_sealed_in_its_period() {
    let mut chain = Chain::new();
    chain.announce("INST-01", 1);
    chain.publish("INST-01", 1, 0, 64);
    chain.at(PERIOD_S + 30);
    let seal = chain.seal("INST-01", 1);
    chain.apply("INST-01", TxBody::SealSnapshot(seal), None);
    let view = chain.ledger.view();
    assert_eq!(view.period(chain.ledger.genesis()), Period(1));
    assert!(view.period_key(Period(1), &id("INST-01")).unwrap().sealed.is_some());
}

#[test]
fn a_later_audit_key_is_bound_to_live_keys_and_required_of_new_ones_once_it_is_live() {
    let mut chain = Chain::new();
    let k = OprfSecretKey::generate(&mut chain.rng);
    let bindings = vec![chain.binding("INST-01", 0, &k)];
    let body = riskveil_chain::tx::AnnouncePeriodKey { period: Period(0), key_serial: 0, k: k.public_key(), bindings };
    chain.apply("INST-01", TxBody::AnnouncePeriodKey(body), None);
    let (announcement, y) = chain.audit_key_announcement(1);
    chain.apply("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None);

    let binding = chain.binding_to("INST-01", 0, &k, AuditKeyId(1), &y.public());
    let bind = BindAuditKey { period: Period(0), key_serial: 0, binding };
    chain.apply("INST-01", TxBody::BindAuditKey(bind), None);
    let bound = chain.ledger.view().binding(Period(0), &id("INST-01"), AuditKeyId(1)).unwrap();
    let context = key_binding_context(chain.ledger.chain_id(), &id("INST-01"), Period(0), 0, AuditKeyId(1));
    let expected = bind_key(&k, &y.public(), &context, &mut chain.rng);
    assert_eq!(bound.k_y, expected.k_y);

    chain.at(2 * 86_400);
    assert_eq!(chain.ledger.view().audit_keys_live_at(chain.time_ms / 1000).len(), 2);
    let announcement = chain.announcement("INST-02", 0);
    assert_eq!(chain.act("INST-02", TxBody::AnnouncePeriodKey(announcement), None), BindingMissing);
}

#[test]
fn log_windows_follow_each_other_per_member_and_kind() {
    let mut chain = Chain::new();
    chain.at(600);
    let log = |chain: &mut Chain, first, last, receipts: bool| {
        let (windows, payload) = log_windows(first, last, 4);
        let body = if receipts { TxBody::LogReceipts(windows) } else { TxBody::LogQueries(windows) };
        chain.act("INST-01", body, Some(payload))
    };
    assert_eq!(log(&mut chain, 0, 3, false), Applied);
    assert_eq!(log(&mut chain, 0, 0, true), Applied);
    assert_eq!(log(&mut chain, 3, 4, false), WindowNotNext);
    assert_eq!(log(&mut chain, 5, 5, false), WindowNotNext);
    assert_eq!(log(&mut chain, 4, 3, false), WindowNotNext);
    assert_eq!(log(&mut chain, 4, 4, false), Applied);
    assert_eq!(log(&mut chain, 1, 7, true), Applied);
    let found = chain.ledger.logs(LogKind::Queries, &id("INST-01"), Window(0), 10).unwrap();
    let ranges: Vec<_> = found.iter().map(|l| (l.first_window.0, l.last_window.0, l.position)).collect();
    assert_eq!(ranges, [(0, 3, 0), (4, 4, 0)]);
    let from = chain.ledger.logs(LogKind::Receipts, &id("INST-01"), Window(1), 10).unwrap();
    assert_eq!(from.len(), 1);
    assert!(chain.ledger.logs(LogKind::Queries, &id("LENDER-01"), Window(0), 10).unwrap().is_empty());
}

#[test]
fn a_proposer_that_leaves_out_a_payload_does_not_use_up_the_sequence() {
    let mut chain = Chain::new();
    chain.announce("INST-01", 0);
    let rows = rows(1, 64);
    let signed = chain.sign("INST-01", TxBody::PublishRows(publish_rows(0, 0, &rows)));
    assert_eq!(chain.run(signed.clone(), None), PayloadMissing);
    assert_eq!(chain.run(signed, Some(rows)), Applied);
}

#[test]
fn a_transaction_runs_once() {
    let mut chain = Chain::new();
    let signed = chain.sign("REGULATOR-01", any_body());
    let codes = chain.raw_block(vec![signed.encode(), signed.encode()], vec![]);
    assert_eq!(codes, [Applied, SequenceNotNext]);
    assert_eq!(chain.run(signed, None), SequenceNotNext);
}
