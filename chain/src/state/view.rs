//! Typed readers over the state, and the finalized view that everyone reads.
//!
//! - **Place**: `execute` reads an overlay, agents read [`FinalizedView`]; both through [`StateRead`]
//! - **Invariants**: the values are BCS that this crate wrote, so a value that does not decode cannot occur in a state whose
//!   root was checked; readers treat it as absent
//! - **Source**: specs/ledger.md#state-keys

use std::sync::Arc;

use riskveil_crypto::announce::KeyBindingProof;
use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;
use riskveil_crypto::group::Element;
use riskveil_crypto::seal::SealPublicKey;
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::member::Member;
use riskveil_exchange::policy::Policy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::block::Header;
use crate::genesis::Genesis;
use crate::state::keys;
use crate::state::leaves::Leaves;
use crate::state::tree::{State, StateProof};

/// Longest state value, bytes.
const MAX_VALUE_BYTES: usize = 16 << 10;

/// An audit key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditKeyState {
    /// Its number.
    pub audit_key_id: AuditKeyId,
    /// Who holds it.
    pub regulator: MemberId,
    /// The escrow key Y.
    pub y: Element,
    /// The HPKE key.
    pub seal_key: SealPublicKey,
    /// First second it is live, Unix time.
    pub from_s: u64,
    /// First second it is no longer live.
    pub until_s: u64,
    /// The block that announced it.
    pub announced_at: Height,
}

impl AuditKeyState {
    /// Whether it is live at this header time, s.
    #[must_use]
    pub const fn is_live(&self, time_s: u64) -> bool {
        self.from_s <= time_s && time_s < self.until_s
    }
}

/// A sealed snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The block that sealed it.
    pub height: Height,
    /// That block's time, s.
    pub time_s: u64,
    /// Batches it covers: `0..batch_count`; later ones are deltas.
    pub batch_count: u32,
    /// Root over their roots.
    pub root: Digest32,
}

/// A publisher's key of a period, and what it published under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodKeyState {
    /// K.
    pub k: Element,
    /// 0, or one more than a revoked key's.
    pub key_serial: u32,
    /// The block that announced it.
    pub announced_at: Height,
    /// Batches published so far; their numbers are `0..batch_count`.
    pub batch_count: u32,
    /// Rows in them, padding included.
    pub rows_total: u64,
    /// The snapshot's seal.
    pub sealed: Option<Seal>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// K_Y of a publisher and period under one audit key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingState {
    /// `k * Y`.
    pub k_y: Element,
    /// DLEQ of (G, K; Y, K_Y), verified.
    pub proof: KeyBindingProof,
}

/// A batch of rows or of commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchState {
    /// Root over its rows, or over its leaves.
    pub root: Digest32,
    /// SHA-256 of its payload.
    pub digest: Digest32,
    /// Rows, or commitments.
    pub count: u32,
    /// Bytes.
    pub len: u32,
    /// The block that carries it.
    pub height: Height,
}

/// How many commitments a publisher has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitmentsState {
    /// Batches published so far, over all periods; their numbers are `0..batch_count`.
    pub batch_count: u32,
    /// Commitments in them, padding included.
    pub total: u64,
}

/// A member's newest log windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogState {
    /// First window of the newest transaction.
    pub first_window: Window,
    /// Its last window: the last one logged.
    pub last_window: Window,
    /// Root over its leaves.
    pub root: Digest32,
    /// SHA-256 of its payload.
    pub digest: Digest32,
    /// Leaves.
    pub count: u32,
    /// The block that carries it.
    pub height: Height,
    /// That block's time, s.
    pub time_s: u64,
}

/// What a regulator logged of its own accesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditAccessState {
    /// How many so far.
    pub count: u64,
    /// The block of the newest.
    pub height: Height,
    /// Its scope commitment.
    pub scope_commit: Option<Digest32>,
}

/// Reads typed values out of a state, finalized or not.
pub trait StateRead {
    /// The bytes under a key.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Entries whose keys begin with `prefix`, ascending.
    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)>;

    /// The policy.
    fn policy(&self) -> Option<Policy> {
        read(self, &keys::policy())
    }

    /// A member.
    fn member(&self, id: &MemberId) -> Option<Member> {
        read(self, &keys::member(id))
    }

    /// The sender's last sequence number; 0 if it never sent.
    fn sequence(&self, sender: &MemberId) -> u64 {
        read(self, &keys::sequence(sender)).unwrap_or(0)
    }

    /// An audit key.
    fn audit_key(&self, id: AuditKeyId) -> Option<AuditKeyState> {
        read(self, &keys::audit_key(id))
    }

    /// Every audit key, ascending by number.
    fn audit_keys(&self) -> Vec<AuditKeyState> {
        self.prefixed(&keys::audit_keys()).iter().filter_map(|(_, value)| decode(value)).collect()
    }

    /// Audit keys live at a header time, s, ascending by number.
    fn audit_keys_live_at(&self, time_s: u64) -> Vec<AuditKeyState> {
        self.audit_keys().into_iter().filter(|key| key.is_live(time_s)).collect()
    }

    /// A publisher's key of a period.
    fn period_key(&self, period: Period, publisher: &MemberId) -> Option<PeriodKeyState> {
        read(self, &keys::period_key(period, publisher))
    }

    /// K_Y of a publisher and period under an audit key.
    fn binding(&self, period: Period, publisher: &MemberId, audit_key_id: AuditKeyId) -> Option<BindingState> {
        read(self, &keys::binding(period, publisher, audit_key_id))
    }

    /// A batch.
    fn batch(&self, period: Period, publisher: &MemberId, batch_seq: u32) -> Option<BatchState> {
        read(self, &keys::batch(period, publisher, batch_seq))
    }

    /// Every batch, ascending by period, publisher and number.
    fn batches(&self) -> Vec<(Period, MemberId, u32, BatchState)> {
        let entries = self.prefixed(&keys::batches());
        let parse = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let (period, publisher, seq) = keys::parse_batch(key)?;
            Some((period, publisher, seq, decode(value)?))
        };
        entries.iter().filter_map(parse).collect()
    }

    /// How many commitments a publisher has.
    fn commitments(&self, publisher: &MemberId) -> CommitmentsState {
        read(self, &keys::commitments(publisher)).unwrap_or_default()
    }

    /// Every publisher that has commitments, and how many batches.
    fn commitment_counts(&self) -> Vec<(MemberId, u32)> {
        let entries = self.prefixed(&keys::commitment_counts());
        let parse = |(key, value): &(Vec<u8>, Vec<u8>)| {
            Some((keys::parse_commitments(key)?, decode::<CommitmentsState>(value)?.batch_count))
        };
        entries.iter().filter_map(parse).collect()
    }

    /// A batch of commitments.
    fn commitment_batch(&self, publisher: &MemberId, batch_seq: u32) -> Option<BatchState> {
        read(self, &keys::commitment_batch(publisher, batch_seq))
    }

    /// Every batch of commitments, ascending by publisher and number.
    fn commitment_batches(&self) -> Vec<(MemberId, u32, BatchState)> {
        let entries = self.prefixed(&keys::commitment_batches());
        let parse = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let (publisher, seq) = keys::parse_commitment_batch(key)?;
            Some((publisher, seq, decode(value)?))
        };
        entries.iter().filter_map(parse).collect()
    }

    /// A member's newest log windows.
    fn log(&self, kind: LogKind, member: &MemberId) -> Option<LogState> {
        read(self, &keys::log(kind, member))
    }

    /// The last window a member logged.
    fn last_window(&self, kind: LogKind, member: &MemberId) -> Option<Window> {
        self.log(kind, member).map(|log| log.last_window)
    }

    /// What a regulator logged of its own accesses.
    fn audit_access(&self, regulator: &MemberId) -> AuditAccessState {
        read(self, &keys::audit_access(regulator)).unwrap_or_default()
    }
}

impl StateRead for State {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        State::get(self, key).map(<[u8]>::to_vec)
    }

    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        State::prefixed(self, prefix).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }
}

/// The finalized tip: its header, the header's digest, the state after it, and the leaves of the commitments it counts.
#[derive(Clone, Debug)]
pub struct FinalizedView {
    /// The tip's header.
    pub header: Header,
    /// Its digest.
    pub digest: Digest32,
    /// The state after it.
    pub state: Arc<State>,
    /// Leaves of every commitment batch that the state counts and this replica holds: all of them once replay is done.
    pub leaves: Leaves,
}

impl FinalizedView {
    /// Height of the tip.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// Header time of the tip, s.
    #[must_use]
    pub const fn time_s(&self) -> u64 {
        self.header.time_s()
    }

    /// The period that the tip's header time falls in.
    #[must_use]
    pub fn period(&self, genesis: &Genesis) -> Period {
        genesis.policy.period_at(genesis.genesis_time_s, self.time_s())
    }

    /// Shows what stands under a key, or that nothing does, under the tip's state root.
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> Option<StateProof> {
        self.state.prove(key)
    }
}

impl StateRead for FinalizedView {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        StateRead::get(self.state.as_ref(), key)
    }

    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        StateRead::prefixed(self.state.as_ref(), prefix)
    }
}

fn read<T: DeserializeOwned>(state: &(impl StateRead + ?Sized), key: &[u8]) -> Option<T> {
    decode(&state.get(key)?)
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    codec::decode(value, MAX_VALUE_BYTES).ok()
}
