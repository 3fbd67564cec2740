//! Domain separation tags of this room; the registry of all rooms is `specs/crypto.md`.

use riskveil_crypto::dst::Dst;

/// At-rest key of one journal; the context is the journal's name.
pub const JOURNAL: Dst = Dst::new("riskveil/v1/agent/journal");
/// At-rest key of the file with the member's secret keys.
pub const MEMBER_KEYS: Dst = Dst::new("riskveil/v1/agent/member-keys");
/// At-rest key of one period key file; the context is the file's name.
pub const PERIOD_KEY: Dst = Dst::new("riskveil/v1/agent/period-key");
/// Digest under which API tokens are compared.
pub const API_TOKEN: Dst = Dst::new("riskveil/v1/agent/api-token");
/// At-rest key of what a lender keeps of one check; the context is the check's core digest.
pub const CHECK_EVIDENCE: Dst = Dst::new("riskveil/v1/agent/check-evidence");
/// The id of a screening: digest of its inputs.
pub const SCREENING: Dst = Dst::new("riskveil/v1/agent/screening");

/// A request as an idempotency key remembers it: digest of its query string and body.
pub const API_REQUEST: Dst = Dst::new("riskveil/v1/agent/api-request");

/// Every tag of this room.
pub const ALL: &[Dst] = &[JOURNAL, MEMBER_KEYS, PERIOD_KEY, API_TOKEN, CHECK_EVIDENCE, SCREENING, API_REQUEST];
