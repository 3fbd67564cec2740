//! Does a responder take as long for a person it lists as for one it does not? Prints a verdict; asserts nothing.
//!
//! `cargo run --release -p riskveil-tests --bin timing [-- --n 20000 --wire 4000]`
//!
//! - **Compares**: a listed person and a stranger, in an order drawn at random, each request used once: the responder's
//!   rules and evaluation in memory, and `POST /peer/v1/evaluate` of a real agent over TLS
//! - **Statistic**: Welch's t over the times below the 90th and below the 50th percentile of both together (interruptions of
//!   the machine lie above), the larger of the two; |t| below 4.5 is "no difference shown" (dudect's threshold). Printed
//!   beside it: from how small a difference of the means on it would have been seen
//! - **Control**: the same with a difference planted in the listed person's time; the program must see it, or it says so
//! - **Source**: Reparaz, Balasch, Verbauwhede 2017, "Dude, is my code constant time?"

#![allow(clippy::unwrap_used, reason = "a program that measures stops where a step fails")]

use std::time::{Duration, Instant};

use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::walks::ask::{EVALUATE_PATH, EVALUATE_TYPE};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use riskveil_chain::genesis::Genesis;
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::seal::{SealPublicKey, SealSecretKey};
use riskveil_crypto::{Digest32, Element, SigningKey};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::responder::{CurrentAuditKey, OwnPeriodKey, Responder, ResponderContext, Standing, Tip};
use riskveil_exchange::query::session::{Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier};
use riskveil_tests::fixtures::{AS_OF, Fixture};
use riskveil_tests::processes::{Processes, call};

/// A person of INST-01's file in the sample, and one in nobody's.
const LISTED: &str = "340802199407205370";
const STRANGER: &str = "513230196105128094";
/// |t| from which a difference counts as shown.
const THRESHOLD: f64 = 4.5;
/// Percentiles below which times are compared.
const CROPS: [usize; 2] = [90, 50];
/// Requests prepared ahead of their measurement.
const AHEAD: usize = 500;

/// Two samples of times in nanoseconds: listed, stranger.
#[derive(Default)]
struct Samples([Vec<f64>; 2]);

impl Samples {
    fn add(&mut self, class: usize, took: Duration) {
        self.0[class].push(took.as_nanos() as f64);
    }

    /// Prints n, medians, t and the verdict; gives whether a difference was shown.
    fn report(&self, what: &str) -> bool {
        let mut all: Vec<f64> = self.0.concat();
        all.sort_by(f64::total_cmp);
        let mut shown_by = (0.0, f64::INFINITY);
        for percent in CROPS {
            let limit = all[all.len() * percent / 100];
            let kept = |class: &Vec<f64>| class.iter().copied().filter(|time| *time < limit).collect::<Vec<f64>>();
            let [listed, stranger] = [kept(&self.0[0]), kept(&self.0[1])];
            let (a, b) = (moments(&listed), moments(&stranger));
            let error = (a.1 / listed.len() as f64 + b.1 / stranger.len() as f64).sqrt();
            let t = (a.0 - b.0) / error;
            let visible = shown_by.1.min(THRESHOLD * error);
            shown_by = (if t.abs() > f64::abs(shown_by.0) { t } else { shown_by.0 }, visible);
        }
        let (t, visible) = shown_by;
        let shown = t.abs() >= THRESHOLD;
        let verdict = if shown { "a difference is shown" } else { "no difference is shown" };
        println!(
            "{what:<44} n {:>6} + {:<6} median {:>9.2} us | {:>9.2} us  t {t:>8.2}  {verdict} (visible from {:.2} us on)",
            self.0[0].len(),
            self.0[1].len(),
            median(&self.0[0]) / 1_000.0,
            median(&self.0[1]) / 1_000.0,
            visible / 1_000.0,
        );
        shown
    }
}

fn moments(sample: &[f64]) -> (f64, f64) {
    let n = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / n;
    (mean, sample.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Who asks whom, with what.
struct Asking {
    chain_id: Digest32,
    lender: MemberId,
    identity: SigningKey,
    publisher: MemberId,
    k: Element,
    y: Element,
    seal_key: SealPublicKey,
    rng: ChaCha20Rng,
}

impl Asking {
    fn request(&mut self, person: &str) -> EvaluateRequest {
        let params = QueryParameters {
            chain_id: &self.chain_id,
            lender: &self.lender,
            period: Period(0),
            audit_key_id: AuditKeyId(0),
            y: &self.y,
            seal_key: &self.seal_key,
            ref_height: Height(0),
            ref_header_hash: Digest32::ZERO,
            purpose: Purpose::PRE_LOAN_APPROVAL,
            now_s: now_s(),
            ttl_s: 30,
        };
        let person = Identifier::parse(IdType::ResidentId, person, Day::MAX).unwrap();
        let consent = Consent::new(Digest32::new([7; 32]), &mut self.rng);
        let subject = (Subject::new(vec![person]).unwrap(), consent);
        let prepared = Session::start(&params, Shape::Check, &[subject], &mut self.rng).unwrap();
        let to = [Addressee { publisher: &self.publisher, k: &self.k }];
        prepared.address(&to, &self.identity, &mut self.rng).requests.remove(0)
    }

    /// Requests about either, in an order drawn at random.
    fn ahead(&mut self, count: usize) -> Vec<(usize, Vec<u8>)> {
        (0..count)
            .map(|_| {
                let class = (self.rng.next_u32() & 1) as usize;
                (class, self.request([LISTED, STRANGER][class]).encode())
            })
            .collect()
    }
}

fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn spin(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// The responder's rules and evaluation in memory, from request bytes to response bytes.
fn in_memory(n: usize, planted: Duration) -> Samples {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (sk, identity) = (OprfSecretKey::generate(&mut rng), SigningKey::generate(&mut rng));
    let (audit, seal) = (AuditKeyPair::generate(&mut rng), SealSecretKey::generate(&mut rng));
    let lender_key = SigningKey::generate(&mut rng);
    let lender_identity = lender_key.verifying_key();
    let (policy, y, k) = (Policy::default(), audit.public(), sk.public_key());
    let mut asking = Asking {
        chain_id: Digest32::new([1; 32]),
        lender: MemberId::new("LENDER-01").unwrap(),
        identity: lender_key,
        publisher: MemberId::new("INST-01").unwrap(),
        k,
        y,
        seal_key: seal.public(),
        rng: ChaCha20Rng::seed_from_u64(2),
    };
    let (chain_id, publisher, lender) = (asking.chain_id, asking.publisher.clone(), asking.lender.clone());
    let genesis_time_s = now_s() - 1_000;
    let responder = Responder { chain_id: &chain_id, publisher: &publisher, genesis_time_s, policy: &policy };
    let mut samples = Samples::default();
    while samples.0[0].len() + samples.0[1].len() < n {
        let tip = Tip { height: Height(7), header_hash: Digest32::ZERO, time_s: now_s() };
        for (class, bytes) in asking.ahead(AHEAD) {
            let at = ResponderContext {
                now_s: now_s(),
                started_at_s: genesis_time_s,
                tip: Tip { time_s: now_s(), ..tip },
                lender_key: Some(&lender_identity),
                period_key: Some(OwnPeriodKey { k: &k, sealed: true, batch_count: 1 }),
                audit_key: Some(CurrentAuditKey { y: &y, bound: true }),
                quota_left: u64::MAX,
                lender_overdue: false,
            };
            let began = Instant::now();
            let request = EvaluateRequest::decode(&bytes).unwrap();
            let authentic = responder.authenticate(&request, &lender, &at).unwrap();
            let admitted = responder.judge(&authentic, &request, &at).unwrap();
            let standing = Standing { tip, last_batch_seq: 1, now_s: at.now_s };
            let response = responder.evaluate(&admitted, &request, &sk, &standing, &identity, &mut rng).unwrap();
            let bytes = response.encode();
            if class == 0 {
                spin(planted);
            }
            samples.add(class, began.elapsed());
            std::hint::black_box(bytes);
        }
    }
    samples
}

/// `POST /peer/v1/evaluate` of a real agent that published the sample's file, over its TLS channel.
fn over_the_wire(n: usize) -> [Samples; 2] {
    let network = Processes::new(1, "");
    let ids = ["INST-01", "REGULATOR-01"];
    let mut agents = ids.map(|id| network.start(id));
    for agent in &mut agents {
        agent.until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(0));
    }
    let file = Fixture::sample().dir().join("institutions/INST-01.csv").display().to_string();
    let dir = network.dir("INST-01");
    let (code, _, stderr) = call(["publish", &file, "--dir", &dir.display().to_string(), "--as-of", AS_OF]);
    assert_eq!(code, 0, "{stderr}");

    let genesis = Genesis::from_toml(&std::fs::read_to_string(dir.join("genesis.toml")).unwrap()).unwrap();
    let lender = Keystore::open(&network.dir("LENDER-01"), &Unlock::KeyFile).unwrap();
    let sk = Keystore::open(&dir, &Unlock::KeyFile).unwrap().period_key(Period(0), 0).unwrap().unwrap();
    let mut asking = Asking {
        chain_id: genesis.chain_id(),
        lender: MemberId::new("LENDER-01").unwrap(),
        identity: lender.member().identity.clone(),
        publisher: MemberId::new("INST-01").unwrap(),
        k: sk.public_key(),
        y: genesis.audit_key.y,
        seal_key: genesis.audit_key.seal_key,
        rng: ChaCha20Rng::seed_from_u64(3),
    };
    let tls = TlsIdentity::from_seed(&lender.member().tls_seed).unwrap();
    let client = PeerClient::new(&tls, &Directory::new(genesis.members.iter().cloned())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    [Duration::ZERO, Duration::from_micros(200)].map(|planted| {
        let mut samples = Samples::default();
        while samples.0[0].len() + samples.0[1].len() < n {
            for (class, bytes) in asking.ahead(AHEAD.min(200)) {
                let (took, answer) = runtime.block_on(async {
                    let began = Instant::now();
                    let timeout = Duration::from_secs(5);
                    let answer = client.post(&asking.publisher, EVALUATE_PATH, EVALUATE_TYPE, bytes, timeout).await;
                    if class == 0 {
                        spin(planted);
                    }
                    (began.elapsed(), answer.unwrap())
                });
                assert_eq!(EvaluateResponse::decode(&answer, Shape::Check).unwrap().status, 0);
                samples.add(class, took);
            }
        }
        samples
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, otherwise: usize| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(otherwise, |text| text.parse().unwrap())
    };
    let (n, wire) = (number("--n", 20_000), number("--wire", 4_000));
    println!("{:<44} {:<17} {:<31}", "", "listed + stranger", "listed | stranger");
    let mut sound = true;
    let mut shown = in_memory(n, Duration::ZERO).report("the responder in memory");
    sound &= in_memory(n, Duration::from_micros(10)).report("  control: 10 us planted");
    if wire > 0 {
        let [measured, control] = over_the_wire(wire);
        shown |= measured.report("POST /peer/v1/evaluate of an agent over TLS");
        sound &= control.report("  control: 200 us planted");
    }
    let verdict = match (shown, sound) {
        (false, true) => "hit and miss cannot be told apart by their time, and a planted difference can",
        (true, _) => "HIT AND MISS DIFFER IN TIME",
        (false, false) => "the planted difference was not seen: the machine is too noisy for a verdict",
    };
    println!("{verdict}");
    std::process::exit(i32::from(shown || !sound));
}
