//! Arithmetic modulo p = 2^255 - 19 in eight lanes, radix 2^52.
//!
//! - **Place**: under `edwards` and `ristretto`
//! - **Shapes**: five limbs of 64 bits a lane, least significant first, weights 2^(52 i)
//! - **Invariants**: two types keep the two kinds of limbs apart, so that what may not meet cannot:
//!   - [`Field`] may be multiplied only. IFMA reads the low 52 bits of a limb, so limbs 0 to 3 may have any bits above them (their
//!     carries went on already); limb 4 is below [`TOP_BOUND`] = 2^47 + 2^44
//!   - [`Wide`] may be added and subtracted. Every bit of its limbs counts; a product's are below 2^56, a sum's are
//!     below [`WIDE_BOUND`] = 2^61 when it is carried. Only [`Wide::carry`] turns one into a [`Field`]
//! - **Security**: no branch and no address depends on a lane; bounds are checked by debug assertions
//! - **Source**: RFC 9496 section 4.2 for `sqrt_ratio_i`; SPEED.md, "The vertical kernel"
//!
//! # Bounds
//! ```text
//! product    column k sums at most 9 halves below 2^52; the fold by 608 = 2^260 mod p adds less than 2^52 + 2^15: below 2^56
//!            column 9 is a_4*b_4 >> 52 < 2^42.6, times 608 < 2^52: nothing is cut off at the top
//! carry      limb 4 keeps 47 bits, what is above (< 2^14) comes back times 19; limbs 0 to 3 pass on what is above 52 bits (< 2^10)
//! a - b      4096*p is added, limbs from 2^59 - 77824: no limb of b (< 2^58) makes a lane negative
//! ```

use super::simd::{Avx512, Mask, U64x8};

/// Limb 4 of a [`Field`] is below this.
const TOP_BOUND: u64 = (1 << 47) + (1 << 44);
/// Limbs of a [`Wide`] are below this when it is carried.
const WIDE_BOUND: u64 = 1 << 61;
/// Limbs of a [`Wide`] that is subtracted are below this.
const SUBTRAHEND_BOUND: u64 = 1 << 58;
const LOW_52: u64 = (1 << 52) - 1;
const LOW_47: u64 = (1 << 47) - 1;
/// 2^260 modulo p.
const FOLD: u64 = 608;

/// 4096 * p.
const BIAS: [u64; 5] = [(1 << 59) - 77_824, (1 << 59) - 128, (1 << 59) - 128, (1 << 59) - 128, (1 << 59) - 128];
/// d of the curve: -121665/121666.
pub(super) const D: [u64; 5] = [0xb4dca135978a3, 0x4d4141d8ab75e, 0x779e89800700a, 0xfe738cc740797, 0x52036cee2b6f];
/// 2 * d.
pub(super) const D2: [u64; 5] = [0x69b9426b2f159, 0x9a8283b156ebd, 0xef3d13000e014, 0xfce7198e80f2e, 0x2406d9dc56df];
/// The even square root of -1.
pub(super) const SQRT_M1: [u64; 5] =
    [0xe1b274a0ea0b0, 0x6ad2fe478c4e, 0xdfbd7a72f4318, 0xdf0b2b4d00993, 0x2b8324804fc1];
/// sqrt(a*d - 1).
pub(super) const SQRT_AD_MINUS_ONE: [u64; 5] =
    [0x7f6a0497b2e1b, 0xc1b7854bd7e9, 0x1f5d1fdaf9d8e, 0x48ac0f3cfcc93, 0x376931bf2b83];
/// 1 / sqrt(a - d).
pub(super) const INVSQRT_A_MINUS_D: [u64; 5] =
    [0x8fdaa805d40ea, 0x175a4172be99c, 0xe01d8409d2f16, 0xfca216c27b91f, 0x786c8905cfaf];
/// 1 - d^2.
pub(super) const ONE_MINUS_D_SQ: [u64; 5] =
    [0xc09c1945fc176, 0x38cd5e350fe27, 0xe70dfe42c81a1, 0xe0d79994abddb, 0x29072a8b2b3];
/// (d - 1)^2.
pub(super) const D_MINUS_ONE_SQ: [u64; 5] =
    [0xd5aaa44ed4d20, 0x2cb01e199931a, 0x29b4eebd29e4a, 0x22414cdcd32f5, 0x5968b37af66c];
const ONE: [u64; 5] = [1, 0, 0, 0, 0];
const TWO: [u64; 5] = [2, 0, 0, 0, 0];

/// A multiplicand; see the module for its limbs.
#[derive(Clone, Copy)]
pub(super) struct Field(pub(super) [U64x8; 5]);

/// A sum of products; see the module for its limbs.
#[derive(Clone, Copy)]
pub(super) struct Wide(pub(super) [U64x8; 5]);

/// An expression for each of the five limbs. No closure: a closure is a function of its own, compiled without AVX-512.
macro_rules! limbs {
    ($i:ident => $limb:expr) => {
        [
            {
                const $i: usize = 0;
                $limb
            },
            {
                const $i: usize = 1;
                $limb
            },
            {
                const $i: usize = 2;
                $limb
            },
            {
                const $i: usize = 3;
                $limb
            },
            {
                const $i: usize = 4;
                $limb
            },
        ]
    };
}

#[allow(clippy::inline_always)] // see `simd`
impl Wide {
    #[inline(always)]
    pub(super) fn constant(t: Avx512, value: &[u64; 5]) -> Wide {
        Wide(limbs!(I => U64x8::splat(t, value[I])))
    }

    #[inline(always)]
    pub(super) fn zero(t: Avx512) -> Wide {
        Wide([U64x8::zero(t); 5])
    }

    #[inline(always)]
    pub(super) fn one(t: Avx512) -> Wide {
        Wide::constant(t, &ONE)
    }

    #[inline(always)]
    pub(super) fn add(&self, other: &Wide) -> Wide {
        Wide(limbs!(I => self.0[I].add(other.0[I])))
    }

    #[inline(always)]
    pub(super) fn double(&self) -> Wide {
        self.add(self)
    }

    /// `self - other + 4096*p`; limbs of `other` below 2^58.
    #[inline(always)]
    pub(super) fn sub(&self, other: &Wide) -> Wide {
        debug_assert!(other.0.iter().all(|limb| limb.all_below(SUBTRAHEND_BOUND)));
        let t = self.0[0].proof();
        Wide(limbs!(I => self.0[I].add(U64x8::splat(t, BIAS[I])).sub(other.0[I])))
    }

    /// `-self + 4096*p`.
    #[inline(always)]
    pub(super) fn negate(&self) -> Wide {
        Wide::zero(self.0[0].proof()).sub(self)
    }

    #[inline(always)]
    pub(super) fn blend(&self, mask: Mask, other: &Wide) -> Wide {
        Wide(limbs!(I => self.0[I].blend(mask, other.0[I])))
    }

    /// The multiplicand with this value modulo p; limbs of `self` below 2^61.
    #[inline(always)]
    pub(super) fn carry(&self) -> Field {
        debug_assert!(self.0.iter().all(|limb| limb.all_below(WIDE_BOUND)));
        let r = &self.0;
        let t = r[0].proof();
        let above = r[4].shr::<47>();
        let top = r[4].and(U64x8::splat(t, LOW_47));
        let r0 = r[0].add_low_product(above, U64x8::splat(t, 19));
        let r1 = r[1].add(r0.shr::<52>());
        let r2 = r[2].add(r1.shr::<52>());
        let r3 = r[3].add(r2.shr::<52>());
        let r4 = top.add(r3.shr::<52>());
        Field([r0, r1, r2, r3, r4])
    }
}

#[allow(clippy::inline_always)] // see `simd`
impl Field {
    #[inline(always)]
    pub(super) fn constant(t: Avx512, value: &[u64; 5]) -> Field {
        Field(limbs!(I => U64x8::splat(t, value[I])))
    }

    #[inline(always)]
    pub(super) fn zero(t: Avx512) -> Field {
        Field([U64x8::zero(t); 5])
    }

    #[inline(always)]
    pub(super) fn one(t: Avx512) -> Field {
        Field::constant(t, &ONE)
    }

    #[inline(always)]
    pub(super) fn two(t: Avx512) -> Field {
        Field::constant(t, &TWO)
    }

    #[inline(always)]
    fn proof(&self) -> Avx512 {
        self.0[0].proof()
    }

    /// Its value with limbs that count in full: below 2^52, limb 4 below [`TOP_BOUND`].
    #[inline(always)]
    pub(super) fn exact(&self) -> Wide {
        let mask = U64x8::splat(self.proof(), LOW_52);
        let r = &self.0;
        Wide([r[0].and(mask), r[1].and(mask), r[2].and(mask), r[3].and(mask), r[4]])
    }

    #[inline(always)]
    pub(super) fn blend(&self, mask: Mask, other: &Field) -> Field {
        Field(limbs!(I => self.0[I].blend(mask, other.0[I])))
    }

    /// The product, limbs below 2^56.
    #[inline(always)]
    pub(super) fn mul(&self, other: &Field) -> Wide {
        debug_assert!(self.0[4].all_below(TOP_BOUND) && other.0[4].all_below(TOP_BOUND));
        let (a, b) = (&self.0, &other.0);
        let mut t = [U64x8::zero(self.proof()); 10];
        macro_rules! rows {
            ($($i:literal),*) => { $( rows!(@ $i, 4); rows!(@ $i, 3); rows!(@ $i, 2); rows!(@ $i, 1); rows!(@ $i, 0); )* };
            (@ $i:literal, $j:literal) => {
                t[$i + $j] = t[$i + $j].add_low_product(a[$i], b[$j]);
                t[$i + $j + 1] = t[$i + $j + 1].add_high_product(a[$i], b[$j]);
            };
        }
        rows!(4, 3, 2, 1, 0);
        Wide::folded(&t)
    }

    /// The square, limbs below 2^56.
    #[inline(always)]
    pub(super) fn square(&self) -> Wide {
        debug_assert!(self.0[4].all_below(TOP_BOUND));
        let a = &self.0;
        let mut t = [U64x8::zero(self.proof()); 10];
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
        Wide::folded(&t)
    }

    /// `self * other`, ready to be multiplied again.
    #[inline(always)]
    pub(super) fn times(&self, other: &Field) -> Field {
        self.mul(other).carry()
    }

    /// `self^2`, ready to be multiplied again.
    #[inline(always)]
    pub(super) fn squared(&self) -> Field {
        self.square().carry()
    }

    /// The limbs of the one value below p: 52 bits each, the last 47.
    #[inline(always)]
    pub(super) fn canonical(&self) -> [U64x8; 5] {
        debug_assert!(self.0[4].all_below(TOP_BOUND));
        let t = self.proof();
        let (nineteen, low_52, low_47) = (U64x8::splat(t, 19), U64x8::splat(t, LOW_52), U64x8::splat(t, LOW_47));
        let Wide([x0, x1, x2, x3, x4]) = self.exact();
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

    /// Lanes that are 0 modulo p.
    #[inline(always)]
    pub(super) fn is_zero(&self) -> Mask {
        let [a, b, c, d, e] = self.canonical();
        let any = a.or(b).or(c.or(d)).or(e);
        any.disjoint(any)
    }

    /// Lanes whose canonical value is odd: IS_NEGATIVE of RFC 9496.
    #[inline(always)]
    pub(super) fn is_negative(&self) -> Mask {
        !self.canonical()[0].disjoint(U64x8::splat(self.proof(), 1))
    }

    /// Negated in the lanes of the mask.
    #[inline(always)]
    pub(super) fn negate_where(&self, mask: Mask) -> Field {
        self.blend(mask, &self.exact().negate().carry())
    }

    /// CT_ABS of RFC 9496.
    #[inline(always)]
    pub(super) fn absolute(&self) -> Field {
        self.negate_where(self.is_negative())
    }

    /// Little-endian words of the canonical value: word w, lane i.
    #[inline(always)]
    pub(super) fn as_words(&self) -> [U64x8; 4] {
        let [a, b, c, d, e] = self.canonical();
        [
            a.or(b.shl::<52>()),
            b.shr::<12>().or(c.shl::<40>()),
            c.shr::<24>().or(d.shl::<28>()),
            d.shr::<36>().or(e.shl::<16>()),
        ]
    }

    /// The value of four little-endian words; bit 255 is ignored.
    #[inline(always)]
    pub(super) fn from_words(words: &[U64x8; 4]) -> Field {
        let t = words[0].proof();
        let (low_52, low_47) = (U64x8::splat(t, LOW_52), U64x8::splat(t, LOW_47));
        let [w0, w1, w2, w3] = words;
        Field([
            w0.and(low_52),
            w0.shr::<52>().or(w1.shl::<12>()).and(low_52),
            w1.shr::<40>().or(w2.shl::<24>()).and(low_52),
            w2.shr::<28>().or(w3.shl::<36>()).and(low_52),
            w3.shr::<16>().and(low_47),
        ])
    }
}

#[allow(clippy::inline_always)] // see `simd`
impl Wide {
    /// Columns 0 to 9 of a product, modulo p: column k + 5 counts 608 times in column k.
    #[inline(always)]
    fn folded(t: &[U64x8; 10]) -> Wide {
        let fold = U64x8::splat(t[0].proof(), FOLD);
        let r0 = t[0].add_low_product(t[5], fold);
        let r1 = t[1].add_high_product(t[5], fold).add_low_product(t[6], fold);
        let r2 = t[2].add_high_product(t[6], fold).add_low_product(t[7], fold);
        let r3 = t[3].add_high_product(t[7], fold).add_low_product(t[8], fold);
        let r4 = t[4].add_high_product(t[8], fold).add_low_product(t[9], fold);
        // what a column has above its 52 bits
        Wide([
            r0,
            r1.add_low_product(t[5].shr::<52>(), fold),
            r2.add_low_product(t[6].shr::<52>(), fold),
            r3.add_low_product(t[7].shr::<52>(), fold),
            r4.add_low_product(t[8].shr::<52>(), fold),
        ])
    }
}

/// `x^(2^n)` of each of N values; side by side, because one chain of squarings alone waits for its own results.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn square_times<const N: usize>(x: &[Field; N], n: usize) -> [Field; N] {
    let mut x = *x;
    for _ in 0..n {
        for value in &mut x {
            *value = value.squared();
        }
    }
    x
}

#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn times_each<const N: usize>(a: &[Field; N], b: &[Field; N]) -> [Field; N] {
    let mut product = *a;
    let mut i = 0;
    while i < N {
        product[i] = a[i].times(&b[i]);
        i += 1;
    }
    product
}

/// `(x^(2^250 - 1), x^11)`.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn powers<const N: usize>(x: &[Field; N]) -> ([Field; N], [Field; N]) {
    let x2 = square_times(x, 1);
    let x9 = times_each(&square_times(&x2, 2), x);
    let x11 = times_each(&x9, &x2);
    let a5 = times_each(&square_times(&x11, 1), &x9); // x^(2^5 - 1)
    let a10 = times_each(&square_times(&a5, 5), &a5);
    let a20 = times_each(&square_times(&a10, 10), &a10);
    let a40 = times_each(&square_times(&a20, 20), &a20);
    let a50 = times_each(&square_times(&a40, 10), &a10);
    let a100 = times_each(&square_times(&a50, 50), &a50);
    let a200 = times_each(&square_times(&a100, 100), &a100);
    let a250 = times_each(&square_times(&a200, 50), &a50);
    (a250, x11)
}

/// `x^((p - 5) / 8)` = x^(2^252 - 3).
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
fn pow_p58<const N: usize>(x: &[Field; N]) -> [Field; N] {
    let (a250, _) = powers(x);
    times_each(&square_times(&a250, 2), x)
}

#[allow(clippy::inline_always)] // see `simd`
impl Field {
    /// `1/x`, 0 for 0: x^(p - 2).
    #[inline(always)]
    pub(super) fn invert(&self) -> Field {
        let ([a250], [x11]) = powers(&[*self]);
        let [shifted] = square_times(&[a250], 5);
        shifted.times(&x11)
    }
}

/// SQRT_RATIO_M1 of RFC 9496 section 4.2 for N pairs: lanes in which u/v is a square, and the non-negative root of u/v or i*u/v.
#[inline(always)]
#[allow(clippy::inline_always)] // see `simd`
pub(super) fn sqrt_ratio_i<const N: usize>(u: &[Field; N], v: &[Field; N]) -> [(Mask, Field); N] {
    let t = u[0].proof();
    let mut uv3 = *u;
    let mut uv7 = *u;
    let mut i = 0;
    while i < N {
        let v3 = v[i].squared().times(&v[i]);
        let v7 = v3.squared().times(&v[i]);
        uv3[i] = u[i].times(&v3);
        uv7[i] = u[i].times(&v7);
        i += 1;
    }
    let power = pow_p58(&uv7);
    let sqrt_m1 = Field::constant(t, &SQRT_M1);
    let mut roots = [(0, Field::zero(t)); N];
    let mut i = 0;
    while i < N {
        let r = uv3[i].times(&power[i]);
        let check = v[i].mul(&r.squared());
        let u_exact = u[i].exact();
        let correct = check.sub(&u_exact).carry().is_zero();
        let flipped = check.add(&u_exact).carry().is_zero();
        let flipped_i = check.add(&u[i].mul(&sqrt_m1)).carry().is_zero();
        let root = r.blend(flipped | flipped_i, &r.times(&sqrt_m1)).absolute();
        roots[i] = (correct | flipped, root);
        i += 1;
    }
    roots
}
