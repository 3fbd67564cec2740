//! What a regulator looked for, committed on chain before it looks.
//!
//! - **Place**: B10, [`AuditScope`] -> commitment -> `LogAuditAccess`
//! - **Security**: the salt hides the scope until the regulator opens it; the identifier enters as its OPRF input
//! - **Source**: DESIGN.md sections 2 and 5

use riskveil_crypto::digest::hash;
use riskveil_crypto::{Digest32, SecretBytes};
use serde::{Deserialize, Serialize};

use crate::dst;
use crate::ids::Window;
use crate::record::Identifier;

/// What a regulator does with the logs; the code stands in `LogAuditAccess`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum AuditAction {
    /// Lists entries.
    Log = 1,
    /// Looks for a person.
    Subject = 2,
    /// Compares both sides.
    Reconcile = 3,
}

impl AuditAction {
    /// The code in `LogAuditAccess`.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct AuditScope<'a> {
    /// What is done.
    pub action: AuditAction,
    /// First window.
    pub from: Window,
    /// Last window.
    pub to: Window,
    /// The person, for [`AuditAction::Subject`].
    pub identifiers: &'a [Identifier],
}

impl AuditScope<'_> {
    /// The commitment; keep the salt to open it.
    #[must_use]
    pub fn commit(&self, salt: &SecretBytes<32>) -> Digest32 {
        let inputs: Vec<_> = self.identifiers.iter().map(Identifier::oprf_input).collect();
        let (action, from, to) = ([self.action.code()], self.from.0.to_le_bytes(), self.to.0.to_le_bytes());
        salt.expose(|salt| {
            let mut parts: Vec<&[u8]> = vec![salt, &action, &from, &to];
            parts.extend(inputs.iter().map(|input| input.as_slice()));
            hash(dst::AUDIT_SCOPE, &parts)
        })
    }
}
