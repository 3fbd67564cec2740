//! Many points at a time: ristretto255 and SHA-512 in the 64-bit lanes of vector registers, by two kernels of one source.
//!
//! - **Place**: under `crate::points` and `crate::sha512`, which choose between these and dalek once (`kernel`) and give the same
//!   bytes in any case
//! - **Shapes**: one lane, one point or message; the same operation in all
//! - **Invariants**: limb bounds by type (`field`) and by kernel (`limbs`); instructions by proof (`simd::Instructions`)
//! - **Security**: no secret reaches a branch or an address: digits select by masks over whole tables or by permutations of
//!   registers. Digits, tables of multiples and points are cleared; copies in registers and spills are not.
//!   `cargo run --release -p riskveil-crypto --example constant_time` compares the times of fixed and random scalars
//! - **Source**: specs/performance.md; SPEED.md, "The vertical kernel"; ADR 0009
//! - **Deviations**: none in results
//!
//! `unsafe` is used in the two `simd` alone, for instructions and for calls of functions compiled with them; their macros state why.
//!
//! A function is compiled with the instructions it is written for, so it cannot be generic over them: the files of this folder are
//! modules of both kernels, compiled once in each, over a `simd` and a `limbs` of the same items.
//!
//! ```text
//! avx512/simd, avx2/simd     registers, masks, and the proof that they exist
//! avx512/limbs, avx2/limbs   modulo 2^255 - 19: radix, bounds, products, carries
//!                                                                                compiled in both:
//! field                      Field multiplies, Wide adds; roots and inverses
//! edwards                    doubling, addition, k*P, sum of few w*P
//! bucket_sum                 sum of many w*P
//! fixed_base                 s*B for a public B
//! ristretto                  decode, encode, double and encode, map
//! points                     any number of points
//! sha512, hmac               a message or a key a lane
//! ```
#![allow(unsafe_code)] // see `simd`

pub(crate) mod avx2;
pub(crate) mod avx512;

/// Runs a fuzzer's program by both kernels and by dalek; nothing where the processor has neither.
///
/// # Panics
/// Where they differ.
#[cfg(fuzzing)]
pub fn differential(data: &[u8]) {
    avx512::differential::compare(data);
    avx2::differential::compare(data);
}
