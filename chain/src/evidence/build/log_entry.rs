//! The evidence of one logged query, from the regulator's opened logs, its audit key and the blocks.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::codec;
use riskveil_crypto::digest::{Digest32, sha256};
use riskveil_crypto::escrow::{AuditKeyPair, dummy_element};
use riskveil_crypto::escrow_opening::prove_decryption;
use riskveil_crypto::merkle::{InclusionProof, MerkleTree, leaf_hash};
use riskveil_crypto::oprf::input_element;
use riskveil_exchange::audit::leaf::{query_leaf, receipt_leaf};
use riskveil_exchange::audit::{EntryEnvelope, LogKind, LogPayload, QueryEntry};
use riskveil_exchange::ids::{MemberId, Window};
use riskveil_exchange::query::messages::Shape;
use riskveil_exchange::query::seal::Consent;
use riskveil_exchange::record::Identifier;

use super::{BuildError, Draft};
use crate::block::{Block, receipts_root};
use crate::dst;
use crate::evidence::format::{
    Blob, Claim, ItemDecryption, LogClaim, LoggedEnvelope, LoggedReceipt, LoggedTransaction,
};
use crate::evidence::request::item_context;
use crate::ledger::Ledger;
use crate::receipt::{Receipt, ReceiptCode};
use crate::state::keys;
use crate::tx::{LogWindows, SignedTransaction, TxBody, tx_id};

/// Where a member logged something.
#[derive(Clone, Copy, Debug)]
pub struct LoggedIn<'a> {
    /// The block.
    pub block: &'a Block,
    /// First window of the log transaction.
    pub first_window: Window,
}

/// What a regulator holds of a logged query.
#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// The lender's entry.
    pub entry: &'a QueryEntry,
    /// Whom each item asks about, as the seal says; none for a dummy.
    pub identifiers: Vec<Option<Identifier>>,
    /// The consent in the seal.
    pub consent: Consent,
    /// Where the lender logged it.
    pub queries: LoggedIn<'a>,
    /// Where responders logged its receipts.
    pub receipts: BTreeMap<MemberId, LoggedIn<'a>>,
}

/// Drafts the evidence of a logged query under the replica's tip.
///
/// # Errors
/// [`BuildError::NotACheck`], [`BuildError::LogMissing`], [`BuildError::RecordIncomplete`].
pub fn log_entry(
    ledger: &Ledger,
    record: &LogRecord<'_>,
    audit: &AuditKeyPair,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Draft, BuildError> {
    let core = &record.entry.core;
    if core.shape != Shape::Check {
        return Err(BuildError::NotACheck);
    }
    let items = items(record, audit, rng).ok_or(BuildError::RecordIncomplete)?;
    let queries = logged(ledger, &core.lender, LogKind::Queries, &record.queries)?;
    let mut sent: Vec<&EntryEnvelope> = record.entry.envelopes.iter().collect();
    sent.sort_by(|a, b| a.envelope.publisher.cmp(&b.envelope.publisher));
    let envelopes: Result<Vec<LoggedEnvelope>, BuildError> =
        sent.into_iter().map(|one| envelope(ledger, record, &queries, one)).collect();
    let claim = LogClaim {
        core: Blob(codec::encode(core)),
        proofs: Blob(codec::encode(&record.entry.proofs)),
        items,
        consent_digest: record.consent.digest,
        consent_salt: record.consent.salt,
        queries: queries.claim,
        envelopes: envelopes?,
    };
    let keys = BTreeSet::from([keys::audit_key(core.audit_key_id)]);
    let mut draft = Draft::new(ledger, &ledger.view(), &keys, Claim::LogEntry(Box::new(claim)));
    draft.heights.insert(record.queries.block.header.height);
    draft.heights.extend(record.receipts.values().map(|logged| logged.block.header.height));
    Ok(draft)
}

fn items(
    record: &LogRecord<'_>,
    audit: &AuditKeyPair,
    rng: &mut (impl RngCore + CryptoRng),
) -> Option<Vec<ItemDecryption>> {
    let core = &record.entry.core;
    if record.identifiers.len() != core.items.len() {
        return None;
    }
    let mut opened = Vec::new();
    for (index, (identifier, item)) in record.identifiers.iter().zip(&core.items).enumerate() {
        let context = item_context(dst::EVIDENCE_SUBJECT, &core.chain_id, &core.digest(), index);
        opened.push(match identifier {
            Some(identifier) => {
                let element = input_element(&identifier.oprf_input()).ok()?;
                let canonical = identifier.canonical_expose(|text| text.as_bytes().to_vec());
                let proof = prove_decryption(audit, item, &element, &context, rng);
                ItemDecryption::Identifier { canonical: Blob(canonical), proof }
            }
            None => {
                let proof = prove_decryption(audit, item, &dummy_element(), &context, rng);
                ItemDecryption::Dummy { proof }
            }
        });
    }
    Some(opened)
}

fn envelope(
    ledger: &Ledger,
    record: &LogRecord<'_>,
    queries: &Logged,
    sent: &EntryEnvelope,
) -> Result<LoggedEnvelope, BuildError> {
    let (envelope, digest) = (&sent.envelope, sent.envelope.digest());
    let missing = |member: &MemberId| BuildError::LogMissing(member.clone());
    let leaf = queries.leaf(&query_leaf(&envelope.salt, &digest)).ok_or_else(|| missing(&record.entry.core.lender))?;
    let receipt = match record.receipts.get(&envelope.publisher) {
        None => None,
        Some(place) => {
            let logged = logged(ledger, &envelope.publisher, LogKind::Receipts, place)?;
            let leaf = logged.leaf(&receipt_leaf(&envelope.salt, &digest));
            let leaf = leaf.ok_or_else(|| missing(&envelope.publisher))?;
            Some(LoggedReceipt { transaction: logged.claim, leaf })
        }
    };
    Ok(LoggedEnvelope {
        envelope: Blob(codec::encode(envelope)),
        signature: sent.signature,
        leaf,
        outcome: sent.outcome.clone(),
        receipt,
    })
}

struct Logged {
    claim: LoggedTransaction,
    leaves: Vec<Digest32>,
}

impl Logged {
    fn leaf(&self, leaf: &Digest32) -> Option<InclusionProof> {
        let index = self.leaves.binary_search(leaf).ok()?;
        let tree = MerkleTree::new(self.leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes())).collect());
        tree.prove(index as u64).ok()
    }
}

fn logged(ledger: &Ledger, member: &MemberId, kind: LogKind, place: &LoggedIn<'_>) -> Result<Logged, BuildError> {
    find(ledger, member, kind, place).ok_or_else(|| BuildError::LogMissing(member.clone()))
}

fn find(ledger: &Ledger, member: &MemberId, kind: LogKind, place: &LoggedIn<'_>) -> Option<Logged> {
    let block = place.block;
    let is_it = |bytes: &Vec<u8>| {
        windows_of(bytes, member, kind).is_some_and(|windows| windows.first_window == place.first_window)
    };
    let position = block.transactions.iter().position(is_it)?;
    let transaction = block.transactions.get(position)?;
    let windows = windows_of(transaction, member, kind)?;
    let payload = block.payloads.iter().find(|payload| sha256(payload) == windows.log.digest)?;
    let payload = LogPayload::decode(payload, payload.len(), ledger.genesis().policy.min_log_bucket).ok()?;
    let receipts: Vec<Digest32> = receipts(ledger, block)?.iter().map(|one| leaf_hash(&one.encode())).collect();
    let claim = LoggedTransaction {
        height: block.header.height,
        transaction: Blob(transaction.clone()),
        inclusion: block.prove_transaction(position)?,
        receipt: MerkleTree::new(receipts).prove(position as u64).ok()?,
    };
    Some(Logged { claim, leaves: payload.leaves })
}

fn windows_of(bytes: &[u8], member: &MemberId, kind: LogKind) -> Option<LogWindows> {
    let transaction = SignedTransaction::decode(bytes).ok()?.transaction;
    match (transaction.body, kind) {
        _ if transaction.sender != *member => None,
        (TxBody::LogQueries(windows), LogKind::Queries) | (TxBody::LogReceipts(windows), LogKind::Receipts) => {
            Some(windows)
        }
        _ => None,
    }
}

/// The receipts of a block: the ledger keeps the codes of what used up a sequence number. Others stand in a block only if its
/// proposer put them there for nothing; the block's root tells the code of one such transaction.
fn receipts(ledger: &Ledger, block: &Block) -> Option<Vec<Receipt>> {
    let mut receipts = Vec::with_capacity(block.transactions.len());
    let mut unknown = Vec::new();
    for bytes in &block.transactions {
        let id = tx_id(bytes);
        let code = match SignedTransaction::decode(bytes) {
            Err(_) => Some(ReceiptCode::Malformed),
            Ok(signed) => {
                let known = ledger.outcome(&signed.transaction.sender, signed.transaction.sequence).ok()?;
                known.filter(|(tx, height, _)| *tx == id && *height == block.header.height).map(|(_, _, code)| code)
            }
        };
        if code.is_none() {
            unknown.push(receipts.len());
        }
        receipts.push(Receipt { tx: id, code: code.unwrap_or(ReceiptCode::SequenceNotNext) });
    }
    if receipts_root(&receipts) == block.header.receipts_root {
        return Some(receipts);
    }
    let [at] = unknown.as_slice() else { return None };
    ReceiptCode::ALL.iter().filter(|code| !code.consumes_sequence()).find_map(|code| {
        receipts.get_mut(*at)?.code = *code;
        (receipts_root(&receipts) == block.header.receipts_root).then(|| receipts.clone())
    })
}
