//! What a file shows of the chain before its claim is read: genesis, committees, final headers, state entries.
//!
//! - **Place**: [`Evidence`] and a trusted chain id -> [`Trusted`] -> the claim's own rules
//! - **Invariants**: every header in a [`Trusted`] is final under LC-1 to LC-6, one per height; every entry stands under the
//!   state root of one of them
//! - **Source**: specs/evidence.md#trust; specs/ledger.md#light-client

use std::collections::BTreeMap;

use riskveil_crypto::codec;
use riskveil_crypto::digest::{self, Digest32};
use riskveil_crypto::merkle::InclusionProof;
use riskveil_exchange::ids::Height;

use super::error::{Refused, Rule};
use super::format::{Blob, CertifiedHeader, Evidence, HeaderChain, StateOpening};
use crate::block::Header;
use crate::dst;
use crate::genesis::{Genesis, MAX_GENESIS_BYTES};
use crate::light_client::{HeaderProof, LightClient, LightClientError, TrustedHeader};
use crate::state::view::StateRead;
use crate::state::{StateProofInvalid, tree};

/// What a file shows of the chain.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) chain_id: Digest32,
    pub(super) genesis: Genesis,
    pub(super) state_height: Height,
    headers: BTreeMap<Height, TrustedHeader>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Trusted {
    /// Rules 2 to 6.
    pub(super) fn establish(evidence: &Evidence, chain_id: &Digest32) -> Result<Self, Refused> {
        if evidence.chain_id != *chain_id {
            return Err(Rule::Chain.into());
        }
        let mut client = genesis(chain_id, &evidence.genesis.0)?;
        learn(&mut client, &evidence.boundaries)?;
        let headers = headers(&client, &evidence.chains)?;
        let at = headers.get(&evidence.state.height).ok_or(Rule::State)?;
        let state = entries(&evidence.state, at).map_err(|_| Rule::State)?;
        Ok(Self {
            chain_id: *chain_id,
            genesis: client.genesis().clone(),
            state_height: evidence.state.height,
            headers,
            state,
        })
    }

    /// A final header that the file holds.
    pub(super) fn header(&self, height: Height) -> Option<&TrustedHeader> {
        self.headers.get(&height)
    }

    /// The highest final header that the file holds.
    pub(super) fn newest(&self) -> Option<&TrustedHeader> {
        self.headers.values().next_back()
    }
}

impl StateRead for Trusted {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.state.get(key).cloned()
    }

    fn prefixed(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let found = self.state.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        found.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// Rule 3.
fn genesis(chain_id: &Digest32, bytes: &[u8]) -> Result<LightClient, Refused> {
    let mismatch = || Refused::light_client(Rule::Genesis, LightClientError::GenesisMismatch);
    if digest::hash(dst::GENESIS, &[bytes]) != *chain_id {
        return Err(mismatch());
    }
    let genesis: Genesis = codec::decode(bytes, MAX_GENESIS_BYTES).map_err(|_| mismatch())?;
    LightClient::new(chain_id, genesis).map_err(|error| Refused::light_client(Rule::Genesis, error))
}

/// Rule 4.
fn learn(client: &mut LightClient, boundaries: &[CertifiedHeader]) -> Result<(), Refused> {
    for boundary in boundaries {
        let refused = |error| Refused::light_client(Rule::Boundaries, error);
        let header = header(&boundary.header).map_err(refused)?;
        client.learn_term(&HeaderProof { header, certificate: boundary.certificate.0.clone() }).map_err(refused)?;
    }
    Ok(())
}

/// Rule 5.
fn headers(client: &LightClient, chains: &[HeaderChain]) -> Result<BTreeMap<Height, TrustedHeader>, Refused> {
    let refused = |error| Refused::light_client(Rule::Headers, error);
    let mut known: BTreeMap<Height, TrustedHeader> = BTreeMap::new();
    for chain in chains {
        let run: Vec<Header> = chain.headers.iter().map(header).collect::<Result<_, _>>().map_err(refused)?;
        for trusted in client.trust_all(&run, &chain.certificate.0).map_err(refused)? {
            if known.get(&trusted.height()).is_some_and(|other| other.digest() != trusted.digest()) {
                return Err(Rule::Headers.into());
            }
            known.insert(trusted.height(), trusted);
        }
    }
    Ok(known)
}

fn header(bytes: &Blob) -> Result<Header, LightClientError> {
    Header::decode(&bytes.0).map_err(|_| LightClientError::HeaderInvalid)
}

/// Rule 6.
fn entries(opening: &StateOpening, at: &TrustedHeader) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateProofInvalid> {
    if tree::state_root(opening.size, &opening.entries_root) != at.header().state_root {
        return Err(StateProofInvalid);
    }
    if opening.entries.windows(2).any(|pair| pair[0].index >= pair[1].index || pair[0].key.0 >= pair[1].key.0) {
        return Err(StateProofInvalid);
    }
    let mut state = BTreeMap::new();
    for entry in &opening.entries {
        let inclusion = InclusionProof { index: entry.index, size: opening.size, path: entry.path.clone() };
        tree::verify_entry(&opening.entries_root, &entry.key.0, &entry.value.0, &inclusion)?;
        state.insert(entry.key.0.clone(), entry.value.0.clone());
    }
    Ok(state)
}
