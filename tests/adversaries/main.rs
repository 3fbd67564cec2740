//! Crimes against a consortium, each refused or surfaced with the party named.
//!
//! Adversaries speak through `riskveil_tests::second`, a second implementation of every message that calls nothing of the
//! product; the victims are the product's. `README.md` beside this file says which check catches which crime and what
//! happened when that check was removed; `seen_to_pass` shows it again.

#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on says so; files share their stages

#[path = "../../participant-agent/tests/agents/mod.rs"]
mod agents;
mod another_key;
mod blocks;
mod channel;
mod commitments;
#[path = "../../chain/tests/common/mod.rs"]
mod common;
mod control;
mod escrow;
mod evaluation_proof;
mod hit_and_miss;
mod labels;
mod logs;
mod replica;
mod requests;
mod tip;
mod unknown_member;
mod world;
