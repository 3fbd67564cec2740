//! RFC 9497, cases it must refuse, the `voprf` crate, and an independent reference in Python.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::{
    Element, SecretScalar,
    oprf::{
        OprfSecretKey,
        dleq::{self, Proof},
        input_element, rfc9497,
        suite::{Mode, context_string, derive_key_pair, hash_to_group},
    },
};
use serde_json::Value;
use sha2::{Digest, Sha512};
use voprf::{Group, Ristretto255, VoprfClient, VoprfServer};

use crate::support::{Count, array, bytes, element, json, list, scalar, secret, str};

#[test]
fn rfc9497_all_vectors() {
    let mut count = Count::default();
    let mut proofs = 0;
    for suite in list(&json("rfc9497_ristretto255_sha512.json")) {
        let mode = match suite["mode"].as_u64().unwrap() {
            0 => Mode::Oprf,
            1 => Mode::Voprf,
            poprf => {
                assert_eq!(poprf, 2, "POPRF is not implemented");
                count.skipped += list(&suite["vectors"]).len();
                continue;
            }
        };
        let group_dst = [b"HashToGroup-", context_string(mode)].concat();
        assert_eq!(group_dst, bytes(&suite["groupDST"]));
        let sk = derive_key_pair(mode, &array(&suite["seed"]), &bytes(&suite["keyInfo"])).unwrap();
        sk.to_secret_bytes().expose(|sk| assert_eq!(*sk, array(&suite["skSm"])));
        let public = OprfSecretKey::from_scalar(sk.clone()).public_key();
        if mode == Mode::Voprf {
            assert_eq!(public.to_bytes(), array(&suite["pkSm"]));
        }
        for vector in list(&suite["vectors"]) {
            rfc9497_vector(mode, &sk, vector);
            if mode == Mode::Voprf {
                rfc9497_proof(&sk, &public, vector);
                proofs += 1;
            }
            count.run += 1;
        }
    }
    count.expect("RFC 9497 ristretto255-SHA512 (POPRF skipped)", 5, 3);
    assert_eq!(proofs, 3);
}

fn rfc9497_vector(mode: Mode, sk: &SecretScalar, vector: &Value) {
    let inputs: Vec<Vec<u8>> = split(&vector["Input"]).iter().map(bytes).collect();
    let blinds: Vec<SecretScalar> = split(&vector["Blind"]).iter().map(scalar).collect();
    let blinded = elements(&vector["BlindedElement"]);
    let evaluated = elements(&vector["EvaluationElement"]);
    let outputs = split(&vector["Output"]);
    assert_eq!(inputs.len() as u64, vector["Batch"].as_u64().unwrap());
    for i in 0..inputs.len() {
        assert_eq!(rfc9497::blind(mode, &inputs[i], &blinds[i]).unwrap(), blinded[i]);
        assert_eq!(rfc9497::blind_evaluate(sk, &blinded[i]).unwrap(), evaluated[i]);
        let output = rfc9497::finalize(&inputs[i], &blinds[i], &evaluated[i]).unwrap();
        output.expose(|output| assert_eq!(*output, array(&outputs[i])));
        let direct = rfc9497::evaluate(mode, sk, &inputs[i]).unwrap();
        direct.expose(|direct| assert_eq!(*direct, array(&outputs[i])));
        if mode == Mode::Voprf {
            let key = OprfSecretKey::from_scalar(sk.clone());
            let output = key.evaluate(&inputs[i]).unwrap();
            output.expose(|output| assert_eq!(*output, array(&outputs[i])));
        }
    }
}

fn rfc9497_proof(sk: &SecretScalar, public: &Element, vector: &Value) {
    let (C, D) = (elements(&vector["BlindedElement"]), elements(&vector["EvaluationElement"]));
    let proof = Proof::from_bytes(array(&vector["Proof"]["proof"]));
    let r = scalar(&vector["Proof"]["r"]);
    assert_eq!(rfc9497::generate_proof(sk, public, &C, &D, &r).unwrap(), proof);
    assert_eq!(rfc9497::verify_proof(public, &C, &D, &proof), Ok(()));
    assert_eq!(
        rfc9497::compute_composites(public, &C, &D).unwrap(),
        rfc9497::compute_composites_fast(sk, public, &C, &D).unwrap(),
    );
    if C.len() == 1 {
        assert_eq!(dleq::generate_proof(sk, public, &C[0], &D[0], &r), proof);
        assert_eq!(dleq::verify_proof(public, &C[0], &D[0], &proof), Ok(()));
    }
}

#[test]
fn negative_cases_are_refused() {
    let mut count = Count::default();
    let mut accepted = 0;
    for case in list(&json("voprf_negative_cases.json")["cases"]) {
        let is_accepted = match str(&case["kind"]) {
            "blinded_element" => decode_element(&case["value"]).is_some(),
            "scalar" | "secret_or_blind_scalar" => decode_scalar(&case["value"]).is_some(),
            "voprf_proof" => proof_is_accepted(case),
            kind => panic!("unknown kind {kind}"),
        };
        assert_eq!(is_accepted, str(&case["expect"]) == "accept", "{case}");
        accepted += usize::from(is_accepted);
        count.run += 1;
    }
    count.expect("VOPRF negative cases", 54, 0);
    assert_eq!(accepted, 2, "the two honest proofs among them");
}

fn decode_element(value: &Value) -> Option<Element> {
    let bytes: [u8; 32] = hex::decode(str(value)).ok()?.try_into().ok()?;
    Element::from_bytes(&bytes).ok()
}

fn decode_scalar(value: &Value) -> Option<SecretScalar> {
    let bytes: [u8; 32] = hex::decode(str(value)).ok()?.try_into().ok()?;
    SecretScalar::from_canonical_bytes(bytes).ok()
}

fn proof_is_accepted(case: &Value) -> bool {
    let public = element(&case["pk"]);
    let C: Vec<Element> = list(&case["blinded"]).iter().map(element).collect();
    let D: Vec<Element> = list(&case["evaluated"]).iter().map(element).collect();
    let proof = Proof::from_bytes(array(&case["proof"]));
    let batch = rfc9497::verify_proof(&public, &C, &D, &proof).is_ok();
    if let ([C], [D]) = (&C[..], &D[..]) {
        assert_eq!(dleq::verify_proof(&public, C, D, &proof).is_ok(), batch, "{case}");
    }
    batch
}

#[test]
fn outputs_equal_those_of_the_voprf_crate() {
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    for len in 1..=64usize {
        let input: Vec<u8> = (0..len).map(|i| (i * 37 + len) as u8).collect();
        let key = OprfSecretKey::generate(&mut rng);
        let k = key.to_secret_bytes();
        let server = k.expose(|k| VoprfServer::<Ristretto255>::new_with_key(k)).unwrap();
        let pk = Ristretto255::serialize_elem(server.get_public_key());
        assert_eq!(key.public_key().as_bytes().as_slice(), pk.as_slice());

        let blind = SecretScalar::random(&mut rng);
        let their_blind = blind.to_secret_bytes();
        let their_blind = their_blind.expose(|b| Ristretto255::deserialize_scalar(b)).unwrap();
        let client = VoprfClient::<Ristretto255>::deterministic_blind_unchecked(&input, their_blind);
        let client = client.unwrap();
        let blinded = rfc9497::blind(Mode::Voprf, &input, &blind).unwrap();
        assert_eq!(client.message.serialize().as_slice(), blinded.as_bytes());

        // Their proof under our verifier, our evaluation under their client.
        let theirs = server.blind_evaluate(&mut rng, &client.message);
        let evaluated =
            rfc9497::blind_evaluate(&SecretScalar::from_canonical_bytes(k.expose(|k| *k)).unwrap(), &blinded).unwrap();
        assert_eq!(theirs.message.serialize().as_slice(), evaluated.as_bytes());
        let proof = Proof::from_bytes(theirs.proof.serialize().as_slice().try_into().unwrap());
        assert_eq!(dleq::verify_proof(&key.public_key(), &blinded, &evaluated, &proof), Ok(()));

        let r = SecretScalar::random(&mut rng);
        let sk = SecretScalar::from_canonical_bytes(k.expose(|k| *k)).unwrap();
        let ours = dleq::generate_proof(&sk, &key.public_key(), &blinded, &evaluated, &r);
        let ours = voprf::Proof::<Ristretto255>::deserialize(&ours.to_bytes()).unwrap();
        let their_output = client.state.finalize(&input, &theirs.message, &ours, server.get_public_key());
        let their_output = their_output.unwrap();
        let output = key.evaluate(&input).unwrap();
        output.expose(|output| assert_eq!(output.as_slice(), their_output.as_slice()));
        let finalized = rfc9497::finalize(&input, &blind, &evaluated).unwrap();
        finalized.expose(|output| assert_eq!(output.as_slice(), their_output.as_slice()));
    }
}

#[test]
fn outputs_equal_those_of_the_python_reference() {
    let file = json("oprf_ref_outputs.json");
    let cases = list(&file["cases"]);
    for case in cases {
        let block = Sha512::digest(str(&case["input_seed"]));
        let len = case["input_len"].as_u64().unwrap() as usize;
        let input: Vec<u8> = block.iter().copied().cycle().take(len).collect();
        let key = OprfSecretKey::from_bytes(&secret(&case["sk"])).unwrap();
        assert_eq!(key.public_key(), element(&case["pk"]));
        assert_eq!(input_element(&input).unwrap(), element(&case["element"]));
        let blinded = rfc9497::blind(Mode::Voprf, &input, &scalar(&case["blind"])).unwrap();
        assert_eq!(blinded, element(&case["blinded"]));
        let evaluated = rfc9497::blind_evaluate(&scalar(&case["sk"]), &blinded).unwrap();
        assert_eq!(evaluated, element(&case["evaluated"]));
        let output = key.evaluate(&input).unwrap();
        output.expose(|output| assert_eq!(*output, array(&case["output"])));
        let mode_0 = rfc9497::evaluate(Mode::Oprf, &scalar(&case["sk"]), &input).unwrap();
        mode_0.expose(|output| assert_eq!(*output, array(&case["output_mode0"])));
        let batch = key.evaluate_batch(&[&input, &input]).unwrap();
        batch[1].expose(|output| assert_eq!(*output, array(&case["output"])));
    }
    assert_eq!(cases.len(), 24);
}

#[test]
fn inputs_above_65535_bytes_are_refused() {
    let key = OprfSecretKey::generate(&mut ChaCha20Rng::from_seed([1; 32]));
    let too_long = vec![0; 65_536];
    assert!(key.evaluate(&too_long).is_err());
    assert!(key.evaluate_batch(&[&too_long]).is_err());
    assert!(hash_to_group(Mode::Voprf, &too_long).is_err());
}

/// Batch entries are joined by commas.
fn split(value: &Value) -> Vec<Value> {
    str(value).split(',').map(Value::from).collect()
}

fn elements(value: &Value) -> Vec<Element> {
    split(value).iter().map(element).collect()
}
