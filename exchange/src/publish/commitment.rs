//! What a record is committed to for good: its days and amount, each hidden, and a hash of what never changes.
//!
//! - **Place**: A3, `Record` and its seed -> [`CommitmentOpening`] -> [`RecordCommitment`] -> `commitment_batch`; the link goes
//!   into the record's label; `disclose` opens one of them
//! - **Shapes**: a commitment is 96 bytes `V_days 32 | V_amount 32 | h_static 32`, its leaf 32; days are committed saturated at
//!   2^16-1, the amount at 2^32-1 minor units, as in a label
//! - **Invariants**: one random seed a record, as durable as the record; everything else follows from it, so that a restart or
//!   another period makes the same commitment, and a period's own `rho`
//! - **Errors**: none
//! - **Security**: a leaf says nothing about its record, and only `(leaf, rho)` ties it to a row: without `rho`, which the publisher
//!   keeps, nobody can tell which. The publisher cannot tell another story later: values by binding, the rest by the hash
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/crypto.md#commitments

use std::fmt;

use rand_core::{CryptoRng, RngCore};
use riskveil_crypto::digest::hash;
use riskveil_crypto::kdf::{HkdfBatch, hkdf_sha512};
use riskveil_crypto::pedersen::{Commitment, Opening};
use riskveil_crypto::range_proof::Bits;
use riskveil_crypto::{Digest32, SecretBytes, SecretScalar};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::dst;
use crate::ids::Period;
use crate::publish::key::PeriodKeyId;
use crate::record::{Category, Currency, Day, Identifier, Record, Severity};

/// Bytes of a record commitment.
pub const COMMITMENT_LEN: usize = 96;

/// A committed value of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    /// Days overdue, 16 bits.
    Days,
    /// Amount in minor units, 32 bits.
    Amount,
}

impl Attribute {
    /// Both, in the order of their commitments.
    pub const ALL: [Self; 2] = [Self::Days, Self::Amount];

    /// How wide its range proofs are.
    #[must_use]
    pub const fn bits(self) -> Bits {
        match self {
            Self::Days => Bits::Sixteen,
            Self::Amount => Bits::ThirtyTwo,
        }
    }

    /// The word used on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Amount => "amount",
        }
    }
}

/// The three public values of one record, or of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCommitment {
    /// Commitment to the days overdue.
    pub v_days: Commitment,
    /// Commitment to the amount.
    pub v_amount: Commitment,
    /// [`h_static`].
    pub h_static: Digest32,
}

impl RecordCommitment {
    /// The commitment with these bytes; points are not decoded.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; COMMITMENT_LEN]) -> Self {
        let part = |at: usize| {
            let mut part = [0; 32];
            part.copy_from_slice(&bytes[at..at + 32]);
            part
        };
        Self {
            v_days: Commitment::from_bytes(part(0)),
            v_amount: Commitment::from_bytes(part(32)),
            h_static: Digest32::new(part(64)),
        }
    }

    /// `V_days | V_amount | h_static`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; COMMITMENT_LEN] {
        let mut bytes = [0; COMMITMENT_LEN];
        bytes[..32].copy_from_slice(self.v_days.as_bytes());
        bytes[32..64].copy_from_slice(self.v_amount.as_bytes());
        bytes[64..].copy_from_slice(self.h_static.as_bytes());
        bytes
    }

    /// `leaf = H(DST, V_days, V_amount, h_static)`: what the chain knows the record by.
    #[must_use]
    pub fn leaf(&self) -> Digest32 {
        hash(dst::COMMITMENT_LEAF, &[self.v_days.as_bytes(), self.v_amount.as_bytes(), self.h_static.as_bytes()])
    }

    /// The commitment to one attribute.
    #[must_use]
    pub const fn of(&self, attribute: Attribute) -> &Commitment {
        match attribute {
            Attribute::Days => &self.v_days,
            Attribute::Amount => &self.v_amount,
        }
    }
}

/// What of a record never changes and is told by every label.
#[derive(Clone, Copy, Debug)]
pub struct StaticFacts<'a> {
    /// Whom the record is about.
    pub identifier: &'a Identifier,
    /// Its kind.
    pub category: Category,
    /// 1 to 5.
    pub severity: Severity,
    /// The day of the event.
    pub event_day: Day,
    /// The consortium's.
    pub currency: Currency,
}

impl<'a> From<&'a Record> for StaticFacts<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            identifier: record.identifier(),
            category: record.category(),
            severity: record.severity(),
            event_day: record.event_day(),
            currency: record.currency(),
        }
    }
}

/// `h_static = H(DST, [id_type], canonical, [category], [severity], event_day u16 LE, [currency], salt32)`.
#[must_use]
pub fn h_static(facts: &StaticFacts<'_>, salt: &[u8; 32]) -> Digest32 {
    let StaticFacts { identifier, category, severity, event_day, currency } = facts;
    identifier.canonical_expose(|canonical| {
        let parts: [&[u8]; 7] = [
            &[identifier.id_type().code()],
            canonical.as_bytes(),
            &[category.code()],
            &[severity.value()],
            &event_day.number().to_le_bytes(),
            &[currency.code()],
            salt,
        ];
        hash(dst::STATIC_FACTS, &parts)
    })
}

/// `link = H(DST, chain_id, publisher, period u32 LE, leaf, rho)`: stands in the label of the record's row.
#[must_use]
pub fn link(key: &PeriodKeyId, leaf: &Digest32, rho: &[u8; 32]) -> [u8; 32] {
    let parts: [&[u8]; 5] =
        [key.chain_id.as_bytes(), key.publisher.as_bytes(), &key.period.0.to_le_bytes(), leaf.as_bytes(), rho];
    *hash(dst::LINK, &parts).as_bytes()
}

/// The secret that all of a record's commitments come from; random, one a record.
#[derive(Clone, Debug)]
pub struct CommitmentSeed(SecretBytes<32>);

impl CommitmentSeed {
    /// A fresh seed.
    #[must_use]
    pub fn random(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self(SecretBytes::random(rng))
    }

    /// The seed with these bytes, from the journal.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(SecretBytes::from_bytes(bytes))
    }

    /// Lends the bytes, for the journal.
    pub fn expose<R>(&self, read: impl FnOnce(&[u8; 32]) -> R) -> R {
        self.0.expose(read)
    }

    /// The seed of padding commitment `index` of a plan.
    #[must_use]
    pub fn of_padding(padding_seed: &SecretBytes<32>, index: u32) -> Self {
        Self(padding_seed.expose(|seed| derive(dst::COMMITMENT_PADDING, seed, &[&index.to_le_bytes()])))
    }

    /// The openings of a record's commitments.
    #[must_use]
    pub fn open(&self, record: &Record) -> CommitmentOpening {
        let (days, amount) = committed_values(record);
        CommitmentOpening {
            days: Opening::new(days, self.blinding(Attribute::Days)),
            amount: Opening::new(amount, self.blinding(Attribute::Amount)),
            h_static: h_static(&StaticFacts::from(record), &self.static_salt()),
        }
    }

    /// The openings of a commitment to (0, 0), with a static part that no record has.
    #[must_use]
    pub fn open_padding(&self) -> CommitmentOpening {
        CommitmentOpening {
            days: Opening::new(0, self.blinding(Attribute::Days)),
            amount: Opening::new(0, self.blinding(Attribute::Amount)),
            h_static: hash(dst::STATIC_FACTS, &[&self.static_salt()]),
        }
    }

    /// Salts the static part; revealed by a disclosure.
    #[must_use]
    pub fn static_salt(&self) -> [u8; 32] {
        let salt: SecretBytes<32> = self.derive(&[STATIC_SALT]);
        salt.expose(|salt| *salt)
    }

    /// What ties the row made under this key to the commitment; revealed by a disclosure.
    #[must_use]
    pub fn rho(&self, period: Period, key_serial: u32) -> [u8; 32] {
        let rho: SecretBytes<32> = self.derive(&rho_info(&period.0.to_le_bytes(), &key_serial.to_le_bytes()));
        rho.expose(|rho| *rho)
    }

    fn blinding(&self, attribute: Attribute) -> SecretScalar {
        let wide: SecretBytes<64> = self.derive(&blinding_info(attribute));
        wide.expose(blinding_of)
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> SecretBytes<N> {
        self.0.expose(|seed| derive(dst::COMMITMENT_SEED, seed, info))
    }
}

/// [`CommitmentSeed::open`] of each record, many at a time.
#[must_use]
pub fn open_batch(records: &[(&Record, &CommitmentSeed)]) -> Vec<CommitmentOpening> {
    openings(&extracted(records.iter().map(|(_, seed)| *seed)), records)
}

/// [`CommitmentOpening::commitment`] of each, many at a time.
#[must_use]
pub fn commit_batch(openings: &[CommitmentOpening]) -> Vec<RecordCommitment> {
    let values: Vec<Opening> = openings.iter().flat_map(|one| [one.days.clone(), one.amount.clone()]).collect();
    let commitments = Opening::commit_batch(&values);
    let (pairs, _) = commitments.as_chunks::<2>();
    openings
        .iter()
        .zip(pairs)
        .map(|(one, [v_days, v_amount])| RecordCommitment {
            v_days: *v_days,
            v_amount: *v_amount,
            h_static: one.h_static,
        })
        .collect()
}

/// The leaf of each record's commitment, many at a time: 4 us each.
#[must_use]
pub fn leaves(records: &[(&Record, &CommitmentSeed)]) -> Vec<Digest32> {
    const RUN: usize = 1024;
    records.chunks(RUN).flat_map(|run| commit_batch(&open_batch(run))).map(|commitment| commitment.leaf()).collect()
}

/// The [`link`] under a key of the row of each commitment, many at a time.
#[must_use]
pub fn links(key: &PeriodKeyId, commitments: &[(&CommitmentSeed, &Digest32)]) -> Vec<[u8; 32]> {
    let prks = extracted(commitments.iter().map(|(seed, _)| *seed));
    let rhos = prks.expand(&rho_info(&key.period.0.to_le_bytes(), &key.key_serial.to_le_bytes()));
    commitments.iter().zip(rhos.iter()).map(|((_, leaf), rho)| link(key, leaf, first_32(rho))).collect()
}

fn extracted<'a>(seeds: impl Iterator<Item = &'a CommitmentSeed>) -> HkdfBatch {
    let seeds: Vec<Zeroizing<[u8; 32]>> = seeds.map(|seed| seed.expose(|bytes| Zeroizing::new(*bytes))).collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(|seed| &seed[..]).collect();
    HkdfBatch::extract(dst::COMMITMENT_SEED.as_bytes(), &seeds)
}

fn openings(prks: &HkdfBatch, records: &[(&Record, &CommitmentSeed)]) -> Vec<CommitmentOpening> {
    let [days, amounts] = Attribute::ALL.map(|attribute| prks.expand(&blinding_info(attribute)));
    let salts = prks.expand(&[STATIC_SALT]);
    let opening = |(place, (record, _)): (usize, &(&Record, &CommitmentSeed))| {
        let (days_value, amount_value) = committed_values(record);
        CommitmentOpening {
            days: Opening::new(days_value, blinding_of(&days[place])),
            amount: Opening::new(amount_value, blinding_of(&amounts[place])),
            h_static: h_static(&StaticFacts::from(*record), first_32(&salts[place])),
        }
    };
    records.iter().enumerate().map(opening).collect()
}

/// Days and minor units as they are committed to: saturated at 16 and 32 bits.
fn committed_values(record: &Record) -> (u64, u64) {
    let days = u16::try_from(record.overdue_days().days()).unwrap_or(u16::MAX);
    let amount = u32::try_from(record.amount().minor_units()).unwrap_or(u32::MAX);
    (days.into(), amount.into())
}

const STATIC_SALT: &[u8] = b"static-salt";

fn blinding_info(attribute: Attribute) -> [&'static [u8]; 2] {
    [b"blinding", attribute.as_str().as_bytes()]
}

fn rho_info<'a>(period: &'a [u8; 4], key_serial: &'a [u8; 4]) -> [&'a [u8]; 3] {
    [b"rho", period, key_serial]
}

fn blinding_of(wide: &[u8; 64]) -> SecretScalar {
    SecretScalar::from_uniform_bytes(&SecretBytes::from_bytes(*wide)).expect("HKDF output is no multiple of l")
}

/// HKDF's shorter output is the beginning of its longer one.
fn first_32(okm: &[u8; 64]) -> &[u8; 32] {
    okm.first_chunk().expect("64 bytes begin with 32")
}

fn derive<const N: usize>(salt: riskveil_crypto::dst::Dst, seed: &[u8; 32], info: &[&[u8]]) -> SecretBytes<N> {
    let mut out = [0; N];
    hkdf_sha512(salt.as_bytes(), seed, info, &mut out).expect("N is 32 or 64: one block of HKDF-SHA-512");
    SecretBytes::from_bytes(out)
}

/// The openings of one commitment; values are personal data of a record.
#[derive(Clone)]
pub struct CommitmentOpening {
    days: Opening,
    amount: Opening,
    h_static: Digest32,
}

impl CommitmentOpening {
    /// What is published.
    #[must_use]
    pub fn commitment(&self) -> RecordCommitment {
        RecordCommitment { v_days: self.days.commit(), v_amount: self.amount.commit(), h_static: self.h_static }
    }

    /// The opening of one attribute.
    #[must_use]
    pub const fn of(&self, attribute: Attribute) -> &Opening {
        match attribute {
            Attribute::Days => &self.days,
            Attribute::Amount => &self.amount,
        }
    }
}

impl fmt::Debug for CommitmentOpening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentOpening(..)")
    }
}
