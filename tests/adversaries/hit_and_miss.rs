//! Hit, miss, absent identifier and dummy look the same to whoever sees the bytes, on the way there and back.

use riskveil_tests::second::messages::Request;

use crate::requests::{Place, Served};
use crate::world::{PERSON, RESIDENT_ID, STRANGER};

/// What differs between any two requests, whoever they are about: fresh randomness and what is computed from it.
fn masked_request(bytes: &[u8]) -> Vec<u8> {
    let mut request = Request::read(bytes);
    request.core.nonce = [0; 32];
    request.core.consent_commit = [0; 32];
    request.core.items.fill(([0; 32], [0; 32]));
    request.core.seal_digest = [0; 32];
    let proofs = request.proofs.len() - 2;
    request.proofs[2..].copy_from_slice(&vec![0; proofs]);
    request.seal.fill(0);
    request.envelope.core_digest = [0; 32];
    request.envelope.proofs_digest = [0; 32];
    request.envelope.salt = [0; 32];
    request.signature = [0; 64];
    request.bytes()
}

/// The same of a response: digests, Z, proof and signature; everything else must be equal byte for byte.
fn masked_response(bytes: &[u8]) -> Vec<u8> {
    let mut masked = bytes.to_vec();
    masked[4..68].fill(0);
    let tail = masked.len() - (4 * 32 + 64 + 64);
    masked[tail..].fill(0);
    masked
}

#[test]
fn hit_miss_absent_and_dummy_are_the_same_bytes_there_and_back() {
    let person: [Place; 4] = [Some((RESIDENT_ID, PERSON)), None, None, None];
    let stranger: [Place; 4] = [Some((RESIDENT_ID, STRANGER)), None, None, None];
    let absent: [Place; 4] = [None, None, None, Some((4, "13812345678"))];
    let dummies: [Place; 4] = [None; 4];
    let mut served = Served::new();
    let mut seen = Vec::new();
    for asked in [person, stranger, absent, dummies] {
        let request = served.request(|draft| (draft.escrowed, draft.sealed) = (asked, asked)).bytes();
        let decoded = riskveil_exchange::query::messages::EvaluateRequest::decode(&request).unwrap();
        let response = served.respond("LENDER-01", &decoded).encode();
        let shape = riskveil_exchange::query::messages::Shape::Check;
        let status = riskveil_exchange::query::messages::EvaluateResponse::decode(&response, shape).unwrap().status;
        assert_eq!(status, 0, "evaluated");
        seen.push((request, response));
    }
    let (request, response) = &seen[0];
    println!("{} bytes there, {} bytes back", request.len(), response.len());
    for (other_request, other_response) in &seen[1..] {
        assert_eq!((other_request.len(), other_response.len()), (request.len(), response.len()));
        assert_eq!(masked_request(other_request), masked_request(request));
        assert_eq!(masked_response(other_response), masked_response(response));
        // and what is masked is fresh each time: nothing of it repeats
        let tail = response.len() - (4 * 32 + 64 + 64);
        for (mine, theirs) in response[tail..].chunks(32).zip(other_response[tail..].chunks(32)) {
            assert_ne!(mine, theirs);
        }
    }
    // the same question twice shows nothing either
    let again = served.request(|draft| draft.escrowed = person);
    let first = Request::read(request);
    assert!(
        again.core.items.iter().zip(&first.core.items).all(|(mine, theirs)| mine.0 != theirs.0 && mine.1 != theirs.1)
    );
}
