//! What the end-to-end tests share: outside judges that know nothing of the code under test, and the data they judge on.
//!
//! Reading order: `table` (CSV as the judges read it), [`answers`] (answers and truth), [`oracle`] (the plaintext answer),
//! [`checker`] (answers against truth), [`fixtures`] (the consortia checked in under `fixtures/`), [`processes`] (agents as an
//! operator runs them), [`leak`] (people in bytes), [`second`] (a second implementation of every message, for adversaries).

pub mod answers;
pub mod checker;
pub mod fixtures;
pub mod leak;
pub mod oracle;
pub mod processes;
pub mod second;
mod table;

pub use table::Malformed;
