//! The kernel against dalek and sha2, at the edges of its limbs and groups, and on random inputs.

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    scalar::Scalar,
    traits::{Identity, IsIdentity},
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha512};

use super::{
    bucket_sum,
    edwards::{self, Extended},
    field::{Field, Wide},
    fixed_base::{FULL, FixedBase, SMALL},
    ristretto, sha512,
    simd::{Avx512, U64x8, transpose},
};

/// The processor's proof; none prints why nothing is tested.
fn lanes() -> Option<Avx512> {
    let proof = Avx512::detect();
    if proof.is_none() {
        println!("this processor has no AVX-512 IFMA: the portable kernel computes, and is the one these compare with");
    }
    proof
}

fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn scalar(rng: &mut ChaCha20Rng) -> Scalar {
    Scalar::random(rng)
}

fn edge_scalars() -> Vec<Scalar> {
    let small = [0u64, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 1 << 33, u64::MAX];
    let mut edges: Vec<Scalar> = small.iter().flat_map(|k| [Scalar::from(*k), -Scalar::from(*k)]).collect();
    // every digit at its ends: 8 and 7 of radix 16
    edges.push(Scalar::from_bytes_mod_order([0x88; 32]));
    edges.push(Scalar::from_bytes_mod_order([0x77; 32]));
    edges.push(
        Scalar::from_canonical_bytes({
            let mut bytes = [0x88; 32];
            bytes[31] = 0x08;
            bytes
        })
        .unwrap(),
    );
    edges
}

fn uniform(rng: &mut ChaCha20Rng) -> [u8; 64] {
    let mut bytes = [0; 64];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// p, as four words.
const P: [u64; 4] = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];

/// Arithmetic modulo p on four words, the slow way.
mod slow {
    use super::P;

    pub(super) fn reduce(wide: [u64; 8]) -> [u64; 4] {
        // bit by bit from the top: r = 2r + bit mod p
        let mut r = [0u64; 4];
        for bit in (0..512).rev() {
            let carry = r[3] >> 63;
            for i in (1..4).rev() {
                r[i] = r[i] << 1 | r[i - 1] >> 63;
            }
            r[0] = r[0] << 1 | (wide[bit / 64] >> (bit % 64) & 1);
            if carry == 1 || !below_p(&r) {
                r = sub_p(&r);
            }
        }
        r
    }

    fn below_p(r: &[u64; 4]) -> bool {
        r.iter().rev().lt(P.iter().rev())
    }

    fn sub_p(r: &[u64; 4]) -> [u64; 4] {
        let (mut out, mut borrow) = ([0; 4], false);
        for i in 0..4 {
            let (a, b1) = r[i].overflowing_sub(P[i]);
            let (a, b2) = a.overflowing_sub(u64::from(borrow));
            (out[i], borrow) = (a, b1 || b2);
        }
        out
    }

    pub(super) fn mul(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
        let mut wide = [0u64; 8];
        for i in 0..4 {
            let mut carry = 0u128;
            for j in 0..4 {
                let t = u128::from(a[i]) * u128::from(b[j]) + u128::from(wide[i + j]) + carry;
                wide[i + j] = t as u64;
                carry = t >> 64;
            }
            wide[i + 4] = carry as u64;
        }
        reduce(wide)
    }

    /// The value of limbs of weights 2^(52 i), of which `bits` low bits count, modulo p.
    pub(super) fn of_limbs(limbs: [u64; 5]) -> [u64; 4] {
        let mut wide = [0u64; 8];
        for (i, limb) in limbs.iter().enumerate() {
            let (word, shift) = (52 * i / 64, 52 * i % 64);
            let mut carry = u128::from(*limb) << shift;
            for slot in &mut wide[word..] {
                carry += u128::from(*slot);
                *slot = carry as u64;
                carry >>= 64;
            }
        }
        reduce(wide)
    }
}

fn words_of(field: &Field, lane: usize) -> [u64; 4] {
    field.as_words().map(|word| word.to_array()[lane])
}

/// Limbs at and around every bound that a multiplicand may have, with garbage above bit 52.
fn adversarial_limbs(rng: &mut ChaCha20Rng) -> [u64; 5] {
    const LOW_52: u64 = (1 << 52) - 1;
    let mut limb = |top: bool| {
        let ends = if top {
            [0, 1, (1 << 47) - 1, 1 << 47, (1 << 47) + (1 << 44) - 1]
        } else {
            [0, 1, LOW_52, LOW_52 - 18, 1 << 51]
        };
        let at = rng.next_u32() as usize % 6;
        let value = ends.get(at).copied().unwrap_or_else(|| rng.next_u64() & if top { (1 << 47) - 1 } else { LOW_52 });
        if top { value } else { value | (rng.next_u64() << 52) }
    };
    [limb(false), limb(false), limb(false), limb(false), limb(true)]
}

fn exact(limbs: [u64; 5]) -> [u64; 5] {
    const LOW_52: u64 = (1 << 52) - 1;
    [limbs[0] & LOW_52, limbs[1] & LOW_52, limbs[2] & LOW_52, limbs[3] & LOW_52, limbs[4]]
}

fn register(proof: Avx512, lanes: &[[u64; 5]; 8]) -> [U64x8; 5] {
    std::array::from_fn(|limb| U64x8::load(proof, &lanes.map(|lane| lane[limb])))
}

#[test]
fn field_arithmetic_holds_at_every_bound_of_its_limbs() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(1);
    for _ in 0..500 {
        let a: [[u64; 5]; 8] = std::array::from_fn(|_| adversarial_limbs(rng));
        let b: [[u64; 5]; 8] = std::array::from_fn(|_| adversarial_limbs(rng));
        let (x, y) = (Field(register(proof, &a)), Field(register(proof, &b)));
        let (product, square) = (x.mul(&y).carry(), x.square().carry());
        let (sum, difference) = (x.exact().add(&y.exact()).carry(), x.exact().sub(&y.exact()).carry());
        let (zeros, odd) = (x.is_zero(), x.is_negative());
        for lane in 0..8 {
            let (p, q) = (slow::of_limbs(exact(a[lane])), slow::of_limbs(exact(b[lane])));
            assert_eq!(words_of(&x, lane), p);
            assert_eq!(words_of(&product, lane), slow::mul(&p, &q));
            assert_eq!(words_of(&square, lane), slow::mul(&p, &p));
            let added: [u64; 5] = std::array::from_fn(|i| exact(a[lane])[i] + exact(b[lane])[i]);
            assert_eq!(words_of(&sum, lane), slow::of_limbs(added));
            // the difference, added to the subtrahend, is the minuend
            let back = difference.exact().add(&y.exact()).carry();
            assert_eq!(words_of(&back, lane), p);
            assert_eq!(zeros >> lane & 1 == 1, p == [0; 4]);
            assert_eq!(odd >> lane & 1 == 1, p[0] & 1 == 1);
        }
    }
}

#[test]
fn sums_of_products_are_carried_up_to_their_bound() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(2);
    for _ in 0..200 {
        let limbs: [[u64; 5]; 8] = std::array::from_fn(|lane| {
            std::array::from_fn(|_| if lane == 0 { (1 << 61) - 1 } else { rng.next_u64() >> 3 })
        });
        let field = Wide(register(proof, &limbs)).carry();
        for (lane, limbs) in limbs.iter().enumerate() {
            assert_eq!(words_of(&field, lane), slow::of_limbs(*limbs));
        }
    }
}

#[test]
#[should_panic(expected = "all_below")]
#[cfg(debug_assertions)]
fn a_limb_beyond_its_bound_is_found_in_debug_builds() {
    let Some(proof) = lanes() else { panic!("all_below: nothing to test") };
    let _ = Wide(register(proof, &[[1 << 61; 5]; 8])).carry();
}

#[test]
fn values_of_p_and_above_are_reduced() {
    let Some(proof) = lanes() else { return };
    for above in 0..19u64 {
        let words = [P[0] + above, P[1], P[2], P[3]].map(|word| U64x8::splat(proof, word));
        assert_eq!(words_of(&Field::from_words(&words), 3), [above, 0, 0, 0]);
    }
}

#[test]
fn the_inverse_of_every_value_is_its_inverse_and_zero_has_none() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(3);
    let a: [[u64; 5]; 8] = std::array::from_fn(|lane| if lane == 0 { [0; 5] } else { adversarial_limbs(rng) });
    let x = Field(register(proof, &a));
    let one = x.invert().times(&x);
    for (lane, limbs) in a.iter().enumerate() {
        let expected = u64::from(slow::of_limbs(exact(*limbs)) != [0; 4]);
        assert_eq!(words_of(&one, lane), [expected, 0, 0, 0]);
    }
}

#[test]
fn rows_become_columns() {
    let Some(proof) = lanes() else { return };
    let rows: [[u64; 8]; 8] = std::array::from_fn(|row| std::array::from_fn(|column| (row * 8 + column) as u64));
    let columns = transpose(&rows.map(|row| U64x8::load(proof, &row))).map(U64x8::to_array);
    for (row, values) in rows.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            assert_eq!(columns[column][row], *value);
        }
    }
}

/// Elements with every representation a decoder or a map gives, the identity among them.
fn points(proof: Avx512, rng: &mut ChaCha20Rng, count: usize) -> (Vec<RistrettoPoint>, Vec<Extended>) {
    let uniform: Vec<[u8; 64]> = (0..count).map(|_| uniform(rng)).collect();
    let mapped = ristretto::map_all(proof, &uniform);
    (uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect(), mapped)
}

fn encodings(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    points.iter().map(|point| point.compress().0).collect()
}

#[test]
fn map_encode_decode_and_double_are_dalek_s() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(4);
    for count in [1, 7, 8, 9, 16, 17, 100] {
        let (expected, mapped) = points(proof, rng, count);
        let expected_bytes = encodings(&expected);
        assert_eq!(ristretto::encode_all(&mapped, count), expected_bytes);
        let decoded = ristretto::decode_all(proof, &expected_bytes).unwrap();
        assert_eq!(ristretto::encode_all(&decoded, count), expected_bytes);
        let doubled: Vec<[u8; 32]> =
            RistrettoPoint::double_and_compress_batch(&expected).into_iter().map(|point| point.0).collect();
        assert_eq!(ristretto::double_and_encode_all(proof, &mapped, count), doubled);
        assert_eq!(ristretto::double_and_encode_all(proof, &decoded, count), doubled);
        for (group, mask) in mapped.iter().zip(&decoded).map(|(a, b)| ristretto::equal(a, b)).enumerate() {
            let lanes = (count - group * 8).min(8);
            assert_eq!(mask.trailing_ones().min(lanes as u32), lanes as u32);
        }
    }
}

#[test]
fn uniform_bytes_at_the_edges_are_mapped_as_dalek_maps_them() {
    let Some(proof) = lanes() else { return };
    let edges: Vec<[u8; 32]> = [[0; 32], [0xff; 32], [1; 32]]
        .into_iter()
        .chain((0..24u8).map(|above| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (0xe0 + above, 0x7f);
            bytes
        }))
        .collect();
    let uniform: Vec<[u8; 64]> = edges
        .iter()
        .flat_map(|low| edges.iter().map(|high| [low.as_slice(), high].concat().try_into().unwrap()))
        .collect();
    let expected: Vec<RistrettoPoint> = uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect();
    let mapped = ristretto::map_all(proof, &uniform);
    assert_eq!(ristretto::encode_all(&mapped, uniform.len()), encodings(&expected));
    assert!(expected.iter().any(IsIdentity::is_identity), "two equal halves of opposite signs are among them");
}

/// RFC 9496 A.1 to A.4 and whatever else is easily got wrong: the kernel accepts exactly what dalek accepts.
#[test]
fn encodings_are_refused_exactly_where_dalek_refuses_them() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(5);
    let (mut accepted, mut refused) = (0, 0);
    let mut candidates: Vec<[u8; 32]> = (0..20_000)
        .map(|_| {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes[0] &= 0xfe;
            bytes[31] &= 0x7f;
            bytes
        })
        .collect();
    for at in 0..64 {
        // non-canonical: p + small; the sign bit; negative
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed_u8.wrapping_add(at), 0x7f);
        candidates.push(bytes);
        let mut valid = RistrettoPoint::random(rng).compress().0;
        valid[31] |= 0x80;
        candidates.push(valid);
        valid[31] &= 0x7f;
        valid[0] |= 1;
        candidates.push(valid);
    }
    let vectors = include_str!("../../../specs/vectors/rfc9496_ristretto255.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let mut hex_strings = Vec::new();
    collect_strings(&vectors, &mut hex_strings);
    let of_vectors: Vec<[u8; 32]> =
        hex_strings.iter().filter_map(|text| hex::decode(text).ok()?.try_into().ok()).collect();
    assert!(of_vectors.len() >= 40, "the RFC's multiples of the generator and its bad encodings");
    candidates.extend(of_vectors);
    candidates.push([0; 32]);
    for candidate in candidates {
        let expected = CompressedRistretto(candidate).decompress();
        let decoded = ristretto::decode_all(proof, &[candidate]);
        assert_eq!(decoded.is_ok(), expected.is_some());
        match decoded {
            Ok(points) => {
                accepted += 1;
                assert_eq!(ristretto::encode_all(&points, 1), [candidate]);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 1000 && refused > 1000);
}

fn collect_strings(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => into.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_strings(value, into)),
        serde_json::Value::Object(map) => map.values().for_each(|value| collect_strings(value, into)),
        _ => {}
    }
}

#[test]
fn the_first_undecodable_encoding_is_named() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(6);
    for at in [0, 1, 7, 8, 15, 16, 37, 99] {
        let mut bytes: Vec<[u8; 32]> = (0..100).map(|_| RistrettoPoint::random(rng).compress().0).collect();
        bytes[at] = [0xff; 32];
        assert_eq!(ristretto::decode_all(proof, &bytes).err().map(|refused| refused.at), Some(at));
    }
}

#[test]
fn multiples_by_a_shared_and_by_own_scalars_are_dalek_s_at_every_edge() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(7);
    let (mut expected, _) = points(proof, rng, 8);
    expected[3] = RistrettoPoint::identity();
    let group = ristretto::decode_all(proof, &encodings(&expected)).unwrap()[0];
    let mut scalars = edge_scalars();
    scalars.extend((0..40).map(|_| scalar(rng)));
    for k in &scalars {
        let product = edwards::multiply(&edwards::shared_digits(proof, k.as_bytes()), &group);
        let expected: Vec<RistrettoPoint> = expected.iter().map(|point| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], 8), encodings(&expected));
        let doubles: Vec<RistrettoPoint> = expected.iter().map(|point| point + point).collect();
        assert_eq!(ristretto::double_and_encode_all(proof, &[product], 8), encodings(&doubles));
    }
    for own in scalars.chunks_exact(8) {
        let bytes: [[u8; 32]; 8] = std::array::from_fn(|lane| own[lane].to_bytes());
        let product = edwards::multiply(&edwards::lane_digits(proof, &bytes), &group);
        let expected: Vec<RistrettoPoint> = own.iter().zip(&expected).map(|(k, point)| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], 8), encodings(&expected));
    }
}

/// Points of the curve that differ from an element's by a point of order 2 or 4 are the same element.
#[test]
fn coordinates_that_differ_by_torsion_encode_as_one_element() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(8);
    let (expected, group) = points(proof, rng, 8);
    let one = Wide::one(proof);
    let zero = Wide::zero(proof);
    let sqrt_m1 = Wide::constant(proof, &super::field::SQRT_M1);
    let torsion = [
        Extended { x: zero, y: one.negate().carry().exact(), z: one, t: zero },
        Extended { x: sqrt_m1, y: zero, z: one, t: zero },
        Extended { x: sqrt_m1.negate().carry().exact(), y: zero, z: one, t: zero },
    ];
    for point in &torsion {
        let moved = edwards::sum(&group[0], point);
        assert_eq!(ristretto::encode_all(&[moved], 8), encodings(&expected));
        assert_eq!(ristretto::equal(&moved, &group[0]), u8::MAX);
        let k = scalar(rng);
        let product = edwards::multiply(&edwards::shared_digits(proof, k.as_bytes()), &moved);
        let products: Vec<RistrettoPoint> = expected.iter().map(|point| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], 8), encodings(&products));
        assert_eq!(ristretto::encode_all(&[*point], 8), vec![[0; 32]; 8], "torsion alone is the identity");
        assert_eq!(ristretto::double_and_encode_all(proof, &[*point], 8), vec![[0; 32]; 8]);
    }
}

#[test]
fn sums_and_differences_are_dalek_s_and_a_point_less_itself_is_the_identity() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(9);
    let (a, first) = points(proof, rng, 8);
    let (b, second) = points(proof, rng, 8);
    let sums: Vec<RistrettoPoint> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let differences: Vec<RistrettoPoint> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    assert_eq!(ristretto::encode_all(&[edwards::sum(&first[0], &second[0])], 8), encodings(&sums));
    assert_eq!(ristretto::encode_all(&[edwards::difference(&first[0], &second[0])], 8), encodings(&differences));
    assert_eq!(ristretto::encode_all(&[edwards::difference(&first[0], &first[0])], 8), vec![[0; 32]; 8]);
    assert_eq!(ristretto::equal(&first[0], &second[0]), 0);
}

#[test]
fn multiples_of_a_fixed_base_are_dalek_s_at_every_edge() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(10);
    for base in [curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT, RistrettoPoint::random(rng)] {
        let (full, small) = (FixedBase::new(proof, &base, FULL), FixedBase::new(proof, &base, SMALL));
        let mut scalars = edge_scalars();
        scalars.extend((0..64).map(|_| scalar(rng)));
        for scalars in scalars.chunks_exact(8) {
            let bytes = std::array::from_fn(|lane| scalars[lane].to_bytes());
            let expected: Vec<RistrettoPoint> = scalars.iter().map(|k| k * base).collect();
            assert_eq!(ristretto::encode_all(&[full.multiply(&bytes)], 8), encodings(&expected));
        }
        let values = [0, 1, 30, 31, 32, u64::from(u32::MAX), (1 << 34) - 1, 1 << 33].map(Scalar::from);
        let expected: Vec<RistrettoPoint> = values.iter().map(|k| k * base).collect();
        let bytes = values.map(|value| value.to_bytes());
        assert_eq!(ristretto::encode_all(&[small.multiply(&bytes)], 8), encodings(&expected));
    }
}

#[test]
fn weighted_sums_are_dalek_s_across_runs_of_groups() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(11);
    for count in [1, 8, 9, 256, 257, 600] {
        let (expected, group) = points(proof, rng, count);
        let mut weights: Vec<u128> =
            (0..count).map(|_| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())).collect();
        for (weight, edge) in weights.iter_mut().zip([0, 1, u128::MAX, 1 << 127, 8]) {
            *weight = edge;
        }
        let mut digits = Vec::new();
        for weights in weights.chunks(8) {
            let mut eight = [0; 8];
            eight[..weights.len()].copy_from_slice(weights);
            digits.extend(edwards::weight_digits(proof, &eight));
        }
        let lanes = ristretto::encode_all(&[edwards::weighted_sum(proof, &digits, &group)], 8);
        let sum: RistrettoPoint = lanes.iter().map(|bytes| CompressedRistretto(*bytes).decompress().unwrap()).sum();
        let expected: RistrettoPoint = weights.iter().zip(&expected).map(|(w, point)| Scalar::from(*w) * point).sum();
        assert_eq!(sum, expected);
    }
}

#[test]
fn sums_by_buckets_are_dalek_s_at_every_size_of_a_digit() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(14);
    let (distinct, groups) = points(proof, rng, 64);
    for count in [1usize, 7, 512, 2047, 2048, 8191, 8192, 9000] {
        // repeated points and weights fill a bucket with one point, and with a point and its negative
        let lanes: Vec<Extended> = groups.iter().cycle().take(count.div_ceil(8)).copied().collect();
        let mut weights: Vec<u128> =
            (0..count).map(|_| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())).collect();
        for (weight, edge) in weights.iter_mut().skip(1).zip([0, 1, u128::MAX, 1 << 127, 512, 513, 64, 65, 128, 129]) {
            *weight = edge;
        }
        if count == 8191 {
            weights.fill(u128::MAX);
        }
        let sums = bucket_sum::bucket_sum(proof, &lanes, &weights);
        let windows = ristretto::encode_all(&sums.windows, sums.count);
        let windows = windows.iter().rev().map(|bytes| CompressedRistretto(*bytes).decompress().unwrap());
        let sum = windows.fold(RistrettoPoint::identity(), |higher, window| {
            (0..sums.bits).fold(higher, |point, _| point + point) + window
        });
        let mut of_distinct = [Scalar::ZERO; 64];
        weights.iter().enumerate().for_each(|(at, weight)| of_distinct[at % 64] += Scalar::from(*weight));
        let expected: RistrettoPoint = of_distinct.iter().zip(&distinct).map(|(w, point)| w * point).sum();
        assert_eq!(sum, expected, "{count} points");
    }
}

#[test]
fn digests_are_sha2_s_for_every_length_beside_every_other() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(12);
    let mut data = vec![0; 700];
    rng.fill_bytes(&mut data);
    let state = sha512::initial(proof);
    for start in (0..400).step_by(3) {
        let lengths: [usize; 8] =
            std::array::from_fn(|lane| [start, start + 1, 111, 112, 127, 128, 0, 239][lane].min(data.len()));
        let digests = sha512::finish(&state, 0, &lengths.map(|length| &data[..length]));
        for (digest, length) in digests.iter().zip(lengths) {
            assert_eq!(digest[..], Sha512::digest(&data[..length])[..]);
        }
        let mut absorbed = state;
        sha512::absorb_block(&mut absorbed, &[data[..128].try_into().unwrap(); 8]);
        let digests = sha512::finish(&absorbed, 128, &lengths.map(|length| &data[128..128 + length]));
        for (digest, length) in digests.iter().zip(lengths) {
            assert_eq!(digest[..], Sha512::digest(&data[..128 + length])[..]);
        }
    }
}

/// `cargo test --release -p riskveil-crypto -- --ignored million`: about a minute and a half.
#[test]
#[ignore = "a minute and a half of dalek; CI runs it by name"]
fn a_million_random_inputs_give_dalek_s_bytes() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(13);
    const RUN: usize = 1 << 10;
    for _ in 0..1_000_000 / RUN + 1 {
        let (expected, mapped) = points(proof, rng, RUN);
        let k = scalar(rng);
        let digits = edwards::shared_digits(proof, k.as_bytes());
        let products: Vec<Extended> = mapped.iter().map(|group| edwards::multiply(&digits, group)).collect();
        let expected: Vec<RistrettoPoint> = expected.iter().map(|point| k * point).collect();
        let encoded = encodings(&expected);
        assert_eq!(ristretto::encode_all(&products, RUN), encoded);
        let decoded = ristretto::decode_all(proof, &encoded).unwrap();
        let doubled: Vec<[u8; 32]> =
            RistrettoPoint::double_and_compress_batch(&expected).into_iter().map(|point| point.0).collect();
        assert_eq!(ristretto::double_and_encode_all(proof, &decoded, RUN), doubled);
    }
}
