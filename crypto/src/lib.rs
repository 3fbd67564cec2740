#![doc = include_str!("../README.md")]
#![allow(non_snake_case)] // C, D, K, M, Y, Z are group elements and keep the names of the RFC and the design

pub mod aead;
pub mod announce;
pub mod at_rest;
pub mod codec;
pub mod digest;
pub mod dst;
pub mod elements;
pub mod error;
pub mod escrow;
pub mod escrow_opening;
pub mod evaluation;
pub mod fingerprint;
pub mod group;
pub mod kdf;
pub mod kernel;
pub mod label;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod lately;
pub mod merkle;
pub mod oprf;
pub mod pedersen;
mod points;
pub mod range_proof;
pub mod seal;
pub mod secret;
mod sha512;
pub mod signature;
mod transcript;

pub use digest::Digest32;
pub use elements::Elements;
pub use group::Element;
#[cfg(all(fuzzing, target_arch = "x86_64"))]
#[doc(hidden)]
pub use lanes::differential as lanes_differential;
pub use secret::{SecretBytes, SecretScalar};
pub use signature::{Signature, SigningKey, VerifyingKey};
