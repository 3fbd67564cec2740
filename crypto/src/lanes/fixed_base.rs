//! Multiples of one public base by secret scalars, one a lane: 51 additions and no doubling.
//!
//! - **Place**: C1 = s*G, s*Y and s*K_Y of a query; the blindings of commitments
//! - **Shapes**: m windows of 5 bits, each with the 16 odd multiples 1, 3, .. 31 of `2^(5 i) * base/2`, 1,920 bytes; scalars below
//!   2^(5 m - 1): 51 windows for any scalar ([`FULL`]), 7 for a committed value ([`SMALL`])
//! - **Security**: a digit is looked up by permutations of two registers, so no address depends on it; sign by mask. Constant time
//! - **Source**: SPEED.md, "The vertical kernel"; Hisil et al. 2008, madd-2008-hwcd-3
//!
//! # Why half the base, and one entry more
//! ```text
//! v + 2^(5m-1) = sum c_i * 2^(5 i), c_i in 0..=31        digit 2*c_i - 31: odd, in -31..=31, never 0
//! sum (2*c_i - 31) * 2^(5 i) * B/2 = (v + 2^(5m-1))*B - (2^(5m) - 1)*B/2 = v*B + B/2
//! ```
//! The sum starts at -B/2.

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use zeroize::Zeroizing;

use super::edwards::Extended;
use super::field::{D2, Field, Wide};
use super::limbs::LIMBS;
use super::ristretto;
use super::simd::{Instructions, LANES, Sixteen, U64s, with_instructions};

/// Windows for scalars below 2^254.
pub(super) const FULL: usize = 51;
/// Windows for scalars below 2^34.
pub(super) const SMALL: usize = 7;
const WINDOW_BITS: usize = 5;
const ENTRIES: usize = 16;

/// One window: Y+X, Y-X and 2d*T of 16 affine multiples, limb by limb.
type Window = [[Sixteen; LIMBS]; 3];

/// The table of one public base.
pub(crate) struct FixedBase {
    windows: Vec<Window>,
    /// -B/2 in every lane.
    start: Extended,
}

/// What an entry is added to; Z keeps its exact limbs because it is doubled, not multiplied.
#[derive(Clone, Copy)]
struct Sum {
    y_plus_x: Field,
    y_minus_x: Field,
    z: Wide,
    t: Field,
}

impl Instructions {
    /// A table for any scalar.
    pub(crate) fn base(self, base: &RistrettoPoint) -> FixedBase {
        FixedBase::new(self, base, FULL)
    }

    /// A table for scalars below 2^34.
    pub(crate) fn small_base(self, base: &RistrettoPoint) -> FixedBase {
        FixedBase::new(self, base, SMALL)
    }
}

impl FixedBase {
    /// The table of `base`; about 2 ms for [`FULL`].
    pub(super) fn new(proof: Instructions, base: &RistrettoPoint, windows: usize) -> FixedBase {
        // a quarter: encoding doubles
        let quarter = Scalar::from(4u8).invert() * base;
        let mut multiples = Vec::with_capacity(windows * ENTRIES);
        let mut power = quarter;
        for _ in 0..windows {
            let two = power + power;
            let mut odd = power;
            for _ in 0..ENTRIES {
                multiples.push(odd);
                odd += two;
            }
            for _ in 0..WINDOW_BITS {
                power += power;
            }
        }
        let mut encodings: Vec<[u8; 32]> =
            RistrettoPoint::double_and_compress_batch(&multiples).into_iter().map(|point| point.0).collect();
        encodings.push((-(quarter + quarter)).compress().0);
        let decoded = ristretto::decode_all(proof, &encodings).expect("encoded above");
        let affine = niels(proof, &decoded);
        let start = ristretto::decode_all(proof, &[encodings[windows * ENTRIES]; LANES]).expect("encoded above")[0];
        let windows = affine[..windows * ENTRIES].chunks(ENTRIES).map(|entries| arrange(proof, entries)).collect();
        FixedBase { windows, start }
    }

    pub(super) fn proof(&self) -> Instructions {
        self.start.x.proof()
    }

    /// `v_i * B` for scalars below 2^(5 m - 1), constant time.
    pub(super) fn multiply(&self, scalars: &[[u8; 32]; LANES]) -> Extended {
        let digits = digits(self.proof(), scalars, self.windows.len());
        accumulate(&self.start, &self.windows, digits.as_slice())
    }
}

with_instructions! {
    fn accumulate(start: &Extended, windows: &[Window], digits: &[U64s]) -> Extended {
        let mut sum = Sum {
            y_plus_x: start.y.add(&start.x).carry(),
            y_minus_x: start.y.sub(&start.x).carry(),
            z: start.z,
            t: start.t.carry(),
        };
        let mut products = [start.x; 4];
        for (window, digit) in windows.iter().zip(digits) {
            products = add_entry(&sum, window, *digit);
            let [x, y, z, t] = &products;
            sum = Sum { y_plus_x: y.add(x).carry(), y_minus_x: y.sub(x).carry(), z: *z, t: t.carry() };
        }
        let [x, y, z, t] = products;
        Extended { x, y, z, t }
    }
}

/// The sum with entry `|2c - 31|`, subtracted where c < 16: X, Y, Z, T.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn add_entry(p: &Sum, window: &Window, c: U64s) -> [Wide; 4] {
    let t = c.proof();
    let negative = c.disjoint(U64s::splat(t, 16));
    // c - 16 where positive, 15 - c where negative
    let index = c.blend(negative, U64s::splat(t, 31).sub(c)).and(U64s::splat(t, 15));
    let [y_plus_x, y_minus_x, t2d] =
        [look_up(&window[0], index), look_up(&window[1], index), look_up(&window[2], index)];
    let a = p.y_minus_x.mul(&y_minus_x.blend(negative, &y_plus_x));
    let b = p.y_plus_x.mul(&y_plus_x.blend(negative, &y_minus_x));
    let c = p.t.mul(&t2d);
    let d = p.z.double();
    let (difference, sum) = (d.sub(&c), d.add(&c));
    let e = b.sub(&a).carry();
    let f = difference.blend(negative, &sum).carry();
    let g = sum.blend(negative, &difference).carry();
    let h = b.add(&a).carry();
    [e.mul(&f), g.mul(&h), f.mul(&g), e.mul(&h)]
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn look_up(table: &[Sixteen; LIMBS], index: U64s) -> Field {
    let mut entry = [index; LIMBS];
    let mut limb = 0;
    while limb < LIMBS {
        entry[limb] = table[limb].look_up(index);
        limb += 1;
    }
    Field(entry)
}

/// `c_i` of `v + 2^(5m-1)`, digit by digit, lane by lane; what lies beyond the windows is 0.
fn digits(proof: Instructions, scalars: &[[u8; 32]; LANES], windows: usize) -> Zeroizing<[U64s; FULL]> {
    let (top_word, top_bit) = ((windows * WINDOW_BITS - 1) / 64, (windows * WINDOW_BITS - 1) % 64);
    let mut rows = Zeroizing::new([[0u64; LANES]; FULL]);
    for (lane, scalar) in scalars.iter().enumerate() {
        // one word more, so that a window that ends at bit 255 reads a neighbour
        let mut words = Zeroizing::new([0u64; 5]);
        for (word, bytes) in words.iter_mut().zip(scalar.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().expect("chunks of 8"));
        }
        debug_assert!(words[top_word] >> top_bit == 0 && words[top_word + 1..].iter().all(|word| *word == 0));
        words[top_word] |= 1 << top_bit; // the scalar has no bit there
        for (window, row) in rows.iter_mut().take(windows).enumerate() {
            let bit = window * WINDOW_BITS;
            let (word, shift) = (bit / 64, bit % 64);
            let both = u128::from(words[word]) | u128::from(words[word + 1]) << 64;
            row[lane] = (both >> shift) as u64 & 31;
        }
    }
    let mut lanes = Zeroizing::new([U64s::zero(proof); FULL]);
    for (lane, row) in lanes.iter_mut().zip(rows.iter()) {
        *lane = U64s::load(proof, row);
    }
    lanes
}

/// Limbs of Y+X, Y-X, 2d*T of each decoded (affine) point, in order; canonical.
fn niels(proof: Instructions, decoded: &[Extended]) -> Vec<[[u64; LIMBS]; 3]> {
    let mut points = Vec::with_capacity(decoded.len() * LANES);
    for group in decoded {
        let limbs = niels_limbs(proof, group);
        for lane in 0..LANES {
            points.push(limbs.map(|field| field.map(|limb| limb[lane])));
        }
    }
    points
}

with_instructions! {
    fn niels_limbs(proof: Instructions, p: &Extended) -> [[[u64; LANES]; LIMBS]; 3] {
        let fields = [
            p.y.add(&p.x).carry(),
            p.y.sub(&p.x).carry(),
            p.t.carry().times(&Field::constant(proof, &D2)),
        ];
        let mut limbs = [[[0; LANES]; LIMBS]; 3];
        for (field, limbs) in fields.iter().zip(&mut limbs) {
            for (register, limb) in field.canonical().iter().zip(limbs) {
                *limb = register.to_array();
            }
        }
        limbs
    }
}

fn arrange(proof: Instructions, entries: &[[[u64; LIMBS]; 3]]) -> Window {
    std::array::from_fn(|field| {
        std::array::from_fn(|limb| {
            let numbers: [u64; ENTRIES] = std::array::from_fn(|entry| entries[entry][field][limb]);
            Sixteen::new(proof, &numbers)
        })
    })
}
