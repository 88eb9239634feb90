//! The sequential model of one snapshot.
//!
//! Creating and deleting take no time in these tests, but a request that read the clock just before still sees
//! `creating` or `deleting`. So work under way may end at any moment, and an answer that shows its end settles it.
//!
//! Of two deletes that overlap, both may be accepted. The second finds the snapshot gone after its own attempt to mark it,
//! and on some stores it cannot know whether that attempt has succeeded.

use std::collections::BTreeMap;

use todc_utils::specifications::Specification;

use super::history::Operation;

pub type Metadata = BTreeMap<String, String>;

/// A request about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Create(Metadata),
    /// A show, or the row in a list.
    Show,
    Merge(Metadata),
    Replace(Metadata),
    DeleteItem(String),
    /// `os-reset_status`, to `available`, `error`, or `creating`.
    Reset(&'static str),
    /// `os-update_snapshot_status`, to `available` or `error`.
    Report(&'static str),
    Delete,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done, without anything to see.
    Done,
    /// The status and the metadata.
    Row(String, Metadata),
    /// The metadata after the change.
    Metadata(Metadata),
    /// 400: the status does not allow it.
    Refused,
    /// 404: there is no such snapshot, or no such item of metadata.
    NotFound,
    /// No answer, or one that says that the request may have been done.
    Unknown,
}

pub type Call = (Request, Answer);

impl Operation for Call {
    fn open(&self) -> Option<Self> {
        (self.0 != Request::Show).then(|| (self.0.clone(), Answer::Unknown))
    }
}

/// Work that may end at any moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    Create,
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    status: String,
    work: Option<Work>,
    metadata: Metadata,
}

impl Row {
    /// Returns the row after the end of its creation, if that is under way.
    fn created(mut self) -> Self {
        if self.work == Some(Work::Create) {
            (self.status, self.work) = ("available".to_owned(), None);
        }
        self
    }

    fn with_status(mut self, status: &str, work: Option<Work>) -> Self {
        (self.status, self.work) = (status.to_owned(), work);
        self
    }

    fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    NotCreated,
    Here(Row),
    Gone,
}

/// The model.
#[derive(Debug)]
pub struct Snapshot;

impl Specification for Snapshot {
    type State = State;
    type Operation = Call;

    fn init() -> State {
        State::NotCreated
    }

    /// Returns whether the answer is right in a state, and the state afterwards. A request without an answer takes
    /// effect if the state allows it.
    fn apply((request, answer): &Call, state: &State) -> (bool, State) {
        let after = match (state, request) {
            (State::NotCreated, Request::Create(metadata)) => match answer {
                Answer::Done | Answer::Unknown => {
                    let row = Row { status: String::new(), work: None, metadata: metadata.clone() };
                    Some(State::Here(row.with_status("creating", Some(Work::Create))))
                }
                _ => None,
            },
            (State::NotCreated | State::Gone, _) => {
                matches!(answer, Answer::NotFound | Answer::Unknown).then(|| state.clone())
            }
            (State::Here(row), _) => here(row, request, answer),
        };
        match after {
            Some(after) => (true, after),
            None => (false, state.clone()),
        }
    }
}

/// Returns the state of an existing snapshot after a request, or `None` if the answer is wrong.
fn here(row: &Row, request: &Request, answer: &Answer) -> Option<State> {
    let is_no_item = matches!(request, Request::DeleteItem(key) if !row.metadata.contains_key(key));
    if *answer == Answer::NotFound && !is_no_item {
        return (row.work == Some(Work::Remove)).then_some(State::Gone);
    }
    let (row, is_known) = (row.clone(), *answer != Answer::Unknown);
    let changed = |row: Row, metadata: Metadata| {
        let is_right = !is_known || *answer == Answer::Metadata(metadata.clone());
        is_right.then(|| State::Here(row.with_metadata(metadata)))
    };
    match request {
        Request::Create(_) => None,
        Request::Show => {
            let Answer::Row(status, metadata) = answer else { return None };
            let row = if *status == row.status { row } else { row.created() };
            (row.status == *status && row.metadata == *metadata).then_some(State::Here(row))
        }
        Request::Merge(items) => {
            let mut metadata = row.metadata.clone();
            metadata.extend(items.clone());
            changed(row, metadata)
        }
        Request::Replace(metadata) => changed(row, metadata.clone()),
        Request::DeleteItem(key) => {
            let mut metadata = row.metadata.clone();
            let expected = if metadata.remove(key).is_some() { Answer::Done } else { Answer::NotFound };
            (!is_known || *answer == expected).then(|| State::Here(row.with_metadata(metadata)))
        }
        Request::Reset(status) => {
            (!is_known || *answer == Answer::Done).then(|| State::Here(row.with_status(status, None)))
        }
        Request::Report(status) => match (row.status.as_str(), answer) {
            ("creating", Answer::Done | Answer::Unknown) => Some(State::Here(row.with_status(status, None))),
            // Its creation has ended, or the report does not fit its status.
            ("creating", Answer::Refused) => (row.work.is_some()).then(|| State::Here(row.created())),
            (_, Answer::Refused | Answer::Unknown) => Some(State::Here(row)),
            _ => None,
        },
        Request::Delete => {
            let is_created = row.clone().created();
            match (row.work, answer, is_created.status.as_str()) {
                (Some(Work::Create), Answer::Refused, _) => Some(State::Here(row)),
                (_, Answer::Done | Answer::Unknown, "available" | "error") => {
                    Some(State::Here(is_created.with_status("deleting", Some(Work::Remove))))
                }
                (_, Answer::Refused, "available" | "error") => None,
                (Some(Work::Remove), Answer::Done, _) => Some(State::Here(row)),
                (_, Answer::Refused | Answer::Unknown, _) => Some(State::Here(row)),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use super::*;

    fn metadata(items: &[(&str, &str)]) -> Metadata {
        items.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn row(status: &str, items: &[(&str, &str)]) -> Answer {
        Answer::Row(status.to_owned(), metadata(items))
    }

    fn merge(key: &str, value: &str, after: &[(&str, &str)]) -> Call {
        (Request::Merge(metadata(&[(key, value)])), Answer::Metadata(metadata(after)))
    }

    const CREATED: (usize, Option<usize>) = (0, Some(1));

    /// Checks a history that begins with a create. Calls have a time, and a time of the answer unless they are open.
    fn check(calls: &[(usize, Option<usize>, Call)]) -> Result<(), String> {
        let mut history = History::default();
        let create = (CREATED.0, CREATED.1, (Request::Create(Metadata::new()), Answer::Done));
        for (called, answered, operation) in [create].iter().chain(calls) {
            match answered {
                Some(answered) => history.answered(*called, *answered, operation.clone()),
                None => history.unanswered(*called, operation),
            }
        }
        history.check::<Snapshot>()
    }

    #[test]
    fn merges_that_overlap_may_take_effect_in_either_order() {
        let calls = [
            (2, Some(5), merge("k", "1", &[("k", "1")])),
            (3, Some(4), merge("k", "2", &[("k", "2")])),
            (6, Some(7), (Request::Show, row("available", &[("k", "1")]))),
        ];
        assert_eq!(check(&calls), Ok(()));
    }

    #[test]
    fn a_lost_update_is_found() {
        let calls = [
            (2, Some(4), merge("a", "1", &[("a", "1")])),
            (3, Some(5), merge("b", "2", &[("b", "2")])),
            (6, Some(7), (Request::Show, row("available", &[("b", "2")]))),
        ];
        let shortest = check(&calls).expect_err("both merges were acknowledged, and neither saw the other");
        assert_eq!(shortest.lines().count(), 3, "the show is not needed to see it:\n{shortest}");
    }

    #[test]
    fn a_stale_read_is_found() {
        let calls =
            [(2, Some(3), merge("k", "1", &[("k", "1")])), (4, Some(5), (Request::Show, row("available", &[])))];
        assert!(check(&calls).is_err(), "the merge was answered before the show was called");
        let overlapping = [calls[0].clone(), (2, Some(5), calls[1].2.clone())];
        assert_eq!(check(&overlapping), Ok(()), "the show was called before the merge was answered");
    }

    #[test]
    fn a_read_of_a_deleted_snapshot_is_found() {
        let delete = (2, Some(3), (Request::Delete, Answer::Done));
        let gone = (4, Some(5), (Request::Show, Answer::NotFound));
        let back = (6, Some(7), (Request::Show, row("deleting", &[])));
        assert_eq!(check(&[delete.clone(), gone.clone()]), Ok(()));
        assert!(check(&[delete, gone, back]).is_err(), "it was gone before");
    }

    #[test]
    fn two_reports_that_both_end_the_same_work_are_found() {
        let reset = (2, Some(3), (Request::Reset("creating"), Answer::Done));
        let reports = |second| {
            [
                reset.clone(),
                (4, Some(7), (Request::Report("available"), Answer::Done)),
                (5, Some(6), (Request::Report("error"), second)),
            ]
        };
        assert_eq!(check(&reports(Answer::Refused)), Ok(()));
        assert!(check(&reports(Answer::Done)).is_err(), "only one report can find it creating");
    }

    #[test]
    fn a_call_without_an_answer_may_take_effect_late_or_never_but_not_twice() {
        let open = (2, None, (Request::Merge(metadata(&[("k", "1")])), Answer::Unknown));
        let without = |called| (called, Some(called + 1), (Request::Show, row("available", &[])));
        let with = |called| (called, Some(called + 1), (Request::Show, row("available", &[("k", "1")])));
        let removal = |called| (called, Some(called + 1), (Request::DeleteItem("k".to_owned()), Answer::Done));
        assert_eq!(check(&[open.clone(), without(4), without(6)]), Ok(()));
        assert_eq!(check(&[open.clone(), without(4), with(6)]), Ok(()));
        assert_eq!(check(&[open.clone(), with(4), removal(6), without(8)]), Ok(()));
        assert!(check(&[open.clone(), with(4), removal(6), with(8)]).is_err(), "it took effect twice");
        assert!(check(&[open, with(4), without(6)]).is_err(), "its effect was lost");
    }
}
