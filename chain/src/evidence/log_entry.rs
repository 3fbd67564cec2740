//! Rules 41 to 47: a query in its lender's log, whom it is about, and its receipts in its responders' logs.
//!
//! - **Place**: [`LogClaim`] -> [`LogStatement`]; the audit key's proofs stand in for s, so no output follows from this file
//! - **Source**: specs/evidence.md#log-entry; DESIGN.md section 4 ("Request, response, log")

use riskveil_crypto::digest::Digest32;
use riskveil_crypto::escrow::dummy_element;
use riskveil_crypto::escrow_opening::verify_decryption;
use riskveil_crypto::merkle::{InclusionProof, leaf_hash};
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::audit::leaf::{query_leaf, receipt_leaf};
use riskveil_exchange::member::Member;
use riskveil_exchange::message::Kind;
use riskveil_exchange::query::messages::{Envelope, Shape};
use riskveil_exchange::query::seal::{Consent, consent_commit};
use riskveil_exchange::record::Identifier;

use super::error::{Refused, Rule};
use super::format::{ItemDecryption, LogClaim, LoggedEnvelope, LoggedTransaction};
use super::request::{Request, identifier};
use super::statement::{LogStatement, LoggedAt, LoggedResponder};
use super::trusted::Trusted;
use crate::receipt::{Receipt, ReceiptCode};
use crate::tx::{LogWindows, SignedTransaction, TxBody};

pub(super) fn verify(trusted: &Trusted, claim: &LogClaim) -> Result<LogStatement, Refused> {
    let request = Request::verify(trusted, &claim.core.0, &claim.proofs.0)?;
    let asked = subjects(&request, &claim.items).ok_or(Rule::Subject)?;
    let consent = Consent { digest: claim.consent_digest, salt: claim.consent_salt };
    if consent_commit(Shape::Check, &[consent]) != request.core.consent_commit {
        return Err(Rule::Consent.into());
    }
    let queries = logged(trusted, &claim.queries, request.lender, LogKind::Queries).ok_or(Rule::Logged)?;
    let responders = envelopes(trusted, &request, &queries.windows, &claim.envelopes)?;
    let core = &request.core;
    Ok(LogStatement {
        lender: core.lender.clone(),
        purpose: core.purpose,
        issued_at_s: core.issued_at_s,
        core_digest: request.core_digest,
        period: core.period,
        asked,
        consent_digest: claim.consent_digest,
        logged: queries.at,
        responders,
    })
}

/// Rule 41; none unless each item is opened, and one is a person's or company's.
fn subjects(request: &Request<'_>, items: &[ItemDecryption]) -> Option<Vec<Identifier>> {
    if items.len() != request.core.items.len() {
        return None;
    }
    let mut asked = Vec::new();
    for (index, (opening, item)) in items.iter().zip(&request.core.items).enumerate() {
        let context = request.subject_context(index);
        let (element, proof) = match opening {
            ItemDecryption::Identifier { canonical, proof } => {
                let (identifier, element) = identifier(index, &canonical.0)?;
                asked.push(identifier);
                (element, proof)
            }
            ItemDecryption::Dummy { proof } => (dummy_element(), proof),
        };
        verify_decryption(&request.y, item, &element, &context, proof).ok()?;
    }
    if asked.is_empty() { None } else { Some(asked) }
}

struct Logged {
    at: LoggedAt,
    windows: LogWindows,
}

/// What rules 43 and 46 have in common: a member's log transaction of this kind stands in a final block, and was applied.
fn logged(trusted: &Trusted, claim: &LoggedTransaction, member: &Member, kind: LogKind) -> Option<Logged> {
    let header = trusted.header(claim.height)?;
    let bytes = &claim.transaction.0;
    let tx = header.verify_transaction(bytes, &claim.inclusion).ok()?;
    header.verify_receipt(&Receipt { tx, code: ReceiptCode::Applied }, &claim.receipt).ok()?;
    let signed = SignedTransaction::decode(bytes).ok()?;
    signed.transaction.header.expect(Kind::Transaction).ok()?;
    if signed.transaction.chain_id != trusted.chain_id || signed.transaction.sender != member.id {
        return None;
    }
    signed.verify(member, &trusted.chain_id).ok()?;
    let windows = match (signed.transaction.body, kind) {
        (TxBody::LogQueries(windows), LogKind::Queries) | (TxBody::LogReceipts(windows), LogKind::Receipts) => windows,
        _ => return None,
    };
    let at = LoggedAt {
        height: claim.height,
        time_s: header.header().time_s(),
        first_window: windows.first_window,
        last_window: windows.last_window,
    };
    Some(Logged { at, windows })
}

/// Rules 20, 44 to 47.
fn envelopes(
    trusted: &Trusted,
    request: &Request<'_>,
    windows: &LogWindows,
    claims: &[LoggedEnvelope],
) -> Result<Vec<LoggedResponder>, Refused> {
    let mut responders: Vec<LoggedResponder> = Vec::with_capacity(claims.len());
    for claim in claims {
        let (member, envelope) = addressed(trusted, request, claim)?;
        if responders.last().is_some_and(|last| last.publisher >= member.id) {
            return Err(Rule::Envelopes.into());
        }
        responders.push(responder(trusted, windows, claim, member, &envelope)?);
    }
    if responders.is_empty() { Err(Rule::Envelopes.into()) } else { Ok(responders) }
}

/// Rule 20, and rule 47 for the addressee.
fn addressed<'a>(
    trusted: &'a Trusted,
    request: &Request<'_>,
    claim: &LoggedEnvelope,
) -> Result<(&'a Member, Envelope), Refused> {
    let named: Envelope = riskveil_crypto::codec::decode(&claim.envelope.0, super::request::MAX_MESSAGE_BYTES)
        .map_err(|_| Rule::Envelope)?;
    let member = trusted.genesis.member(&named.publisher).filter(|member| member.roles.publisher);
    let member = member.ok_or(Rule::Envelopes)?;
    let envelope = request.envelope(&claim.envelope.0, &claim.signature, &member.id)?;
    Ok((member, envelope))
}

/// Rules 44 to 46.
fn responder(
    trusted: &Trusted,
    windows: &LogWindows,
    claim: &LoggedEnvelope,
    member: &Member,
    envelope: &Envelope,
) -> Result<LoggedResponder, Refused> {
    let about = |rule| Refused::about(rule, &member.id);
    let digest = envelope.digest();
    if !is_leaf(windows, &query_leaf(&envelope.salt, &digest), &claim.leaf) {
        return Err(about(Rule::Leaf));
    }
    if let Some(outcome) = &claim.outcome {
        let signed = outcome.verify(&trusted.chain_id, &digest, &member.identity_key);
        signed.map_err(|_| about(Rule::LoggedOutcome))?;
    }
    let receipt = match &claim.receipt {
        None => None,
        Some(receipt) => {
            let logged = logged(trusted, &receipt.transaction, member, LogKind::Receipts);
            let logged =
                logged.filter(|logged| is_leaf(&logged.windows, &receipt_leaf(&envelope.salt, &digest), &receipt.leaf));
            Some(logged.ok_or_else(|| about(Rule::Receipt))?.at)
        }
    };
    Ok(LoggedResponder {
        publisher: member.id.clone(),
        status: claim.outcome.as_ref().map(|outcome| outcome.status),
        receipt,
    })
}

fn is_leaf(windows: &LogWindows, leaf: &Digest32, proof: &InclusionProof) -> bool {
    proof.size == u64::from(windows.log.count) && proof.verify(&windows.log.root, &leaf_hash(leaf.as_bytes())).is_ok()
}
