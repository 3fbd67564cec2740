//! The genesis file: round trips, unknown keys, and every rule with a genesis that breaks it.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Consortium, id};
use riskveil_chain::genesis::{Genesis, GenesisError};
use riskveil_exchange::policy::Policy;

#[test]
fn the_file_round_trips_and_leaves_out_policy_defaults() {
    let genesis = Consortium::with_policy(Policy::default()).genesis;
    let text = genesis.to_toml().unwrap();
    let read = Genesis::from_toml(&text).unwrap();
    assert_eq!((&read, read.chain_id()), (&genesis, genesis.chain_id()));
    let start = text.find("[policy]").unwrap();
    let end = start + text[start..].find("\n[").unwrap() + 1;
    let without = [&text[..start], &text[end..]].concat();
    assert_eq!(Genesis::from_toml(&without).unwrap(), genesis, "{without}");
}

#[test]
fn unknown_keys_and_broken_files_are_refused_with_their_line() {
    let text = Consortium::new().genesis.to_toml().unwrap();
    let at = text.find("currency").unwrap();
    let wrong = [&text[..at], "nonsense = 1\n", &text[at..]].concat();
    let line = text[..at].lines().count() + 1;
    let error = Genesis::from_toml(&wrong).unwrap_err();
    assert!(matches!(&error, GenesisError::File { line: l, .. } if *l == line), "{error}");
    assert!(error.to_string().contains("nonsense"));
    assert!(matches!(Genesis::from_toml("= ="), Err(GenesisError::File { line: 1, .. })));
    assert_eq!(Genesis::from_toml(&" ".repeat(2 << 20)), Err(GenesisError::TooLong));
}

#[test]
fn each_rule_refuses() {
    let good = Consortium::new().genesis;
    assert_eq!(good.check(), Ok(()));
    let refused = |change: &dyn Fn(&mut Genesis)| {
        let mut genesis = good.clone();
        change(&mut genesis);
        genesis.check().unwrap_err()
    };
    assert!(matches!(refused(&|g| g.header.suite = 2), GenesisError::Header(_)));
    assert_eq!(refused(&|g| g.network = "Test".to_owned()), GenesisError::Network);
    assert_eq!(refused(&|g| g.network.clear()), GenesisError::Network);
    assert_eq!(refused(&|g| g.genesis_time_s = 5), GenesisError::Time);
    assert_eq!(refused(&|g| g.currency = "USD".to_owned()), GenesisError::Currency);
    assert!(matches!(refused(&|g| g.policy.term_blocks = 1), GenesisError::Policy(_)));
    assert!(matches!(refused(&|g| g.policy.freeze_s = u64::MAX), GenesisError::Policy(_)));
    assert!(matches!(refused(&|g| g.policy.period_s = u64::MAX), GenesisError::Policy(_)));
    assert_eq!(refused(&|g| g.members.clear()), GenesisError::MemberCount);
    assert_eq!(refused(&|g| g.members.swap(0, 1)), GenesisError::MemberOrder(id("INST-01")));
    assert_eq!(refused(&|g| g.members.insert(0, g.members[0].clone())), GenesisError::MemberOrder(id("INST-01")));
    let repeated = GenesisError::KeyRepeated(id("INST-02"));
    assert_eq!(refused(&|g| g.members[1].tls_key = g.members[0].engine_key), repeated);
    assert_eq!(refused(&|g| g.members[1].tls_key = g.members[1].identity_key), repeated);
    for bad in ["", "host", "host:0", ":1", "host:99999", "ho st:1"] {
        let error = refused(&|g| bad.clone_into(&mut g.members[2].peer_address));
        assert_eq!(error, GenesisError::Address(id("LENDER-01")), "{bad}");
    }
    let none = refused(&|g| g.members.iter_mut().for_each(|m| m.roles.validator = false));
    assert_eq!(none, GenesisError::NoValidator);
    assert_eq!(refused(&|g| g.audit_key.regulator = id("LENDER-01")), GenesisError::RegulatorMissing);
    assert_eq!(refused(&|g| g.audit_key.regulator = id("NOBODY")), GenesisError::RegulatorMissing);
    assert_eq!(refused(&|g| g.members[3].roles.lender = true), GenesisError::RegulatorRole(id("REGULATOR-01")));
    assert_eq!(refused(&|g| g.audit_key.until_s = g.genesis_time_s), GenesisError::AuditKeyEnd);
    // A possession proof for another network, another regulator's name, or another key.
    assert_eq!(refused(&|g| g.network = "other".to_owned()), GenesisError::PossessionInvalid);
    assert_eq!(refused(&|g| g.audit_key.y = riskveil_crypto::Element::BASE), GenesisError::PossessionInvalid);
}

#[test]
fn the_chain_id_changes_with_every_field() {
    let good = Consortium::new().genesis;
    let changes: [fn(&mut Genesis); 5] = [
        |g| g.genesis_time_s += 1,
        |g| g.policy.retention_years += 1,
        |g| g.members[0].roles.lender = false,
        |g| g.members[0].peer_address.push('1'),
        |g| g.audit_key.until_s += 1,
    ];
    for change in changes {
        let mut other = good.clone();
        change(&mut other);
        assert_ne!(other.chain_id(), good.chain_id());
    }
}
