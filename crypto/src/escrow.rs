//! Blinds an element by encrypting it to the audit key: what a responder evaluates is what an auditor can open.
//!
//! - **Place**: walk B3, P -> [`EscrowedItem`] -> `evaluation`; the audit opens it
//! - **Shapes**: an item is 64 bytes, C1 and C2; a proof of knowledge 64
//! - **Invariants**: C1 and C2 are not the identity; `s` is fresh per item, in no message, and leaves only as evidence
//! - **Errors**: [`EscrowError`] (whoever made the request)
//! - **Security**: under DDH an item hides P from everyone without `y`. The proof of knowledge binds the whole request, so an
//!   item cannot be lifted into another (signed ElGamal, non-malleable). The holder of `y` learns P, which identifies the
//!   input by guessing, and no OPRF output: that takes `s`. Never derive a symmetric key from `s*Y`: guessing x opens it
//! - **Source**: Fuchsbauer, Plouviez, Seurin 2020 (signed ElGamal); DESIGN.md section 3
//!
//! # Notation
//! ```text
//! y, Y    audit key, Y = y*G        AuditKeyPair, public()
//! s       secret of one item        EscrowSecret
//! C1, C2  s*G, P + s*Y              EscrowedItem
//! ```
//!
//! # Protocol
//! ```text
//! prove   R = r*G, c = challenge(binding, Y, count, i, C1, C2, R), z = r + c*s
//! verify  z*G - c*C1 = R
//! weighted: w_i from a transcript over binding, Y, every C1 and every C2; the same proof for sum w_i*s_i
//! ```

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{LazyLock, OnceLock},
};

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use merlin::Transcript;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use zeroize::Zeroizing;

use crate::{
    codec::Raw,
    digest::Digest32,
    dst::{self, Dst},
    elements::Elements,
    error::ProofInvalid,
    group::Element,
    kernel::{Kernel, kernel},
    oprf::{OprfError, dleq::canonical_scalar, input_element, suite::expand_to_group},
    points::{self, Base, RUN, weighted_sums},
    secret::{ScalarInvalid, SecretBytes, SecretScalar},
    sha512::Digests,
    transcript::TranscriptProtocol,
};

/// The regulator's audit key `y`; zeroised when dropped.
#[derive(Clone)]
pub struct AuditKeyPair {
    y: SecretScalar,
    public: Element,
}

impl AuditKeyPair {
    /// A fresh key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> AuditKeyPair {
        AuditKeyPair::from_scalar(SecretScalar::random(rng))
    }

    /// The key with this encoding, from the key store.
    ///
    /// # Errors
    /// [`ScalarInvalid`] for zero and for encodings of l and more.
    pub fn from_bytes(bytes: &SecretBytes<32>) -> Result<AuditKeyPair, ScalarInvalid> {
        let y = bytes.expose(|bytes| SecretScalar::from_canonical_bytes(*bytes))?;
        Ok(AuditKeyPair::from_scalar(y))
    }

    fn from_scalar(y: SecretScalar) -> AuditKeyPair {
        let public = y.expose(RistrettoPoint::mul_base);
        let public = Element::from_point(public).expect("y is not zero and G has prime order");
        AuditKeyPair { y, public }
    }

    /// `Y = y*G`.
    pub fn public(&self) -> Element {
        self.public
    }

    /// The encoding of `y`, for the key store.
    pub fn to_secret_bytes(&self) -> SecretBytes<32> {
        self.y.to_secret_bytes()
    }

    /// Proves knowledge of `y`; `context` names chain, regulator and validity.
    pub fn prove_possession(&self, context: &[u8], rng: &mut (impl RngCore + CryptoRng)) -> KnowledgeProof {
        let mut transcript = possession_transcript(&self.public, context);
        self.y.expose(|y| prove(&mut transcript, y, rng))
    }

    /// `P = C2 - y*C1`, or none if that is the identity.
    pub fn open(&self, item: &EscrowedItem) -> Option<Element> {
        Element::from_point(self.open_point(item)).ok()
    }

    /// Whether the item holds `HashToGroup(input)`; false for inputs that cannot be hashed.
    pub fn agrees(&self, item: &EscrowedItem, input: &[u8]) -> bool {
        input_element(input).is_ok_and(|P| self.open_point(item) == P.point())
    }

    /// Whether the item holds the dummy element.
    pub fn agrees_with_dummy(&self, item: &EscrowedItem) -> bool {
        self.open_point(item) == dummy_element().point()
    }

    /// Which items hold what they are said to: `HashToGroup` of the input, or the dummy element where there is none. As
    /// [`agrees`](Self::agrees) and [`agrees_with_dummy`](Self::agrees_with_dummy), many at a time.
    pub fn agree(&self, items: &[EscrowedItem], inputs: &[Option<&[u8]>]) -> Vec<bool> {
        let kernel = kernel();
        let mut agreed = Vec::with_capacity(items.len());
        for (items, inputs) in items.chunks(RUN).zip(inputs.chunks(RUN)) {
            let Ok(uniform) = expand_inputs(kernel, inputs) else {
                // an input that cannot be hashed: one by one, it alone does not agree
                agreed.extend(items.iter().zip(inputs).map(|(item, input)| match input {
                    Some(input) => self.agrees(item, input),
                    None => self.agrees_with_dummy(item),
                }));
                continue;
            };
            let masks = self.y.expose(|y| points::of_elements(kernel, items.iter().map(|item| &item.c1)).multiply(y));
            let held = points::of_elements(kernel, items.iter().map(|item| &item.c2)).sub(&masks);
            agreed.extend(held.equal(&points::map(kernel, &uniform)));
        }
        agreed
    }

    pub(crate) fn y(&self) -> &SecretScalar {
        &self.y
    }

    fn open_point(&self, item: &EscrowedItem) -> RistrettoPoint {
        item.c2.point() - self.y.expose(|y| y * item.c1.point())
    }
}

impl fmt::Debug for AuditKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKeyPair(..)")
    }
}

/// Shows that whoever announced `Y` knows `y`. Everyone checks this before computing any multiple of `Y`.
///
/// # Errors
/// [`ProofInvalid`] unless the proof shows it for this context, or if `Y` is G.
pub fn verify_audit_key(y: &Element, context: &[u8], proof: &KnowledgeProof) -> Result<(), ProofInvalid> {
    if *y == Element::BASE {
        return Err(ProofInvalid);
    }
    verify(&mut possession_transcript(y, context), y, proof)
}

/// A Schnorr proof of knowledge, 64 bytes: announcement R, response z. Any 64 bytes are one until verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnowledgeProof(#[serde(with = "crate::codec::bytes_n")] [u8; 64]);

impl KnowledgeProof {
    /// The proof with these bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> KnowledgeProof {
        KnowledgeProof(bytes)
    }

    /// R, then z.
    pub const fn to_bytes(&self) -> [u8; 64] {
        self.0
    }
}

/// An element encrypted under the audit key: what is sent. 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscrowedItem {
    /// `s*G`
    pub c1: Element,
    /// `P + s*Y`, which the responder evaluates.
    pub c2: Element,
}

/// The items of a request: in serde a list of [`EscrowedItem`], decoded all at once.
///
/// The points of C1 and C2 are decoded once and kept until the items change; a copy has none ([`Elements`]).
#[derive(Default)]
pub struct EscrowedItems {
    items: Vec<EscrowedItem>,
    halves: OnceLock<Halves>,
}

struct Halves {
    c1: Elements,
    c2: Elements,
}

impl EscrowedItems {
    /// C1 of every item.
    pub fn c1(&self) -> &Elements {
        &self.halves().c1
    }

    /// C2 of every item.
    pub fn c2(&self) -> &Elements {
        &self.halves().c2
    }

    /// Drops the points: for items that are kept and not computed with.
    pub fn forget_points(&mut self) {
        self.halves.take();
    }

    fn halves(&self) -> &Halves {
        self.halves.get_or_init(|| {
            let (c1, c2): (Vec<Element>, Vec<Element>) = self.items.iter().map(|item| (item.c1, item.c2)).unzip();
            Halves { c1: c1.into(), c2: c2.into() }
        })
    }

    fn of_halves(c1: Elements, c2: Elements) -> EscrowedItems {
        let items = c1.iter().zip(c2.iter()).map(|(c1, c2)| EscrowedItem { c1: *c1, c2: *c2 }).collect();
        EscrowedItems { items, halves: OnceLock::from(Halves { c1, c2 }) }
    }
}

impl From<Vec<EscrowedItem>> for EscrowedItems {
    fn from(items: Vec<EscrowedItem>) -> EscrowedItems {
        EscrowedItems { items, halves: OnceLock::new() }
    }
}

impl Deref for EscrowedItems {
    type Target = Vec<EscrowedItem>;

    fn deref(&self) -> &Vec<EscrowedItem> {
        &self.items
    }
}

impl DerefMut for EscrowedItems {
    fn deref_mut(&mut self) -> &mut Vec<EscrowedItem> {
        self.forget_points();
        &mut self.items
    }
}

impl<'a> IntoIterator for &'a EscrowedItems {
    type Item = &'a EscrowedItem;
    type IntoIter = std::slice::Iter<'a, EscrowedItem>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl Clone for EscrowedItems {
    fn clone(&self) -> EscrowedItems {
        self.items.clone().into()
    }
}

impl PartialEq for EscrowedItems {
    fn eq(&self, other: &EscrowedItems) -> bool {
        self.items == other.items
    }
}

impl Eq for EscrowedItems {}

impl fmt::Debug for EscrowedItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EscrowedItems({})", self.items.len())
    }
}

impl Serialize for EscrowedItems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EscrowedItems {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EscrowedItems, D::Error> {
        if deserializer.is_human_readable() {
            return Vec::<EscrowedItem>::deserialize(deserializer).map(Into::into);
        }
        let encodings: Vec<[Raw<32>; 2]> = Deserialize::deserialize(deserializer)?;
        let (c1, c2): (Vec<[u8; 32]>, Vec<[u8; 32]>) = encodings.iter().map(|[c1, c2]| (c1.0, c2.0)).unzip();
        let halves: Result<Vec<Elements>, _> = Elements::from_bytes_lists(&[&c1, &c2]).into_iter().collect();
        let [c1, c2] = halves.map_err(D::Error::custom)?.try_into().expect("two lists");
        Ok(EscrowedItems::of_halves(c1, c2))
    }
}

/// The secret `s` of one item; zeroised when dropped.
pub struct EscrowSecret {
    s: SecretScalar,
    c2: Element,
}

impl EscrowSecret {
    /// Gives `s` up, for evidence that its owner exports. With it anyone can unblind what this item was answered.
    pub fn into_evidence(self) -> SecretBytes<32> {
        self.s.to_secret_bytes()
    }

    /// As [`EscrowSecret::into_evidence`], while the owner still unblinds with it.
    pub fn to_evidence(&self) -> SecretBytes<32> {
        self.s.to_secret_bytes()
    }

    /// The secret of `item` that was kept for evidence.
    ///
    /// # Errors
    /// [`ScalarInvalid`] for bytes that are no scalar, or not the `s` of this item's C1.
    pub fn from_evidence(bytes: &SecretBytes<32>, item: &EscrowedItem) -> Result<EscrowSecret, ScalarInvalid> {
        let s = bytes.expose(|bytes| SecretScalar::from_canonical_bytes(*bytes))?;
        let c1 = s.expose(RistrettoPoint::mul_base).compress();
        if c1.as_bytes() != item.c1.as_bytes() {
            return Err(ScalarInvalid);
        }
        Ok(EscrowSecret { s, c2: item.c2 })
    }

    /// Whether `item` is `p` encrypted under `y` with this secret: C1 = s*G and C2 = P + s*Y.
    pub fn escrows(&self, p: &Element, y: &Element, item: &EscrowedItem) -> bool {
        let c1 = self.s.expose(RistrettoPoint::mul_base);
        let c2 = p.point() + self.s.expose(|s| s * y.point());
        c1 == item.c1.point() && c2 == item.c2.point()
    }

    pub(crate) fn s(&self) -> &SecretScalar {
        &self.s
    }

    pub(crate) fn c2(&self) -> &Element {
        &self.c2
    }
}

impl fmt::Debug for EscrowSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EscrowSecret(..)")
    }
}

/// What [`escrow`] gives: the item to send and the secret to keep.
#[derive(Debug)]
pub struct Escrowed {
    /// Kept until the answers are unblinded.
    pub secret: EscrowSecret,
    /// Sent.
    pub item: EscrowedItem,
}

/// Encrypts `p` under the audit key `y` with a fresh `s`: C1 = s*G, C2 = p + s*Y.
pub fn escrow(p: &Element, y: &Element, rng: &mut (impl RngCore + CryptoRng)) -> Escrowed {
    loop {
        let s = SecretScalar::random(rng);
        let c1 = Element::from_point(s.expose(RistrettoPoint::mul_base));
        let c2 = Element::from_point(p.point() + s.expose(|s| s * y.point()));
        if let (Ok(c1), Ok(c2)) = (c1, c2) {
            return Escrowed { secret: EscrowSecret { s, c2 }, item: EscrowedItem { c1, c2 } };
        }
    }
}

/// As [`escrow`] of `HashToGroup` of each input, the dummy element where there is none, many at a time; items and secrets in order.
///
/// # Errors
/// [`OprfError::InputTooLong`]; [`OprfError::IdentityElement`] for an input nobody knows.
pub fn escrow_batch(
    inputs: &[Option<&[u8]>],
    y: &Element,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(EscrowedItems, Vec<EscrowSecret>), OprfError> {
    let kernel = kernel();
    let (base, audit_base) = (Base::of(kernel, &Element::BASE), Base::of(kernel, y));
    let (mut all_c1, mut all_c2, mut all_s) = (Vec::new(), Vec::new(), Vec::with_capacity(inputs.len()));
    let mut points_of_c2 = Vec::new();
    for inputs in inputs.chunks(RUN) {
        let uniform = expand_inputs(kernel, inputs)?;
        // C1 = 2 * (s/2)*G, doubled while it is encoded: s/2 is drawn, which makes s as uniform
        let halves = SecretScalar::random_batch(inputs.len(), rng);
        let secrets: Vec<SecretScalar> = halves.iter().map(SecretScalar::doubled).collect();
        let halves = points::scalar_bytes(halves.iter());
        all_c1.extend(Element::of_computed(&points::multiples(&base, &halves).double_and_encode())?);
        let masks = points::multiples(&audit_base, &points::scalar_bytes(secrets.iter()));
        let c2 = points::map(kernel, &uniform).add(&masks);
        all_c2.extend(Element::of_computed(&c2.encode())?);
        points_of_c2.push(c2);
        all_s.extend(secrets);
    }
    let secrets = all_s.into_iter().zip(&all_c2).map(|(s, c2)| EscrowSecret { s, c2: *c2 }).collect();
    let c2 = Elements::of_points(all_c2, points::joined(points_of_c2));
    Ok((EscrowedItems::of_halves(all_c1.into(), c2), secrets))
}

/// What `HashToGroup` maps of each input, and of the dummy's where there is none.
fn expand_inputs(kernel: Kernel, inputs: &[Option<&[u8]>]) -> Result<Digests, OprfError> {
    let inputs: Vec<&[u8]> = inputs.iter().map(|input| input.unwrap_or(dst::ESCROW_DUMMY.as_bytes())).collect();
    expand_to_group(kernel, &inputs)
}

/// The element `D` of an absent item: `HashToGroup` of a tag that no encoded input equals.
pub fn dummy_element() -> Element {
    static DUMMY: LazyLock<Element> = LazyLock::new(|| {
        input_element(dst::ESCROW_DUMMY.as_bytes()).expect("a short input, not hashing to the identity")
    });
    *DUMMY
}

/// Why the items of a request are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EscrowError {
    /// No item, or not one proof per item.
    #[error("{items} items with {proofs} proofs")]
    CountMismatch {
        /// Items given.
        items: usize,
        /// Proofs given.
        proofs: usize,
    },
    /// A C1 or C2 stands twice in the request.
    #[error("an element repeats within the request")]
    RepeatedElement,
    /// A proof of knowledge does not verify.
    #[error("proof is invalid")]
    ProofInvalid,
}

impl From<ProofInvalid> for EscrowError {
    fn from(_: ProofInvalid) -> EscrowError {
        EscrowError::ProofInvalid
    }
}

/// One proof of knowledge of `s` per item, bound to `binding` (the digest of the whole request) and to its position.
///
/// `secrets` are those of `items`, in the same order.
pub fn prove_knowledge(
    binding: &Digest32,
    items: &[EscrowedItem],
    secrets: &[EscrowSecret],
    y: &Element,
    rng: &mut (impl RngCore + CryptoRng),
) -> Vec<KnowledgeProof> {
    let mut transcripts: Vec<Transcript> =
        (0u64..).zip(items).map(|(index, item)| item_transcript(binding, y, items.len(), index, item)).collect();
    let nonces: Vec<SecretScalar> = transcripts
        .iter()
        .zip(secrets)
        .map(|(transcript, secret)| secret.s.expose(|s| transcript.hedged_nonce(s, rng)))
        .collect();
    // R = r*G of all at once
    let base = Base::of(kernel(), &Element::BASE);
    let announcements = points::multiples(&base, &points::scalar_bytes(nonces.iter())).encode();
    let with_secrets = nonces.iter().zip(&announcements).zip(secrets);
    transcripts
        .iter_mut()
        .zip(with_secrets)
        .map(|(transcript, ((r, R), secret))| secret.s.expose(|s| respond(transcript, r, R, s)))
        .collect()
}

/// Shows that whoever made the request knows the `s` of every item, and that no element repeats in it.
///
/// # Errors
/// [`EscrowError`], the counts first, then repetition, then the proofs.
pub fn verify_knowledge(
    binding: &Digest32,
    items: &[EscrowedItem],
    y: &Element,
    proofs: &[KnowledgeProof],
) -> Result<(), EscrowError> {
    if items.is_empty() || items.len() != proofs.len() {
        return Err(EscrowError::CountMismatch { items: items.len(), proofs: proofs.len() });
    }
    elements_are_distinct(items)?;
    // z*G - c*C1 of all at once, compared with R as encodings
    let (mut z, mut minus_c) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
    for (index, (item, proof)) in (0u64..).zip(items.iter().zip(proofs)) {
        let (R, response) = proof.0.split_at(32);
        z.push(Zeroizing::new(canonical_scalar(response)?.to_bytes()));
        let mut transcript = item_transcript(binding, y, items.len(), index, item);
        transcript.append_message(b"R", R);
        minus_c.push(-transcript.challenge_scalar(b"c"));
    }
    let kernel = kernel();
    let c1 = points::of_elements(kernel, items.iter().map(|item| &item.c1));
    let expected = points::multiples(&Base::of(kernel, &Element::BASE), &z).add(&c1.multiply_each(&minus_c)).encode();
    if expected.iter().zip(proofs).all(|(expected, proof)| proof.0.starts_with(expected)) {
        Ok(())
    } else {
        Err(EscrowError::ProofInvalid)
    }
}

/// One proof of knowledge of `sum w_i*s_i` for many items; the weights come from one transcript over all of them.
///
/// `secrets` are those of `items`, in the same order.
pub fn prove_knowledge_weighted(
    binding: &Digest32,
    items: &[EscrowedItem],
    secrets: &[EscrowSecret],
    y: &Element,
    rng: &mut (impl RngCore + CryptoRng),
) -> KnowledgeProof {
    let mut transcript = weighted_transcript(binding, y, items);
    let weights = transcript.challenge_weights(b"weights", items.len());
    let weighted = weights.iter().zip(secrets);
    let sum: Scalar = weighted.map(|(w, secret)| secret.s.expose(|s| Scalar::from(*w) * s)).sum();
    prove(&mut transcript, &Zeroizing::new(sum), rng)
}

/// Shows by one proof that whoever made the request knows the `s` of every item, and that no element repeats in it.
///
/// # Errors
/// [`EscrowError`], as [`verify_knowledge`].
pub fn verify_knowledge_weighted(
    binding: &Digest32,
    items: &EscrowedItems,
    y: &Element,
    proof: &KnowledgeProof,
) -> Result<(), EscrowError> {
    if items.is_empty() {
        return Err(EscrowError::CountMismatch { items: 0, proofs: 1 });
    }
    elements_are_distinct(items)?;
    let mut transcript = weighted_transcript(binding, y, items);
    let weights = transcript.challenge_weights(b"weights", items.len());
    let [sum] = weighted_sums(&[(items.c1().points(), &weights)]).try_into().expect("one sum");
    verify(&mut transcript, &sum.map_err(|_| EscrowError::ProofInvalid)?, proof)?;
    Ok(())
}

fn elements_are_distinct(items: &[EscrowedItem]) -> Result<(), EscrowError> {
    let mut elements: Vec<&[u8; 32]> = items.iter().flat_map(|item| [item.c1.as_bytes(), item.c2.as_bytes()]).collect();
    elements.sort_unstable();
    if elements.windows(2).all(|pair| pair[0] != pair[1]) { Ok(()) } else { Err(EscrowError::RepeatedElement) }
}

fn possession_transcript(y: &Element, context: &[u8]) -> Transcript {
    let mut transcript = Transcript::begin(dst::AUDIT_KEY_POSSESSION);
    transcript.append_message(b"context", context);
    transcript.append_element(b"Y", y);
    transcript
}

fn request_transcript(dst: Dst, binding: &Digest32, y: &Element) -> Transcript {
    let mut transcript = Transcript::begin(dst);
    transcript.append_message(b"binding", binding.as_bytes());
    transcript.append_element(b"Y", y);
    transcript
}

fn item_transcript(binding: &Digest32, y: &Element, count: usize, index: u64, item: &EscrowedItem) -> Transcript {
    let mut transcript = request_transcript(dst::ESCROW_ITEM, binding, y);
    transcript.append_u64(b"count", count as u64);
    transcript.append_u64(b"index", index);
    transcript.append_element(b"C1", &item.c1);
    transcript.append_element(b"C2", &item.c2);
    transcript
}

fn weighted_transcript(binding: &Digest32, y: &Element, items: &[EscrowedItem]) -> Transcript {
    let (c1, c2): (Vec<_>, Vec<_>) = items.iter().map(|item| (item.c1, item.c2)).unzip();
    let mut transcript = request_transcript(dst::ESCROW_WEIGHTED, binding, y);
    transcript.append_elements(b"C1", &c1);
    transcript.append_elements(b"C2", &c2);
    transcript
}

/// Schnorr: R = r*G, c = challenge(.., R), z = r + c*secret. The transcript holds the statement already.
fn prove(transcript: &mut Transcript, secret: &Scalar, rng: &mut (impl RngCore + CryptoRng)) -> KnowledgeProof {
    let r = transcript.hedged_nonce(secret, rng);
    let R = r.expose(RistrettoPoint::mul_base).compress();
    respond(transcript, &r, R.as_bytes(), secret)
}

fn respond(transcript: &mut Transcript, r: &SecretScalar, R: &[u8; 32], secret: &Scalar) -> KnowledgeProof {
    transcript.append_message(b"R", R);
    let c = transcript.challenge_scalar(b"c");
    let z = r.expose(|r| r + c * secret);
    let mut proof = [0; 64];
    proof[..32].copy_from_slice(R);
    proof[32..].copy_from_slice(z.as_bytes());
    KnowledgeProof(proof)
}

/// z*G - c*public = R, compared as encodings.
fn verify(transcript: &mut Transcript, public: &Element, proof: &KnowledgeProof) -> Result<(), ProofInvalid> {
    let (R, z) = proof.0.split_at(32);
    let z = canonical_scalar(z)?;
    transcript.append_message(b"R", R);
    let c = transcript.challenge_scalar(b"c");
    let expected = RistrettoPoint::vartime_double_scalar_mul_basepoint(&-c, &public.point(), &z);
    if expected.compress().as_bytes() == R { Ok(()) } else { Err(ProofInvalid) }
}

impl AuditKeyPair {
    /// As [`open`](Self::open) of each, many at a time.
    pub fn open_batch(&self, items: &[EscrowedItem]) -> Vec<Option<Element>> {
        let kernel = kernel();
        let mut opened = Vec::with_capacity(items.len());
        for items in items.chunks(RUN) {
            let masks = self.y.expose(|y| points::of_elements(kernel, items.iter().map(|item| &item.c1)).multiply(y));
            let held = points::of_elements(kernel, items.iter().map(|item| &item.c2)).sub(&masks).encode();
            match Element::of_computed(&held) {
                Ok(elements) => opened.extend(elements.into_iter().map(Some)),
                // one of them holds the identity: one by one, it alone holds nothing
                Err(_) => opened.extend(items.iter().map(|item| self.open(item))),
            }
        }
        opened
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn items_opened_together_are_those_opened_alone_though_one_holds_the_identity() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let audit = AuditKeyPair::generate(&mut rng);
        let escrowed = |number: usize| {
            let p = input_element(format!("input {number}").as_bytes()).unwrap();
            escrow(&p, &audit.public(), &mut rng).item
        };
        let mut items: Vec<EscrowedItem> = (0..RUN + 9).map(escrowed).collect();
        let of_identity = EscrowedItem { c1: Element::BASE, c2: audit.public() };
        items[RUN + 3] = of_identity;
        for count in [0, 1, 7, 8, 9, RUN - 1, RUN, RUN + 1, RUN + 9] {
            let alone: Vec<Option<Element>> = items[..count].iter().map(|item| audit.open(item)).collect();
            assert_eq!(audit.open_batch(&items[..count]), alone, "{count} items");
        }
        assert_eq!(audit.open_batch(&[of_identity]), [None]);
    }
}
