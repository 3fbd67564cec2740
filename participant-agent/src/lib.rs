//! The Riskveil agent: everything that touches files, network, clocks and people.

pub mod ingest;
