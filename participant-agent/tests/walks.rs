//! Both walks through whole agents on loopback: real engine, TLS, escrow, proofs, journals and files.

mod agents;

use agents::{Agent, Consortium, LENDER, PUBLISHER, REGULATOR, VALIDATOR, verdict};
use serde_json::json;

const HEADER: &str = "id_type,id_number,name,mobile,category,severity,overdue_days,amount_cents,currency,event_date,source_ref\n";
/// Held by INST-01: overdue and blacklist records of one person, one of a company, one of a mobile number.
const RECORDS: &str = "\
resident_id,513230196105128094,张三,13812345678,overdue,2,42,198000,CNY,2026-05-19,a1\n\
resident_id,513230196105128094,张三,13812345678,blacklist,5,0,0,CNY,2026-01-02,a2\n\
mobile,13912345678,李四,13912345678,fraud,3,0,0,CNY,2026-02-03,a3\n\
resident_id,513230196105128090,王五,,overdue,2,42,198000,CNY,2026-05-19,bad check digit\n";
const SUBJECT: &str = "513230196105128094";
const STRANGER: &str = "410803198802084193";

async fn four() -> (Consortium, Agent, Agent, Agent, Agent) {
    let consortium = Consortium::new(
        &[("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)],
        |_| {},
    );
    let mut agents = ["INST-01", "INST-02", "LENDER-01", "REGULATOR-01"].map(|name| consortium.start(name));
    for agent in &mut agents {
        agent.until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(0)).await;
    }
    let [one, two, lender, regulator] = agents;
    (consortium, one, two, lender, regulator)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_record_is_found_by_the_lender_and_a_stranger_is_clear() {
    let (_consortium, one, two, mut lender, regulator) = four().await;
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

    // the same file again changes nothing
    let again = one.publish(&format!("{HEADER}{RECORDS}")).await;
    assert_eq!((&again["accepted"], &again["duplicates"], &again["batches"]), (&json!(0), &json!(3), &json!(0)));

    for agent in [one, two, lender, regulator] {
        agent.stop().await.unwrap();
    }
}
