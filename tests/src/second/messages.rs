//! Request and response, field by field.

use super::bytes::{Bytes, Identity, Reader, h};
use super::escrow::Item;

const CORE: &str = "riskveil/v1/exchange/request-core";
const PROOFS: &str = "riskveil/v1/exchange/request-proofs";
const ENVELOPE: &str = "riskveil/v1/exchange/envelope";

/// A request core.
#[derive(Clone, Debug)]
pub struct Core {
    /// Message header, kind 16.
    pub header: [u8; 4],
    /// The chain.
    pub chain_id: [u8; 32],
    /// Who asks.
    pub lender: String,
    /// Fresh per request.
    pub nonce: [u8; 32],
    /// Unix seconds.
    pub issued_at_s: u64,
    /// Unix seconds.
    pub expires_at_s: u64,
    /// The period.
    pub period: u32,
    /// The audit key's number.
    pub audit_key_id: u32,
    /// The lender's height.
    pub ref_height: u64,
    /// The header hash there.
    pub ref_header_hash: [u8; 32],
    /// The purpose's code.
    pub purpose: u8,
    /// The consent commitment.
    pub consent_commit: [u8; 32],
    /// The encoded shape: `[0]` is a check.
    pub shape: Vec<u8>,
    /// The escrowed items.
    pub items: Vec<Item>,
    /// The seal's digest.
    pub seal_digest: [u8; 32],
}

impl Core {
    /// Its encoding.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = Bytes::new().raw(&self.header).raw(&self.chain_id).sized(self.lender.as_bytes()).raw(&self.nonce);
        let bytes = bytes.u64(self.issued_at_s).u64(self.expires_at_s).u32(self.period).u32(self.audit_key_id);
        let bytes = bytes.u64(self.ref_height).raw(&self.ref_header_hash).u8(self.purpose).raw(&self.consent_commit);
        let bytes = bytes.raw(&self.shape).uleb(self.items.len() as u64);
        let bytes = self.items.iter().fold(bytes, |bytes, (c1, c2)| bytes.raw(c1).raw(c2));
        bytes.raw(&self.seal_digest).done()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        h(CORE, &[&self.bytes()])
    }

    /// The additional data of its seal.
    #[must_use]
    pub fn seal_aad(&self) -> Vec<u8> {
        let core = self.bytes();
        Bytes::new().sized(b"riskveil/v1/exchange/seal-aad").raw(&core[..core.len() - 32]).done()
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let header = reader.array();
        let (chain_id, lender, nonce) = (reader.array(), reader.text(), reader.array());
        let (issued_at_s, expires_at_s) = (reader.u64(), reader.u64());
        let (period, audit_key_id, ref_height) = (reader.u32(), reader.u32(), reader.u64());
        let (ref_header_hash, purpose, consent_commit) = (reader.array(), reader.raw(1)[0], reader.array());
        let shape = match reader.uleb() {
            0 => vec![0],
            _ => [&[1], reader.raw(3)].concat(),
        };
        let items = (0..reader.uleb()).map(|_| (reader.array(), reader.array())).collect();
        Self {
            header,
            chain_id,
            lender,
            nonce,
            issued_at_s,
            expires_at_s,
            period,
            audit_key_id,
            ref_height,
            ref_header_hash,
            purpose,
            consent_commit,
            shape,
            items,
            seal_digest: reader.array(),
        }
    }
}

/// The encoded proofs of a check.
#[must_use]
pub fn proofs_each(proofs: &[[u8; 64]]) -> Vec<u8> {
    proofs.iter().fold(Bytes::new().uleb(0).uleb(proofs.len() as u64), |bytes, proof| bytes.raw(proof)).done()
}

/// `proofs_digest` of encoded proofs.
#[must_use]
pub fn proofs_digest(proofs: &[u8]) -> [u8; 32] {
    h(PROOFS, &[proofs])
}

/// What a core names its seal by.
#[must_use]
pub fn seal_digest(seal: &[u8]) -> [u8; 32] {
    h("riskveil/v1/exchange/seal-digest", &[seal])
}

/// One identifier or dummy of a seal: 26 bytes.
#[must_use]
pub fn sealed_item(identifier: Option<(u8, &str)>) -> Vec<u8> {
    let (id_type, text) = identifier.unwrap_or((0, ""));
    let mut bytes = Bytes::new().u8(id_type).u8(text.len() as u8).raw(text.as_bytes()).done();
    bytes.resize(26, 0);
    bytes
}

/// The plaintext of a seal: items and (consent digest, salt) per subject.
#[must_use]
pub fn seal_plaintext(items: &[Vec<u8>], consents: &[([u8; 32], [u8; 32])]) -> Vec<u8> {
    let bytes = Bytes::new().header(19).uleb(items.len() as u64);
    let bytes = items.iter().fold(bytes, |bytes, item| bytes.raw(item)).uleb(consents.len() as u64);
    consents.iter().fold(bytes, |bytes, (digest, salt)| bytes.raw(digest).raw(salt)).done()
}

/// HPKE info of a seal.
#[must_use]
pub fn seal_info(chain_id: &[u8; 32], audit_key_id: u32) -> Vec<u8> {
    Bytes::new().sized(b"riskveil/v1/exchange/seal-info").u8(1).raw(chain_id).u32(audit_key_id).done()
}

/// The consent commitment of one subject.
#[must_use]
pub fn consent_commit(digest: &[u8; 32], salt: &[u8; 32]) -> [u8; 32] {
    h("riskveil/v1/exchange/consent-commit", &[salt, digest])
}

/// What a lender signs for one responder.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Message header, kind 17.
    pub header: [u8; 4],
    /// The core's digest.
    pub core_digest: [u8; 32],
    /// The proofs' digest.
    pub proofs_digest: [u8; 32],
    /// Whom it asks.
    pub publisher: String,
    /// The period.
    pub period: u32,
    /// The publisher's key.
    pub k: [u8; 32],
    /// Fresh per envelope.
    pub salt: [u8; 32],
}

impl Envelope {
    /// Its encoding.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = Bytes::new().raw(&self.header).raw(&self.core_digest).raw(&self.proofs_digest);
        bytes.sized(self.publisher.as_bytes()).u32(self.period).raw(&self.k).raw(&self.salt).done()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        h(ENVELOPE, &[&self.bytes()])
    }
}

/// One request to one responder.
#[derive(Clone, Debug)]
pub struct Request {
    /// The core.
    pub core: Core,
    /// The encoded proofs.
    pub proofs: Vec<u8>,
    /// The seal.
    pub seal: Vec<u8>,
    /// The envelope.
    pub envelope: Envelope,
    /// The lender's signature.
    pub signature: [u8; 64],
}

impl Request {
    /// Its encoding.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = Bytes::new().raw(&self.core.bytes()).raw(&self.proofs).sized(&self.seal);
        bytes.raw(&self.envelope.bytes()).raw(&self.signature).done()
    }

    /// Names core and proofs in the envelope as they are now, and signs it.
    pub fn sign(&mut self, lender: &Identity) {
        self.envelope.core_digest = self.core.digest();
        self.envelope.proofs_digest = proofs_digest(&self.proofs);
        self.signature = lender.sign(ENVELOPE, &self.core.chain_id, &self.envelope.bytes());
    }

    /// Reads the bytes of a check or chunk.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader(bytes);
        let core = Core::read(&mut reader);
        let proofs = match reader.uleb() {
            0 => {
                let count = reader.uleb();
                Bytes::new().uleb(0).uleb(count as u64).raw(reader.raw(64 * count)).done()
            }
            _ => Bytes::new().uleb(1).raw(reader.raw(64)).done(),
        };
        let seal = reader.sized().to_vec();
        let envelope = Envelope {
            header: reader.array(),
            core_digest: reader.array(),
            proofs_digest: reader.array(),
            publisher: reader.text(),
            period: reader.u32(),
            k: reader.array(),
            salt: reader.array(),
        };
        let signature = reader.array();
        assert!(reader.0.is_empty(), "bytes are left over");
        Self { core, proofs, seal, envelope, signature }
    }
}

/// What a responder answers.
#[derive(Clone, Debug)]
pub struct Response {
    /// Message header, kind 18.
    pub header: [u8; 4],
    /// The core's digest.
    pub core_digest: [u8; 32],
    /// The envelope's digest.
    pub envelope_digest: [u8; 32],
    /// Who answers.
    pub publisher: String,
    /// The period.
    pub period: u32,
    /// K.
    pub k: [u8; 32],
    /// 0 or a refusal's code.
    pub status: u8,
    /// Its tip.
    pub tip_height: u64,
    /// The header hash there.
    pub tip_header_hash: [u8; 32],
    /// Batches it counts.
    pub last_batch_seq: u32,
    /// Its clock.
    pub served_at_s: u64,
    /// One element per item.
    pub z: Vec<[u8; 32]>,
    /// The evaluation proof.
    pub proof: [u8; 64],
    /// The signature.
    pub signature: [u8; 64],
}

impl Response {
    fn unsigned(&self) -> Vec<u8> {
        let bytes = Bytes::new().raw(&self.header).raw(&self.core_digest).raw(&self.envelope_digest);
        let bytes = bytes.sized(self.publisher.as_bytes()).u32(self.period).raw(&self.k).u8(self.status);
        let bytes = bytes.u64(self.tip_height).raw(&self.tip_header_hash).u32(self.last_batch_seq);
        let bytes = bytes.u64(self.served_at_s).uleb(self.z.len() as u64).raw(self.z.as_flattened());
        bytes.raw(&self.proof).done()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        h("riskveil/v1/exchange/response", &[&self.unsigned()])
    }

    /// Signs it as the responder.
    pub fn sign(&mut self, chain_id: &[u8; 32], responder: &Identity) {
        self.signature = sign_outcome(chain_id, &self.envelope_digest, self.status, &self.digest(), responder);
    }

    /// Its encoding.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.unsigned(), self.signature.to_vec()].concat()
    }
}

/// A responder's signature over an outcome.
#[must_use]
pub fn sign_outcome(
    chain_id: &[u8; 32],
    envelope_digest: &[u8; 32],
    status: u8,
    response_digest: &[u8; 32],
    responder: &Identity,
) -> [u8; 64] {
    let statement = Bytes::new().raw(envelope_digest).u8(status).raw(response_digest).done();
    responder.sign("riskveil/v1/exchange/outcome", chain_id, &statement)
}
