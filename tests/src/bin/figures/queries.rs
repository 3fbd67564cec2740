//! Walk B: a check of four items at five responders, and a screening chunk of 256 subjects with four items each.

use std::hint::black_box;

use riskveil_exchange::query::messages::{EvaluateRequest, Shape};

use crate::baseline::Baseline;
use crate::meter::Table;
use crate::world::{PUBLISHERS, World, rng, subject};

const CHUNK_SUBJECTS: u16 = 256;
const CHUNK: Shape = Shape::Chunk { width: 4, subjects: CHUNK_SUBJECTS };

/// Everything of one query: what is measured step by step below.
struct Query<'a> {
    world: &'a World,
    shape: Shape,
    baseline: Baseline,
}

impl<'a> Query<'a> {
    fn new(world: &'a World, shape: Shape) -> Self {
        let subjects = (0..shape.subject_count()).map(subject);
        let inputs = subjects.flat_map(|subject| subject.identifiers().to_vec()).map(|one| one.oprf_input().to_vec());
        let baseline = Baseline::new(&world.publishers[0].sk, inputs.collect(), &mut rng(4));
        Self { world, shape, baseline }
    }

    /// Measures each step and the lender's whole work, per `unit` of which the query has `units`; notes the bytes.
    fn measure(&self, table: &mut Table, unit: &'static str, units: usize) {
        let (world, shape, baseline) = (self.world, self.shape, &self.baseline);
        let (own, count) = (&world.publishers[0], shape.subject_count());
        let subjects: Vec<_> = (0..count).map(subject).collect();
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
        assert_eq!(world.find(&asked.state, own, &responses[0], count), count, "every subject has one record");
        table.time_against(
            "lender: accept, unblind, look up, 1 responder",
            unit,
            units,
            || assert_eq!(world.find(&asked.state, own, &responses[0], count), count),
            "Finalize",
            || baseline.finalize(),
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

/// A single check.
pub(crate) fn measure_check(table: &mut Table, world: &World) {
    table.section("check of 4 items");
    Query::new(world, Shape::Check).measure(table, "check", 1);
}

/// A screening chunk.
pub(crate) fn measure_screening(table: &mut Table, world: &World) {
    table.section("screening chunk of 256 subjects x 4 items");
    Query::new(world, CHUNK).measure(table, "item", CHUNK.item_count());
}
