//! The fixed proofs of the `bulletproofs` crate: what was proven years ago verifies, and nothing next to it.

use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use merlin::Transcript;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::SecretScalar;
use riskveil_crypto::pedersen::{Opening, verify_opening};
use serde_json::Value;

use super::support::{array, bytes, json, list};

#[test]
fn the_fixed_range_proofs_verify_and_their_neighbours_do_not() {
    let file = json("bulletproofs_rangeproof_v1.json");
    let label: &'static [u8] = b"Deserialize-And-Verify Test";
    assert_eq!(file["transcript_label_ascii"].as_str().map(str::as_bytes), Some(label));
    let (bases, generators) = (PedersenGens::default(), BulletproofGens::new(64, 8));
    let commitments: Vec<CompressedRistretto> =
        list(&file["value_commitments"]).iter().map(|value| CompressedRistretto(array(value))).collect();
    let proofs = list(&file["proofs"]);
    assert_eq!(proofs.len(), 16);
    for case in proofs {
        let number = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
        let (n, m) = (number("n_bits"), number("m_aggregated"));
        let good = bytes(&case["proof"]);
        let verifies = |proof: &[u8], values: &[CompressedRistretto]| {
            let rng = &mut ChaCha20Rng::from_seed([1; 32]);
            RangeProof::from_bytes(proof).is_ok_and(|proof| {
                proof.verify_multiple_with_rng(&generators, &bases, &mut Transcript::new(label), values, n, rng).is_ok()
            })
        };
        assert!(verifies(&good, &commitments[..m]), "n {n}, m {m}");
        for at in [0, 129, good.len() / 2, good.len() - 2] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!verifies(&bad, &commitments[..m]), "n {n}, m {m}, byte {at}");
        }
        let mut others = commitments[..m].to_vec();
        others[m - 1] = (others[m - 1].decompress().unwrap() + bases.B).compress();
        assert!(!verifies(&good, &others), "n {n}, m {m}, another value");
    }
}

#[test]
fn commitments_are_on_the_fixed_bases() {
    let file = json("bulletproofs_rangeproof_v1.json");
    let point = |value: &Value| CompressedRistretto(array(value)).decompress().unwrap();
    let (B, B_blinding) = (point(&file["pedersen_B"]), point(&file["pedersen_B_blinding"]));
    let mut blinding = [0; 32];
    for (value, r) in [(0u64, 1u8), (1, 1), (8, 3), (u64::from(u32::MAX), 200)] {
        blinding[0] = r;
        let opening = Opening::new(value, SecretScalar::from_canonical_bytes(blinding).unwrap());
        let expected: RistrettoPoint =
            B * curve25519_dalek::Scalar::from(value) + B_blinding * curve25519_dalek::Scalar::from(r);
        assert_eq!(*opening.commit().as_bytes(), expected.compress().0);
        verify_opening(&opening.commit(), value, &blinding).unwrap();
        verify_opening(&opening.commit(), value ^ 1, &blinding).unwrap_err();
    }
}
