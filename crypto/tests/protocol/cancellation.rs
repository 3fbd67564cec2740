//! Why the protocol does not weigh a batch as RFC 9497 does: a responder looks for errors that cancel.
//!
//! The group is Z_q, q = 2^61 - 1, G = 1, so that the search takes well under a second; the structure of the hashes is that
//! of the two proofs. The responder answers `Z_i = k*C_i + e_i*T` with every `e_i` nonzero, and the single-pair proof passes
//! exactly if `sum w_i*e_i = 0`. With weights of one pair each that is a k-list generalised-birthday problem (Wagner 2002).

use std::{fs, path::Path};

use merlin::Transcript;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sha2::{Digest, Sha512};

const Q: u64 = (1 << 61) - 1;
/// Levels of the tree: 32 items.
const LEVELS: u32 = 5;
const ITEMS: usize = 1 << LEVELS;
/// Errors tried per item: 2^(61/6 + 1.2).
const LIST: u64 = 2_650;

/// A responder with its key, the items it was sent, and the error it spreads.
struct Batch {
    k: u64,
    t: u64,
    c: Vec<u64>,
}

impl Batch {
    fn answers(&self, errors: &[u64]) -> Vec<u64> {
        let honest = self.c.iter().map(|c| mul(self.k, *c));
        honest.zip(errors).map(|(z, e)| add(z, mul(*e, self.t))).collect()
    }

    /// What the single-pair proof shows: `sum w_i*Z_i = k * sum w_i*C_i`.
    fn composite_holds(&self, weights: &[u64], z: &[u64]) -> bool {
        let sum = |v: &[u64]| weights.iter().zip(v).fold(0, |sum, (w, v)| add(sum, mul(*w, *v)));
        sum(z) == mul(self.k, sum(&self.c))
    }

    /// RFC 9497 `ComputeComposites`: each weight from its own pair.
    fn pair_weight(&self, i: usize, z: u64) -> u64 {
        let hash = Sha512::new()
            .chain_update(b"Seed-toy")
            .chain_update(self.k.to_be_bytes()) // stands for K
            .chain_update((i as u16).to_be_bytes())
            .chain_update(self.c[i].to_be_bytes())
            .chain_update(z.to_be_bytes())
            .chain_update(b"Composite")
            .finalize();
        reduce(hash[..16].try_into().unwrap())
    }

    fn pair_weights(&self, z: &[u64]) -> Vec<u64> {
        z.iter().enumerate().map(|(i, z)| self.pair_weight(i, *z)).collect()
    }

    /// Ours: all weights from one transcript over every C and every Z.
    fn transcript_weights(&self, z: &[u64]) -> Vec<u64> {
        let bytes = |v: &[u64]| v.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<u8>>();
        let mut transcript = Transcript::new(b"riskveil/v1/crypto/evaluation");
        transcript.append_message(b"K", &self.k.to_be_bytes());
        transcript.append_u64(b"count", self.c.len() as u64);
        transcript.append_message(b"C2", &bytes(&self.c));
        transcript.append_u64(b"count", z.len() as u64);
        transcript.append_message(b"Z", &bytes(z));
        let mut weights = vec![[0u8; 16]; z.len()];
        transcript.challenge_bytes(b"weights", weights.as_flattened_mut());
        weights.into_iter().map(reduce).collect()
    }

    /// Nonzero errors with `sum w_i(e_i)*e_i = 0`, where `weight` gives the weight of item i if its error is e.
    fn search(&self, weight: impl Fn(usize, u64) -> u64) -> Option<Vec<u64>> {
        let mut lists: Vec<Vec<(u64, Vec<u64>)>> =
            (0..ITEMS).map(|i| (1..=LIST).map(|e| (mul(weight(i, e), e), vec![e])).collect()).collect();
        for level in 1..=LEVELS {
            // Each level clears a sixth of the 61 bits; the last asks for zero.
            let bound = if level == LEVELS { 0 } else { (Q / 2) >> (61 * level / (LEVELS + 1)) };
            lists = lists.chunks(2).map(|pair| merge(&pair[0], &pair[1], bound, 4 * LIST as usize)).collect();
        }
        let mut candidates = lists.swap_remove(0).into_iter();
        candidates.find(|(sum, _)| *sum == 0).map(|(_, errors)| errors)
    }
}

#[test]
fn per_pair_weights_let_a_forged_batch_through_and_whole_transcript_weights_do_not() {
    let mut rng = ChaCha20Rng::from_seed([41; 32]);
    let mut forged = 0;
    for _ in 0..8 {
        let batch = Batch {
            k: rng.gen_range(1..Q),
            t: rng.gen_range(1..Q),
            c: (0..ITEMS).map(|_| rng.gen_range(1..Q)).collect(),
        };
        // The search evaluates each weight alone, which is what the RFC's weights allow.
        let honest = batch.answers(&[0; ITEMS]);
        let answer = |i: usize, e: u64| add(honest[i], mul(e, batch.t));
        let Some(errors) = batch.search(|i, e| batch.pair_weight(i, answer(i, e))) else {
            continue;
        };
        forged += 1;
        let z = batch.answers(&errors);
        assert!(z.iter().zip(&honest).all(|(z, honest)| z != honest), "no answer is honest");
        assert!(batch.composite_holds(&batch.pair_weights(&z), &z), "and yet the RFC's batch verifies");
        assert!(!batch.composite_holds(&batch.transcript_weights(&z), &z));

        // Against whole-transcript weights the same search can only fix the weights first: its answers then change them.
        let fixed = batch.transcript_weights(&honest);
        let Some(errors) = batch.search(|i, _| fixed[i]) else {
            continue;
        };
        let z = batch.answers(&errors);
        assert!(batch.composite_holds(&fixed, &z), "the errors cancel under the weights searched with");
        assert!(!batch.composite_holds(&batch.transcript_weights(&z), &z));
    }
    println!("forged batches of {ITEMS} items: {forged} of 8 under per-pair weights, 0 under ours");
    assert!(forged > 0, "the search must find what it is here to show");
    // Honest answers pass under both.
    let batch = Batch { k: 5, t: 7, c: (1..=ITEMS as u64).collect() };
    let z = batch.answers(&[0; ITEMS]);
    assert!(batch.composite_holds(&batch.pair_weights(&z), &z));
    assert!(batch.composite_holds(&batch.transcript_weights(&z), &z));
}

#[test]
fn nothing_of_the_protocol_reaches_the_batch_of_the_rfc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders: Vec<_> =
        ["crypto", "exchange", "chain", "participant-agent"].map(|room| root.join(room).join("src")).into();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(source) = fs::read_to_string(&path) else {
                continue; // an embedded picture of the console
            };
            let code = source.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            let uses: Vec<&str> = code.filter(|line| line.contains("rfc9497")).collect();
            let declares = path.ends_with("crypto/src/oprf/mod.rs") && uses == ["pub mod rfc9497;"];
            assert!(uses.is_empty() || declares, "{}: {uses:?}", path.display());
            files += 1;
        }
    }
    assert!(files > 20);
}

/// Sums of one entry of each list that lie within `bound` of zero, at most `limit`.
fn merge(left: &[(u64, Vec<u64>)], right: &[(u64, Vec<u64>)], bound: u64, limit: usize) -> Vec<(u64, Vec<u64>)> {
    let mut left: Vec<(i64, &Vec<u64>)> = left.iter().map(|(v, e)| (centred(*v), e)).collect();
    let mut right: Vec<(i64, &Vec<u64>)> = right.iter().map(|(v, e)| (-centred(*v), e)).collect();
    left.sort_unstable();
    right.sort_unstable();
    let (mut out, mut start) = (Vec::new(), 0);
    for (value, errors) in left {
        while start < right.len() && right[start].0 < value - bound as i64 {
            start += 1;
        }
        let near = right[start..].iter().take_while(|(other, _)| *other <= value + bound as i64);
        for (other, other_errors) in near {
            let sum = (value - other).rem_euclid(Q as i64) as u64;
            out.push((sum, [errors.as_slice(), other_errors].concat()));
            if out.len() > limit {
                return out;
            }
        }
    }
    out
}

fn centred(v: u64) -> i64 {
    if v <= Q / 2 { v as i64 } else { v as i64 - Q as i64 }
}

fn add(a: u64, b: u64) -> u64 {
    (a + b) % Q
}

fn mul(a: u64, b: u64) -> u64 {
    (u128::from(a) * u128::from(b) % u128::from(Q)) as u64
}

fn reduce(bytes: [u8; 16]) -> u64 {
    (u128::from_le_bytes(bytes) % u128::from(Q)) as u64
}
