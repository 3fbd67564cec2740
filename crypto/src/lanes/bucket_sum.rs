//! `sum w_i * P_i` of many public points with public weights of 128 bits, by buckets: some 14 additions a point.
//!
//! - **Place**: the sums of C1, C2 and Z in a chunk's proofs, B3 to B5
//! - **Shapes**: signed digits of c bits, `W = 128 / c + 1` windows; in each, every point is added into the bucket of its digit's
//!   absolute value. Eight buckets of like sizes fill at the same time, one a lane; then eight windows are summed up, one a lane
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

use super::edwards::{Addend, Extended, add, identity_augend};
use super::field::Field;
use super::simd::{Avx512, Mask, U64x8, transpose, with_avx512};

/// Fewer points are summed faster by [`edwards::weighted_sum`](super::edwards::weighted_sum).
pub(crate) const PAYS_FROM: usize = 512;

const WEIGHT_BITS: usize = 128;
/// Marks an entry whose point is subtracted.
const NEGATIVE: u32 = 1 << 31;

/// The 20 limbs of an [`Addend`], one point: it is loaded and stored by whole registers.
#[derive(Clone, Copy)]
struct Row([[u64; 8]; 3]);

/// The sums `T_j` of all windows and the bits of a digit: `sum 2^(bits*j) * T_j` is the weighted sum. Lanes after the last window
/// are the identity.
pub(crate) struct WindowSums {
    /// Eight windows a group, least significant first.
    pub(crate) windows: Vec<Extended>,
    /// Windows in all.
    pub(crate) count: usize,
    /// Bits of a digit.
    pub(crate) bits: usize,
}

/// The sums of all windows; lanes of `points` beyond the weights are not counted. At most 2^31 points.
pub(crate) fn bucket_sum(proof: Avx512, points: &[Extended], weights: &[u128]) -> WindowSums {
    let bits = digit_bits(weights.len());
    let (count, buckets) = (WEIGHT_BITS / bits + 1, 1usize << (bits - 1));
    let identity = identity_row(proof);
    let rows = rows_of(points);
    let mut sums = vec![identity; count * buckets];
    let mut carries = vec![false; weights.len()];
    for (window, sums) in sums.chunks_mut(buckets).enumerate() {
        let digits = digits(weights, window * bits, bits, &mut carries);
        fill(proof, &identity, &rows, &digits, sums);
    }
    let windows = (0..count).step_by(8).map(|first| {
        let lanes: [&[Row]; 8] = std::array::from_fn(|lane| sums.chunks(buckets).nth(first + lane).unwrap_or_default());
        sum_up(proof, &identity, &lanes)
    });
    WindowSums { windows: windows.collect(), count, bits }
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
fn fill(proof: Avx512, identity: &Row, rows: &[Row], digits: &[i32], sums: &mut [Row]) {
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
    // eight of like sizes at a time, so that few lanes wait
    let mut order: Vec<usize> = (0..sums.len()).collect();
    order.sort_unstable_by_key(|at| std::cmp::Reverse(bucket(*at).len()));
    for eight in order.chunks(8) {
        let lists: [&[u32]; 8] = std::array::from_fn(|lane| eight.get(lane).map_or(&[][..], |at| bucket(*at)));
        let filled = fill_eight(proof, identity, rows, &lists);
        for (at, row) in eight.iter().zip(&filled) {
            sums[*at] = *row;
        }
    }
}

with_avx512! {
    /// The sums of eight lists of points, one a lane.
    fn fill_eight(proof: Avx512, identity: &Row, rows: &[Row], lists: &[&[u32]; 8]) -> [Row; 8] {
        let mut longest = 0;
        for list in lists {
            longest = if list.len() > longest { list.len() } else { longest };
        }
        let mut augend = identity_augend(proof);
        let mut sum = Extended::identity(proof);
        let mut step = 0;
        while step < longest {
            let mut lanes = [identity; 8];
            let mut negative: Mask = 0;
            let mut lane = 0;
            while lane < 8 {
                if step < lists[lane].len() {
                    let entry = lists[lane][step];
                    lanes[lane] = &rows[(entry & !NEGATIVE) as usize];
                    negative |= Mask::from(entry & NEGATIVE != 0) << lane;
                }
                lane += 1;
            }
            let completed = add(&augend, &load(proof, &lanes), negative);
            augend = completed.augend();
            step += 1;
            if step == longest {
                sum = completed.extended();
            }
        }
        store(&sum.addend())
    }
}

with_avx512! {
    /// `sum (b + 1) * S_b` of eight windows, one a lane; a window without buckets is the identity.
    fn sum_up(proof: Avx512, identity: &Row, windows: &[&[Row]; 8]) -> Extended {
        let mut running = Extended::identity(proof);
        let mut total = Extended::identity(proof);
        let mut at = windows[0].len();
        while at > 0 {
            at -= 1;
            let mut lanes = [identity; 8];
            let mut lane = 0;
            while lane < 8 {
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

fn identity_row(proof: Avx512) -> Row {
    store_extended(&Extended::identity(proof))[0]
}

fn rows_of(points: &[Extended]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(points.len() * 8);
    for eight in points {
        rows.extend_from_slice(&store_extended(eight));
    }
    rows
}

with_avx512! {
    fn store_extended(points: &Extended) -> [Row; 8] {
        store(&points.addend())
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn load(t: Avx512, lanes: &[&Row; 8]) -> Addend {
    let mut limbs = [[U64x8::zero(t); 8]; 3];
    let mut part = 0;
    while part < 3 {
        let mut rows = [U64x8::zero(t); 8];
        let mut lane = 0;
        while lane < 8 {
            rows[lane] = U64x8::load(t, &lanes[lane].0[part]);
            lane += 1;
        }
        limbs[part] = transpose(&rows);
        part += 1;
    }
    let [a, b, c] = limbs;
    Addend {
        y_plus_x: Field([a[0], a[1], a[2], a[3], a[4]]),
        y_minus_x: Field([a[5], a[6], a[7], b[0], b[1]]),
        z2: Field([b[2], b[3], b[4], b[5], b[6]]),
        t2d: Field([b[7], c[0], c[1], c[2], c[3]]),
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn store(addend: &Addend) -> [Row; 8] {
    let Addend { y_plus_x: Field(p), y_minus_x: Field(m), z2: Field(z), t2d: Field(t) } = addend;
    let zero = U64x8::zero(p[0].proof());
    let parts = [
        transpose(&[p[0], p[1], p[2], p[3], p[4], m[0], m[1], m[2]]),
        transpose(&[m[3], m[4], z[0], z[1], z[2], z[3], z[4], t[0]]),
        transpose(&[t[1], t[2], t[3], t[4], zero, zero, zero, zero]),
    ];
    let mut rows = [Row([[0; 8]; 3]); 8];
    let mut lane = 0;
    while lane < 8 {
        rows[lane] = Row([parts[0][lane].to_array(), parts[1][lane].to_array(), parts[2][lane].to_array()]);
        lane += 1;
    }
    rows
}
