//! Log entries, leaves and sealed windows.

use rand_chacha::ChaCha20Rng;

use super::bytes::{Bytes, h};
use super::escrow::seal;
use super::messages::Request;

/// An answer in a lender's entry: status, response digest, the responder's signature.
pub type Outcome = (u8, [u8; 32], [u8; 64]);

/// A lender's entry: one core, an envelope and perhaps an answer per responder.
#[must_use]
pub fn query_entry(asked: &[(Request, Option<Outcome>)]) -> Vec<u8> {
    let first = &asked[0].0;
    let bytes = Bytes::new().raw(&first.core.bytes()).raw(&first.proofs).sized(&first.seal).uleb(asked.len() as u64);
    asked
        .iter()
        .fold(bytes, |bytes, (request, outcome)| {
            let bytes = bytes.raw(&request.envelope.bytes()).raw(&request.signature);
            match outcome {
                None => bytes.u8(0),
                Some((status, digest, signature)) => bytes.u8(1).u8(*status).raw(digest).raw(signature),
            }
        })
        .done()
}

/// A responder's entry.
#[must_use]
pub fn receipt_entry(request: &Request, status: u8, response_digest: &[u8; 32]) -> Vec<u8> {
    Bytes::new().raw(&request.bytes()).u8(status).raw(response_digest).done()
}

/// The lender's leaf of an envelope.
#[must_use]
pub fn query_leaf(request: &Request) -> [u8; 32] {
    h("riskveil/v1/exchange/query-leaf", &[&request.envelope.salt, &request.envelope.digest()])
}

/// The responder's leaf of an envelope.
#[must_use]
pub fn receipt_leaf(request: &Request) -> [u8; 32] {
    h("riskveil/v1/exchange/receipt-leaf", &[&request.envelope.salt, &request.envelope.digest()])
}

/// A window before it is sealed.
#[derive(Clone, Debug)]
pub struct Window {
    /// 0 queries, 1 receipts.
    pub kind: u8,
    /// The chain.
    pub chain_id: [u8; 32],
    /// Whose log.
    pub member: String,
    /// First window.
    pub first: u64,
    /// Last window.
    pub last: u64,
    /// Encoded entries.
    pub entries: Vec<Vec<u8>>,
    /// Their leaves.
    pub leaves: Vec<[u8; 32]>,
    /// The audit key's number.
    pub audit_key_id: u32,
    /// Seed of the padding.
    pub seed: [u8; 32],
}

impl Window {
    /// The leaves with their padding, ascending, and the sealed blob.
    #[must_use]
    pub fn seal(&self, to: &[u8; 32], rng: &mut ChaCha20Rng) -> (Vec<[u8; 32]>, Vec<u8>) {
        let bucket = self.leaves.len().max(4).next_power_of_two();
        let padding = (bucket - self.leaves.len()) as u32;
        let pad = |index: u32| h("riskveil/v1/exchange/pad-leaf", &[&self.seed, &index.to_le_bytes()]);
        let mut leaves = self.leaves.clone();
        leaves.extend((0..padding).map(pad));
        leaves.sort_unstable();

        let scope =
            |bytes: Bytes| bytes.raw(&self.chain_id).sized(self.member.as_bytes()).u64(self.first).u64(self.last);
        let body = scope(Bytes::new().header(32 + self.kind)).raw(&self.seed).u32(padding);
        let body = body.uleb(self.entries.len() as u64);
        // variant 0: a query or its receipt, not a disclosure
        let body = self.entries.iter().fold(body, |body, entry| body.uleb(0).raw(entry)).done();
        let mut plaintext = Bytes::new().u32(body.len() as u32).raw(&body).done();
        plaintext.resize(plaintext.len().max(bucket * 1_408 + 256), 0);
        let info = Bytes::new().sized(b"riskveil/v1/exchange/log-info").u8(1).raw(&self.chain_id);
        let aad = scope(Bytes::new().sized(b"riskveil/v1/exchange/log-aad").u8(self.kind)).done();
        let sealed = seal(to, &info.u32(self.audit_key_id).done(), &aad, &plaintext, rng);
        (leaves, Bytes::new().u32(self.audit_key_id).raw(&sealed).done())
    }
}

/// The payload of a log transaction.
#[must_use]
pub fn payload(leaves: &[[u8; 32]], blob: &[u8]) -> Vec<u8> {
    Bytes::new().uleb(leaves.len() as u64).raw(leaves.as_flattened()).sized(blob).done()
}
