//! Arithmetic modulo p = 2^255 - 19 on limbs of 52 bits: the products of AVX-512 IFMA.
//!
//! - **Place**: under `field`, whose types say which limbs may meet which
//! - **Shapes**: five limbs of 64 bits a lane, least significant first, weights 2^(52 i)
//! - **Invariants**: IFMA reads the low 52 bits of a multiplicand's limb, so limbs 0 to 3 may have any bits above them (their
//!   carries went on already); limb 4 is below 2^47 + 2^44 ([`BOUNDS`]). Every bit of a sum's limbs counts
//! - **Security**: no branch and no address depends on a lane; bounds are checked by debug assertions
//! - **Source**: SPEED.md, "The vertical kernel"
//!
//! # Bounds
//! ```text
//! product    column k sums at most 9 halves below 2^52; the fold by 608 = 2^260 mod p adds less than 2^52 + 2^15: below 2^56
//!            column 9 is a_4*b_4 >> 52 < 2^42.6, times 608 < 2^52: nothing is cut off at the top
//! carry      limb 4 keeps 47 bits, what is above (< 2^14) comes back times 19; limbs 0 to 3 pass on what is above 52 bits (< 2^10)
//! a - b      4096*p is added, limbs from 2^59 - 77824: no limb of b (< 2^58) makes a lane negative
//! ```

use super::simd::U64s;

/// Limbs of a number.
pub(super) const LIMBS: usize = 5;
/// The lowest bit of each limb, and the end of the last.
pub(super) const PLACES: [u32; LIMBS + 1] = [0, 52, 104, 156, 208, 255];
/// Limbs of what is subtracted are below this.
pub(super) const SUBTRAHEND_BOUND: u64 = 1 << 58;
/// Limbs of what is carried are below this.
pub(super) const WIDE_BOUND: u64 = 1 << 61;
/// 4096 * p.
pub(super) const BIAS: [u64; LIMBS] =
    [(1 << 59) - 77_824, (1 << 59) - 128, (1 << 59) - 128, (1 << 59) - 128, (1 << 59) - 128];
/// Four doublings in a row are written out: their code fits the instruction cache, and none waits for what one leaves in memory.
pub(super) const WRITTEN_OUT: bool = true;

/// What counts of a multiplicand's limbs is below these.
pub(super) const BOUNDS: [u64; LIMBS] = [1 << 52, 1 << 52, 1 << 52, 1 << 52, (1 << 47) + (1 << 44)];
const LOW_52: u64 = (1 << 52) - 1;
const LOW_47: u64 = (1 << 47) - 1;
/// 2^260 modulo p.
const FOLD: u64 = 608;

/// A multiplicand of the same value; limbs below [`WIDE_BOUND`].
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn carry(r: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let t = r[0].proof();
    let above = r[4].shr::<47>();
    let top = r[4].and(U64s::splat(t, LOW_47));
    let r0 = r[0].add_low_product(above, U64s::splat(t, 19));
    let r1 = r[1].add(r0.shr::<52>());
    let r2 = r[2].add(r1.shr::<52>());
    let r3 = r[3].add(r2.shr::<52>());
    let r4 = top.add(r3.shr::<52>());
    [r0, r1, r2, r3, r4]
}

/// A multiplicand's value with limbs that count in full: see [`BOUNDS`].
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn exact(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let mask = U64s::splat(a[0].proof(), LOW_52);
    [a[0].and(mask), a[1].and(mask), a[2].and(mask), a[3].and(mask), a[4]]
}

/// The product of multiplicands, limbs below 2^56.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn mul(a: &[U64s; LIMBS], b: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let mut t = [U64s::zero(a[0].proof()); 10];
    macro_rules! rows {
        ($($i:literal),*) => { $( rows!(@ $i, 4); rows!(@ $i, 3); rows!(@ $i, 2); rows!(@ $i, 1); rows!(@ $i, 0); )* };
        (@ $i:literal, $j:literal) => {
            t[$i + $j] = t[$i + $j].add_low_product(a[$i], b[$j]);
            t[$i + $j + 1] = t[$i + $j + 1].add_high_product(a[$i], b[$j]);
        };
    }
    rows!(4, 3, 2, 1, 0);
    fold(&t)
}

/// The square of a multiplicand, limbs below 2^56.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn square(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let mut t = [U64s::zero(a[0].proof()); 10];
    macro_rules! products {
        ($(($i:literal, $j:literal)),*) => { $(
            t[$i + $j] = t[$i + $j].add_low_product(a[$i], a[$j]);
            t[$i + $j + 1] = t[$i + $j + 1].add_high_product(a[$i], a[$j]);
        )* };
    }
    products!((3, 4), (2, 4), (1, 4), (2, 3), (0, 4), (1, 3), (0, 3), (1, 2), (0, 2), (0, 1));
    macro_rules! doubled {
        ($($k:literal),*) => { $( t[$k] = t[$k].add(t[$k]); )* };
    }
    doubled!(1, 2, 3, 4, 5, 6, 7, 8);
    products!((4, 4), (3, 3), (2, 2), (1, 1), (0, 0));
    fold(&t)
}

/// Columns 0 to 9 of a product, modulo p: column k + 5 counts 608 times in column k.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn fold(t: &[U64s; 10]) -> [U64s; LIMBS] {
    let fold = U64s::splat(t[0].proof(), FOLD);
    let r0 = t[0].add_low_product(t[5], fold);
    let r1 = t[1].add_high_product(t[5], fold).add_low_product(t[6], fold);
    let r2 = t[2].add_high_product(t[6], fold).add_low_product(t[7], fold);
    let r3 = t[3].add_high_product(t[7], fold).add_low_product(t[8], fold);
    let r4 = t[4].add_high_product(t[8], fold).add_low_product(t[9], fold);
    // what a column has above its 52 bits
    [
        r0,
        r1.add_low_product(t[5].shr::<52>(), fold),
        r2.add_low_product(t[6].shr::<52>(), fold),
        r3.add_low_product(t[7].shr::<52>(), fold),
        r4.add_low_product(t[8].shr::<52>(), fold),
    ]
}

/// The limbs of a multiplicand's one value below p: 52 bits each, the last 47.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn canonical(a: &[U64s; LIMBS]) -> [U64s; LIMBS] {
    let t = a[0].proof();
    let (nineteen, low_52, low_47) = (U64s::splat(t, 19), U64s::splat(t, LOW_52), U64s::splat(t, LOW_47));
    let [x0, x1, x2, x3, x4] = exact(a);
    // below 2^255 + 2^53 now
    let x0 = x0.add_low_product(x4.shr::<47>(), nineteen);
    let x4 = x4.and(low_47);
    // 1 where the value is p or more: then adding 19 reaches 2^255
    let mut over = x0.add(nineteen).shr::<52>();
    over = x1.add(over).shr::<52>();
    over = x2.add(over).shr::<52>();
    over = x3.add(over).shr::<52>();
    over = x4.add(over).shr::<47>();
    let x0 = x0.add_low_product(over, nineteen);
    let x1 = x1.add(x0.shr::<52>());
    let x2 = x2.add(x1.shr::<52>());
    let x3 = x3.add(x2.shr::<52>());
    let x4 = x4.add(x3.shr::<52>());
    [x0.and(low_52), x1.and(low_52), x2.and(low_52), x3.and(low_52), x4.and(low_47)]
}

/// Little-endian words of canonical limbs: word w, lane i.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn to_words([a, b, c, d, e]: &[U64s; LIMBS]) -> [U64s; 4] {
    [
        a.or(b.shl::<52>()),
        b.shr::<12>().or(c.shl::<40>()),
        c.shr::<24>().or(d.shl::<28>()),
        d.shr::<36>().or(e.shl::<16>()),
    ]
}

/// Limbs of four little-endian words; bit 255 is ignored.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn from_words([w0, w1, w2, w3]: &[U64s; 4]) -> [U64s; LIMBS] {
    let t = w0.proof();
    let (low_52, low_47) = (U64s::splat(t, LOW_52), U64s::splat(t, LOW_47));
    [
        w0.and(low_52),
        w0.shr::<52>().or(w1.shl::<12>()).and(low_52),
        w1.shr::<40>().or(w2.shl::<24>()).and(low_52),
        w2.shr::<28>().or(w3.shl::<36>()).and(low_52),
        w3.shr::<16>().and(low_47),
    ]
}
