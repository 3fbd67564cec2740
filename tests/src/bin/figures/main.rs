//! What the rooms cost on one core of this machine, with the `voprf` crate (RFC 9497) measured in the same run:
//! `cargo run --release -p riskveil-tests --bin figures`; `-- --json` prints the same figures as JSON.
//!
//! - **Clock**: CPU time of the one thread that works, so other work on the machine weighs little; minimum and median of
//!   rounds in which ours and the baseline take turns. No time is asserted
//! - **In the figures**: everything that `exchange` computes, on bytes as they go over the wire. **Not in them**: network,
//!   TLS, journals, consensus; the demo measures those
//!
//! Reading order: `world` (a consortium in memory), `rows` (walk A), `commitments`, `queries` (walk B), `audit`; `meter` measures and
//! prints, `baseline` is the `voprf` crate.

#![allow(clippy::unwrap_used, reason = "a program that measures stops where a step fails")]

mod audit;
mod baseline;
mod commitments;
mod meter;
mod queries;
mod rows;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = match arguments.as_slice() {
        [] => false,
        [only] if only == "--json" => true,
        _ => {
            eprintln!("usage: figures [--json]");
            std::process::exit(2);
        }
    };
    let mut table = meter::Table::default();
    let world = world::World::new();
    rows::measure(&mut table, &world);
    commitments::measure(&mut table, &world);
    queries::measure_check(&mut table, &world);
    queries::measure_screening(&mut table, &world);
    audit::measure(&mut table, &world);
    if json { println!("{:#}", table.to_json()) } else { print!("{table}") }
}
