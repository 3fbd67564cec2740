use riskveil_crypto::SecretBytes;
use riskveil_crypto::at_rest::KeyEncryptionKey;
use tempfile::TempDir;

use super::*;
use crate::dst;

fn key(byte: u8) -> AtRestKey {
    KeyEncryptionKey::from_key_file(SecretBytes::from_bytes([byte; 32])).purpose_key(dst::JOURNAL, b"queries")
}

fn open(dir: &TempDir) -> Result<Opened<String>, JournalError> {
    Journal::open(dir.path(), "queries", key(7))
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("queries.log")
}

/// A journal with three frames of one, two and one entries; returns the file and where each frame ends.
fn three_frames(dir: &TempDir) -> (Vec<u8>, Vec<u64>) {
    let mut journal = open(dir).unwrap().journal;
    let mut ends = vec![journal.length()];
    journal.append(&"first".to_owned()).unwrap();
    ends.push(journal.length());
    journal.append_all(&["second".to_owned(), "third".to_owned()]).unwrap();
    ends.push(journal.length());
    journal.append(&"a fourth entry that is the last".to_owned()).unwrap();
    ends.push(journal.length());
    (fs::read(file(dir)).unwrap(), ends)
}

#[test]
fn entries_come_back_in_order_and_are_not_readable_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = three_frames(&dir);
    assert_eq!(open(&dir).unwrap().entries, ["first", "second", "third", "a fourth entry that is the last"]);
    assert!(!bytes.windows(6).any(|window| window == b"fourth"));
}

#[test]
fn a_file_cut_anywhere_in_its_last_frame_opens_without_it_and_takes_new_entries() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_frames(&dir);
    for cut in ends[2]..ends[3] {
        fs::write(file(&dir), &bytes[..usize::try_from(cut).unwrap()]).unwrap();
        let mut opened = open(&dir).unwrap();
        assert_eq!(opened.entries, ["first", "second", "third"], "cut at {cut}");
        assert_eq!(opened.cut_bytes, cut - ends[2]);
        opened.journal.append(&"after".to_owned()).unwrap();
        assert_eq!(open(&dir).unwrap().entries[3..], ["after"]);
    }
}

#[test]
fn a_last_frame_that_does_not_open_or_is_all_zeros_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bytes, ends) = three_frames(&dir);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(file(&dir), &bytes).unwrap();
    assert_eq!(open(&dir).unwrap().entries.len(), 3);
    bytes[usize::try_from(ends[2]).unwrap()..].fill(0);
    fs::write(file(&dir), &bytes).unwrap();
    assert_eq!(open(&dir).unwrap().entries.len(), 3);
}

#[test]
fn one_flipped_byte_before_the_last_frame_is_an_error_that_names_the_frame_and_leaves_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_frames(&dir);
    for at in ends[0]..ends[2] {
        let mut damaged = bytes.clone();
        damaged[usize::try_from(at).unwrap()] ^= 0x10;
        fs::write(file(&dir), &damaged).unwrap();
        let (frame, offset) = if at < ends[1] { (1, ends[0]) } else { (2, ends[1]) };
        let error = open(&dir).unwrap_err();
        assert!(error.to_string().contains(&format!("frame {frame} at byte {offset}; restore it")), "{at}: {error}");
        assert_eq!(fs::read(file(&dir)).unwrap(), damaged);
    }
}

#[test]
fn frames_swapped_or_taken_from_the_middle_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, ends) = three_frames(&dir);
    let at = |frame: usize| usize::try_from(ends[frame]).unwrap();
    fs::write(file(&dir), [&bytes[..at(0)], &bytes[at(1)..at(2)], &bytes[at(0)..at(1)], &bytes[at(2)..]].concat())
        .unwrap();
    assert!(matches!(open(&dir), Err(JournalError::Damaged { frame: 1, .. })));
    fs::write(file(&dir), [&bytes[..at(1)], &bytes[at(2)..], &bytes[at(2)..]].concat()).unwrap();
    assert!(matches!(open(&dir), Err(JournalError::Damaged { frame: 2, .. })));
}

#[test]
fn another_key_another_name_and_another_file_are_told_apart_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(&dir);
    let wrong = Journal::<String>::open(dir.path(), "queries", key(8));
    assert!(matches!(wrong, Err(JournalError::WrongKey { .. })));
    fs::copy(file(&dir), dir.path().join("receipts.log")).unwrap();
    let renamed = Journal::<String>::open(dir.path(), "receipts", key(7));
    assert!(matches!(renamed, Err(JournalError::WrongKey { .. })));
    fs::write(file(&dir), b"not a journal at all").unwrap();
    assert!(matches!(open(&dir), Err(JournalError::NotAJournal { .. })));
    fs::write(file(&dir), MAGIC).unwrap();
    assert!(matches!(open(&dir), Err(JournalError::NotAJournal { .. })));
}

#[test]
fn entries_of_another_type_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(&dir);
    let other = Journal::<[u64; 9]>::open(dir.path(), "queries", key(7));
    assert!(matches!(other, Err(JournalError::Undecodable { frame: 1, .. })));
}

#[test]
fn an_entry_larger_than_a_frame_is_refused_and_many_large_ones_are_split() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(&dir).unwrap().journal;
    let huge = "x".repeat(MAX_PLAINTEXT_BYTES);
    assert!(matches!(journal.append(&huge), Err(JournalError::TooLarge { .. })));
    let large = "y".repeat(MAX_PLAINTEXT_BYTES / 3);
    journal.append_all(&vec![large; 4]).unwrap();
    assert_eq!(open(&dir).unwrap().entries.len(), 4);
}

#[test]
fn rewriting_replaces_the_content_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    three_frames(&dir);
    let mut journal = open(&dir).unwrap().journal;
    journal.rewrite(&["only".to_owned()]).unwrap();
    journal.append(&"next".to_owned()).unwrap();
    assert_eq!(open(&dir).unwrap().entries, ["only", "next"]);
}

#[tokio::test]
async fn entries_appended_by_many_tasks_are_all_on_disk_when_their_append_returns() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir).unwrap().journal.into_writer();
    let tasks: Vec<_> = (0..64)
        .map(|i| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.append(format!("entry {i}")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(open(&dir).unwrap().entries.len(), 64);
}

#[test]
fn a_reader_beside_the_writer_sees_every_whole_frame_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, _) = three_frames(&dir);
    // the start of a frame that is being written
    let longer = [bytes.as_slice(), &100u32.to_le_bytes(), &(!100u32).to_le_bytes(), &[7; 20]].concat();
    fs::write(file(&dir), &longer).unwrap();
    let mut seen: Vec<String> = Vec::new();
    Journal::read(dir.path(), "queries", key(7), |entry| seen.push(entry)).unwrap();
    assert_eq!(seen, ["first", "second", "third", "a fourth entry that is the last"]);
    assert_eq!(fs::read(file(&dir)).unwrap(), longer);
    let missing = Journal::<String>::read(dir.path(), "other", key(7), |_| ());
    assert!(matches!(missing, Err(JournalError::Io { .. })));
}
