//! Eight unsigned 64-bit numbers in one AVX-512 register, and the proof that this processor has such registers.
//!
//! - **Place**: under `field`, `limbs` and `sha512`; no other file of this kernel names an instruction
//! - **Invariants**: an [`Instructions`] exists only where the processor was asked and has the instructions, and a [`U64s`] is made
//!   from one or from another [`U64s`]: that is why the methods below are safe to call
//! - **Security**: nothing here branches on or addresses memory by a lane's value; selection is by masks
//! - **Source**: Intel 64 and IA-32 Architectures SDM, volume 2; `core::arch::x86_64`

use core::arch::x86_64::*;

use zeroize::Zeroize;

/// That this processor and operating system have AVX-512 F, BW, DQ, VL and IFMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instructions(());

impl Instructions {
    /// Asks the processor.
    pub(crate) fn detect() -> Option<Instructions> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512ifma");
        all.then_some(Instructions(()))
    }
}

/// Compiles a function with the instructions of [`Instructions`], callable by whoever holds what proves them.
///
/// The helpers it calls are `#[inline(always)]`, so that they are compiled with the same instructions.
macro_rules! with_instructions {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $type),*) $(-> $ret)? {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
            fn compiled_with_it($($arg: $type),*) $(-> $ret)? $body
            // SAFETY: every caller passes an `Instructions`, or lanes, which exist only where `Instructions::detect` found them.
            unsafe { compiled_with_it($($arg),*) }
        }
    };
}
pub(crate) use with_instructions;

/// Lanes of a register.
pub(crate) const LANES: usize = 8;
/// Bytes of a register.
pub(crate) const REGISTER: usize = 8 * LANES;

/// One bit a lane.
#[derive(Clone, Copy)]
pub(crate) struct Mask(u8);

#[allow(clippy::inline_always)] // as below
impl Mask {
    #[inline(always)]
    pub(crate) fn none(_: Instructions) -> Mask {
        Mask(0)
    }

    #[inline(always)]
    pub(crate) fn all(_: Instructions) -> Mask {
        Mask(u8::MAX)
    }

    pub(crate) fn from_array(_: Instructions, lanes: [bool; LANES]) -> Mask {
        Mask(lanes.iter().rev().fold(0, |bits, lane| bits << 1 | u8::from(*lane)))
    }

    pub(crate) fn to_array(self) -> [bool; LANES] {
        std::array::from_fn(|lane| self.0 >> lane & 1 == 1)
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Mask) -> Mask {
        Mask(self.0 & other.0)
    }

    #[inline(always)]
    pub(crate) fn or(self, other: Mask) -> Mask {
        Mask(self.0 | other.0)
    }

    #[inline(always)]
    pub(crate) fn not(self) -> Mask {
        Mask(!self.0)
    }
}

/// Eight numbers modulo 2^64, one a lane.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct U64s(__m512i);

impl Zeroize for U64s {
    fn zeroize(&mut self) {
        // SAFETY: a __m512i is 64 bytes without padding, aligned more strictly than u64, and any bits are a value of both.
        let words = unsafe { &mut *std::ptr::from_mut(self).cast::<[u64; LANES]>() };
        words.zeroize();
    }
}

/// One instruction; the register it takes proves that it exists here.
macro_rules! instruction {
    ($intrinsic:expr) => {
        // SAFETY: a `U64s` or an `Instructions` is at hand, so the processor has the instruction; it touches registers only.
        unsafe { $intrinsic }
    };
}

#[allow(clippy::inline_always)] // a helper that is not inlined is compiled without the instructions: 60 times slower
impl U64s {
    #[inline(always)]
    pub(crate) fn splat(_: Instructions, value: u64) -> U64s {
        U64s(instruction!(_mm512_set1_epi64(value.cast_signed())))
    }

    #[inline(always)]
    pub(crate) fn load(_: Instructions, lanes: &[u64; LANES]) -> U64s {
        // SAFETY: as above; 64 readable bytes, no alignment is asked for.
        U64s(unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(crate) fn load_bytes(_: Instructions, bytes: &[u8; REGISTER]) -> U64s {
        // SAFETY: as above; 64 readable bytes, no alignment is asked for.
        U64s(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(crate) fn to_array(self) -> [u64; LANES] {
        let mut lanes = [0; 8];
        // SAFETY: as above; 64 writable bytes, no alignment is asked for.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), self.0) };
        lanes
    }

    #[inline(always)]
    pub(crate) fn store_bytes(self, bytes: &mut [u8; REGISTER]) {
        // SAFETY: as above; 64 writable bytes, no alignment is asked for.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), self.0) };
    }

    /// The proof that made this.
    #[inline(always)]
    pub(crate) fn proof(self) -> Instructions {
        Instructions(())
    }

    #[inline(always)]
    pub(crate) fn zero(_: Instructions) -> U64s {
        U64s(instruction!(_mm512_setzero_si512()))
    }

    #[inline(always)]
    pub(crate) fn add(self, other: U64s) -> U64s {
        U64s(instruction!(_mm512_add_epi64(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn sub(self, other: U64s) -> U64s {
        U64s(instruction!(_mm512_sub_epi64(self.0, other.0)))
    }

    /// `self + (a mod 2^52) * (b mod 2^52) mod 2^52`: VPMADD52LUQ.
    #[inline(always)]
    pub(crate) fn add_low_product(self, a: U64s, b: U64s) -> U64s {
        U64s(instruction!(_mm512_madd52lo_epu64(self.0, a.0, b.0)))
    }

    /// `self + floor((a mod 2^52) * (b mod 2^52) / 2^52)`: VPMADD52HUQ.
    #[inline(always)]
    pub(crate) fn add_high_product(self, a: U64s, b: U64s) -> U64s {
        U64s(instruction!(_mm512_madd52hi_epu64(self.0, a.0, b.0)))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: U64s) -> U64s {
        U64s(instruction!(_mm512_and_si512(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn or(self, other: U64s) -> U64s {
        U64s(instruction!(_mm512_or_si512(self.0, other.0)))
    }

    #[inline(always)]
    pub(crate) fn xor3(self, b: U64s, c: U64s) -> U64s {
        U64s(instruction!(_mm512_ternarylogic_epi64::<0x96>(self.0, b.0, c.0)))
    }

    /// `(self & b) | (!self & c)`, bit by bit.
    #[inline(always)]
    pub(crate) fn choose(self, b: U64s, c: U64s) -> U64s {
        U64s(instruction!(_mm512_ternarylogic_epi64::<0xca>(self.0, b.0, c.0)))
    }

    /// What two of the three have, bit by bit.
    #[inline(always)]
    pub(crate) fn majority(self, b: U64s, c: U64s) -> U64s {
        U64s(instruction!(_mm512_ternarylogic_epi64::<0xe8>(self.0, b.0, c.0)))
    }

    #[inline(always)]
    pub(crate) fn shr<const N: u32>(self) -> U64s {
        U64s(instruction!(_mm512_srli_epi64::<N>(self.0)))
    }

    #[inline(always)]
    pub(crate) fn shl<const N: u32>(self) -> U64s {
        U64s(instruction!(_mm512_slli_epi64::<N>(self.0)))
    }

    #[inline(always)]
    pub(crate) fn rotate_right<const N: i32>(self) -> U64s {
        U64s(instruction!(_mm512_ror_epi64::<N>(self.0)))
    }

    /// `other` where the mask has a bit, `self` elsewhere.
    #[inline(always)]
    pub(crate) fn blend(self, mask: Mask, other: U64s) -> U64s {
        U64s(instruction!(_mm512_mask_blend_epi64(mask.0, self.0, other.0)))
    }

    /// Lanes that are equal.
    #[inline(always)]
    pub(crate) fn equals(self, other: U64s) -> Mask {
        Mask(instruction!(_mm512_cmpeq_epi64_mask(self.0, other.0)))
    }

    /// Lanes with no bit in common.
    #[inline(always)]
    pub(crate) fn disjoint(self, other: U64s) -> Mask {
        Mask(instruction!(_mm512_testn_epi64_mask(self.0, other.0)))
    }

    /// Lanes whose highest bit is set.
    #[inline(always)]
    pub(crate) fn highest_bits(self) -> Mask {
        Mask(instruction!(_mm512_movepi64_mask(self.0)))
    }

    /// Absolute values of lanes read as signed numbers.
    #[inline(always)]
    pub(crate) fn magnitude(self) -> U64s {
        U64s(instruction!(_mm512_abs_epi64(self.0)))
    }

    /// The bytes of every lane in the other order.
    #[inline(always)]
    pub(crate) fn swap_bytes(self) -> U64s {
        U64s(instruction!({
            let order = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
            _mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(order))
        }))
    }

    /// Whether every lane is below `bound`; for debug assertions.
    pub(crate) fn all_below(self, bound: u64) -> bool {
        self.to_array().iter().all(|lane| *lane < bound)
    }
}

/// Sixteen numbers, in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Sixteen([U64s; 2]);

#[allow(clippy::inline_always)] // as above
impl Sixteen {
    pub(crate) fn new(proof: Instructions, numbers: &[u64; 16]) -> Sixteen {
        let (halves, _) = numbers.as_chunks();
        Sixteen([U64s::load(proof, &halves[0]), U64s::load(proof, &halves[1])])
    }

    /// Number `index_i mod 16` in lane i: VPERMI2Q, in registers.
    #[inline(always)]
    pub(crate) fn look_up(&self, index: U64s) -> U64s {
        let [low, high] = self.0;
        U64s(instruction!(_mm512_permutex2var_epi64(low.0, index.0, high.0)))
    }
}

/// Row i, lane j becomes row j, lane i.
#[inline(always)]
#[allow(clippy::inline_always)] // as above
pub(crate) fn transpose(rows: &[U64s; LANES]) -> [U64s; LANES] {
    let r = rows;
    macro_rules! unpack {
        ($a:expr, $b:expr) => {
            (
                U64s(instruction!(_mm512_unpacklo_epi64($a.0, $b.0))),
                U64s(instruction!(_mm512_unpackhi_epi64($a.0, $b.0))),
            )
        };
    }
    macro_rules! shuffle {
        ($select:literal, $a:expr, $b:expr) => {
            U64s(instruction!(_mm512_shuffle_i64x2::<$select>($a.0, $b.0)))
        };
    }
    // pairs of rows: 128-bit parts (row 2i, row 2i + 1) of one column each
    let (a0, a1) = unpack!(r[0], r[1]);
    let (a2, a3) = unpack!(r[2], r[3]);
    let (a4, a5) = unpack!(r[4], r[5]);
    let (a6, a7) = unpack!(r[6], r[7]);
    // 0x88 takes parts 0 and 2 of each, 0xdd parts 1 and 3
    let (b0, b1) = (shuffle!(0x88, a0, a2), shuffle!(0xdd, a0, a2));
    let (b2, b3) = (shuffle!(0x88, a1, a3), shuffle!(0xdd, a1, a3));
    let (b4, b5) = (shuffle!(0x88, a4, a6), shuffle!(0xdd, a4, a6));
    let (b6, b7) = (shuffle!(0x88, a5, a7), shuffle!(0xdd, a5, a7));
    [
        shuffle!(0x88, b0, b4),
        shuffle!(0x88, b2, b6),
        shuffle!(0x88, b1, b5),
        shuffle!(0x88, b3, b7),
        shuffle!(0xdd, b0, b4),
        shuffle!(0xdd, b2, b6),
        shuffle!(0xdd, b1, b5),
        shuffle!(0xdd, b3, b7),
    ]
}
