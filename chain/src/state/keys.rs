//! Every state key, built in one place: a prefix byte, then fixed-width fields, integers big-endian.
//!
//! - **Shapes**: a name takes 32 bytes, zero-padded (names have no zero byte); a key has at most 41 bytes
//! - **Source**: specs/ledger.md#state-keys

use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{AuditKeyId, MemberId, Period};

/// A key of the state.
pub type Key = Vec<u8>;

/// The chain id.
const CHAIN: u8 = 0x01;
/// The policy.
const POLICY: u8 = 0x02;
/// A member.
const MEMBER: u8 = 0x03;
/// A sender's last sequence number.
const SEQUENCE: u8 = 0x04;
/// An audit key.
const AUDIT_KEY: u8 = 0x05;
/// An escrow key Y or seal key that was announced.
const AUDIT_KEY_SEEN: u8 = 0x06;
/// A publisher's key of a period.
const PERIOD_KEY: u8 = 0x07;
/// A K that was announced.
const PERIOD_KEY_SEEN: u8 = 0x08;
/// K_Y of a publisher, period and audit key.
const BINDING: u8 = 0x09;
/// A batch of rows.
const BATCH: u8 = 0x0a;
/// A member's last log window.
const LOG: u8 = 0x0b;
/// A regulator's logged accesses.
const AUDIT_ACCESS: u8 = 0x0c;
/// How many commitments a publisher has.
const COMMITMENTS: u8 = 0x0d;
/// A batch of commitments.
const COMMITMENT_BATCH: u8 = 0x0e;

/// Where the chain id stands.
#[must_use]
pub fn chain() -> Key {
    vec![CHAIN]
}

/// Where the policy stands.
#[must_use]
pub fn policy() -> Key {
    vec![POLICY]
}

/// Where a member stands.
#[must_use]
pub fn member(id: &MemberId) -> Key {
    key(MEMBER, &[&name(id)])
}

/// Where a sender's last sequence number stands.
#[must_use]
pub fn sequence(sender: &MemberId) -> Key {
    key(SEQUENCE, &[&name(sender)])
}

/// Where an audit key stands.
#[must_use]
pub fn audit_key(id: AuditKeyId) -> Key {
    key(AUDIT_KEY, &[&id.0.to_be_bytes()])
}

/// What every audit key's entry begins with.
#[must_use]
pub fn audit_keys() -> Key {
    vec![AUDIT_KEY]
}

/// Where it stands that an escrow key or a seal key, 32 bytes, was announced.
#[must_use]
pub fn audit_key_seen(bytes: &[u8; 32]) -> Key {
    key(AUDIT_KEY_SEEN, &[bytes])
}

/// Where a publisher's key of a period stands.
#[must_use]
pub fn period_key(period: Period, publisher: &MemberId) -> Key {
    key(PERIOD_KEY, &[&period.0.to_be_bytes(), &name(publisher)])
}

/// What every period key's entry of a period begins with.
#[must_use]
pub fn period_keys(period: Period) -> Key {
    key(PERIOD_KEY, &[&period.0.to_be_bytes()])
}

/// Where it stands that K was announced.
#[must_use]
pub fn period_key_seen(k: &[u8; 32]) -> Key {
    key(PERIOD_KEY_SEEN, &[k])
}

/// Where K_Y of a publisher, period and audit key stands.
#[must_use]
pub fn binding(period: Period, publisher: &MemberId, audit_key_id: AuditKeyId) -> Key {
    key(BINDING, &[&period.0.to_be_bytes(), &name(publisher), &audit_key_id.0.to_be_bytes()])
}

/// Where a batch stands.
#[must_use]
pub fn batch(period: Period, publisher: &MemberId, batch_seq: u32) -> Key {
    key(BATCH, &[&period.0.to_be_bytes(), &name(publisher), &batch_seq.to_be_bytes()])
}

/// What every batch's entry begins with.
#[must_use]
pub fn batches() -> Key {
    vec![BATCH]
}

/// The (period, publisher, batch number) of a batch's key.
#[must_use]
pub fn parse_batch(key: &[u8]) -> Option<(Period, MemberId, u32)> {
    let rest = key.strip_prefix(&[BATCH])?;
    let (period, rest) = rest.split_first_chunk::<4>()?;
    let (publisher, rest) = parse_name(rest)?;
    let seq: [u8; 4] = rest.try_into().ok()?;
    Some((Period(u32::from_be_bytes(*period)), publisher, u32::from_be_bytes(seq)))
}

/// Where it stands how many commitments a publisher has.
#[must_use]
pub fn commitments(publisher: &MemberId) -> Key {
    key(COMMITMENTS, &[&name(publisher)])
}

/// What every publisher's entry of that begins with.
#[must_use]
pub fn commitment_counts() -> Key {
    vec![COMMITMENTS]
}

/// The publisher of such an entry's key.
#[must_use]
pub fn parse_commitments(key: &[u8]) -> Option<MemberId> {
    let (publisher, rest) = parse_name(key.strip_prefix(&[COMMITMENTS])?)?;
    rest.is_empty().then_some(publisher)
}

/// Where a batch of commitments stands.
#[must_use]
pub fn commitment_batch(publisher: &MemberId, batch_seq: u32) -> Key {
    key(COMMITMENT_BATCH, &[&name(publisher), &batch_seq.to_be_bytes()])
}

/// What every commitment batch's entry begins with.
#[must_use]
pub fn commitment_batches() -> Key {
    vec![COMMITMENT_BATCH]
}

/// The (publisher, batch number) of a commitment batch's key.
#[must_use]
pub fn parse_commitment_batch(key: &[u8]) -> Option<(MemberId, u32)> {
    let (publisher, rest) = parse_name(key.strip_prefix(&[COMMITMENT_BATCH])?)?;
    Some((publisher, u32::from_be_bytes(rest.try_into().ok()?)))
}

/// Where a member's last log window stands.
#[must_use]
pub fn log(kind: LogKind, member: &MemberId) -> Key {
    key(LOG, &[&[log_kind(kind)], &name(member)])
}

/// The byte of a kind of log: 1 queries, 2 receipts.
#[must_use]
pub const fn log_kind(kind: LogKind) -> u8 {
    match kind {
        LogKind::Queries => 1,
        LogKind::Receipts => 2,
    }
}

/// Where a regulator's logged accesses stand.
#[must_use]
pub fn audit_access(regulator: &MemberId) -> Key {
    key(AUDIT_ACCESS, &[&name(regulator)])
}

fn key(prefix: u8, fields: &[&[u8]]) -> Key {
    let mut key = vec![prefix];
    for field in fields {
        key.extend_from_slice(field);
    }
    key
}

fn name(id: &MemberId) -> [u8; 32] {
    let mut padded = [0; 32];
    for (to, from) in padded.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    padded
}

/// The name in the first 32 bytes, and what follows.
fn parse_name(bytes: &[u8]) -> Option<(MemberId, &[u8])> {
    let (padded, rest) = bytes.split_first_chunk::<32>()?;
    let end = padded.iter().rposition(|b| *b != 0)? + 1;
    let text = std::str::from_utf8(padded.get(..end)?).ok()?;
    Some((MemberId::new(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_key_tells_its_fields_and_sorts_by_them() {
        let publisher = MemberId::new("INST-01").unwrap();
        let key = batch(Period(3), &publisher, 258);
        assert_eq!(parse_batch(&key), Some((Period(3), publisher.clone(), 258)));
        assert!(key < batch(Period(3), &publisher, 259) && key < batch(Period(256), &publisher, 0));
        assert_eq!(key.len(), 41);
        assert_eq!(parse_batch(&member(&publisher)), None);
        let key = commitment_batch(&publisher, 258);
        assert_eq!(parse_commitment_batch(&key), Some((publisher.clone(), 258)));
        assert_eq!(parse_commitment_batch(&batch(Period(3), &publisher, 1)), None);
        assert_eq!(parse_commitments(&commitments(&publisher)), Some(publisher.clone()));
        assert_eq!(parse_commitments(&key), None);
    }
}
