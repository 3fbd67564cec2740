//! What the engine calls: propose, verify, finalize; and the finalized view that everyone else reads.
//!
//! - **Place**: A6-A8, B9: mempool -> [`Ledger::propose`] -> votes over [`Ledger::verify`] -> [`Ledger::finalize`] -> view
//! - **Invariants**: the view only moves forward, one block at a time; when `finalize` returns, segments and state are on
//!   disk. Everything on disk here is derived from the block archive and is rebuilt by calling `finalize` again
//! - **Errors**: [`BlockInvalid`] (the proposer: do not vote), [`LedgerError`] (stop the node)
//! - **Security**: nothing here panics on a block's bytes; a block is executed in memory before finality and once only
//! - **Source**: DESIGN.md section 5; ENGINE.md, "Execution"; ADR 0003
//!
//! A handle is cheap to clone and synchronised inside. Calls block (disk, up to a block's worth of hashing): keep them off
//! an async reactor.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_crypto::merkle;
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{Height, MemberId, Window};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::publish::commitment_batch;
use tokio::sync::watch;

use crate::block::{self, Block, Header, MAX_HEADER_BYTES, MAX_TRANSACTIONS};
use crate::error::{BlockInvalid, LedgerError};
use crate::execute::{BlockContext, Executed, Execution, Inherited, genesis_changes};
use crate::genesis::Genesis;
use crate::index::commitments::{self, CommitmentIndex};
use crate::index::{IndexError, RowIndex};
use crate::mempool::{AdmissionError, Admitted, Limits, Mempool};
use crate::receipt::ReceiptCode;
use crate::state::store::{Loaded, LocalEntries, LogLocation, Store, StoreError};
use crate::state::tree::State;
use crate::state::view::{BatchState, FinalizedView, StateRead};
use crate::tx::{PayloadRef, SignedTransaction, Submission, TxBody, TxId};

/// Executed blocks remembered until they are final.
const MAX_EXECUTED: usize = 256;
/// Digests of final blocks remembered, for votes that come late.
const MAX_RECENT: usize = 1024;

/// An open ledger, and where replay begins.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// The first height wanted from the block archive, through [`Ledger::finalize`]. Usually the tip's next; lower when a
    /// segment or commitments are missing, and 1 when the state store is new.
    pub replay_from: Height,
}

/// The ledger; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct Ledger {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    genesis: Genesis,
    chain_id: Digest32,
    genesis_block: Block,
    store: Mutex<Store>,
    view: RwLock<Arc<FinalizedView>>,
    recent: Mutex<BTreeMap<Height, Digest32>>,
    executed: Mutex<BTreeMap<(Height, Digest32), Arc<Executed>>>,
    index: RowIndex,
    commitments: CommitmentIndex,
    mempool: Mempool,
    height: watch::Sender<Height>,
    /// Held while the ledger is open, so that no other process opens the directory.
    _lock: File,
}

/// Where a block stands: the finalized view below it, and what its unfinalized ancestors change.
struct Branch {
    view: Arc<FinalizedView>,
    inherited: Inherited,
}

impl Ledger {
    /// Opens the ledger in `dir`, or begins it. A damaged state store is moved aside, damaged segments and commitments too;
    /// all are rebuilt by finalizing archived blocks from `replay_from` on.
    ///
    /// # Errors
    /// [`LedgerError`]: the genesis breaks a rule, the directory is in use or of another chain, or the disk.
    pub fn open(dir: &Path, genesis: Genesis) -> Result<Opened, LedgerError> {
        genesis.check()?;
        let chain_id = genesis.chain_id();
        let lock = lock_dir(dir)?;
        let genesis_state = State::from_entries(genesis_changes(&genesis, &chain_id));
        let genesis_block = make_genesis_block(&genesis, chain_id, genesis_state.root());
        let Loaded { mut store, tip } = Store::open(&dir.join("state"))?;
        let (header, state) = match tip {
            Some((header, _)) if header.chain_id != chain_id => {
                let (path, found) = (dir.to_owned(), header.chain_id);
                return Err(LedgerError::OtherChain { path, found, expected: chain_id });
            }
            Some(tip) => tip,
            None => {
                let changes = genesis_changes(&genesis, &chain_id);
                store.commit(&genesis_block.header, &changes, &LocalEntries::default())?;
                (genesis_block.header.clone(), genesis_state)
            }
        };
        let (index, first_missing) = RowIndex::open(&dir.join("segments"), chain_id, &state)?;
        let commitments = CommitmentIndex::open(&dir.join("commitments"), &state)?;
        let commitments::Opened { index: commitments, leaves, first_missing: first_commitments } = commitments;
        let tip = header.height;
        let missing = [first_missing, first_commitments].into_iter().flatten();
        let replay_from = missing.chain([tip.next()]).min().unwrap_or(tip.next());
        let room = max_block_bytes(&genesis).saturating_sub(MAX_HEADER_BYTES);
        let digest = header.digest();
        let view = FinalizedView { digest, header, state: Arc::new(state), leaves };
        let inner = Inner {
            mempool: Mempool::new(chain_id, Limits::new(room)),
            recent: Mutex::new(BTreeMap::from([(tip, digest)])),
            height: watch::channel(tip).0,
            store: Mutex::new(store),
            view: RwLock::new(Arc::new(view)),
            executed: Mutex::default(),
            genesis,
            chain_id,
            genesis_block,
            index,
            commitments,
            _lock: lock,
        };
        Ok(Opened { ledger: Self { inner: Arc::new(inner) }, replay_from })
    }

    /// The genesis.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.inner.genesis
    }

    /// The chain id.
    #[must_use]
    pub fn chain_id(&self) -> &Digest32 {
        &self.inner.chain_id
    }

    /// Block 0, which everyone makes from the genesis.
    #[must_use]
    pub fn genesis_block(&self) -> &Block {
        &self.inner.genesis_block
    }

    /// The finalized tip and its state.
    #[must_use]
    pub fn view(&self) -> Arc<FinalizedView> {
        self.inner.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The replicated rows.
    #[must_use]
    pub fn index(&self) -> &RowIndex {
        &self.inner.index
    }

    /// The replicated commitments.
    #[must_use]
    pub fn commitments(&self) -> &CommitmentIndex {
        &self.inner.commitments
    }

    /// What waits for a block.
    #[must_use]
    pub fn mempool(&self) -> &Mempool {
        &self.inner.mempool
    }

    /// Lets a submission wait for a block; idempotent.
    ///
    /// # Errors
    /// [`AdmissionError`].
    pub fn submit(&self, submission: Submission) -> Result<Admitted, AdmissionError> {
        self.inner.mempool.admit(submission, &self.view())
    }

    /// The finalized height, changing.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Height> {
        self.inner.height.subscribe()
    }

    /// Engine keys of a term's committee, sorted: the genesis validators in every term, while membership is fixed.
    #[must_use]
    pub fn committee(&self, _term: u64) -> Option<Vec<[u8; 32]>> {
        Some(self.inner.genesis.validators())
    }

    /// What became of a sender's transaction with this sequence number; `None` while it is not final.
    ///
    /// # Errors
    /// [`StoreError`]: the disk.
    pub fn outcome(&self, sender: &MemberId, sequence: u64) -> Result<Option<(TxId, Height, ReceiptCode)>, StoreError> {
        let outcome = lock(&self.inner.store).outcome(sender, sequence)?;
        Ok(outcome.map(|o| (o.id, o.height, o.code)))
    }

    /// Where a member's log windows that end at `from` or later stand on chain, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`]: the disk.
    pub fn logs(
        &self,
        kind: LogKind,
        member: &MemberId,
        from: Window,
        limit: usize,
    ) -> Result<Vec<LogLocation>, StoreError> {
        lock(&self.inner.store).logs(kind, member, from, limit)
    }

    /// What the mempool has for a block on this parent: each sender's next transactions, as many as fit.
    ///
    /// # Errors
    /// [`BlockInvalid::Ancestors`] if `ancestors` do not lead from the finalized tip to `parent`.
    pub fn candidates(&self, parent: &Header, ancestors: &[Arc<Block>]) -> Result<Vec<Submission>, BlockInvalid> {
        let Branch { view, inherited } = self.branch(parent, ancestors)?;
        let context = self.context(parent.height.next(), parent.time_ms);
        let execution = Execution::new(context, &view, inherited, &self.inner.mempool);
        let room = max_block_bytes(&self.inner.genesis).saturating_sub(MAX_HEADER_BYTES);
        let next = |sender: &MemberId| execution.state().sequence(sender).saturating_add(1);
        Ok(self.inner.mempool.take(room, MAX_TRANSACTIONS, next))
    }

    /// Makes the block on `parent` that carries what of `submissions` belongs into it: those that would not use up
    /// their sequence number are left out, and those that do not fit. The result is remembered.
    ///
    /// `ancestors` are the blocks above the finalized tip up to the parent, oldest first; ones at or below the tip are
    /// skipped. `time_ms` is raised to one after the parent's if it is not later.
    ///
    /// # Errors
    /// [`BlockInvalid::Ancestors`] if they do not lead from the finalized tip to `parent`.
    pub fn propose(
        &self,
        parent: &Header,
        ancestors: &[Arc<Block>],
        time_ms: u64,
        proposer: [u8; 32],
        submissions: Vec<Submission>,
    ) -> Result<Block, BlockInvalid> {
        let Branch { view, inherited } = self.branch(parent, ancestors)?;
        let height = parent.height.next();
        let time_ms = time_ms.max(parent.time_ms.saturating_add(1));
        let mut execution = Execution::new(self.context(height, time_ms), &view, inherited, &self.inner.mempool);
        let mut room = max_block_bytes(&self.inner.genesis).saturating_sub(MAX_HEADER_BYTES);
        let (mut transactions, mut payloads, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for submission in submissions {
            let bytes = submission.block_bytes();
            if bytes > room || transactions.len() >= MAX_TRANSACTIONS {
                continue;
            }
            let digest = submission.payload.as_deref().map(sha256);
            if execution.try_run(&submission, digest).is_none() {
                continue;
            }
            room -= bytes;
            transactions.push(submission.transaction.encode());
            if let (Some(digest), Some(payload)) = (digest, submission.payload)
                && !digests.contains(&digest)
            {
                digests.push(digest);
                payloads.push(payload);
            }
        }
        let executed = execution.finish();
        let header = Header {
            header: MessageHeader::new(Kind::BlockHeader),
            chain_id: self.inner.chain_id,
            height,
            parent: parent.digest(),
            time_ms,
            term: self.inner.genesis.term_of(height),
            proposer,
            tx_root: block::tx_root(&transactions),
            payload_root: block::payload_root(&digests),
            receipts_root: executed.receipts_root,
            state_root: executed.state_root,
            next_committee: self.next_committee(height),
        };
        let block = Block { header, transactions, payloads };
        self.remember(&block.header, Arc::new(executed));
        Ok(block)
    }

    /// Whether an honest validator votes for this block on this parent. Pure but for what it remembers: the clock is the
    /// caller's, who waits for a block whose time is ahead.
    ///
    /// `ancestors` as for [`Ledger::propose`]. A block that is final already is valid.
    ///
    /// # Errors
    /// [`BlockInvalid`]: the first rule that does not hold.
    pub fn verify(&self, block: &Block, parent: &Header, ancestors: &[Arc<Block>]) -> Result<(), BlockInvalid> {
        let digest = block.digest();
        if lock(&self.inner.recent).get(&block.header.height) == Some(&digest) {
            return Ok(());
        }
        self.check_header(&block.header, parent)?;
        if lock(&self.inner.executed).contains_key(&(block.header.height, digest)) {
            return Ok(());
        }
        if block.encode().len() > max_block_bytes(&self.inner.genesis) {
            return Err(BlockInvalid::Size);
        }
        let branch = self.branch(parent, ancestors)?;
        let executed = self.execute(&branch.view, branch.inherited, block)?;
        self.remember(&block.header, Arc::new(executed));
        Ok(())
    }

    /// Applies a finalized block: segments and commitments, then state, on disk when it returns; then the view moves.
    /// Idempotent by height: a block at or below the tip only brings back files that are missing.
    ///
    /// # Errors
    /// [`LedgerError`]: stop the node. What it left is whole: the block can be finalized again after a restart.
    pub fn finalize(&self, block: &Block) -> Result<(), LedgerError> {
        let mut store = lock(&self.inner.store);
        let view = self.view();
        let header = &block.header;
        if header.height <= view.height() {
            return self.restore_files(block, &view);
        }
        if header.height != view.height().next() {
            return Err(LedgerError::Gap { got: header.height, tip: view.height() });
        }
        // Without every leaf, a leaf that was seen would pass; replay brings the files back first.
        if let Some((publisher, batch_seq)) = self.inner.commitments.first_gap(&*view) {
            return Err(IndexError::CommitmentsNotHeld { publisher, batch_seq }.into());
        }
        let diverged = |problem| LedgerError::Diverged { height: header.height, problem };
        self.check_header(header, &view.header).map_err(diverged)?;
        let digest = block.digest();
        let known = lock(&self.inner.executed).get(&(header.height, digest)).cloned();
        let executed = match known {
            Some(executed) => executed,
            None => Arc::new(self.execute(&view, Inherited::default(), block).map_err(diverged)?),
        };
        let by_digest = payloads_by_digest(block);
        for (period, publisher, seq, batch) in &executed.batches {
            let rows = by_digest.get(&batch.digest).ok_or_else(|| diverged(BlockInvalid::PayloadRoot))?;
            self.inner.index.add(*period, publisher, *seq, batch, rows)?;
        }
        let mut leaves = view.leaves.clone();
        for committed in &executed.commitments {
            let batch = &committed.batch;
            let payload = by_digest.get(&batch.digest).ok_or_else(|| diverged(BlockInvalid::PayloadRoot))?;
            self.inner.commitments.add(&committed.publisher, committed.batch_seq, batch, payload)?;
            leaves.insert(committed.leaves.clone());
        }
        store.commit(header, &executed.changes, &executed.local)?;
        let mut state = view.state.as_ref().clone();
        state.apply(executed.changes.clone());
        let view = Arc::new(FinalizedView { header: header.clone(), digest, state: Arc::new(state), leaves });
        self.set_view(view.clone());
        drop(store);
        self.forget_up_to(header.height, digest);
        self.inner.mempool.prune(&view);
        self.inner.height.send_replace(header.height);
        Ok(())
    }

    /// Writes what the state counts of this block and this replica does not hold.
    fn restore_files(&self, block: &Block, view: &FinalizedView) -> Result<(), LedgerError> {
        let by_digest = payloads_by_digest(block);
        let payload_of = |counted: Option<BatchState>, named: &PayloadRef| {
            let counted = counted.filter(|b| b.height == block.header.height && b.digest == named.digest)?;
            Some((counted, *by_digest.get(&counted.digest)?))
        };
        let mut leaves = view.leaves.clone();
        for bytes in &block.transactions {
            let Ok(SignedTransaction { transaction, .. }) = SignedTransaction::decode(bytes) else { continue };
            let sender = &transaction.sender;
            match &transaction.body {
                TxBody::PublishRows(publish) => {
                    let counted = view.batch(publish.period, sender, publish.batch_seq);
                    if let Some((batch, rows)) = payload_of(counted, &publish.rows) {
                        self.inner.index.add(publish.period, sender, publish.batch_seq, &batch, rows)?;
                    }
                }
                TxBody::PublishCommitments(publish) => {
                    let counted = view.commitment_batch(sender, publish.batch_seq);
                    if let Some((batch, payload)) = payload_of(counted, &publish.commitments)
                        && self.inner.commitments.add(sender, publish.batch_seq, &batch, payload)?
                    {
                        leaves.insert(commitment_batch::leaves(payload, batch.count).into());
                    }
                }
                _ => {}
            }
        }
        if leaves != view.leaves {
            self.set_view(Arc::new(FinalizedView { leaves, ..view.clone() }));
        }
        Ok(())
    }

    fn set_view(&self, view: Arc<FinalizedView>) {
        *self.inner.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    fn check_header(&self, header: &Header, parent: &Header) -> Result<(), BlockInvalid> {
        let genesis = &self.inner.genesis;
        let rules = [
            (header.header.expect(Kind::BlockHeader).is_ok(), BlockInvalid::Header),
            (header.chain_id == self.inner.chain_id, BlockInvalid::Chain),
            (header.height == parent.height.next() && header.parent == parent.digest(), BlockInvalid::Parent),
            (header.time_ms > parent.time_ms, BlockInvalid::Time),
            (header.term == genesis.term_of(header.height), BlockInvalid::Term),
            (self.committee(header.term).is_some_and(|c| c.contains(&header.proposer)), BlockInvalid::Proposer),
            (header.next_committee == self.next_committee(header.height), BlockInvalid::NextCommittee),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, problem)| Err(problem))
    }

    fn next_committee(&self, height: Height) -> Option<Vec<[u8; 32]>> {
        let genesis = &self.inner.genesis;
        if genesis.is_boundary(height) { self.committee(genesis.term_of(height).saturating_add(1)) } else { None }
    }

    fn context(&self, height: Height, time_ms: u64) -> BlockContext<'_> {
        BlockContext { genesis: &self.inner.genesis, chain_id: &self.inner.chain_id, height, time_ms }
    }

    /// Follows `ancestors` from the finalized tip to `parent`, executing those not executed yet.
    fn branch(&self, parent: &Header, ancestors: &[Arc<Block>]) -> Result<Branch, BlockInvalid> {
        let view = self.view();
        let mut inherited = Inherited::default();
        let (mut height, mut digest) = (view.height(), view.digest);
        for ancestor in ancestors.iter().filter(|a| a.header.height > view.height()) {
            if ancestor.header.height != height.next() || ancestor.header.parent != digest {
                return Err(BlockInvalid::Ancestors);
            }
            (height, digest) = (ancestor.header.height, ancestor.digest());
            let known = lock(&self.inner.executed).get(&(height, digest)).cloned();
            let executed = match known {
                Some(executed) => executed,
                None => {
                    let executed = Arc::new(self.execute(&view, inherited.clone(), ancestor)?);
                    self.remember(&ancestor.header, executed.clone());
                    executed
                }
            };
            inherited.extend(&executed);
        }
        if digest == parent.digest() { Ok(Branch { view, inherited }) } else { Err(BlockInvalid::Ancestors) }
    }

    /// Executes a block's body and compares all that its header commits to.
    fn execute(&self, base: &FinalizedView, inherited: Inherited, block: &Block) -> Result<Executed, BlockInvalid> {
        let header = &block.header;
        if block.transactions.len() > MAX_TRANSACTIONS {
            return Err(BlockInvalid::Size);
        }
        if block::tx_root(&block.transactions) != header.tx_root {
            return Err(BlockInvalid::TxRoot);
        }
        let digests: Vec<Digest32> = block.payloads.iter().map(|p| sha256(p)).collect();
        if block::payload_root(&digests) != header.payload_root {
            return Err(BlockInvalid::PayloadRoot);
        }
        let payloads: BTreeMap<Digest32, &[u8]> =
            digests.iter().copied().zip(block.payloads.iter().map(Vec::as_slice)).collect();
        if payloads.len() != digests.len() {
            return Err(BlockInvalid::PayloadUnreferenced);
        }
        let context = self.context(header.height, header.time_ms);
        let mut execution = Execution::new(context, base, inherited, &self.inner.mempool);
        for bytes in &block.transactions {
            execution.run(bytes, &payloads);
        }
        if execution.payloads_named() != payloads.len() {
            return Err(BlockInvalid::PayloadUnreferenced);
        }
        let executed = execution.finish();
        if executed.receipts_root != header.receipts_root {
            return Err(BlockInvalid::ReceiptsRoot);
        }
        if executed.state_root != header.state_root {
            return Err(BlockInvalid::StateRoot);
        }
        Ok(executed)
    }

    fn remember(&self, header: &Header, executed: Arc<Executed>) {
        let mut remembered = lock(&self.inner.executed);
        remembered.insert((header.height, header.digest()), executed);
        while remembered.len() > MAX_EXECUTED {
            remembered.pop_first();
        }
    }

    fn forget_up_to(&self, height: Height, digest: Digest32) {
        lock(&self.inner.executed).retain(|(h, _), _| *h > height);
        let mut recent = lock(&self.inner.recent);
        recent.insert(height, digest);
        while recent.len() > MAX_RECENT {
            recent.pop_first();
        }
    }
}

/// Block 0: everything in it follows from the genesis.
#[must_use]
pub fn make_genesis_block(genesis: &Genesis, chain_id: Digest32, state_root: Digest32) -> Block {
    let header = Header {
        header: MessageHeader::new(Kind::BlockHeader),
        chain_id,
        height: Height(0),
        parent: Digest32::ZERO,
        time_ms: genesis.genesis_time_s.saturating_mul(1000),
        term: 0,
        proposer: [0; 32],
        tx_root: merkle::EMPTY,
        payload_root: merkle::EMPTY,
        receipts_root: merkle::EMPTY,
        state_root,
        next_committee: Some(genesis.validators()),
    };
    Block { header, transactions: Vec::new(), payloads: Vec::new() }
}

/// The header of block 0, from the genesis alone.
#[must_use]
pub fn genesis_header(genesis: &Genesis) -> Header {
    let chain_id = genesis.chain_id();
    let state = State::from_entries(genesis_changes(genesis, &chain_id));
    make_genesis_block(genesis, chain_id, state.root()).header
}

fn max_block_bytes(genesis: &Genesis) -> usize {
    usize::try_from(genesis.policy.max_block_bytes).unwrap_or(usize::MAX)
}

fn payloads_by_digest(block: &Block) -> BTreeMap<Digest32, &[u8]> {
    block.payloads.iter().map(|payload| (sha256(payload), payload.as_slice())).collect()
}

fn lock_dir(dir: &Path) -> Result<File, LedgerError> {
    let io = |source| StoreError::Io { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(io)?;
    let file = File::create(dir.join("ledger.lock")).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(io(source).into()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
