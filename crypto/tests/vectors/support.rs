//! Reading specs/vectors.

use std::{fs, path::Path};

use riskveil_crypto::{Digest32, Element, SecretBytes, SecretScalar};
use serde_json::Value;

/// A file of specs/vectors as text.
pub(crate) fn text(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors");
    fs::read_to_string(dir.join(name)).unwrap()
}

/// A file of specs/vectors as JSON.
pub(crate) fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap()
}

pub(crate) fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty(), "a vector file without vectors");
    list
}

pub(crate) fn str(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(str(value)).unwrap()
}

pub(crate) fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

pub(crate) fn digest(value: &Value) -> Digest32 {
    Digest32::new(array(value))
}

pub(crate) fn secret<const N: usize>(value: &Value) -> SecretBytes<N> {
    SecretBytes::from_bytes(array(value))
}

pub(crate) fn scalar(value: &Value) -> SecretScalar {
    SecretScalar::from_canonical_bytes(array(value)).unwrap()
}

pub(crate) fn element(value: &Value) -> Element {
    Element::from_bytes(&array(value)).unwrap()
}

/// How many cases ran and how many are outside our parameters; printed, and compared by the caller.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) run: usize,
    pub(crate) skipped: usize,
}

impl Count {
    pub(crate) fn expect(&self, suite: &str, run: usize, skipped: usize) {
        println!("{suite}: {} run, {} skipped", self.run, self.skipped);
        assert_eq!(*self, Count { run, skipped }, "{suite}");
    }
}
