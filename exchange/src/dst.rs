//! Domain separation tags of this room; the registry of all rooms is `specs/crypto.md`.

use riskveil_crypto::dst::Dst;

/// Input of the OPRF: the `dst` field of `x = BCS { dst, id_type, canonical }`.
pub const OPRF_INPUT: Dst = Dst::new("riskveil/v1/exchange/oprf-input");
/// Public salt of a publisher's slots in a period.
pub const PERIOD_SALT: Dst = Dst::new("riskveil/v1/exchange/period-salt");
/// Additional data of a sealed label.
pub const LABEL_AAD: Dst = Dst::new("riskveil/v1/exchange/label-aad");
/// Context of a key binding proof.
pub const KEY_BINDING: Dst = Dst::new("riskveil/v1/exchange/key-binding");
/// Context of an audit key's possession proofs.
pub const AUDIT_KEY: Dst = Dst::new("riskveil/v1/exchange/audit-key");
/// Digest of a request core.
pub const REQUEST_CORE: Dst = Dst::new("riskveil/v1/exchange/request-core");
/// Digest of a request's proofs of knowledge.
pub const REQUEST_PROOFS: Dst = Dst::new("riskveil/v1/exchange/request-proofs");
/// Digest of a request's seal.
pub const SEAL_DIGEST: Dst = Dst::new("riskveil/v1/exchange/seal-digest");
/// HPKE info of a seal.
pub const SEAL_INFO: Dst = Dst::new("riskveil/v1/exchange/seal-info");
/// HPKE additional data of a seal: the core without its seal digest.
pub const SEAL_AAD: Dst = Dst::new("riskveil/v1/exchange/seal-aad");
/// Commitment to a consent digest.
pub const CONSENT_COMMIT: Dst = Dst::new("riskveil/v1/exchange/consent-commit");
/// Signature and digest of an envelope.
pub const ENVELOPE: Dst = Dst::new("riskveil/v1/exchange/envelope");
/// Digest of a response.
pub const RESPONSE: Dst = Dst::new("riskveil/v1/exchange/response");
/// Signature of a responder: which envelope, which status, which response digest.
pub const OUTCOME: Dst = Dst::new("riskveil/v1/exchange/outcome");
/// Name of a report.
pub const REPORT: Dst = Dst::new("riskveil/v1/exchange/report");
/// Key of an identifier in the in-memory book of slots.
pub const SLOT_BOOK: Dst = Dst::new("riskveil/v1/exchange/slot-book");
/// A lender's log leaf.
pub const QUERY_LEAF: Dst = Dst::new("riskveil/v1/exchange/query-leaf");
/// A responder's log leaf.
pub const RECEIPT_LEAF: Dst = Dst::new("riskveil/v1/exchange/receipt-leaf");
/// A padding leaf of a log window.
pub const PAD_LEAF: Dst = Dst::new("riskveil/v1/exchange/pad-leaf");
/// HPKE additional data of a sealed log window.
pub const LOG_AAD: Dst = Dst::new("riskveil/v1/exchange/log-aad");
/// HPKE info of a sealed log window.
pub const LOG_INFO: Dst = Dst::new("riskveil/v1/exchange/log-info");
/// What the regulator looked for, committed on chain.
pub const AUDIT_SCOPE: Dst = Dst::new("riskveil/v1/exchange/audit-scope");
/// HKDF salt: a record's commitment seed to blindings, static salt and one rho for each key.
pub const COMMITMENT_SEED: Dst = Dst::new("riskveil/v1/exchange/commitment-seed");
/// HKDF salt: a batch's padding seed to the seed of one padding commitment.
pub const COMMITMENT_PADDING: Dst = Dst::new("riskveil/v1/exchange/commitment-padding");
/// The static part of a record commitment.
pub const STATIC_FACTS: Dst = Dst::new("riskveil/v1/exchange/static-facts");
/// Leaf of a record commitment.
pub const COMMITMENT_LEAF: Dst = Dst::new("riskveil/v1/exchange/commitment-leaf");
/// What ties a row to its commitment.
pub const LINK: Dst = Dst::new("riskveil/v1/exchange/link");
/// Context of the range proofs of a commitment batch.
pub const COMMITMENT_PROOF: Dst = Dst::new("riskveil/v1/exchange/commitment-proof");

/// Signature and digest of a disclosure's head.
pub const DISCLOSURE_HEAD: Dst = Dst::new("riskveil/v1/exchange/disclosure-head");
/// Digest of a disclosure's body.
pub const DISCLOSURE_BODY: Dst = Dst::new("riskveil/v1/exchange/disclosure-body");
/// Context of the proof whom a disclosure's check asked about.
pub const DISCLOSURE_PROOF: Dst = Dst::new("riskveil/v1/exchange/disclosure-proof");
/// Context of the range proof in a disclosure.
pub const DISCLOSURE_RANGE: Dst = Dst::new("riskveil/v1/exchange/disclosure-range");
/// Digest of a disclosure response.
pub const DISCLOSURE_RESPONSE: Dst = Dst::new("riskveil/v1/exchange/disclosure-response");

/// Every tag of this room.
pub const ALL: &[Dst] = &[
    OPRF_INPUT,
    PERIOD_SALT,
    LABEL_AAD,
    KEY_BINDING,
    AUDIT_KEY,
    REQUEST_CORE,
    REQUEST_PROOFS,
    SEAL_DIGEST,
    SEAL_INFO,
    SEAL_AAD,
    CONSENT_COMMIT,
    ENVELOPE,
    RESPONSE,
    OUTCOME,
    REPORT,
    SLOT_BOOK,
    QUERY_LEAF,
    RECEIPT_LEAF,
    PAD_LEAF,
    LOG_AAD,
    LOG_INFO,
    AUDIT_SCOPE,
    COMMITMENT_SEED,
    COMMITMENT_PADDING,
    STATIC_FACTS,
    COMMITMENT_LEAF,
    LINK,
    COMMITMENT_PROOF,
    DISCLOSURE_HEAD,
    DISCLOSURE_BODY,
    DISCLOSURE_PROOF,
    DISCLOSURE_RANGE,
    DISCLOSURE_RESPONSE,
];
