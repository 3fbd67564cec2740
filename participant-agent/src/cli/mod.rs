//! The command line: one subcommand a file; it prints and never decides.

pub mod audit;
pub mod check;
pub mod client;
pub mod config;
pub mod disclose;
pub mod doctor;
pub mod exit;
pub mod init;
pub mod keys;
pub mod output;
pub mod publish;
pub mod run;
pub mod screen;
pub mod verify;
pub mod words;

use clap::{Parser, Subcommand};

use self::exit::{CliError, Exit};
use crate::demo;
pub use crate::ports::free_base_port;

/// Riskveil: ask other institutions about an applicant without telling anyone whom.
#[derive(Debug, Parser)]
#[command(name = "participant-agent", version, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Prints results and errors as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Init(init::InitArgs),
    Run(run::RunArgs),
    Publish(publish::PublishArgs),
    Check(check::CheckArgs),
    Screen(screen::ScreenArgs),
    Disclose(disclose::DiscloseArgs),
    Audit(audit::AuditArgs),
    Verify(verify::VerifyArgs),
    Keys(keys::KeysArgs),
    Doctor(doctor::DoctorArgs),
    Config(config::ConfigArgs),
}

const EXIT_CODES: &str = "Begin with `participant-agent demo`; by hand: `init --help`, then the README's \"Run five members yourself\". \
    Every command has examples: `participant-agent check --help`.\n\nExit codes: 0 done; 1 it ran, and what it checked does not hold; 2 command line, configuration or \
    input file; 3 no agent answers or its token is refused; 4 refused by the policy or a missing consent; 5 not every \
    responder answered; 6 disk, port or lock; 7 key or passphrase";

/// Carries a command out and says how the program ends; errors are printed.
pub async fn dispatch(cli: Cli) -> Exit {
    let Cli { json, command } = cli;
    let ended = match command {
        Command::Demo(args) => run_demo(args).await,
        Command::Init(args) => init::execute(args, json).await,
        Command::Run(args) => run::execute(args, json).await,
        Command::Publish(args) => publish::execute(args, json).await,
        Command::Check(args) => check::execute(args, json).await,
        Command::Screen(args) => screen::execute(args, json).await,
        Command::Disclose(args) => disclose::execute(args, json).await,
        Command::Audit(args) => audit::execute(args, json).await,
        Command::Verify(args) => verify::execute(&args, json),
        Command::Keys(args) => keys::execute(args, json).await,
        Command::Doctor(args) => doctor::execute(args, json).await,
        Command::Config(args) => config::execute(args, json).await,
    };
    ended.unwrap_or_else(|error| {
        error.print(json);
        error.exit()
    })
}

async fn run_demo(args: demo::DemoArgs) -> Result<Exit, CliError> {
    match demo::execute(args).await {
        Ok(true) => Ok(Exit::Done),
        Ok(false) => Ok(Exit::NotHeld),
        Err(error) => Err(CliError::new(Exit::NotHeld, format_args!("{error:#}"))),
    }
}

/// Today in Asia/Shanghai, `YYYY-MM-DD`.
#[must_use]
pub fn today() -> String {
    crate::clock::Clock::system().today().to_string()
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    fn look(command: &Command, path: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(command.get_about().is_some(), "`{path} --help` does not say what it does");
        for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
            assert!(argument.get_help().is_some(), "`{path} --help` does not say what {} is", argument.get_id());
        }
        if command.has_subcommands() {
            command.get_subcommands().for_each(|one| look(one, &format!("{path} {}", one.get_name())));
        } else {
            assert!(help.contains(&format!("  {path}")), "`{path} --help` has no example of its own");
            assert!(help.contains("Exit code"), "`{path} --help` does not say its exit codes");
        }
    }

    #[test]
    fn every_help_has_an_example_and_the_exit_codes() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let name = command.get_name().to_owned();
        look(&command, &name);
    }
}
