//! Walk B, steps 8 to 10: what both sides log of a query, and what a regulator can prove from the logs.
//!
//! ```text
//! lender    QueryEntry   --+ SealedWindow::build --> LogPayload --> LogQueries  --+
//! responder ReceiptEntry --+ (leaves padded, blob sealed)       --> LogReceipts --+--> chain
//! regulator <-- OpenedLogs::add <-- payloads;  reconcile --> findings;  subject_trail --> who asked about this person
//! ```

pub mod access;
pub mod entry;
pub mod finding;
pub mod leaf;
pub mod opened;
pub mod reconcile;
pub mod request_check;
pub mod subject;
pub mod window;

pub use access::{AuditAction, AuditScope};
pub use entry::{EntryEnvelope, LogEntry, LogKind, Outcome, QueryEntry, ReceiptEntry};
pub use finding::{EntryFault, Finding, FindingKind, Proof};
pub use opened::{Logged, OpenedLogs, RegulatorKey, SeenWindow};
pub use reconcile::{ReconcileCounts, ReconcileReport, Reconciliation, other_side_from, reconcile, reconcile_windows};
pub use subject::{SubjectTrail, subject_trail};
pub use window::{LogPayload, LogPayloadError, SealTo, SealedWindow, WindowScope};
