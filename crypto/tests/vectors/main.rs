//! Published vectors of every primitive, run through this crate's own functions. Data: specs/vectors, see its README.md.
#![allow(clippy::unwrap_used, non_snake_case)]

mod aead_kdf;
mod bulletproofs;
mod group;
mod hpke;
mod merkle;
mod oprf;
mod signature;
mod support;
