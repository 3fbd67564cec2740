//! The protocol's own constructions: completeness, and a refusal for every input that can be changed.
#![allow(clippy::unwrap_used, non_snake_case)]

mod cancellation;
mod commitments;
mod escrow;
mod evaluation;
mod keys;
mod labels;
mod openings;
mod properties;
mod secrets;
mod support;
mod tags;
