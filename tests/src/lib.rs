//! What the end-to-end tests share: outside judges that know nothing of the code under test, and the data they judge on.
//!
//! Reading order: `table` (CSV as the judges read it), [`answers`] (answers and truth), [`oracle`] (the plaintext answer),
//! [`checker`] (answers against truth), [`fixtures`] (the consortia checked in under `fixtures/`).

pub mod answers;
pub mod checker;
pub mod fixtures;
pub mod oracle;
pub mod processes;
mod table;

pub use table::Malformed;
