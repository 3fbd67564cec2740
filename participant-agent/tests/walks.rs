//! Both walks through whole agents on loopback: real engine, TLS, escrow, proofs, journals and files.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod agents;

use std::time::{Duration, Instant};

use agents::{
    AS_OF, Agent, Consortium, HEADER, LENDER, PATIENCE, PUBLISHER, REGULATOR, VALIDATOR, check_body, verdict,
};
use participant_agent::api::auth::Role;
use riskveil_exchange::member::Roles;
use riskveil_exchange::policy::Policy;
use serde_json::{Value, json};

/// Held by INST-01: overdue and blacklist records of one person, one of a company, one of a mobile number.
const RECORDS: &str = "\
resident_id,513230196105128094,张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n\
resident_id,513230196105128094,张三,13812345678,blacklist,5,0,0,CNY,2026-01-02,a2\n\
mobile,13912345678,李四,13912345678,fraud,3,0,0,CNY,2026-02-03,a3\n\
resident_id,513230196105128090,王五,,overdue,2,42,198000,CNY,2026-05-19,bad check digit\n";
const SUBJECT: &str = "513230196105128094";
const STRANGER: &str = "410803198802084193";

const FOUR: [(&str, Roles); 4] =
    [("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)];

async fn four_begun_at(
    change: impl FnOnce(&mut Policy),
    genesis_time_s: u64,
) -> (Consortium, Agent, Agent, Agent, Agent) {
    let consortium = Consortium::begun_at(&FOUR, change, genesis_time_s);
    let mut agents = ["INST-01", "INST-02", "LENDER-01", "REGULATOR-01"].map(|name| consortium.start(name));
    for agent in &mut agents {
        agent.until("a fresh replica", is_fresh).await;
    }
    let [one, two, lender, regulator] = agents;
    (consortium, one, two, lender, regulator)
}

async fn four_with(change: impl FnOnce(&mut Policy)) -> (Consortium, Agent, Agent, Agent, Agent) {
    four_begun_at(change, agents::now_s() - 5).await
}

async fn four() -> (Consortium, Agent, Agent, Agent, Agent) {
    four_with(|_| {}).await
}

fn is_fresh(status: &Value) -> bool {
    status["fresh"] == true && status["height"].as_u64() > Some(0)
}

/// Both institutions publish; returns when the lender's replica has it.
async fn publish_both(one: &Agent, two: &Agent, lender: &mut Agent) {
    one.publish(&format!("{HEADER}{RECORDS}")).await;
    let height = two.publish(HEADER).await["height"].as_u64();
    lender.until("the publications", |status| status["height"].as_u64() >= height).await;
}

async fn stop_all(agents: impl IntoIterator<Item = Agent>) {
    for agent in agents {
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_record_is_found_by_the_lender_and_a_stranger_is_clear() {
    let (consortium, one, two, mut lender, regulator) = four().await;
    let published = one.publish(&format!("{HEADER}{RECORDS}")).await;
    assert_eq!((&published["accepted"], &published["duplicates"]), (&json!(3), &json!(0)), "{published}");
    assert_eq!(published["rejected"], json!([{ "record_number": 4, "reason": "id_check_digit" }]));
    assert_eq!(published["sealed"], true);
    let height = published["height"].as_u64();
    lender.until("the publication", |status| status["height"].as_u64() >= height).await;

    // INST-02 has not published: it is not clear, it is unavailable
    let report = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&report, "INST-01"), "hit", "{report:#}");
    assert_eq!(verdict(&report, "INST-02"), "unavailable(no_snapshot)");
    assert_eq!(report["answers"][0]["facts"].as_array().unwrap().len(), 2);

    // an empty file seals an empty snapshot
    let empty = two.publish(HEADER).await;
    assert_eq!((&empty["accepted"], &empty["sealed"]), (&json!(0), &json!(true)));
    lender.until("the empty snapshot", |status| status["height"].as_u64() >= empty["height"].as_u64()).await;
    let report = lender.check(json!({ "resident_id": STRANGER, "mobile": "+86 139-1234-5678" })).await.unwrap();
    assert_eq!(verdict(&report, "INST-01"), "hit");
    assert_eq!(report["answers"][0]["facts"][0]["weak"], true);
    assert_eq!(report["warnings"], json!(["weak_hit", "suspicion_only"]));
    assert_eq!(verdict(&report, "INST-02"), "clear");
    let report = lender.check(json!({ "resident_id": STRANGER })).await.unwrap();
    assert_eq!(report["outcome"], "clear", "{report:#}");

    // an idempotency key names one body and one report, across a restart
    let body = serde_json::to_vec(&check_body(json!({ "resident_id": STRANGER }))).unwrap();
    let post = async |dir: &std::path::Path, body: &[u8]| {
        agents::post_with_key(dir, "/v1/checks", "k1", Role::Underwriter, body).await
    };
    let (status, report) = post(&lender.dir, &body).await;
    assert_eq!(status, 200);
    lender.stop().await.unwrap();
    let mut lender = consortium.start("LENDER-01");
    lender.until("the lender", is_fresh).await;
    assert_eq!(post(&lender.dir, &body).await, (200, report));
    let other = serde_json::to_vec(&check_body(json!({ "resident_id": SUBJECT }))).unwrap();
    assert_eq!(post(&lender.dir, &other).await.0, 409);

    // what machines watch
    let ready: Value = two.api(Role::Operator).get("/readyz").await.unwrap();
    assert_eq!(ready["ready"], true);
    let metrics = one.api(Role::Operator).get_bytes("/metrics").await.unwrap();
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for name in [
        "riskveil_evaluations_total{outcome=\"evaluated\"}",
        "riskveil_published_rows_total 64",
        "riskveil_finality_ms",
    ] {
        assert!(metrics.contains(name), "{name}\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n") && metrics.matches("# EOF").count() == 1);

    // the same file again changes nothing
    let again = one.publish(&format!("{HEADER}{RECORDS}")).await;
    assert_eq!((&again["accepted"], &again["duplicates"], &again["batches"]), (&json!(0), &json!(3), &json!(0)));

    stop_all([one, two, lender, regulator]).await;
}

fn applicant(reference: &str, id: &str, consent: Option<&str>) -> Value {
    json!({ "applicant_ref": reference, "id_type": "resident_id", "id_number": id, "mobile": "", "bank_card": "",
            "consent_digest": consent.map(|byte| byte.repeat(32)) })
}

async fn screened(lender: &Agent, body: &Value) -> (String, Value, Value) {
    let api = lender.api(Role::Underwriter);
    let started: Value = api.post("/v1/screenings", body).await.unwrap();
    let id = started["id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let progress: Value = api.get(&format!("/v1/screenings/{id}")).await.unwrap();
        if progress["state"] == "done" {
            return (id.clone(), progress, api.get(&format!("/v1/screenings/{id}/answers")).await.unwrap());
        }
        assert!(Instant::now() < deadline, "{progress}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screening_refuses_without_consent_names_who_did_not_answer_and_goes_on_later() {
    let (consortium, one, two, mut lender, regulator) = four().await;
    publish_both(&one, &two, &mut lender).await;
    two.stop().await.unwrap();
    let applicants =
        [applicant("A1", SUBJECT, Some("aa")), applicant("A2", STRANGER, Some("bb")), applicant("A3", STRANGER, None)];
    let body = json!({ "purpose": "pre_loan_approval", "as_of": AS_OF, "applicants": applicants });
    let (id, progress, answers) = screened(&lender, &body).await;
    assert_eq!((&progress["not_sent"], &progress["unanswered"]), (&json!(1), &json!(2)), "{progress}");
    let unanswered = answers["unanswered"].as_array().unwrap();
    let reason = |reference: &str, institution: &str| {
        let row = unanswered.iter().find(|r| r["applicant_ref"] == reference && r["institution"] == institution);
        row.map_or_else(String::new, |row| row["reason"].as_str().unwrap().to_owned())
    };
    assert_eq!(reason("A1", "INST-02"), "unavailable(not_reached)");
    assert_eq!(reason("A3", "INST-01"), "refused(no_consent)");
    assert_eq!(reason("A1", "INST-01"), "");
    // dense over those that answered: A1 and A2 at INST-01, 4 categories each
    assert_eq!(answers["answers"].as_array().unwrap().len(), 8);

    // the same inputs are the same screening: what was not answered is asked again, after restarts too
    lender.stop().await.unwrap();
    let mut two = consortium.start("INST-02");
    let mut lender = consortium.start("LENDER-01");
    two.until("INST-02", is_fresh).await;
    lender.until("the lender", is_fresh).await;
    let (again, progress, answers) = screened(&lender, &body).await;
    assert_eq!(again, id);
    assert_eq!(progress["finished"], 3, "{progress}");
    assert_eq!(answers["answers"].as_array().unwrap().len(), 16);
    assert_eq!(answers["unanswered"].as_array().unwrap().len(), 2, "only the one without consent: {answers}");
    let hits: Vec<&str> = answers["answers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["hit"] == 1)
        .map(|row| row["category"].as_str().unwrap())
        .collect();
    assert_eq!(hits, ["blacklist", "overdue"]);
    stop_all([one, two, lender, regulator]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_break_a_rule_are_refused_with_their_reason() {
    let (_consortium, one, two, mut lender, regulator) = four().await;
    publish_both(&one, &two, &mut lender).await;
    let underwriter = lender.api(Role::Underwriter);
    let refusal =
        async |path: &str, body: Value| underwriter.post::<_, Value>(path, &body).await.unwrap_err().to_string();
    let check = |change: fn(&mut Value)| {
        let mut body = check_body(json!({ "resident_id": SUBJECT }));
        change(&mut body);
        body
    };
    let text = refusal("/v1/checks", check(|body| body["consent_digest"] = "".into())).await;
    assert!(text.contains("no_consent"), "{text}");
    let text = refusal("/v1/checks", check(|body| body["purpose"] = "marketing".into())).await;
    assert!(text.contains("cannot be read") && !text.contains("marketing"), "{text}");
    let text =
        refusal("/v1/checks", check(|body| body["subject"] = json!({ "resident_id": "513230196105128090" }))).await;
    assert!(text.contains("no_identifier") && !text.contains("513230"), "{text}");
    let text = refusal("/v1/checks", check(|body| body["subject"]["passport"] = "E1".into())).await;
    assert!(text.contains("cannot be read"), "{text}");
    let text = refusal("/v1/checks", json!({ "padding": "x".repeat(17 << 10) })).await;
    assert!(text.contains("over the limit"), "{text}");
    let twice = json!({ "purpose": "pre_loan_approval", "applicants": [applicant("A", SUBJECT, None), applicant("A", SUBJECT, None)] });
    assert!(refusal("/v1/screenings", twice).await.contains("repeats an applicant_ref"));

    // roles and tokens
    let operator = lender.api(Role::Operator);
    let text = operator.post::<_, Value>("/v1/checks", &check(|_| {})).await.unwrap_err().to_string();
    assert!(text.contains("role may not"), "{text}");
    let text =
        lender.api(Role::Operator).post_bytes::<Value>("/v1/publications", "text/csv", HEADER).await.unwrap_err();
    assert!(text.to_string().contains("not_a_publisher"), "{text}");
    assert!(underwriter.get::<Value>("/v1/screenings/00").await.is_err());
    assert!(underwriter.get::<Value>("/v1/chain/headers/1000000").await.is_err());

    // what is no file of records publishes nothing
    let text = one.api(Role::Operator).post_bytes::<Value>("/v1/publications", "text/csv", "not,a,table\n").await;
    assert!(text.unwrap_err().to_string().contains("does not hold"));

    // an invalid identifier is left out and named, the others are asked
    let report = lender.check(json!({ "resident_id": SUBJECT, "mobile": "12812345678" })).await.unwrap();
    assert_eq!(report["not_asked"], json!([{ "id_type": "mobile", "reason": "id_length" }]));
    assert_eq!(verdict(&report, "INST-01"), "hit");
    stop_all([one, two, lender, regulator]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_across_a_restart_and_an_idempotency_key_too() {
    let (consortium, one, two, mut lender, regulator) =
        four_with(|policy| policy.quota_items_per_lender_per_day = 8).await;
    publish_both(&one, &two, &mut lender).await;
    let first = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!((first["outcome"].as_str(), &*verdict(&first, "INST-02")), (Some("hit"), "clear"));
    lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    let third = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&third, "INST-01"), "refused(quota_exceeded)");
    assert_eq!(third["outcome"], "incomplete", "no answer never reads as clear");

    one.stop().await.unwrap();
    let mut one = consortium.start("INST-01");
    one.until("INST-01", is_fresh).await;
    lender.until("the chain going on", is_fresh).await;
    let fourth = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!(verdict(&fourth, "INST-01"), "refused(quota_exceeded)");

    let publish = async |body: &str| {
        agents::post_with_key(&one.dir, "/v1/publications", "key-1", Role::Operator, body.as_bytes()).await
    };
    let (status, started) = publish(&format!("{HEADER}{RECORDS}")).await;
    assert_eq!(status, 202);
    assert_eq!(
        publish(&format!("{HEADER}{RECORDS}")).await,
        (202, started),
        "the same key and file is the same publication"
    );
    assert_eq!(publish(HEADER).await.0, 409, "another file under the same key");
    stop_all([one, two, lender, regulator]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_period_begins_with_sealed_snapshots_under_new_keys() {
    // period 0 ends 30 s from now and is frozen 15 s before
    let soon = |policy: &mut Policy| {
        policy.period_s = 3600;
        policy.freeze_s = 15;
    };
    let (_consortium, one, two, mut lender, regulator) = four_begun_at(soon, agents::now_s() - 3600 + 30).await;
    publish_both(&one, &two, &mut lender).await;
    let before = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!((&before["query"]["period"], &*verdict(&before, "INST-01")), (&json!(0), "hit"));
    lender.until("period 1", |status| status["period"] == 1).await;
    let after = lender.check(json!({ "resident_id": SUBJECT })).await.unwrap();
    assert_eq!((&after["query"]["period"], &*verdict(&after, "INST-01")), (&json!(1), "hit"), "{after:#}");
    assert_eq!(verdict(&after, "INST-02"), "clear");
    // publishing goes on, as deltas of the new period
    let more = "resident_id,410803198802084193,赵六,,overdue,1,3,1000,CNY,2026-06-01,b1\n";
    let status = one.publish(&format!("{HEADER}{more}")).await;
    lender.until("the delta", |chain| chain["height"].as_u64() >= status["height"].as_u64()).await;
    let found = lender.check(json!({ "resident_id": STRANGER })).await.unwrap();
    assert_eq!(verdict(&found, "INST-01"), "hit");
    stop_all([one, two, lender, regulator]).await;
}

/// A valid resident ID of a number, born 1990-01-01 in a district of Beijing.
fn resident_id(number: usize) -> String {
    let body = format!("1101011990{:02}{:02}{:03}", number / 27 % 12 + 1, number % 27 + 1, number / 324 + 1);
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{body}{}", &"10X98765432"[sum as usize % 11..][..1])
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_at_first_and_later_are_all_found_and_never_a_gap() {
    let (_consortium, one, two, mut lender, regulator) = four_with(|policy| policy.max_rows_per_tx = 64).await;
    let rows = |numbers: std::ops::Range<usize>, days: std::ops::Range<usize>| {
        let row = move |number: usize, days: usize| {
            format!("resident_id,{},,,overdue,2,{days},100,CNY,2026-01-02,\n", resident_id(number))
        };
        numbers.flat_map(move |number| days.clone().map(move |days| row(number, days))).collect::<String>()
    };
    let first = one.publish(&format!("{HEADER}{}", rows(0..100, 1..3))).await;
    assert_eq!((&first["accepted"], &first["batches"]), (&json!(200), &json!(4)), "{first}");
    let height = two.publish(HEADER).await["height"].as_u64();
    lender.until("the snapshots", |status| status["height"].as_u64() >= height).await;

    // deltas come in one by one; whatever the lender sees meanwhile is an answer
    let api = one.api(Role::Operator);
    let more = format!("{HEADER}{}", rows(50..150, 3..6));
    let started: Value = api.post_bytes("/v1/publications?as_of=2026-06-30", "text/csv", more).await.unwrap();
    let id = started["id"].as_str().unwrap();
    loop {
        let report = lender.check(json!({ "resident_id": resident_id(99) })).await.unwrap();
        assert_eq!(verdict(&report, "INST-01"), "hit", "{report:#}");
        let status: Value = api.get(&format!("/v1/publications/{id}")).await.unwrap();
        if status["state"] == "done" {
            assert_eq!((&status["accepted"], &status["batches"]), (&json!(300), &json!(5)), "{status}");
            let height = status["height"].as_u64();
            lender.until("the deltas", |chain| chain["height"].as_u64() >= height).await;
            break;
        }
    }
    for (number, records) in [(0, 2), (99, 5), (149, 3)] {
        let report = lender.check(json!({ "resident_id": resident_id(number) })).await.unwrap();
        assert_eq!(report["answers"][0]["facts"].as_array().unwrap().len(), records, "{report:#}");
    }
    let stranger = lender.check(json!({ "resident_id": resident_id(150) })).await.unwrap();
    assert_eq!(stranger["outcome"], "clear");
    stop_all([one, two, lender, regulator]).await;
}
