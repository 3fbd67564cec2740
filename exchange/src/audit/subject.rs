//! Who asked about a person: every logged request whose seal or ciphertext is about one of these identifiers.
//!
//! - **Place**: B10, [`OpenedLogs`] and identifiers -> [`SubjectTrail`]s
//! - **Invariants**: searched by the seal and by `C2 - y*C1 = H(x)`, in the lenders' and in the responders' logs, so a lender
//!   that seals a lie or logs nothing is still found by the other way
//! - **Security**: the trail names the identifier's type, never the identifier
//! - **Source**: DESIGN.md sections 1 and 3

use std::collections::BTreeMap;

use riskveil_crypto::oprf::input_element;
use riskveil_crypto::{Digest32, Element};
use serde::{Deserialize, Serialize};

use crate::audit::opened::{OpenedLogs, RegulatorKey};
use crate::audit::request_check::{LoggedRequest, sealed_identifier};
use crate::disclose::messages::DisclosureHead;
use crate::ids::{Height, MemberId, Period};
use crate::purpose::Purpose;
use crate::query::messages::{Envelope, Proofs, RequestCore};
use crate::query::seal::{Consent, SealPlaintext};
use crate::record::{IdType, Identifier};

/// One responder of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailResponder {
    /// Who was asked.
    pub publisher: MemberId,
    /// 0 evaluated, otherwise the code of a refusal reason; none when no answer is logged.
    pub status: Option<u8>,
    /// The lender logged it.
    pub logged_by_lender: bool,
    /// The responder logged it.
    pub logged_by_responder: bool,
}

/// A disclosure that a lender asked for after a request about the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailDisclosure {
    /// Who was asked to disclose.
    pub publisher: MemberId,
    /// Why.
    pub purpose: Purpose,
    /// When, Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// SHA-256 of the consent document for it.
    pub consent_digest: Digest32,
    /// 0 disclosed, otherwise the code of a refusal; none when no answer is logged.
    pub status: Option<u8>,
    /// The lender logged it.
    pub logged_by_lender: bool,
    /// The publisher logged it.
    pub logged_by_publisher: bool,
}

/// One request about the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectTrail {
    /// Who asked.
    pub lender: MemberId,
    /// Why.
    pub purpose: Purpose,
    /// When, Unix seconds by the lender's clock.
    pub issued_at_s: u64,
    /// In which period.
    pub period: Period,
    /// The request.
    pub core_digest: Digest32,
    /// Which of its subjects, from 0.
    pub subject: u32,
    /// By which type of identifier.
    pub id_type: IdType,
    /// SHA-256 of the consent document; none when the seal does not open.
    pub consent_digest: Option<Digest32>,
    /// The seal names the identifier.
    pub by_seal: bool,
    /// The ciphertext holds the identifier.
    pub by_escrow: bool,
    /// Who was asked, by name.
    pub responders: Vec<TrailResponder>,
    /// What was asked to be disclosed afterwards, oldest first.
    #[serde(default)]
    pub disclosures: Vec<TrailDisclosure>,
    /// The first block that logged it.
    pub height: Height,
}

struct Wanted<'a> {
    identifier: &'a Identifier,
    element: Option<Element>,
}

struct Asked<'a> {
    core: &'a RequestCore,
    proofs: &'a Proofs,
    seal: &'a [u8],
    responders: BTreeMap<&'a MemberId, TrailResponder>,
    envelopes: Vec<&'a Envelope>,
    height: Height,
}

/// Every request about any of these identifiers, oldest first.
#[must_use]
pub fn subject_trail(logs: &OpenedLogs, keys: &[RegulatorKey<'_>], identifiers: &[Identifier]) -> Vec<SubjectTrail> {
    let wanted: Vec<Wanted<'_>> = identifiers
        .iter()
        .map(|identifier| Wanted { identifier, element: input_element(&identifier.oprf_input()).ok() })
        .collect();
    let disclosures = disclosures_by_check(logs);
    let requests = distinct_requests(logs);
    let mut trail: Vec<SubjectTrail> =
        requests.iter().flat_map(|(digest, asked)| search(digest, asked, keys, &wanted, &disclosures)).collect();
    trail.sort_by_key(|one| (one.issued_at_s, one.core_digest, one.subject, one.id_type));
    trail
}

fn distinct_requests(logs: &OpenedLogs) -> BTreeMap<Digest32, Asked<'_>> {
    let mut requests = BTreeMap::new();
    for logged in &logs.queries {
        let (entry, height) = (&logged.entry, height_of(logs, logged.window));
        let asked = note(&mut requests, &entry.core, &entry.proofs, &entry.seal, height);
        for one in &entry.envelopes {
            asked.envelopes.push(&one.envelope);
            let responder = responder(asked, &one.envelope.publisher);
            responder.logged_by_lender = true;
            responder.status = responder.status.or(one.outcome.as_ref().map(|outcome| outcome.status));
        }
    }
    for logged in &logs.receipts {
        let (entry, height) = (&logged.entry, height_of(logs, logged.window));
        let asked = note(&mut requests, &entry.core, &entry.proofs, &entry.seal, height);
        asked.envelopes.push(&entry.envelope);
        let responder = responder(asked, &entry.envelope.publisher);
        responder.logged_by_responder = true;
        responder.status = Some(entry.status);
    }
    requests
}

fn note<'a, 'm>(
    requests: &'m mut BTreeMap<Digest32, Asked<'a>>,
    core: &'a RequestCore,
    proofs: &'a Proofs,
    seal: &'a [u8],
    height: Height,
) -> &'m mut Asked<'a> {
    let asked = requests.entry(core.digest()).or_insert_with(|| Asked {
        core,
        proofs,
        seal,
        responders: BTreeMap::new(),
        envelopes: Vec::new(),
        height,
    });
    asked.height = asked.height.min(height);
    asked
}

fn responder<'a, 'm>(asked: &'m mut Asked<'a>, publisher: &'a MemberId) -> &'m mut TrailResponder {
    asked.responders.entry(publisher).or_insert_with(|| TrailResponder {
        publisher: publisher.clone(),
        status: None,
        logged_by_lender: false,
        logged_by_responder: false,
    })
}

fn height_of(logs: &OpenedLogs, window: usize) -> Height {
    logs.windows.get(window).map_or(Height(u64::MAX), |window| window.height)
}

fn search(
    core_digest: &Digest32,
    asked: &Asked<'_>,
    keys: &[RegulatorKey<'_>],
    wanted: &[Wanted<'_>],
    disclosures: &BTreeMap<Digest32, Vec<TrailDisclosure>>,
) -> Vec<SubjectTrail> {
    let core = asked.core;
    let Some(key) = keys.iter().find(|key| key.id == core.audit_key_id) else { return Vec::new() };
    let request = LoggedRequest { core, core_digest, proofs: asked.proofs, seal: asked.seal };
    let seal: Option<SealPlaintext> = request.open_seal(key);
    let mut found = Vec::new();
    for (index, item) in core.items.iter().enumerate() {
        let sealed = seal.as_ref().and_then(|seal| seal.items.get(index)).and_then(sealed_identifier);
        let escrowed = key.audit.open(item);
        for one in wanted {
            let by_seal = sealed.as_ref() == Some(one.identifier);
            let by_escrow = one.element.is_some() && escrowed == one.element;
            if !by_seal && !by_escrow {
                continue;
            }
            let subject = index / core.shape.width().max(1);
            found.push(SubjectTrail {
                lender: core.lender.clone(),
                purpose: core.purpose,
                issued_at_s: core.issued_at_s,
                period: core.period,
                core_digest: *core_digest,
                subject: u32::try_from(subject).unwrap_or(u32::MAX),
                id_type: one.identifier.id_type(),
                consent_digest: seal.as_ref().and_then(|seal| seal.consents.get(subject)).map(|consent| consent.digest),
                by_seal,
                by_escrow,
                responders: asked.responders.values().cloned().collect(),
                disclosures: disclosed_after(asked, disclosures),
                height: asked.height,
            });
        }
    }
    found
}

/// Disclosures that name one of the request's envelopes, oldest first.
fn disclosed_after(asked: &Asked<'_>, disclosures: &BTreeMap<Digest32, Vec<TrailDisclosure>>) -> Vec<TrailDisclosure> {
    let mut envelopes: Vec<Digest32> = asked.envelopes.iter().map(|envelope| envelope.digest()).collect();
    envelopes.sort_unstable();
    envelopes.dedup();
    let mut found: Vec<TrailDisclosure> =
        envelopes.iter().filter_map(|envelope| disclosures.get(envelope)).flatten().cloned().collect();
    found.sort_by(|a, b| (a.issued_at_s, &a.publisher).cmp(&(b.issued_at_s, &b.publisher)));
    found
}

/// Every logged disclosure once, by the envelope of its check.
fn disclosures_by_check(logs: &OpenedLogs) -> BTreeMap<Digest32, Vec<TrailDisclosure>> {
    let mut by_head: BTreeMap<Digest32, (Digest32, TrailDisclosure)> = BTreeMap::new();
    for logged in &logs.disclosures {
        let entry = &logged.entry;
        let (_, one) = disclosure(&mut by_head, &entry.head, &entry.consent);
        one.logged_by_lender = true;
        one.status = one.status.or(entry.outcome.as_ref().map(|outcome| outcome.status));
    }
    for logged in &logs.disclosure_receipts {
        let entry = &logged.entry;
        let (_, one) = disclosure(&mut by_head, &entry.head, &entry.consent);
        one.logged_by_publisher = true;
        one.status = Some(entry.status);
    }
    let mut by_check: BTreeMap<Digest32, Vec<TrailDisclosure>> = BTreeMap::new();
    for (check, one) in by_head.into_values() {
        by_check.entry(check).or_default().push(one);
    }
    by_check
}

fn disclosure<'m>(
    by_head: &'m mut BTreeMap<Digest32, (Digest32, TrailDisclosure)>,
    head: &DisclosureHead,
    consent: &Consent,
) -> &'m mut (Digest32, TrailDisclosure) {
    by_head.entry(head.digest()).or_insert_with(|| {
        let one = TrailDisclosure {
            publisher: head.publisher.clone(),
            purpose: head.purpose,
            issued_at_s: head.issued_at_s,
            consent_digest: consent.digest,
            status: None,
            logged_by_lender: false,
            logged_by_publisher: false,
        };
        (head.check, one)
    })
}
