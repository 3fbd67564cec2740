//! Checks every logged entry by itself: whose it is, what it binds, who signed it, and whose outcomes it holds.
//!
//! - **Place**: the second step of [`super::reconcile`], one entry independent of the other; what they mean together is
//!   judged after it
//! - **Errors**: [`EntryFault`]s, which become findings there
//! - **Source**: specs/protocol.md#reconciliation

use riskveil_crypto::Digest32;

use super::State;
use crate::audit::entry::{EntryEnvelope, QueryEntry, ReceiptEntry};
use crate::audit::finding::EntryFault;
use crate::audit::opened::{Logged, LoggedIn};
use crate::audit::request_check::LoggedRequest;
use crate::query::messages::RequestCore;

/// A lender's entry by itself.
pub(super) struct CheckedQuery {
    pub(super) core_digest: Digest32,
    /// It is of this lender and chain; otherwise its envelopes were not looked at.
    pub(super) is_own: bool,
    pub(super) envelopes: Vec<CheckedEnvelope>,
}

/// One envelope of a lender's entry.
pub(super) struct CheckedEnvelope {
    pub(super) digest: Digest32,
    pub(super) holds: Result<(), EntryFault>,
    /// The responder signed the outcome; false without one.
    pub(super) is_answered: bool,
}

/// A responder's entry by itself.
pub(super) struct CheckedReceipt {
    pub(super) core_digest: Digest32,
    pub(super) envelope_digest: Digest32,
    pub(super) holds: Result<(), EntryFault>,
}

impl State<'_> {
    pub(super) fn check_query(&self, logged: &Logged<QueryEntry>) -> CheckedQuery {
        let QueryEntry { core, proofs, seal, envelopes } = &logged.entry;
        let core_digest = core.digest();
        if !self.is_of(logged.window, core, |logged_in| core.lender == logged_in.scope.member) {
            return CheckedQuery { core_digest, is_own: false, envelopes: Vec::new() };
        }
        let proofs_digest = proofs.digest();
        let request = LoggedRequest { core, core_digest: &core_digest, proofs, seal };
        let envelopes = envelopes.iter().map(|one| self.check_envelope(&request, &proofs_digest, one)).collect();
        CheckedQuery { core_digest, is_own: true, envelopes }
    }

    fn check_envelope(
        &self,
        request: &LoggedRequest<'_>,
        proofs_digest: &Digest32,
        one: &EntryEnvelope,
    ) -> CheckedEnvelope {
        let digest = one.envelope.digest();
        let lender = self.identity_key(&request.core.lender).ok_or(EntryFault::LenderSignature);
        let holds = lender
            .and_then(|lender| request.is_signed(proofs_digest, &one.envelope, &one.signature, lender))
            .and_then(|()| request.is_well_formed());
        let outcome = one.outcome.as_ref().filter(|_| holds.is_ok()).zip(self.identity_key(&one.envelope.publisher));
        let is_answered =
            outcome.is_some_and(|(outcome, key)| outcome.verify(self.input.chain_id, &digest, key).is_ok());
        CheckedEnvelope { digest, holds, is_answered }
    }

    /// Called when the lenders' entries have been read: an envelope whose signature was verified there is not verified again.
    pub(super) fn check_receipt(&self, logged: &Logged<ReceiptEntry>) -> CheckedReceipt {
        let ReceiptEntry { core, proofs, seal, envelope, signature, .. } = &logged.entry;
        let (core_digest, envelope_digest) = (core.digest(), envelope.digest());
        let request = LoggedRequest { core, core_digest: &core_digest, proofs, seal };
        let signed = || {
            let lender = self.identity_key(&core.lender).ok_or(EntryFault::LenderSignature)?;
            let proofs_digest = proofs.digest();
            // equal digests are of equal envelopes, which name the core and so the lender that signed
            match self.sent.get(&envelope_digest) {
                Some(sent) if sent.one.signature == *signature => request.is_bound(&proofs_digest, envelope),
                _ => request.is_signed(&proofs_digest, envelope, signature, lender),
            }
        };
        let is_own = self.is_of(logged.window, core, |logged_in| envelope.publisher == logged_in.scope.member);
        let holds = if is_own { signed().and_then(|()| request.is_well_formed()) } else { Err(EntryFault::NotOwn) };
        CheckedReceipt { core_digest, envelope_digest, holds }
    }

    fn is_of(&self, window: usize, core: &RequestCore, is_writer: impl FnOnce(&LoggedIn) -> bool) -> bool {
        core.chain_id == *self.input.chain_id && self.logs.windows.get(window).is_some_and(is_writer)
    }
}
