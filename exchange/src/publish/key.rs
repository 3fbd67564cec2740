//! The public context strings of a publisher's key in a period.
//!
//! - **Place**: A3 (salt and additional data of rows), A7 (context of a key binding), B6 and B7 (the same, at the lender)
//! - **Shapes**: every function returns BCS of `{ dst, chain_id 32, publisher, period u32, .. }`: under 150 bytes
//! - **Security**: all of it is public; it binds a row to one chain, publisher and period, and a key binding to one audit key
//! - **Source**: DESIGN.md section 3, "Keys of a period", "Fingerprint", "Row"; specs/wire.md

use riskveil_crypto::Digest32;
use riskveil_crypto::codec;
use riskveil_crypto::fingerprint::Tag;

use crate::dst;
use crate::ids::{AuditKeyId, MemberId, Period};

/// Which key: one publisher has one live key in a period; a revoked one is followed by `key_serial + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodKeyId {
    /// The chain.
    pub chain_id: Digest32,
    /// Whose key.
    pub publisher: MemberId,
    /// The period.
    pub period: Period,
    /// 0 for the first key of the period.
    pub key_serial: u32,
}

impl PeriodKeyId {
    /// [`period_salt`] of this key.
    #[must_use]
    pub fn salt(&self) -> Vec<u8> {
        period_salt(&self.chain_id, &self.publisher, self.period, self.key_serial)
    }

    /// [`label_aad`] of this key's rows.
    #[must_use]
    pub fn label_aad(&self, tag: &Tag) -> Vec<u8> {
        label_aad(&self.chain_id, &self.publisher, self.period, tag)
    }

    /// [`label_aad`] up to the tag, which ends it.
    #[must_use]
    pub fn label_aad_prefix(&self) -> Vec<u8> {
        codec::encode(&(dst::LABEL_AAD.as_str(), &self.chain_id, &self.publisher, self.period))
    }

    /// [`key_binding_context`] of this key and an audit key.
    #[must_use]
    pub fn binding_context(&self, audit_key_id: AuditKeyId) -> Vec<u8> {
        key_binding_context(&self.chain_id, &self.publisher, self.period, self.key_serial, audit_key_id)
    }
}

/// The public HKDF salt of a publisher's slots in a period.
#[must_use]
pub fn period_salt(chain_id: &Digest32, publisher: &MemberId, period: Period, key_serial: u32) -> Vec<u8> {
    codec::encode(&(dst::PERIOD_SALT.as_str(), chain_id, publisher, period, key_serial))
}

/// The context that a key binding proof (G,K;Y,K_Y) is bound to.
#[must_use]
pub fn key_binding_context(
    chain_id: &Digest32,
    publisher: &MemberId,
    period: Period,
    key_serial: u32,
    audit_key_id: AuditKeyId,
) -> Vec<u8> {
    codec::encode(&(dst::KEY_BINDING.as_str(), chain_id, publisher, period, key_serial, audit_key_id))
}

/// The additional data of a sealed label: chain, publisher, period and the row's own tag.
#[must_use]
pub fn label_aad(chain_id: &Digest32, publisher: &MemberId, period: Period, tag: &Tag) -> Vec<u8> {
    codec::encode(&(dst::LABEL_AAD.as_str(), chain_id, publisher, period, tag))
}
