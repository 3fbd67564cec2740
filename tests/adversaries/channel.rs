//! A real lender over its real channel: responders that say nothing, and clients that nobody knows.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::walks::ask::{EVALUATE_PATH, EVALUATE_TYPE};
use riskveil_crypto::SecretBytes;
use riskveil_exchange::ids::MemberId;
use serde_json::json;

use crate::agents::{Agent, Consortium, LENDER, PUBLISHER, REGULATOR, VALIDATOR, verdict};
use crate::world::{PERSON, caught};

const HEADER: &str = "id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n";
const TIMEOUT: Duration = Duration::from_secs(5);

/// INST-01 and INST-02 have published; INST-02's agent is gone and an adversary listens at its address.
struct Stage {
    _consortium: Consortium,
    lender: Agent,
    one: Agent,
}

impl Stage {
    async fn new(adversary: fn(TcpStream)) -> Self {
        let members =
            [("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)];
        let consortium = Consortium::new(&members, |_| {});
        let [mut one, mut two, mut lender] = ["INST-01", "INST-02", "LENDER-01"].map(|id| consortium.start(id));
        for agent in [&mut one, &mut two, &mut lender] {
            agent.until("fresh", |status| status["fresh"] == true && status["height"].as_u64() > Some(0)).await;
        }
        one.publish(HEADER).await;
        two.publish(&format!("{HEADER}resident_id,{PERSON},overdue,3,45,123456,CNY,2026-01-10\n")).await;
        two.stop().await.unwrap();
        let two = &consortium.genesis.members[1];
        assert_eq!(two.id.as_str(), "INST-02");
        let address: SocketAddr = two.peer_address.parse().unwrap();
        let listener = TcpListener::bind(address).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || adversary(stream));
            }
        });
        Self { _consortium: consortium, lender, one }
    }

    /// What the lender's report says of INST-02, which lists the person.
    async fn told(self) -> String {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let report = loop {
            let report = self.lender.check(json!({"resident_id": PERSON})).await.unwrap();
            // the lender's replica may not have INST-02's seal yet
            let settled = verdict(&report, "INST-02") != "unavailable(no_snapshot)";
            if settled || std::time::Instant::now() > deadline {
                break report;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let told =
            format!("INST-02 {}, the report is {}", verdict(&report, "INST-02"), report["outcome"].as_str().unwrap());
        self.lender.stop().await.unwrap();
        self.one.stop().await.unwrap();
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_never_answers() {
    let stage = Stage::new(|mut stream| {
        let mut sink = [0; 4096];
        while let Ok(1..) = stream.read(&mut sink) {}
    });
    caught(stage.await.told().await, "INST-02 unavailable(timed_out), the report is incomplete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_hangs_up() {
    let stage = Stage::new(drop).await;
    caught(stage.told().await, "INST-02 unavailable(not_reached), the report is incomplete");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_member_connects() {
    let consortium =
        Consortium::new(&[("INST-01", VALIDATOR), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)], |_| {});
    let mut one = consortium.start("INST-01");
    one.until("fresh", |status| status["fresh"] == true).await;
    let directory = Directory::new(consortium.genesis.members.iter().cloned());
    let to = MemberId::new("INST-01").unwrap();
    let call = async |seed: &SecretBytes<32>| {
        let client = PeerClient::new(&TlsIdentity::from_seed(seed).unwrap(), &directory).unwrap();
        client.post(&to, EVALUATE_PATH, EVALUATE_TYPE, vec![7; 64], TIMEOUT).await.unwrap_err().to_string()
    };
    // a member is heard, and told that this is no request
    let member = Keystore::open(&consortium.dir("LENDER-01"), &Unlock::KeyFile).unwrap();
    assert_eq!(call(&member.member().tls_seed).await, "answered with status 400");
    let told = call(&SecretBytes::from_bytes([0x77; 32])).await;
    one.stop().await.unwrap();
    caught(format!("an unknown key: {told}"), "an unknown key: refused the handshake or has another key");
}
