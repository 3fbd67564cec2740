//! Rules 13 to 16: whom the check asks about, at which height it is judged, and that no publisher is left out.

use riskveil_crypto::escrow::{EscrowSecret, dummy_element};
use riskveil_crypto::escrow_opening::verify_item_opening;
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::Member;
use riskveil_exchange::record::Day;

use super::error::{Refused, Rule};
use super::format::{AnswerClaim, ItemOpening, MAX_REASON, Said};
use super::publisher::{AskedItem, Judging};
use super::request::{Request, identifier};
use super::statement::{AnswerStatement, ProvenAnswer};
use super::trusted::Trusted;

pub(super) fn verify(trusted: &Trusted, claim: &AnswerClaim) -> Result<AnswerStatement, Refused> {
    let request = Request::verify(trusted, &claim.core.0, &claim.proofs.0)?;
    let items = open_items(&request, &claim.items).ok_or(Rule::Items)?;
    let judged = trusted.header(claim.judged_height).ok_or(Rule::JudgedHeight)?;
    let period = trusted.genesis.policy.period_at(trusted.genesis.genesis_time_s, judged.header().time_s());
    if period != request.core.period || claim.judged_height > trusted.state_height {
        return Err(Rule::JudgedHeight.into());
    }
    let as_of = Day::from_number(claim.as_of);
    let judging = Judging { trusted, request: &request, items: &items, height: claim.judged_height, as_of };
    let answers = every_publisher(&judging, claim)?;
    let core = &request.core;
    Ok(AnswerStatement {
        lender: core.lender.clone(),
        purpose: core.purpose,
        issued_at_s: core.issued_at_s,
        core_digest: request.core_digest,
        period,
        height: judged.height(),
        header_digest: *judged.digest(),
        header_time_s: judged.header().time_s(),
        as_of,
        asked: items.into_iter().map(|item| item.identifier).collect(),
        answers,
    })
}

/// Rule 13; none unless each item is opened, and one is a person's or company's.
fn open_items(request: &Request<'_>, openings: &[ItemOpening]) -> Option<Vec<AskedItem>> {
    if openings.len() != request.core.items.len() {
        return None;
    }
    let mut asked = Vec::new();
    for (index, (opening, item)) in openings.iter().zip(&request.core.items).enumerate() {
        match opening {
            ItemOpening::Identifier { canonical, secret } => {
                let (identifier, element) = identifier(index, &canonical.0)?;
                let secret = EscrowSecret::from_evidence(&secret.0, item).ok()?;
                if !secret.escrows(&element, &request.y, item) {
                    return None;
                }
                asked.push(AskedItem { index, identifier, secret });
            }
            ItemOpening::Dummy { proof } => {
                let context = request.dummy_context(index);
                verify_item_opening(item, &request.y, &dummy_element(), &context, proof).ok()?;
            }
        }
    }
    if asked.is_empty() { None } else { Some(asked) }
}

/// Rules 15 and 16, and those of each publisher.
fn every_publisher(judging: &Judging<'_>, claim: &AnswerClaim) -> Result<Vec<(MemberId, ProvenAnswer)>, Refused> {
    let publishers: Vec<&Member> = judging.trusted.genesis.members.iter().filter(|m| m.roles.publisher).collect();
    let names = claim.publishers.iter().map(|one| &one.publisher);
    if !names.eq(publishers.iter().map(|member| &member.id)) {
        return Err(Rule::Publishers.into());
    }
    let answer = |(member, said): (&&Member, &Said)| {
        let answer = match said {
            Said::Evaluated(evaluated) => judging.evaluated(member, evaluated)?,
            Said::Refused(exchange) => judging.refusal(member, exchange)?,
            Said::NotProven { reason } if is_reason(reason) => ProvenAnswer::NotProven { stated: reason.clone() },
            Said::NotProven { .. } => return Err(Refused::about(Rule::Reason, &member.id)),
        };
        Ok((member.id.clone(), answer))
    };
    publishers.iter().zip(claim.publishers.iter().map(|one| &one.said)).map(answer).collect()
}

fn is_reason(reason: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || b"_()".contains(&byte);
    (1..=MAX_REASON).contains(&reason.len()) && reason.bytes().all(allowed)
}
