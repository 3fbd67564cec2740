//! Evidence files: what a lender was told, or what the logs hold, shown to anyone who trusts a genesis hash and nobody else.
//!
//! - **Place**: `check --evidence` and `audit export` -> [`build`] -> bytes -> [`verify`] -> [`Verified`] -> [`words`]
//! - **Shapes**: BCS of [`Evidence`], at most [`MAX_EVIDENCE_BYTES`]; a clear at five publishers with one batch each is some
//!   40 KB, and each further batch costs about 2 KB
//! - **Invariants**: [`verify`] uses nothing but the bytes and the chain id. A statement covers every publisher of the genesis,
//!   and a clear every batch that the chain counted at the judged height
//! - **Errors**: [`Refused`] names the rule of specs/evidence.md, and the publisher it is about
//! - **Security**: a file holds identifiers in the clear and, for an answer, the escrow secrets s of that one check: whoever has
//!   it can recompute the outputs of these identifiers and recognise their rows until the period ends. It rests on fewer than
//!   a third of each term's committee being Byzantine, departed validators' keys included
//! - **Source**: DESIGN.md section 5 ("Evidence"); specs/evidence.md; specs/vectors/evidence

mod answers;
pub mod build;
mod error;
pub mod format;
mod log_entry;
mod openings;
mod publisher;
mod request;
mod statement;
mod trusted;
mod verify;
pub mod words;

pub use error::{Refused, Rule};
pub use format::{Evidence, MAX_EVIDENCE_BYTES};
pub use statement::{
    AnswerStatement, LogStatement, LoggedAt, LoggedResponder, Outcome, ProvenAnswer, Shown, Statement, Verified,
};
pub use verify::verify;
