//! The evaluation of a request: equal to the direct one, and refused when anything it is bound to changes.

use curve25519_dalek::{RistrettoPoint, ristretto::CompressedRistretto};
use riskveil_crypto::{
    Element, Elements, SecretScalar,
    announce::bind_key,
    digest::sha256,
    error::ProofInvalid,
    evaluation::{
        Evaluation, EvaluationContext, EvaluationProof, MAX_ITEMS, ToVerify, blind_evaluate, blind_evaluate_many,
        verify_evaluation, verify_evaluations,
    },
    oprf::{OprfError, dleq, input_element, rfc9497},
};

use crate::support::{Bound, Request, element, flips, rng};

#[test]
fn unblinded_outputs_equal_direct_evaluation() {
    let (request, bound) = (Request::new(20), Bound::new(21));
    let binding = bind_key(&bound.key, &request.audit.public(), b"context", &mut rng(22));
    let Evaluation { z, proof } = blind_evaluate(&bound.key, &bound.context(), &request.c2(), &mut rng(23)).unwrap();
    let verified = verify_evaluation(&bound.context(), &request.c2(), z, &proof).unwrap();
    assert_eq!(verified.len(), 4);
    let direct = bound.key.evaluate_batch(&request.inputs).unwrap();
    for (i, input) in request.inputs.iter().enumerate() {
        let output = verified.unblind(i, input, &request.secrets[i], &binding.k_y).unwrap();
        let single = bound.key.evaluate(input).unwrap();
        output.expose(|output| {
            single.expose(|single| assert_eq!(output, single));
            direct[i].expose(|direct| assert_eq!(output, direct));
        });
    }
}

#[test]
fn unblinding_with_anothers_secret_or_index_is_refused() {
    let (request, bound) = (Request::new(24), Bound::new(25));
    let Evaluation { z, proof } = blind_evaluate(&bound.key, &bound.context(), &request.c2(), &mut rng(26)).unwrap();
    let verified = verify_evaluation(&bound.context(), &request.c2(), z, &proof).unwrap();
    let k_y = element("any K_Y");
    let unblind = |index, secret: usize, input: &[u8]| {
        let unblinded = verified.unblind(index, input, &request.secrets[secret], &k_y);
        unblinded.map(|_| ())
    };
    assert_eq!(unblind(0, 0, b"x"), Ok(()));
    assert_eq!(unblind(0, 1, b"x"), Err(OprfError::NotThisItem));
    assert_eq!(unblind(4, 0, b"x"), Err(OprfError::NotThisItem));
    let too_long = Err(OprfError::InputTooLong { got: 65_536 });
    assert_eq!(unblind(0, 0, &[0; 65_536]), too_long);
}

#[test]
fn requests_evaluated_together_are_each_evaluated_and_verified_on_their_own() {
    let bound = Bound::new(50);
    let other = Bound::new(51);
    // short ones share lanes, the one of 600 does not; one is for another key, one has no item
    let lists: Vec<Elements> = [4, 1, 600, 0, 9, 4]
        .into_iter()
        .enumerate()
        .map(|(list, count)| (0..count).map(|i| element(&format!("{list} {i}"))).collect::<Vec<_>>().into())
        .collect();
    let requests: Vec<(EvaluationContext<'_>, &Elements)> =
        lists.iter().enumerate().map(|(i, c2)| (if i == 4 { other.context() } else { bound.context() }, c2)).collect();
    let evaluated = blind_evaluate_many(&bound.key, &requests, &mut rng(52));
    assert_eq!(evaluated.len(), 6);
    assert_eq!(evaluated[3], Err(OprfError::BatchSize { got: 0 }));
    assert_eq!(evaluated[4], Err(OprfError::AnotherKey));
    let answer = |at: usize| evaluated[at].as_ref().unwrap();
    for at in [0, 1, 2, 5] {
        let Evaluation { z, proof } = answer(at);
        let alone = blind_evaluate(&bound.key, &bound.context(), &lists[at], &mut rng(53)).unwrap();
        assert_eq!(*z, alone.z);
        assert!(verify_evaluation(&bound.context(), &lists[at], z.clone(), proof).is_ok());
    }

    // verified together: the one with another's proof, the one with a changed answer and the empty one alone are refused
    let to_verify = |at: usize, z: Vec<Element>, proof: &EvaluationProof| ToVerify {
        ctx: bound.context(),
        c2: &lists[at],
        z: z.into(),
        proof: *proof,
    };
    let mut swapped = answer(5).z.clone();
    swapped.swap(1, 2);
    let answers = vec![
        to_verify(0, answer(0).z.clone(), &answer(0).proof),
        to_verify(1, answer(1).z.clone(), &answer(5).proof),
        to_verify(2, answer(2).z.clone(), &answer(2).proof),
        to_verify(3, Vec::new(), &answer(0).proof),
        to_verify(5, swapped, &answer(5).proof),
        to_verify(5, answer(5).z.clone(), &answer(5).proof),
        to_verify(5, answer(5).z.clone(), &EvaluationProof::from_bytes([0xff; 64])),
    ];
    let verified: Vec<bool> = verify_evaluations(answers).iter().map(Result::is_ok).collect();
    assert_eq!(verified, [true, false, true, false, false, true, false]);
}

#[test]
fn lists_decoded_together_are_judged_alone() {
    let good: Vec<[u8; 32]> = (0..5).map(|i| element(&format!("{i}")).to_bytes()).collect();
    let mut bad = good.clone();
    bad[3] = [0xff; 32];
    let decoded = Elements::from_bytes_lists(&[&good, &good[..1], &good[2..]]);
    let decoded: Vec<Vec<[u8; 32]>> =
        decoded.iter().map(|list| list.as_ref().unwrap().iter().map(Element::to_bytes).collect()).collect();
    assert_eq!(decoded, [good.clone(), good[..1].to_vec(), good[2..].to_vec()]);
    let judged: Vec<bool> =
        Elements::from_bytes_lists(&[&good, &bad, &[[0; 32]], &good]).iter().map(Result::is_ok).collect();
    assert_eq!(judged, [true, false, false, true]);
}

#[test]
fn every_changed_input_is_refused() {
    let (request, bound) = (Request::new(27), Bound::new(28));
    let c2 = request.c2();
    let Evaluation { z, proof } = blind_evaluate(&bound.key, &bound.context(), &c2, &mut rng(29)).unwrap();
    let refused = |ctx: &EvaluationContext<'_>, c2: &[Element], z: &[Element], proof: &EvaluationProof| {
        verify_evaluation(ctx, c2, z.to_vec(), proof).map(|_| ()) == Err(ProofInvalid)
    };
    assert!(!refused(&bound.context(), &c2, &z, &proof));

    let (other, other_k) = (sha256(b"other"), element("other K"));
    let contexts = [
        EvaluationContext { chain_id: &other, ..bound.context() },
        EvaluationContext { publisher: b"BANK-02", ..bound.context() },
        EvaluationContext { period: 8, ..bound.context() },
        EvaluationContext { k: &other_k, ..bound.context() },
        EvaluationContext { core: &other, ..bound.context() },
        EvaluationContext { envelope: &other, ..bound.context() },
    ];
    for context in &contexts {
        assert!(refused(context, &c2, &z, &proof), "{context:?}");
    }
    for i in 0..4 {
        let (mut other_c2, mut other_z) = (c2.clone(), z.clone());
        other_c2[i] = element("other C2");
        assert!(refused(&bound.context(), &other_c2, &z, &proof));
        other_z[i] = element("other Z");
        assert!(refused(&bound.context(), &c2, &other_z, &proof));
    }
    let mut swapped_z = z.clone();
    swapped_z.swap(1, 2);
    assert!(refused(&bound.context(), &c2, &swapped_z, &proof));
    let mut swapped_c2 = c2.clone();
    swapped_c2.swap(1, 2);
    assert!(refused(&bound.context(), &swapped_c2, &swapped_z, &proof));
    assert!(refused(&bound.context(), &c2, &z[..3], &proof));
    assert!(refused(&bound.context(), &c2[..3], &z[..3], &proof));
    assert!(refused(&bound.context(), &[], &[], &proof));
    for flipped in flips(proof.to_bytes()) {
        assert!(refused(&bound.context(), &c2, &z, &EvaluationProof::from_bytes(flipped)));
    }
}

#[test]
fn an_evaluation_under_another_key_is_refused() {
    let (request, bound, liar) = (Request::new(30), Bound::new(31), Bound::new(32));
    let c2 = request.c2();
    let Evaluation { z, proof } = blind_evaluate(&liar.key, &liar.context(), &c2, &mut rng(33)).unwrap();
    assert!(verify_evaluation(&bound.context(), &c2, z, &proof).is_err());
    // Under the announced key's name, with the liar's own arithmetic.
    let refused = blind_evaluate(&liar.key, &bound.context(), &c2, &mut rng(33));
    assert_eq!(refused, Err(OprfError::AnotherKey));
}

#[test]
fn errors_that_cancel_in_a_plain_sum_are_refused() {
    let (request, bound) = (Request::new(34), Bound::new(35));
    let c2 = request.c2();
    let Evaluation { mut z, proof } = blind_evaluate(&bound.key, &bound.context(), &c2, &mut rng(36)).unwrap();
    let error = point(&element("error"));
    z[0] = Element::from_bytes((point(&z[0]) + error).compress().as_bytes()).unwrap();
    z[1] = Element::from_bytes((point(&z[1]) - error).compress().as_bytes()).unwrap();
    assert!(verify_evaluation(&bound.context(), &c2, z, &proof).is_err());
}

#[test]
fn the_batched_proof_of_the_rfc_is_refused() {
    let (request, bound) = (Request::new(37), Bound::new(38));
    let c2 = request.c2();
    let z = blind_evaluate(&bound.key, &bound.context(), &c2, &mut rng(39)).unwrap().z;
    let k = bound.key.to_secret_bytes().expose(|k| SecretScalar::from_canonical_bytes(*k)).unwrap();
    let r = SecretScalar::random(&mut rng(40));
    let batch = rfc9497::generate_proof(&k, &bound.k, &c2, &z, &r).unwrap();
    assert_eq!(rfc9497::verify_proof(&bound.k, &c2, &z, &batch), Ok(()));
    assert!(verify_evaluation(&bound.context(), &c2, z.clone(), &batch).is_err());
    // Nor is a proof for the bare pair one for the weighted pair of a single item.
    let single = dleq::generate_proof(&k, &bound.k, &c2[0], &z[0], &r);
    assert!(verify_evaluation(&bound.context(), &c2[..1], z[..1].to_vec(), &single).is_err());
}

#[test]
fn batches_of_no_item_or_too_many_are_refused() {
    let bound = Bound::new(41);
    let evaluate = |c2: &[Element]| blind_evaluate(&bound.key, &bound.context(), c2, &mut rng(42));
    assert_eq!(evaluate(&[]), Err(OprfError::BatchSize { got: 0 }));
    let too_many = vec![Element::BASE; MAX_ITEMS + 1];
    assert_eq!(evaluate(&too_many), Err(OprfError::BatchSize { got: MAX_ITEMS + 1 }));
    let Evaluation { proof, .. } = evaluate(&[Element::BASE]).unwrap();
    let refused = verify_evaluation(&bound.context(), &too_many, too_many.clone(), &proof);
    assert!(refused.is_err());
}

#[test]
fn a_chunk_of_many_items_verifies_whole_and_not_with_one_answer_changed() {
    let bound = Bound::new(43);
    let c2: Vec<Element> = (0..500u32).map(|i| input_element(&i.to_be_bytes()).unwrap()).collect();
    let Evaluation { mut z, proof } = blind_evaluate(&bound.key, &bound.context(), &c2, &mut rng(44)).unwrap();
    assert!(verify_evaluation(&bound.context(), &c2, z.clone(), &proof).is_ok());
    z[499] = z[0];
    assert!(verify_evaluation(&bound.context(), &c2, z, &proof).is_err());
}

fn point(element: &Element) -> RistrettoPoint {
    CompressedRistretto(element.to_bytes()).decompress().unwrap()
}
