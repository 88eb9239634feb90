//! The truth tables of Spin's stores, flaws included. The table of SQLite runs against the store in a file and the
//! store in memory, and the table of Redis against a Redis server and its store in memory. A guest must not be able to
//! tell them apart.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::redis_server::RedisServer;
use crate::support::redis_store::RedisStore;
use volume_snapshots_host::{MemoryStore, SqliteStore, Store, StoreError, Swap};

/// A directory that is deleted after the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("key-value-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sqlite_key_value.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs one case on an empty store of each kind.
fn on_both(case: impl Fn(&dyn Store)) {
    case(&MemoryStore::new());
    let directory = Directory::new();
    case(&SqliteStore::open(directory.file()).unwrap());
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn row(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), value.as_bytes().to_vec())
}

fn found(key: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (key.to_owned(), Some(value.as_bytes().to_vec()))
}

/// Uses one server for all cases, each with its own database.
#[test]
fn a_redis_server_answers_as_the_store_in_memory_does() {
    let Some(server) = RedisServer::start() else { return };
    for (database, (name, case)) in REDIS.iter().enumerate() {
        println!("{name}");
        case(&RedisStore::connect(&server.url(database)).unwrap());
    }
    let error = RedisStore::connect("redis://127.0.0.1:1/").unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to Redis at redis://127.0.0.1:1/");
}

#[test]
fn a_redis_store_in_memory_has_the_flaws_of_spins() {
    for (name, case) in REDIS {
        println!("{name}");
        case(&RedisStore::in_memory());
    }
}

/// A name, and a check on an empty store.
type Case = (&'static str, fn(&RedisStore));

/// The truth table of Redis.
const REDIS: [Case; 10] = [
    ("values are written, read and removed", |store| {
        assert_eq!((store.get("default", "a"), store.exists("default", "a")), (Ok(None), Ok(false)));
        store.set("default", "a", b"").unwrap();
        assert_eq!((store.get("default", "a"), store.exists("default", "a")), (Ok(Some(Vec::new())), Ok(true)));
        store.delete("default", "a").unwrap();
        assert_eq!(store.get("default", "a"), Ok(None));
        store.delete("default", "a").unwrap();
    }),
    ("any string is a key and any bytes are a value", |store| {
        let all_bytes: Vec<u8> = (0..=255).collect();
        for key in ["", " ", "a:b/c?d#e'f\"g", "näive", "a\0b", "a*b[c]"] {
            store.set("default", key, &all_bytes).unwrap();
            assert_eq!(store.get("default", key), Ok(Some(all_bytes.clone())), "{key:?}");
        }
        assert_eq!(store.get_keys("default").unwrap().len(), 6);
    }),
    ("labels do not keep stores apart", |store| {
        store.set("default", "a", b"1").unwrap();
        assert_eq!(store.get("other", "a"), Ok(Some(b"1".to_vec())));
        assert_eq!(store.get_keys("other"), Ok(keys(&["a"])));
        store.delete_many("other", &keys(&["a", "b"])).unwrap();
        assert_eq!(store.get_keys("default"), Ok(Vec::new()));
    }),
    ("get-many works for no key that exists", |store| {
        store.set_many("default", &[row("a", "1"), row("b", "2")]).unwrap();
        for two in [["a", "b"], ["a", "missing"], ["missing", "gone"], ["a", "a"]] {
            let StoreError::Other(message) = store.get_many("default", &keys(&two)).unwrap_err() else {
                panic!("{two:?}")
            };
            assert!(message.contains("wrong number of arguments for 'keys' command"), "{message}");
        }
        assert_eq!(store.get_many("default", &keys(&["missing"])), Ok(Vec::new()));
        assert!(matches!(store.get_many("default", &keys(&["a"])), Err(StoreError::InvocationEnds(_))));
        assert_eq!(store.get("default", "a"), Ok(Some(b"1".to_vec())), "only the one request has ended");
    }),
    ("many keys are written in order and deleted", |store| {
        store.set_many("default", &[row("a", "1"), row("b", "1"), row("a", "2")]).unwrap();
        assert_eq!(store.get("default", "a"), Ok(Some(b"2".to_vec())));
        store.delete_many("default", &keys(&["a", "missing", "a"])).unwrap();
        assert_eq!(store.get_keys("default"), Ok(keys(&["b"])));
    }),
    ("many keys fit in one call", |store| {
        let rows: Vec<_> = (0..5_000).map(|number| row(&format!("key-{number:05}"), "value")).collect();
        store.set_many("default", &rows).unwrap();
        assert_eq!(store.get_keys("default").unwrap().len(), 5_000);
        let names: Vec<String> = rows.into_iter().map(|(key, _)| key).collect();
        store.delete_many("default", &names).unwrap();
        assert_eq!(store.get_keys("default"), Ok(Vec::new()));
    }),
    ("numbers are strings, and what is none is refused without further harm", |store| {
        assert_eq!(store.increment("default", "n", 3), Ok(3));
        assert_eq!(store.increment("default", "n", -5), Ok(-2));
        assert_eq!(store.get("default", "n"), Ok(Some(b"-2".to_vec())));
        for (value, says) in [
            ("many", "not an integer"),
            ("", "not an integer"),
            ("007", "not an integer"),
            ("+7", "not an integer"),
            ("9223372036854775807", "overflow"),
        ] {
            store.set("default", "n", value.as_bytes()).unwrap();
            let StoreError::Other(message) = store.increment("default", "n", 1).unwrap_err() else {
                panic!("{value:?}")
            };
            assert!(message.contains(says), "{value:?}: {message}");
            assert_eq!(store.get("default", "n"), Ok(Some(value.as_bytes().to_vec())));
        }
    }),
    ("swap compares old bytes and always says that it has not written", |store| {
        store.set("default", "a", b"old").unwrap();
        assert_eq!(store.current("default", "a"), Ok(Some(b"old".to_vec())));
        assert_eq!(store.swap("default", "a", Some(b"old"), b"new"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(Some(b"new".to_vec())));
        assert_eq!(store.swap("default", "a", Some(b"old"), b"newer"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(Some(b"new".to_vec())));
    }),
    ("swap creates, and compares where nothing was seen too", |store| {
        assert_eq!(store.current("default", "a"), Ok(None));
        assert_eq!(store.swap("default", "a", None, b"first"), Ok(Swap::Refused));
        assert_eq!(store.swap("default", "a", None, b"second"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(Some(b"first".to_vec())), "one creator wins");
        store.delete("default", "a").unwrap();
        assert_eq!(store.swap("default", "a", Some(b"first"), b"third"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(None));
    }),
    ("of many who swap one value, one has written", |store| {
        store.set("default", "a", b"0").unwrap();
        std::thread::scope(|scope| {
            for writer in 1..=8_u8 {
                scope.spawn(move || store.swap("default", "a", Some(b"0"), &[writer]).unwrap());
            }
        });
        let value = store.get("default", "a").unwrap().unwrap();
        assert!(value.len() == 1 && (1..=8).contains(&value[0]), "{value:?}");
    }),
];

#[test]
fn values_are_written_read_and_removed() {
    on_both(|store| {
        assert_eq!(store.get("default", "a"), Ok(None));
        assert_eq!(store.exists("default", "a"), Ok(false));
        store.set("default", "a", b"1").unwrap();
        assert_eq!(store.get("default", "a"), Ok(Some(b"1".to_vec())));
        store.set("default", "a", b"").unwrap();
        assert_eq!(store.get("default", "a"), Ok(Some(Vec::new())));
        assert_eq!(store.exists("default", "a"), Ok(true));
        store.delete("default", "a").unwrap();
        assert_eq!(store.get("default", "a"), Ok(None));
        store.delete("default", "a").unwrap();
    });
}

#[test]
fn any_string_is_a_key_and_any_bytes_are_a_value() {
    on_both(|store| {
        let long = "k".repeat(10_000);
        let all_bytes: Vec<u8> = (0..=255).collect();
        for key in ["", " ", "a:b/c?d#e'f\"g", "näive", "a\0b", &long] {
            store.set("default", key, &all_bytes).unwrap();
            assert_eq!(store.get("default", key), Ok(Some(all_bytes.clone())), "{key:?}");
        }
        assert_eq!(store.get_keys("default").unwrap().len(), 6);
    });
}

#[test]
fn labels_keep_stores_apart() {
    on_both(|store| {
        store.set("default", "a", b"1").unwrap();
        assert_eq!(store.get("other", "a"), Ok(None));
        store.set("other", "b", b"2").unwrap();
        assert_eq!(store.get_keys("default"), Ok(keys(&["a"])));
        store.delete_many("other", &keys(&["a", "b"])).unwrap();
        assert_eq!(store.get_keys("default"), Ok(keys(&["a"])));
    });
}

#[test]
fn get_many_leaves_out_absent_keys_and_duplicates_and_keeps_no_order() {
    on_both(|store| {
        store.set_many("default", &[row("b", "2"), row("a", "1"), row("c", "")]).unwrap();
        let rows = store.get_many("default", &keys(&["c", "missing", "b", "a", "b"])).unwrap();
        assert_eq!(rows, [found("a", "1"), found("b", "2"), found("c", "")]);
        assert_eq!(store.get_many("default", &keys(&["missing"])), Ok(Vec::new()));
    });
}

#[test]
fn set_many_writes_in_order_so_the_last_of_a_key_stays() {
    on_both(|store| {
        store.set_many("default", &[row("a", "1"), row("b", "1"), row("a", "2")]).unwrap();
        assert_eq!(store.get("default", "a"), Ok(Some(b"2".to_vec())));
        assert_eq!(store.get_keys("default"), Ok(keys(&["a", "b"])));
    });
}

#[test]
fn delete_many_removes_what_there_is() {
    on_both(|store| {
        store.set_many("default", &[row("a", "1"), row("b", "1"), row("c", "1")]).unwrap();
        store.delete_many("default", &keys(&["a", "missing", "c", "a"])).unwrap();
        assert_eq!(store.get_keys("default"), Ok(keys(&["b"])));
    });
}

#[test]
fn many_keys_fit_in_one_call() {
    on_both(|store| {
        let rows: Vec<_> = (0..5_000).map(|number| row(&format!("key-{number:05}"), "value")).collect();
        store.set_many("default", &rows).unwrap();
        let names: Vec<String> = rows.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(store.get_many("default", &names).unwrap().len(), 5_000);
        store.delete_many("default", &names).unwrap();
        assert_eq!(store.get_keys("default"), Ok(Vec::new()));
    });
}

#[test]
fn increment_counts_from_zero_in_eight_little_endian_bytes() {
    on_both(|store| {
        assert_eq!(store.increment("default", "n", 3), Ok(3));
        assert_eq!(store.increment("default", "n", -5), Ok(-2));
        assert_eq!(store.get("default", "n"), Ok(Some((-2_i64).to_le_bytes().to_vec())));
        store.set("default", "n", &i64::MAX.to_le_bytes()).unwrap();
        assert_eq!(store.increment("default", "n", 1), Ok(i64::MIN), "a release build of Spin wraps around");
    });
}

#[test]
fn increment_of_a_value_that_is_no_number_fails_every_later_call() {
    on_both(|store| {
        store.set("default", "a", b"1").unwrap();
        let is_end = |answer: StoreError| matches!(answer, StoreError::InvocationEnds(_));
        assert!(is_end(store.increment("default", "a", 1).unwrap_err()));
        assert!(is_end(store.get("default", "a").unwrap_err()));
        assert!(is_end(store.exists("default", "other").unwrap_err()));
        assert!(is_end(store.get_keys("other label").unwrap_err()));
        assert!(is_end(store.get_many("default", &keys(&["a"])).unwrap_err()));
        assert!(is_end(store.set("default", "a", b"2").unwrap_err()));
        assert!(is_end(store.set_many("default", &[row("a", "2")]).unwrap_err()));
        assert!(is_end(store.delete("default", "a").unwrap_err()));
        assert!(is_end(store.delete_many("default", &keys(&["a"])).unwrap_err()));
        assert!(is_end(store.increment("default", "n", 1).unwrap_err()));
        assert!(is_end(store.current("default", "a").unwrap_err()));
        assert!(is_end(store.swap("default", "a", None, b"2").unwrap_err()));
    });
}

#[test]
fn swap_compares_old_bytes() {
    on_both(|store| {
        store.set("default", "a", b"old").unwrap();
        assert_eq!(store.current("default", "a"), Ok(Some(b"old".to_vec())));
        assert_eq!(store.swap("default", "a", Some(b"old"), b"new"), Ok(Swap::Done));
        assert_eq!(store.swap("default", "a", Some(b"old"), b"newer"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(Some(b"new".to_vec())));
        assert_eq!(store.swap("default", "a", Some(b"new"), b"new"), Ok(Swap::Done));
    });
}

#[test]
fn swap_of_a_value_that_has_gone_is_refused() {
    on_both(|store| {
        assert_eq!(store.swap("default", "a", Some(b"old"), b"new"), Ok(Swap::Refused));
        assert_eq!(store.get("default", "a"), Ok(None));
    });
}

#[test]
fn swap_where_nothing_was_seen_writes_without_comparing() {
    on_both(|store| {
        assert_eq!(store.swap("default", "a", None, b"first"), Ok(Swap::Done));
        assert_eq!(store.swap("default", "a", None, b"second"), Ok(Swap::Done), "both creators win");
        assert_eq!(store.get("default", "a"), Ok(Some(b"second".to_vec())));
    });
}

#[test]
fn a_poisoned_file_is_well_again_after_a_restart() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file()).unwrap();
    store.set("default", "a", b"1").unwrap();
    store.increment("default", "a", 1).unwrap_err();
    drop(store);
    let store = SqliteStore::open(directory.file()).unwrap();
    assert_eq!(store.get("default", "a"), Ok(Some(b"1".to_vec())));
}

#[test]
fn a_forked_memory_store_changes_independently() {
    let store = MemoryStore::new();
    store.set("default", "a", b"1").unwrap();
    let fork = store.fork();
    fork.set("default", "a", b"2").unwrap();
    assert_eq!(store.rows("default")["a"], b"1");
    assert_eq!(fork.rows("default")["a"], b"2");
}

#[test]
fn the_file_is_spins() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file()).unwrap();
    store.set("default", "a", b"1").unwrap();
    let file = rusqlite::Connection::open(directory.file()).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let row: (String, String, Vec<u8>) =
        file.query_one("SELECT store, key, value FROM spin_key_value", [], row).unwrap();
    assert_eq!(row, ("default".to_owned(), "a".to_owned(), b"1".to_vec()));
    let mode: String = file.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "delete", "the journal mode is left as SQLite makes it");
}

#[test]
fn a_wal_file_stays_a_wal_file() {
    let directory = Directory::new();
    let file = rusqlite::Connection::open(directory.file()).unwrap();
    file.pragma_update(None, "journal_mode", "wal").unwrap();
    drop(file);
    let store = SqliteStore::open(directory.file()).unwrap();
    store.set("default", "a", b"1").unwrap();
    assert!(directory.file().with_extension("db-wal").exists());
}

#[test]
fn two_processes_on_one_file_see_each_other() {
    let directory = Directory::new();
    let http = SqliteStore::open(directory.file()).unwrap();
    let cron = SqliteStore::open(directory.file()).unwrap();
    http.set("default", "a", b"1").unwrap();
    assert_eq!(cron.get("default", "a"), Ok(Some(b"1".to_vec())));
    cron.increment("default", "n", 1).unwrap();
    assert_eq!(http.increment("default", "n", 1), Ok(2));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let error = SqliteStore::open("/nowhere/sqlite_key_value.db").unwrap_err();
    assert_eq!(error.to_string(), "cannot open the key-value file /nowhere/sqlite_key_value.db");
}

#[tokio::test(flavor = "current_thread")]
async fn a_single_threaded_runtime_is_told_what_it_lacks() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file()).unwrap();
    let error = store.get("default", "a").unwrap_err().to_string();
    assert!(error.contains("needs a multi-thread runtime"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_increments_lose_nothing() {
    let directory = Directory::new();
    let store = std::sync::Arc::new(SqliteStore::open(directory.file()).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                store.increment("default", "n", 1).unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.increment("default", "n", 0), Ok(40));
}
