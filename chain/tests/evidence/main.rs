//! Evidence files from whole chains made here: what they prove, and that no forged one proves anything.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

#[path = "../common/mod.rs"]
mod common;
mod forged;
mod proven;
mod vectors;
mod world;
