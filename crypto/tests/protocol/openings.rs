//! What an item holds, shown by its maker or by the audit key: each proof for its own statement only.

use riskveil_crypto::{
    Element, SecretBytes,
    error::ProofInvalid,
    escrow::{AuditKeyPair, EscrowSecret, EscrowedItem, escrow},
    escrow_opening::{EqualityProof, prove_decryption, prove_item_opening, verify_decryption, verify_item_opening},
    oprf::input_element,
};

use crate::support::{Request, element, flips, rng};

const CONTEXT: &[u8] = b"chain, lender, publisher, purpose";

type Verify = fn(&Element, &EscrowedItem, &Element, &[u8], &EqualityProof) -> Result<(), ProofInvalid>;

/// Each proof with its verifier, for item 0 of the same request.
fn both(request: &Request, p: &Element) -> [(EqualityProof, Verify); 2] {
    let (y, item) = (request.audit.public(), &request.items[0]);
    let opening = prove_item_opening(&request.secrets[0], item, &y, p, CONTEXT, &mut rng(61));
    let decryption = prove_decryption(&request.audit, item, p, CONTEXT, &mut rng(62));
    let verify_opening: Verify = |y, item, p, context, proof| verify_item_opening(item, y, p, context, proof);
    [(opening, verify_opening), (decryption, verify_decryption)]
}

#[test]
fn an_opening_holds_for_its_item_key_element_and_context_only() {
    let request = Request::new(60);
    let (y, item) = (request.audit.public(), request.items[0]);
    let p = input_element(&request.inputs[0]).unwrap();
    for (proof, verify) in both(&request, &p) {
        assert_eq!(verify(&y, &item, &p, CONTEXT, &proof), Ok(()));
        let other = element("another");
        assert_eq!(verify(&other, &item, &p, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify(&y, &EscrowedItem { c1: other, ..item }, &p, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify(&y, &EscrowedItem { c2: other, ..item }, &p, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify(&y, &request.items[1], &p, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify(&y, &item, &other, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify(&y, &item, &p, b"another context", &proof), Err(ProofInvalid));
        for bytes in flips(proof.to_bytes()) {
            let flipped = EqualityProof::from_bytes(bytes);
            assert_eq!(verify(&y, &item, &p, CONTEXT, &flipped), Err(ProofInvalid));
        }
    }
}

#[test]
fn nobody_shows_that_an_item_holds_something_else() {
    let request = Request::new(63);
    let y = request.audit.public();
    let lie = element("a person who was not asked about");
    for (proof, verify) in both(&request, &lie) {
        assert_eq!(verify(&y, &request.items[0], &lie, CONTEXT, &proof), Err(ProofInvalid));
    }
    // Another item's secret, another audit key.
    let p = input_element(&request.inputs[0]).unwrap();
    let item = &request.items[0];
    let proof = prove_item_opening(&request.secrets[1], item, &y, &p, CONTEXT, &mut rng(64));
    assert_eq!(verify_item_opening(item, &y, &p, CONTEXT, &proof), Err(ProofInvalid));
    let stranger = AuditKeyPair::generate(&mut rng(65));
    let proof = prove_decryption(&stranger, item, &p, CONTEXT, &mut rng(66));
    assert_eq!(verify_decryption(&y, item, &p, CONTEXT, &proof), Err(ProofInvalid));
    assert_eq!(verify_decryption(&stranger.public(), item, &p, CONTEXT, &proof), Err(ProofInvalid));
    // C2 = P would need s = 0: refused whatever the proof says.
    let bare = EscrowedItem { c1: item.c1, c2: p };
    for bytes in [[0; 64], proof.to_bytes()] {
        let proof = EqualityProof::from_bytes(bytes);
        assert_eq!(verify_decryption(&y, &bare, &p, CONTEXT, &proof), Err(ProofInvalid));
        assert_eq!(verify_item_opening(&bare, &y, &p, CONTEXT, &proof), Err(ProofInvalid));
    }
}

#[test]
fn one_statement_is_no_proof_of_the_other_and_nonces_are_fresh() {
    let request = Request::new(67);
    let (y, item) = (request.audit.public(), &request.items[0]);
    let p = input_element(&request.inputs[0]).unwrap();
    let [(opening, _), (decryption, _)] = both(&request, &p);
    assert_eq!(verify_item_opening(item, &y, &p, CONTEXT, &decryption), Err(ProofInvalid));
    assert_eq!(verify_decryption(&y, item, &p, CONTEXT, &opening), Err(ProofInvalid));
    let again = prove_item_opening(&request.secrets[0], item, &y, &p, CONTEXT, &mut rng(68));
    assert_ne!(again, opening);
    // A generator that repeats itself gives another nonce for another statement.
    let same = |context: &[u8]| prove_item_opening(&request.secrets[0], item, &y, &p, context, &mut rng(69)).to_bytes();
    assert_ne!(same(b"a")[32..], same(b"b")[32..]);
}

#[test]
fn a_kept_secret_comes_back_for_its_own_item_only() {
    let audit = AuditKeyPair::generate(&mut rng(70));
    let (p, y) = (element("x"), audit.public());
    let made = escrow(&p, &y, &mut rng(71));
    let other = escrow(&p, &y, &mut rng(72)).item;
    let bytes = made.secret.into_evidence();
    assert!(EscrowSecret::from_evidence(&bytes, &other).is_err());
    assert!(EscrowSecret::from_evidence(&SecretBytes::from_bytes([0; 32]), &made.item).is_err());
    assert!(EscrowSecret::from_evidence(&SecretBytes::from_bytes([0xff; 32]), &made.item).is_err());
    let secret = EscrowSecret::from_evidence(&bytes, &made.item).unwrap();
    assert!(secret.escrows(&p, &y, &made.item));
    assert!(!secret.escrows(&element("another person"), &y, &made.item));
    assert!(!secret.escrows(&p, &element("another Y"), &made.item));
    assert!(!secret.escrows(&p, &y, &other));
    assert!(!secret.escrows(&p, &y, &EscrowedItem { c1: made.item.c1, c2: other.c2 }));
}
