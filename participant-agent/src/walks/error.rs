//! Why a walk did not reach its end. What a responder did wrong is never an error of the walk: it is that responder's answer.

use riskveil_chain::receipt::ReceiptCode;
use riskveil_exchange::ids::Period;
use riskveil_exchange::query::report::NotAsked;
use riskveil_exchange::{publish, query};

use crate::ingest::IngestError;
use crate::journal::JournalError;
use crate::outbox::OutboxError;
use crate::period_keys::PeriodKeyError;
use crate::query_log::QueryLogError;
use crate::records::RecordsError;

/// Why a publication did not go through, or not yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The file is no file of records; nothing was published.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The record journal.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The period key.
    #[error(transparent)]
    Key(#[from] PeriodKeyError),
    /// Rows could not be drawn.
    #[error(transparent)]
    Rows(#[from] publish::PublishError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The chain refused a transaction.
    #[error("the chain refused a batch or the seal: {0}")]
    Refused(ReceiptCode),
    /// The period ended meanwhile.
    #[error("period {0} ended meanwhile; the records are published in the next one")]
    PeriodOver(Period),
    /// The agent's own work ended early.
    #[error("the work was interrupted")]
    Interrupted,
    /// This replica does not hold what its own state counts.
    #[error("this replica's index does not hold every batch that its state counts")]
    NotReplicated,
}

impl From<JournalError> for PublishError {
    fn from(error: JournalError) -> Self {
        Self::Records(error.into())
    }
}

/// Why nothing was asked, or nothing can be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// This agent is no lender.
    #[error("this agent does not have the role of a lender")]
    NotALender,
    /// Not one valid identifier was given.
    #[error("there is no valid identifier to ask about{}", why(.0))]
    NoIdentifier(Vec<NotAsked>),
    /// The policy does not allow the purpose.
    #[error("the consortium's policy does not allow this purpose")]
    PurposeNotAllowed,
    /// This replica is behind.
    #[error("this agent's replica is {behind_s} s behind; it does not ask before it has caught up")]
    ReplicaBehind {
        /// Age of the finalized tip, s.
        behind_s: u64,
    },
    /// No audit key is live.
    #[error("no audit key is live at this agent's finalized tip")]
    NoAuditKey,
    /// The query could not be built.
    #[error(transparent)]
    Session(#[from] query::session::SessionError),
    /// The query journal: nothing was sent.
    #[error(transparent)]
    Log(#[from] QueryLogError),
    /// A journal of reports or screenings.
    #[error(transparent)]
    Journal(#[from] std::sync::Arc<JournalError>),
}

/// What is wrong with each identifier that was given; never the identifier.
fn why(not_asked: &[NotAsked]) -> String {
    let each = not_asked.iter().map(|one| {
        let id_type = one.id_type.map_or("identifier", |id_type| id_type.as_str());
        format!("{id_type}: {}", one.reason.as_str())
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { ", give at least one".to_owned() } else { format!(" ({})", each.join(", ")) }
}

impl From<JournalError> for QueryError {
    fn from(error: JournalError) -> Self {
        Self::Journal(std::sync::Arc::new(error))
    }
}
