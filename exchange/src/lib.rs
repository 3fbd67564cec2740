#![doc = include_str!("../README.md")]
#![deny(clippy::float_arithmetic)]

pub mod audit;
mod codes;
pub mod disclose;
pub mod dst;
pub mod ids;
pub mod member;
pub mod message;
pub mod policy;
pub mod publish;
pub mod purpose;
pub mod query;
pub mod record;
