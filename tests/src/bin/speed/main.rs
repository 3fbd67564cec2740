//! Whole paths at size, on this machine: publications of millions of records, look-ups in millions of rows, screenings and checks
//! between real processes over TLS, with every log and proof on. `figures` has the steps, one by one and against the `voprf` crate.
//!
//! - **In the figures**: wall time, CPU time of each process (user and system), peak memory, bytes of bodies. No time is asserted;
//!   that every answer is the right one is
//! - **Comparison**: each part runs with the kernel of this processor, then (`--portable`) with dalek's

#![allow(clippy::unwrap_used, reason = "a program that measures stops where a step fails")]

mod consortium;
mod lookup;
mod people;
mod publish;
mod query;

use std::process::exit;

const HELP: &str = "\
usage: speed WHAT [--records N] [--applicants N] [--responders N] [--checks N] [--portable]

  publish   canonical records -> rows -> sorted batches on disk      --records 10000000
  lookup    tags looked up in a replica                              --records 10000000
  screen    applicants against one responder, processes over TLS     --records 1000000 --applicants 100000
  check     single checks at many responders, processes over TLS     --records 1000000 --responders 10 --checks 300

--portable computes with dalek instead of this processor's kernel.

examples:
  cargo build --release --workspace && target/release/speed publish
  target/release/speed screen --records 100000 --applicants 10000
  target/release/speed check --responders 3 --records 10000 --checks 100 --portable
";

/// What to measure, and how much of it.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    records: Option<u64>,
    applicants: u64,
    responders: usize,
    checks: usize,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let mut sizes = Sizes { records: None, applicants: 100_000, responders: 10, checks: 300 };
    while let Some(option) = arguments.next() {
        if option == "--portable" {
            riskveil_crypto::kernel::choose(riskveil_crypto::kernel::Choice::Portable);
            consortium::children_compute_portably();
            continue;
        }
        let Some(value) = arguments.next().and_then(|text| text.parse::<u64>().ok()) else { usage() };
        match option.as_str() {
            "--records" => sizes.records = Some(value),
            "--applicants" => sizes.applicants = value,
            "--responders" => sizes.responders = usize::try_from(value).unwrap(),
            "--checks" => sizes.checks = usize::try_from(value).unwrap(),
            _ => usage(),
        }
    }
    println!("kernel: {}", consortium::kernel());
    match what.as_str() {
        "publish" => publish::measure(sizes.records.unwrap_or(10_000_000)),
        "lookup" => lookup::measure(sizes.records.unwrap_or(10_000_000)),
        "screen" => query::screen(sizes.records.unwrap_or(1_000_000), sizes.applicants),
        "check" => query::check(sizes.records.unwrap_or(1_000_000), sizes.responders, sizes.checks),
        _ => usage(),
    }
}

fn usage() -> ! {
    eprint!("{HELP}");
    exit(2)
}
