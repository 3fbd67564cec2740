//! Four unsigned 64-bit numbers in one AVX2 register, and the proof that this processor has such registers.
//!
//! - **Place**: under `field`, `limbs` and `sha512`; no other file of this kernel names an instruction
//! - **Invariants**: an [`Instructions`] exists only where the processor was asked and has the instructions, and a [`U64s`] or a
//!   [`Mask`] is made from one or from another register: that is why the methods below are safe to call
//! - **Security**: nothing here branches on or addresses memory by a lane's value; selection is by masks
//! - **Source**: Intel 64 and IA-32 Architectures SDM, volume 2; `core::arch::x86_64`

use core::arch::x86_64::*;

use zeroize::Zeroize;

/// That this processor and operating system have AVX2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instructions(());

impl Instructions {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Instructions> {
        is_x86_feature_detected!("avx2").then_some(Instructions(()))
    }
}

/// Compiles a function with the instructions of [`Instructions`], callable by whoever holds what proves them.
///
/// The helpers it calls are `#[inline(always)]`, so that they are compiled with the same instructions.
macro_rules! with_instructions {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[target_feature(enable = "avx2")]
            fn compiled_with_it($($arg: $type),*) $(-> $ret)? $body
            // SAFETY: every caller passes an `Instructions`, or lanes, which exist only where `Instructions::detect` found AVX2.
            unsafe { compiled_with_it($($arg),*) }
        }
    };
}
pub(crate) use with_instructions;

/// Lanes of a register.
pub(crate) const LANES: usize = 4;
/// Bytes of a register.
pub(crate) const REGISTER: usize = 8 * LANES;

/// One instruction; the register it takes proves that it exists here.
macro_rules! instruction {
    ($intrinsic:expr) => {
        // SAFETY: a `U64s`, a `Mask` or an `Instructions` is at hand, so the processor has it; it touches registers only.
        unsafe { $intrinsic }
    };
}

/// `_mm256_mul_epu32`, which the compiler takes for a product of 64 bits where one factor is 19: five instructions.
#[inline]
#[target_feature(enable = "avx2")]
fn vpmuludq(a: __m256i, b: __m256i) -> __m256i {
    let product;
    // SAFETY: registers only.
    unsafe {
        core::arch::asm!(
            "vpmuludq {product}, {a}, {b}",
            product = lateout(ymm_reg) product,
            a = in(ymm_reg) a,
            b = in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

/// All bits of a lane, or none.
#[derive(Clone, Copy)]
pub(crate) struct Mask(__m256i);

#[allow(clippy::inline_always)] // a helper that is not inlined is compiled without the instructions
impl Mask {
    #[inline(always)]
    pub(crate) fn none(_: Instructions) -> Mask {
        Mask(instruction!(_mm256_setzero_si256()))
    }

    #[inline(always)]
    pub(crate) fn all(_: Instructions) -> Mask {
        Mask(instruction!(_mm256_set1_epi64x(-1)))
    }

    pub(crate) fn from_array(proof: Instructions, lanes: [bool; LANES]) -> Mask {
        Mask(U64s::load(proof, &lanes.map(|lane| 0u64.wrapping_sub(u64::from(lane)))).0)
    }

    pub(crate) fn to_array(self) -> [bool; LANES] {
        U64s(self.0).to_array().map(|lane| lane != 0)
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Mask) -> Mask {
        Mask(instruction!(_mm256_and_si256(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn or(self, other: Mask) -> Mask {
        Mask(instruction!(_mm256_or_si256(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn not(self) -> Mask {
        Mask(instruction!(_mm256_xor_si256(self.0, _mm256_set1_epi64x(-1))))
    }
}

/// Four numbers modulo 2^64, one a lane.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct U64s(__m256i);

impl Zeroize for U64s {
    fn zeroize(&mut self) {
        // SAFETY: a __m256i is 32 bytes without padding, aligned more strictly than u64, and any bits are a value of both.
        let words = unsafe { &mut *std::ptr::from_mut(self).cast::<[u64; LANES]>() };
        words.zeroize();
    }
}

#[allow(clippy::inline_always)] // as above
impl U64s {
    #[inline(always)]
    pub(crate) fn splat(_: Instructions, value: u64) -> U64s {
        U64s(instruction!(_mm256_set1_epi64x(value.cast_signed())))
    }

    #[inline(always)]
    pub(crate) fn load(_: Instructions, lanes: &[u64; LANES]) -> U64s {
        // SAFETY: as above; 32 readable bytes, no alignment is asked for.
        U64s(unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(crate) fn load_bytes(_: Instructions, bytes: &[u8; REGISTER]) -> U64s {
        // SAFETY: as above; 32 readable bytes, no alignment is asked for.
        U64s(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(crate) fn to_array(self) -> [u64; LANES] {
        let mut lanes = [0; LANES];
        // SAFETY: as above; 32 writable bytes, no alignment is asked for.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), self.0) };
        lanes
    }

    #[inline(always)]
    pub(crate) fn store_bytes(self, bytes: &mut [u8; REGISTER]) {
        // SAFETY: as above; 32 writable bytes, no alignment is asked for.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), self.0) };
    }

    /// The proof that made this.
    #[inline(always)]
    pub(crate) fn proof(self) -> Instructions {
        Instructions(())
    }

    #[inline(always)]
    pub(crate) fn zero(_: Instructions) -> U64s {
        U64s(instruction!(_mm256_setzero_si256()))
    }

    #[inline(always)]
    pub(crate) fn add(self, other: U64s) -> U64s {
        U64s(instruction!(_mm256_add_epi64(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: U64s) -> U64s {
        U64s(instruction!(_mm256_sub_epi64(self.0, other.0)))
    }

    /// `(self mod 2^32) * (other mod 2^32)`: VPMULUDQ.
    #[inline(always)]
    pub(crate) fn product(self, other: U64s) -> U64s {
        U64s(instruction!(vpmuludq(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: U64s) -> U64s {
        U64s(instruction!(_mm256_and_si256(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn or(self, other: U64s) -> U64s {
        U64s(instruction!(_mm256_or_si256(self.0, other.0)))
    }

    #[inline(always)]
    fn xor(self, other: U64s) -> U64s {
        U64s(instruction!(_mm256_xor_si256(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn xor3(self, b: U64s, c: U64s) -> U64s {
        self.xor(b).xor(c)
    }

    /// `(self & b) | (!self & c)`, bit by bit.
    #[inline(always)]
    pub(crate) fn choose(self, b: U64s, c: U64s) -> U64s {
        b.xor(c).and(self).xor(c)
    }

    /// What two of the three have, bit by bit.
    #[inline(always)]
    pub(crate) fn majority(self, b: U64s, c: U64s) -> U64s {
        self.xor(b).choose(c, b)
    }

    #[inline(always)]
    pub(crate) fn shr<const N: i32>(self) -> U64s {
        U64s(instruction!(_mm256_srli_epi64::<N>(self.0)))
    }

    #[inline(always)]
    pub(crate) fn shl<const N: i32>(self) -> U64s {
        U64s(instruction!(_mm256_slli_epi64::<N>(self.0)))
    }

    #[inline(always)]
    pub(crate) fn rotate_right<const N: i32>(self) -> U64s {
        let (right, left) = instruction!((_mm_cvtsi32_si128(N), _mm_cvtsi32_si128(64 - N)));
        U64s(instruction!(_mm256_srl_epi64(self.0, right))).or(U64s(instruction!(_mm256_sll_epi64(self.0, left))))
    }

    /// `other` in the lanes of the mask, `self` elsewhere.
    #[inline(always)]
    pub(crate) fn blend(self, mask: Mask, other: U64s) -> U64s {
        U64s(instruction!(_mm256_blendv_epi8(self.0, other.0, mask.0)))
    }

    /// Lanes that are equal.
    #[inline(always)]
    pub(crate) fn equals(self, other: U64s) -> Mask {
        Mask(instruction!(_mm256_cmpeq_epi64(self.0, other.0)))
    }

    /// Lanes with no bit in common.
    #[inline(always)]
    pub(crate) fn disjoint(self, other: U64s) -> Mask {
        self.and(other).equals(U64s::zero(self.proof()))
    }

    /// Lanes whose highest bit is set.
    #[inline(always)]
    pub(crate) fn highest_bits(self) -> Mask {
        Mask(instruction!(_mm256_cmpgt_epi64(_mm256_setzero_si256(), self.0)))
    }

    /// Absolute values of lanes read as signed numbers.
    #[inline(always)]
    pub(crate) fn magnitude(self) -> U64s {
        let sign = U64s(self.highest_bits().0);
        self.xor(sign).sub(sign)
    }

    /// The bytes of every lane in the other order.
    #[inline(always)]
    pub(crate) fn swap_bytes(self) -> U64s {
        U64s(instruction!({
            let order = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(order))
        }))
    }

    /// Whether every lane is below `bound`; for debug assertions.
    pub(crate) fn all_below(self, bound: u64) -> bool {
        self.to_array().iter().all(|lane| *lane < bound)
    }
}

/// Sixteen numbers below 2^32, in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Sixteen([U64s; 2]);

#[allow(clippy::inline_always)] // as above
impl Sixteen {
    pub(crate) fn new(proof: Instructions, numbers: &[u64; 16]) -> Sixteen {
        debug_assert!(numbers.iter().all(|number| number >> 32 == 0));
        let (pairs, _) = numbers.as_chunks();
        let words: [u64; 8] = std::array::from_fn(|at| {
            let [low, high] = pairs[at];
            high << 32 | low
        });
        let (halves, _) = words.as_chunks();
        Sixteen([U64s::load(proof, &halves[0]), U64s::load(proof, &halves[1])])
    }

    /// Number `index_i`, below 16, in the low 32 bits of lane i; number 0 or 8 above them: VPERMD, in registers.
    #[inline(always)]
    pub(crate) fn look_up(&self, index: U64s) -> U64s {
        let [low, high] = self.0;
        let upper_half = index.shl::<60>();
        U64s(instruction!({
            let low = _mm256_permutevar8x32_epi32(low.0, index.0);
            let high = _mm256_permutevar8x32_epi32(high.0, index.0);
            _mm256_castpd_si256(_mm256_blendv_pd(
                _mm256_castsi256_pd(low),
                _mm256_castsi256_pd(high),
                _mm256_castsi256_pd(upper_half.0),
            ))
        }))
    }
}

/// Row i, lane j becomes row j, lane i.
#[inline(always)]
#[allow(clippy::inline_always)] // as above
pub(crate) fn transpose(rows: &[U64s; LANES]) -> [U64s; LANES] {
    let [a, b, c, d] = *rows;
    instruction!({
        // 128-bit parts: column 0 (or 1) of two rows, then column 2 (or 3)
        let (ab_even, ab_odd) = (_mm256_unpacklo_epi64(a.0, b.0), _mm256_unpackhi_epi64(a.0, b.0));
        let (cd_even, cd_odd) = (_mm256_unpacklo_epi64(c.0, d.0), _mm256_unpackhi_epi64(c.0, d.0));
        [
            U64s(_mm256_permute2x128_si256::<0x20>(ab_even, cd_even)),
            U64s(_mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd)),
            U64s(_mm256_permute2x128_si256::<0x31>(ab_even, cd_even)),
            U64s(_mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd)),
        ]
    })
}
