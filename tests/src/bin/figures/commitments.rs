//! Commitments: what a record costs more for them, and range proofs, against the `bulletproofs` crate without contexts, seeds and
//! batches around it.

use std::hint::black_box;

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::scalar::Scalar;
use merlin::Transcript;
use rand_chacha::ChaCha20Rng;
use riskveil_crypto::SecretBytes;
use riskveil_crypto::pedersen::{Commitment, Opening};
use riskveil_crypto::range_proof::{self, Bits};
use riskveil_exchange::publish::commitment::{self, Attribute};
use riskveil_exchange::publish::{CommitmentSeed, plan_commitments, verify_chunk, verify_commitments};
use riskveil_exchange::record::Record;

use crate::meter::Table;
use crate::world::{RECORDS, World, rng};

/// Names of the rows of one width and number of values.
struct Names {
    prove: &'static str,
    verify: &'static str,
}

/// The crate alone: the same values, blindings and generators.
struct Plain {
    generators: BulletproofGens,
    bases: PedersenGens,
    bits: usize,
    values: Vec<u64>,
    blindings: Vec<Scalar>,
    proof: RangeProof,
    commitments: Vec<CompressedRistretto>,
}

impl Plain {
    fn new(bits: Bits, openings: &[Opening], rng: &mut ChaCha20Rng) -> Self {
        let (generators, bases) = (BulletproofGens::new(32, 64), PedersenGens::default());
        let blinding =
            |opening: &Opening| opening.blinding_bytes().expose(|bytes| Scalar::from_canonical_bytes(*bytes)).unwrap();
        let values: Vec<u64> = openings.iter().map(Opening::value).collect();
        let blindings: Vec<Scalar> = openings.iter().map(blinding).collect();
        let bits = bits.count();
        let (proof, commitments) = RangeProof::prove_multiple_with_rng(
            &generators,
            &bases,
            &mut Transcript::new(b"plain"),
            &values,
            &blindings,
            bits,
            rng,
        )
        .unwrap();
        let ours: Vec<[u8; 32]> = openings.iter().map(|opening| *opening.commit().as_bytes()).collect();
        assert!(commitments.iter().map(|commitment| commitment.0).eq(ours), "the same commitments");
        Self { generators, bases, bits, values, blindings, proof, commitments }
    }

    fn prove(&self, rng: &mut ChaCha20Rng) {
        let Self { generators, bases, bits, values, blindings, .. } = self;
        let mut transcript = Transcript::new(b"plain");
        black_box(RangeProof::prove_multiple_with_rng(
            generators,
            bases,
            &mut transcript,
            values,
            blindings,
            *bits,
            rng,
        ))
        .unwrap();
    }

    fn verify(&self, rng: &mut ChaCha20Rng) {
        let Self { generators, bases, bits, proof, commitments, .. } = self;
        let mut transcript = Transcript::new(b"plain");
        proof.verify_multiple_with_rng(generators, bases, &mut transcript, commitments, *bits, rng).unwrap();
    }
}

/// Commitments and range proofs, per value and second of one core.
pub(crate) fn measure(table: &mut Table, world: &World) {
    let (key, records, max) = (&world.publishers[0].key, &world.records, world.policy.max_rows_per_tx);
    let mut rng = rng(7);
    let seeds: Vec<CommitmentSeed> = records.iter().map(|_| CommitmentSeed::random(&mut rng)).collect();

    table.section("commit to 2,000 records");
    table.time("record -> commitment, leaf, link (in every row)", "record", RECORDS, || {
        for (record, seed) in records.iter().zip(&seeds) {
            let leaf = seed.open(record).commitment().leaf();
            black_box(commitment::link(key, &leaf, &seed.rho(key.period, key.key_serial)));
        }
    });
    let open = |record: &Record, seed: &CommitmentSeed| seed.open(record);
    let openings: Vec<_> = records.iter().zip(&seeds).map(|(record, seed)| open(record, seed)).collect();
    let padding_seed = SecretBytes::random(&mut rng);
    let batch = plan_commitments(openings, &padding_seed, max).unwrap().remove(0);
    let proof = batch.prove_chunk(&key.chain_id, &key.publisher, 0, &mut rng).unwrap();
    // every chunk carries the proof of the first one: those who vote do not look at proofs
    let payload = batch.payload(&vec![proof; batch.chunk_count()]).unwrap();
    let root = batch.root();
    table.time("validator: verify_commitments", "commitment", batch.count() as usize, || {
        black_box(verify_commitments(&payload, batch.count(), &root, max)).unwrap();
    });
    table.size("payload with padding and proofs", "record", RECORDS, payload.len(), None);

    table.section("range proofs");
    let days: Vec<Opening> = first_chunk(records, &seeds, Attribute::Days);
    let amounts: Vec<Opening> = first_chunk(records, &seeds, Attribute::Amount);
    let cases = [
        (Bits::Sixteen, &days[..1], Names { prove: "prove 16 bits, m = 1", verify: "verify 16 bits, m = 1" }),
        (Bits::ThirtyTwo, &amounts[..1], Names { prove: "prove 32 bits, m = 1", verify: "verify 32 bits, m = 1" }),
        (Bits::Sixteen, &days[..], Names { prove: "prove 16 bits, m = 64", verify: "verify 16 bits, m = 64" }),
        (Bits::ThirtyTwo, &amounts[..], Names { prove: "prove 32 bits, m = 64", verify: "verify 32 bits, m = 64" }),
    ];
    for (bits, openings, names) in cases {
        measure_proofs(table, bits, openings, &names, &mut rng);
    }
    table.time("both proofs of a chunk of 64: prove", "record", 64, || {
        black_box(batch.prove_chunk(&key.chain_id, &key.publisher, 0, &mut rng)).unwrap();
    });
    table.time("both proofs of a chunk of 64: verify", "record", 64, || {
        verify_chunk(&key.chain_id, &key.publisher, &payload, batch.count(), 0).unwrap();
    });
}

fn first_chunk(records: &[Record], seeds: &[CommitmentSeed], attribute: Attribute) -> Vec<Opening> {
    records.iter().zip(seeds).take(64).map(|(record, seed)| seed.open(record).of(attribute).clone()).collect()
}

fn measure_proofs(table: &mut Table, bits: Bits, openings: &[Opening], names: &Names, rng: &mut ChaCha20Rng) {
    let plain = Plain::new(bits, openings, rng);
    let mut plain_rng = rng.clone();
    let values = openings.len();
    table.time_against(
        names.prove,
        "value",
        values,
        || drop(black_box(range_proof::prove(bits, openings, b"figures", rng).unwrap())),
        "bulletproofs alone",
        || plain.prove(&mut plain_rng),
    );
    let commitments: Vec<Commitment> = openings.iter().map(Opening::commit).collect();
    let proof = range_proof::prove(bits, openings, b"figures", rng).unwrap();
    table.time_against(
        names.verify,
        "value",
        values,
        || range_proof::verify(bits, &commitments, b"figures", &proof).unwrap(),
        "bulletproofs alone",
        || plain.verify(&mut plain_rng),
    );
    table.size("that proof", "proof", 1, proof.len(), Some(("bulletproofs alone", plain.proof.to_bytes().len())));
}
