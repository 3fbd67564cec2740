//! Compares both sides' logs of disclosures by the digest of their heads.
//!
//! - **Place**: the last step of [`super::reconcile`]
//! - **Invariants**: as there: an honest lender and an honest publisher are never named
//! - **Errors**: findings `entry_invalid`, `consent_mismatch`, `equivocation`, `late`, `lender_omitted`, `responder_omitted`
//! - **Security**: heads and digests only; that a publisher disclosed says that it has a record of the check's person
//! - **Source**: specs/protocol.md#reconciliation

use std::collections::BTreeMap;

use riskveil_crypto::{Digest32, Signature};

use super::State;
use crate::audit::entry::Outcome;
use crate::audit::finding::{EntryFault, Finding, FindingKind, Proof};
use crate::audit::opened::LoggedIn;
use crate::disclose::messages::DisclosureHead;
use crate::disclose::refusal::{DisclosureRefusal, STATUS_DISCLOSED};
use crate::ids::MemberId;
use crate::message::Kind;
use crate::query::seal::Consent;

struct Sent<'a> {
    head: &'a DisclosureHead,
    answered: Option<&'a Outcome>,
    logged_in: &'a LoggedIn,
}

struct Received<'a> {
    head: &'a DisclosureHead,
    signature: &'a Signature,
    status: u8,
    response_digest: Digest32,
    logged_in: &'a LoggedIn,
}

/// Heads that were signed, with who holds them, for nonces that stand twice.
type Heads<'a> = BTreeMap<(&'a MemberId, &'a [u8; 32]), (Digest32, &'a DisclosureHead, &'a Signature)>;

impl<'a> State<'a> {
    /// Every entry holds together, nonces are used once, and both sides have the same disclosures.
    pub(super) fn disclosures_hold(&mut self) {
        let mut heads = Heads::new();
        let sent = self.read_disclosures(&mut heads);
        let received = self.read_disclosure_receipts(&mut heads);
        self.lenders_logged_what_publishers_received(&sent, &received);
        self.publishers_logged_what_they_answered(&sent, &received);
    }

    fn read_disclosures(&mut self, heads: &mut Heads<'a>) -> BTreeMap<Digest32, Sent<'a>> {
        let mut sent = BTreeMap::new();
        for logged in &self.logs.disclosures {
            let Some(logged_in) = self.logs.windows.get(logged.window) else { continue };
            let (entry, is_judged) = (&logged.entry, self.is_judged(logged_in));
            let (head, digest) = (&entry.head, entry.head.digest());
            self.counts.disclosures += u64::from(is_judged);
            let own = head.lender == logged_in.scope.member;
            if let Err(fault) = self.check_head(head, &entry.signature, own) {
                self.invalid_disclosure(logged_in, digest, fault);
                continue;
            }
            self.note_head(heads, digest, head, &entry.signature, &entry.consent, logged_in);
            if is_judged {
                self.disclosure_is_in_time(logged_in, head, digest);
            }
            let answered = self.disclosure_answer(logged_in, digest, head, entry.outcome.as_ref());
            if logged.on_chain.contains(&true) {
                sent.insert(digest, Sent { head, answered, logged_in });
            }
        }
        sent
    }

    fn read_disclosure_receipts(&mut self, heads: &mut Heads<'a>) -> BTreeMap<Digest32, Received<'a>> {
        let mut received = BTreeMap::new();
        for logged in &self.logs.disclosure_receipts {
            let Some(logged_in) = self.logs.windows.get(logged.window) else { continue };
            let (entry, is_judged) = (&logged.entry, self.is_judged(logged_in));
            let (head, digest) = (&entry.head, entry.head.digest());
            self.counts.disclosure_receipts += u64::from(is_judged);
            let own = head.publisher == logged_in.scope.member;
            if let Err(fault) = self.check_head(head, &entry.signature, own) {
                self.invalid_disclosure(logged_in, digest, fault);
                continue;
            }
            self.note_head(heads, digest, head, &entry.signature, &entry.consent, logged_in);
            // what was refused may state any time; what was disclosed was issued near the publisher's clock
            if is_judged && entry.status == STATUS_DISCLOSED {
                self.disclosure_is_in_time(logged_in, head, digest);
            }
            if logged.on_chain.contains(&true) {
                let (signature, status, response_digest) = (&entry.signature, entry.status, entry.response_digest);
                received.insert(digest, Received { head, signature, status, response_digest, logged_in });
            }
        }
        received
    }

    fn check_head(&self, head: &DisclosureHead, signature: &Signature, own: bool) -> Result<(), EntryFault> {
        if !own || head.chain_id != *self.input.chain_id {
            return Err(EntryFault::NotOwn);
        }
        head.header.expect(Kind::DisclosureHead).map_err(|_| EntryFault::Form)?;
        let lender = self.identity_key(&head.lender).ok_or(EntryFault::LenderSignature)?;
        head.verify(lender, signature).map_err(|_| EntryFault::LenderSignature)
    }

    /// A lender's nonce names one disclosure; the consent opens the head's commitment and is one.
    fn note_head(
        &mut self,
        heads: &mut Heads<'a>,
        digest: Digest32,
        head: &'a DisclosureHead,
        signature: &'a Signature,
        consent: &Consent,
        logged_in: &'a LoggedIn,
    ) {
        let before = *heads.entry((&head.lender, &head.nonce)).or_insert((digest, head, signature));
        if !self.is_judged(logged_in) {
            return;
        }
        let signed = |head: &DisclosureHead, signature: &Signature| Proof::SignedDisclosure {
            head: head.clone(),
            signature: *signature,
        };
        if before.0 != digest {
            let proof = vec![signed(head, signature), logged_in.proof(), signed(before.1, before.2)];
            let finding = Finding::new(FindingKind::Equivocation, head.lender.clone(), proof);
            self.findings.push(finding.about_disclosure(digest));
        }
        if consent.commitment() != head.consent_commit {
            // the consent in an entry is its writer's word; the commitment is the lender's
            let finding = Finding::new(
                FindingKind::ConsentMismatch,
                logged_in.scope.member.clone(),
                vec![signed(head, signature), logged_in.proof()],
            );
            self.findings.push(finding.about_disclosure(digest));
        } else if consent.digest == Digest32::ZERO {
            let proof = vec![signed(head, signature), logged_in.proof()];
            let finding = Finding::new(FindingKind::ConsentMismatch, head.lender.clone(), proof);
            self.findings.push(finding.about_disclosure(digest));
        }
    }

    fn disclosure_is_in_time(&mut self, logged_in: &LoggedIn, head: &DisclosureHead, digest: Digest32) {
        if logged_in.header_time_s > self.due_at_s(head.issued_at_s) && !self.window_is_late(logged_in) {
            let finding = Finding::new(FindingKind::Late, logged_in.scope.member.clone(), vec![logged_in.proof()]);
            self.findings.push(finding.about_disclosure(digest));
        }
    }

    /// The publisher's signed outcome; one that it did not sign is the lender's invention.
    fn disclosure_answer(
        &mut self,
        logged_in: &LoggedIn,
        digest: Digest32,
        head: &DisclosureHead,
        outcome: Option<&'a Outcome>,
    ) -> Option<&'a Outcome> {
        let outcome = outcome?;
        let key = self.identity_key(&head.publisher);
        if key.is_some_and(|key| outcome.verify(self.input.chain_id, &digest, key).is_ok()) {
            return Some(outcome);
        }
        self.invalid_disclosure(logged_in, digest, EntryFault::OutcomeSignature);
        None
    }

    fn lenders_logged_what_publishers_received(
        &mut self,
        sent: &BTreeMap<Digest32, Sent<'a>>,
        received: &BTreeMap<Digest32, Received<'a>>,
    ) {
        for (digest, one) in received {
            if !self.is_judged(one.logged_in) {
                continue;
            }
            let due_s = self.other_side_due_s(one.logged_in);
            if sent.contains_key(digest) {
                self.counts.disclosures_matched += 1;
            } else if self.input.head_time_s <= due_s {
                self.counts.pending += 1;
            } else {
                let proof = vec![
                    Proof::SignedDisclosure { head: one.head.clone(), signature: *one.signature },
                    Proof::AbsentAt { due_s, searched_until_s: self.input.head_time_s },
                    one.logged_in.proof(),
                ];
                let finding = Finding::new(FindingKind::LenderOmitted, one.head.lender.clone(), proof);
                self.findings.push(finding.about_disclosure(*digest));
            }
        }
    }

    fn publishers_logged_what_they_answered(
        &mut self,
        sent: &BTreeMap<Digest32, Sent<'a>>,
        received: &BTreeMap<Digest32, Received<'a>>,
    ) {
        for (digest, one) in sent {
            let Some(outcome) = one.answered.filter(|outcome| is_receipted(outcome.status)) else { continue };
            if !self.is_judged(one.logged_in) {
                continue;
            }
            let due_s = self.other_side_due_s(one.logged_in);
            let publisher = one.head.publisher.clone();
            let signed = Proof::SignedOutcome {
                publisher: publisher.clone(),
                envelope_digest: *digest,
                outcome: outcome.clone(),
            };
            let finding = match received.get(digest) {
                Some(logged)
                    if logged.status == outcome.status && logged.response_digest == outcome.response_digest =>
                {
                    continue;
                }
                Some(logged) => {
                    Finding::new(FindingKind::Equivocation, publisher, vec![signed, logged.logged_in.proof()])
                }
                None if self.input.head_time_s <= due_s => {
                    self.counts.pending += 1;
                    continue;
                }
                None => {
                    let absent = Proof::AbsentAt { due_s, searched_until_s: self.input.head_time_s };
                    let proof = vec![signed, absent, one.logged_in.proof()];
                    Finding::new(FindingKind::ResponderOmitted, publisher, proof)
                }
            };
            self.findings.push(finding.about_disclosure(*digest));
        }
    }

    fn invalid_disclosure(&mut self, logged_in: &LoggedIn, digest: Digest32, fault: EntryFault) {
        if !self.is_judged(logged_in) {
            return;
        }
        let party = logged_in.scope.member.clone();
        let mut finding = Finding::new(FindingKind::EntryInvalid, party, vec![logged_in.proof()]);
        finding.fault = Some(fault);
        self.findings.push(finding.about_disclosure(digest));
    }
}

fn is_receipted(status: u8) -> bool {
    DisclosureRefusal::from_code(status).is_none_or(DisclosureRefusal::is_receipted)
}
