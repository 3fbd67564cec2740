//! Walk A, steps 3 and 4: from a record to rows, from rows to batches whose order and size tell an observer nothing.
//!
//! ```text
//! record --fingerprint--> PrfOutput --slot--> Row (92 bytes) --plan_batches--> RowBatch --> PublishRows
//!                                                                  validators: verify_rows, snapshot_root
//! record --seed--> CommitmentOpening --plan_commitments--> UnprovenBatch --prove_chunk--> PublishCommitments
//!                                                                  validators: verify_commitments; everyone, later: verify_chunk
//! ```

pub mod batch;
pub mod commitment;
pub mod commitment_batch;
pub mod entry;
pub mod error;
pub mod key;
pub mod slots;
pub mod snapshot;
pub mod verify;

pub use batch::{BatchPlanner, RowBatch, bucket, plan_batches};
pub use commitment::{Attribute, CommitmentOpening, CommitmentSeed, RecordCommitment};
pub use commitment_batch::{UnprovenBatch, plan_commitments, verify_chunk, verify_commitments};
pub use entry::{SlottedRecord, Telling, draw_rows, fingerprint, seal_record};
pub use error::PublishError;
pub use key::PeriodKeyId;
pub use slots::SlotBook;
pub use snapshot::snapshot_root;
pub use verify::{RowsSummary, verify_rows};
