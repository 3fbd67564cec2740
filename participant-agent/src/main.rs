//! `participant-agent`: parses the command line, carries the command out, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use participant_agent::cli::exit::{CliError, Exit};
use participant_agent::cli::{Cli, dispatch};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") => {
            // The first paragraph says what is wrong; the rest repeats the usage.
            let text = error.to_string();
            let sentence =
                text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim().to_owned();
            CliError::new(Exit::Usage, sentence).print(true);
            return Exit::Usage.into();
        }
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            CliError::new(Exit::Io, format_args!("no threads: {error}")).print(cli.json);
            return Exit::Io.into();
        }
    };
    let exit = runtime.block_on(dispatch(cli));
    runtime.shutdown_background();
    exit.into()
}
