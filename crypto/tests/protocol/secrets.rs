//! `{:?}` of every secret type shows no byte of it.

use riskveil_crypto::{
    SecretBytes, SecretScalar, SigningKey,
    at_rest::KeyEncryptionKey,
    dst,
    escrow::{AuditKeyPair, Escrowed, escrow},
    fingerprint::derive_slot,
    oprf::{OprfSecretKey, input_element},
    seal::SealSecretKey,
};

use crate::support::rng;

/// A canonical scalar whose bytes are easy to find in a text: a7 or 167.
fn pattern() -> SecretBytes<32> {
    let mut bytes = [0xa7; 32];
    bytes[31] = 0x07;
    SecretBytes::from_bytes(bytes)
}

#[test]
fn secrets_do_not_print() {
    let scalar = pattern().expose(|bytes| SecretScalar::from_canonical_bytes(*bytes)).unwrap();
    let oprf = OprfSecretKey::from_bytes(&pattern()).unwrap();
    let audit = AuditKeyPair::from_bytes(&pattern()).unwrap();
    let kek = KeyEncryptionKey::from_key_file(pattern());
    let output = oprf.evaluate(b"x").unwrap();
    let slot = derive_slot(&output, b"salt", 0).unwrap();
    let Escrowed { secret, .. } = escrow(&input_element(b"x").unwrap(), &audit.public(), &mut rng(90));
    let printed = [
        (format!("{:?}", pattern()), "SecretBytes(..)"),
        (format!("{scalar:?}"), "SecretScalar(..)"),
        (format!("{oprf:?}"), "OprfSecretKey(..)"),
        (format!("{audit:?}"), "AuditKeyPair(..)"),
        (format!("{:?}", SealSecretKey::from_bytes(pattern())), "SealSecretKey(..)"),
        (format!("{:?}", SigningKey::from_seed(pattern())), "SigningKey(..)"),
        (format!("{:?}", kek.purpose_key(dst::SLOT, b"")), "AtRestKey(..)"),
        (format!("{kek:?}"), "KeyEncryptionKey(..)"),
        (format!("{output:?}"), "PrfOutput(..)"),
        (format!("{:?}", slot.label_key), "LabelKey(..)"),
        (format!("{secret:?}"), "EscrowSecret(..)"),
        // H(x) identifies x by guessing, so elements do not print either.
        (format!("{:?}", input_element(b"x").unwrap()), "Element(..)"),
    ];
    for (text, expected) in &printed {
        assert_eq!(text, expected);
        assert!(!text.to_lowercase().contains("a7") && !text.contains("167"), "{text}");
    }
    assert!(format!("{slot:?}").ends_with("label_key: LabelKey(..) }"));
}

#[test]
fn secrets_compare_by_value_in_constant_time() {
    use subtle::ConstantTimeEq;
    let other = SecretBytes::from_bytes([1; 32]);
    assert!(bool::from(pattern().ct_eq(&pattern())));
    assert!(!bool::from(pattern().ct_eq(&other)));
    let scalar = |secret: &SecretBytes<32>| secret.expose(|bytes| SecretScalar::from_canonical_bytes(*bytes)).unwrap();
    assert!(bool::from(scalar(&pattern()).ct_eq(&scalar(&pattern()))));
    assert!(!bool::from(scalar(&pattern()).ct_eq(&scalar(&other))));
}

/// Fails to build if a secret type gains `Copy`, `Display`, `PartialEq` or `Serialize`: each would make the call ambiguous.
#[test]
fn secrets_have_no_trait_that_leaks() {
    trait Ambiguous<A> {
        fn holds() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    struct Leaks<const N: usize>;
    impl<T: Copy> Ambiguous<Leaks<0>> for T {}
    impl<T: ?Sized + std::fmt::Display> Ambiguous<Leaks<1>> for T {}
    impl<T: ?Sized + PartialEq> Ambiguous<Leaks<2>> for T {}
    impl<T: ?Sized + serde::Serialize> Ambiguous<Leaks<3>> for T {}

    <SecretBytes<32> as Ambiguous<_>>::holds();
    <SecretScalar as Ambiguous<_>>::holds();
    <OprfSecretKey as Ambiguous<_>>::holds();
    <AuditKeyPair as Ambiguous<_>>::holds();
    <SealSecretKey as Ambiguous<_>>::holds();
    <SigningKey as Ambiguous<_>>::holds();
    <KeyEncryptionKey as Ambiguous<_>>::holds();
    <riskveil_crypto::at_rest::AtRestKey as Ambiguous<_>>::holds();
    <riskveil_crypto::oprf::PrfOutput as Ambiguous<_>>::holds();
    <riskveil_crypto::fingerprint::LabelKey as Ambiguous<_>>::holds();
    <riskveil_crypto::escrow::EscrowSecret as Ambiguous<_>>::holds();
}
