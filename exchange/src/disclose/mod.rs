//! After a hit, with consent: the publisher opens one value of one record, or shows its range, to that lender alone.
//!
//! ```text
//! lender                                                     publisher (one, after its hit)
//! ask -> Asked             head signed, body with the check, the row's tag and a proof whom the check asked about;
//!                          the log entry is journalled before anything is sent
//!                      --- DisclosureRequest ------------->  Discloser::authenticate, nonce, judge, match_record
//!                      <-- DisclosureResponse ------------   disclose or refuse, signed, of one length; receipted before it leaves
//! AwaitingDisclosure::open     names this request, signature -> SignedAnswer
//! SignedAnswer::verify         commitment on chain, link, static facts, opening or range proof, label: a fault names the
//!                              publisher, and the signed answer proves it
//! ```
//!
//! - **Security**: no identifier is on the wire: the publisher finds the person in its own records by the tag, and believes the
//!   lender only on a proof that its check asked about that person. A lender without the hit learns nothing, not even which
//!   tags are rows
//! - **Source**: DESIGN.md section 3, "Commitment"; specs/protocol.md#disclosure, specs/wire.md#disclosure

pub mod accept;
pub mod ask;
pub mod entry;
pub mod judge;
pub mod messages;
pub mod refusal;
pub mod rows;

pub use accept::{
    AcceptedAnswer, AwaitingDisclosure, Claim, CommitmentUnavailable, CommitmentView, Disclosure, DisclosureFault,
    DisclosureRejected, SignedAnswer, SignedDisclosureRefusal, VerifyError,
};
pub use ask::{AskError, Asked, AskingLender, HeldCheck, HeldRow, ask};
pub use entry::{DisclosureEntry, DisclosureReceipt};
pub use judge::{AdmittedDisclosure, AuthenticDisclosure, Discloser, DiscloserContext, HeldRecord, MatchedRecord};
pub use messages::{
    Ask, CommitmentPosition, DisclosureBody, DisclosureHead, DisclosureRequest, DisclosureResponse,
    MAX_DISCLOSURE_REQUEST_LEN,
};
pub use refusal::DisclosureRefusal;
pub use rows::hit_rows;
