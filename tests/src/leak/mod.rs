//! Looks for people in bytes: a scanner for every form an identifier could leak in, and a proxy that records traffic.
//!
//! Reading order: [`hashes`] (the plain hashes that lists of today are made with), [`scanner`] (many patterns, one pass),
//! [`proxy`] (what goes over a loopback connection).

pub mod hashes;
pub mod proxy;
pub mod scanner;
