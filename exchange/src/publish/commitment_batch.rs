//! Packs commitments into batches in an order that tells nothing, and proves their ranges chunk by chunk.
//!
//! - **Place**: A4, `[CommitmentOpening]` -> [`CommitmentPlan`] -> chunk proofs -> payload of `PublishCommitments`; A7
//!   [`verify_commitments`] before a vote; [`verify_chunk`] by every member in the background
//! - **Shapes**: a batch has 64 * 2^k commitments; its payload is `count` times 96 bytes, then for each chunk of 64 the proof of the
//!   days (928 bytes) and of the amounts (992 bytes)
//! - **Invariants**: leaves strictly ascend within a batch and over the batches of a plan: a leaf is random to whoever lacks the
//!   record, so this order is a shuffle that anyone can check
//! - **Errors**: [`PublishError`] (form), [`RangeProofInvalid`] (names the chunk and the attribute); both the publisher's fault
//! - **Security**: padding commits to (0, 0) and looks like a record. Leaks to all members: publisher, padded size, time. A false
//!   value in range is not caught here: it is what disclosure compares with
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/ledger.md#publish-commitments

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::pedersen::{Commitment, Opening};
use riskveil_crypto::range_proof::{self, AGGREGATED, Bits, RangeProofError, proof_len};
use riskveil_crypto::{Digest32, SecretBytes, codec, merkle};

use crate::dst;
use crate::ids::MemberId;
use crate::publish::batch::{MAX_PLAN_ROWS, bucket};
use crate::publish::commitment::{
    Attribute, COMMITMENT_LEN, CommitmentOpening, CommitmentSeed, RecordCommitment, commit_batch,
};
use crate::publish::error::PublishError;

/// Commitments under one pair of range proofs.
pub const CHUNK: usize = AGGREGATED;
const DAYS_PROOF_LEN: usize = proof_len(Bits::Sixteen, CHUNK);
const AMOUNT_PROOF_LEN: usize = proof_len(Bits::ThirtyTwo, CHUNK);
/// Bytes of the two proofs of a chunk.
pub const CHUNK_PROOF_LEN: usize = DAYS_PROOF_LEN + AMOUNT_PROOF_LEN;

/// A range proof of a published batch does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the range proof of the {} of chunk {chunk} does not hold", attribute.as_str())]
pub struct RangeProofInvalid {
    /// From 0.
    pub chunk: usize,
    /// Which of the two.
    pub attribute: Attribute,
}

/// The two proofs of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkProof(Vec<u8>);

impl ChunkProof {
    /// The proofs with these bytes, from the journal; `None` if the length is another.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == CHUNK_PROOF_LEN).then_some(Self(bytes))
    }

    /// Days, then amounts: 1,920 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A sorted, padded batch of commitments whose ranges are to be proven.
#[derive(Clone, Debug)]
pub struct UnprovenBatch {
    /// Ascending by leaf; a bucket of them.
    commitments: Vec<(RecordCommitment, CommitmentOpening)>,
}

/// Sorts commitments by leaf, fills them up with padding and cuts them into batches of `max` and one last bucket.
///
/// Padding commitment i has the seed `CommitmentSeed::of_padding(padding_seed, i)`; a padding seed is used for one plan only.
/// Making a commitment costs some microseconds.
///
/// # Errors
/// `NotABucket` when `max` is no bucket size, `TooManyRows`, `DuplicateTag` when two leaves are equal.
pub fn plan_commitments(
    openings: Vec<CommitmentOpening>,
    padding_seed: &SecretBytes<32>,
    max: u32,
) -> Result<Vec<UnprovenBatch>, PublishError> {
    if max != bucket(max) {
        return Err(PublishError::NotABucket { count: max, max });
    }
    let too_many = PublishError::TooManyRows { max: MAX_PLAN_ROWS };
    let count = u32::try_from(openings.len()).map_err(|_| too_many)?;
    let (full, rest) = (count / max, count % max);
    let last = if rest > 0 || full == 0 { bucket(rest) } else { 0 };
    let padding = if last == 0 { 0 } else { last - rest };
    if u64::from(count) + u64::from(padding) > MAX_PLAN_ROWS {
        return Err(too_many);
    }
    let padding = (0..padding).map(|index| CommitmentSeed::of_padding(padding_seed, index).open_padding());
    let openings: Vec<CommitmentOpening> = openings.into_iter().chain(padding).collect();
    let mut sorted: Vec<(Digest32, RecordCommitment, CommitmentOpening)> = commit_batch(&openings)
        .into_iter()
        .zip(openings)
        .map(|(commitment, opening)| (commitment.leaf(), commitment, opening))
        .collect();
    sorted.sort_unstable_by_key(|(leaf, ..)| *leaf);
    if sorted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(PublishError::DuplicateTag);
    }
    let mut sorted = sorted.into_iter().map(|(_, commitment, opening)| (commitment, opening));
    let mut batches = Vec::new();
    loop {
        let commitments: Vec<_> = sorted.by_ref().take(max as usize).collect();
        if commitments.is_empty() {
            return Ok(batches);
        }
        batches.push(UnprovenBatch { commitments });
    }
}

impl UnprovenBatch {
    /// Commitments, padding included.
    #[must_use]
    pub fn count(&self) -> u32 {
        // plan_commitments cuts at a u32
        u32::try_from(self.commitments.len()).unwrap_or(u32::MAX)
    }

    /// Chunks of 64.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.commitments.len() / CHUNK
    }

    /// The commitments, ascending by leaf.
    pub fn commitments(&self) -> impl ExactSizeIterator<Item = &RecordCommitment> {
        self.commitments.iter().map(|(commitment, _)| commitment)
    }

    /// The RFC 9162 root over the leaves.
    #[must_use]
    pub fn root(&self) -> Digest32 {
        root_of(&self.commitments().map(RecordCommitment::leaf).collect::<Vec<_>>())
    }

    /// Proves the ranges of one chunk: about 0.4 s on one core.
    ///
    /// # Errors
    /// [`RangeProofError`] for a chunk the batch does not have; an opening of this room is always in range.
    pub fn prove_chunk(
        &self,
        chain_id: &Digest32,
        publisher: &MemberId,
        chunk: usize,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<ChunkProof, RangeProofError> {
        let members = self.commitments.chunks_exact(CHUNK).nth(chunk).ok_or(RangeProofError::Count)?;
        let mut bytes = Vec::with_capacity(CHUNK_PROOF_LEN);
        for attribute in Attribute::ALL {
            let openings: Vec<Opening> = members.iter().map(|(_, opening)| opening.of(attribute).clone()).collect();
            let context = proof_context(chain_id, publisher, attribute);
            bytes.append(&mut range_proof::prove(attribute.bits(), &openings, &context, rng)?);
        }
        Ok(ChunkProof(bytes))
    }

    /// The payload; `None` unless there is a proof for each chunk.
    #[must_use]
    pub fn payload(&self, proofs: &[ChunkProof]) -> Option<Vec<u8>> {
        if proofs.len() != self.chunk_count() {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.commitments.len() * COMMITMENT_LEN + proofs.len() * CHUNK_PROOF_LEN);
        bytes.extend(self.commitments().flat_map(RecordCommitment::to_bytes));
        bytes.extend(proofs.iter().flat_map(ChunkProof::as_bytes));
        Some(bytes)
    }
}

/// Bytes of a payload of `count` commitments, a multiple of 64.
#[must_use]
pub const fn payload_len(count: u32) -> u64 {
    let count = count as u64;
    count * COMMITMENT_LEN as u64 + count / CHUNK as u64 * CHUNK_PROOF_LEN as u64
}

/// What every validator checks before it votes: count, length, order, root; returns the leaves, ascending. Proofs are not verified.
///
/// # Errors
/// The first rule that does not hold: `NotABucket`, `Length`, `NotAscending`, `RootMismatch`.
pub fn verify_commitments(bytes: &[u8], count: u32, root: &Digest32, max: u32) -> Result<Vec<Digest32>, PublishError> {
    if count != bucket(count) || count > max {
        return Err(PublishError::NotABucket { count, max });
    }
    let (expected, got) = (payload_len(count), bytes.len() as u64);
    if got != expected {
        return Err(PublishError::Length { expected, got });
    }
    let leaves = leaves(bytes, count);
    if let Some(at) = leaves.windows(2).position(|pair| pair[0] >= pair[1]) {
        return Err(PublishError::NotAscending { position: u32::try_from(at + 1).unwrap_or(u32::MAX) });
    }
    if root_of(&leaves) == *root { Ok(leaves) } else { Err(PublishError::RootMismatch) }
}

/// The leaves of a payload that [`verify_commitments`] accepted, ascending.
#[must_use]
pub fn leaves(bytes: &[u8], count: u32) -> Vec<Digest32> {
    commitments(bytes, count).map(|commitment| commitment.leaf()).collect()
}

/// Verifies the two range proofs of one chunk of a payload that [`verify_commitments`] accepted: about 36 ms on one core.
///
/// # Errors
/// [`RangeProofInvalid`]; for a chunk the payload does not have, too.
pub fn verify_chunk(
    chain_id: &Digest32,
    publisher: &MemberId,
    bytes: &[u8],
    count: u32,
    chunk: usize,
) -> Result<(), RangeProofInvalid> {
    let members: Vec<RecordCommitment> = commitments(bytes, count).skip(chunk * CHUNK).take(CHUNK).collect();
    let proofs = bytes.get(count as usize * COMMITMENT_LEN..).unwrap_or_default();
    let proof = proofs.chunks_exact(CHUNK_PROOF_LEN).nth(chunk).unwrap_or_default();
    let (days, amounts) = proof.split_at(proof.len().min(DAYS_PROOF_LEN));
    for (attribute, proof) in Attribute::ALL.into_iter().zip([days, amounts]) {
        let values: Vec<Commitment> = members.iter().map(|commitment| *commitment.of(attribute)).collect();
        let context = proof_context(chain_id, publisher, attribute);
        range_proof::verify(attribute.bits(), &values, &context, proof)
            .map_err(|_| RangeProofInvalid { chunk, attribute })?;
    }
    Ok(())
}

/// Commitment `index` of a payload.
#[must_use]
pub fn commitment_at(bytes: &[u8], count: u32, index: u32) -> Option<RecordCommitment> {
    commitments(bytes, count).nth(usize::try_from(index).ok()?)
}

fn commitments(bytes: &[u8], count: u32) -> impl Iterator<Item = RecordCommitment> {
    let (all, _) = bytes.as_chunks::<COMMITMENT_LEN>();
    all.iter().take(count as usize).map(RecordCommitment::from_bytes)
}

fn root_of(leaves: &[Digest32]) -> Digest32 {
    let hashes: Vec<Digest32> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf.as_bytes())).collect();
    merkle::root_of_hashes(&hashes)
}

/// A proof is of one chain, publisher and attribute, and of exactly its commitments.
fn proof_context(chain_id: &Digest32, publisher: &MemberId, attribute: Attribute) -> Vec<u8> {
    codec::encode(&(dst::COMMITMENT_PROOF.as_str(), chain_id, publisher, attribute.as_str()))
}
