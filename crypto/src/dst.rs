//! Domain separation tags: the type, and every tag this room uses.
//!
//! - **Shapes**: `riskveil/v1/<room>/<purpose>`, ASCII, at most 255 bytes; each hash, HKDF call, transcript and signature
//!   of ours uses exactly one
//! - **Invariants**: tags of all rooms are unique and none is a prefix of another (tested across rooms)
//! - **Deviations**: the strings of RFC 9497, RFC 9380 and RFC 9180 are theirs to the byte and are not listed here
//! - **Source**: specs/crypto.md holds the registry

/// A domain separation tag, `riskveil/v1/<room>/<purpose>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dst(&'static str);

impl Dst {
    /// A tag of the given name.
    ///
    /// # Panics
    /// If the name does not start with `riskveil/v1/` or is longer than 255 bytes; as a `const` that stops the build.
    pub const fn new(name: &'static str) -> Dst {
        const PREFIX: &[u8] = b"riskveil/v1/";
        let bytes = name.as_bytes();
        assert!(bytes.len() > PREFIX.len() && bytes.len() <= 255, "a tag is riskveil/v1/<room>/<purpose>");
        let mut i = 0;
        while i < PREFIX.len() {
            assert!(bytes[i] == PREFIX[i], "a tag starts with riskveil/v1/");
            i += 1;
        }
        Dst(name)
    }

    /// The tag as bytes, without a length.
    pub const fn as_bytes(&self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// The tag as text.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

/// Transcript of the weights and nonce of an evaluation proof.
pub const EVALUATION: Dst = Dst::new("riskveil/v1/crypto/evaluation");
/// Transcript of the proof of knowledge of one escrow secret.
pub const ESCROW_ITEM: Dst = Dst::new("riskveil/v1/crypto/escrow-item");
/// Transcript of the proof of knowledge over a weighted sum of escrow secrets.
pub const ESCROW_WEIGHTED: Dst = Dst::new("riskveil/v1/crypto/escrow-weighted");
/// `HashToGroup` input of the dummy item.
pub const ESCROW_DUMMY: Dst = Dst::new("riskveil/v1/crypto/escrow-dummy");
/// Transcript of the DLEQ (G, C1; Y, C2 - P): what an item holds, shown by its maker.
pub const ITEM_OPENING: Dst = Dst::new("riskveil/v1/crypto/item-opening");
/// Transcript of the DLEQ (G, Y; C1, C2 - P): what an item holds, shown by the audit key.
pub const ITEM_DECRYPTION: Dst = Dst::new("riskveil/v1/crypto/item-decryption");
/// Transcript of the proof of possession of an audit key.
pub const AUDIT_KEY_POSSESSION: Dst = Dst::new("riskveil/v1/crypto/audit-key-possession");
/// Transcript of the DLEQ (G, K; Y, K_Y).
pub const KEY_BINDING: Dst = Dst::new("riskveil/v1/crypto/key-binding");
/// Transcript of the proof of possession of a seal key.
pub const SEAL_KEY_POSSESSION: Dst = Dst::new("riskveil/v1/crypto/seal-key-possession");
/// HKDF info of a slot: tag and label key.
pub const SLOT: Dst = Dst::new("riskveil/v1/crypto/slot");
/// AAD prefix of a sealed label.
pub const SEALED_LABEL: Dst = Dst::new("riskveil/v1/crypto/sealed-label");
/// HKDF salt: batch seed to the secret `r` of one padding row.
pub const PADDING_SECRET: Dst = Dst::new("riskveil/v1/crypto/padding-secret");
/// HKDF salt: `r` to the 92 bytes of a padding row.
pub const PADDING_ROW: Dst = Dst::new("riskveil/v1/crypto/padding-row");
/// Transcript of an aggregated range proof.
pub const RANGE: Dst = Dst::new("riskveil/v1/crypto/range-proof");
/// Transcript of a proof that one committed value is between two bounds.
pub const RANGE_BETWEEN: Dst = Dst::new("riskveil/v1/crypto/between-proof");
/// HKDF salt of every key derived from a key-encryption key.
pub const AT_REST: Dst = Dst::new("riskveil/v1/crypto/at-rest");

/// Every tag of this room.
pub const ALL: &[Dst] = &[
    EVALUATION,
    ESCROW_ITEM,
    ESCROW_WEIGHTED,
    ESCROW_DUMMY,
    ITEM_OPENING,
    ITEM_DECRYPTION,
    AUDIT_KEY_POSSESSION,
    KEY_BINDING,
    SEAL_KEY_POSSESSION,
    SLOT,
    SEALED_LABEL,
    PADDING_SECRET,
    PADDING_ROW,
    RANGE,
    RANGE_BETWEEN,
    AT_REST,
];
