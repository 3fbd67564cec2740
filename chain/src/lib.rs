#![doc = include_str!("../README.md")]
#![deny(clippy::float_arithmetic)]

pub mod block;
pub mod dst;
pub mod engine;
pub mod error;
pub mod evidence;
pub mod execute;
pub mod genesis;
pub mod index;
pub mod ledger;
pub mod light_client;
pub mod mempool;
pub mod node;
pub mod receipt;
pub mod state;
pub mod tx;
