//! The consensus engine behind its seam: propose, verify, finalize, committee of a term, finality of a height.
//!
//! - **Place**: walk A6, mempool -> block -> votes -> certificate -> ledger; the only folder that imports the engine
//! - **Shapes**: one validator to 100 run the same code; members that do not vote follow with a scheme that only verifies
//! - **Invariants**: "epoch" is the engine's word for our term and is used in this folder only; formats, state and evidence
//!   are ours, the engine orders opaque blocks and certifies header digests
//! - **Security**: fewer than a third of the validators may lie or be absent; no public audit of the engine exists (ADR 0002)
//! - **Source**: commonware 2026.10.0 simplex and marshal; ADR 0002
//!
//! ```text
//!   mempool -> App::propose -> block -> broadcast (channel 3) --> App::verify -> votes (0) -> certificates (1)
//!                                                                                                  |
//!   Ledger::finalize <- orchestrator <- marshal: block archive, certificates, backfill (4) <-------+
//!                         |  last block of a term: next committee, new consensus instance, subchannel = term
//! ```

mod app;
pub(crate) mod block_codec;
pub mod certificate;
pub(crate) mod config;
pub(crate) mod latency;
pub(crate) mod orchestrator;
pub(crate) mod thread;
pub(crate) mod wiring;
