//! The local HTTP API and the peer API.

pub mod auth;
pub mod problem;
