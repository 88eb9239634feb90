//! Spin's SQLite store: the same file, table, and statements, so that this host and Spin can use each other's data.
//!
//! It must not know what the rows mean, and it does not change the file's journal mode. A file that Spin created has a
//! rollback journal. In WAL mode (`PRAGMA journal_mode = WAL`, which the file remembers) commits are several times
//! cheaper on both hosts. As in Spin, one connection behind one lock serves the whole process, and a lock of another
//! process is waited for up to five seconds.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use rusqlite::types::Value;
use rusqlite::{Connection, named_params, params};

use super::store::{Row, Store, StoreError, Swap, blocking, poisoned};
use crate::output::Output;

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,

    PRIMARY KEY (store, key)
)";
const SELECT: &str = "SELECT value FROM spin_key_value WHERE store = $1 AND key = $2";
const SELECT_KEYS: &str = "SELECT key FROM spin_key_value WHERE store = $1";
const SELECT_MANY: &str = "SELECT key, value FROM spin_key_value WHERE store = :store AND key IN rarray(:keys)";
const UPSERT: &str = "INSERT INTO spin_key_value (store, key, value) VALUES ($1, $2, $3)
    ON CONFLICT (store, key) DO UPDATE SET value = $3";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = $1 AND key = $2";
const DELETE_MANY: &str = "DELETE FROM spin_key_value WHERE store = :store AND key IN rarray(:keys)";
const COMPARE_AND_SWAP: &str = "UPDATE spin_key_value SET value = :value
    WHERE store = :store AND key = :key AND value = :seen";

/// The store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    state: Mutex<State>,
    log: Output,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// Whether `increment` has met a value that is not a number.
    poisoned: bool,
}

impl SqliteStore {
    /// Opens a file, and creates it and its table if they are missing. Its directory must exist. Afterwards only the
    /// file's owner can read and write it.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be opened, written, or read as a database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with_log(path, Output::standard_error())
    }

    /// Opens a file like [`SqliteStore::open`], and reports errors of SQLite to `log`.
    ///
    /// # Errors
    ///
    /// Fails like [`SqliteStore::open`].
    pub fn open_with_log(path: impl AsRef<Path>, log: Output) -> Result<Self> {
        let path = path.as_ref();
        make_private(path, &log);
        let open = || {
            let connection = Connection::open(path)?;
            connection.execute(CREATE_TABLE, [])?;
            rusqlite::vtab::array::load_module(&connection)?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = open().with_context(|| format!("cannot open the key-value file {}", path.display()))?;
        // SQLite opens a read-only file without an error and fails at the first write.
        ensure!(!connection.is_readonly("main")?, "the key-value file {} cannot be written", path.display());
        Ok(Self { state: Mutex::new(State { connection, poisoned: false }), log })
    }

    /// Runs statements as one call.
    fn statements<T>(&self, statements: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        self.call(|state| statements(&mut state.connection).map_err(|error| self.failed(&error)))
    }

    /// Logs and converts an error. Spin passes SQLite's errors to the guest in Rust's debug format, so a guest that looks
    /// for "database is locked" must find it in that format.
    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        self.log.report(&format!("key-value error: {error:?}"));
        StoreError::Other(format!("{error:?}"))
    }

    /// Runs one call on the connection, and tells the async runtime that it blocks.
    fn call<T>(&self, call: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        blocking(|| {
            // No code panics while it holds the lock, so even a poisoned lock holds a valid connection.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.poisoned { Err(poisoned()) } else { call(&mut state) }
        })
    }
}

/// Makes a file private to its owner, and creates it if it is missing. SQLite gives the files beside it the same mode.
///
/// A file that exists is not opened: closing it would end the locks of this process on it. Usually Spin created it, with
/// the mode that the umask left, which nobody chose. If the file belongs to somebody else, it stays as it is.
fn make_private(path: &Path, log: &Output) {
    // SQLite reports why a file cannot be created.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let Ok(metadata) = std::fs::metadata(&file) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_file() && mode & 0o077 != 0 {
            let file = Path::new(&file);
            let changed = std::fs::set_permissions(file, Permissions::from_mode(mode & 0o700));
            let file = file.display();
            log.report(&match changed {
                Ok(()) => format!("{file} had the mode {mode:o}; now only its owner can use it"),
                Err(error) => format!("warning: {file} has the mode {mode:o}, and it stays: {error}"),
            });
        }
    }
}

fn select(connection: &Connection, label: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached(SELECT)?.query_map([label, key], |row| row.get(0))?.next().transpose()
}

fn upsert(connection: &Connection, label: &str, key: &str, value: &[u8]) -> rusqlite::Result<usize> {
    connection.prepare_cached(UPSERT)?.execute(params![label, key, value])
}

/// Adds to a number. Returns `None` if the value is not a number.
///
/// The transaction is deferred, as in Spin: it reads first and asks for the write lock afterwards. So if two processes
/// do this at once, one of them gets "database is locked" without a wait.
fn increment(connection: &mut Connection, label: &str, key: &str, delta: i64) -> rusqlite::Result<Option<i64>> {
    let transaction = connection.transaction()?;
    let number = match select(&transaction, label, key)?.map(<[u8; 8]>::try_from) {
        None => 0,
        Some(Ok(bytes)) => i64::from_le_bytes(bytes),
        Some(Err(_)) => return Ok(None),
    };
    let sum = number.wrapping_add(delta);
    upsert(&transaction, label, key, &sum.to_le_bytes())?;
    transaction.commit()?;
    Ok(Some(sum))
}

fn array(keys: &[String]) -> Rc<Vec<Value>> {
    Rc::new(keys.iter().cloned().map(Value::from).collect())
}

impl Store for SqliteStore {
    fn get(&self, label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.statements(|connection| select(connection, label, key))
    }

    fn get_keys(&self, label: &str) -> Result<Vec<String>, StoreError> {
        self.statements(|connection| {
            connection.prepare_cached(SELECT_KEYS)?.query_map([label], |row| row.get(0))?.collect()
        })
    }

    fn get_many(&self, label: &str, keys: &[String]) -> Result<Vec<Row>, StoreError> {
        self.statements(|connection| {
            connection
                .prepare_cached(SELECT_MANY)?
                .query_map(named_params! {":store": label, ":keys": array(keys)}, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    fn set(&self, label: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.statements(|connection| upsert(connection, label, key, value).map(drop))
    }

    fn set_many(&self, label: &str, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.statements(|connection| {
            let transaction = connection.transaction()?;
            for (key, value) in rows {
                upsert(&transaction, label, key, value)?;
            }
            transaction.commit()
        })
    }

    fn delete(&self, label: &str, key: &str) -> Result<(), StoreError> {
        self.statements(|connection| connection.prepare_cached(DELETE)?.execute([label, key]).map(drop))
    }

    fn delete_many(&self, label: &str, keys: &[String]) -> Result<(), StoreError> {
        self.statements(|connection| {
            let mut statement = connection.prepare_cached(DELETE_MANY)?;
            statement.execute(named_params! {":store": label, ":keys": array(keys)}).map(drop)
        })
    }

    fn increment(&self, label: &str, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.call(|state| {
            let sum = increment(&mut state.connection, label, key, delta);
            let sum = sum.map_err(|error| self.failed(&error))?;
            sum.ok_or_else(|| {
                state.poisoned = true;
                poisoned()
            })
        })
    }

    fn swap(&self, label: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<Swap, StoreError> {
        self.statements(|connection| {
            let rows = match seen {
                Some(seen) => connection.prepare_cached(COMPARE_AND_SWAP)?.execute(named_params! {
                    ":store": label,
                    ":key": key,
                    ":seen": seen,
                    ":value": value,
                })?,
                None => upsert(connection, label, key, value)?,
            };
            Ok(if rows == 1 { Swap::Done } else { Swap::Refused })
        })
    }
}
