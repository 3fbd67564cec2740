//! Who asked about a person: every logged request whose seal or ciphertext is about one of these identifiers.
//!
//! - **Place**: B10, [`OpenedLogs`] and identifiers -> [`SubjectTrail`]s
//! - **Shapes**: seals and ciphertexts are opened in the parts of `request_check`, spread over whoever does them
//! - **Invariants**: searched by the seal and by `C2 - y*C1 = H(x)`, in the lenders' and in the responders' logs, so a lender
//!   that seals a lie or logs nothing is still found by the other way
//! - **Security**: the trail names the identifier's type, never the identifier
//! - **Source**: DESIGN.md sections 1 and 3

use std::collections::BTreeMap;

use riskveil_crypto::escrow::EscrowedItem;
use riskveil_crypto::oprf::input_element;
use riskveil_crypto::{Digest32, Element};
use serde::{Deserialize, Serialize};

use crate::audit::opened::{OpenedLogs, RegulatorKey};
use crate::audit::request_check::{LoggedRequest, parts, sealed_identifier};
use crate::audit::spread::Spread;
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

/// One item of a request that is about one of the identifiers.
struct Match {
    item: usize,
    id_type: IdType,
    consent_digest: Option<Digest32>,
    by_seal: bool,
    by_escrow: bool,
}

/// Every request about any of these identifiers, oldest first.
#[must_use]
pub fn subject_trail(
    logs: &OpenedLogs,
    keys: &[RegulatorKey<'_>],
    identifiers: &[Identifier],
    spread: &impl Spread,
) -> Vec<SubjectTrail> {
    let wanted: Vec<Wanted<'_>> = identifiers
        .iter()
        .map(|identifier| Wanted { identifier, element: input_element(&identifier.oprf_input()).ok() })
        .collect();
    let requests = distinct_requests(logs, spread);
    let logged: Vec<LoggedRequest<'_>> = requests
        .iter()
        .map(|(core_digest, Asked { core, proofs, seal, .. })| LoggedRequest { core, core_digest, proofs, seal })
        .collect();
    let matches = spread.map(&parts(&logged), |part| search(part, keys, &wanted));
    let disclosures = disclosures_by_check(logs);
    let mut trail = Vec::new();
    for ((core_digest, asked), matches) in requests.iter().zip(matches.into_iter().flatten()) {
        trail.extend(matches.iter().map(|found| asked.trail(core_digest, found, &disclosures)));
    }
    trail.sort_by_key(|one| (one.issued_at_s, one.core_digest, one.subject, one.id_type));
    trail
}

fn distinct_requests<'a>(logs: &'a OpenedLogs, spread: &impl Spread) -> BTreeMap<Digest32, Asked<'a>> {
    let mut requests = BTreeMap::new();
    let digests = spread.map(&logs.queries, |logged| logged.entry.core.digest());
    for (logged, core_digest) in logs.queries.iter().zip(digests) {
        let (entry, height) = (&logged.entry, height_of(logs, logged.window));
        let asked = note(&mut requests, core_digest, (&entry.core, &entry.proofs, &entry.seal), height);
        for one in &entry.envelopes {
            asked.envelopes.push(&one.envelope);
            let responder = responder(asked, &one.envelope.publisher);
            responder.logged_by_lender = true;
            responder.status = responder.status.or(one.outcome.as_ref().map(|outcome| outcome.status));
        }
    }
    let digests = spread.map(&logs.receipts, |logged| logged.entry.core.digest());
    for (logged, core_digest) in logs.receipts.iter().zip(digests) {
        let (entry, height) = (&logged.entry, height_of(logs, logged.window));
        let asked = note(&mut requests, core_digest, (&entry.core, &entry.proofs, &entry.seal), height);
        asked.envelopes.push(&entry.envelope);
        let responder = responder(asked, &entry.envelope.publisher);
        responder.logged_by_responder = true;
        responder.status = Some(entry.status);
    }
    requests
}

fn note<'a, 'm>(
    requests: &'m mut BTreeMap<Digest32, Asked<'a>>,
    core_digest: Digest32,
    (core, proofs, seal): (&'a RequestCore, &'a Proofs, &'a [u8]),
    height: Height,
) -> &'m mut Asked<'a> {
    let asked = requests.entry(core_digest).or_insert_with(|| Asked {
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

/// For each request, its items that are about one of the wanted, in order.
fn search(requests: &[LoggedRequest<'_>], keys: &[RegulatorKey<'_>], wanted: &[Wanted<'_>]) -> Vec<Vec<Match>> {
    let mut found: Vec<Vec<Match>> = requests.iter().map(|_| Vec::new()).collect();
    for (number, key) in keys.iter().enumerate() {
        // as everywhere, the first key of a number is the one
        let is_its = |request: &LoggedRequest<'_>| {
            keys.iter().position(|key| key.id == request.core.audit_key_id) == Some(number)
        };
        let of_key = requests.iter().zip(&mut found).filter(|(request, _)| is_its(request)).collect::<Vec<_>>();
        let items: Vec<EscrowedItem> = of_key.iter().flat_map(|(request, _)| &request.core.items).copied().collect();
        let mut escrowed = key.audit.open_batch(&items).into_iter();
        for (request, found) in of_key {
            let escrowed: Vec<Option<Element>> = escrowed.by_ref().take(request.core.items.len()).collect();
            *found = matches(request, request.open_seal(key).as_ref(), &escrowed, wanted);
        }
    }
    found
}

fn matches(
    request: &LoggedRequest<'_>,
    seal: Option<&SealPlaintext>,
    escrowed: &[Option<Element>],
    wanted: &[Wanted<'_>],
) -> Vec<Match> {
    let mut found = Vec::new();
    for (item, escrowed) in escrowed.iter().enumerate() {
        let sealed = seal.and_then(|seal| seal.items.get(item)).and_then(sealed_identifier);
        for one in wanted {
            let by_seal = sealed.as_ref() == Some(one.identifier);
            let by_escrow = one.element.is_some() && *escrowed == one.element;
            if !by_seal && !by_escrow {
                continue;
            }
            let consent = seal.and_then(|seal| seal.consents.get(subject_of(request.core, item)));
            let consent_digest = consent.map(|consent| consent.digest);
            found.push(Match { item, id_type: one.identifier.id_type(), consent_digest, by_seal, by_escrow });
        }
    }
    found
}

/// The number of the subject that an item is about.
fn subject_of(core: &RequestCore, item: usize) -> usize {
    item / core.shape.width().max(1)
}

impl Asked<'_> {
    fn trail(
        &self,
        core_digest: &Digest32,
        found: &Match,
        disclosures: &BTreeMap<Digest32, Vec<TrailDisclosure>>,
    ) -> SubjectTrail {
        let core = self.core;
        SubjectTrail {
            lender: core.lender.clone(),
            purpose: core.purpose,
            issued_at_s: core.issued_at_s,
            period: core.period,
            core_digest: *core_digest,
            subject: u32::try_from(subject_of(core, found.item)).unwrap_or(u32::MAX),
            id_type: found.id_type,
            consent_digest: found.consent_digest,
            by_seal: found.by_seal,
            by_escrow: found.by_escrow,
            responders: self.responders.values().cloned().collect(),
            disclosures: disclosed_after(self, disclosures),
            height: self.height,
        }
    }
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
