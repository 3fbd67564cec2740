#![doc = include_str!("../README.md")]

pub mod clock;
pub mod config;
pub mod dst;
pub mod ingest;
pub mod journal;
pub mod lock;
pub mod ports;
