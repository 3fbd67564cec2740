//! Do fixed secrets take another time than random ones? A statistical test of the batches that meet secrets, after dudect.
//!
//! `cargo run --release -p riskveil-crypto --example constant_time [-- --measurements N] [--json]`: about a minute and a half; run it
//! alone on the machine. `RISKVEIL_KERNEL=avx2` tests four lanes, `portable` dalek and sha2.
//!
//! - **Shapes**: an operation is measured N times; each time a coin decides whether its secret is the fixed or a random one.
//!   All else is equal: code, buffers, public inputs, and what was done to prepare, which is not timed
//! - **Invariants**: a control, one class of which does 0.2 % more work, must be found, or the machine is too noisy to tell; a null,
//!   whose two classes are alike, should show nothing
//! - **Errors**: exit code 1 if an operation, not a control, has |t| above [`CERTAIN`], or a control is not found; 2 for bad options
//! - **Security**: finds differences that this machine, these classes and N measurements can show; that none is found is no proof.
//!   A scalar of 2 is a known one with N large: all sums but the last are the identity, whose limbs are 0, and after a pause a
//!   processor gets going with such operands some 30 ns sooner; no code differs. A random key has no row of leading zeros
//! - **Source**: Reparaz, Balasch, Verbauwhede 2017, "Dude, is my code constant time?": fixed against random, cropping, Welch's t
//!
//! # Notation
//! ```text
//! crop    measurements above a percentile of both classes together are left out: interrupts lengthen some by chance
//! t       difference of the class means by its standard error, Welch's; the largest |t| over all crops counts
//! diff.   difference of the class medians, of all measurements
//! ```
#![allow(clippy::unwrap_used)]

use std::{fmt, hint::black_box, process::ExitCode, time::Instant};

use rand::{CryptoRng, RngCore};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use riskveil_crypto::{
    Element, SecretBytes, SecretScalar,
    digest::{Digest32, sha256},
    escrow::{AuditKeyPair, escrow_batch},
    evaluation::{EvaluationContext, blind_evaluate},
    kernel,
    oprf::OprfSecretKey,
    pedersen::Opening,
};

/// Below this |t| nothing is seen; dudect's bound.
const SUSPECT: f64 = 4.5;
/// Above this |t| chance is no explanation.
const CERTAIN: f64 = 10.0;
/// Percentiles above which measurements are left out; the last leaves none out.
const CROPS: [f64; 13] = [5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 100.0];
/// What the slower class of a control does more.
const PLANTED: f64 = 0.002;
/// Inputs that are prepared, then measured, at a time.
const ROUND: usize = 32;
/// Fewest measurements of each class for a mean.
const FEWEST: f64 = 30.0;
const DEFAULT_MEASUREMENTS: usize = 15_000;

/// A secret scalar's encoding.
type Encoding = [u8; 32];

/// 2: the digits of 2/2 are 0 but for one.
const TWO: Encoding = {
    let mut k = [0; 32];
    k[0] = 2;
    k
};
/// 2^252: the digits after the first, or after the first two of half of it, are 0.
const POWER: Encoding = {
    let mut k = [0; 32];
    k[31] = 0x10;
    k
};
/// 2^250 - 1: every digit but the last is 31 in windows of 5 bits, where most of those of 2 are -31.
const ONES: Encoding = {
    let mut half = [0xff; 32];
    half[31] = 0x03;
    half
};
/// Every digit of half of it is -8 in radix 16.
const EXTREME: Encoding = {
    let mut k = [0xee; 32];
    (k[0], k[31]) = (0xf0, 0x0e);
    k
};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(unknown) => {
            eprintln!("{unknown}: the options are --measurements N and --json");
            return ExitCode::from(2);
        }
    };
    let mut report = Report { options, rows: Vec::new() };
    report.head();
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let ordinary = random_scalar(&mut rng);
    evaluations::<8>(&mut report, &ordinary, &mut rng);
    evaluations::<64>(&mut report, &ordinary, &mut rng);
    commitments(&mut report, &ordinary, &mut rng);
    escrows(&mut report, &ordinary, &mut rng);
    audits(&mut report, &ordinary, &mut rng);
    proofs(&mut report, &ordinary, &mut rng);
    report.end()
}

/// `evaluate_batch`: hashing to the group, `k*P` with one k for all lanes, `Finalize`.
fn evaluations<const N: usize>(report: &mut Report, ordinary: &Encoding, rng: &mut ChaCha20Rng) {
    let inputs: [[u8; 40]; N] = std::array::from_fn(|_| random(rng));
    let run = |(key, inputs): &(OprfSecretKey, [[u8; 40]; N])| key.evaluate_batch(inputs).unwrap();
    let with_key = |k: &Encoding| (OprfSecretKey::from_bytes(&SecretBytes::from_bytes(*k)).unwrap(), inputs);
    let kind = &format!("evaluate_batch, {N} inputs");
    report.references(kind, rng, |rng| with_key(&random_scalar(rng)), run);
    for (what, fixed) in
        [("k = 2", TWO), ("k = 2^252", POWER), ("k/2 all digits -8", EXTREME), ("k ordinary", *ordinary)]
    {
        report.row(kind, what, rng, |class, rng| with_key(&class.pick(fixed, random_scalar(rng))), run);
    }
    let key = OprfSecretKey::from_bytes(&SecretBytes::from_bytes(*ordinary)).unwrap();
    report.row(
        kind,
        "inputs",
        rng,
        |class, rng| {
            let random: [[u8; 40]; N] = std::array::from_fn(|_| random(rng));
            (key.clone(), class.pick(inputs, random))
        },
        run,
    );
}

/// `commit_batch`: fixed bases by small and by full scalars.
fn commitments(report: &mut Report, ordinary: &Encoding, rng: &mut ChaCha20Rng) {
    const N: usize = 64;
    let run = |openings: &Vec<Opening>| Opening::commit_batch(openings);
    let open = |value, blinding: Encoding| Opening::new(value, SecretScalar::from_canonical_bytes(blinding).unwrap());
    let value = |rng: &mut ChaCha20Rng| u64::from(rng.next_u32());
    let kind = "commit_batch, 64 openings";
    let any = |rng: &mut ChaCha20Rng| (0..N).map(|_| open(value(rng), random_scalar(rng))).collect();
    report.references(kind, rng, any, run);
    for (what, fixed) in [("blindings 2", TWO), ("blindings ordinary", *ordinary)] {
        let make = |class: Class, rng: &mut ChaCha20Rng| {
            (0..N).map(|_| open(value(rng), class.pick(fixed, random_scalar(rng)))).collect()
        };
        report.row(kind, what, rng, make, run);
    }
    let make = |class: Class, rng: &mut ChaCha20Rng| {
        (0..N).map(|_| open(class.pick(0, value(rng)), random_scalar(rng))).collect()
    };
    report.row(kind, "values 0", rng, make, run);
}

/// `escrow_batch`: the fixed bases G and Y by the secrets s, and a sum.
fn escrows(report: &mut Report, ordinary: &Encoding, rng: &mut ChaCha20Rng) {
    const N: usize = 8;
    let y = AuditKeyPair::generate(rng).public();
    let inputs: [[u8; 40]; N] = std::array::from_fn(|_| random(rng));
    let inputs = inputs.each_ref().map(|input| Some(&input[..]));
    let run = |tape: &Vec<u8>| escrow_batch(&inputs, &y, &mut Tape { bytes: tape, at: 0 }).unwrap();
    // the 64 bytes that are reduced to each s/2
    let tape = |mut s: Box<dyn FnMut() -> Encoding + '_>| (0..N).flat_map(|_| [s(), [0; 32]].concat()).collect();
    let kind = "escrow_batch, 8 inputs";
    report.references(kind, rng, |rng| tape(Box::new(|| random_scalar(rng))), run);
    for (what, fixed) in [("s/2 = 2", TWO), ("s/2 = 2^250 - 1", ONES), ("s ordinary", *ordinary)] {
        let make = |class: Class, rng: &mut ChaCha20Rng| tape(Box::new(|| class.pick(fixed, random_scalar(rng))));
        report.row(kind, what, rng, make, run);
    }
}

/// `AuditKeyPair::agree`: `y*C1` with one y for all lanes, a difference, a comparison. No item is of the keys that are tried.
fn audits(report: &mut Report, ordinary: &Encoding, rng: &mut ChaCha20Rng) {
    const N: usize = 8;
    let inputs: [[u8; 40]; N] = std::array::from_fn(|_| random(rng));
    let inputs = inputs.each_ref().map(|input| Some(&input[..]));
    let (items, _) = escrow_batch(&inputs, &AuditKeyPair::generate(rng).public(), rng).unwrap();
    let run = |key: &AuditKeyPair| key.agree(&items, &inputs);
    let with_key = |y: &Encoding| AuditKeyPair::from_bytes(&SecretBytes::from_bytes(*y)).unwrap();
    let kind = "agree, 8 items";
    report.references(kind, rng, |rng| with_key(&random_scalar(rng)), run);
    for (what, fixed) in [("y = 2", TWO), ("y = 2^252", POWER), ("y ordinary", *ordinary)] {
        report.row(kind, what, rng, |class, rng| with_key(&class.pick(fixed, random_scalar(rng))), run);
    }
}

/// `blind_evaluate`: `k*C2`, and three multiples of one point by lanes of different scalars for the proof. The digest it is bound to
/// is another each time: one k and one digest would give the same weights, whose sums take variable time, again and again.
fn proofs(report: &mut Report, ordinary: &Encoding, rng: &mut ChaCha20Rng) {
    let c2: [Element; 8] = std::array::from_fn(|_| Element::from_uniform_bytes(&random(rng)).unwrap());
    let run = |(key, k, digest, tape): &(OprfSecretKey, Element, Digest32, [u8; 256])| {
        let ctx =
            EvaluationContext { chain_id: digest, publisher: b"BANK-01", period: 1, k, core: digest, envelope: digest };
        blind_evaluate(key, &ctx, &c2, &mut Tape { bytes: tape, at: 0 }).unwrap()
    };
    let with_key = |k: &Encoding, rng: &mut ChaCha20Rng| {
        let key = OprfSecretKey::from_bytes(&SecretBytes::from_bytes(*k)).unwrap();
        let k = key.public_key();
        (key, k, sha256(&random::<32>(rng)), random(rng))
    };
    let kind = "blind_evaluate, 8 items";
    report.references(kind, rng, |rng| with_key(&random_scalar(rng), rng), run);
    for (what, fixed) in [("k = 2", TWO), ("k ordinary", *ordinary)] {
        let make = |class: Class, rng: &mut ChaCha20Rng| with_key(&class.pick(fixed, random_scalar(rng)), rng);
        report.row(kind, what, rng, make, run);
    }
}

fn random_scalar(rng: &mut ChaCha20Rng) -> Encoding {
    SecretScalar::random(rng).to_secret_bytes().expose(|bytes| *bytes)
}

fn random<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A generator that gives prepared bytes, over and over.
struct Tape<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl RngCore for Tape<'_> {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        for byte in into {
            *byte = self.bytes[self.at % self.bytes.len()];
            self.at += 1;
        }
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(into);
        Ok(())
    }
}

impl CryptoRng for Tape<'_> {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Fixed,
    Random,
}

impl Class {
    /// Both values exist whatever the class.
    fn pick<T>(self, fixed: T, random: T) -> T {
        match black_box(self) {
            Class::Fixed => fixed,
            Class::Random => random,
        }
    }
}

/// Nanoseconds of one run and its class.
#[derive(Clone, Copy)]
struct Measurement {
    class: Class,
    ns: f64,
}

/// Steps of [`spin`] after the operation, by class.
#[derive(Clone, Copy)]
struct Extra {
    fixed: u32,
    random: u32,
}

fn measure<I, O>(
    measurements: usize,
    extra: Option<Extra>,
    rng: &mut ChaCha20Rng,
    make: impl Fn(Class, &mut ChaCha20Rng) -> I,
    run: impl Fn(&I) -> O,
) -> Vec<Measurement> {
    let mut taken = Vec::with_capacity(measurements + ROUND);
    let mut round = Vec::with_capacity(ROUND);
    // the first round warms caches, tables and predictors, and is not kept
    let mut warm = false;
    while taken.len() < measurements {
        for _ in 0..ROUND {
            let class = if rng.next_u32() & 1 == 0 { Class::Fixed } else { Class::Random };
            round.push((class, make(class, rng)));
        }
        for (class, input) in round.drain(..) {
            let steps = extra.map(|extra| class.pick(extra.fixed, extra.random));
            let started = Instant::now();
            let output = black_box(run(black_box(&input)));
            if let Some(steps) = steps {
                // reading the clock waits for what was begun: the steps do not overlap with the operation
                black_box(Instant::now());
                spin(steps);
            }
            let ns = started.elapsed().as_nanos() as f64;
            drop(output);
            if warm {
                taken.push(Measurement { class, ns });
            }
        }
        warm = true;
    }
    taken.truncate(measurements);
    taken
}

/// Steps that wait for each other.
#[inline(never)]
fn spin(steps: u32) {
    let mut x = 1u64;
    for _ in 0..steps {
        x = black_box(x.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

/// Nanoseconds of a step, the median of many tries.
fn step_ns() -> f64 {
    const STEPS: u32 = 1000;
    let tries = (0..1000).map(|_| {
        let started = Instant::now();
        spin(STEPS);
        Measurement { class: Class::Random, ns: started.elapsed().as_nanos() as f64 / f64::from(STEPS) }
    });
    percentile(&sorted(tries.collect::<Vec<_>>().iter()), 50.0)
}

/// Mean and variance of a sample.
#[derive(Clone, Copy, Default)]
struct Sample {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Sample {
    fn push(&mut self, value: f64) {
        self.n += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.n;
        self.m2 += delta * (value - self.mean);
    }

    fn squared_error(&self) -> f64 {
        self.m2 / (self.n - 1.0) / self.n
    }
}

/// What one crop shows.
#[derive(Clone, Copy)]
struct Tested {
    t: f64,
    crop: f64,
}

/// The crop with the largest |t|.
fn test(measurements: &[Measurement]) -> Tested {
    let sorted = sorted(measurements.iter());
    let mut worst = Tested { t: 0.0, crop: 100.0 };
    for crop in CROPS {
        let most = percentile(&sorted, crop);
        let (mut fixed, mut random) = (Sample::default(), Sample::default());
        for measurement in measurements.iter().filter(|measurement| measurement.ns <= most) {
            match measurement.class {
                Class::Fixed => fixed.push(measurement.ns),
                Class::Random => random.push(measurement.ns),
            }
        }
        if fixed.n < FEWEST || random.n < FEWEST {
            continue;
        }
        let t = (fixed.mean - random.mean) / (fixed.squared_error() + random.squared_error()).sqrt();
        if t.abs() > worst.t.abs() {
            worst = Tested { t, crop };
        }
    }
    worst
}

fn sorted<'a>(measurements: impl Iterator<Item = &'a Measurement>) -> Vec<f64> {
    let mut sorted: Vec<f64> = measurements.map(|measurement| measurement.ns).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(measurements: &[Measurement], class: Class) -> f64 {
    percentile(&sorted(measurements.iter().filter(|measurement| measurement.class == class)), 50.0)
}

fn percentile(sorted: &[f64], percent: f64) -> f64 {
    sorted[((sorted.len() as f64 * percent / 100.0) as usize).min(sorted.len() - 1)]
}

struct Options {
    measurements: usize,
    json: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { measurements: DEFAULT_MEASUREMENTS, json: false };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = true,
                "--measurements" => {
                    let given = arguments.next().unwrap_or_default();
                    let parsed = given.parse().ok().filter(|measurements| *measurements >= 1000);
                    options.measurements = parsed.ok_or(format!("--measurements {given}, at least 1000"))?;
                }
                _ => return Err(argument),
            }
        }
        Ok(options)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Fixed secrets against random ones.
    Operation,
    /// Random ones against random ones, one class slowed down.
    Control,
    /// Random ones against random ones.
    Null,
}

struct Row {
    kind: String,
    what: String,
    role: Role,
    measurements: usize,
    median_ns: f64,
    /// Median of the fixed class less that of the random one.
    difference_ns: f64,
    tested: Tested,
}

impl Row {
    fn verdict(&self) -> &'static str {
        let t = self.tested.t.abs();
        match self.role {
            Role::Control if t >= SUSPECT => "found, as it must be",
            Role::Control => "NOT FOUND: too noisy to tell",
            _ if t < SUSPECT => "no difference seen",
            _ if t <= CERTAIN => "perhaps: measure more",
            _ => "DIFFERENCE",
        }
    }

    fn fails(&self) -> bool {
        let t = self.tested.t.abs();
        if self.role == Role::Control { t < SUSPECT } else { t > CERTAIN }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tested { t, crop } = self.tested;
        write!(
            f,
            "{:<26} {:<22} {:>8} {:>9.2} {:>7.2} {:>4}% {:>9.1} {:>7.3}%  {}",
            self.kind,
            self.what,
            self.measurements,
            self.median_ns / 1000.0,
            t.abs(),
            crop,
            self.difference_ns,
            100.0 * self.difference_ns / self.median_ns,
            self.verdict()
        )
    }
}

struct Report {
    options: Options,
    rows: Vec<Row>,
}

impl Report {
    fn head(&self) {
        if !self.options.json {
            println!("kernel: {}", kernel::chosen().as_str());
            println!(
                "{:<26} {:<22} {:>8} {:>9} {:>7} {:>5} {:>9} {:>8}  verdict",
                "operation", "fixed class", "measured", "median us", "max |t|", "crop", "diff. ns", "of it"
            );
        }
    }

    /// An operation by fixed secrets against random ones.
    fn row<I, O>(
        &mut self,
        kind: &str,
        what: &str,
        rng: &mut ChaCha20Rng,
        make: impl Fn(Class, &mut ChaCha20Rng) -> I,
        run: impl Fn(&I) -> O,
    ) {
        let taken = measure(self.options.measurements, None, rng, make, run);
        self.add(kind, what, Role::Operation, &taken);
    }

    /// The null and the control of a kind: random secrets in both classes.
    fn references<I, O>(
        &mut self,
        kind: &str,
        rng: &mut ChaCha20Rng,
        make: impl Fn(&mut ChaCha20Rng) -> I,
        run: impl Fn(&I) -> O,
    ) {
        let make = |_: Class, rng: &mut ChaCha20Rng| make(rng);
        let null = measure(self.options.measurements, None, rng, make, &run);
        self.add(kind, "null: none", Role::Null, &null);
        let median = percentile(&sorted(null.iter()), 50.0);
        let more = (PLANTED * median / step_ns()).ceil() as u32;
        let control = measure(self.options.measurements, Some(Extra { fixed: 8 + more, random: 8 }), rng, make, run);
        self.add(kind, &format!("CONTROL: {:.1}% more work", PLANTED * 100.0), Role::Control, &control);
    }

    fn add(&mut self, kind: &str, what: &str, role: Role, taken: &[Measurement]) {
        let row = Row {
            kind: kind.to_owned(),
            what: what.to_owned(),
            role,
            measurements: taken.len(),
            median_ns: percentile(&sorted(taken.iter()), 50.0),
            difference_ns: median(taken, Class::Fixed) - median(taken, Class::Random),
            tested: test(taken),
        };
        if !self.options.json {
            println!("{row}");
        }
        self.rows.push(row);
    }

    fn end(self) -> ExitCode {
        let failed = self.rows.iter().filter(|row| row.fails()).count();
        if self.options.json {
            let rows: Vec<String> = self.rows.iter().map(json).collect();
            println!(
                "{{\"kernel\":\"{}\",\"failed\":{failed},\"rows\":[{}]}}",
                kernel::chosen().as_str(),
                rows.join(",")
            );
        } else {
            println!("{failed} of {} rows fail", self.rows.len());
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Names here hold nothing that JSON escapes.
fn json(row: &Row) -> String {
    let role = match row.role {
        Role::Operation => "operation",
        Role::Control => "control",
        Role::Null => "null",
    };
    let Tested { t, crop } = row.tested;
    format!(
        "{{\"operation\":\"{}\",\"fixed\":\"{}\",\"role\":\"{role}\",\"measurements\":{},\"median_ns\":{},\"t\":{t:.3},\
         \"crop_percentile\":{crop},\"difference_ns\":{},\"verdict\":\"{}\",\"fails\":{}}}",
        row.kind,
        row.what,
        row.measurements,
        row.median_ns,
        row.difference_ns,
        row.verdict(),
        row.fails()
    )
}
