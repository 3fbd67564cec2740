//! The two walks, one call a step: [`publish`] (A1 to A8) and [`check`] (B1 to B8), and [`screen`], which is B for many at once.
//!
//! - **Place**: between the HTTP API and the rooms below; no protocol rule is decided here
//! - **Errors**: [`PublishError`], [`QueryError`]
//! - **Source**: DESIGN.md section 4; HOUSE_STYLE.md section 3

pub mod ask;
pub mod background;
pub mod check;
pub mod commitments;
pub mod disclose;
pub mod disclosures;
pub mod draw;
pub mod error;
pub mod evidence;
pub mod jobs;
pub mod judge;
pub mod kept;
pub mod publish;
pub mod publisher;
pub mod range_proofs;
pub mod reports;
pub mod rows;
pub mod screen;
pub mod snapshot;

pub use error::{PublishError, QueryError};

/// Runs work that takes more than a millisecond of CPU or waits for the disk, off the threads that serve requests.
///
/// # Errors
/// Those of the work.
pub(crate) async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // the runtime cancels blocking work only when the process ends
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => futures::future::pending().await,
        },
    }
}
