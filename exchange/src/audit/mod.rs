//! Walk B, steps 8 to 10: what both sides log of a query or disclosure, and what a regulator can prove from the logs.
//!
//! ```text
//! lender    LenderEntry    --+ SealedWindow::build --> LogPayload --> LogQueries  --+
//! responder ResponderEntry --+ (leaves padded, blob sealed)       --> LogReceipts --+--> chain
//! regulator <-- OpenedLogs::add <-- payloads;  reconcile --> findings;  subject_trail --> who asked about this person
//! ```

pub mod access;
pub mod entry;
pub mod finding;
pub mod leaf;
pub mod opened;
pub mod reconcile;
pub mod request_check;
pub mod spread;
pub mod subject;
pub mod window;

pub use access::{AuditAction, AuditScope};
pub use entry::{EntryEnvelope, LenderEntry, LogEntry, LogKind, Outcome, QueryEntry, ReceiptEntry, ResponderEntry};
pub use finding::{EntryFault, Finding, FindingKind, Proof};
pub use opened::{Logged, OpenedLogs, RegulatorKey, SeenWindow};
pub use reconcile::{ReconcileCounts, ReconcileReport, Reconciliation, other_side_from, reconcile, reconcile_windows};
pub use spread::{InTurn, Spread};
pub use subject::{SubjectTrail, TrailDisclosure, subject_trail};
pub use window::{LogPayload, LogPayloadError, SealTo, SealedWindow, WindowScope};
