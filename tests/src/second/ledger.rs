//! Transactions, headers and certificates.

use ed25519_dalek::Signer as _;

use super::bytes::{Bytes, Identity, h, merkle_root, sha256};

/// A transaction before it is signed.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The chain.
    pub chain_id: [u8; 32],
    /// Who sends it.
    pub sender: String,
    /// Its number.
    pub sequence: u64,
    /// The last height it may stand at.
    pub expiry_height: u64,
    /// The encoded body, variant first.
    pub body: Vec<u8>,
}

impl Transaction {
    /// Signed, as it stands in a block.
    #[must_use]
    pub fn sign(&self, identity: &Identity) -> Vec<u8> {
        let bytes = Bytes::new().header(1).raw(&self.chain_id).sized(self.sender.as_bytes());
        let bytes = bytes.u64(self.sequence).u64(self.expiry_height).raw(&self.body).done();
        let signature = identity.sign("riskveil/v1/chain/tx-signature", &self.chain_id, &bytes);
        [bytes, signature.to_vec()].concat()
    }
}

/// Names a payload: digest, length, count, root.
#[must_use]
pub fn payload_ref(payload: &[u8], count: u32, root: &[u8; 32]) -> Vec<u8> {
    Bytes::new().raw(&sha256(payload)).u32(payload.len() as u32).u32(count).raw(root).done()
}

/// The root over a payload of rows.
#[must_use]
pub fn rows_root(rows: &[u8]) -> [u8; 32] {
    merkle_root(&rows.chunks(92).map(<[u8]>::to_vec).collect::<Vec<_>>())
}

/// Body 1: a period key with (audit key, K_Y, proof) each.
#[must_use]
pub fn announce_period_key(period: u32, serial: u32, k: &[u8; 32], bindings: &[(u32, [u8; 32], [u8; 64])]) -> Vec<u8> {
    let bytes = Bytes::new().uleb(1).u32(period).u32(serial).raw(k).uleb(bindings.len() as u64);
    bindings.iter().fold(bytes, |bytes, (id, k_y, proof)| bytes.u32(*id).raw(k_y).raw(proof)).done()
}

/// The context of a key binding.
#[must_use]
pub fn binding_context(chain_id: &[u8; 32], publisher: &str, period: u32, serial: u32, audit_key_id: u32) -> Vec<u8> {
    let bytes = Bytes::new().sized(b"riskveil/v1/exchange/key-binding").raw(chain_id).sized(publisher.as_bytes());
    bytes.u32(period).u32(serial).u32(audit_key_id).done()
}

/// Body 3: a batch of rows.
#[must_use]
pub fn publish_rows(period: u32, serial: u32, batch_seq: u32, rows: &[u8], root: &[u8; 32]) -> Vec<u8> {
    let count = (rows.len() / 92) as u32;
    Bytes::new().uleb(3).u32(period).u32(serial).u32(batch_seq).raw(&payload_ref(rows, count, root)).done()
}

/// Body 5: a sealed snapshot over these batch roots.
#[must_use]
pub fn seal_snapshot(period: u32, serial: u32, batch_roots: &[[u8; 32]]) -> Vec<u8> {
    let root = merkle_root(&batch_roots.iter().map(|root| root.to_vec()).collect::<Vec<_>>());
    Bytes::new().uleb(5).u32(period).u32(serial).u32(batch_roots.len() as u32).raw(&root).u32(0).done()
}

/// Body 8 or 9: a log window.
#[must_use]
pub fn log_windows(variant: u64, first: u64, last: u64, payload: &[u8], leaves: &[[u8; 32]]) -> Vec<u8> {
    let root = merkle_root(&leaves.iter().map(|leaf| leaf.to_vec()).collect::<Vec<_>>());
    let named = payload_ref(payload, leaves.len() as u32, &root);
    Bytes::new().uleb(variant).u64(first).u64(last).raw(&named).done()
}

/// A finality certificate of the engine: signatures of committee members, sorted by key, over a header digest.
#[must_use]
pub fn certificate(
    chain_id: &[u8; 32],
    term: u64,
    digest: &[u8; 32],
    committee: &[Identity],
    signers: &[usize],
) -> Vec<u8> {
    let namespace = [b"riskveil/v1/chain/engine".as_slice(), chain_id, b"_FINALIZE"].concat();
    let proposal = Bytes::new().uleb(term).uleb(700).uleb(699).raw(digest).done();
    let message = Bytes::new().sized(&namespace).raw(&proposal).done();
    let mut keys = committee.to_vec();
    keys.sort_by_key(Identity::public);
    let bits: u8 = signers.iter().map(|signer| 1 << signer).sum();
    let bytes = Bytes::new().raw(&proposal).raw(&(keys.len() as u64).to_be_bytes()).u8(bits);
    let bytes = bytes.uleb(signers.len() as u64);
    signers.iter().fold(bytes, |bytes, signer| bytes.raw(&keys[*signer].0.sign(&message).to_bytes())).done()
}

/// The digest of an encoded header.
#[must_use]
pub fn header_digest(header: &[u8]) -> [u8; 32] {
    h("riskveil/v1/chain/header", &[header])
}
