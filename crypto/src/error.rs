//! The two refusals shared by several modules. Each is one opaque value: nothing tells a peer which byte or check failed.

/// A proof does not show its statement. Whose fault: whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof is invalid")]
pub struct ProofInvalid;

/// A ciphertext does not open under this key and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decryption failed")]
pub struct DecryptionFailed;
