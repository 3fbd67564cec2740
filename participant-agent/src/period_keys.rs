//! A publisher's OPRF key of the period: drawn, stored, announced, bound to every live audit key, destroyed after its period.
//!
//! - **Place**: before A3 and B4; one key per (publisher, period), stored before it is announced
//! - **Invariants**: a key that [`ensure`] returns is the one the finalized state has, and this machine holds its secret
//! - **Errors**: [`PeriodKeyError`]
//! - **Security**: the secret is in the key store (one overwritable file a key) and in memory, nowhere else
//! - **Source**: DESIGN.md sections 3 ("Keys of a period") and 4 ("Period boundary")

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::OsRng;
use riskveil_chain::receipt::ReceiptCode;
use riskveil_chain::state::view::{AuditKeyState, FinalizedView, StateRead};
use riskveil_chain::tx::{AnnouncePeriodKey, AuditKeyBinding, BindAuditKey, TxBody};
use riskveil_crypto::announce::bind_key;
use riskveil_crypto::oprf::OprfSecretKey;
use riskveil_exchange::ids::{Height, Period};
use riskveil_exchange::publish::PeriodKeyId;

use crate::context::Context;
use crate::keystore::{Keystore, KeystoreError};
use crate::outbox::OutboxError;

/// Least time that an ended period's key is kept, s (DESIGN.md section 4, "Period boundary").
const KEEP_AFTER_END_S: u64 = 600;

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodKeyError {
    /// The key store.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The chain has a key of ours whose secret is not in the key store.
    #[error(
        "the secret of this publisher's key in period {0} is not in the key store: restore keys/periods from where it was, or wait for the next period"
    )]
    SecretMissing(Period),
    /// The key of the period was revoked and no other was announced.
    #[error("this publisher's key in period {0} is revoked")]
    Revoked(Period),
    /// The chain refused the announcement.
    #[error("the chain refused the period key: {0}")]
    Refused(ReceiptCode),
}

/// A live key and its names.
#[derive(Clone)]
pub struct LiveKey {
    /// Chain, publisher, period and serial.
    pub id: PeriodKeyId,
    /// The secret.
    pub sk: Arc<OprfSecretKey>,
}

impl fmt::Debug for LiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveKey(period {}, serial {})", self.id.period, self.id.key_serial)
    }
}

/// The key store's period keys, loaded once.
pub struct PeriodKeys {
    keystore: Arc<Keystore>,
    loaded: Mutex<BTreeMap<(Period, u32), Arc<OprfSecretKey>>>,
    destroyed_before: AtomicU32,
}

impl fmt::Debug for PeriodKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeriodKeys(..)")
    }
}

impl PeriodKeys {
    /// The period keys of this key store.
    #[must_use]
    pub fn new(keystore: Arc<Keystore>) -> Self {
        Self { keystore, loaded: Mutex::new(BTreeMap::new()), destroyed_before: AtomicU32::new(0) }
    }

    /// The secret of a key, if this machine holds it.
    ///
    /// # Errors
    /// [`KeystoreError`] when its file does not open.
    pub fn secret(&self, period: Period, key_serial: u32) -> Result<Option<Arc<OprfSecretKey>>, KeystoreError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sk) = loaded.get(&(period, key_serial)) {
            return Ok(Some(sk.clone()));
        }
        let Some(sk) = self.keystore.period_key(period, key_serial)? else { return Ok(None) };
        let sk = Arc::new(sk);
        loaded.insert((period, key_serial), sk.clone());
        Ok(Some(sk))
    }

    /// The secret of a key that is stored already, or a fresh one, stored before this returns.
    fn secret_or_fresh(&self, period: Period, key_serial: u32) -> Result<Arc<OprfSecretKey>, KeystoreError> {
        if let Some(sk) = self.secret(period, key_serial)? {
            return Ok(sk);
        }
        let sk = OprfSecretKey::generate(&mut OsRng);
        self.keystore.store_period_key(period, key_serial, &sk)?;
        let sk = Arc::new(sk);
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert((period, key_serial), sk.clone());
        Ok(sk)
    }

    /// Destroys every key of a period before `first_kept`.
    fn destroy_before(&self, first_kept: Period) -> Result<(), KeystoreError> {
        if self.destroyed_before.load(Ordering::Relaxed) >= first_kept.0 {
            return Ok(());
        }
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).retain(|(period, _), _| *period >= first_kept);
        for (period, key_serial) in self.keystore.period_keys()? {
            if period < first_kept {
                self.keystore.destroy_period_key(period, key_serial)?;
                tracing::info!(%period, key_serial, "the key of an ended period was destroyed");
            }
        }
        self.destroyed_before.store(first_kept.0, Ordering::Relaxed);
        Ok(())
    }
}

/// The period that publications go to at a finalized view: the one its header time is in, or the next one from the freeze
/// on, so that the next snapshot is sealed when its period begins.
#[must_use]
pub fn target(context: &Context, view: &FinalizedView) -> Period {
    let genesis = context.ledger.genesis();
    let period = view.period(genesis);
    if view.time_s() >= genesis.freeze_start_s(period) { period.next() } else { period }
}

/// This publisher's key of a period, current or next: as announced, or announced now, bound to every audit key.
///
/// # Errors
/// [`PeriodKeyError`].
pub async fn ensure(context: &Context, period: Period) -> Result<LiveKey, PeriodKeyError> {
    let view = context.ledger.view();
    if view.period_key(period, &context.member.id).is_none() {
        announce(context, &view, period).await?;
    }
    let view = context.ledger.view();
    let key = live(context, &view, period)?.ok_or(PeriodKeyError::SecretMissing(period))?;
    bind_missing(context, &view, &key).await?;
    Ok(key)
}

/// This publisher's key of a period as a finalized view has it; none if the view has none.
///
/// # Errors
/// [`PeriodKeyError::SecretMissing`], [`PeriodKeyError::Revoked`], [`PeriodKeyError::Keystore`].
pub fn live(context: &Context, view: &FinalizedView, period: Period) -> Result<Option<LiveKey>, PeriodKeyError> {
    let Some(state) = view.period_key(period, &context.member.id) else { return Ok(None) };
    if state.revoked {
        return Err(PeriodKeyError::Revoked(period));
    }
    let sk = context.period_keys.secret(period, state.key_serial)?.ok_or(PeriodKeyError::SecretMissing(period))?;
    if sk.public_key() != state.k {
        return Err(PeriodKeyError::SecretMissing(period));
    }
    Ok(Some(LiveKey { id: key_id(context, period, state.key_serial), sk }))
}

/// Destroys the keys of periods that ended long enough ago, by header time; does nothing if that is done.
///
/// # Errors
/// [`KeystoreError`] when a file cannot be overwritten.
pub fn destroy_ended(context: &Context) -> Result<(), KeystoreError> {
    let view = context.ledger.view();
    let genesis = context.ledger.genesis();
    let settled_s = view.time_s().saturating_sub(KEEP_AFTER_END_S);
    context.period_keys.destroy_before(genesis.policy.period_at(genesis.genesis_time_s, settled_s))
}

async fn announce(context: &Context, view: &FinalizedView, period: Period) -> Result<(), PeriodKeyError> {
    let sk = context.period_keys.secret_or_fresh(period, 0)?;
    let id = key_id(context, period, 0);
    let bindings = bound_keys(view).iter().map(|audit_key| bind(&sk, &id, audit_key)).collect();
    let body = AnnouncePeriodKey { period, key_serial: 0, k: sk.public_key(), bindings };
    match applied(context, TxBody::AnnouncePeriodKey(body)).await? {
        // announced by the transaction of an earlier run
        (_, ReceiptCode::Applied | ReceiptCode::KeyAlreadyLive) => Ok(()),
        (_, code) => Err(PeriodKeyError::Refused(code)),
    }
}

/// Binds the key to audit keys that were announced after it.
async fn bind_missing(context: &Context, view: &FinalizedView, key: &LiveKey) -> Result<(), PeriodKeyError> {
    let PeriodKeyId { period, key_serial, .. } = key.id;
    for audit_key in bound_keys(view) {
        if view.binding(period, &context.member.id, audit_key.audit_key_id).is_some() {
            continue;
        }
        let binding = bind(&key.sk, &key.id, &audit_key);
        match applied(context, TxBody::BindAuditKey(BindAuditKey { period, key_serial, binding })).await? {
            (_, ReceiptCode::Applied | ReceiptCode::BindingExists) => {}
            (_, code) => return Err(PeriodKeyError::Refused(code)),
        }
    }
    Ok(())
}

/// Audit keys that are live or will be: each gets a binding.
fn bound_keys(view: &FinalizedView) -> Vec<AuditKeyState> {
    view.audit_keys().into_iter().filter(|key| key.until_s > view.time_s()).collect()
}

fn bind(sk: &OprfSecretKey, id: &PeriodKeyId, audit_key: &AuditKeyState) -> AuditKeyBinding {
    let bound = bind_key(sk, &audit_key.y, &id.binding_context(audit_key.audit_key_id), &mut OsRng);
    AuditKeyBinding { audit_key_id: audit_key.audit_key_id, k_y: bound.k_y, proof: bound.proof }
}

async fn applied(context: &Context, body: TxBody) -> Result<(Height, ReceiptCode), OutboxError> {
    let submitted = context.outbox.submit(body, None).await?;
    context.outbox.await_outcome(submitted.sequence).await
}

fn key_id(context: &Context, period: Period, key_serial: u32) -> PeriodKeyId {
    PeriodKeyId { chain_id: context.chain_id, publisher: context.member.id.clone(), period, key_serial }
}
