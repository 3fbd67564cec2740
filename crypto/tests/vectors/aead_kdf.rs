//! RFC 5869, and Wycheproof for AES-GCM, HKDF and the HMAC beneath it; merlin transcripts.

use hmac::{Hmac, Mac};
use merlin::Transcript;
use riskveil_crypto::{aead, kdf};
use serde_json::Value;
use sha2::Sha256;

use crate::support::{Count, bytes, json, list, secret, str};

type Hkdf = fn(&[u8], &[u8], &[&[u8]], &mut [u8]) -> Result<(), kdf::OutputTooLong>;

#[test]
fn rfc5869_hkdf_sha256() {
    let mut count = Count::default();
    for case in list(&json("rfc5869_hkdf_sha256.json")) {
        let mut okm = vec![0; str(&case["L"]).parse().unwrap()];
        let (salt, ikm, info) = (bytes(&case["salt"]), bytes(&case["IKM"]), bytes(&case["info"]));
        kdf::hkdf_sha256(&salt, &ikm, &[&info], &mut okm).unwrap();
        assert_eq!(okm, bytes(&case["OKM"]));
        count.run += 1;
    }
    count.expect("RFC 5869 HKDF-SHA-256", 3, 0);
}

#[test]
fn wycheproof_hkdf() {
    hkdf("wycheproof/hkdf_sha256_test.json", kdf::hkdf_sha256).expect("Wycheproof HKDF-SHA-256", 86, 0);
    hkdf("wycheproof/hkdf_sha512_test.json", kdf::hkdf_sha512).expect("Wycheproof HKDF-SHA-512", 83, 0);
}

fn hkdf(name: &str, hkdf: Hkdf) -> Count {
    let mut count = Count::default();
    for_each_test(name, |_, test| {
        let mut okm = vec![0; test["size"].as_u64().unwrap() as usize];
        let info = bytes(&test["info"]);
        let (first, rest) = info.split_at(info.len() / 2);
        let result = hkdf(&bytes(&test["salt"]), &bytes(&test["ikm"]), &[first, rest], &mut okm);
        assert_eq!(result.is_ok(), is_valid(test), "{test}");
        if is_valid(test) {
            assert_eq!(okm, bytes(&test["okm"]), "{test}");
        }
        count.run += 1;
    });
    count
}

#[test]
fn wycheproof_aes_gcm() {
    let mut count = Count::default();
    for_each_test("wycheproof/aes_gcm_test.json", |group, test| {
        // Keys of 128 and 192 bits and nonces of other lengths are refused by type.
        let nonce: Result<[u8; 12], _> = bytes(&test["iv"]).try_into();
        let (256, 128, Ok(nonce)) = (group["keySize"].as_u64().unwrap(), group["tagSize"].as_u64().unwrap(), nonce)
        else {
            count.skipped += 1;
            return;
        };
        let key = secret(&test["key"]);
        let (aad, msg) = (bytes(&test["aad"]), bytes(&test["msg"]));
        let sealed = [bytes(&test["ct"]), bytes(&test["tag"])].concat();
        let opened = aead::open(&key, &nonce, &aad, &sealed);
        assert_eq!(opened.is_ok(), is_valid(test), "{test}");
        if is_valid(test) {
            assert_eq!(*opened.unwrap(), msg);
            assert_eq!(aead::seal(&key, &nonce, &aad, &msg), sealed);
        }
        count.run += 1;
    });
    count.expect("Wycheproof AES-GCM (256-bit keys, 96-bit nonces)", 66, 250);
}

#[test]
fn wycheproof_hmac_sha256_beneath_hkdf() {
    let mut count = Count::default();
    for_each_test("wycheproof/hmac_sha256_test.json", |group, test| {
        if group["tagSize"].as_u64() != Some(256) {
            count.skipped += 1;
            return;
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(&bytes(&test["key"])).unwrap();
        mac.update(&bytes(&test["msg"]));
        let verified = mac.verify_slice(&bytes(&test["tag"]));
        assert_eq!(verified.is_ok(), is_valid(test), "{test}");
        count.run += 1;
    });
    count.expect("Wycheproof HMAC-SHA-256 (whole tags)", 87, 87);
}

#[test]
fn merlin_transcripts() {
    let mut challenges = 0;
    for case in list(&json("merlin_transcript.json")["cases"]) {
        let mut transcript = Transcript::new(leak(&case["init_label"]));
        for op in list(&case["ops"]) {
            let label = leak(&op["label"]);
            match str(&op["op"]) {
                "append_message" => transcript.append_message(label, &message(op)),
                "append_u64" => {
                    let value = str(&op["value"]).trim_start_matches("0x");
                    transcript.append_u64(label, u64::from_str_radix(value, 16).unwrap());
                }
                "challenge_bytes" => {
                    let mut out = vec![0; op["len"].as_u64().unwrap() as usize];
                    transcript.challenge_bytes(label, &mut out);
                    assert_eq!(out, bytes(&op["result_hex"]), "{}", case["name"]);
                    challenges += 1;
                }
                other => panic!("unknown operation {other}"),
            }
        }
    }
    assert_eq!(challenges, 7);
}

fn message(op: &Value) -> Vec<u8> {
    match op.get("message_repeat") {
        Some(repeat) => {
            vec![repeat["byte"].as_u64().unwrap() as u8; repeat["count"].as_u64().unwrap() as usize]
        }
        None => bytes(&op["message_hex"]),
    }
}

/// merlin takes labels that live forever.
fn leak(label: &Value) -> &'static [u8] {
    Box::leak(str(label).to_owned().into_boxed_str()).as_bytes()
}

fn for_each_test(name: &str, mut run: impl FnMut(&Value, &Value)) {
    let file = json(name);
    let mut tests = 0;
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            run(group, test);
            tests += 1;
        }
    }
    assert_eq!(Some(tests), file["numberOfTests"].as_u64());
}

fn is_valid(test: &Value) -> bool {
    str(&test["result"]) == "valid"
}
