//! Spin's Redis store, flaws included, which a guest gets if `runtime-config.toml` names a Redis server.
//!
//! One set of rules has two servers: a map in this process, for most tests, and a real Redis. The host's command line
//! offers neither, because the manifest of this project does not use Redis. They show whether a guest copes with a
//! store that is not SQLite. Its peculiarities are:
//!
//! - There is one keyspace. The label is ignored, and the keys of other apps are listed too.
//! - Reading many values sends the command `KEYS`, which takes one pattern. Redis refuses two or more keys, and for one
//!   key that matches, Spin panics when it reads the answer.
//! - A compare-and-swap is a transaction on its own connection and does compare, even when it creates. But Spin cleans
//!   up with an `UNWATCH` that Redis refuses, and tells the guest every time that the value had changed.
//! - Numbers are stored as decimal strings.
//!
//! One difference is left: Redis detects that a watched value was written, and the map detects that it is different. A
//! guest whose values never repeat cannot tell the two apart.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use redis::{Client, Connection, RedisError, cmd};

use volume_snapshots_host::key_value::blocking;
use volume_snapshots_host::{Row, Store, StoreError, Swap};

/// A store that behaves like Spin's Redis store.
#[derive(Debug)]
pub struct RedisStore(Server);

/// The place of the values.
enum Server {
    Memory(Mutex<BTreeMap<String, Vec<u8>>>),
    Real {
        client: Client,
        /// The connection that Spin shares among all guests for all calls except compare-and-swap.
        shared: Mutex<Connection>,
    },
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(_) => formatter.write_str("Memory"),
            Self::Real { client, .. } => formatter.debug_struct("Real").field("client", client).finish_non_exhaustive(),
        }
    }
}

impl RedisStore {
    /// Returns an empty store in this process.
    pub fn in_memory() -> Self {
        Self(Server::Memory(Mutex::default()))
    }

    /// Returns the store on a Redis server, such as `redis://127.0.0.1:6379/0`.
    ///
    /// # Errors
    ///
    /// Fails when the URL is invalid or no server answers there.
    pub fn connect(url: &str) -> Result<Self> {
        let connect = || {
            let client = Client::open(url)?;
            let shared = Mutex::new(client.get_connection()?);
            Ok::<_, RedisError>(Self(Server::Real { client, shared }))
        };
        connect().with_context(|| format!("cannot connect to Redis at {url}"))
    }
}

/// Converts an error. Spin passes errors to the guest in Rust's debug format.
fn failed(error: impl std::fmt::Debug) -> StoreError {
    StoreError::Other(format!("{error:?}"))
}

/// Locks a mutex even if it is poisoned. No code panics while it holds a lock here, so the value is valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parses a number. Redis only accepts the form that it would write itself.
fn number(string: &[u8]) -> Option<i64> {
    let string = std::str::from_utf8(string).ok()?;
    string.parse().ok().filter(|number: &i64| number.to_string() == string)
}

/// The commands that Spin sends.
impl Server {
    /// Runs a command on the shared connection.
    fn run<T>(
        connection: &Mutex<Connection>,
        run: impl Fn(&mut Connection) -> redis::RedisResult<T>,
    ) -> Result<T, StoreError> {
        blocking(|| run(&mut lock(connection)).map_err(failed))
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Memory(values) => Ok(lock(values).get(key).cloned()),
            Self::Real { shared, .. } => Self::run(shared, |connection| cmd("GET").arg(key).query(connection)),
        }
    }

    /// Reads a value over a new connection, as each compare-and-swap of Spin does.
    fn get_over_new_connection(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Memory(_) => self.get(key),
            Self::Real { client, .. } => blocking(|| {
                let mut connection = client.get_connection().map_err(failed)?;
                cmd("GET").arg(key).query(&mut connection).map_err(failed)
            }),
        }
    }

    /// Returns the keys that match. Redis takes one pattern, and the map treats it as a name.
    fn keys(&self, patterns: &[String]) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Memory(values) => match patterns {
                [pattern] => Ok(lock(values).keys().filter(|key| pattern == "*" || pattern == *key).cloned().collect()),
                _ => Err(failed("wrong number of arguments for 'keys' command")),
            },
            Self::Real { shared, .. } => Self::run(shared, |connection| cmd("KEYS").arg(patterns).query(connection)),
        }
    }

    /// Writes all rows or none.
    fn set(&self, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        match self {
            Self::Memory(values) => {
                lock(values).extend(rows.iter().cloned());
                Ok(())
            }
            Self::Real { shared, .. } => Self::run(shared, |connection| cmd("MSET").arg(rows).exec(connection)),
        }
    }

    /// Deletes all keys or none.
    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        match self {
            Self::Memory(values) => {
                let mut values = lock(values);
                for key in keys {
                    values.remove(key);
                }
                Ok(())
            }
            Self::Real { shared, .. } => Self::run(shared, |connection| cmd("DEL").arg(keys).exec(connection)),
        }
    }

    fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        match self {
            Self::Memory(values) => {
                let mut values = lock(values);
                let stored = values.get(key).map_or(Some(0), |string| number(string));
                let stored = stored.ok_or_else(|| failed("value is not an integer or out of range"))?;
                let sum = stored.checked_add(delta).ok_or_else(|| failed("increment or decrement would overflow"))?;
                values.insert(key.to_owned(), sum.to_string().into_bytes());
                Ok(sum)
            }
            Self::Real { shared, .. } => {
                Self::run(shared, |connection| cmd("INCRBY").arg(key).arg(delta).query(connection))
            }
        }
    }

    /// Writes a value if the present one is still the one that was seen, or still absent.
    fn set_where_unchanged(&self, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Memory(values) => {
                let mut values = lock(values);
                if values.get(key).map(Vec::as_slice) == seen {
                    values.insert(key.to_owned(), value.to_vec());
                }
                Ok(())
            }
            Self::Real { shared, .. } => Self::run(shared, |connection| {
                cmd("WATCH").arg(key).exec(connection)?;
                let present: Option<Vec<u8>> = cmd("GET").arg(key).query(connection)?;
                if present.as_deref() == seen {
                    redis::pipe().atomic().set(key, value).exec(connection)
                } else {
                    cmd("UNWATCH").exec(connection)
                }
            }),
        }
    }
}

impl Store for RedisStore {
    fn get(&self, _label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key)
    }

    fn get_keys(&self, _label: &str) -> Result<Vec<String>, StoreError> {
        self.0.keys(&["*".to_owned()])
    }

    fn get_many(&self, _label: &str, keys: &[String]) -> Result<Vec<Row>, StoreError> {
        if self.0.keys(keys)?.is_empty() {
            return Ok(Vec::new());
        }
        Err(StoreError::InvocationEnds("Spin panics when it takes the answer of KEYS for rows".to_owned()))
    }

    fn set(&self, _label: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.0.set(&[(key.to_owned(), value.to_vec())])
    }

    fn set_many(&self, _label: &str, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.0.set(rows)
    }

    fn delete(&self, _label: &str, key: &str) -> Result<(), StoreError> {
        self.0.delete(&[key.to_owned()])
    }

    fn delete_many(&self, _label: &str, keys: &[String]) -> Result<(), StoreError> {
        self.0.delete(keys)
    }

    fn increment(&self, _label: &str, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.0.increment(key, delta)
    }

    fn current(&self, _label: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get_over_new_connection(key)
    }

    fn swap(&self, _label: &str, key: &str, seen: Option<&[u8]>, value: &[u8]) -> Result<Swap, StoreError> {
        // Spin answers "changed" for a failure too, so the guest cannot tell them apart.
        let _ = self.0.set_where_unchanged(key, seen, value);
        Ok(Swap::Refused)
    }
}
