//! Any bytes are a program for both kernels, which must agree after every step: `crypto/src/lanes/differential.rs`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| riskveil_crypto::lanes_differential(data));
