//! Walk B, steps 8 to 10: what both sides log of a query, and what a regulator can prove from the logs.
//!
//! ```text
//! lender    QueryEntry   --+ SealedWindow::build --> LogPayload --> LogQueries   --+
//! responder ReceiptEntry --+ (leaves padded, blob sealed)       --> LogReceipts  --+--> chain
//! regulator <-- SealedWindow::open <-- blobs;  reconcile --> findings;  subject --> who asked about this person
//! ```

//X pub mod access;
pub mod entry;
//X pub mod finding;
pub mod leaf;
//X pub mod reconcile;
//X pub mod subject;
pub mod window;

pub use entry::{LogKind, QueryEntry, ReceiptEntry};
//X pub use finding::{Finding, FindingKind};
pub use window::{LogPayload, LogPayloadError, SealedWindow};
