//! Any bytes are a program for both kernels and for dalek, which must agree after every step: `crypto/src/lanes/differential.rs`.
//!
//! `just fuzz lanes`, which is, in `crypto/`, on stable Rust with `cargo install cargo-fuzz --locked`:
//!
//! ```text
//! cargo fuzz run -s none --no-trace-compares --target-dir ../target/fuzz lanes ../target/fuzz/corpus/lanes fuzz/corpus/lanes
//!     -- -max_total_time=180
//! ```
//!
//! Debug assertions are on: limbs beyond their bounds are found as well. No sanitizer: the two files with `unsafe` have only
//! instructions, and sanitizers need nightly. `-h` of the built target lists the options after `--`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| riskveil_crypto::lanes_differential(data));
