//! Slots, labels, rows and batches.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::RngCore as _;
use sha2::Sha512;

use super::Bytes;

/// Where a row stands.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The chain.
    pub chain_id: &'a [u8; 32],
    /// Whose row.
    pub publisher: &'a str,
    /// The period.
    pub period: u32,
    /// The key's serial.
    pub key_serial: u32,
}

/// A label before it is sealed: 48 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// 1 blacklist, 2 overdue, 3 suspected cash-out, 4 suspected fraud.
    pub category: u8,
    /// 1 to 5.
    pub severity: u8,
    /// 1 match, 2 banded, 3 exact.
    pub level: u8,
    /// Days since 1970.
    pub event_day: u16,
    /// Days since 1970.
    pub expiry_day: u16,
    /// Days or band.
    pub days: u16,
    /// Minor units or band.
    pub amount: u32,
}

impl Label {
    /// Its encoding.
    #[must_use]
    pub fn bytes(&self) -> [u8; 48] {
        let bytes = Bytes::new().u8(0x10 | self.category).u8(self.severity).u8(0).u8(self.level);
        let bytes = bytes.u16(self.event_day).u16(self.expiry_day).u16(self.days).u32(self.amount);
        bytes.raw(&[0; 32]).u16(0).done().try_into().expect("48 bytes")
    }
}

/// Tag and label key of a slot.
#[must_use]
pub fn slot(place: &Place<'_>, output: &[u8; 64], number: u8) -> ([u8; 16], [u8; 32]) {
    let salt = Bytes::new().sized(b"riskveil/v1/exchange/period-salt").raw(place.chain_id);
    let salt = salt.sized(place.publisher.as_bytes()).u32(place.period).u32(place.key_serial).done();
    let mut okm = [0; 48];
    let info: [&[u8]; 2] = [b"riskveil/v1/crypto/slot", &[number]];
    Hkdf::<Sha512>::new(Some(&salt), output).expand_multi_info(&info, &mut okm).expect("48 bytes");
    (okm[..16].try_into().expect("a tag"), okm[16..].try_into().expect("a key"))
}

/// The row of a slot: 92 bytes.
#[must_use]
pub fn row(place: &Place<'_>, output: &[u8; 64], number: u8, label: &[u8; 48], rng: &mut ChaCha20Rng) -> [u8; 92] {
    let (tag, key) = slot(place, output, number);
    let mut nonce = [0; 12];
    rng.fill_bytes(&mut nonce);
    let aad = Bytes::new().sized(b"riskveil/v1/exchange/label-aad").raw(place.chain_id);
    let aad = aad.sized(place.publisher.as_bytes()).u32(place.period).raw(&tag).done();
    let dst = b"riskveil/v1/crypto/sealed-label";
    let framed = Bytes::new().raw(&(dst.len() as u16).to_be_bytes()).raw(dst);
    let framed = framed.raw(&(aad.len() as u64).to_be_bytes()).raw(&aad).raw(&tag).done();
    let cipher = Aes256Gcm::new(&key.into());
    let sealed = cipher.encrypt(Nonce::from_slice(&nonce), Payload { msg: label, aad: &framed }).expect("sealed");
    [tag.as_slice(), &nonce, &sealed].concat().try_into().expect("92 bytes")
}

/// A batch of these rows, filled up with random ones to 64 and sorted.
#[must_use]
pub fn batch(rows: &[[u8; 92]], rng: &mut ChaCha20Rng) -> Vec<[u8; 92]> {
    let mut batch = rows.to_vec();
    while batch.len() < 64 || !batch.len().is_power_of_two() {
        let mut padding = [0; 92];
        rng.fill_bytes(&mut padding);
        batch.push(padding);
    }
    batch.sort_unstable();
    batch
}
