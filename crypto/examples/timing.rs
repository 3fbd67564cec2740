//! What each step costs on one core, with the `voprf` crate in the same run: `cargo run --release -p riskveil-crypto
//! --example timing`. Microseconds, the fastest of several rounds.
#![allow(clippy::unwrap_used)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::{
    Element,
    announce::bind_key,
    digest::sha256,
    escrow::{AuditKeyPair, Escrowed, escrow, prove_knowledge, verify_knowledge},
    evaluation::{EvaluationContext, blind_evaluate, verify_evaluation},
    fingerprint::derive_slot,
    label::seal_label,
    oprf::{OprfSecretKey, input_element},
};
use voprf::{Ristretto255, VoprfClient, VoprfServer};

fn main() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let key = OprfSecretKey::generate(&mut rng);
    let audit = AuditKeyPair::generate(&mut rng);
    let y = audit.public();
    let k_y = bind_key(&key, &y, b"timing", &mut rng).k_y;
    let digest = sha256(b"timing");
    let k = key.public_key();
    let context = EvaluationContext {
        chain_id: &digest,
        publisher: b"BANK-01",
        period: 1,
        k: &k,
        core: &digest,
        envelope: &digest,
    };
    let inputs: Vec<Vec<u8>> = (0..4u8).map(|i| vec![i; 40]).collect();

    println!("a check of 4 items");
    let points: Vec<Element> = inputs.iter().map(|x| input_element(x).unwrap()).collect();
    let mut make = || -> (Vec<_>, Vec<_>) {
        let made = points.iter().map(|p| escrow(p, &y, &mut rng));
        made.map(|Escrowed { secret, item }| (secret, item)).unzip()
    };
    let (secrets, items) = make();
    report("  lender: escrow", 4, || drop(black_box(make())));
    report("  lender: hash to group", 4, || {
        inputs.iter().for_each(|x| {
            black_box(input_element(x)).unwrap();
        });
    });
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    report("  lender: proofs of knowledge", 4, || {
        black_box(prove_knowledge(&digest, &items, &secrets, &y, &mut rng));
    });
    let proofs = prove_knowledge(&digest, &items, &secrets, &y, &mut rng);
    report("  responder: verify knowledge", 4, || {
        verify_knowledge(&digest, &items, &y, &proofs).unwrap();
    });
    let c2: Vec<Element> = items.iter().map(|item| item.c2).collect();
    report("  responder: blind_evaluate with proof", 4, || {
        black_box(blind_evaluate(&key, &context, &c2, &mut rng).unwrap());
    });
    let answer = blind_evaluate(&key, &context, &c2, &mut rng).unwrap();
    report("  lender: verify_evaluation", 4, || {
        black_box(verify_evaluation(&context, &c2, answer.z.clone(), &answer.proof).unwrap());
    });
    let verified = verify_evaluation(&context, &c2, answer.z, &answer.proof).unwrap();
    report("  lender: unblind and finalize", 4, || {
        for (i, (input, secret)) in inputs.iter().zip(&secrets).enumerate() {
            black_box(verified.unblind(i, input, secret, &k_y).unwrap());
        }
    });

    println!("a chunk of 256 items");
    let chunk: Vec<Element> = (0..256u32).map(|i| input_element(&i.to_be_bytes()).unwrap()).collect();
    report("  responder: blind_evaluate with proof", 256, || {
        black_box(blind_evaluate(&key, &context, &chunk, &mut rng).unwrap());
    });
    let answer = blind_evaluate(&key, &context, &chunk, &mut rng).unwrap();
    report("  lender: verify_evaluation", 256, || {
        black_box(verify_evaluation(&context, &chunk, answer.z.clone(), &answer.proof).unwrap());
    });

    println!("publishing 256 records");
    let records: Vec<[u8; 40]> = (0..256u32).map(|i| [i as u8; 40]).collect();
    report("  evaluate_batch", 256, || drop(black_box(key.evaluate_batch(&records))));
    let outputs = key.evaluate_batch(&records).unwrap();
    report("  slot and sealed label", 256, || {
        for output in &outputs {
            let slot = derive_slot(output, b"salt of the period", 0).unwrap();
            black_box(seal_label(&slot, b"aad", &[0; 48], &mut rng));
        }
    });

    println!("the voprf crate, 1 item");
    let server = key.to_secret_bytes().expose(|k| VoprfServer::<Ristretto255>::new_with_key(k)).unwrap();
    let client = VoprfClient::<Ristretto255>::blind(&inputs[0], &mut rng).unwrap();
    report("  blind", 1, || drop(black_box(VoprfClient::<Ristretto255>::blind(&inputs[0], &mut rng))));
    report("  evaluate", 1, || {
        black_box(server.evaluate(&inputs[0])).unwrap();
    });
    report("  blind_evaluate with proof", 1, || {
        black_box(server.blind_evaluate(&mut rng, &client.message));
    });
    let answer = server.blind_evaluate(&mut rng, &client.message);
    report("  finalize with verification", 1, || {
        let public = server.get_public_key();
        black_box(client.state.finalize(&inputs[0], &answer.message, &answer.proof, public).unwrap());
    });
}

fn report(what: &str, items: u32, mut run: impl FnMut()) {
    let mut best = Duration::MAX;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(300) {
        let round = Instant::now();
        run();
        best = best.min(round.elapsed());
    }
    let (whole, item) = (best.as_nanos(), best.as_nanos() / u128::from(items));
    println!("{what:<42} {:>9}.{} us  {:>6}.{} us/item", whole / 1000, whole / 100 % 10, item / 1000, item / 100 % 10);
}
