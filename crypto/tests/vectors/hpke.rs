//! RFC 9180 base mode, and X25519 vectors through it.

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::{
    SecretBytes, aead, kdf,
    seal::{self, SealPublicKey, SealSecretKey},
};

use crate::support::{Count, array, bytes, json, list, secret, str, text};

/// Hands out the bytes it was given, once: makes the sender's ephemeral key the vector's.
struct FixedRng(Vec<u8>);

impl RngCore for FixedRng {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(&self.0);
        self.0.clear();
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for FixedRng {}

#[test]
fn rfc9180_base_mode_aes_256_gcm() {
    let mut count = Count::default();
    let mut messages = 0;
    for vector in list(&json("rfc9180_hpke_x25519_hkdf_sha256.json")) {
        if (vector["mode"].as_u64(), vector["aead_id"].as_u64()) != (Some(0), Some(2)) {
            count.skipped += 1;
            continue;
        }
        count.run += 1;
        let sk = SealSecretKey::from_bytes(secret(&vector["skRm"]));
        assert_eq!(*sk.public().as_bytes(), array(&vector["pkRm"]));
        let info = bytes(&vector["info"]);
        let encryptions = list(&vector["encryptions"]);
        // The first message is ours, both ways; later sequence numbers show the AEAD under the derived key.
        let (aad, pt) = (bytes(&encryptions[0]["aad"]), bytes(&encryptions[0]["pt"]));
        let sealed = [bytes(&vector["enc"]), bytes(&encryptions[0]["ct"])].concat();
        assert_eq!(*seal::open(&sk, &info, &aad, &sealed).unwrap(), pt);
        let mut rng = FixedRng(bytes(&vector["ikmE"]));
        assert_eq!(seal::seal(&sk.public(), &info, &aad, &pt, &mut rng).unwrap(), sealed);
        for message in encryptions {
            let (aad, pt) = (bytes(&message["aad"]), bytes(&message["pt"]));
            let sealed = aead::seal(&secret(&vector["key"]), &array(&message["nonce"]), &aad, &pt);
            assert_eq!(sealed, bytes(&message["ct"]));
            messages += 1;
        }
    }
    count.expect("RFC 9180 X25519-HKDF-SHA256 (base mode with AES-256-GCM)", 1, 15);
    assert_eq!(messages, 14);
}

#[test]
fn wycheproof_x25519_through_open() {
    let mut count = Count::default();
    let mut zero = 0;
    for group in list(&json("wycheproof/x25519_test.json")["testGroups"]) {
        for test in list(&group["tests"]) {
            let (public, shared) = (array(&test["public"]), array(&test["shared"]));
            let sk = SealSecretKey::from_bytes(secret(&test["private"]));
            let opened = seal::open(&sk, b"info", b"aad", &seal_with(&sk, &public, &shared));
            if shared == [0; 32] {
                // A zero shared secret is refused, and so is the key at the door.
                assert!(opened.is_err(), "{test}");
                assert!(SealPublicKey::from_bytes(&public).is_err(), "{test}");
                zero += 1;
            } else {
                assert_eq!(*opened.unwrap(), b"plaintext", "{test}");
            }
            let flags = list(&test["flags"]);
            if flags.iter().any(|flag| str(flag) == "NonCanonicalPublic") {
                assert!(SealPublicKey::from_bytes(&public).is_err(), "{test}");
            }
            count.run += 1;
        }
    }
    count.expect("Wycheproof X25519", 518, 0);
    assert_eq!(zero, 31);
}

#[test]
fn rfc7748_x25519_through_open() {
    let file = text("x25519_rfc7748.txt");
    let field = |name: &str| -> Vec<[u8; 32]> {
        let lines = file.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        lines.map(|value| hex::decode(value).unwrap().try_into().unwrap()).collect()
    };
    let (scalars, inputs, outputs) = (field("INPUT_SCALAR"), field("INPUT_U"), field("OUTPUT_U"));
    assert_eq!((scalars.len(), inputs.len(), outputs.len()), (3, 3, 3));
    for ((scalar, input), output) in scalars.into_iter().zip(&inputs).zip(&outputs) {
        let sk = SealSecretKey::from_bytes(SecretBytes::from_bytes(scalar));
        let opened = seal::open(&sk, b"info", b"aad", &seal_with(&sk, input, output));
        assert_eq!(*opened.unwrap(), b"plaintext");
    }
}

/// What a sender with ephemeral key `enc` and Diffie-Hellman result `dh` would send: RFC 9180 written out, so that
/// `seal::open` succeeds only if its own result is `dh`.
fn seal_with(to: &SealSecretKey, enc: &[u8; 32], dh: &[u8; 32]) -> Vec<u8> {
    let extract_expand =
        |suite: &[u8], salt: &[u8], ikm_label: &[u8], ikm: &[u8], label: &[u8], info: &[u8], len: u16| {
            let ikm = [b"HPKE-v1", suite, ikm_label, ikm].concat();
            let mut out = vec![0; usize::from(len)];
            let info = [&len.to_be_bytes(), b"HPKE-v1".as_slice(), suite, label, info].concat();
            kdf::hkdf_sha256(salt, &ikm, &[&info], &mut out).unwrap();
            out
        };
    // LabeledExtract gives the PRK: expand over an empty key schedule cannot return it, so HMAC is used directly.
    let extract = |suite: &[u8], label: &[u8], ikm: &[u8]| {
        use hmac::{Hmac, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[]).unwrap();
        mac.update(&[b"HPKE-v1", suite, label, ikm].concat());
        mac.finalize().into_bytes().to_vec()
    };
    let kem = b"KEM\x00\x20";
    let hpke = b"HPKE\x00\x20\x00\x01\x00\x02";
    let kem_context = [enc.as_slice(), to.public().as_bytes()].concat();
    let shared = extract_expand(kem, b"", b"eae_prk", dh, b"shared_secret", &kem_context, 32);
    let context = [vec![0], extract(hpke, b"psk_id_hash", b""), extract(hpke, b"info_hash", b"info")].concat();
    let key = extract_expand(hpke, &shared, b"secret", b"", b"key", &context, 32);
    let nonce = extract_expand(hpke, &shared, b"secret", b"", b"base_nonce", &context, 12);
    let key = SecretBytes::from_bytes(key.try_into().unwrap());
    let ct = aead::seal(&key, &nonce.try_into().unwrap(), b"aad", b"plaintext");
    [enc.as_slice(), &ct].concat()
}
