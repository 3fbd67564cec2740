//! `participant-agent run`: the agent of one directory, until it is stopped.

use std::path::PathBuf;

use clap::Args;

use super::exit::{CliError, Exit};
use crate::run::run;

/// Runs the agent of a directory until SIGINT or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  participant-agent run --dir inst-01\n\n\
    Prints one line when it is ready. Other members need not be up yet. The passphrase of a protected key store is read from\n\
    the file that RISKVEIL_PASSPHRASE_FILE names, or asked for. Exit codes: 0 stopped, 2 configuration or genesis, 6 disk,\n\
    port or lock, 7 keys.")]
pub struct RunArgs {
    /// The agent's directory.
    #[arg(long, value_name = "DIR")]
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
