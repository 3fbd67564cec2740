//! The light client: committees term by term, then headers under them, then what is under a header.

use riskveil_crypto::digest::Digest32;
use riskveil_crypto::merkle::{self, InclusionProof};
use riskveil_exchange::ids::Height;
use serde::{Deserialize, Serialize};

use super::predicates::{
    LightClientError, certificate_finalizes, genesis_is_trusted, header_is_of_chain, headers_are_linked,
    next_committee_of,
};
use crate::block::Header;
use crate::genesis::Genesis;
use crate::ledger::genesis_header;
use crate::receipt::Receipt;
use crate::state::StateProof;
use crate::tx::{TxId, tx_id};

/// A header with the certificate that finalizes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderProof {
    /// The header.
    pub header: Header,
    /// The engine's finality certificate of exactly this header.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
}

/// Knows the genesis and the committees of terms `0..=n`.
#[derive(Clone, Debug)]
pub struct LightClient {
    genesis: Genesis,
    chain_id: Digest32,
    /// By term.
    committees: Vec<Vec<[u8; 32]>>,
}

/// A header that is final on the trusted chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedHeader {
    header: Header,
    digest: Digest32,
}

impl LightClient {
    /// Trusts a genesis whose hash is the chain id (LC-1), and with it the committee of term 0.
    ///
    /// # Errors
    /// [`LightClientError::GenesisMismatch`], [`LightClientError::GenesisInvalid`].
    pub fn new(chain_id: &Digest32, genesis: Genesis) -> Result<Self, LightClientError> {
        genesis_is_trusted(chain_id, &genesis)?;
        let committees = vec![genesis.validators()];
        Ok(Self { genesis, chain_id: *chain_id, committees })
    }

    /// The last term whose committee is known.
    #[must_use]
    pub fn last_term(&self) -> u64 {
        (self.committees.len() as u64).saturating_sub(1)
    }

    /// Learns the next term's committee from the last header of the last known term, certified by that term's committee
    /// (LC-2, LC-5, LC-6).
    ///
    /// # Errors
    /// [`LightClientError`]: the rule that did not hold; nothing is learned then.
    pub fn learn_term(&mut self, boundary: &HeaderProof) -> Result<(), LightClientError> {
        let HeaderProof { header, certificate } = boundary;
        header_is_of_chain(&self.genesis, &self.chain_id, header)?;
        let next = next_committee_of(&self.genesis, self.last_term(), header)?;
        certificate_finalizes(&self.chain_id, self.committee(header.term)?, header, certificate)?;
        self.committees.push(next.to_vec());
        Ok(())
    }

    /// Trusts the first of `headers`: they are linked (LC-2, LC-3), and the last is certified by its term's committee
    /// (LC-4, LC-5).
    ///
    /// # Errors
    /// [`LightClientError`]: the rule that did not hold; [`LightClientError::NotLinked`] without a header.
    pub fn trust(&self, headers: &[Header], certificate: &[u8]) -> Result<TrustedHeader, LightClientError> {
        let mut trusted = self.trust_all(headers, certificate)?;
        if trusted.is_empty() { Err(LightClientError::NotLinked) } else { Ok(trusted.swap_remove(0)) }
    }

    /// Trusts every one of `headers`, under the same rules.
    ///
    /// # Errors
    /// As [`LightClient::trust`].
    pub fn trust_all(&self, headers: &[Header], certificate: &[u8]) -> Result<Vec<TrustedHeader>, LightClientError> {
        let Some(last) = headers.last() else { return Err(LightClientError::NotLinked) };
        for header in headers {
            header_is_of_chain(&self.genesis, &self.chain_id, header)?;
        }
        headers_are_linked(headers)?;
        certificate_finalizes(&self.chain_id, self.committee(last.term)?, last, certificate)?;
        Ok(headers.iter().map(|header| TrustedHeader { header: header.clone(), digest: header.digest() }).collect())
    }

    /// The genesis header, which needs no certificate.
    #[must_use]
    pub fn genesis_header(&self) -> TrustedHeader {
        let header = genesis_header(&self.genesis);
        TrustedHeader { digest: header.digest(), header }
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// LC-4: a term's committee, if every boundary before it was learned.
    fn committee(&self, term: u64) -> Result<&[[u8; 32]], LightClientError> {
        let at = usize::try_from(term).ok();
        at.and_then(|at| self.committees.get(at)).map(Vec::as_slice).ok_or(LightClientError::TermUnknown(term))
    }
}

impl TrustedHeader {
    /// Everything at once: a genesis with the trusted hash, the boundaries of the terms before, headers up to a certified
    /// one. Trusts the first of `headers`.
    ///
    /// # Errors
    /// [`LightClientError`]: the rule that did not hold.
    pub fn verify(
        chain_id: &Digest32,
        genesis: Genesis,
        boundaries: &[HeaderProof],
        headers: &[Header],
        certificate: &[u8],
    ) -> Result<Self, LightClientError> {
        let mut client = LightClient::new(chain_id, genesis)?;
        for boundary in boundaries {
            client.learn_term(boundary)?;
        }
        client.trust(headers, certificate)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Its digest.
    #[must_use]
    pub const fn digest(&self) -> &Digest32 {
        &self.digest
    }

    /// Its height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// What the block made of a transaction: its receipt stands under `receipts_root`. The receipt names the transaction.
    ///
    /// # Errors
    /// [`LightClientError::NotIncluded`].
    pub fn verify_receipt(&self, receipt: &Receipt, proof: &InclusionProof) -> Result<(), LightClientError> {
        let included = proof.verify(&self.header.receipts_root, &merkle::leaf_hash(&receipt.encode()));
        included.map_err(|_| LightClientError::NotIncluded)
    }

    /// LC-7: a transaction's bytes stand in this block. That it was applied is shown by the state, not by this.
    ///
    /// # Errors
    /// [`LightClientError::NotIncluded`].
    pub fn verify_transaction(&self, bytes: &[u8], proof: &InclusionProof) -> Result<TxId, LightClientError> {
        let included = proof.verify(&self.header.tx_root, &merkle::leaf_hash(bytes));
        included.map(|()| tx_id(bytes)).map_err(|_| LightClientError::NotIncluded)
    }

    /// LC-7: a payload with this SHA-256 stands beside this block's transactions.
    ///
    /// # Errors
    /// [`LightClientError::NotIncluded`].
    pub fn verify_payload(&self, digest: &Digest32, proof: &InclusionProof) -> Result<(), LightClientError> {
        let included = proof.verify(&self.header.payload_root, &merkle::leaf_hash(digest.as_bytes()));
        included.map_err(|_| LightClientError::NotIncluded)
    }

    /// LC-8: the value under `key` in the state after this block; `None` if it is shown to have none.
    ///
    /// # Errors
    /// [`LightClientError::StateProofInvalid`] if neither is shown.
    pub fn verify_state<'a>(&self, key: &[u8], proof: &'a StateProof) -> Result<Option<&'a [u8]>, LightClientError> {
        proof.verify(&self.header.state_root, key).map_err(|_| LightClientError::StateProofInvalid)
    }
}
