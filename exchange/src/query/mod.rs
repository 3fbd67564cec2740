//! Walk B, steps 3 to 8: a lender asks several responders about one person without telling any of them whom.
//!
//! ```text
//! lender                                                    responder (one of several, asked at the same time)
//! Session::start -> Prepared     blind = escrow, proofs of knowledge, seal
//! Prepared::address -> Addressed signed envelopes; the log entry is journalled, then everything is sent
//!                      --- EvaluateRequest --------------->  Responder::judge -> evaluate or refuse
//!                      <-- EvaluateResponse ---------------  signed, a refusal has the same size
//! AwaitingEvaluations::accept    signature, digests, count, evaluation proof -> VerifiedResponse
//! lookup::walk                   slots of the output in the lender's own replica
//! clear::judge                   the six conditions of `clear`, at one height
//! answer::answer_subject         hit, clear, unavailable, refused or malformed
//! report::Report                 what the lender keeps; never an identifier
//! ```

//X pub mod answer;
//X pub mod clear;
//X pub mod lookup;
pub mod messages;
//X pub mod quota;
pub mod refusal;
//X pub mod replay;
//X pub mod report;
//X pub mod responder;
pub mod seal;
//X pub mod session;

//X pub use answer::{Fact, MalformedReason, ResponderAnswer, UnavailableReason};
//X pub use lookup::{FoundRow, IndexUnavailable, IndexView};
pub use messages::{
    Envelope, EvaluateRequest, EvaluateResponse, MAX_REQUEST_LEN, MessageError, Proofs, RequestCore, Shape, ShapeInvalid,
};
pub use refusal::RefusalReason;
//X pub use report::Report;
//X pub use responder::{Admitted, Responder, ResponderContext};
//X pub use session::{AwaitingEvaluations, Consent, Prepared, Session, Subject};
