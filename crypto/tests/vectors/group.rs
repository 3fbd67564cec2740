//! RFC 9496 (ristretto255) and RFC 9380 (expand_message_xmd).

use riskveil_crypto::{
    Element, SecretScalar,
    group::GroupError,
    oprf::{OprfSecretKey, suite::expand_message_xmd},
};
use sha2::{Sha256, Sha512, digest::core_api::BlockSizeUser};

use crate::support::{Count, array, bytes, json, list, str};

#[test]
fn rfc9496_multiples_of_the_generator() {
    let file = json("rfc9496_ristretto255.json");
    let multiples = list(&file["A1_multiples_of_generator"]);
    assert_eq!(Element::from_bytes(&array(&multiples[0])), Err(GroupError::Identity));
    for (i, encoding) in multiples.iter().enumerate().skip(1) {
        let mut scalar = [0; 32];
        scalar[0] = i as u8;
        let key = OprfSecretKey::from_scalar(SecretScalar::from_canonical_bytes(scalar).unwrap());
        assert_eq!(key.public_key().to_bytes(), array(encoding), "{i}*G");
        assert_eq!(Element::from_bytes(&array(encoding)).unwrap(), key.public_key());
    }
    assert_eq!(Element::BASE.to_bytes(), array(&multiples[1]));
    assert_eq!(multiples.len(), 16);
}

#[test]
fn rfc9496_bad_encodings_are_refused() {
    let file = json("rfc9496_ristretto255.json");
    let bad = list(&file["A2_bad_encodings"]);
    for case in bad {
        let refused = Element::from_bytes(&array(&case["encoding"]));
        assert_eq!(refused, Err(GroupError::NotCanonical), "{case}");
    }
    assert_eq!(bad.len(), 29);
}

#[test]
fn rfc9496_one_way_map() {
    let file = json("rfc9496_ristretto255.json");
    let mut count = Count::default();
    for case in list(&file["A3_one_way_map"]) {
        let mapped = Element::from_uniform_bytes(&array(&case["sha512"])).unwrap();
        assert_eq!(mapped.to_bytes(), array(&case["element"]));
        count.run += 1;
    }
    let equivalent = &file["A3_equivalent_inputs"];
    for uniform in list(&equivalent["uniform_bytes"]) {
        let mapped = Element::from_uniform_bytes(&array(uniform)).unwrap();
        assert_eq!(mapped.to_bytes(), array(&equivalent["element"]));
        count.run += 1;
    }
    count.expect("RFC 9496 one-way map", 11, 0);
}

#[test]
fn rfc9380_expand_message_xmd() {
    let mut count = Count::default();
    expand::<Sha512>("rfc9380_expand_message_xmd_SHA512_38.json", &mut count);
    expand::<Sha256>("rfc9380_expand_message_xmd_SHA256_38.json", &mut count);
    expand::<Sha256>("rfc9380_expand_message_xmd_SHA256_256.json", &mut count);
    count.expect("RFC 9380 expand_message_xmd", 30, 0);
}

#[test]
fn expand_message_xmd_refuses_more_than_255_blocks() {
    let mut longest = vec![0; 255 * 64];
    assert!(expand_message_xmd::<Sha512>(&[b"m"], &[b"dst"], &mut longest).is_ok());
    let mut too_long = vec![0; 255 * 64 + 1];
    assert!(expand_message_xmd::<Sha512>(&[b"m"], &[b"dst"], &mut too_long).is_err());
}

fn expand<H: sha2::Digest + BlockSizeUser>(name: &str, count: &mut Count) {
    let file = json(name);
    for test in list(&file["tests"]) {
        let len = usize::from_str_radix(str(&test["len_in_bytes"]).trim_start_matches("0x"), 16);
        let mut out = vec![0; len.unwrap()];
        let message = str(&test["msg"]).as_bytes();
        expand_message_xmd::<H>(&[message], &[str(&file["DST"]).as_bytes()], &mut out).unwrap();
        assert_eq!(out, bytes(&test["uniform_bytes"]), "{name} {test}");
        count.run += 1;
    }
}
