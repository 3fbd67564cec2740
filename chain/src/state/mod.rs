//! The replicated state: keys, typed readers, state root with its proofs, and where it is kept.
//!
//! - **Place**: A8: `execute` -> [`State`] -> [`store`] (sled) and every reader
//! - **Invariants**: two replicas that applied the same blocks hold equal entries and equal roots
//! - **Source**: specs/ledger.md#state; ADR 0003

pub mod keys;
pub mod leaves;
pub mod store;
pub mod tree;
pub mod view;

pub use leaves::Leaves;
pub use tree::{State, StateProof, StateProofInvalid};
pub use view::{
    AuditAccessState, AuditKeyState, BatchState, BindingState, CommitmentsState, FinalizedView, LogState,
    PeriodKeyState, Seal, StateRead,
};
