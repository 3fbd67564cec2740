//! Walk B, steps 3 to 8: a lender asks several responders about one person without telling any of them whom.
//!
//! ```text
//! lender                                                    responder (one of several, asked at the same time)
//! Session::start -> Prepared     blind = escrow, proofs of knowledge, seal
//! Prepared::address -> Addressed signed envelopes; the log entry is journalled, then everything is sent
//!                      --- EvaluateRequest --------------->  Responder::authenticate, nonce, judge -> evaluate or refuse
//!                      <-- EvaluateResponse ---------------  signed, a refusal has the same size
//! AwaitingEvaluations::accept    signature, digests, count, evaluation proof -> VerifiedResponse
//! lookup::walk                   slots of the output in the lender's own replica
//! clear::judge                   the six conditions of `clear`, at one height
//! answer::answer_subject         hit, clear, unavailable, refused or malformed
//! report::Report                 what the lender keeps; never an identifier
//! ```

pub mod answer;
pub mod clear;
pub mod lookup;
pub mod messages;
pub mod quota;
pub mod refusal;
pub mod replay;
pub mod report;
pub mod responder;
pub mod seal;
pub mod session;

pub use answer::{Fact, MalformedReason, ResponderAnswer, UnavailableReason};
pub use lookup::{FoundRow, IndexUnavailable, IndexView};
pub use messages::{
    Envelope, EvaluateRequest, EvaluateResponse, MAX_REQUEST_LEN, MessageError, Proofs, RequestCore, Shape,
    ShapeInvalid,
};
pub use refusal::RefusalReason;
pub use report::Report;
pub use responder::{Admitted, Authentic, Responder, ResponderContext};
pub use session::{AwaitingEvaluations, Consent, Prepared, Session, Subject};
