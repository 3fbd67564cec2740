//! Round trips for arbitrary values, and decoders that survive arbitrary bytes.

use proptest::prelude::*;
use riskveil_crypto::{
    Digest32, Element, Signature, VerifyingKey,
    announce::{KeyBinding, bind_key},
    codec::{decode, encode},
    escrow::{AuditKeyPair, Escrowed, EscrowedItem, escrow},
    evaluation::{blind_evaluate, verify_evaluation},
    label::Row,
    merkle::{AbsenceProof, ConsistencyProof, InclusionProof, leaf_hash, root_of_hashes},
    oprf::input_element,
    seal::{self, SealPublicKey, SealSecretKey},
};

use crate::support::{Bound, rng};

fn reencodes<T: serde::Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes, 4096) {
        assert_eq!(encode(&value), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_input_comes_back_through_escrow_as_if_evaluated_directly(
        input in proptest::collection::vec(any::<u8>(), 0..300), seed: u8,
    ) {
        let bound = Bound::new(seed);
        let audit = AuditKeyPair::generate(&mut rng(seed ^ 1));
        let p = input_element(&input).unwrap();
        let Escrowed { secret, item } = escrow(&p, &audit.public(), &mut rng(seed ^ 2));
        let binding = bind_key(&bound.key, &audit.public(), &input, &mut rng(seed ^ 3));
        let answer = blind_evaluate(&bound.key, &bound.context(), &[item.c2], &mut rng(seed ^ 4)).unwrap();
        let verified = verify_evaluation(&bound.context(), &[item.c2], answer.z, &answer.proof).unwrap();
        let output = verified.unblind(0, &input, &secret, &binding.k_y).unwrap();
        let direct = bound.key.evaluate(&input).unwrap();
        output.expose(|output| direct.expose(|direct| assert_eq!(output, direct)));
        prop_assert!(audit.agrees(&item, &input));
    }

    #[test]
    fn sealed_messages_come_back(
        message in proptest::collection::vec(any::<u8>(), 0..500),
        info in any::<[u8; 8]>(), aad in any::<[u8; 8]>(), seed: u8,
    ) {
        let key = SealSecretKey::generate(&mut rng(seed));
        let sealed = seal::seal(&key.public(), &info, &aad, &message, &mut rng(seed ^ 1)).unwrap();
        let opened = seal::open(&key, &info, &aad, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), message);
    }

    #[test]
    fn every_leaf_of_any_tree_is_shown_and_no_other(size in 1usize..80, index: usize, stray: usize) {
        let hashes: Vec<Digest32> = (0..size as u32).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let root = root_of_hashes(&hashes);
        let (index, stray) = (index % size, stray % size);
        let proof = InclusionProof::prove(&hashes, index as u64).unwrap();
        prop_assert_eq!(proof.verify(&root, &hashes[stray]).is_ok(), index == stray);
        let old = root_of_hashes(&hashes[..=index]);
        let proof = ConsistencyProof::prove(&hashes, index as u64 + 1).unwrap();
        prop_assert!(proof.verify(&old, &root).is_ok());
        let other = root_of_hashes(&hashes[..=stray]);
        prop_assert_eq!(proof.verify(&other, &root).is_ok(), index == stray);
    }

    #[test]
    fn decoders_survive_any_bytes_and_have_one_spelling(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        reencodes::<Digest32>(&bytes);
        reencodes::<Element>(&bytes);
        reencodes::<VerifyingKey>(&bytes);
        reencodes::<Signature>(&bytes);
        reencodes::<SealPublicKey>(&bytes);
        reencodes::<EscrowedItem>(&bytes);
        reencodes::<KeyBinding>(&bytes);
        reencodes::<Row>(&bytes);
        reencodes::<InclusionProof>(&bytes);
        reencodes::<ConsistencyProof>(&bytes);
        reencodes::<AbsenceProof>(&bytes);
    }

    #[test]
    fn merkle_proofs_of_any_shape_are_refused_without_a_panic(
        index: u64, size: u64, path in proptest::collection::vec(any::<[u8; 32]>(), 0..70),
    ) {
        let path: Vec<Digest32> = path.into_iter().map(Digest32::new).collect();
        let leaf = leaf_hash(b"leaf");
        let inclusion = InclusionProof { index, size, path: path.clone() };
        prop_assert!(inclusion.verify(&Digest32::ZERO, &leaf).is_err());
        let consistency = ConsistencyProof { old_size: index, new_size: size, path };
        prop_assert!(consistency.verify(&Digest32::ZERO, &leaf).is_err());
    }

    #[test]
    fn any_32_bytes_that_decode_are_the_encoding(bytes: [u8; 32]) {
        if let Ok(element) = Element::from_bytes(&bytes) {
            prop_assert_eq!(element.to_bytes(), bytes);
            prop_assert_eq!(bcs::from_bytes::<Element>(&bytes).unwrap(), element);
        } else {
            prop_assert!(bcs::from_bytes::<Element>(&bytes).is_err());
        }
    }
}
