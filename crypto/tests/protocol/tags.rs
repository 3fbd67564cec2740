//! The registry of domain separation tags, and the framing under them.

use std::{fs, path::Path};

use riskveil_crypto::{
    codec::{DecodeError, decode, encode},
    digest::{hash, sha256},
    dst,
};

#[test]
fn tags_are_unique_prefix_free_and_registered() {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/crypto.md");
    let specs = fs::read_to_string(specs).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dst.rs");
    let source = fs::read_to_string(source).unwrap();
    let declared = source.matches(": Dst = Dst::new(").count();
    assert_eq!(declared, dst::ALL.len(), "every tag is in ALL");
    for (i, tag) in dst::ALL.iter().enumerate() {
        assert!(tag.as_str().starts_with("riskveil/v1/crypto/"));
        assert!(specs.contains(&format!("`{}`", tag.as_str())), "{} is not registered", tag.as_str());
        for (j, other) in dst::ALL.iter().enumerate() {
            assert!(i == j || !other.as_str().starts_with(tag.as_str()));
        }
    }
}

#[test]
fn hash_frames_every_part() {
    let framed =
        [&[0, 23], b"riskveil/v1/crypto/slot".as_slice(), &[0, 0, 0, 0, 0, 0, 0, 2], b"ab", &[0, 0, 0, 0, 0, 0, 0, 0]];
    assert_eq!(hash(dst::SLOT, &[b"ab", b""]), sha256(&framed.concat()));
    assert_ne!(hash(dst::SLOT, &[b"ab", b"c"]), hash(dst::SLOT, &[b"a", b"bc"]));
    assert_ne!(hash(dst::SLOT, &[b"ab"]), hash(dst::AT_REST, &[b"ab"]));
}

#[test]
fn decode_refuses_long_short_and_left_over_bytes() {
    let bytes = encode(&(7u16, "text"));
    assert_eq!(decode::<(u16, String)>(&bytes, 7), Ok((7, "text".into())));
    let too_long = Err(DecodeError::TooLong { max: 6, got: 7 });
    assert_eq!(decode::<(u16, String)>(&bytes, 6), too_long);
    assert_eq!(decode::<(u16, String)>(&bytes[..6], 7), Err(DecodeError::Malformed));
    let left_over = [bytes, vec![0]].concat();
    assert_eq!(decode::<(u16, String)>(&left_over, 8), Err(DecodeError::Malformed));
    // A length of two bytes where one would do.
    assert_eq!(decode::<Vec<u8>>(&[0x80, 0x00], 2), Err(DecodeError::Malformed));
}
