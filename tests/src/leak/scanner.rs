//! Finds any of many people in bytes, in every form in which an identifier could have leaked, in one pass.
//!
//! - **Shapes**: per text: raw; hex in both cases; base64 and base64url at the three alignments; and for each plain hash
//!   (MD5, SHA-1, SHA-256, SM3) its digest raw, hex and base64. Names also in GB 18030
//! - **Invariants**: a pattern shorter than [`SHORTEST`] bytes is left out, because chance alone would find it

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::hashes;

/// Bytes of the window that is looked up; no pattern is shorter.
pub const SHORTEST: usize = 6;
const FILTER_BITS: u32 = 26;

/// What a pattern is a form of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form {
    /// "id_number 3", never the number itself.
    pub of: String,
    /// "raw", "hex", "sha256 base64", ...
    pub form: String,
}

/// A pattern that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Where the bytes come from.
    pub source: String,
    /// At which byte.
    pub offset: usize,
    /// What was found.
    pub what: Form,
}

/// The patterns, ready to search.
pub struct Scanner {
    filter: Vec<u64>,
    by_window: HashMap<u64, Vec<usize>>,
    patterns: Vec<(Vec<u8>, Form)>,
    /// Bytes looked at so far, by kind of source.
    pub scanned: BTreeMap<String, u64>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scanner({} patterns)", self.patterns.len())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The characters of the base64 of any text that holds `bytes` at offset 0, 1 or 2 modulo 3 which depend on `bytes` alone.
fn base64_forms(bytes: &[u8]) -> BTreeSet<(usize, Vec<u8>)> {
    let mut forms = BTreeSet::new();
    for shift in 0..3 {
        let text = [&[0; 3][..shift], bytes].concat();
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            // a character carries 6 bits: it is ours alone if none of them is of a neighbour
            let first = (shift * 8).div_ceil(6);
            let last = (text.len() * 8) / 6;
            forms.insert((shift, encoded.as_bytes()[first..last].to_vec()));
        }
    }
    forms
}

/// Every form of one text.
#[must_use]
pub fn forms(text: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut encodings = |name: &str, bytes: &[u8]| {
        let dash = if name.is_empty() { "" } else { " " };
        all.push((format!("{name}{dash}raw"), bytes.to_vec()));
        all.push((format!("{name}{dash}hex"), hex(bytes).into_bytes()));
        all.push((format!("{name}{dash}HEX"), hex(bytes).to_uppercase().into_bytes()));
        for (shift, encoded) in base64_forms(bytes) {
            all.push((format!("{name}{dash}base64+{shift}"), encoded));
        }
    };
    encodings("", text);
    for (name, digest) in ["md5", "sha1", "sha256", "sm3"].iter().zip(hashes::all(text)) {
        encodings(name, &digest);
    }
    all
}

fn window(bytes: &[u8]) -> Option<u64> {
    let window: [u8; SHORTEST] = bytes.get(..SHORTEST)?.try_into().ok()?;
    let [a, b, c, d, e, f] = window;
    Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
}

fn slot(window: u64) -> (usize, u64) {
    let bit = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - FILTER_BITS);
    ((bit >> 6) as usize, 1 << (bit & 63))
}

impl Scanner {
    /// Looks for these texts; the first of each pair says what a text is without telling it.
    #[must_use]
    pub fn new<'a>(texts: impl IntoIterator<Item = (String, &'a [u8])>) -> Self {
        let mut this = Self {
            filter: vec![0; 1 << (FILTER_BITS - 6)],
            by_window: HashMap::new(),
            patterns: Vec::new(),
            scanned: BTreeMap::new(),
        };
        let mut seen = BTreeSet::new();
        for (of, text) in texts {
            if !seen.insert(text.to_vec()) {
                continue;
            }
            for (form, pattern) in forms(text) {
                let Some(window) = window(&pattern) else { continue };
                let (word, bit) = slot(window);
                this.filter[word] |= bit;
                this.by_window.entry(window).or_default().push(this.patterns.len());
                this.patterns.push((pattern, Form { of: of.clone(), form }));
            }
        }
        this
    }

    /// How many patterns there are.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.patterns.len()
    }

    /// Everything found in `bytes`; `kind` is what they are counted under.
    pub fn scan(&mut self, kind: &str, source: &str, bytes: &[u8]) -> Vec<Found> {
        *self.scanned.entry(kind.to_owned()).or_default() += bytes.len() as u64;
        let mut found = Vec::new();
        for offset in 0..bytes.len().saturating_sub(SHORTEST - 1) {
            let Some(window) = window(&bytes[offset..]) else { break };
            let (word, bit) = slot(window);
            if self.filter[word] & bit == 0 {
                continue;
            }
            for index in self.by_window.get(&window).into_iter().flatten() {
                let (pattern, what) = &self.patterns[*index];
                if bytes[offset..].starts_with(pattern) {
                    found.push(Found { source: source.to_owned(), offset, what: what.clone() });
                }
            }
        }
        found
    }
}
