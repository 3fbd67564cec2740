//! From the genesis hash alone: committees term by term, a certified header, and what is under it; each rule refuses.
//!
//! Certificates are made here byte by byte from ENGINE.md's description, so that the format is checked from outside too.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use common::{Chain, busy_chain, id, varint};
use ed25519_dalek::Signer as _;
use riskveil_chain::block::{Block, Header};
use riskveil_chain::dst;
use riskveil_chain::light_client::{HeaderProof, LightClient, LightClientError, TrustedHeader};
use riskveil_chain::state::keys;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_exchange::ids::{Height, Period};

/// `signers` are positions in the committee sorted by key bytes.
fn certificate(chain: &Chain, term: u64, digest: &Digest32, signers: &[usize]) -> Vec<u8> {
    let namespace = [dst::ENGINE.as_bytes(), chain.ledger.chain_id().as_bytes(), b"_FINALIZE"].concat();
    let proposal = [varint(term), varint(700), varint(699), digest.as_bytes().to_vec()].concat();
    let message = [varint(namespace.len() as u64), namespace, proposal.clone()].concat();
    let mut keys: Vec<ed25519_dalek::SigningKey> =
        chain.consortium.engines.iter().map(|key| key.seed().expose(ed25519_dalek::SigningKey::from_bytes)).collect();
    keys.sort_by_key(|key| key.verifying_key().to_bytes());
    let mut bytes = proposal;
    bytes.extend_from_slice(&(keys.len() as u64).to_be_bytes());
    bytes.push(signers.iter().map(|s| 1 << s).sum());
    bytes.extend(varint(signers.len() as u64));
    for signer in signers {
        bytes.extend_from_slice(&keys[*signer].sign(&message).to_bytes());
    }
    bytes
}

fn certified(chain: &Chain, header: &Header) -> HeaderProof {
    let certificate = certificate(chain, header.term, &header.digest(), &[0, 1]);
    HeaderProof { header: header.clone(), certificate }
}

/// A chain of three terms, the boundaries of the first two, and a client that trusts its genesis hash.
fn three_terms() -> (Chain, Vec<HeaderProof>, LightClient) {
    let mut chain = Chain::new();
    busy_chain(&mut chain);
    while chain.height() < Height(28) {
        chain.block(Vec::new());
    }
    let boundaries = [9, 19].map(|height| certified(&chain, &at(&chain, height).header)).to_vec();
    let client = LightClient::new(chain.ledger.chain_id(), chain.consortium.genesis.clone()).unwrap();
    (chain, boundaries, client)
}

fn at(chain: &Chain, height: u64) -> &Block {
    let block = &chain.blocks[usize::try_from(height).unwrap() - 1];
    assert_eq!(block.header.height, Height(height));
    block
}

fn headers(chain: &Chain, from: u64, to: u64) -> Vec<Header> {
    (from..=to).map(|height| at(chain, height).header.clone()).collect()
}

#[test]
fn a_transaction_and_the_state_are_shown_from_the_genesis_hash_alone() {
    let (chain, boundaries, _) = three_terms();
    // Height 3 carries INST-01's second batch; the next certificate is at 5.
    let headers = headers(&chain, 3, 5);
    let proof = certified(&chain, &headers[2]).certificate;
    let trusted =
        TrustedHeader::verify(chain.ledger.chain_id(), chain.consortium.genesis.clone(), &boundaries, &headers, &proof)
            .unwrap();
    let block = at(&chain, 3);
    assert_eq!((trusted.digest(), trusted.height()), (&block.digest(), Height(3)));
    let inclusion = block.prove_transaction(0).unwrap();
    assert!(trusted.verify_transaction(&block.transactions[0], &inclusion).is_ok());
    assert_eq!(trusted.verify_transaction(b"other", &inclusion), Err(LightClientError::NotIncluded));
    let payload = block.prove_payload(0).unwrap();
    assert_eq!(trusted.verify_payload(&sha256(&block.payloads[0]), &payload), Ok(()));
    assert_eq!(trusted.verify_payload(&Digest32::ZERO, &payload), Err(LightClientError::NotIncluded));
    assert!(block.prove_transaction(1).is_none());

    // The state at the tip, through two terms.
    let tip = certified(&chain, &chain.tip());
    let trusted = TrustedHeader::verify(
        chain.ledger.chain_id(),
        chain.consortium.genesis.clone(),
        &boundaries,
        std::slice::from_ref(&tip.header),
        &tip.certificate,
    )
    .unwrap();
    let view = chain.ledger.view();
    let held = keys::batch(Period(0), &id("INST-01"), 3);
    let absent = keys::batch(Period(0), &id("INST-01"), 4);
    let proof = view.prove(&held).unwrap();
    assert_eq!(trusted.verify_state(&held, &proof), Ok(view.state.get(&held)));
    assert_eq!(trusted.verify_state(&absent, &proof), Err(LightClientError::StateProofInvalid));
    assert_eq!(trusted.verify_state(&absent, &view.prove(&absent).unwrap()), Ok(None));
    assert_eq!(trusted.verify_state(&held, &view.prove(&absent).unwrap()), Err(LightClientError::StateProofInvalid));
}

#[test]
fn the_genesis_header_and_its_state_follow_from_the_genesis() {
    let (chain, _, client) = three_terms();
    let trusted = client.genesis_header();
    assert_eq!(trusted.header(), &chain.ledger.genesis_block().header);
    assert_eq!(at(&chain, 1).header.parent, *trusted.digest());
}

#[test]
fn lc1_another_genesis_is_refused() {
    let (chain, ..) = three_terms();
    let mut other = chain.consortium.genesis.clone();
    other.policy.clock_skew_s += 1;
    let refused = LightClient::new(chain.ledger.chain_id(), other.clone()).unwrap_err();
    assert_eq!(refused, LightClientError::GenesisMismatch);
    other.members.clear();
    let refused = LightClient::new(&other.chain_id(), other).unwrap_err();
    assert!(matches!(refused, LightClientError::GenesisInvalid(_)));
}

#[test]
fn lc2_headers_of_another_version_chain_or_term_are_refused() {
    let (chain, _, client) = three_terms();
    let changes: [fn(&mut Header); 3] = [|h| h.header.version = 2, |h| h.chain_id = Digest32::ZERO, |h| h.term = 1];
    for change in changes {
        let mut header = at(&chain, 5).header.clone();
        change(&mut header);
        let proof = certified(&chain, &header);
        let refused = client.trust(std::slice::from_ref(&proof.header), &proof.certificate);
        assert_eq!(refused, Err(LightClientError::HeaderInvalid));
    }
}

#[test]
fn lc3_headers_that_do_not_follow_each_other_are_refused() {
    let (chain, _, client) = three_terms();
    let certificate = certified(&chain, &at(&chain, 5).header).certificate;
    let refused = Err(LightClientError::NotLinked);
    assert_eq!(client.trust(&[], &certificate), refused);
    let good = headers(&chain, 3, 5);
    assert!(client.trust(&good, &certificate).is_ok());
    assert_eq!(client.trust(&[good[0].clone(), good[2].clone()], &certificate), refused);
    let mut other = good.clone();
    other[0].state_root = Digest32::ZERO;
    assert_eq!(client.trust(&other, &certificate), refused);
    let mut other = good;
    other.swap(0, 1);
    assert_eq!(client.trust(&other, &certificate), refused);
}

#[test]
fn lc4_a_term_whose_boundaries_are_missing_is_refused() {
    let (chain, boundaries, mut client) = three_terms();
    let tip = certified(&chain, &at(&chain, 25).header);
    let trust = |client: &LightClient| client.trust(std::slice::from_ref(&tip.header), &tip.certificate);
    assert_eq!(trust(&client), Err(LightClientError::TermUnknown(2)));
    client.learn_term(&boundaries[0]).unwrap();
    assert_eq!(trust(&client), Err(LightClientError::TermUnknown(2)));
    client.learn_term(&boundaries[1]).unwrap();
    assert!(trust(&client).is_ok());
    assert_eq!(client.last_term(), 2);
}

#[test]
fn lc5_certificates_of_another_header_term_or_fewer_signers_are_refused() {
    let (chain, boundaries, mut client) = three_terms();
    let header = at(&chain, 5).header.clone();
    let digest = header.digest();
    let bad = [
        certificate(&chain, 0, &at(&chain, 4).digest(), &[0, 1]),
        certificate(&chain, 1, &digest, &[0, 1]),
        certificate(&chain, 0, &digest, &[0]),
        certificate(&chain, 0, &digest, &[]),
        Vec::new(),
    ];
    for certificate in bad {
        let refused = client.trust(std::slice::from_ref(&header), &certificate);
        assert_eq!(refused, Err(LightClientError::CertificateInvalid));
    }
    let mut boundary = boundaries[0].clone();
    boundary.certificate[60] ^= 1;
    assert_eq!(client.learn_term(&boundary), Err(LightClientError::CertificateInvalid));
    let mut boundary = boundaries[0].clone();
    boundary.header.next_committee = Some(vec![[7; 32]]);
    assert_eq!(client.learn_term(&boundary), Err(LightClientError::CertificateInvalid));
    assert_eq!(client.last_term(), 0);
}

#[test]
fn lc6_headers_that_are_not_the_last_of_the_next_term_are_no_boundaries() {
    let (chain, boundaries, mut client) = three_terms();
    assert_eq!(client.learn_term(&boundaries[1]), Err(LightClientError::NotABoundary(0)));
    let inner = certified(&chain, &at(&chain, 8).header);
    assert_eq!(client.learn_term(&inner), Err(LightClientError::NotABoundary(0)));
    let genesis = certified(&chain, client.genesis_header().header());
    assert_eq!(client.learn_term(&genesis), Err(LightClientError::NotABoundary(0)));
    let mut without = at(&chain, 9).header.clone();
    without.next_committee = None;
    assert_eq!(client.learn_term(&certified(&chain, &without)), Err(LightClientError::NotABoundary(0)));
    client.learn_term(&boundaries[0]).unwrap();
    assert_eq!(client.learn_term(&boundaries[0]), Err(LightClientError::NotABoundary(1)));
}
