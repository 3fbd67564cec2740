//! Items, their proofs of knowledge one by one and weighted, and what the audit key opens.

use riskveil_crypto::{
    Element,
    digest::sha256,
    escrow::{
        AuditKeyPair, EscrowError, EscrowedItem, EscrowedItems, KnowledgeProof, dummy_element, escrow, prove_knowledge,
        prove_knowledge_weighted, verify_knowledge, verify_knowledge_weighted,
    },
    oprf::input_element,
};

use crate::support::{Request, element, flips, rng};

#[test]
fn audit_key_opens_what_was_escrowed_and_nothing_else() {
    let request = Request::new(1);
    let stranger = AuditKeyPair::generate(&mut rng(2));
    for (item, input) in request.items.iter().zip(&request.inputs) {
        assert_eq!(request.audit.open(item), Some(input_element(input).unwrap()));
        assert!(request.audit.agrees(item, input));
        assert!(!request.audit.agrees(item, b"another input"));
        assert!(!request.audit.agrees(item, &vec![0; 65_536]));
        assert!(!request.audit.agrees_with_dummy(item));
        assert!(!stranger.agrees(item, input));
    }
    assert!(request.audit.agrees_with_dummy(&request.items[3]));
    assert_eq!(request.audit.open(&request.items[3]), Some(dummy_element()));
    // C2 = y*C1 holds the identity: no element, and no input agrees.
    let nothing = EscrowedItem { c1: Element::BASE, c2: request.audit.public() };
    assert_eq!(request.audit.open(&nothing), None);
    assert!(!request.audit.agrees(&nothing, &request.inputs[0]));
}

#[test]
fn the_same_element_is_never_escrowed_the_same_way_twice() {
    let (audit, mut rng) = (AuditKeyPair::generate(&mut rng(3)), rng(4));
    let first = escrow(&element("x"), &audit.public(), &mut rng);
    let second = escrow(&element("x"), &audit.public(), &mut rng);
    assert_ne!(first.item.c1, second.item.c1);
    assert_ne!(first.item.c2, second.item.c2);
}

#[test]
fn proofs_of_knowledge_verify_for_their_request_only() {
    let request = Request::new(5);
    let Request { audit, items, secrets, binding, .. } = &request;
    let y = audit.public();
    let proofs = prove_knowledge(binding, items, secrets, &y, &mut rng(6));
    assert_eq!(verify_knowledge(binding, items, &y, &proofs), Ok(()));

    let invalid = Err(EscrowError::ProofInvalid);
    assert_eq!(verify_knowledge(&sha256(b"another request"), items, &y, &proofs), invalid);
    assert_eq!(verify_knowledge(binding, items, &element("another Y"), &proofs), invalid);
    for i in 0..items.len() {
        let mut changed = items.clone();
        changed[i].c1 = element("another C1");
        assert_eq!(verify_knowledge(binding, &changed, &y, &proofs), invalid);
        let mut changed = items.clone();
        changed[i].c2 = element("another C2");
        assert_eq!(verify_knowledge(binding, &changed, &y, &proofs), invalid);
        for flipped in flips(proofs[i].to_bytes()) {
            let mut changed = proofs.clone();
            changed[i] = KnowledgeProof::from_bytes(flipped);
            assert_eq!(verify_knowledge(binding, items, &y, &changed), invalid);
        }
    }
    // Order: items and proofs both, or proofs alone.
    let (mut swapped_items, mut swapped_proofs) = (items.clone(), proofs.clone());
    swapped_proofs.swap(0, 1);
    assert_eq!(verify_knowledge(binding, items, &y, &swapped_proofs), invalid);
    swapped_items.swap(0, 1);
    assert_eq!(verify_knowledge(binding, &swapped_items, &y, &swapped_proofs), invalid);
    // Fewer items than were proven for: the count is bound.
    assert_eq!(verify_knowledge(binding, &items[..3], &y, &proofs[..3]), invalid);
}

#[test]
fn an_item_lifted_from_another_request_is_refused() {
    let (victim, thief) = (Request::new(7), Request::new(8));
    let y = victim.audit.public();
    let proofs = prove_knowledge(&victim.binding, &victim.items, &victim.secrets, &y, &mut rng(9));
    // Copied with its proof; and re-randomised, which needs a new proof for s + d that the thief cannot make.
    let refused = verify_knowledge(&thief.binding, &victim.items, &y, &proofs);
    assert_eq!(refused, Err(EscrowError::ProofInvalid));
    let refused = verify_knowledge_weighted(&thief.binding, &listed(&victim.items), &y, &proofs[0]);
    assert_eq!(refused, Err(EscrowError::ProofInvalid));
}

#[test]
fn counts_and_repetition_are_refused_first() {
    let request = Request::new(10);
    let Request { audit, items, secrets, binding, .. } = &request;
    let y = audit.public();
    let proofs = prove_knowledge(binding, items, secrets, &y, &mut rng(11));
    let counts = |items, proofs| Err(EscrowError::CountMismatch { items, proofs });
    assert_eq!(verify_knowledge(binding, &[], &y, &[]), counts(0, 0));
    assert_eq!(verify_knowledge(binding, items, &y, &proofs[..3]), counts(4, 3));
    assert_eq!(verify_knowledge(binding, &items[..3], &y, &proofs), counts(3, 4));
    assert_eq!(verify_knowledge_weighted(binding, &listed(&[]), &y, &proofs[0]), counts(0, 1));

    let repeats = [
        |items: &mut Vec<EscrowedItem>| items[1].c1 = items[0].c1,
        |items: &mut Vec<EscrowedItem>| items[2].c2 = items[0].c2,
        |items: &mut Vec<EscrowedItem>| items[3].c1 = items[0].c2,
        |items: &mut Vec<EscrowedItem>| items[0].c2 = items[0].c1,
    ];
    for repeat in repeats {
        let mut items = items.clone();
        repeat(&mut items);
        let refused = Err(EscrowError::RepeatedElement);
        assert_eq!(verify_knowledge(binding, &items, &y, &proofs), refused);
        assert_eq!(verify_knowledge_weighted(binding, &listed(&items), &y, &proofs[0]), refused);
    }
}

fn listed(items: &[EscrowedItem]) -> EscrowedItems {
    items.to_vec().into()
}

#[test]
fn items_read_from_bytes_are_those_written_and_a_change_changes_their_points() {
    let request = Request::new(16);
    let bytes = bcs::to_bytes(&request.items).unwrap();
    let mut read: EscrowedItems = bcs::from_bytes(&bytes).unwrap();
    assert_eq!((&read[..], bcs::to_bytes(&read).unwrap()), (&request.items[..], bytes.clone()));
    let halves = |items: &EscrowedItems| (items.c1().to_vec(), items.c2().to_vec());
    assert_eq!(halves(&read), halves(&listed(&request.items)));
    assert_eq!(halves(&read.clone()), halves(&read));
    read.swap(0, 3);
    assert_eq!((read.c1()[0], read.c2()[3]), (request.items[3].c1, request.items[0].c2));
    for at in [1, 33] {
        let mut identity = bytes.clone();
        identity[at..at + 32].fill(0);
        assert!(bcs::from_bytes::<EscrowedItems>(&identity).is_err(), "the identity");
        identity[at..at + 32].fill(0xff);
        assert!(bcs::from_bytes::<EscrowedItems>(&identity).is_err(), "not canonical");
    }
}

#[test]
fn weighted_proof_verifies_for_its_request_only() {
    let request = Request::new(12);
    let Request { audit, items, secrets, binding, .. } = &request;
    let y = audit.public();
    let proof = prove_knowledge_weighted(binding, items, secrets, &y, &mut rng(13));
    let verify = |items: &[EscrowedItem]| verify_knowledge_weighted(binding, &listed(items), &y, &proof);
    assert_eq!(verify(items), Ok(()));

    let invalid = Err(EscrowError::ProofInvalid);
    for i in 0..items.len() {
        let mut changed = items.clone();
        changed[i].c1 = element("another C1");
        assert_eq!(verify(&changed), invalid);
        let mut changed = items.clone();
        changed[i].c2 = element("another C2");
        assert_eq!(verify(&changed), invalid);
    }
    let mut swapped = items.clone();
    swapped.swap(0, 3);
    assert_eq!(verify(&swapped), invalid);
    assert_eq!(verify(&items[..3]), invalid);
    let elsewhere = sha256(b"another request");
    assert_eq!(verify_knowledge_weighted(&elsewhere, &listed(items), &y, &proof), invalid);
    assert_eq!(verify_knowledge_weighted(binding, &listed(items), &element("Y"), &proof), invalid);
    for flipped in flips(proof.to_bytes()) {
        let flipped = KnowledgeProof::from_bytes(flipped);
        assert_eq!(verify_knowledge_weighted(binding, &listed(items), &y, &flipped), invalid);
    }
    // Not knowing one of the secrets: proven with another request's.
    let strangers = Request::new(14).secrets;
    let guess = prove_knowledge_weighted(binding, items, &strangers, &y, &mut rng(15));
    assert_eq!(verify_knowledge_weighted(binding, &listed(items), &y, &guess), invalid);
}

#[test]
fn a_broken_generator_does_not_repeat_a_nonce() {
    let request = Request::new(16);
    let y = request.audit.public();
    let announcement = |binding: &[u8]| {
        let binding = sha256(binding);
        let proofs = prove_knowledge(&binding, &request.items, &request.secrets, &y, &mut rng(17));
        proofs[0].to_bytes()[..32].to_vec()
    };
    assert_eq!(announcement(b"one"), announcement(b"one"));
    assert_ne!(announcement(b"one"), announcement(b"two"));
}

#[test]
fn items_of_a_request_encode_to_64_bytes_and_refuse_the_identity() {
    let item = Request::new(18).items[0];
    let bytes = bcs::to_bytes(&item).unwrap();
    assert_eq!(bytes.len(), 64);
    assert_eq!(bcs::from_bytes::<EscrowedItem>(&bytes).unwrap(), item);
    for half in [0..32, 32..64] {
        let mut identity = bytes.clone();
        identity[half].fill(0);
        assert!(bcs::from_bytes::<EscrowedItem>(&identity).is_err());
    }
}

#[test]
fn evidence_gives_the_secret_of_c1() {
    let mut request = Request::new(19);
    let secret = request.secrets.remove(0).into_evidence();
    let key = riskveil_crypto::oprf::OprfSecretKey::from_bytes(&secret).unwrap();
    assert_eq!(key.public_key(), request.items[0].c1);
}
