//! `participant-agent init member` and `init genesis`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::Roles;
use riskveil_exchange::policy::Policy;
use riskveil_exchange::record::Day;
use serde_json::json;

use super::exit::{CliError, Exit};
use crate::clock::Clock;
use crate::config::KeyProtection;
use crate::init::{self, GenesisPlan, InitError, MemberFile, MemberPlan};
use crate::keystore::Unlock;

/// Makes a member's directory, or the genesis of a consortium.
#[derive(Debug, Args)]
#[command(after_help = "A consortium of four institutions and a regulator:\n  \
    participant-agent init member --dir alpha --id ALPHA --roles publisher,validator --base-port 17800\n  \
    participant-agent init member --dir gamma --id GAMMA --roles lender,publisher,validator --base-port 17820    (and so on)\n  \
    participant-agent init member --dir regulator --id REGULATOR --roles regulator --base-port 17840 --network five\n  \
    participant-agent init genesis --network five */member.toml\n  \
    cp genesis.toml alpha/    (into everyone's directory)\n  \
    participant-agent run --dir alpha    (everyone)")]
pub struct InitArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes keys, configuration and the public member.toml of one member.
    Member(MemberArgs),
    /// Makes genesis.toml from every member's member.toml.
    Genesis(GenesisArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent init member --dir alpha --id ALPHA --roles publisher,validator\n  \
    participant-agent init member --dir gamma --id GAMMA --roles lender,publisher,validator --host gamma.example --listen 0.0.0.0\n  \
    participant-agent init member --dir regulator --id REGULATOR --roles regulator --network five --base-port 17840\n\n\
    Roles: a lender asks, a publisher answers from its records, a validator orders blocks (4 tolerate one that fails), a regulator \
    audits and has no other role. Members on one machine need base ports 10 apart.\n\n\
    Makes agent.toml (commented, to be edited), member.toml (public: give it to whoever makes the genesis), keys/ and api.token (secret).\n\n\
    Exit codes: 0 made, 2 roles, name or a directory that holds an agent already, 6 disk or port, 7 passphrase."
)]
struct MemberArgs {
    /// Directory to make.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The member's name: 1 to 32 characters of A-Z, 0-9, '.', '_' and '-'.
    #[arg(long)]
    id: MemberId,
    /// Comma-separated: lender, publisher, validator; or regulator alone.
    #[arg(long, value_parser = parse_roles)]
    roles: Roles,
    /// First of three ports: API, peers, engine; 0 picks free ones.
    #[arg(long, value_name = "N", default_value_t = 17800)]
    base_port: u16,
    /// Host name or address by which other members reach this one.
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Address to listen on for other members; the local API stays on 127.0.0.1.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Protects the keys with a passphrase (from RISKVEIL_PASSPHRASE_FILE or a prompt) instead of a key file.
    #[arg(long)]
    passphrase: bool,
    /// Business date, YYYY-MM-DD, for the configuration; without it, today in Asia/Shanghai.
    #[arg(long, value_name = "DATE")]
    as_of: Option<Day>,
    /// The network's name; needed for a regulator, whose audit key is bound to it.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = genesis_help())]
struct GenesisArgs {
    /// The network's name: 1 to 32 characters of a-z, 0-9 and '-'.
    #[arg(long, value_name = "NAME")]
    network: String,
    /// File to write.
    #[arg(long, value_name = "FILE", default_value = "genesis.toml")]
    out: PathBuf,
    /// TOML file with policy parameters that differ from the defaults.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Unix time of the genesis block, s; now when absent.
    #[arg(long, value_name = "SECONDS")]
    genesis_time: Option<u64>,
    /// Days until the first audit key ends.
    #[arg(long, value_name = "N", default_value_t = 365)]
    audit_key_days: u32,
    /// The members' member.toml files.
    #[arg(required = true, value_name = "MEMBER.TOML")]
    members: Vec<PathBuf>,
}

impl From<InitError> for CliError {
    fn from(error: InitError) -> Self {
        let exit = match &error {
            InitError::Io { .. } | InitError::Port(_) => Exit::Io,
            InitError::Keystore(_) => Exit::Key,
            _ => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

/// Makes what was asked for.
///
/// # Errors
/// [`CliError`].
pub async fn execute(args: InitArgs, json: bool) -> Result<Exit, CliError> {
    match args.what {
        What::Member(args) => member(args, json),
        What::Genesis(args) => genesis(args, json),
    }
}

/// Help of `init genesis`, with every policy parameter and its default.
fn genesis_help() -> String {
    let policy = toml::to_string(&Policy::default()).unwrap_or_default();
    let policy: Vec<String> = policy.lines().map(|line| format!("  {line}")).collect();
    format!(
        "Examples:\n  participant-agent init genesis --network five alpha/member.toml beta/member.toml gamma/member.toml \
         delta/member.toml regulator/member.toml\n  participant-agent init genesis --network five --policy policy.toml */member.toml\n\n\
         Everyone copies the same genesis.toml into its directory; its hash is the chain id, and everyone compares that.\n\n\
         Exit codes: 0 made, 2 members or a policy that cannot be, or a file that exists already, 6 disk.\n\n\
         policy.toml holds what differs from these defaults (times in s unless the name says otherwise):\n{}",
        policy.join("\n")
    )
}

fn member(args: MemberArgs, json: bool) -> Result<Exit, CliError> {
    let protection = if args.passphrase { KeyProtection::Passphrase } else { KeyProtection::File };
    let plan = MemberPlan {
        id: args.id,
        roles: args.roles,
        host: args.host,
        listen: args.listen,
        base_port: args.base_port,
        as_of: args.as_of,
        network: args.network,
    };
    let file = init::make_member(&args.dir, &plan, &Unlock::obtain(protection, true)?)?;
    let member = &file.member;
    if json {
        println!("{}", json!({ "member": member, "dir": args.dir }));
    } else {
        println!("{} is made in {}", member.id, args.dir.display());
        println!("  peers reach it at {}, the engine at {}", member.peer_address, member.engine_address);
        println!("  give {} to whoever makes the genesis", args.dir.join(init::MEMBER_FILE).display());
    }
    Ok(Exit::Done)
}

fn genesis(args: GenesisArgs, json: bool) -> Result<Exit, CliError> {
    if args.out.exists() {
        return Err(InitError::AlreadyThere(args.out).into());
    }
    let policy = args.policy.as_deref().map_or_else(|| Ok(Policy::default()), init::read_toml)?;
    let files = args.members.iter().map(|path| init::read_toml(path)).collect::<Result<Vec<MemberFile>, _>>()?;
    let plan = GenesisPlan {
        network: args.network,
        genesis_time_s: args.genesis_time.unwrap_or_else(|| Clock::system().now_s()),
        audit_key_days: args.audit_key_days,
        policy,
    };
    let genesis = init::make_genesis(plan, files)?;
    let text = genesis.to_toml().map_err(InitError::from)?;
    init::write(&args.out, &text)?;
    let (members, validators, chain_id) = (genesis.members.len(), genesis.validators().len(), genesis.chain_id());
    if json {
        let out = args.out;
        println!("{}", json!({ "chain_id": chain_id, "members": members, "validators": validators, "out": out }));
    } else {
        println!(
            "{}: network {}, {members} members, {validators} of them validators",
            args.out.display(),
            genesis.network
        );
        println!("  chain id {chain_id}");
        println!("  copy it as genesis.toml into every member's directory");
    }
    Ok(Exit::Done)
}

fn parse_roles(text: &str) -> Result<Roles, String> {
    let mut roles = Roles::default();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word {
            "lender" => roles.lender = true,
            "publisher" => roles.publisher = true,
            "validator" => roles.validator = true,
            "regulator" => roles.regulator = true,
            other => return Err(format!("there is no role `{other}`; use lender, publisher, validator, regulator")),
        }
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_an_unknown_one_is_named() {
        let roles = parse_roles("publisher, validator").unwrap();
        assert_eq!(roles, Roles { publisher: true, validator: true, ..Roles::default() });
        assert!(parse_roles("publisher,bank").unwrap_err().contains("`bank`"));
    }
}
