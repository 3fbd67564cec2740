//! Wycheproof for Ed25519, and the keys that are refused at the door.

use riskveil_crypto::{SecretBytes, Signature, SigningKey, VerifyingKey};

use crate::support::{Count, array, bytes, json, list, str};

#[test]
fn wycheproof_ed25519() {
    let mut count = Count::default();
    let file = json("wycheproof/ed25519_test.json");
    for group in list(&file["testGroups"]) {
        let key = VerifyingKey::from_bytes(&array(&group["publicKey"]["pk"])).unwrap();
        for test in list(&group["tests"]) {
            let valid = str(&test["result"]) == "valid";
            count.run += 1;
            // A signature that is not 64 bytes is refused by type.
            let Ok(signature) = bytes(&test["sig"]).try_into() else {
                assert!(!valid, "{test}");
                continue;
            };
            let signature = Signature::from_bytes(signature);
            let verified = key.verify_raw_strict(&bytes(&test["msg"]), &signature);
            assert_eq!(verified.is_ok(), valid, "{test}");
        }
    }
    count.expect("Wycheproof Ed25519", 151, 0);
}

#[test]
fn keys_of_small_order_and_other_spellings_are_refused() {
    // The eight points of small order, then non-canonical spellings of some, and of y = 2^255 - 19 + 3.
    let refused = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for encoding in refused {
        let bytes = hex::decode(encoding).unwrap().try_into().unwrap();
        assert!(VerifyingKey::from_bytes(&bytes).is_err(), "{encoding}");
        let json = serde_json::to_string(encoding).unwrap();
        assert!(serde_json::from_str::<VerifyingKey>(&json).is_err());
        assert!(bcs::from_bytes::<VerifyingKey>(&bytes).is_err());
    }
}

#[test]
fn rfc8032_test_1_seed_gives_its_key() {
    let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    let seed = SecretBytes::from_bytes(hex::decode(seed).unwrap().try_into().unwrap());
    assert_eq!(SigningKey::from_seed(seed).verifying_key().to_hex(), key);
}
