//! Domain separation tags of this room; the registry of all rooms is `specs/crypto.md`.

use riskveil_crypto::dst::Dst;

/// The chain id: hash of the genesis.
pub const GENESIS: Dst = Dst::new("riskveil/v1/chain/genesis");
/// A transaction's signature.
pub const TX_SIGNATURE: Dst = Dst::new("riskveil/v1/chain/tx-signature");
/// A transaction's id.
pub const TX_ID: Dst = Dst::new("riskveil/v1/chain/tx-id");
/// A block header's digest.
pub const HEADER: Dst = Dst::new("riskveil/v1/chain/header");
/// The state root: entry count and Merkle root.
pub const STATE_ROOT: Dst = Dst::new("riskveil/v1/chain/state-root");
/// The consensus engine's votes and handshakes, followed by the chain id.
pub const ENGINE: Dst = Dst::new("riskveil/v1/chain/engine");
/// Context of the proof in an answer's evidence that an item is a dummy.
pub const EVIDENCE_DUMMY: Dst = Dst::new("riskveil/v1/chain/evidence-dummy");
/// Context of the proof in a log entry's evidence that an item asks about a person.
pub const EVIDENCE_SUBJECT: Dst = Dst::new("riskveil/v1/chain/evidence-subject");

/// Every tag of this room.
pub const ALL: &[Dst] = &[GENESIS, TX_SIGNATURE, TX_ID, HEADER, STATE_ROOT, ENGINE, EVIDENCE_DUMMY, EVIDENCE_SUBJECT];
