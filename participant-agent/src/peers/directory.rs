//! Who is reached where and proves itself with which TLS key.
//!
//! - **Place**: members of the finalized view (fixed by the genesis) -> `client.rs`, `server.rs`, `outbox.rs`
//! - **Invariants**: TLS keys are distinct, so a key names one member

use std::collections::{BTreeMap, HashMap};

use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::{Member, Roles};

/// The members by name and by TLS key.
#[derive(Clone, Debug)]
pub struct Directory {
    members: BTreeMap<MemberId, Member>,
    by_tls_key: HashMap<[u8; 32], MemberId>,
}

impl Directory {
    /// A directory of these members.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let members: BTreeMap<_, _> = members.into_iter().map(|member| (member.id.clone(), member)).collect();
        let by_tls_key = members.values().map(|member| (member.tls_key.to_bytes(), member.id.clone())).collect();
        Self { members, by_tls_key }
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Whose TLS key this is.
    #[must_use]
    pub fn by_tls_key(&self, key: &[u8; 32]) -> Option<&MemberId> {
        self.by_tls_key.get(key)
    }

    /// Every member, by name.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The members with a role, by name: `directory.with_role(|roles| roles.validator)`.
    pub fn with_role(&self, has: impl Fn(&Roles) -> bool) -> impl Iterator<Item = &MemberId> {
        self.members.values().filter(move |member| has(&member.roles)).map(|member| &member.id)
    }
}
