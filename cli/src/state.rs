//! The store of the state, and the lock that keeps a second service out of its directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use volume_snapshots_host::{MemoryStore, Output, SqliteStore, Store};

const DATABASE: &str = "sqlite_key_value.db";
const LOCK: &str = "volume-snapshots.lock";
const ADVICE: &str = "choose another directory with --state-dir, or leave it out to keep the state in memory";

/// An open store.
pub struct State {
    pub store: Arc<dyn Store>,
    /// The locked file. The system unlocks it when this process ends, in whatever way.
    _lock: Option<File>,
}

/// Opens the store in a directory, which is created if it is missing, or an empty store in memory.
///
/// # Errors
///
/// Fails when the directory cannot be written, or when another service uses it.
pub fn open(directory: Option<&Path>, log: Output) -> Result<State> {
    let Some(directory) = directory else {
        return Ok(State { store: Arc::new(MemoryStore::new()), _lock: None });
    };
    let shown = directory.display();
    let refused =
        |what: &str, why: &std::io::Error| anyhow!("cannot {what} the state directory {shown}: {why}; {ADVICE}");
    std::fs::create_dir_all(directory).map_err(|why| refused("create", &why))?;
    let path = directory.join(LOCK);
    let lock = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut lock = lock.map_err(|why| refused("write to", &why))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut process = String::new();
            let _ = lock.read_to_string(&mut process);
            let process = process.trim();
            let process = if process.is_empty() { String::new() } else { format!(" (process {process})") };
            bail!("the state directory {shown} is locked by another volume-snapshots{process}; stop it, or {ADVICE}");
        }
        Err(TryLockError::Error(why)) => return Err(refused("lock", &why)),
    }
    // The number is only for the message of the next one.
    let _ = lock.set_len(0).and_then(|()| write!(lock, "{}", std::process::id()));
    let store = SqliteStore::open_with_log(directory.join(DATABASE), log);
    let store = store.map_err(|error| match format!("{error:#}") {
        reason if reason.contains("database is locked") => anyhow!(
            "the database in the state directory {shown} is locked by another process; stop that process, or {ADVICE}"
        ),
        reason => anyhow!("{reason}; {ADVICE}"),
    })?;
    Ok(State { store: Arc::new(store), _lock: Some(lock) })
}
