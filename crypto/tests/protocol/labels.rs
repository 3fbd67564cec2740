//! Slots, rows, padding, and values at rest.

use riskveil_crypto::{
    SecretBytes,
    at_rest::{AT_REST_OVERHEAD, KeyEncryptionKey},
    dst,
    fingerprint::{MAX_SLOTS, Slot, SlotOutOfRange, Tag, derive_slot},
    kdf::hkdf_sha512,
    label::{ROW_LEN, Row, open_label, padding_row, padding_row_from_r, padding_seed_r, seal_label},
    oprf::{OprfSecretKey, PrfOutput},
};
use std::collections::BTreeSet;

use crate::support::{flips, rng};

fn output(input: &[u8]) -> PrfOutput {
    OprfSecretKey::generate(&mut rng(80)).evaluate(input).unwrap()
}

fn slot(number: u8) -> Slot {
    derive_slot(&output(b"x"), b"salt", number).unwrap()
}

#[test]
fn slots_are_hkdf_sha512_of_the_output() {
    let output = output(b"x");
    let mut okm = [0; 48];
    let info = [b"riskveil/v1/crypto/slot".as_slice(), &[5]].concat();
    output.expose(|ikm| hkdf_sha512(b"salt", ikm, &[&info], &mut okm)).unwrap();
    let slot = derive_slot(&output, b"salt", 5).unwrap();
    assert_eq!(slot.tag.as_bytes(), &okm[..16]);
    // The key is the other 32 bytes: what it seals, they open.
    let row = seal_label(&slot, b"aad", &[7; 48], &mut rng(81));
    let key = SecretBytes::from_bytes(okm[16..].try_into().unwrap());
    let dst = b"riskveil/v1/crypto/sealed-label";
    let aad = [&[0, 31], dst.as_slice(), &[0, 0, 0, 0, 0, 0, 0, 3], b"aad", &okm[..16]].concat();
    let opened = riskveil_crypto::aead::open(&key, &row.nonce, &aad, &row.sealed_label);
    assert_eq!(*opened.unwrap(), [7; 48]);
}

#[test]
fn tags_differ_by_slot_salt_and_input_and_slot_64_is_refused() {
    let mut tags = BTreeSet::new();
    for (input, salt) in [(b"x", b"one"), (b"x", b"two"), (b"y", b"one")] {
        for number in 0..MAX_SLOTS {
            assert!(tags.insert(derive_slot(&output(input), salt, number).unwrap().tag));
        }
    }
    for number in [64, 255] {
        let refused = derive_slot(&output(b"x"), b"salt", number).map(|_| ());
        assert_eq!(refused, Err(SlotOutOfRange { slot: number }));
    }
}

#[test]
fn labels_open_under_their_key_and_place_only() {
    let row = seal_label(&slot(0), b"aad", &[9; 48], &mut rng(82));
    assert_eq!(*open_label(&slot(0).label_key, b"aad", &row).unwrap(), [9; 48]);
    assert!(open_label(&slot(1).label_key, b"aad", &row).is_err());
    assert!(open_label(&slot(0).label_key, b"other", &row).is_err());
    for flipped in flips(row.to_bytes()) {
        let flipped = Row::from_bytes(&flipped);
        assert!(open_label(&slot(0).label_key, b"aad", &flipped).is_err());
    }
    let moved = Row { tag: Tag::new([1; 16]), ..row };
    assert!(open_label(&slot(0).label_key, b"aad", &moved).is_err());
    let again = seal_label(&slot(0), b"aad", &[9; 48], &mut rng(83));
    assert_ne!(again.nonce, row.nonce);
}

#[test]
fn a_row_is_92_bytes_and_bcs_is_those_bytes() {
    let row = seal_label(&slot(0), b"aad", &[9; 48], &mut rng(84));
    let bytes = bcs::to_bytes(&row).unwrap();
    assert_eq!(bytes.len(), ROW_LEN);
    assert_eq!(bytes, row.to_bytes());
    assert_eq!(bcs::from_bytes::<Row>(&bytes).unwrap(), row);
    assert_eq!(Row::from_bytes(&row.to_bytes()), row);
    assert!(bcs::from_bytes::<Row>(&bytes[..91]).is_err());
    assert!(bcs::from_bytes::<Row>(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn padding_is_derived_and_can_be_shown() {
    let seed = SecretBytes::from_bytes([3; 32]);
    let rows: BTreeSet<[u8; ROW_LEN]> = (0..100).map(|i| padding_row(&seed, i).to_bytes()).collect();
    assert_eq!(rows.len(), 100);
    let r = padding_seed_r(&seed, 42);
    assert_eq!(r.expose(padding_row_from_r), padding_row(&seed, 42));
    let other = SecretBytes::from_bytes([4; 32]);
    assert_ne!(padding_row(&other, 42), padding_row(&seed, 42));
}

#[test]
fn stored_values_open_under_their_key_purpose_and_place_only() {
    let kek = KeyEncryptionKey::random(&mut rng(85));
    let key = kek.purpose_key(dst::SLOT, b"context");
    let sealed = key.seal(b"store/key", b"value", &mut rng(86));
    assert_eq!(sealed.len(), b"value".len() + AT_REST_OVERHEAD);
    assert_eq!(*key.open(b"store/key", &sealed).unwrap(), b"value");
    let reopened = KeyEncryptionKey::from_key_file(kek.to_secret_bytes());
    let same = reopened.purpose_key(dst::SLOT, b"context");
    assert_eq!(*same.open(b"store/key", &sealed).unwrap(), b"value");

    assert!(key.open(b"store/other", &sealed).is_err());
    assert!(kek.purpose_key(dst::AT_REST, b"context").open(b"store/key", &sealed).is_err());
    assert!(kek.purpose_key(dst::SLOT, b"other").open(b"store/key", &sealed).is_err());
    let stranger = KeyEncryptionKey::random(&mut rng(87)).purpose_key(dst::SLOT, b"context");
    assert!(stranger.open(b"store/key", &sealed).is_err());
    for i in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[i] ^= 1;
        assert!(key.open(b"store/key", &flipped).is_err());
        assert!(key.open(b"store/key", &sealed[..i]).is_err());
    }
}

#[test]
fn a_passphrase_gives_one_key_per_salt_and_an_empty_one_none() {
    let key = |passphrase: &[u8], salt: u8| {
        let kek = KeyEncryptionKey::from_passphrase(passphrase, &[salt; 16]).unwrap();
        kek.to_secret_bytes().expose(|bytes| *bytes)
    };
    assert_eq!(key(b"correct horse", 1), key(b"correct horse", 1));
    assert_ne!(key(b"correct horse", 1), key(b"correct horse", 2));
    assert_ne!(key(b"correct horse", 1), key(b"correct horsf", 1));
    assert!(KeyEncryptionKey::from_passphrase(b"", &[1; 16]).is_err());
}
