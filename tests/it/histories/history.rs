//! The recorded calls of one object, and the question to the checker.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action;
use todc_utils::linearizability::history::History as Actions;
use todc_utils::specifications::Specification;

/// Orders the calls and answers of all writers.
#[derive(Debug, Default)]
pub struct Sequence(AtomicUsize);

impl Sequence {
    pub fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A request together with its answer. The checker needs no more than this, since a model decides whether the answer is
/// right in a given state.
pub trait Operation: Clone + Debug {
    /// Returns the same request without an answer, or `None` if it has no effect then.
    fn open(&self) -> Option<Self>;
}

/// One call.
#[derive(Debug, Clone)]
struct Call<O> {
    called: usize,
    /// `None` for a request without an answer.
    answered: Option<usize>,
    operation: O,
}

/// The calls of one object, in any order.
#[derive(Debug, Clone)]
pub struct History<O>(Vec<Call<O>>);

impl<O> Default for History<O> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<O: Operation> History<O> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the time of the first call.
    pub fn first_call(&self) -> Option<usize> {
        self.0.iter().map(|call| call.called).min()
    }

    /// Records a request with its answer.
    pub fn answered(&mut self, called: usize, answered: usize, operation: O) {
        self.0.push(Call { called, answered: Some(answered), operation });
    }

    /// Records a request without an answer.
    pub fn unanswered(&mut self, called: usize, operation: &O) {
        let open = operation.open();
        self.0.extend(open.map(|operation| Call { called, answered: None, operation }));
    }

    /// Completes each operation, given the times of its call and of its answer.
    pub fn complete(&mut self, complete: impl Fn(&mut O, usize, Option<usize>)) {
        self.0.iter_mut().for_each(|call| complete(&mut call.operation, call.called, call.answered));
    }

    /// Returns whether an order of the calls explains all answers.
    fn is_linearizable<S: Specification<Operation = O>>(&self) -> bool {
        let mut actions = Vec::with_capacity(2 * self.0.len());
        for (process, call) in self.0.iter().enumerate() {
            // An open call may take effect after all others, which is the same as never.
            actions.push((call.called, process, Action::Call(call.operation.clone())));
            let answered = call.answered.unwrap_or(usize::MAX);
            actions.push((answered, process, Action::Response(call.operation.clone())));
        }
        actions.sort_by_key(|(time, ..)| *time);
        let actions: Vec<_> = actions.into_iter().map(|(_, process, action)| (process, action)).collect();
        // The checker cannot handle an empty history.
        actions.is_empty() || WGLChecker::<S>::is_linearizable(Actions::from_actions(actions))
    }

    /// Returns the history as it was when `answers` calls had been answered. The other calls of that time are open.
    fn beginning(&self, answers: usize) -> Self {
        let mut times: Vec<usize> = self.0.iter().filter_map(|call| call.answered).collect();
        times.sort_unstable();
        let Some(&end) = answers.checked_sub(1).and_then(|last| times.get(last)) else { return Self::default() };
        let mut beginning = Self::default();
        for call in self.0.iter().filter(|call| call.called < end) {
            match call.answered {
                Some(answered) if answered <= end => {
                    beginning.answered(call.called, answered, call.operation.clone());
                }
                _ => beginning.unanswered(call.called, &call.operation),
            }
        }
        beginning
    }

    /// Checks that an order of the calls explains all answers. Otherwise returns the shortest beginning without one, a
    /// line for each call.
    pub fn check<S: Specification<Operation = O>>(&self) -> Result<(), String> {
        if self.is_linearizable::<S>() {
            return Ok(());
        }
        // A longer beginning of a history that has no order has none either, so the shortest is found by bisection.
        let all = self.0.iter().filter(|call| call.answered.is_some()).count();
        let (mut explained, mut unexplained) = (0, all);
        while unexplained - explained > 1 {
            let middle = usize::midpoint(explained, unexplained);
            if self.beginning(middle).is_linearizable::<S>() { explained = middle } else { unexplained = middle }
        }
        let mut shortest = self.beginning(unexplained).0;
        shortest.sort_by_key(|call| call.called);
        let lines = shortest.iter().map(|call| {
            let answered = call.answered.map_or_else(|| "never".to_owned(), |time| time.to_string());
            format!("{:>8} to {answered:>8}  {:?}\n", call.called, call.operation)
        });
        Err(lines.collect())
    }
}
