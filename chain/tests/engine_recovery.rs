//! What a node does when its disk has lost something: rebuild from the block archive, or stop and say why.

#![allow(clippy::unwrap_used)]

mod consortium;

use std::fs;
use std::path::Path;

use consortium::{Consortium, outcome, reach, regulator, remove, stop, tip, validator};
use riskveil_chain::node::{Node, NodeError};
use riskveil_chain::receipt::ReceiptCode;
use riskveil_crypto::Digest32;
use riskveil_crypto::label::Row;
use riskveil_exchange::ids::{Height, Period};

/// A chain of one validator that has published rows; stopped, so that its directories can be harmed.
struct Stopped {
    consortium: Consortium,
    rows: Vec<Row>,
    height: u64,
    state_root: Digest32,
}

async fn stopped_after_a_publication() -> Stopped {
    let mut consortium = Consortium::new(1, |policy| {
        policy.term_blocks = 4;
        (policy.commit_delay_ms, policy.empty_block_ms) = (20, 50);
    });
    let node = consortium.start(&validator(1));
    let (publication, rows) = consortium.publication(&validator(1), 64);
    for submission in publication {
        node.ledger().submit(submission).unwrap();
    }
    node.ledger().submit(consortium.audit_access(1)).unwrap();
    outcome(&node, &validator(1), 2).await;
    outcome(&node, &regulator(), 1).await;
    reach(&node, 10).await;
    node.stop();
    node.stopped().await.unwrap();
    let view = node.ledger().view();
    let (height, state_root) = (view.header.height.0, view.header.state_root);
    Stopped { consortium, rows, height, state_root }
}

impl Stopped {
    /// Starts the node again and checks that nothing is missing and that the chain goes on.
    async fn is_whole_again(&self) {
        let node = self.consortium.start(&validator(1));
        assert!(tip(&node) >= self.height, "start returned at {} before the archive was replayed", tip(&node));
        let header = node.header(Height(self.height)).await.unwrap();
        assert_eq!(header.state_root, self.state_root);
        self.has_rows(&node);
        assert_eq!(outcome(&node, &regulator(), 1).await.1, ReceiptCode::Applied);
        reach(&node, tip(&node) + 3).await;
        node.ledger().submit(self.consortium.audit_access(2)).unwrap();
        assert_eq!(outcome(&node, &regulator(), 2).await.1, ReceiptCode::Applied);
        stop(node).await;
    }

    fn has_rows(&self, node: &Node) {
        assert!(node.ledger().index().holds(Period(0), &validator(1), 1));
        for row in &self.rows {
            let found = node.ledger().index().lookup(Period(0), &validator(1), 1, &row.tag).unwrap().unwrap();
            assert_eq!(found.row.to_bytes(), row.to_bytes());
        }
    }

    fn ledger(&self, part: &str) -> std::path::PathBuf {
        self.consortium.ledger_dir(&validator(1)).join(part)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_goes_on_where_it_was() {
    let stopped = stopped_after_a_publication().await;
    stopped.is_whole_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_ledger_is_rebuilt_from_the_block_archive() {
    let stopped = stopped_after_a_publication().await;
    remove(&stopped.consortium.ledger_dir(&validator(1)));
    stopped.is_whole_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_store_is_rebuilt_from_the_block_archive() {
    let stopped = stopped_after_a_publication().await;
    let damaged = overwrite_files(&stopped.ledger("state"));
    assert!(damaged > 0);
    stopped.is_whole_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_damaged_row_segments_are_rebuilt_from_the_block_archive() {
    let stopped = stopped_after_a_publication().await;
    remove(&stopped.ledger("segments"));
    stopped.is_whole_again().await;
    let damaged = overwrite_files(&stopped.ledger("segments"));
    assert!(damaged > 0);
    let node = stopped.consortium.start(&validator(1));
    stopped.has_rows(&node);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_cannot_be_written_stops_the_node_with_the_reason() {
    let mut consortium = Consortium::new(1, |policy| (policy.commit_delay_ms, policy.empty_block_ms) = (20, 50));
    let node = consortium.start(&validator(1));
    reach(&node, 2).await;
    // A file where rows belong: the next batch has no place to go, as on a full disk.
    let segments = consortium.ledger_dir(&validator(1)).join("segments");
    remove(&segments);
    fs::write(&segments, b"not a directory").unwrap();
    let (publication, rows) = consortium.publication(&validator(1), 64);
    for submission in publication {
        node.ledger().submit(submission).unwrap();
    }
    let reason = tokio::time::timeout(consortium::PATIENCE, node.stopped()).await.unwrap().unwrap_err();
    let NodeError::Ledger { height, .. } = &reason else { panic!("{reason}") };
    let height = *height;
    assert!(tip(&node) < height.0, "the view moved past a block that is not on disk");
    drop(node);

    // With the disk mended the same block is delivered again.
    fs::remove_file(&segments).unwrap();
    let node = consortium.start(&validator(1));
    reach(&node, height.0).await;
    let found = node.ledger().index().lookup(Period(0), &validator(1), 1, &rows[0].tag).unwrap();
    assert!(found.is_some());
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_that_lost_its_blocks_is_refused() {
    let stopped = stopped_after_a_publication().await;
    for entry in fs::read_dir(stopped.consortium.engine_dir(&validator(1))).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("blocks-") {
            remove(&path);
        }
    }
    let refused = stopped.consortium.try_start(&validator(1)).unwrap_err();
    let NodeError::ArchiveIncomplete { height } = refused else { panic!("{refused}") };
    assert_eq!(height, Height(1));
}

/// Overwrites the middle half of every file below `dir`, and returns how many there were.
fn overwrite_files(dir: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += overwrite_files(&path);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let (from, to) = (bytes.len() / 4, bytes.len() * 3 / 4);
        bytes[from..to].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        files += 1;
    }
    files
}
