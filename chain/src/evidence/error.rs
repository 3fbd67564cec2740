//! The rules of specs/evidence.md, and what a refused file is refused for.

use std::fmt;

use riskveil_exchange::ids::MemberId;

use crate::light_client::LightClientError;

macro_rules! rules {
    ($($name:ident = $number:literal, $text:literal;)+) => {
        /// A rule of specs/evidence.md, by its number there.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Rule {
            $(#[doc = $text] $name = $number,)+
        }

        impl Rule {
            /// Every rule, ascending.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What does not hold, as a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

rules! {
    Form = 1, "the file is not an evidence file of this version, or is too long";
    Chain = 2, "the file is about another chain than the trusted one";
    Genesis = 3, "the genesis in the file is not the trusted one";
    Boundaries = 4, "the history of the validator committees does not hold";
    Headers = 5, "a block header is not final on this chain";
    State = 6, "a state entry is not under the header's state root";
    Request = 10, "the request is not a check by a lender of this chain";
    AuditKey = 11, "the audit key of the request is not shown";
    Knowledge = 12, "the request's proofs of knowledge do not hold";
    Items = 13, "an item of the request does not ask about what the file says";
    JudgedHeight = 14, "the height at which the answers are judged is not shown, or is of another period";
    Publishers = 15, "the file does not cover exactly the publishers of the chain";
    Reason = 16, "the stated reason has characters that no reason has";
    Envelope = 20, "the envelope is not this lender's to this publisher for this request";
    Response = 21, "the response is not this publisher's signed answer to this envelope";
    Tip = 22, "the responder's tip is not a block of this chain at or below the judged height";
    PeriodKey = 23, "the key is not the publisher's sealed key of the period";
    Binding = 24, "the key is not bound to the audit key";
    Evaluation = 25, "the evaluation is not by the publisher's key";
    Batches = 26, "the batches are not exactly those that the chain counted";
    Snapshot = 27, "the sealed snapshot does not cover these batches";
    Openings = 28, "an opened row is not at its place in its batch";
    Undecided = 29, "it is not shown for every batch whether a row is there";
    Gap = 30, "a slot is used after one that is not";
    Label = 31, "a found row does not open";
    Subject = 41, "an item of the request is not shown to ask about what the file says";
    Consent = 42, "the consent is not the one the request is bound to";
    Logged = 43, "the lender's log transaction is not shown to have been applied";
    Leaf = 44, "the envelope is not in the lender's log";
    LoggedOutcome = 45, "the answer is not signed by the responder";
    Receipt = 46, "the receipt is not in the responder's log";
    Envelopes = 47, "the envelopes are not to distinct publishers in order";
}

impl Rule {
    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[EV-{}]", self.number())
    }
}

/// A file that proves nothing: the first rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The rule.
    pub rule: Rule,
    /// The publisher it is about, for rules 20 to 31 and 44 to 47.
    pub publisher: Option<MemberId>,
    /// The light client's rule, for rules 3 to 5.
    pub light_client: Option<LightClientError>,
}

impl Refused {
    /// A rule about one publisher.
    #[must_use]
    pub fn about(rule: Rule, publisher: &MemberId) -> Self {
        Self { rule, publisher: Some(publisher.clone()), light_client: None }
    }

    /// A rule that the light client's failed under.
    #[must_use]
    pub const fn light_client(rule: Rule, error: LightClientError) -> Self {
        Self { rule, publisher: None, light_client: Some(error) }
    }
}

impl From<Rule> for Refused {
    fn from(rule: Rule) -> Self {
        Self { rule, publisher: None, light_client: None }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rule, self.rule.sentence())?;
        if let Some(publisher) = &self.publisher {
            write!(f, " ({publisher})")?;
        }
        if let Some(error) = &self.light_client {
            write!(f, ": {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
