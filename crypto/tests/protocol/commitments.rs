//! Commitments open to one value; range proofs hold for exactly what they were made for.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::SecretScalar;
use riskveil_crypto::pedersen::{Commitment, Opening, verify_opening};
use riskveil_crypto::range_proof::{
    AGGREGATED, Bits, RangeProofError, proof_len, prove, prove_between, verify, verify_between,
};

const CONTEXT: &[u8] = b"chain, publisher, attribute";

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn openings(values: &[u64]) -> Vec<Opening> {
    let rng = &mut rng(7);
    values.iter().map(|value| Opening::new(*value, SecretScalar::random(rng))).collect()
}

fn commit(openings: &[Opening]) -> Vec<Commitment> {
    openings.iter().map(Opening::commit).collect()
}

#[test]
fn an_opening_opens_its_own_commitment_to_its_own_value_only() {
    let [one, other] = &openings(&[12, 12])[..] else { unreachable!() };
    let blinding = one.blinding_bytes().expose(|bytes| *bytes);
    verify_opening(&one.commit(), 12, &blinding).unwrap();
    verify_opening(&one.commit(), 13, &blinding).unwrap_err();
    verify_opening(&other.commit(), 12, &blinding).unwrap_err();
    // l and above: the same scalar, another encoding
    let mut beyond = blinding;
    beyond[31] |= 0xf0;
    verify_opening(&one.commit(), 12, &beyond).unwrap_err();
    assert_eq!(format!("{one:?}"), "Opening(..)");
}

#[test]
fn proofs_hold_for_their_commitments_context_and_width_only() {
    for (bits, m) in [(Bits::Sixteen, 1), (Bits::Sixteen, 4), (Bits::ThirtyTwo, 2)] {
        let values: Vec<u64> = (0..m).map(|i| bits.max() - i * 17).collect();
        let openings = openings(&values);
        let (commitments, m) = (commit(&openings), openings.len());
        let proof = prove(bits, &openings, CONTEXT, &mut rng(1)).unwrap();
        assert_eq!(proof.len(), proof_len(bits, m));
        verify(bits, &commitments, CONTEXT, &proof).unwrap();
        verify(bits, &commitments, b"another", &proof).unwrap_err();
        let other = if bits == Bits::Sixteen { Bits::ThirtyTwo } else { Bits::Sixteen };
        verify(other, &commitments, CONTEXT, &proof).unwrap_err();
        verify(bits, &commitments[1..], CONTEXT, &proof).unwrap_err();
        let mut swapped = commitments.clone();
        swapped[0] = Opening::new(5, SecretScalar::random(&mut rng(9))).commit();
        verify(bits, &swapped, CONTEXT, &proof).unwrap_err();
        swapped[0] = Commitment::from_bytes([0xff; 32]);
        verify(bits, &swapped, CONTEXT, &proof).unwrap_err();
        for at in 0..proof.len() {
            let mut bad = proof.clone();
            bad[at] ^= 0x10;
            verify(bits, &commitments, CONTEXT, &bad).unwrap_err();
        }
        verify(bits, &commitments, CONTEXT, &proof[..proof.len() - 32]).unwrap_err();
        verify(bits, &commitments, CONTEXT, &[]).unwrap_err();
    }
}

#[test]
fn lengths_of_a_full_chunk_are_the_documented_ones() {
    assert_eq!((proof_len(Bits::Sixteen, AGGREGATED), proof_len(Bits::ThirtyTwo, AGGREGATED)), (928, 992));
    assert_eq!(proof_len(Bits::Sixteen, 0), 0);
}

#[test]
fn what_is_out_of_range_cannot_be_proven() {
    let out = openings(&[u64::from(u16::MAX) + 1]);
    assert_eq!(prove(Bits::Sixteen, &out, CONTEXT, &mut rng(2)), Err(RangeProofError::OutOfRange));
    let three = openings(&[1, 2, 3]);
    assert_eq!(prove(Bits::Sixteen, &three, CONTEXT, &mut rng(2)), Err(RangeProofError::Count));
    assert_eq!(prove(Bits::Sixteen, &[], CONTEXT, &mut rng(2)), Err(RangeProofError::Count));
    // a prover of another program proves the low bits of a larger value: its commitment is another
    let low = [Opening::new(0, out[0].blinding_bytes().expose(|b| SecretScalar::from_canonical_bytes(*b)).unwrap())];
    let proof = prove(Bits::Sixteen, &low, CONTEXT, &mut rng(2)).unwrap();
    verify(Bits::Sixteen, &commit(&low), CONTEXT, &proof).unwrap();
    verify(Bits::Sixteen, &commit(&out), CONTEXT, &proof).unwrap_err();
}

#[test]
fn between_proofs_hold_for_their_bounds_only() {
    let opening = &openings(&[250_000])[0];
    let commitment = opening.commit();
    let bits = Bits::ThirtyTwo;
    for (lo, hi) in [(0, bits.max()), (250_000, 250_000), (100_000, 300_000)] {
        let proof = prove_between(bits, opening, lo, hi, CONTEXT, &mut rng(3)).unwrap();
        verify_between(bits, &commitment, lo, hi, CONTEXT, &proof).unwrap();
        verify_between(bits, &commitment, lo, hi, b"another", &proof).unwrap_err();
        verify_between(bits, &commitment, lo.saturating_sub(1), hi.saturating_sub(1), CONTEXT, &proof).unwrap_err();
        verify_between(bits, &commitment, lo + 1, hi, CONTEXT, &proof).unwrap_err();
        verify_between(bits, &openings(&[1, 250_000])[1].commit(), lo, hi, CONTEXT, &proof).unwrap_err();
    }
    for (lo, hi) in [(250_001, 300_000), (0, 249_999), (300_000, 100_000), (0, 1 << 32)] {
        let refused = prove_between(bits, opening, lo, hi, CONTEXT, &mut rng(3));
        assert_eq!(refused, Err(RangeProofError::OutOfRange), "{lo}..={hi}");
    }
    let proof = prove_between(bits, opening, 0, 300_000, CONTEXT, &mut rng(3)).unwrap();
    verify_between(bits, &commitment, 300_000, 0, CONTEXT, &proof).unwrap_err();
    verify_between(bits, &commitment, 0, 1 << 32, CONTEXT, &proof).unwrap_err();
    verify_between(bits, &Commitment::from_bytes([0xff; 32]), 0, 300_000, CONTEXT, &proof).unwrap_err();
    // an in-range proof is not a between proof
    verify(bits, &[commitment, commitment], CONTEXT, &proof).unwrap_err();
}
