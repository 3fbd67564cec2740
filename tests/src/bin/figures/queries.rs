//! Walk B: a check of four items at five responders, and a screening chunk of 4,096 subjects with four items each, of whom one in a
//! hundred has a record.

use std::hint::black_box;

use riskveil_crypto::Elements;
use riskveil_crypto::evaluation::{EvaluationContext, blind_evaluate_many, evaluate_unproven};
use riskveil_exchange::query::messages::{EvaluateRequest, Shape};
use riskveil_exchange::query::session::Addressed;

use crate::baseline::Baseline;
use crate::meter::Table;
use crate::world::{PUBLISHERS, RECORDS, World, rng, subject};

const CHUNK_SUBJECTS: u16 = 4096;
/// Subjects of a chunk who have a record.
const CHUNK_HITS: usize = 40;
const CHUNK: Shape = Shape::Chunk { width: 4, subjects: CHUNK_SUBJECTS };

/// Everything of one query: what is measured step by step below.
struct Query<'a> {
    world: &'a World,
    shape: Shape,
    /// The first subject's serial number, and how many from it on have a record.
    first: usize,
    hits: usize,
    baseline: Baseline,
}

impl<'a> Query<'a> {
    fn new(world: &'a World, shape: Shape, hits: usize) -> Self {
        let first = RECORDS - hits;
        let subjects = (first..first + shape.subject_count()).map(subject);
        let inputs = subjects.flat_map(|subject| subject.identifiers().to_vec()).map(|one| one.oprf_input().to_vec());
        let baseline = Baseline::new(&world.publishers[0].sk, inputs.collect(), &mut rng(4));
        Self { world, shape, first, hits, baseline }
    }

    /// Measures each step and the lender's whole work, per `unit` of which the query has `units`; notes the bytes.
    fn measure(&self, table: &mut Table, unit: &'static str, units: usize) {
        let (world, shape, baseline) = (self.world, self.shape, &self.baseline);
        let (own, count) = (&world.publishers[0], shape.subject_count());
        let subjects: Vec<_> = (self.first..self.first + count).map(subject).collect();
        let mut ours_rng = rng(5);
        let mut baseline_rng = rng(6);
        table.time_against(
            "lender: blind, seal, prove, address to 5, encode",
            unit,
            units,
            || {
                let asked = world.ask(shape, &subjects, PUBLISHERS, &mut ours_rng);
                asked.requests.iter().for_each(|request| drop(black_box(request.encode())));
            },
            "Blind",
            || baseline.blind(&mut baseline_rng),
        );
        let asked = world.ask(shape, &subjects, PUBLISHERS, &mut ours_rng);
        let requests: Vec<Vec<u8>> = asked.requests.iter().map(EvaluateRequest::encode).collect();
        table.time_against(
            "responder: decode, judge, evaluate, sign, encode",
            unit,
            units,
            || drop(black_box(world.respond(own, &requests[0], &mut ours_rng).encode())),
            "BlindEvaluate, one proof",
            || baseline.blind_evaluate(&mut baseline_rng),
        );
        let answered = world.publishers.iter().zip(&requests);
        let responses: Vec<Vec<u8>> =
            answered.map(|(own, request)| world.respond(own, request, &mut ours_rng).encode()).collect();
        assert_eq!(world.find(&asked.state, own, &responses[0], count), self.hits);
        self.measure_evaluation(table, unit, units, &asked);
        table.time_against(
            "lender: accept, unblind, look up, 1 responder",
            unit,
            units,
            || assert_eq!(world.find(&asked.state, own, &responses[0], count), self.hits),
            "Finalize",
            || baseline.finalize(),
        );
        table.time_against(
            "lender: the whole query, 1 responder",
            unit,
            units,
            || {
                let again = world.ask(shape, &subjects, 1, &mut ours_rng);
                again.requests.iter().for_each(|request| drop(black_box(request.encode())));
                assert_eq!(world.find(&asked.state, own, &responses[0], count), self.hits);
            },
            "Blind, Finalize",
            || {
                baseline.blind(&mut baseline_rng);
                baseline.finalize();
            },
        );
        table.time_against(
            "lender: the whole query, 5 responders",
            unit,
            units,
            || {
                let again = world.ask(shape, &subjects, PUBLISHERS, &mut ours_rng);
                again.requests.iter().for_each(|request| drop(black_box(request.encode())));
                for (own, response) in world.publishers.iter().zip(&responses) {
                    black_box(world.find(&asked.state, own, response, count));
                }
            },
            "Blind, 5 Finalize",
            || {
                baseline.blind(&mut baseline_rng);
                (0..PUBLISHERS).for_each(|_| baseline.finalize());
            },
        );
        let sent = Some(("blinded elements", baseline.request_len()));
        table.size("request body to 1 responder", unit, units, requests[0].len(), sent);
        let received = Some(("evaluated elements, proof", baseline.response_len()));
        table.size("response body of 1 responder", unit, units, responses[0].len(), received);
    }
}

impl Query<'_> {
    /// The responder's share in the group alone: elements to elements, with and without their proof.
    fn measure_evaluation(&self, table: &mut Table, unit: &'static str, units: usize, asked: &Addressed) {
        let (sk, baseline) = (&self.world.publishers[0].sk, &self.baseline);
        let c2: Vec<[u8; 32]> = asked.entry.core.items.iter().map(|item| item.c2.to_bytes()).collect();
        let (digest, k) = (asked.entry.core.digest(), sk.public_key());
        let ctx = EvaluationContext {
            chain_id: &self.world.chain_id,
            publisher: b"BANK-01",
            period: 0,
            k: &k,
            core: &digest,
            envelope: &digest,
        };
        let (mut ours_rng, mut baseline_rng) = (rng(9), rng(10));
        table.time_against(
            "  of it: decode, evaluate, encode, no proof",
            unit,
            units,
            || {
                let c2 = Elements::from_bytes(&c2).unwrap();
                black_box(evaluate_unproven(sk, &c2).unwrap());
            },
            "BlindEvaluate, one proof",
            || baseline.blind_evaluate(&mut baseline_rng),
        );
        table.time_against(
            "  of it: decode, evaluate, encode, one proof",
            unit,
            units,
            || {
                let c2 = Elements::from_bytes(&c2).unwrap();
                black_box(blind_evaluate_many(sk, &[(ctx, &c2)], &mut ours_rng));
            },
            "BlindEvaluate, one proof",
            || baseline.blind_evaluate(&mut baseline_rng),
        );
    }
}

/// A single check.
pub(crate) fn measure_check(table: &mut Table, world: &World) {
    table.section("check of 4 items");
    Query::new(world, Shape::Check, 1).measure(table, "check", 1);
}

/// A screening chunk.
pub(crate) fn measure_screening(table: &mut Table, world: &World) {
    table.section("screening chunk of 4,096 subjects x 4 items");
    Query::new(world, CHUNK, CHUNK_HITS).measure(table, "item", CHUNK.item_count());
}
