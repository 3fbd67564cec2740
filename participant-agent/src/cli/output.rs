//! What several commands print and read the same way.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use riskveil_exchange::record::Day;
use serde::Serialize;

use super::exit::{CliError, Exit};

/// A bar on standard error of a terminal; invisible elsewhere and with `--json`.
#[must_use]
pub fn progress_bar(json: bool, what: &'static str) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target).with_prefix(what);
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints a line; a reader that has gone away (`| head`) is no error.
pub fn print_line(line: &str) {
    use std::io::Write as _;
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &impl Serialize) {
    // what commands print is made of strings, numbers and lists
    print_line(&serde_json::to_string(value).unwrap_or_default());
}

/// A date argument.
///
/// # Errors
/// [`CliError`] when it is not `YYYY-MM-DD`.
pub fn date(text: &str) -> Result<Day, CliError> {
    text.parse().map_err(|error| CliError::new(Exit::Usage, error))
}
