//! Histories of concurrent requests, checked for linearizability.
//!
//! Thirty-two writers work through two processes on one state directory while one process or both are killed and
//! restarted. Every request is recorded with the times of its call and of its answer. Afterwards a checker looks for an
//! order of the requests that explains all answers: each request takes effect at one moment between its call and its
//! answer. If there is no such order, an acknowledged change was lost, applied twice, or read too early or too late.
//!
//! - `history` records the calls of one object and asks the checker.
//! - `snapshot` is the sequential model of one snapshot, and `quota` that of the quota of one project.
//! - `run` has the writers and the kills.
//!
//! Linearizability is local: if it holds for each object, it holds for all of them. So each snapshot and each project
//! has a history of its own, short enough for the checker. A list counts as a show of each snapshot that its caller knew.
//!
//! A request without an answer stays open: it may take effect at any later time, or never. So does a 503 whose message
//! says that the request may have been done. All other refusals must have no effect.

mod history;
mod quota;
mod run;
mod snapshot;
