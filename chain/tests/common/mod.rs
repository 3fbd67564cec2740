//! A small consortium and its ledger, driven block by block without the engine; time is an argument.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use riskveil_chain::block::{self, Block, Header};
use riskveil_chain::execute::{BlockContext, Execution, Inherited};
use riskveil_chain::genesis::{Genesis, GenesisAuditKey, announced_audit_key_context, genesis_audit_key_context};
use riskveil_chain::ledger::{Ledger, Opened};
use riskveil_chain::mempool::{Limits, Mempool};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::StateRead;
use riskveil_chain::tx::{
    AnnounceAuditKey, AnnouncePeriodKey, AuditKeyBinding, LogWindows, PayloadRef, PublishCommitments, PublishRows,
    SealSnapshot, SignedTransaction, Submission, Transaction, TxBody,
};
use riskveil_crypto::announce::bind_key;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::label::padding_row;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_crypto::seal::SealSecretKey;
use riskveil_crypto::{SecretBytes, SigningKey, merkle};
use riskveil_exchange::audit::LogPayload;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::policy::Policy;
use riskveil_exchange::publish::commitment::RecordCommitment;
use riskveil_exchange::publish::commitment_batch::payload_len;
use riskveil_exchange::publish::key::key_binding_context;
use riskveil_exchange::publish::snapshot_root;

pub const GENESIS_TIME_S: u64 = 1_800_000_000;
pub const PERIOD_S: u64 = 7 * 86_400;
pub const FREEZE_S: u64 = 600;
pub const WINDOW_S: u64 = 60;

pub fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn seeded_key(member: u8, use_: u8) -> SigningKey {
    let mut seed = [7; 32];
    (seed[0], seed[1]) = (member, use_);
    SigningKey::from_seed(SecretBytes::from_bytes(seed))
}

/// INST-01 and INST-02 publish, lend and validate; LENDER-01 lends; REGULATOR-01 audits.
pub struct Consortium {
    pub genesis: Genesis,
    pub identities: BTreeMap<MemberId, SigningKey>,
    pub engines: Vec<SigningKey>,
    pub audit_key: AuditKeyPair,
    pub seal_key: SealSecretKey,
}

impl Consortium {
    pub fn new() -> Self {
        Self::with_policy(Policy {
            period_s: PERIOD_S,
            freeze_s: FREEZE_S,
            log_window_s: WINDOW_S,
            term_blocks: 10,
            max_rows_per_tx: 256,
            max_block_bytes: 1 << 20,
            ..Policy::default()
        })
    }

    pub fn with_policy(policy: Policy) -> Self {
        let institution = Roles { lender: true, publisher: true, validator: true, regulator: false };
        let lender = Roles { lender: true, ..Roles::default() };
        let regulator = Roles { regulator: true, ..Roles::default() };
        let roles =
            [("INST-01", institution), ("INST-02", institution), ("LENDER-01", lender), ("REGULATOR-01", regulator)];
        let mut rng = rng(1);
        let (mut members, mut identities, mut engines) = (Vec::new(), BTreeMap::new(), Vec::new());
        for (n, (name, roles)) in (0u8..).zip(roles) {
            let [identity, tls, engine] = [0, 1, 2].map(|use_| seeded_key(n, use_));
            members.push(Member {
                id: id(name),
                roles,
                identity_key: identity.verifying_key(),
                tls_key: tls.verifying_key(),
                engine_key: engine.verifying_key(),
                peer_address: format!("127.0.0.1:{}", 17801 + 10 * u16::from(n)),
                engine_address: format!("127.0.0.1:{}", 17802 + 10 * u16::from(n)),
            });
            identities.insert(id(name), identity);
            if roles.validator {
                engines.push(engine);
            }
        }
        let audit_key = AuditKeyPair::generate(&mut rng);
        let seal_key = SealSecretKey::generate(&mut rng);
        let context = genesis_audit_key_context("test-net", &id("REGULATOR-01"));
        let genesis = Genesis {
            header: MessageHeader::new(Kind::Genesis),
            network: "test-net".to_owned(),
            genesis_time_s: GENESIS_TIME_S,
            currency: "CNY".to_owned(),
            policy,
            audit_key: GenesisAuditKey {
                regulator: id("REGULATOR-01"),
                y: audit_key.public(),
                y_possession: audit_key.prove_possession(&context, &mut rng),
                seal_key: seal_key.public(),
                seal_possession: seal_key.prove_possession(&context, &mut rng),
                until_s: GENESIS_TIME_S + 400 * 86_400,
            },
            members,
        };
        Self { genesis, identities, engines, audit_key, seal_key }
    }

    pub fn sign(&self, sender: &str, sequence: u64, expiry: u64, body: TxBody) -> SignedTransaction {
        let chain_id = self.genesis.chain_id();
        let transaction = Transaction::new(chain_id, id(sender), sequence, Height(expiry), body);
        SignedTransaction::sign(transaction, &self.identities[&id(sender)])
    }
}

/// A ledger with the blocks it finalized.
pub struct Chain {
    pub consortium: Consortium,
    pub ledger: Ledger,
    pub replay_from: Height,
    pub blocks: Vec<Block>,
    pub time_ms: u64,
    pub rng: ChaCha20Rng,
    _dir: Option<tempfile::TempDir>,
}

impl Chain {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut chain = Self::open(dir.path(), Consortium::new());
        chain._dir = Some(dir);
        chain
    }

    pub fn open(dir: &Path, consortium: Consortium) -> Self {
        let Opened { ledger, replay_from } = Ledger::open(dir, consortium.genesis.clone()).unwrap();
        let time_ms = ledger.view().header.time_ms;
        Self { consortium, ledger, replay_from, blocks: Vec::new(), time_ms, rng: rng(2), _dir: None }
    }

    pub fn height(&self) -> Height {
        self.ledger.view().height()
    }

    pub fn tip(&self) -> Header {
        self.ledger.view().header.clone()
    }

    /// Lets header time pass to `seconds` after the genesis.
    pub fn at(&mut self, seconds: u64) -> &mut Self {
        self.time_ms = (GENESIS_TIME_S + seconds) * 1000;
        self
    }

    pub fn proposer(&self) -> [u8; 32] {
        self.consortium.genesis.validators()[0]
    }

    /// The sender's next transaction.
    pub fn sign(&self, sender: &str, body: TxBody) -> SignedTransaction {
        let sequence = self.ledger.view().sequence(&id(sender)) + 1;
        self.consortium.sign(sender, sequence, self.height().0 + 100, body)
    }

    /// Proposes, verifies and finalizes one block.
    pub fn block(&mut self, submissions: Vec<Submission>) -> Block {
        self.time_ms += 1000;
        let block = self.ledger.propose(&self.tip(), &[], self.time_ms, self.proposer(), submissions).unwrap();
        self.ledger.verify(&block, &self.tip(), &[]).unwrap();
        self.ledger.finalize(&block).unwrap();
        self.blocks.push(block.clone());
        block
    }

    /// A block with exactly these bytes, whatever they are, and its receipts; verified and finalized.
    pub fn raw_block(&mut self, transactions: Vec<Vec<u8>>, payloads: Vec<Vec<u8>>) -> Vec<ReceiptCode> {
        self.time_ms += 1000;
        let parent = self.tip();
        let height = parent.height.next();
        let genesis = self.ledger.genesis();
        let context = BlockContext { genesis, chain_id: self.ledger.chain_id(), height, time_ms: self.time_ms };
        let view = self.ledger.view();
        let mempool = Mempool::new(*self.ledger.chain_id(), Limits::new(1 << 20));
        let mut execution = Execution::new(context, &view, Inherited::default(), &mempool);
        let by_digest: BTreeMap<Digest32, &[u8]> = payloads.iter().map(|p| (sha256(p), p.as_slice())).collect();
        for bytes in &transactions {
            execution.run(bytes, &by_digest);
        }
        let executed = execution.finish();
        let digests: Vec<Digest32> = payloads.iter().map(|p| sha256(p)).collect();
        let header = Header {
            header: MessageHeader::new(Kind::BlockHeader),
            chain_id: *self.ledger.chain_id(),
            height,
            parent: parent.digest(),
            time_ms: self.time_ms,
            term: genesis.term_of(height),
            proposer: self.proposer(),
            tx_root: block::tx_root(&transactions),
            payload_root: block::payload_root(&digests),
            receipts_root: executed.receipts_root,
            state_root: executed.state_root,
            next_committee: genesis.is_boundary(height).then(|| genesis.validators()),
        };
        let block = Block { header, transactions, payloads };
        self.ledger.verify(&block, &parent, &[]).unwrap();
        self.ledger.finalize(&block).unwrap();
        self.blocks.push(block);
        executed.receipts.iter().map(|r| r.code).collect()
    }

    /// Runs one signed transaction in a block of its own.
    pub fn run(&mut self, signed: SignedTransaction, payload: Option<Vec<u8>>) -> ReceiptCode {
        self.raw_block(vec![signed.encode()], payload.into_iter().collect())[0]
    }

    /// Signs the sender's next transaction and runs it.
    pub fn act(&mut self, sender: &str, body: TxBody, payload: Option<Vec<u8>>) -> ReceiptCode {
        let signed = self.sign(sender, body);
        self.run(signed, payload)
    }

    /// As [`Chain::act`], and it must be applied.
    pub fn apply(&mut self, sender: &str, body: TxBody, payload: Option<Vec<u8>>) {
        let code = self.act(sender, body, payload);
        assert_eq!(code, ReceiptCode::Applied);
    }

    pub fn binding(&mut self, publisher: &str, period: u32, k: &OprfSecretKey) -> AuditKeyBinding {
        let y = self.consortium.audit_key.public();
        self.binding_to(publisher, period, k, AuditKeyId(0), &y)
    }

    pub fn binding_to(
        &mut self,
        publisher: &str,
        period: u32,
        k: &OprfSecretKey,
        audit_key_id: AuditKeyId,
        y: &riskveil_crypto::Element,
    ) -> AuditKeyBinding {
        let context = key_binding_context(self.ledger.chain_id(), &id(publisher), Period(period), 0, audit_key_id);
        let bound = bind_key(k, y, &context, &mut self.rng);
        AuditKeyBinding { audit_key_id, k_y: bound.k_y, proof: bound.proof }
    }

    pub fn announcement(&mut self, publisher: &str, period: u32) -> AnnouncePeriodKey {
        let k = OprfSecretKey::generate(&mut self.rng);
        let bindings = vec![self.binding(publisher, period, &k)];
        AnnouncePeriodKey { period: Period(period), key_serial: 0, k: k.public_key(), bindings }
    }

    /// Announces a key of the period.
    pub fn announce(&mut self, publisher: &str, period: u32) {
        let announcement = self.announcement(publisher, period);
        self.apply(publisher, TxBody::AnnouncePeriodKey(announcement), None);
    }

    /// Publishes one batch of `count` rows.
    pub fn publish(&mut self, publisher: &str, period: u32, batch_seq: u32, count: u32) -> Vec<u8> {
        let rows = rows(self.time_ms, count);
        let body = publish_rows(period, batch_seq, &rows);
        self.apply(publisher, TxBody::PublishRows(body), Some(rows.clone()));
        rows
    }

    /// Publishes one batch of `count` commitments.
    pub fn commit(&mut self, publisher: &str, batch_seq: u32, count: u32) -> Vec<u8> {
        let payload = commitments(self.time_ms, count);
        let body = publish_commitments(batch_seq, &payload);
        self.apply(publisher, TxBody::PublishCommitments(body), Some(payload.clone()));
        payload
    }

    pub fn seal(&self, publisher: &str, period: u32) -> SealSnapshot {
        let view = self.ledger.view();
        let key = view.period_key(Period(period), &id(publisher)).unwrap();
        let roots: Vec<Digest32> =
            (0..key.batch_count).map(|seq| view.batch(Period(period), &id(publisher), seq).unwrap().root).collect();
        SealSnapshot {
            period: Period(period),
            key_serial: 0,
            batch_count: key.batch_count,
            root: snapshot_root(&roots),
            covers_prev_seq: 0,
        }
    }

    pub fn audit_key_announcement(&mut self, number: u32) -> (AnnounceAuditKey, AuditKeyPair) {
        let y = AuditKeyPair::generate(&mut self.rng);
        let seal_key = SealSecretKey::generate(&mut self.rng);
        let context = announced_audit_key_context(self.ledger.chain_id(), &id("REGULATOR-01"), AuditKeyId(number));
        let announcement = AnnounceAuditKey {
            audit_key_id: AuditKeyId(number),
            y: y.public(),
            y_possession: y.prove_possession(&context, &mut self.rng),
            seal_key: seal_key.public(),
            seal_possession: seal_key.prove_possession(&context, &mut self.rng),
            from_s: self.time_ms / 1000 + 86_400 + 100,
            until_s: self.time_ms / 1000 + 30 * 86_400,
        };
        (announcement, y)
    }
}

/// `count` padding rows, sorted by tag.
pub fn rows(seed: u64, count: u32) -> Vec<u8> {
    let mut bytes = [3; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let seed = SecretBytes::from_bytes(bytes);
    let mut rows: Vec<[u8; 92]> = (0..count).map(|i| padding_row(&seed, i).to_bytes()).collect();
    rows.sort_unstable();
    rows.concat()
}

pub fn publish_rows(period: u32, batch_seq: u32, rows: &[u8]) -> PublishRows {
    let leaves: Vec<&[u8]> = rows.chunks(92).collect();
    let count = u32::try_from(leaves.len()).unwrap();
    let rows = PayloadRef {
        digest: sha256(rows),
        len: u32::try_from(rows.len()).unwrap(),
        count,
        root: merkle::root(&leaves),
    };
    PublishRows { period: Period(period), key_serial: 0, batch_seq, rows }
}

/// A payload of `count` commitments, sorted by leaf, with zeros for proofs: whoever votes does not look at them.
pub fn commitments(seed: u64, count: u32) -> Vec<u8> {
    let part = |i: u32, at: u8| *sha256(&[&seed.to_le_bytes()[..], &i.to_le_bytes(), &[at]].concat()).as_bytes();
    let all = (0..count).map(|i| [part(i, 0), part(i, 1), part(i, 2)].concat()).collect();
    commitments_of(all)
}

/// The payload of these commitments, sorted by leaf, with zeros for proofs.
pub fn commitments_of(mut all: Vec<Vec<u8>>) -> Vec<u8> {
    all.sort_by_key(|bytes| leaf(bytes));
    let count = u32::try_from(all.len()).unwrap();
    let mut payload = all.concat();
    payload.resize(usize::try_from(payload_len(count)).unwrap(), 0);
    payload
}

pub fn leaf(commitment: &[u8]) -> Digest32 {
    RecordCommitment::from_bytes(commitment.try_into().unwrap()).leaf()
}

/// The transaction of a payload of commitments.
pub fn publish_commitments(batch_seq: u32, payload: &[u8]) -> PublishCommitments {
    let count = payload.len() / (96 + 30);
    let leaves: Vec<Digest32> = payload[..count * 96].chunks(96).map(leaf).collect();
    let leaves: Vec<&[u8]> = leaves.iter().map(|leaf| leaf.as_bytes().as_slice()).collect();
    let commitments = PayloadRef {
        digest: sha256(payload),
        len: u32::try_from(payload.len()).unwrap(),
        count: u32::try_from(count).unwrap(),
        root: merkle::root(&leaves),
    };
    PublishCommitments { batch_seq, commitments }
}

/// Log windows with `count` random-looking leaves, and their payload.
pub fn log_windows(first: u64, last: u64, count: u32) -> (LogWindows, Vec<u8>) {
    let mut leaves: Vec<Digest32> =
        (0..count).map(|i| sha256(&[first.to_le_bytes().as_slice(), &i.to_le_bytes()].concat())).collect();
    leaves.sort_unstable();
    log_windows_of(first, last, LogPayload { leaves, blob: vec![5; 700] })
}

pub fn log_windows_of(first: u64, last: u64, payload: LogPayload) -> (LogWindows, Vec<u8>) {
    let bytes = payload.encode();
    let log = PayloadRef {
        digest: sha256(&bytes),
        len: u32::try_from(bytes.len()).unwrap(),
        count: payload.count(),
        root: payload.root(),
    };
    (LogWindows { first_window: Window(first), last_window: Window(last), log }, bytes)
}

/// Blocks with something of every kind in them, for tests that replay.
pub fn busy_chain(chain: &mut Chain) {
    for publisher in ["INST-01", "INST-02"] {
        chain.announce(publisher, 0);
        for seq in 0..3 {
            chain.publish(publisher, 0, seq, 64 << (seq % 2));
        }
        let seal = chain.seal(publisher, 0);
        chain.apply(publisher, TxBody::SealSnapshot(seal), None);
        chain.publish(publisher, 0, 3, 64);
        for seq in 0..3 {
            chain.commit(publisher, seq, 64 << (seq % 2));
        }
    }
    let (announcement, y) = chain.audit_key_announcement(1);
    chain.apply("REGULATOR-01", TxBody::AnnounceAuditKey(announcement), None);
    let _ = y;
    chain.at(400);
    for (sender, first, last) in [("LENDER-01", 0, 4), ("INST-01", 0, 2), ("LENDER-01", 5, 5)] {
        let (windows, payload) = log_windows(first, last, 4);
        chain.apply(sender, TxBody::LogQueries(windows), Some(payload));
    }
    let (windows, payload) = log_windows(0, 5, 8);
    chain.apply("INST-02", TxBody::LogReceipts(windows), Some(payload));
    chain.raw_block(vec![b"not a transaction".to_vec(), Vec::new()], Vec::new());
    chain.act("LENDER-01", TxBody::Vote(vec![1]), None);
    chain.block(Vec::new());
}

/// The blocks, shared, as `propose` and `verify` take ancestors.
pub fn shared(blocks: &[Block]) -> Vec<Arc<Block>> {
    blocks.iter().cloned().map(Arc::new).collect()
}

/// LEB128 as the engine writes it.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value as u8) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
