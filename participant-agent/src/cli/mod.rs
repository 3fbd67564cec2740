//! The command line: one subcommand a file; prints, never decides.

pub mod check;
pub mod client;
pub mod exit;
pub mod output;
pub mod publish;
pub mod run;
pub mod screen;
