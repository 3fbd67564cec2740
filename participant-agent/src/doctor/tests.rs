//! Each check, made to fail.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rand::rngs::OsRng;
use riskveil_chain::genesis::Genesis;
use riskveil_crypto::Digest32;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::member::Roles;
use riskveil_exchange::policy::Policy;

use super::peers::{Heard, PeerTip, Seen};
use super::replica::{KeyFacts, LogFacts, PublicationFacts, PublisherFacts, RangeProofFacts, ReplicaFacts};
use super::{Finding, Status, local, peers, replica, worst};
use crate::api::auth::TOKEN_FILE;
use crate::config;
use crate::init::{GenesisPlan, MemberPlan, make_genesis, make_member};
use crate::keystore::{Keystore, Unlock};
use crate::peers::client::PeerError;

const START: u64 = 1_800_000_000;

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// Directories of four validators and a regulator, with their genesis in each.
fn consortium() -> (tempfile::TempDir, Genesis) {
    let root = tempfile::tempdir().unwrap();
    let names = ["ALPHA", "BETA", "DELTA", "GAMMA", "REGULATOR"];
    let files = names.map(|name| {
        let regulator = name == "REGULATOR";
        let roles = Roles { lender: name == "GAMMA", publisher: !regulator, validator: !regulator, regulator };
        let plan = MemberPlan {
            id: id(name),
            roles,
            host: "127.0.0.1".into(),
            listen: [127, 0, 0, 1].into(),
            base_port: 0,
            as_of: None,
            network: Some("five".into()),
        };
        make_member(&root.path().join(name), &plan, &Unlock::KeyFile).unwrap()
    });
    let plan =
        GenesisPlan { network: "five".into(), genesis_time_s: START, audit_key_days: 365, policy: Policy::default() };
    let genesis = make_genesis(plan, files.into()).unwrap();
    for name in names {
        fs::write(root.path().join(name).join("genesis.toml"), genesis.to_toml().unwrap()).unwrap();
    }
    (root, genesis)
}

fn only(findings: &[Finding]) -> (Status, &str) {
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].status == Status::Ok, findings[0].to_do.is_none(), "what is wrong says what to do");
    (findings[0].status, &findings[0].detail.en)
}

#[track_caller]
fn fails(finding: Finding, says: &str) {
    let (status, said) = (finding.status, &finding.detail.en);
    assert!(status == Status::Failed && said.contains(says), "{finding:?}");
    let to_do = finding.to_do.unwrap();
    assert!(!to_do.en.is_empty() && !to_do.zh.is_empty() && !finding.detail.zh.is_empty());
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_a_token_file_and_keys_that_others_can_touch_fail() {
    let (root, genesis) = consortium();
    let dir = root.path().join("ALPHA");
    let open = || Keystore::open(&dir, &Unlock::KeyFile);
    let config = config::load(&dir).unwrap();
    assert_eq!(local::directory(&dir).status, Status::Ok);
    assert_eq!(local::configuration(&config::load(&dir)).status, Status::Ok);
    assert_eq!(local::tokens(&dir).status, Status::Ok);
    assert_eq!(worst(&local::keys(&dir, &config, Some(&genesis), &open())), Status::Ok);

    chmod(&dir, 0o777);
    fails(local::directory(&dir), "can be written by others (mode 777)");
    fails(local::directory(&root.path().join("nowhere")), "No such file");
    chmod(&dir.join(TOKEN_FILE), 0o644);
    fails(local::tokens(&dir), "open to other users (mode 644)");
    chmod(&dir.join(TOKEN_FILE), 0o600);
    fs::write(dir.join(TOKEN_FILE), "operator short\n").unwrap();
    fails(local::tokens(&dir), "line 1");
    fs::write(dir.join("agent.toml"), "colour = 3\n").unwrap();
    fails(local::configuration(&config::load(&dir)), "unknown field");

    let sealed = dir.join("keys/periods/p0000000000-s00001.sealed");
    fs::write(&sealed, "x").unwrap();
    chmod(&sealed, 0o604);
    let findings = local::keys(&dir, &config, Some(&genesis), &open());
    fails(findings[0].clone(), "p0000000000-s00001.sealed is open to other users");
    fs::remove_file(&sealed).unwrap();
    fs::remove_file(dir.join("keys/kek")).unwrap();
    fails(local::keys(&dir, &config, Some(&genesis), &open())[0].clone(), "kek is missing");
}

#[test]
fn keys_that_the_genesis_does_not_name_and_a_missing_genesis_fail() {
    let (root, genesis) = consortium();
    let (alpha, beta) = (root.path().join("ALPHA"), root.path().join("BETA"));
    let others = Keystore::open(&beta, &Unlock::KeyFile);
    let findings = local::keys(&alpha, &config::load(&alpha).unwrap(), Some(&genesis), &others);
    fails(findings[1].clone(), "names other keys for ALPHA");
    assert_eq!(local::genesis(&alpha).unwrap().1.status, Status::Ok);
    fs::remove_file(alpha.join("genesis.toml")).unwrap();
    fails(local::genesis(&alpha).unwrap_err(), "genesis.toml is missing");
}

#[test]
fn a_disk_without_room_or_that_refuses_a_write_fails() {
    let (root, _genesis) = consortium();
    fails(local::judge_room(local::LEAST_FREE_BYTES - 1), "255 MiB free");
    assert_eq!(local::judge_room(local::LOW_FREE_BYTES - 1).status, Status::Warning);
    assert_eq!(local::judge_room(local::LOW_FREE_BYTES).status, Status::Ok);
    fails(local::disk(&root.path().join("nowhere")), "nothing can be written");
    assert!(local::disk(root.path()).status < Status::Failed);
    assert!(
        fs::read_dir(root.path()).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("doctor"))
    );
}

#[test]
fn a_taken_port_fails_while_stopped_and_a_silent_one_while_running() {
    let (root, _genesis) = consortium();
    let config = config::load(&root.path().join("ALPHA")).unwrap();
    assert_eq!(local::ports(&config, false).status, Status::Ok);
    fails(local::ports(&config, true), "nothing listens on");
    let _taken = std::net::TcpListener::bind(config.engine_listen).unwrap();
    fails(local::ports(&config, false), "change engine_listen in agent.toml");
}

fn tip(member: &str, height: u64, age_s: u64) -> PeerTip {
    PeerTip {
        member: id(member),
        height: Height(height),
        header_digest: Digest32::new([7; 32]),
        header_time_s: START + 1000 - age_s,
        clock_ms: (START + 1000) * 1000,
    }
}

fn seen(member: &str, ahead_ms: i64, tip: PeerTip) -> Seen {
    let heard = Heard { tip, ahead_ms, took: Duration::from_millis(3) };
    Seen {
        member: id(member),
        address: "127.0.0.1:1".into(),
        validator: member != "REGULATOR",
        answer: Ok(Some(heard)),
    }
}

fn everyone(ahead_ms: [i64; 4]) -> Vec<Seen> {
    let names = ["ALPHA", "BETA", "DELTA", "REGULATOR"];
    names.into_iter().zip(ahead_ms).map(|(name, ahead)| seen(name, ahead, tip(name, 100, 2))).collect()
}

#[test]
fn a_clock_that_disagrees_with_the_members_the_newest_block_or_the_genesis_fails() {
    let (_root, genesis) = consortium();
    let now_ms = (START + 1000) * 1000;
    let judge = |ahead, header_s| peers::judge_clock(&genesis, now_ms, header_s, &everyone(ahead));
    assert_eq!(only(&judge([0, 100, -100, 50], Some(START + 998))).0, Status::Ok);
    fails(judge([11_000, 12_000, 0, 11_500], None)[0].clone(), "11.5 s behind the median of 4 members");
    fails(judge([-20_000; 4], None)[0].clone(), "20.0 s ahead of the median");
    assert_eq!(judge([6_000; 4], None)[0].status, Status::Warning);
    fails(judge([0; 4], Some(START + 1011))[0].clone(), "11 s behind the time that the validators");
    fails(peers::judge_clock(&genesis, (START - 11) * 1000, None, &[])[0].clone(), "11 s before the genesis");
    let one_off = judge([0, 0, 0, 60_000], None);
    assert_eq!((one_off[0].status, one_off[1].status), (Status::Ok, Status::Warning));
    assert!(one_off[1].detail.en.contains("REGULATOR's clock is 60.0 s off"), "{one_off:?}");
    assert_eq!(only(&peers::judge_clock(&genesis, now_ms, None, &[])).0, Status::Ok);
}

#[test]
fn another_tls_key_fails_a_silent_member_is_a_warning_and_too_few_validators_fail() {
    let (_root, genesis) = consortium();
    let mut all = everyone([0; 4]);
    assert_eq!(worst(&peers::judge(&genesis, &id("GAMMA"), &all)), Status::Ok);
    all[0].answer = Err(PeerError::Unreachable);
    let findings = peers::judge(&genesis, &id("GAMMA"), &all);
    assert_eq!(worst(&findings), Status::Warning);
    assert!(findings[0].detail.en.contains("ALPHA at 127.0.0.1:1 could not be reached"));
    assert!(findings[4].detail.en.contains("3 of 4 validators reached"), "{findings:?}");
    all[1].answer = Err(PeerError::Timeout);
    fails(
        peers::judge(&genesis, &id("GAMMA"), &all)[4].clone(),
        "2 of 4 validators reached, this one counted, 3 are needed",
    );
    all[2].answer = Err(PeerError::Handshake);
    fails(peers::judge(&genesis, &id("GAMMA"), &all)[2].clone(), "has another key");
}

fn facts() -> ReplicaFacts {
    let key = KeyFacts {
        k: OprfSecretKey::generate(&mut OsRng).public_key(),
        key_serial: 1,
        batch_count: 1,
        sealed: true,
        revoked: false,
        unbound: Vec::new(),
    };
    let publishers = ["ALPHA", "BETA", "DELTA", "GAMMA"];
    let log = |member, log: &str| LogFacts { member: id(member), log: log.into(), last_window: Some(Window(15)) };
    ReplicaFacts {
        height: Height(100),
        header_digest: Digest32::new([7; 32]),
        header_time_s: START + 998,
        period: Period(0),
        first_block_time_s: Some(START),
        publishers: publishers.map(|name| PublisherFacts { member: id(name), key: Some(key.clone()) }).into(),
        logs: publishers.map(|name| log(name, "receipts")).into_iter().chain([log("GAMMA", "queries")]).collect(),
        publication: Some(PublicationFacts { any: true, waiting_for: None }),
        range_proofs: Some(RangeProofFacts::default()),
    }
}

#[test]
fn a_replica_that_is_behind_stands_still_or_has_another_block_fails() {
    let (_root, genesis) = consortium();
    let judge = |facts: &ReplicaFacts, seen: &[Seen]| replica::judge_tip(&genesis, facts, true, START + 1000, seen);
    let others = everyone([0; 4]);
    let at = |height, age_s| ReplicaFacts { height: Height(height), header_time_s: START + 1000 - age_s, ..facts() };
    assert_eq!(only(&judge(&at(100, 2), &others)).0, Status::Ok);
    assert_eq!(only(&judge(&at(95, 20), &others)).0, Status::Warning);
    let behind = judge(&at(60, 100), &others);
    fails(behind[0].clone(), "height 60, 100 s old, half of the members are at 100");
    assert!(behind[0].to_do.as_ref().unwrap().en.contains("catching up"));
    let still = judge(&at(60, 100), &[]);
    assert!(still[0].to_do.as_ref().unwrap().en.contains("stands still"));
    fails(still[0].clone(), "100 s old");
    let fork = ReplicaFacts { header_digest: Digest32::new([8; 32]), ..at(100, 2) };
    fails(judge(&fork, &others[..1])[1].clone(), "ALPHA has another block at height 100");
    let stopped = replica::judge_tip(&genesis, &at(60, 100_000), false, START + 200_000, &others);
    assert_eq!(only(&stopped).0, Status::Ok);
}

#[test]
fn one_member_that_claims_a_height_decides_nothing() {
    let (_root, genesis) = consortium();
    let mut others = everyone([0; 4]);
    others[0] = seen("ALPHA", 0, tip("ALPHA", u64::MAX, 0));
    let findings = replica::judge_tip(&genesis, &facts(), true, START + 1000, &others);
    assert_eq!(only(&findings).0, Status::Ok);
}

#[test]
fn a_period_key_that_is_absent_lost_revoked_or_unbound_is_noticed() {
    let (root, _genesis) = consortium();
    let keystore = Keystore::open(&root.path().join("ALPHA"), &Unlock::KeyFile).unwrap();
    let secret = OprfSecretKey::generate(&mut OsRng);
    let with = |change: fn(&mut KeyFacts)| {
        let mut facts = facts();
        let key = facts.publishers[0].key.as_mut().unwrap();
        key.k = secret.public_key();
        change(key);
        replica::judge_period_key(&facts, &id("ALPHA"), &keystore)
    };
    fails(with(|_| ()).unwrap(), "whose secret is not in keys/periods");
    keystore.store_period_key(Period(0), 1, &secret).unwrap();
    assert_eq!(with(|_| ()).unwrap().status, Status::Ok);
    fails(with(|key| key.k = OprfSecretKey::generate(&mut OsRng).public_key()).unwrap(), "not in keys/periods");
    fails(with(|key| key.revoked = true).unwrap(), "is revoked");
    fails(with(|key| key.unbound.push(AuditKeyId(2))).unwrap(), "not bound to audit key 2");
    let mut none = facts();
    none.publishers[0].key = None;
    let finding = replica::judge_period_key(&none, &id("ALPHA"), &keystore).unwrap();
    assert_eq!(finding.status, Status::Warning);
    assert_eq!(replica::judge_period_key(&facts(), &id("REGULATOR"), &keystore), None);
}

#[test]
fn unsealed_snapshots_are_named_and_the_own_one_fails() {
    let judge = |facts: &ReplicaFacts| replica::judge_snapshots(facts, &id("ALPHA"));
    assert_eq!(worst(&judge(&facts())), Status::Ok);
    let mut unsealed = facts();
    for at in [0, 2] {
        unsealed.publishers[at].key.as_mut().unwrap().sealed = false;
    }
    unsealed.publication = Some(PublicationFacts { any: true, waiting_for: Some("the chain stands still".into()) });
    let findings = judge(&unsealed);
    fails(findings[0].clone(), "not sealed in period 0: the chain stands still");
    assert_eq!((findings[1].status, findings[1].detail.en.contains("DELTA")), (Status::Warning, true));
    unsealed.publication = Some(PublicationFacts { any: false, waiting_for: None });
    assert_eq!(judge(&unsealed)[0].status, Status::Warning);
}

#[test]
fn range_proofs_that_wait_are_a_warning_and_false_ones_fail_with_the_name() {
    let judge = |proofs: RangeProofFacts| {
        replica::judge_range_proofs(&ReplicaFacts { range_proofs: Some(proofs), ..facts() }).unwrap()
    };
    assert_eq!(judge(RangeProofFacts { proved: 9, ..Default::default() }).status, Status::Ok);
    let waiting = judge(RangeProofFacts { unproved: 3, to_prove: 1, ..Default::default() });
    assert_eq!((waiting.status, waiting.detail.en.contains("3 batches to verify")), (Status::Warning, true));
    fails(judge(RangeProofFacts { invalid: vec![id("BETA")], ..Default::default() }), "do not verify: BETA");
    assert_eq!(replica::judge_range_proofs(&ReplicaFacts { range_proofs: None, ..facts() }), None);
}

#[test]
fn missed_log_windows_fail_for_this_member_and_name_the_others() {
    let (_root, genesis) = consortium();
    let judge = |facts: &ReplicaFacts| replica::judge_logs(&genesis, facts, &id("GAMMA"));
    assert_eq!(worst(&judge(&facts())), Status::Ok);
    let mut late = facts();
    late.logs[3].last_window = Some(Window(4));
    late.logs[4].last_window = Some(Window(10));
    late.logs[1].last_window = None;
    let findings = judge(&late);
    fails(findings[0].clone(), "receipts: 11 closed windows not on chain, due within 10");
    assert_eq!(findings[1].status, Status::Warning);
    assert!(findings[2].detail.en.contains("overdue: BETA receipts (16 windows)"), "{findings:?}");
    let begun = ReplicaFacts { first_block_time_s: Some(START + 990), ..late };
    assert_eq!(judge(&begun)[2].status, Status::Ok, "nobody logs windows from before the first block late");
}
