//! The `voprf` crate on the same inputs and key: RFC 9497 without escrow, signatures, seals or logs.

use rand_chacha::ChaCha20Rng;
use riskveil_crypto::oprf::OprfSecretKey;
use voprf::{BlindedElement, Ristretto255, VoprfClient, VoprfServer, VoprfServerBatchEvaluateResult};

type Suite = Ristretto255;

/// One batch: blinded, evaluated under one proof.
pub(crate) struct Baseline {
    server: VoprfServer<Suite>,
    inputs: Vec<Vec<u8>>,
    clients: Vec<VoprfClient<Suite>>,
    blinded: Vec<BlindedElement<Suite>>,
    answer: VoprfServerBatchEvaluateResult<Suite>,
}

impl Baseline {
    /// The batch of these inputs under this key.
    pub(crate) fn new(sk: &OprfSecretKey, inputs: Vec<Vec<u8>>, rng: &mut ChaCha20Rng) -> Self {
        let server = sk.to_secret_bytes().expose(|k| VoprfServer::new_with_key(k)).unwrap();
        let (clients, blinded) = blind(&inputs, rng);
        let answer = server.batch_blind_evaluate(rng, &blinded).unwrap();
        let baseline = Self { server, inputs, clients, blinded, answer };
        // the same function: otherwise the comparison means nothing
        let ours = sk.evaluate(&baseline.inputs[0]).unwrap();
        ours.expose(|ours| assert_eq!(ours[..], baseline.server.evaluate(&baseline.inputs[0]).unwrap()[..]));
        baseline
    }

    /// `Evaluate` of each input, by the holder of the key.
    pub(crate) fn evaluate(&self) {
        for input in &self.inputs {
            std::hint::black_box(self.server.evaluate(input)).unwrap();
        }
    }

    /// `Evaluate` of the first inputs.
    pub(crate) fn evaluate_first(&self, count: usize) {
        for input in &self.inputs[..count] {
            std::hint::black_box(self.server.evaluate(input)).unwrap();
        }
    }

    /// `Blind` of each input.
    pub(crate) fn blind(&self, rng: &mut ChaCha20Rng) {
        std::hint::black_box(blind(&self.inputs, rng));
    }

    /// `BlindEvaluate` of the batch with one proof.
    pub(crate) fn blind_evaluate(&self, rng: &mut ChaCha20Rng) {
        std::hint::black_box(self.server.batch_blind_evaluate(rng, &self.blinded).unwrap());
    }

    /// `Finalize` of the batch, proof included.
    pub(crate) fn finalize(&self) {
        let (inputs, public) = (&self.inputs, self.server.get_public_key());
        let outputs =
            VoprfClient::batch_finalize(inputs, &self.clients, &self.answer.messages, &self.answer.proof, public);
        outputs.unwrap().for_each(|output| assert!(std::hint::black_box(output).is_ok()));
    }

    /// Bytes of all blinded elements.
    pub(crate) fn request_len(&self) -> usize {
        self.blinded.iter().map(|element| element.serialize().len()).sum()
    }

    /// Bytes of all evaluated elements and the proof.
    pub(crate) fn response_len(&self) -> usize {
        let elements: usize = self.answer.messages.iter().map(|element| element.serialize().len()).sum();
        elements + self.answer.proof.serialize().len()
    }
}

fn blind(inputs: &[Vec<u8>], rng: &mut ChaCha20Rng) -> (Vec<VoprfClient<Suite>>, Vec<BlindedElement<Suite>>) {
    let blinded = inputs.iter().map(|input| VoprfClient::blind(input, rng).unwrap());
    blinded.map(|result| (result.state, result.message)).unzip()
}
