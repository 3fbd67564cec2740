//! Verifies a finality certificate from its bytes, offline, by the engine's own rule.
//!
//! - **Place**: archive -> `node::FinalityProof` -> `light_client`; an auditor needs nothing but these bytes and the committee
//! - **Shapes**: `term varint | view varint | parent view varint | header digest 32 | count u64 BE | bitmap LSB first |
//!   k varint | k signatures of 64 bytes`; 241 bytes with 4 validators, 4,349 with 100
//! - **Errors**: [`CertificateError::CommitteeInvalid`] (caller: not a committee), [`CertificateError::Malformed`] (bytes),
//!   [`CertificateError::Invalid`] (another term, another header, too few signers, a wrong signature; never which)
//! - **Security**: `n - floor((n - 1) / 3)` of the committee signed `proposal` under a namespace that holds the chain id, so
//!   votes of one chain are worth nothing on another. Signatures are checked by ZIP 215, as the engine does
//! - **Source**: commonware-consensus 2026.10.0 `simplex::types::Finalization`; ADR 0002

use commonware_codec::{Copying, Decode as _, DecodeExt as _};
use commonware_consensus::{
    Epochable as _,
    simplex::{scheme::ed25519::Scheme, types::Finalization},
};
use commonware_cryptography::{ed25519::PublicKey, sha256::Digest};
use commonware_parallel::Sequential;
use commonware_utils::{ordered::Set, sys_rng};
use riskveil_crypto::Digest32;

use super::config::{MAX_VALIDATORS, namespace};

/// Longest certificate, bytes: 100 validators that all signed.
pub const MAX_CERTIFICATE_BYTES: usize = 8 * 1024;

/// Why a certificate does not finalize a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The committee is empty, has more than 100 keys, has a key twice or one that is not a key.
    #[error("the committee is not 1 to 100 distinct Ed25519 keys")]
    CommitteeInvalid,
    /// The bytes are not one certificate, exactly.
    #[error("the certificate cannot be decoded")]
    Malformed,
    /// The certificate does not finalize this header.
    #[error("the certificate does not finalize this header")]
    Invalid,
}

/// Checks that `certificate` finalizes the header with digest `header_digest` in `term` of the chain `chain_id`, signed by a
/// quorum of `committee` (32-byte Ed25519 engine keys, in any order).
///
/// # Errors
/// [`CertificateError`]; nothing is finalized then.
pub fn verify_certificate(
    chain_id: &Digest32,
    term: u64,
    committee: &[[u8; 32]],
    header_digest: &Digest32,
    certificate: &[u8],
) -> Result<(), CertificateError> {
    let participants = participants(committee).ok_or(CertificateError::CommitteeInvalid)?;
    if certificate.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::Malformed);
    }
    let finalization = Finalization::<Scheme, Digest>::decode_cfg(Copying(certificate), &participants.len())
        .map_err(|_| CertificateError::Malformed)?;
    let same_header = finalization.proposal.payload.as_ref() == header_digest.as_bytes();
    if finalization.epoch().get() != term || !same_header {
        return Err(CertificateError::Invalid);
    }
    let scheme = Scheme::verifier(&namespace(chain_id), participants);
    match finalization.verify(&mut sys_rng(), &scheme, &Sequential) {
        true => Ok(()),
        false => Err(CertificateError::Invalid),
    }
}

/// The committee as the engine holds it: sorted by key bytes, distinct, 1 to 100.
pub(super) fn participants(committee: &[[u8; 32]]) -> Option<Set<PublicKey>> {
    if committee.is_empty() || committee.len() > MAX_VALIDATORS as usize {
        return None;
    }
    let keys: Vec<PublicKey> = committee.iter().map(public_key).collect::<Option<_>>()?;
    let set = Set::from_iter_dedup(keys);
    (set.len() == committee.len()).then_some(set)
}

/// An engine key from its 32 bytes.
pub(super) fn public_key(bytes: &[u8; 32]) -> Option<PublicKey> {
    PublicKey::decode(Copying(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use commonware_codec::Encode as _;
    use commonware_consensus::{
        simplex::types::{Finalize, Proposal},
        types::{Epoch, Round, View},
    };
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_utils::non_empty;

    use super::*;

    const CHAIN: Digest32 = Digest32::new([7; 32]);
    const HEADER: Digest32 = Digest32::new([9; 32]);

    fn keys(first: u64, count: u64) -> Vec<PrivateKey> {
        (first..first + count).map(PrivateKey::from_seed).collect()
    }

    fn committee(keys: &[PrivateKey]) -> Vec<[u8; 32]> {
        keys.iter().map(|key| <[u8; 32]>::try_from(key.public_key().as_ref()).unwrap()).collect()
    }

    fn certificate(keys: &[PrivateKey], signers: usize, chain: &Digest32) -> Vec<u8> {
        let set = participants(&committee(keys)).unwrap();
        let space = namespace(chain);
        let round = Round::new(Epoch::new(3), View::new(123_456));
        let proposal = Proposal::new(round, View::new(123_455), Digest::from(*HEADER.as_bytes()));
        let votes: Vec<Finalize<Scheme, Digest>> = keys[..signers]
            .iter()
            .map(|key| Scheme::signer(&space, set.clone(), key.clone()).unwrap())
            .map(|scheme| Finalize::sign(&scheme, proposal.clone()).unwrap())
            .collect();
        let verifier = Scheme::verifier(&space, set);
        Finalization::from_finalizes(&verifier, non_empty![@&votes], &Sequential).unwrap().encode().to_vec()
    }

    #[test]
    fn a_quorum_of_the_committee_finalizes_the_header() {
        for count in [1, 4, 7] {
            let keys = keys(0, count);
            let quorum = count - (count - 1) / 3;
            let bytes = certificate(&keys, usize::try_from(quorum).unwrap(), &CHAIN);
            assert_eq!(verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &bytes), Ok(()), "{count} validators");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let keys = keys(0, 4);
        let bytes = certificate(&keys, 3, &CHAIN);
        assert_eq!(bytes.len(), 241);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &bad).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            let refused = verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &bytes[..length]);
            assert_eq!(refused, Err(CertificateError::Malformed));
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let keys = keys(0, 4);
        let mut bytes = certificate(&keys, 3, &CHAIN);
        bytes.push(0);
        let refused = verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &bytes);
        assert_eq!(refused, Err(CertificateError::Malformed));
        let long = vec![0; MAX_CERTIFICATE_BYTES + 1];
        assert_eq!(verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &long), Err(CertificateError::Malformed));
    }

    #[test]
    fn too_few_signers_are_refused() {
        // The engine refuses to assemble two of four, so the certificate of three loses one here: bitmap bit and signature.
        let keys = keys(0, 4);
        let mut bytes = certificate(&keys, 3, &CHAIN);
        let bitmap = bytes.len() - 3 * 64 - 2;
        bytes[bitmap] &= bytes[bitmap] - 1;
        bytes[bitmap + 1] = 2;
        bytes.drain(bitmap + 2..bitmap + 2 + 64);
        let refused = verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &bytes);
        assert_eq!(refused, Err(CertificateError::Invalid));
    }

    #[test]
    fn another_committee_term_header_or_chain_is_refused() {
        let signers = keys(0, 4);
        let bytes = certificate(&signers, 3, &CHAIN);
        let invalid = Err(CertificateError::Invalid);
        assert_eq!(verify_certificate(&CHAIN, 3, &committee(&keys(10, 4)), &HEADER, &bytes), invalid);
        let mut one_replaced = committee(&signers[1..]);
        one_replaced.extend(committee(&keys(10, 1)));
        assert_eq!(verify_certificate(&CHAIN, 3, &one_replaced, &HEADER, &bytes), invalid);
        assert!(verify_certificate(&CHAIN, 3, &committee(&keys(0, 5)), &HEADER, &bytes).is_err());
        assert_eq!(verify_certificate(&CHAIN, 4, &committee(&signers), &HEADER, &bytes), invalid);
        assert_eq!(verify_certificate(&CHAIN, 3, &committee(&signers), &Digest32::new([8; 32]), &bytes), invalid);
        assert_eq!(verify_certificate(&Digest32::ZERO, 3, &committee(&signers), &HEADER, &bytes), invalid);
    }

    #[test]
    fn another_term_or_view_inside_the_certificate_breaks_the_signatures() {
        let keys = keys(0, 4);
        let bytes = certificate(&keys, 3, &CHAIN);
        let mut other_term = bytes.clone();
        other_term[0] = 4;
        let refused = verify_certificate(&CHAIN, 4, &committee(&keys), &HEADER, &other_term);
        assert_eq!(refused, Err(CertificateError::Invalid));
        let mut other_view = bytes;
        other_view[1] ^= 1;
        let refused = verify_certificate(&CHAIN, 3, &committee(&keys), &HEADER, &other_view);
        assert_eq!(refused, Err(CertificateError::Invalid));
    }

    #[test]
    fn what_is_not_a_committee_is_refused() {
        let keys = keys(0, 4);
        let bytes = certificate(&keys, 3, &CHAIN);
        let mut twice = committee(&keys);
        twice[1] = twice[0];
        for bad in [vec![], twice, vec![[0xff; 32]; 4], committee(&super::tests::keys(0, 101))] {
            let refused = verify_certificate(&CHAIN, 3, &bad, &HEADER, &bytes);
            assert_eq!(refused, Err(CertificateError::CommitteeInvalid));
        }
    }
}
