//! `participant-agent config check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{CliError, Exit};
use crate::config;

/// Looks at the configuration.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  participant-agent config check --dir alpha")]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reads agent.toml and says what is wrong, with line and fix.
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The agent's directory.
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
}

const CHECK_HELP: &str = "Example:\n  participant-agent config check --dir alpha\n\nExit codes: 0 in order, 2 not.\n\nKeys of agent.toml:\n  \
    member          this agent's name in the genesis (required)\n  \
    api_listen      ip:port of the local HTTP API (required)\n  \
    peer_listen     ip:port for other members' agents (required)\n  \
    engine_listen   ip:port of the consensus engine (required)\n  \
    as_of           business date YYYY-MM-DD; default today in Asia/Shanghai\n  \
    key_protection  file | passphrase; default file, set by `init member`\n  \
    log_format      text | json; default text\n  \
    log_level       error | warn | info | debug | trace; default info\n  \
    engine_threads  1 to 16; default 2";

/// Checks the configuration.
///
/// # Errors
/// [`CliError`] with line and fix.
pub async fn execute(args: ConfigArgs, json: bool) -> Result<Exit, CliError> {
    let What::Check { dir } = args.what;
    let config = config::load(&dir)?;
    if json {
        println!(
            "{}",
            json!({ "ok": true, "member": config.member, "api_listen": config.api_listen, "as_of": config.as_of })
        );
    } else {
        let as_of = config.as_of.map_or_else(|| "today".to_owned(), |day| day.to_string());
        println!("{} is in order: {}, business date {as_of}", dir.join(config::CONFIG_FILE).display(), config.member);
    }
    Ok(Exit::Done)
}
