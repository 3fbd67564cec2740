//! Screenings and checks between processes: TLS, journals, proofs, escrow, seals and logs on.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::time::Instant;

use riskveil_tests::processes::{Agent, call};
use serde_json::Value;

use crate::consortium::Consortium;
use crate::people;

/// Applicants of a hundred who have a record.
const HITS_PERCENT: u64 = 1;

/// Applicants of one screening: as many as a request may have.
const AT_ONCE: u64 = 250_000;

/// Applicants, one resident id each, against one responder; more than [`AT_ONCE`] are screened one file after the other.
pub(crate) fn screen(records: u64, applicants: u64) {
    let people = 0..records;
    let mut consortium = Consortium::new(std::slice::from_ref(&people));
    let folder = consortium.processes.folder("screening");
    let consent = folder.join("consent.txt");
    fs::write(&consent, "they agreed").unwrap();
    let hits = applicants * HITS_PERCENT / 100;
    let files: Vec<std::path::PathBuf> = (0..applicants)
        .step_by(usize::try_from(AT_ONCE).unwrap())
        .map(|first| {
            let file = folder.join(format!("applicants-{first}.csv"));
            let mut text = BufWriter::new(File::create(&file).unwrap());
            writeln!(text, "applicant_ref,id_type,id_number").unwrap();
            for number in first..(first + AT_ONCE).min(applicants) {
                // the first ones have a record, the others none
                let person = if number < hits { number * records / hits.max(1) } else { records + number };
                writeln!(text, "A-{number},resident_id,{}", people::resident_id(person)).unwrap();
            }
            text.into_inner().unwrap().sync_all().unwrap();
            file
        })
        .collect();

    let responder = &consortium.publishers[0];
    let before = (responder.cpu_s(), consortium.lender.cpu_s(), traffic(&consortium.lender));
    let began = Instant::now();
    let (mut found, mut agent_ms) = (0, 0.0);
    for file in &files {
        let paths =
            [file, &consortium.processes.dir("LENDER-01"), &consent, &folder].map(|path| path.display().to_string());
        let [file, lender, consent, out] = paths.each_ref().map(String::as_str);
        let options =
            ["--dir", lender, "--consent-batch", consent, "--purpose", "pre_loan_approval", "--as-of", "2026-06-30"];
        let (code, summary, stderr) = call(["screen", file].into_iter().chain(options).chain(["--out", out]));
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(summary["unanswered"].as_u64(), Some(0), "{summary}");
        found += summary["hits"].as_u64().unwrap_or(0);
        agent_ms += summary["elapsed_ms"].as_f64().unwrap_or(0.0);
    }
    let wall = began.elapsed().as_secs_f64();
    assert_eq!(found, hits);
    let after = (responder.cpu_s(), consortium.lender.cpu_s(), traffic(&consortium.lender));
    let (at_responder, at_lender) = (after.0 - before.0, after.1 - before.1);
    let [items, sent, received] = [0, 1, 2].map(|at| after.2[at] - before.2[at]);
    println!("screening of {applicants} applicants against {records} rows: {hits} hits, all answers as expected");
    println!(
        "  wall {wall:.2} s (agent: {:.2} s); CPU responder {at_responder:.2} s, lender {at_lender:.2} s, together {:.2} s: {:.1} us an applicant",
        agent_ms / 1e3,
        at_responder + at_lender,
        (at_responder + at_lender) * 1e6 / applicants as f64
    );
    println!(
        "  bytes: {:.1} out and {:.1} back an item on the wire, {:.1} an applicant in all; {items} items with padding",
        sent as f64 / items as f64,
        received as f64 / items as f64,
        (sent + received) as f64 / applicants as f64
    );
    println!("  peak memory: responder {} MB, lender {} MB", responder.peak_mb(), consortium.lender.peak_mb());
    // The logs of both sides go on chain after the window; their cost is the consortium's, not the screening's.
    let window = consortium.lender.until("a status", |_| true)["window"].as_u64().unwrap();
    let (settling, cpu) = (Instant::now(), (responder.cpu_s(), consortium.lender.cpu_s()));
    consortium.lender.until_within(std::time::Duration::from_secs(600), "the logs on chain", |status| {
        status["logged_through"].as_u64().is_some_and(|through| through > window)
    });
    println!(
        "  both logs on chain after {:.0} s more: CPU responder {:.2} s, lender {:.2} s",
        settling.elapsed().as_secs_f64(),
        consortium.publishers[0].cpu_s() - cpu.0,
        consortium.lender.cpu_s() - cpu.1
    );
}

/// `[items, bytes sent, bytes received]` of screening chunks so far.
fn traffic(lender: &Agent) -> [u64; 3] {
    let status = lender.get("/v1/chain/status").unwrap_or(Value::Null);
    ["screened_items", "screening_sent", "screening_received"]
        .map(|name| status["lender_traffic"][name].as_u64().unwrap_or(0))
}

/// Single checks, one after the other, each at every responder.
pub(crate) fn check(records: u64, responders: usize, checks: usize) {
    let people: Vec<_> = (0..responders as u64).map(|number| number * records..(number + 1) * records).collect();
    let consortium = Consortium::new(&people);
    let consent = riskveil_crypto::digest::sha256(b"they agreed").to_hex();
    let body = |number: usize| {
        // every second person has a record, at one responder
        let person = (number as u64 * 7_919) % (records * responders as u64) * (number as u64 % 2)
            + (records * responders as u64 + number as u64) * (1 - number as u64 % 2);
        let mobile = format!("138{number:08}");
        format!(
            r#"{{"purpose":"pre_loan_approval","as_of":"2026-06-30","consent_digest":"{consent}","subject":{{"resident_id":"{}","mobile":"{mobile}"}}}}"#,
            people::resident_id(person)
        )
    };
    let (mut hits, mut times) = (0, Vec::new());
    let mut cpu_before = None;
    let warm_up = checks / 10 + 2;
    for number in 0..warm_up + checks {
        if number == warm_up {
            cpu_before = Some(cpu(&consortium));
        }
        let text = body(number);
        let began = Instant::now();
        let report = consortium.lender.post("/v1/checks", "underwriter", &text).expect("an answer");
        if number >= warm_up {
            times.push(began.elapsed().as_secs_f64() * 1e3);
            hits += u64::from(report["outcome"] == "hit");
        }
        assert_ne!(report["outcome"], "incomplete", "{report}");
    }
    assert!(hits.abs_diff(checks as u64 / 2) <= 1, "{hits} hits");
    let (before, after) = (cpu_before.unwrap(), cpu(&consortium));
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let status = consortium.lender.get("/v1/chain/status").unwrap();
    println!(
        "{checks} checks of 4 items at {responders} responders with {records} rows each, one after the other: all right"
    );
    println!("  p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(50), at(95), at(99), at(100));
    println!(
        "  CPU a check: lender {:.2} ms, all responders together {:.2} ms",
        (after.0 - before.0) * 1e3 / checks as f64,
        (after.1 - before.1) * 1e3 / checks as f64
    );
    println!(
        "  bytes a responder: {} out, {} back",
        status["lender_traffic"]["sent_per_check"], status["lender_traffic"]["received_per_check"]
    );
}

/// CPU of the lender and of all publishers, s.
fn cpu(consortium: &Consortium) -> (f64, f64) {
    (consortium.lender.cpu_s(), consortium.publishers.iter().map(Agent::cpu_s).sum())
}
