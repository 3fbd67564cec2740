//! ristretto255 in lanes: decoding, encoding, encoding of doubles in batches, and the map from uniform bytes.
//!
//! - **Shapes**: encodings of 32 bytes, uniform strings of 64; a slice is padded with the identity to a multiple of [`LANES`]
//! - **Invariants**: results are those of RFC 9496 to the byte, whatever coordinates a point came with
//! - **Security**: constant time in points and uniform bytes; whether an encoding is valid, and where the first invalid one
//!   stands, is public
//! - **Source**: RFC 9496 sections 4.3.1 (decode), 4.3.2 (encode), 4.3.4 (map); double-and-encode: Hamburg's ristretto, dalek 4.1

use super::edwards::Extended;
use super::field::{
    D, D_MINUS_ONE_SQ, Field, INVSQRT_A_MINUS_D, ONE_MINUS_D_SQ, SQRT_AD_MINUS_ONE, SQRT_M1, Wide, sqrt_ratio_i,
};
use super::simd::{Instructions, LANES, Mask, U64s, with_instructions};

/// Groups decoded, encoded or mapped side by side: their exponentiations hide each other's latency.
const SIDE_BY_SIDE: usize = 2;

/// An encoding a lane.
pub(super) type Encodings = [[u8; 32]; LANES];

/// An encoding that RFC 9496 does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undecodable {
    /// Where the first one stands.
    pub(crate) at: usize,
}

/// Decodes every encoding; the identity is one.
///
/// # Errors
/// [`Undecodable`].
pub(crate) fn decode_all(proof: Instructions, encodings: &[[u8; 32]]) -> Result<Vec<Extended>, Undecodable> {
    let groups = encodings.len().div_ceil(LANES);
    let mut points = Vec::with_capacity(groups);
    for (run, encodings) in encodings.chunks(LANES * SIDE_BY_SIDE).enumerate() {
        let mut padded = [[[0; 32]; LANES]; SIDE_BY_SIDE];
        padded.as_flattened_mut()[..encodings.len()].copy_from_slice(encodings);
        for (group, (valid, point)) in decode(proof, &padded).iter().enumerate() {
            if let Some(lane) = valid.to_array().iter().position(|valid| !valid) {
                return Err(Undecodable { at: (run * SIDE_BY_SIDE + group) * LANES + lane });
            }
            if points.len() < groups {
                points.push(*point);
            }
        }
    }
    Ok(points)
}

/// Encodes the first `count` points.
pub(crate) fn encode_all(points: &[Extended], count: usize) -> Vec<[u8; 32]> {
    let mut encodings = Vec::with_capacity(points.len() * LANES);
    let (pairs, last) = points.as_chunks::<SIDE_BY_SIDE>();
    for pair in pairs {
        encodings.extend_from_slice(encode_pair(pair).as_flattened());
    }
    for point in last {
        encodings.extend_from_slice(&encode_one(point));
    }
    encodings.truncate(count);
    encodings
}

/// Encodes `2 * P` for the first `count` points, with one inversion for each lane of all.
pub(crate) fn double_and_encode_all(proof: Instructions, points: &[Extended], count: usize) -> Vec<[u8; 32]> {
    let mut encodings = vec![[[0; 32]; LANES]; points.len()];
    double_and_encode(proof, points, &mut encodings);
    let mut encodings = encodings.into_flattened();
    encodings.truncate(count);
    encodings
}

/// The element of each uniform string.
pub(crate) fn map_all(proof: Instructions, uniform: &[[u8; 64]]) -> Vec<Extended> {
    let mut points = Vec::with_capacity(uniform.len().div_ceil(LANES));
    for uniform in uniform.chunks(LANES) {
        let mut padded = [[0; 64]; LANES];
        padded[..uniform.len()].copy_from_slice(uniform);
        points.push(map(proof, &padded));
    }
    points
}

/// Whether lane by lane two points are one element: X1*Y2 = Y1*X2 or Y1*Y2 = X1*X2.
pub(crate) fn equal(a: &Extended, b: &Extended) -> Mask {
    equal_lanes(a, b)
}

with_instructions! {
    fn equal_lanes(a: &Extended, b: &Extended) -> Mask {
        let (ax, ay, bx, by) = (a.x.carry(), a.y.carry(), b.x.carry(), b.y.carry());
        let first = ax.mul(&by).sub(&ay.mul(&bx)).carry().is_zero();
        let second = ay.mul(&by).sub(&ax.mul(&bx)).carry().is_zero();
        first.or(second)
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn load_words(t: Instructions, encodings: &Encodings) -> [U64s; 4] {
    let mut words = [[0u64; LANES]; 4];
    let mut lane = 0;
    while lane < LANES {
        let (chunks, _) = encodings[lane].as_chunks::<8>();
        words[0][lane] = u64::from_le_bytes(chunks[0]);
        words[1][lane] = u64::from_le_bytes(chunks[1]);
        words[2][lane] = u64::from_le_bytes(chunks[2]);
        words[3][lane] = u64::from_le_bytes(chunks[3]);
        lane += 1;
    }
    [U64s::load(t, &words[0]), U64s::load(t, &words[1]), U64s::load(t, &words[2]), U64s::load(t, &words[3])]
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn store_words(words: &[U64s; 4]) -> Encodings {
    let words = [words[0].to_array(), words[1].to_array(), words[2].to_array(), words[3].to_array()];
    let mut encodings = [[0; 32]; LANES];
    let mut lane = 0;
    while lane < LANES {
        let (chunks, _) = encodings[lane].as_chunks_mut::<8>();
        chunks[0] = words[0][lane].to_le_bytes();
        chunks[1] = words[1][lane].to_le_bytes();
        chunks[2] = words[2][lane].to_le_bytes();
        chunks[3] = words[3][lane].to_le_bytes();
        lane += 1;
    }
    encodings
}

with_instructions! {
    fn decode(proof: Instructions, encodings: &[Encodings; SIDE_BY_SIDE]) -> [(Mask, Extended); SIDE_BY_SIDE] {
        let one = Field::one(proof);
        let one_wide = Wide::one(proof);
        let d = Field::constant(proof, &D);
        let zero = Field::zero(proof);
        let (mut s, mut u1, mut u2) = ([zero; SIDE_BY_SIDE], [zero; SIDE_BY_SIDE], [zero; SIDE_BY_SIDE]);
        let (mut v, mut v_u2_sqr) = ([zero; SIDE_BY_SIDE], [zero; SIDE_BY_SIDE]);
        let mut canonical = [Mask::all(proof); SIDE_BY_SIDE];
        let mut i = 0;
        while i < SIDE_BY_SIDE {
            let words = load_words(proof, &encodings[i]);
            s[i] = Field::from_words(&words);
            let own = s[i].as_words();
            let same_low = own[0].equals(words[0]).and(own[1].equals(words[1]));
            let same_high = own[2].equals(words[2]).and(own[3].equals(words[3]));
            canonical[i] = same_low.and(same_high).and(words[0].disjoint(U64s::splat(proof, 1)));
            let ss = s[i].square();
            u1[i] = one_wide.sub(&ss).carry();
            u2[i] = one_wide.add(&ss).carry();
            let u2_sqr = u2[i].square();
            // v = -(D * u1^2) - u2_sqr
            v[i] = d.mul(&u1[i].squared()).add(&u2_sqr).negate().carry();
            v_u2_sqr[i] = v[i].times(&u2_sqr.carry());
            i += 1;
        }
        let roots = sqrt_ratio_i(&[one; SIDE_BY_SIDE], &v_u2_sqr);
        let mut decoded = [(Mask::none(proof), Extended::identity(proof)); SIDE_BY_SIDE];
        let mut i = 0;
        while i < SIDE_BY_SIDE {
            let (was_square, invsqrt) = roots[i];
            let den_x = invsqrt.times(&u2[i]);
            let den_y = invsqrt.times(&den_x).times(&v[i]);
            let two_s = s[i].exact().double().carry();
            let x = two_s.times(&den_x).absolute();
            let y_wide = u1[i].mul(&den_y);
            let y = y_wide.carry();
            let t_wide = x.mul(&y);
            let valid = canonical[i].and(was_square).and(t_wide.carry().is_negative().or(y.is_zero()).not());
            decoded[i] = (valid, Extended { x: x.exact(), y: y_wide, z: one_wide, t: t_wide });
            i += 1;
        }
        decoded
    }
}

with_instructions! {
    fn encode_pair(points: &[Extended; SIDE_BY_SIDE]) -> [Encodings; SIDE_BY_SIDE] {
        encode_side_by_side(points)
    }
}

with_instructions! {
    fn encode_one(point: &Extended) -> Encodings {
        let [encodings] = encode_side_by_side(&[*point]);
        encodings
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn encode_side_by_side<const N: usize>(points: &[Extended; N]) -> [Encodings; N] {
    let t = points[0].x.proof();
    let (one, zero) = (Field::one(t), Field::zero(t));
    let sqrt_m1 = Field::constant(t, &SQRT_M1);
    let invsqrt_a_minus_d = Field::constant(t, &INVSQRT_A_MINUS_D);
    let (mut u1, mut u2, mut u1_u2_sqr) = ([zero; N], [zero; N], [zero; N]);
    let mut i = 0;
    while i < N {
        let Extended { x, y, z, .. } = &points[i];
        u1[i] = z.add(y).carry().times(&z.sub(y).carry());
        u2[i] = x.carry().times(&y.carry());
        u1_u2_sqr[i] = u1[i].times(&u2[i].squared());
        i += 1;
    }
    let roots = sqrt_ratio_i(&[one; N], &u1_u2_sqr);
    let mut encodings = [[[0; 32]; LANES]; N];
    let mut i = 0;
    while i < N {
        let Extended { x, y, z, t } = &points[i];
        let (x, y, t) = (x.carry(), y.carry(), t.carry());
        let (_, invsqrt) = roots[i];
        let den1 = invsqrt.times(&u1[i]);
        let den2 = invsqrt.times(&u2[i]);
        let z_inv = den1.times(&den2).times(&t);
        let rotate = t.times(&z_inv).is_negative();
        let rotated_x = x.blend(rotate, &y.times(&sqrt_m1));
        let rotated_y = y.blend(rotate, &x.times(&sqrt_m1));
        let den_inv = den2.blend(rotate, &den1.times(&invsqrt_a_minus_d));
        let y = rotated_y.negate_where(rotated_x.times(&z_inv).is_negative());
        let s = den_inv.times(&z.sub(&y.exact()).carry()).absolute();
        encodings[i] = store_words(&s.as_words());
        i += 1;
    }
    encodings
}

/// What an encoding of a double needs of a point: E = 2XY, F = Z^2 + dT^2, G = X^2 + Y^2, H = Z^2 - dT^2.
#[derive(Clone, Copy)]
struct Halves {
    e: Wide,
    f: Wide,
    g: Wide,
    h: Wide,
    eg: Field,
    fh: Field,
    /// E*F*G*H, or 1 where that is 0: the double is the identity.
    efgh: Field,
    is_zero: Mask,
    /// Product of all `efgh` before this one.
    before: Field,
}

with_instructions! {
    fn double_and_encode(proof: Instructions, points: &[Extended], encodings: &mut [Encodings]) {
        let d = Field::constant(proof, &D);
        let one = Field::one(proof);
        let mut product = one;
        let mut halves = Vec::with_capacity(points.len());
        for p in points {
            let (x, y, z, t) = (p.x.carry(), p.y.carry(), p.z.carry(), p.t.carry());
            let (xx, yy, zz) = (x.square(), y.square(), z.square());
            let dtt = d.mul(&t.squared());
            let e = x.mul(&y).double();
            let (f, g, h) = (zz.add(&dtt), yy.add(&xx), zz.sub(&dtt));
            let eg = e.carry().times(&g.carry());
            let fh = f.carry().times(&h.carry());
            let efgh = eg.times(&fh);
            let is_zero = efgh.is_zero();
            let efgh = efgh.blend(is_zero, &one);
            halves.push(Halves { e, f, g, h, eg, fh, efgh, is_zero, before: product });
            product = product.times(&efgh);
        }
        let mut inverse = product.invert();
        let (sqrt_m1, zero) = (Field::constant(proof, &SQRT_M1), Field::zero(proof));
        let invsqrt_a_minus_d = Field::constant(proof, &INVSQRT_A_MINUS_D);
        for (half, encoding) in halves.iter().zip(encodings).rev() {
            let this = inverse.times(&half.before).blend(half.is_zero, &zero);
            inverse = inverse.times(&half.efgh);
            let z_inv = half.eg.times(&this);
            let t_inv = half.fh.times(&this);
            let (e, g, f) = (half.e.carry(), half.g.carry(), half.f.carry());
            let rotate = half.eg.times(&z_inv).is_negative();
            let rotated_e = e.blend(rotate, &g);
            let rotated_g = g.blend(rotate, &e.exact().negate().carry());
            let rotated_h = half.h.carry().blend(rotate, &f.times(&sqrt_m1));
            let magic = invsqrt_a_minus_d.blend(rotate, &sqrt_m1);
            let negative = rotated_h.times(&rotated_e).times(&z_inv).is_negative();
            let g = rotated_g.negate_where(negative);
            let difference = rotated_h.exact().sub(&g.exact()).carry();
            let s = difference.times(&magic.times(&g.times(&t_inv))).absolute();
            *encoding = store_words(&s.as_words());
        }
    }
}

with_instructions! {
    fn map(proof: Instructions, uniform: &[[u8; 64]; LANES]) -> Extended {
        let (mut low, mut high) = ([[0; 32]; LANES], [[0; 32]; LANES]);
        let mut lane = 0;
        while lane < LANES {
            low[lane].copy_from_slice(&uniform[lane][..32]);
            high[lane].copy_from_slice(&uniform[lane][32..]);
            lane += 1;
        }
        let t = [
            Field::from_words(&load_words(proof, &low)),
            Field::from_words(&load_words(proof, &high)),
        ];
        let [a, b] = elligator(&t);
        a.add(&b)
    }
}

/// MAP of RFC 9496 section 4.3.4.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn elligator(t: &[Field; 2]) -> [Extended; 2] {
    let proof = t[0].proof();
    let (one, zero) = (Wide::one(proof), Field::zero(proof));
    let (d, d_wide) = (Field::constant(proof, &D), Wide::constant(proof, &D));
    let sqrt_m1 = Field::constant(proof, &SQRT_M1);
    let one_minus_d_sq = Field::constant(proof, &ONE_MINUS_D_SQ);
    let d_minus_one_sq = Field::constant(proof, &D_MINUS_ONE_SQ);
    let sqrt_ad_minus_one = Field::constant(proof, &SQRT_AD_MINUS_ONE);
    let minus_one = one.negate().carry();
    let (mut r, mut u, mut v) = ([Wide::zero(proof); 2], [zero; 2], [zero; 2]);
    let mut i = 0;
    while i < 2 {
        // r = SQRT_M1 * t^2, u = (r + 1) * ONE_MINUS_D_SQ, v = (-1 - r*D) * (r + D)
        r[i] = sqrt_m1.mul(&t[i].squared());
        u[i] = r[i].add(&one).carry().times(&one_minus_d_sq);
        v[i] = d.mul(&r[i].carry()).add(&one).negate().carry().times(&r[i].add(&d_wide).carry());
        i += 1;
    }
    let roots = sqrt_ratio_i(&u, &v);
    let mut points = [Extended::identity(proof); 2];
    let mut i = 0;
    while i < 2 {
        let (was_square, s) = roots[i];
        let s_prime = s.times(&t[i]).absolute().exact().negate().carry();
        let s = s_prime.blend(was_square, &s);
        let c = r[i].carry().blend(was_square, &minus_one);
        // N = c * (r - 1) * D_MINUS_ONE_SQ - v
        let n = c.times(&r[i].sub(&one).carry()).mul(&d_minus_one_sq).sub(&v[i].exact()).carry();
        let w0 = s.mul(&v[i]).double().carry();
        let w1 = n.times(&sqrt_ad_minus_one);
        let ss = s.square();
        let w2 = one.sub(&ss).carry();
        let w3 = one.add(&ss).carry();
        points[i] = Extended { x: w0.mul(&w3), y: w2.mul(&w1), z: w1.mul(&w3), t: w0.mul(&w2) };
        i += 1;
    }
    points
}
