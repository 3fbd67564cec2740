//! A consortium in one process: real nodes on loopback ports, each with its own directory and keys.
//!
//! Validators are `INST-01`, `INST-02`, ... (publishers too); `REGULATOR-01` follows as an observer.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // test helpers; each test file uses a part of them

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use riskveil_chain::genesis::{Genesis, GenesisAuditKey, genesis_audit_key_context};
use riskveil_chain::ledger::Ledger;
use riskveil_chain::node::{Node, NodeConfig, NodeError};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::tx::{
    AnnouncePeriodKey, AuditKeyBinding, LogAuditAccess, PayloadRef, PublishRows, SignedTransaction, Submission,
    Transaction, TxBody,
};
use riskveil_crypto::announce::bind_key;
use riskveil_crypto::digest::sha256;
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::label::{Row, padding_row};
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{Digest32, SecretBytes, SigningKey, merkle};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::key::key_binding_context;
use tempfile::TempDir;

/// The longest any wait of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The observer.
pub const REGULATOR: &str = "REGULATOR-01";

/// The keys of all members and their directories.
pub struct Consortium {
    pub genesis: Genesis,
    pub root: TempDir,
    identities: BTreeMap<MemberId, SigningKey>,
    engine_seeds: BTreeMap<MemberId, [u8; 32]>,
    rng: ChaCha20Rng,
}

/// The name of validator `number`, from 1.
pub fn validator(number: usize) -> MemberId {
    MemberId::new(format!("INST-{number:02}")).unwrap()
}

pub fn regulator() -> MemberId {
    MemberId::new(REGULATOR).unwrap()
}

impl Consortium {
    /// A consortium of `validators` and the regulator under a policy with fast blocks, changed by `change`.
    pub fn new(validators: usize, change: impl FnOnce(&mut Policy)) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let names = (1..=validators).map(validator).chain([regulator()]);
        let mut ports = free_ports(validators + 1).into_iter();
        let (mut members, mut identities, mut engine_seeds) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for id in names {
            let (identity, engine) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
            let observes = id.as_str() == REGULATOR;
            members.push(Member {
                id: id.clone(),
                roles: Roles { lender: false, publisher: !observes, validator: !observes, regulator: observes },
                identity_key: identity.verifying_key(),
                tls_key: SigningKey::generate(&mut rng).verifying_key(),
                engine_key: engine.verifying_key(),
                peer_address: "127.0.0.1:9".into(),
                engine_address: ports.next().unwrap().to_string(),
            });
            engine_seeds.insert(id.clone(), engine.seed().expose(|seed| *seed));
            identities.insert(id, identity);
        }
        let mut policy = Policy { commit_delay_ms: 50, empty_block_ms: 400, ..Policy::default() };
        change(&mut policy);
        let genesis = genesis(policy, members, &mut rng);
        genesis.check().unwrap();
        Self { genesis, root: tempfile::tempdir().unwrap(), identities, engine_seeds, rng }
    }

    /// Where a member's ledger lives.
    pub fn ledger_dir(&self, member: &MemberId) -> PathBuf {
        self.root.path().join(member.as_str()).join("ledger")
    }

    /// Where a member's engine lives.
    pub fn engine_dir(&self, member: &MemberId) -> PathBuf {
        self.root.path().join(member.as_str()).join("engine")
    }

    /// How a member's node is started.
    pub fn config(&self, member: &MemberId) -> NodeConfig {
        let listen = self.genesis.member(member).unwrap().engine_address.parse::<SocketAddr>().unwrap();
        NodeConfig {
            dir: self.engine_dir(member),
            engine_key: SecretBytes::from_bytes(self.engine_seeds[member]),
            member: member.clone(),
            listen,
            worker_threads: 1,
        }
    }

    pub fn try_start(&self, member: &MemberId) -> Result<Node, NodeError> {
        let opened = Ledger::open(&self.ledger_dir(member), self.genesis.clone()).unwrap();
        Node::start(self.config(member), opened)
    }

    pub fn start(&self, member: &MemberId) -> Node {
        self.try_start(member).unwrap()
    }

    /// Starts all validators.
    pub fn start_validators(&self) -> Vec<Node> {
        let count = self.genesis.validators().len();
        (1..=count).map(|number| self.start(&validator(number))).collect()
    }

    /// A transaction of `sender` that any height up to 5000 may carry.
    pub fn sign(&self, sender: &MemberId, sequence: u64, body: TxBody) -> SignedTransaction {
        let chain_id = self.genesis.chain_id();
        let transaction = Transaction::new(chain_id, sender.clone(), sequence, Height(5000), body);
        SignedTransaction::sign(transaction, &self.identities[sender])
    }

    /// The regulator's smallest transaction.
    pub fn audit_access(&self, sequence: u64) -> Submission {
        let scope_commit = sha256(&sequence.to_be_bytes());
        let body = LogAuditAccess { scope_commit, action: 1, from: Window(0), to: Window(0) };
        let transaction = self.sign(&regulator(), sequence, TxBody::LogAuditAccess(body));
        Submission { transaction, payload: None }
    }

    /// The period key (sequence 1) and one batch of `count` padding rows (sequence 2) of a publisher; the rows too.
    pub fn publication(&mut self, publisher: &MemberId, count: u32) -> (Vec<Submission>, Vec<Row>) {
        let (chain_id, period, audit_key_id) = (self.genesis.chain_id(), Period(0), AuditKeyId(0));
        let secret = OprfSecretKey::generate(&mut self.rng);
        let context = key_binding_context(&chain_id, publisher, period, 0, audit_key_id);
        let bound = bind_key(&secret, &self.genesis.audit_key.y, &context, &mut self.rng);
        let binding = AuditKeyBinding { audit_key_id, k_y: bound.k_y, proof: bound.proof };
        let key = AnnouncePeriodKey { period, key_serial: 0, k: bound.k, bindings: vec![binding] };
        let key = self.sign(publisher, 1, TxBody::AnnouncePeriodKey(key));

        let seed = SecretBytes::random(&mut self.rng);
        let mut rows: Vec<Row> = (0..count).map(|index| padding_row(&seed, index)).collect();
        rows.sort_by_key(|row| row.tag);
        let bytes: Vec<[u8; 92]> = rows.iter().map(Row::to_bytes).collect();
        let payload = bytes.concat();
        let len = u32::try_from(payload.len()).unwrap();
        let reference = PayloadRef { digest: sha256(&payload), len, count, root: merkle::root(&bytes) };
        let batch = PublishRows { period, key_serial: 0, batch_seq: 0, rows: reference };
        let batch = self.sign(publisher, 2, TxBody::PublishRows(batch));
        let submissions = vec![
            Submission { transaction: key, payload: None },
            Submission { transaction: batch, payload: Some(payload) },
        ];
        (submissions, rows)
    }
}

fn genesis(policy: Policy, members: Vec<Member>, rng: &mut ChaCha20Rng) -> Genesis {
    let network = "test";
    let context = genesis_audit_key_context(network, &regulator());
    let (audit, seal) = (AuditKeyPair::generate(rng), SealSecretKey::generate(rng));
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let genesis_time_s = now_s - 3 * policy.log_window_s;
    let audit_key = GenesisAuditKey {
        regulator: regulator(),
        y: audit.public(),
        y_possession: audit.prove_possession(&context, rng),
        seal_key: seal.public(),
        seal_possession: seal.prove_possession(&context, rng),
        until_s: genesis_time_s + 10 * 365 * 86_400,
    };
    Genesis {
        header: MessageHeader::new(Kind::Genesis),
        network: network.into(),
        genesis_time_s,
        currency: "CNY".into(),
        policy,
        audit_key,
        members,
    }
}

/// Loopback addresses with ports that nobody uses now.
fn free_ports(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// Sends a submission to every node, as an agent sends to all validators.
pub fn submit(nodes: &[Node], submission: &Submission) {
    for node in nodes {
        node.ledger().submit(submission.clone()).unwrap();
    }
}

/// Waits until the node has finalized this height.
pub async fn reach(node: &Node, height: u64) {
    let mut watch = node.ledger().watch();
    let reached = tokio::time::timeout(PATIENCE, watch.wait_for(|now| now.0 >= height)).await;
    let now = node.ledger().view().header.height;
    assert!(reached.is_ok(), "height {height} is not reached; the node is at {now}");
}

/// Waits until a sender's transaction is final, and returns where and with which code.
pub async fn outcome(node: &Node, sender: &MemberId, sequence: u64) -> (Height, ReceiptCode) {
    let mut watch = node.ledger().watch();
    let waiting = async {
        loop {
            watch.borrow_and_update();
            if let Some((_, height, code)) = node.ledger().outcome(sender, sequence).unwrap() {
                return (height, code);
            }
            watch.changed().await.unwrap();
        }
    };
    let found = tokio::time::timeout(PATIENCE, waiting).await;
    found.unwrap_or_else(|_| panic!("transaction {sequence} of {sender} is not final"))
}

pub fn tip(node: &Node) -> u64 {
    node.ledger().view().header.height.0
}

pub async fn digest_at(node: &Node, height: u64) -> Digest32 {
    node.header(Height(height)).await.unwrap_or_else(|| panic!("no header {height}")).digest()
}

/// Ends a node and waits until its directories are free.
pub async fn stop(node: Node) {
    node.stop();
    node.stopped().await.unwrap();
}

/// Removes a directory of a stopped node.
pub fn remove(dir: &std::path::Path) {
    fs::remove_dir_all(dir).unwrap();
}
