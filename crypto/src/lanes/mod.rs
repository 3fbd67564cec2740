//! Eight points at a time: ristretto255 and SHA-512 in the eight 64-bit lanes of AVX-512 registers, products by IFMA.
//!
//! - **Place**: under `points` and `sha512`, which choose between this and dalek once (`kernel`) and give the same bytes either way
//! - **Shapes**: one lane, one point or message; the same operation in all
//! - **Invariants**: limb bounds by type ([`field`]); instructions by proof ([`simd::Avx512`])
//! - **Security**: no secret reaches a branch or an address: digits select by masks over whole tables or by permutations of
//!   registers. Digits, tables of multiples and [`Points`](crate::points) are cleared; copies in registers and spills are not.
//!   `cargo run --release -p riskveil-tests --bin timing -- kernel` compares the times of fixed and random scalars
//! - **Source**: specs/performance.md; SPEED.md, "The vertical kernel"; ADR 0009
//! - **Deviations**: none in results. A four-lane AVX2 kernel was measured and not kept: ADR 0009
//!
//! `unsafe` is used in [`simd`] alone, for instructions and for calls of functions compiled with them; its macros state why.
//!
//! ```text
//! simd       registers, and the proof that they exist
//! field      modulo 2^255 - 19: Field multiplies, Wide adds
//! edwards    doubling, addition, k*P, sum of few w*P
//! bucket_sum sum of many w*P
//! fixed_base s*B for a public B
//! ristretto  decode, encode, double and encode, map
//! sha512     eight messages
//! ```
#![allow(unsafe_code)] // see `simd`

pub(crate) mod bucket_sum;
#[cfg(any(test, fuzzing))]
pub(crate) mod differential;
pub(crate) mod edwards;
mod field;
pub(crate) mod fixed_base;
pub(crate) mod ristretto;
pub(crate) mod sha512;
pub(crate) mod simd;

#[cfg(test)]
mod tests;
