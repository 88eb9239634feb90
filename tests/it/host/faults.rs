//! Tests of the store that counts and fails: its counts, and that each fault happens at the planned call.

use std::sync::Arc;

use crate::support::faults::{Call, CallKind, Fault, Faults, When};
use volume_snapshots_host::{MemoryStore, Store, StoreError, Swap};

fn faults() -> (Arc<MemoryStore>, Faults) {
    let memory = Arc::new(MemoryStore::new());
    (memory.clone(), Faults::new(memory))
}

fn is_killed<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::InvocationEnds(_)))
}

#[test]
fn calls_are_recorded_and_commits_counted() {
    let (_, store) = faults();
    store.set("default", "a", b"1").unwrap();
    store.set_many("default", &[("b".to_owned(), b"1".to_vec()), ("c".to_owned(), b"1".to_vec())]).unwrap();
    store.get("default", "a").unwrap();
    store.exists("default", "a").unwrap();
    store.get_keys("default").unwrap();
    store.get_many("default", &["c".to_owned(), "a".to_owned()]).unwrap();
    store.increment("default", "n", 1).unwrap();
    store.current("default", "a").unwrap();
    assert_eq!(store.swap("default", "a", Some(b"0"), b"2"), Ok(Swap::Refused));
    store.delete("default", "a").unwrap();
    store.delete_many("default", &["b".to_owned()]).unwrap();

    let calls: Vec<(CallKind, String)> =
        store.calls().into_iter().map(|call| (call.kind, call.keys.join(" "))).collect();
    let expected = [
        (CallKind::Set, "a"),
        (CallKind::SetMany, "b c"),
        (CallKind::Get, "a"),
        (CallKind::Exists, "a"),
        (CallKind::GetKeys, ""),
        (CallKind::GetMany, "c a"),
        (CallKind::Increment, "n"),
        (CallKind::Current, "a"),
        (CallKind::Swap, "a"),
        (CallKind::Delete, "a"),
        (CallKind::DeleteMany, "b"),
    ];
    assert_eq!(calls, expected.map(|(kind, keys)| (kind, keys.to_owned())));
    assert_eq!(store.reads(), 5);
    assert_eq!(store.commits(), 6);
    assert_eq!(store.count(CallKind::Set), 1);

    store.reset();
    assert_eq!(store.calls(), []);
    assert_eq!(store.commits(), 0);
}

#[test]
fn an_error_before_has_no_effect_and_strikes_once() {
    let (memory, store) = faults();
    store.plan(When::Call(2), Fault::ErrorBefore("disk full".to_owned()));
    store.set("default", "a", b"1").unwrap();
    assert_eq!(store.set("default", "b", b"1"), Err(StoreError::Other("disk full".to_owned())));
    store.set("default", "c", b"1").unwrap();
    assert_eq!(memory.rows("default").keys().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!((store.calls().len(), store.commits()), (3, 2));
}

#[test]
fn an_error_after_has_its_effect() {
    let (memory, store) = faults();
    store.plan(When::Call(1), Fault::ErrorAfter("the answer was lost".to_owned()));
    assert!(store.set("default", "a", b"1").is_err());
    assert_eq!(memory.rows("default")["a"], b"1");
    assert_eq!(store.commits(), 1);
}

#[test]
fn a_kill_strikes_before_or_after_the_effect() {
    let (memory, store) = faults();
    store.plan(When::Call(1), Fault::KillBefore);
    store.plan(When::Call(2), Fault::KillAfter);
    assert!(is_killed(&store.set("default", "a", b"1")));
    assert!(is_killed(&store.set("default", "b", b"1")));
    assert_eq!(memory.rows("default").keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_fault_can_last() {
    let (_, store) = faults();
    store.plan(When::FromCall(2), Fault::KillBefore);
    store.get("default", "a").unwrap();
    assert!(is_killed(&store.get("default", "a")));
    assert!(is_killed(&store.set("default", "a", b"1")));
    store.reset();
    store.get("default", "a").unwrap();
}

#[test]
fn a_kind_of_call_can_fail_once_or_always() {
    let (_, store) = faults();
    store.plan(When::Next(CallKind::Set), Fault::database_is_locked());
    store.get("default", "a").unwrap();
    let error = store.set("default", "a", b"1").unwrap_err().to_string();
    assert!(error.contains("database is locked"), "{error}");
    store.set("default", "a", b"1").unwrap();

    store.plan(When::Every(CallKind::Increment), Fault::database_is_locked());
    store.increment("default", "n", 1).unwrap_err();
    store.increment("default", "n", 1).unwrap_err();
    store.get("default", "a").unwrap();
}

#[test]
fn another_writer_can_come_in_between() {
    let (memory, store) = faults();
    memory.set("default", "a", b"old").unwrap();
    let other_writer = memory.clone();
    store.plan(When::Next(CallKind::Swap), Fault::run(move || other_writer.set("default", "a", b"other").unwrap()));
    let seen = store.current("default", "a").unwrap();
    assert_eq!(store.swap("default", "a", seen.as_deref(), b"mine"), Ok(Swap::Refused));
    assert_eq!(memory.rows("default")["a"], b"other");
}

#[test]
fn clones_share_what_they_record() {
    let (_, store) = faults();
    let clone = store.clone();
    clone.get("default", "a").unwrap();
    let call = Call { kind: CallKind::Get, label: "default".to_owned(), keys: vec!["a".to_owned()] };
    assert_eq!(store.calls(), [call]);
}
