//! Opens the log windows that the chain holds and accounts for every leaf.
//!
//! - **Place**: B10, payloads as executed -> [`OpenedLogs`] -> `audit::reconcile`, `audit::subject`
//! - **Invariants**: an entry in [`OpenedLogs`] came out of a blob that its member sealed; whether it is true is what
//!   reconciliation checks
//! - **Errors**: findings `blob_unopenable`, `leaf_without_entry`, `entry_invalid(leaf_missing)`
//! - **Security**: entries hold ciphertexts and digests; identifiers appear only when a seal is opened
//! - **Source**: DESIGN.md section 4, "the regulator accounts for every leaf"

use std::collections::BTreeSet;

use riskveil_crypto::Digest32;
use riskveil_crypto::escrow::AuditKeyPair;
use riskveil_crypto::seal::SealSecretKey;

use crate::audit::entry::{LenderEntry, LogEntry, LogKind, QueryEntry, ReceiptEntry, ResponderEntry};
use crate::audit::finding::{EntryFault, Finding, FindingKind, Proof};
use crate::audit::spread::{InTurn, Spread};
use crate::audit::window::{LogPayload, SealedWindow, WindowScope};
use crate::disclose::entry::{DisclosureEntry, DisclosureReceipt};
use crate::ids::{AuditKeyId, Height, Window};

/// A regulator's two secrets of one audit key.
#[derive(Clone, Copy, Debug)]
pub struct RegulatorKey<'a> {
    /// Its number.
    pub id: AuditKeyId,
    /// Opens ciphertexts.
    pub audit: &'a AuditKeyPair,
    /// Opens seals and blobs.
    pub seal: &'a SealSecretKey,
}

/// A log transaction as it was executed.
#[derive(Clone, Copy, Debug)]
pub struct SeenWindow<'a> {
    /// Queries or receipts.
    pub kind: LogKind,
    /// Chain, member and windows.
    pub scope: &'a WindowScope,
    /// The block.
    pub height: Height,
    /// Its header time, Unix seconds.
    pub header_time_s: u64,
    /// What it carried.
    pub payload: &'a LogPayload,
}

/// Where something was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Queries or receipts.
    pub kind: LogKind,
    /// Chain, member and windows.
    pub scope: WindowScope,
    /// The block.
    pub height: Height,
    /// Its header time, Unix seconds.
    pub header_time_s: u64,
    /// The root over the window's leaves.
    pub root: Digest32,
    /// The number of leaves, padding included.
    pub leaf_count: u32,
}

impl LoggedIn {
    /// The log transaction as a proof.
    #[must_use]
    pub fn proof(&self) -> Proof {
        Proof::OnChain {
            kind: self.kind,
            member: self.scope.member.clone(),
            first_window: self.scope.first_window,
            last_window: self.scope.last_window,
            height: self.height,
            root: self.root,
        }
    }
}

/// An entry and where it was logged.
#[derive(Clone, Debug)]
pub struct Logged<E> {
    /// The entry.
    pub entry: E,
    /// Index into [`OpenedLogs::windows`].
    pub window: usize,
    /// For each of the entry's leaves: it is among the window's leaves.
    pub on_chain: Vec<bool>,
}

/// Every log that was opened.
#[derive(Clone, Debug, Default)]
pub struct OpenedLogs {
    /// The windows, in the order in which they were added.
    pub windows: Vec<LoggedIn>,
    /// Lenders' queries.
    pub queries: Vec<Logged<QueryEntry>>,
    /// Responders' receipts of queries.
    pub receipts: Vec<Logged<ReceiptEntry>>,
    /// Disclosures that lenders asked for.
    pub disclosures: Vec<Logged<DisclosureEntry>>,
    /// Publishers' receipts of disclosures.
    pub disclosure_receipts: Vec<Logged<DisclosureReceipt>>,
    /// What was wrong with windows.
    pub findings: Vec<Finding>,
}

impl OpenedLogs {
    /// Opens one window with the key that its blob names.
    pub fn add(&mut self, seen: &SeenWindow<'_>, keys: &[RegulatorKey<'_>]) {
        self.add_all(std::slice::from_ref(seen), keys, &InTurn);
    }

    /// Opens windows with the keys that their blobs name, as if they were added one after the other.
    pub fn add_all(&mut self, windows: &[SeenWindow<'_>], keys: &[RegulatorKey<'_>], spread: &impl Spread) {
        for opened in spread.map(windows, |seen| OpenedLog::open(seen, keys)) {
            self.append(opened);
        }
    }

    fn append(&mut self, opened: OpenedLog) {
        let window = self.windows.len();
        match opened.entries {
            Entries::Lender(read) => {
                for (entry, on_chain) in read {
                    match entry {
                        LenderEntry::Query(entry) => self.queries.push(Logged { entry, window, on_chain }),
                        LenderEntry::Disclosure(entry) => self.disclosures.push(Logged { entry, window, on_chain }),
                    }
                }
            }
            Entries::Responder(read) => {
                for (entry, on_chain) in read {
                    match entry {
                        ResponderEntry::Receipt(entry) => self.receipts.push(Logged { entry, window, on_chain }),
                        ResponderEntry::Disclosure(entry) => {
                            self.disclosure_receipts.push(Logged { entry, window, on_chain });
                        }
                    }
                }
            }
        }
        self.findings.extend(opened.findings);
        self.windows.push(opened.logged_in);
    }

    /// The last window that was added of each (kind, member) is at least this one; none if there is none.
    #[must_use]
    pub fn last_window(&self) -> Option<Window> {
        self.windows.iter().map(|window| window.scope.last_window).max()
    }
}

/// One window on its own.
struct OpenedLog {
    logged_in: LoggedIn,
    entries: Entries,
    findings: Vec<Finding>,
}

/// Entries, and for each leaf of one whether it is among the window's.
enum Entries {
    Lender(Vec<(LenderEntry, Vec<bool>)>),
    Responder(Vec<(ResponderEntry, Vec<bool>)>),
}

impl OpenedLog {
    fn open(seen: &SeenWindow<'_>, keys: &[RegulatorKey<'_>]) -> Self {
        let logged_in = LoggedIn {
            kind: seen.kind,
            scope: seen.scope.clone(),
            height: seen.height,
            header_time_s: seen.header_time_s,
            root: seen.payload.root(),
            leaf_count: seen.payload.count(),
        };
        let mut findings = Vec::new();
        let entries = match seen.kind {
            LogKind::Queries => Entries::Lender(read(seen, &logged_in, keys, &mut findings)),
            LogKind::Receipts => Entries::Responder(read(seen, &logged_in, keys, &mut findings)),
        };
        Self { logged_in, entries, findings }
    }
}

fn read<E: LogEntry>(
    seen: &SeenWindow<'_>,
    logged_in: &LoggedIn,
    keys: &[RegulatorKey<'_>],
    findings: &mut Vec<Finding>,
) -> Vec<(E, Vec<bool>)> {
    let member = &seen.scope.member;
    let key = SealedWindow::audit_key_id(&seen.payload.blob).and_then(|id| keys.iter().find(|key| key.id == id));
    let opened = key.and_then(|key| SealedWindow::open::<E>(seen.scope, &seen.payload.blob, key.seal).ok());
    let Some(opened) = opened else {
        findings.push(Finding::new(FindingKind::BlobUnopenable, member.clone(), vec![logged_in.proof()]));
        return Vec::new();
    };
    let mut unaccounted: BTreeSet<Digest32> = seen.payload.leaves.iter().copied().collect();
    for leaf in &opened.padding {
        unaccounted.remove(leaf);
    }
    let mut logged = Vec::with_capacity(opened.entries.len());
    for entry in opened.entries {
        let on_chain: Vec<bool> = entry.leaves().iter().map(|leaf| unaccounted.remove(leaf)).collect();
        if on_chain.is_empty() || on_chain.contains(&false) {
            let mut finding = Finding::new(FindingKind::EntryInvalid, member.clone(), vec![logged_in.proof()]);
            finding.fault = Some(EntryFault::LeafMissing);
            findings.push(finding);
        }
        logged.push((entry, on_chain));
    }
    for leaf in unaccounted {
        let mut finding = Finding::new(FindingKind::LeafWithoutEntry, member.clone(), vec![logged_in.proof()]);
        finding.leaf = Some(leaf);
        findings.push(finding);
    }
    logged
}
