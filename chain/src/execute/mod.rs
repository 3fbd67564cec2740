//! Execution: what a block's transactions do to the state, on an overlay, before anyone votes.
//!
//! - **Place**: A7, B9: bytes -> receipt and changes -> `state` and `index`
//! - **Invariants**: deterministic and total: any bytes give a state change or a receipt code. No float, clock, randomness,
//!   hash map or panic. A refused transaction changes nothing but, from code 100 on, its sender's sequence number
//! - **Errors**: none; every refusal is a [`ReceiptCode`]
//! - **Security**: a proposer that leaves out a payload, or carries a transaction early or late, costs its sender nothing:
//!   those codes are below 100
//! - **Source**: specs/ledger.md#transactions; DESIGN.md section 5
//!
//! Each family's file has the three phases in order: `check_stateless`, `check_stateful`, `apply`.

mod audit_key;
mod commitments;
mod log;
mod overlay;
mod period_key;
mod publish;

use std::collections::{BTreeMap, BTreeSet};

use riskveil_crypto::codec;
use riskveil_crypto::digest::Digest32;
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::member::Member;
use riskveil_exchange::message::Kind;

use crate::block;
pub use crate::execute::overlay::Inherited;
use crate::execute::overlay::Overlay;
use crate::genesis::Genesis;
use crate::mempool::Mempool;
use crate::receipt::{Receipt, ReceiptCode};
use crate::state::keys;
use crate::state::leaves::BatchLeaves;
use crate::state::store::{LocalEntries, LogLocation, Outcome};
use crate::state::tree::Changes;
use crate::state::view::{AuditKeyState, BatchState, FinalizedView, StateRead};
use crate::tx::{MAX_EXPIRY_BLOCKS, PayloadRef, SignedTransaction, Submission, Transaction, TxBody, TxId, tx_id};

/// The block that transactions stand in.
#[derive(Clone, Copy, Debug)]
pub struct BlockContext<'a> {
    /// Members and policy.
    pub genesis: &'a Genesis,
    /// The chain.
    pub chain_id: &'a Digest32,
    /// The block's height.
    pub height: Height,
    /// Its header time, Unix ms.
    pub time_ms: u64,
}

impl BlockContext<'_> {
    const fn time_s(&self) -> u64 {
        self.time_ms / 1000
    }

    fn period_now(&self) -> Period {
        self.genesis.policy.period_at(self.genesis.genesis_time_s, self.time_s())
    }
}

/// What a block does.
#[derive(Clone, Debug)]
pub struct Executed {
    /// One per transaction, in order.
    pub receipts: Vec<Receipt>,
    /// Root over them.
    pub receipts_root: Digest32,
    /// New state values.
    pub changes: Changes,
    /// Root of the state with them.
    pub state_root: Digest32,
    /// Batches of rows that became part of the state.
    pub batches: Vec<(Period, MemberId, u32, BatchState)>,
    /// Batches of commitments that became part of the state.
    pub commitments: Vec<CommittedBatch>,
    /// What the local indexes record.
    pub local: LocalEntries,
}

/// A batch of commitments that became part of the state.
#[derive(Clone, Debug)]
pub struct CommittedBatch {
    /// Whose.
    pub publisher: MemberId,
    /// Its number.
    pub batch_seq: u32,
    /// What the state records.
    pub batch: BatchState,
    /// Its leaves.
    pub leaves: BatchLeaves,
}

/// Runs the transactions of one block, one after the other.
#[derive(Debug)]
pub struct Execution<'a> {
    context: BlockContext<'a>,
    overlay: Overlay<'a>,
    signatures: &'a Mempool,
    named: BTreeSet<Digest32>,
    receipts: Vec<Receipt>,
    batches: Vec<(Period, MemberId, u32, BatchState)>,
    commitments: Vec<CommittedBatch>,
    local: LocalEntries,
}

/// A transaction that may act: its sender is a member and signed it, and its sequence number is the next.
struct Admitted {
    transaction: Transaction,
    sender: Member,
}

impl<'a> Execution<'a> {
    /// Begins a block on `base` with what its unfinalized ancestors changed. `signatures` remembers what verified.
    #[must_use]
    pub fn new(
        context: BlockContext<'a>,
        base: &'a FinalizedView,
        inherited: Inherited,
        signatures: &'a Mempool,
    ) -> Self {
        Self {
            context,
            overlay: Overlay::new(base, inherited),
            signatures,
            named: BTreeSet::new(),
            receipts: Vec::new(),
            batches: Vec::new(),
            commitments: Vec::new(),
            local: LocalEntries::default(),
        }
    }

    /// The state so far.
    #[must_use]
    pub fn state(&self) -> &impl StateRead {
        &self.overlay
    }

    /// Runs one transaction of a block; `payloads` are those beside it, by SHA-256.
    pub fn run(&mut self, bytes: &[u8], payloads: &BTreeMap<Digest32, &[u8]>) -> ReceiptCode {
        let id = tx_id(bytes);
        let decoded = SignedTransaction::decode(bytes);
        let reference = decoded.as_ref().ok().and_then(SignedTransaction::payload_ref).copied();
        let payload = reference.and_then(|r| payloads.get(&r.digest).copied());
        if let (Some(reference), Some(_)) = (reference, payload) {
            self.named.insert(reference.digest);
        }
        let code = match decoded {
            Ok(signed) => self.run_decoded(&id, signed, reference, payload),
            Err(_) => ReceiptCode::Malformed,
        };
        self.receipts.push(Receipt { tx: id, code });
        code
    }

    /// Runs one submission if its payload is the one it names and it uses up its sequence number; otherwise leaves no
    /// trace. For proposers. `payload_digest` is the SHA-256 of its payload.
    pub fn try_run(&mut self, submission: &Submission, payload_digest: Option<Digest32>) -> Option<ReceiptCode> {
        if submission.transaction.payload_ref().map(|r| r.digest) != payload_digest {
            return None;
        }
        let newly_named = payload_digest.filter(|digest| !self.named.contains(digest));
        let payloads = payload_digest.into_iter().zip(submission.payload.as_deref()).collect();
        let code = self.run(&submission.transaction.encode(), &payloads);
        if code.consumes_sequence() {
            return Some(code);
        }
        self.receipts.pop();
        if let Some(digest) = newly_named {
            self.named.remove(&digest);
        }
        None
    }

    /// How many different payloads the transactions so far name and have beside them.
    #[must_use]
    pub fn payloads_named(&self) -> usize {
        self.named.len()
    }

    /// Ends the block.
    #[must_use]
    pub fn finish(self) -> Executed {
        Executed {
            receipts_root: block::receipts_root(&self.receipts),
            state_root: self.overlay.root(),
            changes: self.overlay.into_changes(),
            receipts: self.receipts,
            batches: self.batches,
            commitments: self.commitments,
            local: self.local,
        }
    }

    fn run_decoded(
        &mut self,
        id: &TxId,
        signed: SignedTransaction,
        reference: Option<PayloadRef>,
        payload: Option<&[u8]>,
    ) -> ReceiptCode {
        let Admitted { transaction, sender } = match self.admit(id, signed) {
            Ok(admitted) => admitted,
            Err(code) => return code,
        };
        if reference.is_some() && payload.is_none() {
            return ReceiptCode::PayloadMissing;
        }
        let code = match self.act(&transaction, &sender, payload.unwrap_or_default()) {
            Ok(()) => ReceiptCode::Applied,
            Err(code) => code,
        };
        self.overlay.put(keys::sequence(&sender.id), &transaction.sequence);
        let outcome = Outcome { id: *id, height: self.context.height, code };
        self.local.outcomes.push((sender.id, transaction.sequence, outcome));
        code
    }

    /// The rules whose refusal leaves the sequence number unused.
    fn admit(&self, id: &TxId, signed: SignedTransaction) -> Result<Admitted, ReceiptCode> {
        let transaction = &signed.transaction;
        if transaction.header.expect(Kind::Transaction).is_err() {
            return Err(ReceiptCode::HeaderUnexpected);
        }
        if transaction.chain_id != *self.context.chain_id {
            return Err(ReceiptCode::WrongChain);
        }
        let sender = self.overlay.member(&transaction.sender).ok_or(ReceiptCode::SenderUnknown)?;
        if transaction.expiry_height < self.context.height {
            return Err(ReceiptCode::Expired);
        }
        if transaction.expiry_height.0 - self.context.height.0 > MAX_EXPIRY_BLOCKS {
            return Err(ReceiptCode::ExpiryTooFar);
        }
        if !self.signatures.is_verified(id) {
            signed.verify(&sender, self.context.chain_id).map_err(|_| ReceiptCode::SignatureInvalid)?;
            self.signatures.remember_verified(*id);
        }
        if Some(transaction.sequence) != self.overlay.sequence(&transaction.sender).checked_add(1) {
            return Err(ReceiptCode::SequenceNotNext);
        }
        Ok(Admitted { transaction: signed.transaction, sender })
    }

    fn act(&mut self, transaction: &Transaction, sender: &Member, payload: &[u8]) -> Result<(), ReceiptCode> {
        let Self { context, overlay, .. } = self;
        let roles = sender.roles;
        match &transaction.body {
            TxBody::AnnounceAuditKey(announce) => {
                role(roles.regulator)?;
                audit_key::check_stateless(context, &sender.id, announce)?;
                audit_key::check_stateful(context, overlay, announce)?;
                audit_key::apply(context, overlay, &sender.id, announce);
            }
            TxBody::AnnouncePeriodKey(announce) => {
                role(roles.publisher)?;
                period_key::check_stateless(announce)?;
                let bound = period_key::check_stateful(context, overlay, &sender.id, announce)?;
                period_key::apply(context, overlay, &sender.id, announce, bound);
            }
            TxBody::BindAuditKey(bind) => {
                role(roles.publisher)?;
                let bound = period_key::check_binding(context, overlay, &sender.id, bind)?;
                period_key::apply_binding(overlay, &sender.id, bind, bound);
            }
            TxBody::PublishRows(publish) => {
                role(roles.publisher)?;
                publish::check_stateless(context, publish, payload)?;
                let key = publish::check_stateful(context, overlay, &sender.id, publish)?;
                let batch = publish::apply(context, overlay, &sender.id, publish, key);
                self.batches.push((publish.period, sender.id.clone(), publish.batch_seq, batch));
            }
            TxBody::PublishCommitments(publish) => {
                role(roles.publisher)?;
                let leaves = commitments::check_stateless(context, publish, payload)?;
                let so_far = commitments::check_stateful(overlay, &sender.id, publish, &leaves)?;
                let batch = commitments::apply(context, overlay, &sender.id, publish, so_far, leaves);
                self.commitments.push(batch);
            }
            TxBody::SealSnapshot(seal) => {
                role(roles.publisher)?;
                let key = publish::check_seal(context, overlay, &sender.id, seal)?;
                publish::apply_seal(context, overlay, &sender.id, seal, key);
            }
            TxBody::LogQueries(windows) => {
                role(roles.lender)?;
                self.log_windows(LogKind::Queries, &sender.id, windows, payload)?;
            }
            TxBody::LogReceipts(windows) => {
                role(roles.publisher)?;
                self.log_windows(LogKind::Receipts, &sender.id, windows, payload)?;
            }
            TxBody::LogAuditAccess(access) => {
                role(roles.regulator)?;
                log::check_access(access)?;
                log::apply_access(context, overlay, &sender.id, access);
            }
            TxBody::Withdraw(_)
            | TxBody::RevokePeriodKey(_)
            | TxBody::AnswerAudit(_)
            | TxBody::ChallengeProof(_)
            | TxBody::Propose(_)
            | TxBody::Vote(_)
            | TxBody::FlagDispute(_)
            | TxBody::ResolveDispute(_)
            | TxBody::SealStatement(_)
            | TxBody::AnchorEvidence(_) => return Err(ReceiptCode::KindReserved),
        }
        Ok(())
    }

    fn log_windows(
        &mut self,
        kind: LogKind,
        sender: &MemberId,
        windows: &crate::tx::LogWindows,
        payload: &[u8],
    ) -> Result<(), ReceiptCode> {
        log::check_stateless(&self.context, windows, payload)?;
        log::check_stateful(&self.overlay, kind, sender, windows)?;
        log::apply(&self.context, &mut self.overlay, kind, sender, windows);
        let location = LogLocation {
            first_window: windows.first_window,
            last_window: windows.last_window,
            height: self.context.height,
            position: u32::try_from(self.receipts.len()).unwrap_or(u32::MAX),
            payload_digest: windows.log.digest,
        };
        self.local.logs.push((kind, sender.clone(), location));
        Ok(())
    }
}

/// The state that a genesis makes.
#[must_use]
pub fn genesis_changes(genesis: &Genesis, chain_id: &Digest32) -> Changes {
    let key = &genesis.audit_key;
    let first = AuditKeyState {
        audit_key_id: AuditKeyId(0),
        regulator: key.regulator.clone(),
        y: key.y,
        seal_key: key.seal_key,
        from_s: genesis.genesis_time_s,
        until_s: key.until_s,
        announced_at: Height(0),
    };
    let mut changes = Changes::from([
        (keys::chain(), codec::encode(chain_id)),
        (keys::policy(), codec::encode(&genesis.policy)),
        (keys::audit_key(AuditKeyId(0)), codec::encode(&first)),
        (keys::audit_key_seen(key.y.as_bytes()), codec::encode(&AuditKeyId(0))),
        (keys::audit_key_seen(key.seal_key.as_bytes()), codec::encode(&AuditKeyId(0))),
    ]);
    changes.extend(genesis.members.iter().map(|member| (keys::member(&member.id), codec::encode(member))));
    changes
}

const fn role(held: bool) -> Result<(), ReceiptCode> {
    if held { Ok(()) } else { Err(ReceiptCode::RoleMissing) }
}

/// Whether a payload has the stated length; its digest is the one it was found by.
fn payload_length(reference: &PayloadRef, payload: &[u8]) -> Result<(), ReceiptCode> {
    if usize::try_from(reference.len).is_ok_and(|len| len == payload.len()) {
        Ok(())
    } else {
        Err(ReceiptCode::PayloadLength)
    }
}
