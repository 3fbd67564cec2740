//! `participant-agent run`: the agent of one directory, until it is stopped.

use std::path::PathBuf;

use clap::Args;

use super::exit::{CliError, Exit};
use crate::run::run;

/// Runs the agent of a directory until SIGINT or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent run --dir alpha\n  \
    RISKVEIL_PASSPHRASE_FILE=/run/secrets/alpha participant-agent run --dir alpha    (keys under a passphrase)\n\n\
    Before: `init member`, then the consortium's genesis.toml in the directory. Prints one line when it is ready; other members need not be up \
    yet, the chain moves once more than two thirds of the validators are. Ctrl-C stops it; start it again the same way, nothing acknowledged is lost. \
    `participant-agent doctor` says whether all is well. The log goes to standard error.\n\n\
    Exit codes: 0 stopped, 2 configuration or genesis, 6 disk, port or lock, 7 keys.")]
pub struct RunArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// Runs the agent.
///
/// # Errors
/// [`CliError`] when it cannot start or has to stop.
pub async fn execute(args: RunArgs, json: bool) -> Result<Exit, CliError> {
    crate::telemetry::log_panics();
    run(&args.dir, json).await?;
    Ok(Exit::Done)
}
