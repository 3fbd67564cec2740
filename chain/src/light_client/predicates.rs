//! One function per rule of specs/ledger.md#light-client.

use riskveil_crypto::digest::Digest32;

use crate::block::Header;
use crate::engine::certificate::verify_certificate;
use crate::genesis::{Genesis, GenesisError};

/// Which rule did not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LightClientError {
    /// LC-1.
    #[error("[LC-1] the genesis does not hash to the trusted chain id")]
    GenesisMismatch,
    /// LC-1.
    #[error("[LC-1] {0}")]
    GenesisInvalid(#[from] GenesisError),
    /// LC-2.
    #[error("[LC-2] a header is of another version or chain, or its term is not its height's")]
    HeaderInvalid,
    /// LC-3.
    #[error("[LC-3] headers do not follow each other")]
    NotLinked,
    /// LC-4.
    #[error("[LC-4] no committee is known for term {0}; its boundary headers are missing")]
    TermUnknown(u64),
    /// LC-5.
    #[error("[LC-5] the certificate does not finalize the header")]
    CertificateInvalid,
    /// LC-6.
    #[error("[LC-6] not the last header of term {0}, or it has no next committee")]
    NotABoundary(u64),
    /// LC-7.
    #[error("[LC-7] the transaction or payload is not under the header")]
    NotIncluded,
    /// LC-8.
    #[error("[LC-8] the state proof does not hold under the header")]
    StateProofInvalid,
}

/// LC-1: the genesis is the trusted one, and a chain can run on it.
pub(super) fn genesis_is_trusted(chain_id: &Digest32, genesis: &Genesis) -> Result<(), LightClientError> {
    if genesis.chain_id() != *chain_id {
        return Err(LightClientError::GenesisMismatch);
    }
    Ok(genesis.check()?)
}

/// LC-2: the header is of this version and chain, and states the term of its height.
pub(super) fn header_is_of_chain(
    genesis: &Genesis,
    chain_id: &Digest32,
    header: &Header,
) -> Result<(), LightClientError> {
    let version = header.header.expect(riskveil_exchange::message::Kind::BlockHeader).is_ok();
    if version && header.chain_id == *chain_id && header.term == genesis.term_of(header.height) {
        Ok(())
    } else {
        Err(LightClientError::HeaderInvalid)
    }
}

/// LC-3: each header is the parent of the next, one higher and earlier.
pub(super) fn headers_are_linked(headers: &[Header]) -> Result<(), LightClientError> {
    let linked = |parent: &Header, child: &Header| {
        child.parent == parent.digest() && child.height == parent.height.next() && child.time_ms > parent.time_ms
    };
    let all = headers.windows(2).all(|pair| match pair {
        [parent, child] => linked(parent, child),
        _ => true,
    });
    if all { Ok(()) } else { Err(LightClientError::NotLinked) }
}

/// LC-5: a quorum of the committee finalized the header in its term.
pub(super) fn certificate_finalizes(
    chain_id: &Digest32,
    committee: &[[u8; 32]],
    header: &Header,
    certificate: &[u8],
) -> Result<(), LightClientError> {
    verify_certificate(chain_id, header.term, committee, &header.digest(), certificate)
        .map_err(|_| LightClientError::CertificateInvalid)
}

/// LC-6: the header is the last of the term, and carries the next term's committee.
pub(super) fn next_committee_of<'a>(
    genesis: &Genesis,
    term: u64,
    header: &'a Header,
) -> Result<&'a [[u8; 32]], LightClientError> {
    let last = header.height.0 > 0 && header.term == term && genesis.is_boundary(header.height);
    header.next_committee.as_deref().filter(|_| last).ok_or(LightClientError::NotABoundary(term))
}
