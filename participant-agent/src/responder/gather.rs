//! Single checks that arrive together are evaluated together, so that they fill the kernel's lanes and share its fixed costs.
//!
//! - **Place**: B4, between the rules and the response
//! - **Shapes**: a check has 4 items and the kernel 8 lanes. A chunk fills the lanes alone and is not gathered
//! - **Pace**: a request that is alone under way is evaluated at once. Otherwise the first waits for those under way, at most
//!   [`LONGEST`], or until [`ENOUGH`] are there
//! - **Security**: each request keeps its own transcript, proof and signature; requests of different keys are not mixed. A lender can
//!   make others wait for [`LONGEST`] and no longer

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::OsRng;
use riskveil_exchange::query::messages::{EvaluateRequest, EvaluateResponse, Shape};
use riskveil_exchange::query::refusal::RefusalReason;
use riskveil_exchange::query::responder::ToEvaluate;
use tokio::sync::{Notify, oneshot};

use super::{Admission, refuse_at, responder};
use crate::context::Context;
use crate::walks::blocking;

/// How long a check waits for others.
const LONGEST: Duration = Duration::from_millis(1);
/// Checks that are evaluated without waiting for more.
const ENOUGH: usize = 16;

/// An admitted request.
pub(super) struct Job {
    pub(super) request: EvaluateRequest,
    pub(super) admission: Admission,
}

/// A request and the signed response to it.
pub(super) type Evaluated = (EvaluateRequest, EvaluateResponse);

/// Checks that wait for others.
#[derive(Default)]
pub(super) struct Gatherer {
    waiting: Mutex<Vec<(Job, oneshot::Sender<Evaluated>)>>,
    full: Notify,
}

/// Whether a request is evaluated at once: a chunk, or a check with none beside it.
pub(super) fn goes_alone(context: &Context, request: &EvaluateRequest) -> bool {
    request.core.shape != Shape::Check || context.responder.under_way() <= 1
}

/// Evaluates an admitted request on this thread.
pub(super) fn evaluate_alone(context: &Context, job: Job) -> Evaluated {
    evaluate_together(context, vec![job]).pop().expect("one response a job")
}

/// Evaluates an admitted request together with others that arrive within [`LONGEST`].
pub(super) async fn evaluate(context: &Arc<Context>, job: Job) -> Evaluated {
    let gatherer = &context.responder.gatherer;
    let (done, answer) = oneshot::channel();
    let first = {
        let mut waiting = gatherer.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((job, done));
        if waiting.len() >= ENOUGH.min(context.responder.under_way()) {
            gatherer.full.notify_one();
        }
        waiting.len() == 1
    };
    if first {
        // Whoever comes first waits and takes everyone along, on a task of its own: its lender may hang up.
        let context = context.clone();
        tokio::spawn(async move {
            let gatherer = &context.responder.gatherer;
            let _full = tokio::time::timeout(LONGEST, gatherer.full.notified()).await;
            let gathered = std::mem::take(&mut *gatherer.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            let (jobs, callers): (Vec<Job>, Vec<_>) = gathered.into_iter().unzip();
            for (evaluated, caller) in evaluate_all(&context, jobs).await.into_iter().zip(callers) {
                // a caller that is gone needs no answer
                let _gone = caller.send(evaluated);
            }
        });
    }
    answer.await.expect("the first of the gathered answers all of them")
}

/// [`evaluate_together`] on a blocking thread.
async fn evaluate_all(context: &Arc<Context>, jobs: Vec<Job>) -> Vec<Evaluated> {
    let context = context.clone();
    match blocking(move || Ok::<_, std::convert::Infallible>(evaluate_together(&context, jobs))).await {
        Ok(evaluated) => evaluated,
        Err(never) => match never {},
    }
}

/// The responses to these jobs, in order.
fn evaluate_together(context: &Context, jobs: Vec<Job>) -> Vec<Evaluated> {
    let mut responses: Vec<Option<EvaluateResponse>> = jobs.iter().map(|_| None).collect();
    for (place, job) in jobs.iter().enumerate() {
        if responses[place].is_some() {
            continue;
        }
        // all that are under the key of this one: two are live around a period's end
        let key = &job.admission.key;
        let same: Vec<usize> =
            (place..jobs.len()).filter(|other| Arc::ptr_eq(&jobs[*other].admission.key.sk, &key.sk)).collect();
        let requests: Vec<ToEvaluate<'_>> = same.iter().map(|place| to_evaluate(&jobs[*place])).collect();
        let evaluated = responder(context).evaluate_many(&requests, &key.sk, context.identity(), &mut OsRng);
        for (place, response) in same.into_iter().zip(evaluated) {
            let Job { request, admission } = &jobs[place];
            let refuse = |_| refuse_at(context, &admission.view, request, RefusalReason::Overloaded);
            responses[place] = Some(response.unwrap_or_else(refuse));
        }
    }
    jobs.into_iter().zip(responses).filter_map(|(job, response)| Some((job.request, response?))).collect()
}

fn to_evaluate(job: &Job) -> ToEvaluate<'_> {
    let Job { request, admission } = job;
    ToEvaluate { admitted: &admission.admitted, request, standing: &admission.standing }
}
