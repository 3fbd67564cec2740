//! What the journals say: which queries are under way, which entries wait for a window, which window was built last.
//!
//! - **Place**: the memory behind [`super::QueryLog`]; rebuilt by replaying the frames in order
//! - **Invariants**: an entry is under way, or waits, or is in a built window: exactly one of the three

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use riskveil_crypto::{Digest32, codec};
use riskveil_exchange::{
    audit::entry::{LenderEntry, Outcome, QueryEntry, ReceiptEntry, ResponderEntry},
    disclose::entry::{DisclosureEntry, DisclosureReceipt},
    ids::{MemberId, Window},
};
use serde::{Deserialize, Serialize};

use super::Backlog;
use crate::leaf_watch::LeafWatch;

/// One step in `queries.log`.
#[derive(Serialize, Deserialize)]
pub(super) enum QueryFrame {
    /// Envelopes about to be sent.
    Begun { number: u64, entry: QueryEntry },
    /// The answers by envelope digest, and the window that was open.
    Finished { number: u64, window: Window, outcomes: Vec<(Digest32, Outcome)> },
    /// A built window.
    Built(Built),
    /// A disclosure about to be asked for; `Finished` follows as for a query.
    Asked { number: u64, entry: DisclosureEntry },
}

impl QueryFrame {
    pub(super) fn begun(number: u64, entry: LenderEntry) -> Self {
        match entry {
            LenderEntry::Query(entry) => Self::Begun { number, entry },
            LenderEntry::Disclosure(entry) => Self::Asked { number, entry },
        }
    }
}

/// One step in `receipts.log`.
#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a frame is written and dropped")]
pub(super) enum ReceiptFrame {
    /// A response about to leave, and the window that was open.
    Given { number: u64, window: Window, entry: ReceiptEntry },
    /// A built window.
    Built(Built),
    /// An answer to a disclosure about to leave, and the window that was open.
    Disclosed { number: u64, window: Window, entry: DisclosureReceipt },
}

impl ReceiptFrame {
    pub(super) fn given(number: u64, window: Window, entry: ResponderEntry) -> Self {
        match entry {
            ResponderEntry::Receipt(entry) => Self::Given { number, window, entry },
            ResponderEntry::Disclosure(entry) => Self::Disclosed { number, window, entry },
        }
    }
}

/// Who owes the chain which leaf for what was received.
pub(super) fn owed(entry: &ResponderEntry) -> (&MemberId, Digest32) {
    match entry {
        ResponderEntry::Receipt(entry) => (&entry.core.lender, entry.lender_leaf()),
        ResponderEntry::Disclosure(entry) => (&entry.head.lender, entry.lender_leaf()),
    }
}

/// A log payload as it was drawn: leaves, padding and sealed blob. It is what goes on chain, however often it is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// First window it covers.
    pub first: Window,
    /// Last window it covers.
    pub last: Window,
    /// Numbers of the entries in it.
    pub entries: Vec<u64>,
    /// Number of leaves.
    pub leaf_count: u32,
    /// Merkle root over the leaves.
    pub root: Digest32,
    /// The encoded log payload.
    #[serde(with = "serde_bytes")]
    pub payload: Vec<u8>,
    /// Leaves of receipts given before this window have all been found on chain; window 0 for queries.
    pub settled_before: Window,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("entries", &self.entries.len())
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// Entries of one kind that wait for a window, oldest first, and the window built last.
pub(super) struct Waiting<E> {
    entries: VecDeque<WaitingEntry<E>>,
    bytes: usize,
    last_built: Option<Built>,
}

struct WaitingEntry<E> {
    number: u64,
    window: Window,
    bytes: usize,
    entry: E,
}

impl<E> Default for Waiting<E> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, last_built: None }
    }
}

impl<E: Serialize + Clone> Waiting<E> {
    fn push(&mut self, number: u64, window: Window, entry: E) {
        let bytes = codec::encode(&entry).len();
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push_back(WaitingEntry { number, window, bytes, entry });
    }

    /// Entries of windows up to `closed`, oldest first, together at most `max_bytes` (but at least one).
    pub(super) fn up_to(&self, closed: Window, max_bytes: usize) -> Vec<(u64, E)> {
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        for waiting in self.entries.iter().filter(|waiting| waiting.window <= closed) {
            bytes = bytes.saturating_add(waiting.bytes);
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            taken.push((waiting.number, waiting.entry.clone()));
        }
        taken
    }

    /// Releases the entries of a built window.
    pub(super) fn built(&mut self, built: Built) {
        let numbers: BTreeSet<u64> = built.entries.iter().copied().collect();
        self.entries.retain(|waiting| !numbers.contains(&waiting.number));
        self.bytes = self.entries.iter().map(|waiting| waiting.bytes).sum();
        self.last_built = Some(built);
    }

    pub(super) fn last_built(&self) -> Option<Built> {
        self.last_built.clone()
    }
}

/// Everything that is not in a built window yet.
#[derive(Default)]
pub(super) struct Book {
    open_window: Window,
    next_number: u64,
    under_way: BTreeMap<u64, LenderEntry>,
    pub(super) queries: Waiting<LenderEntry>,
    pub(super) receipts: Waiting<ResponderEntry>,
}

impl Book {
    pub(super) fn set_open_window(&mut self, window: Window) {
        self.open_window = self.open_window.max(window);
    }

    /// A number that no entry has had.
    pub(super) fn draw_number(&mut self) -> u64 {
        let number = self.next_number;
        self.saw_number(number);
        number
    }

    pub(super) fn open_window(&self) -> Window {
        self.open_window
    }

    /// Takes an entry that is durable and about to be sent.
    pub(super) fn begun(&mut self, number: u64, entry: LenderEntry) {
        self.saw_number(number);
        self.under_way.insert(number, entry);
    }

    /// Moves an entry from under way to waiting, in the window that is open; none if it is not under way.
    pub(super) fn finish(&mut self, number: u64, outcomes: &[(Digest32, Outcome)]) -> Option<Window> {
        let mut entry = self.under_way.remove(&number)?;
        for (digest, outcome) in outcomes {
            if !entry.note_outcome(digest, outcome.clone()) {
                tracing::error!("an outcome names a request that was not journalled");
            }
        }
        self.queries.push(number, self.open_window, entry);
        Some(self.open_window)
    }

    /// Takes a receipt that is durable.
    pub(super) fn given(&mut self, number: u64, window: Window, entry: ResponderEntry) {
        self.saw_number(number);
        self.receipts.push(number, window, entry);
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog {
            queries: self.queries.entries.len(),
            query_bytes: self.queries.bytes,
            receipts: self.receipts.entries.len(),
            receipt_bytes: self.receipts.bytes,
        }
    }

    pub(super) fn replay_query(&mut self, frame: QueryFrame) {
        match frame {
            QueryFrame::Begun { number, entry } => self.begun(number, entry.into()),
            QueryFrame::Asked { number, entry } => self.begun(number, entry.into()),
            QueryFrame::Finished { number, window, outcomes } => {
                self.set_open_window(window);
                // A window can be built before the frame that says how one of its entries finished: then it is not under way.
                let _window = self.finish(number, &outcomes);
            }
            QueryFrame::Built(built) => {
                built.entries.iter().for_each(|number| drop(self.under_way.remove(number)));
                self.queries.built(built);
            }
        }
    }

    pub(super) fn replay_receipt(
        &mut self,
        frame: ReceiptFrame,
        watch: &LeafWatch,
        on_receipt: &mut impl FnMut(&ResponderEntry),
    ) {
        let (number, window, entry) = match frame {
            ReceiptFrame::Given { number, window, entry } => (number, window, ResponderEntry::Receipt(entry)),
            ReceiptFrame::Disclosed { number, window, entry } => (number, window, ResponderEntry::Disclosure(entry)),
            ReceiptFrame::Built(built) => {
                watch.resume(built.settled_before);
                return self.receipts.built(built);
            }
        };
        on_receipt(&entry);
        self.set_open_window(window);
        let (lender, leaf) = owed(&entry);
        watch.expect(lender, leaf, window);
        self.given(number, window, entry);
    }

    /// After a replay nobody waits for answers: what is under way has finished unanswered.
    pub(super) fn settle_interrupted(&mut self) -> usize {
        let interrupted: Vec<u64> = self.under_way.keys().copied().collect();
        interrupted.iter().filter(|number| self.finish(**number, &[]).is_some()).count()
    }

    fn saw_number(&mut self, number: u64) {
        self.next_number = self.next_number.max(number.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(first: u64, last: u64, entries: &[u64]) -> Built {
        Built {
            first: Window(first),
            last: Window(last),
            entries: entries.to_vec(),
            leaf_count: 4,
            root: Digest32::ZERO,
            payload: vec![1],
            settled_before: Window(0),
        }
    }

    fn numbers(taken: &[(u64, Vec<u8>)]) -> Vec<u64> {
        taken.iter().map(|(number, _)| *number).collect()
    }

    #[test]
    fn an_entry_is_taken_by_the_first_window_that_closes_after_it_and_never_twice() {
        let mut waiting = Waiting::default();
        waiting.push(1, Window(5), vec![0; 10]);
        waiting.push(2, Window(6), vec![0; 10]);
        assert_eq!(numbers(&waiting.up_to(Window(4), 1000)), [0_u64; 0]);
        assert_eq!(numbers(&waiting.up_to(Window(5), 1000)), [1]);
        waiting.built(built(0, 5, &[1]));
        assert_eq!(numbers(&waiting.up_to(Window(5), 1000)), [0_u64; 0]);
        assert_eq!(numbers(&waiting.up_to(Window(9), 1000)), [2], "a range of several windows takes all of them");
        assert_eq!(waiting.last_built(), Some(built(0, 5, &[1])));
    }

    #[test]
    fn what_does_not_fit_waits_for_the_next_window_in_its_order() {
        let mut waiting = Waiting::default();
        for number in 0..4 {
            waiting.push(number, Window(1), vec![0_u8; 99]);
        }
        assert_eq!(waiting.bytes, 400);
        assert_eq!(numbers(&waiting.up_to(Window(1), 250)), [0, 1]);
        assert_eq!(numbers(&waiting.up_to(Window(1), 10)), [0], "at least one");
        waiting.built(built(0, 1, &[0, 1]));
        assert_eq!(numbers(&waiting.up_to(Window(2), 250)), [2, 3]);
        assert_eq!(waiting.bytes, 200);
    }

    #[test]
    fn the_open_window_never_goes_back() {
        let mut book = Book::default();
        book.set_open_window(Window(7));
        book.set_open_window(Window(3));
        assert_eq!(book.open_window(), Window(7));
    }
}
