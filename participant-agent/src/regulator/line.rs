//! What a regulator reads of a lender's log: who asked about whom, when, why, on which consent, and who answered.
//!
//! - **Place**: `audit log`; opened entry -> [`AuditLine`] -> JSON, table
//! - **Security**: identifiers stand as the lender sealed them; that the seal names the escrowed person is what reconciliation
//!   checks. Never logged
//! - **Source**: DESIGN.md sections 2 (regulator) and 3 ("Query = audit escrow")

use riskveil_crypto::Digest32;
use riskveil_exchange::{
    audit::{Outcome, QueryEntry, RegulatorKey, opened::LoggedIn, request_check::LoggedRequest},
    disclose::{DisclosureEntry, DisclosureRefusal, refusal::STATUS_DISCLOSED},
    ids::{Height, MemberId, Window},
    purpose::Purpose,
    query::{
        refusal::{RefusalReason, STATUS_EVALUATED},
        seal::{SealPlaintext, SealedItem},
    },
    record::IdType,
};
use serde::{Deserialize, Serialize};

use crate::api::models::PersonalText;

/// One query as a lender logged it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditLine {
    /// First window of the log it stands in.
    pub first_window: Window,
    /// Last window of the log it stands in.
    pub last_window: Window,
    /// The block that carries that log.
    pub height: Height,
    /// Who asked.
    pub lender: MemberId,
    /// When, Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// Why.
    pub purpose: Purpose,
    /// Names the query; receipts of it name the same digest.
    pub core_digest: Digest32,
    /// The subjects asked about; none when the seal does not open (finding `seal_malformed`).
    pub subjects: Option<Vec<AuditSubject>>,
    /// Everyone it was sent to.
    pub responders: Vec<AuditResponder>,
}

/// One disclosure as a lender logged it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DisclosureLine {
    /// First window of the log it stands in.
    pub first_window: Window,
    /// Last window of the log it stands in.
    pub last_window: Window,
    /// The block that carries that log.
    pub height: Height,
    /// Who asked.
    pub lender: MemberId,
    /// Who was asked.
    pub publisher: MemberId,
    /// When, Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// Why.
    pub purpose: Purpose,
    /// SHA-256 of the consent document for it.
    pub consent_digest: Digest32,
    /// Names the disclosure; the publisher's receipt names the same digest.
    pub disclosure: Digest32,
    /// The query it follows, which says about whom; none when that stands in no log that was read.
    pub core_digest: Option<Digest32>,
    /// `disclosed`, the reason of a refusal, or `unanswered`.
    pub status: String,
}

impl DisclosureLine {
    /// The line of one entry, after this query.
    #[must_use]
    pub fn new(logged_in: &LoggedIn, entry: &DisclosureEntry, core_digest: Option<Digest32>) -> Self {
        let head = &entry.head;
        Self {
            first_window: logged_in.scope.first_window,
            last_window: logged_in.scope.last_window,
            height: logged_in.height,
            lender: head.lender.clone(),
            publisher: head.publisher.clone(),
            issued_at_s: head.issued_at_s,
            purpose: head.purpose,
            consent_digest: entry.consent.digest,
            disclosure: head.digest(),
            core_digest,
            status: disclosure_word(entry.outcome.as_ref().map(|outcome| outcome.status)),
        }
    }
}

/// One person or company asked about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditSubject {
    /// Its identifiers.
    pub identifiers: Vec<AuditIdentifier>,
    /// SHA-256 of the consent document.
    pub consent_digest: Digest32,
}

/// One identifier, canonical, as the lender sealed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditIdentifier {
    /// `resident_id`, `uscc`, `bank_card` or `mobile`.
    pub id_type: String,
    /// The canonical form.
    pub value: PersonalText,
}

/// One responder of a query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditResponder {
    /// Who.
    pub publisher: MemberId,
    /// `evaluated`, a refusal reason, or `unanswered`.
    pub status: String,
    /// Digest of the response it signed.
    pub response_digest: Option<Digest32>,
}

impl AuditLine {
    /// The line of one entry.
    #[must_use]
    pub fn new(logged_in: &LoggedIn, entry: &QueryEntry, keys: &[RegulatorKey<'_>]) -> Self {
        let core_digest = entry.core.digest();
        let request =
            LoggedRequest { core: &entry.core, core_digest: &core_digest, proofs: &entry.proofs, seal: &entry.seal };
        let key = keys.iter().find(|key| key.id == entry.core.audit_key_id);
        Self {
            first_window: logged_in.scope.first_window,
            last_window: logged_in.scope.last_window,
            height: logged_in.height,
            lender: entry.core.lender.clone(),
            issued_at_s: entry.core.issued_at_s,
            purpose: entry.core.purpose,
            core_digest,
            subjects: key.and_then(|key| request.open_seal(key)).map(|plain| subjects(&plain)),
            responders: entry
                .envelopes
                .iter()
                .map(|one| responder(&one.envelope.publisher, one.outcome.as_ref()))
                .collect(),
        }
    }
}

/// The subjects of a seal; padding subjects of a chunk, which have neither identifier nor consent, are left out.
fn subjects(plain: &SealPlaintext) -> Vec<AuditSubject> {
    let width = plain.items.len().checked_div(plain.consents.len()).unwrap_or(1).max(1);
    let subjects = plain.items.chunks(width).zip(&plain.consents).map(|(items, consent)| AuditSubject {
        identifiers: items.iter().filter_map(identifier).collect(),
        consent_digest: consent.digest,
    });
    subjects.filter(|one| !one.identifiers.is_empty() || one.consent_digest != Digest32::ZERO).collect()
}

fn identifier(item: &SealedItem) -> Option<AuditIdentifier> {
    let id_type = IdType::from_code(item.id_type)?;
    let text = item.canonical.get(..usize::from(item.length)).map(String::from_utf8_lossy)?;
    Some(AuditIdentifier { id_type: id_type.as_str().to_owned(), value: PersonalText::new(text.into_owned()) })
}

fn responder(publisher: &MemberId, outcome: Option<&Outcome>) -> AuditResponder {
    AuditResponder {
        publisher: publisher.clone(),
        status: status_word(outcome.map(|outcome| outcome.status)),
        response_digest: outcome.map(|outcome| outcome.response_digest),
    }
}

/// `evaluated`, a refusal reason, or `unanswered`.
pub fn status_word(status: Option<u8>) -> String {
    match status {
        None => "unanswered".to_owned(),
        Some(STATUS_EVALUATED) => "evaluated".to_owned(),
        Some(code) => {
            RefusalReason::from_code(code).map_or_else(|| format!("status {code}"), |r| r.as_str().to_owned())
        }
    }
}

/// `disclosed`, the reason of a refusal, or `unanswered`.
pub fn disclosure_word(status: Option<u8>) -> String {
    match status {
        None => "unanswered".to_owned(),
        Some(STATUS_DISCLOSED) => "disclosed".to_owned(),
        Some(code) => {
            DisclosureRefusal::from_code(code).map_or_else(|| format!("status {code}"), |r| r.as_str().to_owned())
        }
    }
}
