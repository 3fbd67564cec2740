//! `participant-agent keys show` and `keys check`: public halves only, ever.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use riskveil_chain::genesis::Genesis;
use serde_json::json;

use super::exit::{CliError, Exit};
use crate::config;
use crate::keystore::{Keystore, Unlock};
use crate::run;

/// Looks at the key store.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  participant-agent keys show --dir alpha\n  participant-agent keys check --dir alpha --json"
)]
pub struct KeysArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Opens the key store and prints the public keys.
    #[command(
        after_help = "Example:\n  participant-agent keys show --dir alpha\n\nNo secret is ever printed. Exit codes: 0 shown, 2 configuration, 7 keys."
    )]
    Show(Dir),
    /// Opens the key store, every period key in it, and compares the keys with the genesis.
    #[command(
        after_help = "Example:\n  participant-agent keys check --dir alpha\n\nExit codes: 0 in order, 2 configuration or genesis, 7 keys."
    )]
    Check(Dir),
}

#[derive(Debug, Args)]
struct Dir {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Prints or checks the keys.
///
/// # Errors
/// [`CliError`]: exit code 7 for a wrong passphrase, a missing or damaged file, or keys that are not the genesis's.
pub async fn execute(args: KeysArgs, json: bool) -> Result<Exit, CliError> {
    match args.what {
        What::Show(Dir { dir }) => show(&open(&dir)?, json),
        What::Check(Dir { dir }) => check(&dir, &open(&dir)?, json),
    }
}

fn open(dir: &Path) -> Result<Keystore, CliError> {
    let config = config::load(dir)?;
    Ok(Keystore::open(dir, &Unlock::obtain(config.key_protection, false)?)?)
}

fn show(keystore: &Keystore, json: bool) -> Result<Exit, CliError> {
    let keys = keystore.member().public();
    let audit = keystore.regulator().map(|keys| (hex::encode(keys.audit.public().to_bytes()), keys.seal.public()));
    if json {
        let audit = audit.map(|(y, seal)| json!({ "y": y, "seal": seal }));
        println!("{}", json!({ "identity": keys.identity, "tls": keys.tls, "engine": keys.engine, "audit": audit }));
    } else {
        println!("identity  {}\nTLS       {}\nengine    {}", keys.identity, keys.tls, keys.engine);
        if let Some((y, seal)) = audit {
            println!("audit Y   {y}\nseal      {seal:?}");
        }
    }
    Ok(Exit::Done)
}

fn check(dir: &Path, keystore: &Keystore, json: bool) -> Result<Exit, CliError> {
    let period_keys = keystore.period_keys()?;
    for (period, serial) in &period_keys {
        keystore.period_key(*period, *serial)?;
    }
    let config = config::load(dir)?;
    let genesis = run::read_genesis(dir)?;
    agree(&genesis, &config, keystore)?;
    let count = period_keys.len();
    if json {
        println!("{}", json!({ "ok": true, "member": config.member, "period_keys": count }));
    } else {
        println!("the keys of {} open, are the genesis's, and {count} period keys open", config.member);
    }
    Ok(Exit::Done)
}

/// Shows that the genesis names this member with these keys.
///
/// # Errors
/// [`CliError`]: exit code 2 without such a member, 7 with other keys.
fn agree(genesis: &Genesis, config: &config::ValidConfig, keystore: &Keystore) -> Result<(), CliError> {
    run::own_entry(genesis, config, keystore).map(drop)
}
