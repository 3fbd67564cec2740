//! Announcements: audit keys, seal keys, period keys bound to audit keys; signatures bound to purpose and chain.

use riskveil_crypto::{
    Digest32, Element, SecretScalar, Signature, SigningKey, VerifyingKey,
    announce::{KeyBinding, KeyBindingProof, bind_key, verify_key_binding},
    digest::sha256,
    dst,
    error::ProofInvalid,
    escrow::{AuditKeyPair, KnowledgeProof, verify_audit_key},
    oprf::OprfSecretKey,
    seal::{self, SEAL_OVERHEAD, SealPossessionProof, SealPublicKey, SealSecretKey, verify_seal_key},
};

use crate::support::{element, flips, rng};

fn scalar_one() -> SecretScalar {
    let mut one = [0; 32];
    one[0] = 1;
    SecretScalar::from_canonical_bytes(one).unwrap()
}

#[test]
fn audit_key_possession_holds_for_its_key_and_context_only() {
    let key = AuditKeyPair::generate(&mut rng(50));
    let proof = key.prove_possession(b"context", &mut rng(51));
    assert_eq!(verify_audit_key(&key.public(), b"context", &proof), Ok(()));
    assert_eq!(verify_audit_key(&key.public(), b"another", &proof), Err(ProofInvalid));
    // Y = H(x): nobody knows y, so no proof.
    assert_eq!(verify_audit_key(&element("x*"), b"context", &proof), Err(ProofInvalid));
    for flipped in flips(proof.to_bytes()) {
        let flipped = KnowledgeProof::from_bytes(flipped);
        assert_eq!(verify_audit_key(&key.public(), b"context", &flipped), Err(ProofInvalid));
    }
}

#[test]
fn the_generator_is_no_audit_key() {
    let key = AuditKeyPair::from_bytes(&scalar_one().to_secret_bytes()).unwrap();
    assert_eq!(key.public(), Element::BASE);
    let proof = key.prove_possession(b"context", &mut rng(52));
    assert_eq!(verify_audit_key(&key.public(), b"context", &proof), Err(ProofInvalid));
}

#[test]
fn stored_keys_come_back_and_zero_does_not() {
    let audit = AuditKeyPair::generate(&mut rng(53));
    let stored = audit.to_secret_bytes();
    assert_eq!(AuditKeyPair::from_bytes(&stored).unwrap().public(), audit.public());
    let oprf = OprfSecretKey::generate(&mut rng(54));
    let stored = oprf.to_secret_bytes();
    assert_eq!(OprfSecretKey::from_bytes(&stored).unwrap().public_key(), oprf.public_key());
    let seal = SealSecretKey::generate(&mut rng(55));
    assert_eq!(SealSecretKey::from_bytes(seal.to_secret_bytes()).public(), seal.public());
    let signing = SigningKey::generate(&mut rng(56));
    assert_eq!(SigningKey::from_seed(signing.seed()).verifying_key(), signing.verifying_key());
    for refused in [[0; 32], [0xff; 32]] {
        let refused = riskveil_crypto::SecretBytes::from_bytes(refused);
        assert!(AuditKeyPair::from_bytes(&refused).is_err());
        assert!(OprfSecretKey::from_bytes(&refused).is_err());
    }
}

#[test]
fn key_binding_holds_for_its_keys_and_context_only() {
    let key = OprfSecretKey::generate(&mut rng(57));
    let y = AuditKeyPair::generate(&mut rng(58)).public();
    let binding = bind_key(&key, &y, b"context", &mut rng(59));
    assert_eq!(binding.k, key.public_key());
    assert_eq!(verify_key_binding(&binding, &y, b"context"), Ok(()));
    assert_eq!(bcs::to_bytes(&binding).unwrap().len(), 128);

    let other = element("other");
    let refused = |binding: KeyBinding, y: &Element, context: &[u8]| {
        verify_key_binding(&binding, y, context) == Err(ProofInvalid)
    };
    assert!(refused(binding, &y, b"another"));
    assert!(refused(binding, &other, b"context"));
    assert!(refused(KeyBinding { k: other, ..binding }, &y, b"context"));
    assert!(refused(KeyBinding { k_y: other, ..binding }, &y, b"context"));
    for flipped in flips(binding.proof.to_bytes()) {
        let proof = KeyBindingProof::from_bytes(flipped);
        assert!(refused(KeyBinding { proof, ..binding }, &y, b"context"));
    }
    // A key taken from another publisher: K and K_Y are public, the proof is bound to the context.
    let stolen = bind_key(&key, &y, b"publisher A", &mut rng(60));
    assert!(refused(stolen, &y, b"publisher B"));
}

#[test]
fn period_keys_g_and_y_are_refused() {
    let audit = AuditKeyPair::generate(&mut rng(61));
    let y = audit.public();
    let generator = bind_key(&OprfSecretKey::from_scalar(scalar_one()), &y, b"c", &mut rng(62));
    assert_eq!(verify_key_binding(&generator, &y, b"c"), Err(ProofInvalid));
    let same = OprfSecretKey::from_bytes(&audit.to_secret_bytes()).unwrap();
    let same = bind_key(&same, &y, b"c", &mut rng(63));
    assert_eq!(verify_key_binding(&same, &y, b"c"), Err(ProofInvalid));
}

#[test]
fn seal_key_possession_holds_for_its_key_and_context_only() {
    let key = SealSecretKey::generate(&mut rng(64));
    let proof = key.prove_possession(b"context", &mut rng(65));
    let public = key.public();
    assert_eq!(verify_seal_key(&public, b"context", &proof), Ok(()));
    assert_eq!(verify_seal_key(&public, b"another", &proof), Err(ProofInvalid));
    let stranger = SealSecretKey::generate(&mut rng(66)).public();
    assert_eq!(verify_seal_key(&stranger, b"context", &proof), Err(ProofInvalid));
    for flipped in flips(proof.to_bytes()) {
        let flipped = SealPossessionProof::from_bytes(flipped);
        assert_eq!(verify_seal_key(&public, b"context", &flipped), Err(ProofInvalid));
    }
    // The same u-coordinate with the other sign, and small-order points in place of A.
    let mut other_sign = proof.to_bytes();
    other_sign[31] ^= 0x80;
    let other_sign = SealPossessionProof::from_bytes(other_sign);
    assert_eq!(verify_seal_key(&public, b"context", &other_sign), Err(ProofInvalid));
    let identity = SealPossessionProof::from_bytes([[1].as_slice(), &[0; 95]].concat().try_into().unwrap());
    assert_eq!(verify_seal_key(&public, b"context", &identity), Err(ProofInvalid));
}

#[test]
fn seal_keys_of_small_order_and_other_spellings_are_refused() {
    let refused = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0900000000000000000000000000000000000000000000000000000000000080",
    ];
    for encoding in refused {
        let bytes = hex::decode(encoding).unwrap().try_into().unwrap();
        assert!(SealPublicKey::from_bytes(&bytes).is_err(), "{encoding}");
        assert!(bcs::from_bytes::<SealPublicKey>(&bytes).is_err(), "{encoding}");
    }
}

#[test]
fn sealed_messages_open_for_their_key_info_and_aad_only() {
    let key = SealSecretKey::generate(&mut rng(67));
    let sealed = seal::seal(&key.public(), b"info", b"aad", b"message", &mut rng(68)).unwrap();
    assert_eq!(sealed.len(), b"message".len() + SEAL_OVERHEAD);
    assert_eq!(*seal::open(&key, b"info", b"aad", &sealed).unwrap(), b"message");
    let stranger = SealSecretKey::generate(&mut rng(69));
    assert!(seal::open(&stranger, b"info", b"aad", &sealed).is_err());
    assert!(seal::open(&key, b"other", b"aad", &sealed).is_err());
    assert!(seal::open(&key, b"info", b"other", &sealed).is_err());
    for i in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[i] ^= 1;
        assert!(seal::open(&key, b"info", b"aad", &flipped).is_err());
        assert!(seal::open(&key, b"info", b"aad", &sealed[..i]).is_err());
    }
}

#[test]
fn signatures_hold_for_their_key_purpose_chain_and_message_only() {
    let key = SigningKey::generate(&mut rng(70));
    let (public, chain) = (key.verifying_key(), sha256(b"chain"));
    let signature = key.sign(dst::SLOT, &chain, b"message");
    assert!(public.verify(dst::SLOT, &chain, b"message", &signature).is_ok());
    assert!(public.verify(dst::AT_REST, &chain, b"message", &signature).is_err());
    assert!(public.verify(dst::SLOT, &Digest32::ZERO, b"message", &signature).is_err());
    assert!(public.verify(dst::SLOT, &chain, b"messag", &signature).is_err());
    assert!(public.verify_raw_strict(b"message", &signature).is_err());
    let stranger = SigningKey::generate(&mut rng(71)).verifying_key();
    assert!(stranger.verify(dst::SLOT, &chain, b"message", &signature).is_err());
    for flipped in flips(signature.to_bytes()) {
        let flipped = Signature::from_bytes(flipped);
        assert!(public.verify(dst::SLOT, &chain, b"message", &flipped).is_err());
    }
    assert_eq!(bcs::to_bytes(&public).unwrap(), public.to_bytes());
    assert_eq!(bcs::to_bytes(&signature).unwrap(), signature.to_bytes());
    let json = serde_json::to_string(&public).unwrap();
    assert_eq!(serde_json::from_str::<VerifyingKey>(&json).unwrap(), public);
}
