//! Arithmetic modulo p = 2^255 - 19, one number a lane.
//!
//! - **Place**: under `edwards` and `ristretto`, over `limbs`
//! - **Shapes**: limbs of 64 bits a lane, least significant first; `limbs` has their number and weights
//! - **Invariants**: two types keep the two kinds of limbs apart, so that what may not meet cannot; `limbs` has the bounds:
//!   - [`Field`] may be multiplied only: the instructions that multiply read low bits of a limb, what is above them may be anything
//!   - [`Wide`] may be added and subtracted: every bit of its limbs counts. Only [`Wide::carry`] turns one into a [`Field`]
//! - **Security**: no branch and no address depends on a lane; bounds are checked by debug assertions
//! - **Source**: RFC 9496 section 4.2 for `sqrt_ratio_i` and the constants

use zeroize::Zeroize;

use super::limbs::{self, BIAS, BOUNDS, LIMBS, PLACES, SUBTRAHEND_BOUND, WIDE_BOUND};
use super::simd::{Instructions, Mask, U64s};

/// d of the curve: -121665/121666.
pub(super) const D: Constant =
    constant([0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73]);
/// 2 * d.
pub(super) const D2: Constant =
    constant([0xebd6_9b94_26b2_f159, 0x00e0_149a_8283_b156, 0x198e_80f2_eef3_d130, 0x2406_d9dc_56df_fce7]);
/// The even square root of -1.
pub(super) const SQRT_M1: Constant =
    constant([0xc4ee_1b27_4a0e_a0b0, 0x2f43_1806_ad2f_e478, 0x2b4d_0099_3dfb_d7a7, 0x2b83_2480_4fc1_df0b]);
/// sqrt(a*d - 1).
pub(super) const SQRT_AD_MINUS_ONE: Constant =
    constant([0x7e97_f6a0_497b_2e1b, 0xaf9d_8e0c_1b78_54bd, 0x0f3c_fcc9_31f5_d1fd, 0x3769_31bf_2b83_48ac]);
/// 1 / sqrt(a - d).
pub(super) const INVSQRT_A_MINUS_D: Constant =
    constant([0x99c8_fdaa_805d_40ea, 0x9d2f_1617_5a41_72be, 0x16c2_7b91_fe01_d840, 0x786c_8905_cfaf_fca2]);
/// 1 - d^2.
pub(super) const ONE_MINUS_D_SQ: Constant =
    constant([0xe27c_09c1_945f_c176, 0x2c81_a138_cd5e_350f, 0x9994_abdd_be70_dfe4, 0x0290_72a8_b2b3_e0d7]);
/// (d - 1)^2.
pub(super) const D_MINUS_ONE_SQ: Constant =
    constant([0x31ad_5aaa_44ed_4d20, 0xd29e_4a2c_b01e_1999, 0x4cdc_d32f_529b_4eeb, 0x5968_b37a_f66c_2241]);
const ONE: Constant = constant([1, 0, 0, 0]);
const TWO: Constant = constant([2, 0, 0, 0]);

/// The limbs of one number below p.
pub(super) type Constant = [u64; LIMBS];

/// Little-endian words as limbs.
const fn constant(words: [u64; 4]) -> Constant {
    let mut limbs = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        let (place, bits) = (PLACES[i], PLACES[i + 1] - PLACES[i]);
        let (word, shift) = (place as usize / 64, place % 64);
        let mut limb = words[word] >> shift;
        if shift + bits > 64 {
            limb |= words[word + 1] << (64 - shift);
        }
        limbs[i] = limb & ((1 << bits) - 1);
        i += 1;
    }
    limbs
}

/// A multiplicand; see the module for its limbs.
#[derive(Clone, Copy)]
pub(super) struct Field(pub(super) [U64s; LIMBS]);

/// A sum of products; see the module for its limbs.
#[derive(Clone, Copy)]
pub(super) struct Wide(pub(super) [U64s; LIMBS]);

impl Zeroize for Field {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Zeroize for Wide {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// An array whose element `i` is the expression. No closure: a closure is a function of its own, compiled without the instructions.
macro_rules! each_limb {
    ($like:expr, $i:ident => $limb:expr) => {{
        let mut limbs = $like;
        let mut $i = 0;
        while $i < LIMBS {
            limbs[$i] = $limb;
            $i += 1;
        }
        limbs
    }};
}

#[allow(clippy::inline_always)] // see `simd`
impl Wide {
    #[inline(always)]
    pub(super) fn constant(t: Instructions, value: &Constant) -> Wide {
        Wide(Field::constant(t, value).0)
    }

    #[inline(always)]
    pub(super) fn zero(t: Instructions) -> Wide {
        Wide([U64s::zero(t); LIMBS])
    }

    #[inline(always)]
    pub(super) fn one(t: Instructions) -> Wide {
        Wide::constant(t, &ONE)
    }

    #[inline(always)]
    pub(super) fn proof(&self) -> Instructions {
        self.0[0].proof()
    }

    #[inline(always)]
    pub(super) fn add(&self, other: &Wide) -> Wide {
        Wide(each_limb!(self.0, i => self.0[i].add(other.0[i])))
    }

    #[inline(always)]
    pub(super) fn double(&self) -> Wide {
        self.add(self)
    }

    /// `self - other` and a multiple of p that is above every such `other`; limbs of `other` below [`SUBTRAHEND_BOUND`].
    #[inline(always)]
    pub(super) fn sub(&self, other: &Wide) -> Wide {
        debug_assert!(other.is_below(SUBTRAHEND_BOUND));
        let t = self.proof();
        Wide(each_limb!(self.0, i => self.0[i].add(U64s::splat(t, BIAS[i])).sub(other.0[i])))
    }

    /// `-self` and a multiple of p; limbs of `self` below [`SUBTRAHEND_BOUND`].
    #[inline(always)]
    pub(super) fn negate(&self) -> Wide {
        Wide::zero(self.proof()).sub(self)
    }

    #[inline(always)]
    pub(super) fn blend(&self, mask: Mask, other: &Wide) -> Wide {
        Wide(each_limb!(self.0, i => self.0[i].blend(mask, other.0[i])))
    }

    /// Whether every limb is below `bound`; for debug assertions, which would otherwise be most of the code.
    #[inline(never)]
    fn is_below(&self, bound: u64) -> bool {
        self.0.iter().all(|limb| limb.all_below(bound))
    }

    /// The multiplicand with this value modulo p; limbs of `self` below [`WIDE_BOUND`].
    #[inline(always)]
    pub(super) fn carry(&self) -> Field {
        debug_assert!(self.is_below(WIDE_BOUND));
        Field(limbs::carry(&self.0))
    }
}

#[allow(clippy::inline_always)] // see `simd`
impl Field {
    #[inline(always)]
    pub(super) fn constant(t: Instructions, value: &Constant) -> Field {
        Field(each_limb!([U64s::zero(t); LIMBS], i => U64s::splat(t, value[i])))
    }

    #[inline(always)]
    pub(super) fn zero(t: Instructions) -> Field {
        Field([U64s::zero(t); LIMBS])
    }

    #[inline(always)]
    pub(super) fn one(t: Instructions) -> Field {
        Field::constant(t, &ONE)
    }

    #[inline(always)]
    pub(super) fn two(t: Instructions) -> Field {
        Field::constant(t, &TWO)
    }

    #[inline(always)]
    pub(super) fn proof(&self) -> Instructions {
        self.0[0].proof()
    }

    /// Its value with limbs that count in full.
    #[inline(always)]
    pub(super) fn exact(&self) -> Wide {
        Wide(limbs::exact(&self.0))
    }

    #[inline(always)]
    pub(super) fn blend(&self, mask: Mask, other: &Field) -> Field {
        Field(each_limb!(self.0, i => self.0[i].blend(mask, other.0[i])))
    }

    /// Whether what counts of its limbs is below [`BOUNDS`]; for debug assertions.
    #[inline(never)]
    fn is_multiplicand(&self) -> bool {
        self.exact().0.iter().zip(BOUNDS).all(|(limb, bound)| limb.all_below(bound))
    }

    /// The product.
    #[inline(always)]
    pub(super) fn mul(&self, other: &Field) -> Wide {
        debug_assert!(self.is_multiplicand() && other.is_multiplicand());
        Wide(limbs::mul(&self.0, &other.0))
    }

    /// The square.
    #[inline(always)]
    pub(super) fn square(&self) -> Wide {
        debug_assert!(self.is_multiplicand());
        Wide(limbs::square(&self.0))
    }

    /// `self * other`, ready to be multiplied again.
    #[inline(always)]
    pub(super) fn times(&self, other: &Field) -> Field {
        debug_assert!(self.is_multiplicand() && other.is_multiplicand());
        self.mul(other).carry()
    }

    /// `self^2`, ready to be multiplied again.
    #[inline(always)]
    pub(super) fn squared(&self) -> Field {
        debug_assert!(self.is_multiplicand());
        self.square().carry()
    }

    /// The limbs of the one value below p.
    #[inline(always)]
    pub(super) fn canonical(&self) -> [U64s; LIMBS] {
        debug_assert!(self.is_multiplicand());
        limbs::canonical(&self.0)
    }

    /// Lanes that are 0 modulo p.
    #[inline(always)]
    pub(super) fn is_zero(&self) -> Mask {
        let limbs = self.canonical();
        let mut any = limbs[0];
        let mut i = 1;
        while i < LIMBS {
            any = any.or(limbs[i]);
            i += 1;
        }
        any.disjoint(any)
    }

    /// Lanes whose canonical value is odd: IS_NEGATIVE of RFC 9496.
    #[inline(always)]
    pub(super) fn is_negative(&self) -> Mask {
        self.canonical()[0].disjoint(U64s::splat(self.proof(), 1)).not()
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
    pub(super) fn as_words(&self) -> [U64s; 4] {
        limbs::to_words(&self.canonical())
    }

    /// The value of four little-endian words; bit 255 is ignored.
    #[inline(always)]
    pub(super) fn from_words(words: &[U64s; 4]) -> Field {
        Field(limbs::from_words(words))
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
    let mut roots = [(Mask::none(t), Field::zero(t)); N];
    let mut i = 0;
    while i < N {
        let r = uv3[i].times(&power[i]);
        let check = v[i].mul(&r.squared());
        let u_exact = u[i].exact();
        let correct = check.sub(&u_exact).carry().is_zero();
        let flipped = check.add(&u_exact).carry().is_zero();
        let flipped_i = check.add(&u[i].mul(&sqrt_m1)).carry().is_zero();
        let root = r.blend(flipped.or(flipped_i), &r.times(&sqrt_m1)).absolute();
        roots[i] = (correct.or(flipped), root);
        i += 1;
    }
    roots
}
