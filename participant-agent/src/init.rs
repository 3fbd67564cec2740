//! Makes a member's directory, and the genesis of a consortium from its members' public parts.
//!
//! - **Place**: before everything: `init member` at each member, `init genesis` once, then everyone copies `genesis.toml`
//! - **Shapes**: `member.toml` holds a [`MemberFile`]; ports are base (API), base + 1 (peers), base + 2 (engine)
//! - **Errors**: [`InitError`] (whoever runs it; each text says what to change)
//! - **Security**: `member.toml` and `genesis.toml` hold public keys and proofs of possession only

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use rand::rngs::OsRng;
use riskveil_chain::genesis::{Genesis, GenesisAuditKey, GenesisError, MAX_GENESIS_BYTES, genesis_audit_key_context};
use riskveil_crypto::escrow::KnowledgeProof;
use riskveil_crypto::group::Element;
use riskveil_crypto::seal::{SealPossessionProof, SealPublicKey};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::record::Day;
use serde::{Deserialize, Serialize};

use crate::api::auth::{TOKEN_FILE, TokenError, Tokens};
use crate::config::{AgentConfig, CONFIG_FILE, KeyProtection};
use crate::keystore::{Keystore, KeystoreError, RegulatorKeys, Unlock};
use crate::ports::{self, PortError};

/// Name of the public part of a member in its directory.
pub const MEMBER_FILE: &str = "member.toml";

/// What a new member is to be.
#[derive(Clone, Debug)]
pub struct MemberPlan {
    /// Its name.
    pub id: MemberId,
    /// Its roles.
    pub roles: Roles,
    /// Host name or IP address by which other members reach it.
    pub host: String,
    /// IP address that it listens on for members and the engine; the API listens on loopback.
    pub listen: IpAddr,
    /// First of three ports; 0 picks free ones.
    pub base_port: u16,
    /// Business date of the configuration.
    pub as_of: Option<Day>,
    /// Network that a regulator's audit key is for.
    pub network: Option<String>,
}

/// The public part of a member, for `init genesis`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberFile {
    /// Its entry in the genesis.
    pub member: Member,
    /// A regulator's audit key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_key: Option<AuditKeyFile>,
}

/// A regulator's first audit key with its possession proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditKeyFile {
    /// The network the proofs are bound to.
    pub network: String,
    /// The escrow key Y.
    pub y: Element,
    /// Possession of y.
    pub y_possession: KnowledgeProof,
    /// The HPKE key.
    pub seal_key: SealPublicKey,
    /// Possession of it.
    pub seal_possession: SealPossessionProof,
}

/// Why a directory or a genesis was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// Roles that nobody may have together, or none.
    #[error("a member has at least one role, and a regulator has no other role")]
    Roles,
    /// A regulator without a network.
    #[error(
        "a regulator's audit key is bound to the network's name; give --network NAME, the same as for `init genesis`"
    )]
    NetworkMissing,
    /// There is an agent in the directory.
    #[error("{} exists already; nothing was overwritten", .0.display())]
    AlreadyThere(PathBuf),
    /// Ports.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A base port without room above it.
    #[error("--base-port must be 0 or 1024 to 65533")]
    BasePort,
    /// The key store.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The token file.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An input file.
    #[error("{}, line {line}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says (such files hold nothing secret).
        problem: String,
    },
    /// No regulator, or two.
    #[error("a genesis needs the member.toml of exactly one regulator; {0} were given")]
    Regulators(usize),
    /// A regulator made for another network.
    #[error("{regulator} was made for the network `{made_for}`; use --network {made_for}, or make it again")]
    OtherNetwork {
        /// The regulator.
        regulator: MemberId,
        /// The network it was made for.
        made_for: String,
    },
    /// Two members at one address.
    #[error(
        "{first} and {second} both have the address {address}; make one of them again with another --base-port or --host"
    )]
    AddressRepeated {
        /// One.
        first: MemberId,
        /// The other.
        second: MemberId,
        /// Peer or engine address.
        address: String,
    },
    /// The genesis breaks a rule.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes `dir` with fresh keys, configuration, tokens and `member.toml`.
///
/// # Errors
/// [`InitError`]; a directory that holds an agent already is left alone.
pub fn make_member(dir: &Path, plan: &MemberPlan, unlock: &Unlock) -> Result<MemberFile, InitError> {
    let Roles { lender, publisher, validator, regulator } = plan.roles;
    if regulator == (lender || publisher || validator) {
        return Err(InitError::Roles);
    }
    if regulator && plan.network.is_none() {
        return Err(InitError::NetworkMissing);
    }
    let config_path = dir.join(CONFIG_FILE);
    if config_path.exists() {
        return Err(InitError::AlreadyThere(config_path));
    }
    let [api, peer, engine] = choose_ports(plan)?;
    fs::create_dir_all(dir).map_err(|source| InitError::Io { path: dir.to_owned(), source })?;
    let keystore = Keystore::create(dir, unlock, regulator, &mut OsRng)?;
    Tokens::create(&dir.join(TOKEN_FILE), &mut OsRng)?;
    let keys = keystore.member().public();
    let member = Member {
        id: plan.id.clone(),
        roles: plan.roles,
        identity_key: keys.identity,
        tls_key: keys.tls,
        engine_key: keys.engine,
        peer_address: format!("{}:{}", plan.host, peer.port()),
        engine_address: format!("{}:{}", plan.host, engine.port()),
    };
    let audit_key = match (keystore.regulator(), &plan.network) {
        (Some(keys), Some(network)) => Some(audit_key_file(keys, network, &plan.id)),
        _ => None,
    };
    let file = MemberFile { member, audit_key };
    let text = toml::to_string(&file).expect("a member is made of tables and strings");
    write(&dir.join(MEMBER_FILE), &text)?;
    let key_protection = match unlock {
        Unlock::KeyFile => KeyProtection::File,
        Unlock::Passphrase(_) => KeyProtection::Passphrase,
    };
    let config = AgentConfig {
        member: plan.id.clone(),
        api_listen: api,
        peer_listen: peer,
        engine_listen: engine,
        as_of: plan.as_of,
        key_protection,
        log_format: crate::config::LogFormat::default(),
        log_level: crate::config::LogLevel::default(),
        engine_threads: crate::config::DEFAULT_ENGINE_THREADS,
        range_proofs: crate::config::RangeProofWork::default(),
    };
    // The configuration comes last: a directory with one is complete.
    write(&config_path, &config.to_toml())?;
    Ok(file)
}

/// API, peer and engine addresses; each could be listened on a moment ago.
fn choose_ports(plan: &MemberPlan) -> Result<[SocketAddr; 3], InitError> {
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let hosts = [loopback, plan.listen, plan.listen];
    let base = match plan.base_port {
        0 => ports::free_base_port(3).map_err(|source| InitError::Io { path: "--base-port".into(), source })?,
        base @ 1024..=65_533 => base,
        _ => return Err(InitError::BasePort),
    };
    let mut addresses = [SocketAddr::new(loopback, 0); 3];
    for ((address, host), port) in addresses.iter_mut().zip(hosts).zip(base..) {
        *address = SocketAddr::new(host, port);
        ports::check_free(*address, "--base-port")?;
    }
    Ok(addresses)
}

fn audit_key_file(keys: &RegulatorKeys, network: &str, regulator: &MemberId) -> AuditKeyFile {
    let context = genesis_audit_key_context(network, regulator);
    AuditKeyFile {
        network: network.to_owned(),
        y: keys.audit.public(),
        y_possession: keys.audit.prove_possession(&context, &mut OsRng),
        seal_key: keys.seal.public(),
        seal_possession: keys.seal.prove_possession(&context, &mut OsRng),
    }
}

/// What a genesis is to say beside its members.
#[derive(Clone, Debug)]
pub struct GenesisPlan {
    /// The network's name.
    pub network: String,
    /// Unix time of the genesis block, s.
    pub genesis_time_s: u64,
    /// Days from the genesis until the first audit key ends.
    pub audit_key_days: u32,
    /// The policy.
    pub policy: Policy,
}

/// The checked genesis of these members.
///
/// # Errors
/// [`InitError`].
pub fn make_genesis(plan: GenesisPlan, files: Vec<MemberFile>) -> Result<Genesis, InitError> {
    let regulators: Vec<_> =
        files.iter().filter_map(|file| Some((file.member.id.clone(), file.audit_key.clone()?))).collect();
    let [(regulator, audit_key)] = regulators.as_slice() else {
        return Err(InitError::Regulators(regulators.len()));
    };
    if audit_key.network != plan.network {
        let made_for = audit_key.network.clone();
        return Err(InitError::OtherNetwork { regulator: regulator.clone(), made_for });
    }
    let audit_key = GenesisAuditKey {
        regulator: regulator.clone(),
        y: audit_key.y,
        y_possession: audit_key.y_possession,
        seal_key: audit_key.seal_key,
        seal_possession: audit_key.seal_possession,
        until_s: plan.genesis_time_s.saturating_add(u64::from(plan.audit_key_days) * 86_400),
    };
    let mut members: Vec<Member> = files.into_iter().map(|file| file.member).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    check_addresses(&members)?;
    let genesis = Genesis {
        header: MessageHeader::new(Kind::Genesis),
        network: plan.network,
        genesis_time_s: plan.genesis_time_s,
        currency: riskveil_chain::genesis::CURRENCY.to_owned(),
        policy: plan.policy,
        audit_key,
        members,
    };
    genesis.check()?;
    Ok(genesis)
}

/// Every address is one member's; a member that stands there twice is the genesis's to refuse.
fn check_addresses(members: &[Member]) -> Result<(), InitError> {
    let mut owners = BTreeMap::<&str, &MemberId>::new();
    for member in members {
        for address in [&member.peer_address, &member.engine_address] {
            match owners.insert(address, &member.id) {
                Some(first) if *first != member.id => {
                    let (first, second, address) = (first.clone(), member.id.clone(), address.clone());
                    return Err(InitError::AddressRepeated { first, second, address });
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Reads a TOML file of at most 1 MiB; unknown keys are refused.
///
/// # Errors
/// [`InitError::File`] with the line, [`InitError::Io`].
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, InitError> {
    let io = |source| InitError::Io { path: path.to_owned(), source };
    if fs::metadata(path).map_err(io)?.len() > MAX_GENESIS_BYTES as u64 {
        return Err(io(io::ErrorKind::FileTooLarge.into()));
    }
    let text = fs::read_to_string(path).map_err(io)?;
    toml::from_str(&text).map_err(|error| InitError::File {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()),
        problem: error.message().lines().next().unwrap_or("is no TOML of this kind").to_owned(),
    })
}

/// Writes a public file.
///
/// # Errors
/// [`InitError::Io`].
pub fn write(path: &Path, text: &str) -> Result<(), InitError> {
    fs::write(path, text).map_err(|source| InitError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(id: &str, roles: Roles) -> MemberPlan {
        MemberPlan {
            id: MemberId::new(id).unwrap(),
            roles,
            host: "127.0.0.1".into(),
            listen: [127, 0, 0, 1].into(),
            base_port: 0,
            as_of: None,
            network: Some("test".into()),
        }
    }

    const INSTITUTION: Roles = Roles { lender: false, publisher: true, validator: true, regulator: false };
    const REGULATOR: Roles = Roles { lender: false, publisher: false, validator: false, regulator: true };

    fn consortium() -> Vec<MemberFile> {
        [("REGULATOR-01", REGULATOR), ("INST-01", INSTITUTION)]
            .map(|(id, roles)| {
                let dir = tempfile::tempdir().unwrap();
                make_member(dir.path(), &plan(id, roles), &Unlock::KeyFile).unwrap();
                read_toml(&dir.path().join(MEMBER_FILE)).unwrap()
            })
            .into()
    }

    fn genesis_plan(network: &str) -> GenesisPlan {
        GenesisPlan {
            network: network.into(),
            genesis_time_s: 1_782_864_000,
            audit_key_days: 365,
            policy: Policy::default(),
        }
    }

    #[test]
    fn members_make_a_genesis_that_survives_its_own_file() {
        let genesis = make_genesis(genesis_plan("test"), consortium()).unwrap();
        assert_eq!(Genesis::from_toml(&genesis.to_toml().unwrap()).unwrap(), genesis);
        assert_eq!(genesis.members[0].id.as_str(), "INST-01");
    }

    #[test]
    fn the_directory_opens_with_its_own_configuration_and_keys() {
        let dir = tempfile::tempdir().unwrap();
        let file = make_member(dir.path(), &plan("INST-01", INSTITUTION), &Unlock::KeyFile).unwrap();
        let config = crate::config::load(dir.path()).unwrap();
        let keys = Keystore::open(dir.path(), &Unlock::KeyFile).unwrap().member().public();
        assert_eq!((config.member, keys.identity), (file.member.id, file.member.identity_key));
        assert_eq!(file.member.peer_address, config.peer_listen.to_string());
        let again = make_member(dir.path(), &plan("INST-01", INSTITUTION), &Unlock::KeyFile);
        assert!(matches!(again, Err(InitError::AlreadyThere(_))));
    }

    #[test]
    fn impossible_roles_a_missing_network_and_a_taken_port_are_refused_before_anything_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("new");
        let make = |plan: &MemberPlan| make_member(&target, plan, &Unlock::KeyFile).unwrap_err();
        assert!(matches!(make(&plan("INST-01", Roles::default())), InitError::Roles));
        assert!(matches!(make(&plan("INST-01", Roles { lender: true, ..REGULATOR })), InitError::Roles));
        assert!(matches!(
            make(&MemberPlan { network: None, ..plan("REGULATOR-01", REGULATOR) }),
            InitError::NetworkMissing
        ));
        assert!(matches!(make(&MemberPlan { base_port: 80, ..plan("INST-01", INSTITUTION) }), InitError::BasePort));
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base_port = held.local_addr().unwrap().port().min(65_533);
        let taken = make(&MemberPlan { base_port, ..plan("INST-01", INSTITUTION) });
        assert!(taken.to_string().contains("is already in use; stop its owner or change --base-port"), "{taken}");
        assert!(!target.exists());
    }

    #[test]
    fn a_genesis_without_a_regulator_for_another_network_or_with_a_repeated_member_is_refused() {
        let mut files = consortium();
        let other = make_genesis(genesis_plan("other"), files.clone()).unwrap_err();
        assert!(other.to_string().contains("was made for the network `test`; use --network test"), "{other}");
        files.push(files[1].clone());
        assert!(matches!(make_genesis(genesis_plan("test"), files.clone()), Err(InitError::Genesis(_))));
        assert!(matches!(make_genesis(genesis_plan("test"), files.split_off(1)), Err(InitError::Regulators(0))));
    }

    #[test]
    fn two_members_at_one_address_are_refused_with_both_names() {
        let mut files = consortium();
        files[0].member.engine_address = files[1].member.peer_address.clone();
        let error = make_genesis(genesis_plan("test"), files).unwrap_err().to_string();
        assert!(error.starts_with("INST-01 and REGULATOR-01 both have the address 127.0.0.1:"), "{error}");
    }

    #[test]
    fn a_member_file_with_an_unknown_key_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        make_member(dir.path(), &plan("INST-01", INSTITUTION), &Unlock::KeyFile).unwrap();
        let path = dir.path().join(MEMBER_FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("colour = 3\n{text}")).unwrap();
        let error = read_toml::<MemberFile>(&path).unwrap_err().to_string();
        assert!(error.contains("member.toml, line 1: unknown field `colour`"), "{error}");
    }
}
