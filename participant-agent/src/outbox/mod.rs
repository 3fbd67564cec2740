//! Gets this member's transactions onto the chain exactly once: numbered, signed and journalled first, then sent until final.
//!
//! - **Place**: A5, B9: `TxBody` and payload -> [`Submitted`] -> validators' mempools -> receipt code
//! - **Invariants**: a sequence number is given to one body only, and its signed bytes are on disk before anyone sees them; the
//!   same bytes are sent again after a crash. New bytes for a number (a later expiry) are signed only when the finalized
//!   height shows that the old ones can no longer enter a block
//! - **Errors**: [`OutboxError`] (disk, or a second copy of this agent)
//! - **Source**: DESIGN.md section 10, "Submission"
//!
//! ```text
//!   submit --> journal --> drafts --courier per validator--> POST /peer/v1/transactions (or the own mempool)
//!                            ^                                        |
//!                            +-- settle: on every finalized block <---+
//! ```

pub mod courier;
mod drafts;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riskveil_chain::error::StoreError;
use riskveil_chain::ledger::Ledger;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::StateRead;
use riskveil_chain::tx::{SignedTransaction, Submission, Transaction, TxBody, TxId};
use riskveil_crypto::SigningKey;
use riskveil_exchange::ids::{Height, MemberId};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::courier::Target;
use self::drafts::Drafts;
use crate::journal::JournalError;
use crate::keystore::Keystore;
use crate::peers::client::PeerClient;
use crate::peers::directory::Directory;

/// Blocks that a transaction may wait for its own.
const EXPIRY_BLOCKS: u64 = 600;
/// Transactions that may be on their way; a caller with one more waits.
const MAX_DRAFTS: usize = 1024;

/// A transaction on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its sequence number.
    pub sequence: u64,
    /// Its id, until it is signed anew.
    pub id: TxId,
}

/// Why a transaction does not get onto the chain.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] Arc<JournalError>),
    /// The ledger's store.
    #[error("the ledger's store: {0}")]
    Store(Arc<StoreError>),
    /// The chain has another transaction of this member under the same number.
    #[error("another copy of this agent used sequence number {sequence}; run one copy only")]
    SequenceConflict {
        /// The number.
        sequence: u64,
    },
    /// The agent stops; the transaction is sent when it runs again.
    #[error("the agent is stopping")]
    Stopping,
}

impl From<JournalError> for OutboxError {
    fn from(error: JournalError) -> Self {
        Self::Journal(Arc::new(error))
    }
}

impl From<StoreError> for OutboxError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// The outbox of this member; a cheap clone handle.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    member: MemberId,
    identity: SigningKey,
    ledger: Ledger,
    drafts: Mutex<Drafts>,
    /// Counts changes of the drafts.
    changed: watch::Sender<u64>,
}

impl Outbox {
    /// Opens `journal_dir/outbox.log`; what was not final at the last stop is on its way again once [`Outbox::run`] runs.
    ///
    /// # Errors
    /// [`OutboxError::Journal`].
    pub fn open(
        journal_dir: &Path,
        keystore: &Keystore,
        member: MemberId,
        ledger: Ledger,
    ) -> Result<Self, OutboxError> {
        let drafts = Drafts::open(journal_dir, keystore.journal_key(drafts::JOURNAL_NAME))?;
        let identity = keystore.member().identity.clone();
        let (changed, _) = watch::channel(0);
        Ok(Self(Arc::new(Inner { member, identity, ledger, drafts: Mutex::new(drafts), changed })))
    }

    /// Sends to every validator until `stop` turns true; the own mempool stands for this member if it validates.
    ///
    /// # Errors
    /// [`OutboxError`] when the journal or the store fails: the agent must stop.
    pub async fn run(
        &self,
        peers: Arc<PeerClient>,
        directory: &Directory,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), OutboxError> {
        let mut couriers = JoinSet::new();
        for validator in directory.with_role(|roles| roles.validator) {
            let target = if *validator == self.0.member {
                Target::Own(self.0.ledger.clone())
            } else {
                Target::Peer(peers.clone(), validator.clone())
            };
            couriers.spawn(courier::deliver(self.clone(), target));
        }
        let stopped = async {
            // An error is a sender that is gone.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        tokio::select! {
            failed = self.settle_forever() => failed,
            () = stopped => Ok(()),
        }
    }

    /// Numbers, signs and journals a transaction; it is on its way when this returns. Waits while 1024 others are.
    ///
    /// # Errors
    /// [`OutboxError::Journal`]: nothing was sent.
    pub async fn submit(&self, body: TxBody, payload: Option<Vec<u8>>) -> Result<Submitted, OutboxError> {
        self.wait_until(|drafts| drafts.len() < MAX_DRAFTS).await?;
        let outbox = self.clone();
        blocking(move || outbox.draft(body, payload)).await
    }

    /// Waits until the chain has decided on a transaction; returns the block's height and the receipt code.
    ///
    /// # Errors
    /// [`OutboxError::SequenceConflict`], [`OutboxError::Store`].
    pub async fn await_outcome(&self, sequence: u64) -> Result<(Height, ReceiptCode), OutboxError> {
        let mut finalized = self.0.ledger.watch();
        loop {
            finalized.mark_unchanged();
            if let Some((id, height, code)) = self.0.ledger.outcome(&self.0.member, sequence)? {
                return match self.lock().is_ours(sequence, &id) {
                    true => Ok((height, code)),
                    false => Err(OutboxError::SequenceConflict { sequence }),
                };
            }
            finalized.changed().await.map_err(|_| OutboxError::Stopping)?;
        }
    }

    /// The number of the transaction on its way that says what `is_it` looks for.
    #[must_use]
    pub fn on_its_way(&self, is_it: impl Fn(&TxBody) -> bool) -> Option<u64> {
        let drafts = self.lock();
        drafts.iter().find(|draft| is_it(&draft.submission.transaction.transaction.body)).map(|draft| draft.sequence)
    }

    /// Waits until nothing is on its way.
    ///
    /// # Errors
    /// [`OutboxError::Stopping`].
    pub async fn drained(&self) -> Result<(), OutboxError> {
        self.wait_until(|drafts| drafts.len() == 0).await
    }

    /// Waits until nothing that `is_it` is on its way.
    ///
    /// # Errors
    /// [`OutboxError::Stopping`].
    pub async fn drained_of(&self, is_it: impl Fn(&TxBody) -> bool) -> Result<(), OutboxError> {
        self.wait_until(|drafts| !drafts.iter().any(|draft| is_it(&draft.submission.transaction.transaction.body)))
            .await
    }

    async fn wait_until(&self, holds: impl Fn(&Drafts) -> bool) -> Result<(), OutboxError> {
        let mut changed = self.0.changed.subscribe();
        while !holds(&self.lock()) {
            changed.changed().await.map_err(|_| OutboxError::Stopping)?;
        }
        Ok(())
    }

    fn draft(&self, body: TxBody, payload: Option<Vec<u8>>) -> Result<Submitted, OutboxError> {
        let mut drafts = self.lock();
        let view = self.0.ledger.view();
        let sequence = drafts.last_sequence().max(view.sequence(&self.0.member)) + 1;
        let transaction = self.sign(sequence, view.height(), body);
        let submitted = Submitted { sequence, id: transaction.id() };
        drafts.add(Submission { transaction, payload })?;
        drop(drafts);
        self.notify();
        Ok(submitted)
    }

    fn sign(&self, sequence: u64, height: Height, body: TxBody) -> SignedTransaction {
        let expiry = Height(height.0.saturating_add(EXPIRY_BLOCKS));
        let chain_id = *self.0.ledger.chain_id();
        let transaction = Transaction::new(chain_id, self.0.member.clone(), sequence, expiry, body);
        SignedTransaction::sign(transaction, &self.0.identity)
    }

    async fn settle_forever(&self) -> Result<(), OutboxError> {
        let mut finalized = self.0.ledger.watch();
        loop {
            finalized.mark_unchanged();
            let outbox = self.clone();
            blocking(move || outbox.settle()).await?;
            finalized.changed().await.map_err(|_| OutboxError::Stopping)?;
        }
    }

    /// Takes out what is final and signs anew what has expired.
    fn settle(&self) -> Result<(), OutboxError> {
        let mut drafts = self.lock();
        let view = self.0.ledger.view();
        let used = view.sequence(&self.0.member);
        let mut changed = false;
        for sequence in drafts.sequences_to(used) {
            let Some((id, height, code)) = self.0.ledger.outcome(&self.0.member, sequence)? else { continue };
            if code != ReceiptCode::Applied {
                tracing::warn!(sequence, %height, %code, "the chain refused a transaction");
            }
            if !drafts.is_ours(sequence, &id) {
                tracing::error!(sequence, "another copy of this agent used our sequence number");
            }
            drafts.finish(sequence, &id)?;
            changed = true;
        }
        for submission in drafts.expired(view.height()) {
            let Transaction { sequence, body, .. } = submission.transaction.transaction.clone();
            if sequence > used {
                drafts.replace(self.sign(sequence, view.height(), body))?;
                tracing::info!(sequence, "a transaction expired and was signed anew");
                changed = true;
            }
        }
        drafts.compact()?;
        drop(drafts);
        if changed {
            self.notify();
        }
        Ok(())
    }

    fn notify(&self) {
        self.0.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Drafts> {
        self.0.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OutboxError> + Send + 'static,
) -> Result<T, OutboxError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| OutboxError::Stopping)?
}

#[cfg(test)]
mod tests;
