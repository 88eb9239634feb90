//! A store that records the calls of another one and fails where a test plans it. It serves tests of the costs of
//! requests, and tests in which the process dies at every call.
//!
//! It must not know which store it wraps. Calls are numbered from 1, in the order in which they arrive.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use volume_snapshots_host::{Row, Store, StoreError, Swap};

/// A store that records and fails. Clones share their state.
#[derive(Clone)]
pub struct Faults {
    store: Arc<dyn Store>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    commits: usize,
    planned: Vec<(When, Fault)>,
}

/// A function of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallKind {
    /// Reads one value.
    Get,
    /// Checks whether a key has a value.
    Exists,
    /// Reads all keys.
    GetKeys,
    /// Reads several values.
    GetMany,
    /// Reads the value from which a compare-and-swap starts. After a refused swap Spin itself calls it once.
    Current,
    /// Writes one value.
    Set,
    /// Writes several values.
    SetMany,
    /// Removes one key.
    Delete,
    /// Removes several keys.
    DeleteMany,
    /// Adds to a number.
    Increment,
    /// Replaces a value that has not changed.
    Swap,
}

impl CallKind {
    /// Whether a call of this kind is a commit: one SQLite transaction that writes, which is the unit of cost.
    pub fn commits(self) -> bool {
        match self {
            Self::Get | Self::Exists | Self::GetKeys | Self::GetMany | Self::Current => false,
            Self::Set | Self::SetMany | Self::Delete | Self::DeleteMany | Self::Increment | Self::Swap => true,
        }
    }
}

/// One recorded call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function that was called.
    pub kind: CallKind,
    /// The label of the store.
    pub label: String,
    /// The keys of the call, in the caller's order. [`CallKind::GetKeys`] has none.
    pub keys: Vec<String>,
}

/// The calls at which a planned fault happens. Numbers start at 1, also after [`Faults::reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// The call with this number only.
    Call(usize),
    /// The call with this number and all later ones.
    FromCall(usize),
    /// The next call of this kind only.
    Next(CallKind),
    /// All further calls of this kind.
    Every(CallKind),
}

impl When {
    fn meets(self, number: usize, kind: CallKind) -> bool {
        match self {
            Self::Call(wanted) => number == wanted,
            Self::FromCall(first) => number >= first,
            Self::Next(wanted) | Self::Every(wanted) => kind == wanted,
        }
    }

    fn is_over_once_met(self) -> bool {
        matches!(self, Self::Call(_) | Self::Next(_))
    }
}

/// An event at a call.
#[derive(Clone)]
pub enum Fault {
    /// The guest gets this error and the call has no effect.
    ErrorBefore(String),
    /// The guest gets this error although the call takes effect, as if the answer were lost.
    ErrorAfter(String),
    /// The guest's invocation ends before the call takes effect, as if the process died.
    KillBefore,
    /// The guest's invocation ends after the call has taken effect.
    KillAfter,
    /// This function runs before the call, like another writer that comes in between. Then the call continues. The
    /// function may use the store, and on a multi-thread runtime it may even run another request to its end, with
    /// `tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(app.handle(request)))`.
    Run(Arc<dyn Fn() + Send + Sync>),
}

impl Fault {
    /// Returns SQLite's error for a file that another process has locked for too long, in Spin's form. The call has no
    /// effect.
    pub fn database_is_locked() -> Self {
        Self::ErrorBefore(
            "SqliteFailure(Error { code: DatabaseBusy, extended_code: 5 }, Some(\"database is locked\"))".to_owned(),
        )
    }

    /// Returns a fault that runs a function before a call.
    pub fn run(function: impl Fn() + Send + Sync + 'static) -> Self {
        Self::Run(Arc::new(function))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorBefore(message) => formatter.debug_tuple("ErrorBefore").field(message).finish(),
            Self::ErrorAfter(message) => formatter.debug_tuple("ErrorAfter").field(message).finish(),
            Self::KillBefore => formatter.write_str("KillBefore"),
            Self::KillAfter => formatter.write_str("KillAfter"),
            Self::Run(_) => formatter.write_str("Run"),
        }
    }
}

impl Faults {
    /// Wraps a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, state: Arc::default() }
    }

    /// Plans a fault. If a call has several, they happen in the order in which they were planned.
    pub fn plan(&self, when: When, fault: Fault) {
        self.state().planned.push((when, fault));
    }

    /// Returns all calls since the start or the last reset.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the number of calls of one kind.
    pub fn count(&self, kind: CallKind) -> usize {
        self.state().calls.iter().filter(|call| call.kind == kind).count()
    }

    /// Returns the number of calls that only read.
    pub fn reads(&self) -> usize {
        self.state().calls.iter().filter(|call| !call.kind.commits()).count()
    }

    /// Returns the number of commits that reached the store. A write that failed before its effect does not count.
    pub fn commits(&self) -> usize {
        self.state().commits
    }

    /// Clears all calls and all planned faults.
    pub fn reset(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T>(
        &self,
        kind: CallKind,
        label: &str,
        keys: Vec<String>,
        effect: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let faults = self.record(Call { kind, label: label.to_owned(), keys });
        let killed = || StoreError::InvocationEnds("a test lets the process die at this store call".to_owned());
        for fault in &faults {
            match fault {
                Fault::ErrorBefore(message) => return Err(StoreError::Other(message.clone())),
                Fault::KillBefore => return Err(killed()),
                // The lock is not held here, so the function may use this store too.
                Fault::Run(function) => function(),
                Fault::ErrorAfter(_) | Fault::KillAfter => {}
            }
        }
        if kind.commits() {
            self.state().commits += 1;
        }
        let answer = effect(self.store.as_ref())?;
        for fault in &faults {
            match fault {
                Fault::ErrorAfter(message) => return Err(StoreError::Other(message.clone())),
                Fault::KillAfter => return Err(killed()),
                Fault::ErrorBefore(_) | Fault::KillBefore | Fault::Run(_) => {}
            }
        }
        Ok(answer)
    }

    /// Records a call and returns the faults that are planned for it.
    fn record(&self, call: Call) -> Vec<Fault> {
        let mut state = self.state();
        let kind = call.kind;
        state.calls.push(call);
        let number = state.calls.len();
        let mut met = Vec::new();
        state.planned.retain(|(when, fault)| {
            let meets = when.meets(number, kind);
            if meets {
                met.push(fault.clone());
            }
            !(meets && when.is_over_once_met())
        });
        met
    }
}

impl Store for Faults {
    fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(CallKind::Get, label, vec![key.to_owned()], |store| store.get(label, key))
    }

    fn exists(&self, label: &str, key: &str) -> Result<bool, StoreError> {
        self.call(CallKind::Exists, label, vec![key.to_owned()], |store| store.exists(label, key))
    }

    fn get_keys(&self, label: &str) -> Result<Vec<String>, StoreError> {
        self.call(CallKind::GetKeys, label, Vec::new(), |store| store.get_keys(label))
    }

    fn get_many(&self, label: &str, keys: &[String]) -> Result<Vec<Row>, StoreError> {
        self.call(CallKind::GetMany, label, keys.to_vec(), |store| store.get_many(label, keys))
    }

    fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.call(CallKind::Set, label, vec![key.to_owned()], |store| store.set(label, key, value))
    }

    fn set_many(&self, label: &str, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        let keys = rows.iter().map(|(key, _)| key.clone()).collect();
        self.call(CallKind::SetMany, label, keys, |store| store.set_many(label, rows))
    }

    fn delete(&self, label: &str, key: &str) -> Result<(), StoreError> {
        self.call(CallKind::Delete, label, vec![key.to_owned()], |store| store.delete(label, key))
    }

    fn delete_many(&self, label: &str, keys: &[String]) -> Result<(), StoreError> {
        self.call(CallKind::DeleteMany, label, keys.to_vec(), |store| store.delete_many(label, keys))
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call(CallKind::Increment, label, vec![key.to_owned()], |store| store.increment(label, key, delta))
    }

    fn current(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(CallKind::Current, label, vec![key.to_owned()], |store| store.current(label, key))
    }

    fn swap(&self, label: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<Swap, StoreError> {
        self.call(CallKind::Swap, label, vec![key.to_owned()], |store| store.swap(label, key, seen, value))
    }
}
