//! Four lanes in AVX2 registers, products by VPMULUDQ.
//!
//! - **Source**: ADR 0009
#![allow(clippy::duplicate_mod)] // one source for both kernels: see `lanes`

#[path = "../bucket_sum.rs"]
mod bucket_sum;
#[cfg(any(test, fuzzing))]
#[path = "../differential.rs"]
pub(crate) mod differential;
#[path = "../edwards.rs"]
mod edwards;
#[path = "../field.rs"]
mod field;
#[path = "../fixed_base.rs"]
pub(crate) mod fixed_base;
#[path = "../hmac.rs"]
pub(crate) mod hmac;
mod limbs;
#[path = "../points.rs"]
pub(crate) mod points;
#[path = "../ristretto.rs"]
mod ristretto;
#[path = "../sha512.rs"]
mod sha512;
pub(crate) mod simd;

#[cfg(test)]
#[path = "../tests.rs"]
mod tests;
