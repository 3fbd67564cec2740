use std::time::Duration;

use riskveil_chain::genesis::Genesis;
use tempfile::TempDir;

use super::*;
use crate::init::{GenesisPlan, MemberPlan, make_genesis, make_member};
use crate::keystore::Unlock;
use riskveil_exchange::member::Roles;
use riskveil_exchange::policy::Policy;

/// One validating member, its key store, and a ledger whose blocks the test makes.
struct Chain {
    dir: TempDir,
    keystore: Keystore,
    ledger: Ledger,
    member: MemberId,
}

impl Chain {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let regulator = Roles { regulator: true, ..Roles::default() };
        let institution = Roles { publisher: true, validator: true, ..Roles::default() };
        let files = [("INST-01", institution), ("REGULATOR-01", regulator)].map(|(id, roles)| {
            let plan = MemberPlan {
                id: MemberId::new(id).unwrap(),
                roles,
                host: "127.0.0.1".into(),
                listen: [127, 0, 0, 1].into(),
                base_port: 0,
                as_of: None,
                network: Some("test".into()),
            };
            make_member(&dir.path().join(id), &plan, &Unlock::KeyFile).unwrap()
        });
        let plan = GenesisPlan {
            network: "test".into(),
            genesis_time_s: 1_782_864_000,
            audit_key_days: 365,
            policy: Policy::default(),
        };
        let genesis: Genesis = make_genesis(plan, files.into()).unwrap();
        let ledger = Ledger::open(&dir.path().join("chain"), genesis).unwrap().ledger;
        let keystore = Keystore::open(&dir.path().join("INST-01"), &Unlock::KeyFile).unwrap();
        Self { dir, keystore, ledger, member: MemberId::new("INST-01").unwrap() }
    }

    fn outbox(&self) -> Outbox {
        Outbox::open(&self.dir.path().join("journal"), &self.keystore, self.member.clone(), self.ledger.clone())
            .unwrap()
    }

    /// Finalizes a block of what waits in the mempool; returns how many transactions it has.
    fn block(&self) -> usize {
        let parent = self.ledger.view().header.clone();
        let waiting = self.ledger.candidates(&parent, &[]).unwrap();
        let proposer = self.ledger.genesis().validators()[0];
        let block = self.ledger.propose(&parent, &[], parent.time_ms + 1000, proposer, waiting).unwrap();
        self.ledger.finalize(&block).unwrap();
        block.transactions.len()
    }

    /// Makes blocks until `count` transactions of ours are final.
    async fn finalize(&self, count: usize) {
        let mut done = 0;
        while done < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
            done += self.block();
        }
    }

    /// Runs an outbox in the background; the own mempool is the only validator.
    fn run(&self, outbox: &Outbox) -> watch::Sender<bool> {
        let directory = Directory::new(self.ledger.genesis().members.iter().cloned());
        let identity = crate::peers::tls::TlsIdentity::from_seed(&self.keystore.member().tls_seed).unwrap();
        let peers = Arc::new(PeerClient::new(&identity, &directory).unwrap());
        let (stop, stopping) = watch::channel(false);
        let outbox = outbox.clone();
        tokio::spawn(async move { outbox.run(peers, &directory, stopping).await.unwrap() });
        stop
    }
}

/// A kind the chain refuses, but only in a block: it uses up its sequence number.
fn body(byte: u8) -> TxBody {
    TxBody::Withdraw(vec![byte])
}

fn on_their_way(outbox: &Outbox) -> Vec<Vec<u8>> {
    outbox.lock().iter().map(|draft| draft.submission.encode()).collect()
}

#[tokio::test]
async fn transactions_become_final_in_order_and_the_outbox_empties() {
    let chain = Chain::new();
    let outbox = chain.outbox();
    let _stop = chain.run(&outbox);
    let mut sequences = Vec::new();
    for byte in 0..3 {
        sequences.push(outbox.submit(body(byte), None).await.unwrap().sequence);
    }
    assert_eq!(sequences, [1, 2, 3]);
    chain.finalize(3).await;
    for sequence in sequences {
        assert_eq!(outbox.await_outcome(sequence).await.unwrap().1, ReceiptCode::KindReserved);
    }
    outbox.drained().await.unwrap();
}

#[tokio::test]
async fn after_a_crash_the_same_bytes_are_sent_and_numbers_go_on() {
    let chain = Chain::new();
    let outbox = chain.outbox();
    outbox.submit(body(1), None).await.unwrap();
    outbox.submit(body(2), None).await.unwrap();
    let before = on_their_way(&outbox);
    drop(outbox);
    let reopened = chain.outbox();
    assert_eq!(on_their_way(&reopened), before);
    assert_eq!(reopened.submit(body(3), None).await.unwrap().sequence, 3);
    let _stop = chain.run(&reopened);
    chain.finalize(3).await;
    assert_eq!(reopened.await_outcome(2).await.unwrap().1, ReceiptCode::KindReserved);
    reopened.drained().await.unwrap();
    drop(reopened);
    let last = chain.outbox();
    assert!(on_their_way(&last).is_empty());
    assert_eq!(last.submit(body(4), None).await.unwrap().sequence, 4);
}

#[tokio::test]
async fn a_transaction_that_expired_is_signed_anew_with_its_number_and_not_before() {
    let chain = Chain::new();
    let outbox = chain.outbox();
    let first = outbox.submit(body(1), None).await.unwrap();
    let before = on_their_way(&outbox);
    for _ in 0..EXPIRY_BLOCKS - 1 {
        chain.block();
    }
    outbox.settle().unwrap();
    assert_eq!(on_their_way(&outbox), before);
    chain.block();
    outbox.settle().unwrap();
    let resigned = outbox.lock().iter().next().unwrap().clone();
    assert_eq!(resigned.sequence, first.sequence);
    assert_ne!(resigned.id, first.id);
    drop(outbox);
    let reopened = chain.outbox();
    assert_eq!(on_their_way(&reopened), [resigned.submission.encode()]);
    let _stop = chain.run(&reopened);
    chain.finalize(1).await;
    assert_eq!(reopened.await_outcome(1).await.unwrap().1, ReceiptCode::KindReserved);
}

#[tokio::test]
async fn a_second_copy_of_the_agent_is_noticed() {
    let chain = Chain::new();
    let outbox = chain.outbox();
    let ours = outbox.submit(body(1), None).await.unwrap();
    let other = outbox.sign(ours.sequence, Height(0), body(9));
    chain.ledger.submit(Submission { transaction: other, payload: None }).unwrap();
    assert_eq!(chain.block(), 1);
    let before_settling = outbox.await_outcome(1).await;
    assert!(matches!(before_settling, Err(OutboxError::SequenceConflict { sequence: 1 })));
    outbox.settle().unwrap();
    let after = outbox.await_outcome(1).await;
    assert!(matches!(after, Err(OutboxError::SequenceConflict { sequence: 1 })));
    drop(outbox);
    assert!(matches!(chain.outbox().await_outcome(1).await, Err(OutboxError::SequenceConflict { .. })));
}
