//! The document that explains a snapshot: its status, the reason for it, and what comes next.

use serde_json::{Value, json};

use crate::domain::snapshot::Cause;
use crate::domain::{Completion, Schedule};
use crate::service::ops::Explanation;

/// Returns an explanation as a document.
#[must_use]
pub fn explanation_document(explanation: &Explanation) -> Value {
    let Explanation { stored, seen, is_listed, on_agenda } = explanation;
    let now = seen.as_ref().unwrap_or(stored);
    let next = now.pending.filter(|pending| pending.completion != Completion::None).map(|pending| {
        let becomes = match pending.completion {
            Completion::Remove => "gone",
            Completion::Fail => now.status.given_up().as_str(),
            _ => "available",
        };
        let by = match pending.schedule {
            Schedule::Clock => "the clock",
            Schedule::NextTick => "the next run of the schedule",
            Schedule::OnRequest => {
                "a report of the storage agent, or an operator's tick that names this time or a later one"
            }
        };
        json!({ "at": pending.due.to_string(), "becomes": becomes, "by": by })
    });
    let bound = now.pending.map(|pending| {
        let becomes = if pending.retries > 0 { "retried" } else { now.status.given_up().as_str() };
        json!({ "at": pending.gives_up.to_string(), "becomes": becomes, "retries": pending.retries })
    });
    let why = match (seen, now.pending, now.history.last().map(|past| past.cause)) {
        (None, ..) => "Its removal was due; the next run of the schedule deletes its row.",
        (_, Some(pending), _) if pending.completion == Completion::None => {
            "An administrator set this status and no work is under way, so only the bound ends it."
        }
        (_, Some(_), Some(Cause::Retried)) => "Nobody ended the work within its time bound, so it is retried.",
        (_, Some(_), _) => "Work is under way; see next for what ends it, and bound for when it is given up.",
        (_, None, None) => "It has this status since it came.",
        (_, None, Some(Cause::GivenUp)) => "Nobody ended the work within its time bound, so it was given up.",
        (_, None, Some(Cause::Failed)) => "No backend was there for the work, so it failed.",
        (_, None, Some(Cause::Completed)) => "The work that was under way ended well.",
        (_, None, Some(Cause::Report)) => "A storage agent reported this status.",
        (_, None, Some(Cause::Reset)) => "An administrator set this status.",
        (_, None, Some(_)) => "The last change of its history set this status.",
    };
    let history = now.history.iter().map(
        |past| json!({ "at": past.at.to_string(), "status": past.status.to_string(), "cause": past.cause.to_string() }),
    );
    json!({
        "id": now.id.to_string(),
        "project_id": now.project_id.to_string(),
        "volume_id": now.volume_id.to_string(),
        "created_at": now.created_at.to_string(),
        "status": seen.as_ref().map(|seen| seen.status.to_string()),
        "stored_status": stored.status.to_string(),
        "why": why,
        "next": next,
        "bound": bound,
        "listed": is_listed,
        "on_agenda": on_agenda.map(|due| due.to_string()),
        "history": history.collect::<Value>(),
    })
}
