//! The slots of invocations: how many guests may run at once.
//!
//! A request that one component sends to another has slots of its own. Its caller keeps a slot while it waits for the
//! answer, so if both took from the same slots, the callers could hold all of them and wait for each other.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// There is one slot for chained requests for this number of other slots.
const SHARE_OF_CHAINED: usize = 4;

/// The way in which an invocation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A client sent a request, or the time of an event has come.
    Outside,
    /// A component of the app sent a request.
    Chained,
}

/// The slots of an application or of one app.
pub(crate) struct Slots {
    outside: Arc<Semaphore>,
    chained: Arc<Semaphore>,
}

impl Slots {
    /// Returns the slots for `invocations` from outside, and for the requests between components beside them.
    pub(crate) fn new(invocations: usize) -> Self {
        let slots = |count| Arc::new(Semaphore::new(count));
        Self { outside: slots(invocations), chained: slots(chained_beside(invocations)) }
    }

    /// Waits until another invocation may run.
    pub(crate) async fn acquire(&self, cause: Cause) -> OwnedSemaphorePermit {
        let slots = match cause {
            Cause::Outside => &self.outside,
            Cause::Chained => &self.chained,
        };
        acquire(slots).await
    }
}

/// Returns the number of chained requests that run beside a number of other invocations.
pub(crate) const fn chained_beside(invocations: usize) -> usize {
    invocations.div_ceil(SHARE_OF_CHAINED)
}

/// Takes one permit of a semaphore that is never closed.
pub(crate) async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    semaphore.clone().acquire_owned().await.expect("the semaphore is never closed")
}
