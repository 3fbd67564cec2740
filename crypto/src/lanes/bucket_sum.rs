//! `sum w_i * P_i` of many public points with public weights of 128 bits, by buckets: some 14 additions a point.
//!
//! - **Place**: the sums of C1, C2 and Z in a chunk's proofs, B3 to B5
//! - **Shapes**: signed digits of c bits, `W = 128 / c + 1` windows; in each, every point is added into the bucket of its digit's
//!   absolute value. Buckets of like sizes fill side by side, one a lane; then windows are summed up, one a lane
//! - **Security**: variable time and memory accesses by weight: for public values only
//! - **Source**: Pippenger 1976; Bernstein, Doumen, Lange, Oosterwijk 2012, "Faster batch forgery identification", section 4
//!
//! # Sums
//! ```text
//! w_i = sum_j d_ij * 2^(c*j), |d_ij| <= 2^(c-1)
//! S_jb = sum of P_i where d_ij = b, less those where d_ij = -b        buckets
//! T_j = sum_b b * S_jb                                                 running sums, from the greatest b down
//! sum w_i * P_i = sum_j 2^(c*j) * T_j
//! ```

use curve25519_dalek::{
    ristretto::{CompressedRistretto, RistrettoPoint},
    traits::Identity,
};

use super::edwards::{Addend, Extended, add, identity_augend};
use super::field::Field;
use super::limbs::LIMBS;
use super::ristretto;
use super::simd::{Instructions, LANES, Mask, U64s, transpose, with_instructions};

/// Fewer points are summed faster by [`edwards::weighted_sum`](super::edwards::weighted_sum).
pub(super) const PAYS_FROM: usize = 512;

const WEIGHT_BITS: usize = 128;
/// Marks an entry whose point is subtracted.
const NEGATIVE: u32 = 1 << 31;
/// Limbs of an [`Addend`].
const ADDEND: usize = 4 * LIMBS;
/// Registers of a [`Row`].
const PARTS: usize = ADDEND.div_ceil(LANES);

/// The limbs of an [`Addend`], one point: it is loaded and stored by whole registers.
#[derive(Clone, Copy)]
struct Row([[u64; LANES]; PARTS]);

/// `sum w_i * P_i`; lanes of `points` beyond the weights are not counted. At most 2^31 points.
pub(super) fn bucket_sum(proof: Instructions, points: &[Extended], weights: &[u128]) -> RistrettoPoint {
    let bits = digit_bits(weights.len());
    let (count, buckets) = (WEIGHT_BITS / bits + 1, 1usize << (bits - 1));
    let identity = store_all(&Extended::identity(proof))[0];
    let rows: Vec<Row> = points.iter().flat_map(store_all).collect();
    let mut sums = vec![identity; count * buckets];
    let mut carries = vec![false; weights.len()];
    for (window, sums) in sums.chunks_mut(buckets).enumerate() {
        let digits = digits(weights, window * bits, bits, &mut carries);
        fill(proof, &identity, &rows, &digits, sums);
    }
    let windows = (0..count).step_by(LANES).map(|first| {
        let windows = std::array::from_fn(|lane| sums.chunks(buckets).nth(first + lane).unwrap_or_default());
        sum_up(proof, &identity, &windows)
    });
    // T_j, least significant first
    let windows = ristretto::encode_all(&windows.collect::<Vec<_>>(), count);
    let decoded =
        windows.into_iter().map(|encoding| CompressedRistretto(encoding).decompress().expect("encoded above"));
    decoded
        .rfold(RistrettoPoint::identity(), |higher, window| (0..bits).fold(higher, |point, _| point + point) + window)
}

/// Bits at which filling buckets and summing them up cost the least together.
const fn digit_bits(points: usize) -> usize {
    match points {
        0..2048 => 7,
        2048..8192 => 8,
        _ => 10,
    }
}

/// The digits that begin at `bit`, in [-2^(bits-1), 2^(bits-1)]; the carries are those from below, then those to above.
fn digits(weights: &[u128], bit: usize, bits: usize, carries: &mut [bool]) -> Vec<i32> {
    let half = 1i32 << (bits - 1);
    let digit = |(weight, carry): (&u128, &mut bool)| {
        // the last window may hold the carry alone
        let rest = weight.checked_shr(bit as u32).unwrap_or(0);
        let digit = (rest & ((1 << bits) - 1)) as i32 + i32::from(*carry);
        *carry = digit > half;
        if *carry { digit - 2 * half } else { digit }
    };
    weights.iter().zip(carries).map(digit).collect()
}

/// Adds every point into the bucket of its digit: `sums[b - 1]` becomes `S_b`.
fn fill(proof: Instructions, identity: &Row, rows: &[Row], digits: &[i32], sums: &mut [Row]) {
    // points by bucket, a counting sort
    let mut ends = vec![0usize; sums.len()];
    for digit in digits.iter().filter(|digit| **digit != 0) {
        ends[digit.unsigned_abs() as usize - 1] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        (*end, total) = (total, total + *end);
    }
    let mut entries = vec![0u32; total];
    for (point, digit) in (0u32..).zip(digits) {
        if *digit != 0 {
            let end = &mut ends[digit.unsigned_abs() as usize - 1];
            entries[*end] = if *digit < 0 { point | NEGATIVE } else { point };
            *end += 1;
        }
    }
    let bucket = |at: usize| &entries[if at == 0 { 0 } else { ends[at - 1] }..ends[at]];
    // those of like sizes side by side, so that few lanes wait
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_unstable_by_key(|at| std::cmp::Reverse(bucket(*at).len()));
    for group in order.chunks(LANES) {
        let lists: [&[u32]; LANES] = std::array::from_fn(|lane| group.get(lane).map_or(&[][..], |at| bucket(*at)));
        let filled = fill_group(proof, identity, rows, &lists);
        for (at, row) in group.iter().zip(&filled) {
            sums[*at] = *row;
        }
    }
}

with_instructions! {
    /// The sums of lists of points, a list a lane.
    fn fill_group(proof: Instructions, identity: &Row, rows: &[Row], lists: &[&[u32]; LANES]) -> [Row; LANES] {
        let mut longest = 0;
        for list in lists {
            longest = if list.len() > longest { list.len() } else { longest };
        }
        let mut augend = identity_augend(proof);
        let mut sum = Extended::identity(proof);
        let mut step = 0;
        while step < longest {
            let mut lanes = [identity; LANES];
            let mut negative = [false; LANES];
            let mut lane = 0;
            while lane < LANES {
                if step < lists[lane].len() {
                    let entry = lists[lane][step];
                    lanes[lane] = &rows[(entry & !NEGATIVE) as usize];
                    negative[lane] = entry & NEGATIVE != 0;
                }
                lane += 1;
            }
            let completed = add(&augend, &load(proof, &lanes), Mask::from_array(proof, negative));
            augend = completed.augend();
            step += 1;
            if step == longest {
                sum = completed.extended();
            }
        }
        store(&sum.addend())
    }
}

with_instructions! {
    /// `sum (b + 1) * S_b` of windows, one a lane; a window without buckets is the identity.
    fn sum_up(proof: Instructions, identity: &Row, windows: &[&[Row]; LANES]) -> Extended {
        let mut running = Extended::identity(proof);
        let mut total = Extended::identity(proof);
        let mut at = windows[0].len();
        while at > 0 {
            at -= 1;
            let mut lanes = [identity; LANES];
            let mut lane = 0;
            while lane < LANES {
                if at < windows[lane].len() {
                    lanes[lane] = &windows[lane][at];
                }
                lane += 1;
            }
            running = running.plus(&load(proof, &lanes));
            total = total.add(&running);
        }
        total
    }
}

with_instructions! {
    fn store_all(points: &Extended) -> [Row; LANES] {
        store(&points.addend())
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn load(t: Instructions, lanes: &[&Row; LANES]) -> Addend {
    let mut limbs = [U64s::zero(t); PARTS * LANES];
    let mut part = 0;
    while part < PARTS {
        let mut rows = [U64s::zero(t); LANES];
        let mut lane = 0;
        while lane < LANES {
            rows[lane] = U64s::load(t, &lanes[lane].0[part]);
            lane += 1;
        }
        let columns = transpose(&rows);
        let mut lane = 0;
        while lane < LANES {
            limbs[part * LANES + lane] = columns[lane];
            lane += 1;
        }
        part += 1;
    }
    let mut addend = [Field::zero(t); 4];
    let mut limb = 0;
    while limb < ADDEND {
        addend[limb / LIMBS].0[limb % LIMBS] = limbs[limb];
        limb += 1;
    }
    let [y_plus_x, y_minus_x, z2, t2d] = addend;
    Addend { y_plus_x, y_minus_x, z2, t2d }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn store(addend: &Addend) -> [Row; LANES] {
    let fields = [&addend.y_plus_x, &addend.y_minus_x, &addend.z2, &addend.t2d];
    let mut rows = [Row([[0; LANES]; PARTS]); LANES];
    let mut part = 0;
    while part < PARTS {
        let mut columns = [U64s::zero(addend.z2.0[0].proof()); LANES];
        let mut lane = 0;
        while lane < LANES && part * LANES + lane < ADDEND {
            let limb = part * LANES + lane;
            columns[lane] = fields[limb / LIMBS].0[limb % LIMBS];
            lane += 1;
        }
        let of_points = transpose(&columns);
        let mut lane = 0;
        while lane < LANES {
            rows[lane].0[part] = of_points[lane].to_array();
            lane += 1;
        }
        part += 1;
    }
    rows
}
