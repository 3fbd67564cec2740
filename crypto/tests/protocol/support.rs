//! A request, its keys and its digests, from a seed.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::{
    Digest32, Element,
    digest::sha256,
    escrow::{AuditKeyPair, EscrowSecret, Escrowed, EscrowedItem, dummy_element, escrow},
    evaluation::EvaluationContext,
    oprf::{OprfSecretKey, input_element},
};

pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

/// Every single-bit change of some bytes, one bit per byte.
pub(crate) fn flips<const N: usize>(bytes: [u8; N]) -> impl Iterator<Item = [u8; N]> {
    (0..N).map(move |i| {
        let mut flipped = bytes;
        flipped[i] ^= 1 << (i % 8);
        flipped
    })
}

pub(crate) fn element(name: &str) -> Element {
    input_element(name.as_bytes()).unwrap()
}

/// Four items, the last a dummy, as a check sends them.
pub(crate) struct Request {
    pub(crate) audit: AuditKeyPair,
    pub(crate) inputs: Vec<Vec<u8>>,
    pub(crate) items: Vec<EscrowedItem>,
    pub(crate) secrets: Vec<EscrowSecret>,
    pub(crate) binding: Digest32,
}

impl Request {
    pub(crate) fn new(seed: u8) -> Request {
        let mut rng = rng(seed);
        let audit = AuditKeyPair::generate(&mut rng);
        let inputs: Vec<Vec<u8>> = (0..3).map(|i| format!("input {i} of {seed}").into_bytes()).collect();
        let mut points: Vec<Element> = inputs.iter().map(|x| input_element(x).unwrap()).collect();
        points.push(dummy_element());
        let escrowed = points.iter().map(|p| escrow(p, &audit.public(), &mut rng));
        let (items, secrets) = escrowed.map(|Escrowed { secret, item }| (item, secret)).unzip();
        Request { audit, inputs, items, secrets, binding: sha256(&[seed]) }
    }

    pub(crate) fn c2(&self) -> Vec<Element> {
        self.items.iter().map(|item| item.c2).collect()
    }
}

/// What the evaluation of a request is bound to.
pub(crate) struct Bound {
    pub(crate) key: OprfSecretKey,
    pub(crate) k: Element,
    chain_id: Digest32,
    core: Digest32,
    envelope: Digest32,
}

impl Bound {
    pub(crate) fn new(seed: u8) -> Bound {
        let key = OprfSecretKey::generate(&mut rng(seed));
        Bound {
            k: key.public_key(),
            key,
            chain_id: sha256(b"chain"),
            core: sha256(b"core"),
            envelope: sha256(b"envelope"),
        }
    }

    pub(crate) fn context(&self) -> EvaluationContext<'_> {
        EvaluationContext {
            chain_id: &self.chain_id,
            publisher: b"BANK-01",
            period: 7,
            k: &self.k,
            core: &self.core,
            envelope: &self.envelope,
        }
    }
}
