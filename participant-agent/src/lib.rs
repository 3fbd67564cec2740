#![doc = include_str!("../README.md")]

pub mod api;
pub mod clock;
pub mod config;
pub mod dst;
pub mod ingest;
pub mod journal;
pub mod keystore;
pub mod lock;
pub mod peers;
pub mod ports;
pub mod telemetry;
