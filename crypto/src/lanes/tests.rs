//! A kernel against dalek and sha2, at the edges of its limbs and groups, and on random inputs.

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
    limbs::{self, BOUNDS, LIMBS, PLACES, WIDE_BOUND},
    ristretto, sha512,
    simd::{Instructions, LANES, Mask, Sixteen, U64s, transpose},
};

/// The processor's proof; none prints why nothing is tested.
fn lanes() -> Option<Instructions> {
    let proof = Instructions::detect();
    if proof.is_none() {
        println!("this processor lacks the instructions of {}: nothing is tested", module_path!());
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
    use super::{LIMBS, P, PLACES};

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

    /// The value of limbs, modulo p.
    pub(super) fn of_limbs(limbs: [u64; LIMBS]) -> [u64; 4] {
        let mut wide = [0u64; 8];
        for (i, limb) in limbs.iter().enumerate() {
            let (word, shift) = (PLACES[i] as usize / 64, PLACES[i] % 64);
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

/// The bits of each limb of a multiplicand that count.
fn counted(proof: Instructions) -> [u64; LIMBS] {
    limbs::exact(&[U64s::splat(proof, u64::MAX); LIMBS]).map(|limb| limb.to_array()[0])
}

/// Limbs at and around every bound that a multiplicand may have, with garbage in the bits that do not count.
fn adversarial_limbs(proof: Instructions, rng: &mut ChaCha20Rng) -> [u64; LIMBS] {
    let counted = counted(proof);
    std::array::from_fn(|i| {
        let full = (1 << (PLACES[i + 1] - PLACES[i])) - 1;
        let last = BOUNDS[i] - 1;
        let ends = [0, 1, full - 18, full, last.min(full + 1), last, 1 << 24];
        let at = rng.next_u32() as usize % (ends.len() + 2);
        let value = ends.get(at).copied().unwrap_or_else(|| rng.next_u64() & full);
        value | rng.next_u64() & !counted[i]
    })
}

fn exact(proof: Instructions, limbs: &[u64; LIMBS]) -> [u64; LIMBS] {
    let counted = counted(proof);
    std::array::from_fn(|i| limbs[i] & counted[i])
}

fn register(proof: Instructions, lanes: &[[u64; LIMBS]; LANES]) -> [U64s; LIMBS] {
    std::array::from_fn(|limb| U64s::load(proof, &lanes.map(|lane| lane[limb])))
}

#[test]
fn field_arithmetic_holds_at_every_bound_of_its_limbs() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(1);
    for _ in 0..500 {
        let a: [[u64; LIMBS]; LANES] = std::array::from_fn(|_| adversarial_limbs(proof, rng));
        let b: [[u64; LIMBS]; LANES] = std::array::from_fn(|_| adversarial_limbs(proof, rng));
        let (x, y) = (Field(register(proof, &a)), Field(register(proof, &b)));
        let (product, square) = (x.mul(&y).carry(), x.square().carry());
        let (sum, difference) = (x.exact().add(&y.exact()).carry(), x.exact().sub(&y.exact()).carry());
        let (zeros, odd) = (x.is_zero().to_array(), x.is_negative().to_array());
        for lane in 0..LANES {
            let (of_a, of_b) = (exact(proof, &a[lane]), exact(proof, &b[lane]));
            let (p, q) = (slow::of_limbs(of_a), slow::of_limbs(of_b));
            assert_eq!(words_of(&x, lane), p);
            assert_eq!(words_of(&product, lane), slow::mul(&p, &q));
            assert_eq!(words_of(&square, lane), slow::mul(&p, &p));
            let added: [u64; LIMBS] = std::array::from_fn(|i| of_a[i] + of_b[i]);
            assert_eq!(words_of(&sum, lane), slow::of_limbs(added));
            // the difference, added to the subtrahend, is the minuend
            let back = difference.exact().add(&y.exact()).carry();
            assert_eq!(words_of(&back, lane), p);
            assert_eq!(zeros[lane], p == [0; 4]);
            assert_eq!(odd[lane], p[0] & 1 == 1);
        }
    }
}

#[test]
fn sums_of_products_are_carried_up_to_their_bound() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(2);
    for _ in 0..200 {
        let limbs: [[u64; LIMBS]; LANES] = std::array::from_fn(|lane| {
            std::array::from_fn(|_| if lane == 0 { WIDE_BOUND - 1 } else { rng.next_u64() & (WIDE_BOUND - 1) })
        });
        let field = Wide(register(proof, &limbs)).carry();
        for (lane, limbs) in limbs.iter().enumerate() {
            assert_eq!(words_of(&field, lane), slow::of_limbs(*limbs));
        }
    }
}

#[test]
#[should_panic(expected = "is_below")]
#[cfg(debug_assertions)]
fn a_limb_beyond_its_bound_is_found_in_debug_builds() {
    let Some(proof) = lanes() else { panic!("is_below: nothing to test") };
    let _ = Wide(register(proof, &[[WIDE_BOUND; LIMBS]; LANES])).carry();
}

#[test]
fn values_of_p_and_above_are_reduced() {
    let Some(proof) = lanes() else { return };
    for above in 0..19u64 {
        let words = [P[0] + above, P[1], P[2], P[3]].map(|word| U64s::splat(proof, word));
        assert_eq!(words_of(&Field::from_words(&words), 3), [above, 0, 0, 0]);
    }
}

#[test]
fn the_inverse_of_every_value_is_its_inverse_and_zero_has_none() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(3);
    let a: [[u64; LIMBS]; LANES] =
        std::array::from_fn(|lane| if lane == 0 { [0; LIMBS] } else { adversarial_limbs(proof, rng) });
    let x = Field(register(proof, &a));
    let one = x.invert().times(&x);
    for (lane, limbs) in a.iter().enumerate() {
        let expected = u64::from(slow::of_limbs(exact(proof, limbs)) != [0; 4]);
        assert_eq!(words_of(&one, lane), [expected, 0, 0, 0]);
    }
}

#[test]
fn rows_become_columns() {
    let Some(proof) = lanes() else { return };
    let rows: [[u64; LANES]; LANES] =
        std::array::from_fn(|row| std::array::from_fn(|column| (row * LANES + column) as u64));
    let columns = transpose(&rows.map(|row| U64s::load(proof, &row))).map(U64s::to_array);
    for (row, values) in rows.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            assert_eq!(columns[column][row], *value);
        }
    }
}

#[test]
fn each_of_sixteen_numbers_is_looked_up_in_each_lane() {
    let Some(proof) = lanes() else { return };
    let numbers = std::array::from_fn(|number| u64::from(u32::MAX) - 3 * number as u64);
    let table = Sixteen::new(proof, &numbers);
    for first in 0..16 {
        let index: [u64; LANES] = std::array::from_fn(|lane| (first + 5 * lane as u64) % 16);
        let found = table.look_up(U64s::load(proof, &index)).to_array();
        for (found, index) in found.iter().zip(index) {
            assert_eq!(found & u64::from(u32::MAX), numbers[index as usize]);
        }
    }
}

#[test]
fn masks_are_the_lanes_they_are_made_of() {
    let Some(proof) = lanes() else { return };
    for bits in 0..1 << LANES {
        let lanes: [bool; LANES] = std::array::from_fn(|lane| bits >> lane & 1 == 1);
        let mask = Mask::from_array(proof, lanes);
        assert_eq!(mask.to_array(), lanes);
        assert_eq!(mask.not().to_array(), lanes.map(|lane| !lane));
        assert_eq!(mask.and(Mask::all(proof)).or(Mask::none(proof)).to_array(), lanes);
        let (zero, least) = (U64s::zero(proof), U64s::splat(proof, 1 << 63));
        let blended = zero.blend(mask, least);
        assert_eq!(blended.highest_bits().to_array(), lanes);
        assert_eq!(blended.equals(least).to_array(), lanes);
        assert_eq!(blended.disjoint(least).not().to_array(), lanes);
    }
}

/// Elements with every representation a decoder or a map gives, the identity among them.
fn points(proof: Instructions, rng: &mut ChaCha20Rng, count: usize) -> (Vec<RistrettoPoint>, Vec<Extended>) {
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
        let same = mapped.iter().zip(&decoded).flat_map(|(a, b)| ristretto::equal(a, b).to_array());
        assert!(same.take(count).all(|same| same));
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
    let (mut expected, _) = points(proof, rng, LANES);
    expected[LANES - 1] = RistrettoPoint::identity();
    let group = ristretto::decode_all(proof, &encodings(&expected)).unwrap()[0];
    let mut scalars = edge_scalars();
    scalars.extend((0..40).map(|_| scalar(rng)));
    for k in &scalars {
        let product = edwards::multiply(&edwards::shared_digits(proof, k.as_bytes()), &group);
        let expected: Vec<RistrettoPoint> = expected.iter().map(|point| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], LANES), encodings(&expected));
        let doubles: Vec<RistrettoPoint> = expected.iter().map(|point| point + point).collect();
        assert_eq!(ristretto::double_and_encode_all(proof, &[product], LANES), encodings(&doubles));
    }
    for own in scalars.chunks_exact(LANES) {
        let bytes: [[u8; 32]; LANES] = std::array::from_fn(|lane| own[lane].to_bytes());
        let product = edwards::multiply(&edwards::lane_digits(proof, &bytes), &group);
        let expected: Vec<RistrettoPoint> = own.iter().zip(&expected).map(|(k, point)| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], LANES), encodings(&expected));
    }
}

/// Points of the curve that differ from an element's by a point of order 2 or 4 are the same element.
#[test]
fn coordinates_that_differ_by_torsion_encode_as_one_element() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(8);
    let (expected, group) = points(proof, rng, LANES);
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
        assert_eq!(ristretto::encode_all(&[moved], LANES), encodings(&expected));
        assert_eq!(ristretto::equal(&moved, &group[0]).to_array(), [true; LANES]);
        let k = scalar(rng);
        let product = edwards::multiply(&edwards::shared_digits(proof, k.as_bytes()), &moved);
        let products: Vec<RistrettoPoint> = expected.iter().map(|point| k * point).collect();
        assert_eq!(ristretto::encode_all(&[product], LANES), encodings(&products));
        assert_eq!(ristretto::encode_all(&[*point], LANES), vec![[0; 32]; LANES], "torsion alone is the identity");
        assert_eq!(ristretto::double_and_encode_all(proof, &[*point], LANES), vec![[0; 32]; LANES]);
    }
}

#[test]
fn sums_and_differences_are_dalek_s_and_a_point_less_itself_is_the_identity() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(9);
    let (a, first) = points(proof, rng, LANES);
    let (b, second) = points(proof, rng, LANES);
    let sums: Vec<RistrettoPoint> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    let differences: Vec<RistrettoPoint> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    assert_eq!(ristretto::encode_all(&[edwards::sum(&first[0], &second[0])], LANES), encodings(&sums));
    assert_eq!(ristretto::encode_all(&[edwards::difference(&first[0], &second[0])], LANES), encodings(&differences));
    assert_eq!(ristretto::encode_all(&[edwards::difference(&first[0], &first[0])], LANES), vec![[0; 32]; LANES]);
    assert_eq!(ristretto::equal(&first[0], &second[0]).to_array(), [false; LANES]);
}

#[test]
fn multiples_of_a_fixed_base_are_dalek_s_at_every_edge() {
    let Some(proof) = lanes() else { return };
    let rng = &mut rng(10);
    for base in [curve25519_dalek::constants::RISTRETTO_BASEPOINT_POINT, RistrettoPoint::random(rng)] {
        let (full, small) = (FixedBase::new(proof, &base, FULL), FixedBase::new(proof, &base, SMALL));
        let mut scalars = edge_scalars();
        scalars.extend((0..64).map(|_| scalar(rng)));
        for scalars in scalars.chunks_exact(LANES) {
            let bytes = std::array::from_fn(|lane| scalars[lane].to_bytes());
            let expected: Vec<RistrettoPoint> = scalars.iter().map(|k| k * base).collect();
            assert_eq!(ristretto::encode_all(&[full.multiply(&bytes)], LANES), encodings(&expected));
        }
        let values = [0, 1, 30, 31, 32, u64::from(u32::MAX), (1 << 34) - 1, 1 << 33].map(Scalar::from);
        for values in values.chunks_exact(LANES) {
            let bytes = std::array::from_fn(|lane| values[lane].to_bytes());
            let expected: Vec<RistrettoPoint> = values.iter().map(|k| k * base).collect();
            assert_eq!(ristretto::encode_all(&[small.multiply(&bytes)], LANES), encodings(&expected));
        }
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
        for weights in weights.chunks(LANES) {
            let mut group = [0; LANES];
            group[..weights.len()].copy_from_slice(weights);
            digits.extend(edwards::weight_digits(proof, &group));
        }
        let lanes = ristretto::encode_all(&[edwards::weighted_sum(proof, &digits, &group)], LANES);
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
        let lanes: Vec<Extended> = groups.iter().cycle().take(count.div_ceil(LANES)).copied().collect();
        let mut weights: Vec<u128> =
            (0..count).map(|_| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())).collect();
        for (weight, edge) in weights.iter_mut().skip(1).zip([0, 1, u128::MAX, 1 << 127, 512, 513, 64, 65, 128, 129]) {
            *weight = edge;
        }
        if count == 8191 {
            weights.fill(u128::MAX);
        }
        let sum = bucket_sum::bucket_sum(proof, &lanes, &weights);
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
    const ENDS: [usize; 6] = [111, 112, 127, 128, 0, 239];
    for (turn, start) in (0..400).step_by(3).enumerate() {
        let lengths: [usize; LANES] = std::array::from_fn(|lane| match lane {
            0 | 1 => start + lane,
            _ => ENDS[(turn + lane) % ENDS.len()],
        });
        let digests = sha512::finish(&state, 0, &lengths.map(|length| &data[..length]));
        for (digest, length) in digests.iter().zip(lengths) {
            assert_eq!(digest[..], Sha512::digest(&data[..length])[..]);
        }
        let mut absorbed = state;
        sha512::absorb_block(&mut absorbed, &[data[..128].try_into().unwrap(); LANES]);
        let digests = sha512::finish(&absorbed, 128, &lengths.map(|length| &data[128..128 + length]));
        for (digest, length) in digests.iter().zip(lengths) {
            assert_eq!(digest[..], Sha512::digest(&data[..128 + length])[..]);
        }
    }
}

/// `cargo test --release -p riskveil-crypto -- --ignored million`: about a minute and a half a kernel.
#[test]
#[ignore = "minutes of dalek; CI runs it by name"]
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
