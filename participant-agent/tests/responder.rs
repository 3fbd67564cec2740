//! A responder over the wire: what it refuses, that a refusal is as long as an answer, and that a restart forgets nothing.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

mod agents;

use std::sync::Arc;
use std::time::Duration;

use agents::{Agent, Consortium, LENDER, PUBLISHER, REGULATOR, VALIDATOR, now_s};
use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::peers::client::{PeerClient, PeerError};
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::walks::ask::{EVALUATE_PATH, EVALUATE_TYPE};
use rand::rngs::OsRng;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::{Digest32, Element};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::session::{Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier};

const TIMEOUT: Duration = Duration::from_secs(5);

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// One member's side of the peer channel.
struct Caller {
    keystore: Keystore,
    client: PeerClient,
}

impl Caller {
    fn new(consortium: &Consortium, name: &str) -> Self {
        let keystore = Keystore::open(&consortium.dir(name), &Unlock::KeyFile).unwrap();
        let identity = TlsIdentity::from_seed(&keystore.member().tls_seed).unwrap();
        let directory = Directory::new(consortium.genesis.members.iter().cloned());
        Self { client: PeerClient::new(&identity, &directory).unwrap(), keystore }
    }

    async fn post(&self, bytes: Vec<u8>) -> Result<Vec<u8>, PeerError> {
        let answer = self.client.post(&id("INST-01"), EVALUATE_PATH, EVALUATE_TYPE, bytes, TIMEOUT).await;
        answer.map(|bytes| bytes.to_vec())
    }

    /// The status of the answer to a request, and the answer's length.
    async fn ask(&self, request: &EvaluateRequest) -> (Option<RefusalReason>, usize) {
        let bytes = self.post(request.encode()).await.unwrap();
        let response = EvaluateResponse::decode(&bytes, request.core.shape).unwrap();
        assert_eq!(response.envelope_digest, request.envelope.digest());
        (response.refusal(), bytes.len())
    }
}

/// A request of the lender as it would send it, changed before it is signed.
struct Asking<'a> {
    consortium: &'a Consortium,
    lender: &'a Caller,
    k: Element,
    issued_at_s: u64,
    period: Period,
    purpose: Purpose,
}

impl Asking<'_> {
    fn request(&self) -> EvaluateRequest {
        let (genesis, lender) = (&self.consortium.genesis, id("LENDER-01"));
        let parameters = QueryParameters {
            chain_id: &genesis.chain_id(),
            lender: &lender,
            period: self.period,
            audit_key_id: AuditKeyId(0),
            y: &genesis.audit_key.y,
            seal_key: &genesis.audit_key.seal_key,
            ref_height: Height(0),
            ref_header_hash: Digest32::ZERO,
            purpose: self.purpose,
            now_s: self.issued_at_s,
            ttl_s: genesis.policy.request_ttl_s,
        };
        let identifier = Identifier::parse(IdType::Mobile, "13812345678", Day::MAX).unwrap();
        let subject = (Subject::new(vec![identifier]).unwrap(), Consent::new(Digest32::ZERO, &mut OsRng));
        let prepared = Session::start(&parameters, Shape::Check, &[subject], &mut OsRng).unwrap();
        let to = Addressee { publisher: &id("INST-01"), k: &self.k };
        prepared.address(&[to], &self.lender.keystore.member().identity, &mut OsRng).requests.remove(0)
    }

    fn changed(&self, change: impl FnOnce(&mut Self)) -> EvaluateRequest {
        let mut asking = Asking { ..*self };
        change(&mut asking);
        asking.request()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_signed_as_long_as_an_answer_and_survives_a_restart() {
    let consortium = Consortium::new(
        &[("INST-01", VALIDATOR), ("INST-02", PUBLISHER), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)],
        |policy| policy.purposes = vec![Purpose::PRE_LOAN_APPROVAL],
    );
    let mut one: Agent = consortium.start("INST-01");
    one.until("INST-01", |status| status["fresh"] == true && status["height"].as_u64() > Some(0)).await;
    one.publish("id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n").await;
    let (lender, regulator) = (Caller::new(&consortium, "LENDER-01"), Caller::new(&consortium, "REGULATOR-01"));
    let secret = Keystore::open(&consortium.dir("INST-01"), &Unlock::KeyFile).unwrap().period_key(Period(0), 0);
    let k = secret.unwrap().unwrap().public_key();
    let asking = Asking {
        consortium: &consortium,
        lender: &lender,
        k,
        issued_at_s: now_s(),
        period: Period(0),
        purpose: Purpose::PRE_LOAN_APPROVAL,
    };

    let good = asking.request();
    let (refusal, length) = lender.ask(&good).await;
    assert_eq!(refusal, None);
    assert!(good.encode().len() < 1536 && length < 1536, "{} out, {length} back", good.encode().len());

    let mut forged = asking.request();
    forged.proofs = asking.request().proofs;
    let mut tampered = asking.request();
    tampered.seal[0] ^= 1;
    let other = OprfSecretKey::generate(&mut OsRng).public_key();
    let refused = [
        (good.clone(), RefusalReason::Replayed),
        (forged, RefusalReason::SignatureInvalid),
        (tampered, RefusalReason::Malformed),
        (asking.changed(|a| a.issued_at_s -= 3600), RefusalReason::BeforeRestart),
        (asking.changed(|a| a.issued_at_s += 60), RefusalReason::ClockSkew),
        (asking.changed(|a| a.period = Period(1)), RefusalReason::WrongPeriod),
        (asking.changed(|a| a.k = other), RefusalReason::WrongKey),
        (asking.changed(|a| a.purpose = Purpose::ALL[4]), RefusalReason::PurposeNotAllowed),
    ];
    for (request, reason) in &refused {
        assert_eq!(lender.ask(request).await, (Some(*reason), length), "{reason}");
    }
    // the regulator holds a valid request of the lender and sends it as its own
    assert_eq!(regulator.ask(&asking.request()).await, (Some(RefusalReason::NotALender), length));
    // what is no request at all has nothing that an answer could be signed to
    assert_eq!(lender.post(vec![7; 100]).await, Err(PeerError::Status(400)));
    // the answer may come while the body is still being written, and the connection is closed then
    let too_long = lender.post(vec![7; 10 << 20]).await;
    assert!(matches!(too_long, Err(PeerError::Status(413) | PeerError::Closed)), "{too_long:?}");

    // a restart: what was answered before is refused, by its time or by its nonce
    let early = asking.changed(|a| a.issued_at_s = now_s() + 8);
    assert_eq!(lender.ask(&early).await.0, None);
    one.stop().await.unwrap();
    let mut one = consortium.start("INST-01");
    one.until("INST-01 again", |status| status["fresh"] == true).await;
    let (refusal, _) = lender.ask(&good).await;
    assert!(matches!(refusal, Some(RefusalReason::BeforeRestart | RefusalReason::Replayed)), "{refusal:?}");
    assert_eq!(lender.ask(&early).await.0, Some(RefusalReason::Replayed), "its nonce comes from the receipts journal");
    let fresh = asking.changed(|a| a.issued_at_s = now_s());
    assert_eq!(lender.ask(&fresh).await, (None, length));
    one.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_are_all_answered() {
    let consortium =
        Consortium::new(&[("INST-01", VALIDATOR), ("LENDER-01", LENDER), ("REGULATOR-01", REGULATOR)], |_| {});
    let mut one = consortium.start("INST-01");
    one.until("INST-01", |status| status["fresh"] == true && status["height"].as_u64() > Some(0)).await;
    one.publish("id_type,id_number,category,severity,overdue_days,amount_cents,currency,event_date\n").await;
    let lender = Arc::new(Caller::new(&consortium, "LENDER-01"));
    let secret = Keystore::open(&consortium.dir("INST-01"), &Unlock::KeyFile).unwrap().period_key(Period(0), 0);
    let asking = Asking {
        consortium: &consortium,
        lender: &lender,
        k: secret.unwrap().unwrap().public_key(),
        issued_at_s: now_s(),
        period: Period(0),
        purpose: Purpose::PRE_LOAN_APPROVAL,
    };
    let requests: Vec<EvaluateRequest> = (0..200).map(|_| asking.request()).collect();
    let answers = futures::future::join_all(requests.iter().map(|request| lender.ask(request))).await;
    assert!(answers.iter().all(|(refusal, _)| refusal.is_none()));
    one.stop().await.unwrap();
}
