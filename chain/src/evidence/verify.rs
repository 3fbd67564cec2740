//! The whole verification: bytes and a trusted chain id in, a statement or the first rule that does not hold out.

use riskveil_crypto::digest::Digest32;

use super::error::{Refused, Rule};
use super::format::{Claim, Evidence};
use super::statement::{Statement, Verified};
use super::trusted::Trusted;
use super::{answers, log_entry};

/// Verifies an evidence file offline, from a genesis hash.
///
/// # Errors
/// [`Refused`]: the first rule of specs/evidence.md that does not hold; the file then proves nothing.
pub fn verify(bytes: &[u8], trusted_chain_id: &Digest32) -> Result<Verified, Refused> {
    let evidence = Evidence::decode(bytes)?;
    let trusted = Trusted::establish(&evidence, trusted_chain_id)?;
    let statement = match &evidence.claim {
        Claim::Answers(claim) => Statement::Answers(Box::new(answers::verify(&trusted, claim)?)),
        Claim::LogEntry(claim) => Statement::LogEntry(Box::new(log_entry::verify(&trusted, claim)?)),
    };
    let newest = trusted.newest().ok_or(Rule::Headers)?;
    Ok(Verified {
        chain_id: trusted.chain_id,
        network: trusted.genesis.network.clone(),
        newest_height: newest.height(),
        newest_time_s: newest.header().time_s(),
        statement,
    })
}
