//! Arithmetic modulo p = 2^255 - 19 on limbs of 26 and 25 bits: the products of VPMULUDQ.
//!
//! - **Place**: under `field`, whose types say which limbs may meet which
//! - **Shapes**: ten limbs of 64 bits a lane, least significant first, weights 2^ceil(25.5 i): even limbs of 26 bits, odd ones of 25
//! - **Invariants**: VPMULUDQ reads the low 32 bits of a multiplicand's limb, so there may be any bits above them; of those 32 an
//!   even limb is below 2^26 + 2^13, an odd one below 2^25 + 2^17 ([`BOUNDS`]). Every bit of a sum's limbs counts
//! - **Security**: no branch and no address depends on a lane; bounds are checked by debug assertions
//! - **Source**: Bernstein, Duif, Lange, Schwabe, Yang 2011 for the radix and the order of carries
//! - **Deviations**: products and squares are functions that are called: a `k*P` of inlined ones passes the instruction cache
//!
//! # Bounds
//! ```text
//! multiplier 2*a_i < 2^26.1 for odd i, 19*a_i < 2^30.3, 38*a_i < 2^30.3 for odd i: below 2^32
//! product    a_i*b_j counts twice where i and j are odd, 19 times where i + j > 9. Column 0 is the largest: one even product, four
//!            even ones times 19 and five odd ones times 38, each even product < 2^52.001, each odd one < 2^50.012: below 2^59
//! carry      limbs below 2^63 pass on less than 2^38; limb 9's comes back times 19, which leaves limb 0 less than 2^43 and
//!            limb 1 less than 2^17 above its bits; limb 5, carried twice, leaves limb 6 less than 2^13 above its bits
//! a - b      2^36*p is added, limbs from 2^61 - 2^36: no limb of b (< 2^60) makes a lane negative
//! ```

use std::hint::black_box;

use super::simd::{U64s, with_instructions};

/// Limbs of a number.
pub(super) const LIMBS: usize = 10;
/// The lowest bit of each limb, and the end of the last.
pub(super) const PLACES: [u32; LIMBS + 1] = [0, 26, 51, 77, 102, 128, 153, 179, 204, 230, 255];
/// Limbs of what is subtracted are below this.
pub(super) const SUBTRAHEND_BOUND: u64 = 1 << 60;
/// Limbs of what is carried are below this.
pub(super) const WIDE_BOUND: u64 = 1 << 63;
/// 2^36 * p.
pub(super) const BIAS: [u64; LIMBS] = {
    const EVEN: u64 = ((1 << 26) - 1) << 36;
    const ODD: u64 = ((1 << 25) - 1) << 36;
    [((1 << 26) - 19) << 36, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD]
};
/// Four doublings in a row are a loop: written out, their code passes the instruction cache.
pub(super) const WRITTEN_OUT: bool = false;

/// What counts of a multiplicand's limbs is below these.
pub(super) const BOUNDS: [u64; LIMBS] = {
    const EVEN: u64 = (1 << 26) + (1 << 13);
    const ODD: u64 = (1 << 25) + (1 << 17);
    [EVEN, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD]
};
const LOW_32: u64 = (1 << 32) - 1;
const LOW_26: u64 = (1 << 26) - 1;
const LOW_25: u64 = (1 << 25) - 1;

/// A multiplicand of the same value; limbs below [`WIDE_BOUND`].
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn carry(r: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let t = r[0].proof();
    let (low_26, low_25) = (U64s::splat(t, LOW_26), U64s::splat(t, LOW_25));
    let mut r = *r;
    macro_rules! even {
        ($i:literal) => {
            r[$i + 1] = r[$i + 1].add(r[$i].shr::<26>());
            r[$i] = r[$i].and(low_26);
        };
    }
    macro_rules! odd {
        ($i:literal) => {
            r[$i + 1] = r[$i + 1].add(r[$i].shr::<25>());
            r[$i] = r[$i].and(low_25);
        };
    }
    // two chains side by side, each waits for its own results alone
    even!(0);
    odd!(5);
    odd!(1);
    even!(6);
    even!(2);
    odd!(7);
    odd!(3);
    even!(8);
    even!(4);
    let above = r[9].shr::<25>();
    r[9] = r[9].and(low_25);
    // 19 = 16 + 2 + 1: `above` has more than 32 bits
    r[0] = r[0].add(above.shl::<4>()).add(above.add(above).add(above));
    odd!(5);
    even!(0);
    r
}

/// A multiplicand's value with limbs that count in full; see [`BOUNDS`].
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn exact(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let low_32 = U64s::splat(a[0].proof(), LOW_32);
    let mut exact = *a;
    let mut i = 0;
    while i < LIMBS {
        exact[i] = exact[i].and(low_32);
        i += 1;
    }
    exact
}

/// `f * a_i` of a multiplicand's limbs, in the low 32 bits.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn multiples(a: &[U64s; LIMBS], f: u64) -> [U64s; LIMBS] {
    let f = U64s::splat(a[0].proof(), f);
    let mut multiples = *a;
    let mut i = 0;
    while i < LIMBS {
        multiples[i] = a[i].product(f);
        i += 1;
    }
    multiples
}

/// `2 * a_i` of a multiplicand's limbs, in the low 32 bits.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn doubles(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let mut doubles = *a;
    let mut i = 0;
    while i < LIMBS {
        doubles[i] = a[i].add(a[i]);
        i += 1;
    }
    doubles
}

with_instructions! {
    /// The product of multiplicands, limbs below 2^59.
    pub(super) fn mul(a: &[U64s; LIMBS], b: &[U64s; LIMBS]) -> [U64s; LIMBS] {
        let b19 = multiples(b, 19);
        // in memory, aligned: spilled by the compiler it would lie across cache lines
        let b19 = black_box(&b19);
        let a2 = doubles(a);
        let mut t = [U64s::zero(a[0].proof()); LIMBS];
        macro_rules! rows {
            ($($i:literal),*) => { $( rows!(@ $i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9); )* };
            (@ $i:literal, $($j:literal),*) => { $(
                let twice = $i % 2 == 1 && $j % 2 == 1;
                let wraps = $i + $j >= LIMBS;
                let (x, y) = (if twice { a2[$i] } else { a[$i] }, if wraps { b19[$j] } else { b[$j] });
                t[($i + $j) % LIMBS] = t[($i + $j) % LIMBS].add(x.product(y));
            )* };
        }
        rows!(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
        t
    }
}

with_instructions! {
    /// The square of a multiplicand, limbs below 2^59.
    pub(super) fn square(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
        let a2 = doubles(a);
        let (a19, a38) = (multiples(a, 19), multiples(a, 38));
        let mut t = [U64s::zero(a[0].proof()); LIMBS];
        macro_rules! row {
            ($i:literal: $($j:literal),*) => { $(
                let (i_odd, j_odd, wraps) = ($i % 2 == 1, $j % 2 == 1, $i + $j >= LIMBS);
                // 38 holds the 2 of a pair of unequal limbs, or that of two odd ones
                let other = match (wraps, j_odd) {
                    (true, true) => a38[$j],
                    (true, false) => a19[$j],
                    (false, true) if i_odd => a2[$j],
                    (false, _) => a[$j],
                };
                let once = $i == $j || wraps && j_odd && !i_odd;
                t[($i + $j) % LIMBS] = t[($i + $j) % LIMBS].add((if once { a[$i] } else { a2[$i] }).product(other));
            )* };
        }
        row!(0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
        row!(1: 1, 2, 3, 4, 5, 6, 7, 8, 9);
        row!(2: 2, 3, 4, 5, 6, 7, 8, 9);
        row!(3: 3, 4, 5, 6, 7, 8, 9);
        row!(4: 4, 5, 6, 7, 8, 9);
        row!(5: 5, 6, 7, 8, 9);
        row!(6: 6, 7, 8, 9);
        row!(7: 7, 8, 9);
        row!(8: 8, 9);
        row!(9: 9);
        t
    }
}

/// The limbs of a multiplicand's one value below p: 26 and 25 bits.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn canonical(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let t = a[0].proof();
    let (nineteen, low_26, low_25) = (U64s::splat(t, 19), U64s::splat(t, LOW_26), U64s::splat(t, LOW_25));
    let mut x = exact(a);
    // below 2^255 + 2^218 then
    x[0] = x[0].add(x[9].shr::<25>().product(nineteen));
    x[9] = x[9].and(low_25);
    // 1 where the value is p or more: then adding 19 reaches 2^255
    let mut over = nineteen;
    macro_rules! pass_over {
        ($($even:literal, $odd:literal);*) => { $(
            over = x[$even].add(over).shr::<26>();
            over = x[$odd].add(over).shr::<25>();
        )* };
    }
    pass_over!(0, 1; 2, 3; 4, 5; 6, 7; 8, 9);
    let mut over = over.product(nineteen);
    macro_rules! add_over {
        ($($even:literal, $odd:literal);*) => { $(
            x[$even] = x[$even].add(over);
            x[$odd] = x[$odd].add(x[$even].shr::<26>());
            over = x[$odd].shr::<25>();
            (x[$even], x[$odd]) = (x[$even].and(low_26), x[$odd].and(low_25));
        )* };
    }
    add_over!(0, 1; 2, 3; 4, 5; 6, 7; 8, 9);
    x
}

/// Little-endian words of canonical limbs: word w, lane i.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn to_words([a, b, c, d, e, f, g, h, i, j]: &[U64s; LIMBS]) -> [U64s; 4] {
    [
        a.or(b.shl::<26>()).or(c.shl::<51>()),
        c.shr::<13>().or(d.shl::<13>()).or(e.shl::<38>()),
        f.or(g.shl::<25>()).or(h.shl::<51>()),
        h.shr::<13>().or(i.shl::<12>()).or(j.shl::<38>()),
    ]
}

/// Limbs of four little-endian words; bit 255 is ignored.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn from_words([w0, w1, w2, w3]: &[U64s; 4]) -> [U64s; LIMBS] {
    let t = w0.proof();
    let (low_26, low_25) = (U64s::splat(t, LOW_26), U64s::splat(t, LOW_25));
    [
        w0.and(low_26),
        w0.shr::<26>().and(low_25),
        w0.shr::<51>().or(w1.shl::<13>()).and(low_26),
        w1.shr::<13>().and(low_25),
        w1.shr::<38>(),
        w2.and(low_25),
        w2.shr::<25>().and(low_26),
        w2.shr::<51>().or(w3.shl::<13>()).and(low_25),
        w3.shr::<12>().and(low_26),
        w3.shr::<38>().and(low_25),
    ]
}
